"""Hosts of the Lua runtime under test: lupa's Lua 5.3 and the built module.

A host answers `handle(message, environment)` with the decoded `{"ok", "response"}`.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import lupa.lua53

from puna.errors import Invalid
from puna.vm.extensions import EXTENSIONS
from puna.vm.extensions import Host as Node
from puna.vm.machine import Machine
from puna.vm.process import Process
from puna.vm.program import Program
from puna.vm.result import decode

SOURCES = Path(__file__).parents[3] / "src" / "puna" / "vm" / "module" / "lua"
MODULE_FILE = SOURCES.parent / "_built" / "puna-lua.wasm"


def module_names() -> dict[str, Path]:
    """Name for `require` -> file, of every embedded file."""
    names = {"." + ".".join(path.relative_to(SOURCES).with_suffix("").parts): path for path in SOURCES.rglob("*.lua")}
    for line in (SOURCES / "INDEX").read_text().splitlines():
        file, *extra = line.split()
        names.update({name: SOURCES / file for name in extra})
    return names


def new_lua(extension=None) -> lupa.lua53.LuaRuntime:
    """A Lua state that can `require` the runtime's files.

    `extension(name, request text)` stands for the node: it returns the answer's text, or raises ValueError with the
    error text that Lua gets as second value.
    """
    lua = lupa.lua53.LuaRuntime(unpack_returned_tuples=True)
    preload = lua.eval("function(name, chunk, text) package.preload[name] = assert(load(text, chunk, 't')) end")
    for name, path in module_names().items():
        preload(name, "." + path.stem, path.read_text())
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

    def __init__(self, extension=None):
        self.lua = new_lua(extension)

    def __enter__(self):
        self.entry = self.lua.eval('require(".process").handle_json')
        return self

    def __exit__(self, *_):
        pass

    def handle(self, message: dict, environment: dict) -> dict:
        return json.loads(self.entry(json.dumps(message), json.dumps(environment)))


@functools.cache
def _machine() -> Machine:
    return Machine()


class ModuleHost:
    """The built module as the node runs it: what a failed message did is taken back."""

    name = "module"

    def __init__(self, extension=None, gas_limit: int = 10**12):
        self.extension = extension
        self.gas_limit = gas_limit

    def __enter__(self):
        program = Program(MODULE_FILE, "module", 64 << 20, self.gas_limit, ("Llama",) if self.extension else ())
        self.kept = EXTENSIONS["Llama"]
        if self.extension:
            EXTENSIONS["Llama"] = lambda node: self._answer
        self.process = Process(_machine(), program, Node())
        return self

    def __exit__(self, *_):
        EXTENSIONS["Llama"] = self.kept
        self.process.close()

    def _answer(self, request: bytes) -> bytes:
        try:
            return self.extension("Llama", request.decode()).encode()
        except ValueError as failure:
            raise Invalid(str(failure)) from None

    def handle(self, message: dict, environment: dict) -> dict:
        self.process.program = replace(self.process.program, environment=json.dumps(environment).encode())
        step = self.process.apply(json.dumps(message).encode())
        self.gas_used = step.gas_used
        return {"ok": False, "response": step.stopped} if step.answer is None else decode(step.answer)

    def restart(self) -> None:
        """Stop the process and go on from its snapshot, as after a restart of the node."""
        self.go_on_from(self.process.snapshot())

    def go_on_from(self, snapshot: bytes) -> None:
        self.process.close()
        self.process = Process(_machine(), self.process.program, Node(), snapshot)


HOSTS = [LupaHost, ModuleHost]
