"""The bridge's HTTP, under /bridge on the gateway's port. Source: reference on AI, 3.3; `/bridge/status` is ours."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from puna.ao.wire import json_reply
from puna.arweave.ids import is_id
from puna.arweave.ids import shown as safe
from puna.errors import Invalid

from . import rules
from .unit import PAGE_MAX, Bridge

BODY_MAX = 4096
NUMBER_DIGITS_MAX = 30
FIELDS = ("txType", "chainType", "tokenId", "wrappedTokenId", "txId", "sender", "recipient", "amount")


def bridge_routes(bridge: Bridge) -> list[Route]:
    async def info(request: Request) -> Response:
        return json_reply(await bridge.info())

    async def status(request: Request) -> Response:
        return json_reply(bridge.status())

    async def entry(request: Request) -> Response:
        id = request.path_params["id"]
        if not is_id(id):
            raise Invalid(f"{safe(id)} is not an id.", "Give the id of a transaction to the vault, or of a burn.")
        return json_reply(await bridge.entry(id))

    async def entries(request: Request) -> Response:
        query = request.query_params
        address = query.get("address", "")
        if address and not rules.is_recipient(address):
            raise Invalid(f"{safe(address)} is not an address.", "Leave it out for the entries of all.")
        count, cursor = _number(query, "count", PAGE_MAX), _number(query, "cursor", 0)
        if not 1 <= count <= PAGE_MAX:
            raise Invalid(f"count is 1 to {PAGE_MAX}.", "Ask for the next page with the cursor of the last.")
        found, after = await bridge.entries(address, count, cursor)
        return json_reply({"txs": found, "cursor": after or None})

    async def announce(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > BODY_MAX:
                raise Invalid(f"The body is more than {BODY_MAX} bytes.")
        told = _announced(bytes(body), bridge.ledger.token)
        await bridge.announce(told["txId"], told["sender"], told["recipient"], int(told["amount"]))
        return json_reply({"txId": told["txId"], "status": rules.UNPACKAGED})

    return [
        Route("/bridge/info", info),
        Route("/bridge/status", status),
        Route("/bridge/tx/{id}", entry),
        Route("/bridge/txs", entries),
        Route("/bridge/cacheUnPackagedTx", announce, methods=["POST"]),
    ]


def _number(query: Any, name: str, default: int) -> int:
    text = query.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX):
        raise Invalid(f"{name} must be a whole number, not {safe(text)}.")
    return int(text) if text else default


def _announced(body: bytes, token: str) -> dict[str, str]:
    """The announced transfer. Raises Invalid with the field that is wrong."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Invalid("The body is not JSON.", f"Send an object with {', '.join(FIELDS)}.") from None
    if not isinstance(told, dict):
        raise Invalid("The body is not a JSON object.", f"Send one with {', '.join(FIELDS)}.")
    told = {name: str(told[name]) if isinstance(told.get(name), int) else told.get(name) for name in FIELDS}
    digits = told["amount"]
    right = {
        "txType": told["txType"] == "mint", "chainType": told["chainType"] == rules.CHAIN,
        "tokenId": told["tokenId"] == rules.AR, "wrappedTokenId": told["wrappedTokenId"] == token,
        "txId": is_id(told["txId"]), "sender": is_id(told["sender"]),
        "recipient": rules.is_recipient(told["recipient"]),
        "amount": isinstance(digits, str) and digits.isascii() and digits.isdigit() and digits.strip("0") != ""
        and len(digits) <= NUMBER_DIGITS_MAX,
    }  # fmt: skip
    for name, good in right.items():
        if not good:
            raise Invalid(f"The field {name} is {safe(told[name])}, which is not right.", WANTED[name])
    return told


WANTED = {
    "txType": "Only transfers to the vault are announced: mint. A burn is a message and needs no announcing.",
    "chainType": f"This bridge knows one chain: {rules.CHAIN}.",
    "tokenId": "AR's own id is 43 times the letter A.",
    "wrappedTokenId": "It is the wAR process, as /bridge/info tells it.",
    "txId": "It is the id of a layer-1 transaction.",
    "sender": "It is the address of the wallet that sends.",
    "recipient": "It is the address or process that gets the wAR.",
    "amount": "It is a whole number of winston above 0.",
}
