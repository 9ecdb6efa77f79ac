"""Replies of the gateway: plain words, JSON, and bodies of any size with ranges, in constant memory.

Used by every file of routes here. Source: protocol reference 1.7, notes on Range and HEAD.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from puna.arweave.body import Body

OCTETS = "application/octet-stream"
SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"
SMALL_BYTES = 64 * 1024  # read at once, on the event loop
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CONTENT_TYPE = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,254}")


class TooLarge(Exception):
    """A body over its bound; 413."""


def text(words: str, status: int = 200) -> Response:
    return PlainTextResponse(words, status)


def json_of(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def content_type(tag: str | None) -> str:
    """What an item says its data is, if a header can say it."""
    return tag if tag and _CONTENT_TYPE.fullmatch(tag) else OCTETS


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes asked for, end exclusive; None when all of them are to be sent. Raises ValueError: none is there.

    A range that runs backwards, several ranges and nonsense are ignored, as WeaveDrive needs it.
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return (max(size - int(last), 0), size) if int(last) and size else None
    start = int(first)
    if last and start > int(last):
        return None
    if start >= size:
        raise ValueError
    return start, min(int(last) + 1 if last else size, size)


async def send_body(request: Request, body: Body, type: str) -> Response:
    """The body, or the part of it that the request's Range asks for; nothing but headers for a HEAD."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": type, "X-Content-Type-Options": "nosniff"}
    # What strangers stored must not act as a page of this node: pages keep wallets in the browser.
    headers["Content-Security-Policy"] = SANDBOX
    try:
        part = range_of(request.headers.get("range"), body.size)
    except ValueError:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{body.size}"})
    start, end = part or (0, body.size)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{body.size}"
    headers["Content-Length"] = str(end - start)
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    if end - start <= SMALL_BYTES:
        return Response(bytes(body.read(start, end)), status, headers)
    return StreamingResponse(_parts(body, start, end), status, headers)


async def _parts(body: Body, start: int, end: int) -> AsyncIterator[bytes]:
    """A part at a time, read on a thread: the disk may make us wait, and nobody else should wait with us."""
    parts = body.parts(start, end)
    while (part := await asyncio.to_thread(lambda: next(parts, None))) is not None:
        yield bytes(part)


async def bounded_body(request: Request, limit: int) -> bytes:
    """The request's body. Raises TooLarge before the rest has been read."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > limit:
        raise TooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge
    return bytes(body)
