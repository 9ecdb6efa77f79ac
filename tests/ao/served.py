"""A town's units behind real HTTP on free ports of this machine, and a plain client to speak to them."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from ao.fakes import Town

from puna.ao.compute.routes import compute_app
from puna.ao.messenger.routes import messenger_app
from puna.ao.scheduler.routes import scheduler_app
from puna.node.doors import Serving, open_doors


@dataclass(frozen=True)
class Answer:
    """A reply as it came."""

    status: int
    body: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Wire:
    """Asks the units of one town: `await wire("GET", "cu", "/result/..", **query)`."""

    def __init__(self, urls, web: aiohttp.ClientSession):
        self.urls = urls
        self._web = web

    async def __call__(self, method: str, unit: str, path: str, body: Any = None, headers=None, **query) -> Answer:
        query = {name.replace("_", "-").strip("-"): str(value) for name, value in query.items()}
        url = self.urls[unit] + path
        async with self._web.request(method, url, params=query, data=body, headers=headers) as reply:
            return Answer(reply.status, await reply.read(), reply.headers)


@asynccontextmanager
async def served(town: Town):
    doors = open_doors("127.0.0.1", 0)
    units = town.units
    applications = {
        "mu": messenger_app(units.messenger),
        "su": scheduler_app(units.scheduler),
        "cu": compute_app(units.compute, image=lambda snapshot: snapshot.removeprefix(b"fake:")),
    }
    serving = Serving(doors, applications)
    await serving.start()
    try:
        async with aiohttp.ClientSession() as web:
            yield Wire(doors.urls, web)
    finally:
        await serving.stop()
