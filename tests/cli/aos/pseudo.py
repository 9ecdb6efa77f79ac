"""A person at a terminal: the real command on a pseudo-terminal, typed at and looked at. Nobody sleeps: one waits for
text.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

from cli.conftest import COMMAND

PATIENCE_S = 60  # a machine may be slow; a text that does not come in this time does not come
_ESCAPES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[=>78]|[\x00-\x08\x0b\x0c\x0e-\x1f]")


class Terminal:
    """`puna WORDS` on a terminal of 100 columns. What it has shown is `shown`, without escape sequences."""

    def __init__(self, *words: object, home: Path | None = None, columns: int = 100, **environment: str):
        place = ["--home", str(home)] if home else []
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "EDITOR", "VISUAL")}
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, words), *place],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**kept, "TERM": "xterm-256color", **environment},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.raw = b""
        self._seen = 0

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    @property
    def shown(self) -> str:
        return _ESCAPES.sub(b"", self.raw).decode(errors="replace").replace("\r", "")

    def types(self, text: str) -> "Terminal":
        os.write(self._master, text.encode())
        return self

    def enters(self, line: str) -> "Terminal":
        return self.types(line + "\r")

    def sees(self, text: str) -> str:
        """Wait until the text is shown, after what was seen before; what was shown up to it."""
        return self._until(text)[0]

    def sees_one_of(self, *texts: str) -> str:
        """Wait until one of the texts is shown; which."""
        return self._until(*texts)[1]

    def _until(self, *texts: str) -> tuple[str, str]:
        deadline = time.monotonic() + PATIENCE_S
        wanted = re.compile("|".join(map(re.escape, texts)))
        while not (found := wanted.search(self.shown, self._seen)):
            if not self._read(deadline):
                raise AssertionError(f"{' or '.join(texts)} never came. Shown since:\n{self.shown[self._seen :]}")
        before, self._seen = self.shown[self._seen : found.end()], found.end()
        return before, found[0]

    def ends(self) -> int:
        """Wait for the end of the command; its status."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE_S)

    def _read(self, deadline: float) -> bool:
        """Take in what is shown next; False when there is nothing more, or not in time."""
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        try:
            part = os.read(self._master, 65536) if ready else b""
        except OSError:  # the other side is closed
            part = b""
        if b"\x1b[6n" in part:
            os.write(self._master, b"\x1b[1;1R")  # a terminal tells where its cursor is
        self.raw += part
        return bool(part)
