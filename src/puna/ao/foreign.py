"""Items that others tell of, put together again and verified: nothing that comes over the wire is believed.

Called by the remote links of units that run alone. Source: protocol reference 1.8, 3.6.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from puna.arweave.dataitem import DataItem, rebuild_item
from puna.arweave.ids import b64url_decode
from puna.arweave.store.port import Store
from puna.errors import Missing, NodeError, NotYet

from .message import tag

log = logging.getLogger(__name__)

_ASK = """query ($id: ID!) { transaction(id: $id) {
  anchor signature recipient owner { key } tags { name value } } }"""


async def ask(web: aiohttp.ClientSession, method: str, url: str, **options: Any) -> tuple[int, bytes]:
    """A reply's status and body, redirects followed. Raises NotYet when nobody answers, or only with a 5xx."""
    try:
        async with web.request(method, url, **options) as reply:
            body = await reply.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NotYet(f"{url.split('/')[2]} does not answer ({type(error).__name__})", "It is asked again.") from error
    if reply.status >= 500:
        raise NotYet(f"{url.split('/')[2]} answers {reply.status}: {body[:200].decode(errors='replace')}")
    return reply.status, body


class Gateway:
    """A gateway elsewhere, as the weave of a unit that runs alone: what is missing in `store` is brought from there.

    `view` answers at once; what it has to bring is there when it is asked again.
    """

    def __init__(self, store: Store, url: str, web: aiohttp.ClientSession):
        self._store, self._url, self._web = store, url, web
        self._bringing: dict[str, asyncio.Task[None]] = {}

    def view(self, id: str) -> DataItem | None:
        item = self._store.view(id)
        wanted = [id] if item is None else [need for need in _needs(item) if self._store.view(need) is None]
        for missing in wanted:
            if missing not in self._bringing:
                task = asyncio.get_running_loop().create_task(self._bring(missing), name=f"bring {missing}")
                self._bringing[missing] = task
                task.add_done_callback(lambda _, missing=missing: self._bringing.pop(missing, None))
        # A process is shown with all that it names, so that no evaluation finds a part of it absent.
        return item if not wanted else None

    async def stop(self) -> None:
        for task in self._bringing.values():
            task.cancel()
        await asyncio.gather(*self._bringing.values(), return_exceptions=True)

    async def _bring(self, id: str) -> None:
        try:
            await self._store.append([await self._fetch(id)])
        except (NodeError, msgspec.DecodeError, LookupError, TypeError, AttributeError) as error:
            log.info("item %s is not to be had now: %s", id, error)

    async def _fetch(self, id: str) -> DataItem:
        question = msgspec.json.encode({"query": _ASK, "variables": {"id": id}})
        headers = {"Content-Type": "application/json"}
        _, body = await ask(self._web, "POST", f"{self._url}/graphql", data=question, headers=headers)
        known = (msgspec.json.decode(body).get("data") or {}).get("transaction")
        if known is None:
            raise Missing(f"the gateway does not have item {id}")
        status, data = await ask(self._web, "GET", f"{self._url}/raw/{id}")
        if status != 200:
            raise Missing(f"the gateway does not have the data of item {id}")
        owner, signature = b64url_decode(known["owner"]["key"]), b64url_decode(known["signature"])
        anchor = b64url_decode(known["anchor"] or "")
        parts = (id, owner, signature, known["recipient"] or "", anchor, known["tags"], data)
        return await asyncio.to_thread(rebuild_item, *parts)


def _needs(item: DataItem) -> Sequence[str]:
    """The items that a process cannot run without."""
    if tag(item, "Type") != "Process":
        return ()
    return [value for value in (tag(item, "Module"), tag(item, "Model")) if value]
