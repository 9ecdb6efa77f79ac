"""The miner of a node: turns what waits into blocks, on a timer. Owned by the node.

A node that opens no ports does not mine: what it stores waits for the next one that does.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from puna.arweave.weave import Weave
from puna.clock import BLOCK_MS, wall_ms
from puna.errors import NodeError

log = logging.getLogger("puna.miner")

BLOCK_S_DEFAULT = 2.0  # local people do not want to wait for Arweave's two minutes


class Miner:
    """Mines at most every `seconds` while something waits, and an empty block when two minutes brought none.

    Somebody who waits for nothing but further blocks, as the bridge does for depth, says so by `wanted`.
    """

    def __init__(self, weave: Weave, seconds: float, wanted: Callable[[], bool] = lambda: False):
        self._weave = weave
        self._seconds = seconds
        self._wanted = wanted
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """With zero seconds, blocks are mined on demand only."""
        if self._seconds > 0:
            self._task = asyncio.create_task(self._run(), name="miner")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            idle_ms = wall_ms() - self._weave.tip.timestamp * 1000
            try:
                await self._weave.mine(even_empty=idle_ms >= BLOCK_MS or self._wanted())
            except NodeError as error:
                log.error("no block was mined: %s", error)
            except Exception:  # a fault of ours is told, and does not end mining
                log.exception("no block was mined")
