"""The console without an edited line: from a pipe or a file, for one `--run`, and for `--watch`."""

import asyncio
import os
import sys
from typing import TextIO

from .console import Console
from .present import plain
from .session import is_finished


def colours_wanted(stream: TextIO) -> bool:
    """Whether what is written there may have colours: on a terminal that has them, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    sys.stdout.write((text if colours_wanted(sys.stdout) else plain(text)) + "\n")
    sys.stdout.flush()


async def read_through(console: Console, lines: TextIO) -> None:
    """Have everything done that the lines say, one finished text after the other, until they end or say `.exit`."""
    text = ""
    while not console.leaving:
        line = await asyncio.to_thread(lines.readline)
        text += line
        if text.strip() and (not line or is_finished(console.session, text.rstrip("\n"))):
            await console.typed(text.rstrip("\n"))
            text = ""
        if not line:
            return


async def watch(console: Console) -> None:
    """Show what the process says, until somebody stops us."""
    await console.listen()
