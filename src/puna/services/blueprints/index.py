"""The blueprints that genesis publishes, one row each. Add a file and a row; the stories show how one is tried out.

Read by genesis and by tests.
"""

from dataclasses import dataclass
from pathlib import Path

from puna.services import programs

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """A blueprint's name and the Lua files that make it, in order.

    `modules` are put before them, for `require` to find under their names. `knows` names the standing processes
    (fields of Network) whose ids it must be told, as `stamped` tells them.
    """

    name: str
    files: tuple[Path, ...]
    modules: tuple[tuple[str, Path], ...] = ()
    knows: tuple[str, ...] = ()


BLUEPRINTS = (
    Row("token", (_HERE / "token.lua", programs.TOKEN)),
    Row("chatroom", (_HERE / "chatroom.lua",)),
    Row("chat", (_HERE / "chat.lua",)),
    Row("apm", (_HERE / "apm.lua",), knows=("registry",)),
    Row("arena", (_HERE / "arena.lua",)),
    Row("staking", (_HERE / "staking.lua",)),
    Row("voting", (_HERE / "voting.lua",)),
    Row("credUtils", (_HERE / "credUtils.lua",)),
    Row("patch-legacy-reply", (_HERE / "patch-legacy-reply.lua",)),
    Row(
        "llama",
        (_HERE / "llama.lua",),
        modules=(("@puna/Llama-Herder", programs.LLAMA_HERDER),),
        knows=("herder", "token"),
    ),
)


def stamped(source: bytes, ids: dict[str, str]) -> bytes:
    """Lua that knows `ids` as fields of a local NETWORK. On the first line, so that line numbers stay true."""
    fields = ", ".join(f'{name} = "{id}"' for name, id in sorted(ids.items()))
    return b"local NETWORK = { %s } " % fields.encode() + source if ids else source


def blueprint_source(row: Row, ids: dict[str, str]) -> bytes:
    """The whole text of a blueprint. `ids` has at least what it `knows`."""
    text = b"".join(
        b'package.loaded["%s"] = (function()\n%s\nend)()\n' % (name.encode(), programs.source(path))
        for name, path in row.modules
    ) + b"".join(programs.source(path) for path in row.files)
    return stamped(text, {name: ids[name] for name in row.knows})
