"""The compute unit: what modules are told, order, errors, memory, checkpoints, limits, verification."""

import asyncio
import itertools
import json
from dataclasses import replace

import msgspec
import pytest
from ao.fakes import (
    ALICE,
    BOB,
    COMPUTE,
    MESSENGER,
    MODULE,
    SCHEDULER,
    FakeEvaluators,
    MemoryStore,
    Town,
    message_item,
    named,
    process_item,
)
from arweave.strategies import ETHEREUM

from puna.ao.compute.fold import message_of, preview_json, result_of
from puna.ao.compute.port import Evaluation
from puna.ao.compute.program import Limits, ModuleFiles, TooLarge, Unsupported, environment_json, parse_size, program_of
from puna.ao.compute.unit import UNATTESTED_MAX, ComputeUnit, Diverged, Position
from puna.ao.compute.verify import verify
from puna.ao.result import Result, number_text
from puna.ao.scheduler.unit import SchedulerUnit
from puna.arweave.dataitem import sign_item, verify_item
from puna.arweave.ids import b64url_encode
from puna.arweave.store.port import Query
from puna.clock import HandClock
from puna.errors import Invalid, Missing, NodeError, NotYet


async def entry(item, *before):
    """An item with its assignment, after a process and others."""
    scheduler = SchedulerUnit(MemoryStore(), SCHEDULER, HandClock(5, 9))
    for earlier in before:
        await scheduler.submit(earlier)
    return item, await scheduler.submit(item)


# 4.7: what a module is told


async def test_59_a_direct_message_has_exactly_the_fields_of_the_protocol_in_order():
    process = process_item()
    item = message_item(process.id, tags=[("From", "forged"), ("Owner", "forged"), ("K", "v")], anchor=b"a" * 32)
    item, assignment = await entry(item, process)
    message = message_of(item, assignment)
    assert list(message.items()) == [
        ("Id", item.id),
        ("Signature", b64url_encode(item.signature)),
        ("Data", " "),
        ("Owner", ALICE.address),
        ("Target", process.id),
        ("Anchor", "a" * 32),
        ("From", ALICE.address),
        ("Tags", [{"name": n, "value": v} for n, v in item.tags if n not in ("From", "Owner")]),
        ("Epoch", 0),
        ("Nonce", 1),
        ("Timestamp", 6),
        ("Block-Height", 9),
        ("Hash-Chain", b64url_encode(assignment.hash_chain)),
        ("Cron", False),
        ("Read-Only", False),
    ]


async def test_59_an_ethereum_sender_appears_as_a_checksummed_address():
    """Source of the address: private key 32 times 0x11, protocol reference 1.3, by the rule of EIP-55."""
    process = process_item()
    item, assignment = await entry(message_item(process.id, by=ETHEREUM), process)
    message = message_of(item, assignment)
    assert message["Owner"] == message["From"] == "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
    environment = json.loads(environment_json(process_item(by=ETHEREUM), MODULE))
    assert environment["Process"]["Owner"] == message["Owner"]


async def test_59_a_pushed_message_comes_from_the_process_and_is_forwarded_by_the_messenger():
    process = process_item()
    item = sign_item(MESSENGER, data=b"\xff", target=process.id, tags=[("From-Process", BOB.address), *TAGS])
    message = message_of(*await entry(item, process))
    assert (message["From"], message["Owner"]) == (BOB.address, MESSENGER.address)
    assert list(message)[6:9] == ["From", "Forwarded-By", "Tags"] and message["Forwarded-By"] == MESSENGER.address
    assert message["Anchor"] is None and message["Data"] == "\ufffd"


async def test_59_the_boot_message_is_the_process_itself():
    process, assignment = await entry(process_item(data=b"\xff"))
    message = message_of(process, assignment)
    assert (message["Id"], message["Target"], message["Nonce"]) == (process.id, process.id, 0)
    assert message["Data"] is None and message["Anchor"] is None


async def test_59_an_assigned_item_keeps_its_own_target_and_excluded_fields_are_left_out():
    process = process_item()
    store = MemoryStore()
    town = await Town.founded(store=store)
    await town.link.submit(process)
    note = sign_item(ALICE, data=b"d", tags=[("From-Process", BOB.address)], anchor=b"b" * 32)
    await store.append([note])
    await town.link.assign(process.id, note.id, ("Data", "Signature"))
    item, assignment = await town.units.scheduler.place(process.id, note.id)
    message = message_of(item, assignment)
    assert message["Target"] == "" and message["Anchor"] == b64url_encode(b"b" * 32)
    assert "Forwarded-By" not in message and "Data" not in message and "Signature" not in message
    assert message["From"] == BOB.address
    assert named(assignment.item, "Exclude") == ["Data", "Signature"]


TAGS = [("Data-Protocol", "ao"), ("Type", "Message")]


def test_59_a_dry_run_message_is_read_only_and_has_no_place():
    body = {"Id": "1234", "Owner": "1234", "Anchor": "0", "Data": "x", "Tags": [{"name": "From", "value": "me"}]}
    message = msgspec.json.decode(preview_json("P", body, 77, 8))
    assert list(message.items()) == [
        ("Id", "1234"),
        ("Data", "x"),
        ("Owner", "1234"),
        ("Target", "P"),
        ("Anchor", "0"),
        ("From", "1234"),
        ("Tags", []),
        ("Timestamp", 77),
        ("Block-Height", 8),
        ("Cron", False),
        ("Read-Only", True),
    ]


def test_53_a_dry_run_comes_from_its_from_process_tag_and_may_bring_its_own_time():
    body = {"Owner": "me", "Tags": [{"name": "From-Process", "value": "p"}], "Timestamp": "5", "Block-Height": 6}
    message = msgspec.json.decode(preview_json("P", body, 77, 8))
    assert (message["From"], message["Timestamp"], message["Block-Height"]) == ("p", 5, 6)


def test_the_environment_names_process_and_module_with_their_tags():
    process = process_item(("Name", "x"))
    environment = msgspec.json.decode(environment_json(process, MODULE))
    assert list(environment) == ["Process", "Module"]
    assert list(environment["Process"]) == ["Id", "Owner", "Tags"]
    assert environment["Process"]["Tags"][0] == {"name": "Name", "value": "x"}
    assert environment["Module"]["Owner"] == ALICE.address


# 4.2: results


def test_results_survive_the_wire_and_leave_out_what_is_absent():
    result = Result(messages=({"Target": "x"},), output={"data": "1"}, error="e", gas_used=3)
    assert Result.decode(result.encode()) == result
    assert list(Result().to_json()) == ["Messages", "Spawns", "Assignments", "Output"]


def evaluation(**changes) -> Evaluation:
    return replace(Evaluation("", [], [], [], None, 0, b"\0" * 32, 0), **changes)


def test_48_a_number_shown_becomes_text_and_half_a_character_becomes_a_question_mark():
    assert result_of(evaluation(output=2)).output == "2"
    assert result_of(evaluation(output=2.0)).output == "2"
    assert result_of(evaluation(output=None)).output == ""
    assert result_of(evaluation(output={"data": "\ud800"})).output == {"data": "?"}
    assert result_of(evaluation(messages={})).messages == ()
    assert [number_text(n) for n in (0.5, 1e-7, 1e21, -3.0)] == ["0.5", "1e-7", "1e+21", "-3"]


# Order and sharing


async def test_evaluations_of_one_process_never_overlap_and_processes_run_in_parallel():
    evaluators = FakeEvaluators()
    town = await Town.founded(evaluators=evaluators)
    evaluators.gate = asyncio.Event()
    processes = [await town.spawn(("Name", str(n))) for n in range(5)]
    for process in processes:
        await town.do(process)
    while evaluators.parallel_most < 5:
        await asyncio.sleep(0)
    evaluators.gate.set()
    await town.quiet()
    assert evaluators.parallel_most == 5


async def test_many_who_ask_for_one_result_share_one_evaluation():
    town = await Town.founded()
    process = await town.spawn()
    message = await town.do(process, ["set", "x", 1], ["get", "x"])
    results = await asyncio.gather(*(town.link.result(process, message) for _ in range(20)))
    assert len(set(map(Result.encode, results))) == 1
    assert town.evaluators.applied.count((process, message)) == 1


async def test_who_asks_and_goes_away_does_not_stop_the_evaluation():
    evaluators = FakeEvaluators()
    town = await Town.founded(evaluators=evaluators)
    evaluators.gate = asyncio.Event()
    process = await town.spawn()
    asking = asyncio.create_task(town.link.result(process, process))
    for _ in range(5):
        await asyncio.sleep(0)
    asking.cancel()
    evaluators.gate.set()
    assert (await town.link.result(process, process)).error is None


async def test_the_result_of_an_unknown_message_is_missing():
    town = await Town.founded()
    process = await town.spawn()
    with pytest.raises(Missing):
        await town.link.result(process, BOB.address)


async def with_seven_results() -> tuple[Town, str]:
    town = await Town.founded()
    process = await town.spawn()
    for n in range(7):
        await town.do(process, ["set", "n", n], *([["fail", "odd"]] if n % 2 else []))
    await town.quiet()
    return town, process


async def test_54_pages_of_results_leave_out_failures_and_reach_every_other_once():
    town, process = await with_seven_results()
    compute = town.units.compute
    first, more = await compute.results(process, limit=2)
    assert [a.nonce for a, _ in first] == [0, 1] and more
    rest, more = await compute.results(process, after=Position(1))
    assert [a.nonce for a, _ in rest] == [3, 5, 7] and not more
    assert [a.nonce for a, _ in (await compute.results(process, after=Position(0), until=Position(5)))[0]] == [1, 3, 5]


async def test_55_what_came_after_the_newest_page_follows_its_cursor():
    town, process = await with_seven_results()
    compute = town.units.compute
    ((newest, _),), more = await compute.results(process, limit=1, newest_first=True)
    assert newest.nonce == 7 and more
    assert await compute.results(process, after=Position(newest.nonce)) == ([], False)
    await town.link.result(process, await town.do(process, ["set", "n", 8]))
    assert [a.nonce for a, _ in (await compute.results(process, after=Position(newest.nonce)))[0]] == [8]
    older, _ = await compute.results(process, after=Position(5), newest_first=True)
    assert [a.nonce for a, _ in older] == [3, 1, 0]


# Attestations and checkpoints


async def test_every_evaluation_is_attested_by_the_compute_unit():
    town = await Town.founded()
    process = await town.spawn()
    message = await town.do(process, ["set", "x", 1])
    result = await town.link.result(process, message)
    (found,) = town.store.find(Query(tags=(("Type", ("Result",)), ("Nonce", ("1",)))))
    verify_item(found.item)
    assert found.item.address == COMPUTE.address and bytes(found.item.data) == result.encode()
    assert [name for name, _ in found.item.tags] == [
        "Data-Protocol", "Variant", "Type", "Process", "Message", "Nonce", "State-Root", "State-Rule", "Gas-Used",
        "Content-Type",
    ]  # fmt: skip
    assert named(found.item, "Message") == [message] and named(found.item, "Process") == [process]


async def checkpoints(town: Town) -> list[int]:
    entries = town.store.find(Query(tags=(("Type", ("Checkpoint",)),)))
    return [int(named(e.item, "Nonce")[0]) for e in entries]


async def test_a_checkpoint_every_so_many_evaluations_bounds_the_replay():
    town = await Town.founded(checkpoint_evaluations=64)
    process = await town.spawn()
    for n in range(130):
        await town.do(process, tags=[("N", str(n))])
    await town.quiet()
    assert await checkpoints(town) == [63, 127]
    reborn = Town(store=town.store)
    await reborn.do(process, ["get", "seen"])
    await reborn.quiet()
    assert len(reborn.evaluators.applied) == 130 - 127 + 1


async def test_costly_evaluations_are_checkpointed_sooner():
    town = await Town.founded(evaluators=FakeEvaluators(gas=7 * 10**9))
    process = await town.spawn()
    for n in range(6):
        await town.do(process, tags=[("N", str(n))])
        await town.quiet()
    assert await checkpoints(town) == [2, 5]


async def test_a_clean_stop_checkpoints_what_was_costly_and_only_what_changed():
    town = await Town.founded(evaluators=FakeEvaluators(gas=10**9))
    process = await town.spawn()
    await town.quiet()
    await town.units.stop()
    assert await checkpoints(town) == [0] and town.evaluators.memories == {}
    reborn = Town(store=town.store, evaluators=FakeEvaluators(gas=10**9))
    await reborn.link.preview(process, {})
    await reborn.units.stop()
    assert await checkpoints(reborn) == [0]


async def test_a_clean_stop_writes_no_checkpoint_where_a_replay_is_cheap():
    town = await Town.founded()
    await town.spawn()
    await town.quiet()
    await town.units.stop()
    assert await checkpoints(town) == []


async def test_60_a_checkpoint_says_what_it_is_and_a_fresh_unit_goes_on_from_it():
    town = await Town.founded(evaluators=FakeEvaluators(gas=10**9))
    process = await town.spawn()
    await town.do(process, ["set", "x", "kept"])
    await town.quiet()
    await town.units.stop()
    (found,) = town.store.find(Query(tags=(("Type", ("Checkpoint",)),)))
    assert [name for name, _ in found.item.tags] == [
        "Data-Protocol", "Variant", "Type", "Module", "Process", "Nonce", "Timestamp", "Block-Height", "Content-Type",
        "SHA-256", "Snapshot-Format", "Unit-Identifier", "Ordinate", "Assignment", "Hash-Chain", "Epoch", "State-Root",
        "State-Rule",
    ]  # fmt: skip
    reborn = Town(store=town.store)
    message = await reborn.do(process, ["get", "x"])
    assert (await reborn.link.result(process, message)).output == "kept"
    assert reborn.evaluators.applied == [(process, message)]


async def chained(messages: int) -> tuple[Town, str, list]:
    """A town in which each evaluation was checkpointed, and the checkpoint items."""
    town = await Town.founded(evaluators=FakeEvaluators(gas=10**9), checkpoint_evaluations=1)
    process = await town.spawn()
    await town.do(process, ["set", "big", "x" * 50_000])
    for n in range(messages):
        await town.do(process, ["set", "n", n])
    await town.quiet()
    return town, process, [e.item for e in town.store.find(Query(tags=(("Type", ("Checkpoint",)),)))]


async def test_checkpoints_carry_what_changed_and_name_the_one_before():
    town, process, items = await chained(40)
    whole = [item for item in items if not named(item, "Parent")]
    assert 3 <= len(whole) <= 6 and all(named(item, "Snapshot-Format") == ["puna-snapshot-1"] for item in whole)
    for before, item in itertools.pairwise(items):
        if item not in whole:
            assert named(item, "Parent") == [before.id]
            assert named(item, "Snapshot-Format") == ["puna-increment-1"]
            assert len(item.data) < 5_000 or named(item, "Nonce") == ["1"]
    reborn = Town(store=town.store, evaluators=FakeEvaluators(gas=10**9))
    message = await reborn.do(process, ["get", "n"])
    assert (await reborn.link.result(process, message)).output == "39"
    assert reborn.evaluators.applied == [(process, message)]


@pytest.mark.parametrize("which", [2, -3, -1])
async def test_a_chain_with_a_link_missing_costs_a_replay_and_nothing_else(which):
    town, process, items = await chained(5)
    del town.store.by_id[items[which].id]
    reborn = Town(store=town.store, evaluators=FakeEvaluators(gas=10**9))
    message = await reborn.do(process, ["get", "n"])
    assert (await reborn.link.result(process, message)).output == "4"
    assert len(reborn.evaluators.applied) == 8


async def test_a_node_lets_go_of_memories_that_hold_too_much():
    town = await Town.founded(held_bytes_max=2)
    town.evaluators.held_bytes = 1
    for n in range(5):
        await town.spawn(("N", str(n)))
        await town.quiet()
    assert town.evaluators.most_attached == 2


async def test_a_checkpoint_that_cannot_be_read_costs_a_replay_and_nothing_else():
    town = await Town.founded(evaluators=FakeEvaluators(gas=10**9))
    process = await town.spawn()
    await town.quiet()
    await town.units.stop()
    broken = sign_item(COMPUTE, data=b"broken")
    await town.store.append([broken], {f"ao/checkpoint/{process}": f"0 {broken.id}".encode()})
    reborn = Town(store=town.store, evaluators=FakeEvaluators(gas=10**9))
    message = await reborn.do(process)
    assert (await reborn.link.result(process, message)).error is None
    assert [m for _, m in reborn.evaluators.applied] == [process, message]


async def test_memories_held_at_once_are_bounded_and_those_let_go_come_back():
    evaluators = FakeEvaluators(gas=10**9)
    town = await Town.founded(evaluators=evaluators, attached_max=3)
    processes = [await town.spawn(("Name", str(n))) for n in range(10)]
    for n, process in enumerate(processes):
        await town.do(process, ["set", "x", n])
    await town.quiet()
    for n, process in enumerate(processes):
        message = await town.do(process, ["get", "x"])
        assert (await town.link.result(process, message)).output == str(n)
    assert evaluators.most_attached == 3
    assert await checkpoints(town)


# What goes wrong


async def test_52_a_unit_restarted_between_messages_gives_byte_equal_results():
    items = [
        process_item(),
        *(message_item(process_item().id, ["set", "n", n], tags=[("N", str(n))]) for n in range(4)),
    ]
    warm = await Town.founded()
    cold = await Town.founded()
    for item in items:
        await warm.link.submit(item)
        await cold.link.submit(item)
        await cold.quiet()
        cold = Town(store=cold.store)
    await warm.quiet()
    process = items[0].id
    for item in items:
        assert (await warm.link.result(process, item.id)).encode() == (
            await cold.link.result(process, item.id)
        ).encode()


async def test_a_part_that_is_away_delays_an_evaluation_and_is_never_a_process_error():
    evaluators = FakeEvaluators()
    town = await Town.founded(evaluators=evaluators)
    process = await town.spawn()
    await town.quiet()
    evaluators.refuse = [NotYet("the engine is away") for _ in range(5)]
    message = await town.do(process, ["set", "x", 1])
    assert (await town.link.result(process, message)).error is None
    assert evaluators.applied == [(process, process), (process, message)]


class StumblingStore(MemoryStore):
    """Fails the appends of attestations as often as it is told, with the error it is told."""

    def __init__(self):
        super().__init__()
        self.stumbles = []

    async def append(self, items, notes={}):  # noqa: B006
        if self.stumbles and any(item.address == COMPUTE.address for item in items):
            raise self.stumbles.pop()
        await super().append(items, notes)


@pytest.mark.parametrize("error", [NotYet("locked"), NodeError("the disk is full"), OSError("unexpected")])
async def test_an_evaluation_that_could_not_be_attested_is_not_applied_twice(error):
    town = await Town.founded(store=StumblingStore())
    process = await town.spawn()
    await town.quiet()
    town.store.stumbles = [error]
    message = await town.do(process, ["set", "x", 1])
    for _ in range(100):
        await asyncio.sleep(0)
    again = await town.do(process, ["get", "seen"], tags=[("N", "1")])
    await town.link.result(process, again)
    seen = [entry[0] for entry in (await town.memory(process))["seen"]]
    assert seen == [process, message, again]
    report = await verify(town.store, FakeEvaluators(), process)
    assert report.agrees, report.first


class SlowDisk(MemoryStore):
    """Attestations become durable only when `flushed` is set; counts how many each append carried."""

    def __init__(self):
        super().__init__()
        self.flushed = asyncio.Event()
        self.flushed.set()
        self.carried = []

    async def append(self, items, notes={}):  # noqa: B006
        if any(item.address == COMPUTE.address for item in items):
            self.carried.append(len(items))
            await self.flushed.wait()
        await super().append(items, notes)


async def test_evaluation_goes_on_while_attestations_wait_for_the_disk_and_nobody_sees_a_result_that_is_not_durable():
    town = await Town.founded(store=SlowDisk())
    process = await town.spawn()
    await town.quiet()
    town.evaluators.gate = asyncio.Event()
    town.store.flushed.clear()
    town.store.carried.clear()
    asked = []
    for number in range(10):
        message = await town.do(process, ["set", "x", number], tags=[("N", str(number))])
        asked.append(asyncio.ensure_future(town.link.result(process, message)))
    town.evaluators.gate.set()
    while len(town.evaluators.applied) < 11:
        await asyncio.sleep(0)
    late = await town.do(process, ["set", "x", "late"], tags=[("N", "late")])
    asked.append(asyncio.ensure_future(town.link.result(process, late)))
    while len(town.evaluators.applied) < 12:
        await asyncio.sleep(0)
    dry_run = await town.link.preview(process, {"Data": json.dumps([["get", "x"]])})
    assert dry_run.output == "late"
    assert not any(result.done() for result in asked)
    assert town.units.compute.evaluated(process).nonce == 0
    town.store.flushed.set()
    assert all(result.error is None for result in await asyncio.gather(*asked))
    assert sum(town.store.carried) == 11 and len(town.store.carried) < 11
    report = await verify(town.store, FakeEvaluators(), process)
    assert report.agrees, report.first


async def test_an_attestation_that_fails_takes_with_it_those_that_would_follow_it():
    town = await Town.founded(store=StumblingStore())
    process = await town.spawn()
    await town.quiet()
    town.store.stumbles = [NodeError("the disk is full")]
    messages = [await town.do(process, ["set", "x", n], tags=[("N", str(n))]) for n in range(5)]
    for _ in range(200):
        await asyncio.sleep(0)
    again = await town.do(process, ["get", "x"], tags=[("N", "5")])
    assert (await town.link.result(process, again)).output == "4"
    assert [entry[0] for entry in (await town.memory(process))["seen"]] == [process, *messages, again]
    report = await verify(town.store, FakeEvaluators(), process)
    assert report.agrees, report.first


async def test_a_result_still_in_memory_is_the_one_that_was_attested():
    town = await Town.founded()
    process = await town.spawn()
    steps = (
        ["set", "x", 1.5],
        ["get", "x"],
        ["show"],
        ["fail", "why"],
        ["send", process, {"A": "ü"}, "d"],
        ["raw", "Messages", 7],
    )
    messages = [await town.do(process, step, tags=[("N", str(n))]) for n, step in enumerate(steps)]
    await town.quiet()
    remembered = [await town.link.result(process, message) for message in messages]
    unit = town.units.compute
    assert len(unit._recent_results) > len(steps)
    unit._recent_results.clear()
    assert [await town.link.result(process, message) for message in messages] == remembered


async def test_a_dry_run_does_not_wait_for_the_whole_schedule():
    evaluators = FakeEvaluators()
    town = await Town.founded(evaluators=evaluators)
    process = await town.spawn()
    await town.quiet()
    evaluators.gate = asyncio.Event()
    for number in range(UNATTESTED_MAX + 8):
        await town.do(process, ["set", "x", number], tags=[("N", str(number))])
    newest = town.units.compute._schedules.newest
    town.units.compute._schedules.newest = lambda process: _nonce(2)  # asked when there were two messages
    asking = asyncio.ensure_future(town.link.preview(process, {"Data": json.dumps([["get", "x"]])}))
    evaluators.gate.set()
    assert int((await asking).output) < UNATTESTED_MAX + 7
    town.units.compute._schedules.newest = newest
    await town.quiet()


async def _nonce(number):
    return number


async def test_a_place_that_nobody_waits_for_is_evaluated_when_what_it_needs_is_back():
    evaluators = FakeEvaluators()
    town = await Town.founded(evaluators=evaluators)
    process = await town.spawn()
    await town.quiet()
    evaluators.refuse = [NotYet("down") for _ in range(30)]
    await town.units.scheduler.submit(message_item(process))
    await town.quiet()
    assert town.units.compute.evaluated(process).nonce == 1


async def test_a_stop_does_not_wait_for_what_cannot_go_on():
    town = await Town.founded(sleep=lambda seconds: asyncio.Event().wait())
    process = process_item(("Module-Missing", "1"))
    tags = [(name, BOB.address if name == "Module" else value) for name, value in process.tags]
    await town.link.submit(sign_item(ALICE, data=b" ", tags=tags))
    for _ in range(20):
        await asyncio.sleep(0)
    await town.units.stop()


async def test_34_with_the_compute_unit_down_for_long_messages_are_delivered_when_it_is_back():
    evaluators = FakeEvaluators()
    town = await Town.founded(evaluators=evaluators)
    a, b = await town.spawn(("Name", "a")), await town.spawn(("Name", "b"))
    await town.quiet()
    evaluators.refuse = [NotYet("down") for _ in range(50)]
    root = await town.do(a, ["send", b, {"Action": "Late"}, ""])
    await town.ended(root)
    assert named((await town.schedule(b))[-1][0], "Action") == ["Late"]


async def test_waits_between_attempts_grow_and_stay_bounded():
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    evaluators = FakeEvaluators()
    town = await Town.founded(evaluators=evaluators, sleep=sleep)
    process = await town.spawn()
    await town.quiet()
    evaluators.refuse = [NotYet("down") for _ in range(7)]
    await town.ended(await town.do(process))
    assert waits == sorted(waits) and len(waits) == 7 and waits[-1] <= 10


async def test_a_replay_that_differs_from_what_was_attested_stops_the_process_loudly(caplog):
    town = await Town.founded()
    process = await town.spawn()
    await town.quiet()
    other = sign_item(COMPUTE, data=Result(output="other").encode(), tags=town.store.find(RESULTS)[0].item.tags)
    await town.store.append([other], {f"ao/result/{process}/{0:012d}": other.id.encode()})
    reborn = Town(store=town.store)
    item = message_item(process, ["send", BOB.address, {}, ""])
    await reborn.link.submit(item)
    with pytest.raises(Diverged):
        await reborn.link.result(process, item.id)
    assert "differs from what was attested" in caplog.text
    events = [event async for event in reborn.link.events(item.id)]
    assert [event["kind"] for event in events if event["kind"] in ("failed", "stored")] == ["failed"]


RESULTS = Query(tags=(("Type", ("Result",)),))


async def test_a_schedule_whose_chain_is_broken_is_not_evaluated():
    town = await Town.founded()
    process = await town.spawn()
    await town.quiet()

    class Lying:
        def __getattr__(self, name):
            return getattr(town.units.scheduler, name)

        async def assignments(self, process, after_nonce=-1, limit=100):
            page = await town.units.scheduler.assignments(process, after_nonce, limit)
            return [(item, msgspec.structs.replace(a, hash_chain=b"\1" * 32)) for item, a in page]

    town.units.scheduler.on_assigned = lambda process, nonce: None
    item = message_item(process)
    await town.units.scheduler.submit(item)
    unit = ComputeUnit(town.store, COMPUTE, Lying(), FakeEvaluators())
    with pytest.raises(Invalid, match=f"HashChain invalid on message {item.id}"):
        await unit.result(process, item.id)


# Modules and limits


def module(**changes) -> object:
    tags = {name: value for name, value in MODULE.tags} | changes
    return sign_item(ALICE, data=b"\0asm", tags=[(n, v) for n, v in tags.items() if v])


async def program(process_tags=(), **module_changes):
    store = MemoryStore()
    item = module(**{name.replace("_", "-"): value for name, value in module_changes.items()})
    await store.append([item])
    process = sign_item(ALICE, tags=[*process_tags, ("Data-Protocol", "ao"), ("Type", "Process"), ("Module", item.id)])
    return program_of(store.view, process, Limits(), ModuleFiles(store))


async def test_the_process_limits_win_over_the_modules_and_extensions_of_both_count():
    found = await program(
        [
            ("Memory-Limit", "1-gb"),
            ("Compute-Limit", "5"),
            ("Extension", "Llama"),
            ("Llama-Model", "m"),
            ("Other", "o"),
        ],
        Extension="WeaveDrive",
    )
    assert (found.memory_limit, found.gas_limit) == (1024**3, 5)
    assert found.extensions == ("Llama", "WeaveDrive") and found.options == {"Llama-Model": "m"}


async def test_a_module_without_limits_gets_the_units_own():
    found = await program(Memory_Limit="", Compute_Limit="")
    assert (found.memory_limit, found.gas_limit) == (Limits().memory_default, Limits().gas_default)


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ([("Memory-Limit", "2-gb")], 'Memory-Limit for process ".*" exceeds supported limit'),
        ([("Memory-Limit", "lots")], 'Memory-Limit for process ".*" exceeds supported limit'),
        ([("Compute-Limit", "9000000000001")], 'Compute-Limit for process ".*" exceeds supported limit'),
        ([("Compute-Limit", "0")], 'Compute-Limit for process ".*" exceeds supported limit'),
    ],
)
async def test_58_limits_over_the_ceiling_are_refused(tags, text):
    with pytest.raises(TooLarge, match=text):
        await program(tags)


@pytest.mark.parametrize("name", ["Module-Format", "Input-Encoding", "Output-Encoding"])
async def test_58_a_module_of_another_kind_is_refused_by_name(name):
    with pytest.raises(Unsupported, match=f'{name} for module ".*" is not supported'):
        await program(**{name.replace("-", "_"): "unknown"})


def test_sizes_are_powers_of_1024_with_or_without_a_dash():
    assert [parse_size(text) for text in ("500-mb", "1-gb", "1gb", "64-KB", "12-b")] == [
        500 * 1024**2, 1024**3, 1024**3, 65536, 12,
    ]  # fmt: skip
    assert parse_size("1") is None and parse_size("-1-mb") is None and parse_size("x") is None


async def test_a_small_module_is_copied_into_a_file_once(tmp_path):
    class Rows(MemoryStore):
        def payload_path(self, id):
            return None

    files = ModuleFiles(Rows(), tmp_path / "modules")
    path = files.path(MODULE)
    assert path.read_bytes() == bytes(MODULE.data) and files.path(MODULE) == path
    temporary = ModuleFiles(Rows())
    path = temporary.path(MODULE)
    temporary.close()
    assert not path.exists()


async def test_a_module_that_comes_late_is_waited_for():
    town = Town()
    process = process_item()
    await town.link.submit(process)
    for _ in range(50):
        await asyncio.sleep(0)
    await town.store.append([MODULE])
    await town.ended(process.id)
    assert town.units.compute.evaluated(process.id).nonce == 0


async def test_a_process_that_can_never_run_ends_its_journeys_with_the_reason():
    town = await Town.founded()
    process = await town.spawn(("Memory-Limit", "100-gb"))
    (failed,) = [event for event in await town.ended(process) if event["kind"] == "failed"]
    assert "exceeds supported limit" in failed["error"]
    assert not town.store.notes("ao/journey/")


# Verification


async def lived(town: Town) -> str:
    a, b = await town.spawn(("Name", "a")), await town.spawn(("Name", "b"))
    await town.do(a, ["send", b, {"Ball": "4"}, ""])
    await town.do(a, ["fail", "boom"], tags=[("N", "1")])
    await town.quiet()
    return a


async def test_verification_replays_to_the_attested_state_root():
    town = await Town.founded()
    process = await lived(town)
    steps = []
    report = await verify(town.store, FakeEvaluators(), process, lambda done, total: steps.append((done, total)))
    assert report.agrees and report.replayed == report.assignments == report.attestations == len(steps)
    assert report.state_root == town.units.compute.evaluated(process).root


async def test_verification_names_the_first_divergence_by_nonce_message_and_field():
    town = await Town.founded()
    process = await lived(town)
    original = town.store.find(Query(tags=(("Type", ("Result",)), ("Process", (process,)), ("Nonce", ("2",)))))[0].item
    wrong = {**json.loads(bytes(original.data)), "Output": "other"}
    tags = [(n, "A" * 43 if n == "State-Root" else v) for n, v in original.tags]
    await town.store.append([sign_item(BOB, data=json.dumps(wrong).encode(), tags=tags)])
    report = await verify(town.store, FakeEvaluators(), process)
    first = report.first
    assert (first.nonce, first.message) == (2, named(original, "Message")[0])
    assert [d.field for d in report.divergences] == [
        f"Output attested by {BOB.address}",
        f"State-Root attested by {BOB.address}",
    ]
    assert "Output attested by" in str(first) and '"other"' in str(first)


async def aged(store, items) -> None:
    """Store items once more, newer, as an older Puna signed them: their state roots of the rule before ours."""
    for item in items:
        tags = [(n, "A" * 43 if n == "State-Root" else v) for n, v in item.tags if n != "State-Rule"]
        old = sign_item(COMPUTE, data=bytes(item.data), tags=tags)
        notes = {key: value.replace(item.id.encode(), old.id.encode()) for key, value in store.notes("ao/")}
        await store.append([old], notes)


async def test_verification_says_when_a_state_root_follows_a_rule_it_does_not_compute():
    town = await Town.founded()
    process = await lived(town)
    (found,) = town.store.find(Query(tags=(("Type", ("Result",)), ("Process", (process,)), ("Nonce", ("2",)))))
    await aged(town.store, [found.item])
    report = await verify(town.store, FakeEvaluators(), process)
    (only,) = report.divergences
    assert (only.nonce, only.expected, only.found) == (2, "puna-state-1", "puna-state-2")
    assert only.field == f"State-Rule attested by {COMPUTE.address}"


async def test_what_an_older_version_attested_is_replayed_and_its_checkpoints_are_not_used():
    town, process, checkpoints = await chained(5)
    results = town.store.find(Query(tags=(("Type", ("Result",)), ("Process", (process,)))))
    await aged(town.store, [*(entry.item for entry in results), *checkpoints])
    reborn = Town(store=town.store, evaluators=FakeEvaluators(gas=10**9))
    message = await reborn.do(process, ["get", "n"])
    assert (await reborn.link.result(process, message)).output == "4"
    assert len(reborn.evaluators.applied) == len(results) + 1 == 8  # all of it, from nothing
    again = town.store.find(Query(tags=(("Type", ("Result",)), ("Message", (message,)))))[0].item
    assert named(again, "State-Rule") == ["puna-state-2"]


async def test_verification_finds_a_schedule_with_a_gap_a_false_chain_and_a_duplicate():
    town = await Town.founded()
    process = await lived(town)
    last = (await town.schedule(process))[-1][1]
    tags = [(n, str(last.nonce + 2) if n == "Nonce" else v) for n, v in last.item.tags]
    await town.store.append([sign_item(SCHEDULER, tags=tags)])
    report = await verify(town.store, FakeEvaluators(), process)
    fields = {d.field for d in report.divergences if d.nonce == last.nonce + 2}
    assert {"nonce", "Hash-Chain", "later than the one before", "places of this item"} <= fields


async def test_verification_finds_a_false_signature_of_a_message():
    town = await Town.founded()
    process = await lived(town)
    item = (await town.schedule(process))[1][0]
    forged = replace(item, data=b'[["set", "x", "forged"]]')
    town.store.by_id[item.id] = forged
    report = await verify(town.store, FakeEvaluators(), process)
    assert ("signature of the item", "not valid") in {(d.field, d.found) for d in report.divergences}


@pytest.mark.parametrize("lost", [["ao/result/"], ["ao/evaluated/", "ao/result/", "ao/checkpoint/"]])
async def test_notes_of_results_are_derived_deleted_no_answer_changes(lost):
    town = await Town.founded()
    process = await lived(town)
    messages = [a.item_id for _, a in await town.schedule(process)]
    before = [(await town.link.result(process, message)).encode() for message in messages]
    items = len(town.store.items)
    for key, _ in [note for prefix in lost for note in town.store.notes(prefix)]:
        del town.store.derived[key]
    reborn = Town(store=town.store)
    await reborn.units.resume()
    await reborn.quiet()
    assert [(await reborn.link.result(process, message)).encode() for message in messages] == before
    assert len(town.store.items) == items
