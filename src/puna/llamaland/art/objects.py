"""What stands on the ground: trees, houses, the castle and the market. Pictures in whole tiles of 16 pixels."""

import numpy as np

from .palette import INDEX, box, canvas, chance, disc, dots, drawn, outlined, paste


def _leaves(picture, seed, x, y, across, down, tones) -> None:
    """A crown of leaves: lumps of three tones, lit from the upper left."""
    disc(picture, x, y, across, down, tones[0])
    lumps = chance(seed, 14, 2)
    for tone, shift, size in ((1, 0.0, 0.45), (2, 0.22, 0.34), (3, 0.42, 0.2)):
        for turn, far in lumps:
            angle = turn * 6.283
            cx = x + np.cos(angle) * far * across * (0.72 - shift * 0.4) - across * shift * 0.55
            cy = y + np.sin(angle) * far * down * (0.72 - shift * 0.4) - down * shift * 0.75
            disc(picture, cx, cy, across * size, down * size, tones[tone])


def tree(seed: int, tones: tuple[str, ...] = ("g0", "g1", "g2", "g3"), fruit: str | None = None) -> np.ndarray:
    """A leafy tree, 2 x 3 tiles."""
    picture = canvas(32, 48)
    box(picture, 13, 30, 6, 14, "e1")
    box(picture, 14, 30, 2, 14, "e2")
    dots(picture, "e1", (12, 43), (11, 44), (19, 43), (20, 44), (12, 44), (19, 44))
    _leaves(picture, seed, 15.5, 17, 13.5, 15, tones)
    if fruit:
        dots(picture, fruit, *[(int(6 + a * 20), int(8 + b * 20)) for a, b in chance(seed + 5, 9, 2)])
    return _grounded(outlined(picture, "ink"))


def _grounded(picture: np.ndarray) -> np.ndarray:
    """With a soft shadow at its foot."""
    foot = canvas(picture.shape[1], picture.shape[0])
    disc(foot, picture.shape[1] / 2 - 0.5, picture.shape[0] - 4.5, picture.shape[1] * 0.36, 3.5, "shade")
    paste(foot, picture, 0, 0)
    return foot


def pine(seed: int) -> np.ndarray:
    """A conifer, 2 x 3 tiles."""
    picture = canvas(32, 48)
    box(picture, 14, 38, 4, 6, "e1")
    for tier, (top, wide) in enumerate(((3, 6), (10, 9), (18, 11), (26, 13))):
        for row in range(13):
            half = int(wide * (row + 1) / 13)
            box(picture, 16 - half, top + row, 2 * half, 1, "g1")
            box(picture, 16 - half, top + row, max(1, half), 1, "g2" if row < 8 else "g1")
            if row == 12:
                box(picture, 16 - half, top + row, 2 * half, 1, "g0")
        for a, b in chance(seed + tier, 4, 2):
            y = int(top + 4 + b * 6)
            dots(picture, "g3", (int(15 - a * wide * 0.45), y), (int(14 - a * wide * 0.45), y + 1))
    return _grounded(outlined(picture))


def bush(seed: int, flower: str | None = None) -> np.ndarray:
    """A bush, 1 x 1."""
    picture = canvas(16, 16)
    _leaves(picture, seed, 7.5, 8.5, 6.5, 5.5, ("g0", "g1", "g2", "g3"))
    if flower:
        dots(picture, flower, *[(int(3 + a * 10), int(4 + b * 8)) for a, b in chance(seed + 5, 6, 2)])
    return outlined(picture)


def hedge(left: bool, right: bool) -> np.ndarray:
    """A piece of clipped hedge, 1 x 1, open to its neighbours."""
    picture = canvas(16, 16)
    first, last = (0 if left else 1), (16 if right else 15)
    box(picture, first, 2, last - first, 12, "g1")
    box(picture, first, 2, last - first, 5, "g2")
    for a, b in chance(77, 12, 2):
        dots(picture, "g3", (int(first + a * (last - first)), int(2 + b * 5)))
    for a, b in chance(78, 8, 2):
        dots(picture, "g0", (int(first + a * (last - first)), int(8 + b * 6)))
    box(picture, first, 1, last - first, 1, "ink")
    box(picture, first, 14, last - first, 1, "ink")
    for open_side, x in ((left, 0), (right, 15)):
        if not open_side:
            box(picture, x, 2, 1, 12, "ink")
    box(picture, first, 15, last - first, 1, "shade")
    return picture


def hedge_upright(top: bool, bottom: bool) -> np.ndarray:
    picture = canvas(16, 16)
    box(picture, 2, 0 if top else 2, 12, 16, "g2")
    for a, b in chance(79, 14, 2):
        dots(picture, "g3", (int(3 + a * 9), int(2 + b * 13)))
    for a, b in chance(80, 8, 2):
        dots(picture, "g1", (int(3 + a * 9), int(2 + b * 13)))
    box(picture, 1, 0 if top else 2, 1, 16, "ink")
    box(picture, 14, 0 if top else 2, 1, 16, "ink")
    if not top:
        box(picture, 2, 1, 12, 1, "ink")
    if not bottom:
        box(picture, 2, 9, 12, 5, "g1")
        box(picture, 1, 14, 14, 1, "ink")
        box(picture, 1, 15, 14, 1, "shade")
    return picture


def fence(left: bool, right: bool) -> np.ndarray:
    """Wooden rails with a post, 1 x 1."""
    picture = canvas(16, 16)
    first, last = (0 if left else 6), (16 if right else 10)
    for y in (6, 10):
        box(picture, first, y, last - first, 2, "e3")
        box(picture, first, y + 2, last - first, 1, "e0")
    box(picture, 6, 3, 4, 11, "e2")
    box(picture, 6, 3, 2, 11, "e3")
    box(picture, 6, 2, 4, 1, "e4")
    for x in (5, 10):
        box(picture, x, 3, 1, 11, "e0")
    box(picture, 5, 14, 6, 1, "e0")
    return picture


def _bricks(picture, x, y, width, height, tones=("s3", "s4", "s2"), seed=1) -> None:
    """A wall of stone blocks."""
    box(picture, x, y, width, height, tones[0])
    tint = chance(seed, height // 4 + 1, width // 8 + 2)
    for row in range(0, height, 4):
        shift = 4 * (row // 4 % 2)
        for column, start in enumerate(range(-shift, width, 8)):
            first, last = max(0, start), min(width, start + 8)
            tone = tones[1] if tint[row // 4, column] > 0.72 else None
            if tone:
                box(picture, x + first, y + row, last - first, min(3, height - row), tone)
            if last - start == 8:
                box(picture, x + last - 1, y + row, 1, min(4, height - row), tones[2])
        if row + 3 < height:
            box(picture, x, y + row + 3, width, 1, tones[2])


def _window(picture, x, y, lit=True, round_top=True) -> None:
    """A window of 6 x 9 pixels."""
    box(picture, x - 1, y, 8, 10, "s1")
    box(picture, x, y + (1 if round_top else 0), 6, 9, "y2" if lit else "w1")
    box(picture, x, y + 1, 6, 3, "y3" if lit else "w2")
    box(picture, x + 2, y + 1, 1, 9, "s1")
    box(picture, x, y + 5, 6, 1, "s1")
    if round_top:
        dots(picture, "s1", (x, y + 1), (x + 5, y + 1))
    box(picture, x - 2, y + 10, 10, 1, "s5")


def _banner(picture, x, y, height, colour="v1", light="v2") -> None:
    """A hanging banner, 10 pixels wide, with a golden llama's head and a notch at its foot."""
    banner = canvas(12, height + 1)
    box(banner, 1, 1, 10, height, colour)
    box(banner, 1, 1, 2, height, light)
    box(banner, 0, 0, 12, 2, "y1")
    for step in range(3):
        box(banner, 5 - step, height - 2 + step, 2 + 2 * step, 1, "none")
    emblem = drawn("a.a..\naaa..\naaaa.\naa...\naaa..\naaaa.", {"a": "y2"})
    paste(banner, emblem, 4, 6)
    paste(picture, banner, x - 1, y - 1)


def _cone(picture, x, y, width, height, tones) -> None:
    """A tower's roof; its rim is at y + height."""
    for row in range(height):
        half = (row + 1) / height * width / 2
        first, last = round(x + width / 2 - half), round(x + width / 2 + half)
        box(picture, first, y + row, last - first, 1, tones[1])
        box(picture, first, y + row, max(1, (last - first) // 3), 1, tones[2])
        box(picture, last - max(1, (last - first) // 4), y + row, max(1, (last - first) // 4), 1, tones[0])
        if row % 5 == 4:
            for dent in range(first + row % 2 * 2, last, 4):
                dots(picture, tones[0], (dent, y + row), (dent + 1, y + row))


def _crown(picture, x, y, width, tones=("s3", "s5", "s1")) -> None:
    """Battlements along the top of a wall."""
    for start in range(x, x + width - 3, 8):
        box(picture, start, y, 5, 6, tones[0])
        box(picture, start, y, 5, 2, tones[1])
        box(picture, start + 4, y + 1, 1, 5, "s2")
    box(picture, x, y + 5, width, 3, tones[0])
    box(picture, x, y + 5, width, 1, tones[1])
    box(picture, x, y + 8, width, 1, tones[2])


def _tower(picture, x, y, width, height, roof, roof_height, flag="r2") -> None:
    """A round tower with a pointed roof; (x, y) is the top left of its wall."""
    _bricks(picture, x, y, width, height, seed=x)
    shade = picture[y : y + height]
    for edge, tone in ((0, "s5"), (1, "s4")):
        shade[:, x + edge][shade[:, x + edge] == INDEX["s3"]] = INDEX[tone]
    box(picture, x + width - 4, y, 4, height, "s2")
    for row in range(3, height, 4):
        box(picture, x + width - 4, y + row, 4, 1, "s1")
    box(picture, x - 2, y, width + 4, 4, "s3")
    box(picture, x - 2, y, width + 4, 1, "s5")
    box(picture, x - 2, y + 4, width + 4, 1, "s1")
    _cone(picture, x - 4, y - roof_height, width + 8, roof_height, roof)
    middle = x + width // 2
    box(picture, middle - 1, y - roof_height - 12, 1, 13, "e1")
    box(picture, middle, y - roof_height - 12, 9, 5, flag)
    box(picture, middle, y - roof_height - 9, 7, 2, "y2")
    _window(picture, middle - 3, y + 12)


PURPLE = ("v0", "v1", "v2")
TILES_RED = ("r0", "r1", "r2")


def castle() -> np.ndarray:
    """The castle's front, 18 x 9 tiles, its gate at tiles 8 and 9."""
    picture = canvas(288, 144)
    # The keep behind
    _bricks(picture, 92, 34, 104, 70, ("s4", "s5", "s3"), seed=4)
    _crown(picture, 90, 28, 108, ("s4", "s5", "s2"))
    for x in (104, 124, 158, 178):
        _window(picture, x, 46)
    _tower(picture, 128, 26, 32, 36, PURPLE, 22, "y2")
    # The curtain wall
    _bricks(picture, 30, 76, 228, 66, seed=2)
    _crown(picture, 30, 70, 228)
    for x in (64, 218):
        _window(picture, x, 92)
    for x in (90, 188):
        _banner(picture, x, 88, 34)
    # Towers at the corners
    for x in (6, 246):
        _tower(picture, x, 52, 36, 90, PURPLE, 34)
        _window(picture, x + 15, 92)
        _banner(picture, x + 13, 110, 24, "r1", "r2")
    # The gate house
    _bricks(picture, 114, 62, 60, 80, ("s3", "s4", "s2"), seed=9)
    _crown(picture, 112, 56, 64)
    _cone_pair(picture)
    disc(picture, 143.5, 114, 17, 21, "s1")
    box(picture, 127, 112, 34, 32, "s1")
    disc(picture, 143.5, 114, 15, 19, "e0")
    box(picture, 129, 113, 30, 31, "e0")
    disc(picture, 143.5, 118, 12, 17, "ink")
    box(picture, 132, 118, 24, 26, "ink")
    for x in range(134, 156, 5):  # the raised portcullis
        box(picture, x, 101, 2, 13, "s1")
        dots(picture, "s2", (x, 113))
    box(picture, 132, 104, 24, 1, "s1")
    box(picture, 132, 109, 24, 1, "s1")
    box(picture, 136, 124, 16, 20, "v0")
    box(picture, 139, 128, 10, 16, "r0")
    shield = drawn(".aaaaaaa.\nabbbbbbba\nabbgbgbba\nabbgggbba\nabbggggba\nabbggbbba\n.abgggba.\n..aggga..\n...aaa...",
                   {"a": "y1", "b": "v1", "g": "y3"})  # fmt: skip
    paste(picture, shield, 139, 76)
    for x in (118, 164):
        _torch(picture, x, 100)
    return outlined(picture)


def _cone_pair(picture) -> None:
    for x in (108, 166):
        _bricks(picture, x, 58, 14, 84, seed=x)
        box(picture, x + 11, 58, 3, 84, "s2")
        box(picture, x - 1, 56, 16, 4, "s4")
        box(picture, x - 1, 60, 16, 1, "s1")
        _cone(picture, x - 3, 36, 20, 20, TILES_RED)


def _torch(picture, x, y) -> None:
    box(picture, x + 1, y + 5, 2, 7, "e1")
    disc(picture, x + 1.5, y + 2, 2.5, 3.5, "y1")
    disc(picture, x + 1.5, y + 3, 1.5, 2.2, "y3")


def throne() -> np.ndarray:
    """A golden throne on steps, 2 x 3 tiles."""
    picture = canvas(32, 48)
    box(picture, 7, 5, 18, 28, "y2")
    box(picture, 7, 5, 3, 28, "y3")
    box(picture, 22, 5, 3, 28, "y1")
    disc(picture, 15.5, 6, 8, 5, "y2")
    box(picture, 10, 9, 12, 22, "r1")
    box(picture, 10, 9, 4, 22, "r2")
    for x, y in ((13, 13), (18, 17), (13, 21), (18, 25)):
        dots(picture, "y2", (x, y), (x, y + 1), (x + 1, y))
    paste(picture, drawn("..b..\n.bcb.\nbcacb\n.bcb.\n..b..", {"a": "w3", "b": "y1", "c": "r2"}), 13, 1)
    for x in (4, 24):
        box(picture, x, 22, 4, 14, "y2")
        box(picture, x, 22, 1, 14, "y3")
        disc(picture, x + 1.5, 21, 2.6, 2.4, "y3")
    box(picture, 8, 29, 16, 6, "r2")
    box(picture, 8, 33, 16, 3, "r0")
    for step, (x, y) in enumerate(((3, 36), (1, 41))):
        box(picture, x, y, 32 - 2 * x, 5, "s4" if step else "s5")
        box(picture, x, y + 4, 32 - 2 * x, 1, "s2")
    return outlined(picture)


def house(wide: int, wall: str, roof: tuple[str, str, str], door_at: int, seed: int) -> np.ndarray:
    """A cottage of `wide` x 5 tiles."""
    width = wide * 16
    picture = canvas(width, 80)
    light, dark = {"c1": ("c2", "e4"), "e3": ("e4", "e2"), "s4": ("s5", "s2")}[wall]
    box(picture, 5, 40, width - 10, 38, wall)
    box(picture, 5, 40, width - 10, 3, dark)
    if wall == "s4":
        _bricks(picture, 5, 42, width - 10, 36, (wall, light, "s3"), seed)
    for x in (5, width - 8):
        box(picture, x, 42, 3, 36, "e1")
    box(picture, 5, 75, width - 10, 3, "s2")
    for row in range(34):  # the roof, as courses of tiles
        inset = max(0, 9 - row) if row < 10 else 0
        y = 8 + row
        box(picture, 2 + inset, y, width - 4 - 2 * inset, 1, roof[1])
        if row % 5 == 4:
            box(picture, 2 + inset, y, width - 4 - 2 * inset, 1, roof[0])
        for x in range(2 + inset + (row // 5 % 2) * 3, width - 3 - inset, 6):
            dots(picture, roof[0], (x, y))
            if row % 5 in (0, 1):
                box(picture, x + 1, y, 3, 1, roof[2])
    box(picture, 2, 42, width - 4, 2, roof[0])
    box(picture, 11, 6, width - 22, 2, roof[2])
    box(picture, width - 26, 0, 8, 12, "s2")  # the chimney
    box(picture, width - 27, 0, 10, 3, "s3")
    box(picture, width - 25, 4, 2, 8, "s3")
    x = door_at * 16 + 3
    box(picture, x - 1, 55, 12, 23, "e0")
    disc(picture, x + 4.5, 57, 5.6, 5, "e0")
    box(picture, x, 57, 10, 21, "e2")
    disc(picture, x + 4.5, 58, 4.6, 4, "e2")
    for plank in (3, 6):
        box(picture, x + plank, 56, 1, 22, "e1")
    dots(picture, "y2", (x + 8, 67), (x + 8, 68))
    for column in range(wide):
        if column != door_at:
            wx = column * 16 + 5
            _window(picture, wx, 53, lit=(column + seed) % 3 != 0, round_top=False)
            box(picture, wx - 2, 64, 10, 3, "e2")
            dots(picture, "r2", (wx - 1, 63), (wx + 5, 63))
            dots(picture, "k1", (wx + 2, 63), (wx + 7, 64))
            dots(picture, "g3", (wx, 63), (wx + 3, 63), (wx + 6, 63))
    return outlined(picture)


def stall(first: str, second: str, goods: tuple[str, ...]) -> np.ndarray:
    """A market stall with a striped awning, 3 x 3 tiles."""
    picture = canvas(48, 48)
    for x in (4, 41):
        box(picture, x, 14, 3, 32, "e1")
        box(picture, x, 14, 1, 32, "e3")
    box(picture, 7, 20, 34, 14, "e0")
    for row in range(14):
        for x in range(2, 46):
            box(picture, x, 3 + row, 1, 1, first if (x - 2) // 6 % 2 == 0 else second)
    box(picture, 2, 3, 44, 2, "c2")
    for x in range(2, 46, 6):
        disc(picture, x + 2.5, 17, 2.9, 2.6, first if (x - 2) // 6 % 2 == 0 else second)
    box(picture, 3, 30, 42, 5, "e4")
    box(picture, 3, 35, 42, 11, "e2")
    for x in range(3, 45, 7):
        box(picture, x, 35, 1, 11, "e1")
    for index, x in enumerate(range(5, 43, 6)):
        colour = goods[index % len(goods)]
        disc(picture, x + 2, 29, 2.4, 2.2, colour)
        disc(picture, x + 2, 27, 1.4, 1.3, colour)
        dots(picture, "c2", (x + 1, 27))
    return outlined(picture)


def bank() -> np.ndarray:
    """The bank: columns, a pediment with a coin, 6 x 5 tiles."""
    picture = canvas(96, 80)
    box(picture, 6, 34, 84, 40, "s4")
    box(picture, 6, 34, 84, 4, "s2")
    for row in range(24):
        half = (row + 1) / 24 * 46
        box(picture, round(48 - half), 4 + row, round(2 * half), 1, "s5")
        box(picture, round(48 - half + 5), 4 + row, max(0, round(2 * half - 10)), 1, "s4" if row > 4 else "s5")
    box(picture, 2, 28, 92, 7, "s5")
    box(picture, 2, 34, 92, 1, "s2")
    disc(picture, 47.5, 19, 7, 7, "y1")
    disc(picture, 47.5, 19, 6, 6, "y2")
    paste(picture, drawn("a.a..\naaa..\naaaa.\naa...\naaa..\naaaa.", {"a": "c2"}), 45, 16)
    for x in (8, 24, 64, 80):
        box(picture, x, 36, 8, 38, "s5")
        box(picture, x + 5, 36, 3, 38, "s3")
        box(picture, x + 2, 36, 1, 38, "c2")
        box(picture, x - 1, 35, 10, 3, "s5")
        box(picture, x - 1, 71, 10, 3, "s4")
    box(picture, 38, 46, 20, 28, "e1")
    box(picture, 40, 48, 16, 26, "t1")
    box(picture, 47, 48, 2, 26, "e1")
    box(picture, 41, 50, 5, 10, "t2")
    box(picture, 50, 50, 5, 10, "t2")
    dots(picture, "y2", (46, 62), (49, 62), (46, 63), (49, 63))
    for step in range(3):
        box(picture, 4 - step * 2, 74 + step * 2, 88 + step * 4, 2, ("s5", "s4", "s3")[step])
    return outlined(picture)


def tent() -> np.ndarray:
    """The oracle's tent of dark cloth with stars, 5 x 5 tiles."""
    picture = canvas(80, 80)
    for row in range(66):
        half = 4 + (row / 66) ** 1.35 * 33
        y = 10 + row
        first, last = round(40 - half), round(40 + half)
        box(picture, first, y, last - first, 1, "v1")
        box(picture, first, y, (last - first) // 4, 1, "v2")
        box(picture, last - (last - first) // 4, y, (last - first) // 4, 1, "v0")
        for fold in (-0.55, 0.55):
            dots(picture, "v0", (round(40 + fold * half), y))
    for row in range(38):
        half = 1 + (row / 38) * 11
        box(picture, round(40 - half), 38 + row, round(2 * half), 1, "ink")
        dots(picture, "y2", (round(40 - half) - 1, 38 + row), (round(40 + half), 38 + row))
    disc(picture, 40, 66, 5, 5, "w1")
    disc(picture, 39, 65, 3, 3, "w3")
    dots(picture, "c2", (38, 63), (37, 64))
    star = drawn("..a..\n.aaa.\naabaa\n.aaa.\n..a..", {"a": "y2", "b": "y3"})
    for x, y in ((22, 54), (52, 50), (38, 24), (58, 64), (14, 66)):
        paste(picture, star, x, y)
    disc(picture, 40, 7, 4, 4, "y2")
    disc(picture, 42, 6, 3.4, 3.4, "none")
    for x in range(4, 76, 6):
        box(picture, x, 74, 6, 3, "y2" if x // 6 % 2 else "v2")
    return outlined(picture)


def stage() -> np.ndarray:
    """The joker's wooden stage with a curtain, 5 x 4 tiles; only its back stands in the way."""
    picture = canvas(80, 64)
    box(picture, 2, 26, 76, 36, "e3")
    for y in range(26, 58, 6):
        box(picture, 2, y, 76, 1, "e2")
        for x in range(8 + y % 4 * 6, 78, 22):
            box(picture, x, y, 1, 6, "e2")
    box(picture, 2, 56, 76, 6, "e1")
    for x in range(2, 78, 9):
        box(picture, x, 56, 1, 6, "e0")
    box(picture, 4, 4, 72, 24, "r0")
    for x in range(4, 76, 6):
        box(picture, x, 4, 3, 24, "r1")
        box(picture, x, 4, 1, 24, "r2")
    for index, x in enumerate(range(2, 78, 8)):
        disc(picture, x + 4, 7, 4.5, 5, ("y2", "t2")[index % 2])
    box(picture, 2, 2, 76, 4, "e2")
    box(picture, 2, 2, 76, 1, "e4")
    for x in (1, 75):
        box(picture, x, 2, 4, 58, "e2")
        box(picture, x, 2, 1, 58, "e4")
    return outlined(picture)


def well() -> np.ndarray:
    """A well with a little roof, 2 x 3 tiles."""
    picture = canvas(32, 48)
    for x in (5, 24):
        box(picture, x, 14, 3, 20, "e1")
        box(picture, x, 14, 1, 20, "e3")
    for row in range(10):
        half = 5 + row
        box(picture, 16 - half, 5 + row, 2 * half, 1, "r1" if row % 3 else "r2")
    box(picture, 3, 15, 26, 1, "r0")
    box(picture, 15, 16, 1, 10, "e4")
    box(picture, 13, 24, 6, 5, "e2")
    box(picture, 13, 24, 6, 1, "e4")
    disc(picture, 15.5, 34, 13, 6, "s4")
    disc(picture, 15.5, 34, 9, 3.6, "w0")
    _bricks(picture, 3, 36, 26, 9, ("s3", "s4", "s2"), 6)
    disc(picture, 15.5, 45, 12.8, 2, "s2")
    return outlined(picture)


def fountain() -> np.ndarray:
    """The fountain of the market place, 4 x 4 tiles."""
    picture = canvas(64, 64)
    disc(picture, 31.5, 44, 29, 17, "s2")
    disc(picture, 31.5, 41, 29, 17, "s4")
    disc(picture, 31.5, 40, 29, 16, "s5")
    disc(picture, 31.5, 41, 24.5, 12.5, "s2")
    disc(picture, 31.5, 42, 24.5, 11.6, "w1")
    for y in (36, 42, 48):
        for x in range(12 + y % 8, 52, 13):
            box(picture, x, y, 6, 1, "w2")
    disc(picture, 31.5, 40, 7, 4, "w3")
    box(picture, 28, 22, 7, 18, "s4")
    box(picture, 28, 22, 2, 18, "s5")
    box(picture, 33, 22, 2, 18, "s2")
    disc(picture, 31.5, 22, 12, 5, "s3")
    disc(picture, 31.5, 21, 12, 4.6, "s5")
    disc(picture, 31.5, 21, 9, 3, "w2")
    paste(picture, drawn("..s..s.\n..ssss.\n..sssss\n..sss..\n..sss..\n.ssss..\nsssss..\n.ssss..", {"s": "y2"}), 28, 8)
    for x in (21, 41):
        for y in range(23, 39, 2):
            dots(picture, "w4", (x, y), (x, y + 1))
            dots(picture, "w3", (x + (1 if x > 31 else -1), y + 1))
    return outlined(picture)


def lamp() -> np.ndarray:
    """A street lamp, 1 x 2."""
    picture = canvas(16, 32)
    box(picture, 7, 10, 2, 19, "s1")
    box(picture, 7, 10, 1, 19, "s2")
    box(picture, 5, 28, 6, 2, "s1")
    box(picture, 4, 3, 8, 8, "s1")
    box(picture, 5, 4, 6, 6, "y2")
    box(picture, 6, 4, 2, 5, "y3")
    box(picture, 5, 2, 6, 1, "s1")
    return outlined(picture)


def sign() -> np.ndarray:
    picture = canvas(16, 16)
    box(picture, 7, 8, 2, 7, "e1")
    box(picture, 1, 2, 14, 7, "e3")
    box(picture, 1, 2, 14, 1, "e4")
    box(picture, 3, 4, 8, 1, "e0")
    box(picture, 3, 6, 6, 1, "e0")
    return outlined(picture)


def desk() -> np.ndarray:
    """The citizenship office: a desk with papers and a stamp under a green roof, 4 x 3."""
    picture = canvas(64, 48)
    for x in (4, 57):
        box(picture, x, 12, 3, 34, "e1")
    box(picture, 7, 16, 50, 16, "c1")
    box(picture, 7, 16, 50, 2, "e4")
    for row in range(12):
        box(picture, 1 + max(0, 5 - row), 3 + row, 62 - 2 * max(0, 5 - row), 1, "t1" if row % 4 == 3 else "t2")
    box(picture, 1, 15, 62, 1, "t1")
    box(picture, 24, 18, 16, 10, "e4")
    paste(picture, drawn("..rrr..\n.rrrrr.\nrrr.rrr\n.rrrrr.\n..r.r..", {"r": "r2"}), 28, 20)
    box(picture, 4, 31, 56, 4, "e4")
    box(picture, 4, 35, 56, 11, "e2")
    for x in range(4, 60, 8):
        box(picture, x, 35, 1, 11, "e1")
    for x in (12, 16, 42):
        box(picture, x, 28, 7, 4, "c2")
        box(picture, x + 1, 29, 5, 1, "s3")
    box(picture, 34, 27, 3, 3, "e1")
    box(picture, 33, 30, 5, 2, "r1")
    return outlined(picture)


def cart() -> np.ndarray:
    """A cart of hay, 3 x 2 tiles."""
    picture = canvas(48, 32)
    disc(picture, 22, 11, 18, 9, "p3")
    for a, b in chance(61, 46, 2):
        x, y = int(6 + a * 32), int(3 + b * 12)
        dots(picture, "p4" if a * 7 % 1 > 0.5 else "p2", (x, y), (x + 1, y - 1))
    box(picture, 4, 15, 36, 8, "e3")
    box(picture, 4, 15, 36, 2, "e4")
    for x in range(4, 40, 7):
        box(picture, x, 16, 1, 7, "e1")
    box(picture, 40, 17, 7, 2, "e2")
    for x in (12, 32):
        disc(picture, x, 24, 6, 6, "e1")
        disc(picture, x, 24, 4, 4, "e3")
        disc(picture, x, 24, 1.4, 1.4, "e0")
        box(picture, x - 4, 24, 9, 1, "e1")
        box(picture, x, 20, 1, 9, "e1")
    return outlined(picture)


def rock(seed: int) -> np.ndarray:
    picture = canvas(16, 16)
    disc(picture, 7.5, 9.5, 6, 4.6, "s2")
    disc(picture, 6.5, 8.5, 4.6, 3.4, "s3")
    disc(picture, 5.5 + seed % 2, 7.5, 2.4, 1.6, "s4")
    if seed % 2:
        dots(picture, "g3", (4, 12), (5, 12), (10, 11), (11, 12))
    return outlined(picture)


def cairn() -> np.ndarray:
    """An apacheta: stones that travellers pile up on a pass, with prayer flags, 3 x 3 tiles."""
    picture = canvas(48, 48)
    for x, y, across, down in ((24, 39, 15, 6), (23, 32, 11, 5), (25, 26, 8, 4), (24, 21, 5, 3), (24, 17, 3, 2)):
        disc(picture, x, y, across, down, "s2")
        disc(picture, x - 1, y - 1, across - 1, down - 1, "s3")
        disc(picture, x - 2, y - 1.5, across * 0.5, down * 0.4, "s4")
    box(picture, 24, 3, 1, 14, "e1")
    for index, (x, y) in enumerate(((19, 6), (14, 9), (9, 13), (27, 6), (32, 9), (37, 13))):
        box(picture, x, y, 4, 4, ("r2", "y2", "t2", "w2", "v2", "k1")[index])
    return outlined(picture)


def hut() -> np.ndarray:
    """A shepherd's round stone hut with a straw roof, 4 x 4 tiles."""
    picture = canvas(64, 64)
    _bricks(picture, 9, 34, 46, 26, ("s3", "s4", "s2"), 12)
    for row in range(34):
        half = 4 + (row / 34) ** 0.8 * 26
        first, last = round(32 - half), round(32 + half)
        box(picture, first, 5 + row, last - first, 1, "p2")
        box(picture, first, 5 + row, (last - first) // 2, 1, "p3")
        for x in range(first + row % 3, last, 5):
            dots(picture, "p1" if x % 2 else "p4", (x, 5 + row))
    box(picture, 5, 38, 54, 2, "p1")
    box(picture, 27, 43, 11, 18, "e0")
    disc(picture, 32, 43, 5.4, 3, "e0")
    box(picture, 43, 44, 6, 6, "ink")
    box(picture, 44, 45, 4, 4, "y2")
    return outlined(picture)


def terrace() -> np.ndarray:
    """One step of a field in terraces, 1 x 1: a stone face under a bed with green."""
    picture = canvas(16, 16, "e2")
    for x in range(1, 16, 5):
        for y in (1, 5):
            dots(picture, "g4", (x, y), (x + 2, y), (x + 1, y + 1))
            dots(picture, "g2", (x + 1, y + 2))
    _bricks(picture, 0, 9, 16, 7, ("s3", "s4", "s2"), 33)
    box(picture, 0, 8, 16, 1, "s5")
    box(picture, 0, 15, 16, 1, "s1")
    return picture


def bridge(part: str) -> np.ndarray:
    """Planks across water, 1 x 1: 'top', 'middle' or 'bottom' of a way from west to east."""
    picture = canvas(16, 16, "e3")
    for x in range(0, 16, 5):
        box(picture, x, 0, 1, 16, "e1")
        box(picture, x + 1, 0, 1, 16, "e4")
    if part == "top":
        box(picture, 0, 0, 16, 3, "e2")
        box(picture, 0, 0, 16, 1, "e4")
        box(picture, 0, 3, 16, 1, "e0")
    if part == "bottom":
        box(picture, 0, 11, 16, 3, "e2")
        box(picture, 0, 11, 16, 1, "e4")
        box(picture, 0, 14, 16, 2, "e0")
    return picture


def mountains() -> np.ndarray:
    """The Andes under the sky, 25 x 7 tiles; both sides meet, so it may be repeated."""
    width, height = 400, 112
    picture = canvas(width, height, "w3")
    rows = np.arange(height)
    for y, tone in ((0, "w2"), (26, "w3"), (58, "w4")):
        picture[y:] = INDEX[tone]
    for y in (24, 25, 56, 57):
        picture[y, (rows[y] % 2) :: 2] = INDEX["w2" if y < 30 else "w3"]
    for x, y, across in ((60, 18, 26), (180, 30, 20), (300, 14, 30), (372, 34, 16)):
        for dx, dy, part in ((0, 0, 1.0), (-across * 0.6, 3, 0.6), (across * 0.6, 3, 0.7)):
            disc(picture, x + dx, y + dy, across * part * 0.7, 5 * part, "c2")
        box(picture, int(x - across), y + 4, 2 * across, 2, "c2")
    x = np.arange(width)
    ranges = (
        (1, 40, 26, ("s3", "s4", "c2"), 34),
        (2, 62, 20, ("s2", "s3", "s5"), 14),
        (3, 84, 11, ("p1", "p2", None), 0),
    )
    for seed, level, swing, (dark, light, snow), depth in ranges:
        ridge = np.zeros(width)
        for octave, size in ((1, 50), (2, 25), (4, 10), (10, 5)):
            corners = chance(seed * 31 + octave, width // size)
            at = x / size
            low = at.astype(int)
            part = at - low
            ridge += (corners[low] * (1 - part) + corners[(low + 1) % len(corners)] * part - 0.5) / octave
        crest = np.round(level - ridge * swing * 1.7).astype(int)
        slope = np.roll(crest, -3) - np.roll(crest, 3)
        for column in range(width):
            top = max(0, crest[column])
            for y in range(top, height):
                # Facets run down to the right: what is lit at the crest is lit below it.
                lit = slope[(column - (y - top) // 2) % width] <= 0
                jag = int(chance(seed * 91 + column // 2, 1)[0] * 7)
                white = snow and y - top < depth // 2 - (top - level + swing) // 2 + jag - 3
                picture[y, column] = INDEX[(snow if lit else "w4") if white else (light if lit else dark)]
            picture[top, column] = INDEX["s1" if seed < 3 else "p1"]
        for a, b in chance(seed + 400, 60, 2):
            px, py = int(a * width), int(level + b * 30)
            if py < height - 6 and py > crest[px] + 6:
                dots(picture, dark, (px, py), (px + 1, py + 1), (px + 2, py + 2), (px + 2, py + 3))
    for a, b in chance(701, 160, 2):
        px, py = int(a * width), int(92 + b * 16)
        dots(picture, "p3", (px, py), (px + 1, py))
    picture[108:] = INDEX["p2"]
    picture[110:] = INDEX["g2"]
    return picture


def reeds() -> np.ndarray:
    picture = canvas(16, 16)
    for x, top in ((3, 5), (6, 2), (9, 4), (12, 6)):
        box(picture, x, top, 1, 14 - top, "g2")
        box(picture, x + 1, top + 3, 1, 11 - top, "g3")
        box(picture, x, top, 2, 3, "e2")
    return picture


def lily() -> np.ndarray:
    picture = canvas(16, 16)
    disc(picture, 5, 6, 3.6, 2.4, "g2")
    disc(picture, 11, 11, 3, 2, "g2")
    dots(picture, "g3", (4, 5), (5, 5), (10, 10), (11, 10))
    dots(picture, "k1", (5, 4), (4, 4), (6, 4), (5, 3))
    return picture


def log() -> np.ndarray:
    """A fallen trunk to sit on, 2 x 1."""
    picture = canvas(32, 16)
    box(picture, 3, 6, 25, 7, "e2")
    box(picture, 3, 6, 25, 2, "e3")
    box(picture, 3, 11, 25, 2, "e1")
    disc(picture, 28, 9, 2.4, 3.6, "e4")
    disc(picture, 28, 9, 1.2, 2, "e2")
    dots(picture, "g3", (8, 6), (9, 6), (10, 6), (9, 5), (17, 6), (18, 6))
    return outlined(picture)


def campfire() -> np.ndarray:
    picture = canvas(16, 16)
    for x, y in ((3, 12), (6, 14), (10, 14), (13, 12), (4, 9), (12, 9)):
        disc(picture, x, y, 1.8, 1.4, "s3")
    box(picture, 4, 10, 9, 2, "e1")
    disc(picture, 8, 7, 3.4, 5, "y1")
    disc(picture, 8, 8, 2.2, 3.4, "y2")
    disc(picture, 8, 9, 1.2, 2, "y3")
    return outlined(picture)


def crate(kind: int) -> np.ndarray:
    picture = canvas(16, 16)
    if kind:
        disc(picture, 7.5, 8, 5, 6, "e2")
        box(picture, 3, 5, 10, 1, "s2")
        box(picture, 3, 10, 10, 1, "s2")
        box(picture, 5, 3, 2, 11, "e3")
        disc(picture, 7.5, 3.4, 4, 1.6, "e4")
    else:
        box(picture, 2, 3, 12, 11, "e3")
        box(picture, 2, 3, 12, 2, "e4")
        for step in range(8):
            dots(picture, "e1", (4 + step, 5 + step), (11 - step, 5 + step))
    return outlined(picture)
