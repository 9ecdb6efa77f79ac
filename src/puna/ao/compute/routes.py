"""The compute unit over HTTP. Source: protocol reference 4.1 to 4.5.

Every result is kept and computed eagerly, so there is no 425, no 202 and no stale answer; `no-busy` and `x-max-age`
are accepted and change nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from puna.clock import wall_ms
from puna.errors import Invalid, NodeError
from puna.vm.image import image

from ..message import ProcessId
from ..result import Page, Result
from ..wire import application, body_of, json_reply, number_of, usual_status
from .cursor import cursor_of, page_of, position_of
from .program import TooLarge, Unsupported
from .unit import ComputeUnit, HashChainBroken

RESULTS_DEFAULT, RESULTS_MAX = 25, 1000
CRONS_DEFAULT = 500


def compute_app(unit: ComputeUnit, image: Callable[[bytes], bytes] = image) -> ASGIApp:
    """The web application of one compute unit; `image` turns a snapshot into plain memory."""

    async def root(request: Request) -> Response:
        return json_reply({"address": unit.address, "timestamp": wall_ms()})

    async def result(request: Request) -> Response:
        found = await unit.result(_process_of(request), request.path_params["id"])
        return _reply(found)

    async def results(request: Request) -> Response:
        process = ProcessId(request.path_params["process"])
        sort = request.query_params.get("sort", "ASC").upper() or "ASC"
        if sort not in ("ASC", "DESC"):
            raise Invalid("'sort': must be ASC or DESC")
        after, until = (request.query_params.get(name) for name in ("from", "to"))
        page = await page_of(unit, process, after, until, _limit(request, RESULTS_DEFAULT), sort == "DESC")
        return json_reply(_page(page))

    async def crons(request: Request) -> Response:
        process = ProcessId(request.path_params["process"])
        await unit.known(process)
        after, until = (position_of(unit, process, request.query_params.get(name)) for name in ("from", "to"))
        kept, more = await unit.crons(process, after=after, until=until, limit=_limit(request, CRONS_DEFAULT))
        return json_reply(_page(Page(tuple((cursor_of(each, "ASC"), result) for each, result in kept), more)))

    async def dry_run(request: Request) -> Response:
        process = _process_of(request)
        body = read_dry_run(await body_of(request))
        return _reply(await unit.preview(process, body, request.query_params.get("to") or None))

    async def state(request: Request) -> Response:
        found = await unit.state(ProcessId(request.path_params["process"]), number_of(request, "to"))
        headers = {
            "Last-Timestamp": str(found.at.timestamp_ms),
            "Last-Ordinate": str(found.at.nonce),
            "Last-Block-Height": str(found.block_height),
        }
        memory = await asyncio.to_thread(image, found.snapshot)
        return Response(memory, headers=headers, media_type="application/octet-stream")

    return application(
        [
            Route("/", root),
            Route("/result/{id}", result),
            Route("/results/{process}", results),
            Route("/cron/{process}", crons),
            Route("/state/{process}", state),
            Route("/dry-run", dry_run, methods=["POST"]),
        ],
        _status_of,
    )


def _status_of(error: NodeError) -> int:
    match error:
        case TooLarge():
            return 413
        case Unsupported() | HashChainBroken():
            return 422
        case _:
            return usual_status(error)


def _process_of(request: Request) -> ProcessId:
    process = request.query_params.get("process-id")
    if not process:
        raise Invalid("'process-id': Required", "Name the process with ?process-id=")
    return ProcessId(process)


def _limit(request: Request, default: int) -> int:
    return max(1, min(number_of(request, "limit") or default, RESULTS_MAX))


def read_dry_run(encoded: bytes) -> dict[str, Any]:
    """The unsigned message in a body. Raises Invalid when it is no JSON, or no message could be made of it."""
    try:
        body = msgspec.json.decode(encoded)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Invalid(f"'body': a JSON object must be provided: {error}") from error
    if not isinstance(body, dict):
        raise Invalid("'body': a JSON object must be provided")
    tags = body.get("Tags")
    if tags is not None and not (isinstance(tags, list) and all(map(_is_tag, tags))):
        raise Invalid("'Tags': must be an array of objects with a name and a value, both text")
    return body


def _is_tag(tag: Any) -> bool:
    return isinstance(tag, dict) and isinstance(tag.get("name"), str) and isinstance(tag.get("value"), str)


def _page(page: Page) -> dict[str, Any]:
    edges = [{"node": _shown(result), "cursor": cursor} for cursor, result in page.edges]
    return {"pageInfo": {"hasNextPage": page.more}, "edges": edges}


def _reply(result: Result) -> Response:
    """A result by itself, mostly as it was encoded when it was attested."""
    if _has_number(result):
        return json_reply(_shown(result))
    return Response(result.encode(), media_type="application/json")


def _shown(result: Result) -> dict[str, Any]:
    """A number in Output is text on the wire: clients expect text or an object."""
    wire = result.to_json()
    if _has_number(result):
        wire["Output"] = str(result.output)
    return wire


def _has_number(result: Result) -> bool:
    return isinstance(result.output, (int, float)) and not isinstance(result.output, bool)
