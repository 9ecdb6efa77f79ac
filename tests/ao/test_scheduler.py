"""The scheduler: its pure rules against vectors of the real network, and the unit under many hands at once."""

import asyncio

import pytest
from ao.fakes import ALICE, BOB, MESSENGER, MODULE, SCHEDULER, MemoryStore, Town, message_item, process_item, wallet
from hypothesis import given
from hypothesis import strategies as st

from puna.ao.assignment import read_assignment
from puna.ao.scheduler import schedule as rules
from puna.ao.scheduler.port import Placed, Placing, Refused
from puna.ao.scheduler.unit import SchedulerUnit
from puna.arweave.dataitem import sign_item, verify_item
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.clock import HandClock, Tip
from puna.errors import Invalid, Missing, NodeError

# Source: protocol reference 3.5.1, four assignments of a process on the public network.
REAL_PROCESS = "DcccvmuHG83kIjXWtB2OBTDcZbFB32EXwbMWuTzmxSo"
REAL_CHAIN = [
    ("HwBBCwKVEumyudprZbElzEKEnmnbDEvYiq-e5XFk6uM", "CCxb1EYcRPp9lmv_MSrV3YaekOthAZRLwR3J4PLssCA"),
    ("xQurWbugrLsvLLOPYWASKsAepD3g_-xTnCeGn9B-wsE", "aebS-Zt6zqgnLPZJka7eQfeeF7UgA6fmL-EFtSQD6d8"),
    ("PZ_coSlUmAl_cj-yEA-BwB10VbsuC_ayE4zadH8_IdY", "Ki8qphNobpqJxflCuhGgGy6uAHkaGeJG7zm9xYkq5Po"),
    ("SgBb9IL64pYjUtB-Rz3a-5jxlP2Dvbxp6fR4EtV5e1Q", "HyY3m1oobe7LhUD1EPDuv5l6GAt1OO6bDbOnL-9yYV8"),
]


def unit(store=None, clock=None) -> SchedulerUnit:
    return SchedulerUnit(store or MemoryStore(), SCHEDULER, clock or HandClock())


async def spawned(scheduler: SchedulerUnit, *tags) -> str:
    return (await scheduler.submit(process_item(*tags))).process


def test_38_the_hash_chain_agrees_with_the_network():
    previous, assignment_id = b64url_decode(REAL_PROCESS), None
    for next_id, chain in REAL_CHAIN:
        previous = rules.hash_chain(previous, assignment_id)
        assert b64url_encode(previous) == chain
        assignment_id = b64url_decode(next_id)


async def test_36_a_spawn_is_assigned_nonce_0_without_message_and_begins_the_chain():
    scheduler = unit()
    process = process_item()
    assignment = await scheduler.submit(process)
    assert (assignment.nonce, assignment.message, assignment.process) == (0, None, process.id)
    assert assignment.hash_chain == rules.hash_chain(b64url_decode(process.id), None)


async def test_37_a_hundred_posts_at_once_get_nonces_without_holes_and_times_that_grow():
    scheduler = unit()
    process = await spawned(scheduler)
    items = [message_item(process, tags=[("N", str(n))]) for n in range(100)]
    answers = await asyncio.gather(*map(scheduler.submit, items))
    entries = await scheduler.assignments(process, -1, 1000)
    assert [a.nonce for _, a in entries] == list(range(101))
    assert sorted(a.nonce for a in answers) == list(range(1, 101))
    times = [a.timestamp_ms for _, a in entries]
    assert all(early < late for early, late in zip(times, times[1:], strict=False))
    chain = rules.empty(process)
    for item, assignment in entries:
        assert assignment.hash_chain == rules.next_chain(chain)
        assert assignment.item_id == item.id
        chain = rules.extend(chain, assignment)


async def test_posts_at_once_share_their_appends():
    store = MemoryStore()
    scheduler = unit(store)
    process = await spawned(scheduler)
    before = store.appends
    await asyncio.gather(*(scheduler.submit(message_item(process, tags=[("N", str(n))])) for n in range(100)))
    assert store.appends - before <= 3


async def test_39_an_assignment_has_its_tags_in_order_and_verifies():
    scheduler = unit(clock=HandClock(now_ms=1234, height=1522898))
    process = await spawned(scheduler)
    item = message_item(process)
    assignment = await scheduler.submit(item)
    verify_item(assignment.item)
    assert list(assignment.item.tags) == [
        ("Process", process),
        ("Epoch", "0"),
        ("Nonce", "1"),
        ("Hash-Chain", b64url_encode(assignment.hash_chain)),
        ("Block-Height", "000001522898"),
        ("Timestamp", "1235"),
        ("Data-Protocol", "ao"),
        ("Type", "Assignment"),
        ("Variant", "ao.TN.1"),
        ("Message", item.id),
    ]
    assert assignment.item.address == scheduler.address and len(assignment.item.anchor) == 32
    assert bytes(assignment.item.data) == b"" and assignment.item.target == ""
    assert read_assignment(assignment.item) == assignment


async def test_40_the_same_item_twice_uses_one_nonce():
    scheduler = unit()
    process = await spawned(scheduler)
    item = message_item(process)
    first, second = await asyncio.gather(scheduler.submit(item), scheduler.submit(item))
    assert first.id == second.id
    assert (await scheduler.head(process)).nonce == 1
    (answer,) = await scheduler.place_all([Placing(item=item)])
    assert isinstance(answer, Placed) and not answer.new


def pushed(process, by, *, order=1, pushed_for="a", data=b"same", process_tag=True):
    tags = [("Reference", "1"), ("From-Module", MODULE.id), ("Data-Protocol", "ao"), ("Type", "Message")]
    tags += [("From-Process", BOB.address)] if process_tag else []
    return sign_item(
        by, data=data, target=process, tags=[*tags[::order], ("Pushed-For", pushed_for)], anchor=b"1".rjust(32, b"0")
    )


async def test_41_the_same_push_by_two_messengers_is_scheduled_once():
    scheduler = unit()
    process = await spawned(scheduler)
    first = await scheduler.submit(pushed(process, MESSENGER))
    second = await scheduler.submit(pushed(process, wallet("other"), order=-1, pushed_for="b"))
    assert first.id == second.id
    third = await scheduler.submit(pushed(process, MESSENGER, data=b"other"))
    assert third.nonce == 2


async def test_a_forged_twin_that_came_first_does_not_keep_the_true_message_out():
    scheduler = unit()
    process = await spawned(scheduler)
    forged = await scheduler.submit(pushed(process, BOB))
    true = await scheduler.submit(pushed(process, MESSENGER))
    assert (forged.nonce, true.nonce) == (1, 2)
    assert (await scheduler.submit(pushed(process, ALICE))).id == true.id
    assert (await scheduler.submit(pushed(process, MESSENGER, pushed_for="c"))).id == true.id


async def test_41_items_that_no_process_sent_are_told_apart_by_id_alone():
    scheduler = unit()
    process = await spawned(scheduler)
    assert (await scheduler.submit(pushed(process, ALICE, process_tag=False))).nonce == 1
    assert (await scheduler.submit(pushed(process, BOB, process_tag=False))).nonce == 2


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ([("Data-Protocol", "ao")], "Type tag not present"),
        ([("Data-Protocol", "ao"), ("Type", "Foo")], "Unsupported Type tag value"),
        ([("Type", "Message")], "Data-Protocol tag not present"),
        ([("Type", "Process"), ("Data-Protocol", "ao"), ("Module", "x")], "Required Module and Scheduler tags"),
        ([("Type", "Process"), ("Data-Protocol", "ao"), ("Scheduler", "x")], "Required Module and Scheduler tags"),
        ([("Type", "Message"), ("Data-Protocol", "ao"), ("a+link", "x")], r"Tag a\+link cannot contain \+link"),
    ],
)
async def test_42_a_broken_rule_is_refused_with_the_text_clients_know(tags, text):
    scheduler = unit()
    with pytest.raises(Invalid, match=text):
        await scheduler.submit(sign_item(ALICE, tags=tags, target=BOB.address))


async def test_a_process_of_another_scheduler_is_refused():
    with pytest.raises(Invalid, match="this scheduler is"):
        await unit().submit(process_item(scheduler=BOB.address))


async def test_on_boot_names_data_or_an_item_that_is_here():
    store = MemoryStore()
    scheduler = unit(store)
    with pytest.raises(Invalid, match="Invalid tx id for On-Boot tag"):
        await scheduler.submit(process_item(("On-Boot", BOB.address)))
    code = sign_item(ALICE, data=b"x = 1")
    await store.append([code])
    assert (await scheduler.submit(process_item(("On-Boot", code.id)))).nonce == 0
    assert (await scheduler.submit(process_item(("On-Boot", "Data")))).nonce == 0


async def test_44_pages_begin_after_a_nonce_and_yield_every_entry_once():
    scheduler = unit()
    process = await spawned(scheduler)
    for n in range(5):
        await scheduler.submit(message_item(process, tags=[("N", str(n))]))
    seen, after = [], -1
    while page := await scheduler.assignments(process, after, 2):
        assert len(page) <= 2
        seen += [a.nonce for _, a in page]
        after = seen[-1]
    assert seen == [0, 1, 2, 3, 4, 5]


async def test_45_a_place_is_found_by_message_id_and_by_assignment_id_within_its_process():
    scheduler = unit()
    process, other = await spawned(scheduler), await spawned(scheduler, ("Name", "other"))
    item = message_item(process)
    assignment = await scheduler.submit(item)
    assert (
        await scheduler.place(process, item.id) == await scheduler.place(process, assignment.id) == (item, assignment)
    )
    assert (await scheduler.place(process, process))[1].nonce == 0
    for where, what in ((other, item.id), (process, BOB.address), (BOB.address, item.id)):
        with pytest.raises(Missing, match="Message or Process not found"):
            await scheduler.place(where, what)


async def test_one_refused_item_does_not_harm_its_siblings_in_a_request():
    store = MemoryStore()
    scheduler = unit(store)
    process = await spawned(scheduler)
    good, kept = message_item(process), sign_item(ALICE, data=b"kept")
    bad = message_item(BOB.address)
    answers = await scheduler.place_all(
        [Placing(item=bad, notes={"bad": b"1"}), Placing(item=good, notes={"good": b"1"})], [kept], {"always": b"1"}
    )
    assert isinstance(answers[0], Refused) and isinstance(answers[1], Placed)
    assert store.view(kept.id) and (store.note("bad"), store.note("good"), store.note("always")) == (None, b"1", b"1")


class FullStore(MemoryStore):
    """A disk that is full whenever it is asked to write more than one item of a user."""

    async def append(self, items, notes={}):  # noqa: B006
        if sum(item.address == ALICE.address for item in items) > 1:
            raise NodeError("the disk is full")
        await super().append(items, notes)


async def test_a_failed_append_assigns_nothing_and_is_taken_again_one_by_one():
    store = FullStore()
    scheduler = unit(store)
    process = await spawned(scheduler)
    answers = await asyncio.gather(*(scheduler.submit(message_item(process, tags=[("N", str(n))])) for n in range(5)))
    assert [a.nonce for a in answers] == [1, 2, 3, 4, 5]
    with pytest.raises(NodeError, match="full"):
        await scheduler.place_all([Placing(item=message_item(process, tags=[("M", str(n))])) for n in range(2)])
    assert (await scheduler.submit(message_item(process, tags=[("L", "1")]))).nonce == 6


async def test_a_caller_who_goes_away_does_not_disturb_the_schedule():
    scheduler = unit()
    process = await spawned(scheduler)
    item = message_item(process)
    leaving = asyncio.create_task(scheduler.submit(item))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await scheduler.submit(message_item(process, tags=[("N", "1")]))).nonce == 2
    assert (await scheduler.place(process, item.id))[1].nonce == 1


async def test_the_notes_are_derived_deleted_they_come_back_the_same():
    store = MemoryStore()
    town = await Town.founded(store=store)
    process = await town.spawn()
    for n in range(4):
        await town.do(process, tags=[("N", str(n))])
    await town.units.scheduler.submit(pushed(process, MESSENGER))
    await town.quiet()
    kinds = ("ao/head/", "ao/slot/", "ao/place/", "ao/content/")
    before = [store.notes(kind) for kind in kinds]
    for key, _ in [note for kind in before for note in kind]:
        del store.derived[key]
    assert await unit(store).rebuild() == 6
    assert [store.notes(kind) for kind in kinds] == before


async def test_no_room_means_come_again(monkeypatch):
    monkeypatch.setattr("puna.ao.scheduler.unit.WAITING_MAX", 0)
    with pytest.raises(NodeError, match="wait for the scheduler"):
        await unit().submit(process_item())


@given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 10**9)), min_size=1, max_size=20))
def test_schedules_grow_by_one_and_never_go_back_in_time_whatever_the_clock_says(tips):
    process = process_item().id
    schedule = rules.empty(process)

    def sign(tags):
        return sign_item(SCHEDULER, tags=tags)

    for n, (now_ms, height) in enumerate(tips):
        assignment = rules.assign(schedule, process if n == 0 else BOB.address, Tip(now_ms, height), sign)
        assert read_assignment(assignment.item) == assignment
        assert assignment.nonce == schedule.nonce + 1
        assert assignment.timestamp_ms > schedule.timestamp_ms and assignment.block_height >= schedule.block_height
        schedule = rules.extend(schedule, assignment)


async def test_what_was_just_placed_is_read_as_a_unit_after_a_restart_reads_it(monkeypatch):
    monkeypatch.setattr("puna.ao.scheduler.unit.RECENT_MAX", 5)
    town = await Town.founded()
    process = await town.spawn()
    large = message_item(process, ["set", "x", "y" * 5000])
    await town.link.submit(large)
    for n in range(7):
        await town.do(process, tags=[("N", str(n))])
    await town.quiet()
    unit = town.units.scheduler
    assert len(unit._recent) == 5 and (process, 1) not in unit._recent
    reborn = Town(store=town.store).units.scheduler
    for after, limit in ((-1, 100), (0, 2), (5, 3), (6, 1), (7, 5)):
        assert await unit.assignments(process, after, limit) == await reborn.assignments(process, after, limit)
    assert await unit.place(process, large.id) == await reborn.place(process, large.id)
