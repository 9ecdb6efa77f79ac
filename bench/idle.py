"""What an idle process costs a node, and how quickly a random one of thousands answers.

    python bench/idle.py [--processes N] [--asked N] [--quick]

Starts a node without doors, spawns N processes of our own module and waits until each has booted. Memory is the
proportional set size (PSS) of all the node's processes, with the idle ones less without them, divided by their
number. Then signed messages go to random processes, one at a time, and each is timed from its signature to its
result. Linux only. Prints both goals and where the time goes.
"""

import argparse
import asyncio
import gc
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from workers_memory import pss_by_process

from puna.ao.compute.unit import ATTACHED_MAX, HELD_BYTES_MAX
from puna.arweave.dataitem import DataItem, sign_item
from puna.arweave.store.port import Query
from puna.node.home import Home
from puna.node.node import Node, Options
from puna.services import letters

KIB = 1 << 10
MEMORY_GOAL, ANSWER_GOAL_S = 100_000, 0.1
AT_ONCE = 64  # spawns under way
SETTLED_S = 1.0  # before memory is read: what the last messages left behind is given back by then


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--processes", type=int, default=10_000)
    options.add_argument("--asked", type=int, default=200)
    options.add_argument("--quick", action="store_true", help="500 processes")
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    chosen = options.parse_args()
    count = 500 if chosen.quick else chosen.processes
    with tempfile.TemporaryDirectory(prefix="puna-idle-", dir=chosen.folder) as home:
        asyncio.run(measure(Path(home), count, chosen.asked))


async def measure(folder: Path, count: int, asked: int) -> None:
    home = Home(folder)
    assert home.lock()
    node = await Node.start(home, Options(serve=False, workers=1))
    try:
        module = node.store.find(Query(tags=(("Type", ("Module",)),), limit=1))[0].item.id
        await spawn(node, [process(node, module, -1 - number) for number in range(AT_ONCE)])
        before = await settled()
        items = [process(node, module, number) for number in range(count)]
        ids = [item.id for item in items]
        started = time.perf_counter()
        await spawn(node, items)
        spawned_s = time.perf_counter() - started
        del items
        after = await settled()
        each = (sum(after.values()) - sum(before.values())) / count
        print(f"{count} processes spawned in {spawned_s:.1f} s, {count / spawned_s:.0f}/s")
        for name, pss in sorted(after.items(), key=lambda row: -row[1]):
            print(f"  {name:<30}{before.get(name, 0) / KIB:10.0f} KiB before{pss / KIB:10.0f} KiB after")
        goal = f"below {MEMORY_GOAL / 1000:.0f} KB: {met(each < MEMORY_GOAL)}"
        print(f"an idle process costs {each / 1000:.1f} KB of memory; {goal}")
        print(
            f"  at most {ATTACHED_MAX} of them, of {HELD_BYTES_MAX >> 20} MiB, are kept ready; the others are on disk"
        )
        await answers(node, ids, asked)
    finally:
        await node.stop()


async def answers(node: Node, ids: list[str], asked: int) -> None:
    choose = random.Random(1)
    placed, whole = [], []
    for number in range(asked):
        process_id = choose.choice(ids)
        message = eval_message(node, process_id, number)
        started = time.perf_counter()
        await node.link.submit(message)
        placed.append(time.perf_counter() - started)
        result = await node.link.result(process_id, message.id)
        whole.append(time.perf_counter() - started)
        assert result.error is None and result.output["data"] == str(number), result
    middle, worst = sorted(whole)[asked // 2], max(whole)
    rest = sorted(end - start for start, end in zip(placed, whole, strict=True))
    goal = f"within {ANSWER_GOAL_S * 1000:.0f} ms: {met(worst < ANSWER_GOAL_S)}"
    print(f"a random one answers in {ms(middle)} (median of {asked}), worst {ms(worst)}; {goal}")
    print(f"  until the message is durable and has its place: {ms(sorted(placed)[asked // 2])} (median)")
    print(f"  memory brought back, evaluation, attestation: {ms(rest[asked // 2])}")
    again = eval_message(node, process_id, -1)
    started = time.perf_counter()
    await node.link.submit(again)
    await node.link.result(process_id, again.id)
    print(f"  the same to a process whose memory is there: {ms(time.perf_counter() - started)}")


async def spawn(node: Node, items: list[DataItem]) -> None:
    """Hand over all spawns, a few at a time, and wait until each process has evaluated its own."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(item: DataItem) -> None:
        async with room:
            await node.link.submit(item)
            await node.link.result(item.id, item.id)

    await in_pieces(items, one)


async def in_pieces(items: list[DataItem], one: Callable[[DataItem], Awaitable[None]]) -> None:
    for start in range(0, len(items), 16 * AT_ONCE):
        await asyncio.gather(*(one(item) for item in items[start : start + 16 * AT_ONCE]))


def process(node: Node, module: str, number: int) -> DataItem:
    tags = {
        "Data-Protocol": "ao", "Variant": "ao.TN.1", "Type": "Process", "Module": module, "Name": f"idle {number}",
        "Scheduler": node.keys.scheduler.address, "Authority": node.keys.messenger.address,
    }  # fmt: skip
    return sign_item(node.keys.operator, data=b" ", tags=tuple(tags.items()))


def eval_message(node: Node, process_id: str, number: int) -> DataItem:
    return letters.message(node.keys.operator, process_id, {"Action": "Eval"}, f"return {number}".encode())


async def settled() -> dict[str, int]:
    gc.collect()
    await asyncio.sleep(SETTLED_S)
    return pss_by_process()


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def met(goal: bool) -> str:
    return "yes" if goal else "NO"


if __name__ == "__main__":
    main()
