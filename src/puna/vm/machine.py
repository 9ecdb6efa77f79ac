"""WebAssembly as all of Puna's processes see it: one engine with fixed settings, and compiled modules.

Called by `process.py`. The settings are part of what a process can observe (what traps, what costs gas), so they are
the same everywhere. Compiled code is kept on disk; the folder may be emptied at any time.
"""

import hashlib
import os
import platform
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import wasmtime
from wasmtime import _ffi as ffi

from puna.errors import Invalid, Missing

from .hostcalls import define_imports

# Lua stops at 200 nested C calls, which take well under 1 MiB here on every architecture. So it is always Lua's own
# limit that a program meets, never this one, whose exact place depends on the machine's code.
NATIVE_STACK_BYTES = 4 << 20
THREAD_STACK_BYTES = 16 << 20  # for threads that evaluate

EXPORTS = {"memory", "__stack_pointer", "_initialize", "ao_init", "ao_alloc", "ao_free", "handle"}
SETTINGS = "exceptions fuel canonical-nan no-threads no-relaxed-simd 4MiB-stack"


Made = TypeVar("Made")


@dataclass(frozen=True)
class LoadedModule:
    """A module ready to make instances of. `digest` is the SHA-256 of its bytes."""

    digest: bytes
    module: wasmtime.Module
    ready: wasmtime.InstancePre


class Machine:
    """One engine and the modules it has loaded. Any thread may call."""

    def __init__(self, cache: Path | None = None):
        """`cache` is the folder for compiled code; without one, modules are compiled in each process anew."""
        self.engine = wasmtime.Engine(_config())
        self._cache = cache
        self._loaded: dict[tuple, Any] = {}
        self._lock = threading.Lock()

    def load(self, path: Path | str) -> LoadedModule:
        """Read and compile a module of ours, or take it from the cache.

        Raises Missing when there is no file, Invalid when it is no module of ours.
        """
        return self.once(path, "", self._load)

    def once(self, path: Path | str, kind: str, make: Callable[[bytes, bytes], Made]) -> Made:
        """What `make` makes of a file's bytes and their SHA-256, kept for as long as the file stays the same.

        `kind` tells apart what different callers make of one file. Raises Missing when there is no file, and as
        `make` does.
        """
        try:
            status = os.stat(path)
        except OSError as error:
            raise Missing(f"Module file {path} cannot be read: {error.strerror}.") from None
        at = (str(path), status.st_size, status.st_mtime_ns, kind)
        with self._lock:
            if at not in self._loaded:
                wasm = Path(path).read_bytes()
                digest = hashlib.sha256(wasm).digest()
                if (digest, kind) not in self._loaded:
                    self._loaded[digest, kind] = make(wasm, digest)
                self._loaded[at] = self._loaded[digest, kind]
            return self._loaded[at]

    def _load(self, wasm: bytes, digest: bytes) -> LoadedModule:
        module = self.compile(wasm)
        missing = EXPORTS - {export.name for export in module.exports}
        if missing:
            raise Invalid(f"The module lacks the exports {', '.join(sorted(missing))}.")
        linker = wasmtime.Linker(self.engine)
        define_imports(linker)
        try:
            ready = linker.instantiate_pre(module)
        except wasmtime.WasmtimeError as error:
            raise Invalid(f"The module asks for what processes do not get: {error}") from None
        return LoadedModule(digest, module, ready)

    def compile(
        self, wasm: bytes, recipe: str = "", prepare: Callable[[bytes], bytes] = lambda wasm: wasm
    ) -> wasmtime.Module:
        """The compiled module, from the folder of compiled code where it is there. Raises Invalid.

        What is compiled is what `prepare` makes of the bytes; `recipe` names that, and changes when `prepare` does.
        """
        digest = hashlib.sha256(recipe.encode() + wasm).digest()
        file = self._cache / f"{digest.hex()[:32]}-{_setup()}.compiled" if self._cache else None
        code = _read_checked(file) if file else None
        if code is not None:
            with suppress(wasmtime.WasmtimeError):  # compiled for another processor
                return wasmtime.Module.deserialize(self.engine, code)
        try:
            module = wasmtime.Module(self.engine, prepare(wasm))
        except wasmtime.WasmtimeError as error:
            raise Invalid(f"The module is not valid WebAssembly: {error}") from None
        if file:
            _write_checked(file, bytes(module.serialize()))
        return module


def _config() -> wasmtime.Config:
    config = wasmtime.Config()
    config.wasm_exceptions = True
    config.consume_fuel = True
    config.cranelift_nan_canonicalization = True
    config.wasm_threads = False
    config.wasm_relaxed_simd = False
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), NATIVE_STACK_BYTES)  # an upper bound for the next
    config.max_wasm_stack = NATIVE_STACK_BYTES
    return config


def _setup() -> str:
    """Everything but the module that compiled code depends on, as 16 hex digits."""
    text = f"{version('wasmtime')} {SETTINGS} {platform.system()} {platform.machine()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# A compiled file is its own SHA-256 and the code: the engine would run damaged code without noticing.


def _read_checked(file: Path) -> bytes | None:
    try:
        content = file.read_bytes()
    except OSError:
        return None
    return content[32:] if hashlib.sha256(content[32:]).digest() == content[:32] else None


def _write_checked(file: Path, code: bytes) -> None:
    # A full or read-only disk costs the next start a compilation, nothing more.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, partial = tempfile.mkstemp(dir=file.parent)
        try:
            with open(handle, "wb") as out:
                out.write(hashlib.sha256(code).digest() + code)
            os.replace(partial, file)
        except OSError:
            os.unlink(partial)
