"""The scheduler unit over HTTP. Source: protocol reference 3.1 to 3.7. Every refusal is a 400 with a JSON error.

Told apart from the unit itself: over the wire an item that has a place already is refused, as messengers elsewhere
expect, and the refusal says which place that is.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from puna.arweave.archive import BaseTransaction
from puna.arweave.dataitem import DataItem, decode_item, encode_item, verify_item
from puna.errors import Invalid, Missing, NodeError, NotYet

from ..assignment import HEIGHT_DIGITS, Assignment
from ..message import ProcessId, is_assigned, to_feed
from ..wire import application, asked, body_of, json_reply, number_of
from . import schedule as rules
from .port import Entry, Placing, Refused
from .unit import SchedulerUnit

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000


def scheduler_app(unit: SchedulerUnit) -> ASGIApp:
    """The web application of one scheduler unit."""

    async def root(request: Request) -> Response:
        process = request.query_params.get("process-id")
        if process is not None and not await unit.knows(process):
            raise Missing("Process not found")
        return json_reply({"timestamp": str(unit.tip().timestamp_ms), "address": unit.address})

    async def submit(request: Request) -> Response:
        process, item_id = asked(request, "process-id", "assign")
        if (process is None) != (item_id is None):
            raise Invalid("If sending assign or process-id, you must send both.")
        if process is not None:
            exclude = tuple(filter(None, request.query_params.get("exclude", "").split(",")))
            settled = "base-layer" in request.query_params
            placing = Placing(process=ProcessId(process), item_id=item_id, exclude=exclude, settled=settled)
            return await place(placing)
        return await place(Placing(item=_verified(await body_of(request))))

    async def place(placing: Placing) -> Response:
        (answer,) = await unit.place_all([placing])
        if isinstance(answer, Refused):
            raise answer.error
        assignment = answer.assignment
        found = {"id": assignment.id if placing.process else assignment.item_id, "timestamp": assignment.timestamp_ms}
        if answer.new:
            return json_reply(found)
        item_id = placing.item.id if placing.item is not None else placing.item_id
        same = item_id == assignment.item_id
        # The place it has already is told as well: who sends again after a lost reply needs to know it.
        known = {"id": assignment.item_id, "assignment": assignment.id, "timestamp": assignment.timestamp_ms}
        return json_reply({"error": rules.MESSAGE_EXISTS if same else rules.CONTENT_EXISTS, **known}, 400)

    async def raw(request: Request) -> Response:
        process, item_id = ProcessId(request.path_params["process"]), request.path_params["id"]
        item, assignment = await unit.place(process, item_id)
        wanted = assignment.item if item_id == assignment.id else item
        if wanted is None or isinstance(wanted, BaseTransaction):
            raise Missing(rules.NOT_FOUND)
        return Response(encode_item(wanted), media_type="application/octet-stream")

    async def timestamp(request: Request) -> Response:
        tip = await unit.present()  # compute units elsewhere evaluate crons up to it
        return json_reply({"timestamp": str(tip.timestamp_ms), "block_height": f"{tip.height:0{HEIGHT_DIGITS}d}"})

    async def process(request: Request) -> Response:
        process_id = ProcessId(request.path_params["process"])
        ((item, assignment),) = await unit.assignments(process_id, after_nonce=-1, limit=1)
        shown = to_feed(item, process_entry=True)
        return json_reply(
            {
                "process_id": process_id,
                "block": f"{assignment.block_height:0{HEIGHT_DIGITS}d}",
                "owner": shown["owner"],
                "tags": shown["tags"],
                "timestamp": assignment.timestamp_ms,
                "data": shown["data"],
                "anchor": shown["anchor"],
                "signature": shown["signature"],
                "target": shown["target"],
            }
        )

    async def latest(request: Request) -> Response:
        process_id = ProcessId(request.path_params["process"])
        head = await unit.head(process_id)
        (entry,) = await unit.assignments(process_id, after_nonce=head.nonce - 1, limit=1)
        return json_reply(_node(entry))

    async def feed_or_entry(request: Request) -> Response:
        item_id = request.path_params["id"]
        if await unit.knows(item_id):
            return json_reply(await _feed(unit, ProcessId(item_id), request))
        process_id = request.query_params.get("process-id")
        if process_id is None:
            raise Missing(rules.NOT_FOUND, "Name the process with ?process-id=")
        return json_reply(_node(await unit.place(ProcessId(process_id), item_id)))

    async def health(request: Request) -> Response:
        return Response()

    return application(
        [
            Route("/", root, methods=["GET"]),
            Route("/", submit, methods=["POST"]),
            Route("/timestamp", timestamp),
            Route("/health", health),
            Route("/processes/{process}", process),
            Route("/raw/{process}/{id}", raw),
            Route("/{process}/latest", latest),
            Route("/{id}", feed_or_entry),
        ],
        _status_of,
    )


def _status_of(error: NodeError) -> int:
    return 503 if isinstance(error, NotYet) else 400


def _verified(body: bytes) -> DataItem:
    """The item of a body. Raises Invalid with the text of 3.2, our reason after it."""
    try:
        item = decode_item(body)
        verify_item(item)
    except Invalid as error:
        wanted = (
            'error in builder: BuilderError("Byte error in builder: ByteError(\\"Signature verification failed\\")")'
        )
        raise Invalid(f"{wanted} ({error.what})", error.todo) from error
    return item


async def _feed(unit: SchedulerUnit, process: ProcessId, request: Request) -> dict[str, Any]:
    """One page of a schedule, by nonces or by milliseconds. Source: 3.6."""
    limit = max(1, min(number_of(request, "limit") or LIMIT_DEFAULT, LIMIT_MAX))
    last = (await unit.head(process)).nonce
    if "from-nonce" in request.query_params or "to-nonce" in request.query_params:
        after = number_of(request, "from-nonce")
        after = -1 if after is None else after
        to = number_of(request, "to-nonce")
        entries = await unit.assignments(process, after, limit)
        entries = [entry for entry in entries if to is None or entry[1].nonce <= to]
        end = last if to is None else min(to, last)
        more = bool(entries) and entries[-1][1].nonce < end
        return _page(entries, more, lambda assignment: assignment.nonce)
    since, until = number_of(request, "from"), number_of(request, "to")
    start = -1 if since is None else await _nonce_at(unit, process, since, last)
    entries = await unit.assignments(process, start, limit + 1)
    entries = [entry for entry in entries if until is None or entry[1].timestamp_ms <= until]
    return _page(entries[:limit], len(entries) > limit, lambda assignment: assignment.timestamp_ms)


async def _nonce_at(unit: SchedulerUnit, process: ProcessId, timestamp_ms: int, last: int) -> int:
    """The newest nonce whose time is at or before `timestamp_ms`, -1 when all are later. Times grow with nonces."""
    low, high = -1, last
    while low < high:
        middle = (low + high + 1) // 2
        ((_, assignment),) = await unit.assignments(process, middle - 1, 1)
        low, high = (middle, high) if assignment.timestamp_ms <= timestamp_ms else (low, middle - 1)
    return low


def _page(entries: list[Entry], more: bool, cursor: Callable[[Assignment], int]) -> dict[str, Any]:
    # Entry by entry: the thousands of small objects of a page would not fit the processor's cache, nor be free to keep.
    edges = [
        msgspec.Raw(msgspec.json.encode({"node": _node(entry), "cursor": str(cursor(entry[1]))})) for entry in entries
    ]
    return {"page_info": {"has_next_page": more}, "edges": edges}


def _node(entry: Entry) -> dict[str, Any]:
    item, assignment = entry
    # An assigned item is shown by its id alone: readers take it from a gateway, and so know it for what it is.
    shown = item is not None and not is_assigned(item, assignment.process)
    message = to_feed(item, process_entry=assignment.message is None) if shown else None
    return {"message": message, "assignment": assignment.to_feed()}
