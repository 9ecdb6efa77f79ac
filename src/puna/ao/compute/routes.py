"""The compute unit over HTTP. Source: protocol reference 4.1, 4.2, 4.5."""

from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from puna.clock import wall_ms
from puna.errors import Invalid

from ..message import ProcessId
from ..result import Result
from ..wire import application, body_of, json_reply, usual_status
from .unit import ComputeUnit


def compute_app(unit: ComputeUnit) -> Starlette:
    """The web application of one compute unit."""

    async def root(request: Request) -> Response:
        return json_reply({"address": unit.address, "timestamp": wall_ms()})

    async def result(request: Request) -> Response:
        found = await unit.result(_process_of(request), request.path_params["id"])
        return json_reply(_shown(found))

    async def dry_run(request: Request) -> Response:
        try:
            body = msgspec.json.decode(await body_of(request), type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise Invalid(f"'body': a JSON object must be provided: {error}") from error
        return json_reply(_shown(await unit.preview(_process_of(request), body)))

    return application(
        [
            Route("/", root),
            Route("/result/{id}", result),
            Route("/dry-run", dry_run, methods=["POST"]),
        ],
        usual_status,
    )


def _process_of(request: Request) -> ProcessId:
    process = request.query_params.get("process-id")
    if not process:
        raise Invalid("'process-id': Required", "Name the process with ?process-id=")
    return ProcessId(process)


def _shown(result: Result) -> dict[str, Any]:
    """A number in Output is text on the wire: clients expect text or an object."""
    wire = result.to_json()
    if isinstance(wire["Output"], (int, float)) and not isinstance(wire["Output"], bool):
        wire["Output"] = str(wire["Output"])
    return wire
