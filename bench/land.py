"""How soon players see each other move in a world of Llama Land, and whether any line of chat is lost on the way.

    python bench/land.py [--players 200] [--seconds 60]

It starts `puna up` on a home of its own and lets simulated players, each with a key and a connection of its own, walk
about one world through its live door at four signed moves a second; all of them watch, too, and a tenth chats through
the messenger. Printed are the times from just before a move is signed until another player has it, what became of the
lines, what of it all reached the world's log, and what each part of the node spent. Players and node share the machine.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
import msgspec
from node import cpu_by_part, height
from running import running_node

from puna.arweave.dataitem import encode_item, sign_item
from puna.arweave.wallet import new_ed25519_wallet

MOVES_A_SECOND = 4
STEP = 1.1  # tiles: 4.4 a second, about what the game's llamas walk
CHAT_EVERY_S = 5.0  # a line of each who chats
LOOK_EVERY = 10  # of so many players one measures what it sees
SETTLE_S = 3.0
PATIENCE_S = 30.0
JOINING = 16  # players who enter at once
MESSAGE = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message")]


@dataclass
class Seen:
    """What all players have sent and seen; times in seconds of one clock."""

    sent: dict[tuple[str, float, float], float] = field(default_factory=dict)
    moves: int = 0
    took: list[float] = field(default_factory=list)
    said: dict[str, float] = field(default_factory=dict)
    line_took: list[float] = field(default_factory=list)
    notices: Counter = field(default_factory=Counter)
    frames: int = 0
    frame_bytes: int = 0
    late: list[float] = field(default_factory=list)  # how far behind its own plan a player moved


@dataclass
class Player:
    """One who walks and watches. `heard` counts how often it was shown each line of this bench."""

    number: int
    wallet: object
    at: tuple[float, float]
    looks: bool
    heard: Counter = field(default_factory=Counter)
    heading: tuple[float, float] = (1.0, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--players", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--world", default="town")
    parser.add_argument("--profile", metavar="FILE", help="have py-spy record the node's main process into this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as folder:
        with running_node(f"{folder}/home") as (places, pid):
            asyncio.run(drive(places, options, pid))


async def drive(places: dict, options, node_pid: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as web:
        world = await standing_world(web, places, options.world)
        parameters = await read(web, places, world, "Reality.Parameters")
        lower, upper = ([float(each) for each in parameters["Bounds"][name]] for name in ("Lower", "Upper"))
        seen = Seen()
        players = [
            Player(n, new_ed25519_wallet(), somewhere(lower, upper), looks=n % LOOK_EVERY == 0)
            for n in range(options.players)
        ]
        door = asyncio.Semaphore(JOINING)
        began = time.perf_counter()
        await asyncio.gather(*(enter(web, places, world, player, door) for player in players))
        print(f"{len(players)} players entered in {time.perf_counter() - began:.1f} s", flush=True)
        url = places["gateway"].replace("http", "ws", 1) + f"/land/{world}/live"
        sockets = await asyncio.gather(*(web.ws_connect(url, max_msg_size=0) for _ in players))
        watching = [asyncio.create_task(watch(*each, seen)) for each in zip(players, sockets, strict=True)]
        await walk_all(players, sockets, world, (lower, upper), SETTLE_S, Seen())  # the door learns who is who
        while options.seconds and not all(player.heard["hello"] for player in players):
            await asyncio.sleep(0.05)
        profiler = options.profile and subprocess.Popen(
            f"py-spy record -p {node_pid} -o {options.profile} -f raw -d {options.seconds:.0f}".split()
        )
        before, load_before = await height(web, places, world), os.getloadavg()[0]
        began, cpu_began, node_began = time.perf_counter(), time.process_time(), cpu_by_part(node_pid)
        chatting = asyncio.gather(*(
            chat(web, places, world, player, options.seconds, seen) for player in players if player.number % 10 == 5
        ))  # fmt: skip
        await walk_all(players, sockets, world, (lower, upper), options.seconds, seen)
        seconds = time.perf_counter() - began
        spent = Counter(cpu_by_part(node_pid))
        spent.subtract(node_began)
        spent["players (this bench)"] = time.process_time() - cpu_began
        await chatting
        everybody_heard = await all_heard(players, seen)
        logged = await height(web, places, world) - before
        wrong = await misplaced(web, places, world, players)
        for task in watching:
            task.cancel()
        await asyncio.gather(*(socket.close() for socket in sockets))
        if profiler:
            profiler.wait()
    tell(options, seen, players, everybody_heard, logged, wrong, seconds, spent, load_before)


def somewhere(lower: list[float], upper: list[float]) -> tuple[float, ...]:
    return tuple(random.uniform(low + 2, high - 2) for low, high in zip(lower, upper, strict=True))


async def standing_world(web, places: dict, name: str) -> str:
    """The id of a world, once the node has raised its land."""
    while True:
        async with web.get(places["gateway"] + "/network") as reply:
            land = (await reply.json()).get("land")
        if land:
            return land["worlds"][name]
        await asyncio.sleep(0.2)


async def read(web, places: dict, world: str, action: str, data: str = ""):
    asked = {"Id": "1", "Target": world, "Owner": world, "From": world, "Data": data,
             "Tags": [{"name": "Action", "value": action}]}  # fmt: skip
    async with web.post(f"{places['cu']}/dry-run", params={"process-id": world}, json=asked) as reply:
        return json.loads((await reply.json())["Messages"][0]["Data"])


async def enter(web, places: dict, world: str, player: Player, door: asyncio.Semaphore) -> None:
    metadata = {"DisplayName": f"Player {player.number}", "SkinNumber": player.number % 10}
    data = json.dumps({"Type": "Avatar", "Position": player.at, "Metadata": metadata}).encode()
    async with door:
        item = await post(web, places, world, player, [("Action", "Reality.EntityCreate")], data)
        async with web.get(f"{places['cu']}/result/{item.id}", params={"process-id": world}) as reply:
            result = await reply.json()
        assert "OK" in str(result["Messages"][0]["Tags"]), result


async def post(web, places: dict, world: str, player: Player, tags: list, data: bytes):
    anchor = secrets.token_hex(16).encode()
    item = sign_item(player.wallet, data=data, tags=[*tags, *MESSAGE], target=world, anchor=anchor)
    async with web.post(places["mu"] + "/", data=encode_item(item)) as reply:
        assert reply.status == 202, await reply.text()
    return item


async def walk_all(players, sockets, world: str, bounds, seconds: float, seen: Seen) -> None:
    await asyncio.gather(*(walk(*each, world, bounds, seconds, seen) for each in zip(players, sockets, strict=True)))


async def walk(player: Player, socket, world: str, bounds, seconds: float, seen: Seen) -> None:
    """Four signed moves a second, each at its time, at random to begin with; straight on, with turns now and then."""
    start = time.perf_counter() + random.random() / MOVES_A_SECOND
    tags = [("Action", "Reality.EntityUpdatePosition"), ("Cast", "true"), *MESSAGE]
    for number in range(round(seconds * MOVES_A_SECOND)):
        planned = start + number / MOVES_A_SECOND
        await asyncio.sleep(max(0.0, planned - time.perf_counter()))
        player.at = step(player, bounds)
        now = time.perf_counter()
        seen.late.append(now - planned)
        seen.sent[player.wallet.address, *player.at] = now
        seen.moves += 1
        data = msgspec.json.encode({"Position": player.at})
        anchor = secrets.token_hex(16).encode()
        item = sign_item(player.wallet, data=data, tags=tags, target=world, anchor=anchor)
        await socket.send_bytes(encode_item(item))


def step(player: Player, bounds) -> tuple[float, float]:
    if random.random() < 0.1:
        player.heading = random.choice(((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)))
    noise = random.uniform(0.8, 1.0)  # no two places are alike, so that each move is known again
    there = [here + STEP * noise * way for here, way in zip(player.at, player.heading, strict=True)]
    if any(not low <= each <= high for each, low, high in zip(there, *bounds, strict=True)):
        player.heading = (-player.heading[0], -player.heading[1])
        return step(player, bounds)
    return round(there[0], 3), round(there[1], 3)


async def chat(web, places: dict, world: str, player: Player, seconds: float, seen: Seen) -> None:
    end, number = time.perf_counter() + seconds, 0
    while True:
        await asyncio.sleep(random.uniform(0.5, 1.5) * CHAT_EVERY_S)
        if time.perf_counter() > end:
            return
        number += 1
        text = f"bench {player.number} says line {number}"
        seen.said[text] = time.perf_counter()
        tags = [("Action", "ChatMessage"), ("Author-Name", f"Player {player.number}")]
        await post(web, places, world, player, tags, text.encode())


async def watch(player: Player, socket, seen: Seen) -> None:
    """Take every frame. Those who look read all of it, the others the chat only: there are more of them than cores."""
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.TEXT:
            break
        text, now = message.data, time.perf_counter()
        seen.frames += 1
        seen.frame_bytes += len(text)
        if not (player.looks or '"lines"' in text or '"notice"' in text or '"hello"' in text):
            continue
        frame = msgspec.json.decode(text)
        if "notice" in frame:
            seen.notices[frame["notice"]] += 1
        if "hello" in frame:
            player.heard["hello"] += 1
            continue
        for line in frame.get("lines", ()):
            if line["Content"] in seen.said:
                player.heard[line["Content"]] += 1
                seen.line_took.append(now - seen.said[line["Content"]])
        if player.looks:
            for id, x, y, *_ in frame.get("moves", ()):
                sent_at = seen.sent.get((id, x, y))
                if sent_at is not None and id != player.wallet.address:
                    seen.took.append(now - sent_at)


async def all_heard(players: list[Player], seen: Seen) -> bool:
    end = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < end:
        if all(player.heard[text] for player in players for text in seen.said):
            return True
        await asyncio.sleep(0.1)
    return False


async def misplaced(web, places: dict, world: str, players: list[Player]) -> int:
    """How many the world process does not have where they went to last."""
    end, wrong = time.perf_counter() + PATIENCE_S, len(players)
    while wrong and time.perf_counter() < end:
        data = json.dumps({"Timestamp": 0, "Initial": True})
        told = await read(web, places, world, "Reality.EntitiesDynamic", data)
        wrong = sum(tuple(told[player.wallet.address]["Position"]) != player.at for player in players)
        await asyncio.sleep(0.2)
    return wrong


def tell(options, seen: Seen, players, everybody_heard: bool, logged: int, wrong: int, seconds, spent, load) -> None:
    def spread(times: list[float]) -> str:
        times = sorted(times) or [0.0]
        at = [times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.95, 0.99)]
        return "p50 {:4.0f} ms, p95 {:4.0f} ms, p99 {:4.0f} ms, max {:5.0f} ms".format(
            *(1000 * each for each in (*at, times[-1]))
        )

    watchers = sum(player.looks for player in players)
    own = {player.wallet.address for player in players if player.looks}
    expected = seen.moves * watchers - sum(id in own for id, *_ in seen.sent)
    lost = sum(not player.heard[text] for player in players for text in seen.said)
    twice = sum(player.heard[text] > 1 for player in players for text in seen.said)
    waited = "" if everybody_heard else f", after waiting {PATIENCE_S:g} s"
    visible = 100 * len(seen.took) / max(1, expected)
    count, size = len(players), seen.frame_bytes / max(1, seen.frames)
    print(f"{count} players, {seconds:.1f} s, {os.cpu_count()} cores, load {load:.1f} to {os.getloadavg()[0]:.1f}")
    print(f"moves sent             {seen.moves / seconds:8.0f} /s   ({seen.moves}; late by {spread(seen.late)})")
    print(f"move to visible        {spread(seen.took)}")
    print(f"moves seen by others   {visible:8.1f} %    (others were overtaken by a newer one)")
    print(f"line to visible        {spread(seen.line_took)}")
    print(f"chat lines             {len(seen.said):8d}      to {count} each: {lost} lost, {twice} shown twice{waited}")
    print(f"messages in the log    {logged / seconds:8.0f} /s   ({logged - len(seen.said)} moves, the rest is chat)")
    print(f"misplaced in the world {wrong:8d}      of {count}, once all stood still")
    print(f"frames to players      {seen.frames / seconds:8.0f} /s   of {size:.0f} bytes")
    for text, count in seen.notices.most_common(5):
        print(f"notice, {count} times: {text}")
    print("processor time         of one core")
    for part, cpu_s in spent.most_common():
        print(f"  {part:<20} {100 * cpu_s / seconds:10.0f} %")


if __name__ == "__main__":
    main()
