"""From an outbox entry to a letter: what is to be signed and sent. Pure; called by `journey.py`.

An entry is JSON that a program wrote, so nothing about it is certain; what cannot be sent becomes a `Dropped` that
says why, and never harms its siblings. Source: protocol reference 2.5.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from puna.arweave.ids import is_id
from puna.arweave.tags import Tag, first

from ..message import PROTOCOL, VARIANT, ProcessId
from ..result import Result, number_text

EMPTY_DATA = b" "  # the network's way to say no data: some uploaders refuse items of zero bytes
ANCHOR_BYTES = 32
NAME_BYTES_MAX, VALUE_BYTES_MAX = 1024, 3072  # of a tag; the same for everybody, whoever carries the message

_MESSENGER_TAGS = frozenset(
    ("Data-Protocol", "Type", "From-Process", "From-Module", "Pushed-For", "Assignments")
)  # a program must not speak as another, nor claim another's journey


class Sender(msgspec.Struct, frozen=True):
    """The process whose outbox it is, with its Module and Scheduler tags."""

    process: ProcessId
    module: str
    scheduler: str


class Letter(msgspec.Struct, frozen=True):
    """An unsigned message to `target`; `assign_to` lists processes that get it assigned as well."""

    target: str
    anchor: bytes
    tags: tuple[Tag, ...]
    data: bytes
    assign_to: tuple[str, ...] = ()


class Birth(msgspec.Struct, frozen=True):
    """An unsigned process; once it is scheduled, `spawner` gets a Spawned message of tags `reply` and its id."""

    tags: tuple[Tag, ...]
    data: bytes
    spawner: ProcessId
    reply: tuple[Tag, ...]


class Share(msgspec.Struct, frozen=True):
    """An item, known by id, that `process` is to get as well; `settled` only when it is permanent enough for it."""

    process: ProcessId
    item_id: str
    exclude: tuple[str, ...] = ()
    settled: bool = False


class Dropped(msgspec.Struct, frozen=True):
    """An entry that cannot be sent, with its list, its place in it, and why."""

    box: str
    index: int
    why: str


Parcel = Letter | Birth | Share | Dropped


class _Unfit(Exception):
    """An entry cannot be sent; the argument says why. Never leaves this file."""


def address(result: Result, sender: Sender, pushed_for: str | None) -> list[Parcel]:
    """All that a result sends: messages, then spawns, then assignments, each in the order of its list.

    `pushed_for` is the id of the item that began the journey, None when the chain has no root.
    """
    parcels: list[Parcel] = []
    parcels += _each("Messages", result.messages, lambda entry: [_letter(entry, sender, pushed_for)])
    parcels += _each("Spawns", result.spawns, lambda entry: [_birth(entry, sender, pushed_for)])
    parcels += _each("Assignments", result.assignments, _shares)
    return parcels


def spawned(birth_reply: tuple[Tag, ...], process: ProcessId) -> tuple[Tag, ...]:
    """The tags of the message that tells a spawner about its new process. Source: 2.5, spawn task, step 4."""
    return (*birth_reply, PROTOCOL, Tag("Type", "Message"), Tag("Process", process), Tag("Action", "Spawned"), VARIANT)


def _each(box: str, entries: tuple[Any, ...], read) -> Iterator[Parcel]:
    for index, entry in enumerate(entries):
        try:
            yield from read(entry)
        except _Unfit as unfit:
            yield Dropped(box, index, str(unfit))


def _letter(entry: Any, sender: Sender, pushed_for: str | None) -> Letter:
    target = _field(entry, "Target")
    anchor = _field(entry, "Anchor")
    given, assign_to = _split_assignments(_field(entry, "Tags"))
    if not is_id(target):
        raise _Unfit(f"Target {target!r} is no id")
    tags = [
        *(tag for tag in given if tag.name not in _MESSENGER_TAGS),
        PROTOCOL,
        Tag("Type", "Message"),
        Tag("From-Process", sender.process),
        Tag("From-Module", sender.module),
        *_root_tag(pushed_for),
    ]
    return Letter(target, _anchor(anchor), tuple(tags), _data(entry), assign_to)


def _birth(entry: Any, sender: Sender, pushed_for: str | None) -> Birth:
    given = _tags(_field(entry, "Tags"))
    wanted = "ao.N.1" if Tag("Variant", "ao.N.1") in given else VARIANT.value
    tags = [
        *_without(_as_sent_by(given, sender), "Data-Protocol", "Type", "From-Process", "Pushed-For"),
        Tag("Variant", wanted),
        PROTOCOL,
        Tag("Type", "Process"),
        Tag("From-Process", sender.process),
        *_root_tag(pushed_for),
    ]
    if first(given, "Module") is None:
        raise _Unfit("No Module tag found on 'Process' DataItem")
    if first(given, "Scheduler") is None:
        tags.append(Tag("Scheduler", sender.scheduler))
    reply = _without(_as_sent_by(given, sender), "Data-Protocol", "Variant", "Type", "Pushed-For")
    return Birth(tuple(tags), _data(entry), sender.process, reply)


def _shares(entry: Any) -> list[Parcel]:
    processes = _field(entry, "Processes")
    item_id = _field(entry, "Message")
    if not isinstance(processes, list) or not is_id(item_id):
        raise _Unfit("Processes is no list, or Message no id")
    exclude = entry.get("Exclude")
    fields = tuple(field for field in exclude if isinstance(field, str)) if isinstance(exclude, list) else ()
    settled = entry.get("BaseLayer") not in (None, False, "", "false")
    return [Share(ProcessId(process), item_id, fields, settled) for process in _ids(processes)]


def _as_sent_by(tags: tuple[Tag, ...], sender: Sender) -> tuple[Tag, ...]:
    """Where a program wrote from whom it comes, the truth is put in that place."""
    truth = {"From-Process": sender.process, "From-Module": sender.module}
    return tuple(Tag(name, truth.get(name, value)) for name, value in tags)


def _without(tags: tuple[Tag, ...], *names: str) -> tuple[Tag, ...]:
    return tuple(tag for tag in tags if tag.name not in names)


def _root_tag(pushed_for: str | None) -> tuple[Tag, ...]:
    return (Tag("Pushed-For", pushed_for),) if pushed_for else ()


def _field(entry: Any, name: str) -> Any:
    if not isinstance(entry, dict):
        raise _Unfit("it is no object")
    value = entry.get(name)
    if value is None or value == "":
        raise _Unfit(f"it has no {name}")
    return value


def _split_assignments(tags: Any) -> tuple[tuple[Tag, ...], tuple[str, ...]]:
    """Take the tag `Assignments` out of the list: its value may be an array, which no other tag's may."""
    if not isinstance(tags, list):
        raise _Unfit("Tags is no array")
    wanted = [tag for tag in tags if _is_assignments(tag)]
    rest = [tag for tag in tags if not _is_assignments(tag)] if wanted else tags
    return _tags(rest), tuple(process for tag in wanted for process in _processes_named(tag.get("value")))


def _is_assignments(tag: Any) -> bool:
    return isinstance(tag, dict) and tag.get("name") == "Assignments"


def _processes_named(value: Any) -> list[str]:
    """Process ids from an array, from the JSON text of one, or from a comma list."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            value = [part.strip() for part in value.split(",")]
    return _ids(value) if isinstance(value, list) else []


def _ids(values: list[Any]) -> list[str]:
    return list(dict.fromkeys(value for value in values if is_id(value)))


def _tags(tags: Any) -> tuple[Tag, ...]:
    if not isinstance(tags, list):
        raise _Unfit("Tags is no array")
    return tuple(_tag(tag) for tag in tags)


def _tag(tag: Any) -> Tag:
    if not isinstance(tag, dict):
        raise _Unfit("a tag is no object")
    name, value = tag.get("name"), _text(tag.get("value"))
    if not isinstance(name, str) or value is None:
        raise _Unfit(f"the value of tag {name!r} cannot be text")
    if _utf8_bytes(name) > NAME_BYTES_MAX or _utf8_bytes(value) > VALUE_BYTES_MAX:
        raise _Unfit(f"tag {name[:40]!r} is too long: names {NAME_BYTES_MAX}, values {VALUE_BYTES_MAX} bytes at most")
    return Tag(name, value)


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _text(value: Any) -> str | None:
    """Text, and what has one way to be written as text: numbers and booleans. None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, (int, float)) else None


def _anchor(anchor: Any) -> bytes:
    encoded = anchor.encode("utf-8", "replace") if isinstance(anchor, str) else b""
    if len(encoded) != ANCHOR_BYTES:
        raise _Unfit(f"Anchor is not {ANCHOR_BYTES} bytes")
    return encoded


def _data(entry: dict[str, Any]) -> bytes:
    data = entry.get("Data")
    if data is None or data == "":
        return EMPTY_DATA
    text = _text(data)
    if text is None:
        raise _Unfit("Data is not text")
    return text.encode("utf-8", "replace")
