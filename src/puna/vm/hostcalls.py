"""The two imports of a process module, host.call and host.take, served without wasmtime's Python wrapping.

Called by `machine.py`, which links them once for all instances: which instance is calling is a matter of the thread.
An exception must not cross WebAssembly, so it is kept on the instance, and a trap stops the evaluation.
"""

import ctypes
import threading
from typing import TYPE_CHECKING

import wasmtime
from wasmtime import _ffi as ffi

if TYPE_CHECKING:
    from .instance import Instance


class _Thread(threading.local):
    instance: "Instance | None" = None


thread = _Thread()


def define_imports(linker: wasmtime.Linker) -> None:
    i32 = wasmtime.ValType.i32()
    _define(linker, b"call", wasmtime.FuncType([i32] * 4, [i32]), _call)
    _define(linker, b"take", wasmtime.FuncType([i32], []), _take)


def _define(linker: wasmtime.Linker, name: bytes, kind: wasmtime.FuncType, callback) -> None:
    no_finalizer = ctypes.cast(None, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
    error = ffi.wasmtime_linker_define_func_unchecked(
        linker.ptr(), b"host", 4, name, len(name), kind.ptr(), callback, None, no_finalizer
    )
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)


@ffi.wasmtime_func_unchecked_callback_t
def _call(environment, caller, values, count):
    instance = thread.instance
    try:
        name = instance.read(values[0].i32 & 0xFFFFFFFF, values[1].i32 & 0xFFFFFFFF)
        request = instance.read(values[2].i32 & 0xFFFFFFFF, values[3].i32 & 0xFFFFFFFF)
        values[0].i32 = instance.host_call(name, request)
        return 0
    except BaseException as error:
        return trap(instance, error)


@ffi.wasmtime_func_unchecked_callback_t
def _take(environment, caller, values, count):
    instance = thread.instance
    try:
        instance.write(values[0].i32 & 0xFFFFFFFF, instance.pending)
        instance.pending = b""
        return 0
    except BaseException as error:
        return trap(instance, error)


def trap(instance: "Instance | None", error: BaseException) -> int:
    """Keep what went wrong and answer the trap that stops the evaluation."""
    if instance is not None:
        instance.stopped_by = error
    text = b"stopped by the host"
    return ctypes.cast(ffi.wasmtime_trap_new(text, len(text)), ctypes.c_void_p).value
