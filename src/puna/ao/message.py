"""What a message is: names for ids, the tags every unit reads, and how items look as text.

Called by every unit of this floor. A message *is* a data item (`puna.arweave.dataitem`); nothing here copies it.
Source: protocol reference 1.1, 2.2, 3.6.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NewType, Protocol

from puna.arweave import tags as tag_rules
from puna.arweave.archive import BaseTransaction, Item
from puna.arweave.dataitem import DataItem
from puna.arweave.ids import b64url_encode
from puna.arweave.keys.ethereum import native_address
from puna.arweave.tags import Tag

ProcessId = NewType("ProcessId", str)
MessageId = NewType("MessageId", str)

PROTOCOL = Tag("Data-Protocol", "ao")
VARIANT = Tag("Variant", "ao.TN.1")

_UNCOMPRESSED_POINT_BYTES = 65  # an Ethereum public key; its owner goes by another address inside processes


class Owned(Protocol):
    """What has a public key: an item, a wallet."""

    @property
    def owner(self) -> bytes: ...
    @property
    def address(self) -> str: ...


def tag(item: Item, name: str) -> str | None:
    """The value of the first tag of that name, None when there is none."""
    return tag_rules.first(item.tags, name)


def is_pushed(item: Item) -> bool:
    """Whether a messenger signed this item on behalf of a process."""
    return tag(item, "From-Process") is not None


def is_assigned(item: Item, process: ProcessId) -> bool:
    """Whether an entry of a schedule was given to this process, and not addressed to it.

    Layer-1 transactions always were: nobody posts one to a scheduler.
    """
    return isinstance(item, BaseTransaction) or (item.id != process and item.target != process)


def owner_address(item: Owned) -> str:
    """The signer, or the wallet, as processes see it: Ethereum keys by a checksummed `0x` address, others by b64url.

    Source: protocol reference 1.1, the rule of the compute unit.
    """
    if len(item.owner) == _UNCOMPRESSED_POINT_BYTES:
        return native_address(bytes(item.owner))
    return item.address


def strict_text(data: bytes | memoryview) -> str | None:
    """Bytes as UTF-8 text, None when they are not UTF-8."""
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError:
        return None


def lenient_text(data: bytes | memoryview) -> str:
    """Bytes as UTF-8 text, broken ones replaced: how the feed shows the data of a message."""
    return bytes(data).decode("utf-8", errors="replace")


def anchor_text(item: DataItem) -> str | None:
    """The anchor as the 32 characters it was written with; None when absent or not UTF-8."""
    return strict_text(item.anchor) if item.anchor else None


@lru_cache(maxsize=4096)  # a few owners sign nearly everything
def owner_key(owner: bytes) -> str:
    """A public key as JSON shows it."""
    return b64url_encode(owner)


def tag_list(tags: Sequence[Tag]) -> list[dict[str, str]]:
    """Tags as JSON has them: an array of name and value, order and duplicates kept."""
    return [{"name": name, "value": value} for name, value in tags]


def to_feed(item: DataItem, *, process_entry: bool = False) -> dict[str, Any]:
    """An item as the scheduler's feed and the event stream show it. Source: protocol reference 3.6.

    The data of a process entry is None when it is not UTF-8; a message's broken bytes are replaced.
    """
    data = strict_text(item.data) if process_entry else lenient_text(item.data)
    return {
        "id": item.id,
        "owner": {"address": item.address, "key": owner_key(bytes(item.owner))},
        "data": data,
        "tags": tag_list(item.tags),
        "signature": b64url_encode(bytes(item.signature)),
        "anchor": anchor_text(item),
        "target": item.target,
    }
