"""The messenger unit over HTTP. Source: protocol reference 2.1, 2.3, 2.4."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from puna.arweave.dataitem import DataItem, decode_item
from puna.errors import Invalid

from ..message import ProcessId
from ..wire import application, asked, body_of, json_reply, usual_status
from .unit import MessengerUnit, not_an_item


def messenger_app(unit: MessengerUnit) -> ASGIApp:
    """The web application of one messenger unit."""

    async def root(request: Request) -> Response:
        return PlainTextResponse("ao messenger unit")

    async def submit(request: Request) -> Response:
        process, item_id = asked(request, "process-id", "assign")
        if (process is None) != (item_id is None):
            raise Invalid("You must set both process-id and assign to send an assignment, not just one")
        if process is not None:
            exclude = tuple(filter(None, request.query_params.get("exclude", "").split(",")))
            base_layer = "base-layer" in request.query_params
            assignment = await unit.assign(ProcessId(process), item_id, exclude, base_layer=base_layer)
            return json_reply({"message": "Processing Assignment", "id": assignment.id}, 202)
        item = _read(await body_of(request))
        await unit.submit(item)
        return json_reply({"message": "Processing DataItem", "id": item.id}, 202)

    def monitoring(change: Callable[[DataItem], Awaitable[None]], done: str):
        async def answer(request: Request) -> Response:
            body = await body_of(request)
            if not body:
                return PlainTextResponse("Signed data item is required", 400)
            await change(_read(body))
            return PlainTextResponse(done)

        return answer

    async def push(request: Request) -> Response:
        message, number = request.path_params["id"], request.path_params["number"]
        if not (number.isascii() and number.isdigit()):
            raise Invalid("'number' parameter must be a valid number")
        process = request.query_params.get("process-id")
        if not process:
            raise Invalid("'process-id': Required", "Name the process with ?process-id=")
        await unit.push(ProcessId(process), message, int(number[:9]))
        return json_reply({"message": "Processing Message Result", "id": message}, 202)

    return application(
        [
            Route("/", root, methods=["GET"]),
            Route("/", submit, methods=["POST"]),
            Route("/monitor/{process}", monitoring(unit.monitors.add, "Monitoring process"), methods=["POST"]),
            Route("/monitor/{process}", monitoring(unit.monitors.remove, "Process deleted"), methods=["DELETE"]),
            Route("/push/{id}/{number}", push, methods=["POST"]),
        ],
        usual_status,
    )


def _read(body: bytes) -> DataItem:
    """The item of a body; its signature is the unit's to check. Raises Invalid with the text of 2.1."""
    try:
        return decode_item(body)
    except Invalid as error:
        raise not_an_item(error) from error
