"""Forks: a process whose memory begins as another one's was after one of its messages. Pure.

Called by `unit.py` and `verify.py`. The process item says which: `Fork-Of` names the process, `Fork-Message` a message
of its schedule (or the process itself, for its birth). Before the fork's own item is evaluated its memory is that of
the origin right after that message; the rest is like any process. Nothing is copied: whoever has both schedules makes
the same memory again, and a fork of a fork goes back as far as it must. Decision 0013.
"""

from dataclasses import dataclass

from puna.arweave.dataitem import DataItem
from puna.errors import Invalid

from ..message import ProcessId, tag

OF_TAG, MESSAGE_TAG = "Fork-Of", "Fork-Message"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a fork's memory comes from: a process, and the message after which."""

    process: ProcessId
    message: str


def origin_of(process: DataItem) -> Origin | None:
    """The origin a process item names, None for a process that begins empty. Raises Invalid when half is missing."""
    of, message = tag(process, OF_TAG), tag(process, MESSAGE_TAG)
    if of is None and message is None:
        return None
    if not of or not message:
        raise Invalid(
            f"Process {process.id} has only one of the tags {OF_TAG} and {MESSAGE_TAG}.", "A fork needs both."
        )
    return Origin(ProcessId(of), message)


def check_module(process: DataItem, origin: DataItem) -> None:
    """Raises Invalid when a fork has another module than its origin: the memory would mean nothing to it."""
    if tag(process, "Module") != tag(origin, "Module"):
        raise Invalid(
            f"Process {process.id} forks {origin.id}, which has another module.", "Fork with the same module."
        )
