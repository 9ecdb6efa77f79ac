"""Hosts of the Lua runtime under test: lupa's Lua 5.3 and the built module.

A host answers `handle(message, environment)` with the decoded `{"ok", "response"}`.
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


def new_lua(extension=None) -> lupa.lua53.LuaRuntime:
    """A Lua state that can `require` the runtime's files.

    `extension(name, request text)` stands for the node: it returns the answer's text, or raises ValueError with the
    error text that Lua gets as second value.
    """
    lua = lupa.lua53.LuaRuntime(unpack_returned_tuples=True)
    preload = lua.eval("function(name, chunk, text) package.preload[name] = assert(load(text, chunk, 't')) end")
    for name, stem in module_names().items():
        preload(name, "." + stem, (SOURCES / f"{stem}.lua").read_text())
    if extension:
        lua.globals()._ask = lambda name, request: _answer(extension, name, request)
        lua.execute("local ask = _ask; _ask = nil; function _host(name, request) return ask(name, request) end")
    return lua


def _answer(extension, name: str, request: str):
    try:
        return extension(name, request)
    except ValueError as failure:
        return None, str(failure)


class LupaHost:
    """The runtime in lupa's Lua: quick to start, but a failed message's memory is not taken back."""

    name = "lupa"
    takes_back = False

    def __init__(self, extension=None):
        self.lua = new_lua(extension)

    def __enter__(self):
        self.entry = self.lua.eval('require(".process").handle_json')
        return self

    def __exit__(self, *_):
        pass

    def handle(self, message: dict, environment: dict) -> dict:
        return json.loads(self.entry(json.dumps(message), json.dumps(environment)))


HOSTS = [LupaHost]
