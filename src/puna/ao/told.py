"""Items that a gateway or a scheduler tells of, put together again and verified.

Nothing that comes over the wire is believed: an item is what its owner's signature covers. Called by the remote link,
by units whose scheduler is elsewhere, and by clients. Source: protocol reference 1.8, 3.6.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from puna.arweave.dataitem import DataItem, decode_item, rebuild_item, verify_item
from puna.arweave.gateway.upstream import ASK, item_told
from puna.arweave.ids import b64url_decode
from puna.errors import Invalid, Missing

from .foreign import ask


async def fetch_item(web: aiohttp.ClientSession, gateway: str, id: str) -> DataItem:
    """A data item from a gateway. Raises Missing, Invalid when it is not what was signed, NotYet."""
    question = msgspec.json.encode({"query": ASK, "variables": {"id": id}})
    headers = {"Content-Type": "application/json"}
    _, body = await ask(web, "POST", f"{gateway}/graphql", data=question, headers=headers)
    known = (msgspec.json.decode(body).get("data") or {}).get("transaction")
    if known is None:
        raise Missing(f"The gateway does not have item {id}.")
    status, data = await ask(web, "GET", f"{gateway}/raw/{id}")
    if status != 200:
        raise Missing(f"The gateway does not have the data of item {id}.")
    return await asyncio.to_thread(item_told, id, known, data)


async def assignment_item(web: aiohttp.ClientSession, su: str, process: str, told: Mapping[str, Any]) -> DataItem:
    """The signed item of an assignment in a scheduler's feed; its anchor is shown as b64url.

    Raises Invalid when it is not what was signed, NotYet.
    """
    return await _signed(web, su, process, told, b64url_decode(told["anchor"] or ""), b"")


async def message_item(web: aiohttp.ClientSession, su: str, process: str, told: Mapping[str, Any]) -> DataItem:
    """The signed item of a message in a scheduler's feed; anchor and data are shown as text. Raises as above."""
    anchor, data = (told["anchor"] or "").encode(), (told["data"] or "").encode()
    return await _signed(web, su, process, told, anchor, data)


async def raw_item(web: aiohttp.ClientSession, su: str, process: str, id: str) -> DataItem | None:
    """An item of a schedule as its bytes, where the scheduler hands them out; None where not. Raises as above."""
    status, body = await ask(web, "GET", f"{su}/raw/{process}/{id}")
    if status != 200:
        return None
    item = decode_item(body)
    verify_item(item)
    if item.id != id:
        raise Invalid(f"The scheduler gave {item.id} for {id}.")
    return item


async def _signed(
    web: aiohttp.ClientSession, su: str, process: str, told: Mapping[str, Any], anchor: bytes, data: bytes
) -> DataItem:
    """The item as signed. What the feed cannot show as text is asked for whole."""
    try:
        owner, signature = b64url_decode(told["owner"]["key"]), b64url_decode(told["signature"])
        return rebuild_item(told["id"], owner, signature, told.get("target") or "", anchor, told["tags"], data)
    except Invalid:
        item = await raw_item(web, su, process, told["id"])
        if item is None:
            raise
        return item
