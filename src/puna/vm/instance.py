"""One living module: its linear memory, and `handle` called on it with a budget of gas.

Called by `process.py`, by one thread at a time. Calls go straight to wasmtime's C interface: the Python wrapping
takes ten times as long as the call.
"""

import ctypes
from collections.abc import Callable, Mapping
from ctypes import byref
from dataclasses import dataclass

import numpy as np
import wasmtime
from wasmtime import _ffi as ffi

from puna.errors import Invalid, Missing

from . import hostcalls
from .extensions import Host, bind_all
from .machine import LoadedModule, Machine
from .program import Program

WASM_PAGE_BYTES = 65536
INIT_GAS = 1_000_000_000  # ao_init takes a thousandth of it
RESPONSE_BYTES_MAX = 64 << 20

Answer = Callable[[bytes], bytes]  # an extension's answer to a request


class OutOfGas(Exception):
    """What was asked of an extension costs more gas than the message has left."""


class OutOfMemory(Exception):
    """The message does not even fit into the process's memory."""


class BadModule(Exception):
    """The module broke its side of the interface, as by answering with an address outside its memory."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `handle` ended: `answer` is the module's JSON, None when `stopped` says why there is none."""

    answer: bytes | None
    stopped: str | None
    gas_used: int


class Instance:
    """A module in a memory of its own. After a trap only the memory and the stack pointer need repair."""

    def __init__(self, machine: Machine, loaded: LoadedModule, memory_limit: int):
        """Make a memory as the module's data segments leave it; `start` or a restored memory must follow.

        Raises Invalid when the module needs more than `memory_limit` bytes.
        """
        self._prepare(machine, memory_limit)
        self._instantiate(loaded, memory_limit)
        self._memory = self._export("memory").memory
        self._stack_pointer = self._export("__stack_pointer").global_
        self._handle, self._alloc, self._free = (self._export(name).func for name in ("handle", "ao_alloc", "ao_free"))
        self._stack_at_rest = self._get_stack_pointer()

    def _prepare(self, machine: Machine, memory_limit: int) -> None:
        """All that is not the module's: a store with its limits, and room for the arguments of calls."""
        self.extensions: Mapping[str, Answer] = {}
        self.pending = b""
        self.stopped_by: BaseException | None = None
        self._store = wasmtime.Store(machine.engine)
        self._store.set_limits(memory_size=memory_limit)
        self._store.set_fuel(INIT_GAS)
        self._context = self._store._context()
        self._values = (ffi.wasmtime_val_raw_t * 4)()
        self._trap = ctypes.POINTER(ffi.wasm_trap_t)()
        self._left = ctypes.c_uint64()

    def bind(self, program: Program, host: Host) -> None:
        """Give the module what its process may ask of the node."""
        host.charge, host.gas_left, host.environment = self.charge, self.gas_left, program.environment
        self.extensions = bind_all(program.extensions, host)

    def _instantiate(self, loaded: LoadedModule, memory_limit: int) -> None:
        self._instance = ffi.wasmtime_instance_t()
        error = ffi.wasmtime_instance_pre_instantiate(
            loaded.ready.ptr(), self._context, byref(self._instance), byref(self._trap)
        )
        if error:
            reason = wasmtime.WasmtimeError._from_ptr(error)
            raise Invalid(
                f"The module does not start with {memory_limit} bytes of memory: {reason}", "Raise Memory-Limit."
            )
        if self._trap:
            raise Invalid(f"The module does not start: {self._take_trap()}")

    def _export(self, name: str):
        found = ffi.wasmtime_extern_t()
        text = name.encode()
        if not ffi.wasmtime_instance_export_get(self._context, byref(self._instance), text, len(text), byref(found)):
            raise BadModule(f"no export {name}")
        return found.of

    def close(self) -> None:
        """Give the memory back; the instance is of no use afterwards."""
        self._store.close()

    # --- memory ---------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes of linear memory, a multiple of 65536."""
        return _data_size(self._context, byref(self._memory))

    @property
    def address(self) -> int:
        """Where linear memory begins in this process."""
        return _data(self._context, byref(self._memory))

    def view(self) -> np.ndarray:
        """Linear memory itself, uint8 (size,), good until memory grows."""
        return np.frombuffer((ctypes.c_uint8 * self.size).from_address(self.address), np.uint8)

    def grow_to(self, size: int) -> None:
        pages = (size - self.size) // WASM_PAGE_BYTES
        before = ctypes.c_uint64()
        error = ffi.wasmtime_memory_grow(self._context, byref(self._memory), pages, byref(before)) if pages else None
        if error:
            raise Invalid(f"Memory does not grow to {size} bytes: {wasmtime.WasmtimeError._from_ptr(error)}")

    def read(self, address: int, size: int) -> bytes:
        if address + size > self.size:
            raise BadModule(f"{size} bytes at {address} are outside memory")
        return ctypes.string_at(self.address + address, size)

    def write(self, address: int, data: bytes) -> None:
        if address + len(data) > self.size:
            raise BadModule(f"{len(data)} bytes at {address} are outside memory")
        _memmove(self.address + address, data, len(data))

    def _read_text(self, address: int) -> bytes:
        """The NUL-terminated text at `address`."""
        limit = self.size - address
        start = self.address + address
        length = _strnlen(start, limit) if address and limit > 0 else limit
        if length >= limit:
            raise BadModule("the answer of `handle` does not lie in memory")
        return ctypes.string_at(start, length)

    # --- calls ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring a fresh memory to where the first message finds it. Raises Invalid when that fails."""
        try:
            self._call(self._export("_initialize").func)
            self._call(self._export("ao_init").func)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise Invalid(f"The module does not start: {error}") from None
        if self._values[0].i32:
            raise Invalid("The module does not start: not enough memory.", "Raise Memory-Limit.")

    def handle(self, message: bytes, environment: bytes, gas_limit: int) -> Outcome:
        """Evaluate a message on this memory, with at most `gas_limit` gas.

        What an extension raises, other than to refuse the request, ends the evaluation and is raised here.
        """
        self.stopped_by = None
        self._set_fuel(INIT_GAS + 64 * len(message))
        hostcalls.thread.instance = self
        try:
            message_at, environment_at = self._put(message), self._put(environment)
            self._set_fuel(gas_limit)
            self._values[0].i32, self._values[1].i32 = message_at, environment_at
            self._call(self._handle)
            gas_used = gas_limit - self._get_fuel()
            answer = self._read_text(self._values[0].i32 & 0xFFFFFFFF)
            self._set_fuel(INIT_GAS)
            for address in (environment_at, message_at):
                self._values[0].i32 = address
                self._call(self._free, _call_shortly)
            return Outcome(answer, None, gas_used)
        except (wasmtime.Trap, wasmtime.WasmtimeError, OutOfMemory, BadModule) as error:
            gas_used = gas_limit - self._get_fuel()
            self._set_stack_pointer(self._stack_at_rest)
            return self._stopped(error, max(0, gas_used), gas_limit)
        finally:
            hostcalls.thread.instance = None
            self.pending = b""

    def _stopped(self, error: Exception, gas_used: int, gas_limit: int) -> Outcome:
        cause = self.stopped_by or error
        if isinstance(cause, OutOfGas) or _is(error, wasmtime.TrapCode.OUT_OF_FUEL):
            return Outcome(None, f"out of gas: the message used all {gas_limit} units it may", gas_limit)
        if self.stopped_by is not None and not isinstance(cause, BadModule):
            raise cause
        if isinstance(cause, OutOfMemory):
            return Outcome(None, "not enough memory for the message", 0)
        if _is(error, wasmtime.TrapCode.STACK_OVERFLOW):
            return Outcome(None, "stack overflow", gas_used)
        reason = getattr(error, "message", None) or str(error)
        return Outcome(None, f"the module stopped: {reason.splitlines()[-1].strip()}", gas_used)

    def _put(self, data: bytes) -> int:
        self._values[0].i32 = len(data) + 1
        self._call(self._alloc, _call_shortly)
        address = self._values[0].i32
        if not address:
            raise OutOfMemory
        self.write(address & 0xFFFFFFFF, data + b"\0")
        return address

    def _call(self, function: ffi.wasmtime_func_t, call: Callable = ffi.wasmtime_func_call_unchecked) -> None:
        """Call with the arguments in `_values`, where the result is afterwards. Raises Trap."""
        error = call(self._context, byref(function), self._values, len(self._values), byref(self._trap))
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)
        if self._trap:
            raise self._take_trap()

    def _take_trap(self) -> wasmtime.Trap:
        trap = wasmtime.Trap._from_ptr(self._trap)
        self._trap = ctypes.POINTER(ffi.wasm_trap_t)()
        return trap

    def _get_stack_pointer(self) -> int:
        value = ffi.wasmtime_val_t()
        ffi.wasmtime_global_get(self._context, byref(self._stack_pointer), byref(value))
        return value.of.i32

    def _set_stack_pointer(self, address: int) -> None:
        value = ffi.wasmtime_val_t(kind=ffi.WASMTIME_I32)
        value.of.i32 = address
        error = ffi.wasmtime_global_set(self._context, byref(self._stack_pointer), byref(value))
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)

    # --- extensions -----------------------------------------------------------------------------------------

    def charge(self, gas: int) -> None:
        """Take gas for what the host does. Raises OutOfGas, with nothing left then."""
        left = self._get_fuel()
        self._set_fuel(max(0, left - gas))
        if gas > left:
            raise OutOfGas

    def gas_left(self) -> int:
        return self._get_fuel()

    def _set_fuel(self, fuel: int) -> None:
        _context_set_fuel(self._context, fuel)  # fails only where fuel is not counted

    def _get_fuel(self) -> int:
        _context_get_fuel(self._context, byref(self._left))
        return self._left.value

    def host_call(self, name: bytes, request: bytes) -> int:
        """Ask an extension; the response waits in `pending`. Answers its length, negative for an error text."""
        extension = self.extensions.get(name.decode("utf-8", "replace"))
        try:
            if extension is None:
                raise Invalid(unavailable(name.decode("utf-8", "replace")))
            self.pending = extension(request)
            if len(self.pending) > RESPONSE_BYTES_MAX:
                raise Invalid(f"the response has {len(self.pending)} bytes, at most {RESPONSE_BYTES_MAX}")
            return len(self.pending)
        except (Invalid, Missing) as refusal:
            self.pending = str(refusal).encode("utf-8", "replace") or b"refused"
            return -len(self.pending)


def unavailable(name: str) -> str:
    return f"extension {name} is not available to this process: add the tag Extension={name}"


def _is(error: Exception, code: wasmtime.TrapCode) -> bool:
    return isinstance(error, wasmtime.Trap) and error.trap_code == code


def _strnlen(start: int, limit: int) -> int:
    """The distance from `start` to the first zero byte, or `limit` when there is none before."""
    found = _memchr(start, 0, limit)
    return limit if found is None else found - start


_shortly = ctypes.PyDLL(str(ffi.filename))


def _short(name: str, result: type | None = None) -> Callable:
    """A call of the engine's that takes less time than getting Python's lock back: it keeps it."""
    usual, function = getattr(ffi.dll, name), getattr(_shortly, name)
    function.restype, function.argtypes = result or usual.restype, usual.argtypes
    return function


_data = _short("wasmtime_memory_data", ctypes.c_void_p)
_data_size = _short("wasmtime_memory_data_size")
_context_set_fuel = _short("wasmtime_context_set_fuel")
_context_get_fuel = _short("wasmtime_context_get_fuel")
_call_shortly = _short("wasmtime_func_call_unchecked")

_libc = ctypes.PyDLL("msvcrt" if hasattr(ctypes, "WinDLL") else None)
_memchr = _libc.memchr
_memchr.restype = ctypes.c_void_p
_memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
_memmove = _libc.memmove
_memmove.restype = ctypes.c_void_p
_memmove.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
