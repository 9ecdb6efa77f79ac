"""What pages ask of a node beside GraphQL and dry-runs: names, search, places, answers of the herd, gifts."""

import aiohttp
import pytest

from puna.arweave.wallet import new_ed25519_wallet


@pytest.fixture
async def ask(node):
    async with aiohttp.ClientSession(node.places["gateway"]) as session:

        async def ask(path: str, body=None, **headers: str):
            method = session.get(path) if body is None else session.post(path, json=body, headers=headers)
            async with method as reply:
                return reply.status, await reply.json()

        yield ask


async def test_search_knows_ids_names_and_heights(ask, node):
    places = node.places
    for text, kind in (
        (places["token"], "process"), (places["module"], "item"), (places["model"], "models"),
        (places["wallet"]["address"], "wallet"), ("A" * 43, "wallet"), ("0", "block"), ("HERDER", "process"),
    ):  # fmt: skip
        _, hits = await ask(f"/web/api/find?q={text}")
        assert hits[0]["kind"] == kind, (text, hits)
    _, block = await ask("/block/height/0")
    _, hits = await ask(f"/web/api/find?q={block['indep_hash']}")
    assert hits[0] == {"kind": "block", "id": "0", "name": "Block 0"}
    for text in ("", "no such thing", "99999999999", "%00", "%F0%9F%A6%99"):
        assert await ask(f"/web/api/find?q={text}") == (200, [])


async def test_names_tell_the_networks_own_from_claimed_ones(ask, node):
    _, names = await ask("/web/api/names")
    assert names[node.places["token"]] == {"name": "wAR", "standing": True}
    assert names[node.places["herder"]]["standing"] is True


async def test_messages_are_told_with_their_places_and_unknown_ones_left_out(ask, node):
    _, recent = await ask("/web/api/recent?limit=5")
    assert len(recent) == 5
    ids = [each["id"] for each in recent]
    _, again = await ask(f"/web/api/messages?ids={','.join([*ids, 'A' * 43, 'nonsense'])}")
    assert [each["id"] for each in again] == ids
    _, spawned = await ask(f"/web/api/messages?ids={node.places['token']}")
    assert spawned[0]["nonce"] == 0 and spawned[0]["timestamp"] > 0


@pytest.mark.parametrize("path", ["tree/nothing", f"tree/{'A' * 43}", "recent?limit=x", "tree/%00"])
async def test_what_is_not_there_is_refused_with_words(ask, path):
    status, told = await ask(f"/web/api/{path}")
    assert status in (400, 404) and told["error"]


async def test_a_gift_goes_to_pages_of_this_node_once_for_each_wallet(ask, node):
    gateway, address = node.places["gateway"], new_ed25519_wallet().address
    status, told = await ask("/web/api/gift", {"address": address}, Origin="http://elsewhere.example")
    assert status == 403
    status, told = await ask("/web/api/gift", {"address": address})
    assert status == 403
    status, told = await ask("/web/api/gift", {"address": address}, Origin=gateway)
    assert status == 200 and told["war"] == "0.001" and told["from"] == node.places["wallet"]["address"]
    status, told = await ask("/web/api/gift", {"address": address}, Origin=gateway)
    assert status == 400 and "has had its gift" in told["error"]


@pytest.mark.parametrize(
    "body", [{}, [], "text", {"address": "short"}, {"address": 5}, {"address": "!" * 43}, {"x": "y" * 5000}]
)
async def test_a_gift_to_nobody_is_refused(ask, node, body):
    status, told = await ask("/web/api/gift", body, Origin=node.places["gateway"])
    assert status == 400 and "no address" in told["error"]
