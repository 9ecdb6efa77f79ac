"""The messenger: letters from any JSON at all, journeys as values, bounded and fair carrying, news for listeners."""

import asyncio
import json
from collections import Counter

import pytest
from ao.fakes import ALICE, BOB, MESSENGER, MODULE, SCHEDULER, FakeEvaluators, Town, message_item, named
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.ao.events import Hub
from puna.ao.message import ProcessId
from puna.ao.messenger.address import Birth, Dropped, Letter, Sender, Share, address
from puna.ao.messenger.journey import (
    Assigned,
    End,
    Evaluate,
    Evaluated,
    Failed,
    Journey,
    Send,
    advance,
    decode_journey,
    encode_journey,
)
from puna.ao.messenger.room import Room
from puna.ao.result import Result
from puna.arweave.dataitem import sign_item
from puna.arweave.tags import Tag
from puna.errors import Invalid, NotYet

SENDER = Sender(ProcessId(ALICE.address), MODULE.id, SCHEDULER.address)
ANCHOR = "1".rjust(32, "0")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
tag_values = st.fixed_dictionaries({"name": st.text(max_size=5) | json_values, "value": json_values})
entries = json_values | st.fixed_dictionaries(
    {},
    optional={
        "Target": st.just(BOB.address) | json_values,
        "Anchor": st.just(ANCHOR) | json_values,
        "Tags": st.lists(tag_values, max_size=3) | json_values,
        "Data": json_values,
        "Processes": st.lists(st.just(BOB.address) | json_values, max_size=3) | json_values,
        "Message": st.just(BOB.address) | json_values,
        "Exclude": json_values,
    },
)


@settings(max_examples=300)
@given(st.lists(entries, max_size=3), st.lists(entries, max_size=2), st.lists(entries, max_size=2))
def test_whatever_a_program_writes_is_a_letter_that_can_be_signed_or_dropped_with_a_reason(messages, spawns, shares):
    parcels = address(Result(tuple(messages), tuple(spawns), tuple(shares)), SENDER, "root")
    for parcel in parcels:
        match parcel:
            case Letter(target, anchor, tags, data, _):
                try:
                    item = sign_item(MESSENGER, data=data, tags=tags, target=target, anchor=anchor)
                except Invalid:
                    continue
                for name in ("From-Process", "Data-Protocol", "Type", "Pushed-For"):
                    assert len(named(item, name)) == 1
            case Birth(tags):
                assert [value for name, value in tags if name == "From-Process"] == [SENDER.process]
            case Share(process, _):
                assert process == BOB.address
            case Dropped(_, _, why):
                assert why


def letter(*tags: tuple[str, object], **changes) -> Letter:
    entry = {"Target": BOB.address, "Anchor": ANCHOR, "Tags": [{"name": n, "value": v} for n, v in tags], "Data": "d"}
    (parcel,) = address(Result(messages=({**entry, **changes},)), SENDER, None)
    return parcel


def test_without_a_root_there_is_no_pushed_for():
    assert [tag.name for tag in letter().tags] == ["Data-Protocol", "Type", "From-Process", "From-Module"]


def test_the_order_of_a_programs_own_tags_is_kept():
    assert [tag.name for tag in letter(("B", "1"), ("A", "2"), ("B", "3")).tags][:3] == ["B", "A", "B"]


@pytest.mark.parametrize("value", [[BOB.address, ALICE.address], json.dumps([BOB.address, ALICE.address]),
                                   f"{BOB.address}, {ALICE.address}"])  # fmt: skip
def test_processes_to_assign_come_as_an_array_as_json_or_with_commas(value):
    assert letter(("Assignments", value)).assign_to == (BOB.address, ALICE.address)


def test_a_spawn_gets_its_tags_in_order_and_cannot_claim_another_parent():
    given_tags = [
        ("Variant", "x"),
        ("Type", "Y"),
        ("From-Process", "f"),
        ("From-Module", "g"),
        ("Module", "m"),
        ("N", "1"),
    ]
    entry = {"Tags": [{"name": n, "value": v} for n, v in given_tags], "Data": "", "Anchor": ANCHOR}
    (birth,) = address(Result(spawns=(entry,)), SENDER, "root")
    assert list(birth.tags) == [
        ("Variant", "x"),
        ("From-Module", MODULE.id),
        ("Module", "m"),
        ("N", "1"),
        ("Variant", "ao.TN.1"),
        ("Data-Protocol", "ao"),
        ("Type", "Process"),
        ("From-Process", SENDER.process),
        ("Pushed-For", "root"),
        ("Scheduler", SCHEDULER.address),
    ]
    assert birth.data == b" "
    assert list(birth.reply) == [
        ("From-Process", SENDER.process),
        ("From-Module", MODULE.id),
        ("Module", "m"),
        ("N", "1"),
    ]


# Journeys as values


class FakeAssignment:
    id = "assignment"


def test_a_journey_is_evaluated_then_sends_and_is_over():
    journey = Journey("item", ProcessId("process"), root="root")
    assert advance(journey, Assigned(FakeAssignment)) == (journey, Evaluate())
    after, command = advance(journey, Evaluated(Result(messages=("nonsense",)), SENDER))
    assert after is None and [type(parcel) for parcel in command.parcels] == [Dropped]


def test_what_stands_beside_an_error_is_not_sent():
    result = Result(messages=("nonsense",), error="returned by the module")
    assert advance(Journey("i", ProcessId("p")), Evaluated(result, SENDER)) == (None, Send([]))


def test_a_birth_is_told_to_the_spawner_before_it_is_evaluated_and_only_once():
    journey = Journey("child", ProcessId("child"), "root", spawner=BOB.address, reply=(Tag("Reference", "7"),))
    after, command = advance(journey, Assigned(FakeAssignment))
    assert isinstance(command, Send) and command.parcels[0].target == BOB.address
    assert list(command.parcels[0].tags) == [
        ("Reference", "7"), ("Data-Protocol", "ao"), ("Type", "Message"), ("Process", "child"), ("Action", "Spawned"),
        ("Variant", "ao.TN.1"),
    ]  # fmt: skip
    assert advance(after, Assigned(FakeAssignment)) == (after, Evaluate())


def test_a_journey_that_can_never_arrive_ends_with_the_reason():
    assert advance(Journey("i", ProcessId("p")), Failed(Invalid("no", "way"))) == (None, End("no way"))


@given(st.builds(Journey, st.text(), st.text(), st.text(), st.booleans(), st.text(),
                 st.lists(st.builds(Tag, st.text(), st.text())).map(tuple), st.text()))  # fmt: skip
def test_a_journey_survives_being_written_down(journey):
    assert decode_journey(encode_journey(journey)) == journey


# Carrying


async def test_the_outbox_of_one_result_is_assigned_in_its_order():
    town = await Town.founded()
    a, b = await town.spawn(("Name", "a")), await town.spawn(("Name", "b"))
    root = await town.do(a, *(["send", b, {"N": str(n)}, ""] for n in range(20)))
    await town.ended(root)
    assert [named(item, "N") for item, _ in (await town.schedule(b))[1:]] == [[str(n)] for n in range(20)]


async def test_a_hop_costs_two_appends():
    town = await Town.founded()
    a, b = await town.spawn(("Name", "a")), await town.spawn(("Name", "b"))
    await town.quiet()
    before = town.store.appends
    await town.ended(await town.do(a, ["send", b, {"Ball": "10"}, ""]))
    assert town.store.appends - before <= 1 + 2 * 12


async def test_a_message_that_begets_ever_more_does_not_crowd_out_others():
    """Each message of this game sends two more, five generations deep; few journeys fit into memory."""
    game = Town(messenger_options={"journeys_max": 40, "root_journeys_max": 8})
    await game.store.append([MODULE])
    a = await game.spawn(("Name", "a"))

    def flood(depth: int, path: str = "0") -> list:
        if depth == 0:
            return []
        return [["send", a, {"P": f"{path}{n}"}, json.dumps(flood(depth - 1, f"{path}{n}"))] for n in range(2)]

    root = await game.do(a, *flood(5))
    most = 0
    other = await game.do(a, ["send", BOB.address, {}, "served"])
    served = asyncio.create_task(game.ended(other))
    while game.store.notes("ao/journey/"):
        most = max(most, len(game.units.messenger._running))
        await asyncio.sleep(0)
    assert "stored" in [event["kind"] for event in await served]
    assert most <= 8 + 2
    assert len(await game.schedule(a)) == 1 + 1 + 62 + 1
    assert [event["kind"] for event in await game.ended(root)].count("evaluated") == 63


async def test_journeys_without_end_do_not_starve_their_own_siblings_or_other_roots():
    """Twelve games without end begin from one message, with room for four; each of them goes on."""
    town = await Town.founded(messenger_options={"journeys_max": 8, "root_journeys_max": 4})
    a, b = await town.spawn(("Name", "a")), await town.spawn(("Name", "b"))
    await town.do(a, *(["send", b, {"Ball": str(1000 * (n + 1))}, ""] for n in range(12)))
    other = await town.do(a, ["send", BOB.address, {}, "served"])
    assert "stored" in [event["kind"] for event in await town.ended(other)]
    while await town.units.scheduler.newest(b) < 240:
        await asyncio.sleep(0)
    await town.units.stop()
    balls = [int(named(item, "Ball")[0]) for item, _ in (await town.schedule(b))[1:]]
    hops = Counter(-(-ball // 1000) for ball in balls)  # a ball counts down from a thousand of its own
    assert len(hops) == 12 and min(hops.values()) >= 5, hops


async def test_with_no_room_for_another_root_users_are_asked_to_come_again():
    town = await Town.founded(evaluators=FakeEvaluators(), messenger_options={"journeys_max": 2})
    town.evaluators.gate = asyncio.Event()
    process = await town.spawn()
    await town.do(process)
    with pytest.raises(NotYet, match="2 messages are under way"):
        await town.do(process, tags=[("N", "1")])
    town.evaluators.gate.set()
    await town.quiet()


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 12), st.integers(1, 6))
def test_room_is_shared_nobody_is_forgotten_and_the_last_of_a_root_is_known(arrivals, journeys_max, root_max):
    room = Room(journeys_max, root_max)
    running, resting = [], []
    for root in arrivals:
        if room.arrive(root):
            room.run(root)
            running.append(root)
        else:
            resting.append(root)
        assert room.resting(root) == resting.count(root)
        assert running.count(root) <= root_max
    while running:
        root = running.pop()
        last = room.leave(root)
        assert last == (root not in running and root not in resting)
        for waiting in list(resting):
            if room.hungry() and room.has_room(waiting):
                resting.remove(waiting)
                room.run(waiting)
                running.append(waiting)
    assert not resting and room.roots == 0


async def test_a_user_who_hangs_up_leaves_no_journey_unwalked():
    town = await Town.founded()
    process = await town.spawn()
    await town.quiet()
    item = message_item(process, ["send", BOB.address, {}, "x"])
    calling = asyncio.create_task(town.link.submit(item))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    events = await town.ended(item.id)
    assert "stored" in [event["kind"] for event in events]


async def test_a_game_without_end_leaves_room_for_others_and_goes_on_after_a_restart():
    town = await Town.founded()
    a, b = await town.spawn(("Name", "a")), await town.spawn(("Name", "b"))
    await town.do(a, ["send", b, {"Ball": "1000000"}, ""])
    for n in range(20):
        message = await town.do(a, ["set", "x", n], ["get", "x"])
        assert (await town.link.result(a, message)).output == str(n)
    await town.units.stop()
    head = await town.units.scheduler.newest(a)
    reborn = Town(store=town.store)
    await reborn.units.resume()
    while await reborn.units.scheduler.newest(a) < head + 10:
        await asyncio.sleep(0)
    await reborn.units.stop()


# News


async def test_tokens_of_a_model_reach_the_listener_under_the_root():
    town = await Town.founded()
    a, b = await town.spawn(("Name", "a")), await town.spawn(("Name", "b"))
    root = await town.do(a, ["send", b, {}, ""])
    tokens = [event for event in await town.ended(root) if event["kind"] == "token"]
    assert [event["process"] for event in tokens] == [a, b] and tokens[0]["text"] == "a"


async def test_news_of_a_long_text_bring_its_beginning_and_say_so():
    town = await Town.founded()
    process = await town.spawn()
    root = await town.do(process, ["send", BOB.address, {}, "x" * 100_000], ["send", BOB.address, {}, "short"])
    long, short = [event for event in await town.ended(root) if event["kind"] == "stored"]
    assert (len(long["item"]["data"]), long["cut"]) == (65_536, True)
    assert (short["item"]["data"], short["cut"]) == ("short", False)
    assert len(town.store.view(long["message"]).data) == 100_000


async def test_a_slow_listener_loses_the_oldest_news_and_is_told_so():
    hub = Hub(listener_max=3)
    listener = hub.subscribe()
    for n in range(5):
        hub.publish({"kind": "n", "root": None, "n": n})
    assert await anext(listener) == {"kind": "gap", "root": None, "missed": 2}
    assert [(await anext(listener))["n"] for _ in range(3)] == [2, 3, 4]


async def test_who_subscribes_after_submitting_hears_the_journey_from_its_beginning_and_its_end():
    hub = Hub()
    hub.publish({"kind": "accepted", "root": "r"})
    hub.publish({"kind": "accepted", "root": "other"})
    async with hub.subscribe("r") as listener:
        hub.publish({"kind": "finished", "root": "r"})
        assert [event["kind"] async for event in listener] == ["accepted", "finished"]
    assert not hub._subscriptions


@given(st.lists(st.sampled_from(["a", "b", "c", None])), st.lists(st.sampled_from(["a", "b", "c", None])))
async def test_a_listener_to_a_journey_hears_what_is_kept_of_it_and_all_that_follows(before, after):
    hub = Hub(backlog_max=4)
    for number, root in enumerate(before):
        hub.publish({"kind": "n", "root": root, "n": number})
    listener = hub.subscribe("a")
    for number, root in enumerate(after, len(before)):
        hub.publish({"kind": "n", "root": root, "n": number})
    hub.publish({"kind": "finished", "root": "a"})
    roots = list(enumerate([*before, *after]))
    kept = max(len(before) - 4, 0)
    heard = [event["n"] async for event in listener if event["kind"] == "n"]
    assert heard == [number for number, root in roots if root == "a" and number >= kept]


async def test_a_listener_to_a_process_hears_what_happens_there_whoever_began_it():
    hub = Hub()
    async with hub.subscribe(process="world") as listener:
        for root, process in (("r", "elsewhere"), ("r", "world"), ("s", "world")):
            hub.publish({"kind": "evaluated", "root": root, "process": process})
        hub.publish({"kind": "finished", "root": "r"})
        assert [(await anext(listener))["root"] for _ in range(2)] == ["r", "s"]


async def test_a_listener_that_is_closed_ends():
    hub = Hub()
    listener = hub.subscribe()
    waiting = asyncio.create_task(anext(listener, "over"))
    await asyncio.sleep(0)
    listener.close()
    assert await waiting == "over"
