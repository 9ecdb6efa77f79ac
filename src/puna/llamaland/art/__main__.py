"""Writes the land's pictures and maps into `assets`, next to this folder."""

from pathlib import Path

from . import drawings

ASSETS = Path(__file__).parent.parent / "assets"

if __name__ == "__main__":
    ASSETS.mkdir(exist_ok=True)
    for name, content in drawings().items():
        (ASSETS / name).write_bytes(content)
        print(f"{len(content):>8} {name}")
