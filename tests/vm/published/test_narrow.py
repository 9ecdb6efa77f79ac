"""A module with a 64-bit memory does the same when its memory has 32: every way to touch memory, and real modules."""

import struct

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st
from vm.published.samples import Bench, machine

from puna.vm.emscripten.binary import NotWasm
from puna.vm.emscripten.narrow import narrow

WHOLE = {
    "i32": ("load load8_s load8_u load16_s load16_u", "store store8 store16"),
    "i64": ("load load8_s load8_u load16_s load16_u load32_s load32_u", "store store8 store16 store32"),
}
VECTOR_LOADS = (
    "load load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u load8_splat load16_splat load32_splat "
    "load64_splat load32_zero load64_zero"
).split()
LANES = {"8": 16, "16": 8, "32": 4, "64": 2}


def functions() -> str:
    """One exported function for every kind of access; those that store something take it as a number."""
    made = []
    for kind, (loads, stores) in WHOLE.items():
        made += [
            f'(func (export "{kind}.{op}") (param i64) (result {kind}) ({kind}.{op} offset=3 (local.get 0)))'
            for op in loads.split()
        ]
        made += [
            f'(func (export "{kind}.{op}") (param i64 {kind}) ({kind}.{op} offset=5 (local.get 0) (local.get 1)))'
            for op in stores.split()
        ]
    for kind in ("f32", "f64"):
        made.append(f'(func (export "{kind}.load") (param i64) (result {kind}) ({kind}.load (local.get 0)))')
        made.append(f'(func (export "{kind}.store") (param i64 {kind}) ({kind}.store (local.get 0) (local.get 1)))')
    first = "(i64x2.extract_lane 0 {})"
    both = f"(i64.xor {first} (i64.rotl (i64x2.extract_lane 1 {{}}) (i64.const 7)))"
    for op in VECTOR_LOADS:
        vector = f"(v128.{op} offset=1 (local.get 0))"
        made.append(f'(func (export "v128.{op}") (param i64) (result i64) {both.format(vector, vector)})')
    for bits, lanes in LANES.items():
        lane = lanes - 1
        loaded = f"(v128.load{bits}_lane {lane} (local.get 0) (i64x2.splat (i64.const -2)))"
        made.append(f'(func (export "v128.load{bits}_lane") (param i64) (result i64) {both.format(loaded, loaded)})')
        made.append(
            f'(func (export "v128.store{bits}_lane") (param i64 i64) '
            f"(v128.store{bits}_lane {lane} (local.get 0) (i64x2.splat (local.get 1))))"
        )
    made.append(
        '(func (export "v128.store") (param i64 i64) (v128.store offset=9 (local.get 0) '
        "(i8x16.add (i64x2.splat (local.get 1)) (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))))"
    )
    return " ".join(made)


REST = """
  (func (export "size") (result i64) (memory.size))
  (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))
  (func (export "fill") (param i64 i32 i64) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i64 i64 i64) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param i64 i32 i32) (memory.init $later (local.get 0) (local.get 1) (local.get 2)))
  (func (export "drop") (data.drop $later))
  ;; A loop with branches, calls and locals of its own around accesses: adds up bytes, and writes the sum down.
  (func $byte (param $at i64) (result i32) (i32.load8_u (local.get $at)))
  (func (export "sum") (param $from i64) (param $count i32) (result i32) (local $sum i32) (local $kept f64)
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $count)))
      (local.set $sum (i32.add (local.get $sum)
        (call_indirect (param i64) (result i32) (local.get $from) (i32.const 0))))
      (block $odd (block $even
        (br_table $even $odd (i32.and (local.get $count) (i32.const 1)))) (i64.store (i64.const 64)
          (select (i64.extend_i32_u (local.get $sum)) (i64.const 7) (local.get $count))))
      (f64.store (i64.const 72) (local.tee $kept (f64.add (local.get $kept) (f64.const 0.5))))
      (local.set $from (i64.add (local.get $from) (i64.const 1)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $next)))
    (i32.store (i64.const 80) (local.get $sum)) (local.get $sum))
  (table 1 funcref) (elem (i32.const 0) $byte)
"""


def text(memory: str = "i64 1 5", data: str = "i64.const 100", rest: str = REST) -> bytes:
    return bytes(
        wasmtime.wat2wasm(
            f"""(module (memory (export "memory") {memory}) (data ({data}) "\\01\\ff\\7f\\80 spread over memory")
            (data $later "put here later") {rest})"""
        )
    )


WIDE = text(rest=REST + functions())
NARROW = narrow(WIDE)


class Living:
    def __init__(self, wasm: bytes):
        self.store = wasmtime.Store(machine().engine)
        self.store.set_fuel(10**9)
        self.exports = wasmtime.Instance(self.store, wasmtime.Module(machine().engine, wasm), []).exports(self.store)

    def call(self, name: str, *arguments):
        """What a function answers; whether it trapped, when it did."""
        try:
            found = self.exports[name](self.store, *arguments)
            return struct.pack("<d", found) if isinstance(found, float) else found  # no NaN is equal to itself
        except wasmtime.Trap as trap:
            return str(trap.trap_code)

    def memory(self) -> bytes:
        return bytes(self.exports["memory"].read(self.store))

    def parameters(self, name: str) -> list[str]:
        return [str(each) for each in self.exports[name].type(self.store).params]


NAMES = [export.name for export in wasmtime.Module(machine().engine, WIDE).exports if export.name != "memory"]
ADDRESSES = st.one_of(st.integers(0, 400), st.integers(65500, 65540), st.integers(5 * 65536 - 20, 5 * 65536))
VALUES = {
    "i32": st.integers(-(2**31), 2**31 - 1),
    "i64": st.integers(-(2**63), 2**63 - 1),
    "f32": st.sampled_from([0.0, -1.5, float("inf")]),
    "f64": st.sampled_from([0.0, -1.5, 1e300]),
}


def test_everything_that_touches_memory_is_tried():
    assert NARROW is not None and len(NAMES) > 50
    assert wasmtime.Module(machine().engine, NARROW).exports[0].type.is_64 is False


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_narrowed_module_does_what_it_did(data):
    wide, narrowed = Living(WIDE), Living(NARROW)
    for _ in range(data.draw(st.integers(1, 12))):
        name = data.draw(st.sampled_from(NAMES))
        kinds = wide.parameters(name)
        if name == "grow":
            arguments = [data.draw(st.sampled_from([0, 1, 2, 4, 5, 2**16, 2**16 + 1, 2**32, 2**32 + 1, 2**64 - 1]))]
            arguments = [each - 2**64 if each >= 2**63 else each for each in arguments]
        elif name in ("fill", "copy", "init", "sum"):
            arguments = [data.draw(ADDRESSES if kind == "i64" else st.integers(0, 20)) for kind in kinds]
        else:
            arguments = [data.draw(ADDRESSES if n == 0 else VALUES[kind]) for n, kind in enumerate(kinds)]
        assert wide.call(name, *arguments) == narrowed.call(name, *arguments), (name, arguments)
    assert wide.memory() == narrowed.memory()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("size", "grow", "drop")])
def test_each_access_lands_where_it_did_and_stops_beyond_the_end(name):
    wide, narrowed = Living(WIDE), Living(NARROW)
    kinds = wide.parameters(name)[1:]
    for address in (100, 65536, 2**32 - 8, 2**31):
        rest = [3.0 if kind.startswith("f") else 3 for kind in kinds]
        found = wide.call(name, address, *rest)
        assert narrowed.call(name, address, *rest) == found
        assert ("MEMORY_OUT_OF_BOUNDS" in str(found)) == (address > 65536 - 3)
    assert wide.memory() == narrowed.memory()


def test_an_address_beyond_all_memory_wraps_round():
    assert Living(WIDE).call("i32.load8_u", (1 << 32) + 97) != 1
    assert Living(NARROW).call("i32.load8_u", (1 << 32) + 97) == 1


UNSUITABLE = {
    "narrow already": text("1 5", "i32.const 100", ""),
    "no memory": bytes(wasmtime.wat2wasm("(module (func))")),
    "more than 4 GiB to start with": text("i64 65537", rest=""),
    "data beyond 2 GiB": text("i64 65536", "i64.const 0x90000000", ""),
    "data where a global says": bytes(
        wasmtime.wat2wasm('(module (import "a" "b" (global $at i64)) (memory i64 1) (data (global.get $at) "x"))')
    ),
    "a memory from outside": bytes(wasmtime.wat2wasm('(module (import "a" "b" (memory i64 1)) (func))')),
    "an offset beyond 4 GiB": text(rest="(func (param i64) (result i32) (i32.load offset=0x100000000 (local.get 0)))"),
    "exceptions": text(rest="(tag $t) (func (throw $t))"),
}


@pytest.mark.parametrize("wasm", UNSUITABLE.values(), ids=UNSUITABLE)
def test_what_cannot_be_narrowed_stays_as_it_is(wasm):
    assert narrow(wasm) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_module_is_refused_or_narrowed_and_nothing_else_happens(data):
    at = data.draw(st.integers(8, len(WIDE) - 1))
    noise = data.draw(st.binary(max_size=6))
    bad = (WIDE[:at] + noise + WIDE[at + len(noise) :])[: data.draw(st.integers(at, len(WIDE)))]
    try:
        found = narrow(bad)
    except NotWasm:
        return
    assert found is None or found.startswith(b"\0asm")


def test_a_process_with_more_than_4_gib_has_the_same_memory_results_and_about_the_same_gas():
    small, large = Bench("aos2_0_6"), Bench("aos2_0_6", memory=5 << 30)
    assert small.process._module.narrowed and not large.process._module.narrowed
    for code in (
        "T = {} for i = 1, 3000 do T['k' .. i] = i end return #T",
        "return string.rep('x', 10)",
        "error('no')",
    ):
        one, other = small.eval(code), large.eval(code)
        assert (one.output, one.error, one.messages) == (other.output, other.error, other.messages)
        assert abs(one.gas_used / other.gas_used - 1) < 0.05
        assert one.state_root == other.state_root


def test_a_memory_goes_on_under_another_limit():
    small = Bench("aos2_0_6")
    small.eval("Kept = {1, 2}")
    large = Bench("aos2_0_6", memory=5 << 30, snapshot=small.process.snapshot())
    large.number = small.number
    assert large.process.state_root == small.process.state_root
    assert str(large.data("return #Kept")) == "2"
