"""What a node can find of permanent data: all that is in its store, and, behind it, what an upstream gateway has.

The units look things up here: modules, processes, assigned items, whatever a process wants of WeaveDrive. What was
brought from upstream has been verified and is kept, so a replay of the same schedule needs no upstream any more.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from puna.arweave.body import Body
from puna.arweave.dataitem import DataItem, verify_item
from puna.arweave.ids import Address, ItemId, is_id
from puna.arweave.merkle import tree_of
from puna.arweave.store.port import Query, Store
from puna.arweave.tags import Tag
from puna.arweave.transaction import Transaction, verify_transaction
from puna.arweave.transactions import Transactions
from puna.arweave.weave import Weave
from puna.errors import Invalid


@dataclass(frozen=True)
class BaseTransaction:
    """A layer-1 transaction in the words of a data item, to be read by who takes either. It is not to be appended.

    Gateways show the `last_tx` of a transaction as its anchor, so the anchor here has 48 bytes, or 32.
    """

    transaction: Transaction
    body: Body

    @property
    def id(self) -> ItemId:
        return self.transaction.id

    @property
    def signature(self) -> bytes:
        return self.transaction.signature

    @property
    def owner(self) -> bytes:
        return self.transaction.owner

    @property
    def address(self) -> Address:
        return self.transaction.address

    @property
    def target(self) -> str:
        return self.transaction.recipient

    @property
    def anchor(self) -> bytes:
        return self.transaction.last_tx

    @property
    def tags(self) -> tuple[Tag, ...]:
        return self.transaction.tags

    @property
    def data(self) -> bytes:
        return self.body.all()

    @property
    def data_bytes(self) -> int:
        return self.body.size


Item = DataItem | BaseTransaction


def verify_found(item: Item) -> None:
    """Checks that its owner signed it, data included. Raises Invalid when not."""
    if isinstance(item, DataItem):
        verify_item(item)
        return
    tx = item.transaction
    if tx.format == 1:
        tx = replace(tx, data=item.data)  # signed with the data itself, not with its root
    elif item.body.size != tx.data_size or (
        tx.data_size and tree_of(tx.data_size, item.body.read).root != tx.data_root
    ):
        raise Invalid(f"The data of transaction {tx.id} is not what was signed.")
    verify_transaction(tx)


def _root_of(body: Body) -> bytes:
    return tree_of(body.size, body.read).root if body.size else b""


def view_of(store: Store) -> Callable[[str], Item | None]:
    """A reader of what is in a store by id: data items, and layer-1 transactions that are in a block."""
    transactions = Transactions(store)

    def view(id: str) -> Item | None:
        item = store.view(id)
        if item is not None or not transactions.is_mined(id):
            return item
        tx = transactions.get(id)
        return BaseTransaction(tx, transactions.body(id)) if tx is not None else None

    return view


class Upstream(Protocol):
    """A gateway to read through to (`gateway/upstream.py`). All raise NotYet when it does not answer."""

    async def fetch(self, id: str) -> bool:
        """Brings `id` into the store; False when the gateway has nothing that deserves the name."""
        ...

    async def find(self, query: Query) -> list[str]:
        """The ids of what it has for a query, newest first."""
        ...

    async def height(self) -> int:
        """Of its newest block."""
        ...


class Archive:
    """Everything within reach of one node. Without a weave nothing counts as confirmed; without an upstream what is
    not in the store is not to be had.
    """

    def __init__(self, store: Store, weave: Weave | None = None, upstream: Upstream | None = None):
        self.view = view_of(store)
        self._store, self._weave, self._upstream = store, weave, upstream

    async def bring(self, id: str) -> Item | None:
        """What is called `id`, from upstream if it must be; None when nobody has it. Raises NotYet: ask again."""
        item = self.view(id)
        if item is None and self._upstream is not None and is_id(id) and await self._upstream.fetch(id):
            item = self.view(id)
        return item

    async def bring_found(self, query: Query) -> bool:
        """Brings what upstream finds for a query; whether anything of it is new here. Raises NotYet: ask again."""
        if self._upstream is None:
            return False
        new = False
        for id in query.ids or await self._upstream.find(query):
            if self.view(id) is None:
                new |= await self.bring(id) is not None
        return new

    async def confirmations(self, id: str) -> int:
        """How many blocks say that `id` is permanent, the one that has it included; 0 while none does.

        What another weave keeps is counted in that weave's blocks. Raises NotYet when its gateway does not answer.
        """
        block = self._block_of(id)
        if self._store.note(f"weave/foreign/{id}") is None:
            return self._weave.tip.height - block["height"] + 1 if block is not None else 0
        if block is None and self._upstream is not None and await self._upstream.fetch(id):
            block = self._block_of(id)  # it was in none yet when it was brought
        if block is None:
            return 0
        tip = await self._upstream.height() if self._upstream is not None else block["height"]
        return max(tip - block["height"] + 1, 1)

    def _block_of(self, id: str) -> dict[str, Any] | None:
        if self._weave is None:
            return None
        if self._weave.tx_note(id) is not None:
            return self._weave.place_of_transaction(id).block
        entries = self._store.find(Query(ids=(id,), limit=1))
        return self._weave.place_of_item(id, entries[0].sequence).block if entries else None
