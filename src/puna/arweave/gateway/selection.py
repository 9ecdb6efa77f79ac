"""Finds what a GraphQL query means: data items, transactions and the node's own bundles, in the order of blocks.

Three streams are merged. Each lies in the order of the store: a block covers a stretch of it, so along the store
heights never fall. A bundle of the node's own stands right behind the last item it carries. Used by graphql.py.
Source: protocol reference 1.8, semantics.
"""

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from puna.arweave import records
from puna.arweave.dataitem import DataItem
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.arweave.ledger import WINSTON_PER_AR
from puna.arweave.store.port import Entry, Query
from puna.arweave.tags import Tag, first
from puna.arweave.transaction import Transaction
from puna.arweave.weave import BUNDLE_TAGS_OURS, Place, Weave
from puna.errors import Invalid

PAGE_MAX = 100
SCAN_MAX = 20_000  # entries that one query may look at; a query that needs more is too vague to serve
PAGE = 200


class Position(NamedTuple):
    """A place in the order: behind so many items of the store; bundles (`last` 1) behind the item itself (0)."""

    sequence: int
    last: int

    def cursor(self) -> str:
        return b64url_encode(b"%d.%d" % self)


def read_cursor(text: str) -> Position:
    """Undo `cursor`. Raises Invalid when it is none of ours."""
    try:
        sequence, last = b64url_decode(text).decode().split(".")
        return Position(_digits(sequence), _digits(last))
    except (Invalid, ValueError):
        raise Invalid("The argument after is not a cursor of this gateway.", "Take one from an edge.") from None


class TagFilter(NamedTuple):
    name: str
    values: tuple[str, ...]
    equal: bool = True

    def matches(self, tags: tuple[Tag, ...]) -> bool:
        has = any(tag.name == self.name and tag.value in self.values for tag in tags)
        return has == self.equal


@dataclass(frozen=True)
class Wanted:
    """What is asked for. An empty tuple asks for anything; `heights` is (min, max) of the block, each may be None."""

    ids: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    tags: tuple[TagFilter, ...] = ()
    bundled_in: tuple[str, ...] = ()
    heights: tuple[int | None, int | None] | None = None
    first: int = 10
    after: Position | None = None
    newest_first: bool = True


class Thing:
    """A transaction or an item, with the field names of GraphQL."""

    def __init__(self, weave: Weave, position: Position, it: DataItem | Transaction):
        self._weave, self.position, self.it = weave, position, it
        self.id = it.id
        self.tags = it.tags

    @cached_property
    def place(self) -> Place:
        if isinstance(self.it, DataItem):
            return self._weave.place_of_item(self.id, self.position.sequence)
        return self._weave.place_of_transaction(self.id)

    @property
    def anchor(self) -> str:
        return b64url_encode(self.it.anchor if isinstance(self.it, DataItem) else self.it.last_tx)

    @property
    def signature(self) -> str:
        return b64url_encode(self.it.signature)

    @property
    def recipient(self) -> str:
        return self.it.target if isinstance(self.it, DataItem) else self.it.recipient

    @property
    def owner(self) -> dict[str, str]:
        return {"address": self.it.address, "key": b64url_encode(self.it.owner)}

    @property
    def fee(self) -> dict[str, str]:
        return _money(0 if isinstance(self.it, DataItem) else self.it.reward)

    @property
    def quantity(self) -> dict[str, str]:
        return _money(0 if isinstance(self.it, DataItem) else self.it.quantity)

    @property
    def data(self) -> dict[str, Any]:
        size = self.it.data_bytes if isinstance(self.it, DataItem) else self.it.data_size
        return {"size": str(size), "type": first(self.tags, "Content-Type")}

    @property
    def block(self) -> dict[str, Any] | None:
        return self.place.block

    @property
    def bundledIn(self) -> dict[str, str] | None:  # noqa: N802 - the wire's name
        return {"id": self.place.bundled_in} if self.place.bundled_in else None

    parent = bundledIn


def select(weave: Weave, wanted: Wanted) -> tuple[list[Thing], bool]:
    """At most `wanted.first` things, and whether more follow. Raises Invalid when the search would take too long."""
    if wanted.bundled_in:
        inside = {id for carrier in wanted.bundled_in for id in weave.bundled_in(carrier)}
        ids = tuple(id for id in wanted.ids if id in inside) if wanted.ids else tuple(inside)
        if not ids:
            return [], False
        wanted = replace(wanted, ids=ids)
    if any(tag.equal and not tag.values for tag in wanted.tags):
        return [], False
    found: list[Thing] = []
    for thing in _Search(weave, wanted).run():
        if len(found) == wanted.first:
            return found, True
        found.append(thing)
    return found, False


def find_one(weave: Weave, id: str) -> Thing | None:
    found, _ = select(weave, Wanted(ids=(id,), first=1))
    return found[0] if found else None


class _Search:
    def __init__(self, weave: Weave, wanted: Wanted):
        self.weave, self.wanted, self.scanned = weave, wanted, 0
        low, high = -1, 1 << 62
        if wanted.heights is not None:
            lowest, highest = wanted.heights
            tip = weave.tip
            below = weave.block(min(lowest, tip.height + 1) - 1) if lowest and lowest > 0 else None
            low = below.through if below else -1
            highest = tip.height if highest is None else min(highest, tip.height)
            block = weave.block(highest)
            high = block.through if block else -1
        after = wanted.after
        if after is not None and wanted.newest_first:
            high = min(high, after.sequence + after.last - 1)
        elif after is not None:
            low = max(low, after.sequence)
        # Items whose sequence number is over `low` and at most `high` are in question.
        self.low, self.high = low, high

    def run(self) -> Iterator[Thing]:
        streams = [self._items(), self._transactions(), self._bundles()]
        merged = heapq.merge(*streams, key=lambda thing: thing.position, reverse=self.wanted.newest_first)
        return (thing for thing in merged if self._matches(thing))

    def _matches(self, thing: Thing) -> bool:
        wanted = self.wanted
        if not all(tag.matches(thing.tags) for tag in wanted.tags):
            return False
        if wanted.bundled_in and thing.place.bundled_in not in wanted.bundled_in:
            return False
        if wanted.heights is None:
            return True
        lowest, highest = wanted.heights
        block = thing.block
        if block is None:
            return False
        return (lowest is None or block["height"] >= lowest) and (highest is None or block["height"] <= highest)

    def _items(self) -> Iterator[Thing]:
        wanted = self.wanted
        tags = tuple((tag.name, tag.values) for tag in wanted.tags if tag.equal)
        query = Query(ids=wanted.ids, owners=wanted.owners, recipients=wanted.recipients, tags=tags)
        for entry in self._entries(query):
            if records.record_type(entry.item, self.weave.operator) is None:
                yield Thing(self.weave, Position(entry.sequence, 0), entry.item)

    def _transactions(self) -> Iterator[Thing]:
        wanted = self.wanted
        tags = [("Type", (records.TRANSACTION, records.FOREIGN_TRANSACTION)), ("Data-Protocol", ("puna",))]
        tags += [("Id", wanted.ids)] if wanted.ids else []
        tags += [("Owner", wanted.owners)] if wanted.owners else []
        for tag in wanted.tags:
            if tag.equal:
                lookups = (*(records.lookup(tag.name, value) for value in tag.values), records.MORE)
                tags.append(("Lookup", lookups))
        query = Query(owners=(self.weave.operator,), recipients=wanted.recipients, tags=tuple(tags))
        for entry in self._entries(query):
            yield Thing(self.weave, Position(entry.sequence, 0), records.read_transaction(entry.item))

    def _bundles(self) -> Iterator[Thing]:
        wanted, weave = self.wanted, self.weave
        if wanted.recipients or not all(tag.matches(BUNDLE_TAGS_OURS) for tag in wanted.tags if tag.equal):
            return
        for height in self._bundle_heights():
            block = weave.block(height)
            if not block.bundle or (wanted.ids and block.bundle not in wanted.ids):
                continue
            position = Position(block.through, 1)
            if wanted.after is not None and (
                position >= wanted.after if wanted.newest_first else position <= wanted.after
            ):
                continue
            tx = weave.transaction(block.bundle)
            self._count()
            if not wanted.owners or tx.address in wanted.owners:
                yield Thing(weave, position, tx)

    def _bundle_heights(self) -> Iterator[int]:
        weave, wanted = self.weave, self.wanted
        if wanted.ids:
            notes = [note for note in map(weave.tx_note, wanted.ids) if note is not None and note.height >= 0]
            return iter(sorted({note.height for note in notes}, reverse=wanted.newest_first))
        heights = range(weave.tip.height + 1)
        start = bisect_right(heights, max(self.low - 1, -1), key=lambda h: weave.block(h).through)
        stop = bisect_right(heights, self.high, key=lambda h: weave.block(h).through)
        return iter(heights[start:stop][::-1] if wanted.newest_first else heights[start:stop])

    def _entries(self, query: Query) -> Iterator[Entry]:
        """All entries within the bounds, in the order asked for, read a page at a time."""
        newest_first = self.wanted.newest_first
        after = self.high + 1 if newest_first else self.low
        limit = self.wanted.first + 1
        while True:
            page = self.weave.store.find(
                Query(query.ids, query.owners, query.recipients, query.tags, limit, after, newest_first)
            )
            for entry in page:
                if not self.low < entry.sequence <= self.high:
                    return
                self._count()
                yield entry
            if len(page) < limit:
                return
            after, limit = page[-1].sequence, PAGE

    def _count(self) -> None:
        self.scanned += 1
        if self.scanned > SCAN_MAX:
            raise Invalid(
                "The query looks at too much before it finds enough.", "Add a tag, an owner or a block range."
            )


def _money(winston: int) -> dict[str, str]:
    return {"winston": str(winston), "ar": f"{winston // WINSTON_PER_AR}.{winston % WINSTON_PER_AR:012d}"}


def _digits(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError
    return int(text)
