"""The module formats this machine runs: one row each. A new format is a file that loads it and a row here.

Called by `process.py`; the compute unit takes the names as what it accepts. Source: protocol reference 5.1.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from .emscripten import early
from .emscripten.instance import Guest
from .emscripten.module import Kind, load, may_be_narrow
from .instance import Instance
from .machine import Machine
from .program import Program

OURS = "wasm32-puna-lua-1"


class Format(Protocol):
    """`load` compiles a program's module, which has a `digest`; `instance` makes one with a memory of its own.

    Both raise Invalid when the module is not of this format or does not get what it needs.
    """

    def load(self, machine: Machine, program: Program) -> Any: ...

    def instance(self, machine: Machine, module: Any, memory_limit: int) -> Instance: ...


class Lua:
    """Our own module, `module/`."""

    def load(self, machine: Machine, program: Program) -> Any:
        return machine.load(program.module_path)

    def instance(self, machine: Machine, module: Any, memory_limit: int) -> Instance:
        return Instance(machine, module, memory_limit)


@dataclass(frozen=True)
class Emscripten:
    """Published modules, `emscripten/`."""

    kind: Kind

    def load(self, machine: Machine, program: Program) -> Any:
        def make(wasm: bytes, digest: bytes) -> Any:
            return load(machine, wasm, digest, self.kind, program.memory_limit)

        kind = f"{program.module_format} {may_be_narrow(program.memory_limit)}"
        return machine.once(program.module_path, kind, make)

    def instance(self, machine: Machine, module: Any, memory_limit: int) -> Instance:
        return Guest(machine, module, memory_limit)


HEAP_OLD, HEAP_32, HEAP_64 = 524_288_000, 4_294_901_760, 17_179_869_184  # bytes

FORMATS: dict[str, Format] = {
    OURS: Lua(),
    "wasm32-unknown-emscripten": Emscripten(
        Kind(True, HEAP_OLD, early.VARIABLES, minified=True, answers=early.FIRST, text_room=early.wide_room)
    ),
    "wasm32-unknown-emscripten2": Emscripten(
        Kind(True, HEAP_OLD, early.VARIABLES, program=early.PROGRAM, answers=early.SECOND, text_room=early.wide_room)
    ),
    "wasm32-unknown-emscripten3": Emscripten(Kind(True, HEAP_32, early.VARIABLES, answers=early.THIRD)),
    "wasm32-unknown-emscripten4": Emscripten(Kind(False, HEAP_32)),
    "wasm32-unknown-emscripten-metering": Emscripten(Kind(False, HEAP_32, meter="i32")),
    "wasm64-unknown-emscripten-draft_2024_02_15": Emscripten(Kind(False, HEAP_64)),
    "wasm64-unknown-emscripten-draft_2024_10_16-metering": Emscripten(Kind(False, HEAP_64, meter="i64")),
}
