"""What a client gets and gives: tags, results with what they send, items, places in a schedule. Frozen records.

Read from the JSON of the wire, in which nothing is believed to be there: modules write it. Called by both clients.
Source: protocol reference 2.5 (outbox entries), 4.2, 4.3.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from puna.errors import Invalid, NodeError

if TYPE_CHECKING:
    from puna.ao.message import MessageId, ProcessId
    from puna.ao.result import Page as PageTold
    from puna.ao.result import Result as ResultTold
    from puna.ao.scheduler.port import Entry as EntryTold
    from puna.arweave.dataitem import DataItem
    from puna.arweave.ids import Address, ItemId

TagsLike = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[Mapping[str, str]] | None


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class ProcessFailed(NodeError):
    """The program of a process failed on a message. Its memory is as it was before."""


# Tags ---------------------------------------------------------------------------------------------------------------


class Tags(Mapping[str, str]):
    """Tags as a mapping, where the first of several with one name counts; `pairs` has all of them in their order."""

    __slots__ = ("pairs",)

    pairs: tuple[tuple[str, str], ...]

    def __init__(self, tags: TagsLike = None):
        """From a mapping, from pairs, or from objects with `name` and `value`. Raises Invalid on anything else."""
        object.__setattr__(self, "pairs", _pairs(tags))

    def all(self, name: str) -> tuple[str, ...]:
        """The values of all tags called `name`."""
        return tuple(value for known, value in self.pairs if known == name)

    def __getitem__(self, name: str) -> str:
        for known, value in self.pairs:
            if known == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self.pairs})

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __repr__(self) -> str:
        return f"Tags({list(self.pairs)!r})"

    def __reduce__(self) -> tuple[type[Tags], tuple[tuple[tuple[str, str], ...]]]:
        return Tags, (self.pairs,)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("tags never change: make new ones")


def _pairs(tags: TagsLike) -> tuple[tuple[str, str], ...]:
    if isinstance(tags, Tags):
        return tags.pairs
    if tags is None:
        return ()
    if isinstance(tags, Mapping):
        return tuple(_pair(item) for item in tags.items())
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable):
        raise Invalid(f"Tags are {tags!r:.60}.", 'Give a dict, like {"Action": "Info"}, or pairs of texts.')
    return tuple(_pair(item) for item in tags)


def _pair(item: Any) -> tuple[str, str]:
    if isinstance(item, Mapping):
        item = (item.get("name"), item.get("value"))
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise Invalid(f"A tag is {item!r:.60}.", 'Give its name and its value, like ("Action", "Info").')
    name, value = item
    if not isinstance(name, str):
        raise Invalid(f"The name of a tag is {name!r:.60}, which is not text.", "Names and values of tags are texts.")
    if not isinstance(value, str):
        raise Invalid(f"The tag {name} is {value!r:.60}, which is not text.", "Write it as text, like str(5).")
    return name, value


def told_tags(told: Any) -> Tags:
    """Tags as JSON tells them; what is no tag is left out."""
    known = [tag for tag in told if isinstance(tag, dict)] if isinstance(told, list) else []
    return Tags([(tag["name"], _text(tag.get("value"))) for tag in known if isinstance(tag.get("name"), str)])


# What a result says -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a process wants sent. Its id is not known yet: the messenger signs it later."""

    target: str
    tags: Tags
    data: str
    anchor: str

    @property
    def action(self) -> str:
        return self.tags.get("Action", "")


@dataclass(frozen=True, slots=True)
class Spawn:
    """A process that a process wants to beget."""

    tags: Tags
    data: str


@dataclass(frozen=True, slots=True)
class Assign:
    """An item of the weave that a process wants given to others."""

    processes: tuple[ProcessId, ...]
    message: MessageId


@dataclass(frozen=True, slots=True)
class Result:
    """What a message did. `output` is the text a person is shown; `error` None means that it went well.

    Both are without the colours that aos gives them. `gas_used` None means unknown; `raw` is the JSON of the wire, for
    what no field here tells.
    """

    messages: tuple[Message, ...]
    spawns: tuple[Spawn, ...]
    assignments: tuple[Assign, ...]
    output: str
    error: str | None
    gas_used: int | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    def check(self) -> Result:
        """This result. Raises ProcessFailed when there is an error instead."""
        if self.error is not None:
            raise ProcessFailed(f"The process failed: {self.error}", "Nothing in it was changed.")
        return self

    def first(self, action: str) -> Message | None:
        """The first message with that Action."""
        return next((message for message in self.messages if message.action == action), None)


def read_result(told: ResultTold) -> Result:
    """The record of a result as a link tells it."""
    return Result(
        messages=tuple(_message(entry) for entry in told.messages if isinstance(entry, dict)),
        spawns=tuple(
            Spawn(told_tags(entry.get("Tags")), _text(entry.get("Data")))
            for entry in told.spawns
            if isinstance(entry, dict)
        ),
        assignments=tuple(_assign(entry) for entry in told.assignments if isinstance(entry, dict)),
        output=shown(told.output),
        error=None if told.error is None else shown(told.error).strip(),
        gas_used=told.gas_used,
        raw=told.to_json(),
    )


def _message(entry: dict[str, Any]) -> Message:
    target, anchor = _text(entry.get("Target")), _text(entry.get("Anchor"))
    return Message(target, told_tags(entry.get("Tags")), _text(entry.get("Data")), anchor)


def _assign(entry: dict[str, Any]) -> Assign:
    processes = entry.get("Processes")
    named = tuple(filter(None, map(_text, processes))) if isinstance(processes, list) else ()
    return Assign(named, _text(entry.get("Message")))  # type: ignore[arg-type]


def shown(output: Any) -> str:
    """What a person is shown of an output, without colours: aos wraps the text, once or twice."""
    for name in ("data", "output"):
        if isinstance(output, dict) and name in output:
            output = output[name]
    return _COLOURS.sub("", _text(output))


def _text(value: Any) -> str:
    """A JSON value as text: text as it is, numbers as JavaScript writes them, nothing as nothing."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        from puna.ao.result import number_text

        return number_text(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# Pages of results ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """One result of a page. `cursor` is its place; `nonce` that of its message, or of the one before its cron.

    `cron` is "" for the result of a message.
    """

    cursor: str
    nonce: int | None
    timestamp_ms: int | None
    cron: str
    result: Result


@dataclass(frozen=True, slots=True)
class Page:
    """Some results of a process, in the order asked for. The next page is asked for with `after=page.cursor`."""

    kept: tuple[Kept, ...]
    more: bool

    @property
    def cursor(self) -> str | None:
        return self.kept[-1].cursor if self.kept else None

    def __iter__(self) -> Iterator[Kept]:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)


def read_page(told: PageTold) -> Page:
    return Page(tuple(_kept(cursor, result) for cursor, result in told.edges), told.more)


def _kept(cursor: str, told: ResultTold) -> Kept:
    try:
        place = json.loads(base64.b64decode(cursor, validate=True))
    except (binascii.Error, ValueError):
        place = None  # other units may write cursors of their own
    place = place if isinstance(place, dict) else {}
    ordinate, timestamp = str(place.get("ordinate", "")), place.get("timestamp")
    nonce = int(ordinate) if ordinate.isascii() and ordinate.isdigit() else None
    timestamp_ms = timestamp if isinstance(timestamp, int) else None
    return Kept(cursor, nonce, timestamp_ms, str(place.get("cron", "")), read_result(told))


# Items --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """A signed item whose signature was checked. `owner` is its signer's address as processes see it."""

    id: ItemId
    owner: Address
    target: str
    tags: Tags
    anchor: bytes
    data: bytes = field(repr=False)

    @property
    def sender(self) -> str:
        """The process that sent it, else the wallet that signed it: its From, as processes see it."""
        return self.tags.get("From-Process", self.owner)

    @property
    def action(self) -> str:
        return self.tags.get("Action", "")

    @property
    def text(self) -> str:
        """The data as text; what is not UTF-8 is replaced."""
        return self.data.decode(errors="replace")


def read_item(item: DataItem) -> Item:
    from puna.ao.message import owner_address

    owner: Any = owner_address(item)
    return Item(item.id, owner, item.target, Tags(item.tags), bytes(item.anchor), bytes(item.data))


@dataclass(frozen=True, slots=True)
class Found:
    """What a search tells of an item or a transaction: all but its data, which is read by its id.

    `size` is the data's in bytes. `cursor` is its place in the search, for `after`.
    """

    id: ItemId
    owner: Address
    target: str
    tags: Tags
    size: int
    cursor: str


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One place in the schedule of a process. `message` is None for an assigned item; `item_id` is its id.

    Nonce 0 is the process itself. `assignment` is the id of the scheduler's own signed item.
    """

    nonce: int
    timestamp_ms: int
    block_height: int
    assignment: str
    item_id: MessageId
    message: Item | None


def read_scheduled(entry: EntryTold) -> Scheduled:
    from puna.ao.message import is_assigned

    item, assignment = entry
    addressed = item is not None and not is_assigned(item, assignment.process)  # as schedulers show it to others
    return Scheduled(
        nonce=assignment.nonce,
        timestamp_ms=assignment.timestamp_ms,
        block_height=assignment.block_height,
        assignment=assignment.id,
        item_id=assignment.item_id,  # type: ignore[arg-type]
        message=read_item(item) if addressed else None,
    )
