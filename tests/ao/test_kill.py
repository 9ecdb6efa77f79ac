"""Promise 1: an acknowledged message is never lost and never applied twice, whatever is killed, whenever.

The machine dies at every single append a story makes, just before it is durable and just after; new units over the
same store must bring the story to the same end.
"""

import asyncio
import json
import os
from collections import Counter

import pytest
from ao.fakes import BOB, MESSENGER, FakeEvaluators, MemoryStore, MortalStore, Town, message_item, named, process_item

from puna.arweave.wallet import Wallet

PARENT, PING, PONG = (process_item(("Name", name)) for name in ("parent", "ping", "pong"))


def story_items():
    """A process that spawns, two that play, a wallet that is answered, an error, an assignment, a chain of three."""
    onward = json.dumps([["send", PONG.id, {"Ball": "1"}, ""], ["send", BOB.address, {"Answer": "y"}, "yes"]])
    return [
        PARENT,
        PING,
        PONG,
        message_item(PARENT.id, ["spawn", {"Name": "child"}], ["send", PING.id, {"Ball": "3"}, onward]),
        message_item(PING.id, ["set", "x", 1], ["send", PONG.id, {"Ball": "4"}, ""]),
        message_item(PONG.id, ["set", "x", 2], ["fail", "boom"], tags=[("N", "1")]),
        message_item(PING.id, ["raw", "Assignments", {"Processes": [PONG.id], "Message": PARENT.id}]),
    ]


async def tell(town: Town, items) -> None:
    for item in items:
        await town.link.submit(item)
    await town.quiet()


BEFORE_AND_AFTER = pytest.mark.parametrize("before", [True, False], ids=["just before", "just after"])


async def abandon(tasks_before: set) -> None:
    """Everything that ran on the dead machine is gone."""
    dead = [task for task in asyncio.all_tasks() if task not in tasks_before and task is not asyncio.current_task()]
    for task in dead:
        task.cancel()
    await asyncio.gather(*dead, return_exceptions=True)


async def tell_and_die(inner: MemoryStore, k: int, before: bool, **options) -> tuple[list, bool]:
    """Tell the story to units that die at their k-th append; answers what they acknowledged, and whether they died."""
    mortal = MortalStore(inner, k, before=before)
    others = asyncio.all_tasks()
    town = Town(store=mortal, **options)
    acknowledged = []

    async def tell_until_death():
        for item in story_items():
            await town.link.submit(item)
            acknowledged.append(item)
        await town.quiet()

    telling = asyncio.create_task(tell_until_death())
    dying = asyncio.create_task(mortal.dead.wait())
    await asyncio.wait([telling, dying], return_when=asyncio.FIRST_COMPLETED)
    died = mortal.dead.is_set()
    await abandon(others)
    return acknowledged, died


async def end_state(town: Town) -> dict:
    """What a story comes to: each process's memory, and who was sent what, whatever the order among processes."""
    processes = [process for process, _ in await town.units.scheduler.heads()]
    memories = {}
    for process in processes:
        memory = await town.memory(process)
        memory["seen"] = sorted(memory["seen"], key=json.dumps)
        memories[process] = memory
    stored = sorted(item.id for item in town.store.items if item.target == BOB.address)
    return {"memories": memories, "stored": stored}


async def expected() -> tuple[dict, int]:
    town = await Town.founded(store=MemoryStore())
    before = town.store.appends
    await tell(town, story_items())
    state = await end_state(town)
    appends = town.store.appends - before
    await town.units.stop()
    return state, appends


@BEFORE_AND_AFTER
async def test_33_a_story_ends_alike_whenever_the_machine_dies(before):
    state, appends = await expected()
    assert appends > 20
    died = 0
    for k in range(1, appends + 1):
        inner = (await Town.founded()).store
        acknowledged, was_killed = await tell_and_die(inner, k, before)
        died += was_killed

        town = Town(store=inner)
        await town.units.resume()
        await town.quiet()
        for item in acknowledged:
            process = item.target or item.id
            assert await town.link.result(process, item.id)
        # The user repeats what was not acknowledged; whatever arrived after all is not applied twice.
        await tell(town, story_items()[len(acknowledged) :])
        assert await end_state(town) == state, f"killed at append {k}"
        assert not town.store.notes("ao/journey/")
        await town.units.stop()
    assert died >= appends * 3 // 4


async def shape(town: Town) -> list:
    """What a story comes to when ids differ from run to run: for each name, who got what from whom, counted."""
    names = {}
    for process, _ in await town.units.scheduler.heads():
        names[process] = named(town.store.view(process), "Name")[0]
    told = Counter()
    for process, name in names.items():
        for item, _ in await town.schedule(process):
            sender = names.get((named(item, "From-Process") or [""])[0], "a user")
            told[name, sender, *named(item, "Action"), *named(item, "Ball"), bytes(item.data)[:8]] += 1
    told["stored"] = sum(item.target == BOB.address for item in town.store.items)
    return sorted(told.items(), key=str)


@BEFORE_AND_AFTER
async def test_nor_does_it_matter_that_a_key_signs_the_same_letter_differently_each_time(before):
    """As RSA keys do. The signatures are noise: between units of one node nobody checks them twice."""
    forgetful = Wallet(2, MESSENGER.owner, lambda message: os.urandom(64), {})
    town = await Town.founded(messenger=forgetful)
    await tell(town, story_items())
    wanted, appends = await shape(town), town.store.appends
    for k in range(1, appends + 1):
        inner = (await Town.founded()).store
        acknowledged, _ = await tell_and_die(inner, k, before, messenger=forgetful)
        reborn = Town(store=inner, messenger=forgetful)
        await reborn.units.resume()
        await reborn.quiet()
        await tell(reborn, story_items()[len(acknowledged) :])
        assert await shape(reborn) == wanted, f"killed at append {k}"
        await reborn.units.stop()


async def test_what_the_scheduler_accepted_is_evaluated_after_a_restart_without_anybody_asking():
    town = await Town.founded()
    process = await town.spawn()
    await town.quiet()
    town.units.scheduler.on_assigned = lambda process, nonce: None  # the machine stops before evaluation begins
    item = message_item(process, ["set", "x", 1])
    await town.units.scheduler.submit(item)
    reborn = Town(store=town.store)
    await reborn.units.resume()
    await reborn.quiet()
    assert reborn.evaluators.applied[-1] == (process, item.id)
    assert reborn.units.compute.evaluated(process).nonce == 1


async def test_results_attested_before_a_restart_are_served_without_evaluating():
    town = await Town.founded()
    process = await town.spawn()
    message = await town.do(process, ["set", "x", 5], ["get", "x"])
    before = await town.link.result(process, message)
    reborn = Town(store=town.store)
    await reborn.units.resume()
    assert await reborn.link.result(process, message) == before
    assert reborn.evaluators.applied == []


async def test_memories_lost_at_any_moment_are_replayed_and_nothing_else_changes():
    state, _ = await expected()
    for moment in range(0, 40, 3):
        town = await Town.founded(evaluators=FakeEvaluators(lose_in=moment))
        await tell(town, story_items())
        assert await end_state(town) == state
        await town.units.stop()
