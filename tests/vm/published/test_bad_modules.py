"""Modules written by hand, a few lines each: the older formats' shapes, and everything a module can do wrong."""

from itertools import count

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st
from vm.published.samples import machine

from puna.errors import Invalid, Missing
from puna.vm.emscripten.metering import add_metering
from puna.vm.extensions import Host
from puna.vm.formats import FORMATS
from puna.vm.process import Process
from puna.vm.program import Program

ANSWER = '{\\"ok\\":true,\\"response\\":{\\"Output\\":\\"fine\\"}}\\00'
PLAIN = "wasm32-unknown-emscripten2"
NAMES = {
    "memory": "memory", "start": "__wasm_call_ctors", "handle": "handle", "malloc": "malloc", "free": "free",
    "save": "stackSave", "restore": "stackRestore", "alloc": "stackAlloc", "threw": "setThrew",
    "table": "__indirect_function_table", "main": "main",
}  # fmt: skip
LETTERS = {
    "memory": "E", "start": "F", "handle": "G", "malloc": "J", "free": "free", "save": "M", "restore": "N",
    "alloc": "O", "threw": "L", "table": "I", "main": "H",
}  # fmt: skip
TEST_GAS = 100_000_000
numbers = count()


def wat(handle: str = "", *, imports: str = "", extra: str = "", pages: str = "2 64", names=NAMES) -> bytes:
    """A module that answers "fine", after doing what `handle` says."""
    export = {role: f'(export "{name}")' for role, name in names.items()}
    return bytes(
        wasmtime.wat2wasm(f"""(module {imports}
      (memory {export["memory"]} {pages}) (table {export["table"]} 4 funcref)
      (global $sp (mut i32) (i32.const 65536)) (global $threw (mut i32) (i32.const 0))
      (global $ran (mut i32) (i32.const 0))
      (data (i32.const 1024) "{ANSWER}")
      (func {export["start"]}) (func {export["main"]} (param i32 i32) (result i32)
        (i32.store8 (i32.const 1500) (i32.const 33)) (i32.const 0))
      (func {export["malloc"]} (param i32) (result i32) (i32.const 70000)) (func {export["free"]} (param i32))
      (func {export["save"]} (result i32) (global.get $sp))
      (func {export["restore"]} (param i32) (global.set $sp (local.get 0)))
      (func {export["threw"]} (param i32 i32) (global.set $threw (local.get 0)))
      (func {export["alloc"]} (param i32) (result i32)
        (global.set $sp (i32.and (i32.sub (global.get $sp) (local.get 0)) (i32.const -16))) (global.get $sp))
      (func {export["handle"]} (param i32 i32) (result i32) {handle} (i32.const 1024)) {extra})""")
    )


def run(tmp_path, wasm: bytes, format: str = PLAIN, *, memory: int = 8 << 20, gas: int = TEST_GAS) -> Process:
    path = tmp_path / f"{next(numbers)}.wasm"
    path.write_bytes(wasm)
    return Process(machine(), Program(path, "m", memory, gas, module_format=format), Host())


def answer(process: Process):
    return process.apply(b"{}").evaluation()


@pytest.mark.parametrize("format", [PLAIN, "wasm32-unknown-emscripten3"])
def test_the_older_formats_run_main_first(tmp_path, format):
    process = run(tmp_path, wat(), format)
    assert process._instance.view()[1500] == ord("!")
    assert answer(process).output == "fine"
    assert run(tmp_path, wat(), "wasm32-unknown-emscripten4")._instance.view()[1500] == 0


LONGJMP = """(type $t (func (param i32 i32)))
  (elem (i32.const 1) func $jumps) (func $jumps (param i32 i32) (call $throw))"""
CALLS = """(call $invoke (i32.const 1) (i32.const 0) (i32.const 0))
  (if (i32.ne (global.get $threw) (i32.const 1)) (then unreachable))"""


def test_a_minified_module_finds_its_functions(tmp_path):
    imports = """(import "a" "p" (func $throw)) (import "a" "x" (func $invoke (param i32 i32 i32)))
      (import "metering" "usegas" (func $gas (param i32)))"""
    wasm = wat(CALLS + "(call $gas (i32.const 777))", imports=imports, extra=LONGJMP, names=LETTERS)
    result = answer(run(tmp_path, wasm, "wasm32-unknown-emscripten"))
    assert (result.output, result.gas_used) == ("fine", 777)


def test_permuted_letters_are_told_by_their_types(tmp_path):
    imports = '(import "a" "q" (func $seek (param i32 i32 i32 i32 i32) (result i32)))'  # q is another's letter
    seeks = "(drop (call $seek (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"
    wasm = wat(seeks, imports=imports, names=LETTERS)
    assert answer(run(tmp_path, wasm, "wasm32-unknown-emscripten")).output == "fine"
    doubtful = wat(imports='(import "a" "b" (func (param i32) (result i32)))', names=LETTERS)
    with pytest.raises(Invalid, match="a.b of type i>i, and it cannot be told what that is"):
        run(tmp_path, doubtful, "wasm32-unknown-emscripten")


def test_a_longjmp_is_caught_where_there_is_no_dyn_call(tmp_path):
    imports = """(import "env" "_emscripten_throw_longjmp" (func $throw))
      (import "env" "invoke_vii" (func $invoke (param i32 i32 i32)))"""
    assert answer(run(tmp_path, wat(CALLS, imports=imports, extra=LONGJMP))).output == "fine"


def test_the_environment_of_the_older_formats(tmp_path):
    imports = """(import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))"""
    handle = (
        "(drop (call $sizes (i32.const 2048) (i32.const 2052))) (drop (call $get (i32.const 2056) (i32.const 4096)))"
    )
    process = run(tmp_path, wat(handle, imports=imports))
    answer(process)
    assert bytes(process._instance.view()[4096 : 4096 + 32]).startswith(b"USER=web_user\0LOGNAME=web_user\0")


# --- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wasm", [b"", b"hello", b"\0asm\1\0\0\0\1\xff\xff\xff\xff", b"\0asm\1\0\0\0\1\2"])
@pytest.mark.parametrize("format", [name for name in FORMATS if "emscripten" in name])
def test_what_is_no_module_is_refused(tmp_path, format, wasm):
    with pytest.raises(Invalid):
        run(tmp_path, wasm, format)


def test_a_missing_file_is_missing():
    with pytest.raises(Missing):
        Process(machine(), Program("/nowhere.wasm", "m", 1 << 20, 1, module_format=PLAIN), Host())


@pytest.mark.parametrize(
    ("imports", "text"),
    [
        ('(import "env" "launch_rockets" (func))', "imports launch_rockets, which nobody offers"),
        ('(import "env" "exit" (func (param i64)))', "imports exit with the type j>, which nobody offers"),
        ('(import "env" "invoke_vii" (func (param i32)))', "imports invoke_vii, which nobody offers"),
        ('(import "env" "g" (global i32))', "imports env.g, which is no function"),
        ('(import "host" "call" (func (param i32 i32 i32 i32) (result i32)))', "imports call, which nobody offers"),
    ],
)
def test_an_import_that_nobody_offers_is_named(tmp_path, imports, text):
    with pytest.raises(Invalid, match=text):
        run(tmp_path, wat(imports=imports))


def test_a_module_without_its_exports_is_refused(tmp_path):
    bare = bytes(wasmtime.wat2wasm('(module (memory (export "memory") 1))'))
    with pytest.raises(Invalid, match="lacks the exports __wasm_call_ctors, handle"):
        run(tmp_path, bare)
    with pytest.raises(Invalid, match="lacks the exports"):  # minified, but not said to be
        run(tmp_path, wat(names=LETTERS))


def test_more_memory_than_allowed_is_refused_before_anything_is_compiled(tmp_path):
    with pytest.raises(Invalid, match="needs 6553600 bytes of memory to start, and 1048576 are allowed"):
        run(tmp_path, wat(pages="100 200"), memory=1 << 20)


FAILING = {
    "loops": ("(loop (br 0))", "", "out of gas"),
    "recurses": ("(drop (call $deep (i64.const 1)))", "(func $deep (param i64) (result i64) "
                 "(i64.add (local.get 0) (call $deep (i64.add (local.get 0) (i64.const 1)))))", "stack overflow"),
    "grows": ("(loop (if (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0)) (then (br 1)))) unreachable", "",
              "the module stopped"),
    "reads beyond memory": ("(drop (i32.load (i32.const -8)))", "", "the module stopped"),
    "answers from nowhere": ("(return (i32.const -5))", "", "the module stopped"),
    "answers with nothing": ("(return (i32.const 0))", "", "the module stopped"),
    "exits": ("(call $exit (i32.const 3))", "", "Program terminated with exit(3)"),
    "aborts": ("(call $abort)", "", "the program aborted"),
    "jumps uncaught": ("(call $throw)", "", "the module stopped"),
    "breaks its stack": ("(global.set $sp (i32.const -64)) unreachable", "", "the module stopped"),
    "writes strangely": ("(drop (call $write (i32.const 1) (i32.const -16) (i32.const 1000) (i32.const 0)))", "",
                         "the module stopped"),
    "formats strangely": ("(drop (call $format (i32.const 0) (i32.const 9) (i32.const -1) (i32.const -1)))", "",
                          "the module stopped"),
}  # fmt: skip
ENDS = """(import "env" "exit" (func $exit (param i32))) (import "env" "abort" (func $abort))
  (import "env" "_emscripten_throw_longjmp" (func $throw))
  (import "env" "strftime" (func $format (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"""


@pytest.mark.parametrize("name", FAILING)
def test_a_module_that_fails_harms_nobody(tmp_path, name):
    handle, extra, text = FAILING[name]
    switch = f"(i32.store (i32.const 3000) (i32.const 1)) (if (i32.eqz (i32.load8_u (i32.const 4000))) (then {handle}))"
    process = run(tmp_path, wat(switch, imports=ENDS, extra=extra))
    before = process.state_root
    for _ in range(3):
        result = answer(process)
        assert result.error.startswith(text), result.error
        assert process.state_root == before == result.state_root


def test_every_limit_of_the_heap_is_met(tmp_path):
    """Growth by the rule of 5.5: a fifth more, to what is wanted at least, and never over what the process may have."""
    imports = '(import "env" "emscripten_resize_heap" (func $more (param i32) (result i32)))'
    grow = "(i32.store (i32.const 2048) (call $more (i32.const {})))"
    for wanted, pages, granted in ((1_400_000, 24, 1), (3_000_000, 46, 1), (8_388_608, 128, 1), (8_388_609, 20, 0)):
        process = run(tmp_path, wat(grow.format(wanted), imports=imports, pages="20 200"))
        assert answer(process).output == "fine"
        assert (process._instance.size // 65536, process._instance.view()[2048]) == (pages, granted)


def test_metering_added_twice_is_refused(tmp_path):
    with pytest.raises(Invalid, match="imports metering.usegas, which its format does not allow"):
        run(
            tmp_path,
            wat(imports='(import "metering" "usegas" (func (param i32)))'),
            "wasm32-unknown-emscripten-metering",
        )


def test_metering_charges_straight_pieces_before_they_run():
    body = "(block (br_if 0 (i32.eqz (i32.const 0)))) (drop (i32.mul (i32.const 2) (i32.const 3)))"
    imports = '(import "env" "abort" (func $abort))'
    metered = add_metering(wat(body, imports=imports), "i32")
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    charged = []
    module = wasmtime.Module(engine, metered)
    meter = wasmtime.Func(store, module.imports[1].type, charged.append)
    instance = wasmtime.Instance(store, module, [wasmtime.Func(store, module.imports[0].type, lambda: None), meter])
    assert instance.exports(store)["handle"](store, 0, 0) == 1024
    # block 1, const 1, eqz 45, br_if 90; then two consts, mul 45, drop 120, const 1; each piece with 91 for the call.
    assert charged == [137 + 91, 168 + 91]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_module_is_refused_or_runs_but_never_breaks_the_reader(data):
    wasm = bytearray(wat("(drop (i32.const 5))", imports='(import "env" "abort" (func $abort))'))
    for _ in range(data.draw(st.integers(1, 4))):
        wasm[data.draw(st.integers(8, len(wasm) - 1))] = data.draw(st.integers(0, 255))
    try:
        add_metering(bytes(wasm), "i64")
    except Invalid:
        pass
