"""How soon a process stands again where its checkpoint left it: mapped from a page file, or read cold.

    python bench/state.py [--rounds N]

Three processes of our own module, with 0, 10,000 and 200,000 table entries, each with a whole checkpoint and a chain
of small increments to it. Timed, in turns within one run: *mapped*, the page file is there (the hot start); *first*,
the same in an evaluator that has just begun: it compares the page file's blocks with their digests, and loads the
compiled module; *cold*, the file is not there, so the whole snapshot is inflated, hashed and written as a page file;
*copied*, as without page files: inflated, hashed and copied. Each ends when the memory answers for its state root.
Beside them the time and size of an increment and of a whole checkpoint, and what a mapped process keeps of the
machine's memory. The goal is for both hot starts, mapped and first.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import puna
from puna.vm.checkpoint import Checkpoint, digest_of
from puna.vm.extensions import Host
from puna.vm.machine import Machine
from puna.vm.pagefile import PageFiles
from puna.vm.process import Process
from puna.vm.program import Program

MODULE = Path(puna.__file__).parent / "vm/module/_built/puna-lua.wasm"
ENTRIES = (0, 10_000, 200_000)
INCREMENTS = 8
GOAL_S = 0.05
FILL = "Balances = {{}} for i = 1, {} do Balances[i .. 'a' .. i * 7919] = tostring(i * i) end collectgarbage()"
WHO, OWNER = "A" * 43, "O" * 43


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=9)
    rounds = options.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="puna-state-") as folder:
        compiled = Path(folder) / "compiled"
        met = [measure(compiled, Path(folder) / str(entries), entries, rounds) for entries in ENTRIES]
    print(f"hot start, also the first, within {GOAL_S * 1000:.0f} ms: {'yes' if all(met) else 'NO'}")


def measure(compiled: Path, folder: Path, entries: int, rounds: int) -> bool:
    machine, pages = Machine(compiled), PageFiles(folder)
    process = Process(machine, program(), Host(), None, pages)
    say(process, FILL.format(entries))
    base, whole_s = timed(process.checkpoint)
    increments: list[bytes] = []
    for number in range(INCREMENTS):
        say(process, f"Balances['{number}a'] = '{number}'")
        made, increment_s = timed(lambda: process.checkpoint(digest_of([base, *increments][-1])))
        increments.append(made)
    root = process.state_root
    start = Checkpoint(digest_of(base), None, tuple(increments), root)
    cold_start = Checkpoint(digest_of(base), base, tuple(increments), root)

    def mapped() -> Process:
        return Process(machine, program(), Host(), start, pages)

    def cold() -> Process:
        return Process(machine, program(), Host(), cold_start, pages)

    def copied() -> Process:
        return Process(machine, program(), Host(), cold_start)

    def first() -> Process:
        return Process(Machine(compiled), program(), Host(), start, PageFiles(folder))

    times: dict[str, list[float]] = {"mapped": [], "first": [], "cold": [], "copied": []}
    for _ in range(rounds):
        for way in (mapped, copied):
            times[way.__name__].append(started(way, root))
        for file in folder.glob("*.pages"):
            file.unlink()
        times["cold"].append(started(cold, root))
        mapped().close()
        times["first"].append(started(first, root))
    again = mapped()
    say(again, "return 1")
    print(f"{entries} entries: memory {process._shadow.size / 1e6:.1f} MB, {INCREMENTS} increments")
    for name, taken in times.items():
        print(f"  start, {name:<9}{statistics.median(taken) * 1000:9.1f} ms median{max(taken) * 1000:9.1f} ms worst")
    print(f"  checkpoint, whole       {whole_s * 1000:9.1f} ms{len(base) / 1000:12.1f} KB")
    print(f"  checkpoint, increment   {increment_s * 1000:9.1f} ms{len(increments[-1]) / 1000:12.1f} KB")
    kept = f"{again.held_bytes / 1000:9.0f} KB mapped, {process.held_bytes / 1000:.0f} KB otherwise"
    print(f"  kept after a message    {kept}")
    process.close()
    again.close()
    return max(statistics.median(times["mapped"]), statistics.median(times["first"])) < GOAL_S


def started(way: Callable[[], Process], root: bytes) -> float:
    process, taken = timed(way)
    assert process.state_root == root
    process.close()
    return taken


def timed(call: Callable):
    begun = time.perf_counter()
    found = call()
    return found, time.perf_counter() - begun


def say(process: Process, code: str) -> None:
    fields = {
        "Id": "I" * 43, "Target": WHO, "Owner": OWNER, "From": OWNER, "Tags": [{"name": "Action", "value": "Eval"}],
        "Data": code, "Timestamp": 1, "Block-Height": "1", "Module": "M" * 43,
    }  # fmt: skip
    found = process.apply(json.dumps(fields).encode(), "bench").evaluation()
    assert found.error is None, found.error


def program() -> Program:
    parties = {
        "Process": {"Id": WHO, "Owner": OWNER, "Tags": []},
        "Module": {"Id": "M" * 43, "Owner": OWNER, "Tags": []},
    }
    return Program(str(MODULE), "module", 256 << 20, 100_000_000_000, (), json.dumps(parties).encode())


if __name__ == "__main__":
    main()
