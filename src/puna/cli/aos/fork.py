"""The item of a fork: a process whose memory begins as another one's was after some message. Pure.

What the units make of its tags is told in decision 0013 and `puna.ao.compute.fork`.
"""

from puna.ao.message import PROTOCOL, VARIANT
from puna.arweave.dataitem import DataItem, sign_item
from puna.arweave.tags import Tag
from puna.arweave.wallet import Wallet
from puna.services.letters import new_anchor

from .processes import Found, Standing

# Of this fork, not of the origin; its boot code has run already.
_NOT_TAKEN_OVER = frozenset(
    ("Data-Protocol", "Variant", "Type", "Name", "On-Boot", "From-Process", "From-Module", "Pushed-For", "Reference",
     "Scheduler", "Fork-Of", "Fork-Nonce", "Fork-Message")
)  # fmt: skip


def fork_item(wallet: Wallet, origin: Found, nonce: int, message: str, name: str, standing: Standing) -> DataItem:
    """The signed item of a process that goes on from `origin` after its message of that nonce."""
    taken = (Tag(*tag) for tag in origin.tags if tag[0] not in _NOT_TAKEN_OVER)
    tags = (
        PROTOCOL, VARIANT, Tag("Type", "Process"), Tag("Name", name or origin.tag("Name") or "fork"), *taken,
        Tag("Scheduler", standing.scheduler),
        Tag("Fork-Of", origin.id), Tag("Fork-Nonce", str(nonce)), Tag("Fork-Message", message),
    )  # fmt: skip
    return sign_item(wallet, data=b" ", tags=tags, anchor=new_anchor())
