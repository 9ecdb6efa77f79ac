"""One living published module: the main module, its shim and its filler, and `handle` called on them.

Called by `process.py` through `../formats.py`, by one thread at a time. Source: protocol reference 5.2 to 5.5.
"""

import ctypes
from collections.abc import Callable
from ctypes import byref
from functools import partial

import wasmtime
from wasmtime import _ffi as ffi

from puna.errors import Invalid

from .. import hostcalls
from ..extensions import Host
from ..extensions.weavedrive import Drive
from ..instance import BadModule, Instance, Outcome, OutOfGas, OutOfMemory
from ..machine import Machine
from ..program import Program
from .imports import Ended
from .module import Published, check_memory
from .shim import CLOCK_START_MS

# Gas as the metered formats count it is about a hundred for an instruction, and what modules and processes name as
# their Compute-Limit is meant so. Modules without metering are counted by instructions, at this price for each.
INSTRUCTION_GAS = 100
NARROWED_INSTRUCTION_GAS = 88  # of a narrowed module, which takes about an eighth more instructions for the same
FUEL_MAX = (1 << 63) - 1
STACK_ROOM_UNKNOWN = 1 << 20  # bytes taken to be free where a module does not tell


class Guest(Instance):
    """A published module in a memory of its own. After a trap only memory and the stack pointer need repair."""

    def __init__(self, machine: Machine, module: Published, memory_limit: int):
        """Make a memory as the module's data segments leave it; `start` or a restored memory must follow.

        Raises Invalid when the module cannot be brought to life within `memory_limit` bytes.
        """
        check_memory(module.face.memory_min, memory_limit)
        self._prepare(machine, memory_limit)
        self._module = module
        self.wide = module.face.wide
        self.pointer_bytes = 8 if self.wide else 4
        self.variables = module.kind.variables
        self.heap_max = min(module.kind.heap_max, memory_limit // 65536 * 65536)
        self.drive = Drive(Host(), b"{}")
        self._mask = (1 << 64) - 1 if self.wide else (1 << 32) - 1
        self._price = NARROWED_INSTRUCTION_GAS if module.narrowed else INSTRUCTION_GAS
        self._gas_limit = 0
        self._connect()
        self._memory = self._role("memory").memory
        self._stack_save, self._stack_restore, self._stack_alloc = (
            self._role(name).func for name in ("stack_save", "stack_restore", "stack_alloc")
        )
        self._handle = self._role("handle").func
        self._run_role("stack_init")
        self._reserve_arguments()

    # --- three modules become one ---------------------------------------------------------------------------

    def _connect(self) -> None:
        module = self._module
        try:
            self._shim = self._made(
                lambda made: ffi.wasmtime_instance_pre_instantiate(
                    module.shim.ptr(), self._context, byref(made), byref(self._trap)
                )
            )
            imports = [self._get(self._shim, str(number)) for number in range(len(module.face.imports))]
            self._instance = self._new(module.main, imports)
            of = {"main": self._instance, "shim": self._shim}
            self._new(module.filler, [self._get(of[each.module], each.name) for each in module.filler.imports])
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise Invalid(f"The module does not start: {_last_line(error)}") from None
        self._now, self._gas_used, self._gas_limit_cell, self._heap_max_cell = (
            self._get(self._shim, name).of.global_ for name in ("now", "gas_used", "gas_limit", "heap_max")
        )
        self._set_cell(self._heap_max_cell, self.heap_max)

    def _new(self, module: wasmtime.Module, imports: list[ffi.wasmtime_extern_t]) -> ffi.wasmtime_instance_t:
        externs = (ffi.wasmtime_extern_t * max(1, len(imports)))(*imports)
        return self._made(
            lambda made: ffi.wasmtime_instance_new(
                self._context, module.ptr(), externs, len(imports), byref(made), byref(self._trap)
            )
        )

    def _made(self, make) -> ffi.wasmtime_instance_t:
        made = ffi.wasmtime_instance_t()
        error = make(made)
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)
        if self._trap:
            raise self._take_trap()
        return made

    def _get(self, instance: ffi.wasmtime_instance_t, name: str) -> ffi.wasmtime_extern_t:
        found = ffi.wasmtime_extern_t()
        text = name.encode()
        if not ffi.wasmtime_instance_export_get(self._context, byref(instance), text, len(text), byref(found)):
            raise BadModule(f"no export {name}")
        return found

    def _role(self, role: str):
        return self._get(self._instance, self._module.face.exports[role]).of

    def _run_role(self, role: str, *arguments: int) -> None:
        """Call what plays a role, where the module has it."""
        if role in self._module.face.exports:
            self._ask(self._role(role).func, *arguments)

    def _reserve_arguments(self) -> None:
        """Room on the stack for what `main` is told. It stays there, so every later call stands that much deeper."""
        program = self._module.kind.program
        self._stack_at_start = self._ask(self._stack_save)
        self._arguments_at = self._ask(self._stack_alloc, 2 * self.pointer_bytes) if program else 0
        self._program_at = self._ask(self._stack_alloc, len(program) + 1) if program else 0
        self._stack_at_rest = self._ask(self._stack_save)

    # --- calls ----------------------------------------------------------------------------------------------

    def bind(self, program: Program, host: Host) -> None:
        super().bind(program, host)
        self.drive = Drive(host, program.environment)

    def start(self) -> None:
        """Bring a fresh memory to where the first message finds it. Raises Invalid when that fails."""
        hostcalls.thread.instance = self
        self.stopped_by = None
        self._set_gas_limit(FUEL_MAX)
        try:
            self._ask(self._stack_restore, self._stack_at_start)
            self._run_role("start")
            self._ask(self._stack_restore, self._stack_at_rest)
            if self._module.kind.runs_main:
                self._run_role("main", *self._arguments())
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            if not isinstance(self.stopped_by, Ended):  # a main that exits has done its work
                raise Invalid(f"The module does not start: {self.stopped_by or _last_line(error)}") from None
            self._ask(self._stack_restore, self._stack_at_rest)
        finally:
            hostcalls.thread.instance = None

    def _arguments(self) -> tuple[int, int]:
        """Write what `main` is told: its `argc` and `argv`."""
        program = self._module.kind.program
        if not program:
            return 0, 0
        self.write(self._program_at, program + b"\0")
        names = (self._program_at & self._mask, 0)
        self.write(self._arguments_at, b"".join(each.to_bytes(self.pointer_bytes, "little") for each in names))
        return 1, self._arguments_at

    def handle(self, message: bytes, environment: bytes, gas_limit: int) -> Outcome:
        """Evaluate a message on this memory, with at most `gas_limit` gas.

        What WeaveDrive raises ends the evaluation and is raised here.
        """
        self.stopped_by = None
        self.drive.begin(message)
        self._set_clock()
        hostcalls.thread.instance = self
        taken: list[int] = []
        try:
            self._set_gas_limit(FUEL_MAX)
            room = self._module.kind.text_room
            put = self._place_for(room(message) + room(environment), taken)
            self._set_gas_limit(gas_limit)
            # What metered modules charge from here on, stack functions included, is what others see charged.
            self._ask(self._stack_save)
            message_at, environment_at = put(message), put(environment)
            answer_at = self._ask(self._handle, message_at, environment_at)
            answer = self._read_text(answer_at & self._mask)
            self._ask(self._stack_restore, self._stack_at_rest)
            gas_used = self._gas()
            self._give_back(taken)
            return Outcome(answer, None, gas_used)
        except (wasmtime.Trap, wasmtime.WasmtimeError, OutOfMemory, BadModule) as error:
            gas_used = min(self._gas(), gas_limit)
            self._set_gas_limit(FUEL_MAX)
            self._ask(self._stack_restore, self._stack_at_rest)
            return self._stopped(error, gas_used, gas_limit)
        finally:
            self.drive.end()
            hostcalls.thread.instance = None

    def _stopped(self, error: Exception, gas_used: int, gas_limit: int) -> Outcome:
        if isinstance(self.stopped_by, Ended):
            return Outcome(None, str(self.stopped_by), gas_used)
        if self._module.metered and gas_used >= gas_limit:
            return Outcome(None, "out of gas!", gas_limit)
        return super()._stopped(error, gas_used, gas_limit)

    def _place_for(self, size: int, taken: list[int]) -> Callable[[bytes], int]:
        """How to put texts where the module can read them: on its stack; where that leaves too little, in its heap."""
        if size + 64 <= self._stack_room() // 2:
            return self._put_on_stack
        return partial(self._put_on_heap, taken)

    def _stack_room(self) -> int:
        if "stack_room" not in self._module.face.exports:
            return STACK_ROOM_UNKNOWN
        return self._ask(self._role("stack_room").func) & self._mask

    def _put_on_stack(self, text: bytes) -> int:
        return self._written(self._ask(self._stack_alloc, self._module.kind.text_room(text)), text)

    def _put_on_heap(self, taken: list[int], text: bytes) -> int:
        taken.append(self.keep_text(text))
        return taken[-1]

    def keep_text(self, text: bytes) -> int:
        """Where a text lies in the heap from now on. Raises OutOfMemory when there is no room."""
        address = self._ask(self._role("malloc").func, len(text) + 1) & self._mask
        if not address:
            raise OutOfMemory
        return self._written(address, text)

    def _written(self, address: int, text: bytes) -> int:
        self.write(address, text + b"\0")
        return address

    def _give_back(self, taken: list[int]) -> None:
        if taken:
            self._set_gas_limit(FUEL_MAX)
            for address in taken:
                self._run_role("free", address)

    def _ask(self, function: ffi.wasmtime_func_t, *arguments: int) -> int:
        """Call with whole numbers; answers the first result, signed, whatever there was before when there is none."""
        for number, each in enumerate(arguments):
            self._values[number].i64 = each
        self._call(function)
        return self._values[0].i64 if self.wide else self._values[0].i32

    # --- gas and clock --------------------------------------------------------------------------------------

    def _set_gas_limit(self, gas_limit: int) -> None:
        self._gas_limit = gas_limit
        self._set_cell(self._gas_used, 0)
        self._set_cell(self._gas_limit_cell, gas_limit)
        # A metered module pays at least one gas an instruction; this is for one that does not meter all its code.
        self._fuel = gas_limit if self._module.metered else -(-gas_limit // self._price)
        self._set_fuel(self._fuel)

    def _gas(self) -> int:
        """Gas used since the limit was set."""
        if self._module.metered and self._get_fuel():
            return self._get_cell(self._gas_used)
        return (self._fuel - self._get_fuel()) * (1 if self._module.metered else self._price)

    def charge(self, gas: int) -> None:
        """Take gas for what the host does. Raises OutOfGas, with nothing left then."""
        if self._module.metered:
            self._set_cell(self._gas_used, self._get_cell(self._gas_used) + gas)
            if self._get_cell(self._gas_used) > self._gas_limit:
                raise OutOfGas
        else:
            super().charge(-(-gas // self._price))

    def gas_left(self) -> int:
        return max(0, self._gas_limit - self._gas())

    def _set_clock(self) -> None:
        value = ffi.wasmtime_val_t(kind=ffi.WASMTIME_F64)
        value.of.f64 = CLOCK_START_MS
        self._set_global(self._now, value)

    def _set_cell(self, cell: ffi.wasmtime_global_t, number: int) -> None:
        value = ffi.wasmtime_val_t(kind=ffi.WASMTIME_I64)
        value.of.i64 = number
        self._set_global(cell, value)

    def _get_cell(self, cell: ffi.wasmtime_global_t) -> int:
        value = ffi.wasmtime_val_t()
        ffi.wasmtime_global_get(self._context, byref(cell), byref(value))
        return value.of.i64

    def _set_global(self, cell: ffi.wasmtime_global_t, value: ffi.wasmtime_val_t) -> None:
        error = ffi.wasmtime_global_set(self._context, byref(cell), byref(value))
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)

    # --- what imports need ----------------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        return super().read(address & self._mask, size & self._mask)

    def write(self, address: int, data: bytes) -> None:
        super().write(address & self._mask, data)

    def read_text(self, address: int) -> bytes:
        """The NUL-terminated text at `address`. Raises BadModule when it does not lie in memory."""
        return self._read_text(address & self._mask)

    def read_pointer(self, address: int) -> int:
        return int.from_bytes(self.read(address, self.pointer_bytes), "little")

    def read_file(self, file: int, address: int, size: int) -> int:
        """Copy from an open file of WeaveDrive into memory; answers how many bytes."""
        content = self.drive.read(file, size & self._mask)
        address &= self._mask
        if address + len(content) > self.size:
            raise BadModule(f"{len(content)} bytes at {address} are outside memory")
        target = (ctypes.c_char * len(content)).from_address(self.address + address)
        memoryview(target).cast("B")[:] = content
        return len(content)

    def set_errno(self, number: int) -> None:
        """C's `errno`, where the module keeps it."""
        if "errno" in self._module.face.exports:
            self.write(self._ask(self._role("errno").func), number.to_bytes(4, "little"))

    def set_temporary(self, value: int) -> None:
        """The upper half of a 64-bit result, where the module keeps it."""
        self._run_role("temporary_set", value & 0xFFFFFFFF)


def _last_line(error: Exception) -> str:
    return (getattr(error, "message", None) or str(error)).splitlines()[-1].strip()
