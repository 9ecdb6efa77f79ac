"""Records: what the weave itself keeps in the store, as items signed by the node's operator.

Blocks, layer-1 transactions, their chunks and grants rest here; everything else that the weave knows is derived from
them. The gateway shows none of these items as such: it shows what they say. Pure; used by the weave.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from puna.arweave.block import Block, decode_block
from puna.arweave.dataitem import DataItem, Signer, sign_item
from puna.arweave.ids import b64url_encode
from puna.arweave.merkle import Span
from puna.arweave.tags import Tag, first
from puna.arweave.transaction import Transaction, transaction_from_json, transaction_to_json

PROTOCOL = Tag("Data-Protocol", "puna")

WEAVE = "Weave"  # the first item of a store
BLOCK = "Block"
ANNOUNCED = "Transaction-Announced"  # its data has not come yet
TRANSACTION = "Transaction"  # with all its data: it waits for the next block, or is in one
BUNDLE = "Bundle-Transaction"  # in which the node carries the items of one block
CHUNK = "Chunk"
GRANT = "Grant"
FOREIGN = "Foreign"  # says of an item where another weave keeps it
FOREIGN_TRANSACTION = "Foreign-Transaction"
TYPES = frozenset({WEAVE, BLOCK, ANNOUNCED, TRANSACTION, BUNDLE, CHUNK, GRANT, FOREIGN, FOREIGN_TRANSACTION})

LOOKUPS_MAX = 90  # that fit into a record's own tags
MORE = "more"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk at its place in the data under `data_root`; `path` proves that it belongs there."""

    data_root: str
    data_size: int
    span: Span
    path: bytes


def record_type(item: DataItem, operator: str) -> str | None:
    """Which record an item is; None when it is an item of somebody's own."""
    if item.address != operator or PROTOCOL not in item.tags:
        return None
    type = first(item.tags, "Type")
    return type if type in TYPES else None


def block_record(operator: Signer, block: Block) -> DataItem:
    return _sign(operator, block.encode(), BLOCK, ("Height", str(block.height)))


def read_block(item: DataItem) -> Block:
    return decode_block(item.data)


def transaction_record(operator: Signer, type: str, tx: Transaction, items: Sequence[str] = ()) -> DataItem:
    """A layer-1 transaction without its data. Its lookups let the store find it by its owner, recipient and tags."""
    data = msgspec.json.encode({"tx": transaction_to_json(tx), "items": list(items)})
    lookups = list(dict.fromkeys(lookup(*tag) for tag in tx.tags))
    if len(lookups) > LOOKUPS_MAX:
        lookups = [*lookups[:LOOKUPS_MAX], MORE]
    tags = (("Id", tx.id), ("Owner", tx.address), *(("Lookup", text) for text in lookups))
    return _sign(operator, data, type, *tags, target=tx.recipient)


def read_transaction(item: DataItem) -> Transaction:
    return transaction_from_json(msgspec.json.decode(bytes(item.data))["tx"])


def read_bundled(item: DataItem) -> list[str]:
    """The ids of the items in a bundle of the node's own."""
    return msgspec.json.decode(bytes(item.data))["items"]


def chunk_record(operator: Signer, chunk: Chunk, data: bytes | memoryview) -> DataItem:
    tags = [("Data-Root", chunk.data_root), ("Data-Size", str(chunk.data_size)), ("Start", str(chunk.span.start))]
    return _sign(operator, bytes(data), CHUNK, *tags, ("End", str(chunk.span.end)), ("Path", b64url_encode(chunk.path)))


def grant_record(operator: Signer, address: str, winston: int, number: int) -> DataItem:
    """Money from nowhere; `number` counts the grants to this wallet, so that no two are one item."""
    return _sign(operator, b" ", GRANT, ("Recipient", address), ("Quantity", str(winston)), ("Number", str(number)))


def foreign_record(operator: Signer, id: str, place: Any) -> DataItem:
    return _sign(operator, msgspec.json.encode(place), FOREIGN, ("Id", id))


def lookup(name: str, value: str) -> str:
    """A short text that stands for one tag of a transaction."""
    named = name.encode(errors="replace")
    digest = sha256(b"%d %s %s" % (len(named), named, value.encode(errors="replace"))).digest()
    return b64url_encode(digest[:15])


def _sign(operator: Signer, data: bytes, type: str, *tags: tuple[str, str], target: str = "") -> DataItem:
    return sign_item(operator, data, (PROTOCOL, Tag("Type", type), *_tags(tags)), target)


def _tags(tags: Iterable[tuple[str, str]]) -> tuple[Tag, ...]:
    return tuple(Tag(*tag) for tag in tags)
