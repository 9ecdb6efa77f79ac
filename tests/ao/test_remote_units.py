"""A scheduler and a compute unit on other machines: what comes over the wire is verified, steps may be taken again."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import aiohttp.web
import pytest
from ao.fakes import ALICE, BOB, MODULE, SCHEDULER, FakeEvaluators, MemoryStore, Town, message_item, named, no_sleep
from ao.served import served

from puna.ao.compute.remote import RemoteCompute
from puna.ao.compute.unit import ComputeUnit
from puna.ao.compute.verify import verify
from puna.ao.events import Hub
from puna.ao.messenger.unit import MessengerUnit
from puna.ao.remote import RemoteLink
from puna.ao.scheduler.port import Placed, Placing, Refused
from puna.ao.scheduler.remote import RemoteSchedules
from puna.arweave.dataitem import decode_item, sign_item
from puna.arweave.ids import b64url_encode
from puna.errors import Invalid, Missing, NotYet

NOBODY = "A" * 43


@asynccontextmanager
async def far_from(town: Town):
    """A store of its own, and the town's scheduler and compute unit over HTTP."""
    store = MemoryStore()
    async with served(town) as wire, aiohttp.ClientSession() as web:
        schedules = RemoteSchedules(store, wire.urls["su"], web)
        await schedules.meet()
        yield store, schedules, RemoteCompute(wire.urls["cu"], web)


@asynccontextmanager
async def answering(answer):
    """Something that is asked over HTTP and answers whatever a test says; its URL."""
    application = aiohttp.web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_entries_that_passed_are_kept_and_binary_data_comes_whole():
    town = await Town.founded()
    process = await town.spawn()
    tags = [("Data-Protocol", "ao"), ("Type", "Message"), ("Variant", "ao.TN.1")]
    binary = sign_item(ALICE, data=b"\xff\x00\xfe", target=process, tags=tags, anchor=b"\xff" * 32)
    await town.link.submit(binary)
    async with far_from(town) as (store, schedules, _):
        assert schedules.address == SCHEDULER.address
        far, near = await schedules.assignments(process), await town.schedule(process)
        assert [(item.id, a.id) for item, a in far] == [(item.id, a.id) for item, a in near]
        assert bytes(store.view(binary.id).data) == b"\xff\x00\xfe"
        assert {item.id for pair in near for item in (pair[0], pair[1].item)} <= set(store.by_id)
        assert await schedules.newest(process) == 1 and await schedules.knows(process)
        assert not await schedules.knows(NOBODY)
        assert (await schedules.place(process, near[1][1].id))[0].id == binary.id
        with pytest.raises(Missing):
            await schedules.place(process, NOBODY)


async def test_a_step_taken_again_places_nothing_twice_and_tells_what_is_new_only_until_it_was_written_down():
    town = await Town.founded()
    process = await town.spawn()
    item = message_item(process)
    async with far_from(town) as (store, schedules, _):
        written = Placing(item=item, notes={"mine": b"1"})
        await town.units.scheduler.submit(item)  # as before a crash: placed, and not yet written down
        (first,) = await schedules.place_all([written], notes={"parent": None})
        assert isinstance(first, Placed) and first.new and store.note("mine") == b"1"
        (second,) = await schedules.place_all([written])
        assert isinstance(second, Placed) and not second.new
        assert second.assignment.id == first.assignment.id
        refused, shared = await schedules.place_all(
            [Placing(item=message_item(NOBODY)), Placing(process=process, item_id=MODULE.id, exclude=("Data",))]
        )
        assert isinstance(refused, Refused) and "not scheduled here" in str(refused.error)
        assert shared.assignment.exclude == ("Data",) and shared.new
    assert len(await town.schedule(process)) == 3


async def test_assignments_of_somebody_else_are_not_believed():
    """Whoever answers, and whatever it says of itself: the process names who orders it."""
    town = await Town.founded()
    process = await town.spawn()
    message = await town.do(process)
    forged = sign_item(BOB, b"", (await town.schedule(process))[1][1].item.tags, anchor=b"a" * 32)
    async with served(town) as wire, aiohttp.ClientSession() as web:
        node = (await wire("GET", "su", f"/{message}", process_id=process)).json
        node["assignment"] |= {
            "id": forged.id, "signature": b64url_encode(forged.signature), "anchor": b64url_encode(forged.anchor),
            "owner": {"address": BOB.address, "key": b64url_encode(forged.owner)},
        }  # fmt: skip

        async def answer(request):
            if request.path == f"/{process}/latest":
                return aiohttp.web.json_response(node)
            told = await wire("GET", "su", request.path, **dict(request.query))
            return aiohttp.web.json_response(told.json, status=told.status)

        async with answering(answer) as url:
            schedules = RemoteSchedules(MemoryStore(), url, web)
            schedules.address = BOB.address
            with pytest.raises(Invalid, match=f"is not signed by the scheduler {SCHEDULER.address}"):
                await schedules.newest(process)
            assert len(await schedules.assignments(process)) == 2


async def test_an_item_that_was_assigned_by_id_comes_from_the_scheduler_that_has_it():
    town = await Town.founded()
    process = await town.spawn()
    note = sign_item(ALICE, data=b"\xff\x00", tags=[("Action", "Note")])
    await town.store.append([note])
    await town.link.assign(process, note.id)
    async with far_from(town) as (store, schedules, _):
        assert [item.id for item, _ in await schedules.assignments(process)] == [process, note.id]
        assert store.view(note.id) == note


async def test_47_routers_send_units_on_to_the_scheduler_and_compute_unit_of_a_process():
    """Every question and every post of a unit to others follows a redirect, its body included."""
    east, west = await Town.founded(), await Town.founded()
    here, there = await east.spawn(("Name", "east")), await west.spawn(("Name", "west"))
    seen = []
    async with served(east) as eastern, served(west) as western, aiohttp.ClientSession() as web:
        homes = {here: eastern, there: western}

        def router(unit: str, status: int):
            async def send_on(request):
                if request.path == "/" and request.method == "GET" and not request.query:
                    return aiohttp.web.json_response({"address": BOB.address, "timestamp": "1"})
                body = await request.read()
                told = f"{request.rel_url}" + (decode_item(body).target if body[:2] == b"\2\0" else "")
                home = next((home for process, home in homes.items() if process in told), western)
                seen.append((unit, request.method, request.path.split("/")[1]))
                return aiohttp.web.Response(status=status, headers={"Location": home.urls[unit] + str(request.rel_url)})

            return send_on

        for status in (301, 302, 307, 308):
            seen.clear()
            async with answering(router("su", status)) as su, answering(router("cu", status)) as cu:
                store = MemoryStore()
                schedules, compute = RemoteSchedules(store, su, web), RemoteCompute(cu, web)
                await schedules.meet()
                assert schedules.address == BOB.address, "a router has an address of its own"
                for town, process in ((east, here), (west, there)):
                    item = message_item(process, ["set", "n", status], ["get", "n"])
                    (placed,) = await schedules.place_all([Placing(item=item)])
                    assert isinstance(placed, Placed) and placed.new
                    assert (await town.schedule(process))[-1][0].id == item.id
                    assert (await compute.result(process, item.id)).output == str(status)
                    assert [i.id for i, _ in await schedules.assignments(process)][-1] == item.id
                    assert (await schedules.place(process, item.id))[0].id == item.id
                    assert await schedules.knows(process)
                    assert await schedules.newest(process) == placed.assignment.nonce
                    (again,) = await schedules.place_all([Placing(process=process, item_id=item.id)])
                    assert again.assignment.id == placed.assignment.id
                    assert (await compute.preview(process, {"Data": '[["get","n"]]'})).output == str(status)
                    assert await compute.cron_mark(process) and await compute.cron_page(process, "", 10) == []
                    async with RemoteLink(gateway=su, mu=su, su=su, cu=cu) as link:
                        assert (await link.result(process, item.id)).output == str(status)
                        sent = message_item(process, ["set", "sent", status])
                        await link.submit(sent)
                        assert [i.id for i, _ in await link.assignments(process)][-2:] == [item.id, sent.id]
                assert {
                    ("su", "POST", ""),
                    ("su", "GET", here),
                    ("cu", "GET", "result"),
                    ("cu", "POST", "dry-run"),
                } <= {*seen}


async def test_routers_that_send_each_other_on_for_ever_are_to_be_asked_again():
    async def on_and_on(request):
        return aiohttp.web.Response(status=307, headers={"Location": f"/{'x' * len(request.path)}"})

    async with answering(on_and_on) as url, aiohttp.ClientSession() as web:
        with pytest.raises(NotYet, match="sends us on and on"):
            await RemoteSchedules(MemoryStore(), url, web).newest(NOBODY)


async def test_a_result_that_many_wait_for_is_asked_for_once_and_by_the_others_when_the_first_goes_away():
    asked, go = [], asyncio.Event()

    async def slowly(request):
        asked.append(request.path)
        await go.wait()
        if "lost" in request.path:
            return aiohttp.web.Response(status=503, text="not now")
        return aiohttp.web.json_response({"Messages": [], "Spawns": [], "Output": "x" * int(request.path[-5:])})

    async with answering(slowly) as url, RemoteLink(cu=url) as link:
        results = [asyncio.create_task(link.result(NOBODY, "m-00009")) for _ in range(20)]
        while not asked:
            await asyncio.sleep(0)
        results[0].cancel()
        while len(asked) < 2:
            await asyncio.sleep(0)
        lost = [asyncio.create_task(link.result(NOBODY, "lost")) for _ in range(3)]
        go.set()
        assert {result.output for result in await asyncio.gather(*results[1:])} == {"x" * 9}
        assert (await link.result(NOBODY, "m-00009")).output == "x" * 9 and asked.count("/result/m-00009") == 2
        for each in lost:
            with pytest.raises(NotYet, match="not now"):
                await each
        assert asked.count("/result/lost") == 1
        for large in (99_999, 99_999):  # is not kept
            await link.result(NOBODY, f"m-{large}")
        assert asked.count("/result/m-99999") == 2
        for number in range(100):
            await link.result(NOBODY, f"m-{number:05d}")
        await link.result(NOBODY, "m-00099")
        await link.result(NOBODY, "m-00009")  # so many later ones were read
        assert asked.count("/result/m-00099") == 1 and asked.count("/result/m-00009") == 3


async def test_a_scheduler_that_is_away_is_to_be_asked_again():
    async with aiohttp.ClientSession() as web:
        schedules = RemoteSchedules(MemoryStore(), "http://127.0.0.1:9", web)
        with pytest.raises(NotYet, match="127.0.0.1:9 does not answer"):
            await schedules.newest(NOBODY)
        with pytest.raises(NotYet):
            await schedules.place_all([Placing(item=message_item(NOBODY))])


async def test_52_a_second_compute_unit_following_over_http_reaches_the_same_results_crons_included():
    town = await Town.founded()
    process = await town.spawn(("Cron-Interval", "10-seconds"), ("Cron-Tag-Action", "Cron"))
    for n in range(3):
        town.clock.pass_ms(12_000)
        await town.do(process, ["set", "n", n], ["get", "n"])
    await town.quiet()
    async with far_from(town) as (store, schedules, _):
        await store.append([MODULE])
        unit = ComputeUnit(store, BOB, schedules, FakeEvaluators(), sleep=no_sleep)
        for item, assignment in await town.schedule(process):
            far = await unit.result(process, assignment.id)
            assert far.encode() == (await town.link.result(process, item.id)).encode()
        near, _ = await town.units.compute.crons(process)
        assert await unit.crons(process) == (near, False) and len(near) == 3
        assert unit.evaluated(process).root == town.units.compute.evaluated(process).root
        report = await verify(store, FakeEvaluators(), process)
        assert report.agrees and report.attestations == 7, report.first
        await unit.stop()


async def test_25_27_a_messenger_between_units_elsewhere_carries_what_processes_send():
    town = await Town.founded()
    a, b = await town.spawn(("Name", "a")), await town.spawn(("Name", "b"))
    async with far_from(town) as (store, schedules, compute):
        unit = MessengerUnit(store, BOB, schedules, compute, Hub(), sleep=no_sleep)
        item = message_item(a, ["send", b, {"Ball": "3"}, ""], ["send", ALICE.address, {"To": "wallet"}, "hello"])
        await unit.submit(item)
        async with unit._hub.subscribe(item.id) as events:
            kinds = [event["kind"] async for event in events]
        assert kinds.count("evaluated") == 5 and "failed" not in kinds and "stored" in kinds
        await unit.stop()
        assert not store.notes("ao/journey/")
        arrived = [message for message, _ in (await town.schedule(b))[1:]]
        assert [named(message, "Ball") for message in arrived] == [["3"], ["1"]]
        for message in arrived:
            assert named(message, "From-Process") == [a] and named(message, "Pushed-For") == [item.id]
            assert message.owner == BOB.owner
