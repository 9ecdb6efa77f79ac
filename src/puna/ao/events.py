"""The hub: what happens in the units, told to whoever listens, without anybody waiting for a listener.

Published to by the messenger; subscribed to by links, the event stream, the command line. An event is a small
JSON-ready dict with `kind` and, where known, `root`: the id of the item that began the journey. Events are news,
not truth: the truth is in the store, and a listener that was away can read it there.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

Event = dict[str, Any]

BACKLOG_MAX = 2048  # events kept for those who subscribe just after they submitted
LISTENER_MAX = 4096  # events one slow listener may be behind; past it the oldest are dropped and a "gap" says so


class Hub:
    """Publishes to every subscription; never blocks, never fails a publisher."""

    def __init__(self, backlog_max: int = BACKLOG_MAX, listener_max: int = LISTENER_MAX):
        self._backlog: deque[Event] = deque(maxlen=backlog_max)
        self._listener_max = listener_max
        self._subscriptions: set[Subscription] = set()

    def publish(self, event: Event) -> None:
        self._backlog.append(event)
        for subscription in tuple(self._subscriptions):
            subscription.offer(event)

    def subscribe(self, root: str | None = None, process: str | None = None) -> "Subscription":
        """Listen from now on to everything, to what happens at one process, or to one journey until it is finished.

        With a `root`, what the backlog still has of it comes first, so it is enough to subscribe after submitting.
        """
        subscription = Subscription(self, root, self._listener_max, process)
        if root is not None:
            for event in self._backlog:
                subscription.offer(event)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: "Subscription") -> None:
        self._subscriptions.discard(subscription)


class Subscription(AsyncIterator[Event]):
    """An iterator over events; `async with` or `close()` ends it. One of a root ends by itself after "finished"."""

    def __init__(self, hub: Hub, root: str | None, listener_max: int, process: str | None = None):
        self._hub = hub
        self._root = root
        self._process = process
        self._listener_max = listener_max
        self._waiting: deque[Event] = deque()
        self._missed = 0
        self._over = False
        self._news = asyncio.Event()

    def offer(self, event: Event) -> None:
        if self._over or (self._root is not None and event.get("root") != self._root):
            return
        if self._process is not None and event.get("process") != self._process:
            return
        if len(self._waiting) >= self._listener_max:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(event)
        self._news.set()

    def close(self) -> None:
        self._over = True
        self._hub.forget(self)
        self._news.set()

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        if self._missed:
            missed, self._missed = self._missed, 0
            return {"kind": "gap", "root": self._root, "missed": missed}
        event = self._waiting.popleft()
        if self._root is not None and event["kind"] == "finished":
            self.close()
        return event

    async def __aenter__(self) -> "Subscription":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
