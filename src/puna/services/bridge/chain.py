"""Layer 1 as the bridge sees it: what came to the vault, what left it, and how a payout is posted.

Used by the unit alone. Nothing here is remembered: every answer is read from the weave.
"""

import asyncio

from puna.arweave import records
from puna.arweave.ids import b64url_decode, id_bytes
from puna.arweave.store.port import Query
from puna.arweave.transaction import Transaction, sign_transaction
from puna.arweave.wallet import Wallet
from puna.arweave.weave import AlreadyHere, Weave
from puna.errors import Invalid

from .rules import BURN_TX, Deposit, Payout, deposit_of, payout_tags


class Chain:
    """The vault's side of one weave."""

    def __init__(self, weave: Weave, vault: Wallet):
        self.weave = weave
        self._vault = vault
        self.vault = vault.address

    async def now(self) -> tuple[int, int]:
        """The height of the weave, and what the vault has at that height."""
        while True:
            # A block's notes are there an instant before the weave takes it for its tip, and the next may follow.
            tip = self.weave.tip.height
            balance = self.weave.balance(self.vault)
            if int(self.weave.store.note("weave/tip")) == tip == self.weave.tip.height:
                return tip, balance
            await asyncio.sleep(0)

    def block_hash(self, height: int) -> str:
        """Which block is at a height; "" when the weave is not that high."""
        block = self.weave.block(height)
        return block.indep_hash if block else ""

    def deposits(self, first: int, last: int) -> list[Deposit]:
        """What the blocks from `first` to `last` brought to the vault. May be called on a thread."""
        found = []
        for height in range(first, last + 1):
            block = self.weave.block(height)
            for id in block.txs if block else ():
                if id != block.bundle and (deposit := deposit_of(self.weave.transaction(id), height, self.vault)):
                    found.append(deposit)
        return found

    def mined_at(self, id: str) -> int | None:
        """The height of a transaction's block; None while it waits for one, or when there is no such transaction."""
        note = self.weave.tx_note(id)
        return note.height if note is not None and note.height >= 0 else None

    def transaction(self, id: str) -> Transaction | None:
        return self.weave.transaction(id)

    def payout(self, id: str) -> Transaction | None:
        """The vault's own transaction that pays this burn, mined or waiting; None when there is none."""
        lookup = records.lookup(BURN_TX, id)
        wanted = Query(
            owners=(self.weave.operator,), limit=1,
            tags=(("Type", (records.TRANSACTION,)), ("Owner", (self.vault,)), ("Lookup", (lookup,))),
        )  # fmt: skip
        found = self.weave.store.find(wanted)
        return records.read_transaction(found[0].item) if found else None

    def price(self, recipient: str) -> int:
        return self.weave.price(0, recipient)

    def sign(self, payout: Payout, reward: int) -> Transaction:
        """The payout's transaction. It takes some milliseconds: call it on a thread."""
        return sign_transaction(
            self._vault, last_tx=b64url_decode(self.weave.tip.indep_hash), reward=reward, tags=payout_tags(payout),
            target=id_bytes(payout.recipient), quantity=payout.quantity,
        )  # fmt: skip

    async def post(self, tx: Transaction) -> bool:
        """Hand over a signed payout; False when its anchor is too old, so that nobody can take it any more.

        Raises Invalid when the vault has not enough, NotYet when the weave cannot take it now.
        """
        try:
            await self.weave.post(tx)
        except AlreadyHere:
            pass
        except Invalid as error:
            if "anchor" in error.what:
                return False
            raise
        return True
