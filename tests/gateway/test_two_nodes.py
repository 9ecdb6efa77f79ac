"""Two gateways: one reads through to the other, verifies what it gets, and posts its own bundles there."""

import json

import pytest
from aiohttp import web
from arweave.strategies import ED25519, ETHEREUM
from gateway.serving import OPERATOR, gateway

from puna.arweave.bundle import BUNDLE_TAGS, encode_bundle
from puna.arweave.dataitem import sign_item
from puna.arweave.gateway.forward import Forwarder
from puna.arweave.gateway.upstream import Upstream
from puna.arweave.ids import b64url_encode
from puna.errors import NotYet

BIG = bytes(range(256)) * 2344
NODE = """query ($id: ID!) { transactions(ids: [$id]) { edges { node {
  id signature anchor recipient owner { address } tags { name value } block { id height } bundledIn { id } } } } }"""


@pytest.fixture
async def far(tmp_path, rsa_wallet):
    async with gateway(tmp_path / "far", rsa_wallet) as served:
        yield served


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
