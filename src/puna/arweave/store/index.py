"""The derived index: which items have a tag, an owner or a recipient. Used by the SQLite store.

Each such fact is a 64-bit key, and a posting says that the item with a sequence number has it. Postings are grouped
into segments of consecutive items. A segment stays small enough for memory, so an append writes a few hot pages
however large the store has grown; keys alone would scatter each append over the whole index. A search walks the
segments in the order that was asked for and stops when it has enough. Keys may collide: every hit is checked against
its item, so the index may be wrong only by offering too much.
"""

import sqlite3
from collections.abc import Generator
from functools import lru_cache
from hashlib import blake2b

from puna.arweave.dataitem import DataItem
from puna.arweave.store.port import Query
from puna.errors import Invalid

SEGMENT_BITS = 13  # 8192 items
QUERY_KEYS_MAX = 10_000  # SQLite binds about three times as many
RARE = 64  # postings in a segment that are cheap enough to try one by one

SCHEMA = """
CREATE TABLE IF NOT EXISTS postings (
    segment INTEGER NOT NULL, key INTEGER NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (segment, key, sequence)
) WITHOUT ROWID
"""
INSERT = "INSERT OR IGNORE INTO postings (segment, key, sequence)"

Group = list[int]  # keys, of which an item must have one


def keys_of(item: DataItem) -> set[int]:
    """All keys under which `item` is found."""
    keys = {_tag_key(name, value) for name, value in item.tags}
    keys.add(_key("owner", item.address))
    if item.target:
        keys.add(_key("recipient", item.target))
    return keys


def postings(sequence: int, keys: set[int]) -> list[tuple[int, int, int]]:
    """The rows that make the item at `sequence` findable."""
    segment = sequence >> SEGMENT_BITS
    return [(segment, key, sequence) for key in keys]


def candidates(db: sqlite3.Connection, query: Query) -> Generator[int]:
    """Sequence numbers in the order asked for, of every item that `query` means and perhaps of some others."""
    if query.ids:
        return _by_ids(db, query)
    groups = _groups(query)
    if not groups:
        return _all(db, query)
    return _by_keys(db, query, groups)


def _groups(query: Query) -> list[Group]:
    groups = [[_key("owner", owner) for owner in query.owners], [_key("recipient", id) for id in query.recipients]]
    groups = [group for group in groups if group]
    groups += [[_tag_key(name, value) for value in wanted] for name, wanted in query.tags]
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


def _by_keys(db: sqlite3.Connection, query: Query, groups: list[Group]) -> Generator[int]:
    for segment in _segments(db, query):
        ordered = _rarest_first(db, segment, groups)
        if ordered:
            for row in db.execute(*_segment_search(segment, ordered, query)):
                yield row[0]


def _segments(db: sqlite3.Connection, query: Query) -> range:
    newest = db.execute("SELECT coalesce(max(sequence), 0) FROM items").fetchone()[0] >> SEGMENT_BITS
    if query.newest_first:
        begin = newest if query.after is None else min(newest, max(query.after, 0) >> SEGMENT_BITS)
        return range(begin, -1, -1)
    return range(max(query.after or 0, 0) >> SEGMENT_BITS, newest + 1)


def _rarest_first(db: sqlite3.Connection, segment: int, groups: list[Group]) -> list[Group]:
    """The groups with the fewest postings of a segment in front; none at all when one of them has no posting."""
    counted = []
    for group in groups:
        count = db.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM postings WHERE segment = ? AND {_any_of(group)} LIMIT {RARE})",
            (segment, *group),
        ).fetchone()[0]
        if count == 0:
            return []
        counted.append((count, group))
    return [group for _, group in sorted(counted, key=lambda pair: pair[0])]


def _segment_search(segment: int, groups: list[Group], query: Query) -> tuple[str, list[int]]:
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


def _any_of(group: Group) -> str:
    # A single key as an equation lets SQLite walk the index in order instead of sorting.
    return "key = ?" if len(group) == 1 else f"key IN ({','.join('?' * len(group))})"


def _bound_and_order(query: Query) -> tuple[str, str]:
    return ("< ?", "DESC") if query.newest_first else ("> ?", "ASC")


def _after(query: Query) -> tuple[int]:
    if query.after is not None:
        return (query.after,)
    return (1 << 62,) if query.newest_first else (0,)


def _tag_key(name: str, value: str) -> int:
    return _key(f"tag {len(name)} {name}", value)


@lru_cache(maxsize=4096)  # protocol names and busy processes come with every item
def _key(kind: str, value: str) -> int:
    digest = blake2b(f"{kind} {value}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
