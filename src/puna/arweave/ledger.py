"""Money of the local weave, all of it in winston: prices, rewards, and what a block does to balances.

Pure rules, used by the weave. One AR is 10**12 winston.
"""

from collections.abc import Callable, Iterable

from puna.arweave.merkle import CHUNK_MAX
from puna.arweave.transaction import Transaction

WINSTON_PER_AR = 10**12
ENDOWMENT = 1000 * WINSTON_PER_AR  # of the user's wallet, at the beginning of a local weave
BLOCK_REWARD = WINSTON_PER_AR // 10

PRICE_OF_TRANSACTION = 65_000_000
PRICE_OF_CHUNK = 400_000_000
PRICE_OF_NEW_WALLET = 1_000_000_000


def price(size: int, *, to_new_wallet: bool = False) -> int:
    """What storing `size` bytes for ever costs: by the begun chunk, and more when a wallet is new."""
    chunks = -(-size // CHUNK_MAX)
    return PRICE_OF_TRANSACTION + chunks * PRICE_OF_CHUNK + (PRICE_OF_NEW_WALLET if to_new_wallet else 0)


def spent(tx: Transaction) -> int:
    """What a transaction takes from its owner."""
    return tx.quantity + tx.reward


def settle(balance: Callable[[str], int], transactions: Iterable[Transaction], miner: str) -> dict[str, int]:
    """The new balances of all whom a block touches; the miner takes the fees and the block's reward."""
    new: dict[str, int] = {}

    def add(address: str, winston: int) -> None:
        new[address] = new.get(address, balance(address)) + winston

    fees = 0
    for tx in transactions:
        if spent(tx):
            add(tx.address, -spent(tx))
        if tx.quantity and tx.target:
            add(tx.recipient, tx.quantity)
        fees += tx.reward
    add(miner, fees + BLOCK_REWARD)
    return new
