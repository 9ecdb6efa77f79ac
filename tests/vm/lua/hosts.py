"""Hosts of the Lua runtime under test: lupa's Lua 5.3 and the built module.

A host answers `handle(message, environment)` with the decoded `{"ok", "response"}`.
"""

from __future__ import annotations

import ctypes
import functools
import json
from pathlib import Path

import lupa.lua53
import wasmtime

SOURCES = Path(__file__).parents[3] / "src" / "puna" / "vm" / "module" / "lua"
MODULE_FILE = SOURCES.parent / "_built" / "puna-lua.wasm"


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


@functools.cache
def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.wasm_exceptions = True
    return wasmtime.Engine(config)


@functools.cache
def _module() -> wasmtime.Module:
    return wasmtime.Module.from_file(_engine(), str(MODULE_FILE))


class ModuleHost:
    """The built module in a plain instance; after an error its whole memory is put back."""

    name = "module"
    takes_back = True

    def __init__(self, extension=None):
        self.extension = extension

    def __enter__(self):
        self.store = wasmtime.Store(_engine())
        linker = wasmtime.Linker(_engine())
        i32 = wasmtime.ValType.i32()
        linker.define_func("host", "call", wasmtime.FuncType([i32] * 4, [i32]), self._call)
        linker.define_func("host", "take", wasmtime.FuncType([i32], []), self._take)
        self.exports = linker.instantiate(self.store, _module()).exports(self.store)
        self.memory = self.exports["memory"]
        if "_initialize" in self.exports:
            self._run("_initialize")
        assert self._run("ao_init") == 0
        return self

    def __exit__(self, *_):
        self.store.close()

    def _run(self, export: str, *arguments):
        return self.exports[export](self.store, *arguments)

    def _view(self):
        size = self.memory.data_len(self.store)
        return (ctypes.c_ubyte * size).from_address(ctypes.addressof(self.memory.data_ptr(self.store).contents))

    def _read(self, start: int, length: int) -> bytes:
        return bytes(self._view()[start : start + length])

    def _call(self, name: int, name_length: int, request: int, request_length: int) -> int:
        try:
            text = self.extension(
                self._read(name, name_length).decode(), self._read(request, request_length).decode()
            )
            self.response = text.encode()
            return len(self.response)
        except ValueError as failure:
            self.response = str(failure).encode()
            return -len(self.response)

    def _take(self, target: int) -> None:
        ctypes.memmove(ctypes.addressof(self._view()) + target, self.response, len(self.response))

    def _place(self, text: str) -> int:
        data = text.encode() + b"\0"
        address = self._run("ao_alloc", len(data))
        ctypes.memmove(ctypes.addressof(self._view()) + address, data, len(data))
        return address

    def handle_text(self, message: str, environment: str) -> str:
        """One evaluation as the node does it, the memory kept whatever happens."""
        arguments = [self._place(message), self._place(environment)]
        answer = ctypes.string_at(ctypes.addressof(self._view()) + self._run("handle", *arguments))
        for address in arguments:
            self._run("ao_free", address)
        return answer.decode()

    def handle(self, message: dict, environment: dict) -> dict:
        before = bytes(self._view())
        answer = json.loads(self.handle_text(json.dumps(message), json.dumps(environment)))
        if not answer["ok"] or "Error" in answer["response"]:
            view = self._view()
            ctypes.memset(view, 0, len(view))
            ctypes.memmove(view, before, len(before))
        return answer


HOSTS = [LupaHost, *([ModuleHost] if MODULE_FILE.exists() else [])]
