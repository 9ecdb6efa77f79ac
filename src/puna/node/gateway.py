"""The gateway's door: what this network is, permanent data by id, and the stream of events.

Layer-1 transactions and GraphQL are not here yet. Source of `GET /` and the data routes: protocol reference 1.7.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from puna import __version__
from puna.ao.events import Hub, Subscription
from puna.ao.wire import application, json_reply, usual_status
from puna.arweave.ids import is_id
from puna.arweave.store.port import Store
from puna.arweave.tags import first
from puna.clock import Clock
from puna.errors import Missing

KEEP_ALIVE_S = 15.0  # a comment this often keeps proxies and browsers from giving up


def gateway_app(store: Store, clock: Clock, hub: Hub, network: Callable[[], dict[str, Any]]) -> Starlette:
    """The web application of the gateway; `network` tells the standing programs."""

    async def info(request: Request) -> Response:
        return json_reply(
            {
                "network": "puna.local",
                "version": 5,
                "release": __version__,
                "height": clock.tip().height,
                "peers": 0,
                "queue_length": 0,
                "node_state_latency": 0,
            }
        )

    async def standing(request: Request) -> Response:
        return json_reply(network())

    async def data(request: Request) -> Response:
        item_id = request.path_params["id"]
        item = store.view(item_id) if is_id(item_id) else None
        if item is None:
            raise Missing(f"{item_id} is not on this weave.")
        kind = first(item.tags, "Content-Type") or "application/octet-stream"
        path = store.payload_path(item_id)
        if path is not None:
            return FileResponse(path, media_type=kind)
        return Response(bytes(item.data), media_type=kind)

    async def events(request: Request) -> Response:
        subscription = hub.subscribe(request.query_params.get("root"))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_stream(subscription), media_type="text/event-stream", headers=headers)

    return application(
        [
            Route("/", info),
            Route("/info", info),
            Route("/network", standing),
            Route("/events", events),
            Route("/raw/{id}", data),
            Route("/{id}", data),
        ],
        usual_status,
    )


async def _stream(subscription: Subscription) -> AsyncIterator[bytes]:
    """Server-sent events, one JSON object each. The first comment tells the client that we listen for it."""
    yield b": listening\n\n"
    async with subscription:
        following = asyncio.ensure_future(anext(subscription, None))
        try:
            while True:
                done, _ = await asyncio.wait([following], timeout=KEEP_ALIVE_S)
                if not done:
                    yield b": still here\n\n"
                    continue
                event = following.result()
                if event is None:
                    return
                yield b"data: " + msgspec.json.encode(event) + b"\n\n"
                following = asyncio.ensure_future(anext(subscription, None))
        finally:
            following.cancel()
