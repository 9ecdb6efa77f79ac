"""Blocks of the local weave: a chain of hashes over what was mined, in order. Pure; used by the weave.

There is no work to prove: the operator's signature on a block's record stands in for it, so `nonce` and `diff` are
constants. Everything else means what it means on Arweave. Source: protocol reference 1.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256, sha384
from typing import Any

import msgspec

from puna.arweave.deephash import deep_hash
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.arweave.merkle import Span, Tree, tree_of_hashes

NONCE = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@dataclass(frozen=True, slots=True)
class Block:
    """One block. `through` is the sequence number of the store's last item that it covers, `bundle` the id of the
    transaction in which the node carried those items ("" when there were none)."""

    height: int
    indep_hash: str
    previous_block: str
    timestamp: int  # seconds
    txs: tuple[str, ...]
    tx_root: str
    block_size: int
    weave_size: int  # bytes of data in this block and all before it
    reward_addr: str
    wallet_list: str
    through: int
    bundle: str

    def to_json(self) -> dict[str, Any]:
        """What a node answers for `/block/...`."""
        return {
            "nonce": NONCE,
            "previous_block": self.previous_block,
            "timestamp": self.timestamp,
            "last_retarget": self.timestamp,
            "diff": "1",
            "height": self.height,
            "hash": self.indep_hash,
            "indep_hash": self.indep_hash,
            "txs": list(self.txs),
            "tx_root": self.tx_root,
            "tx_tree": [],
            "wallet_list": self.wallet_list,
            "reward_addr": self.reward_addr,
            "tags": [],
            "reward_pool": "0",
            "weave_size": str(self.weave_size),
            "block_size": str(self.block_size),
            "cumulative_diff": str(self.height),
            "hash_list_merkle": self.previous_block,
            "poa": {"option": "1", "tx_path": "", "data_path": "", "chunk": ""},
        }

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def decode_block(data: bytes | memoryview) -> Block:
    return msgspec.json.decode(bytes(data), type=Block)


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction as a block sees it."""

    id: str
    data_root: bytes
    data_size: int


def next_block(
    previous: Block | None,
    transactions: Sequence[Mined],
    *,
    timestamp: int,
    reward_addr: str,
    through: int,
    bundle: str = "",
    balances: dict[str, int] | None = None,
) -> Block:
    """The block that follows `previous`; None begins a weave. Time never runs backwards along the chain."""
    size = sum(tx.data_size for tx in transactions)
    tree = tx_tree(transactions)
    block = Block(
        height=previous.height + 1 if previous else 0,
        indep_hash="",
        previous_block=previous.indep_hash if previous else "",
        timestamp=max(timestamp, previous.timestamp if previous else 0),
        txs=tuple(tx.id for tx in transactions),
        tx_root=b64url_encode(tree.root) if tree else "",
        block_size=size,
        weave_size=size + (previous.weave_size if previous else 0),
        reward_addr=reward_addr,
        wallet_list=_wallet_list(previous, balances or {}),
        through=through,
        bundle=bundle,
    )
    return replace(block, indep_hash=_hash(block))


def tx_tree(transactions: Sequence[Mined]) -> Tree | None:
    """The tree over a block's data, one leaf a transaction; None when the block has no data."""
    spans, hashes, start = [], [], 0
    for tx in transactions:
        if tx.data_size:
            spans.append(Span(start, start + tx.data_size))
            hashes.append(tx.data_root or sha256(tx.id.encode()).digest())
            start += tx.data_size
    return tree_of_hashes(spans, hashes) if spans else None


def _hash(block: Block) -> str:
    digest = deep_hash(
        [
            b"%d" % block.height,
            b64url_decode(block.previous_block),
            b"%d" % block.timestamp,
            [b64url_decode(id) for id in block.txs],
            b64url_decode(block.tx_root),
            b"%d" % block.weave_size,
            b64url_decode(block.reward_addr),
            b64url_decode(block.wallet_list),
            b"%d" % block.through,
        ]
    )
    return b64url_encode(digest)


def _wallet_list(previous: Block | None, balances: dict[str, int]) -> str:
    """A digest of all balances: the one before, and what this block changed."""
    changed = "".join(f"{address} {winston}\n" for address, winston in sorted(balances.items()))
    return b64url_encode(sha384((previous.wallet_list if previous else "").encode() + changed.encode()).digest())
