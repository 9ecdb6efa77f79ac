"""The engine's process, watched: started with the node, started again when it dies, stopped in the end."""

import asyncio
import contextlib
import logging
import subprocess
from pathlib import Path

from puna.errors import NodeError
from puna.llm.client import spawn_engine, stop_engine

log = logging.getLogger("puna.engine")

AGAIN_AFTER_S = 0.5  # a model that kills the engine at once must not keep a core busy with restarts


class EngineProcess:
    """One engine for all evaluators of a node, at one address for the node's whole life."""

    def __init__(self, address: Path, threads: int | None):
        self.address = address
        self._threads = threads
        self._process: subprocess.Popen | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._process = await asyncio.to_thread(spawn_engine, self.address, self._threads)
        self._watcher = asyncio.create_task(self._watch(), name="engine-watch")

    async def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        if self._process is not None:
            await asyncio.to_thread(stop_engine, self._process)
        if self._watcher is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    async def _watch(self) -> None:
        while True:
            status = await asyncio.to_thread(self._process.wait)
            log.warning("the engine ended with status %s; starting it again", status)
            await asyncio.sleep(AGAIN_AFTER_S)
            try:
                self._process = await asyncio.to_thread(spawn_engine, self.address, self._threads)
            except NodeError as error:
                log.error("the engine did not start: %s", error)
