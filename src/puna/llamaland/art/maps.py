"""The two maps, put together from tiles, in Tiled's JSON format, and the one set of tiles that both use."""

import json
from collections.abc import Callable

import numpy as np

from . import objects, terrain
from .palette import PALETTE, canvas, chance, paste
from .png import write_png

TILE = 16
COLUMNS = 32
LAYERS = ("BG_Ground", "BG_Objects", "BG_Objects_2", "FG_Objects", "FG_Objects_2")
WATER_MS = 260


class Tiles:
    """The set: every picture once; number 0 stays free, as Tiled counts from 1 and 0 is nothing."""

    def __init__(self) -> None:
        self.pictures: list[np.ndarray] = []
        self.collides: set[int] = set()
        self.animations: dict[int, list[int]] = {}
        self._known: dict[tuple[bytes, bool], int] = {}

    def number(self, picture: np.ndarray, collides: bool = False) -> int:
        """The tile's number from 1; the same picture is kept twice when one of them stands in the way."""
        key = picture.tobytes(), collides
        if key not in self._known:
            self.pictures.append(picture)
            self._known[key] = len(self.pictures)
            if collides:
                self.collides.add(len(self.pictures))
        return self._known[key]

    def moving(self, pictures: list[np.ndarray], collides: bool) -> int:
        first = self.number(pictures[0], collides)
        if first not in self.animations:
            self.animations[first] = [first]
            for picture in pictures[1:]:
                self.pictures.append(picture)
                self.animations[first].append(len(self.pictures))
                if collides:
                    self.collides.add(len(self.pictures))
        return first

    def sheet(self) -> bytes:
        rows = -(-len(self.pictures) // COLUMNS)
        sheet = canvas(COLUMNS * TILE, rows * TILE)
        for index, picture in enumerate(self.pictures):
            paste(sheet, picture, index % COLUMNS * TILE, index // COLUMNS * TILE)
        return write_png(sheet, PALETTE)

    def tileset(self) -> dict:
        """The tileset as it stands inside a map."""
        rows = -(-len(self.pictures) // COLUMNS)
        told = []
        for number in sorted(self.collides | set(self.animations)):
            tile: dict = {"id": number - 1}
            if number in self.animations:
                frames = self.animations[number]
                tile["animation"] = [{"duration": WATER_MS, "tileid": frame - 1} for frame in frames]
            if number in self.collides:
                tile["properties"] = [{"name": "collides", "type": "bool", "value": True}]
            told.append(tile)
        return {
            "columns": COLUMNS, "firstgid": 1, "image": "tiles.png", "imageheight": rows * TILE,
            "imagewidth": COLUMNS * TILE, "margin": 0, "name": "land", "spacing": 0, "tilecount": len(self.pictures),
            "tileheight": TILE, "tiles": told, "tilewidth": TILE,
        }  # fmt: skip


class Map:
    """A map under construction: grounds by the corners of tiles, objects by tiles."""

    def __init__(self, tiles: Tiles, name: str, width: int, height: int, seed: int):
        self.tiles, self.name, self.width, self.height, self.seed = tiles, name, width, height, seed
        self.layers = {layer: np.zeros((height, width), int) for layer in LAYERS}
        self.grounds = {
            kind: np.zeros((height + 1, width + 1), bool) for kind in ("dry", "earth", "stones", "water")
        }  # fmt: skip
        self.places: list[dict] = []
        self.taken = np.zeros((height, width), bool)

    # Ground

    def area(self, kind: str, x: float, y: float, width: float, height: float, is_round: bool = False) -> None:
        """Corners inside the rectangle become this ground, and no other any more."""
        rows, columns = np.mgrid[: self.height + 1, : self.width + 1]
        if is_round:
            mask = ((columns - x - width / 2) / (width / 2)) ** 2 + ((rows - y - height / 2) / (height / 2)) ** 2 <= 1
        else:
            mask = (columns >= x) & (columns <= x + width) & (rows >= y) & (rows <= y + height)
        if kind == "water":
            for other in self.grounds.values():
                other[mask] = False
        self.grounds[kind][mask] = True

    def way(self, kind: str, *points: tuple[int, int], wide: int = 2) -> None:
        """A way along straight lines through `points`, in tiles."""
        for (x, y), (to_x, to_y) in zip(points, points[1:], strict=False):
            steps = max(abs(to_x - x), abs(to_y - y), 1)
            for step in range(steps + 1):
                at_x, at_y = round(x + (to_x - x) * step / steps), round(y + (to_y - y) * step / steps)
                self.area(kind, at_x, at_y, wide - 1 + (wide < 2), wide - 1 + (wide < 2))

    def lay_ground(self, flowery: Callable[[int, int], float]) -> None:
        """Turn the corners into tiles; `flowery` is the chance of something in the grass of a tile."""
        ground = self.layers["BG_Ground"]
        luck = chance(self.seed, self.height, self.width, 3)
        inside = {
            "earth": [terrain.earth(seed) for seed in range(3)], "stones": [terrain.stones()],
            "dry": [terrain.dry(8), terrain.dry(31)] + [terrain.tuft(n, ("p1", "p2", "p4"), "p3") for n in (1, 2)],
        }  # fmt: skip
        petals = (("c2", "y2"), ("y3", "y1"), ("k1", "c2"), ("w3", "c2"), ("v3", "y2"), ("r2", "y2"))
        for y in range(self.height):
            for x in range(self.width):
                tile = self._grass(luck[y, x], flowery(x, y), petals)
                values = {kind: self._corners(kind, x, y) for kind in self.grounds}
                if any(values.values()):
                    tile = terrain.grass(0)
                for kind in ("dry", "earth", "stones"):
                    if values[kind]:
                        choice = inside[kind][int(luck[y, x, 1] * len(inside[kind]))]
                        # At its rim a ground is the same in every variant, or two joins would not meet.
                        whole = choice if values[kind] == 15 else inside[kind][0]
                        tile = terrain.join(values[kind], whole, kind, tile)
                if values["water"]:
                    variant = int(luck[y, x, 2] * 3) if values["water"] == 15 else 0
                    frames = [
                        terrain.join(values["water"], terrain.water(frame, variant), "water", tile, frame)
                        for frame in range(terrain.FRAMES)
                    ]
                    still = variant == 0 and values["water"] == 15
                    ground[y, x] = (
                        self.tiles.number(frames[0], True) if still else self.tiles.moving(frames, collides=True)
                    )
                else:
                    ground[y, x] = self.tiles.number(tile)

    def _corners(self, kind: str, x: int, y: int) -> int:
        corners = self.grounds[kind][y : y + 2, x : x + 2].ravel()
        return sum(bool(bit) << place for place, bit in enumerate(corners))

    def _grass(self, luck, flowery: float, petals) -> np.ndarray:
        if luck[0] < flowery:
            petal, heart = petals[int(luck[1] * len(petals))]
            return terrain.flowers(int(luck[2] * 4), petal, heart)
        if luck[0] > 0.955:
            return terrain.tuft(int(luck[1] * 3))
        return terrain.grass(int(luck[1] * 5))

    # Objects

    def put(self, picture: np.ndarray, x: int, y: int, front: int = 0, solid: str | None = "all") -> None:
        """An object with its top left tile at (x, y). Its first `front` rows of tiles are drawn over whoever passes
        behind. `solid`: 'all' of the rest stands in the way, None of it, or 'last' its bottom row only."""
        rows, columns = picture.shape[0] // TILE, picture.shape[1] // TILE
        for row in range(rows):
            for column in range(columns):
                at_x, at_y = x + column, y + row
                if not (0 <= at_x < self.width and 0 <= at_y < self.height):
                    continue
                part = picture[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
                if not part.any():
                    continue
                blocks = row >= front and (solid == "all" or (solid == "last" and row == rows - 1))
                if (part != 0).sum() < 40 and solid != "all":
                    blocks = False
                kind = "FG_Objects" if row < front else "BG_Objects"
                self._lay(kind, at_x, at_y, self.tiles.number(part, blocks), part, blocks)
                self.taken[at_y, at_x] |= blocks or row >= front

    def _lay(self, kind: str, x: int, y: int, number: int, part: np.ndarray, blocks: bool) -> None:
        first, second = self.layers[kind], self.layers[kind + "_2"]
        if not first[y, x]:
            first[y, x] = number
        elif not second[y, x]:
            second[y, x] = number
        else:  # a third picture on one tile: the two upper ones become one
            below = self.tiles.pictures[second[y, x] - 1].copy()
            paste(below, part, 0, 0)
            second[y, x] = self.tiles.number(below, blocks or int(second[y, x]) in self.tiles.collides)

    def trees(self, *places: tuple[int, int]) -> None:
        """Trees of several kinds, from the back to the front; a place is the tile of the trunk's left half."""
        for x, y in sorted(places, key=lambda place: (place[1], place[0])):
            kind = chance(self.seed + 500 + x * 131 + y, 1)[0]
            if kind < 0.3:
                picture = objects.pine(int(kind * 100) % 3)
            elif kind < 0.38:
                picture = objects.tree(3, ("r0", "r1", "y1", "y2"))
            elif kind < 0.46:
                picture = objects.tree(4, ("v1", "k1", "k2", "c2"))
            else:
                picture = objects.tree(int(kind * 100) % 3, fruit="r2" if kind > 0.9 else None)
            self.put(picture, x, y - 2, front=2)

    def mark(self, name: str, x: float, y: float, kind: str = "place", width: float = 0, height: float = 0, **more):
        """A named place, in tiles: where something stands or a way leaves."""
        self.places.append({
            "height": round(height * TILE), "id": len(self.places) + 1, "name": name, "point": not width,
            "properties": [{"name": key, "type": "string", "value": value} for key, value in sorted(more.items())],
            "rotation": 0, "type": kind, "visible": True, "width": round(width * TILE), "x": round(x * TILE),
            "y": round(y * TILE),
        })  # fmt: skip

    def told(self) -> str:
        """The map as JSON of Tiled."""
        layers = [
            {
                "data": [int(number) for number in numbers.ravel()], "height": self.height, "id": index + 1,
                "name": name,
                "opacity": 1, "type": "tilelayer", "visible": True, "width": self.width, "x": 0, "y": 0,
            }
            for index, (name, numbers) in enumerate(self.layers.items())
        ]  # fmt: skip
        layers.append({
            "draworder": "index", "id": len(layers) + 1, "name": "Places", "objects": self.places, "opacity": 1,
            "type": "objectgroup", "visible": True, "x": 0, "y": 0,
        })  # fmt: skip
        whole = {
            "compressionlevel": -1, "height": self.height, "infinite": False, "layers": layers,
            "nextlayerid": len(layers) + 1, "nextobjectid": len(self.places) + 1, "orientation": "orthogonal",
            "renderorder": "right-down", "tiledversion": "1.10.2", "tileheight": TILE,
            "tilesets": [self.tiles.tileset()], "tilewidth": TILE, "type": "map", "version": "1.10",
            "width": self.width,
        }  # fmt: skip
        return json.dumps(whole, separators=(",", ":"), sort_keys=True) + "\n"


def town(tiles: Tiles) -> Map:
    """The castle town, 40 x 30."""
    land = Map(tiles, "town", 40, 30, 1)
    land.area("water", 29, 23, 7, 4, is_round=True)
    land.area("water", 31, 24, 5.6, 3.4, is_round=True)
    # Ways: to the meadow in the east, to the oracle in the west, to the houses
    land.way("earth", (26, 19), (41, 19), wide=3)
    land.way("earth", (13, 20), (7, 20), (6, 17), (6, 13), wide=2)
    land.way("earth", (19, 24), (19, 31), wide=3)
    land.way("earth", (33, 19), (33, 8), wide=2)
    land.way("earth", (6, 13), (4, 9), wide=2)
    land.area("stones", 12, 10, 16, 6)
    land.area("stones", 17, 15, 6, 4)
    land.area("stones", 12, 17, 16, 8, is_round=True)
    land.area("stones", 14, 18, 12, 6)
    land.lay_ground(lambda x, y: 0.13 if not 11 <= x <= 29 else 0.08)

    # The castle, its court and the throne
    land.put(objects.castle(), 11, 1)
    for y in range(10, 17):
        land.layers["BG_Objects"][y, 19] = tiles.number(terrain.carpet("left" if y < 16 else "end-left"))
        land.layers["BG_Objects"][y, 20] = tiles.number(terrain.carpet("right" if y < 16 else "end-right"))
    land.put(objects.throne(), 19, 8)
    for y in range(10, 16):
        land.put(objects.hedge_upright(True, y < 15), 11, y)
        land.put(objects.hedge_upright(True, y < 15), 28, y)
    for x in range(12, 18):
        land.put(objects.hedge(x > 12, x < 17), x, 16)
        land.put(objects.hedge(x > 12, x < 17), x + 10, 16)
    for x in (17, 22):
        land.put(objects.lamp(), x, 15 - 1, front=1, solid="last")
    for x, y, petal in ((13, 11, "k1"), (14, 11, "y3"), (25, 11, "y3"), (26, 11, "k1"), (13, 14, "r2"), (26, 14, "r2")):
        land.put(objects.bush(x, petal), x, y)
    # The market place
    land.put(objects.fountain(), 18, 19, front=1)
    land.put(objects.stall("r2", "c2", ("r2", "y2", "g4")), 13, 16 + 1, front=1)
    land.put(objects.stall("w1", "c2", ("y1", "k1", "v2")), 24, 17, front=1)
    for x, y, kind in ((16, 19, 0), (27, 19, 1), (12, 19, 1)):
        land.put(objects.crate(kind), x, y)
    for x, y in ((14, 23), (25, 23)):
        land.put(objects.lamp(), x, y, front=1, solid="last")
    # The cast's houses
    land.put(objects.tent(), 4, 8, front=2)
    land.put(objects.bank(), 30, 12, front=1)
    land.put(objects.stage(), 6, 21, solid=None)
    for x in range(6, 11):
        land.layers["BG_Objects"][21, x] = _solid(tiles, land.layers["BG_Objects"][21, x])
        land.layers["BG_Objects"][22, x] = _solid(tiles, land.layers["BG_Objects"][22, x])
    land.put(objects.desk(), 22, 25, front=1)
    land.put(objects.cart(), 13, 26)
    land.put(objects.well(), 9, 14, front=1)
    # Where people live
    land.put(objects.house(5, "c1", ("r0", "r1", "r2"), 1, 1), 34, 4, front=1)
    land.put(objects.house(4, "e3", ("t1", "t2", "g4"), 2, 2), 30, 3, front=1)
    land.put(objects.house(5, "s4", ("v0", "v1", "v2"), 3, 3), 3, 2, front=1)
    land.put(objects.house(4, "c1", ("e1", "e2", "e3"), 1, 5), 1, 15, front=1)
    for x in range(30, 35):
        if x != 33:  # where the way goes through
            land.put(objects.fence(x > 30, x < 34), x, 9)
    for x in range(3, 8):
        land.put(objects.fence(x > 3, x < 7), x, 28)
    for x, y in ((35, 18), (21, 27), (7, 17)):
        land.put(objects.sign(), x, y)
    for x, y in ((28, 18), (36, 18), (5, 16), (18, 26)):
        land.put(objects.lamp(), x, y - 1, front=1, solid="last")
    for x, y in ((29, 24), (36, 23), (35, 27)):
        land.put(objects.reeds(), x, y, solid=None)
    for x, y in ((32, 25), (34, 26)):
        land.put(objects.lily(), x, y, solid=None)
    for index, (x, y) in enumerate(((38, 23), (28, 28), (2, 13), (11, 27), (37, 10))):
        land.put(objects.rock(index), x, y)
    for index, (x, y) in enumerate(((9, 12), (3, 22), (12, 23), (29, 17), (37, 21), (26, 28), (2, 24), (30, 21))):
        land.put(objects.bush(index, ("k1", "c2", "y3", None)[index % 4]), x, y)
    wood = [(-1, 3), (0, 8), (-1, 11), (1, 12), (-1, 14), (0, 22), (-1, 25), (1, 27), (-1, 29), (9, 2), (0, 1), (29, 1)]
    wood += [
        (9, 5),
        (8, 7),
        (28, 5),
        (29, 9),
        (36, 2),
        (38, 11),
        (37, 14),
        (38, 17),
        (39, 22),
        (37, 25),
        (38, 28),
        (36, 11),
    ]
    wood += [(3, 25), (5, 27), (8, 28), (11, 26), (11, 29), (14, 29), (22, 31), (27, 29), (29, 28), (33, 29)]
    wood += [(9, 11), (29, 12), (1, 7), (26, 26), (30, 22), (5, 22), (36, 30), (2, 14), (34, 0)]
    wood += [(37, 23), (33, 1), (27, 24)]
    land.trees(*wood)

    land.mark("spawn", 20, 24, "spawn")
    land.mark("king", 20, 11.6, "character")
    land.mark("banker", 33, 18, "character")
    land.mark("joker", 8.5, 24, "character")
    land.mark("oracle", 6.5, 14, "character")
    land.mark("citizenship", 24, 28.4, "character")
    land.mark("giver", 17, 27, "character")
    land.mark("meadow", 39.4, 19, "warp", 1, 4, target="meadow", arrive="2 20")
    return land


def _solid(tiles: Tiles, number: int) -> int:
    return tiles.number(tiles.pictures[number - 1], True) if number else 0


def meadow(tiles: Tiles) -> Map:
    """The meadow under the mountains, 50 x 40."""
    land = Map(tiles, "meadow", 50, 40, 2)
    for x, y, width, height in (
        (4, 6, 14, 6),
        (22, 5, 20, 7),
        (34, 9, 15, 8),
        (0, 6, 8, 4),
        (42, 28, 9, 9),
        (14, 33, 9, 5),
    ):
        land.area("dry", x, y, width, height, is_round=True)
    land.area("water", 24, 19, 17, 10, is_round=True)
    land.area("water", 31, 24, 13, 9, is_round=True)
    land.area("water", 37, 9, 2, 12)
    land.way("earth", (-1, 20), (8, 20), (12, 17), (20, 16), (24, 14), (51, 14), wide=2)
    land.way("earth", (8, 20), (9, 30), (16, 33), (24, 32), wide=2)
    land.way("earth", (20, 16), (17, 10), wide=2)
    land.area("water", 37, 9, 2, 12)
    land.lay_ground(
        lambda x, y: 0.34 if (x - 12) ** 2 + (y - 27) ** 2 < 60 or (x - 44) ** 2 + (y - 22) ** 2 < 24 else 0.1
    )

    hills = objects.mountains()
    for start in (0, 25):
        land.put(hills, start, 0)
    # The brook's bridge: planks take the place of the water
    ground = land.layers["BG_Ground"]
    for x in range(35, 41):
        for y, part in ((13, "top"), (14, "middle"), (15, "bottom")):
            ground[y, x] = tiles.number(objects.bridge(part))
    for y in (9, 11):
        for x in (9, 10, 13, 14, 15):
            land.put(objects.terrace(), x, y)
    land.put(objects.hut(), 24, 8, front=1)
    land.put(objects.cairn(), 15, 7, front=1)
    land.put(objects.cairn(), 45, 9, front=1)
    land.put(objects.log(), 15, 30)
    land.put(objects.log(), 19, 30)
    land.put(objects.cart(), 29, 11)
    land.put(objects.campfire(), 17, 31)
    for x in range(19, 24):
        land.put(objects.fence(x > 19, x < 23), x, 11)
    for x, y in ((7, 18), (22, 13)):
        land.put(objects.sign(), x, y)
    for x, y in ((24, 25), (27, 20), (30, 28), (43, 25), (36, 32), (25, 23)):
        land.put(objects.reeds(), x, y, solid=None)
    for x, y in ((29, 23), (33, 26), (36, 28), (34, 22), (39, 29)):
        land.put(objects.lily(), x, y, solid=None)
    for index, (x, y) in enumerate(
        ((5, 14), (20, 9), (32, 10), (47, 17), (23, 35), (4, 33), (41, 35), (18, 22), (46, 30))
    ):
        land.put(objects.rock(index), x, y)
    for index, (x, y) in enumerate(((13, 22), (17, 25), (6, 26), (21, 20), (45, 20), (3, 23), (28, 34), (12, 35))):
        land.put(objects.bush(index, ("k1", "y3", "c2", "v3")[index % 4]), x, y)
    wood = (
        [(x, 38 + x % 2) for x in range(0, 50, 3)]
        + [(48, y) for y in range(18, 38, 4)]
        + [(0, y) for y in (12, 15, 25, 28, 31, 34)]
    )
    wood += [(3, 36), (7, 35), (27, 37), (33, 36), (45, 36), (16, 36), (2, 10), (5, 10), (3, 17), (46, 25), (43, 19)]
    wood += [(19, 28), (21, 27), (5, 23), (14, 19), (31, 17), (27, 17), (42, 11), (32, 8), (21, 24), (9, 15), (45, 33)]
    land.trees(*wood)
    land.mark("spawn", 3, 21, "spawn")
    land.mark("town", -0.4, 20, "warp", 1, 2.5, target="town", arrive="37 20")
    return land
