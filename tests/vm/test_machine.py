"""The cache of compiled modules may vanish or be damaged at any moment without changing an answer."""

import shutil

import pytest
import wasmtime
from vm.bench import Bench, bare_module, bare_sqlite_module, message, program

from puna.vm.extensions import Host
from puna.vm.machine import Machine
from puna.vm.process import Process


@pytest.fixture
def compilations(monkeypatch):
    """Counts compilations; a compiled module comes back from the one made first, which saves half a second each."""
    made, real = [], wasmtime.Module

    def compile_(engine, wasm):
        made.append(len(wasm))
        return real(engine, wasm)

    compile_.deserialize = real.deserialize
    monkeypatch.setattr(wasmtime, "Module", compile_)
    return made


def answer(cache) -> tuple:
    process = Process(Machine(cache), program(), Host())
    step = process.apply(message("X = tostring({}) return X"), "m")
    return step, process.state_root


def test_compiled_modules_are_kept_checked_and_made_again(tmp_path, compilations):
    expected = answer(tmp_path)
    assert len(compilations) == 1
    assert answer(tmp_path) == expected
    assert len(compilations) == 1

    [file] = tmp_path.iterdir()
    code = bytearray(file.read_bytes())
    code[len(code) // 2] ^= 1  # one bit, somewhere in the machine code
    file.write_bytes(code)
    assert answer(tmp_path) == expected
    assert len(compilations) == 2

    file.write_bytes(b"")
    assert answer(tmp_path) == expected
    assert len(compilations) == 3
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert answer(tmp_path / "file") == (answer(tmp_path / "fresh"))


def test_a_module_is_known_by_its_bytes(tmp_path):
    shutil.copy(bare_module(), tmp_path / "copy.wasm")
    bench = Bench()
    twin = Process(bench.process._machine, program(module=tmp_path / "copy.wasm"), Host(), bench.process.snapshot())
    assert twin.state_root == bench.root


@pytest.mark.parametrize("module", [bare_module, bare_sqlite_module])
def test_nothing_but_memory_and_the_stack_pointer_changes(module):
    """A snapshot is of the memory alone, so the module must have no other state: no further mutable global, no table
    that code writes to (Lua and SQLite have none to write)."""
    globals_ = mutable_globals(module().read_bytes())
    assert globals_ == 1


def mutable_globals(wasm: bytes) -> int:
    """The number of mutable globals a module defines. Source: WebAssembly core specification, binary format 5.5.9."""
    at = 8
    while at < len(wasm):
        section, (size, at) = wasm[at], leb128(wasm, at + 1)
        if section == 6:
            count, inside = leb128(wasm, at)
            mutable = 0
            for _ in range(count):
                mutable += wasm[inside + 1]
                inside = wasm.index(b"\x0b", leb128(wasm, inside + 3)[1]) + 1  # opcode, constant, end
            return mutable
        at += size
    return 0


def leb128(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at
