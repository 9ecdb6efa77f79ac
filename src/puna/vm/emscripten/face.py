"""How a module of this family looks from outside: which export does what, and which import wants what.

Called by `module.py`. A name on this page is always the full one; the minified names of the oldest format are
translated by `minified.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import wasmtime

from puna.errors import Invalid

# One role, several names: the toolchain renamed its stack functions.
ROLES: dict[str, tuple[str, ...]] = {
    "memory": ("memory",),
    "table": ("__indirect_function_table",),
    "start": ("__wasm_call_ctors",),
    "handle": ("handle",),
    "main": ("main",),
    "malloc": ("malloc",),
    "free": ("free",),
    "set_threw": ("setThrew",),
    "stack_init": ("emscripten_stack_init",),
    "stack_room": ("emscripten_stack_get_free",),
    "stack_save": ("emscripten_stack_get_current", "stackSave"),
    "stack_restore": ("_emscripten_stack_restore", "stackRestore"),
    "stack_alloc": ("_emscripten_stack_alloc", "stackAlloc"),
    "temporary_set": ("_emscripten_tempret_set", "setTempRet0"),
    "errno": ("__errno_location",),
}
REQUIRED = ("memory", "start", "handle", "malloc", "stack_save", "stack_restore", "stack_alloc")


@dataclass(frozen=True)
class Import:
    """A function the module asks for: its full name and its type in letters, as `ppi>i` (`signature`)."""

    name: str
    letters: str


@dataclass(frozen=True)
class Face:
    """`exports` are the module's own names by role, and of all `dynCall_*`; `imports` are in the module's order."""

    exports: Mapping[str, str]
    types: Mapping[str, object]
    imports: tuple[Import, ...]
    wide: bool  # pointers have 64 bits
    wide_memory: bool  # memory is addressed by 64 bits

    @property
    def pointer(self) -> str:
        return "i64" if self.wide else "i32"

    @property
    def memory_min(self) -> int:
        """Bytes of memory that the module starts with."""
        return self.types[self.exports["memory"]].limits.min * 65536


LETTERS = {"i32": "i", "i64": "j", "f32": "f", "f64": "d"}


def signature(kind: wasmtime.FuncType) -> str:
    """A function type in letters, `i j f d`: parameters, `>`, results."""
    names = ("".join(LETTERS.get(str(each), "?") for each in side) for side in (kind.params, kind.results))
    return ">".join(names)


def read_face(
    module: wasmtime.Module, full_names: Mapping[str, str], full_exports: Mapping[str, str], answers: Mapping[str, str]
) -> Face:
    """Look at a compiled module. Two mappings translate minified names; `answers` is a format's own (`early.py`).

    Raises Invalid when an export is missing or an import is no function.
    """
    types = {each.name: each.type for each in module.exports}
    known = {full_exports.get(name, name): name for name in types}
    exports = {name: name for name in types if name.startswith("dynCall_")}
    for role, names in ROLES.items():
        exports.update((role, known[name]) for name in names if name in known)
    missing = [ROLES[role][0] for role in REQUIRED if role not in exports]
    if missing:
        raise Invalid(f"The module lacks the exports {', '.join(missing)}.", "Is its Module-Format the right one?")
    handle, memory = types[exports["handle"]], types[exports["memory"]]
    if not isinstance(memory, wasmtime.MemoryType) or not isinstance(handle, wasmtime.FuncType):
        raise Invalid("The module's exports memory and handle are not a memory and a function.")
    if signature(handle) not in ("ii>i", "jj>j"):
        raise Invalid(f"The module's handle has the type {signature(handle)}, not ii>i or jj>j.")
    imports = tuple(_import(each, full_names, answers) for each in module.imports)
    return Face(exports, types, imports, signature(handle) == "jj>j", memory.is_64)


def _import(asked: wasmtime.ImportType, full_names: Mapping[str, str], answers: Mapping[str, str]) -> Import:
    if not isinstance(asked.type, wasmtime.FuncType):
        raise Invalid(f"The module imports {asked.module}.{asked.name}, which is no function; nobody offers it.")
    name = f"{asked.module}.{asked.name}"
    full = full_names.get(name, asked.name or "")
    return Import(answers.get(full, full), signature(asked.type))
