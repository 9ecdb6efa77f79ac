"""The gateway's door: what stands on this network and the stream of its events, before everything Arweave's.

Called by the node. Permanent data, transactions, GraphQL and the uploader are the gateway room's of the arweave floor.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from puna import __version__
from puna.ao.events import Hub, Subscription
from puna.ao.wire import json_reply
from puna.api.routes import PROOF_HEADERS
from puna.arweave.gateway.library import Library
from puna.arweave.gateway.routes import gateway_application

SPACING_S = 0.003  # between two writes to one listener: a write costs more than all that there is to tell in so long
KEEP_ALIVE_S = 15.0  # a comment this often keeps proxies and browsers from giving up


def gateway_app(
    library: Library,
    hub: Hub,
    network: Callable[[], dict[str, Any]],
    scratch: Path | None = None,
    services: Sequence[BaseRoute] = (),
) -> Starlette:
    """The web application of the gateway; `network` tells the standing programs, and under `units` the units' URLs.

    `services` are the routes of what else this node offers.
    """

    async def standing(request: Request) -> Response:
        told = network()
        units = {name: seen_from(request, url) for name, url in told.get("units", {}).items()}
        return json_reply({**told, "units": units} if units else told)

    async def events(request: Request) -> Response:
        subscription = hub.subscribe(request.query_params.get("root"), request.query_params.get("process"))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_stream(subscription), media_type="text/event-stream", headers=headers)

    ours = [Route("/network", standing), Route("/events", events), *services]
    return gateway_application(library, __version__, scratch=scratch, before=ours, exposed=PROOF_HEADERS)


def seen_from(request: Request, url: str) -> str:
    """A unit's URL for one who reached us with this request: a unit that listens everywhere is at the same host."""
    host = request.url.hostname or ""
    for anywhere in ("//0.0.0.0:", "//[::]:"):
        url = url.replace(anywhere, f"//[{host}]:" if ":" in host else f"//{host}:", 1)
    return url


async def _stream(subscription: Subscription) -> AsyncIterator[bytes]:
    """Server-sent events, one JSON object each. The first comment tells the client that we listen for it."""
    yield b": listening\n\n"
    async with subscription:
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    events = await subscription.encoded()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if not events:
                return
            yield events
            await asyncio.sleep(SPACING_S)
