"""The messenger over HTTP: each test is a statement of the conformance list, by its number, or a kind of bad input."""

from ao.fakes import ALICE, BOB, MESSENGER, MODULE, Town, message_item, named
from ao.served import served

from puna.arweave.dataitem import encode_item, sign_item

NOBODY = "A" * 43


def asking(process: str, by=ALICE) -> bytes:
    """What clients post to begin or end a monitor: no tags, a space of data."""
    return encode_item(sign_item(by, data=b" ", target=process))


async def test_20_a_message_is_answered_202_and_the_scheduler_has_it_at_that_moment():
    town = await Town.founded()
    process = await town.spawn()
    item = message_item(process)
    async with served(town) as wire:
        assert (await wire("GET", "mu", "/")).text == "ao messenger unit"
        reply = await wire("POST", "mu", "/", encode_item(item), {"Content-Type": "application/octet-stream"})
        assert reply.status == 202 and reply.json == {"message": "Processing DataItem", "id": item.id}
        found = await wire("GET", "su", f"/{item.id}", process_id=process)
        assert found.status == 200 and found.json["message"]["id"] == item.id
        # A client that asks again after a lost reply is right to do so.
        assert (await wire("POST", "mu", "/", encode_item(item))).status == 202
    assert len(await town.schedule(process)) == 2


async def test_19_21_22_what_is_no_message_is_refused_and_nothing_reaches_the_scheduler():
    town = await Town.founded()
    process = await town.spawn()
    ao, message = ("Data-Protocol", "ao"), ("Type", "Message")

    def item(*tags, target=process):
        return encode_item(sign_item(ALICE, data=b" ", target=target, tags=tags))

    spoiled = bytearray(encode_item(message_item(process)))
    spoiled[-1] ^= 1
    no_scheduler = item(ao, ("Type", "Process"), ("Module", MODULE.id), target="")
    cases = {
        "A valid and signed data item must be provided as the body.": bytes(spoiled),
        "'body': A valid and signed data item must be provided": b"",
        "Tag 'Data-Protocol': must contain 'ao'": item(message),
        "Tag 'Type': must be either 'Process' or 'Message'": item(ao, ("Type", "Foo")),
        "No Scheduler tag found on 'Process' DataItem": no_scheduler,
        "larger than": b"x" * (11 << 20),
    }
    async with served(town) as wire:
        for text, body in cases.items():
            reply = await wire("POST", "mu", "/", body)
            assert reply.status == 400 and text in reply.json["error"], text
        unknown = await wire("POST", "mu", "/", encode_item(message_item(NOBODY)))
        assert unknown.status == 404 and NOBODY in unknown.json["error"]
    assert len(await town.schedule(process)) == 1


async def test_23_24_an_assignment_needs_both_ids_and_its_result_is_found_by_its_own():
    town = await Town.founded()
    process, other = await town.spawn(("Settlement-Depth", "0")), await town.spawn(("Name", "b"))
    message = await town.do(other, ["get", "x"])
    async with served(town) as wire:
        for query in ({"process_id": process}, {"assign": message}):
            reply = await wire("POST", "mu", "/", **query)
            assert reply.status == 400
            text = "You must set both process-id and assign to send an assignment, not just one"
            assert reply.json["error"] == text
        query = {"process_id": process, "assign": message, "base_layer": "", "exclude": "Anchor,Signature"}
        reply = await wire("POST", "mu", "/", **query)
        assert reply.status == 202 and reply.json["message"] == "Processing Assignment"
        result = await wire("GET", "cu", f"/result/{reply.json['id']}", process_id=process)
        assert result.status == 200 and "Error" not in result.json
        missing = await wire("POST", "mu", "/", process_id=process, assign=NOBODY)
        assert missing.status == 404 and "Transaction not found" in missing.json["error"]
    (_, assignment) = (await town.schedule(process))[1]
    assert assignment.exclude == ("Anchor", "Signature") and assignment.id == reply.json["id"]


async def test_a_result_is_pushed_again_without_being_delivered_twice():
    town = await Town.founded()
    a, b = await town.spawn(("Name", "a")), await town.spawn(("Name", "b"))
    message = await town.do(a, ["send", b, {"Action": "One"}, ""], ["send", b, {"Action": "Two"}, ""])
    await town.quiet()
    async with served(town) as wire:
        for number in (0, 1):
            reply = await wire("POST", "mu", f"/push/{message}/{number}", process_id=a)
            assert reply.status == 202
            assert reply.json == {"message": "Processing Message Result", "id": message}
        assert (await wire("POST", "mu", f"/push/{message}/2", process_id=a)).status == 404
        assert (await wire("POST", "mu", f"/push/{NOBODY}/0", process_id=a)).status == 404
        reply = await wire("POST", "mu", f"/push/{message}/two", process_id=a)
        assert reply.status == 400 and reply.json["error"] == "'number' parameter must be a valid number"
        assert (await wire("POST", "mu", f"/push/{message}/0")).status == 400
    await town.quiet()
    assert len(await town.schedule(b)) == 3


async def ticking() -> tuple[Town, str, str]:
    """A process that sends a message to another whenever its cron comes."""
    town = await Town.founded()
    listener = await town.spawn(("Name", "listener"))
    tags = [("Cron-Interval", "10-seconds"), ("Cron-Tag-Ball", "3")]
    process = await town.spawn(*tags)
    await town.quiet()
    return town, process, listener


async def test_35_a_monitored_process_has_its_crons_carried_without_a_root_until_it_is_not():
    town, process, _ = await ticking()
    monitors = town.units.messenger.monitors
    monitors.resume = lambda: None  # the story asks by hand
    async with served(town) as wire:
        reply = await wire("POST", "mu", f"/monitor/{process}", asking(process))
        assert (reply.status, reply.text) == (200, "Monitoring process")
        again = await wire("POST", "mu", f"/monitor/{process}", asking(process))
        assert again.status == 400 and again.json["error"] == "Process already being monitored"
        town.clock.pass_ms(25_000)
        await monitors.ask_all()
        await monitors.ask_all()
        await town.quiet()
        carried = [item for item in town.store.items if named(item, "Ball") == ["2"]]
        # The owner is who a cron comes from, so that is whom this program answers.
        assert len(carried) == 2 and {item.target for item in carried} == {ALICE.address}
        for item in carried:
            assert named(item, "From-Process") == [process] and not named(item, "Pushed-For")
            assert item.owner == MESSENGER.owner
        reply = await wire("DELETE", "mu", f"/monitor/{process}", asking(process))
        assert (reply.status, reply.text) == (200, "Process deleted")
        town.clock.pass_ms(20_000)
        await monitors.ask_all()
        assert len([item for item in town.store.items if named(item, "Ball") == ["2"]]) == 2
        gone = await wire("DELETE", "mu", f"/monitor/{process}", asking(process))
        assert gone.status == 404 and gone.json["error"] == "Process monitor not found"


async def test_monitors_go_on_after_a_restart_where_they_stopped():
    town, process, _ = await ticking()
    from puna.arweave.dataitem import decode_item

    town.units.messenger.monitors.resume = lambda: None
    await town.units.messenger.monitors.add(decode_item(asking(process)))
    town.clock.pass_ms(11_000)
    await town.units.messenger.monitors.ask_all()
    reborn = Town(store=town.store, clock=town.clock)
    town.clock.pass_ms(10_000)
    assert reborn.units.messenger.monitors.monitored() == [process]
    await reborn.units.messenger.monitors.ask_all()
    await reborn.quiet()
    assert len([item for item in town.store.items if named(item, "Ball") == ["2"]]) == 2


async def test_only_the_owner_may_have_a_process_monitored():
    town, process, _ = await ticking()
    town.units.messenger.monitors.resume = lambda: None
    async with served(town) as wire:
        reply = await wire("POST", "mu", f"/monitor/{process}", asking(process, by=BOB))
        assert reply.status == 400 and "only the owner" in reply.json["error"]
        forged = bytearray(asking(process))
        forged[40] ^= 1
        assert (await wire("POST", "mu", f"/monitor/{process}", bytes(forged))).status == 400
        empty = await wire("POST", "mu", f"/monitor/{process}")
        assert (empty.status, empty.text) == (400, "Signed data item is required")
        assert (await wire("POST", "mu", f"/monitor/{NOBODY}", asking(NOBODY))).status == 404
    assert town.units.messenger.monitors.monitored() == []


async def test_28_what_is_sent_to_a_wallet_is_kept_by_id_and_not_scheduled():
    town = await Town.founded()
    process = await town.spawn()
    item = message_item(process, ["send", BOB.address, {"Action": "Hello"}, "hi"])
    async with served(town) as wire:
        assert (await wire("POST", "mu", "/", encode_item(item))).status == 202
        await town.quiet()
        (stored,) = [kept for kept in town.store.items if kept.target == BOB.address]
        assert bytes(stored.data) == b"hi"
        assert (await wire("GET", "su", f"/{stored.id}", process_id=BOB.address)).status == 400
