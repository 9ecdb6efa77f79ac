"""Finding blueprints on the weave, in a store or through a gateway, and publishing them.

A blueprint is a data item: Lua text with the tags `Type=Blueprint`, `Blueprint-Name`, and `Hash`, SHA-256 of the text
in base64url. The newest item of a name by an owner is that owner's blueprint of the name. Whom to believe is for the
caller to say: what a console loads by bare name should be the network's operator's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import aiohttp
import msgspec

from puna.arweave.dataitem import DataItem, encode_item, sign_item
from puna.arweave.ids import b64url_encode
from puna.arweave.store.port import Query, Store
from puna.arweave.tags import Tag
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, Missing, NodeError, NotYet

TYPE = "Blueprint"
NAME = "Blueprint-Name"
HASH = "Hash"
NAME_CHARACTERS_MAX = 64
SOURCE_BYTES_MAX = 1 << 20
PAGE = 100
PAGES_MAX = 20  # of items by one owner: past two thousand the oldest are out of sight
CONNECT_S = 5.0
ANSWER_S = 60.0


@dataclass(frozen=True)
class Found:
    """A blueprint's item: its id, who published it, its name, and the digest its text must have."""

    id: str
    owner: str
    name: str
    hash: str


class Shelf(Protocol):
    """Where blueprints lie."""

    async def items(self, owner: str, name: str | None) -> list[Found]:
        """The blueprint items of an owner, of one name or of all, newest first. Raises NodeError."""
        ...

    async def read(self, id: str) -> bytes:
        """The data of an item. Raises NodeError."""
        ...

    async def put(self, item: DataItem) -> None:
        """Hand a signed item over, to be kept for ever. Raises NodeError."""
        ...


async def find_blueprint(shelf: Shelf, owners: Sequence[str], name: str) -> str:
    """The Lua source of the blueprint `name`, by the first of `owners` who has one.

    Raises Missing with the names there are when none has, and Invalid when the text is not what its item says.
    """
    for owner in owners:
        found = await shelf.items(owner, name)
        if found:
            return _checked(await shelf.read(found[0].id), found[0])
    there = sorted({each.name for each in await list_blueprints(shelf, owners)}, key=str.lower)
    hint = f"There are {', '.join(there)}." if there else "Nobody asked has published any here."
    raise Missing(f"There is no blueprint {name!r}.", hint)


async def list_blueprints(shelf: Shelf, owners: Sequence[str]) -> list[Found]:
    """The blueprints that `find_blueprint` would find, by name."""
    first: dict[str, Found] = {}
    for owner in owners:
        for found in await shelf.items(owner, None):
            first.setdefault(found.name, found)
    return sorted(first.values(), key=lambda found: found.name.lower())


async def publish_blueprint(shelf: Shelf, wallet: Wallet, name: str, source: str) -> str:
    """Publish `source` as the wallet's newest blueprint `name`; returns the item's id. Raises Invalid."""
    item = blueprint_item(wallet, name, source.encode())
    await shelf.put(item)
    return item.id


def blueprint_item(wallet: Wallet, name: str, source: bytes, anchor: bytes = b"") -> DataItem:
    """The signed item of a blueprint. Raises Invalid when the name or the text cannot be one."""
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable() or "/" in name or name != name.strip():
        raise Invalid(
            f"{name!r} is no name for a blueprint.",
            f"Use 1 to {NAME_CHARACTERS_MAX} printable characters without a slash, like my-blueprint.",
        )
    if len(source) > SOURCE_BYTES_MAX:
        raise Invalid(f"The blueprint has {len(source)} bytes, at most {SOURCE_BYTES_MAX}.", "Make it smaller.")
    tags = (
        Tag("Type", TYPE), Tag(NAME, name), Tag(HASH, digest(source)), Tag("Content-Type", "text/x-lua; charset=utf-8"),
    )  # fmt: skip
    return sign_item(wallet, data=source, tags=tags, anchor=anchor)


def digest(source: bytes) -> str:
    """SHA-256 in base64url, 43 characters."""
    return b64url_encode(sha256(source).digest())


def _checked(data: bytes, found: Found) -> str:
    if digest(data) != found.hash:
        raise Invalid(
            f"The blueprint {found.name} in {found.id} has the digest {digest(data)}, its item says {found.hash}.",
            "It was changed on the way, or published wrongly. Publish it again.",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"The blueprint {found.name} in {found.id} is no text: {error}.", "Publish it again.") from None


def _found(id: str, owner: str, tags: Mapping[str, str]) -> Found:
    return Found(id, owner, tags.get(NAME, ""), tags.get(HASH, ""))


class StoreShelf:
    """The blueprints in a store of this machine."""

    def __init__(self, store: Store):
        self._store = store

    async def items(self, owner: str, name: str | None) -> list[Found]:
        tags = (("Type", (TYPE,)), *(((NAME, (name,)),) if name else ()))
        found, after = [], None
        for _ in range(PAGES_MAX):
            page = self._store.find(Query(owners=(owner,), tags=tags, limit=PAGE, after=after, newest_first=True))
            found += [_found(entry.item.id, owner, dict(reversed(entry.item.tags))) for entry in page]
            if len(page) < PAGE:
                break
            after = page[-1].sequence
        return found

    async def read(self, id: str) -> bytes:
        item = self._store.view(id)
        if item is None:
            raise Missing(f"The item {id} is not in this store.")
        return bytes(item.data)

    async def put(self, item: DataItem) -> None:
        await self._store.append([item])


_QUERY = """query($owners: [String!], $tags: [TagFilter!], $after: String) {
  transactions(owners: $owners, tags: $tags, first: 100, after: $after, sort: HEIGHT_DESC) {
    pageInfo { hasNextPage } edges { cursor node { id tags { name value } } } } }"""


class GatewayShelf:
    """The blueprints that a gateway finds, by its URL without a trailing slash. Use as an async context manager."""

    def __init__(self, url: str):
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "GatewayShelf":
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def items(self, owner: str, name: str | None) -> list[Found]:
        tags = [{"name": "Type", "values": [TYPE]}] + ([{"name": NAME, "values": [name]}] if name else [])
        found: list[Found] = []
        after = None
        for _ in range(PAGES_MAX):
            asked = {"query": _QUERY, "variables": {"owners": [owner], "tags": tags, "after": after}}
            page = _page(await self._ask("POST", "/graphql", json=asked))
            for edge in page["edges"]:
                named = {tag["name"]: tag["value"] for tag in reversed(edge["node"]["tags"])}
                found.append(_found(edge["node"]["id"], owner, named))
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["edges"][-1]["cursor"]
        return found

    async def read(self, id: str) -> bytes:
        return await self._ask("GET", f"/raw/{id}")

    async def put(self, item: DataItem) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        await self._ask("POST", "/tx", data=encode_item(item), headers=headers)

    async def _ask(self, method: str, path: str, **options: Any) -> bytes:
        try:
            async with self._session.request(method, self._url + path, **options) as reply:
                body = await _bounded(reply)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotYet(
                f"The gateway {self._url} is not within reach ({type(error).__name__}).",
                "See that it runs, and try again.",
            ) from error
        if reply.status == 404:
            raise Missing(f"The gateway {self._url} has nothing at {path}.")
        if reply.status >= 400:
            kind = Invalid if reply.status < 500 else NodeError
            raise kind(f"The gateway {self._url} refused {path} with status {reply.status}.")
        return body


async def _bounded(reply: aiohttp.ClientResponse) -> bytes:
    """The body, however long the gateway would go on."""
    parts, size = [], 0
    async for part in reply.content.iter_chunked(1 << 16):
        size += len(part)
        if size > 2 * SOURCE_BYTES_MAX:
            raise Invalid(f"The gateway answers with more than {2 * SOURCE_BYTES_MAX} bytes.", "That is no blueprint.")
        parts.append(part)
    return b"".join(parts)


def _page(body: bytes) -> dict[str, Any]:
    try:
        page = msgspec.json.decode(body)["data"]["transactions"]
        page["edges"], page["pageInfo"]["hasNextPage"]
        return page
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise NodeError("The gateway's answer to a search is not what GraphQL says.") from error
