"""The lines of docs/openai.md, run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "openai.md").read_text()
BLOCKS = re.findall(r"^```(python|sh)\n(.*?)^```", PAGE, re.S | re.M)


@pytest.mark.parametrize("kind, lines", BLOCKS, ids=[kind for kind, _ in BLOCKS])
def test_a_block_runs_and_says_something(door, key, kind, lines):
    if kind == "sh" and shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    here = lines.replace("http://localhost:4000", door.url).replace("sk-puna-...", key["key"])
    command = [sys.executable, "-c", here] if kind == "python" else ["sh", "-ec", here]
    environment = os.environ | {"OPENAI_API_KEY": key["key"]}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0 and done.stdout.strip() and "rror" not in done.stdout, done.stdout + done.stderr


def test_there_are_blocks():
    assert [kind for kind, _ in BLOCKS] == ["python", "python", "sh"]
