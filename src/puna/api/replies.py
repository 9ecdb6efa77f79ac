"""What both doors share in replying: who calls, bodies, streams."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from puna.errors import NodeError

from .bodies import BODY_MAX
from .keys import Account, Keys
from .refusals import Refusal, refusal_of

Endpoint = Callable[[Request], Awaitable[Response]]
BEARER = "bearer "


def shown_key(request: Request) -> str | None:
    """The key a caller shows: in the header, or in the path where a tool can send no header."""
    header = request.headers.get("authorization", "")
    if header[: len(BEARER)].lower() == BEARER:
        return header[len(BEARER) :].strip() or None
    return request.path_params.get("key") or request.headers.get("x-api-key") or None


def account_of(request: Request, keys: Keys) -> Account:
    return keys.account(shown_key(request))


async def body_of(request: Request) -> bytes:
    """The request's body. Raises Refusal 413 before the rest has been read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise Refusal(413, f"The body is larger than {BODY_MAX} bytes.", "Send fewer or shorter messages.")
    return bytes(body)


def answering(endpoint: Endpoint, shape: Callable[[Refusal], dict[str, Any]]) -> Endpoint:
    """The endpoint with its errors written in the shape that the door's clients read."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except NodeError as error:
            refusal = refusal_of(error)
            return json_of(shape(refusal), refusal.status, refusal.headers)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it

    return answer


def json_of(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def stream_of(parts: AsyncIterator[bytes], media_type: str, headers: dict[str, str]) -> Response:
    unbuffered = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(parts, 200, unbuffered | headers, media_type=media_type)


def sse(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def line(value: Any) -> bytes:
    return msgspec.json.encode(value) + b"\n"
