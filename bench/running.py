"""A node as a user starts it, for the benches that measure one from outside."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def running_node(home: Path | str, *options: str) -> Iterator[tuple[dict[str, Any], int]]:
    """`puna up` on a home and free ports until the end of the block: what it says of itself, and its process id."""
    command = [sys.executable, "-m", "puna.cli.main", "up", "--json", "--port", "0", "--home", str(home), *options]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(node.stdout.readline()), node.pid
    finally:
        node.send_signal(signal.SIGTERM)
        node.wait()
