"""The derived index: which items have a tag, an owner or a recipient. Used by the SQLite store.

A posting says that such a fact holds of the item with a sequence number. Postings are grouped into segments of
consecutive items. The newest segment is kept in memory, made from the items themselves; when it is full it is written
once behind the others, sorted, each fact as a 64-bit key. Indexing thus costs an append next to nothing, however large
the store has grown, where a tree of random keys would rewrite a page for every posting. A search walks the segments
in the order asked for and stops when it has enough. Keys may collide: every hit is checked against its item,
so the index may be wrong only by offering too much.
"""

import sqlite3
import threading
from collections.abc import Generator, Iterable
from hashlib import blake2b
from itertools import chain
from struct import Struct

from puna.arweave.dataitem import DataItem, decode_header
from puna.arweave.store.port import Query
from puna.arweave.store.statements import insert_rows
from puna.errors import Invalid

SEGMENT_BITS = 12  # 4096 items: a search may visit every segment, and one commit in 4096 items waits for one's writing
QUERY_KEYS_MAX = 10_000  # SQLite binds about three times as many
RARE = 64  # so many postings are counted to see which key is rarest; among more, walking any of them finds soon

SCHEMA = """
CREATE TABLE IF NOT EXISTS postings (
    segment INTEGER NOT NULL, key INTEGER NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (segment, key, sequence)
) WITHOUT ROWID
"""
INSERT = "INSERT OR IGNORE INTO postings (segment, key, sequence)"

Fact = tuple[str, str] | str  # a tag, or what `_owner` and `_recipient` write
Group = list[Fact]  # of which one must hold
Keys = list[int]  # the same, as segments have it


def facts_of(item: DataItem) -> frozenset[Fact]:
    """All under which `item` is found."""
    facts = [*item.tags, _owner(item.address)]
    if item.target:
        facts.append(_recipient(item.target))
    return frozenset(facts)


def _owner(address: str) -> Fact:
    return f"owner {address}"


def _recipient(id: str) -> Fact:
    return f"recipient {id}"


def _key(fact: Fact) -> int:
    if not isinstance(fact, str):
        name, value = fact
        fact = f"tag {len(name)} {name} {value}"
    return _KEY.unpack(blake2b(fact.encode("utf-8", "surrogatepass"), digest_size=_KEY.size).digest())[0]


_KEY = Struct("<q")


class Index:
    """The index of one open store: its written segments, and the newest one in memory. Shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin = 0  # the sequence number with which the part in memory begins
        self._facts: list[frozenset[Fact]] = [frozenset()]  # of each item from there on; sequence 0 is nobody's
        self._sequences: dict[Fact, list[int]] = {}  # the same, by fact

    def candidates(self, db: sqlite3.Connection, query: Query) -> Generator[int]:
        """Sequence numbers in the order asked for, of every item that `query` means and perhaps of some others."""
        if query.ids:
            return _by_ids(db, query)
        groups = _groups(query)
        return self._by_facts(db, query, groups) if groups else _all(db, query)

    def add(self, items: Iterable[tuple[int, frozenset[Fact]]]) -> None:
        """Tells of items just committed, which spares reading them back. Not needed for a right answer."""
        with self._lock:
            for sequence, facts in items:
                if sequence == self._begin + len(self._facts):
                    self._put(facts)

    def follow(self, db: sqlite3.Connection) -> None:
        """Reads what is not known yet of the newest segment."""
        with self._lock:
            self._follow(db)

    def write_full_segments(self, db: sqlite3.Connection) -> None:
        """Writes the part in memory as far as it fills whole segments. Called by the writer, between transactions."""
        while len(self._facts) >= 1 << SEGMENT_BITS:
            with self._lock:
                segment, sequences = self._begin >> SEGMENT_BITS, self._sequences.copy()
            db.execute("BEGIN IMMEDIATE")
            _write_segment(db, segment, sequences)
            db.execute("COMMIT")
            self.follow(db)

    def _by_facts(self, db: sqlite3.Connection, query: Query, groups: list[Group]) -> Generator[int]:
        with self._lock:
            self._follow(db)
            written = range(self._begin >> SEGMENT_BITS)
            in_memory = self._in_memory(query, groups)
        if query.newest_first:
            yield from in_memory
        keys = [[_key(fact) for fact in group] for group in groups]
        for segment in _segments(written, query):
            ordered = _rarest_first(db, segment, keys)
            if ordered:
                for row in db.execute(*_segment_search(segment, ordered, query)):
                    yield row[0]
        if not query.newest_first:
            yield from in_memory

    def _in_memory(self, query: Query, groups: list[Group]) -> list[int]:
        found = [[self._sequences.get(fact, ()) for fact in group] for group in groups]
        rarest = min(found, key=lambda lists: sum(map(len, lists)))  # the others are looked up from each of its items
        return sorted(
            (
                sequence
                for sequence in (rarest[0] if len(rarest) == 1 else set(chain.from_iterable(rarest)))
                if _is_after(query, sequence)
                and all(not self._facts[sequence - self._begin].isdisjoint(group) for group in groups)
            ),
            reverse=query.newest_first,
        )

    def _follow(self, db: sqlite3.Connection) -> None:
        """Brings the part in memory up to the store, to which another process may be writing."""
        begin = _segments_written(db) << SEGMENT_BITS
        if begin != self._begin:
            kept = self._facts[begin - self._begin :] if begin > self._begin else []
            self._begin, self._facts, self._sequences = begin, [] if begin else [frozenset()], {}
            for facts in kept:
                self._put(facts)
        for facts in _facts_from(db, self._begin + len(self._facts)):
            self._put(facts)

    def _put(self, facts: frozenset[Fact]) -> None:
        _list(self._sequences, facts, self._begin + len(self._facts))
        self._facts.append(facts)


def _list(sequences: dict[Fact, list[int]], facts: Iterable[Fact], sequence: int) -> None:
    for fact in facts:
        known = sequences.get(fact)
        if known is None:
            sequences[fact] = [sequence]
        else:
            known.append(sequence)


def write_missing_segments(db: sqlite3.Connection) -> None:
    """Makes whatever full segments are not written yet, from the items. Called within a transaction."""
    newest = db.execute("SELECT coalesce(max(sequence), 0) FROM items").fetchone()[0]
    for segment in range(_segments_written(db), newest + 1 >> SEGMENT_BITS):
        begin = max(segment << SEGMENT_BITS, 1)
        sequences: dict[Fact, list[int]] = {}
        for sequence, facts in enumerate(_facts_from(db, begin, segment + 1 << SEGMENT_BITS), begin):
            _list(sequences, facts, sequence)
        _write_segment(db, segment, sequences)


def _write_segment(db: sqlite3.Connection, segment: int, sequences: dict[Fact, list[int]]) -> None:
    """Writes what of `sequences`, which are in order under each fact, lies in a segment."""
    end = segment + 1 << SEGMENT_BITS
    by_key = sorted((_key(fact), found) for fact, found in sequences.items())
    rows = [(key, sequence) for key, found in by_key for sequence in found if sequence < end]
    insert_rows(db, INSERT, rows, begin=(segment,))


def _segments_written(db: sqlite3.Connection) -> int:
    return db.execute("SELECT coalesce(max(segment) + 1, 0) FROM postings").fetchone()[0]


def _facts_from(db: sqlite3.Connection, begin: int, end: int = 1 << 62) -> Generator[frozenset[Fact]]:
    """The facts of the items in a range of sequence numbers, in order."""
    select = "SELECT header FROM items WHERE sequence >= ? AND sequence < ? ORDER BY sequence"
    for (header,) in db.execute(select, (begin, end)):
        yield facts_of(decode_header(header, b"")[0])


def _groups(query: Query) -> list[Group]:
    groups = [[_owner(owner) for owner in query.owners], [_recipient(id) for id in query.recipients]]
    groups = [group for group in groups if group]
    groups += [[(name, value) for value in wanted] for name, wanted in query.tags]
    count = sum(map(len, groups))
    if count > QUERY_KEYS_MAX:
        raise Invalid(f"The query names {count} values, at most {QUERY_KEYS_MAX}.", "Ask in several queries.")
    return groups


def _by_ids(db: sqlite3.Connection, query: Query) -> Generator[int]:
    rows = (db.execute("SELECT sequence FROM items WHERE id = ?", (id,)).fetchone() for id in set(query.ids))
    yield from sorted((row[0] for row in rows if row and _is_after(query, row[0])), reverse=query.newest_first)


def _is_after(query: Query, sequence: int) -> bool:
    if query.after is None:
        return True
    return sequence < query.after if query.newest_first else sequence > query.after


def _all(db: sqlite3.Connection, query: Query) -> Generator[int]:
    bound, order = _bound_and_order(query)
    for row in db.execute(
        f"SELECT sequence FROM items WHERE sequence {bound} ORDER BY sequence {order}", _after(query)
    ):
        yield row[0]


def _segments(written: range, query: Query) -> range:
    """Those of the written segments that can hold an answer, in the order asked for."""
    if query.after is None:
        return written[::-1] if query.newest_first else written
    reached = min(max(query.after, 0) >> SEGMENT_BITS, len(written))
    return written[: reached + 1][::-1] if query.newest_first else written[reached:]


def _rarest_first(db: sqlite3.Connection, segment: int, groups: list[Keys]) -> list[Keys]:
    """The groups with the fewest postings of a segment in front; none at all when one of them has no posting."""
    # Several keys must be merged and sorted before the first row comes, so there the exact number counts.
    most = RARE if all(len(group) == 1 for group in groups) else -1
    counts = ", ".join(
        f"(SELECT count(*) FROM (SELECT 1 FROM postings WHERE segment = ? AND {_any_of(group)} LIMIT {most}))"
        for group in groups
    )
    found = db.execute(f"SELECT {counts}", tuple(chain.from_iterable((segment, *group) for group in groups))).fetchone()
    if 0 in found:
        return []
    return [group for _, group in sorted(zip(found, groups, strict=True), key=lambda pair: pair[0])]


def _segment_search(segment: int, groups: list[Keys], query: Query) -> tuple[str, list[int]]:
    """One segment's answer, walked along the first group and checked against the others.

    Rows come as they are asked for: a search for one item does not sort or count the rest.
    """
    bound, order = _bound_and_order(query)
    distinct = "DISTINCT" if len(groups[0]) > 1 else ""
    sql = f"SELECT {distinct} sequence FROM postings p WHERE segment = ? AND {_any_of(groups[0])} AND sequence {bound}"
    values = [segment, *groups[0], *_after(query)]
    for group in groups[1:]:
        sql += f" AND EXISTS (SELECT 1 FROM postings WHERE segment = ? AND {_any_of(group)} AND sequence = p.sequence)"
        values += [segment, *group]
    return f"{sql} ORDER BY sequence {order}", values


def _any_of(group: Keys) -> str:
    # A single key as an equation lets SQLite walk the index in order instead of sorting.
    return "key = ?" if len(group) == 1 else f"key IN ({','.join('?' * len(group))})"


def _bound_and_order(query: Query) -> tuple[str, str]:
    return ("< ?", "DESC") if query.newest_first else ("> ?", "ASC")


def _after(query: Query) -> tuple[int]:
    if query.after is not None:
        return (query.after,)
    return (1 << 62,) if query.newest_first else (0,)
