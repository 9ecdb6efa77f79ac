"""How many messages per second one node takes in, evaluates and pushes, and how many it reads back, over HTTP.

    python bench/node.py [--clients 64] [--seconds 10]

It starts `puna up` on a home of its own and drives it with closed-loop clients, as aoconnect would: each posts a
signed message, asks for its result, and only then posts the next. Every message makes its process send one to
another process, so each counts four times: accepted (202, durable and scheduled), evaluated (result read), pushed
(its outbox message has its place at the receiver) and read back (from the scheduler's feed). Clients and node share
the machine: what the clients cost is printed, too. At the end the parts of a message are timed one by one.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
from running import running_node

from puna.arweave.dataitem import decode_item, encode_item, sign_item, verify_item
from puna.arweave.store.sqlite import open_store
from puna.arweave.wallet import new_ed25519_wallet

PROTOCOL = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1")]
PAGE = 1000
READERS = 2
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--processes", type=int, default=8, help="processes that the clients speak to")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=4.0, help="seconds before counting begins")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as folder:
        with running_node(f"{folder}/home", "--no-land") as (places, pid):
            asyncio.run(drive(places, options, pid))
        parts(Path(folder))


async def drive(places: dict, options, node_pid: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as web:
        wallet = new_ed25519_wallet()
        sink = await spawn(web, places, wallet, "sink", "Handlers.add('Note', 'Note', function(m) end)")
        program = f"Handlers.add('Go', 'Go', function(m) Send({{Target = '{sink}', Action = 'Note'}}) end)"
        speak_to = [await spawn(web, places, wallet, f"p{n}", program) for n in range(options.processes)]
        clients = [(wallet, speak_to[n % len(speak_to)], n) for n in range(options.clients)]
        await settled(web, places, sink, (await run(places, clients, options.warm_up)).accepted)
        before = await height(web, places, sink)
        began, cpu_began, node_began = time.perf_counter(), time.process_time(), cpu_by_part(node_pid)
        tally = await run(places, clients, options.seconds)
        seconds = time.perf_counter() - began
        pushed_live = await height(web, places, sink) - before
        await settled(web, places, sink, before + tally.accepted)
        drained = time.perf_counter() - began
        spent = Counter(cpu_by_part(node_pid))
        spent.subtract(node_began)
        spent["clients (this bench)"] = time.process_time() - cpu_began
        print(f"{options.clients} clients, {options.processes} processes, {seconds:.1f} s, {os.cpu_count()} cores")
        print(f"accepted and scheduled {tally.accepted / seconds:8.0f} /s")
        print(f"evaluated and read     {tally.evaluated / seconds:8.0f} /s")
        print(f"pushed                 {pushed_live / seconds:8.0f} /s")
        print(
            f"all of it, sustained   {tally.accepted / drained:8.0f} /s   (until the last was evaluated where it went)"
        )
        read, reading_s = await read_back(web, places, sink)
        print(f"read back from feed    {read / reading_s:8.0f} /s   ({read} messages in {reading_s:.2f} s)")
        print(f"post until 202         {1000 * tally.accepting_s / max(1, tally.accepted):8.1f} ms on average")
        print(f"then until the result  {1000 * tally.evaluating_s / max(1, tally.evaluated):8.1f} ms on average")
        print("processor time          us a message   of all cores")
        for part, cpu_s in spent.most_common():
            share = 100 * cpu_s / (drained * (os.cpu_count() or 1))
            print(f"  {part:<22} {1e6 * cpu_s / max(1, tally.accepted):11.0f} {share:12.0f} %")


@dataclass
class Tally:
    """What the clients of one run have seen, and how long they waited for it in all."""

    accepted: int = 0
    evaluated: int = 0
    accepting_s: float = 0.0
    evaluating_s: float = 0.0


async def run(places, clients: list, seconds: float) -> Tally:
    """Closed-loop clients, each a wallet, the process it speaks to, and a number of its own."""
    tally, end = Tally(), time.perf_counter() + seconds
    await asyncio.gather(*(client(places, *each, end, tally) for each in clients))
    return tally


class Line:
    """A connection that is kept, with as little of HTTP as a client needs: the node is to be measured, not aiohttp."""

    def __init__(self, url: str):
        self._at = urlsplit(url)
        self._reader = self._writer = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._at.hostname, self._at.port)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._at.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        told = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        size = int(told.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return int(told.split(b" ", 2)[1]), await self._reader.readexactly(size)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


async def client(places, wallet, process: str, number: int, end: float, tally: Tally) -> None:
    messenger, compute = Line(places["mu"]), Line(places["cu"])
    while time.perf_counter() < end:
        tags = [("Action", "Go"), ("N", f"{number} {time.monotonic_ns()}"), *PROTOCOL, ("Type", "Message")]
        item = sign_item(wallet, data=b" ", tags=tags, target=process)
        began = time.perf_counter()
        status, body = await messenger.ask("POST", "/", encode_item(item))
        assert status == 202, body
        accepted = time.perf_counter()
        tally.accepted += 1
        status, body = await compute.ask("GET", f"/result/{item.id}?process-id={process}")
        assert status == 200, body
        tally.evaluated += 1
        tally.accepting_s += accepted - began
        tally.evaluating_s += time.perf_counter() - accepted
    messenger.close()
    compute.close()


async def settled(web, places, process: str, count: int) -> None:
    """Return once `process` has so many messages, and the last of them is evaluated."""
    while await height(web, places, process) < count:
        await asyncio.sleep(0.05)
    async with web.get(f"{places['su']}/{process}/latest") as reply:
        message = msgspec.json.decode(await reply.read())["message"]["id"]
    async with web.get(f"{places['cu']}/result/{message}", params={"process-id": process}) as reply:
        assert reply.status == 200, await reply.text()


async def spawn(web, places, wallet, name: str, program: str) -> str:
    tags = [("Name", name), *PROTOCOL, ("Type", "Process"), ("Module", places["module"]), ("On-Boot", "Data")]
    tags += [("Scheduler", places["scheduler"]), ("Authority", places["authority"])]
    item = sign_item(wallet, data=program.encode(), tags=tags)
    async with web.post(places["mu"] + "/", data=encode_item(item)) as reply:
        assert reply.status == 202, await reply.text()
    async with web.get(f"{places['cu']}/result/{item.id}", params={"process-id": item.id}) as reply:
        result = await reply.json()
        assert "Error" not in result, result
    return item.id


async def height(web, places, process: str) -> int:
    async with web.get(f"{places['su']}/{process}/latest") as reply:
        newest = msgspec.json.decode(await reply.read())["assignment"]
    return int(next(tag["value"] for tag in newest["tags"] if tag["name"] == "Nonce"))


async def read_back(web, places, process: str) -> tuple[int, float]:
    """Read the whole schedule of `process`, decoded; answers entries and seconds. Two readers share it by pages."""
    began, last = time.perf_counter(), await height(web, places, process)
    pages = iter(range(-1, last, PAGE))

    async def reader() -> int:
        read = 0
        for after in pages:
            query = {"process-id": process, "limit": PAGE, "from-nonce": after}
            async with web.get(f"{places['su']}/{process}", params=query) as reply:
                page = msgspec.json.decode(await reply.read())
            assert [int(edge["cursor"]) for edge in page["edges"]] == list(
                range(after + 1, min(after + PAGE, last) + 1)
            )
            read += len(page["edges"])
        return read

    read = sum(await asyncio.gather(*(reader() for _ in range(READERS))))
    return read, time.perf_counter() - began


def cpu_by_part(pid: int) -> dict[str, float]:
    """Seconds of processor time used so far by the node's threads and processes; empty where the system hides them."""
    parts: Counter[str] = Counter()
    for process in (pid, *children_of(pid)):
        for task in Path(f"/proc/{process}/task").glob("*"):
            name, fields = (task / "stat").read_text().rsplit("(", 1)[1].rsplit(")", 1)
            spent = fields.split()[11:13]
            parts[part_name(process == pid, int(task.name) == pid, name)] += sum(map(int, spent)) / TICKS_A_SECOND
    return parts


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


def part_name(is_node: bool, is_main: bool, thread: str) -> str:
    if not is_node:
        return "evaluators, engine"
    if is_main:
        return "node: event loop"
    return "node: store writer" if thread.startswith("puna-store-writ") else "node: other threads"


def parts(folder: Path) -> None:
    """What the parts of one message cost on this machine, each alone and warm."""
    wallet = new_ed25519_wallet()
    tags = [("Action", "Go"), *PROTOCOL, ("Type", "Message")]
    items = [sign_item(wallet, data=b" ", tags=[*tags, ("N", str(n))], target="A" * 43) for n in range(1024)]
    encoded = [encode_item(item) for item in items]
    decoded = [decode_item(body) for body in encoded]

    def timed(name: str, work, count: int) -> None:
        began = time.perf_counter()
        work()
        print(f"{name:<34} {1e6 * (time.perf_counter() - began) / count:8.0f} us")

    print("the parts of a message, each alone")
    timed("decode an item", lambda: [decode_item(body) for body in encoded], 1024)
    timed("verify its signature (Ed25519)", lambda: [verify_item(item) for item in decoded], 1024)
    timed("sign an assignment or attestation", lambda: [sign_item(wallet, data=b" ", tags=tags) for _ in items], 1024)

    async def append(size: int, batch: list) -> None:
        store = open_store(folder / f"store-{size}")
        for start in range(0, len(batch), size):
            await store.append(batch[start : start + size])
        await store.close()

    timed("append, 64 at once", lambda: asyncio.run(append(64, items)), 1024)
    timed("append, one by one", lambda: asyncio.run(append(1, items[:128])), 128)


if __name__ == "__main__":
    main()
