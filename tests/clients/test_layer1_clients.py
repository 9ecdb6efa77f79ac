"""The clients that Arweave's programs are written with, unmodified, against the gateway."""

from pathlib import Path

import pytest
from clients.driving import drive
from gateway.serving import gateway

from puna.arweave.wallet import load_wallet

WALLET = Path(__file__).parent.parent / "arweave" / "rsa-test-wallet.json"


@pytest.fixture
async def at(tmp_path):
    async with gateway(tmp_path / "weave", load_wallet(WALLET)) as served:
        yield served


async def test_statements_9_to_13_arweave_js_posts_reads_and_pays(at):
    seen = await drive("arweave.mjs", at.url, str(WALLET))
    assert seen["address"] == load_wallet(WALLET).address
    assert seen["balance"] == "1000000000000000" and seen["price"].isdigit()
    assert seen["info"]["height"] == 0 and len(seen["info"]["current"]) == 64
    assert seen["smallPosted"] == [200, {}] and seen["pending"] == 202
    assert seen["status"]["status"] == 200 and seen["status"]["confirmed"]["number_of_confirmations"] == 1
    assert seen["smallText"] == "ten bytes!" and seen["smallVerifies"] and seen["tag"] == "text/plain"
    assert seen["lastTx"]
    assert seen["bigUploaded"] == [200, 3]
    assert seen["bigByChunks"] and seen["bigByGetData"] and seen["offset"]["size"] == "600000"
    assert seen["giftPosted"] == 200 and seen["given"] == "1500000000000"
    assert seen["unknown"] == 404 and seen["block"] == 1 and seen["current"] == at.weave.tip.indep_hash
    assert seen["query"] == seen["ids"]


async def test_statements_1_8_and_18_arbundles_items_and_bundles_go_both_ways(at):
    seen = await drive("arbundles.mjs", at.url, str(WALLET))
    assert seen["items"] == [[200, True, True]] * 4
    assert seen["broken"] == [400, "Invalid Data Item!"]
    assert seen["bundlePosted"] == 200 and seen["first"] == "first" and seen["leaf"] == "leaf"
    carried = {"id": seen["nestedId"]}
    assert seen["leafNode"] == {"bundledIn": carried, "parent": carried, "block": {"height": 1}}
    assert seen["ours"] == [4, True, True]
    assert seen["oursVerifies"]
