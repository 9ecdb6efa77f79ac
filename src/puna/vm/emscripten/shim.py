"""The hot imports, written in WebAssembly: what a module calls all the time must not leave the engine.

Called by `module.py`. Three modules live together. The *shim* has everything the main module imports: what needs
nothing of it is here itself (clock, gas, longjmp), rare calls go on to the host, and the rest goes through a table.
The *filler*, made after the main module, fills that table with functions that work on the main module's memory.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .face import Face, Import, signature

TYPES = {"i": "i32", "j": "i64", "f": "f32", "d": "f64"}
CLOCK_START_MS = 10_000  # at the beginning of every evaluation
HEAP_STEP_MAX = 96 << 20  # bytes that the heap grows beyond what is asked for


@dataclass(frozen=True)
class Texts:
    """Both modules as WebAssembly text, and the positions of the imports that the host answers."""

    shim: str
    filler: str
    host: tuple[int, ...]


Body = Callable[[Face, Import], str]

# --- answered in the shim: no memory needed ------------------------------------------------------------------

_TICK = "(global.get $now) (global.set $now (f64.add (global.get $now) (f64.const 1)))"


def _clock(face: Face, asked: Import) -> str:
    return _TICK


def _stopped_clock(face: Face, asked: Import) -> str:
    return "(f64.const 0)"


def _no_clock(face: Face, asked: Import) -> str:
    """The reference reads two halves of a number that has none."""
    return "(f64.const nan)"


def _one(face: Face, asked: Import) -> str:
    return "(i32.const 1)"


def _throw(face: Face, asked: Import) -> str:
    return "(throw $longjmp)"


def _get_temporary(face: Face, asked: Import) -> str:
    return "(global.get $temporary)"


def _set_temporary(face: Face, asked: Import) -> str:
    return "(global.set $temporary (local.get 0))"


def _use_gas(face: Face, asked: Import) -> str:
    amount = "(local.get 0)" if asked.letters.startswith("j") else "(i64.extend_i32_u (local.get 0))"
    return f"""(global.set $gas_used (i64.add (global.get $gas_used) {amount}))
      (if (i64.gt_u (global.get $gas_used) (global.get $gas_limit)) (then (unreachable)))"""


def _gas_used(face: Face, asked: Import) -> str:
    return "(i32.wrap_i64 (global.get $gas_used))"


ALONE: dict[str, tuple[str, Body]] = {
    "emscripten_date_now": (">d", _clock),
    "_emscripten_date_now": (">d", _stopped_clock),
    "emscripten_get_now": (">d", _clock),
    "early emscripten_get_now": (">d", _no_clock),
    "_emscripten_get_now_is_monotonic": (">i", _one),
    "_emscripten_throw_longjmp": (">", _throw),
    "getTempRet0": (">i", _get_temporary),
    "setTempRet0": ("i>", _set_temporary),
    "usegas": ("i> j>", _use_gas),
    "metering_gasUsed": (">i", _gas_used),
}

# --- answered in the filler: they work on the main module's memory --------------------------------------------


def _copy(face: Face, asked: Import) -> str:
    return f"(memory.copy {' '.join(_address(face, number) for number in range(3))})"


def _address(face: Face, number: int) -> str:
    narrow = face.wide and not face.wide_memory
    return f"(i32.wrap_i64 (local.get {number}))" if narrow else f"(local.get {number})"


def _resize(face: Face, asked: Import) -> str:
    """The growth rule of 5.5: a fifth more, but no more than 96 MiB over what is asked; then less, then little."""
    wanted = "(local.get 0)" if face.wide else "(i64.extend_i32_u (local.get 0))"
    size = "(memory.size)" if face.wide_memory else "(i64.extend_i32_u (memory.size))"
    delta = "(i64.sub (local.get $new) (local.get $old))"
    grown = f"(memory.grow {delta if face.wide_memory else f'(i32.wrap_i64 {delta})'})"
    refused = f"(i64.eq {grown} (i64.const -1))" if face.wide_memory else f"(i32.eq {grown} (i32.const -1))"
    return f"""(local $wanted i64) (local $old i64) (local $new i64) (local $cut f64)
      (local.set $wanted {wanted}) (local.set $old {size}) (local.set $cut (f64.const 1))
      (if (i64.gt_u (local.get $wanted) (global.get $heap_max)) (then (return (i32.const 0))))
      (loop $again
        (local.set $new (call $least
          (i64.trunc_sat_f64_u (f64.ceil (f64.mul (f64.convert_i64_u (i64.shl (local.get $old) (i64.const 16)))
            (f64.add (f64.const 1) (f64.div (f64.const 0.2) (local.get $cut))))))
          (i64.add (local.get $wanted) (i64.const {HEAP_STEP_MAX}))))
        (if (i64.lt_u (local.get $new) (local.get $wanted)) (then (local.set $new (local.get $wanted))))
        (local.set $new (call $least (i64.shr_u (i64.add (local.get $new) (i64.const 65535)) (i64.const 16))
          (i64.shr_u (global.get $heap_max) (i64.const 16))))
        (if (i64.le_u (local.get $new) (local.get $old)) (then (return (i32.const 1))))
        (if {refused} (then
          (local.set $cut (f64.mul (local.get $cut) (f64.const 2)))
          (br_if $again (f64.le (local.get $cut) (f64.const 4)))
          (return (i32.const 0)))))
      (i32.const 1)"""


def _invoke(face: Face, asked: Import) -> str:
    """Call through the table; a longjmp from inside is caught here, any other end goes on outwards."""
    results = asked.letters.split(">")[1]
    threw = TYPES[signature(face.types[face.exports["set_threw"]])[0]]
    return f"""(local $stack {face.pointer}) (local.set $stack (call $stack_save))
      (block $caught
        (try_table (catch $longjmp $caught) {_indirect(face, asked)} (return)))
      (call $stack_restore (local.get $stack))
      (call $set_threw ({threw}.const 1) (i32.const 0))
      {" ".join(f"({TYPES[each]}.const 0)" for each in results)}"""


def _indirect(face: Face, asked: Import) -> str:
    parameters, results = asked.letters.split(">")
    index = "(local.get 0)" if parameters[0] == "i" else "(i32.wrap_i64 (local.get 0))"
    rest = " ".join(f"(local.get {number})" for number in range(1, len(parameters)))
    call = _dyn_call(face, asked)
    if call:
        return f"(call ${call} {index} {rest})"
    return f"(call_indirect $functions {_function_type(parameters[1:] + '>' + results)} {rest} {index})"


def _dyn_call(face: Face, asked: Import) -> str | None:
    """The export that calls functions of this type, where the module has one of exactly this shape."""
    name = "dynCall_" + asked.name.removeprefix("invoke_")
    parameters, results = asked.letters.split(">")
    kind = face.types.get(name)
    return name if kind is not None and signature(kind) == f"i{parameters[1:]}>{results}" else None


ON_MEMORY: dict[str, tuple[str, Body]] = {
    "_emscripten_memcpy_js": ("ppp>", _copy),
    "emscripten_memcpy_js": ("ppp>", _copy),
    "emscripten_memcpy_big": ("ppp>", _copy),
    "_emscripten_memcpy_big": ("ppp>", _copy),
    "emscripten_resize_heap": ("p>i", _resize),
}


def is_invoke(asked: Import) -> bool:
    """`invoke_<sig>`, whose type is what the signature says: an index, and the function's own parameters."""
    parameters, _, results = asked.letters.partition(">")
    written = asked.name.removeprefix("invoke_")
    return (
        asked.name.startswith("invoke_")
        and written == (results or "v") + parameters[1:]
        and parameters[:1] in ("i", "j")
    )


# --- the two modules ------------------------------------------------------------------------------------------


def write(face: Face, heap_max: int) -> Texts:
    """The shim and the filler of a main module with this face. `heap_max` is in bytes; the instance may lower it."""
    shim, filler, slots, host = [], [], [], []
    for position, asked in enumerate(face.imports):
        kind = _function_type(asked.letters)
        if asked.name in ALONE:
            body = ALONE[asked.name][1](face, asked)
            shim.append(f'(func (export "{position}") {kind} {body})')
        elif asked.name in ON_MEMORY or is_invoke(asked):
            body = (ON_MEMORY[asked.name][1] if asked.name in ON_MEMORY else _invoke)(face, asked)
            passed = " ".join(f"(local.get {number})" for number in range(asked.letters.index(">")))
            call = f"(call_indirect $hot {kind} {passed} (i32.const {len(slots)}))"
            shim.append(f'(func (export "{position}") {kind} {call})')
            filler.append(f"(func $f{len(slots)} {kind} {body})")
            slots.append(f"$f{len(slots)}")
        else:
            host.append(position)
    return Texts(_shim(face, shim, host, len(slots), heap_max), _filler(face, filler, slots), tuple(host))


def _shim(face: Face, functions: list[str], host: list[int], slots: int, heap_max: int) -> str:
    imports = [
        f'(import "host" "{position}" (func $host{position} {_function_type(face.imports[position].letters)}))'
        for position in host
    ]
    exports = [f'(export "{position}" (func $host{position}))' for position in host]
    return f"""(module {" ".join(imports)}
      (table $hot (export "hot") {slots} funcref)
      (tag $longjmp (export "longjmp"))
      (global $now (export "now") (mut f64) (f64.const {CLOCK_START_MS}))
      (global $gas_used (export "gas_used") (mut i64) (i64.const 0))
      (global $gas_limit (export "gas_limit") (mut i64) (i64.const -1))
      (global $heap_max (export "heap_max") (mut i64) (i64.const {heap_max}))
      (global $temporary (mut i32) (i32.const 0))
      {" ".join(functions)} {" ".join(exports)})"""


def _filler(face: Face, functions: list[str], slots: list[str]) -> str:
    wide = "i64 " if face.wide_memory else ""
    imports = [
        f'(import "main" "{face.exports["memory"]}" (memory {wide}0))',
        f'(import "shim" "hot" (table $hot {len(slots)} funcref))',
        '(import "shim" "longjmp" (tag $longjmp))',
        '(import "shim" "heap_max" (global $heap_max (mut i64)))',
    ]
    needs_jumps = [asked for asked in face.imports if is_invoke(asked)]
    if needs_jumps:
        imports += [_import(face, role, "$" + role) for role in ("stack_save", "stack_restore", "set_threw")]
        by_export = {name for name in (_dyn_call(face, asked) for asked in needs_jumps) if name}
        imports += [_import(face, name, "$" + name) for name in sorted(by_export)]
        if any(_dyn_call(face, asked) is None for asked in needs_jumps):
            imports.append(f'(import "main" "{face.exports["table"]}" (table $functions 0 funcref))')
    least = """(func $least (param i64 i64) (result i64)
      (select (local.get 0) (local.get 1) (i64.lt_u (local.get 0) (local.get 1))))"""
    filled = f"(elem (table $hot) (i32.const 0) func {' '.join(slots)})" if slots else ""
    return f"(module {' '.join(imports)} {least} {' '.join(functions)} {filled})"


def _import(face: Face, role: str, name: str) -> str:
    export = face.exports[role]
    return f'(import "main" "{export}" (func {name} {_function_type(signature(face.types[export]))}))'


def _function_type(letters: str) -> str:
    parameters, results = letters.split(">")
    return " ".join([f"(param {TYPES[each]})" for each in parameters] + [f"(result {TYPES[each]})" for each in results])
