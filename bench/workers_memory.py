"""What four workers of one large model cost in memory, all processes of the node counted.

    python bench/workers_memory.py [--model FILE] [--workers N] [--tokens N]

Starts a node whose herd serves a 1.1 B-parameter random-weight Q8_0 model (made when it is not there), has every
worker generate at the same time, and adds up the proportional set sizes (PSS) of the node's processes: pages that
processes share are counted once in all. Linux only. Prints the parts, the total, and the ratio to the file's size.
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from inference import model_file

from puna.node.home import Home
from puna.node.node import Node, Options
from puna.services import letters

RATIO_MAX = 1.3
MIB = 1 << 20


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--model", type=Path, default=None)
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--tokens", type=int, default=16)
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "puna-bench")
    chosen = options.parse_args()
    model = chosen.model or model_file(chosen.folder, "tl11", "q8_0")
    with tempfile.TemporaryDirectory(prefix="puna-home-", dir=model.parent) as home:
        asyncio.run(measure(Path(home), model, chosen.workers, chosen.tokens))


async def measure(folder: Path, model: Path, workers: int, tokens: int) -> None:
    home = Home(folder)
    assert home.lock()
    node = await Node.start(home, Options(serve=False, model=model, workers=workers))
    try:
        before = pss_by_process()
        busiest, most = before, 0
        async with node.link.events() as events:
            for number in range(workers):
                await node.link.submit(request(node, number, tokens))
            started, answered = set(), 0
            async for event in events:
                if event["kind"] == "token":
                    started.add(event["process"])
                    now = pss_by_process()
                    if sum(now.values()) > most:
                        busiest, most = now, sum(now.values())
                if event["kind"] == "stored" and event["target"] == node.user.address:
                    answered += 1
                    if answered >= 2 * workers:  # a debit notice and an answer for each request
                        break
    finally:
        await node.stop()
    size = model.stat().st_size
    print(f"model file                      {size / MIB:9.1f} MiB")
    print(f"node before the first question  {sum(before.values()) / MIB:9.1f} MiB")
    for name, pss in sorted(busiest.items(), key=lambda each: -each[1]):
        print(f"  {name:<30}{pss / MIB:9.1f} MiB")
    print(f"at most while {len(started)} workers generate {most / MIB:9.1f} MiB = {most / size:.3f} x the file")
    print(f"below {RATIO_MAX} x: {'yes' if most < RATIO_MAX * size else 'NO'}")


def request(node: Node, number: int, tokens: int):
    tags = {
        "Action": "Transfer", "Recipient": node.network.herder, "Quantity": "100000",
        "X-Prompt": f"question number {number} about the lake and the hill", "X-Tokens": str(tokens),
        "X-Reference": f"memory-{number}",
    }  # fmt: skip
    return letters.message(node.user, node.network.token, tags)


def pss_by_process() -> dict[str, int]:
    """Bytes by process, for this one and all below it."""
    return {f"{name} {pid}": pss_of(pid) for pid, name in family(os.getpid())}


def family(root: int) -> list[tuple[int, str]]:
    members, parents = [], {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    below = [root]
    while below:
        pid = below.pop()
        members.append((pid, role_of(pid, root)))
        below += [child for child, parent in parents.items() if parent == pid]
    return members


def role_of(pid: int, root: int) -> str:
    if pid == root:
        return "node"
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return next((word.removeprefix("puna.") for word in words if word.startswith("puna.")), "process")


def pss_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
