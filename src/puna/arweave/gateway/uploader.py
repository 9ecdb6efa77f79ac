"""The uploader: takes signed data items, and answers with a receipt. Source: protocol reference 1.9."""

import asyncio
import tempfile
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from puna.arweave.dataitem import DataItem, decode_item, verify_item
from puna.arweave.deephash import deep_hash
from puna.arweave.gateway.reply import OCTETS, TooLarge, json_of, text
from puna.arweave.ids import b64url_encode, is_id
from puna.arweave.store.payloads import map_file
from puna.arweave.weave import Weave
from puna.clock import wall_ms
from puna.errors import Invalid, NodeError

IN_MEMORY_MAX = 1 << 20  # a larger item waits in a file while it is checked
ITEM_BYTES_MAX = 64 << 30
DEADLINE_BLOCKS = 200
RECEIPT_VERSION = "1.0.0"


def uploader_routes(weave: Weave, scratch: Path | None) -> list[Route]:
    """`scratch` is a folder on a real disk, where large items are put together."""

    async def upload(request: Request) -> Response:
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != OCTETS:
            return text("Invalid Content Type", 400)
        with tempfile.SpooledTemporaryFile(IN_MEMORY_MAX, dir=scratch) as file:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > ITEM_BYTES_MAX:
                    raise TooLarge
                if size <= IN_MEMORY_MAX:
                    file.write(chunk)
                else:
                    await asyncio.to_thread(file.write, chunk)
            file.flush()
            return await _take(weave, _read(file, size))

    async def balance(request: Request) -> Response:
        address = request.path_params["address"]
        if not is_id(address):
            return text("Invalid address.", 400)
        return json_of({"balance": str(weave.balance(address))})  # uploads cost nothing here

    return [
        Route("/tx/arweave", upload, methods=["POST"]),
        Route("/account/balance/{address}", balance),
    ]


def _read(file: tempfile.SpooledTemporaryFile, size: int) -> bytes | memoryview:
    if size <= IN_MEMORY_MAX:
        file.seek(0)
        return file.read()
    return map_file(file.fileno())


async def _take(weave: Weave, encoded: bytes | memoryview) -> Response:
    try:
        item = decode_item(encoded)
    except Invalid:
        return text("Data item parsing error!", 400)
    try:
        await asyncio.to_thread(verify_item, item)
    except Invalid:
        return text("Invalid Data Item!", 400)
    try:
        await weave.upload(item)
    except NodeError as error:
        return text(str(error), 503)
    return json_of(await asyncio.to_thread(_receipt, weave, item))


def _receipt(weave: Weave, item: DataItem) -> dict:
    """What callers keep as proof that we took the item."""
    timestamp, deadline = wall_ms(), weave.tip.height + DEADLINE_BLOCKS
    bundler = weave.bundler()
    said = [b"Bundlr", RECEIPT_VERSION.encode(), item.id.encode(), b"%d" % deadline, b"%d" % timestamp]
    return {
        "id": item.id,
        "timestamp": timestamp,
        "winc": "0",
        "version": RECEIPT_VERSION,
        "deadlineHeight": deadline,
        "block": weave.tip.height,
        "dataCaches": ["local"],
        "fastFinalityIndexes": ["local"],
        "public": b64url_encode(bundler.owner),
        "signature": b64url_encode(bundler.sign(deep_hash(said))),
        "owner": item.address,
        "validatorSignatures": [],
    }
