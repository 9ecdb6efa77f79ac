"""All routes of the gateway, in the order in which they must be tried, and its answers to what goes wrong.

Called by the node, which puts its own routes before these.
"""

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from puna.arweave.gateway.data import data_routes
from puna.arweave.gateway.graphql import graphql_routes
from puna.arweave.gateway.layer1 import layer1_routes
from puna.arweave.gateway.library import Library
from puna.arweave.gateway.reply import OCTETS, TooLarge, json_of, text
from puna.arweave.gateway.uploader import uploader_routes
from puna.errors import Invalid, Missing, NodeError, NotYet

EXPOSED = ["Content-Range", "Accept-Ranges", "Content-Length"]  # what browsers let a page see of our headers


def gateway_application(
    library: Library,
    release: str,
    *,
    scratch: Path | None = None,
    before: Sequence[BaseRoute] = (),
    exposed: Sequence[str] = (),
) -> Starlette:
    """The gateway as a web application; `before` are further routes that go first, `exposed` headers of theirs."""
    uploading = uploader_routes(library.weave, scratch)
    transactions = layer1_routes(library, release)
    routes = [
        *before,
        *graphql_routes(library),
        *uploading,
        *_told_apart(transactions, uploading),
        *data_routes(library),
    ]
    anywhere = {"allow_origins": ["*"], "allow_methods": ["*"], "allow_headers": ["*"]}
    cors = Middleware(CORSMiddleware, **anywhere, expose_headers=[*EXPOSED, *exposed])
    handlers = {NodeError: _refuse, TooLarge: _too_large}
    return Starlette(routes=routes, middleware=[cors], exception_handlers=handlers)


def _told_apart(transactions: list[Route], uploading: list[Route]) -> list[Route]:
    """`POST /tx` takes a transaction's JSON or a raw data item: the content type says which."""
    upload = uploading[0].endpoint

    def replaced(route: Route) -> Route:
        if route.path != "/tx":
            return route

        async def post(request: Request) -> Response:
            type = request.headers.get("content-type", "").split(";")[0].strip().lower()
            return await (upload if type == OCTETS else route.endpoint)(request)

        return Route("/tx", post, methods=["POST"])

    return [replaced(route) for route in transactions]


async def _too_large(request: Request, error: Exception) -> Response:
    return text("Payload too large", 413)


async def _refuse(request: Request, error: Exception) -> Response:
    statuses = {Invalid: 400, Missing: 404, NotYet: 503}
    status = next((status for kind, status in statuses.items() if isinstance(error, kind)), 500)
    return json_of({"error": str(error)}, status)
