"""Running the real command as a user does, in processes of their own, on homes of their own."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "puna.cli.main"]


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    def json(self):
        (line,) = self.out.splitlines()
        return json.loads(line)


def puna(*words: object, home: Path | None = None, **options) -> Said:
    """Run the command to its end."""
    place = ["--home", str(home)] if home else []
    done = subprocess.run([*COMMAND, *map(str, words), *place], capture_output=True, text=True, **options)
    return Said(done.returncode, done.stdout, done.stderr)


class Up:
    """`puna up` at work, from the line it prints to the signal that stops it."""

    def __init__(self, home: Path, *words: object, land: bool = False):
        self.home = home
        words = (*words, "--land" if land else "--no-land")
        self.process = subprocess.Popen(
            [*COMMAND, "up", "--json", "--port", "0", "--home", str(home), *map(str, words)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.places = json.loads(line)

    def stop(self, how: int = signal.SIGTERM) -> Said:
        self.process.send_signal(how)
        out, err = self.process.communicate()
        return Said(self.process.returncode, out, err)


@pytest.fixture(scope="session")
def raised(tmp_path_factory) -> Path:
    """A home in which a network was raised once and stopped; tests that change it take a copy."""
    home = tmp_path_factory.mktemp("raised") / "home"
    said = puna("ask", "hello", "--json", home=home)
    assert said.status == 0, said.err
    return home


@pytest.fixture(scope="session")
def up(tmp_path_factory):
    """A node that runs for the whole session."""
    node = Up(tmp_path_factory.mktemp("up") / "home")
    yield node
    node.stop()
