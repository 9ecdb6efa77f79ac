"""Checkpoints that build on each other: a whole memory, then what changed since, each an item of its own.

Called by `unit.py`. An increment's tag `Parent` names the checkpoint before it. A chain stays short, and smaller than
twice its whole one, so that to start from it costs about as much as from a whole one alone.
"""

from dataclasses import dataclass

from puna.arweave.dataitem import DataItem
from puna.arweave.ids import b64url_decode
from puna.errors import Invalid
from puna.vm.checkpoint import Checkpoint
from puna.vm.stateroot import RULE

from ..message import tag
from .program import View
from .testimony import state_rule

INCREMENTS_MAX = 16  # past it the next checkpoint is whole


@dataclass(frozen=True, slots=True)
class Chain:
    """Checkpoint items from a whole one to the newest."""

    items: tuple[DataItem, ...]

    @property
    def newest(self) -> DataItem:
        return self.items[-1]

    @property
    def parent(self) -> DataItem | None:
        """What the next checkpoint should be an increment to; None when it should be whole."""
        base, *increments = self.items
        short = len(increments) < INCREMENTS_MAX and sum(len(item.data) for item in increments) < len(base.data)
        return self.newest if short else None

    def start(self) -> Checkpoint:
        """Where a process goes on from, without the bytes of the whole snapshot (`base`)."""
        base, *increments = self.items
        root = b64url_decode(tag(self.newest, "State-Root") or "")
        return Checkpoint(digest_of(base), None, tuple(bytes(item.data) for item in increments), root)

    def base(self) -> bytes:
        return bytes(self.items[0].data)


def read_chain(view: View, newest: str) -> Chain | None:
    """The chain that ends in the item `newest`; None when some of it is not here, or is no checkpoint of ours.

    One whose state root follows another rule could not be compared with the memory it holds, and so is not used.
    """
    items: list[DataItem] = []
    id: str | None = newest
    while id is not None:
        item = view(id)
        if item is None or tag(item, "Type") != "Checkpoint" or len(items) > INCREMENTS_MAX or state_rule(item) != RULE:
            return None
        items.insert(0, item)
        id = tag(item, "Parent")
    return Chain(tuple(items))


def digest_of(item: DataItem) -> bytes:
    """The SHA-256 of a checkpoint's data, as its tag says. Raises Invalid when it does not."""
    try:
        return bytes.fromhex(tag(item, "SHA-256") or "-")
    except ValueError:
        raise Invalid(f"checkpoint {item.id} has no SHA-256") from None
