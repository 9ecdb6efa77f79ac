"""What the tests of this folder work on: the bare module, processes that run it, and evaluators."""

import importlib.util
import json
from functools import cache
from pathlib import Path

from puna.vm.extensions import Host
from puna.vm.machine import Machine
from puna.vm.process import Process
from puna.vm.program import Evaluation, Program

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / ".build-cache" / "tests-vm"
MIB = 1 << 20


@cache
def build_script():
    """module/build.py, which is no part of the package that it builds."""
    path = ROOT / "src/puna/vm/module/build.py"
    spec = importlib.util.spec_from_file_location("puna_vm_module_build", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@cache
def bare_module() -> Path:
    """Lua with the runtime in tests/vm/bare: it runs the Lua that a message's Data holds."""
    path = BUILT / "puna-bare.wasm"
    build_script().build_module(path, Path(__file__).parent / "bare", ROOT / ".build-cache")
    return path


@cache
def bare_sqlite_module() -> Path:
    """The bare module with SQLite in it."""
    path = BUILT / "puna-bare-sqlite.wasm"
    build_script().build_sqlite_module(path, Path(__file__).parent / "bare", ROOT / ".build-cache")
    return path


@cache
def machine() -> Machine:
    return Machine(BUILT / "compiled")


def program(*, memory: int = 16 * MIB, gas: int = 2_000_000_000, extensions=(), module=None, environment=b"{}"):
    return Program(str(module or bare_module()), "bare", memory, gas, tuple(extensions), environment)


def message(code: str, **fields) -> bytes:
    return json.dumps({"Data": code, "Timestamp": 1_700_000_000_123, **fields}).encode()


class Bench:
    """A process in this very test: `run` applies a chunk of Lua as a message."""

    def __init__(self, program_: Program | None = None, host: Host | None = None, snapshot: bytes | None = None):
        self.program = program_ or program()
        self.process = Process(machine(), self.program, host or Host(), snapshot)

    @property
    def root(self) -> bytes:
        return self.process.state_root

    def run(self, code: str, **fields) -> Evaluation:
        return self.process.apply(message(code, **fields), "message").evaluation()

    def output(self, code: str):
        evaluation = self.run(code)
        assert evaluation.error is None, evaluation.error
        return evaluation.output

    def error(self, code: str) -> str:
        evaluation = self.run(code)
        assert evaluation.error, f"no error but {evaluation.output!r}"
        return evaluation.error

    def preview(self, code: str) -> Evaluation:
        return self.process.preview(message(code)).evaluation()

    def restored(self) -> "Bench":
        return Bench(self.program, None, self.process.snapshot())
