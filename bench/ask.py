"""How long a person waits for `puna ask`, beside what the model alone takes for the same answer.

    python bench/ask.py [--rounds N] [--tokens N]

Three things in turn, in alternating rounds: the engine asked directly (bare generation); the whole paid road
against a running node; the whole road with an embedded node that the command starts and stops. Times are from the
start of the command (interpreter included) to its first letter and to its end; medians and the worst are printed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from running import running_node

from puna.llm.client import EngineClient, spawn_engine, stop_engine
from puna.models import DEMO_MODEL

PROMPT = "What is the meaning of life?"
PUNA = [sys.executable, "-m", "puna.cli.main"]
FIRST_LETTER_EMBEDDED_S = 6.0
FIRST_LETTER_RUNNING_S = 2.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--tokens", type=int, default=20)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as folder:
        up_home, embedded_home = Path(folder) / "up", Path(folder) / "embedded"
        first = command_times(embedded_home, chosen.tokens)
        print(f"the very first ask in a new home: first letter {first[0]:.2f} s, end {first[1]:.2f} s")
        engine = spawn_engine(Path(folder) / "engine.sock")
        try:
            with running_node(up_home, "--no-land"):
                rounds = [
                    (
                        bare_times(Path(folder) / "engine.sock", chosen.tokens),
                        command_times(up_home, chosen.tokens),
                        command_times(embedded_home, chosen.tokens),
                    )
                    for _ in range(chosen.rounds)
                ]
        finally:
            stop_engine(engine)
    bare, running, embedded = zip(*rounds, strict=True)
    print(f"{'':34}{'first letter':>22}{'whole answer':>22}")
    report("bare generation, engine alone", bare)
    report("puna ask, running node", running)
    report("puna ask, embedded node", embedded)
    verdict("embedded node", embedded, FIRST_LETTER_EMBEDDED_S)
    verdict("running node", running, FIRST_LETTER_RUNNING_S)


def bare_times(address: Path, tokens: int) -> tuple[float, float]:
    """Seconds to the first token and to the last, asked of the engine directly, a prompt it has not seen warm."""
    client = EngineClient(address)
    began = time.perf_counter()
    first: list[float] = []
    prompt = client.encode_chat(DEMO_MODEL, [{"role": "user", "content": PROMPT}])
    client.generate(DEMO_MODEL, prompt, tokens, on_tokens=lambda _: first or first.append(time.perf_counter() - began))
    ended = time.perf_counter() - began
    client.close()
    return first[0], ended


def command_times(home: Path, tokens: int) -> tuple[float, float]:
    """Seconds from the start of the command to the first letter it prints, and to its end."""
    began = time.perf_counter()
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    command = subprocess.Popen(
        [*PUNA, "ask", PROMPT, "--tokens", str(tokens), "--home", str(home)], stdout=subprocess.PIPE, env=environment
    )
    command.stdout.read(1)
    first = time.perf_counter() - began
    command.stdout.read()
    if command.wait() != 0:
        raise SystemExit("puna ask failed; its words are above")
    return first, time.perf_counter() - began


def report(name: str, times: tuple[tuple[float, float], ...]) -> None:
    firsts, ends = zip(*times, strict=True)
    print(f"{name:<34}{spread(firsts):>22}{spread(ends):>22}")


def spread(seconds: tuple[float, ...]) -> str:
    return f"{statistics.median(seconds):.3f} s (max {max(seconds):.3f})"


def verdict(name: str, times: tuple[tuple[float, float], ...], limit_s: float) -> None:
    worst = max(first for first, _ in times)
    print(f"{name}: first letter within {limit_s:g} s in every round: {'yes' if worst < limit_s else 'NO'}")


if __name__ == "__main__":
    main()
