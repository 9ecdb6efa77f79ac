"""Two hosts for the Lua runtime under test: lupa's Lua 5.3, and the built module.

Both answer `handle(message, environment)` with the decoded result, and `lua(code)` for questions about libraries.
"""

from __future__ import annotations

import json
from pathlib import Path

import lupa.lua53

SOURCES = Path(__file__).parents[3] / "src" / "puna" / "vm" / "module" / "lua"


def module_names() -> dict[str, str]:
    """Name for `require` -> file stem, of every embedded file."""
    names = {"." + path.stem: path.stem for path in sorted(SOURCES.glob("*.lua"))}
    for line in (SOURCES / "INDEX").read_text().splitlines():
        file, *extra = line.split()
        names.update({name: Path(file).stem for name in extra})
    return names


def new_lua(host=None) -> lupa.lua53.LuaRuntime:
    """A Lua state that can `require` the runtime's files; `host(name, request)` stands for the node's extensions."""
    lua = lupa.lua53.LuaRuntime(unpack_returned_tuples=True)
    lua.globals()._host = host
    preload = lua.eval("function(name, chunk, text) package.preload[name] = assert(load(text, chunk, 't')) end")
    for name, stem in module_names().items():
        preload(name, "." + stem, (SOURCES / f"{stem}.lua").read_text())
    return lua


class LupaHost:
    """The runtime in lupa's Lua: quick to start, but a failed message's memory is not taken back."""

    name = "lupa"
    takes_back = False

    def __init__(self, host=None):
        self.state = new_lua(host)
        self._handle = self.state.eval('require(".process").handle_json')

    def handle_text(self, message: str, environment: str) -> str:
        return self._handle(message, environment)

    def handle(self, message: dict, environment: dict) -> dict:
        return json.loads(self.handle_text(json.dumps(message), json.dumps(environment)))
