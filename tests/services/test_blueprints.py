"""Finding blueprints: in a store, and through a served gateway over the same store."""

from contextlib import asynccontextmanager

import pytest
from gateway.serving import gateway

from puna.arweave.dataitem import sign_item
from puna.arweave.store.sqlite import open_store
from puna.arweave.tags import Tag
from puna.arweave.wallet import new_ed25519_wallet
from puna.errors import Invalid, Missing, NotYet
from puna.services.blueprints.client import (
    GatewayShelf,
    StoreShelf,
    digest,
    find_blueprint,
    list_blueprints,
    publish_blueprint,
)

OPERATOR, ALICE, MALLORY = new_ed25519_wallet(), new_ed25519_wallet(), new_ed25519_wallet()


@asynccontextmanager
async def store_shelf(folder):
    store = open_store(folder / "weave")
    yield StoreShelf(store)
    await store.close()


@asynccontextmanager
async def gateway_shelf(folder):
    async with gateway(folder / "weave", OPERATOR) as served, GatewayShelf(served.url) as shelf:
        yield shelf


@pytest.fixture(params=[store_shelf, gateway_shelf], ids=["store", "gateway"])
async def shelf(request, tmp_path):
    async with request.param(tmp_path) as shelf:
        yield shelf


async def test_the_newest_of_a_name_by_its_owner_is_found(shelf):
    await publish_blueprint(shelf, OPERATOR, "token", "return 'old'")
    await publish_blueprint(shelf, OPERATOR, "token", "return 'new ümlaut'")
    await publish_blueprint(shelf, OPERATOR, "chatroom", "return 'room'")
    await publish_blueprint(shelf, MALLORY, "token", "return 'robbed'")
    assert await find_blueprint(shelf, [OPERATOR.address], "token") == "return 'new ümlaut'"
    assert await find_blueprint(shelf, [OPERATOR.address], "chatroom") == "return 'room'"


async def test_owners_are_asked_in_order(shelf):
    await publish_blueprint(shelf, OPERATOR, "token", "return 'theirs'")
    await publish_blueprint(shelf, OPERATOR, "arena", "return 'arena'")
    mine = await publish_blueprint(shelf, ALICE, "token", "return 'mine'")
    owners = [ALICE.address, OPERATOR.address]
    assert await find_blueprint(shelf, owners, "token") == "return 'mine'"
    assert await find_blueprint(shelf, owners, "arena") == "return 'arena'"
    listed = await list_blueprints(shelf, owners)
    assert [(each.name, each.owner) for each in listed] == [("arena", OPERATOR.address), ("token", ALICE.address)]
    assert listed[1].id == mine


async def test_a_name_that_is_not_there_is_told_with_those_that_are(shelf):
    await publish_blueprint(shelf, OPERATOR, "token", "return 1")
    await publish_blueprint(shelf, OPERATOR, "Arena", "return 1")
    with pytest.raises(Missing) as missing:
        await find_blueprint(shelf, [OPERATOR.address], "tokne")
    assert "no blueprint 'tokne'" in str(missing.value) and "Arena, token" in str(missing.value)
    with pytest.raises(Missing, match="Nobody asked has published any"):
        await find_blueprint(shelf, [ALICE.address], "token")


async def test_many_are_all_listed(shelf):
    for n in range(103):
        await publish_blueprint(shelf, OPERATOR, f"b{n:03}", f"return {n}")
    listed = await list_blueprints(shelf, [OPERATOR.address])
    assert [each.name for each in listed] == [f"b{n:03}" for n in range(103)]


def item(data: bytes, hash: str):
    tags = (Tag("Type", "Blueprint"), Tag("Blueprint-Name", "odd"), Tag("Hash", hash))
    return sign_item(OPERATOR, data=data, tags=tags)


async def test_a_text_that_is_not_what_its_item_says_is_refused(shelf):
    await shelf.put(item(b"return 1", "x" * 43))
    with pytest.raises(Invalid, match="its item says xxx"):
        await find_blueprint(shelf, [OPERATOR.address], "odd")


async def test_what_is_no_text_is_refused(shelf):
    await shelf.put(item(b"\xff\xfe", digest(b"\xff\xfe")))
    with pytest.raises(Invalid, match="odd in .* is no text"):
        await find_blueprint(shelf, [OPERATOR.address], "odd")


@pytest.mark.parametrize("name", ["", " token", "a/b", "n" * 65, "a\nb"])
async def test_a_name_that_cannot_be_one_is_refused(shelf, name):
    with pytest.raises(Invalid, match="is no name for a blueprint"):
        await publish_blueprint(shelf, ALICE, name, "return 1")


async def test_a_text_that_is_too_long_is_refused(shelf):
    with pytest.raises(Invalid, match="at most 1048576"):
        await publish_blueprint(shelf, ALICE, "long", "-" * 1048577)


async def test_a_gateway_that_is_away_is_told():
    async with GatewayShelf("http://127.0.0.1:9") as shelf:
        with pytest.raises(NotYet, match="is not within reach"):
            await find_blueprint(shelf, [OPERATOR.address], "token")
