"""The land's genesis on a real store and a network in one hand: one land, however often it is killed."""

import json
from dataclasses import replace

import pytest
from services.story import AUTHORITY, Story, named_id
from services.story_link import StoryLink
from services.test_genesis import Fragile, Killed

from puna.arweave.store.sqlite import open_store
from puna.arweave.wallet import new_ed25519_wallet, new_rsa_wallet
from puna.errors import Invalid
from puna.llamaland import cast, client, genesis, places
from puna.llamaland.genesis import raise_land
from puna.llamaland.land import Land, standing_land
from puna.services import programs
from puna.services.network import Network
from puna.services.token.client import balance, info

OPERATOR = new_ed25519_wallet()


@pytest.fixture
async def store(tmp_path):
    store = open_store(tmp_path / "weave")
    yield store
    await store.close()


@pytest.fixture
def assets(tmp_path, monkeypatch):
    folder = tmp_path / "assets"
    folder.mkdir()
    for module in (places, genesis):
        monkeypatch.setattr(module, "ASSETS", folder)
    return folder


@pytest.fixture
def link():
    return StoryLink(Story())


def network_of(link, operator=OPERATOR) -> Network:
    """A network whose wAR the operator mints; the herder is only a name here."""
    token = link.story.spawn("TOKEN", programs.source(programs.TOKEN), Minter=operator.address)
    return Network(named_id("SCHEDULER"), AUTHORITY, named_id("MODULE"), token, named_id("HERDER"),
                   operator=operator.address)  # fmt: skip


async def test_a_land_stands_with_coin_worlds_and_characters_that_know_each_other(link, store, assets):
    network = network_of(link)
    land = await raise_land(link, store, OPERATOR, network)
    assert set(land.characters) == {"king", "banker", "joker", "oracle", "giver", "citizenship"}
    assert set(land.worlds) == {"town", "meadow"} and land.assets == {} and standing_land(store) == land
    coin = await info(link, land.coin)
    assert (coin.name, coin.ticker, coin.denomination) == ("Llama Coin", "LLAMA", 12)
    for each in cast.CAST:
        process = link.story.processes[land.characters[each.key]]
        assert process.eval("Land.worlds.town") == land.worlds["town"]
        assert await balance(link, network.token, process.id) == each.winston
        assert process.eval("Owner") == ("" if each.final else OPERATOR.address)
    assert link.story.processes[land.coin].eval("Owner") == ""
    assert await client.llama_balance(link, land, land.giver) == 55_555_555 * 10**6  # half of the first hour's budget
    static = json.loads(link.story.ask("anybody", land.worlds["town"], "Reality.EntitiesStatic").data)
    assert {land.king, land.joker, land.worlds["meadow"]} <= set(static)
    assert (land.king, land.to_json()["worlds"]["town"]) == (land.characters["king"], land.worlds["town"])
    with pytest.raises(AttributeError, match="Nobody called 'queen'"):
        _ = land.queen


async def test_raising_again_changes_nothing(link, store, assets):
    network = network_of(link)
    land = await raise_land(link, store, OPERATOR, network)
    submitted, items = len(link.submitted), store.last_sequence()
    assert await raise_land(link, store, OPERATOR, network) == land
    assert (len(link.submitted), store.last_sequence()) == (submitted, items)


@pytest.mark.parametrize("steps", [1, 4, 9, 20, 33, 47, 60, 75])
async def test_killed_and_run_again_it_ends_with_the_same_one_land_though_no_two_signatures_are_alike(
    link, store, assets, steps, rsa
):
    (assets / "tiles.png").write_bytes(b"png")
    network = network_of(link, rsa)
    fragile = Fragile(link, store, steps)
    with pytest.raises(Killed):
        await raise_land(fragile, fragile, rsa, network)
    land = await raise_land(link, store, rsa, network)
    assert len(link.story.processes) == 1 + 1 + len(cast.CAST) + len(places.WORLDS)
    for each in cast.CAST:
        assert await balance(link, network.token, land.characters[each.key]) == each.winston
        assert link.story.processes[land.characters[each.key]].eval("Land.coin") == land.coin
    assert int(link.story.processes[land.banker].eval("Emission.issued")) == 55_555_555


@pytest.fixture(scope="module")
def rsa():
    return new_rsa_wallet()


async def test_pictures_are_published_and_worlds_name_them_and_newer_ones_replace_them(link, store, assets):
    for name in ("tiles.png", "town.tmj", "meadow.tmj", "llamas.png", "llamas.json", "notes.txt"):
        (assets / name).write_text(json.dumps({"width": 40, "height": 30, "layers": [], "name": name}))
    network = network_of(link)
    land = await raise_land(link, store, OPERATOR, network)
    assert set(land.assets) == {"tiles.png", "town.tmj", "meadow.tmj", "llamas.png", "llamas.json"}

    def picture():
        told = link.story.ask("anybody", land.worlds["town"], "Reality.Parameters").data
        return json.loads(told)["2D-Tile-0"]

    assert picture()["Tileset"] == {"Type": "Fixed", "Format": "PNG", "TxId": land.assets["tiles.png"]}
    assert picture()["Tilemap"]["TxId"] == land.assets["town.tmj"]
    assert picture()["PlayerSpriteTxId"] == land.assets["llamas.png"]
    assert ("Content-Type", "image/png") in store.view(land.assets["tiles.png"]).tags
    (assets / "tiles.png").write_text("newer")
    newer = await raise_land(link, store, OPERATOR, network)
    assert newer.characters == land.characters and newer.revision == land.revision + 1
    assert picture()["Tileset"]["TxId"] == newer.assets["tiles.png"] != land.assets["tiles.png"]


async def test_a_newcomer_to_the_cast_joins_a_land_that_stands(link, store, assets, monkeypatch, tmp_path):
    network = network_of(link)
    land = await raise_land(link, store, OPERATOR, network)
    (tmp_path / "baker.lua").write_text('require("llamaland.character").offers(function() return { Bread = {} } end)')
    monkeypatch.setattr(cast, "_HERE", tmp_path)
    baker = replace(cast.CAST[2], key="baker", name="Llama Baker", form="Bread", world="meadow")
    monkeypatch.setattr(genesis, "CAST", (*cast.CAST, baker))
    larger = await raise_land(link, store, OPERATOR, network)
    assert {**land.characters, "baker": larger.baker} == larger.characters and larger.coin == land.coin
    static = json.loads(link.story.ask("anybody", land.worlds["meadow"], "Reality.EntitiesStatic").data)
    assert static[larger.baker]["Metadata"]["DisplayName"] == "Llama Baker"
    assert link.story.processes[larger.baker].eval("Land.king") == land.king
    assert await balance(link, network.token, larger.baker) == baker.winston


def test_a_land_is_told_as_json_and_read_back():
    land = Land("C" * 43, {"king": "K" * 43}, {"town": "T" * 43}, {"tiles.png": "P" * 43})
    assert Land.from_json(land.to_json()) == land
    with pytest.raises(Invalid, match="does not describe a land"):
        Land.from_json({"coin": 5})
