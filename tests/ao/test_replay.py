"""The law above all: replaying a schedule from nothing gives the memory and outboxes we had live."""

import asyncio
import json

from ao.fakes import BOB, FakeEvaluators, MemoryStore, Town, message_item, process_item
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.ao.compute.verify import verify, verify_message

PROCESSES = [process_item(("Name", name)) for name in "abc"]

targets = st.sampled_from([process.id for process in PROCESSES] + [BOB.address])
leaf = st.one_of(
    st.tuples(st.just("set"), st.sampled_from("xy"), st.integers(0, 9)),
    st.tuples(st.just("get"), st.sampled_from("xy")),
    st.tuples(st.just("fail"), st.just("boom")),
    st.tuples(st.just("spawn"), st.just({"Name": "child"})),
    st.tuples(st.just("send"), targets, st.just({"Ball": "2"}), st.just("")),
)
steps = st.lists(
    st.one_of(
        leaf,
        st.tuples(st.just("send"), targets, st.just({}), st.lists(leaf, max_size=2).map(json.dumps)),
    ),
    max_size=3,
)
stories = st.lists(st.tuples(st.integers(0, 2), steps), min_size=1, max_size=6)


async def live(story, **options) -> Town:
    town = await Town.founded(store=MemoryStore(), **options)
    for process in PROCESSES:
        await town.link.submit(process)
    for n, (which, what) in enumerate(story):
        await town.link.submit(message_item(PROCESSES[which].id, *what, tags=[("N", str(n))]))
    await town.quiet()
    return town


async def one_by_one(town, process, whole):
    """Each message by itself, from the checkpoint before it, is what it was in the whole replay."""
    for _, place in await town.link.assignments(process):
        alone = await verify_message(town.store, FakeEvaluators(gas=10**9), process, place.item_id)
        assert alone.agrees and -1 <= alone.since < place.nonce, alone.first
        assert alone.replayed == place.nonce - alone.since
    assert alone.state_root == whole.state_root


@settings(max_examples=40, deadline=None)
@given(stories, st.integers(1, 5), st.integers(1, 3))
def test_a_replay_from_nothing_is_what_was_lived(story, checkpoint_every, attached_max):
    async def compare():
        evaluators = FakeEvaluators(gas=10**9)
        town = await live(
            story, evaluators=evaluators, checkpoint_evaluations=checkpoint_every, attached_max=attached_max
        )
        for process, nonce in await town.units.scheduler.heads():
            report = await verify(town.store, FakeEvaluators(gas=10**9), process)
            assert report.agrees, report.first
            assert report.replayed == report.attestations == nonce + 1
            assert report.state_root == town.units.compute.evaluated(process).root
            await one_by_one(town, process, report)
        await town.units.stop()

    asyncio.run(compare())


@settings(max_examples=25, deadline=None)
@given(stories, st.integers(1, 3), st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)))
def test_restarts_from_any_chain_of_checkpoints_change_nothing(story, checkpoint_every, restarts, losses):
    async def compare():
        options = {"checkpoint_evaluations": checkpoint_every, "attached_max": 2}
        town = await Town.founded(store=MemoryStore(), evaluators=FakeEvaluators(gas=10**9), **options)
        for process in PROCESSES:
            await town.link.submit(process)
        for n, (which, what) in enumerate(story):
            await town.link.submit(message_item(PROCESSES[which].id, *what, tags=[("N", str(n))]))
            await town.quiet()
            if n in losses:
                town.evaluators.memories.clear()
                town.evaluators.kept.clear()
            if n in restarts:
                await town.units.stop()
                town = Town(store=town.store, evaluators=FakeEvaluators(gas=10**9), **options)
                await town.units.resume()
        await town.quiet()
        for process, nonce in await town.units.scheduler.heads():
            report = await verify(town.store, FakeEvaluators(gas=10**9), process)
            assert report.agrees and report.replayed == nonce + 1, report.first
            assert report.state_root == town.units.compute.evaluated(process).root
        await town.units.stop()

    asyncio.run(compare())


@settings(max_examples=25, deadline=None)
@given(stories, st.integers(0, 12))
def test_a_live_memory_a_checkpointed_one_and_one_lost_on_the_way_attest_the_same(story, lose_in):
    async def roots(**options) -> dict:
        town = await live(story, **options)
        # Which of two processes goes first is nobody's promise, so the same schedules are evaluated again.
        schedules = town.units.scheduler
        found = {process: town.units.compute.evaluated(process).root for process, _ in await schedules.heads()}
        await town.units.stop()
        for kind in ("ao/evaluated/", "ao/result/", "ao/checkpoint/"):
            for key, _ in town.store.notes(kind):
                del town.store.derived[key]
        again = Town(store=town.store, evaluators=FakeEvaluators(lose_in=lose_in), attached_max=2)
        await again.units.resume()
        await again.quiet()
        assert found == {process: again.units.compute.evaluated(process).root for process in found}

    asyncio.run(roots(checkpoint_evaluations=2))
