"""Permanent data as clients read, search and add to it: a weave at hand, or a gateway over HTTP.

Called by the clients. Items are verified before they are given out; plain data is what the gateway says it is.
Source: protocol reference 1.7 to 1.9.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec

from puna.arweave.dataitem import DataItem, encode_header
from puna.arweave.ids import Address, ItemId, is_id
from puna.errors import Invalid, Missing, NodeError, NotYet

from .records import Found, Tags, told_tags

if TYPE_CHECKING:
    from puna.ao.remote import RemoteLink
    from puna.arweave.gateway.library import Library

PART_BYTES = 1 << 20


@dataclass(frozen=True)
class Search:
    """What to find: every field that is given must hold, by any one of its values. At most `limit`, 1 to 100."""

    ids: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    limit: int = 100
    after: str | None = None
    newest_first: bool = True


class Gateway(Protocol):
    """All raise Missing for what nobody has, NotYet when it cannot be asked now."""

    async def upload(self, item: DataItem) -> None:
        """Keep a signed item for ever. Durable when it returns."""
        ...

    async def item(self, id: str) -> DataItem:
        """A data item, verified."""
        ...

    async def data(self, id: str) -> bytes:
        """The data of an item or a transaction."""
        ...

    async def save(self, id: str, file: BinaryIO) -> int:
        """Write the data of an item or a transaction to `file`, a part at a time; returns its size."""
        ...

    async def find(self, search: Search) -> list[Found]:
        """Items and transactions, by the height of their block."""
        ...

    async def balance(self, address: str) -> int:
        """Winston of AR that a wallet has on layer 1; 0 for one that nobody has heard of."""
        ...


class NearGateway:
    """The weave of this very process."""

    def __init__(self, library: Library):
        self._library = library

    async def upload(self, item: DataItem) -> None:
        await self._library.weave.upload(item)

    async def item(self, id: str) -> DataItem:
        await self._library.bring(id)
        item = self._library.weave.store.view(id)
        if item is None:
            raise _missing(id)
        return item

    async def data(self, id: str) -> bytes:
        return (await self._held(id)).body.all()

    async def save(self, id: str, file: BinaryIO) -> int:
        body = (await self._held(id)).body
        await asyncio.to_thread(file.writelines, body.parts())
        return body.size

    async def find(self, search: Search) -> list[Found]:
        from puna.arweave.gateway.selection import TagFilter, Wanted, read_cursor, select

        wanted = Wanted(
            ids=search.ids,
            owners=search.owners,
            recipients=search.recipients,
            tags=tuple(TagFilter(name, values) for name, values in search.tags),
            first=search.limit,
            after=read_cursor(search.after) if search.after else None,
            newest_first=search.newest_first,
        )
        await asyncio.gather(*(self._library.bring(id) for id in search.ids))
        things, _ = await asyncio.to_thread(select, self._library.weave, wanted)
        return [
            Found(
                id=ItemId(thing.id),
                owner=Address(thing.owner["address"]),
                target=thing.recipient,
                tags=Tags(thing.tags),
                size=int(thing.data["size"]),
                cursor=thing.position.cursor(),
            )
            for thing in things
        ]

    async def balance(self, address: str) -> int:
        return self._library.weave.balance(address)

    async def _held(self, id: str) -> Any:
        found = await self._library.held(id)
        if found is None:
            raise _missing(id)
        return found


_FIND = """query ($first: Int, $after: String, $sort: SortOrder, $ids: [ID!], $owners: [String!],
    $recipients: [String!], $tags: [TagFilter!]) {
  transactions(first: $first, after: $after, sort: $sort, ids: $ids, owners: $owners, recipients: $recipients,
      tags: $tags) {
    edges { cursor node { id recipient owner { address } tags { name value } data { size } } } } }"""


class FarGateway:
    """A gateway over HTTP, and the uploader beside it, at the same URL if not said otherwise."""

    def __init__(self, link: RemoteLink, uploader: str = ""):
        self._link = link
        self._uploader = uploader

    async def upload(self, item: DataItem) -> None:
        url = (self._uploader or self._link.url("gateway")) + "/tx"
        header = encode_header(item)
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
        headers["Content-Length"] = str(len(header) + item.data_bytes)
        status, body = await self._ask("POST", url, data=_parts(header, memoryview(item.data)), headers=headers)
        if status >= 300 and status != 208:
            kind = Invalid if status < 500 else NotYet
            raise kind(f"The uploader at {url} does not take the item: {_said(status, body)}.")

    async def item(self, id: str) -> DataItem:
        from puna.ao.told import fetch_item

        try:
            return await fetch_item(self._link.web, self._link.url("gateway"), id)
        except Missing:
            raise _missing(id) from None
        except (msgspec.DecodeError, LookupError, TypeError, ValueError, RecursionError, AttributeError) as error:
            raise NodeError(f"The gateway at {self._link.url('gateway')} tells nonsense of {id}.") from error

    async def data(self, id: str) -> bytes:
        status, body = await self._ask("GET", self._link.url("gateway", f"/raw/{id}"))
        _check_found(id, status, body)
        return body

    async def save(self, id: str, file: BinaryIO) -> int:
        url, size = self._link.url("gateway", f"/raw/{id}"), 0
        with _translated(url):
            async with self._link.web.get(url) as reply:
                _check_found(id, reply.status, b"" if reply.status == 200 else await reply.read())
                async for part in reply.content.iter_chunked(PART_BYTES):
                    await asyncio.to_thread(file.write, part)
                    size += len(part)
        return size

    async def find(self, search: Search) -> list[Found]:
        asked: dict[str, Any] = {
            "first": search.limit,
            "sort": "HEIGHT_DESC" if search.newest_first else "HEIGHT_ASC",
        }
        lists = {"ids": search.ids, "owners": search.owners, "recipients": search.recipients}
        asked |= {name: list(values) for name, values in lists.items() if values}
        if search.after:
            asked["after"] = search.after
        if search.tags:
            asked["tags"] = [{"name": name, "values": list(values)} for name, values in search.tags]
        question = msgspec.json.encode({"query": _FIND, "variables": asked})
        url, headers = self._link.url("gateway", "/graphql"), {"Content-Type": "application/json"}
        status, body = await self._ask("POST", url, data=question, headers=headers)
        try:
            told = msgspec.json.decode(body)
            if told.get("errors"):
                raise Invalid(f"The gateway does not search for this: {told['errors'][0]['message']}")
            return [_found(edge) for edge in told["data"]["transactions"]["edges"]]
        except (msgspec.DecodeError, LookupError, TypeError, ValueError, RecursionError, AttributeError) as error:
            raise NodeError(f"The gateway at {url} gives no answer to a search: {_said(status, body)}.") from error

    async def balance(self, address: str) -> int:
        if not is_id(address):
            return 0  # layer 1 knows wallets of its own kind only
        status, body = await self._ask("GET", self._link.url("gateway", f"/wallet/{address}/balance"))
        if status != 200 or not body.isdigit():
            raise NodeError(f"The gateway does not tell the balance of {address}: {_said(status, body)}.")
        return int(body)

    async def _ask(self, method: str, url: str, **options: Any) -> tuple[int, bytes]:
        with _translated(url):
            async with self._link.web.request(method, url, **options) as reply:
                return reply.status, await reply.read()


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """What aiohttp raises, as NotYet."""
    import aiohttp

    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        where = url.split("/")[2] if url.count("/") > 1 else url
        raise NotYet(f"{where} is not within reach ({type(error).__name__}).", "Try again later.") from error


async def _parts(header: bytes, data: memoryview) -> AsyncIterator[bytes]:
    yield header
    for start in range(0, len(data), PART_BYTES):
        yield bytes(data[start : start + PART_BYTES])


def _found(edge: Any) -> Found:
    node = edge["node"]
    return Found(
        id=node["id"],
        owner=node["owner"]["address"],
        target=node["recipient"] or "",
        tags=told_tags(node["tags"]),
        size=int(node["data"]["size"]),
        cursor=edge["cursor"],
    )


def _check_found(id: str, status: int, body: bytes) -> None:
    if status == 404:
        raise _missing(id)
    if status == 202:
        raise NotYet(f"The data of {id} is still on its way.", "Ask again in a moment.")
    if status >= 500:
        raise NotYet(f"The gateway does not give {id} now: {_said(status, body)}.", "Ask again in a moment.")
    if status >= 400:
        raise Invalid(f"The gateway does not give {id}: {_said(status, body)}.")


def _said(status: int, body: bytes) -> str:
    return body[:200].decode(errors="replace").strip() or f"status {status}"


def _missing(id: str) -> Missing:
    return Missing(f"The gateway has no item {id}.", "Check the id, and which network it is of.")


def open_payload(path: Path) -> memoryview:
    """A file's bytes where they lie. Raises Missing, Invalid."""
    from puna.arweave.store.payloads import map_file

    try:
        with open(path, "rb") as file:
            return map_file(file.fileno()) if file.seek(0, 2) else memoryview(b"")
    except FileNotFoundError:
        raise Missing(f"There is no file {path}.", "Check the path.") from None
    except OSError as error:
        raise Invalid(f"The file {path} cannot be read: {error.strerror}.", "Name another one.") from error
