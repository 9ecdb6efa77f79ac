"""The assignment: a scheduler's signed word that an item has one place in one process's schedule.

Written by `scheduler/`, read by every unit. Source: protocol reference 3.3.
"""

from typing import Any

import msgspec

from puna.arweave import tags as tag_rules
from puna.arweave.dataitem import DataItem
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.arweave.tags import Tag
from puna.errors import Invalid

from .message import PROTOCOL, VARIANT, MessageId, ProcessId, owner_key, tag_list

HEIGHT_DIGITS = 12
EPOCH = 0  # of every assignment we write


class Assignment(msgspec.Struct, frozen=True):
    """One place in a schedule.

    `message` is None on the assignment of the process itself (nonce 0); `hash_chain` is the raw 32 bytes;
    `exclude` names the fields of the item that are not to be loaded; `item` is the signed data item it came from.
    """

    process: ProcessId
    epoch: int
    nonce: int
    hash_chain: bytes
    block_height: int
    timestamp_ms: int
    message: MessageId | None
    exclude: tuple[str, ...]
    item: DataItem

    @property
    def id(self) -> str:
        return self.item.id

    @property
    def item_id(self) -> str:
        """The id of what was assigned: the message, or the process itself."""
        return self.message or self.process

    def to_feed(self) -> dict[str, Any]:
        """As the scheduler's feed shows it; the random anchor is not UTF-8, hence b64url. Source: 3.6."""
        item = self.item
        return {
            "id": item.id,
            "owner": {"address": item.address, "key": owner_key(bytes(item.owner))},
            "tags": tag_list(item.tags),
            "signature": b64url_encode(bytes(item.signature)),
            "anchor": b64url_encode(bytes(item.anchor)) if item.anchor else None,
            "target": "",
        }


def assignment_tags(
    process: ProcessId,
    nonce: int,
    hash_chain: bytes,
    block_height: int,
    timestamp_ms: int,
    message: MessageId | None,
    exclude: tuple[str, ...] = (),
) -> tuple[Tag, ...]:
    """The tags of an assignment, in the order of the protocol reference 3.3."""
    tags = [
        Tag("Process", process),
        Tag("Epoch", str(EPOCH)),
        Tag("Nonce", str(nonce)),
        Tag("Hash-Chain", b64url_encode(hash_chain)),
        Tag("Block-Height", f"{block_height:0{HEIGHT_DIGITS}d}"),
        Tag("Timestamp", str(timestamp_ms)),
        PROTOCOL,
        Tag("Type", "Assignment"),
        VARIANT,
    ]
    if message is not None:
        tags.append(Tag("Message", message))
    return (*tags, *(Tag("Exclude", field) for field in exclude))


def read_assignment(item: DataItem) -> Assignment:
    """Read an assignment's tags. Raises Invalid naming the tag that is missing or not a number."""
    told: dict[str, str] = dict(reversed(item.tags))  # of two tags of one name the first counts
    try:
        return Assignment(
            process=ProcessId(told["Process"]),
            epoch=_number(item, "Epoch", told["Epoch"]),
            nonce=_number(item, "Nonce", told["Nonce"]),
            hash_chain=b64url_decode(told["Hash-Chain"]),
            block_height=_number(item, "Block-Height", told["Block-Height"]),
            timestamp_ms=_number(item, "Timestamp", told["Timestamp"]),
            message=MessageId(told["Message"]) if told.get("Message") else None,
            exclude=tuple(tag_rules.values(item.tags, "Exclude")) if "Exclude" in told else (),
            item=item,
        )
    except KeyError as error:
        raise Invalid(f"assignment {item.id} has no {error.args[0]} tag") from None


def _number(item: DataItem, name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Invalid(f"assignment {item.id}: tag {name} is {text!r}, not a whole number")
    return int(text)
