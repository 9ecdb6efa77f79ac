"""The feed: what a process says because of other people's messages, as it comes.

One task of the console. Results are read from the pages of the compute unit, by cursor; what wakes it is the network's
stream of events where there is one, and time everywhere. Failed evaluations are on no page: they are told from the
events. Source: protocol reference 4.3, 7.2.
"""

import asyncio
from collections.abc import Callable, Set
from typing import Any

from puna.ao.result import Page
from puna.errors import Invalid, Missing, NodeError, NotYet

from .net import Net
from .processes import Found
from .session import Away, Back, Broke, Event, Heard

POLL_S = 2.0  # without events, and for crons
AGAIN_S = 0.5  # between two attempts to reach a network that is away
PAGE = 100


class Feed:
    """`tell` is called with Heard, Broke, Away and Back. Messages in `own` are answered elsewhere."""

    def __init__(self, net: Net, process: Found, tell: Callable[[Event], None], own: Set[str] = frozenset()):
        self._net, self._process, self._tell, self._own = net, process, tell, own
        self._cursor = ""
        self._has_crons = any(name == "Cron-Interval" for name, _ in process.tags)

    async def begin(self) -> None:
        """Begin after what there is now. Raises as requests do."""
        page = await self._page(newest_first=True, limit=1)
        self._cursor = page.edges[0][0] if page.edges else ""

    async def follow(self) -> None:
        """Go on for ever; whoever cancels it ends it."""
        while True:
            woken = asyncio.Event()
            listening = asyncio.create_task(self._listen(woken), name="events")
            try:
                await self._watch(woken, listening)
            except NodeError as error:
                self._tell(Away(error))
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            await asyncio.sleep(AGAIN_S)
            await self._net.relocate()

    async def _watch(self, woken: asyncio.Event, listening: "asyncio.Task[None]") -> None:
        """Tell what comes until the network is away. Raises NodeError."""
        await self._catch_up()
        self._tell(Back())
        while True:
            waiting = asyncio.create_task(woken.wait())
            try:
                watched = {waiting} if listening.done() else {waiting, listening}
                await asyncio.wait(watched, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
            if listening.done():
                listening.result()  # raises when the stream broke; a network without events has none to break
            woken.clear()
            await self._catch_up()

    async def _listen(self, woken: asyncio.Event) -> None:
        """Set `woken` at each event of the process; ends at once where a network tells no events."""
        if not self._net.doors.gateway:
            return
        try:
            async with self._net.link.events() as events:
                async for event in events:
                    self._hear(event, woken)
        except (Missing, Invalid):
            return
        raise NotYet("The node ended its stream of events.")

    def _hear(self, event: dict[str, Any], woken: asyncio.Event) -> None:
        if event.get("kind") == "gap":
            woken.set()
        elif event.get("process") == self._process.id and event.get("kind") == "evaluated":
            if event.get("error") is not None and event.get("message") not in self._own:
                self._tell(Broke(event.get("message", ""), event["error"]))
            woken.set()

    async def _catch_up(self) -> None:
        """Tell everything after the cursor."""
        if self._has_crons:
            await self._net.evaluate_crons(self._process.id, self._cursor)
        more = True
        while more:
            page = await self._page(newest_first=False, limit=PAGE)
            more = page.more
            for cursor, result in page.edges:
                self._cursor = cursor
                self._tell(Heard(result))

    async def _page(self, *, newest_first: bool, limit: int) -> Page:
        """Results after the cursor."""
        after = self._cursor or None
        return await self._net.link.results(
            self._process.id, after=after, until=None, limit=limit, newest_first=newest_first
        )
