"""What the paid road costs beside bare generation, and what many requests at once gain over one at a time.

    python bench/herd.py [--rounds N] [--tokens N] [--long N] [--requests N] [--concurrent N] [--crowd N] [--workers N]

A node as `puna up` starts it, or with more workers, and an engine by itself on the same machine, both with the demo
model. In alternating rounds the engine is asked directly, and the herd over HTTP: quote and balance, a signed
payment, token, herder, worker, answer, settlement. Both get the same prompts, each once, and must give the same
texts. Printed are medians, and the difference round by round: what the road costs. Then requests one at a time and so
many at once, by turns: answers a second while so many are under way all the time, and their ratio. This is done three
times: with the answers that the demo model gives, which are a sentence, and with a crowd at once as well; with long
ones, from the same weights in a file that names another token as the end of an answer, so that each has as many
tokens as were asked for; and with a model of 134 million random weights, whose answers take a third of a second, so
that it is the model that counts, not the road. Last comes what the machine itself gains from its second core: two
engines with one thread each, by themselves and both at once. What a request costs beside its model is a chain of
durable steps: the time of one is printed, too, for a slower disk favours many.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from make_random_gguf import Shape, write_random_gguf
from running import running_node

from puna.arweave.wallet import load_wallet, new_ed25519_wallet
from puna.client.reach import Reached, network_of
from puna.llm.client import EngineClient, spawn_engine, stop_engine
from puna.models import DEMO_MODEL
from puna.services.herder.client import Answer, ask
from puna.services.token.client import transfer

QUESTIONS = ("What is the meaning of life?", "Tell me a joke about cats.", "Who are you?", "What do llamas eat?")
OVERHEAD_S = 0.050
GAIN = 2.5
PURSE_WINSTON = 10_000_000
MACHINE_TURNS, MACHINE_ANSWERS = 3, 50
UINT32 = 4  # the type of a number in a GGUF file's head
LARGE = Shape(dim=768, layers=12, heads=12, kv_heads=12, ffn=2048, vocab=32000, context=1024)
LARGE_REQUESTS = 24  # in one measurement of throughput
SYNCS, SYNC_BYTES = 200, 8192

Paid = Callable[[str, int], Awaitable[Answer]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=30, help="of one request by each road")
    options.add_argument("--tokens", type=int, default=40, help="of an answer, at most")
    options.add_argument("--long", type=int, default=100, help="tokens of a long answer, exactly")
    options.add_argument("--large", type=int, default=60, help="tokens of a large model's answer, exactly")
    options.add_argument("--requests", type=int, default=64, help="in one measurement of throughput")
    options.add_argument("--concurrent", type=int, default=8)
    options.add_argument("--crowd", type=int, default=64, help="at once, more than the herd has workers for")
    options.add_argument("--turns", type=int, default=6, help="of both ways of asking")
    options.add_argument("--workers", type=int, default=None, help="of the herd (default: as many as `puna up` starts)")
    chosen = options.parse_args()
    herd = () if chosen.workers is None else ("--workers", str(chosen.workers))
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as folder:
        engine = spawn_engine(Path(folder) / "engine.sock")
        try:
            with herd_of(f"{folder}/home", *herd) as place:
                asyncio.run(measure(chosen, Path(folder), place))
        finally:
            stop_engine(engine)
        endless = Path(folder) / "endless.gguf"
        endless.write_bytes(without_end(DEMO_MODEL.read_bytes()))
        with herd_of(f"{folder}/endless", "--model", str(endless), *herd) as place:
            asyncio.run(measure_long(chosen, chosen.long, chosen.requests, Path(folder) / "endless", place))
        large = Path(folder) / "large.gguf"
        write_random_gguf(large, LARGE, "q8_0")
        with herd_of(f"{folder}/large", "--model", str(large), *herd) as place:
            asyncio.run(measure_long(chosen, chosen.large, LARGE_REQUESTS, Path(folder) / "large", place))
        measure_machine(Path(folder), endless)
        measure_disk(Path(folder) / "synced")


@contextmanager
def herd_of(home: str, *options: str) -> Iterator[str]:
    """The gateway of a node with workers."""
    with running_node(home, "--no-land", *options) as (places, _):
        yield places["gateway"]


def without_end(gguf: bytes) -> bytes:
    """The same model in which the token that ends an answer is called something else, and token 0, which no text has,
    is named as the end.
    """
    for name in (b"eos", b"eot"):
        key = b"tokenizer.ggml." + name + b"_token_id" + UINT32.to_bytes(4, "little")
        at = gguf.index(key) + len(key)
        gguf = gguf[:at] + bytes(4) + gguf[at + 4 :]
    return gguf.replace(b"<|end|>", b"<|mid|>")


@asynccontextmanager
async def herd_at(gateway: str, home: Path) -> AsyncIterator[tuple[Reached, Paid]]:
    """A network, and what pays for an answer there."""
    async with network_of(gateway) as reached:
        wallet = new_ed25519_wallet()  # signs in microseconds; an RSA wallet would add its 5 ms to each payment
        payer = load_wallet(home / "wallet.json")
        await transfer(reached.link, payer, reached.network.token, wallet.address, PURSE_WINSTON)

        async def paid(prompt: str, tokens: int) -> Answer:
            return await ask(reached.link, wallet, reached.network, prompt, tokens)

        yield reached, paid


def prompts_for_ever() -> Iterator[str]:
    return (f"{question} ({number})" for number, question in enumerate(itertools.cycle(QUESTIONS)))


async def measure(chosen, folder: Path, gateway: str) -> None:
    async with herd_at(gateway, folder / "home") as (reached, pay):
        prompts = prompts_for_ever()
        client = EngineClient(folder / "engine.sock")

        async def paid(prompt: str) -> Answer:
            return await pay(prompt, chosen.tokens)

        async def bare(prompt: str) -> str:
            tokens = client.encode_chat(DEMO_MODEL, [{"role": "user", "content": prompt}])
            return (await asyncio.to_thread(client.generate, DEMO_MODEL, tokens, chosen.tokens)).text

        for _ in range(3):  # memories, model and connections
            await bare(warm := next(prompts))
            await paid(warm)
        await overhead(chosen, prompts, bare, paid)
        await throughput(chosen, chosen.requests, prompts, paid, crowd=chosen.crowd)
        client.close()
        await check_books(reached)


async def measure_long(chosen, tokens: int, requests: int, home: Path, gateway: str) -> None:
    async with herd_at(gateway, home) as (reached, pay):
        prompts = prompts_for_ever()

        async def paid(prompt: str) -> Answer:
            answer = await pay(prompt, tokens)
            assert answer.tokens == tokens, answer
            return answer

        for _ in range(2):
            await paid(next(prompts))
        await throughput(chosen, requests, prompts, paid)
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


async def throughput(chosen, requests: int, prompts, paid, crowd: int | None = None) -> None:
    rates: dict[int, list[float]] = {width: [] for width in (1, chosen.concurrent, crowd) if width}
    lengths: list[int] = []

    async def counted(prompt: str) -> None:
        lengths.append((await paid(prompt)).tokens)

    for _ in range(chosen.turns):
        for width, found in rates.items():
            found.append(await rate(width, requests, prompts, counted))
    one, many, *most = (statistics.median(found) for found in rates.values())
    verdict = "yes" if many / one >= GAIN else "NO"
    print(f"answers of {statistics.mean(lengths):.0f} tokens on average")
    print(f"  one at a time          {one:7.1f} answers/s")
    print(f"  {chosen.concurrent} at once              {many:7.1f} answers/s")
    print(f"  gain                   {many / one:7.2f} x (goal {GAIN} x: {verdict})")
    for rate_of_crowd in most:
        print(f"  {crowd} at once             {rate_of_crowd:7.1f} answers/s, {rate_of_crowd / one:.2f} x")


async def rate(width: int, requests: int, prompts: Iterator[str], paid: Callable[[str], Awaitable[None]]) -> float:
    """Answers a second while `width` requests are under way. The first and the last that many, which have fewer beside
    them, are not counted.
    """
    waiting = iter([next(prompts) for _ in range(requests + 2 * width)])
    ended: list[float] = []

    async def asker() -> None:
        for prompt in waiting:
            await paid(prompt)
            ended.append(time.perf_counter())

    await asyncio.gather(*(asker() for _ in range(width)))
    return requests / (ended[width + requests - 1] - ended[width - 1])


def measure_machine(folder: Path, model: Path) -> None:
    """How much more two processes do at once than one of them by itself."""
    engines = [spawn_engine(folder / f"engine-{number}.sock", threads=1) for number in (1, 2)]
    clients = [EngineClient(folder / f"engine-{number}.sock") for number in (1, 2)]
    try:
        one, both = [], []
        for _ in range(MACHINE_TURNS):
            one.append(answers_a_second(clients[:1], model))
            both.append(answers_a_second(clients, model))
    finally:
        for client, engine in zip(clients, engines, strict=True):
            client.close()
            stop_engine(engine)
    gain = statistics.median(both) / statistics.median(one)
    print(f"two engines at once do {gain:.2f} x the work of one: what this machine's second core adds")


def answers_a_second(clients: list[EngineClient], model: Path) -> float:
    def answer(client: EngineClient) -> None:
        for _ in range(MACHINE_ANSWERS):
            client.generate(model, [1, 2, 3], 64)

    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(answer, clients))  # models and connections
        began = time.perf_counter()
        list(pool.map(answer, clients))
        return MACHINE_ANSWERS * len(clients) / (time.perf_counter() - began)


def measure_disk(path: Path) -> None:
    took = []
    with open(path, "wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(SYNC_BYTES))
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    print(f"a write to this disk is durable after {1e3 * statistics.median(took):.2f} ms")


async def check_books(reached: Reached) -> None:
    from puna.services.herder.herd import herd

    state = await herd(reached.link, reached.network.herder)
    assert state.credits == state.earned + state.refunded + state.held and state.held == 0, state
    print(f"books: {state.credits} winston paid = {state.earned} earned + {state.refunded} refunded")


if __name__ == "__main__":
    main()
