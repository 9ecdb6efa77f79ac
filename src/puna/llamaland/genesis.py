"""Raises Llama Land on a network: coin, worlds and characters, introduced to each other; pictures on the weave.

Called by nodes that serve, in the background: the network is there before its land is. It goes in durable steps
(services/steps.py), as the network's own genesis does. What is there already is left as it is; a newer version of Puna
with another cast or other worlds adds what is missing.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec

from puna.ao.link import Link
from puna.arweave.store.port import Store
from puna.arweave.wallet import Wallet
from puna.services.network import Network
from puna.services.steps import Steps, named_tags

from .cast import CAST, WORLD, Character, character_source, coin_source
from .land import LAND_NOTE, Land, standing_land
from .places import ASSETS, WORLDS, World

CONTENT_TYPES = {".png": "image/png", ".json": "application/json", ".tmj": "application/json"}
_ASSET = "land/asset/"  # + name + digest of the file: the id of its item


async def raise_land(
    link: Link,
    store: Store,
    operator: Wallet,
    network: Network,
    *,
    progress: Callable[[str], None] = lambda step: None,
) -> Land:
    """The land of this store, raised or completed as needed. Raises NodeError when a process does not come up."""
    there, digest = standing_land(store), _digest()
    if there is not None and there.digest == digest:
        return there
    progress("raising Llama Land")
    steps = Steps("land/step/", link, store, operator, scheduler=network.scheduler, authority=network.authority)
    raising = _Raising(steps, store, network, there)
    land = await raising.processes()
    land = replace(land, digest=digest, assets=await raising.assets())
    await raising.introduce(land)
    await steps.done(network, {LAND_NOTE: msgspec.json.encode(land)})
    return land


class _Raising:
    """One run of the land's genesis."""

    def __init__(self, steps: Steps, store: Store, network: Network, there: Land | None):
        self.steps, self.store, self.network = steps, store, network
        self.there = there or Land("", {}, {})
        self.revision = self.there.revision + 1

    async def processes(self) -> Land:
        """Coin, worlds and characters; those that are missing are spawned, all at once."""
        there, module = self.there, self.network.module
        coin, worlds, characters = await asyncio.gather(
            self._known(there.coin) or self.steps.spawn(
                "coin", module, coin_source(),
                {"Name": "Llama Coin", "Ticker": "LLAMA", "Denomination": "12", "Minter": "nobody"},
            ),
            asyncio.gather(*(
                self._known(there.worlds.get(world.key))
                or self.steps.spawn(f"world {world.key}", module, WORLD, {"Name": world.name})
                for world in WORLDS
            )),
            asyncio.gather(*(
                self._known(there.characters.get(each.key)) or self._spawn_character(each) for each in CAST
            )),
        )  # fmt: skip
        return Land(
            coin,
            {each.key: id for each, id in zip(CAST, characters, strict=True)},
            {world.key: id for world, id in zip(WORLDS, worlds, strict=True)},
            revision=self.revision,
        )

    @staticmethod
    def _known(id: str | None):
        """An id that is there, as something to wait for; None when it is not."""
        return asyncio.sleep(0, id) if id else None

    async def _spawn_character(self, character: Character) -> str:
        network = self.network
        source = character_source(character, network.token, network.herder)
        tags = {"Name": character.name, "World": character.world, **character.tags}
        process = await self.steps.spawn(f"character {character.key}", network.module, source, tags)
        if character.winston:
            mint = {"Action": "Mint", "Recipient": process, "Quantity": str(character.winston)}
            await self.steps.tell(f"fund {character.key}", network.token, mint, "Mint-Notice")
        return process

    async def assets(self) -> dict[str, str]:
        """The pictures and maps on the weave: file name -> id. What is not there is left out."""
        found = {}
        for path in sorted(ASSETS.glob("*")):
            kind = CONTENT_TYPES.get(path.suffix)
            if kind is None:
                continue
            key = f"{_ASSET}{path.name}/{sha256(path.read_bytes()).hexdigest()}"
            known = self.store.note(key)
            if known is None:
                tags = {"Type": "Llama-Land-Asset", "Name": path.name, "Content-Type": kind}
                known = (await self.store.append_file(self.steps.operator, path, named_tags(tags))).id.encode()
                await self.store.append([], {key: known})
            found[path.name] = known.decode()
        return found

    async def introduce(self, land: Land) -> None:
        """Tell everybody who the others are, and let go of those who are to be nobody's."""
        final = {each.key for each in CAST if each.final} & set(self.there.characters)
        if not self.there.coin:
            appoint = {"Action": "Appoint", "Grantor": land.banker}
            await self.steps.tell("appoint", land.coin, appoint, "Appointed")
        known = msgspec.json.encode({**land.to_json(), "names": {each.name: True for each in CAST}})
        introduce = {"Action": "Introduce", "Revision": str(self.revision)}
        for each in CAST:
            if each.key not in final:
                await self._send(f"introduce {each.key}", land.characters[each.key], introduce, known)
        for world in WORLDS:
            settled = msgspec.json.encode(settlement(world.drawn(), land))
            await self._send(
                f"settle {world.key}", land.worlds[world.key],
                {"Action": "Reality.Settle", "Revision": str(self.revision)}, settled,
            )  # fmt: skip
        if not self.there.coin:
            await self.steps.tell("open", land.giver, {"Action": "Open"}, "Opened")
            await self.steps.tell("renounce coin", land.coin, {"Action": "Renounce"}, "Renounced")
        for each in CAST:
            if each.final and each.key not in final:
                process = land.characters[each.key]
                await self.steps.tell(f"renounce {each.key}", process, {"Action": "Renounce"}, "Renounced")

    async def _send(self, step: str, process: str, tags: Mapping[str, str], data: bytes) -> None:
        await self.steps.send(f"{step} {self.revision}", process, tags, data)


def settlement(world: World, land: Land) -> dict[str, Any]:
    """What a world is told about itself; see Reality.Settle."""
    picture = {"Version": 0, "Spawn": world.spawn}
    sheets = {f"{world.key}.tmj": "Tilemap", "tiles.png": "Tileset"}
    for name, field in sheets.items():
        if name in land.assets:
            kind = "TMJ" if field == "Tilemap" else "PNG"
            picture[field] = {"Type": "Fixed", "Format": kind, "TxId": land.assets[name]}
    if "Tilemap" in picture:
        picture["Tilemap"]["Offset"] = (0, 0)
    for name, field in (("llamas.png", "PlayerSpriteTxId"), ("llamas.json", "PlayerSpriteAtlasTxId")):
        if name in land.assets:
            picture[field] = land.assets[name]
    people = {
        land.characters[each.key]: {
            "Position": world.characters.get(each.key, world.spawn), "Type": "Avatar",
            "Metadata": each.metadata(land.characters[each.key]),
        }
        for each in CAST if each.world == world.key
    }  # fmt: skip
    warps = {
        land.worlds[warp.target]: {
            "Position": warp.at, "Type": "Hidden",
            "Metadata": {"DisplayName": _title(warp.target), "Interaction": {
                "Type": "Warp", "Size": warp.size, "Position": warp.arrive, "Target": land.worlds[warp.target],
            }},
        }
        for warp in world.warps
    }  # fmt: skip
    return {
        "Info": {
            "Parent": "", "Name": world.name, "Dimensions": 2, "Render-With": "2D-Tile-0", "Spawn": world.spawn,
        },
        "Parameters": {
            "Token": {"Primary": land.coin},
            "Bounds": {"Lower": (0, 0), "Upper": (world.width, world.height)},
            "2D-Tile-0": picture,
        },
        "EntitiesStatic": people | warps,
        "Names": {each.name: land.characters[each.key] for each in CAST},
        "Greeter": land.giver,
    }  # fmt: skip


def _title(key: str) -> str:
    return next(world.name for world in WORLDS if world.key == key)


def _digest() -> str:
    """Equal when there is nothing to raise or to settle that was not last time.

    Programs count by name only: a process that stands keeps the program it was spawned with.
    """
    whole = sha256(repr(tuple((each.key, each.name, each.form, each.external, each.world) for each in CAST)).encode())
    whole.update(repr([world.drawn() for world in WORLDS]).encode())
    for path in sorted(ASSETS.glob("*")):
        whole.update(path.name.encode() + sha256(path.read_bytes()).digest())
    return whole.hexdigest()
