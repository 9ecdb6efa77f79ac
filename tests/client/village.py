"""A network for client tests: real units, weave and gateway over a real store; only the module is plain Python.

`near` and `far` give the same network as this program has it and as one elsewhere finds it over HTTP.
"""

from contextlib import asynccontextmanager
from dataclasses import dataclass

from ao.fakes import ALICE, MESSENGER, MODULE, SCHEDULER, Town

from puna.ao.compute.routes import compute_app
from puna.ao.messenger.routes import messenger_app
from puna.ao.scheduler.routes import scheduler_app
from puna.arweave.gateway.library import Library
from puna.arweave.store.sqlite import open_store
from puna.arweave.weave import Weave
from puna.client import AsyncClient, connect
from puna.client.gateway import NearGateway
from puna.client.reach import Reached
from puna.node.doors import Serving, open_doors
from puna.node.gateway import gateway_app
from puna.services.network import Network

NETWORK = Network(SCHEDULER.address, MESSENGER.address, MODULE.id, token="T" * 43, herder="H" * 43)


@dataclass(frozen=True)
class Village:
    town: Town
    library: Library


@asynccontextmanager
async def village(folder):
    store = open_store(folder / "weave")
    town = await Town.founded(store=store)
    weave = await Weave.open(store, SCHEDULER, lambda: ALICE)
    try:
        yield Village(town, Library(weave))
    finally:
        await town.units.stop()
        await store.close()


@asynccontextmanager
async def doors_of(it: Village, told=NETWORK.to_json):
    """The village's doors, open; the URL of each."""
    doors, units = open_doors("127.0.0.1", 0), it.town.units
    serving = Serving(doors, {
        "gateway": gateway_app(it.library, units.hub, lambda: {**told(), "units": doors.urls}),
        "mu": messenger_app(units.messenger),
        "su": scheduler_app(units.scheduler),
        "cu": compute_app(units.compute),
    })  # fmt: skip
    await serving.start()
    try:
        yield doors.urls
    finally:
        await serving.stop()


@asynccontextmanager
async def near(it: Village, wallet=ALICE):
    client = AsyncClient(Reached(it.town.link, NETWORK, NearGateway(it.library)), wallet)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def far(it: Village, wallet=ALICE):
    async with doors_of(it) as urls, connect(urls["gateway"], wallet=wallet) as client:
        yield client


WAYS = {"near": near, "far": far}
