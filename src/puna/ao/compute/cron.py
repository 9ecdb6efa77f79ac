"""Cron: the messages that a process's own tags ask for, in the time between two neighbours of its schedule. Pure.

Called by `unit.py` and `verify.py`. A cron message is in no schedule: everybody who evaluates the process makes it up
again from the tags, the neighbours and the blocks. So each whole second between two neighbours belongs to exactly one
pair of them, the second of the left one included and that of the right one not. Source: protocol reference 4.7, 4.8.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from puna.arweave.dataitem import DataItem
from puna.arweave.tags import Tag
from puna.errors import Invalid

from ..message import ProcessId, owner_address, tag_list

INTERVAL_TAG = "Cron-Interval"
TAG_PREFIX = "Cron-Tag-"

_YEAR_MS = 31_557_600_000  # of 365.25 days, as the network's clients count
_UNITS_MS = {
    1: ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    1000: ("s", "sec", "secs", "second", "seconds"),
    60_000: ("m", "min", "mins", "minute", "minutes"),
    3_600_000: ("h", "hr", "hrs", "hour", "hours"),
    86_400_000: ("d", "day", "days"),
    604_800_000: ("w", "week", "weeks"),
    _YEAR_MS // 12: ("month", "months"),
    _YEAR_MS: ("y", "yr", "yrs", "year", "years"),
}
_MS_OF = {word: ms for ms, words in _UNITS_MS.items() for word in words}
_INTERVAL = re.compile(r"(\d{1,12})-([a-zA-Z]+)")


class Block(NamedTuple):
    """A block of the weave: its height, and when it was made in milliseconds since 1970."""

    height: int
    timestamp_ms: int


class Moment(NamedTuple):
    """Where an entry of a schedule stands in time."""

    timestamp_ms: int
    block_height: int


Blocks = Callable[[int, int], Sequence[Block]]
"""All blocks whose whole second is at or after the first and before the second argument, by ascending height."""


def no_blocks(first_second: int, end_second: int) -> Sequence[Block]:
    """The blocks of a network that has none."""
    return ()


@dataclass(frozen=True, slots=True)
class Cron:
    """One wish of a process: `every` so many seconds, or blocks. `name` is its identity, such as `0-10-seconds`."""

    name: str
    every: int
    of_blocks: bool
    tags: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """How far the crons after one entry have been evaluated.

    `seconds` counts from the entry's own second; `done` of that second's ticks are behind us; `height` is that of the
    newest block before that second.
    """

    seconds: int
    done: int
    height: int


@dataclass(frozen=True, slots=True)
class Tick:
    """One cron message: which cron, when, at which height; `place` is where we stand after it."""

    cron: Cron
    timestamp_ms: int
    block_height: int
    place: Place


def crons_of(process: DataItem) -> tuple[Cron, ...]:
    """The crons that a process's tags ask for: those of blocks in their order, then those of time, finer ones first.

    Raises Invalid naming the tag that is wrong.
    """
    wishes: list[tuple[str, list[Tag]]] = []
    for name, value in process.tags:
        if name == INTERVAL_TAG:
            wishes.append((value, []))
        elif name.startswith(TAG_PREFIX):
            if not wishes:
                raise Invalid(f"Unmatched Cron-Tag with no preceding Cron-Interval: {name}")
            wishes[-1][1].append(Tag(name.removeprefix(TAG_PREFIX), value))
    read = [(*_interval(value), value, tuple(tags)) for value, tags in wishes]
    of_blocks = [wish for wish in read if wish[1]]
    of_time = sorted((wish for wish in read if not wish[1]), key=lambda wish: wish[0])
    return tuple(
        Cron(f"{index}-{value}", every, is_blocks, tags)
        for kind in (of_blocks, of_time)
        for index, (every, is_blocks, value, tags) in enumerate(kind)
    )


def _interval(value: str) -> tuple[int, bool]:
    """`10-seconds` as (10, False), `10-blocks` as (10, True)."""
    match = _INTERVAL.fullmatch(value.strip())
    count, unit = (int(match[1]), match[2].lower()) if match else (0, "")
    if unit in ("block", "blocks") and count > 0:
        return count, True
    if unit not in _MS_OF:
        raise Invalid(f"Cron-Interval {value!r} is not understood", "Write <number>-<unit>, such as 10-seconds.")
    seconds = count * _MS_OF[unit] // 1000
    if seconds < 1:
        raise Invalid("time-based cron cannot be less than 1 second")
    return seconds, False


def ticks(
    crons: Sequence[Cron], origin: Moment, left: Moment, right_ms: int, blocks: Blocks, after: Place | None = None
) -> Iterator[Tick]:
    """The cron messages between an entry `left` and the moment `right_ms`, in their order.

    `origin` is the assignment of the process: intervals count from it, and it matches none. `after` goes on where an
    earlier call stopped. More of the future only appends to the answer. In one second, crons of its blocks come before
    those of time.
    """
    if not crons:
        return
    place = after or Place(0, 0, left.block_height)
    begin, origin_second, end = left.timestamp_ms // 1000, origin.timestamp_ms // 1000, right_ms // 1000
    second, height = begin + place.seconds, place.height
    waiting = list(reversed(blocks(second, end))) if second < end else []
    skip = place.done
    while True:
        upcoming = [_next_match(cron, origin_second, second) for cron in crons if not cron.of_blocks]
        upcoming += [waiting[-1].timestamp_ms // 1000] if waiting else []
        upcoming = [moment for moment in upcoming if moment < end]
        if not upcoming:
            return
        if min(upcoming) > second:
            second, skip = min(upcoming), 0
        before = height
        due: list[tuple[Cron, int, int]] = []
        while waiting and waiting[-1].timestamp_ms // 1000 <= second:
            block = waiting.pop()
            height = max(height, block.height)
            due += [(cron, block.timestamp_ms, block.height) for cron in crons if _at_block(cron, origin, block)]
        time_ms = left.timestamp_ms + (second - begin) * 1000
        due += [(cron, time_ms, height) for cron in crons if _at_second(cron, origin_second, second)]
        for done, (cron, timestamp_ms, block_height) in enumerate(due, 1):
            if done > skip:
                yield Tick(cron, timestamp_ms, block_height, Place(second - begin, done, before))
        second, skip = second + 1, 0


def _next_match(cron: Cron, origin_second: int, second: int) -> int:
    """The first second from `second` on that is a whole number of intervals after the origin, and not the origin."""
    intervals = max(1, -((origin_second - second) // cron.every))
    return origin_second + intervals * cron.every


def _at_second(cron: Cron, origin_second: int, second: int) -> bool:
    return not cron.of_blocks and second > origin_second and (second - origin_second) % cron.every == 0


def _at_block(cron: Cron, origin: Moment, block: Block) -> bool:
    passed = block.height - origin.block_height
    return cron.of_blocks and passed > 0 and passed % cron.every == 0


def cron_json(process: DataItem, tick: Tick) -> bytes:
    """The message object of a tick, as JSON bytes: signed by nobody, hence without Id and Nonce. Source: 4.7."""
    owner = owner_address(process)
    return msgspec.json.encode(
        {
            "Owner": owner,
            "Target": ProcessId(process.id),
            "From": owner,
            "Tags": tag_list(tick.cron.tags),
            "Timestamp": tick.timestamp_ms,
            "Block-Height": tick.block_height,
            "Cron": True,
            "Read-Only": False,
        }
    )
