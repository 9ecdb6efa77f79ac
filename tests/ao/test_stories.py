"""Stories of the local network: what users and processes see of the three units together."""

import json

import pytest
from ao.fakes import ALICE, BOB, MESSENGER, MODULE, SCHEDULER, Town, message_item, named, process_item, reference_seed

from puna.ao.message import to_feed
from puna.arweave.dataitem import sign_item, verify_item
from puna.errors import Invalid, Missing


async def test_a_message_is_assigned_evaluated_and_its_result_served():
    town = await Town.founded()
    process = await town.spawn()
    message = await town.do(process, ["set", "x", 7], ["get", "x"])
    result = await town.link.result(process, message)
    assert result.output == "7" and result.error is None
    assert [a.nonce for _, a in await town.schedule(process)] == [0, 1]


async def test_events_tell_a_journey_from_its_beginning_to_its_end():
    town = await Town.founded()
    process = await town.spawn()
    await town.quiet()
    message = await town.do(process, ["send", BOB.address, {"Action": "Hello"}, "hi"])
    events = await town.ended(message)
    assert [event["kind"] for event in events] == [
        "accepted", "assigned", "token", "evaluated", "stored", "finished",
    ]  # fmt: skip
    assert {event["root"] for event in events} == {message}
    stored = events[-2]
    assert stored["target"] == BOB.address and stored["item"]["data"] == "hi"
    json.dumps(events)


async def test_two_processes_play_ping_pong_until_the_ball_rests():
    town = await Town.founded()
    ping, pong = await town.spawn(("Name", "ping")), await town.spawn(("Name", "pong"))
    root = await town.do(ping, ["send", pong, {"Ball": "6"}, ""])
    await town.ended(root)
    assert [len(await town.schedule(p)) for p in (ping, pong)] == [1 + 1 + 3, 1 + 4]
    last_item, _ = (await town.schedule(pong))[-1]
    assert named(last_item, "Ball") == ["0"]


async def test_25_an_outbox_message_bears_who_sent_it_and_why():
    town = await Town.founded()
    sender, receiver = await town.spawn(("Name", "a")), await town.spawn(("Name", "b"))
    root = await town.do(
        sender, ["send", receiver, {"From-Process": "forged", "Type": "X", "Pushed-For": "y", "Data-Protocol": "z"}, ""]
    )
    await town.ended(root)
    item, _ = (await town.schedule(receiver))[-1]
    reference = reference_seed({"Id": root}) + "1"
    verify_item(item)
    assert list(item.tags) == [
        ("Variant", "ao.TN.1"),
        ("Reference", reference),
        ("Data-Protocol", "ao"),
        ("Type", "Message"),
        ("From-Process", sender),
        ("From-Module", MODULE.id),
        ("Pushed-For", root),
    ]
    assert (
        item.address == MESSENGER.address
        and bytes(item.data) == b" "
        and item.anchor == reference.rjust(32, "0").encode()
    )


async def test_26_pushed_for_stays_the_root_two_hops_down():
    town = await Town.founded()
    a, b, c = [await town.spawn(("Name", name)) for name in "abc"]
    onward = json.dumps([["send", c, {}, "end"]])
    root = await town.do(a, ["send", b, {}, onward])
    await town.ended(root)
    item, _ = (await town.schedule(c))[-1]
    assert named(item, "Pushed-For") == [root] and named(item, "From-Process") == [b]


async def test_27_the_receiver_sees_the_process_as_sender_and_the_messenger_as_owner():
    town = await Town.founded()
    a, b = [await town.spawn(("Name", name)) for name in "ab"]
    await town.ended(await town.do(a, ["send", b, {}, json.dumps([["show"]])]))
    _, assignment = (await town.schedule(b))[-1]
    seen = json.loads((await town.link.result(b, assignment.item_id)).output["data"])
    assert seen["From"] == a and seen["Owner"] == seen["Forwarded-By"] == MESSENGER.address


async def test_28_a_message_to_a_wallet_is_kept_but_not_scheduled():
    town = await Town.founded()
    process = await town.spawn()
    events = await town.ended(await town.do(process, ["send", BOB.address, {"Answer": "42"}, "text"]))
    (stored,) = [event for event in events if event["kind"] == "stored"]
    item = town.store.view(stored["message"])
    assert to_feed(item) == stored["item"] and named(item, "Answer") == ["42"]
    assert not await town.units.scheduler.knows(BOB.address)


async def test_29_an_entry_that_cannot_be_sent_is_dropped_and_its_siblings_delivered():
    town = await Town.founded()
    a, b = [await town.spawn(("Name", name)) for name in "ab"]
    good = {"Target": b, "Anchor": "1".rjust(32, "0"), "Tags": [], "Data": ""}
    bad = [
        {**good, "Anchor": None},
        {**good, "Anchor": "short"},
        {**good, "Tags": [{"name": "T", "value": {"a": 1}}]},
        {**good, "Tags": [{"name": "T", "value": "x" * 3073}]},
        {**good, "Tags": [{"name": f"T{n}", "value": "y" * 1500} for n in range(3)]},
        {**good, "Tags": [{"name": f"T{n}", "value": "y"} for n in range(129)]},
        {**good, "Tags": "none"},
        {**good, "Target": "nobody"},
        {**good, "Data": {"a": 1}},
        {"Target": b},
        "nonsense",
        None,
    ]
    numbers = [{"name": "N", "value": 3.0}, {"name": "B", "value": True}, {"name": "I", "value": 5}]
    entries = [*bad, {**good, "Tags": numbers, "Data": 1.5}]
    root = await town.do(a, *(["raw", "Messages", entry] for entry in entries))
    events = await town.ended(root)
    assert len([event for event in events if event["kind"] == "failed"]) == len(bad)
    ((item, _),) = (await town.schedule(b))[1:]
    assert (named(item, "N"), named(item, "B"), named(item, "I")) == (["3"], ["true"], ["5"])
    assert bytes(item.data) == b"1.5"


async def test_30_a_process_spawns_a_process_and_is_told_of_it():
    town = await Town.founded()
    parent = await town.spawn()
    root = await town.do(parent, ["spawn", {"Name": "child", "Authority": "someone"}])
    events = await town.ended(root)
    notice, _ = (await town.schedule(parent))[-1]
    assert named(notice, "Action") == ["Spawned"] and named(notice, "Reference") == [reference_seed({"Id": root}) + "1"]
    assert named(notice, "From-Process") == [parent]
    (child,) = named(notice, "Process")
    ((item, assignment),) = await town.schedule(child)
    assert assignment.nonce == 0 and item.target == "" and item.anchor == b""
    assert named(item, "From-Process") == [parent] and named(item, "Scheduler") == [SCHEDULER.address]
    assert named(item, "Pushed-For") == [root] and named(item, "Name") == ["child"]
    assert [e["process"] for e in events if e["kind"] == "evaluated"].count(child) == 1


async def test_31_a_spawn_without_module_fails_without_harm_to_its_siblings():
    town = await Town.founded()
    parent = await town.spawn()
    root = await town.do(parent, ["spawn", {"Module": ""}], ["spawn", {"Name": "second"}])
    events = await town.ended(root)
    (failed,) = [event for event in events if event["kind"] == "failed"]
    assert failed["error"] == "No Module tag found on 'Process' DataItem"
    assert [named(item, "Action") for item, _ in await town.schedule(parent)][-1] == ["Spawned"]


async def test_32_assignments_of_a_result_reach_every_process_listed():
    town = await Town.founded()
    a, b, c = [await town.spawn(("Name", name)) for name in "abc"]
    letter = {
        "Target": BOB.address,
        "Anchor": "7".rjust(32, "0"),
        "Tags": [{"name": "Assignments", "value": [b, c]}],
        "Data": "to all",
    }
    note = sign_item(ALICE, data=b"note", tags=[("Kind", "note")])
    await town.store.append([note])
    root = await town.do(
        a, ["raw", "Messages", letter], ["raw", "Assignments", {"Processes": [b, c], "Message": note.id}]
    )
    await town.ended(root)
    for process in (b, c):
        first, second = [item for item, _ in await town.schedule(process)][1:]
        assert bytes(first.data) == b"to all" and named(first, "Assignments") == [] and second == note


async def test_assigned_items_send_without_pushed_for_as_the_network_does():
    town = await Town.founded()
    a, b = [await town.spawn(("Name", name)) for name in "ab"]
    note = sign_item(ALICE, data=json.dumps([["send", BOB.address, {}, "x"]]).encode())
    await town.store.append([note])
    root = await town.do(a, ["raw", "Assignments", {"Processes": [b], "Message": note.id}])
    (stored,) = [event for event in await town.ended(root) if event["kind"] == "stored"]
    assert named(town.store.view(stored["message"]), "Pushed-For") == []


async def test_24_an_assignment_by_id_is_evaluated_and_is_the_root_of_what_it_sends():
    town = await Town.founded()
    process = await town.spawn()
    note = sign_item(ALICE, data=json.dumps([["send", BOB.address, {}, "x"]]).encode())
    await town.store.append([note])
    assignment = await town.link.assign(process, note.id)
    events = await town.ended(assignment)
    (stored,) = [event for event in events if event["kind"] == "stored"]
    assert named(town.store.view(stored["message"]), "Pushed-For") == [assignment]
    assert await town.link.result(process, assignment) == await town.link.result(process, note.id)


async def test_a_process_with_a_target_is_assigned_to_it_too():
    town = await Town.founded()
    elder = await town.spawn()
    template = process_item(("Name", "young"))
    young = sign_item(ALICE, data=b" ", tags=template.tags, target=elder)
    await town.link.submit(young)
    await town.ended(young.id)
    assert (await town.schedule(elder))[-1][0] == young


async def test_an_error_is_a_result_changes_nothing_and_the_next_message_goes_on():
    town = await Town.founded()
    process = await town.spawn()
    await town.do(process, ["set", "x", "old"])
    bad = await town.do(process, ["set", "x", "new"], ["send", BOB.address, {}, "no"], ["fail", "boom"])
    good = await town.do(process, ["get", "x"])
    failed = await town.link.result(process, bad)
    assert failed.error == "boom" and failed.messages == ()
    assert (await town.link.result(process, good)).output == "old"
    (evaluated,) = [event for event in await town.ended(bad) if event["kind"] == "evaluated"]
    assert evaluated["error"] == "boom"


async def test_the_same_item_twice_is_applied_once_and_answered_alike():
    town = await Town.founded()
    process = await town.spawn()
    item = message_item(process, ["set", "x", 1])
    first, second = await town.link.submit(item), await town.link.submit(item)
    await town.quiet()
    third = await town.link.submit(item)
    assert first.id == second.id == third.id
    assert len(await town.schedule(process)) == 2


async def test_21_what_is_no_ao_message_is_refused_by_name_of_the_tag():
    town = await Town.founded()
    process = await town.spawn()
    with pytest.raises(Invalid, match="Tag 'Data-Protocol': must contain 'ao'"):
        await town.link.submit(sign_item(ALICE, tags=[("Type", "Message")], target=process))
    with pytest.raises(Invalid, match="Tag 'Type': must be either 'Process' or 'Message'"):
        await town.link.submit(sign_item(ALICE, tags=[("Data-Protocol", "ao"), ("Type", "Foo")], target=process))


async def test_19_a_bad_signature_is_refused_and_reaches_nothing():
    from dataclasses import replace

    town = await Town.founded()
    process = await town.spawn()
    await town.quiet()
    before = town.store.appends
    with pytest.raises(Invalid):
        await town.link.submit(replace(message_item(process), data=b"other"))
    assert town.store.appends == before


async def test_22_a_message_to_an_unknown_process_is_an_error():
    town = await Town.founded()
    with pytest.raises(Missing):
        await town.link.submit(message_item(BOB.address))


async def test_a_dry_run_sees_the_newest_state_and_changes_nothing():
    town = await Town.founded()
    process = await town.spawn()
    await town.do(process, ["set", "x", "now"])
    body = {"Id": "1234", "Owner": "1234", "Data": json.dumps([["set", "y", 1], ["get", "x"]]), "Tags": []}
    assert (await town.link.preview(process, body)).output == "now"
    probe = await town.link.preview(process, {"Data": json.dumps([["get", "y"]])})
    assert probe.output == "" and len(await town.schedule(process)) == 2
