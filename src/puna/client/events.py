"""News of a network as records, one kind each, to `match` on. Fields as in docs/ao-units.md, "Events".

Read from the dicts of a link; called by both clients. A kind that is not known here comes as a plain Event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from .records import Tags, shown, told_tags

if TYPE_CHECKING:
    from puna.ao.message import MessageId, ProcessId
    from puna.arweave.ids import ItemId


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `root` is the id of the item that began the journey, where it is known.

    `process` and `message` say where; both None where they mean nothing.
    """

    kind: str
    root: str | None = None
    process: ProcessId | None = None
    message: MessageId | None = None


@dataclass(frozen=True, slots=True)
class Accepted(Event):
    """A message was taken. From here on it cannot be lost."""


@dataclass(frozen=True, slots=True)
class Assigned(Event):
    """A message has its place in a schedule."""

    nonce: int = 0
    assignment: str = ""


@dataclass(frozen=True, slots=True)
class Token(Event):
    """A piece of a model's answer, while it is computed: so many `tokens`, of which the first has the number `index`
    in the answer, from 0. Of several answers that one message asked for together it is that with the number `place`."""

    text: str = ""
    index: int = 0
    tokens: int = 1
    place: int = 0
    extension: str = ""


@dataclass(frozen=True, slots=True)
class Evaluated(Event):
    """A message was evaluated. `output` is what a person is shown; `error` None means that it went well."""

    nonce: int = 0
    output: str = ""
    error: str | None = None
    gas: int | None = None


@dataclass(frozen=True, slots=True)
class Stored(Event):
    """A process sent something to a wallet: `item` is its id, `data` its text, by its beginning when `cut`."""

    item: ItemId | None = None
    target: str = ""
    tags: Tags = Tags()
    data: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A journey ended early, or one `entry` of an outbox, such as `Messages[2]`, was dropped."""

    error: str = ""
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """Nothing of this root is under way any more."""


@dataclass(frozen=True, slots=True)
class Gap(Event):
    """The listener was too slow for so many events."""

    missed: int = 0


KINDS: Mapping[str, type[Event]] = {
    "accepted": Accepted,
    "assigned": Assigned,
    "token": Token,
    "evaluated": Evaluated,
    "stored": Stored,
    "failed": Failed,
    "finished": Finished,
    "gap": Gap,
}


def read_event(told: Mapping[str, Any]) -> Event:
    """The record of an event as a link tells it."""
    kind = KINDS.get(told["kind"], Event)
    known = {field.name: told[field.name] for field in fields(kind) if field.name in told}
    if kind is Evaluated:
        known |= {"output": shown(told.get("data")), "error": _error(told)}
    elif kind is Failed:
        known["error"] = shown(told.get("error"))
    elif kind is Stored:
        item = told.get("item") or {}
        known |= {"item": told.get("message"), "data": item.get("data") or "", "tags": told_tags(item.get("tags"))}
    return kind(**known)


def _error(told: Mapping[str, Any]) -> str | None:
    return None if told.get("error") is None else shown(told["error"]).strip()
