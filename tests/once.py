"""What tests fetch or build is fetched or built once, though several processes run them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold `folder` until the end of the block; other processes that want it wait."""
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":  # tests run in one process there
        yield
        return
    import fcntl

    with open(folder / ".lock", "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
