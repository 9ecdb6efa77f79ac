"""The two worlds: how large they are, and where everything stands. Read by genesis and by tests.

A map in `assets` may say in an object layer named `Places` where the spawn, characters and warps are; then that counts,
so that whoever draws the map moves them. What is here stands in for a map that is not there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).parent / "assets"
TILE = 16  # pixels

Place = tuple[float, float]


@dataclass(frozen=True)
class Warp:
    """Whoever overlaps it goes to the world `target`, to the place `arrive`. In tiles; `at` is its upper left."""

    target: str
    at: Place
    size: Place
    arrive: Place


@dataclass(frozen=True)
class World:
    """A world's row; positions in tiles from the upper left corner."""

    key: str
    name: str
    width: int
    height: int
    spawn: Place
    characters: Mapping[str, Place]
    warps: tuple[Warp, ...]

    def drawn(self) -> "World":
        """This world as its map says."""
        try:
            told = json.loads((ASSETS / f"{self.key}.tmj").read_text())
        except FileNotFoundError:
            return self
        world = replace(self, width=told["width"], height=told["height"])
        layer = next((layer for layer in told["layers"] if layer["name"] == "Places"), None)
        return world if layer is None else _placed(world, layer["objects"])


WORLDS = (
    World(
        "town", "Llama Town", 40, 30, (20, 24),
        {"king": (20, 11.6), "banker": (33, 18), "joker": (8.5, 24), "oracle": (6.5, 14), "giver": (17, 27),
         "citizenship": (24, 28.4)},
        (Warp("meadow", (39.4, 19), (1, 4), (2, 20)),),
    ),
    World("meadow", "Llama Meadow", 50, 40, (3, 21), {}, (Warp("town", (-0.4, 20), (1, 2.5), (37, 20)),)),
)  # fmt: skip


def _placed(world: World, marks: list[dict[str, Any]]) -> World:
    spawn, characters, warps = world.spawn, dict(world.characters), []
    for mark in marks:
        at = _tiles(mark["x"], mark["y"])
        match mark.get("type") or mark.get("class"):
            case "spawn":
                spawn = at
            case "character":
                characters[mark["name"]] = at
            case "warp":
                said = {each["name"]: each["value"] for each in mark.get("properties", ())}
                x, y = said["arrive"].split()
                warps.append(Warp(said["target"], at, _tiles(mark["width"], mark["height"]), (float(x), float(y))))
    return replace(world, spawn=spawn, characters=characters, warps=tuple(warps) or world.warps)


def _tiles(x: float, y: float) -> Place:
    return round(x / TILE, 3), round(y / TILE, 3)
