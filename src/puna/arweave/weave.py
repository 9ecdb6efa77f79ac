"""The embedded weave: transactions and chunks are taken in, blocks are mined, and every item gets its place in one.

The node starts it and its gateway serves it. What is durable are records in the store (records.py); the notes written
beside them under `weave/` are derived, and `rebuild` makes them anew. docs/gateway.md tells how the parts fit.
"""

import asyncio
import tempfile
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from puna.arweave import ledger, records
from puna.arweave.block import Block, Mined, next_block, tx_tree
from puna.arweave.body import Body
from puna.arweave.bundle import BUNDLE_TAGS, Bundled, is_bundle, unpack
from puna.arweave.dataitem import DataItem, verify_item
from puna.arweave.ids import b64url_decode, b64url_encode, is_id
from puna.arweave.merkle import Proven, Tree, prove, tree_of, tree_of_bytes
from puna.arweave.records import Chunk
from puna.arweave.store.payloads import map_file
from puna.arweave.store.port import Entry, Query, Store
from puna.arweave.tags import Tag, first
from puna.arweave.transaction import Transaction, sign_transaction, verify_transaction
from puna.arweave.transactions import Transactions, TxNote
from puna.arweave.wallet import Wallet
from puna.clock import Tip, wall_ms
from puna.errors import Invalid, Missing, NotYet

ITEMS_PER_BUNDLE_MAX = 4096  # the rest goes into the next block
AWAITING_MAX = 10_000  # transactions whose data has not come; past it we refuse, and the sender asks again
CHUNK_BYTES_MAX = 256 * 1024
PATH_BYTES_MAX = 2_600  # a proof of this length covers over a million chunks
ANCHOR_BLOCKS = 50
ANCHOR_AGE_S = 6 * 3600  # blocks may come every other second here, and clients hold an anchor for as long as they sign
IN_MEMORY_MAX = 8 << 20  # a bundle larger than this is unpacked from a file
CHUNKS_AT_ONCE = 64  # appended together when a transaction comes from elsewhere
PAGE = 500

BUNDLE_TAGS_OURS = (*BUNDLE_TAGS, Tag("App-Name", "Puna"))


class AlreadyHere(Invalid):
    """The transaction was taken in before."""


class BadChunk(Invalid):
    """A chunk that is refused; `what` is the wire's code for why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thing lies: its block (None while it waits for one) and the bundle that carries it ("" for none)."""

    block: dict[str, Any] | None
    bundled_in: str


class Weave:
    """One weave over one store. Make it with `open`. Reads may come from any thread."""

    def __init__(self, store: Store, operator: Wallet, make_bundler: Callable[[], Wallet], scratch: Path | None):
        self.store = store
        self.transactions = Transactions(store)
        self._operator = operator
        self._make_bundler = make_bundler
        self._bundler: Wallet | None = None
        self._making_bundler = threading.Lock()
        self._scratch = scratch
        self._changing = asyncio.Lock()
        self._spending: dict[str, int] = {}
        self._block_at = lru_cache(8192)(self._read_block)
        self._bundle_tree = lru_cache(4)(self._make_bundle_tree)
        self.tip: Block

    @classmethod
    async def open(
        cls, store: Store, operator: Wallet, make_bundler: Callable[[], Wallet], *, scratch: Path | None = None
    ) -> "Weave":
        """The weave of `store`, begun if it is not there.

        `make_bundler` gives the RSA wallet for our own bundles; it is called once, from a thread, when there is first
        something to carry. `scratch` is a folder on a real disk for large bundles on their way.
        """
        weave = cls(store, operator, make_bundler, scratch)
        if store.note("weave/tip") is None and weave._has_blocks():
            await weave.rebuild()
        elif store.note("weave/tip") is None:
            genesis = next_block(None, [], timestamp=wall_ms() // 1000, reward_addr=operator.address, through=0)
            await weave._append([records.block_record(operator, genesis)], weave._notes_of_block(genesis, []))
        weave._take_up()
        await weave._complete_arrived()
        return weave

    def _has_blocks(self) -> bool:
        tags = (("Data-Protocol", ("puna",)), ("Type", (records.BLOCK,)))
        return bool(self.store.find(Query(owners=(self.operator,), tags=tags, limit=1)))

    def _take_up(self) -> None:
        self.tip = self._block_at(int(self.store.note("weave/tip")))
        self._spending = {}
        for key, _ in self.store.notes("weave/waiting/"):
            self._reserve(self.transaction(key.rpartition("/")[2]))

    @property
    def operator(self) -> str:
        return self._operator.address

    # Money

    def balance(self, address: str) -> int:
        """Winston; 0 for a wallet that nobody has heard of."""
        return int(self.store.note(f"weave/balance/{address}") or 0)

    def price(self, size: int, target: str = "") -> int:
        return ledger.price(size, to_new_wallet=bool(target) and self.store.note(f"weave/balance/{target}") is None)

    async def grant(self, address: str, winston: int) -> None:
        """Gives winston from nowhere, as only a local weave can."""
        async with self._changing:
            number = len(self.store.notes(f"weave/grant/{address}/"))
            record = records.grant_record(self._operator, address, winston, number)
            await self._append([record], self._notes_of_grant(record))

    async def endow(self, address: str, winston: int = ledger.ENDOWMENT) -> None:
        """The first grant to a wallet, given once."""
        if not self.store.notes(f"weave/grant/{address}/"):
            await self.grant(address, winston)

    def last_tx(self, address: str) -> str:
        return (self.store.note(f"weave/last_tx/{address}") or b"").decode()

    # Taking in

    async def post(self, tx: Transaction) -> None:
        """Takes in a transaction; durable when it returns. Raises AlreadyHere, Invalid with the wire's text, NotYet."""
        if self.tx_note(tx.id) is not None:
            raise AlreadyHere("Transaction already processed.")
        await asyncio.to_thread(_check_transaction, tx)
        async with self._changing:
            if self.tx_note(tx.id) is not None:
                raise AlreadyHere("Transaction already processed.")
            self._check_anchor(tx)
            self._check_money(tx)
            announced = tx.without_data()
            if tx.data:
                chunks = await asyncio.to_thread(lambda: list(self._chunk_records(tx)))
                await self._complete(announced, chunks)
            elif not tx.data_size or self._has_all(b64url_encode(tx.data_root), tx.data_size):
                await self._complete(announced, [])
            else:
                await self._announce(announced)
            self._reserve(tx)

    async def add_chunk(self, data_root: str, data_size: int, path: bytes, offset: int, data: bytes) -> None:
        """Takes in one chunk of an announced transaction; durable when it returns. Raises BadChunk with a code."""
        if len(data) > CHUNK_BYTES_MAX:
            raise BadChunk("chunk_too_big")
        if len(path) > PATH_BYTES_MAX:
            raise BadChunk("data_path_too_big")
        if len(path) > len(data) and offset + 1 < data_size:
            raise BadChunk("chunk_proof_ratio_not_attractive")
        awaited = is_id(data_root) and self._awaiting(data_root, data_size)
        # A chunk that comes again, because its sender missed our answer, is as welcome as the first time.
        if not awaited and not (is_id(data_root) and self.transactions.chunks(data_root, data_size)):
            raise BadChunk("data_root_not_found")
        proven = prove(b64url_decode(data_root), offset, data_size, path)
        if proven is None or not _fits(proven, data):
            raise BadChunk("invalid_proof")
        if not awaited:
            return
        chunk = Chunk(data_root, data_size, proven.span, path)
        record = records.chunk_record(self._operator, chunk, data)
        await self._append([record], self._notes_of_chunk(record))
        if self._has_all(data_root, data_size):
            async with self._changing:
                for id in self._awaiting(data_root, data_size):
                    await self._complete(self.transaction(id), [])

    async def upload(self, item: DataItem) -> None:
        """Takes in a verified data item, with what it carries if it is a bundle. Durable when it returns."""
        if self.store.view(item.id) is not None:
            return
        found = (
            await asyncio.to_thread(lambda: list(self._unpacked(item.id, item.data))) if is_bundle(item.tags) else []
        )
        await self._append([item, *(bundled.item for bundled in found)], _notes_of_carried(found))

    async def take_foreign_item(self, item: DataItem, place: Any) -> None:
        """Keeps a verified item of another weave, and where it lies there."""
        record = records.foreign_record(self._operator, item.id, place)
        await self._append([item, record], self._notes_of_foreign(record))

    async def take_foreign_transaction(self, tx: Transaction, place: Any) -> None:
        """Keeps a verified transaction of another weave with all its data, and where it lies there."""
        chunks = self._chunk_records(tx)
        while batch := await asyncio.to_thread(lambda: list(islice(chunks, CHUNKS_AT_ONCE))):
            notes: dict[str, bytes | None] = {}
            for chunk in batch:
                notes |= self._notes_of_chunk(chunk)
            await self._append(batch, notes)
        record = records.transaction_record(self._operator, records.FOREIGN_TRANSACTION, tx.without_data())
        foreign = records.foreign_record(self._operator, tx.id, place)
        note = _encoded(TxNote(record.id, True))
        await self._append([foreign, record], self._notes_of_foreign(foreign) | {f"weave/tx/{tx.id}": note})

    async def _announce(self, tx: Transaction) -> None:
        if len(self.store.notes("weave/awaiting/")) >= AWAITING_MAX:
            raise NotYet("Too many transactions wait for their data.", "Try again later.")
        record = records.transaction_record(self._operator, records.ANNOUNCED, tx)
        await self._append([record], self._notes_of_announced(tx, record.id))

    async def _complete(self, tx: Transaction, chunks: list[DataItem]) -> None:
        """The transaction's data is all here: from now on it waits for a block, and what it carries is found."""
        record = records.transaction_record(self._operator, records.TRANSACTION, tx)
        notes: dict[str, bytes | None] = {}
        for chunk in chunks:
            notes |= self._notes_of_chunk(chunk)
        notes |= self._notes_of_complete(tx, record.id)
        if chunks:
            await self._append(chunks, {key: notes.pop(key) for key in list(notes) if key.startswith("weave/chunk/")})
        found: list[Bundled] = []
        if is_bundle(tx.tags):
            body = self.transactions.chunks_body(b64url_encode(tx.data_root), tx.data_size)
            found = await asyncio.to_thread(self._unpacked_of_body, tx.id, body)
        await self._append([record, *(bundled.item for bundled in found)], notes | _notes_of_carried(found))

    async def _complete_arrived(self) -> None:
        """Goes on with transactions whose last chunk was stored just before we were stopped."""
        for key, _ in self.store.notes("weave/awaiting/"):
            root, size, id = key.removeprefix("weave/awaiting/").split("/")
            if self._has_all(root, int(size)):
                await self._complete(self.transaction(id), [])

    def _chunk_records(self, tx: Transaction) -> Iterator[DataItem]:
        tree, root, view = tree_of_bytes(tx.data), b64url_encode(tx.data_root), memoryview(tx.data)
        for leaf, span in enumerate(tree.spans):
            if span.start < span.end:
                chunk = Chunk(root, tx.data_size, span, tree.proof(leaf))
                yield records.chunk_record(self._operator, chunk, view[span.start : span.end])

    def _unpacked_of_body(self, carrier: str, body: Body) -> list[Bundled]:
        if body.size <= IN_MEMORY_MAX:
            return list(self._unpacked(carrier, body.all()))
        with tempfile.TemporaryFile(dir=self._scratch) as file:
            for part in body.parts():
                file.write(part)
            file.flush()
            return list(self._unpacked(carrier, map_file(file.fileno())))

    def _unpacked(self, carrier: str, data: bytes | memoryview) -> Iterator[Bundled]:
        """The items in a bundle that are new here and truly signed. What is not sound is only data."""
        try:
            for bundled in unpack(carrier, data):
                try:
                    verify_item(bundled.item)
                except Invalid:
                    continue
                if self.store.view(bundled.item.id) is None:
                    yield bundled
        except Invalid:
            return

    def _check_anchor(self, tx: Transaction) -> None:
        if tx.last_tx == b64url_decode(self.last_tx(tx.address)):
            return
        height = self.store.note(f"weave/hash/{b64url_encode(tx.last_tx)}")
        if height is None:
            known = self.tx_note(b64url_encode(tx.last_tx)) if len(tx.last_tx) == 32 else None
            waits = known is not None and known.height < 0
            raise Invalid("Invalid anchor (last_tx from mempool)." if waits else "Invalid anchor (last_tx).")
        block = self._block_at(int(height))
        if self.tip.height - block.height > ANCHOR_BLOCKS and self.tip.timestamp - block.timestamp > ANCHOR_AGE_S:
            raise Invalid("Invalid anchor (last_tx).")

    def _check_money(self, tx: Transaction) -> None:
        cost = self.price(tx.data_size, tx.recipient)
        if tx.reward < cost or self.balance(tx.address) - self._spending.get(tx.address, 0) < ledger.spent(tx):
            raise Invalid("Transaction verification failed.")

    def _reserve(self, tx: Transaction) -> None:
        self._spending[tx.address] = self._spending.get(tx.address, 0) + ledger.spent(tx)

    # Mining

    def waits(self) -> bool:
        """Whether anything waits for a block."""
        return any(True for _ in self._uncovered())

    async def mine(self, *, even_empty: bool = False) -> Block | None:
        """One block of all that waits; None when nothing does, unless an empty one is asked for."""
        async with self._changing:
            return await self._mine(even_empty)

    async def _mine(self, even_empty: bool) -> Block | None:
        carried = [
            key for key, _ in self.store.notes("weave/carried/")
        ]  # before the items are listed: these are covered
        txs, items, through = await asyncio.to_thread(self._gather)
        if not txs and not items and not even_empty:
            return None
        new, bundle = [], ""
        if items:
            carrier, record = await asyncio.to_thread(self._carry, items)
            txs, bundle = [*txs, carrier], carrier.id
            new.append(record)
        balances = ledger.settle(self.balance, txs, self.operator)
        block = next_block(
            self.tip, [_mined(tx) for tx in txs],
            timestamp=wall_ms() // 1000, reward_addr=self.operator, through=through, bundle=bundle, balances=balances,
        )  # fmt: skip
        notes = self._notes_of_block(block, txs)
        notes |= {f"weave/balance/{address}": b"%d" % winston for address, winston in balances.items()}
        if bundle:
            notes[f"weave/tx/{bundle}"] = _encoded(TxNote(new[0].id, True, block.height, block.weave_size))
        if len(items) < ITEMS_PER_BUNDLE_MAX:
            notes |= dict.fromkeys(carried)
        await self._append([*new, records.block_record(self._operator, block)], notes)
        self.tip = block
        for tx in txs:
            if tx.address in self._spending:
                self._spending[tx.address] -= ledger.spent(tx)
                if self._spending[tx.address] <= 0:
                    del self._spending[tx.address]
        return block

    def _uncovered(self) -> Iterator[Entry]:
        """What the next block would cover: transactions, and items that nobody carries yet."""
        carried = {key.rpartition("/")[2] for key, _ in self.store.notes("weave/carried/")}
        for entry in self._entries(self.tip.through):
            type = records.record_type(entry.item, self.operator)
            if type == records.TRANSACTION or (type is None and entry.item.id not in carried):
                yield entry

    def _entries(self, after: int) -> Iterator[Entry]:
        while page := self.store.find(Query(after=after, limit=PAGE)):
            yield from page
            after = page[-1].sequence

    def _gather(self) -> tuple[list[Transaction], list[DataItem], int]:
        newest = self.store.find(Query(newest_first=True, limit=1))
        through = newest[0].sequence if newest else 0
        txs, items = [], []
        for entry in self._uncovered():
            if entry.sequence > through:
                break
            if len(items) == ITEMS_PER_BUNDLE_MAX:
                return txs, items, entry.sequence - 1
            if records.record_type(entry.item, self.operator) is None:
                items.append(entry.item)
            else:
                txs.append(records.read_transaction(entry.item))
        return txs, items, through

    def _carry(self, items: list[DataItem]) -> tuple[Transaction, DataItem]:
        """The transaction in which the node itself puts `items` on the weave. Its data is not stored a second time."""
        bundler = self.bundler()
        ids = [item.id for item in items]
        body = self.transactions.bundle_body(items)
        tree = tree_of(body.size, body.read)
        tx = sign_transaction(
            bundler, last_tx=b64url_decode(self.tip.indep_hash), reward=0, tags=BUNDLE_TAGS_OURS,
            data_size=body.size, data_root=tree.root,
        )  # fmt: skip
        return tx, records.transaction_record(self._operator, records.BUNDLE, tx, ids)

    def bundler(self) -> Wallet:
        """The RSA wallet that signs our bundles and receipts. The first call may take seconds: call it on a thread."""
        with self._making_bundler:
            if self._bundler is None:
                self._bundler = self._make_bundler()
        return self._bundler

    # Notes

    async def _append(self, items: list[DataItem], notes: dict[str, bytes | None]) -> None:
        await self.store.append(items, notes)

    def _notes_of_block(self, block: Block, txs: Iterable[Transaction]) -> dict[str, bytes | None]:
        notes: dict[str, bytes | None] = {
            "weave/tip": b"%d" % block.height,
            f"weave/block/{block.height:012d}": block.encode(),
            f"weave/hash/{block.indep_hash}": b"%d" % block.height,
        }
        end = block.weave_size - block.block_size
        for tx in txs:
            end += tx.data_size
            known = self.tx_note(tx.id)
            if known is not None:
                notes[f"weave/tx/{tx.id}"] = _encoded(TxNote(known.record, True, block.height, end))
            notes[f"weave/last_tx/{tx.address}"] = tx.id.encode()
            notes[f"weave/waiting/{tx.id}"] = None
        return notes

    def _notes_of_announced(self, tx: Transaction, record: str) -> dict[str, bytes | None]:
        return {
            f"weave/tx/{tx.id}": _encoded(TxNote(record, False)),
            f"weave/waiting/{tx.id}": b"",
            f"weave/awaiting/{b64url_encode(tx.data_root)}/{tx.data_size}/{tx.id}": b"",
        }

    def _notes_of_complete(self, tx: Transaction, record: str) -> dict[str, bytes | None]:
        return {
            f"weave/tx/{tx.id}": _encoded(TxNote(record, True)),
            f"weave/waiting/{tx.id}": b"",
            f"weave/awaiting/{b64url_encode(tx.data_root)}/{tx.data_size}/{tx.id}": None,
        }

    def _notes_of_chunk(self, record: DataItem) -> dict[str, bytes | None]:
        root, size, start, end = (first(record.tags, name) for name in ("Data-Root", "Data-Size", "Start", "End"))
        return {f"weave/chunk/{root}/{size}/{int(start):020d}": f"{end} {record.id}".encode()}

    def _notes_of_grant(self, record: DataItem) -> dict[str, bytes | None]:
        address, winston = first(record.tags, "Recipient"), int(first(record.tags, "Quantity"))
        return {
            f"weave/balance/{address}": b"%d" % (self.balance(address) + winston),
            f"weave/grant/{address}/{record.id}": b"",
        }

    def _notes_of_foreign(self, record: DataItem) -> dict[str, bytes | None]:
        id = first(record.tags, "Id")
        return {f"weave/foreign/{id}": bytes(record.data), f"weave/carried/{id}": b""}

    # Reading

    def tx_note(self, id: str) -> TxNote | None:
        return self.transactions.note(id)

    def transaction(self, id: str) -> Transaction | None:
        """A layer-1 transaction without its data; None when there is none."""
        return self.transactions.get(id)

    def transaction_body(self, id: str) -> Body:
        """The data of a transaction. Raises Pending while it is coming in, Missing when there is no transaction."""
        return self.transactions.body(id)

    def block(self, height: int) -> Block | None:
        return self._block_at(height) if 0 <= height <= self.tip.height else None

    def block_of_hash(self, hash: str) -> Block | None:
        height = self.store.note(f"weave/hash/{hash}")
        return self._block_at(int(height)) if height else None

    def block_covering(self, sequence: int) -> Block | None:
        """The block that covers the store's item with this sequence number; None while it waits for one."""
        if sequence > self.tip.through:
            return None
        return self._block_at(
            bisect_left(range(self.tip.height + 1), sequence, key=lambda h: self._block_at(h).through)
        )

    def place_of_item(self, id: str, sequence: int) -> Place:
        """Where a data item lies."""
        foreign = self.store.note(f"weave/foreign/{id}")
        if foreign:
            return Place(**msgspec.json.decode(foreign))
        carrier = (self.store.note(f"weave/carrier/{id}") or b"").decode()
        block = self.block_covering(sequence)
        return Place(_shown(block), carrier or (block.bundle if block else ""))

    def place_of_transaction(self, id: str) -> Place:
        foreign = self.store.note(f"weave/foreign/{id}")
        if foreign:
            return Place(**msgspec.json.decode(foreign))
        note = self.tx_note(id)
        return Place(_shown(self._block_at(note.height)) if note.height >= 0 else None, "")

    def bundled_in(self, carrier: str) -> list[str]:
        """The ids of the items that a transaction or item carries, as far as we unpacked it."""
        note = self.tx_note(carrier)
        record = self.store.view(note.record) if note else None
        if record is not None and first(record.tags, "Type") == records.BUNDLE:
            return records.read_bundled(record)
        return [value.decode() for _, value in self.store.notes(f"weave/inside/{carrier}/")]

    def chunk_at(self, offset: int) -> dict[str, str] | None:
        """The chunk that holds a byte of the weave, counted from 1, with its proofs; None when there is none."""
        if not 1 <= offset <= self.tip.weave_size:
            return None
        at = offset - 1
        height = bisect_left(range(self.tip.height + 1), offset, key=lambda h: self._block_at(h).weave_size)
        block = self._block_at(height)
        txs = [_mined(self.transaction(id)) for id in block.txs]
        tree = tx_tree(txs)
        within = at - (block.weave_size - block.block_size)
        leaf = tree.leaf_at(within)
        tx = [tx for tx in txs if tx.data_size][leaf]
        begin = tree.spans[leaf].start
        chunk, data = self._chunk_of(tx, within - begin)
        end = block.weave_size - block.block_size + begin + chunk.span.end
        return {
            "chunk": b64url_encode(data),
            "data_path": b64url_encode(chunk.path),
            "tx_path": b64url_encode(tree.proof(leaf)),
            "packing": "unpacked",
            "absolute_end_offset": str(end),
            "chunk_size": str(len(data)),
        }

    def _chunk_of(self, tx: Mined, at: int) -> tuple[Chunk, bytes | memoryview]:
        root = b64url_encode(tx.data_root)
        note = self.tx_note(tx.id)
        if first(self.store.view(note.record).tags, "Type") == records.BUNDLE:
            tree = self._bundle_tree(note.record)
            leaf = tree.leaf_at(at)
            span = tree.spans[leaf]
            body = self.transactions.bundle_body_of(note.record)
            return Chunk(root, tx.data_size, span, tree.proof(leaf)), body.read(*span)
        for span, id in self.transactions.chunks(root, tx.data_size):
            if span.start <= at < span.end:
                record = self.store.view(id)
                return Chunk(root, tx.data_size, span, b64url_decode(first(record.tags, "Path"))), record.data
        raise Missing("The chunk is not here.")

    def _read_block(self, height: int) -> Block:
        return msgspec.json.decode(self.store.note(f"weave/block/{height:012d}"), type=Block)

    def _awaiting(self, root: str, size: int) -> list[str]:
        prefix = f"weave/awaiting/{root}/{size}/"
        return [key.removeprefix(prefix) for key, _ in self.store.notes(prefix)]

    def _has_all(self, root: str, size: int) -> bool:
        # Proven chunks of one root never overlap, so their sizes add up exactly when none is missing.
        return sum(span.end - span.start for span, _ in self.transactions.chunks(root, size)) == size

    def _make_bundle_tree(self, record: str) -> Tree:
        body = self.transactions.bundle_body_of(record)
        return tree_of(body.size, body.read)

    # Derived, so replaceable

    async def rebuild(self) -> None:
        """Makes every note of the weave anew from the records. A block's own transactions are found in its txs."""
        async with self._changing:
            await self.store.append([], {key: None for key, _ in self.store.notes("weave/")})
            for entry in self._entries(0):
                await self.store.append([], await self._notes_of_entry(entry))
            self._block_at.cache_clear()
            self._take_up()

    async def _notes_of_entry(self, entry: Entry) -> dict[str, bytes | None]:
        item = entry.item
        match records.record_type(item, self.operator):
            case records.CHUNK:
                return self._notes_of_chunk(item)
            case records.GRANT:
                return self._notes_of_grant(item)
            case records.FOREIGN:
                return self._notes_of_foreign(item)
            case records.ANNOUNCED:
                return self._notes_of_announced(records.read_transaction(item), item.id)
            case records.BUNDLE | records.FOREIGN_TRANSACTION:
                return {f"weave/tx/{first(item.tags, 'Id')}": _encoded(TxNote(item.id, True))}
            case records.TRANSACTION:
                tx = records.read_transaction(item)
                notes = self._notes_of_complete(tx, item.id)
                if is_bundle(tx.tags):
                    body = self.transactions.chunks_body(b64url_encode(tx.data_root), tx.data_size)
                    notes |= self._carried_later(tx.id, body.all(), entry.sequence)
                return notes
            case records.BLOCK:
                block = records.read_block(item)
                txs = [self.transaction(id) for id in block.txs]
                notes = self._notes_of_block(block, txs)
                balances = ledger.settle(self.balance, txs, block.reward_addr) if block.height else {}
                notes |= {f"weave/balance/{address}": b"%d" % winston for address, winston in balances.items()}
                return notes | {key: None for key, _ in self.store.notes("weave/carried/")}
            case None if is_bundle(item.tags):
                return self._carried_later(item.id, item.data, entry.sequence)
        return {}

    def _carried_later(self, carrier: str, data: bytes | memoryview, sequence: int) -> dict[str, bytes | None]:
        """The notes of what came with its carrier; what was here before it has a place of its own."""
        found = []
        try:
            for bundled in unpack(carrier, data):
                entries = self.store.find(Query(ids=(bundled.item.id,)))
                if entries and entries[0].sequence > sequence:
                    found.append(bundled)
        except Invalid:
            pass
        return _notes_of_carried(found)


@dataclass(frozen=True)
class WeaveClock:
    """The clock of a node with a weave: the wall's time, and the height of the newest block."""

    weave: Weave

    def tip(self) -> Tip:
        return Tip(wall_ms(), self.weave.tip.height)


def _check_transaction(tx: Transaction) -> None:
    try:
        verify_transaction(tx)
    except Invalid:
        raise Invalid("Transaction verification failed.") from None
    if tx.format == 1 and len(tx.data) != tx.data_size:
        raise Invalid("Transaction verification failed.")
    if tx.data and tx.format == 2:
        if len(tx.data) != tx.data_size:
            raise Invalid("Transaction verification failed.")
        if tree_of_bytes(tx.data).root != tx.data_root:
            raise Invalid("The attached data is split in an unknown way.")
    if tx.data_size and not tx.data_root:
        raise Invalid("Transaction verification failed.")


def _fits(proven: Proven, data: bytes) -> bool:
    return proven.span.end - proven.span.start == len(data) > 0 and sha256(data).digest() == proven.data_hash


def _mined(tx: Transaction) -> Mined:
    return Mined(tx.id, tx.data_root, tx.data_size)


def _shown(block: Block | None) -> dict[str, Any] | None:
    if block is None:
        return None
    return {
        "id": block.indep_hash,
        "height": block.height,
        "timestamp": block.timestamp,
        "previous": block.previous_block,
    }


def _notes_of_carried(found: Iterable[Bundled]) -> dict[str, bytes | None]:
    notes: dict[str, bytes | None] = {}
    for number, bundled in enumerate(found):
        id = bundled.item.id
        notes[f"weave/carrier/{id}"] = bundled.carrier.encode()
        notes[f"weave/inside/{bundled.carrier}/{number:08d}"] = id.encode()
        notes[f"weave/carried/{id}"] = b""
    return notes


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)
