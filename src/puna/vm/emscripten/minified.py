"""The oldest format's names of one letter, in full.

Called by `module.py`. The letters are those of one build of the toolchain; where another build permutes them, the
types give most of them away, and what stays in doubt is refused. Source: protocol reference 5.5.
"""

from collections.abc import Callable, Mapping

import wasmtime

from puna.errors import Invalid

from .face import signature

IMPORTS = {
    "a": "_emscripten_date_now", "b": "setTempRet0", "c": "fd_close", "d": "__syscall_fcntl64",
    "e": "__syscall_unlinkat", "f": "fd_write", "g": "__syscall_openat", "h": "getTempRet0", "i": "_mktime_js",
    "j": "_tzset_js", "k": "emscripten_memcpy_big", "l": "exit", "m": "system", "n": "strftime", "o": "fd_seek",
    "p": "_emscripten_throw_longjmp", "q": "emscripten_resize_heap", "r": "__syscall_lstat64",
    "s": "__syscall_renameat", "t": "__syscall_rmdir", "u": "environ_get", "v": "environ_sizes_get",
    "w": "__syscall_dup3", "x": "invoke_vii", "y": "fd_read", "z": "__syscall_ioctl",
    "A": "_emscripten_get_now_is_monotonic", "B": "_gmtime_js", "C": "_localtime_js", "D": "abort",
}  # fmt: skip
EXPORTS = {
    "E": "memory", "F": "__wasm_call_ctors", "G": "handle", "H": "main", "I": "__indirect_function_table",
    "J": "malloc", "K": "__errno_location", "L": "setThrew", "M": "stackSave", "N": "stackRestore", "O": "stackAlloc",
}  # fmt: skip

Fits = Callable[[str, str], bool]  # whether the function of a full name may have a type


def full_names(module: wasmtime.Module, fits: Fits) -> dict[str, str]:
    """The full name of each import `module.letter`.

    Letters count as far as their types allow; a permuted one is told by its type when only one function has it.
    Raises Invalid when that leaves a choice.
    """
    asked = {f"{each.module}.{each.name}": signature(each.type) for each in module.imports if _is_letter(each)}
    by_letter = {name: IMPORTS.get(name.split(".")[1], "") for name in asked}
    if all(full and fits(full, asked[name]) for name, full in by_letter.items()):
        return by_letter
    return {name: _by_type(name, letters, fits) for name, letters in asked.items()}


def _by_type(name: str, letters: str, fits: Fits) -> str:
    candidates = [full for full in IMPORTS.values() if fits(full, letters)]
    if len(candidates) != 1:
        raise Invalid(f"The module imports {name} of type {letters}, and it cannot be told what that is.")
    return candidates[0]


def _is_letter(asked: wasmtime.ImportType) -> bool:
    return isinstance(asked.type, wasmtime.FuncType) and asked.module == "a" and len(asked.name or "") <= 2


NOTHING: Mapping[str, str] = {}
