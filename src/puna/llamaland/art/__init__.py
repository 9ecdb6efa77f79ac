"""Draws the land: its tiles, maps, llamas and frames, from one palette. `python -m puna.llamaland.art` writes them.

What is drawn is committed next to this folder, in `assets`; a test draws it again and compares the bytes.
"""

from . import frames, llamas, maps


def drawings() -> dict[str, bytes]:
    """Every file of the land's assets by its name."""
    tiles = maps.Tiles()
    lands = [maps.town(tiles), maps.meadow(tiles)]
    sheet, told = llamas.sheet()
    files = {"tiles.png": tiles.sheet(), "llamas.png": sheet, "llamas.json": told.encode(), **frames.frames()}
    return files | {f"{land.name}.tmj": land.told().encode() for land in lands}
