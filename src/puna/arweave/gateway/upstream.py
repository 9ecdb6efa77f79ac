"""Another gateway behind ours: what is missing here is fetched there, verified, and kept.

Given to the library and to the units by a node that was told of one. Nothing that a gateway says is believed: an item
or transaction is kept only when its owner's signature covers what came, data included. Where it lies (block, bundle),
and the height of its weave, are the things for which we take the gateway's word.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from puna.arweave.dataitem import DataItem, rebuild_item
from puna.arweave.ids import b64url_decode, is_id
from puna.arweave.merkle import tree_of_bytes
from puna.arweave.store.payloads import map_file
from puna.arweave.store.port import Query
from puna.arweave.transaction import Transaction, transaction_from_json, verify_transaction
from puna.arweave.weave import Weave
from puna.errors import Invalid, NotYet

ASK = """query ($id: ID!) { transaction(id: $id) {
  anchor signature recipient owner { key } tags { name value } bundledIn { id }
  block { id height timestamp previous } } }"""
FIND = """query ($ids: [ID!], $owners: [String!], $recipients: [String!], $tags: [TagFilter!], $first: Int) {
  transactions(ids: $ids, owners: $owners, recipients: $recipients, tags: $tags, first: $first) {
    edges { node { id } } } }"""
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
ABSENT_S = 30.0  # what was not there a moment ago is not asked for again
ABSENT_MAX = 10_000
FETCHES_MAX = 16  # at once; whoever wants more waits for one of these
FOUND_MAX = 10  # of what it has for a query: enough to know that there is something
AWAY_STATUSES = frozenset({408, 429})  # and all from 500 on: it cannot say now
JSON_BYTES_MAX = 32 << 20
PART_BYTES = 1 << 20
NONSENSE = (Invalid, msgspec.DecodeError, LookupError, TypeError, ValueError, AttributeError)


class BlockTold(msgspec.Struct):
    """What another gateway says of a block, in GraphQL's words."""

    id: str
    height: int
    timestamp: int
    previous: str


class Upstream:
    """One gateway to read through to. `close` it in the end."""

    def __init__(self, weave: Weave, url: str, scratch: Path | None = None):
        self._weave = weave
        self._url = url.rstrip("/")
        self._scratch = scratch
        self._web: aiohttp.ClientSession | None = None
        self._under_way: dict[str, asyncio.Task[bool]] = {}
        self._absent: dict[str, float] = {}
        self._slots = asyncio.Semaphore(FETCHES_MAX)

    async def close(self) -> None:
        fetches = list(self._under_way.values())
        for task in fetches:
            task.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)  # the store they write to is closed after us
        if self._web is not None:
            await self._web.close()

    async def fetch(self, id: str) -> bool:
        """Brings `id` here; False when the gateway has nothing that deserves the name.

        Those who ask for the same id wait together. Raises NotYet when the gateway does not answer.
        """
        if self._absent.get(id, 0) > time.monotonic():
            return False
        task = self._under_way.get(id)
        if task is None:
            task = self._under_way[id] = asyncio.create_task(self._fetch(id), name=f"fetch {id}")
            task.add_done_callback(lambda done: self._end(id, done))
        # One caller that goes away must not take the fetch from the others.
        return await asyncio.shield(task)

    async def find(self, query: Query) -> list[str]:
        """The ids of the newest things that it has for a query. Raises NotYet when the gateway does not answer."""
        variables = {
            "ids": query.ids or None,
            "owners": query.owners or None,
            "recipients": query.recipients or None,
            "tags": [{"name": name, "values": values} for name, values in query.tags] or None,
            "first": min(query.limit, FOUND_MAX),
        }
        with self._away_told():
            try:
                answer = await self._graphql(FIND, variables)
                return [edge["node"]["id"] for edge in answer["transactions"]["edges"] if is_id(edge["node"]["id"])]
            except NONSENSE:
                return []

    async def height(self) -> int:
        """Of the newest block. Raises NotYet when the gateway does not tell."""
        with self._away_told():
            try:
                return int((await self._json("/info"))["height"])
            except NONSENSE as error:
                raise NotYet(f"The gateway {self._url} does not tell its height.", "Try again in a moment.") from error

    @contextmanager
    def _away_told(self) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotYet(
                f"The gateway {self._url} does not answer ({type(error).__name__}).", "Try again in a moment."
            ) from error

    def _end(self, id: str, done: "asyncio.Task[bool]") -> None:
        self._under_way.pop(id, None)
        if not done.cancelled():
            done.exception()  # seen, though all who asked may have gone away

    async def _fetch(self, id: str) -> bool:
        with self._away_told():
            try:
                async with self._slots:
                    if await self._bring(id):
                        return True
            except NONSENSE:
                pass  # whatever it sent is not what the id stands for
        if len(self._absent) >= ABSENT_MAX:
            self._absent.clear()
        self._absent[id] = time.monotonic() + ABSENT_S
        return False

    async def _bring(self, id: str) -> bool:
        known = await self._ask(id)
        carrier = ((known or {}).get("bundledIn") or {}).get("id", "")
        with tempfile.TemporaryFile(dir=self._scratch) as file:
            if known and carrier:
                item = await self._item(id, known, file)
                await self._weave.take_foreign_item(item, _place(known.get("block"), carrier))
                return True
            told = await self._json(f"/tx/{id}")
            if told is not None:
                await self._take_transaction(id, known, told, file)
                return True
            if known is None:
                return False
            # In no block yet, so nobody else is known to keep it: this weave carries it as one of its own. A
            # transaction that waits for its block ends here too, for no signature of it is one of an item.
            await self._weave.upload(await self._item(id, known, file))
            return True

    async def _item(self, id: str, known: dict[str, Any], file: Any) -> DataItem:
        data = await self._data(id, file)
        return await asyncio.to_thread(item_told, id, known, data)

    async def _take_transaction(self, id: str, known: dict[str, Any] | None, told: Any, file: Any) -> None:
        tx = transaction_from_json(told | {"data": ""} if told.get("format") == 2 else told)
        data = await self._data(id, file) if tx.data_size else b""
        tx = await asyncio.to_thread(_transaction, id, tx, data)
        block = (known or {}).get("block") or await self._block_of(id)
        await self._weave.take_foreign_transaction(tx, _place(block, ""))

    async def _ask(self, id: str) -> dict[str, Any] | None:
        return (await self._graphql(ASK, {"id": id})).get("transaction")

    async def _graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        async with self._request("POST", "/graphql", json={"query": query, "variables": variables}) as reply:
            return msgspec.json.decode(await _bounded(reply)).get("data") or {}

    @asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        self._web = self._web or aiohttp.ClientSession(timeout=TIMEOUT)
        async with self._web.request(method, self._url + path, **options) as reply:
            if reply.status >= 500 or reply.status in AWAY_STATUSES:
                raise aiohttp.ClientError(str(reply.status))
            yield reply

    async def _block_of(self, id: str) -> dict[str, Any] | None:
        """The block of a transaction that the gateway mined but does not index."""
        status = await self._json(f"/tx/{id}/status")
        block = await self._json(f"/block/height/{int(status['block_height'])}") if status else None
        if block is None:
            return None
        shown = {"id": "indep_hash", "height": "height", "timestamp": "timestamp", "previous": "previous_block"}
        return {name: block[key] for name, key in shown.items()}

    async def _json(self, path: str) -> Any:
        async with self._request("GET", path) as reply:
            return msgspec.json.decode(await _bounded(reply)) if reply.status == 200 else None

    async def _data(self, id: str, file: Any) -> bytes | memoryview:
        """The data as it comes, in a file: it may be larger than memory."""
        async with self._request("GET", f"/raw/{id}") as reply:
            if reply.status != 200:
                raise Invalid(f"The gateway does not give the data of {id}.")
            async for part in reply.content.iter_chunked(PART_BYTES):
                await asyncio.to_thread(file.write, part)
        file.flush()
        return map_file(file.fileno()) if file.tell() else b""


async def _bounded(reply: aiohttp.ClientResponse) -> bytes:
    body = await reply.content.read(JSON_BYTES_MAX)
    while not reply.content.at_eof() and len(body) < JSON_BYTES_MAX:
        body += await reply.content.read(JSON_BYTES_MAX - len(body))
    return body


def _place(block: Any, carrier: str) -> dict[str, Any]:
    """Where a thing lies elsewhere, as the weave keeps it. Raises ValueError when it makes no sense."""
    told = msgspec.convert(block, BlockTold | None)
    return {"block": msgspec.to_builtins(told), "bundled_in": msgspec.convert(carrier, str)}


def item_told(id: str, known: dict[str, Any], data: bytes | memoryview) -> DataItem:
    """The data item put together again from what a gateway answers to ASK. Raises Invalid if it does not verify."""
    owner, signature = b64url_decode(known["owner"]["key"]), b64url_decode(known["signature"])
    target, anchor = known.get("recipient") or "", b64url_decode(known.get("anchor") or "")
    return rebuild_item(id, owner, signature, target, anchor, known["tags"], data)


def _transaction(id: str, tx: Transaction, data: bytes | memoryview) -> Transaction:
    """The transaction with its data. Raises Invalid if either is not what was signed."""
    if tx.format == 2:
        if len(data) != tx.data_size or (data and tree_of_bytes(data).root != tx.data_root):
            raise Invalid(f"The gateway's data of {id} is not what was signed.")
        tx = replace(tx, data=data)
    verify_transaction(tx)
    if tx.id != id:
        raise Invalid(f"The gateway gave {tx.id} for {id}.")
    return tx
