"""What Llama Land looks like: drawn by a script, the same everywhere, and its maps can be walked."""

import json
import struct
import zlib
from collections import deque

import pytest

from puna.llamaland.art import drawings
from puna.llamaland.art.palette import COLOURS
from puna.llamaland.places import ASSETS, TILE, WORLDS


@pytest.fixture(scope="module")
def drawn():
    return drawings()


def test_the_committed_files_are_what_the_script_draws(drawn):
    kept = {path.name: path.read_bytes() for path in ASSETS.iterdir()}
    assert kept.keys() == drawn.keys()
    assert [name for name in drawn if drawn[name] != kept[name]] == [], "run: python -m puna.llamaland.art"


def test_all_pictures_share_one_palette_of_at_most_48_colours(drawn):
    assert len(COLOURS) <= 48
    palettes = {picture[41 : 41 + 3 * len(COLOURS)] for name, picture in drawn.items() if name.endswith(".png")}
    assert len(palettes) == 1


def test_the_pictures_are_png_that_other_programs_read(drawn):
    for name in ("tiles.png", "llamas.png", "badge.png"):
        picture = drawn[name]
        width, height = struct.unpack_from(">II", picture, 16)
        at, packed = 8, b""
        while at < len(picture):
            (size,) = struct.unpack_from(">I", picture, at)
            kind, body = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + size]
            assert struct.unpack_from(">I", picture, at + 8 + size)[0] == zlib.crc32(kind + body)
            packed += body if kind == b"IDAT" else b""
            at += 12 + size
        rows = zlib.decompress(packed)
        assert len(rows) == height * (width + 1) and max(rows) < len(COLOURS)


def free_tiles(told: dict) -> set[tuple[int, int]]:
    solid = {
        tile["id"] + 1 for tile in told["tilesets"][0]["tiles"]
        if {"name": "collides", "type": "bool", "value": True} in tile.get("properties", ())
    }  # fmt: skip
    width = told["width"]
    layers = [layer["data"] for layer in told["layers"] if layer["type"] == "tilelayer"]
    return {
        (at % width, at // width) for at in range(width * told["height"])
        if not any(layer[at] in solid for layer in layers)
    }  # fmt: skip


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.key)
def test_from_where_one_arrives_every_character_and_every_way_out_can_be_walked_to(drawn, world):
    told = json.loads(drawn[f"{world.key}.tmj"])
    free, world = free_tiles(told), world.drawn()
    start = tuple(int(value) for value in world.spawn)
    reached, edge = {start}, deque([start])
    while edge:
        x, y = edge.popleft()
        for near in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
            if near in free and near not in reached:
                reached.add(near)
                edge.append(near)
    assert start in free
    for name, (x, y) in world.characters.items():
        assert (int(x), int(y)) in free, f"{name} stands in something"
        assert {(int(x) + dx, int(y) + dy) for dx in (-1, 0, 1) for dy in (0, 1, 2)} & reached, (
            f"{name} cannot be reached"
        )
    for warp in world.warps:
        rows = range(int(warp.at[1]), int(warp.at[1] + warp.size[1]) + 1)
        assert any((max(0, int(warp.at[0] + 0.4)), row) in reached for row in rows), (
            f"the way to {warp.target} is closed"
        )
        there = next(other for other in WORLDS if other.key == warp.target)
        assert tuple(map(int, warp.arrive)) in free_tiles(json.loads(drawn[f"{there.key}.tmj"]))


def test_layers_and_tiles_are_named_as_other_clients_of_the_protocol_expect(drawn):
    for world in WORLDS:
        told = json.loads(drawn[f"{world.key}.tmj"])
        assert (told["width"], told["height"]) == (world.width, world.height) and told["tilewidth"] == TILE
        names = [layer["name"] for layer in told["layers"] if layer["type"] == "tilelayer"]
        assert names and all(name.startswith(("BG_", "FG_")) for name in names)
        count = told["tilesets"][0]["tilecount"]
        assert all(
            0 <= number <= count
            for layer in told["layers"] if layer["type"] == "tilelayer" for number in layer["data"]
        )  # fmt: skip
