"""Requests to the herd as anybody may watch them, live or long ago, and their receipts.

What a request says is public on the network anyway, so nobody needs a key to look.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from puna.ao.message import owner_address, tag
from puna.arweave.dataitem import DataItem
from puna.arweave.store.port import Query
from puna.errors import Missing, NodeError
from puna.services.herder import client
from puna.services.herder.desk import Case, end_of
from puna.services.outbox import Sent
from puna.services.receipts import TYPE, find_receipt

from .counter import Counter
from .replies import json_of, sse, stream_of

LOOK_S = 1.0  # how often one who waits in the queue is told its place
LISTENING = b": listening\n\n"


def inference_routes(counter: Counter) -> list[Route]:
    async def receipt(request: Request) -> Response:
        name = request.path_params["id"]
        item = find_receipt(counter.store, name)
        if item is None:
            raise Missing(f"There is no receipt called {name:.80}, nor of a payment or response of that id.")
        headers = {"X-Puna-Receipt": item.id, "X-Puna-Signer": item.address}
        return Response(bytes(item.data), headers=headers, media_type="application/json")

    async def state(request: Request) -> Response:
        name = request.path_params["name"]
        case = counter.desk.find(name)
        if case is None or case.over:
            return json_of(_past(counter, name, case))
        return json_of(await _present(counter, case) | {"text": case.text})

    async def events(request: Request) -> Response:
        name = request.path_params["name"]
        case = counter.desk.find(name)
        if case is None or case.over:
            return stream_of(_told(_past(counter, name, case)), "text/event-stream", {})
        return stream_of(_live(counter, name, case), "text/event-stream", {})

    return [
        Route("/receipts/{id}", receipt),
        Route("/inference/{name}/events", events),
        Route("/inference/{name}", state),
    ]


async def _present(counter: Counter, case: Case) -> dict[str, Any]:
    told = {"state": case.state, "payment": case.inquiry.transfer, "reference": case.inquiry.reference}
    if case.state == "queued":
        with suppress(NodeError):
            now = await client.status(counter.link, case.inquiry.herder, case.inquiry.payer, case.inquiry.reference)
            told |= {"place": now.place, "queue_length": now.queue_length}
    return told


async def _live(counter: Counter, name: str, case: Case) -> AsyncIterator[bytes]:
    """Every piece of text and every change of state as an event of its own, and the end with the receipt."""
    yield LISTENING
    yield sse(await _present(counter, case))
    following = case.follow()
    hearing = asyncio.ensure_future(anext(following, None))
    try:
        shown = None
        while True:
            done, _ = await asyncio.wait([hearing], timeout=LOOK_S)
            if not done:
                told = await _present(counter, case) if case.state == "queued" else None
                yield sse(told) if told and told != shown else b": still here\n\n"
                shown = told
                continue
            news = hearing.result()
            if news is None:
                break
            hearing = asyncio.ensure_future(anext(following, None))
            if news.text:
                yield sse({"state": "running", "text": news.text})
            elif not case.over or news.state not in ("answered", "refunded"):
                yield sse({"state": news.state})
    finally:
        hearing.cancel()
        with suppress(asyncio.CancelledError):
            await hearing
        await following.aclose()
    yield sse(_past(counter, name, case))


async def _told(end: dict[str, Any]) -> AsyncIterator[bytes]:
    yield LISTENING
    if text := end.get("answer"):
        yield sse({"state": "running", "text": text})
    yield sse(end)


def _past(counter: Counter, name: str, case: Case | None) -> dict[str, Any]:
    """How a request ended, by the log. Raises Missing when nothing of it is there."""
    if case is not None and case.inquiry.failure is not None:
        refusal = case.inquiry.failure
        ended = {"state": "refunded", "payment": case.inquiry.transfer, "reference": case.inquiry.reference}
        return ended | {"error": str(refusal)}
    item = find_receipt(counter.store, case.receipt if case is not None else name) or _by_reference(counter, name)
    if item is not None:
        told = msgspec.json.decode(bytes(item.data))
        ended = {"state": "answered", "payment": told["payment"]["id"], "reference": told["reference"]}
        ended |= {"answer": told["text"], "fee_winston": told["fee"], "refund_winston": told["refund"]}
        return ended | {"response": told["messages"]["response"], "receipt": item.id}
    paid = counter.store.view(name)
    if paid is None or paid.target != counter.network().token or tag(paid, "Action") != "Transfer":
        raise Missing(f"There is no request {name:.80}.", "Name it by the id of its payment, or by its reference.")
    return _ended(counter, paid)


def _by_reference(counter: Counter, name: str) -> DataItem | None:
    query = Query(tags=(("Type", (TYPE,)), ("Reference", (name,))), limit=1, newest_first=True)
    return next((entry.item for entry in counter.store.find(query)), None)


def _ended(counter: Counter, paid: DataItem) -> dict[str, Any]:
    """The end of a request that has no receipt: refunded, or still to come."""
    payer, reference = tag(paid, "From-Process") or owner_address(paid), tag(paid, "X-Reference") or ""
    told = {"state": "paid", "payment": paid.id, "reference": reference}
    end: Sent | None = end_of(counter.store, counter.network(), payer, reference)
    if end is not None and end.action == "Inference-Error":
        return told | {"state": "refunded", "error": str(client.refused(end))}
    return told
