"""The link: how the floors above speak to a network of units, near or far.

`LocalLink` is the one inside a node: function calls, no HTTP, no polling. A remote one speaks the wire.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from puna.arweave.dataitem import DataItem

from .assignment import Assignment
from .events import Event, Hub
from .message import ProcessId
from .result import Page, Result
from .scheduler.port import Entry, Schedules

if TYPE_CHECKING:  # a client of a network far away runs without units
    from .compute.unit import ComputeUnit
    from .messenger.unit import MessengerUnit


class Link(Protocol):
    """Everything a client can ask of a network. All raise NodeError and its kinds."""

    async def submit(self, item: DataItem) -> object:
        """Hand over a signed message or process; answers once it is durable and has its place."""
        ...

    async def assign(self, process: str, item_id: str, exclude: tuple[str, ...] = ()) -> str:
        """Give `process` an item that is in the weave; returns the assignment's id."""
        ...

    async def result(self, process: str, message: str) -> Result:
        """The result of a message or assignment id of `process`; waits until it is evaluated."""
        ...

    async def results(
        self, process: str, *, after: str | None, until: str | None, limit: int, newest_first: bool
    ) -> Page:
        """Results that are there, without those that failed, after one cursor or time (ms) up to another."""
        ...

    async def preview(self, process: str, message: Mapping[str, Any], to: str | None = None) -> Result:
        """What `process` would answer to an unsigned message now, or right after its message `to` (a dry-run)."""
        ...

    async def monitor(self, item: DataItem) -> None:
        """Have what the crons of the item's target send carried from now on. Only its owner may ask for it."""
        ...

    async def unmonitor(self, item: DataItem) -> None:
        """Undo `monitor`."""
        ...

    async def assignments(self, process: str, after_nonce: int = -1, limit: int = 100) -> list[Entry]:
        """A page of a schedule."""
        ...

    def events(self, root: str | None = None) -> Events:
        """What happens from now on; with a root, that journey from its beginning until it is finished.

        An answer that a process gives later, because of somebody else's message, belongs to that message's root.
        """
        ...


class Events(Protocol):
    """News as they come; `async with` begins to listen and ends it."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def __anext__(self) -> Event: ...

    async def __aenter__(self) -> Events: ...

    async def __aexit__(self, *_: object) -> None: ...


class LocalLink:
    """The units of this very process."""

    def __init__(self, messenger: MessengerUnit, schedules: Schedules, compute: ComputeUnit, hub: Hub):
        self._messenger = messenger
        self._schedules = schedules
        self._compute = compute
        self._hub = hub

    async def submit(self, item: DataItem) -> Assignment:
        return await self._messenger.submit(item)

    async def assign(self, process: str, item_id: str, exclude: tuple[str, ...] = ()) -> str:
        return (await self._messenger.assign(ProcessId(process), item_id, exclude)).id

    async def result(self, process: str, message: str) -> Result:
        return await self._compute.result(ProcessId(process), message)

    async def results(
        self, process: str, *, after: str | None, until: str | None, limit: int, newest_first: bool
    ) -> Page:
        from .compute.cursor import page_of

        return await page_of(self._compute, ProcessId(process), after, until, limit, newest_first)

    async def preview(self, process: str, message: Mapping[str, Any], to: str | None = None) -> Result:
        return await self._compute.preview(ProcessId(process), message, to)

    async def monitor(self, item: DataItem) -> None:
        await self._messenger.monitors.add(item)

    async def unmonitor(self, item: DataItem) -> None:
        await self._messenger.monitors.remove(item)

    async def assignments(self, process: str, after_nonce: int = -1, limit: int = 100) -> list[Entry]:
        return await self._schedules.assignments(ProcessId(process), after_nonce, limit)

    def events(self, root: str | None = None) -> Events:
        return self._hub.subscribe(root)
