"""The llamas: one animal in three views, in many fleeces and costumes, walking and blinking.

A sheet has one row per animal and 18 frames of 24 x 28 pixels: for each of down, up and right four steps of a walk
(left is right mirrored), then standing with closed eyes down and right, and four frames of grazing.
"""

import json
from dataclasses import dataclass, field

import numpy as np

from .palette import INDEX, PALETTE, box, canvas, dots, drawn, paste
from .png import write_png

WIDTH, HEIGHT = 24, 28

# '#' outline, l f d fleece light, base, dark; s face, n muzzle, e eye, k inner ear, h hoof
SIDE = """
..............#...#.....
.............#f#.#f#....
.............#k#.#k#....
.............#fl#lf#....
............#lllllll#...
............#fllllff##..
............#fffsseess#.
............#dffsseessn#
............#dffssssnn#.
.............#dfsssnn#..
.............#dffl###...
.............#dffl#.....
.............#dffl#.....
..###########ddffl#.....
.#lllllllllllfffflf#....
#fllfflllfflllfffff#....
#ffffllffffllffffff#....
#dfffffffffffffffff#....
.#dffffdfffffdfffff#....
.#ddffffddfffddfff#.....
.#dddddddddddddddd#.....
"""
FRONT = """
........#......#........
.......#f#....#f#.......
.......#kf#..#fk#.......
.......#kf####fk#.......
........#fllllf#........
.......#flllllff#.......
.......#fllllfff#.......
.......#fssssssf#.......
.......#fessssef#.......
.......#fessssef#.......
.......#ssnnnnss#.......
........#nnccnn#........
........#snnnns#........
.........######.........
........#dfllff#........
.......#dflllfff#.......
......#dffllllfff#......
......#fffllllffd#......
......#ffffllfffd#......
......#dffffffffd#......
......#ddfffffddd#......
"""
BACK = """
........#......#........
.......#f#....#f#.......
.......#ff#..#ff#.......
.......#ff####ff#.......
........#fllllf#........
.......#flllllff#.......
.......#flllllff#.......
.......#fllllfff#.......
.......#dffffffd#.......
.......#dffffffd#.......
........#dffffd#........
........#dffffd#........
........#dffffd#........
.......##fllff##........
......#fllllllff#.......
......#flllllfff#.......
......#fllllffff#.......
......#fflffffff#.......
......#dfff##ffd#.......
......#ddf#lf#dd#.......
......#ddd#ff#dd#.......
"""
# Four steps each, from row 21 down. The animal bobs up by one pixel in the steps 1 and 3.
LEGS_SIDE = (
    """
.#df##df#..#df##df#.....
.#df##df#..#df##df#.....
.#df##df#..#df##df#.....
.#df##df#..#df##df#.....
.#hh##hh#..#hh##hh#.....
.####.###..####.###.....
""",
    """
.#df##df#..#df##df#.....
#df#.#df#.#df#.#df#.....
#df#..#df##df#..#df#....
#hh#..#df##hh#..#df#....
###...#hh####...#hh#....
......####......####....
""",
    """
.#dff#df#..#dff#df#.....
..#df#f#....#df#f#......
..#df#f#....#df#f#......
..#df#f#....#df#f#......
..#hh#h#....#hh#h#......
..######....######......
""",
    """
.#df##df#..#df##df#.....
..#df#df#...#df#df#.....
..#df##df#..#df##df#....
..#df#.#hh#.#df#.#hh#...
..#hh#.####.#hh#.####...
..####......####........
""",
)


def _front_legs(step: int) -> np.ndarray:
    """Two legs seen from the front or behind; the raised one is shorter."""
    picture = canvas(WIDTH, 7)
    for side, x in ((0, 7), (1, 13)):
        raised = (step == 1 and side == 0) or (step == 3 and side == 1)
        height = 4 if raised else 6
        box(picture, x, 0, 4, height, "ink")
        box(picture, x + 1, 0, 2, height - 1, "g0")
        picture[0 : height - 1, x + 1] = _LEG[0]
        picture[0 : height - 1, x + 2] = _LEG[1]
        picture[height - 2, x + 1 : x + 3] = _LEG[2]
    return picture


_LEG = (250, 251, 252)  # fleece dark, base and hoof, coloured later


@dataclass(frozen=True)
class Coat:
    """Light, base and dark of the fleece; face, muzzle; hoof."""

    light: str
    base: str
    dark: str
    face: str = "e4"
    muzzle: str = "e5"
    hoof: str = "e0"

    def colours(self, closed: bool) -> dict[str, str]:
        return {
            "#": "ink", "l": self.light, "f": self.base, "d": self.dark, "s": self.face, "n": self.muzzle, "k": "k1",
            "e": self.dark if closed else "ink", "h": self.hoof, "c": "e1",
        }  # fmt: skip


CREAM = Coat("c2", "c1", "e4")
BROWN = Coat("e4", "e3", "e2", "e5", "c1")
DARK = Coat("e2", "e1", "e0", "e4", "e5", "ink")
GREY = Coat("s5", "s4", "s3", "s2", "s5", "s0")
WHITE = Coat("c2", "s5", "s4", "k2", "c2", "s1")
BLACK = Coat("s2", "s1", "s0", "s3", "s5", "ink")
GOLD = Coat("y3", "y2", "y1", "c1", "c2")
CINNAMON = Coat("r3", "e3", "r1", "e5", "c1")
LILAC = Coat("c2", "v3", "v2", "k2", "c2", "v0")
MINT = Coat("c2", "w4", "w3", "c1", "c2", "t1")

Overlay = tuple[str, int, int, dict[str, str]]  # rows, x, y, colours


@dataclass(frozen=True)
class Llama:
    """A coat and what is worn over it, by view: 'side', 'front', 'back'."""

    name: str
    coat: Coat
    worn: dict[str, list[Overlay]] = field(default_factory=dict)


def blanket(first: str, second: str, third: str) -> dict[str, list[Overlay]]:
    """A woven blanket over the back with a fringe."""
    colours = {"a": first, "b": second, "c": third, "#": "ink"}
    side = "aabaacaabaa\naabaacaabaa\nbbbbbbbbbbb\naabaacaabaa\naabaacaabaa\nc.c.c.c.c.c"
    front = "a........a\nb........b\na........a\nc........c"
    back = "aabaabaa\naabaabaa\nbbbbbbbb\naabaabaa\nc.c.c.c."
    return {"side": [(side, 2, 14, colours)], "front": [(front, 7, 16, colours)], "back": [(back, 8, 14, colours)]}


def scarf(colour: str, light: str) -> dict[str, list[Overlay]]:
    colours = {"a": colour, "b": light}
    return {
        "side": [("bbbbb\naaaaa\n..aab\n..ab.", 13, 11, colours)],
        "front": [("bbbbbb\naaaaaa\n...ab.\n...ab.\n...aa.", 9, 13, colours)],
        "back": [("bbbbbb\naaaaaa", 9, 11, colours)],
    }


def hat(rows: str, x_side: int, y: int, x_front: int, colours: dict[str, str]) -> dict[str, list[Overlay]]:
    return {"side": [(rows, x_side, y, colours)], "front": [(rows, x_front, y, colours)],
            "back": [(rows, x_front, y, colours)]}  # fmt: skip


def together(*costumes: dict[str, list[Overlay]]) -> dict[str, list[Overlay]]:
    return {view: [part for worn in costumes for part in worn.get(view, [])] for view in ("side", "front", "back")}


CHULLO = "...a...\n..aba..\n.aacaa.\nabbabba\nccccccc"
STRAW = "...####...\n..#yyyy#..\n.##rrrr##.\n#yyyyyyyy#\n.########."
FLOWER = ".r.\nryr\n.r."
CROWN = "#.#.#.#.#\n#y#y#y#y#\n#yyrywyy#\n#ooooooo#\n#########"
CAP = ".#########.\n#tttttttt##\n#tttttttt#.\n##########."
JOKER_HAT = ".y.......y.\n#v#.....#t#\n#vv#.#.#tt#\n.#vvv#ttt#.\n..#vvvtt#..\n..yyyyyyy.."
HOOD_FRONT = """
....####....
..##vvvv##..
.#vvvvvvvv#.
#vvwwwwwwvv#
#vw......wv#
#vw......wv#
#vw......wv#
#vw......wv#
#vw......wv#
.#vw....wv#.
.#vvwwwwvv#.
"""
HOOD_BACK = """
....####....
..##vvvv##..
.#vvvvvvvv#.
#vwvvvvvvvv#
#vwvvvvvvvd#
#vwvvvvvvvd#
#vwvvvvvvvd#
#vvvvvvvvdd#
#vvvvvvvvdd#
.#vvvvvvdd#.
.#vvvvvvdd#.
"""
HOOD_SIDE = """
...#####...
.##vvvvv##.
#vvvvvvvvw#
#vvvvvvw...
#dvvvvw....
#dvvvvw....
#dvvvvw....
#ddvvvvw...
.#dvvvvw...
.#ddvvvvw..
.#ddvvvv#..
"""


def robe(base: str, light: str, dark: str, trim: str | None, spots: str | None = None) -> dict[str, list[Overlay]]:
    """A mantle down to the knees."""
    colours = {"a": base, "b": light, "d": dark, "t": trim or base, "s": spots or trim or base, "#": "ink"}
    side = (
        "...........tttttt.\n.bbbbbbbbbtststst.\nbbabbbabbbatttttt.\nbaaabaaabaaaaaaaa.\n"
        "aaaaaaaaaaaaaaaaa.\naaaaaaaaaaaaaaaaa.\ndaaadaaadaaadaaad.\nddaaddaaddaaddaad.\ntttttttttttttttttt"
    )
    front = (
        ".tttttttt.\n.tsttttst.\nbatttttttd\nbaabttbaad\nbaaattaaad\n"
        "baaattaaad\nbaaattaaad\ndaaattaadd\ndaaattaadd\ntttttttttt"
    )
    back = (
        ".tttttttt.\n.tsttttst.\nbttttttttd\nbbabbabbad\nbaabaabaad\n"
        "baaaaaaaad\nbaaaaaaaad\ndaadaadaad\ndaadaadadd\ntttttttttt"
    )
    return {"side": [(side, 1, 13, colours)], "front": [(front, 7, 13, colours)], "back": [(back, 7, 12, colours)]}


def motley() -> dict[str, list[Overlay]]:
    colours = {"v": "v1", "t": "t2", "y": "y2", "r": "r2"}
    side = "vvtttvvvttt\nvvtttvvvttt\ntvvvtttvvvt\nttvvvtttvvv\nvttvvvtttvv\ny.y.y.y.y.y"
    front = "..yyyyyy..\n.vvvyyttt.\nvvvvvttttt\nvvvvvttttt\ntttttvvvvv\ntttttvvvvv\ny.y.yy.y.y"
    back = ".vvvvtttt.\nvvvvvttttt\nvvvvvttttt\ntttttvvvvv\ntttttvvvvv\ny.y.yy.y.y"
    return {"side": [("yyyyy\nryryr", 13, 12, colours), (side, 2, 14, colours)], "front": [(front, 7, 13, colours)],
            "back": [(back, 7, 13, colours)]}  # fmt: skip


CAST = [
    Llama("king", CREAM, together(robe("r1", "r2", "r0", "c2", "ink"),
          hat(CROWN, 12, 0, 8, {"#": "y1", "y": "y2", "o": "y3", "r": "r2", "w": "w2"}))),
    Llama("joker", BROWN, together(motley(), hat(JOKER_HAT, 10, 0, 6, {"#": "ink", "v": "v1", "t": "t2", "y": "y2"}))),
    Llama("oracle", GREY, {
        "side": [*robe("v1", "v2", "v0", "y2")["side"],
                 (HOOD_SIDE, 11, 1, {"#": "ink", "v": "v1", "d": "v0", "w": "y2"}),
                 (".##.\n#cw#\n#wb#\n.##.", 19, 16, {"#": "ink", "w": "w3", "c": "c2", "b": "w1"})],
        "front": [*robe("v1", "v2", "v0", "y2")["front"], (HOOD_FRONT, 6, 1, {"#": "ink", "v": "v1", "w": "y2"}),
                  (".####.\n#wcww#\n#cwwb#\n#wwbb#\n.####.", 9, 17, {"#": "ink", "w": "w3", "c": "c2", "b": "w1"})],
        "back": [*robe("v1", "v2", "v0", "y2")["back"],
                 (HOOD_BACK, 6, 1, {"#": "ink", "v": "v1", "w": "v2", "d": "v0"})]}),
    Llama("banker", WHITE, {
        "side": [("t" * 9 + "\n" + "t" * 9 + "\nttyyttyyt", 3, 14, {"t": "t1", "y": "y2"}),
                 (".###\n#w##\n#ww#\n.##.", 17, 5,
                 {"#": "y1", "w": "w4"}), (".##.\n#yy#\n#yoy#\n#yyy#\n.###.", 5, 16, {"#": "e0", "y": "e3", "o": "y2"}),
                 ("#######\n#ssss##\n#sssss#\n#rrrrr#\n#########", 12, 0, {"#": "ink", "s": "s0", "r": "r1"})],
        "front": [("yyy..yyy\nywyyyywy\nywy..ywy\nyyy..yyy", 8, 7, {"y": "y1", "w": "w0"}),
                  ("tt.cccc.tt\nttt.rr.ttt\ntttcrrcttt\ntttcrrcttt\nttttrctttt\ntttttttttt\nttyttttytt",
                   7, 14, {"t": "t1", "c": "c2", "r": "r2", "y": "y2"}),
                  ("..#####..\n..#sss#..\n..#sss#..\n..#rrr#..\n#########", 7, 0, {"#": "ink", "s": "s0", "r": "r1"})],
        "back": [("tttttttt\n" * 5 + "tttttttt", 8, 14, {"t": "t1"}),
                 ("..#####..\n..#sss#..\n..#sss#..\n..#rrr#..\n#########", 7, 0, {"#": "ink", "s": "s0", "r": "r1"})]}),
    Llama("citizenship", BROWN, together(
        hat(CAP, 12, 1, 7, {"#": "ink", "t": "t2"}),
        {"side": [("r\nw\nr\nw\nr\nw", 14, 12, {"r": "r2", "w": "c2"}),
                  (".##\n#yy\n#yy", 16, 13, {"#": "y1", "y": "y3"})],
         "front": [("rr......\n.ww.....\n..rr....\n...ww...\n....rr..\n.....ww.", 8, 14, {"r": "r2", "w": "c2"}),
                   (".#.\n#y#\n.#.", 9, 16, {"#": "y1", "y": "y3"})],
         "back": [("rr......\n.ww.....\n..rr....\n...ww...\n....rr..\n.....ww.", 8, 13, {"r": "r2", "w": "c2"})]})),
    Llama("giver", GOLD, together(
        blanket("r2", "y3", "w1"), hat(STRAW, 11, 0, 7, {"#": "e1", "y": "y3", "r": "r2"}),
        {"side": [("####\n#ee#\n#eee#\n#yy##\n####", 4, 16, {"#": "e0", "e": "e3", "y": "y2"})]})),
]  # fmt: skip

SKINS = [
    Llama("skin0", CREAM, blanket("r2", "y2", "t1")),
    Llama("skin1", BROWN, scarf("w1", "w2")),
    Llama("skin2", DARK, blanket("w1", "c2", "y2")),
    Llama("skin3", WHITE, together(scarf("r1", "r2"), hat(CHULLO, 12, 0, 9, {"a": "r2", "b": "y2", "c": "t1"}))),
    Llama("skin4", GREY, hat(STRAW, 11, 0, 7, {"#": "e1", "y": "y2", "r": "r1"})),
    Llama("skin5", BLACK, blanket("v2", "y2", "k1")),
    Llama("skin6", GOLD, scarf("t1", "t2")),
    Llama("skin7", CINNAMON, together(scarf("c1", "c2"), hat(FLOWER, 12, 2, 8, {"r": "k2", "y": "y2"}))),
    Llama("skin8", LILAC, blanket("t2", "c2", "v1")),
    Llama("skin9", MINT, together(blanket("k1", "c2", "r2"), hat(CHULLO, 12, 0, 9, {"a": "t2", "b": "c2", "c": "r2"}))),
]


def _view(llama: Llama, view: str, step: int, closed: bool = False) -> np.ndarray:
    """One frame. Costume and body bob together; hooves stay on the ground."""
    colours = llama.coat.colours(closed)
    body = drawn({"side": SIDE, "front": FRONT, "back": BACK}[view], colours)
    picture = canvas(WIDTH, HEIGHT)
    if view == "side":
        legs = drawn(LEGS_SIDE[step], colours)
    else:
        legs = _front_legs(step)
        for mark, name in zip(_LEG, (llama.coat.dark, llama.coat.base, llama.coat.hoof), strict=True):
            legs[legs == mark] = INDEX[name]
    rise = 1 if step % 2 else 0
    # The legs reach up under the body, so that no gap shows when it rises.
    paste(picture, legs, 0, HEIGHT - 6)
    paste(picture, body, 0, HEIGHT - 6 - 21 - rise + 1)
    for rows, x, y, worn in llama.worn.get(view, ()):
        paste(picture, drawn(rows, worn), x, HEIGHT - 6 - 21 - rise + 1 + y)
    return picture


def _grazing(llama: Llama, step: int) -> np.ndarray:
    """Standing sideways, ears and tail twitching a little."""
    picture = _view(llama, "side", 0, closed=step == 2)
    if step in (1, 3):
        dots(picture, "ink", (0, 16), (0, 15))
    return picture


def frames(llama: Llama) -> list[np.ndarray]:
    """The animal's 18 frames in the order of the sheet."""
    walk = [_view(llama, view, step) for view in ("front", "back", "side") for step in range(4)]
    blink = [_view(llama, "front", 0, closed=True), _view(llama, "side", 0, closed=True)]
    return walk + blink + [_grazing(llama, step) for step in range(4)]


def sheet() -> tuple[bytes, str]:
    """The picture of all llamas, and its description: where each frame lies and what a walk is made of."""
    cast = CAST + SKINS
    picture = canvas(18 * WIDTH, len(cast) * HEIGHT)
    for row, llama in enumerate(cast):
        for column, frame in enumerate(frames(llama)):
            paste(picture, frame, column * WIDTH, row * HEIGHT)
    told = {
        "image": "llamas.png", "frame": {"w": WIDTH, "h": HEIGHT}, "foot": {"x": 11.5, "y": 26},
        "rows": {llama.name: row for row, llama in enumerate(cast)},
        "walk": {"down": [0, 1, 2, 3], "up": [4, 5, 6, 7], "right": [8, 9, 10, 11]},
        "blink": {"down": 12, "right": 13}, "idle": {"right": [14, 15, 16, 17]}, "mirrored": {"left": "right"},
        "step_ms": 130,
    }  # fmt: skip
    return write_png(picture, PALETTE), json.dumps(told, indent=1, sort_keys=True) + "\n"
