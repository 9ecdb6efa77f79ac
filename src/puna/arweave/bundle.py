"""Bundles: many data items in one payload, as uploaders put them on Arweave (ANS-104), and bundles within them.

The gateway unpacks what carriers bring; the uploader packs. A bundle is the data of a carrier, itself a data item or a
transaction, that has the tags BUNDLE_TAGS.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from puna.arweave.dataitem import DataItem, decode_item, encode_header
from puna.arweave.ids import ID_BYTES, ItemId, b64url_encode
from puna.arweave.tags import Tag
from puna.errors import Invalid

BUNDLE_TAGS = (Tag("Bundle-Format", "binary"), Tag("Bundle-Version", "2.0.0"))
COUNT_BYTES = 32
ENTRY_BYTES = 64  # a size and an id
NESTING_MAX = 16  # carriers within carriers; nobody nests more than a few on purpose


@dataclass(frozen=True, slots=True)
class Bundled:
    """An item found in a bundle, and the carrier it lay in: what a gateway calls `bundledIn`."""

    item: DataItem
    carrier: ItemId


def is_bundle(tags: Iterable[tuple[str, str]]) -> bool:
    """Whether an item or transaction with these tags says that its data is a bundle."""
    return set(BUNDLE_TAGS) <= {Tag(*tag) for tag in tags}


def encode_bundle(items: Sequence[DataItem]) -> bytes:
    """The payload that carries `items`. For gigabytes, write `encode_bundle_header` and then each item."""
    parts: list[bytes | memoryview] = [encode_bundle_header(items)]
    for item in items:
        parts += (encode_header(item), item.data)
    return b"".join(parts)


def encode_bundle_header(items: Sequence[DataItem], sizes: Sequence[int] | None = None) -> bytes:
    """All that comes before the first item: how many there are, and the size and id of each.

    `sizes` are those of the encoded items, where they are known already.
    """
    entries = zip(map(_size, items) if sizes is None else sizes, items, strict=True)
    return b"".join((_number(len(items)), *(_number(size) + sha256(item.signature).digest() for size, item in entries)))


def decode_bundle(buffer: bytes | bytearray | memoryview) -> tuple[DataItem, ...]:
    """The items of a bundle, in order. Raises Invalid if any part is not sound; signatures are not checked.

    From a memoryview, the items' data are views of it; from bytes, copies.
    """
    view = memoryview(buffer)
    entries = _entries(view)
    at = COUNT_BYTES + ENTRY_BYTES * len(entries)
    items = []
    for number, (size, id) in enumerate(entries):
        part = view[at : at + size]
        item = decode_item(part if isinstance(buffer, memoryview) else bytes(part))
        if sha256(item.signature).digest() != id:
            raise Invalid(
                f"Item {number} of the bundle is {item.id}, listed as {b64url_encode(id)}.", "Make the bundle again."
            )
        items.append(item)
        at += size
    return tuple(items)


def unpack(carrier: ItemId, buffer: bytes | bytearray | memoryview) -> Generator[Bundled]:
    """Every item of the bundle that `carrier` holds and of the bundles within it, each carrier before its content.

    Raises Invalid if the outermost bundle is not sound. An inner one that is not, or lies too deep, is only data: its
    carrier comes, nothing from within it. That is the sender's right, and no reason to refuse the others.
    """
    waiting = [(Bundled(item, carrier), 1) for item in reversed(decode_bundle(buffer))]
    while waiting:
        bundled, depth = waiting.pop()
        yield bundled
        item = bundled.item
        if depth < NESTING_MAX and is_bundle(item.tags):
            try:
                inner = decode_bundle(item.data)
            except Invalid:
                continue
            waiting += ((Bundled(found, item.id), depth + 1) for found in reversed(inner))


def _entries(view: memoryview) -> list[tuple[int, bytes]]:
    """The sizes and raw ids at the head of a bundle, checked against its length."""
    count = int.from_bytes(_head(view, 0, COUNT_BYTES), "little")
    # The count is checked before anything is made of it: it may claim more items than there are atoms.
    if count > (len(view) - COUNT_BYTES) // ENTRY_BYTES:
        raise Invalid(f"The bundle says it has {_shown(count)} items, more than fit its size.", "Send all of it.")
    entries = []
    for number in range(count):
        entry = _head(view, COUNT_BYTES + ENTRY_BYTES * number, ENTRY_BYTES)
        entries.append((int.from_bytes(entry[:-ID_BYTES], "little"), entry[-ID_BYTES:]))
    said = COUNT_BYTES + ENTRY_BYTES * count + sum(size for size, _ in entries)
    if said != len(view):
        raise Invalid(f"The bundle says it is {_shown(said)} bytes long, it is {len(view)}.", "Send exactly all of it.")
    return entries


def _head(view: memoryview, at: int, size: int) -> bytes:
    taken = bytes(view[at : at + size])
    if len(taken) < size:
        raise Invalid(f"The bundle ends after {len(view)} bytes, in the middle of its header.", "Send all of it.")
    return taken


def _shown(number: int) -> str:
    return str(number) if number < 1 << 64 else "over 2^64"


def _number(value: int) -> bytes:
    return value.to_bytes(COUNT_BYTES, "little")


def _size(item: DataItem) -> int:
    return len(encode_header(item)) + item.data_bytes
