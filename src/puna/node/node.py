"""A running network on one machine: store, units, engine, evaluators and programs, composed.

Called by `puna up`, by commands that embed a network, and by tests. Everything durable is in the store; this
file only wires things together, starts them in the right order and stops them in the opposite one.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute

from puna.ao.compute.program import Limits
from puna.ao.compute.routes import compute_app
from puna.ao.link import LocalLink
from puna.ao.messenger.routes import messenger_app
from puna.ao.scheduler.location import publish_location
from puna.ao.scheduler.routes import scheduler_app
from puna.ao.units import Units
from puna.api.counter import Counter
from puna.api.keys import Keys as ApiKeys
from puna.api.routes import api_routes
from puna.arweave.archive import Archive
from puna.arweave.gateway.forward import Forwarder
from puna.arweave.gateway.library import Library
from puna.arweave.gateway.upstream import Upstream
from puna.arweave.store.port import Store
from puna.arweave.store.sqlite import open_store
from puna.arweave.wallet import Wallet
from puna.arweave.weave import Weave, WeaveClock
from puna.clock import wall_ms
from puna.errors import Missing, NodeError
from puna.llamaland.genesis import raise_land
from puna.llamaland.land import Land, standing_land
from puna.llm.models import read_info
from puna.models import DEMO_MODEL
from puna.node.blocks import blocks_of
from puna.node.doors import Doors, Serving, open_doors
from puna.node.engine import EngineProcess
from puna.node.gateway import gateway_app
from puna.node.home import Home, Keys, Running
from puna.node.miner import BLOCK_S_DEFAULT, Miner
from puna.node.presence import LIVE, LiveDoor
from puna.node.receipts import Receipts
from puna.services.bridge.chain import Chain
from puna.services.bridge.ledger import Ledger
from puna.services.bridge.raising import raise_bridge
from puna.services.bridge.routes import bridge_routes
from puna.services.bridge.unit import Bridge
from puna.services.genesis import genesis
from puna.services.herder.desk import Desk
from puna.services.network import Network, standing
from puna.services.stock import stock
from puna.services.worker.client import warm
from puna.vm.evaluators import Evaluators

log = logging.getLogger("puna")

PORT_DEFAULT = 4000
EVALUATORS_MAX = 2  # processes of the operating system; each evaluates many AO processes at once, on threads
EVALUATORS_EMBEDDED = 1  # a command asks one question; a second evaluator would only start more slowly


@dataclass(frozen=True)
class Options:
    """How to run a node. `serve` opens ports; an embedded node opens none."""

    serve: bool = True
    host: str = "127.0.0.1"
    port: int = PORT_DEFAULT
    workers: int | None = None  # None: as many as the network has, a few for a new one
    model: Path | None = None  # a GGUF file to serve beside the network's models
    threads: int | None = None  # of the engine; None: one per core, one for very small models
    block_s: float = BLOCK_S_DEFAULT  # between two blocks of the weave; 0: only on demand
    arweave: str | None = None  # the URL of a gateway to read through to
    uploader: str | None = None  # the URL of an uploader that gets our bundles too
    packages: bool = True  # see that package registry, blueprints and bridge stand; a single question needs none
    pages: "Callable[[Node], Sequence[BaseRoute]] | None" = None  # routes for browsers, from a floor above
    land: bool = False  # raise Llama Land, in the background
    memory_max: int | None = None  # bytes one process may have at most; None: what compute units grant by default


class Node:
    """One node. Make it with `start`, for a home whose lock is held; `stop` it in the end."""

    link: LocalLink
    network: Network
    user: Wallet
    keys: Keys
    store: Store
    weave: Weave
    units: Units
    doors: Doors | None = None  # where it listens, once it does
    bridge: Bridge | None = None  # of a node that stays; it works while the doors are open
    running: Running | None = None
    land: Land | None = None  # once it stands

    def __init__(self, home: Home, options: Options):
        self.home = home
        self.options = options
        self._stack = AsyncExitStack()

    @classmethod
    async def start(cls, home: Home, options: Options, progress: Callable[[str], None] = lambda step: None) -> "Node":
        """Start every part. Raises NodeError when one does not start; then nothing is left running."""
        node = cls(home, options)
        try:
            await node._start(progress)
        except BaseException:
            await node.stop()
            raise
        return node

    async def stop(self) -> None:
        """Stop in the opposite order: doors, units with their checkpoints, engine, store, lock. Safe to repeat."""
        await self._stack.aclose()

    async def _start(self, progress: Callable[[str], None]) -> None:
        home, options, stack = self.home, self.options, self._stack
        stack.callback(home.unlock)
        if options.model is not None:
            await asyncio.to_thread(read_info, options.model)  # a bad file is told before anything is made
        doors = None
        if options.serve:
            doors = open_doors(options.host, options.port)
            stack.callback(doors.close)
        _log_to(home.log_path, stack)

        progress("opening the weave")
        self.keys = home.keys()
        making_wallet = asyncio.ensure_future(asyncio.to_thread(home.wallet_or_new))
        self.store = await asyncio.to_thread(open_store, home.weave)
        stack.push_async_callback(self.store.close)
        making_vault = self._vault() if options.packages else None
        self.weave = await Weave.open(self.store, self.keys.operator, home.bundler, scratch=home.cache)

        upstream = self._upstream()

        progress("starting engine and evaluators")
        engine = EngineProcess(home.engine_address, options.threads)
        evaluators = Evaluators(weave=home.weave, cache=home.cache, engine=engine.address)
        stack.push_async_callback(engine.stop)
        stack.push_async_callback(evaluators.stop)
        count = min(EVALUATORS_MAX, os.cpu_count() or 1) if options.serve else EVALUATORS_EMBEDDED
        await asyncio.gather(engine.start(), evaluators.start(count))

        units = self.units = Units.wire(
            self.store, evaluators, WeaveClock(self.weave),
            scheduler=self.keys.scheduler, compute=self.keys.compute, messenger=self.keys.messenger,
            archive=Archive(self.store, self.weave, upstream),
            compute_options={"blocks": blocks_of(self.store), "limits": _limits(options)},
        )  # fmt: skip
        stack.push_async_callback(units.stop)
        self.link = units.link
        await units.resume()

        progress("making the wallet")
        self.user = await making_wallet
        await self.weave.endow(self.user.address)
        progress("raising the herd")
        self.network = await genesis(
            self.link, self.store, self.keys.operator,
            scheduler=self.keys.scheduler.address, authority=self.keys.messenger.address, user=self.user.address,
            model=options.model or DEMO_MODEL, workers=options.workers, progress=progress,
        )  # fmt: skip
        if options.packages:
            self.network = await stock(self.link, self.store, self.keys.operator, self.network, progress=progress)
            progress("making the vault's key")
            await self._raise_bridge(await making_vault, progress)
        self.receipts = Receipts(self.store, self.keys.operator, units.hub, lambda: self.network)
        stack.push_async_callback(self.receipts.stop)
        await self.receipts.start()
        # In the background, for it changes nothing: the first question then finds memories and model loaded.
        warming = asyncio.create_task(warm(self.link, self.network.workers, self.keys.operator.address))
        stack.callback(warming.cancel)
        if doors is not None:
            progress("opening the doors")
            await self._serve(doors, units, Library(self.weave, upstream.fetch if upstream else None))
        self.land = standing_land(self.store)
        if options.land:
            self._stack.push_async_callback(_end, asyncio.create_task(self._raise_land(warming)))

    async def _raise_land(self, warming: asyncio.Task[int]) -> None:
        """In the background, and after the herd is warm: whoever asks a question does not wait for a land."""
        await asyncio.wait([warming])
        try:
            self.land = await raise_land(self.link, self.store, self.keys.operator, self.network)
        except NodeError:
            log.exception("Llama Land could not be raised; it is tried again at the next start")

    def _told(self, doors: Doors) -> dict[str, Any]:
        """What `GET /network` says."""
        land = {"land": {**self.land.to_json(), "live": LIVE}} if self.land else {}
        return {**self.network.to_json(), "units": doors.urls, **land}

    def _vault(self) -> asyncio.Future[Wallet]:
        """The vault's key, which may take seconds to make: at the first start it is made beside everything else."""
        network = standing(self.store)
        if network is not None and network.vault and not self.home.vault_path.exists():
            raise Missing(
                f"The key of the bridge's vault, {self.home.vault_path}, is gone.",
                "Put it back: the AR behind all wAR is in that wallet.",
            )
        return asyncio.ensure_future(asyncio.to_thread(self.home.vault))

    async def _raise_bridge(self, vault: Wallet, progress: Callable[[str], None]) -> None:
        operator = self.keys.operator
        self.network = await raise_bridge(
            self.link, self.store, operator, self.network, self.weave, vault.address, progress=progress
        )
        self.bridge = Bridge(Ledger(self.link, self.network.token, operator), Chain(self.weave, vault), self.store)

    async def _serve(self, doors: Doors, units: Units, library: Library) -> None:
        self.doors = doors
        bridge = self.bridge
        miner = Miner(self.weave, self.options.block_s, lambda: bridge is not None and bridge.wants_blocks)
        self._stack.push_async_callback(miner.stop)
        miner.start()
        if bridge is not None:
            self._stack.push_async_callback(bridge.stop)
            bridge.start()
        if self.options.uploader:
            forwarder = Forwarder(self.weave, self.keys.operator, self.options.uploader, self.home.cache)
            self._stack.push_async_callback(forwarder.stop)
            forwarder.start()
        desk = Desk(units.link, self.store, lambda: self.network)
        self._stack.push_async_callback(desk.stop)
        await desk.start()
        counter = Counter(units.link, self.store, lambda: self.network, desk)
        self._stack.push_async_callback(counter.stop)
        live = LiveDoor(self.link, self.store.view)
        self._stack.push_async_callback(live.stop)
        serving = Serving(
            doors,
            {
                "gateway": gateway_app(
                    library, units.hub, lambda: self._told(doors), self.home.cache,
                    [
                        *api_routes(counter, ApiKeys(self.home.api_keys)),
                        *(bridge_routes(bridge) if bridge is not None else ()),
                        *live.routes(),
                        *(self.options.pages(self) if self.options.pages else ()),
                    ],
                ),  # fmt: skip
                "mu": messenger_app(units.messenger),
                "su": scheduler_app(units.scheduler),
                "cu": compute_app(units.compute),
            },
        )  # fmt: skip
        self._stack.push_async_callback(serving.stop)
        await serving.start()
        await publish_location(self.store, self.keys.scheduler, doors.urls["su"], wall_ms())
        self.running = Running(pid=os.getpid(), **doors.urls)
        self.home.announce(self.running)

    def _upstream(self) -> Upstream | None:
        """The gateway behind this node, when there is one: for the gateway's readers and for the units."""
        if not self.options.arweave:
            return None
        upstream = Upstream(self.weave, self.options.arweave, self.home.cache)
        self._stack.push_async_callback(upstream.close)
        return upstream


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _limits(options: Options) -> Limits:
    return Limits() if options.memory_max is None else Limits(memory_max=options.memory_max)


def _log_to(path: Path, stack: AsyncExitStack) -> None:
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    stack.callback(handler.close)
    stack.callback(log.removeHandler, handler)
