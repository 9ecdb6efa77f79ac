"""Permanent data by id: `/{id}`, `/raw/{id}` and the paths of manifests. Source: protocol reference 1.7."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from puna.arweave.gateway.library import Held, Library
from puna.arweave.gateway.reply import content_type, send_body, text
from puna.arweave.transactions import Pending

# What an id stands for never changes, so whoever has it need not ask again.
FOR_EVER = "public, max-age=31536000, immutable"


def data_routes(library: Library) -> list[Route]:
    """To be put last: they match any path of one or two parts."""

    async def raw(request: Request) -> Response:
        try:
            found = await library.held(request.path_params["id"])
        except Pending:
            return text("Pending", 202)
        if found is None:
            return text("Not found", 404)
        return await _sent(request, found)

    async def shown(request: Request) -> Response:
        try:
            found = await library.held(request.path_params["id"])
        except Pending:
            return text("Pending", 202)
        path = request.path_params.get("path", "")
        if found is not None:
            placed = await library.in_manifest(found, path)
            if placed is not None:
                target, status = placed
                reply = await _sent(request, target)
                if status != 200:
                    reply.status_code, reply.headers["Cache-Control"] = status, "no-store"
                return reply
        if found is None or path:
            return text("Not found", 404)
        return await _sent(request, found)

    return [Route("/raw/{id}", raw), Route("/{id}", shown), Route("/{id}/{path:path}", shown)]


async def _sent(request: Request, found: Held) -> Response:
    reply = await send_body(request, found.body, content_type(found.type))
    if reply.status_code < 300:
        reply.headers["Cache-Control"] = FOR_EVER
    return reply
