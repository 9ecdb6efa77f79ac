"""A module that reports all it can tell of its host: a witness for formats of which no real module can be fetched.

Written by hand in WebAssembly's text form, in the shape of each of the first three formats. It calls what the host
offers, notes what came back and where its own texts and stack lie, and answers with the notes in hexadecimal.
A message with `!` in it stops the module in the middle, one with `+` makes it grow, and one with `?` asks for the zone.
"""

import wasmtime

WORDS = {1: "wasm32-unknown-emscripten", 2: "wasm32-unknown-emscripten2", 3: "wasm32-unknown-emscripten3"}

# What each format calls the functions; the first has letters for them.
NAMES = {
    "now": ("a", "_emscripten_date_now", "emscripten_date_now"),
    "clock": ("", "emscripten_get_now", "emscripten_get_now"),
    "mktime": ("i", "_mktime_js", "_mktime_js"),
    "tzset": ("j", "_tzset_js", "_tzset_js"),
    "copy": ("k", "emscripten_memcpy_big", "emscripten_memcpy_js"),
    "system": ("m", "system", "_emscripten_system"),
    "strftime": ("n", "strftime", "strftime"),
    "throw": ("p", "_emscripten_throw_longjmp", "_emscripten_throw_longjmp"),
    "grow": ("q", "emscripten_resize_heap", "emscripten_resize_heap"),
    "heap_max": ("", "emscripten_get_heap_max", "emscripten_get_heap_max"),
    "variables": ("u", "environ_get", "environ_get"),
    "variables_sizes": ("v", "environ_sizes_get", "environ_sizes_get"),
    "invoke": ("x", "invoke_vii", "invoke_vii"),
    "monotonic": ("A", "_emscripten_get_now_is_monotonic", "_emscripten_get_now_is_monotonic"),
    "gmtime": ("B", "_gmtime_js", "_gmtime_js"),
    "localtime": ("C", "_localtime_js", "_localtime_js"),
    "open": ("g", "__syscall_openat", "__syscall_openat"),
    "read": ("y", "fd_read", "fd_read"),
    "write": ("f", "fd_write", "fd_write"),
    "close": ("c", "fd_close", "fd_close"),
}
WASI = {"variables", "variables_sizes", "read", "write", "close"}
EXPORTS = {
    "memory": ("E", "memory"), "start": ("F", "__wasm_call_ctors"), "handle": ("G", "handle"), "main": ("H", "main"),
    "table": ("I", "__indirect_function_table"), "malloc": ("J", "malloc"), "errno": ("K", "__errno_location"),
    "threw": ("L", "setThrew"), "save": ("M", "stackSave"), "restore": ("N", "stackRestore"),
    "alloc": ("O", "stackAlloc"), "free": ("free", "free"),
}  # fmt: skip
TIMES = (0, 951_782_400, -1, 2_147_483_647, -2_147_483_648)
# Second, minute, hour, day, month, year since 1900, summer flag.
MOMENTS = (
    (0, 0, 0, 1, 0, 70, 0),
    (61, -5, 30, 77, -5, 123, 1),
    (0, 0, 12, 7, -1, -1800, -1),
    (0, 0, 0, 1, 0, 300_000, 0),
    (5, 4, 3, 2, 1, 98, -1),
    (0, 0, 0, 1, 0, 200, 0),
)
PATTERNS = ("%c|%x %X %r %D %Z %z", "%j %U %V %G %g %u %w %e %I %p %y %C", "%%%n%t%Ec %Oy %q")
SCRATCH, NOTES, HEAP = 3000, 8192, 70_000


def probe(format: int) -> bytes:
    """The module in one of the formats 1, 2 and 3."""
    types = {
        "now": "(result f64)", "clock": "(result f64)", "mktime": "(param i32) (result i32)",
        "tzset": "(param i32 i32 i32 i32)" if format == 3 else "(param i32 i32 i32)", "copy": "(param i32 i32 i32)",
        "system": "(param i32) (result i32)", "strftime": "(param i32 i32 i32 i32) (result i32)", "throw": "",
        "grow": "(param i32) (result i32)", "heap_max": "(result i32)", "variables": "(param i32 i32) (result i32)",
        "variables_sizes": "(param i32 i32) (result i32)", "invoke": "(param i32 i32 i32)",
        "monotonic": "(result i32)", "gmtime": "(param i32 i32 i32)" if format == 3 else "(param i32 i32)",
        "localtime": "(param i32 i32 i32)" if format == 3 else "(param i32 i32)",
        "open": "(param i32 i32 i32 i32) (result i32)", "read": "(param i32 i32 i32 i32) (result i32)",
        "write": "(param i32 i32 i32 i32) (result i32)", "close": "(param i32) (result i32)",
    }  # fmt: skip
    names = {role: of[format - 1] for role, of in NAMES.items() if of[format - 1]}
    imports = " ".join(
        f'(import "{_from(format, role)}" "{name}" (func ${role} {types[role]}))' for role, name in names.items()
    )
    export = {role: f'(export "{of[min(format, 2) - 1]}")' for role, of in EXPORTS.items()}
    temporary = '(func (export "setTempRet0") (param i32) (i32.store (i32.const 2040) (local.get 0)))'
    text = f"""(module {imports} (import "metering" "usegas" (func $gas (param i32)))
      (type $pair (func (param i32 i32)))
      (memory {export["memory"]} 4 64) (table {export["table"]} 4 funcref) (elem (i32.const 1) func $jumps $stays)
      (global $sp (mut i32) (i32.const 65536))
      (data (i32.const 1024) "{{\\"ok\\":true,\\"response\\":{{\\"Output\\":\\"") (data (i32.const 1100) "\\"}}}}\\00")
      (data (i32.const 1200) "0123456789abcdef") (data (i32.const 1300) "/tmp/x\\00") (data (i32.const 2000) "\\00\\20")
      {"".join(f'(data (i32.const {1400 + 100 * i}) "{each}")' for i, each in enumerate(PATTERNS))}
      (func {export["start"]} (call $note (global.get $sp))
        {_variables("(i32.const 4096)", "(i32.const 4200)")})
      (func {export["main"]} (param i32 i32) (result i32)
        (call $note (local.get 0)) (call $note (local.get 1)) (call $note (global.get $sp))
        (if (local.get 1) (then (call $note (i32.load (local.get 1))) (call $note (i32.load offset=4 (local.get 1)))
          (call $note_bytes (i32.load (local.get 1)) (i32.const 20)))) (i32.const 0))
      (func $malloc {export["malloc"]} (param i32) (result i32) (local $at i32)
        (call $gas (i32.const 7))
        (local.set $at (i32.add (i32.const {HEAP}) (i32.load (i32.const 2008))))
        (i32.store (i32.const 2008) (i32.add (i32.load (i32.const 2008))
          (i32.and (i32.add (local.get 0) (i32.const 15)) (i32.const -16)))) (local.get $at))
      (func {export["free"]} (param i32))
      (func {export["errno"]} (result i32) (i32.const 2044))
      (func (export "emscripten_stack_init")) (func (export "emscripten_stack_get_end") (result i32) (i32.const 40000))
      (func (export "emscripten_stack_get_current") (result i32) (global.get $sp))
      (func (export "emscripten_stack_get_free") (result i32) (i32.sub (global.get $sp) (i32.const 40000)))
      (func (export "fflush") (param i32) (result i32) (i32.const 0))
      {temporary if format == 3 else ""}
      (func {export["threw"]} (param i32 i32) (i32.store (i32.const 2048) (local.get 0)))
      (func {export["save"]} (result i32) (call $gas (i32.const 11)) (global.get $sp))
      (func {export["restore"]} (param i32) (call $gas (i32.const 13)) (global.set $sp (local.get 0)))
      (func {export["alloc"]} (param i32) (result i32) (call $gas (i32.const 17))
        (global.set $sp (i32.and (i32.sub (global.get $sp) (local.get 0)) (i32.const -16))) (global.get $sp))
      (func $jumps (param i32 i32) (global.set $sp (i32.sub (global.get $sp) (i32.const 64))) (call $throw))
      (func $stays (param i32 i32) (i32.store (i32.const 2052) (i32.add (local.get 0) (local.get 1))))
      (func $note (param i32)
        (i32.store (i32.add (i32.const {NOTES - 8192}) (i32.load (i32.const 2000))) (local.get 0))
        (i32.store (i32.const 2000) (i32.add (i32.load (i32.const 2000)) (i32.const 4))))
      (func $note_bytes (param i32 i32)
        (call $copy (i32.load (i32.const 2000)) (local.get 0) (local.get 1))
        (i32.store (i32.const 2000) (i32.add (i32.load (i32.const 2000)) (local.get 1))))
      (func $note_number (param f64)
        (f64.store (i32.const {SCRATCH}) (local.get 0)) (call $note_bytes (i32.const {SCRATCH}) (i32.const 8)))
      (func $has (param $at i32) (param $letter i32) (result i32)
        (loop $next
          (if (i32.eq (i32.load8_u (local.get $at)) (local.get $letter)) (then (return (i32.const 1))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if $next (i32.load8_u (local.get $at)))) (i32.const 0))
      (func {export["handle"]} (param i32 i32) (result i32) (local $from i32) (local $to i32)
        (call $gas (i32.const 1000))
        (i32.store (i32.const 2012) (i32.add (i32.load (i32.const 2012)) (i32.const 1)))
        (call $note (i32.load (i32.const 2012)))
        (call $note (local.get 0)) (call $note (local.get 1)) (call $note (global.get $sp))
        (if (call $has (local.get 0) (i32.const 33)) (then (i32.store (i32.const 2012) (i32.const 99)) (unreachable)))
        (if (call $has (local.get 0) (i32.const 43)) (then
          (call $note (call $grow (i32.add (i32.shl (memory.size) (i32.const 16)) (i32.const 1))))))
        (call $note (memory.size)) (call $note (i32.load (i32.const 2008)))
        (call $note_number (f64.sub (call $now) (call $now)))
        {_clocks(format)}
        (call $note (call $monotonic)) (call $note (call $system (i32.const 0)))
        (call $note (call $system (i32.const 1300))) (call $note (i32.load (i32.const 2044)))
        (call $invoke (i32.const 1) (i32.const 0) (i32.const 0)) (call $note (i32.load (i32.const 2048)))
        (call $note (global.get $sp)) (i32.store (i32.const 2048) (i32.const 0))
        (call $invoke (i32.const 2) (i32.const 30) (i32.const 12)) (call $note (i32.load (i32.const 2048)))
        (call $note (i32.load (i32.const 2052)))
        {_variables("(i32.const 4096)", "(i32.const 4200)")}
        {"".join(_broken_down(format, time, number) for number, time in enumerate(TIMES))}
        {"".join(_made(format, moment) for moment in MOMENTS)}
        (if (call $has (local.get 0) (i32.const 63)) (then {_zone(format)}))
        {_files() if format == 1 else ""}
        (local.set $from (i32.const {NOTES})) (local.set $to (i32.const {NOTES + 8192}))
        (call $copy (local.get $to) (i32.const 1024) (i32.const 33))
        (local.set $to (i32.add (local.get $to) (i32.const 33)))
        (loop $next
          (i32.store8 (local.get $to)
            (i32.load8_u offset=1200 (i32.shr_u (i32.load8_u (local.get $from)) (i32.const 4))))
          (i32.store8 offset=1 (local.get $to)
            (i32.load8_u offset=1200 (i32.and (i32.load8_u (local.get $from)) (i32.const 15))))
          (local.set $from (i32.add (local.get $from) (i32.const 1)))
          (local.set $to (i32.add (local.get $to) (i32.const 2)))
          (br_if $next (i32.lt_u (local.get $from) (i32.load (i32.const 2000)))))
        (call $copy (local.get $to) (i32.const 1100) (i32.const 4))
        (i32.store (i32.const 2000) (i32.const {NOTES})) (i32.const {NOTES + 8192})))"""
    return bytes(wasmtime.wat2wasm(text))


def _from(format: int, role: str) -> str:
    if format == 1:
        return "a"
    return "wasi_snapshot_preview1" if role in WASI else "env"


def _clocks(format: int) -> str:
    """What does not depend on how long an instance has lived: all but the third format's clocks."""
    absolute = "(call $note_number (call $now))" if format < 3 else ""
    broken = "(call $note_number (call $clock))" if format == 2 else ""
    return absolute + broken + ("(call $note (call $heap_max))" if format > 1 else "")


def _variables(pointers: str, texts: str) -> str:
    sizes = "(i32.const 4000) (i32.const 4004)"
    return f"""(call $note (call $variables_sizes {sizes})) (call $note_bytes (i32.const 4000) (i32.const 8))
      (call $note (call $variables {pointers} {texts})) (call $note_bytes {pointers} (i32.const 28))
      (call $note_bytes {texts} (i32.load (i32.const 4004)))"""


def _cleared(at: int) -> str:
    return f"(memory.fill (i32.const {at}) (i32.const 165) (i32.const 44))"


def _broken_down(format: int, time: int, number: int) -> str:
    """A time as `tm` both ways, and in text."""
    at, time_at = SCRATCH + 100, SCRATCH + 200
    passed = f"(i32.const {time & 0xFFFFFFFF}) (i32.const {time >> 32})" if format == 3 else f"(i32.const {time_at})"
    pattern = 1400 + 100 * (number % len(PATTERNS))
    return f"""(i32.store (i32.const {time_at}) (i32.const {time & 0xFFFFFFFF}))
      {_cleared(at)} (call $gmtime {passed} (i32.const {at})) (call $note_bytes (i32.const {at}) (i32.const 44))
      {_cleared(at)} (call $localtime {passed} (i32.const {at})) (call $note_bytes (i32.const {at}) (i32.const 44))
      (i32.store (i32.const {at + 40}) (i32.const 1300))
      (call $note (call $strftime (i32.const 5000) (i32.const 100) (i32.const {pattern}) (i32.const {at})))
      (call $note_bytes (i32.const 5000) (i32.const 100))
      (call $note (call $strftime (i32.const 5000) (i32.const 5) (i32.const {pattern}) (i32.const {at})))"""


def _made(format: int, moment: tuple[int, ...]) -> str:
    """A moment's seconds, and the fields that came back."""
    at = SCRATCH + 100
    *fields, summer = moment
    stores = "".join(f"(i32.store (i32.const {at + 4 * i}) (i32.const {each}))" for i, each in enumerate(fields))
    return f"""{_cleared(at)} {stores} (i32.store (i32.const {at + 32}) (i32.const {summer}))
      (call $note (call $mktime (i32.const {at}))) (call $note_bytes (i32.const {at}) (i32.const 44))
      {"(call $note (i32.load (i32.const 2040)))" if format == 3 else ""}"""


def _zone(format: int) -> str:
    """The zone's names: in their places, or two addresses of them."""
    if format == 3:
        return """(call $tzset (i32.const 2060) (i32.const 2064) (i32.const 2068) (i32.const 2084))
          (call $note_bytes (i32.const 2060) (i32.const 40))"""
    return """(call $tzset (i32.const 2060) (i32.const 2064) (i32.const 2068))
      (call $note_bytes (i32.const 2060) (i32.const 16))
      (call $note_bytes (i32.load (i32.const 2068)) (i32.const 27))
      (call $note_bytes (i32.load (i32.const 2072)) (i32.const 27))"""


def _files() -> str:
    return """(call $note (call $open (i32.const -100) (i32.const 1300) (i32.const 0) (i32.const 0)))
      (call $note (call $read (i32.const 0) (i32.const 4000) (i32.const 0) (i32.const 4004)))
      (call $note (call $close (i32.const 0)))
      (call $note (call $write (i32.const 1) (i32.const 4000) (i32.const 0) (i32.const 4004)))"""
