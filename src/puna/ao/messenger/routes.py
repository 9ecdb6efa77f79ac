"""The messenger unit over HTTP. Source: protocol reference 2.1, 2.3, 2.4."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from puna.arweave.dataitem import decode_item
from puna.errors import Invalid

from ..message import ProcessId
from ..wire import application, body_of, json_reply, usual_status
from .unit import MessengerUnit


def messenger_app(unit: MessengerUnit) -> Starlette:
    """The web application of one messenger unit."""

    async def root(request: Request) -> Response:
        return PlainTextResponse("ao messenger unit")

    async def submit(request: Request) -> Response:
        process, item_id = (request.query_params.get(name) for name in ("process-id", "assign"))
        if (process is None) != (item_id is None):
            raise Invalid("You must set both process-id and assign to send an assignment, not just one")
        if process is not None:
            exclude = tuple(filter(None, request.query_params.get("exclude", "").split(",")))
            assignment = await unit.assign(ProcessId(process), item_id, exclude)
            return json_reply({"message": "Processing Assignment", "id": assignment.id}, 202)
        try:
            item = decode_item(await body_of(request))
        except Invalid as error:
            raise Invalid(
                f"'body': A valid and signed data item must be provided as the body. ({error.what})", error.todo
            ) from error
        await unit.submit(item)
        return json_reply({"message": "Processing DataItem", "id": item.id}, 202)

    return application([Route("/", root, methods=["GET"]), Route("/", submit, methods=["POST"])], usual_status)
