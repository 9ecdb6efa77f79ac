"""Two gateways: one reads through to the other, verifies what it gets, and posts its own bundles there."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from arweave.strategies import ED25519, ETHEREUM
from gateway.serving import OPERATOR, gateway

from puna.arweave.archive import Archive
from puna.arweave.bundle import BUNDLE_TAGS, encode_bundle
from puna.arweave.dataitem import sign_item
from puna.arweave.gateway.forward import Forwarder
from puna.arweave.gateway.upstream import FETCHES_MAX, Upstream
from puna.arweave.ids import b64url_encode
from puna.arweave.store.port import Query
from puna.errors import NotYet

BIG = bytes(range(256)) * 2344
NODE = """query ($id: ID!) { transactions(ids: [$id]) { edges { node {
  id signature anchor recipient owner { address } tags { name value } block { id height } bundledIn { id } } } } }"""


@pytest.fixture
async def far(tmp_path, rsa_wallet):
    async with gateway(tmp_path / "far", rsa_wallet) as served:
        yield served


@asynccontextmanager
async def answering(answer):
    """A gateway that answers whatever a test says; its URL."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def near(tmp_path, rsa_wallet, far):
    async with gateway(tmp_path / "near", rsa_wallet, far.url) as served:
        yield served


async def test_items_of_every_kind_are_read_through_and_kept(near, far, rsa_wallet):
    items = [
        sign_item(wallet, b"of " + wallet.address.encode(), [("Content-Type", "text/css"), ("A", "b")], target, anchor)
        for wallet in (ED25519, ETHEREUM, rsa_wallet)
        for target, anchor in (("", b""), (ED25519.address, b"q" * 32))
    ]
    for item in items:
        await far.weave.upload(item)
    await far.weave.mine()
    for item in items:
        assert await near.get(f"/raw/{item.id}") == (200, item.data)
        assert near.weave.store.view(item.id) == item
    told = [await at.ask(NODE, id=items[1].id) for at in (near, far)]
    assert told[0] == told[1]
    assert await near.weave.mine() is None, "what another weave keeps is not carried again"
    assert (await near.get(f"/{items[0].id}", headers={"Range": "bytes=0-1"}))[0] == 206


async def test_transactions_are_read_through_with_their_data(near, far, rsa_wallet):
    big = far.signed(rsa_wallet, BIG, tags=[("Content-Type", "text/plain"), ("Big", "yes")])
    await far.post_tx(big)
    await far.weave.mine()
    for path in (f"/tx/{big.id}", f"/tx/{big.id}/data", f"/{big.id}"):
        assert await near.get(path) == await far.get(path)
    assert (await near.ask(NODE, id=big.id)) == (await far.ask(NODE, id=big.id))
    assert json.loads((await near.get(f"/tx/{big.id}/status"))[1])["block_height"] == 1
    assert near.weave.tip.height == 0
    before = near.weave.store.notes("weave/tx/")
    await near.weave.rebuild()
    assert near.weave.store.notes("weave/tx/") == before


async def test_what_the_other_does_not_have_is_missing_and_not_asked_again(near, far):
    assert await near.get(f"/{'A' * 43}") == (404, b"Not found")
    item = sign_item(ED25519, b"late")
    upstream = Upstream(near.weave, far.url)
    assert not await upstream.fetch(item.id)
    await far.weave.upload(item)
    await far.weave.mine()
    assert not await upstream.fetch(item.id)
    await upstream.close()
    assert await near.get(f"/{item.id}") == (200, b"late")


async def test_a_gateway_that_lies_is_not_believed(tmp_path, rsa_wallet):
    item = sign_item(ED25519, b"true")
    known = {
        "anchor": "", "signature": b64url_encode(item.signature), "recipient": "", "tags": [], "block": None,
        "owner": {"key": b64url_encode(item.owner)}, "bundledIn": {"id": "B" * 43},
    }  # fmt: skip
    answers = iter([known, known | {"tags": [{"name": "a", "value": "b"}]}, {"bundledIn": {"id": 7}}, None, [], "text"])

    async def graphql(request):
        return web.json_response({"data": {"transaction": next(answers)}})

    async def anything(request):
        return web.Response(body=b"lies")

    liar = web.Application()
    liar.add_routes([web.post("/graphql", graphql), web.get("/{path:.*}", anything)])
    runner = web.AppRunner(liar)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with gateway(tmp_path / "weave", rsa_wallet) as at:
        for _ in range(6):
            upstream = Upstream(at.weave, url)
            assert not await upstream.fetch(item.id)
            await upstream.close()
        assert at.weave.store.view(item.id) is None
    await runner.cleanup()


async def test_a_gateway_that_is_away_is_said_to_be_away(near, far):
    away = Upstream(near.weave, "http://127.0.0.1:9")
    with pytest.raises(NotYet, match="does not answer"):
        await away.fetch("A" * 43)
    await away.close()


async def test_bundles_are_posted_to_an_uploader_each_once_and_unpacked_there(near, far):
    items = [sign_item(ED25519, b"%d" % number) for number in range(2)]
    inner = sign_item(ED25519, encode_bundle([sign_item(ED25519, b"inside")]), BUNDLE_TAGS)
    for item in (*items, inner):
        await near.weave.upload(item)
    await near.weave.mine()

    waits = []

    async def away_at_first(seconds):
        waits.append(seconds)
        forwarder._url = far.url

    forwarder = Forwarder(near.weave, OPERATOR, "http://127.0.0.1:9", sleep=away_at_first)
    await forwarder.forward_all()
    assert waits == [1]
    for item in (*items, inner):
        assert far.weave.store.view(item.id) == item
    count = far.weave.store.last_sequence()
    await forwarder.forward_all()
    assert far.weave.store.last_sequence() == count
    await far.weave.mine()
    carrier = (await far.ask(NODE, id=items[0].id))["data"]["transactions"]["edges"][0]["node"]["bundledIn"]["id"]
    node = (await far.ask(NODE, id=carrier))["data"]["transactions"]["edges"][0]["node"]
    assert node["owner"]["address"] == OPERATOR.address and node["block"]["height"] == 1


async def test_items_that_wait_for_their_block_are_brought_and_carried_here_as_well(near, far, rsa_wallet):
    item, tx = sign_item(ED25519, b"fresh", [("A", "b")]), far.signed(rsa_wallet, b"fresh too")
    await far.weave.upload(item)
    await far.weave.post(tx)
    assert await near.get(f"/{item.id}") == (200, b"fresh")
    assert await near.get(f"/{tx.id}") == (404, b"Not found"), "a transaction waits until it is in a block"
    await near.weave.mine()
    (edge,) = (await near.ask(NODE, id=item.id))["data"]["transactions"]["edges"]
    assert edge["node"]["bundledIn"] == {"id": near.weave.tip.bundle}, "nobody else was known to keep it"


async def test_what_the_other_finds_for_a_query_is_brought(near, far):
    said = [sign_item(ED25519, b"%d" % n, [("Type", "Attestation"), ("Message", "m")]) for n in range(3)]
    for item in (*said, sign_item(ETHEREUM, b"x", [("Type", "Attestation"), ("Message", "m")])):
        await far.weave.upload(item)
    await far.weave.mine()
    upstream = Upstream(near.weave, far.url)
    archive = Archive(near.weave.store, near.weave, upstream)
    wanted = Query(owners=(ED25519.address,), tags=(("Type", ("Attestation",)), ("Message", ("m",))), limit=2)
    assert set(await upstream.find(wanted)) == {said[2].id, said[1].id}, "the newest, as many as are wanted"
    assert await archive.bring_found(wanted) and near.weave.store.find(wanted)[0].item in said
    assert not await archive.bring_found(wanted), "nothing of it is new any more"
    assert not await archive.bring_found(Query(tags=(("Type", ("Nothing",)),)))
    assert await archive.bring("B" * 42 + "A") is None
    assert await upstream.height() == far.weave.tip.height
    await upstream.close()


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_gateway_that_cannot_say_now_is_asked_again_later(near, status):
    item, answers = sign_item(ED25519, b"late"), []

    async def answer(request):
        answers.append(request.path)
        return web.Response(status=status, text="slow down")

    async with answering(answer) as url:
        upstream = Upstream(near.weave, url)
        for _ in range(2):
            with pytest.raises(NotYet, match="does not answer"):
                await upstream.fetch(item.id)
        for asking in (upstream.height(), upstream.find(Query(ids=(item.id,)))):
            with pytest.raises(NotYet):
                await asking
        assert len(answers) == 4, "it is not taken for one that has nothing"
        await upstream.close()


async def test_nonsense_is_no_height_and_finds_nothing(near):
    async def answer(request):
        return web.json_response({"height": "tall", "data": {"transactions": 7}})

    async with answering(answer) as url:
        upstream = Upstream(near.weave, url)
        with pytest.raises(NotYet, match="does not tell its height"):
            await upstream.height()
        assert await upstream.find(Query()) == []
        await upstream.close()


async def test_what_was_in_no_block_when_it_was_brought_counts_from_the_block_it_came_into(near, far):
    carrier = sign_item(ED25519, encode_bundle([sign_item(ED25519, b"inside")]), BUNDLE_TAGS)
    inside = sign_item(ED25519, b"inside")
    await far.weave.upload(carrier)
    upstream = Upstream(near.weave, far.url)
    archive = Archive(near.weave.store, near.weave, upstream)
    assert await archive.bring(inside.id) == inside and await archive.confirmations(inside.id) == 0
    await far.weave.mine()
    await far.weave.mine(even_empty=True)
    assert await archive.confirmations(inside.id) == 2
    alone = Archive(near.weave.store, near.weave)
    assert await alone.confirmations(inside.id) == 1, "of another weave no more is known"
    await upstream.close()


async def test_no_more_than_a_few_things_are_fetched_at_once(near):
    busiest, now, all_in = 0, 0, asyncio.Event()

    async def answer(request):
        nonlocal busiest, now
        now += 1
        busiest = max(busiest, now)
        if now == FETCHES_MAX:
            all_in.set()
        await all_in.wait()
        now -= 1
        return web.json_response({"data": {"transaction": None}} if request.path == "/graphql" else None, status=200)

    async with answering(answer) as url:
        upstream = Upstream(near.weave, url)
        ids = [sign_item(ED25519, b"%d" % n).id for n in range(3 * FETCHES_MAX)]
        assert not any(await asyncio.gather(*map(upstream.fetch, ids)))
        assert busiest == FETCHES_MAX
        await upstream.close()
