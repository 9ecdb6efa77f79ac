"""A fork goes on from another process's memory, is a process like any other from there, and replays to the same."""

import json

import pytest
from ao.fakes import BOB, COMPUTE, FakeEvaluators, MemoryStore, Town, message_item, process_item, wallet

from puna.ao.compute.verify import verify
from puna.arweave.dataitem import sign_item
from puna.errors import Invalid


def fork_tags(origin: str, message: str) -> list[tuple[str, str]]:
    return [("Fork-Of", origin), ("Fork-Message", message)]


async def told(town: Town, process: str, name: str):
    """A value of the process's memory, asked for in a dry-run."""
    body = {"Data": json.dumps([["get", name]]), "Owner": BOB.address}
    return (await town.link.preview(process, body)).output


async def counted_to(town: Town, *values: int) -> tuple[str, list[str]]:
    """A process in whose memory x was set to each value in turn; the ids of the messages that did it."""
    process = await town.spawn(("Name", "origin"))
    return process, [await town.do(process, ("set", "x", value), tags=[("N", str(value))]) for value in values]


async def agrees(town: Town, process: str, **options) -> None:
    report = await verify(town.store, FakeEvaluators(), process, **options)
    assert report.agrees, report.first
    assert report.state_root == town.units.compute.evaluated(process).root


async def test_a_fork_begins_with_the_memory_after_the_message_it_names():
    town = await Town.founded()
    origin, messages = await counted_to(town, 1, 2, 3)
    for message, value in zip(messages, ("1", "2", "3"), strict=True):
        fork = await town.spawn(*fork_tags(origin, message), ("Name", f"at {value}"))
        assert await told(town, fork, "x") == value
    await town.units.stop()


async def test_a_fork_and_its_origin_live_apart_and_both_are_verified():
    town = await Town.founded()
    origin, messages = await counted_to(town, 1, 2)
    fork = await town.spawn(*fork_tags(origin, messages[0]))
    await town.do(fork, ("set", "y", 7))
    await town.do(origin, ("set", "x", 9))
    await town.quiet()
    assert [await told(town, fork, name) for name in "xy"] == ["1", "7"]
    assert [await told(town, origin, name) for name in "xy"] == ["9", ""]
    await agrees(town, fork)
    await agrees(town, origin)
    await town.units.stop()


async def test_the_birth_of_the_origin_is_a_place_to_fork_from():
    town = await Town.founded()
    origin, _ = await counted_to(town, 1)
    fork = await town.spawn(*fork_tags(origin, origin))
    await town.quiet()
    assert await told(town, fork, "x") == ""
    assert [entry[0] for entry in (await memory_of(town, fork))["seen"]] == [origin, fork]
    await town.units.stop()


async def memory_of(town: Town, process: str) -> dict:
    snapshot = (await town.units.compute.state(process)).snapshot
    return json.loads(snapshot.removeprefix(b"fake:"))


async def test_a_fork_of_a_fork_goes_back_as_far_as_it_must():
    town = await Town.founded(attached_max=1)
    origin, messages = await counted_to(town, 1, 2)
    first = await town.spawn(*fork_tags(origin, messages[0]))
    said = await town.do(first, ("set", "y", 5))
    await town.do(first, ("set", "y", 6))
    second = await town.spawn(*fork_tags(first, said))
    assert [await told(town, second, name) for name in "xy"] == ["1", "5"]
    await town.quiet()
    await agrees(town, second)
    await town.units.stop()


@pytest.mark.parametrize("checkpoint_every", [1, 64])
async def test_a_restart_and_a_lost_evaluator_bring_a_fork_back(checkpoint_every):
    town = await Town.founded(store=MemoryStore(), checkpoint_evaluations=checkpoint_every)
    origin, messages = await counted_to(town, 4, 5)
    fork = await town.spawn(*fork_tags(origin, messages[0]))
    await town.do(fork, ("set", "y", 8))
    await town.quiet()
    await town.units.stop()
    reborn = Town(store=town.store, checkpoint_evaluations=checkpoint_every)
    await reborn.units.resume()
    assert [await told(reborn, fork, name) for name in "xy"] == ["4", "8"]
    reborn.evaluators.memories.clear()
    reborn.evaluators.kept.clear()
    assert [await told(reborn, fork, name) for name in "xy"] == ["4", "8"]
    await reborn.units.stop()


async def test_a_fork_is_looked_at_as_it_was():
    town = await Town.founded()
    origin, messages = await counted_to(town, 1, 2)
    fork = await town.spawn(*fork_tags(origin, messages[1]))
    first = await town.do(fork, ("set", "x", 10))
    await town.do(fork, ("set", "x", 20))
    await town.quiet()
    body = {"Data": json.dumps([["get", "x"]]), "Owner": BOB.address}
    assert (await town.link._compute.preview(fork, body, fork)).output == "2"
    assert (await town.link._compute.preview(fork, body, first)).output == "10"
    await town.units.stop()


async def test_more_forks_than_there_is_room_for_wait_for_their_origin_without_standing_in_its_way():
    town = await Town.founded(attached_max=1)
    origin = process_item(("Name", "origin"))
    setting = message_item(origin.id, ("set", "x", 3))
    forks = [process_item(*fork_tags(origin.id, setting.id), ("Name", str(n))) for n in range(4)]
    for item in (origin, setting, *forks):
        await town.link.submit(item)
    await town.quiet()
    assert [await told(town, fork.id, "x") for fork in forks] == ["3"] * 4
    await town.units.stop()


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ([("Fork-Of", "A" * 43)], "only one of the tags"),
        ([("Fork-Message", "A" * 43)], "only one of the tags"),
        (fork_tags("A" * 43, "A" * 43), "not scheduled here"),
    ],
)
async def test_a_fork_from_nowhere_never_runs_and_says_why(tags, why):
    town = await Town.founded()
    fork = await town.spawn(*tags)
    with pytest.raises(Invalid, match=why):
        await town.link.result(fork, fork)
    await town.units.stop()


async def test_a_fork_after_a_message_that_the_origin_does_not_have_never_runs():
    town = await Town.founded()
    origin, _ = await counted_to(town, 1)
    other, messages = (await town.spawn(("Name", "other")), [])
    messages.append(await town.do(other, ("set", "x", 2)))
    fork = await town.spawn(*fork_tags(origin, messages[0]))
    with pytest.raises(Invalid, match="not scheduled here"):
        await town.link.result(fork, fork)
    await town.units.stop()


async def test_a_fork_with_another_module_never_runs():
    town = await Town.founded()
    origin, messages = await counted_to(town, 1)
    module = town.store.view(dict(town.store.view(origin).tags)["Module"])
    other = sign_item(wallet("another"), data=bytes(module.data), tags=module.tags)
    await town.store.append([other])
    made = process_item(*fork_tags(origin, messages[0]))
    tags = [(name, other.id if name == "Module" else value) for name, value in made.tags]
    fork = sign_item(wallet("alice"), data=b" ", tags=tags, anchor=b"2" * 32)
    await town.link.submit(fork)
    with pytest.raises(Invalid, match="another module"):
        await town.link.result(fork.id, fork.id)
    await town.units.stop()


async def test_verifying_a_fork_finds_what_is_false_in_its_origin():
    """Somebody signs another result for a message of the origin: the fork stands on it, so it does not agree."""
    town = await Town.founded()
    origin, messages = await counted_to(town, 1, 2)
    fork = await town.spawn(*fork_tags(origin, messages[0]))
    await town.quiet()
    (true,) = [
        item
        for item in town.store.items
        if ("Type", "Result") in item.tags and ("Message", messages[0]) in item.tags
    ]  # fmt: skip
    tags = [(name, "A" * 43 if name == "State-Root" else value) for name, value in true.tags]
    await town.store.append([sign_item(COMPUTE, data=bytes(true.data), tags=tags)])
    report = await verify(town.store, FakeEvaluators(), fork)
    assert not report.agrees and report.first.message == messages[0] and "State-Root" in report.first.field
    await town.units.stop()
