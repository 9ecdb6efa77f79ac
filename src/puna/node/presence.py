"""The live door of a world: moves in and shown at once, everybody's moves and all chat out. See docs/presence.md.

    GET /land/<world>/live      WebSocket: signed data items in, one JSON object a frame out
    GET /land/<world>/events    the same frames as server-sent events, to read only

`?after=<number of a line>` asks for the lines of chat since. Mounted on the gateway's port by the node. Nothing here
can do what the messenger would not: what is shown was signed, and what a world keeps it got through the messenger.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from puna.ao.link import Link
from puna.ao.message import PROTOCOL, owner_address, tag
from puna.ao.wire import json_reply, usual_status
from puna.arweave.archive import Item
from puna.arweave.dataitem import DataItem, decode_item, verify_item
from puna.clock import wall_ms
from puna.errors import Invalid, Missing, NodeError, NotYet
from puna.llamaland.presence import LINES_MAX, NoWorld, Presence, Rules, TooFast, Walker, read_move
from puna.services.outbox import question, sent

LIVE, EVENTS = "/land/{world}/live", "/land/{world}/events"  # paths; LIVE is told in `GET /network`
TICK_S = 0.1  # between two frames to everybody
REFRESH_S = 0.1  # between two readings of the world after it did something
RECENT_MS = 5 * 60000  # of those who did nothing for longer, a newcomer is not told, as in clients of the protocol
KNOWN_MS = 60_000  # so long a key is taken for whose it was; sessions that are opened or ended are noticed at once
UNKNOWN_MS = 1000  # likewise for one that was nobody's
ASK_AGAIN_MS = 1000  # between two questions to the world about a step that seems too long
MOVES_A_SECOND = 8  # of one entity
FRAMES_A_SECOND = 40  # on one connection, whatever is in them
LOOKUPS_A_SECOND = 2  # keys new to us on one connection: each costs a dry-run
NOTICES_A_SECOND = 5  # of one kind on one connection
ITEM_BYTES_MAX = 32 * 1024
WATCHERS_MAX = 1000  # of one world
ROOMS_MAX = 64  # worlds watched at once
SENDING_MAX = 16  # samples of one world on their way to the messenger
RESULT_S = 30.0  # so long we wait for the world's word on a sample
LEAVE_S = 5.0  # a node that stops waits so long for the last samples
STALL_S = 30.0  # who takes no frame for so long has gone away
KEEP_ALIVE_S = 15.0
LINES_A_PAGE = 100
POLICY, LATER, UNKNOWN = 1008, 1013, 4404  # WebSocket close codes

MOVE, CHAT, SESSION, HIDE = "Reality.EntityUpdatePosition", "ChatMessage", "Reality.Session", "Reality.EntityHide"
# Asked for by messages, too, though clients ask by dry-run; they change nothing.
READS = {"Reality.Info", "Reality.Parameters", "Reality.EntitiesStatic", "Reality.EntitiesDynamic", "Reality.Count"}
READS |= {"ChatCount", "ChatHistory"}
EVENT_STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Allowance:
    """So many a second, and twice as many at once."""

    a_second: float
    left: float = 0.0
    at: float = 0.0

    def spend(self, now_ms: float) -> bool:
        most = 2 * self.a_second
        self.left = min(most, self.left + (now_ms - self.at) * self.a_second / 1000) if self.at else most
        self.at = now_ms
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True, eq=False)
class Watcher:
    """One connection: what it has been shown, and what it may still ask for."""

    line: int
    version: int = 0
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    frames: Allowance = field(default_factory=lambda: Allowance(FRAMES_A_SECOND))
    lookups: Allowance = field(default_factory=lambda: Allowance(LOOKUPS_A_SECOND))
    notices: dict[str, Allowance] = field(default_factory=dict)
    send: Callable[[str], Any] | None = None  # None for those who only read


@dataclass(slots=True)
class Known:
    """Whose entity a key moves, None for nobody's; until when that is believed."""

    actor: str | None
    until_ms: float


class Room:
    """One world that is being watched: its presence, its watchers, and the tasks that keep both up to date."""

    def __init__(
        self, link: Link, world: str, item_of: Callable[[str], Item | None], on_idle: "Callable[[Room], None]"
    ):
        self.world = world
        self.watchers: set[Watcher] = set()
        self._link = link
        self._item_of = item_of
        self._on_idle = on_idle
        self._presence: Presence
        self._read_until = 0  # ms of the world's time up to which we know what changed
        self._ours: set[str] = set()  # samples whose evaluation was not told of yet
        self._keys: dict[str, Known] = {}
        self._rates: dict[str, Allowance] = {}
        self._asked: dict[str, float] = {}  # entity -> when the world was asked about a long step of it
        self._movers: dict[str, Watcher] = {}  # entity -> the connection its last move came by
        self._frames: dict[tuple[int, int], tuple[str, int]] = {}  # encoded once for all who have seen the same
        self._shown = (0, 0)
        self._stirred = asyncio.Event()
        self._lookups = asyncio.Semaphore(8)
        self._sending: set[asyncio.Task[None]] = set()
        self._stale_people = self._stale_chat = self._stale_rules = False
        self._stale = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.opening = asyncio.ensure_future(self._open())

    @staticmethod
    def now() -> float:
        """Steady milliseconds."""
        return asyncio.get_running_loop().time() * 1000

    async def _open(self) -> None:
        """Read the world. Raises NodeError when it is none."""
        self._presence = Presence(await self._read_rules())
        await self._read_people(first=True)
        await self._read_chat()
        self._shown = (self._presence.version, self._presence.line)
        self._tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._refresh())]

    async def close(self) -> None:
        """Hand over what the world has not heard, then end."""
        for task in (self.opening, *self._tasks):
            task.cancel()
        await asyncio.gather(self.opening, *self._tasks, return_exceptions=True)
        if not self._tasks:
            return
        try:
            async with asyncio.timeout(LEAVE_S):
                while self._presence.is_restless:
                    for walker in self._presence.walkers.values():
                        if (walker.samples or walker.newest) and not walker.is_sending:
                            self._start_sending(walker)
                    await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            log.warning("the world %s has not heard of some last steps", self.world)
        for task in self._sending:  # what they wait for now is only the world's word on it
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    @property
    def is_idle(self) -> bool:
        """Whether nobody watches and the world has heard everything."""
        return not self.watchers and not self._sending and not self._presence.is_restless

    # Out

    def join(self, watcher: Watcher) -> None:
        self.watchers.add(watcher)

    def leave(self, watcher: Watcher) -> None:
        self.watchers.discard(watcher)
        for id in [id for id, mover in self._movers.items() if mover is watcher]:
            del self._movers[id]
        self._stirred.set()

    @property
    def line(self) -> int:
        return self._presence.line

    def greet(self, watcher: Watcher) -> str:
        """The first frame: everybody who is to be seen, and the lines that were missed."""
        self._presence.tidy(wall_ms(), self.now())
        hello = {"world": self.world, "line": self._presence.line, "moves_a_second": MOVES_A_SECOND}
        version = self._presence.version
        frame, line = self._presence.frame(0, watcher.line, wall_ms(), hello=hello)
        watcher.version, watcher.line = version, line
        watcher.woken.set()  # for lines that did not fit
        return frame

    async def news(self, watcher: Watcher) -> str:
        """The next frame for one who has seen what `watcher` says; waits for it.

        Who is slow to fetch it finds the newest state and nothing of what was between, but every line of chat.
        """
        while True:
            await watcher.woken.wait()
            version, line = self._shown
            if watcher.version >= version and watcher.line >= line:
                watcher.woken.clear()
                continue
            seen = watcher.version, watcher.line
            if seen not in self._frames:
                self._frames[seen] = self._presence.frame(*seen, wall_ms())
            frame, watcher.line = self._frames[seen]
            watcher.version = version
            return frame

    async def _tick(self) -> None:
        """While something happens, show it to all every TICK_S and send on what is due."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            shown = self._presence.version, self._presence.line
            if shown != self._shown:
                self._shown = shown
                self._frames.clear()
                for watcher in self.watchers:
                    watcher.woken.set()
            due = sorted(self._presence.due(self.now()), key=lambda walker: walker.allowed_ms)
            for walker in due[: max(0, SENDING_MAX - len(self._sending))]:
                self._start_sending(walker)
            if self._presence.is_restless:
                self._stirred.set()
            elif self.is_idle:
                self._on_idle(self)
            await asyncio.sleep(TICK_S)

    # In

    async def take(self, watcher: Watcher, item: DataItem) -> dict[str, Any] | None:
        """What a client sent; what to tell it, None for nothing. Raises NodeError with what is wrong."""
        if item.target != self.world:
            raise Invalid(
                f"This item is for {item.target or 'nobody'}; this door is that of {self.world}.",
                "Post it to the messenger, or go to its world's door.",
            )
        verify_item(item)
        if tag(item, "Action") != MOVE:
            return await self._pass_on(item)
        if PROTOCOL not in item.tags or tag(item, "Type") != "Message":
            raise Invalid("This is no AO message.", "Give it the tags Data-Protocol=ao and Type=Message.")
        if self._item_of(item.id) is not None:
            raise Invalid("This item is in the world's log already.", "Sign a new one for each move, with an anchor.")
        move = read_move(item.data, self._presence.rules)
        actor = await self._actor_of(watcher, owner_address(item))
        rate = self._rates.setdefault(actor, Allowance(MOVES_A_SECOND))
        if not rate.spend(self.now()):
            raise NotYet(f"More than {MOVES_A_SECOND} moves a second.", "Put several positions into one Path.")
        try:
            self._presence.move(actor, move, item, self.now())
        except TooFast:
            if not await self._asked_again(actor):
                raise
            self._presence.move(actor, move, item, self.now())
        self._movers[actor] = watcher
        self._stirred.set()
        return None

    async def _pass_on(self, item: DataItem) -> dict[str, Any]:
        """Everything that is no move goes to the messenger as it is, after the sender's last move."""
        known = self._keys.get(owner_address(item))
        if known is not None and known.actor is not None:
            if tag(item, "Action") == HIDE and tag(item, "EntityId") in (None, known.actor):
                self._presence.forget_moves(known.actor)
            else:
                await self._hurry(known.actor)
        await self._link.submit(item)
        return {"taken": item.id}

    async def _hurry(self, actor: str) -> None:
        walker = self._presence.walkers.get(actor)
        if walker is not None and walker.newest is not None and not walker.is_sending:
            await self._start_sending(walker)

    async def _actor_of(self, watcher: Watcher, address: str) -> str:
        """Whose entity this key moves. Raises Invalid when it is nobody's."""
        known, now = self._keys.get(address), self.now()
        if known is None or known.until_ms < now or known.actor and known.actor not in self._presence.walkers:
            if (known is None or known.actor is None) and not watcher.lookups.spend(now):
                raise NotYet("Too many new keys on one connection.", "Wait a moment.")
            known = await self._look_up(address)
        if known.actor is None:
            raise Invalid(
                "You are not in this world.", "Enter it with Reality.EntityCreate, or open a session for this key."
            )
        return known.actor

    async def _look_up(self, address: str) -> Known:
        """Ask the world whose entity a key speaks for."""
        async with self._lookups:
            told = await self._own(address)
        actor = next(iter(told), None)
        self._presence.hear_people(told, self.now())
        if len(self._keys) > 2 * WATCHERS_MAX:
            self._forget_keys()
        known = Known(actor, self.now() + (KNOWN_MS if actor else UNKNOWN_MS))
        self._keys[address] = known
        return known

    async def _own(self, address: str) -> dict[str, Any]:
        """The entity that a key speaks for, under its id: of the far future the world tells only the asker's own."""
        return await self._json("Reality.EntitiesDynamic", {"Timestamp": 2**53, "Initial": False}, asker=address)

    def _forget_keys(self) -> None:
        now = self.now()
        self._keys = {key: known for key, known in self._keys.items() if known.until_ms > now}
        for table in (self._rates, self._asked):
            for id in [id for id in table if id not in self._presence.walkers]:
                del table[id]

    async def _asked_again(self, actor: str) -> bool:
        """Whether the world was just asked where somebody is: it may have been let jump, by a warp for instance."""
        walker, now = self._presence.walkers[actor], self.now()
        if walker.is_unheard or self._asked.get(actor, -ASK_AGAIN_MS) + ASK_AGAIN_MS > now:
            return False
        self._asked[actor] = now
        entity = (await self._own(actor)).get(actor)
        if entity is None or tuple(entity["Position"]) == walker.position:
            return False
        self._presence.correct({actor: entity})
        return True

    def position_of(self, item: DataItem) -> Sequence[float] | None:
        """Where the entity is that the item's signer moves, as far as we know."""
        known = self._keys.get(owner_address(item))
        walker = self._presence.walkers.get(known.actor or "") if known else None
        return walker.position if walker else None

    # To the world

    def _start_sending(self, walker: Walker) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._send_sample(walker, *self._presence.take(walker)))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task

    async def _send_sample(self, walker: Walker, item: DataItem, way: float) -> None:
        self._ours.add(item.id)
        try:
            await self._link.submit(item)
        except NotYet as error:
            log.info("a sample waits: %s", error)
            self._presence.unheard(walker, (item, way))
            await asyncio.sleep(TICK_S)
            return
        except NodeError as error:
            self._presence.heard(walker, 0.0, self.now())
            return await self._tell_mover(walker, error)
        self._presence.heard(walker, way, self.now())
        try:
            async with asyncio.timeout(RESULT_S):
                result = await self._link.result(self.world, item.id)
        except (NodeError, TimeoutError) as error:
            log.info("no word on a sample: %s", error)
            return
        if walker.is_hidden:
            self.stale(people=True)  # this has brought it back
        for answer in sent(result.messages):
            if answer.tags.get("Result") == "Error":
                await self._hear_refusal(walker, answer.tags.get("Error", "refused"), answer.data)

    async def _hear_refusal(self, walker: Walker, fault: str, data: str) -> None:
        try:
            told = msgspec.json.decode(data)
        except msgspec.DecodeError:
            told = None
        try:
            self._presence.correct(told if isinstance(told, dict) else await self._own(walker.id))
        except NodeError as error:
            log.info("where %s really is, the world does not say: %s", walker.id, error)
        await self._tell_mover(walker, Invalid(f"The world refused your move: {fault}.", "You are where it says."))

    async def _tell_mover(self, walker: Walker, error: NodeError) -> None:
        watcher = self._movers.get(walker.id)
        if watcher is not None and watcher.send is not None:
            await watcher.send(notice(error, position=walker.position))

    # From the world

    def hear(self, event: Mapping[str, Any]) -> None:
        """Something happened to a message of this world."""
        kind = event["kind"]
        if kind not in ("accepted", "evaluated"):
            return
        item = self._item_of(event["message"])
        if not self._tasks or item is None:  # while we open, what we read may be older than this
            if kind == "evaluated":
                self.stale(people=True, chat=True)
            return
        action, sender = tag(item, "Action"), tag(item, "From-Process") or owner_address(item)
        known = self._keys.get(sender)
        actor = known.actor if known and known.actor else sender
        if action == HIDE and tag(item, "EntityId") in (None, actor):
            self._presence.forget_moves(actor)
        if kind == "accepted" or action in READS:
            return
        if item.id in self._ours:
            self._ours.discard(item.id)
        elif action == SESSION:
            self._hear_session(sender, tag(item, "Session-Key"))
        elif action == CHAT:
            self.stale(chat=True)
        elif action == MOVE:
            self._presence.doubt(actor)
            self.stale(people=True)
        else:
            self.stale(people=True, chat=True, rules=True)

    def missed(self) -> None:
        """We were not told of something."""
        self._ours.clear()
        self._keys.clear()
        self.stale(people=True, chat=True)

    def _hear_session(self, wallet: str, key: str | None) -> None:
        """What these keys may do has to be asked anew."""
        for address, known in list(self._keys.items()):
            if address in (wallet, key) or known.actor == wallet:
                del self._keys[address]

    def stale(self, *, people: bool = False, chat: bool = False, rules: bool = False) -> None:
        """What we know of the world may have changed."""
        self._stale_rules |= rules
        self._stale_people |= people
        self._stale_chat |= chat
        self._stale.set()

    async def _refresh(self) -> None:
        """Read the world again when it did something, at most every REFRESH_S."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            chat, people, rules = self._stale_chat, self._stale_people, self._stale_rules
            self._stale_chat = self._stale_people = self._stale_rules = False
            try:
                if rules:
                    self._presence.rules = await self._read_rules()
                if chat:
                    await self._read_chat()
                if people:
                    await self._read_people()
                self._stirred.set()
            except NodeError as error:
                log.info("world %s is read again in a moment: %s", self.world, error)
                self.stale(people=people, chat=chat, rules=rules)
            await asyncio.sleep(REFRESH_S)

    async def _read_rules(self) -> Rules:
        return Rules.of(*await asyncio.gather(self._json("Reality.Info"), self._json("Reality.Parameters")))

    async def _read_people(self, first: bool = False) -> None:
        # What happened in the very millisecond of the last change may not have been told with it.
        since = wall_ms() - RECENT_MS if first else max(self._read_until - 1, 0)
        told = await self._json("Reality.EntitiesDynamic", {"Timestamp": since, "Initial": first})
        self._read_until = max([self._read_until, *(each.get("At", 0) for each in told.values())])
        self._presence.hear_people(told, self.now())

    async def _read_chat(self) -> None:
        """Read all lines that are new, page by page: the world gives the newest first."""
        after, before, found = self._presence.line, None, []
        while len(found) < LINES_MAX:
            tags = {"Id-After": str(after), "Limit": str(LINES_A_PAGE)}
            page = await self._json("ChatHistory", tags=tags | ({"Id-Before": str(before)} if before else {}))
            if not page:
                break
            found += page
            before = page[-1]["Id"]
            if len(page) < LINES_A_PAGE:
                break
        self._presence.hear_lines(found)

    async def _json(self, action: str, data: Any = None, *, asker: str = "", tags: Mapping[str, str] = {}) -> Any:
        text = "" if data is None else msgspec.json.encode(data).decode()
        asked = question(self.world, asker or self.world, {"Action": action, **tags}, text)
        result = await self._link.preview(self.world, asked)
        answers = sent(result.messages)
        if not answers or "Error" in answers[0].tags:
            raise NoWorld()
        try:
            told = msgspec.json.decode(answers[0].data)
        except msgspec.DecodeError as error:
            raise Invalid(f"The world answers to {action} with what is no JSON.", "Tell its owner.") from error
        # An empty Lua table has no kind: it comes as a list.
        return told if told or action == "ChatHistory" else {}


class LiveDoor:
    """The rooms of all worlds that somebody watches. `start` before the first request, `stop` after the last."""

    def __init__(self, link: Link, item_of: Callable[[str], Item | None]):
        self._link = link
        self._item_of = item_of
        self.rooms: dict[str, Room] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None

    def routes(self) -> list[BaseRoute]:
        return [WebSocketRoute(LIVE, _Live(self)), Route(EVENTS, self._events)]

    async def stop(self) -> None:
        """End all rooms; where people are, their worlds hear before."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await asyncio.gather(*(room.close() for room in self.rooms.values()), *self._closing)

    async def enter(self, world: str, after: str | None) -> tuple[Room, Watcher]:
        """A room and a place in it. Raises NodeError when there is none."""
        room = self.rooms.get(world)
        if room is None:
            if len(self.rooms) >= ROOMS_MAX:
                raise NotYet(f"{ROOMS_MAX} worlds are watched already.", "Come back in a while.")
            room = self.rooms[world] = Room(self._link, world, self._item_of, self._let_go)
            room.opening.add_done_callback(lambda opening: self._opened(room, opening))
            if self._listening is None:
                self._listening = asyncio.create_task(self._listen())
        if len(room.watchers) >= WATCHERS_MAX:
            raise NotYet(f"{WATCHERS_MAX} watch this world already.", "Read it by dry-run meanwhile.")
        watcher = Watcher(0)
        room.join(watcher)
        try:
            await asyncio.shield(room.opening)
        except BaseException:
            room.leave(watcher)
            raise
        watcher.line = _line_of(after, room.line)
        return room, watcher

    def _opened(self, room: Room, opening: "asyncio.Task[None]") -> None:
        """A world that could not be read is asked again by the next who comes."""
        if (opening.cancelled() or opening.exception()) and self.rooms.get(room.world) is room:
            del self.rooms[room.world]

    def _let_go(self, room: Room) -> None:
        """Nobody needs this room any more."""
        del self.rooms[room.world]
        task = asyncio.create_task(room.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _listen(self) -> None:
        """Pass events on to their rooms."""
        async with self._link.events() as events:
            async for event in events:
                if event["kind"] == "gap":
                    for room in self.rooms.values():
                        room.missed()
                    continue
                room = self.rooms.get(event.get("process", ""))
                if room is None:
                    continue
                try:
                    room.hear(event)
                except Exception:
                    log.exception("an event of world %s was not understood", room.world)
                    room.missed()

    async def _events(self, request: Request) -> Response:
        after = request.headers.get("last-event-id") or request.query_params.get("after")
        try:
            room, watcher = await self.enter(request.path_params["world"], after)
        except NodeError as error:
            return json_reply({"error": str(error)}, usual_status(error))
        return _Showing(room, watcher)


class _Live:
    """The WebSocket, as a plain ASGI application."""

    def __init__(self, door: LiveDoor):
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        query = Request({**scope, "type": "http", "method": "GET"}).query_params
        try:
            room, watcher = await self._door.enter(scope["path_params"]["world"], query.get("after"))
        except NodeError as error:
            with contextlib.suppress(OSError):
                await _refuse(send, error)
            return

        async def tell(text: str) -> None:
            await send({"type": "websocket.send", "text": text})

        watcher.send = tell
        await send({"type": "websocket.accept"})
        sides = [
            asyncio.create_task(_feed(room, watcher, tell)),
            asyncio.create_task(_serve(room, watcher, receive, send)),
        ]
        try:
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.leave(watcher)
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)


class _Showing(StreamingResponse):
    """Server-sent events; the watcher's place is free again when the response ends, however it ends."""

    def __init__(self, room: Room, watcher: Watcher):
        super().__init__(_told(room, watcher), media_type="text/event-stream", headers=EVENT_STREAM)
        self._leave = lambda: room.leave(watcher)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


async def _feed(room: Room, watcher: Watcher, tell: Callable[[str], Any]) -> None:
    """Show the room to one watcher. `tell` waits while the connection is full; meanwhile nothing is kept for it.

    Ends when it went away, or has taken nothing for STALL_S.
    """
    with contextlib.suppress(OSError, TimeoutError):
        frame = room.greet(watcher)
        while True:
            async with asyncio.timeout(STALL_S):
                await tell(frame)
            frame = await room.news(watcher)


async def _serve(room: Room, watcher: Watcher, receive: Receive, send: Send) -> None:
    """Take what a client sends until it goes away, or is shown out."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if not watcher.frames.spend(room.now()):
            reason = f"more than {FRAMES_A_SECOND} frames a second"
            return await send({"type": "websocket.close", "code": POLICY, "reason": reason})
        item = said = None
        try:
            item = _read(message.get("bytes"))
            told = await room.take(watcher, item)
            said = None if told is None else msgspec.json.encode(told).decode()
        except NodeError as error:
            spare = watcher.notices.setdefault(type(error).__name__, Allowance(NOTICES_A_SECOND))
            if spare.spend(room.now()):
                said = notice(error, item.id, room.position_of(item)) if item else notice(error)
        except Exception:
            log.exception("a frame to the door of %s met a bug", room.world)
            said = notice(NodeError("That met a bug of ours.", "It is in the node's log."))
        if said is not None:
            with contextlib.suppress(OSError):  # the next `receive` says that it is gone
                await send({"type": "websocket.send", "text": said})


def _read(body: bytes | None) -> DataItem:
    """The item in a frame. Raises Invalid when it is none."""
    if body is None:
        raise Invalid("This is text.", "Send signed data items as binary frames.")
    if len(body) > ITEM_BYTES_MAX:
        raise Invalid(
            f"This frame has {len(body)} bytes; here an item has at most {ITEM_BYTES_MAX}.",
            "Post larger ones to the messenger.",
        )
    return decode_item(body)


async def _told(room: Room, watcher: Watcher) -> AsyncIterator[bytes]:
    """The frames as server-sent events; an event's id is the last line of chat that it tells."""
    yield _event(room.greet(watcher), watcher)
    while True:
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                frame = await room.news(watcher)
        except TimeoutError:
            yield b": still here\n\n"
            continue
        yield _event(frame, watcher)


def _event(frame: str, watcher: Watcher) -> bytes:
    return f"id: {watcher.line}\ndata: {frame}\n\n".encode()


def notice(error: NodeError, item: str = "", position: Sequence[float] | None = None) -> str:
    """What a client is told of something that went wrong: with which item, and where its entity really is."""
    more = {"item": item} if item else {}
    at = {"position": position} if position is not None else {}
    return msgspec.json.encode({"notice": str(error), "kind": type(error).__name__, **more, **at}).decode()


def _line_of(after: str | None, newest: int) -> int:
    """The line a client has seen last: as it says, or else the newest."""
    return int(after) if after and after.isascii() and after.isdigit() and len(after) < 16 else newest


async def _refuse(send: Send, error: NodeError) -> None:
    """Let a client in only to tell it why not: of a refused handshake browsers say nothing to their pages."""
    code = UNKNOWN if isinstance(error, Missing) else LATER if isinstance(error, NotYet) else POLICY
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": notice(error)})
    await send({"type": "websocket.close", "code": code, "reason": error.what[:100]})
