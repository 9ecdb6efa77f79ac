"""Layer-1 transactions as a store has them, with their data: read from records and notes, changed by nobody here.

Used by the weave, which writes them (`weave.py`), and by those who only read: the units, WeaveDrive, `puna verify`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import msgspec

from puna.arweave import records
from puna.arweave.body import Body, body_of, joined
from puna.arweave.bundle import encode_bundle_header
from puna.arweave.dataitem import DataItem, encode_header
from puna.arweave.ids import b64url_encode
from puna.arweave.merkle import CHUNK_MAX, Span
from puna.arweave.tags import first
from puna.arweave.transaction import Transaction
from puna.errors import Missing, NotYet


class Pending(NotYet):
    """The data of a transaction is still on its way."""


class TxNote(msgspec.Struct):
    """What is derived about a layer-1 transaction. `height` is -1 and `end` 0 until it is mined."""

    record: str
    complete: bool
    height: int = -1
    end: int = 0


class Readable(Protocol):
    """The part of the Store that is read here."""

    def view(self, id: str) -> DataItem | None: ...
    def note(self, key: str) -> bytes | None: ...
    def notes(self, prefix: str) -> list[tuple[str, bytes]]: ...


class Transactions:
    """The layer-1 transactions of one store. Reads may come from any thread."""

    def __init__(self, store: Readable):
        self._store = store
        self._bundle_sizes = lru_cache(16)(self._measure_bundle)

    def note(self, id: str) -> TxNote | None:
        found = self._store.note(f"weave/tx/{id}")
        return msgspec.json.decode(found, type=TxNote) if found else None

    def get(self, id: str) -> Transaction | None:
        """A layer-1 transaction without its data; None when there is none."""
        note = self.note(id)
        record = self._store.view(note.record) if note else None
        return records.read_transaction(record) if record else None

    def is_mined(self, id: str) -> bool:
        """Whether there is such a transaction in a block, of this weave or of the one it was brought from."""
        note = self.note(id)
        if note is None or note.height >= 0:
            return note is not None
        foreign = self._store.note(f"weave/foreign/{id}")
        return foreign is not None and msgspec.json.decode(foreign)["block"] is not None

    def body(self, id: str) -> Body:
        """The data of a transaction. Raises Pending while it is coming in, Missing when there is no transaction."""
        note = self.note(id)
        if note is None:
            raise Missing("Not Found.")
        if not note.complete:
            raise Pending("Pending")
        record = self._store.view(note.record)
        if first(record.tags, "Type") == records.BUNDLE:
            return self.bundle_body_of(note.record)
        tx = records.read_transaction(record)
        return self.chunks_body(b64url_encode(tx.data_root), tx.data_size)

    # Data in chunks

    def chunks(self, root: str, size: int) -> list[tuple[Span, str]]:
        """Where each chunk that is here lies in the data, and the id of its record."""
        found = []
        for key, value in self._store.notes(f"weave/chunk/{root}/{size}/"):
            end, id = value.decode().split()
            found.append((Span(int(key.rpartition("/")[2]), int(end)), id))
        return found

    def chunks_body(self, root: str, size: int) -> Body:
        chunks = self.chunks(root, size)
        return joined(
            [span.end - span.start for span, _ in chunks], lambda n: body_of(self._store.view(chunks[n][1]).data)
        )

    # Bundles of the node's own, which are put together from their items whenever somebody reads

    def bundle_body(self, items: Sequence[DataItem]) -> Body:
        """The bundle of items at hand. Small ones are put together at once: thousands of them make one chunk."""
        headers = [encode_header(item) for item in items]
        sizes = [len(header) + item.data_bytes for header, item in zip(headers, items, strict=True)]
        parts: list[bytes | memoryview] = [encode_bundle_header(items, sizes)]
        small = bytearray()
        for header, item in zip(headers, items, strict=True):
            small += header
            if item.data_bytes > CHUNK_MAX:  # stays where it lies, which is in a file
                parts += (bytes(small), item.data)
                small = bytearray()
            else:
                small += item.data
        parts.append(bytes(small))
        return joined([_size(part) for part in parts], lambda number: body_of(parts[number]))

    def bundle_body_of(self, record: str) -> Body:
        sizes, ids, header = self._bundle_sizes(record)
        return self._joined_bundle(sizes, ids, header)

    def _measured(self, ids: list[str]) -> tuple[list[int], list[str], bytes]:
        items = [self._store.view(id) for id in ids]
        sizes = [len(encode_header(item)) + item.data_bytes for item in items]
        return sizes, ids, encode_bundle_header(items, sizes)

    def _measure_bundle(self, record: str) -> tuple[list[int], list[str], bytes]:
        return self._measured(records.read_bundled(self._store.view(record)))

    def _joined_bundle(self, sizes: list[int], ids: list[str], header: bytes) -> Body:
        def part(number: int) -> Body:
            return body_of(header) if number == 0 else self._encoded_item(ids[number - 1])

        return joined([len(header), *sizes], part)

    def _encoded_item(self, id: str) -> Body:
        item = self._store.view(id)
        header = encode_header(item)
        parts = (header, item.data)
        return joined([len(header), item.data_bytes], lambda number: body_of(parts[number]))


def _size(part: bytes | memoryview) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)
