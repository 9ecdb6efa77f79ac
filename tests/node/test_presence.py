"""The live door of a world on a real node: who sees whom move, what the world hears of it, and what is refused."""

import asyncio
import contextlib
import json
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from puna.arweave.dataitem import encode_item
from puna.arweave.wallet import new_ed25519_wallet
from puna.llamaland import client
from puna.llamaland.genesis import WORLD
from puna.node import presence
from puna.node.home import Home
from puna.node.node import Node, Options
from puna.node.presence import FRAMES_A_SECOND, ITEM_BYTES_MAX, LINES_A_PAGE, LiveDoor, _feed
from puna.services import letters

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOVE = "Reality.EntityUpdatePosition"
MARKET = {"Info": {"Name": "Market", "Dimensions": 2, "Spawn": [5, 5]},
          "Parameters": {"Bounds": {"Lower": [0, 0], "Upper": [100, 100]}}}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("presence") / "home")
    assert home.lock()
    node = await Node.start(home, Options(port=0, workers=1, packages=False, block_s=0))
    try:
        yield node
    finally:
        await node.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def world(node):
    """A world of its own for each story."""
    network = node.network
    tags = {"Module": network.module, "Scheduler": network.scheduler, "Authority": network.authority}
    process = letters.process(node.user, {**tags, "Name": "Market", "On-Boot": "Data"}, WORLD.read_bytes())
    await node.link.submit(process)
    await settle(node, process.id, MARKET)
    return process.id


async def settle(node, world: str, wanted) -> None:
    item = letters.message(node.user, world, {"Action": "Reality.Settle"}, json.dumps(wanted).encode())
    await node.link.submit(item)
    assert (await node.link.result(world, item.id)).error is None


def move(wallet, world: str, *place: float, **more):
    data = json.dumps({"Position": place, **more}).encode()
    return letters.message(wallet, world, {"Action": MOVE, "Cast": "true"}, data)


class Window:
    """A connection to a world's live door, and all frames that came through it."""

    def __init__(self, socket):
        self.socket = socket
        self.frames = []

    async def until(self, wanted):
        """The first true thing that `wanted` finds in a frame, among those that came already or are still to come."""
        for frame in self.frames:
            if found := wanted(frame):
                return found
        while True:
            try:
                message = await asyncio.wait_for(self.socket.receive(), 30)
            except TimeoutError:
                raise AssertionError(f"nothing more comes after {self.frames[-3:]}") from None
            assert message.type is aiohttp.WSMsgType.TEXT, message
            self.frames.append(json.loads(message.data))
            if found := wanted(self.frames[-1]):
                return found

    async def sees(self, id: str, *place: float):
        """Wait until somebody is shown at a place."""
        return await self.until(lambda frame: [m for m in frame.get("moves", ()) if m[:3] == [id, *place]])

    async def told(self, words: str):
        """Wait for a notice."""
        return await self.until(lambda frame: frame if words in frame.get("notice", "") else None)

    async def send(self, item) -> None:
        await self.socket.send_bytes(encode_item(item))

    def places_of(self, id: str):
        return [m[1:] for frame in self.frames for m in frame.get("moves", ()) if m[0] == id]

    def lines(self):
        return [(line["Id"], line["Content"]) for frame in self.frames for line in frame.get("lines", ())]


@contextlib.asynccontextmanager
async def window(node, world: str, **query):
    url = f"{node.running.gateway}/land/{world}/live"
    async with aiohttp.ClientSession() as web, web.ws_connect(url, params=query, max_msg_size=0) as socket:
        it = Window(socket)
        await it.until(lambda frame: "hello" in frame)
        yield it


async def arrive(node, world: str, name: str, *place: float):
    wallet = new_ed25519_wallet()
    await client.enter(node.link, wallet, world, name, place or None)
    return wallet


async def in_world(node, world: str, wallet):
    return (await client.entities(node.link, world))[wallet.address].position


async def reached(node, world: str, wallet, *place: float) -> None:
    """Wait until the world process itself has somebody there; it is looked at again after each event."""
    async with node.link.events() as events, asyncio.timeout(30):
        while await in_world(node, world, wallet) != place:
            await anext(events)


async def log_of(node, world: str):
    return [item for item, _ in await node.link.assignments(world, -1, 1000)]


async def test_a_move_is_seen_at_once_and_of_a_walk_the_world_hears_a_sample_and_where_it_ended(node, world):
    ann = await arrive(node, world, "Ann", 5, 5)
    async with window(node, world) as anns, window(node, world) as bobs:
        assert ann.address in bobs.frames[0]["people"]
        steps = [move(ann, world, 5 + 0.5 * step, 5, Direction="right") for step in range(1, 9)]
        for step, item in enumerate(steps, 1):
            await anns.send(item)
            assert await bobs.sees(ann.address, 5 + 0.5 * step, 5) == [[ann.address, 5 + 0.5 * step, 5, "right"]]
        await anns.sees(ann.address, 9, 5)
        # A latecomer is shown where everybody is now.
        async with window(node, world) as late:
            assert late.places_of(ann.address) == [[9, 5, "right"]]
        await reached(node, world, ann, 9, 5)
    logged = [item.id for item in await log_of(node, world)]
    kept = [step.id in logged for step in steps]
    assert kept[-1] and sum(kept) < len(kept)


async def test_who_leaves_in_mid_stride_is_in_the_world_where_he_was_and_who_hides_stays_hidden(node, world):
    ann, bob = await arrive(node, world, "Ann", 5, 5), await arrive(node, world, "Bob", 5, 5)
    async with window(node, world) as watching:
        async with window(node, world) as going:
            for step in (6, 7, 8):
                await going.send(move(ann, world, step, 5))
            await watching.sees(ann.address, 8, 5)
        await reached(node, world, ann, 8, 5)
        async with window(node, world) as going:
            for step in (6, 7):
                await going.send(move(bob, world, step, 5))
            await watching.sees(bob.address, 7, 5)
            hide = letters.message(bob, world, {"Action": "Reality.EntityHide"})
            await going.send(hide)
            await going.until(lambda frame: frame.get("taken") == hide.id)
        await watching.until(lambda f: f.get("people", {}).get(bob.address, {}).get("StateCode") == 0)
        # Whatever was still to be sent has been sent when the next to walk has reached the world.
        async with window(node, world) as going:
            await going.send(move(ann, world, 9, 5))
            await reached(node, world, ann, 9, 5)
    assert bob.address not in await client.entities(node.link, world)


async def test_a_forged_move_shows_nothing_and_the_owner_of_the_name_walks_on(node, world):
    ann, eve = await arrive(node, world, "Ann", 5, 5), new_ed25519_wallet()
    async with window(node, world) as eves, window(node, world) as anns:
        good = move(ann, world, 6, 5)
        await eves.send(replace(good, data=json.dumps({"Position": [50, 50]}).encode()))
        await eves.told("does not match its content")
        await eves.send(replace(move(eve, world, 50, 50), owner=ann.owner))
        await eves.until(lambda _: sum("does not match" in frame.get("notice", "") for frame in eves.frames) == 2)
        await eves.send(move(eve, world, 50, 50))
        await eves.told("You are not in this world")
        await anns.send(good)
        await eves.sees(ann.address, 6, 5)
        # What was public once cannot put anybody back.
        await reached(node, world, ann, 6, 5)
        await anns.send(move(ann, world, 7, 5))
        await eves.sees(ann.address, 7, 5)
        await eves.send(good)
        await eves.told("in the world's log already")
        assert eves.places_of(ann.address) == [[5, 5], [6, 5], [7, 5]]
        assert eves.places_of(eve.address) == []


async def test_a_session_key_walks_for_its_wallet_until_the_wallet_ends_it(node, world):
    ann, key = await arrive(node, world, "Ann", 5, 5), new_ed25519_wallet()
    async with window(node, world) as it:
        await it.send(move(key, world, 6, 5))
        await it.told("open a session for this key")
        await client.open_session(node.link, ann, world, key.address)
        await it.send(move(key, world, 6, 5))
        await it.sees(ann.address, 6, 5)
        await reached(node, world, ann, 6, 5)
        end = letters.message(ann, world, {"Action": "Reality.Session"})
        await it.send(end)
        await it.until(lambda frame: frame.get("taken") == end.id)
        await node.link.result(world, end.id)
        it.frames.clear()
        await it.send(move(key, world, 7, 5))
        await it.told("open a session for this key")
        assert it.places_of(ann.address) == []


async def test_hostile_frames_get_a_notice_each_and_hurt_nobody(node, world):
    ann = await arrive(node, world, "Ann", 5, 5)
    frames = [
        (b"\x01\x00" * 25, "The item ends after"),
        (b"", "The item ends after"),
        (b"\xff" * 2000, "Signature type 65535 is not known here"),
        (encode_item(move(ann, "A" * 43, 6, 5)), "this door is that of"),
        (b"\x01" * (ITEM_BYTES_MAX + 1), f"at most {ITEM_BYTES_MAX}"),
        (encode_item(letters.message(ann, world, {"Action": MOVE}, b"\xff\xfe")), "A move is JSON"),
        (encode_item(letters.message(ann, world, {"Action": MOVE}, b"[" * 9000)), "A move is JSON"),
        (encode_item(letters.message(ann, world, {"Action": MOVE}, b"7")), "A move is a JSON object"),
        (encode_item(move(ann, world, 6)), "a list of 2 numbers"),
        (encode_item(letters.message(ann, world, {"Action": MOVE}, b'{"Position":[1e999,2]}')), "A move is JSON"),
        (encode_item(letters.message(ann, world, {"Action": MOVE}, b'{"Position":["1",true]}')), "made of numbers"),
        (encode_item(move(ann, world, 101, 5)), "outside the world"),
        (encode_item(move(ann, world, 6, 5, Path=[[6, 5]] * 65)), "1 to 64 positions"),
        (encode_item(move(ann, world, 99, 99)), "Too fast"),
    ]
    for frame, words in frames:
        async with window(node, world) as it:
            await it.socket.send_bytes(frame)
            await it.told(words)
    async with window(node, world) as it, window(node, world) as other:
        await it.socket.send_str('{"Position":[6,5]}')
        await it.told("binary frames")
        await it.send(move(ann, world, 6, 5))
        await other.sees(ann.address, 6, 5)
        await it.socket.send_bytes(b"\x01" * (1 << 21))
        async with asyncio.timeout(30):
            while (await it.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert it.socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        assert other.places_of(ann.address)[-1] == [6, 5]


async def test_who_moves_too_often_is_told_and_who_floods_is_shown_out(node, world):
    ann = await arrive(node, world, "Ann", 5, 5)
    async with window(node, world) as it, window(node, world) as other:
        for step in range(60):
            await it.send(move(ann, world, 5 + 0.01 * step, 5))
        assert (await it.told("More than 8 moves a second"))["kind"] == "NotYet"
        await other.until(lambda _: other.places_of(ann.address)[-1] != [5, 5])
        for _ in range(4 * FRAMES_A_SECOND):
            await it.socket.send_str("flood")
        async with asyncio.timeout(30):
            while (await it.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert it.socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
        assert not other.socket.closed


async def test_chat_comes_once_in_order_and_after_a_lost_connection_from_where_it_was_lost(node, world):
    ann = await arrive(node, world, "Ann", 5, 5)

    async def say(number: int) -> None:
        await client.speak(node.link, ann, world, "Ann", f"line {number}")

    await say(1)
    async with window(node, world) as it:
        assert it.frames[0]["hello"]["line"] == 1 and it.lines() == []
        await say(2)
        spoken = letters.message(ann, world, {"Action": "ChatMessage", "Author-Name": "Ann"}, b"line 3")
        await it.send(spoken)
        await it.until(lambda frame: frame.get("taken") == spoken.id)
        await it.until(lambda _: len(it.lines()) == 2)
    await say(4)
    async with window(node, world, after="3") as it:
        await it.until(lambda _: it.lines())
        await say(5)
        await it.until(lambda _: len(it.lines()) >= 2)
        assert it.lines() == [(4, "line 4"), (5, "line 5")]
    async with window(node, world, after="0") as it:
        await it.until(lambda _: len(it.lines()) >= 5)
        assert it.lines() == [(n, f"line {n}") for n in range(1, 6)]
    async with window(node, world, after="nonsense") as it:
        assert it.frames[0]["hello"]["line"] == 5 and it.lines() == []
    # The same for those who only read.
    url = f"{node.running.gateway}/land/{world}/events"
    async with aiohttp.ClientSession() as web, web.get(url, headers={"Last-Event-ID": "4"}) as reply:
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        assert await reply.content.readline() == b"id: 5\n"
        frame = json.loads((await reply.content.readline()).removeprefix(b"data: "))
        assert [line["Content"] for line in frame["lines"]] == ["line 5"] and ann.address in frame["people"]


async def test_more_lines_than_fit_into_a_page_and_a_frame_all_come(node, world):
    ann = await arrive(node, world, "Ann", 5, 5)
    settled = {"Masters": [ann.address]}  # who may say as much as they like
    await settle(node, world, settled)
    count = 2 * LINES_A_PAGE + 30
    words = {"Action": "ChatMessage", "Author-Name": "Ann"}
    items = [letters.message(ann, world, words, b"line %d" % n) for n in range(1, count + 1)]
    await asyncio.gather(*map(node.link.submit, items[:-10]))
    await node.link.result(world, items[-11].id)
    async with window(node, world, after="0") as it:
        for item in items[-10:]:
            await node.link.submit(item)
        await it.until(lambda _: len(it.lines()) >= count)
        assert [number for number, _ in it.lines()] == list(range(1, count + 1))
        assert {content for _, content in it.lines()} == {f"line {n}" for n in range(1, count + 1)}


async def test_who_reads_slowly_finds_the_newest_places_and_every_line(node, world):
    ann = await arrive(node, world, "Ann", 5, 5)
    live = LiveDoor(node.link, node.store.view)
    room, watcher = await live.enter(world, None)
    told, going_on, full = [], asyncio.Event(), asyncio.Event()

    async def tell(text: str) -> None:
        told.append(json.loads(text))
        full.set()
        await going_on.wait()

    feeding = asyncio.create_task(_feed(room, watcher, tell))
    try:
        await full.wait()
        async with window(node, world) as anns:
            for step in range(1, 11):
                place = (5 + 0.25 * step, 5)
                await room.take(watcher, move(ann, world, *place))
                await client.speak(node.link, ann, world, "Ann", f"line {step}") if step % 4 == 0 else None
            await anns.until(lambda _: len(anns.lines()) == 2)
            assert len(told) == 1
        going_on.set()
        async with asyncio.timeout(30):
            while not (told[-1].get("lines") or [{}])[-1].get("Content") == "line 8":
                full.clear()
                await full.wait()
        frames = told[1:]
        assert [line["Content"] for f in frames for line in f.get("lines", ())] == ["line 4", "line 8"]
        assert [m[1] for f in frames for m in f.get("moves", ())][:1] == [7.5]
        assert len(frames) <= 2
    finally:
        feeding.cancel()
        await live.stop()
    await reached(node, world, ann, 7.5, 5)


async def test_who_takes_nothing_any_more_is_let_go(node, world, monkeypatch):
    monkeypatch.setattr(presence, "STALL_S", 0.0)
    live = LiveDoor(node.link, node.store.view)
    try:
        room, watcher = await live.enter(world, None)
        async with asyncio.timeout(30):
            await _feed(room, watcher, lambda text: asyncio.Event().wait())
    finally:
        await live.stop()


async def test_when_the_world_says_no_everybody_is_shown_where_its_owner_really_is(node, world):
    ann = await arrive(node, world, "Ann", 5, 5)
    async with window(node, world) as it, window(node, world) as other:
        await it.send(move(ann, world, 20, 5))
        await reached(node, world, ann, 20, 5)
        # By another way than this door, the world is told otherwise, and the door believes the world.
        await client.walk(node.link, ann, world, (12, 5))
        await other.sees(ann.address, 12, 5)
        await settle(node, world, {**MARKET, "Parameters": {"Bounds": {"Lower": [0, 0], "Upper": [13, 13]}}})
        await it.send(move(ann, world, 16, 5))
        # Either the door knows the new bounds already, or the world refuses and the door puts it back.
        await it.until(lambda frame: "outside the world" in frame.get("notice", ""))
        await it.send(move(ann, world, 11, 5))
        await other.sees(ann.address, 11, 5)
        await reached(node, world, ann, 11, 5)


async def test_a_door_to_nowhere_says_so(node):
    async with aiohttp.ClientSession() as web:
        for place, words in (("A" * 43, "not"), (node.network.token, "no world"), ("x", "not")):
            async with web.ws_connect(f"{node.running.gateway}/land/{place}/live") as socket:
                it = Window(socket)
                await it.told(words)
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
                assert socket.close_code in (4404, aiohttp.WSCloseCode.POLICY_VIOLATION)
            async with web.get(f"{node.running.gateway}/land/{place}/events") as reply:
                assert reply.status in (400, 404) and words in (await reply.json())["error"]


async def test_a_room_ends_with_its_last_watcher_and_a_stopping_door_hands_over_last_steps(node, world):
    ann = await arrive(node, world, "Ann", 5, 5)
    live = LiveDoor(node.link, node.store.view)
    room, watcher = await live.enter(world, None)
    for step in (6, 7, 8):
        await room.take(watcher, move(ann, world, step, 5))
    await live.stop()
    await reached(node, world, ann, 8, 5)
    live = LiveDoor(node.link, node.store.view)
    room, watcher = await live.enter(world, None)
    await room.take(watcher, move(ann, world, 9, 5))
    room.leave(watcher)
    await reached(node, world, ann, 9, 5)
    async with asyncio.timeout(30):
        while live.rooms:
            await asyncio.sleep(0)
    await live.stop()
