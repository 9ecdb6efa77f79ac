"""The SQLite store: what it promises, in stories; what its index answers to, in laws; what a crash may not do."""

import asyncio
import errno
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import pytest
from arweave.strategies import ED25519, ETHEREUM
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.arweave.dataitem import encode_item, sign_item, verify_item
from puna.arweave.store import index, payloads, writer
from puna.arweave.store.port import Entry, Query
from puna.arweave.store.sqlite import DATABASE, INLINE_BYTES_MAX, open_store
from puna.errors import Invalid, Missing, NodeError, NotYet

LARGE = bytes(range(256)) * 300  # over INLINE_BYTES_MAX
A, B = "A" * 43, "B" * 42 + "A"


def item(number, *tags, target="", data=b"", wallet=ED25519):
    return sign_item(wallet, data, [("Number", str(number)), *tags], target=target)


@pytest.fixture
async def store(tmp_path):
    store = open_store(tmp_path / "store")
    yield store
    await store.close()


def files(store):
    return sorted(os.listdir(store.folder / "payloads"))


async def test_what_was_appended_is_there_after_opening_again(tmp_path):
    first, second = item(1, data=b"small"), item(2, data=LARGE)
    store = open_store(tmp_path)
    await store.append([first, second], {"note": b"value"})
    await store.close()
    again = open_store(tmp_path)
    for wanted in (first, second):
        assert again.view(wanted.id) == wanted
        verify_item(again.view(wanted.id))
    assert again.find(Query()) == [Entry(1, first), Entry(2, second)]
    assert again.note("note") == b"value"
    assert again.last_sequence() == 2
    await again.close()


async def test_many_items_are_viewed_at_once_as_one_by_one(tmp_path):
    items = [item(n, data=LARGE if n % 5 == 0 else b"small") for n in range(40)]
    store = open_store(tmp_path)
    await store.append(items[:30])
    await store.close()
    store = open_store(tmp_path)
    await store.append(items[30:39])  # these are hot; the last one is nowhere
    asked = [each.id for each in reversed(items)] + [items[3].id, "no id", A]
    assert store.view_all(asked) == [*[None], *reversed(items[:39]), items[3], None, None]
    assert [store.view(id) for id in asked] == store.view_all(asked)
    assert store.view_all([]) == []
    await store.close()


async def test_an_item_already_present_is_left_as_it_is(store):
    one, large = item(1), item(2, data=LARGE)
    await store.append([one, one, large])
    await asyncio.gather(store.append([large, one]), store.append([large, item(3)], {"k": b"v"}))
    assert [entry.sequence for entry in store.find(Query())] == [1, 2, 3]
    assert store.note("k") == b"v"
    assert files(store) == [large.id]
    assert bytes(store.view(large.id).data) == LARGE


async def test_absent_things_are_none(store):
    assert store.view(A) is None
    assert store.note("none") is None
    assert store.notes("n") == []
    assert store.payload_path(A) is None
    assert store.find(Query(ids=(A,))) == []
    await store.append([])


async def test_notes_are_ordered_replaced_and_deleted(store):
    await store.append([], {"a/2": b"2", "a/1": b"1", "a/\U0010ffff": b"3", "b": b"4", "a": b"0"})
    assert store.notes("a/") == [("a/1", b"1"), ("a/2", b"2"), ("a/\U0010ffff", b"3")]
    await store.append([], {"a/1": None, "a/2": b"two", "never": None})
    assert store.notes("a") == [("a", b"0"), ("a/2", b"two"), ("a/\U0010ffff", b"3")]
    assert len(store.notes("")) == 4


async def test_later_notes_win_also_within_one_commit(store):
    appends = [store.append([], {"k": value}) for value in (b"1", None, b"3")]
    await asyncio.gather(*appends)
    assert store.note("k") == b"3"


async def test_large_data_lies_in_a_file_by_itself(store):
    edge, large = item(1, data=bytes(INLINE_BYTES_MAX)), item(2, data=LARGE)
    await store.append([edge, large])
    assert store.payload_path(edge.id) is None
    assert store.payload_path(large.id).read_bytes() == LARGE


async def test_a_file_is_signed_and_kept_as_it_was(store, tmp_path):
    source = tmp_path / "model.gguf"
    source.write_bytes(LARGE * 40)
    kept = await store.append_file(ED25519, source, [("Name", "model")])
    source.write_bytes(b"edited later")
    assert store.payload_path(kept.id).read_bytes() == LARGE * 40
    assert isinstance(kept.data, memoryview)  # over a megabyte: mapped, not read
    assert [entry.item for entry in store.find(Query(tags=(("Name", ("model",)),)))] == [kept]
    verify_item(store.view(kept.id))


async def test_a_small_file_and_one_where_the_kernel_cannot_copy(store, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    (tmp_path / "small").write_bytes(b"few")
    (tmp_path / "large").write_bytes(LARGE)
    small = await store.append_file(ED25519, tmp_path / "small", [])
    large = await store.append_file(ED25519, tmp_path / "large", [])
    assert store.view(small.id).data == b"few"
    assert store.payload_path(small.id) is None
    assert store.payload_path(large.id).read_bytes() == LARGE
    verify_item(large)


async def test_a_file_that_cannot_be_read_is_told(store, tmp_path):
    with pytest.raises(NodeError, match="cannot be read"):
        await store.append_file(ED25519, tmp_path / "none", [])
    with pytest.raises(Invalid, match="tag name"):
        (tmp_path / "large").write_bytes(LARGE)
        await store.append_file(ED25519, tmp_path / "large", [("", "x")])
    assert files(store) == []


async def test_find_combines_fields_with_and_and_values_with_or(store):
    items = [
        item(1, ("Type", "Message"), ("Process", "P"), target=A),
        item(2, ("Type", "Assignment"), ("Process", "P")),
        item(3, ("Type", "Assignment"), ("Process", "Q"), target=B),
        item(4, ("Type", "Message"), ("Process", "P"), target=A, wallet=ETHEREUM),
        item(5, ("Type", "Assignment"), ("Process", "P"), ("Type", "Message")),
    ]
    await store.append(items)

    def found(**query):
        return [entry.sequence for entry in store.find(Query(**query))]

    assert found(tags=(("Type", ("Assignment",)), ("Process", ("P",)))) == [2, 5]
    assert found(tags=(("Type", ("Message", "Assignment")), ("Process", ("Q", "R")))) == [3]
    assert found(tags=(("Type", ("Message",)), ("Type", ("Assignment",)))) == [5]
    assert found(tags=(("Type", ()),)) == []
    assert found(owners=(ETHEREUM.address,)) == [4]
    assert found(owners=(ETHEREUM.address, ED25519.address), recipients=(A, B)) == [1, 3, 4]
    assert found(recipients=(A,), newest_first=True) == [4, 1]
    assert found(ids=(items[2].id, items[0].id, A)) == [1, 3]
    assert found(ids=(items[2].id, items[0].id), recipients=(B,)) == [3]
    assert found(ids=(items[2].id, items[0].id), newest_first=True, after=3) == [1]
    assert found(limit=2) == [1, 2]
    assert found(limit=2, after=2) == [3, 4]
    assert found(limit=2, newest_first=True) == [5, 4]
    assert found(limit=2, newest_first=True, after=4) == [3, 2]
    assert found(limit=0) == []
    assert found(tags=(("Process", ("P",)),), after=1, limit=1) == [2]


async def test_a_query_of_too_many_values_is_refused(store):
    with pytest.raises(Invalid, match="at most"):
        store.find(Query(owners=tuple(map(str, range(20_000)))))


values = st.sampled_from(["x", "y", "z"])
few_tags = st.lists(st.tuples(st.sampled_from(["T", "P"]), values), max_size=3)
queries = st.builds(
    Query,
    owners=st.just(()) | st.just((ED25519.address,)) | st.just((ETHEREUM.address, "none")),
    recipients=st.just(()) | st.lists(st.sampled_from([A, B]), min_size=1, max_size=2).map(tuple),
    tags=st.lists(st.tuples(st.sampled_from(["T", "P"]), st.lists(values, max_size=2).map(tuple)), max_size=2).map(
        tuple
    ),
    limit=st.integers(0, 12),
    after=st.none() | st.integers(-1, 45),
    newest_first=st.booleans(),
)


def plainly_found(entries, query):
    """What `find` must answer, told as simply as can be."""
    if query.newest_first:
        wanted = [e for e in entries[::-1] if query.after is None or e.sequence < query.after]
    else:
        wanted = [e for e in entries if query.after is None or e.sequence > query.after]
    return [entry for entry in wanted if query.matches(entry.item)][: query.limit]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store of 40 items in segments of 8, a reader of it in the same process, and its entries as a plain list."""
    patch = pytest.MonkeyPatch()
    patch.setattr(index, "SEGMENT_BITS", 3)
    folder = tmp_path_factory.mktemp("filled")
    kinds = [(t, p, w, r) for t in "xyz" for p in "xyz" for w in (ED25519, ETHEREUM) for r in ("", A, B)]
    made = [item(n, ("T", t), ("P", p), target=r, wallet=w) for n, (t, p, w, r) in enumerate(kinds[:54:3] + kinds[:22])]

    async def fill():
        store = open_store(folder)
        for begin in range(0, len(made), 7):
            await store.append(made[begin : begin + 7])
        return store

    store = asyncio.run(fill())
    reader = open_store(folder, read_only=True)
    yield store, reader, [Entry(number, one) for number, one in enumerate(made, 1)]
    asyncio.run(reader.close())
    asyncio.run(store.close())
    patch.undo()


@settings(max_examples=150, deadline=None)
@given(queries)
def test_the_index_answers_as_the_plain_rule_does(filled, query):
    store, reader, entries = filled
    assert store.find(query) == plainly_found(entries, query)
    assert reader.find(query) == plainly_found(entries, query)


@settings(max_examples=20, deadline=None)
@given(queries)
def test_the_index_can_vanish_and_be_made_again(filled, query):
    store, reader, _ = filled
    before = store.find(query)
    drop_index(store.folder)
    assert reader.find(query) == before
    store.rebuild_index()
    assert store.find(query) == before
    assert reader.find(query) == before


async def test_a_missing_index_is_made_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "SEGMENT_BITS", 3)
    store = open_store(tmp_path)
    await store.append([item(n, ("Odd", str(n % 2))) for n in range(30)])
    query = Query(tags=(("Odd", ("1",)),))
    before = store.find(query)
    await store.close()
    drop_index(tmp_path)
    store = open_store(tmp_path)
    assert store.find(query) == before
    with closing(sqlite3.connect(tmp_path / DATABASE)) as db:
        assert db.execute("SELECT max(segment) FROM postings").fetchone() == (2,)
    await store.close()


async def test_keys_that_collide_bring_no_wrong_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "_key", lambda fact: 7)
    monkeypatch.setattr(index, "SEGMENT_BITS", 3)  # keys are what written segments have
    store = open_store(tmp_path)
    await store.append([item(n, ("N", str(n))) for n in range(20)])
    assert [e.sequence for e in store.find(Query(tags=(("N", ("11",)),)))] == [12]
    assert [e.sequence for e in store.find(Query(tags=(("N", ("3", "9")),), newest_first=True, limit=1))] == [10]
    await store.close()


def drop_index(folder):
    db = sqlite3.connect(folder / DATABASE)
    with db:
        db.execute("DELETE FROM postings")
    db.close()


async def test_many_appends_at_once_all_arrive_in_order(store):
    items = [item(n) for n in range(300)]
    await asyncio.gather(*(store.append([one], {one.id: b""}) for one in items))
    assert [entry.item for entry in store.find(Query(limit=1000))] == items
    assert len(store.notes("")) == 300


def test_threads_with_loops_of_their_own_append_and_read(tmp_path):
    store = open_store(tmp_path)
    faults = []

    def work(thread):
        async def go():
            for n in range(20):
                one = item(n, ("Thread", str(thread)), data=LARGE if n == 7 else b"")
                await store.append([one])
                assert store.view(one.id) == one
                assert len(store.find(Query(tags=(("Thread", (str(thread),)),)))) == n + 1

        try:
            asyncio.run(go())
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert store.last_sequence() == 100
    asyncio.run(store.close())


async def test_a_reader_beside_the_writer_sees_each_append(store):
    reader = open_store(store.folder, read_only=True)
    for number in range(5):
        one = item(number, ("K", "v"), data=LARGE if number == 3 else b"")
        await store.append([one], {"newest": one.id.encode()})
        assert reader.view(one.id) == one
        assert reader.note("newest") == one.id.encode()
        assert len(reader.find(Query(tags=(("K", ("v",)),)))) == number + 1
    with pytest.raises(NodeError, match="reading only"):
        await reader.append([item(9)])
    await reader.close()


async def test_a_store_is_read_after_its_writer_has_gone_and_before_it_comes_back(tmp_path):
    store = open_store(tmp_path)
    await store.append([item(1)])
    await store.close()
    reader = open_store(tmp_path, read_only=True)
    assert reader.last_sequence() == 1
    store = open_store(tmp_path)
    await store.append([item(2)])
    assert reader.last_sequence() == 2
    await store.close()
    assert reader.last_sequence() == 2
    await reader.close()


async def test_one_program_writes_at_a_time(store):
    with pytest.raises(NodeError, match="Another program is writing"):
        open_store(store.folder)


async def test_a_closed_store_says_so(tmp_path):
    store = open_store(tmp_path)
    await store.close()
    await store.close()
    with pytest.raises(NodeError, match="closed"):
        await store.append([item(1)])
    with pytest.raises(NodeError, match="closed"):
        store.find(Query())


async def test_closing_first_writes_what_waits(tmp_path):
    store = open_store(tmp_path)
    waiting = [asyncio.ensure_future(store.append([item(n, data=LARGE if n == 3 else b"")])) for n in range(20)]
    await asyncio.sleep(0)  # lets each append begin
    await store.close()
    await asyncio.gather(*waiting)
    again = open_store(tmp_path, read_only=True)
    assert again.last_sequence() == 20
    await again.close()


def test_places_where_no_store_can_be_are_told(tmp_path):
    with pytest.raises(Missing, match="no store"):
        open_store(tmp_path / "none", read_only=True)
    with pytest.raises(Missing, match="no store"):
        open_store(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeError, match="part of its path is a file|cannot be used"):
        open_store(tmp_path / "file" / "store")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / DATABASE).write_bytes(b"not a database, whatever its name says" * 100)
    for read_only in (False, True):
        with pytest.raises(NodeError, match="not a store of Puna's"):
            open_store(tmp_path / "junk", read_only=read_only)


async def test_a_store_of_a_later_format_is_not_touched(tmp_path):
    await open_store(tmp_path).close()
    db = sqlite3.connect(tmp_path / DATABASE)
    db.execute("PRAGMA user_version = 99")
    db.close()
    for read_only in (False, True):
        with pytest.raises(NodeError, match="format 99"):
            open_store(tmp_path, read_only=read_only)


# Full disks and other faults


def fill_disk(store, full=True):
    """Lets SQLite find its disk full, as it would; or gives it room again."""

    def limit(db):
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages if full else 1 << 30}")

    store._writer.call(limit)


async def test_a_full_disk_refuses_the_append_and_keeps_the_rest(store):
    before = item(1)
    await store.append([before], {"k": b"old"})
    fill_disk(store)
    too_much = [item(n, data=bytes(60_000)) for n in range(2, 6)] + [item(6, data=LARGE)]
    with pytest.raises(NodeError, match="disk is full") as caught:
        await store.append(too_much, {"k": b"new"})
    assert "Make room" in caught.value.todo
    assert store.find(Query()) == [Entry(1, before)]
    assert store.note("k") == b"old"
    assert files(store) == []
    fill_disk(store, full=False)
    await store.append(too_much, {"k": b"new"})
    assert store.last_sequence() == 6
    assert store.note("k") == b"new"


async def test_one_append_that_cannot_be_written_takes_no_other_with_it(store):
    fill_disk(store)
    small = [item(n) for n in range(3)]
    huge = [item(n, data=bytes(60_000)) for n in range(3, 9)] + [item(9, data=LARGE)]
    answers = await asyncio.gather(
        store.append([small[0]]),
        store.append(huge),
        *(store.append([one]) for one in small[1:]),
        return_exceptions=True,
    )
    assert [isinstance(answer, NodeError) for answer in answers] == [False, True, False, False]
    assert [entry.item for entry in store.find(Query())] == small
    assert files(store) == []


async def test_a_payload_that_finds_no_room_leaves_nothing(store, tmp_path, monkeypatch):
    def full(descriptor, chunk):
        os.write(descriptor, bytes(chunk)[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "file").write_bytes(LARGE)
    with monkeypatch.context() as patch:
        patch.setattr(payloads, "_write_all", full)
        patch.delattr(os, "copy_file_range", raising=False)
        for append in (store.append([item(1), item(2, data=LARGE)]), store.append_file(ED25519, tmp_path / "file", [])):
            with pytest.raises(NodeError, match="disk is full"):
                await append
    assert (files(store), store.last_sequence()) == ([], 0)
    await store.append([item(2, data=LARGE)])
    assert store.last_sequence() == 1


async def test_room_is_checked_before_gigabytes_are_copied(store, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    (tmp_path / "file").write_bytes(LARGE)
    with pytest.raises(NodeError, match="1000 bytes free, 76800 are needed"):
        await store.append_file(ED25519, tmp_path / "file", [])


async def test_an_item_that_is_sound_nowhere_is_refused_before_it_is_queued(store):
    with pytest.raises(Invalid):
        await store.append([item(1), replace(item(2), anchor=b"short")])
    assert store.last_sequence() == 0


async def test_a_queue_that_is_full_refuses_and_asks_to_come_again(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "QUEUE_JOBS_MAX", 1)
    store = open_store(tmp_path)
    begun, go_on = threading.Event(), threading.Event()
    slow = threading.Thread(target=store._writer.call, args=(lambda db: (begun.set(), go_on.wait()),))
    slow.start()
    begun.wait()
    waiting = asyncio.ensure_future(store.append([item(1)]))
    await asyncio.sleep(0)  # lets it join the queue
    for late in (item(2), item(3, data=LARGE)):
        with pytest.raises(NotYet, match="appends waiting"):
            await store.append([late])
    go_on.set()
    slow.join()
    await waiting
    assert (store.last_sequence(), files(store)) == (1, [])
    await store.close()


async def test_a_cancelled_append_happens_whole_or_not_at_all(store):
    tasks = [asyncio.ensure_future(store.append([item(n), item(100 + n, data=LARGE)])) for n in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.append([item(1000)])  # queued behind whatever is left of the others
    kept = store.find(Query(limit=1000))
    numbers = {int(entry.item.tags[0].value) for entry in kept}
    assert {n + 100 for n in numbers if n < 10} == {n for n in numbers if 100 <= n < 110}
    assert {1, 3, 5, 7, 9, 1000} <= numbers
    assert set(files(store)) >= {entry.item.id for entry in kept if entry.item.data}


async def test_leftovers_of_a_crash_are_swept_at_the_next_start(tmp_path):
    store = open_store(tmp_path)
    large = item(1, data=LARGE)
    await store.append([large])
    await store.close()
    (tmp_path / "payloads" / "0123.draft").write_bytes(b"half")
    (tmp_path / "payloads" / A).write_bytes(b"whole, but its row never committed")
    store = open_store(tmp_path)
    assert files(store) == [large.id]
    assert encode_item(store.view(large.id)) == encode_item(large)
    await store.close()
