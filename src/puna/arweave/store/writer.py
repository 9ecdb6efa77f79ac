"""The one thread that writes to the SQLite store, and commits all who wait in one transaction.

A commit costs a wait for the disk, whether it carries one item or thousands; so whatever has gathered while the
last commit was under way goes down together. If that fails, each job is tried alone: one that cannot be
written takes no other with it.
"""

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from puna.arweave.store.index import Fact, Index
from puna.arweave.store.notes import Notes
from puna.arweave.store.payloads import Payloads, sync_folder
from puna.arweave.store.statements import ROWS_EXACT_MAX, insert_rows
from puna.errors import NodeError, NotYet

QUEUE_JOBS_MAX = 100_000  # many seconds of work; past it we refuse, and the sender asks again
BATCH_JOBS_MAX = 4096  # bounds what one transaction holds in memory

# A view of our own connection, which leaves no trace in the file: what is inserted here goes into the table it is for.
# So a whole commit is one statement, and Python's lock is given back and asked for again around it, not around five.
WRITTEN = (
    "CREATE TEMP VIEW written AS SELECT 0 AS number, '' AS id, x'' AS content, x'' AS data WHERE FALSE",
    "CREATE TEMP TRIGGER written_item INSTEAD OF INSERT ON written WHEN NEW.id IS NOT NULL BEGIN"
    " INSERT INTO items (sequence, id, header, data) VALUES (NEW.number, NEW.id, NEW.content, NEW.data); END",
    "CREATE TEMP TRIGGER written_notes INSTEAD OF INSERT ON written WHEN NEW.id IS NULL BEGIN"
    " INSERT INTO note_log (number, notes) VALUES (NEW.number, NEW.content); END",
)
INSERT = "INSERT INTO written (number, id, content, data)"


@dataclass(slots=True)
class Row:
    """An item made ready to be written, away from the writer's thread. `draft` holds its data when `data` is None."""

    id: str
    header: bytes
    data: bytes | memoryview | None
    draft: Path | None
    facts: frozenset[Fact]
    sequence: int | None = None  # set when the row is new


@dataclass(slots=True)
class Job:
    """What must be written whole or not at all. Its caller waits on `done`, and may cancel that until it is written."""

    rows: list[Row]
    notes: dict[str, bytes | None]
    done: asyncio.Future[None]


class Writer:
    """Owns the writing connection, which no other thread touches."""

    def __init__(
        self,
        db: sqlite3.Connection,
        payloads: Payloads,
        index: Index,
        notes: Notes,
        translate: Callable[[Exception], Exception],
    ):
        self._db = db
        self._payloads = payloads
        self._index = index
        self._notes = notes
        self._translate = translate
        for statement in WRITTEN:
            db.execute(statement)
        # Nobody else writes, so this is asked for once.
        self._newest: int = db.execute("SELECT coalesce(max(sequence), 0) FROM items").fetchone()[0]
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="puna-store-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queues a job; its future is done when it is durable. Raises NotYet when too many wait."""
        self._put(job)

    def call(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Runs `work` on the writer's thread in a transaction of its own, and waits for its answer."""
        done: Future = Future()
        self._put((work, done))
        return done.result()

    def stop(self) -> None:
        """Writes what waits, then ends the thread."""
        self._queue.put(None)
        self._thread.join()

    def _put(self, task: Any) -> None:
        if self._queue.qsize() >= QUEUE_JOBS_MAX:
            raise NotYet(f"The store has {QUEUE_JOBS_MAX} appends waiting for the disk.", "Try again in a moment.")
        self._queue.put(task)

    def _run(self) -> None:
        db, running = self._db, True
        self._try(lambda: self._index.follow(db), db)
        while running:
            tasks = self._take_waiting()
            running = tasks[-1] is not None
            jobs = [task for task in tasks if isinstance(task, Job)]
            self._write([job for job in jobs if self._wanted(job)], db)
            for task in tasks:
                if isinstance(task, tuple):
                    self._serve(*task, db)
        db.close()

    def _take_waiting(self) -> list:
        tasks = [self._queue.get()]
        while tasks[-1] is not None and len(tasks) < BATCH_JOBS_MAX:
            try:
                tasks.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return tasks

    def _wanted(self, job: Job) -> bool:
        """Whether the job's caller still waits; from here on it cannot be cancelled."""
        if job.done.cancelled():
            drop_drafts(job)
            return False
        return True

    def _write(self, jobs: list[Job], db: sqlite3.Connection) -> None:
        if not jobs:
            return
        try:
            self._commit(jobs, db)
        except Exception as error:
            if len(jobs) > 1:
                for job in jobs:
                    self._write([job], db)
                return
            drop_drafts(jobs[0])
            tell(jobs, self._translate(error))
        else:
            self._index.add([(row.sequence, row.facts) for job in jobs for row in job.rows if row.sequence is not None])
            for job in jobs:
                drop_drafts(job)  # those of items that were here already
            tell(jobs)
            self._try(lambda: self._index.write_full_segments(db), db)
            self._try(lambda: self._notes.settle_when_many(db), db)

    def _try(self, upkeep: Callable[[], None], db: sqlite3.Connection) -> None:
        """Keeps index and notes in order. What fails here costs later readings time, and nobody an answer."""
        try:
            upkeep()
        except Exception as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            # On a full disk all that stays in memory, and the next commit tries again. A bug of ours must not end
            # the thread that everybody waits for.
            if not isinstance(error, sqlite3.Error):
                logging.getLogger(__name__).exception("Index or notes could not be put in order.")

    def _commit(self, jobs: list[Job], db: sqlite3.Connection) -> None:
        notes: dict[str, bytes | None] = {}
        for job in jobs:
            notes.update(job.notes)
        logged = []
        if notes:
            number, content = self._notes.row(notes)
            logged.append((number, None, content, None))
        if not self._commit_at_once(jobs, logged, db):
            self._commit_in_steps(jobs, logged, db)
        self._notes.add(notes)

    def _commit_at_once(self, jobs: list[Job], logged: list[tuple], db: sqlite3.Connection) -> bool:
        """Write new and small items, as nearly all are, in one statement. False when it takes more: nothing is done."""
        rows = [row for job in jobs for row in job.rows]
        if len(rows) + len(logged) > ROWS_EXACT_MAX or any(row.draft is not None for row in rows):
            return False
        for number, row in enumerate(rows, self._newest + 1):
            row.sequence = number
        try:
            insert_rows(db, INSERT, _values(rows) + logged)
        except sqlite3.IntegrityError:  # an item that is here already, or twice among these
            return False
        self._newest += len(rows)
        return True

    def _commit_in_steps(self, jobs: list[Job], logged: list[tuple], db: sqlite3.Connection) -> None:
        placed: list[tuple[Path, Path]] = []
        try:
            db.execute("BEGIN IMMEDIATE")
            rows = self._new_rows(jobs, db)
            for row in rows:
                if row.draft is not None:
                    placed.append((row.draft, self._payloads.place(row.draft, row.id)))
            insert_rows(db, INSERT, _values(rows) + logged)
            if placed:
                sync_folder(self._payloads.folder)
            db.execute("COMMIT")
            self._newest += len(rows)
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            for draft, final in placed:
                os.replace(final, draft)
            raise

    def _new_rows(self, jobs: list[Job], db: sqlite3.Connection) -> list[Row]:
        """The rows that the store does not have yet, each once, numbered on from the newest."""
        given = {row.id: row for job in reversed(jobs) for row in reversed(job.rows)}  # the first of two twins wins
        present = _present(list(given), db) if given else ()
        newest = self._newest
        new = []
        for job in jobs:
            for row in job.rows:
                is_new = row.id not in present and given[row.id] is row
                row.sequence = newest + len(new) + 1 if is_new else None
                if is_new:
                    new.append(row)
        return new

    def _serve(self, work: Callable[[sqlite3.Connection], Any], done: Future, db: sqlite3.Connection) -> None:
        try:
            db.execute("BEGIN IMMEDIATE")
            answer = work(db)
            db.execute("COMMIT")
        except Exception as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            done.set_exception(error if isinstance(error, NodeError) else self._translate(error))
        else:
            done.set_result(answer)


def tell(jobs: Sequence[Job], error: Exception | None = None) -> None:
    """Answers all who wait for `jobs`, from any thread: an event loop is woken once for them, however many they are."""
    loops = {job.done.get_loop() for job in jobs}
    for loop in loops:
        told = jobs if len(loops) == 1 else [job for job in jobs if job.done.get_loop() is loop]
        with suppress(RuntimeError):  # a loop that is closed has nobody waiting
            loop.call_soon_threadsafe(_answer, told, error)


def _answer(jobs: Sequence[Job], error: Exception | None) -> None:
    for job in jobs:
        if job.done.done():  # its caller went away
            continue
        if error is None:
            job.done.set_result(None)
        else:
            job.done.set_exception(error)


def drop_drafts(job: Job) -> None:
    """Removes the drafts of `job` that found no place. One that stays is swept at the next start."""
    for row in job.rows:
        if row.draft is not None:
            with suppress(OSError):
                row.draft.unlink(missing_ok=True)


def _values(rows: Sequence[Row]) -> list[tuple]:
    return [(row.sequence, row.id, row.header, row.data) for row in rows]


def _present(ids: list[str], db: sqlite3.Connection) -> set[str]:
    # As one JSON text, whatever their number.
    text = msgspec.json.encode(ids).decode()
    return {row[0] for row in db.execute("SELECT id FROM items WHERE id IN (SELECT value FROM json_each(?))", (text,))}
