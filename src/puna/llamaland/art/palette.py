"""The land's colours, by one letter or short name each, and the canvas that everything is drawn on."""

import numpy as np

COLOURS = {
    "none": "00000000", "ink": "221d2fff", "shade": "1b253d60",
    "g0": "23403dff", "g1": "2f5f45ff", "g2": "448349ff", "g3": "61a24fff", "g4": "86bd59ff", "g5": "b4d66fff",
    "p1": "8a7a43ff", "p2": "b09a54ff", "p3": "cfba6cff", "p4": "e6d68eff",
    "e0": "472f35ff", "e1": "6b4740ff", "e2": "94654bff", "e3": "b9875aff", "e4": "d8ae78ff", "e5": "edd0a0ff",
    "s0": "34344aff", "s1": "52556cff", "s2": "777c8fff", "s3": "9ea3adff", "s4": "c5c8c8ff", "s5": "e6e4daff",
    "w0": "27548fff", "w1": "3279b8ff", "w2": "4aa3d4ff", "w3": "82cfe6ff", "w4": "c9eff2ff",
    "r0": "6d2038ff", "r1": "a62f43ff", "r2": "d9514cff", "r3": "f2836bff",
    "y1": "d98a2bff", "y2": "f5bd41ff", "y3": "fce58aff",
    "v0": "40295fff", "v1": "6a459cff", "v2": "9a71cfff", "v3": "cda9ecff",
    "k1": "e58fa8ff", "k2": "f9c9cfff", "t1": "2b7f83ff", "t2": "4dbb9eff", "c1": "f4e3c3ff", "c2": "fffaf0ff",
}  # fmt: skip
NAMES = list(COLOURS)
INDEX = {name: index for index, name in enumerate(NAMES)}
PALETTE = [tuple(bytes.fromhex(value)) for value in COLOURS.values()]


def canvas(width: int, height: int, colour: str = "none") -> np.ndarray:
    """A picture (height, width) of palette indices."""
    return np.full((height, width), INDEX[colour], np.uint8)


def box(picture: np.ndarray, x: int, y: int, width: int, height: int, colour: str) -> None:
    """A filled rectangle; what lies outside the picture is left away."""
    picture[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)] = INDEX[colour]


def dots(picture: np.ndarray, colour: str, *places: tuple[int, int]) -> None:
    for x, y in places:
        if 0 <= y < picture.shape[0] and 0 <= x < picture.shape[1]:
            picture[y, x] = INDEX[colour]


def disc(picture: np.ndarray, x: float, y: float, across: float, down: float, colour: str) -> None:
    """A filled ellipse about (x, y) with the radii `across` and `down`."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    picture[((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 <= 1] = INDEX[colour]


def paste(picture: np.ndarray, stamp: np.ndarray, x: int, y: int) -> None:
    """Lay `stamp` over the picture; where it is transparent the picture stays."""
    top, left = max(0, -y), max(0, -x)
    part = stamp[top : picture.shape[0] - y, left : picture.shape[1] - x]
    under = picture[y + top : y + top + part.shape[0], x + left : x + left + part.shape[1]]
    under[part != 0] = part[part != 0]


def drawn(rows: str, colours: dict[str, str]) -> np.ndarray:
    """A picture from rows of letters; a full stop or blank is transparent."""
    lines = [line for line in rows.split("\n") if line]
    picture = canvas(max(map(len, lines)), len(lines))
    for y, line in enumerate(lines):
        for x, letter in enumerate(line):
            if letter not in ". ":
                picture[y, x] = INDEX[colours[letter]]
    return picture


def outlined(picture: np.ndarray, colour: str = "ink") -> np.ndarray:
    """The same picture with an outline of one pixel where it meets nothing; keep a free border around it."""
    solid = np.pad(picture != 0, 1)
    near = solid[:-2, 1:-1] | solid[2:, 1:-1] | solid[1:-1, :-2] | solid[1:-1, 2:]
    framed = picture.copy()
    framed[(picture == 0) & near] = INDEX[colour]
    return framed


def chance(seed: int, *shape: int) -> np.ndarray:
    """Even numbers in [0, 1) that depend on the seed alone: not on numpy's generators, which may change."""
    with np.errstate(over="ignore"):
        count = np.arange(int(np.prod(shape)), dtype=np.uint32) + np.uint32(seed * 7919 + 1)
        for multiplier, shift in ((0x7FEB352D, 15), (0x846CA68B, 16), (0x9E3779B1, 13)):
            count = (count ^ (count >> np.uint32(16))) * np.uint32(multiplier)
            count ^= count >> np.uint32(shift)
    return (count / np.float64(2**32)).reshape(shape)


def clouds(seed: int, size: int, cell: int) -> np.ndarray:
    """Soft noise (size, size) in [0, 1) that meets itself at the borders; `cell` divides `size`."""
    corners = chance(seed, size // cell, size // cell)
    at = np.arange(size) / cell
    low = at.astype(int)
    part = at - low
    part = part * part * (3 - 2 * part)
    high = (low + 1) % (size // cell)
    top = corners[low][:, low] * (1 - part) + corners[low][:, high] * part
    bottom = corners[high][:, low] * (1 - part) + corners[high][:, high] * part
    return top * (1 - part)[:, None] + bottom * part[:, None]
