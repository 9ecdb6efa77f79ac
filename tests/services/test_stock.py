"""What a network is stocked with: the registry, its packages, the blueprints. On a real store, with a story's Lua."""

import hashlib
import json
from functools import cache

import pytest
from services.story import AUTHORITY, Story, named_id
from services.story_link import StoryLink
from services.test_genesis import Fragile, Killed

from puna.arweave.store.port import Query
from puna.arweave.store.sqlite import open_store
from puna.arweave.wallet import new_ed25519_wallet, new_rsa_wallet
from puna.errors import NodeError
from puna.services import programs, stock
from puna.services.apm import packages
from puna.services.apm.packages import PACKAGES, Package
from puna.services.blueprints.client import StoreShelf, find_blueprint, list_blueprints
from puna.services.blueprints.index import BLUEPRINTS
from puna.services.network import Network, standing

OPERATOR = new_ed25519_wallet()
RAISED = Network(
    named_id("SCHEDULER"), AUTHORITY, named_id("MODULE"), named_id("TOKEN"), named_id("HERDER"),
    operator=OPERATOR.address,
)  # fmt: skip


rsa_operator = cache(new_rsa_wallet)


@pytest.fixture
async def store(tmp_path):
    store = open_store(tmp_path / "weave")
    yield store
    await store.close()


@pytest.fixture
def link():
    return StoryLink(Story())


def stocked(link, store, network=RAISED):
    return stock.stock(link, store, OPERATOR, network)


def versions(link, network) -> dict[str, list[str]]:
    """Package -> its published versions, out of the registry's memory."""
    text = link.story.processes[network.registry].lua.execute(
        "local told = {} for name, package in pairs(Registry.packages) do told[name] = {} "
        "for _, v in ipairs(package.versions) do table.insert(told[name], v.Version) end end "
        "return require('json').encode(told)"
    )
    return json.loads(text)


async def test_a_network_gets_a_registry_with_the_packages_and_blueprints_by_its_operator(link, store):
    network = await stocked(link, store)
    assert network.registry in link.story.processes and standing(store) == network
    assert versions(link, network) == {f"{p.vendor}/{p.name}": [p.version] for p in PACKAGES}
    found = await list_blueprints(StoreShelf(store), [OPERATOR.address])
    assert [each.name for each in found] == sorted((row.name for row in BLUEPRINTS), key=str.lower)
    assert {"token", "chatroom", "chat", "apm", "arena", "staking", "voting", "credUtils", "patch-legacy-reply",
            "llama"} <= {each.name for each in found}  # fmt: skip


async def test_stocking_again_changes_nothing(link, store):
    network = await stocked(link, store)
    submitted, items = len(link.submitted), store.last_sequence()
    assert await stocked(link, store, network) == network
    assert (len(link.submitted), store.last_sequence()) == (submitted, items)


async def test_blueprints_and_packages_know_the_processes_of_their_network(link, store):
    network = await stocked(link, store)
    shelf = StoreShelf(store)
    assert network.registry in await find_blueprint(shelf, [OPERATOR.address], "apm")
    llama = await find_blueprint(shelf, [OPERATOR.address], "llama")
    assert network.herder in llama and network.token in llama
    source = link.story.processes[network.registry].eval("Registry.packages['@puna/Llama-Herder'].versions[1].source")
    assert network.herder in source.splitlines()[0] and network.token in source.splitlines()[0]


async def test_only_what_has_changed_is_published_again(link, store, monkeypatch, tmp_path):
    network = await stocked(link, store)
    before = store.last_sequence()
    room = tmp_path / "chatroom.lua"
    room.write_text("return 'another room'")
    rows = [stock.BLUEPRINTS[1].__class__("chatroom", (room,)) if row.name == "chatroom" else row for row in BLUEPRINTS]
    monkeypatch.setattr(stock, "BLUEPRINTS", rows)
    await stocked(link, store, network)
    assert await find_blueprint(StoreShelf(store), [OPERATOR.address], "chatroom") == "return 'another room'"
    assert store.last_sequence() == before + 1
    # Wanted back, the older text is published anew: what counts is the newest item.
    monkeypatch.setattr(stock, "BLUEPRINTS", BLUEPRINTS)
    await stocked(link, store, network)
    assert "Members" in await find_blueprint(StoreShelf(store), [OPERATOR.address], "chatroom")
    assert len(store.find(Query(tags=(("Blueprint-Name", ("chatroom",)),)))) == 3


async def test_a_newer_version_of_a_package_is_added_to_the_older_one(link, store, monkeypatch):
    network = await stocked(link, store)
    newer = Package("@puna", "Llama-Herder", "1.10.0", programs.LLAMA_HERDER, "newer", knows=("herder", "token"))
    monkeypatch.setattr(stock, "PACKAGES", (*PACKAGES, newer))
    await stocked(link, store, network)
    assert versions(link, network)["@puna/Llama-Herder"] == ["1.3.0", "1.10.0"]


async def test_a_package_that_the_registry_refuses_is_told(link, store, monkeypatch, tmp_path):
    (tmp_path / "broken.lua").write_text("this is no Lua")
    monkeypatch.setattr(stock, "PACKAGES", [Package("@puna", "broken", "1.0.0", tmp_path / "broken.lua", "")])
    with pytest.raises(NodeError, match="refused @puna/broken@1.0.0: The source does not compile"):
        await stocked(link, store)


@pytest.mark.parametrize("steps", [1, 3, 5, 7, 10, 13])
async def test_killed_and_run_again_it_publishes_each_once_though_no_two_signatures_are_alike(store, link, steps):
    fragile, rsa = Fragile(link, store, steps), rsa_operator()
    with pytest.raises(Killed):
        await stock.stock(fragile, fragile, rsa, RAISED)
    network = await stock.stock(link, store, rsa, RAISED)
    assert versions(link, network) == {f"{p.vendor}/{p.name}": [p.version] for p in PACKAGES}
    assert len(link.story.processes) == 1
    assert len(await StoreShelf(store).items(rsa.address, None)) == len(BLUEPRINTS)


async def test_a_network_of_an_earlier_version_is_stocked_when_it_starts_again(link, store):
    told = RAISED.to_json()
    del told["registry"], told["operator"]
    older = Network.from_json(told)
    assert (older.registry, older.operator) == ("", "")
    network = await stocked(link, store, older)
    assert network.registry and network.operator == OPERATOR.address


PUBLISHED = {
    "@apm/apm@2.1.0": "2e15188f53cc1665",
    "@puna/Llama-Herder@1.3.0": "682f5cc0c487cd8c",
    "@sam/Llama-Herder@1.3.0": "682f5cc0c487cd8c",
}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.full)
def test_a_published_version_never_changes(package):
    digest = hashlib.sha256(programs.source(package.source)).hexdigest()[:16]
    assert digest == PUBLISHED.get(package.full), f"{package.full} changed: give it a new version, and its digest here"


def test_the_client_calls_itself_by_the_version_it_is_published_as():
    package = next(each for each in PACKAGES if each.source == packages.CLIENT_FILE)
    assert f'_version = "{package.version}"' in package.source.read_text()
