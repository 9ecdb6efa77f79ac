"""What the HTTP of all units has in common: JSON replies, error bodies, any origin allowed, bounded bodies.

Called by each unit's `routes.py`. Source: protocol reference 0.5 and the error columns of its sections 2 to 4.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from puna.errors import Invalid, Missing, NodeError, NotYet

BODY_MAX = 10 * 1024 * 1024  # bytes of a message sent to a unit; modules and models go to the uploader

Handler = Callable[[Request], Awaitable[Response]]


def application(routes: Sequence[BaseRoute], status_of: Callable[[NodeError], int]) -> Starlette:
    """A unit's web application; `status_of` says which status a unit gives to an expected error."""

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, NodeError)
        return json_reply({"error": str(error)}, status_of(error))

    cors = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    return Starlette(routes=list(routes), middleware=[cors], exception_handlers={NodeError: refuse})


def json_reply(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def usual_status(error: NodeError) -> int:
    """400 for the sender's mistakes, 404 for what nobody has, 503 for what may come."""
    match error:
        case Invalid():
            return 400
        case Missing():
            return 404
        case NotYet():
            return 503
        case _:
            return 500


async def body_of(request: Request) -> bytes:
    """The whole body. Raises Invalid past BODY_MAX, before the rest has been read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise Invalid(
                f"the body is larger than {BODY_MAX} bytes", "Upload large data by itself and refer to its id."
            )
    return bytes(body)


def number_of(request: Request, name: str) -> int | None:
    """A query parameter as a number, None when it is not given. Raises Invalid when it is none."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return None
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"'{name}' parameter must be a valid number") from None
