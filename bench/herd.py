"""What the paid road costs beside bare generation, and what many requests at once gain over one at a time.

    python bench/herd.py [--rounds N] [--tokens N] [--requests N] [--concurrent N]

A node with eight workers, and an engine by itself on the same machine, both with the demo model. In alternating rounds
the engine is asked directly, and the herd over HTTP: quote and balance, a signed payment, token, herder, worker,
answer, settlement. Both get the same prompts, each once, and must give the same texts. Printed are medians, and the
difference round by round: what the road costs. Then the same number of requests one at a time and so many at
once, by turns: answers a second, and their ratio.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path

from running import running_node

from puna.arweave.wallet import load_wallet, new_ed25519_wallet
from puna.client.reach import Reached, network_of
from puna.llm.client import EngineClient, spawn_engine, stop_engine
from puna.models import DEMO_MODEL
from puna.services.herder.client import Answer, ask
from puna.services.token.client import transfer

WORKERS = 8
QUESTIONS = ("What is the meaning of life?", "Tell me a joke about cats.", "Who are you?", "What do llamas eat?")
OVERHEAD_S = 0.050
GAIN = 2.5
PURSE_WINSTON = 10_000_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=30, help="of one request by each road")
    options.add_argument("--tokens", type=int, default=40)
    options.add_argument("--requests", type=int, default=32, help="in one measurement of throughput")
    options.add_argument("--concurrent", type=int, default=8)
    options.add_argument("--turns", type=int, default=3, help="of both ways of asking")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as folder:
        engine = spawn_engine(Path(folder) / "engine.sock")
        try:
            with running_node(f"{folder}/home", "--no-land", "--workers", str(WORKERS)) as (places, _):
                asyncio.run(measure(chosen, Path(folder), places["gateway"]))
        finally:
            stop_engine(engine)


async def measure(chosen, folder: Path, gateway: str) -> None:
    async with network_of(gateway) as reached:
        wallet = new_ed25519_wallet()  # signs in microseconds; an RSA wallet would add its 5 ms to each payment
        payer = load_wallet(folder / "home" / "wallet.json")
        await transfer(reached.link, payer, reached.network.token, wallet.address, PURSE_WINSTON)
        prompts = (f"{question} ({number})" for number, question in enumerate(itertools.cycle(QUESTIONS)))
        client = EngineClient(folder / "engine.sock")

        async def paid(prompt: str) -> Answer:
            return await ask(reached.link, wallet, reached.network, prompt, chosen.tokens)

        async def bare(prompt: str) -> str:
            tokens = client.encode_chat(DEMO_MODEL, [{"role": "user", "content": prompt}])
            return (await asyncio.to_thread(client.generate, DEMO_MODEL, tokens, chosen.tokens)).text

        for _ in range(3):  # memories, model and connections
            await bare(warm := next(prompts))
            await paid(warm)
        await overhead(chosen, prompts, bare, paid)
        await throughput(chosen, prompts, paid)
        client.close()
        await check_books(reached)


async def overhead(chosen, prompts, bare, paid) -> None:
    rows = []
    for _ in range(chosen.rounds):
        prompt = next(prompts)
        began = time.perf_counter()
        text = await bare(prompt)
        between = time.perf_counter()
        answer = await paid(prompt)
        rows.append((between - began, time.perf_counter() - between))
        assert answer.text == text, (answer.text, text)
    alone, road = zip(*rows, strict=True)
    costs = [b - a for a, b in rows]
    print(f"{chosen.rounds} requests of at most {chosen.tokens} tokens, one at a time, {os.cpu_count()} cores")
    print(f"bare generation          {1e3 * statistics.median(alone):7.1f} ms")
    print(f"the whole paid road      {1e3 * statistics.median(road):7.1f} ms")
    cost = statistics.median(costs)
    verdict = "yes" if cost < OVERHEAD_S else "NO"
    print(
        f"the road costs           {1e3 * cost:7.1f} ms (worst {1e3 * max(costs):.1f})"
        f"  (goal {1e3 * OVERHEAD_S:.0f} ms: {verdict})"
    )


async def throughput(chosen, prompts, paid) -> None:
    rates: dict[int, list[float]] = {1: [], chosen.concurrent: []}
    for _ in range(chosen.turns):
        for width, found in rates.items():
            waiting = iter([next(prompts) for _ in range(chosen.requests)])

            async def asker(waiting=waiting) -> None:
                for prompt in waiting:
                    await paid(prompt)

            began = time.perf_counter()
            await asyncio.gather(*(asker() for _ in range(width)))
            found.append(chosen.requests / (time.perf_counter() - began))
    one, many = (statistics.median(found) for found in rates.values())
    verdict = "yes" if many / one >= GAIN else "NO"
    print(f"one at a time            {one:7.1f} answers/s")
    print(f"{chosen.concurrent} at once                {many:7.1f} answers/s")
    print(f"gain                     {many / one:7.2f} x (goal {GAIN} x: {verdict})")


async def check_books(reached: Reached) -> None:
    from puna.services.herder.herd import herd

    state = await herd(reached.link, reached.network.herder)
    assert state.credits == state.earned + state.refunded + state.held and state.held == 0, state
    print(f"books: {state.credits} winston paid = {state.earned} earned + {state.refunded} refunded")


if __name__ == "__main__":
    main()
