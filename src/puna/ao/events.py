"""The hub: what happens in the units, told to whoever listens, without anybody waiting for a listener.

Published to by the messenger; subscribed to by links, the event stream, the command line. An event is a small
JSON-ready dict with `kind` and, where known, `root`: the id of the item that began the journey. Events are news,
not truth: the truth is in the store, and a listener that was away can read it there.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from functools import cached_property
from typing import Any

import msgspec

Event = dict[str, Any]

BACKLOG_MAX = 2048  # events kept for those who subscribe just after they submitted
TOKENS_S = 0.02  # tokens of models come by the thousand: a listener is woken for them no more often than this
LISTENER_MAX = 4096  # events one slow listener may be behind; past it the oldest are dropped and a "gap" says so


class Told:
    """An event as all who listen share it: it is encoded once, and only if somebody far away listens."""

    def __init__(self, event: Event):
        self.event = event

    @cached_property
    def encoded(self) -> bytes:
        """As a server-sent event."""
        return b"data: " + msgspec.json.encode(self.event) + b"\n\n"


class Hub:
    """Publishes to every subscription; never blocks, never fails a publisher."""

    def __init__(self, backlog_max: int = BACKLOG_MAX, listener_max: int = LISTENER_MAX):
        self._backlog_max = backlog_max
        self._listener_max = listener_max
        self._backlog: deque[Told] = deque()
        self._of_root: dict[str, deque[Told]] = {}  # the same, by root
        self._subscriptions: dict[str | None, set[Subscription]] = {}  # by the root they listen to, None for all

    def publish(self, event: Event) -> None:
        told = Told(event)
        root = event.get("root")
        self._keep(told, root)
        for listeners in {None, root}:
            for subscription in tuple(self._subscriptions.get(listeners, ())):
                subscription.offer(told)

    def _keep(self, told: Told, root: str | None) -> None:
        self._backlog.append(told)
        if root is not None:
            self._of_root.setdefault(root, deque()).append(told)
        if len(self._backlog) > self._backlog_max:
            root = self._backlog.popleft().event.get("root")
            if root is not None:
                of_root = self._of_root[root]
                of_root.popleft()
                if not of_root:
                    del self._of_root[root]

    def subscribe(self, root: str | None = None, process: str | None = None, *, tokens: bool = True) -> "Subscription":
        """Listen from now on to everything, to what happens at one process, or to one journey until it is finished.

        With a `root`, what the backlog still has of it comes first, so it is enough to subscribe after submitting.
        Without `tokens`, those of models are left out.
        """
        subscription = Subscription(self, root, self._listener_max, process, tokens)
        for told in self._of_root.get(root, ()):
            subscription.offer(told)
        self._subscriptions.setdefault(root, set()).add(subscription)
        return subscription

    def forget(self, subscription: "Subscription") -> None:
        listeners = self._subscriptions.get(subscription.root, set())
        listeners.discard(subscription)
        if not listeners:
            self._subscriptions.pop(subscription.root, None)


class Subscription(AsyncIterator[Event]):
    """An iterator over events; `async with` or `close()` ends it. One of a root ends by itself after "finished"."""

    def __init__(self, hub: Hub, root: str | None, listener_max: int, process: str | None = None, tokens: bool = True):
        self._hub = hub
        self.root = root
        self._process = process
        self._tokens = tokens
        self._listener_max = listener_max
        self._waiting: deque[Told] = deque()
        self._missed = 0
        self._over = False
        self._news = asyncio.Event()
        self._waking: asyncio.TimerHandle | None = None
        self._quiet_until_s = 0.0  # no token wakes before

    def offer(self, told: Told) -> None:
        is_token = told.event.get("kind") == "token"
        if self._over or (is_token and not self._tokens):
            return
        if self._process is not None and told.event.get("process") != self._process:
            return
        if len(self._waiting) >= self._listener_max:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(told)
        if not is_token:
            self._news.set()
        elif not self._news.is_set() and self._waking is None:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._quiet_until_s:
                self._wake()
            else:
                self._waking = loop.call_at(self._quiet_until_s, self._wake)

    def _wake(self) -> None:
        self._waking = None
        self._quiet_until_s = asyncio.get_running_loop().time() + TOKENS_S
        self._news.set()

    def close(self) -> None:
        self._over = True
        self._hub.forget(self)
        self._news.set()

    async def __anext__(self) -> Event:
        if not await self._wait():
            raise StopAsyncIteration
        return self._next().event

    async def encoded(self) -> bytes:
        """All that there is to tell now, at least one event, as server-sent events; empty when it is over."""
        if not await self._wait():
            return b""
        parts = [self._next().encoded]
        while self._waiting and not self._over:
            parts.append(self._next().encoded)
        return b"".join(parts)

    async def _wait(self) -> bool:
        """Whether there is an event, waited for; False when there will be none."""
        while not (self._waiting and self._news.is_set()):
            if self._over:
                return bool(self._waiting)
            if not self._waiting:
                self._news.clear()
            await self._news.wait()
        return True

    def _next(self) -> Told:
        if self._missed:
            missed, self._missed = self._missed, 0
            return Told({"kind": "gap", "root": self.root, "missed": missed})
        told = self._waiting.popleft()
        if self.root is not None and told.event["kind"] == "finished":
            self.close()
        return told

    async def __aenter__(self) -> "Subscription":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
