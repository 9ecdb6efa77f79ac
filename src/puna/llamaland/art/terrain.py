"""Ground: grass and what lies in it, each with the fourteen tiles that join it to the grass.

A join is named by the corners of the tile that belong to the other ground: bit 0 top left, 1 top right, 2 bottom
left, 3 bottom right. All joins of one ground share one noise, so any two neighbours meet.
"""

import numpy as np

from .palette import INDEX, box, canvas, chance, clouds, dots

TILE = 16
FRAMES = 4  # of water


def grass(variant: int, base: str = "g3", light: str = "g4", dark: str = "g2") -> np.ndarray:
    """Plain grass with a few blades."""
    tile = canvas(TILE, TILE, base)
    places = chance(40 + variant, 7, 2)
    for index, (across, down) in enumerate(places[: 4 + variant % 4]):
        x, y = int(across * 13) + 1, int(down * 13) + 1
        if index % 2:
            dots(tile, light, (x, y), (x + 1, y + 1), (x + 2, y))
        else:
            dots(tile, dark, (x, y), (x, y + 1), (x + 1, y + 1))
    return tile


def flowers(variant: int, petal: str, heart: str) -> np.ndarray:
    """Grass with three or four flowers."""
    tile = grass(variant)
    for across, down in ((2, 3), (10, 1), (6, 9), (12, 11))[: 3 + variant % 2]:
        x, y = across + variant % 3, down + variant % 2
        dots(tile, "g2", (x, y + 2), (x + 1, y + 3), (x + 2, y + 2))
        dots(tile, petal, (x, y), (x + 2, y), (x + 1, y - 1), (x + 1, y + 1))
        dots(tile, heart, (x + 1, y))
    return tile


def tuft(variant: int, colours: tuple[str, str, str] = ("g1", "g2", "g4"), base: str = "g3") -> np.ndarray:
    """High grass in bunches: the ichu of the Andes when it is dry."""
    tile = grass(variant, base, colours[2], colours[1])
    for across, down in ((1, 1), (8, 4), (3, 9), (10, 10)):
        for blade, (dx, height) in enumerate(((0, 3), (1, 5), (2, 4), (3, 5), (4, 3))):
            for rise in range(height):
                dots(
                    tile,
                    colours[(rise + blade) % 2 + (rise > 2)],
                    (across + dx + (rise > 2) * (dx > 2), down + 5 - rise),
                )
    return tile


def stones(seed: int = 3) -> np.ndarray:
    """Cobbles: cells around shaken points, seamless."""
    points = [
        ((c + 0.5 + (chance(seed + r, 4)[c] - 0.5) * 0.5 + 0.5 * (r % 2)) * 4 % 16, (r + 0.5) * 4)
        for r in range(4) for c in range(4)
    ]  # fmt: skip
    rows, columns = np.mgrid[:TILE, :TILE] + 0.5
    far = np.stack([
        np.hypot((columns - x + 8) % 16 - 8, ((rows - y + 8) % 16 - 8) * 1.15) for x, y in points
    ])  # fmt: skip
    order = np.sort(far, axis=0)
    nearest = far.argmin(axis=0)
    tile = canvas(TILE, TILE, "s4")
    tint = chance(seed + 9, 16)[nearest]
    tile[tint > 0.78] = INDEX["s5"]
    gap = order[1] - order[0] < 0.7
    tile[gap] = INDEX["s3"]
    return tile


def earth(seed: int = 0) -> np.ndarray:
    tile = canvas(TILE, TILE, "e4")
    for index, (across, down) in enumerate(chance(seed * 17, 6, 2)):
        x, y = int(across * 13) + 1, int(down * 13) + 1
        dots(tile, "e5", (x, y), (x + 1, y))
        if index % 2:
            dots(tile, "e3", (x, y + 1), (x + 1, y + 1), (x + 2, y + 1))
    return tile


def dry(seed: int = 8) -> np.ndarray:
    tile = canvas(TILE, TILE, "p3")
    for index, (across, down) in enumerate(chance(seed + 3, 8, 2)):
        x, y = int(across * 14), int(down * 14)
        dots(tile, "p2" if index % 2 else "p4", (x, y), (x + 1, y + 1), (x + 2, y))
    return tile


def water(frame: int, variant: int = 0) -> np.ndarray:
    """Open water; the first variant is still, the others have a wave or a glitter."""
    tile = canvas(TILE, TILE, "w1")
    shift = (0, 1, 2, 1)[frame]
    if variant == 1:
        box(tile, 3 + shift, 4, 6, 1, "w2")
        box(tile, 5 + shift, 3, 3, 1, "w2")
        box(tile, 8 - shift, 12, 4, 1, "w2")
    if variant == 2:
        box(tile, 8 - shift, 8, 5, 1, "w2")
        dots(tile, "w4" if frame == 1 else "w3", (4, 5))
        if frame == 1:
            dots(tile, "w3", (3, 5), (5, 5), (4, 4), (4, 6))
    return tile


def _mask(corners: int, seed: int, rough: float, shift: float = 0.0) -> np.ndarray:
    """Which pixels of a join belong to the other ground."""
    low = (np.arange(TILE) + 0.5) / TILE
    part = low * low * (3 - 2 * low)
    value = [float(corners >> bit & 1) for bit in range(4)]
    top = value[0] * (1 - part) + value[1] * part
    bottom = value[2] * (1 - part) + value[3] * part
    field = top[None, :] * (1 - part)[:, None] + bottom[None, :] * part[:, None]
    return field + (clouds(seed, TILE, 4) - 0.5) * rough > 0.5 - shift


def join(corners: int, inside: np.ndarray, kind: str, ground: np.ndarray, frame: int = 0) -> np.ndarray:
    """The tile where `inside` lies over `ground` in those corners."""
    if corners == 15:
        return inside
    if kind == "water":
        return _shore(corners, ground, inside, frame)
    mask = _mask(corners, {"earth": 21, "stones": 22, "dry": 23}[kind], 0.3 if kind != "dry" else 0.55)
    tile = np.where(mask, inside, ground)
    padded = np.pad(mask, 1, mode="edge")
    above, below = padded[:-2, 1:-1], padded[2:, 1:-1]
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    rim = {"earth": ("e3", "g2"), "stones": ("s2", "g2"), "dry": ("p2", "g4")}[kind]
    tile[mask & ~(above & left & right)] = INDEX[rim[0]]
    green = np.isin(ground, [INDEX[name] for name in ("g2", "g3", "g4")])
    tile[~mask & green & (above | left | right)] = INDEX[rim[1]]
    tile[~mask & green & below] = INDEX["g4" if kind != "dry" else "g3"]
    return tile


def _shore(corners: int, ground: np.ndarray, inside: np.ndarray, frame: int) -> np.ndarray:
    bank = _mask(corners, 24, 0.3, 0.1)
    lap = 0.03 * (0, 1, 2, 1)[frame]
    foam, deep = _mask(corners, 24, 0.3, -0.03 - lap), _mask(corners, 24, 0.3, -0.1 - lap)
    tile = ground.copy()
    padded = np.pad(bank, 1, mode="edge")
    tile[~bank & (padded[:-2, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:] | padded[2:, 1:-1])] = INDEX["g2"]
    tile[bank] = INDEX["e4"]
    tile[bank & ~padded[:-2, 1:-1]] = INDEX["e2"]
    tile[foam] = INDEX["w4"]
    tile[deep] = INDEX["w2"]
    inner = _mask(corners, 24, 0.3, -0.2)
    tile[inner] = inside[inner]
    return tile


def carpet(side: str) -> np.ndarray:
    """Red carpet: 'left', 'right' or 'end-left', 'end-right'."""
    tile = canvas(TILE, TILE, "r1")
    box(tile, 0, 0, 16, 16, "r1")
    for y in range(0, 16, 4):
        dots(tile, "r2", (6 + (y // 4) % 2 * 4, y), (7 + (y // 4) % 2 * 4, y + 1), (5 + (y // 4) % 2 * 4, y + 1))
    edge = 0 if "left" in side else 13
    box(tile, edge, 0, 3, 16, "y2")
    box(tile, edge + (0 if "left" in side else 2), 0, 1, 16, "y1")
    if "end" in side:
        box(tile, 0, 11, 16, 3, "y2")
        box(tile, 0, 14, 16, 2, "none")
        for x in range(1, 16, 3):
            dots(tile, "y1", (x, 14))
    return tile
