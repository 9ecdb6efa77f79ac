"""The notes of a SQLite store: those changed lately in memory and in a log, all others in a sorted table.

Used by the store to read and by its writer to write. Keys lie scattered over the table, so that writing each note into
it at once would rewrite a page for every one. A commit therefore adds one row to a log, which costs next to nothing;
when many notes have gathered they go into the table together, in its order. What was written and deleted meanwhile,
as most of what is under way, or written again and again, as most marks, never gets there more than once.
"""

import json
import sqlite3
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing

import msgspec

from puna.arweave.store.statements import insert_rows

RECENT_MAX = 16_384  # notes; what is settled at once takes a tenth of a second
RECENT_BYTES_MAX = 16 << 20  # of their values

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    # Each row: the notes of one commit as msgpack, nil for one that was deleted. Numbers never come again.
    "CREATE TABLE IF NOT EXISTS note_log (number INTEGER PRIMARY KEY, notes BLOB NOT NULL)",
)
Changes = Mapping[str, bytes | None]

_UNKNOWN = object()
_decode = msgspec.msgpack.Decoder(dict[str, bytes | None]).decode


class Notes:
    """Shared by all threads of one open store."""

    def __init__(
        self, recent_max: int = RECENT_MAX, *, on_commit: Callable[[bool], None] = lambda settled: None
    ) -> None:
        """`on_commit(settled)` is told of each commit of ours, and whether it changed the table."""
        self._recent_max = recent_max
        self._on_commit = on_commit
        self._lock = threading.Lock()
        self._recent: dict[str, bytes | None] = {}  # what the table does not have yet; None: deleted
        self._keys: list[str] = []  # the same keys; sorted when somebody asks for a range
        self._sorted = 0  # so many of them are
        self._bytes = 0
        self._begin = self._end = 0  # the numbers of the log's rows from the first on, up to which these are known

    # Reading

    def recent(self, key: str) -> tuple[bool, bytes | None]:
        """Whether the note was changed lately, and its value then."""
        found = self._recent.get(key, _UNKNOWN)
        return (False, None) if found is _UNKNOWN else (True, found)

    def get(self, db: sqlite3.Connection, key: str) -> bytes | None:
        known, value = self.recent(key)
        if known:
            return value
        row = db.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def range(self, db: sqlite3.Connection, prefix: str) -> list[tuple[str, bytes]]:
        """All notes whose keys begin with `prefix`, by key."""
        with self._lock:  # which keeps what is recent from being settled between the two readings
            recent = {key: self._recent[key] for key in self._recent_keys(prefix)}
            found = dict(_rows_from(db, prefix))
        found.update(recent)
        order = sorted(found) if recent else found
        return [(key, found[key]) for key in order if found[key] is not None]

    def follow(self, db: sqlite3.Connection) -> None:
        """Bring what is recent up to the log, which another process may be writing. Within a transaction."""
        with self._lock:
            begin = db.execute("SELECT coalesce(min(number), 0) FROM note_log").fetchone()[0]
            if begin != self._begin:
                self._forget(begin)
            rows = db.execute("SELECT number, notes FROM note_log WHERE number > ? ORDER BY number", (self._end,))
            for number, notes in rows:
                self._put(_decode(notes))
                self._end = number

    # Writing: by the one thread that writes

    def row(self, changes: Changes) -> tuple[int, bytes]:
        """What the log gets for the changes of a commit; `add` them once it is there."""
        return self._end + 1, msgspec.msgpack.encode(changes)

    def add(self, changes: Changes) -> None:
        self._on_commit(False)
        if changes:
            with self._lock:
                self._put(changes)
                self._end += 1

    def settle_when_many(self, db: sqlite3.Connection) -> None:
        """Move what has gathered into the table, once it is much. Between transactions."""
        if len(self._recent) >= self._recent_max or self._bytes >= RECENT_BYTES_MAX:
            self.settle(db)

    def settle(self, db: sqlite3.Connection) -> None:
        with self._lock:
            db.execute("BEGIN IMMEDIATE")
            self._sort_keys()
            rows = [(key, self._recent[key]) for key in self._keys]
            kept = [row for row in rows if row[1] is not None]
            insert_rows(db, "INSERT OR REPLACE INTO notes (key, value)", kept)
            deleted = json.dumps([key for key, value in rows if value is None])
            db.execute("DELETE FROM notes WHERE key IN (SELECT value FROM json_each(?))", (deleted,))
            db.execute("DELETE FROM note_log")
            # An empty row stays, so that readers elsewhere see by its number that the log began anew.
            db.execute("INSERT INTO note_log VALUES (?, ?)", (self._end + 1, msgspec.msgpack.encode({})))
            db.execute("COMMIT")
            self._on_commit(True)  # before anybody looks there for what is recent no more
            self._forget(self._end + 1)
            self._end = self._begin

    # Parts of the above

    def _put(self, changes: Changes) -> None:
        for key, value in changes.items():
            old = self._recent.get(key, _UNKNOWN)
            if old is _UNKNOWN:
                self._keys.append(key)
            self._bytes += len(value or b"") - (0 if old is _UNKNOWN else len(old or b""))
            self._recent[key] = value

    def _forget(self, begin: int) -> None:
        self._recent, self._keys, self._sorted, self._bytes = {}, [], 0, 0
        self._begin, self._end = begin, begin - 1

    def _recent_keys(self, prefix: str) -> Iterable[str]:
        self._sort_keys()
        for at in range(bisect_left(self._keys, prefix), len(self._keys)):
            if not self._keys[at].startswith(prefix):
                break
            yield self._keys[at]

    def _sort_keys(self) -> None:
        if self._sorted < len(self._keys):
            self._keys.sort()  # nearly sorted already
            self._sorted = len(self._keys)


def _rows_from(db: sqlite3.Connection, prefix: str) -> Iterable[tuple[str, bytes]]:
    with closing(db.execute("SELECT key, value FROM notes WHERE key >= ? ORDER BY key", (prefix,))) as rows:
        for key, value in rows:
            if not key.startswith(prefix):
                break
            yield key, value
