"""A running network on one machine: store, units, engine, evaluators and programs, composed.

Called by `puna up`, by commands that embed a network, and by tests. Everything durable is in the store; this
file only wires things together, starts them in the right order and stops them in the opposite one.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from puna.ao.compute.unit import ComputeUnit
from puna.ao.events import Hub
from puna.ao.link import LocalLink
from puna.ao.messenger.unit import MessengerUnit
from puna.ao.scheduler.unit import SchedulerUnit
from puna.arweave.store.port import Query, Store
from puna.arweave.store.sqlite import open_store
from puna.arweave.tags import Tag, first
from puna.arweave.dataitem import sign_item
from puna.clock import LocalClock, wall_ms
from puna.models import DEMO_MODEL
from puna.node.engine import EngineProcess
from puna.node.home import Home, Keys, Running
from puna.services.genesis import Network, genesis
from puna.vm.evaluators import Evaluators

log = logging.getLogger("puna")

WORKERS_DEFAULT = 2
PORT_DEFAULT = 4000


@dataclass(frozen=True)
class Options:
    """How to run a node. `serve` opens ports; an embedded node opens none."""

    serve: bool = True
    host: str = "127.0.0.1"
    port: int = PORT_DEFAULT
    workers: int | None = None  # None: as many as the network has, two for a new one
    model: Path | None = None  # a GGUF to serve beside the network's models
    threads: int | None = None  # of the engine; None: one per core
    evaluators: int | None = None  # processes of the operating system; None: one per core, two at most


class Node:
    """One node. Make it with `start`; `stop` it in the end."""

    link: LocalLink
    network: Network
    home: Home
    keys: Keys
    store: Store
    running: Running | None = None

    def __init__(self, home: Home, options: Options):
        self.home = home
        self.options = options
        self._stack = AsyncExitStack()

    @classmethod
    async def start(cls, home: Home, options: Options, progress: Callable[[str], None] = lambda step: None) -> "Node":
        """Start every part; the home's lock must be held. Raises NodeError and leaves nothing running."""
        node = cls(home, options)
        try:
            await node._start(progress)
        except BaseException:
            await node.stop()
            raise
        return node

    async def stop(self) -> None:
        """Stop in the opposite order: no new work, checkpoints, engine, store, lock. Safe to call twice."""
        await self._stack.aclose()

    async def _start(self, progress: Callable[[str], None]) -> None:
        home, options, stack = self.home, self.options, self._stack
        stack.callback(home.unlock)
        _log_to(home.log_path, stack)
        sockets = _listen(options) if options.serve else None

        progress("opening the weave")
        home.create()
        self.keys = keys = home.keys()
        self.store = store = await asyncio.to_thread(open_store, home.weave)
        stack.push_async_callback(store.close)
        clock = LocalClock(await _genesis_ms(store, keys))

        progress("starting the engine")
        engine = EngineProcess(home.socket_path("engine"), options.threads or os.cpu_count() or 1)
        evaluators = Evaluators(
            weave=home.weave, cache=home.cache, engine=engine.address,
        )  # fmt: skip
        count = options.evaluators or min(2, os.cpu_count() or 1)
        wallet = asyncio.ensure_future(asyncio.to_thread(home.wallet_or_new))
        stack.push_async_callback(engine.stop)
        stack.push_async_callback(evaluators.stop)
        await asyncio.gather(engine.start(), evaluators.start(count))

        hub = Hub()
        scheduler = SchedulerUnit(store, keys.scheduler, clock)
        compute = ComputeUnit(store, keys.compute, scheduler, evaluators)
        stack.push_async_callback(compute.stop)
        messenger = MessengerUnit(store, keys.messenger, scheduler, compute, hub)
        stack.push_async_callback(messenger.stop)
        self.link = LocalLink(messenger, scheduler, compute, hub)
        await messenger.resume()

        progress("making the wallet")
        user = await wallet
        progress("raising the herd")
        self.network = await genesis(
            self.link, store, keys.operator,
            scheduler=keys.scheduler.address,
            authority=keys.messenger.address,
            user=user.address,
            model=options.model or DEMO_MODEL,
            workers=options.workers or WORKERS_DEFAULT,
            progress=progress,
        )  # fmt: skip
        if sockets is not None:
            progress("opening the doors")


def _listen(options: Options):
    raise NotImplementedError


async def _genesis_ms(store: Store, keys: Keys) -> int:
    """When this weave began: the time in its first item, written at the first start."""
    found = store.find(Query(owners=(keys.operator.address,), tags=(("Type", ("Weave",)),), limit=1))
    if found:
        return int(first(found[0].item.tags, "Timestamp"))
    now_ms = wall_ms()
    tags = (Tag("Data-Protocol", "puna"), Tag("Type", "Weave"), Tag("Timestamp", str(now_ms)))
    await store.append([sign_item(keys.operator, data=b" ", tags=tags)])
    return now_ms


def _log_to(path: Path, stack: AsyncExitStack) -> None:
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    stack.callback(handler.close)
    stack.callback(log.removeHandler, handler)
