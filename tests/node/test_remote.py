"""A network in another process, reached over HTTP: what a link says near and far is the same."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from ao.fakes import ALICE, BOB, SCHEDULER, Town, message_item

from puna.ao.compute.routes import compute_app
from puna.ao.messenger.routes import messenger_app
from puna.ao.remote import RemoteLink
from puna.ao.scheduler.routes import scheduler_app
from puna.arweave.dataitem import encode_item
from puna.arweave.gateway.library import Library
from puna.arweave.wallet import new_rsa_wallet
from puna.arweave.weave import Weave
from puna.errors import Invalid, Missing, NotYet
from puna.node.doors import Serving, open_doors
from puna.node.gateway import gateway_app


@asynccontextmanager
async def served(town: Town):
    """The town's units on free ports of this machine, and a link to them."""
    doors = open_doors("127.0.0.1", 0)
    units = town.units
    weave = await Weave.open(town.store, SCHEDULER, new_rsa_wallet)
    serving = Serving(doors, {
        "gateway": gateway_app(Library(weave), units.hub, lambda: {"token": "T"}),
        "mu": messenger_app(units.messenger),
        "su": scheduler_app(units.scheduler),
        "cu": compute_app(units.compute),
    })  # fmt: skip
    await serving.start()
    try:
        async with RemoteLink(**doors.urls) as link:
            yield link, doors.urls
    finally:
        await serving.stop()


async def test_a_message_sent_over_http_is_carried_and_its_result_read_back():
    town = await Town.founded()
    process = await town.spawn()
    async with served(town) as (link, _):
        item = message_item(process, ["set", "x", 7], ["get", "x"])
        await link.submit(item)
        far, near = await link.result(process, item.id), await town.link.result(process, item.id)
    assert far.output == near.output == "7"


async def test_events_of_one_journey_come_over_http_in_order_until_it_is_finished():
    town = await Town.founded()
    process = await town.spawn()
    await town.quiet()
    async with served(town) as (link, _):
        item = message_item(process, ["send", BOB.address, {"Action": "Hello"}, "hi"])
        async with link.events(item.id) as events:
            await link.submit(item)
            kinds = [event["kind"] async for event in events]
    assert kinds == ["accepted", "assigned", "token", "evaluated", "stored", "finished"]


async def test_a_dry_run_over_http_changes_nothing():
    town = await Town.founded()
    process = await town.spawn()
    async with served(town) as (link, _):
        body = {"Owner": BOB.address, "From": BOB.address, "Tags": [], "Data": '[["set","x",1],["get","x"]]'}
        assert (await link.preview(process, body)).output == "1"
        item = message_item(process, ["get", "x"])
        await link.submit(item)
        assert (await link.result(process, item.id)).output in (None, "")


@pytest.fixture
def dry_runs(monkeypatch):
    """The bodies of all dry-runs that a link sends."""
    sent = []

    async def counted(self, method, unit, path, **options):
        if path == "/dry-run":
            sent.append(options["data"])
        return await text(self, method, unit, path, **options)

    text = RemoteLink._text
    monkeypatch.setattr(RemoteLink, "_text", counted)
    return sent


def question(data: str) -> dict:
    return {"Owner": BOB.address, "From": BOB.address, "Tags": [], "Data": data}


async def test_what_several_ask_at_the_same_moment_goes_out_once(dry_runs):
    town = await Town.founded()
    process = await town.spawn()
    await town.link.submit(message_item(process, ["set", "x", 1]))
    get, other = question('[["get","x"]]'), question('[["set","x",2],["get","x"]]')
    async with served(town) as (link, _):
        answers = await asyncio.gather(*(link.preview(process, body) for body in (get, other, get, get)))
        assert [answer.output for answer in answers] == ["1", "2", "1", "1"] and len(dry_runs) == 2


async def test_who_asks_a_moment_later_sees_what_happened_since(dry_runs):
    town = await Town.founded()
    process = await town.spawn()
    async with served(town) as (link, _):
        first = asyncio.create_task(link.preview(process, question('[["get","x"]]')))
        while not dry_runs:
            await asyncio.sleep(0)
        await link.submit(message_item(process, ["set", "x", 7]))
        second = await link.preview(process, question('[["get","x"]]'))
        await first
        assert second.output == "7" and len(dry_runs) == 2


async def test_who_goes_away_takes_no_answer_from_the_others_and_a_refusal_is_everybodys(dry_runs):
    town = await Town.founded()
    process = await town.spawn()
    async with served(town) as (link, _):
        body = question('[["set","x",5],["get","x"]]')
        asking = [asyncio.create_task(link.preview(process, body)) for _ in range(3)]
        await asyncio.sleep(0)
        asking[0].cancel()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError) and [each.output for each in answers[1:]] == ["5", "5"]
        assert len(dry_runs) == 1
        refused = await asyncio.gather(*(link.preview("A" * 43, body) for _ in range(2)), return_exceptions=True)
        assert [type(each) for each in refused] == [Missing, Missing] and len(dry_runs) == 2


async def test_refusals_keep_their_words_and_their_kind():
    town = await Town.founded()
    process = await town.spawn()
    nobody = "A" * 43
    async with served(town) as (link, urls):
        with pytest.raises(Missing):
            await link.submit(message_item(nobody))
        with pytest.raises(Missing):
            await link.result(process, nobody)
        async with aiohttp.ClientSession() as web:
            spoiled = bytearray(encode_item(message_item(process)))
            spoiled[-1] ^= 1
            reply = await web.post(urls["mu"] + "/", data=bytes(spoiled))
            assert reply.status == 400 and "error" in await reply.json()
            reply = await web.post(urls["mu"] + "/", data=b"nonsense")
            assert reply.status == 400
            assert "A valid and signed data item must be provided as the body." in (await reply.json())["error"]
            reply = await web.post(urls["mu"] + f"/?process-id={process}")
            assert "You must set both process-id and assign" in (await reply.json())["error"]
            reply = await web.post(urls["mu"] + "/", data=b"x" * (11 << 20))
            assert reply.status == 400 and "larger than" in (await reply.json())["error"]


async def test_a_node_that_is_away_is_named():
    doors = open_doors("127.0.0.1", 0)
    doors.close()
    async with RemoteLink(**doors.urls) as link:
        with pytest.raises(NotYet, match="not within reach"):
            await link.network()


async def test_a_taken_port_is_told_at_once_and_no_other_door_stays_open():
    doors = open_doors("127.0.0.1", 0)
    taken = doors.sockets["cu"].getsockname()[1]
    try:
        with pytest.raises(Invalid, match=f"Port {taken} on 127.0.0.1 cannot be opened.*--port"):
            open_doors("127.0.0.1", taken)
    finally:
        doors.close()


async def test_the_schedulers_feed_has_pages_by_time_and_by_nonce():
    town = await Town.founded()
    process = await town.spawn()
    for n in range(5):
        await town.do(process, ["set", "x", n])
    async with served(town) as (_, urls), aiohttp.ClientSession() as web:

        async def page(**query):
            reply = await web.get(f"{urls['su']}/{process}", params={"process-id": process, **query})
            assert reply.status == 200
            return await reply.json()

        def nonces(feed):
            return [named(edge["node"]["assignment"], "Nonce") for edge in feed["edges"]]

        def named(node, name):
            return next(tag["value"] for tag in node["tags"] if tag["name"] == name)

        whole = await page()
        assert nonces(whole) == ["0", "1", "2", "3", "4", "5"] and not whole["page_info"]["has_next_page"]
        assert whole["edges"][0]["node"]["message"]["id"] == process
        first = await page(limit="2")
        assert nonces(first) == ["0", "1"] and first["page_info"]["has_next_page"]
        second = await page(**{"limit": "2", "from": first["edges"][-1]["cursor"]})
        assert nonces(second) == ["2", "3"]
        assert nonces(await page(**{"from-nonce": "3"})) == ["4", "5"]
        assert nonces(await page(**{"from-nonce": "-1", "to-nonce": "1"})) == ["0", "1"]
        latest = await (await web.get(f"{urls['su']}/{process}/latest", params={"process-id": process})).json()
        assert named(latest["assignment"], "Nonce") == "5"
        shown = await (await web.get(f"{urls['su']}/processes/{process}")).json()
        assert shown["process_id"] == process and shown["owner"]["address"] == ALICE.address
        tip = await (await web.get(f"{urls['su']}/timestamp")).json()
        assert len(tip["block_height"]) == 12 and tip["timestamp"].isdigit()


async def test_a_listener_who_hangs_up_harms_nobody():
    town = await Town.founded()
    process = await town.spawn()
    async with served(town) as (link, _):
        async with link.events():
            pass
        item = message_item(process, ["get", "x"])
        await link.submit(item)
        await asyncio.wait_for(link.result(process, item.id), 30)


async def test_all_who_listen_to_everything_share_one_stream_and_each_hears_all_of_it(monkeypatch):
    monkeypatch.setattr("puna.ao.remote.NEWS_IDLE_S", 0.01)
    town = await Town.founded()
    process = await town.spawn()
    await town.quiet()
    async with served(town) as (link, _):

        async def hear(events, item):
            kinds = [event["kind"] async for event in _until_finished(events, item.id)]
            assert kinds == ["accepted", "assigned", "token", "evaluated", "finished"]

        for name in "xy":  # the second time, the stream has been let go in between
            item = message_item(process, ["get", name])
            async with link.events() as one, link.events() as other:
                assert len(town.units.hub._subscriptions) == 1
                await link.submit(item)
                await asyncio.gather(hear(one, item), hear(other, item))
            while town.units.hub._subscriptions:
                await asyncio.sleep(0.01)


async def test_one_who_stops_listening_ends_the_wait_of_whoever_waits_there():
    town = await Town.founded()
    async with served(town) as (link, _):
        async with link.events() as events:
            waiting = asyncio.create_task(anext(events, "the end"))
            await asyncio.sleep(0)
        assert await asyncio.wait_for(waiting, 30) == "the end"


async def _until_finished(events, root):
    async for event in events:
        if event["root"] == root:
            yield event
            if event["kind"] == "finished":
                return


async def test_28_what_a_process_sends_to_a_wallet_is_read_at_the_gateway_by_its_id():
    town = await Town.founded()
    process = await town.spawn()
    town.store.payload_path = lambda id: None  # nothing here is large
    async with served(town) as (link, urls), aiohttp.ClientSession() as web:
        item = message_item(process, ["send", BOB.address, {"Content-Type": "text/plain"}, "hello, wallet"])
        await link.submit(item)
        await town.quiet()
        (sent,) = [kept for kept in town.store.items if kept.target == BOB.address]
        reply = await web.get(f"{urls['gateway']}/{sent.id}")
        assert (reply.content_type, await reply.text()) == ("text/plain", "hello, wallet")
        assert (await web.get(f"{urls['su']}/{sent.id}", params={"process-id": BOB.address})).status == 400


async def test_data_is_served_by_id_with_its_type():
    town = await Town.founded()
    process = await town.spawn()
    town.store.payload_path = lambda id: None  # nothing here is large
    item = message_item(process, ["get", "x"])
    await town.link.submit(item)
    async with served(town) as (link, urls), aiohttp.ClientSession() as web:
        reply = await web.get(f"{urls['gateway']}/{item.id}")
        assert await reply.read() == bytes(item.data)
        assert (await web.get(f"{urls['gateway']}/raw/{'B' * 43}")).status == 404
        assert await link.network() == {"token": "T"}
        info = await (await web.get(urls["gateway"] + "/")).json()
        assert info["height"] == 0
