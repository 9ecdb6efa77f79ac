"""One unit by itself, with the other units elsewhere: `puna su`, `puna cu`, `puna mu`. Composition only.

Each has a home, a key and a store of its own, and beside its own door a gateway's, where its items can be read. A
unit that was told of a gateway brings modules, models and assigned items from there.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
from starlette.types import ASGIApp

from puna.ao.compute.remote import RemoteCompute
from puna.ao.compute.routes import compute_app
from puna.ao.compute.unit import ComputeUnit
from puna.ao.events import Hub
from puna.ao.link import LocalLink
from puna.ao.messenger.routes import messenger_app
from puna.ao.messenger.unit import MessengerUnit
from puna.ao.scheduler.location import publish_location
from puna.ao.scheduler.remote import RemoteSchedules
from puna.ao.scheduler.routes import scheduler_app
from puna.ao.scheduler.unit import SchedulerUnit
from puna.arweave.archive import Archive
from puna.arweave.gateway.library import Library
from puna.arweave.gateway.upstream import Upstream
from puna.arweave.store.sqlite import open_store
from puna.arweave.weave import Weave, WeaveClock
from puna.clock import wall_ms
from puna.errors import NotYet
from puna.models import DEMO_MODEL
from puna.node.blocks import blocks_of
from puna.node.doors import Serving, open_doors
from puna.node.engine import EngineProcess
from puna.node.gateway import gateway_app
from puna.node.home import Home, Running
from puna.node.miner import BLOCK_S_DEFAULT, Miner
from puna.services.genesis import genesis
from puna.vm.evaluators import Evaluators

CONNECT_S = 5.0
MEET_TRIES = 60  # a minute for the other units to come up
MEET_AGAIN_S = 1.0
EVALUATORS_MAX = 2


@dataclass(frozen=True)
class Elsewhere:
    """Where the other units are; URLs without a trailing slash, "" for what this unit does not need."""

    su: str = ""
    cu: str = ""
    gateway: str = ""


@dataclass(frozen=True)
class Options:
    """`raise_herd`: a messenger that spawns token, herder and workers, as `puna up` does."""

    host: str = "127.0.0.1"
    port: int = 0
    threads: int | None = None
    raise_herd: bool = False
    workers: int | None = None


class Alone:
    """A unit by itself. Make it with `start`, for a home whose lock is held; `stop` it in the end."""

    def __init__(self, home: Home, options: Options, elsewhere: Elsewhere, progress: Callable[[str], None]):
        self.home, self.options, self.elsewhere, self.progress = home, options, elsewhere, progress
        self.stack = AsyncExitStack()
        self.hub = Hub()
        self.network: dict[str, Any] = {}
        self.places: dict[str, Any] = {}

    @classmethod
    async def start(
        cls, unit: str, home: Home, options: Options, elsewhere: Elsewhere, progress: Callable[[str], None]
    ) -> "Alone":
        """`unit` is su, cu or mu. Raises NodeError when it does not start; then nothing is left running."""
        alone = cls(home, options, elsewhere, progress)
        units: dict[str, Callable[[], Awaitable[None]]] = {"su": alone._su, "cu": alone._cu, "mu": alone._mu}
        try:
            await alone._open(unit)
            await units[unit]()
        except BaseException:
            await alone.stop()
            raise
        return alone

    async def stop(self) -> None:
        await self.stack.aclose()

    async def _open(self, unit: str) -> None:
        """What every unit has: doors, keys, a store, a connection to the others."""
        self.stack.callback(self.home.unlock)
        self.doors = open_doors(self.options.host, self.options.port, ("gateway", unit))
        self.stack.callback(self.doors.close)
        self.keys = self.home.keys()
        self.store = await asyncio.to_thread(open_store, self.home.weave)
        self.stack.push_async_callback(self.store.close)
        self.weave = await Weave.open(self.store, self.keys.operator, self.home.bundler, scratch=self.home.cache)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        connector = aiohttp.TCPConnector(limit=0)
        self.upstream = None
        if self.elsewhere.gateway:
            self.upstream = Upstream(self.weave, self.elsewhere.gateway, self.home.cache)
            self.stack.push_async_callback(self.upstream.close)
        self.archive = Archive(self.store, self.weave, self.upstream)
        self.web = aiohttp.ClientSession(timeout=timeout, trust_env=False, connector=connector)
        self.stack.push_async_callback(self.web.close)

    async def _serve(self, unit: str, application: ASGIApp) -> None:
        miner = Miner(self.weave, BLOCK_S_DEFAULT)
        self.stack.push_async_callback(miner.stop)
        miner.start()
        elsewhere = {name: url for name, url in asdict(self.elsewhere).items() if url}
        units = elsewhere | dict(self.doors.urls)
        library = Library(self.weave, self.upstream.fetch if self.upstream else None)
        gateway = gateway_app(library, self.hub, lambda: {**self.network, "units": units}, self.home.cache)
        serving = Serving(self.doors, {"gateway": gateway, unit: application})
        self.stack.push_async_callback(serving.stop)
        await serving.start()
        self.places |= {"pid": os.getpid(), **self.doors.urls}

    async def _schedules(self) -> RemoteSchedules:
        """The scheduler elsewhere, met: without it there is nothing to do, so we wait for it a while."""
        schedules = RemoteSchedules(self.store, self.elsewhere.su, self.web)
        for attempt in range(MEET_TRIES):
            try:
                await schedules.meet()
                break
            except NotYet:
                if attempt == MEET_TRIES - 1:
                    raise
                self.progress("waiting for the scheduler")
                await asyncio.sleep(MEET_AGAIN_S)
        return schedules

    async def _su(self) -> None:
        unit = SchedulerUnit(self.store, self.keys.scheduler, WeaveClock(self.weave), archive=self.archive)
        self.stack.push_async_callback(unit.stop)
        await self._serve("su", scheduler_app(unit))
        await publish_location(self.store, self.keys.scheduler, self.doors.urls["su"], wall_ms())
        self.places["scheduler"] = unit.address

    async def _cu(self) -> None:
        engine = EngineProcess(self.home.engine_address, self.options.threads)
        evaluators = Evaluators(weave=self.home.weave, cache=self.home.cache, engine=engine.address)
        self.stack.push_async_callback(engine.stop)
        self.stack.push_async_callback(evaluators.stop)
        self.progress("starting engine and evaluators")
        await asyncio.gather(engine.start(), evaluators.start(min(EVALUATORS_MAX, os.cpu_count() or 1)))
        schedules = await self._schedules()
        unit = ComputeUnit(
            self.store, self.keys.compute, schedules, evaluators, self.archive, blocks=blocks_of(self.store)
        )
        self.stack.push_async_callback(unit.stop)
        await self._serve("cu", compute_app(unit))
        await unit.resume()
        self.places["compute"] = unit.address

    async def _mu(self) -> None:
        schedules = await self._schedules()
        compute = RemoteCompute(self.elsewhere.cu, self.web)
        unit = MessengerUnit(self.store, self.keys.messenger, schedules, compute, self.hub)
        self.stack.push_async_callback(unit.stop)
        await self._serve("mu", messenger_app(unit))
        await unit.resume()
        self.places |= {"authority": unit.address, "scheduler": schedules.address}
        if self.options.raise_herd:
            link = LocalLink(unit, schedules, compute, self.hub)
            user = await asyncio.to_thread(self.home.wallet_or_new)
            network = await genesis(
                link, self.store, self.keys.operator, scheduler=schedules.address, authority=unit.address,
                user=user.address, model=DEMO_MODEL, workers=self.options.workers, progress=self.progress,
            )  # fmt: skip
            self.network = network.to_json()
            self.places |= {"network": self.network, "wallet": str(self.home.wallet_path)}
            # Commands beside it find everything as they would beside a whole node.
            doors = self.doors.urls
            self.home.announce(
                Running(os.getpid(), doors["gateway"], doors["mu"], su=self.elsewhere.su, cu=self.elsewhere.cu)
            )
