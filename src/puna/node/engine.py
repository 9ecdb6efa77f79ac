"""The engine's process, watched: started with the node, started again when it dies, stopped in the end."""

import asyncio
import contextlib
import logging
import subprocess
from pathlib import Path

from puna.llm.client import spawn_engine

log = logging.getLogger("puna.engine")

AGAIN_AFTER_S = 0.5  # a model that kills the engine at once must not keep a core busy with restarts


class EngineProcess:
    """One engine for all evaluators of a node, at one address for the node's whole life."""

    def __init__(self, socket_path: Path, threads: int):
        self.socket_path = socket_path
        self._threads = threads
        self._process: subprocess.Popen | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._process = await asyncio.to_thread(spawn_engine, self.socket_path, self._threads)
        self._watcher = asyncio.create_task(self._watch(), name="engine-watch")

    async def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        if self._process is not None:
            self._process.kill()  # it has no state that matters
            await asyncio.to_thread(self._process.wait)

    async def _watch(self) -> None:
        while True:
            status = await asyncio.to_thread(self._process.wait)
            log.warning("the engine ended with status %s; starting it again", status)
            await asyncio.sleep(AGAIN_AFTER_S)
            self._process = await asyncio.to_thread(spawn_engine, self.socket_path, self._threads)
