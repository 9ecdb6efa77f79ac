"""What the HTTP of all units has in common: JSON replies, error bodies, any origin allowed, bounded bodies.

Called by each unit's `routes.py`. Source: protocol reference 0.5 and the error columns of its sections 2 to 4.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from puna.errors import Invalid, Missing, NodeError, NotYet

BODY_MAX = 10 * 1024 * 1024  # bytes of a message sent to a unit; modules and models go to the uploader

ANY_ORIGIN = (b"access-control-allow-origin", b"*")

log = logging.getLogger(__name__)


def application(routes: Sequence[Route], status_of: Callable[[NodeError], int]) -> ASGIApp:
    """A unit's web application; `status_of` says which status a unit gives to an expected error."""
    return _Application(routes, status_of)


class _Application:
    """Starlette's routes, with the shortest way to them.

    A request that a route takes as it is goes straight to its endpoint: Starlette's layers in between cost as much as
    verifying a signature. They serve whatever else comes: preflights, unknown paths, wrong methods, slashes too many.
    """

    def __init__(self, routes: Sequence[Route], status_of: Callable[[NodeError], int]):
        self._routes = routes
        self._status_of = status_of
        cors = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
        self._others = Starlette(routes=list(routes), middleware=[cors])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route in self._routes:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    response = await self._answer(route, Request(scope, receive, send))
                    response.raw_headers.append(ANY_ORIGIN)
                    return await response(scope, receive, send)
        await self._others(scope, receive, send)

    async def _answer(self, route: Route, request: Request) -> Response:
        try:
            return await route.endpoint(request)
        except NodeError as error:
            return json_reply({"error": str(error)}, self._status_of(error))
        except HTTPException as error:
            return PlainTextResponse(error.detail, error.status_code, error.headers)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception:
            log.exception("%s %s met a bug", request.method, request.url.path)
            return PlainTextResponse("Internal Server Error", 500)


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


def asked(request: Request, *names: str) -> list[str | None]:
    """Query parameters, None for those that are not given."""
    if not request.scope["query_string"]:
        return [None] * len(names)  # as in nearly every POST
    return [request.query_params.get(name) for name in names]


def number_of(request: Request, name: str) -> int | None:
    """A query parameter as a number, None when it is not given. Raises Invalid when it is none."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return None
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"'{name}' parameter must be a valid number") from None
