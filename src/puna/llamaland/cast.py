"""Who lives in Llama Land, one row each: a Lua file beside this one and a row make a new character.

Read by genesis and by tests. A character's program is the client of the herd, what all characters share,
and its own file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from puna.services import programs
from puna.services.blueprints.index import stamped

_HERE = Path(__file__).parent

WAR = 10**12  # winston

WORLD = _HERE / "world.lua"
COIN = (programs.TOKEN, _HERE / "coin.lua")
_SHARED = (
    ("@puna/Llama-Herder", programs.LLAMA_HERDER),
    ("llamaland.emission", _HERE / "emission.lua"),
    ("llamaland.character", _HERE / "character.lua"),
)


@dataclass(frozen=True)
class Character:
    """A row: `key` names it in the land and on the map, `name` is what others read.

    `form` is the action id of the form that a click opens, and whether it is paid to another process (`external`).
    `winston` is what it gets to pay the herd with. A `final` one is renounced by its owner once it knows the land:
    then nobody can change what it does.
    """

    key: str
    name: str
    form: str
    external: bool = False
    winston: int = 0
    final: bool = False
    world: str = "town"
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return _HERE / f"{self.key}.lua"

    def metadata(self, process: str) -> dict[str, Any]:
        """How the character looks in its world and what a click on it does."""
        kind = "SchemaExternalForm" if self.external else "SchemaForm"
        interaction = {"Type": kind, "Id": self.form, "Target": process}
        return {"DisplayName": self.name, "Sprite": self.key, "Interaction": interaction}


CAST = (
    Character("king", "Llama King", "Petition", external=True, winston=WAR, final=True),
    Character("banker", "Llama Banker", "Bank", final=True),
    Character("joker", "Llama Joker", "MakeJoke", external=True, winston=WAR),
    Character("oracle", "Oracle Llama", "AskOracleLlama", external=True, winston=WAR),
    Character("giver", "Llama Giver", "GetDonation"),
    Character("citizenship", "Citizenship Llama", "Immigrate", tags={"Policy": "open"}),
)


def character_source(character: Character, token: str, herder: str) -> bytes:
    """The whole Lua text of a character of a network, whose wAR token and herder it is told."""
    text = b"".join(
        b'package.loaded["%s"] = (function()\n%s\nend)()\n' % (name.encode(), programs.source(path))
        for name, path in _SHARED
    )
    return stamped(text + programs.source(character.file), {"token": token, "herder": herder})


def coin_source() -> bytes:
    return b"\n".join(programs.source(path) for path in COIN)
