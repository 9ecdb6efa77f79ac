"""Monitors: processes whose crons somebody wants carried, asked for again and again. Used by the messenger unit.

Crons exist only when someone reads them; a monitored process is read here. How far its outboxes have been carried is
a note, changed in the same append in which they are handed over: each is carried once, whatever is killed. Source:
protocol reference 2.4, 2.6.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from puna.arweave.dataitem import DataItem, verify_item
from puna.arweave.store.port import Store
from puna.errors import Invalid, Missing, NodeError

from ..message import ProcessId
from ..result import Result

MONITOR_NOTES = "ao/monitor/"
POLL_S = 10.0
PAGE = 50

log = logging.getLogger(__name__)

Carry = Callable[[ProcessId, Result, Mapping[str, bytes | None]], Awaitable[None]]


class CronResults(Protocol):
    """What monitors need of a compute unit. Marks are text that only it understands; "" is the very beginning."""

    async def cron_mark(self, process: ProcessId) -> str:
        """Where the newest result of a process is."""
        ...

    async def cron_page(self, process: ProcessId, after: str, limit: int) -> list[tuple[str, Result]]:
        """Results of crons up to now, after a mark, each with its own mark."""
        ...


class Monitors:
    """`carry(process, result, notes)` hands a result's outbox over and writes the notes in the same append."""

    def __init__(
        self,
        store: Store,
        results: CronResults,
        carry: Carry,
        *,
        pause: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(POLL_S),
    ):
        self._store = store
        self._results = results
        self._carry = carry
        self._pause = pause
        self._task: asyncio.Task[None] | None = None

    def monitored(self) -> list[ProcessId]:
        return [ProcessId(key.removeprefix(MONITOR_NOTES)) for key, _ in self._store.notes(MONITOR_NOTES)]

    async def add(self, item: DataItem) -> None:
        """Begin to carry the crons of the item's target, from now on. Raises Invalid, Missing."""
        process = self._asked_by_owner(item)
        if self._store.note(_key(process)) is not None:
            raise Invalid("Process already being monitored")
        mark = await self._results.cron_mark(process)
        await self._store.append([], {_key(process): mark.encode()})
        self.resume()

    async def remove(self, item: DataItem) -> None:
        """Stop carrying the crons of the item's target. Raises Invalid, Missing."""
        process = self._asked_by_owner(item)
        if self._store.note(_key(process)) is None:
            raise Missing("Process monitor not found")
        await self._store.append([], {_key(process): None})

    def resume(self) -> None:
        """Ask again and again, for as long as there is something to ask for."""
        if self._task is None and self.monitored():
            self._task = asyncio.create_task(self._keep_asking(), name="monitors")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _keep_asking(self) -> None:
        try:
            while self.monitored():
                await self.ask_all()
                await self._pause()
        finally:
            self._task = None

    async def ask_all(self) -> None:
        """Carry what is new, of one process after the other; one that cannot be asked does not keep out the rest."""
        for process in self.monitored():
            try:
                await self._ask(process)
            except NodeError as error:
                log.info("the crons of %s wait: %s", process, error)
            except Exception:
                log.exception("the crons of %s could not be carried", process)

    async def _ask(self, process: ProcessId) -> None:
        note = self._store.note(_key(process))
        if note is None:
            return
        for mark, result in await self._results.cron_page(process, note.decode(), PAGE):
            if self._store.note(_key(process)) is None:
                return  # it is monitored no more
            await self._carry(process, result, {_key(process): mark.encode()})

    def _asked_by_owner(self, item: DataItem) -> ProcessId:
        """The process that an item's signer may speak for. Monitoring costs work, so not anybody may ask for it."""
        verify_item(item)
        process = self._store.view(item.target)
        if process is None:
            raise Missing(f"process {item.target or '(none)'} is not on this node", "Spawn it first.")
        if process.owner != item.owner:
            raise Invalid(f"only the owner of process {item.target} may ask for this")
        return ProcessId(item.target)


def _key(process: str) -> str:
    return MONITOR_NOTES + process
