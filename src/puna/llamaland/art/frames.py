"""Frames of the game's windows, each in nine parts of 8 pixels, and the land's badge."""

import numpy as np

from . import llamas
from .palette import PALETTE, box, canvas, disc, dots, paste
from .png import write_png

SIZE = 24


def _frame(rim: str, light: str, fill: str, dark: str) -> np.ndarray:
    picture = canvas(SIZE, SIZE)
    box(picture, 2, 0, 20, 24, "ink")
    box(picture, 0, 2, 24, 20, "ink")
    box(picture, 1, 1, 22, 22, "ink")
    box(picture, 2, 1, 20, 22, rim)
    box(picture, 1, 2, 22, 20, rim)
    box(picture, 2, 1, 20, 1, light)
    box(picture, 1, 2, 1, 20, light)
    box(picture, 2, 22, 20, 1, dark)
    box(picture, 22, 2, 1, 20, dark)
    box(picture, 4, 4, 16, 16, fill)
    return picture


def frames() -> dict[str, bytes]:
    """The pictures by file name."""
    bubble = canvas(SIZE, SIZE)
    box(bubble, 3, 0, 18, 24, "ink")
    box(bubble, 0, 3, 24, 18, "ink")
    box(bubble, 1, 1, 22, 22, "ink")
    box(bubble, 3, 1, 18, 22, "c2")
    box(bubble, 1, 3, 22, 18, "c2")
    box(bubble, 2, 2, 20, 20, "c2")
    box(bubble, 3, 22, 18, 1, "c1")
    panel = _frame("e2", "e4", "e1", "e0")
    for x, y in ((3, 3), (20, 3), (3, 20), (20, 20)):
        dots(panel, "y2", (x, y))
    scroll = _frame("e4", "e5", "c1", "e3")
    for place, (x, y) in enumerate(((4, 4), (19, 4), (4, 19), (19, 19))):
        dots(scroll, "e5" if place % 2 else "e4", (x, y))
    button = _frame("y2", "y3", "y2", "y1")
    box(button, 4, 4, 16, 16, "y2")
    badge = canvas(32, 32)
    disc(badge, 15.5, 15.5, 15.5, 15.5, "ink")
    disc(badge, 15.5, 15.5, 14.5, 14.5, "y1")
    disc(badge, 15.5, 15.5, 13, 13, "v1")
    disc(badge, 14, 13.5, 10, 10, "v2")
    head = llamas.frames(llamas.CAST[0])[0][:16]
    paste(badge, head, 4, 8)
    pictures = {"bubble": bubble, "panel": panel, "scroll": scroll, "button": button, "badge": badge}
    return {f"{name}.png": write_png(picture, PALETTE) for name, picture in pictures.items()}
