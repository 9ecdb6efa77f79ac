"""The item of a fork: a process whose memory begins as another one's was after some message. Pure.

What the units make of its tags is told in decision 0013 and `puna.ao.compute.fork`.
"""

from puna.ao.compute.fork import MESSAGE_TAG, OF_TAG
from puna.ao.message import PROTOCOL, VARIANT
from puna.arweave.dataitem import DataItem, sign_item
from puna.arweave.tags import Tag
from puna.arweave.wallet import Wallet
from puna.services.letters import new_anchor

from .processes import Found, Standing

# Of this fork, not of the origin; its boot code has run already.
_NOT_TAKEN_OVER = frozenset(
    ("Data-Protocol", "Variant", "Type", "Name", "On-Boot", "From-Process", "From-Module", "Pushed-For", "Reference",
     "Scheduler", OF_TAG, MESSAGE_TAG)
)  # fmt: skip


def fork_item(wallet: Wallet, origin: Found, message: str, name: str, standing: Standing) -> DataItem:
    """The signed item of a process that goes on from `origin` after that message of its."""
    taken = (Tag(*tag) for tag in origin.tags if tag[0] not in _NOT_TAKEN_OVER)
    tags = (
        PROTOCOL, VARIANT, Tag("Type", "Process"), Tag("Name", name), *taken,
        Tag("Scheduler", standing.scheduler),
        Tag(OF_TAG, origin.id), Tag(MESSAGE_TAG, message),
    )  # fmt: skip
    return sign_item(wallet, data=b" ", tags=tags, anchor=new_anchor())
