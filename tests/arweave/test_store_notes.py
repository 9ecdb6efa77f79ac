"""Notes of the SQLite store: whatever is recent, settled, written over or deleted, they read as one sorted map."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.arweave.store import notes
from puna.arweave.store import sqlite as sqlite_store
from puna.arweave.store.sqlite import DATABASE, SCHEMA, open_store
from puna.errors import NodeError

KEYS = st.sampled_from(["a", "a/1", "a/2", "a/10", "b", "b/ä", "b/\U0010ffff", "c/1"])
COMMITS = st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=4), max_size=4), max_size=24)


def settle_at(monkeypatch, count):
    monkeypatch.setattr(notes.Notes.__init__, "__defaults__", (count,))


def in_table(folder):
    with closing(sqlite3.connect(folder / DATABASE)) as db:
        return dict(db.execute("SELECT key, value FROM notes"))


@given(COMMITS, st.integers(1, 6), st.integers(0, 24))
@settings(max_examples=40, deadline=None)
def test_notes_are_a_sorted_map_wherever_they_lie(tmp_path_factory, commits, many, reopen_at):
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        settle_at(patch, many)
        asyncio.run(check_map(folder, commits, reopen_at))


async def check_map(folder, commits, reopen_at):
    store = open_store(folder)
    reader = open_store(folder, read_only=True)
    wanted = {}
    for number, changes in enumerate(commits):
        await store.append([], changes)
        wanted.update(changes)
        if number == reopen_at:
            await store.close()
            store = open_store(folder)
        for seen in (store, reader):
            there = {key: value for key, value in wanted.items() if value is not None}
            assert {key: seen.note(key) for key in wanted} == wanted
            for prefix in ("", "a", "a/", "b/", "c/1", "d"):
                assert seen.notes(prefix) == sorted(item for item in there.items() if item[0].startswith(prefix))
    await reader.close()
    await store.close()


async def test_what_comes_and_goes_before_it_is_settled_never_reaches_the_table(tmp_path, monkeypatch):
    settle_at(monkeypatch, 3)
    store = open_store(tmp_path)
    await store.append([], {"journey": b"under way", "mark": b"1"})
    await store.append([], {"journey": None, "mark": b"2"})
    assert in_table(tmp_path) == {}
    await store.append([], {"third": b"key"})
    await store.close()
    assert in_table(tmp_path) == {"mark": b"2", "third": b"key"}


async def test_a_note_deleted_after_it_was_settled_stays_deleted(tmp_path, monkeypatch):
    settle_at(monkeypatch, 1)
    store = open_store(tmp_path)
    await store.append([], {"key": b"value"})
    await store.append([], {"key": None})
    await store.close()
    again = open_store(tmp_path)
    assert again.note("key") is None
    assert again.notes("") == []
    await again.close()


async def test_settling_that_fails_loses_nothing_and_is_done_later(tmp_path, monkeypatch):
    settle_at(monkeypatch, 2)
    store = open_store(tmp_path)
    settle = notes.insert_rows

    def full(*arguments):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(notes, "insert_rows", full)
    await store.append([], {"a": b"1", "b": b"2"})
    await store.append([], {"c": b"3"})
    assert store.notes("") == [("a", b"1"), ("b", b"2"), ("c", b"3")]
    monkeypatch.setattr(notes, "insert_rows", settle)
    await store.append([], {"d": b"4"})
    await store.close()
    assert in_table(tmp_path).items() >= {"a": b"1", "b": b"2", "c": b"3"}.items()
    again = open_store(tmp_path)
    assert again.notes("") == [("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4")]
    await again.close()


async def test_a_store_of_the_first_format_is_brought_up_to_date(tmp_path):
    make_first_format(tmp_path)
    with pytest.raises(NodeError, match="older format"):
        open_store(tmp_path, read_only=True)
    store = open_store(tmp_path)
    assert store.note("old") == b"note"
    await store.append([], {"old": b"changed"})
    reader = open_store(tmp_path, read_only=True)
    assert reader.note("old") == b"changed"
    await reader.close()
    await store.close()


def make_first_format(folder):
    (folder / "payloads").mkdir()
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as db:
        for statement in SCHEMA:
            if "note_log" not in statement:
                db.execute(statement)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO notes VALUES ('old', x'6e6f7465')")


async def test_the_log_file_begins_anew_though_somebody_asks_for_notes_all_the_time(tmp_path, monkeypatch):
    lines = [line for line in sqlite_store.WRITER_SETTINGS if not line.startswith("wal_autocheckpoint")]
    monkeypatch.setattr(sqlite_store, "WRITER_SETTINGS", (*lines, "wal_autocheckpoint = 20"))
    store = open_store(tmp_path)
    for number in range(250):
        appending = asyncio.ensure_future(store.append([], {f"mark/{number}": b"x" * 5000}))
        while not appending.done():
            assert store.note("nothing") is None
            await asyncio.sleep(0)
    assert (tmp_path / f"{DATABASE}-wal").stat().st_size < 300 * 5000
    await store.close()
