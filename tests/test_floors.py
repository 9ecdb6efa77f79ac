"""The floors of the house: an import may only go down. See docs/architecture.md."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "puna"

# Rooms on one floor do not know each other.
FLOOR = {
    "errors": 0, "clock": 0, "models": 0, "scheduling": 0,
    "arweave": 1, "llm": 1,
    "vm": 2,
    "ao": 3,
    "services": 4,
    "llamaland": 5, "api": 5,
    "node": 6,
    "client": 7, "web": 7,
    "cli": 8,
}  # fmt: skip


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms of puna that a file imports, wherever in the file it does so."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "puna" else [node.module]
        elif isinstance(node, ast.ImportFrom):
            package = ("puna", *path.relative_to(SOURCE).parent.parts)
            base = package[: len(package) - node.level + 1]
            names = [".".join((*base, node.module or ""))]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("puna.") and name.count(".")}
    return rooms & (FLOOR.keys() | {"__init__"})


def allowed(importer: str, imported: str) -> bool:
    return importer == imported or FLOOR[imported] < FLOOR[importer]


SOURCES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.name != "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_go_down(path):
    upward = [room for room in imported_rooms(path) if not allowed(room_of(path), room)]
    assert not upward, (
        f"{path.relative_to(SOURCE)} (floor {FLOOR[room_of(path)]}) imports {upward} from a floor not below"
    )


def test_every_room_has_a_floor():
    assert {room_of(path) for path in SOURCES} <= FLOOR.keys()


def test_the_guard_sees_an_upward_import(tmp_path, monkeypatch):
    file = SOURCE / "arweave" / "ids.py"
    monkeypatch.setattr(
        Path, "read_text", lambda self, *_: "def f():\n    from puna.cli import main\n    import puna.llm.gguf\n"
    )
    assert {room for room in imported_rooms(file) if not allowed("arweave", room)} == {"cli", "llm"}
