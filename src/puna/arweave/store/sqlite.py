"""The store of one machine: SQLite for items, notes and index, and a folder of payload files beside it.

Opened by the node for writing and by its evaluators for reading. One process writes, through one thread (writer.py);
any number of processes and threads read, each on a connection of its own. docs/store.md tells the whole story.
"""

import asyncio
import errno
import json
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from puna.arweave.dataitem import DataItem, Signer, decode_kept, encode_header, sign_item
from puna.arweave.store import index
from puna.arweave.store.lock import lock_folder
from puna.arweave.store.notes import SCHEMA as NOTES_SCHEMA
from puna.arweave.store.notes import Notes
from puna.arweave.store.payloads import Payloads, map_file, sync_folder
from puna.arweave.store.port import Entry, Query
from puna.arweave.store.writer import Job, Row, Writer, drop_drafts, tell
from puna.errors import Missing, NodeError

INLINE_BYTES_MAX = 64 * 1024  # more than this lies in a file by itself
DATABASE = "weave.sqlite3"
PAYLOADS = "payloads"
FORMAT = 2  # raised when an older Puna could not read the folder

HOT_ITEMS_MAX = 8192  # more than a busy node writes between two blocks: the miner walks what is at hand
HOT_BYTES_MAX = 4096  # of data; larger items are decoded again, which costs little beside their size
BUSY_MS = 30_000  # longer than any checkpoint of the log file takes
WRITER_CACHE_KIB = 32 * 1024
READER_CACHE_KIB = 8 * 1024  # of each connection, and every thread that reads may get one
WRITER_SETTINGS = (
    f"busy_timeout = {BUSY_MS}",
    "journal_mode = WAL",
    # FULL waits for the disk at every commit: what we acknowledge is there after a power cut too.
    "synchronous = FULL",
    "fullfsync = ON",
    "checkpoint_fullfsync = ON",
    "wal_autocheckpoint = 4000",  # pages; fewer would copy the busiest pages again and again
    f"cache_size = -{WRITER_CACHE_KIB}",
)
DRAFT_THREADS = 4

SCHEMA = (
    # An item's data is NULL when it lies in a payload file.
    "CREATE TABLE IF NOT EXISTS items"
    " (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, header BLOB NOT NULL, data BLOB)",
    "CREATE UNIQUE INDEX IF NOT EXISTS item_ids ON items (id)",
    *NOTES_SCHEMA,
    index.SCHEMA,
    f"PRAGMA user_version = {FORMAT}",
)


def open_store(folder: Path, *, read_only: bool = False, create: bool = True) -> "SqliteStore":
    """Opens the store in `folder`; makes it when it is not there and `create` is set.

    One process may write at a time; others open it with `read_only`, also while it is written to.
    Raises Missing when there is no store, NodeError when it cannot be used.
    """
    folder = Path(folder).absolute()
    database = folder / DATABASE
    if (read_only or not create) and not database.exists():
        raise Missing(f"There is no store in {folder}.", "Start the node once with this folder, or check its path.")
    try:
        return _open_to_read(folder) if read_only else _open_to_write(folder)
    except (sqlite3.Error, OSError) as error:
        raise _translated(error, folder) from error


class SqliteStore:
    """A Store; see port.py for what each call promises. Made by `open_store`."""

    def __init__(
        self,
        folder: Path,
        readers: "_Readers",
        opened: index.Index,
        notes: Notes,
        writer: Writer | None,
        lock: int | None,
    ):
        self.folder = folder
        self._index = opened
        self._notes = notes
        self._following = threading.Lock()
        self.read_only = writer is None
        self._readers = readers
        self._writer = writer
        self._lock = lock
        self._payloads = Payloads(folder / PAYLOADS)
        self._hot = _HotItems()
        self._drafters = ThreadPoolExecutor(DRAFT_THREADS, thread_name_prefix="puna-store-draft")

    # Writing

    async def append(self, items: Sequence[DataItem], notes: Mapping[str, bytes | None] = {}) -> None:  # noqa: B006
        if not items and not notes:
            return
        writer = self._open_writer()
        job = Job([_row(item) for item in items], dict(notes), asyncio.get_running_loop().create_future())
        large = [(row, item) for row, item in zip(job.rows, items, strict=True) if row.data is None]
        if large:
            # The job queues itself once its files are written, so that a cancelled caller leaves nothing behind.
            self._in_background(job, lambda: self._draft_all(large, job, writer))
        else:
            writer.submit(job)
        await job.done
        new = zip(job.rows, items, strict=True)
        self._hot.add([Entry(row.sequence, item) for row, item in new if row.sequence is not None])

    async def append_file(self, wallet: Signer, path: Path, tags: Sequence[tuple[str, str]]) -> DataItem:
        writer = self._open_writer()
        path = Path(path)
        try:
            small = path.read_bytes() if path.stat().st_size <= INLINE_BYTES_MAX else None
        except OSError as error:
            raise NodeError(f"The file {path} cannot be read: {error.strerror}.", "Check its path.") from error
        if small is not None:
            item = sign_item(wallet, small, tags)
            await self.append([item])
            return item
        job = Job([], {}, asyncio.get_running_loop().create_future())
        self._in_background(job, lambda: self._draft_file(wallet, path, tags, job, writer))
        await job.done
        return self.view(job.rows[0].id)

    def rebuild_index(self) -> None:
        """Makes the derived index anew from the items, and waits for it: about a minute for a million items."""
        self._open_writer().call(_rebuild_index)

    async def close(self) -> None:
        """Writes what waits, then closes every file."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await asyncio.to_thread(self._drafters.shutdown)
            await asyncio.to_thread(writer.stop)
            os.close(self._lock)
        self._readers.close()

    # Reading

    def view(self, id: str) -> DataItem | None:
        entry = self._hot.get(id)
        if entry is not None:
            return entry.item
        with self._reading() as db:
            entry = self._entry(db.execute(f"{_SELECT} WHERE id = ?", (id,)).fetchone())
        return entry.item if entry else None

    def view_all(self, ids: Sequence[str]) -> list[DataItem | None]:
        found = {id: entry.item for id in ids if (entry := self._hot.get(id)) is not None}
        cold = [id for id in ids if id not in found]
        if cold:
            with self._reading() as db:
                # One text for any number of ids; items are decoded when the connection is free again.
                rows = db.execute(f"{_SELECT} WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(cold),))
                rows = rows.fetchall()
            keep = len(rows) <= HOT_ITEMS_MAX // 32  # who walks through all there is must not drive out the rest
            found.update((row[1], self._entry(row, keep).item) for row in rows)
        return [found.get(id) for id in ids]

    def find(self, query: Query) -> list[Entry]:
        with self._reading() as db:
            if query.is_everything and not query.newest_first:
                return self._following_on(query, db)
            with closing(self._matching(query, db)) as entries:
                return list(islice(entries, max(query.limit, 0)))

    def note(self, key: str) -> bytes | None:
        known, value = self._notes.recent(key) if not self.read_only else (False, None)
        if known:
            return value
        with self._reading_notes() as db:
            return self._notes.get(db, key)

    def notes(self, prefix: str) -> list[tuple[str, bytes]]:
        with self._reading_notes() as db:
            return self._notes.range(db, prefix)

    def payload_path(self, id: str) -> Path | None:
        with self._reading() as db:
            row = db.execute("SELECT data IS NULL FROM items WHERE id = ?", (id,)).fetchone()
        return self._payloads.path(id) if row and row[0] else None

    def last_sequence(self) -> int:
        """The sequence number of the newest item; 0 when there is none."""
        with self._reading() as db:
            return db.execute("SELECT coalesce(max(sequence), 0) FROM items").fetchone()[0]

    # Parts of the above

    def _open_writer(self) -> Writer:
        if self.read_only:
            raise NodeError("This store was opened for reading only.", "Write through the node that holds it.")
        if self._writer is None:
            raise NodeError("The store is closed.", "Open it again.")
        return self._writer

    def _in_background(self, job: Job, prepare: Callable[[], None]) -> None:
        def run() -> None:
            try:
                prepare()
            except Exception as error:
                drop_drafts(job)
                tell([job], _translated(error, self.folder))

        self._drafters.submit(run)

    def _draft_all(self, large: list[tuple[Row, DataItem]], job: Job, writer: Writer) -> None:
        for row, item in large:
            row.draft = self._payloads.write_draft(item.data)
        writer.submit(job)

    def _draft_file(self, wallet: Signer, path: Path, tags: Sequence, job: Job, writer: Writer) -> None:
        """Copies the file, then signs the copy: what is signed is what is kept, whoever edits the file meanwhile."""
        draft = self._payloads.copy_draft(path)
        job.rows.append(Row("", b"", None, draft, frozenset()))
        with open(draft, "rb") as file:
            item = sign_item(wallet, map_file(file.fileno()), tags)
        job.rows[0] = Row(item.id, encode_header(item), None, draft, index.facts_of(item))
        del item  # and with it the mapping, under which Windows would not rename the draft
        writer.submit(job)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._readers.lend() as db:
                yield db
        except (sqlite3.Error, OSError) as error:
            raise _translated(error, self.folder) from error

    @contextmanager
    def _reading_notes(self) -> Iterator[sqlite3.Connection]:
        """Where another process writes, its newest notes are read first, as of the same moment as the others."""
        with self._reading() as db:
            if not self.read_only:
                yield db
                return
            # One reader at a time: what another one follows meanwhile would not fit the moment of this transaction.
            with self._following:
                db.execute("BEGIN")
                try:
                    self._notes.follow(db)
                    yield db
                finally:
                    db.execute("COMMIT")

    def _following_on(self, query: Query, db: sqlite3.Connection) -> list[Entry]:
        """The entries from a place on. Sequence numbers have no holes, so those at hand need not be asked for."""
        found: list[Entry] = []
        at, limit = max(query.after or 0, 0) + 1, max(query.limit, 0)
        while len(found) < limit and (entry := self._hot.get(at)) is not None:
            found.append(entry)
            at += 1
        if len(found) < limit:
            rows = db.execute(f"{_SELECT} WHERE sequence >= ? ORDER BY sequence LIMIT ?", (at, limit - len(found)))
            found += [self._entry(row, keep=False) for row in rows.fetchall()]
        return found

    def _matching(self, query: Query, db: sqlite3.Connection) -> Iterator[Entry]:
        with closing(self._index.candidates(db, query)) as sequences:
            for sequence in sequences:
                entry = self._hot.get(sequence) or self._entry(
                    db.execute(f"{_SELECT} WHERE sequence = ?", (sequence,)).fetchone()
                )
                if entry and query.matches(entry.item):
                    yield entry

    def _entry(self, row: tuple | None, keep: bool = True) -> Entry | None:
        if row is None:
            return None
        sequence, id, header, data = row
        entry = Entry(sequence, decode_kept(id, header, self._payloads.read(id) if data is None else data))
        if keep:
            self._hot.add([entry])
        return entry


_SELECT = "SELECT sequence, id, header, data FROM items"


class _Readers:
    """Connections for reading, lent to one caller at a time and used again."""

    def __init__(self, database: Path):
        self._database = database
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        with self.lend() as db:  # a folder that cannot be read is told now, not at the first question
            db.execute("SELECT count(*) FROM notes WHERE key = ''").fetchone()

    @contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise NodeError("The store is closed.", "Open it again.")
            db = self._idle.pop() if self._idle else None
        db = db or _connect_to_read(self._database)
        try:
            yield db
        finally:
            with self._lock:
                keep = not self._closed
                if keep:
                    self._idle.append(db)
            if not keep:
                db.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()


class _HotItems:
    """The small items read or written last, by id and by sequence number. They never change, so nor does an answer."""

    def __init__(self) -> None:
        self._entries: dict[str | int, Entry] = {}
        self._oldest: deque[Entry] = deque()  # in front
        self._lock = threading.Lock()

    def get(self, key: str | int) -> Entry | None:
        return self._entries.get(key)

    def add(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            for entry in entries:
                item, data = entry.item, entry.item.data
                if not isinstance(data, bytes) or len(data) > HOT_BYTES_MAX or entry.sequence in self._entries:
                    continue
                if len(self._oldest) >= HOT_ITEMS_MAX:
                    old = self._oldest.popleft()
                    del self._entries[old.item.id], self._entries[old.sequence]
                self._entries[item.id] = self._entries[entry.sequence] = entry
                self._oldest.append(entry)


def _row(item: DataItem) -> Row:
    data = item.data if item.data_bytes <= INLINE_BYTES_MAX else None
    return Row(item.id, encode_header(item), data, None, index.facts_of(item))


def _open_to_write(folder: Path) -> SqliteStore:
    (folder / PAYLOADS).mkdir(parents=True, exist_ok=True)
    lock = lock_folder(folder)
    try:
        db = _connect_to_write(folder / DATABASE)
        try:
            _check_format(db, folder)
            for statement in SCHEMA:
                db.execute(statement)
            kept = "SELECT 1 FROM items WHERE id = ? AND data IS NULL"
            db.execute("BEGIN IMMEDIATE")
            index.write_missing_segments(db)
            db.execute("COMMIT")
            payloads = Payloads(folder / PAYLOADS)
            payloads.sweep(lambda id: db.execute(kept, (id,)).fetchone() is not None)
            for made in (folder, folder.parent):
                sync_folder(made)
            readers = _Readers(folder / DATABASE)
            notes = Notes()
            notes.follow(db)
        except BaseException:
            db.close()
            raise
    except BaseException:
        os.close(lock)
        raise
    opened = index.Index()
    writer = Writer(db, payloads, opened, notes, lambda error: _translated(error, folder))
    return SqliteStore(folder, readers, opened, notes, writer, lock)


def _open_to_read(folder: Path) -> SqliteStore:
    readers = _Readers(folder / DATABASE)
    try:
        with readers.lend() as db:
            if _check_format(db, folder) < FORMAT:
                raise NodeError(
                    f"The store in {folder} has an older format than this Puna reads.",
                    "Start the node once with this folder: that brings it up to date.",
                )
    except BaseException:
        readers.close()
        raise
    return SqliteStore(folder, readers, index.Index(), Notes(), None, None)


def _check_format(db: sqlite3.Connection, folder: Path) -> int:
    """The format of a store. Raises NodeError when it is newer than ours."""
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > FORMAT:
        raise NodeError(
            f"The store in {folder} has format {found}; this Puna knows {FORMAT}.", "Install a newer Puna for it."
        )
    return found


def _connect_to_write(database: Path) -> sqlite3.Connection:
    db = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    try:
        for setting in WRITER_SETTINGS:
            db.execute(f"PRAGMA {setting}")
    except BaseException:
        db.close()
        raise
    return db


def _connect_to_read(database: Path) -> sqlite3.Connection:
    """A connection that changes nothing.

    Reading beside a writer needs the log's shared index, which SQLite makes in the folder where it is missing.
    In a folder that cannot be written nobody else writes either, and the file may be read as it stands.
    """
    modes = ("mode=rw", "mode=ro", "mode=ro&immutable=1")
    for mode in modes:
        try:
            return _connect_in_mode(database, mode)
        except sqlite3.OperationalError:
            if mode == modes[-1]:
                raise


def _connect_in_mode(database: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(f"{database.as_uri()}?{mode}", uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        db.execute("PRAGMA query_only = ON")
        db.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
        db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _rebuild_index(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM postings")
    index.write_missing_segments(db)


_DISK_FULL = "Make room on that disk; nothing of this was stored, and it can be sent again."
_FAULTS = {
    "SQLITE_FULL": ("its disk is full", _DISK_FULL),
    "SQLITE_BUSY": ("another program holds it", "Stop the other program, then try again."),
    "SQLITE_LOCKED": ("another program holds it", "Stop the other program, then try again."),
    "SQLITE_READONLY": ("it may not be written to", "Give your user the right to write there."),
    "SQLITE_CANTOPEN": ("it cannot be opened", "Check that the folder is there and that your user may use it."),
    "SQLITE_CORRUPT": ("it is damaged", "Restore the folder from a copy, and check the disk."),
    "SQLITE_NOTADB": ("it is not a store of Puna's", "Choose another folder."),
    "SQLITE_IOERR": ("its disk reports an error", "Check the disk and its free space."),
    errno.ENOSPC: ("its disk is full", _DISK_FULL),
    errno.EDQUOT: ("your quota on its disk is used up", _DISK_FULL),
    errno.EACCES: ("your user may not use it", "Give your user the right to write there."),
    errno.EPERM: ("your user may not use it", "Give your user the right to write there."),
    errno.EROFS: ("its disk is mounted for reading only", "Choose another folder, or open it read only."),
    errno.ENOTDIR: ("a part of its path is a file", "Choose another folder."),
}


def _translated(error: Exception, folder: Path) -> Exception:
    """What went wrong underneath, in our words; an error of our own, or a bug, stays as it is."""
    if isinstance(error, sqlite3.Error):
        name = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
        fault = _FAULTS.get(name)
        if fault is None and not isinstance(error, sqlite3.OperationalError):
            return error
    elif isinstance(error, OSError):
        fault = _FAULTS.get(error.errno)
    else:
        return error
    why, todo = fault or (f"{type(error).__name__}: {error}", "Check the folder and its disk.")
    return NodeError(f"The store in {folder} cannot be used: {why}.", todo)
