"""From the bytes of a published module to something that instances are made of.

Called by `../formats.py`. The main module, its shim and its filler are compiled once and kept by the machine; the
host's functions are linked to the shim once for all instances.
"""

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import wasmtime
from wasmtime import _ffi as ffi

from puna.errors import Invalid

from .. import hostcalls
from ..machine import Machine
from . import minified, narrow, shim
from .binary import has_wide_memory, read_memory_min
from .early import EARLY
from .face import Face, read_face
from .imports import OFFERS, fits
from .metering import add_metering

# What happens to a module before it is compiled, by name: other names where it happens in another way.
METERING, NARROWING = "metered-1 ", "narrowed-1 "
ROWS = OFFERS | EARLY


def exact_room(text: bytes) -> int:
    """Bytes of stack for a text and its end."""
    return len(text) + 1


@dataclass(frozen=True)
class Kind:
    """What tells the formats of this family apart.

    `heap_max` is in bytes. `variables` are the environment's; `program` is what `main` is told it is called, b"" when
    it is told nothing. `answers` names the rows for imports that this format answers in its own way. `text_room` says
    how much stack a text is given. `meter` is the type of the metering call that is added at load, "" for none.
    """

    runs_main: bool
    heap_max: int
    variables: tuple[bytes, ...] = ()
    minified: bool = False
    meter: str = ""
    program: bytes = b""
    answers: Mapping[str, str] = field(default_factory=dict)
    text_room: Callable[[bytes], int] = exact_room


@dataclass(frozen=True)
class Published:
    """A module ready to make instances of. `digest` is the SHA-256 of its bytes; `metered` that it counts its gas;
    `narrowed` that its memory had addresses of 64 bits and now has such of 32.
    """

    digest: bytes
    kind: Kind
    face: Face
    main: wasmtime.Module
    shim: wasmtime.InstancePre
    filler: wasmtime.Module
    metered: bool
    narrowed: bool
    keep: tuple[object, ...]


def load(machine: Machine, wasm: bytes, digest: bytes, kind: Kind, memory_limit: int) -> Published:
    """Compile a module and what it needs around it, or take them from the machine's cache.

    Raises Invalid when it is no module of this kind, needs more than `memory_limit` bytes to start, or imports what
    nobody offers.
    """
    check_memory(read_memory_min(wasm), memory_limit)
    to_narrow = may_be_narrow(memory_limit) and has_wide_memory(wasm)
    recipe = f"{METERING if kind.meter else ''}{NARROWING if to_narrow else ''}"
    main = machine.compile(wasm, recipe, lambda wasm: _prepared(wasm, kind, to_narrow))
    names = minified.full_names(main, partial(_fits32, kind.answers)) if kind.minified else {}
    face = read_face(main, names, minified.EXPORTS if kind.minified else {}, kind.answers)
    _check_imports(face)
    texts = shim.write(face, kind.heap_max)
    linker = wasmtime.Linker(machine.engine)
    shim_module = machine.compile(bytes(wasmtime.wat2wasm(texts.shim)))
    callbacks = tuple(_link(linker, face, position) for position in texts.host)
    filler = machine.compile(bytes(wasmtime.wat2wasm(texts.filler)))
    metered = any(asked.name == "usegas" for asked in face.imports)
    narrowed = not face.wide_memory and has_wide_memory(wasm)
    ready, keep = linker.instantiate_pre(shim_module), (linker, shim_module, callbacks)
    return Published(digest, kind, face, main, ready, filler, metered, narrowed, keep)


def may_be_narrow(memory_limit: int) -> bool:
    """Whether memory addresses of 32 bits are enough. Part of what a process can observe, as it decides its gas."""
    return memory_limit <= narrow.BYTES_MAX


def _prepared(wasm: bytes, kind: Kind, to_narrow: bool) -> bytes:
    metered = add_metering(wasm, kind.meter) if kind.meter else wasm
    return (narrow.narrow(metered) if to_narrow else None) or metered


def check_memory(needed: int, allowed: int) -> None:
    """Raises Invalid when a module that starts with `needed` bytes does not get them."""
    if needed > allowed:
        raise Invalid(
            f"The module needs {needed} bytes of memory to start, and {allowed} are allowed.",
            "Raise Memory-Limit, and the node's limit where that is lower.",
        )


def _check_imports(face: Face) -> None:
    """Raises Invalid for an import that nobody offers, or offers with another type."""
    pointer = "j" if face.wide else "i"
    for asked in face.imports:
        types = _types_of(asked.name)
        if shim.is_invoke(asked):
            lacking = [role for role in ("set_threw", "table") if role not in face.exports]
            if lacking:
                raise Invalid(f"The module imports {asked.name} but does not export what that needs: {lacking[0]}.")
        elif types is None:
            raise Invalid(f"The module imports {asked.name}, which nobody offers.")
        elif not fits(types, asked.letters, pointer):
            raise Invalid(f"The module imports {asked.name} with the type {asked.letters}, which nobody offers.")


def _types_of(name: str) -> str | None:
    for table in (shim.ALONE, shim.ON_MEMORY, ROWS):
        if name in table:
            return table[name][0]
    return None


def _fits32(answers: Mapping[str, str], name: str, letters: str) -> bool:
    types = _types_of(answers.get(name, name))
    return letters == "iii>" if name.startswith("invoke_") else types is not None and fits(types, letters, "i")


# --- the host's side --------------------------------------------------------------------------------------------


def _link(linker: wasmtime.Linker, face: Face, position: int) -> object:
    """Define the host function behind an import. What is returned must live as long as the linker."""
    asked = face.imports[position]
    callback = ffi.wasmtime_func_unchecked_callback_t(_bridge(ROWS[asked.name].call, asked.letters))
    kind = wasmtime.FuncType(*([_value_type(each) for each in side] for side in asked.letters.split(">")))
    name = str(position).encode()
    error = ffi.wasmtime_linker_define_func_unchecked(
        linker.ptr(), b"host", 4, name, len(name), kind.ptr(), callback, None, _no_finalizer
    )
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)
    return callback


_no_finalizer = ctypes.cast(None, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


def _value_type(letter: str) -> wasmtime.ValType:
    return getattr(wasmtime.ValType, shim.TYPES[letter])()


def _bridge(call: Callable, letters: str) -> Callable:
    """A host function as the engine calls it: an array of raw values in, its first one out."""
    parameters, results = letters.split(">")
    fields = [shim.TYPES[each] for each in parameters]
    result = shim.TYPES[results] if results else None

    def bridge(environment, caller, values, count):
        guest = hostcalls.thread.instance
        try:
            answer = call(guest, *(getattr(values[number], field) for number, field in enumerate(fields)))
            if result is not None:
                setattr(values[0], result, answer)
            return 0
        except BaseException as error:
            return hostcalls.trap(guest, error)

    return bridge
