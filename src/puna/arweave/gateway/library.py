"""What the gateway can find by id: data items, layer-1 transactions, and, through an upstream, those of others.

Used by the routes for data and transactions and by GraphQL.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from puna.arweave.body import Body, body_of
from puna.arweave.ids import is_id
from puna.arweave.tags import Tag, first
from puna.arweave.transactions import Pending
from puna.arweave.weave import Weave

MANIFEST_TYPE = "application/x.arweave-manifest+json"
MANIFEST_BYTES_MAX = 8 << 20


@dataclass(frozen=True)
class Held:
    """Something with data and tags."""

    body: Body
    tags: tuple[Tag, ...]

    @property
    def type(self) -> str | None:
        return first(self.tags, "Content-Type")


class Library:
    """Everything within reach of one gateway. `fetch` brings a missing id here, and says whether it could."""

    def __init__(self, weave: Weave, fetch: Callable[[str], Awaitable[bool]] | None = None):
        self.weave = weave
        self._fetch = fetch

    async def bring(self, id: str) -> bool:
        """Whether `id` is here, now that we looked everywhere."""
        if not is_id(id):
            return False
        if self.weave.store.view(id) is not None or self.weave.tx_note(id) is not None:
            return True
        return self._fetch is not None and await self._fetch(id)

    async def held(self, id: str) -> Held | None:
        """What is called `id`, with its data. Raises Pending while a transaction's data is on its way."""
        if not await self.bring(id):
            return None
        item = self.weave.store.view(id)
        if item is not None:
            return Held(body_of(item.data), item.tags)
        tx = self.weave.transaction(id)
        return Held(self.weave.transaction_body(id), tx.tags)

    async def in_manifest(self, manifest: Held, path: str) -> tuple[Held, int] | None:
        """What a path manifest puts at `path`, with the status to answer; None when it is none or has no such path."""
        if manifest.type != MANIFEST_TYPE or manifest.body.size > MANIFEST_BYTES_MAX:
            return None
        try:
            id, status = _target(msgspec.json.decode(manifest.body.all()), path)
            found = await self.held(id)
        except (msgspec.DecodeError, UnicodeError, RecursionError, Pending, LookupError, TypeError, AttributeError):
            return None
        return (found, status) if found else None


def _target(manifest: Any, path: str) -> tuple[str, int]:
    """The id at `path`, else the one to fall back on. Raises LookupError, or TypeError on nonsense."""
    paths, index = manifest["paths"], manifest.get("index") or {}
    if not path:
        path = index.get("path", "")
        if not path and "id" in index:
            return index["id"], 200
    if path in paths:
        return paths[path]["id"], 200
    return manifest["fallback"]["id"], 404
