"""The scheduler's rules: who may be assigned, what the next assignment says. Pure; called by `unit.py` and verify.

Source: protocol reference 3.2, 3.3, 3.5. The texts of refusals are those that clients and messengers know.
"""

import hashlib
from collections.abc import Callable
from typing import Literal

import msgspec

from puna.arweave.archive import Item
from puna.arweave.dataitem import DataItem
from puna.arweave.deephash import deep_hash
from puna.arweave.ids import b64url_decode, b64url_encode, id_bytes
from puna.arweave.tags import Tag, encode_tags, first
from puna.clock import Tip
from puna.errors import Invalid

from ..assignment import EPOCH, Assignment, assignment_tags
from ..message import MessageId, ProcessId, is_pushed

MESSAGE_EXISTS = 'MessageExists("Message already exists")'
CONTENT_EXISTS = 'MessageExists("Deep hash already exists")'
NOT_FOUND = "Message or Process not found"
ITEM_BYTES_MAX = 10 * 1024 * 1024  # what one message may weigh; models and modules are uploaded, not scheduled
SETTLEMENT_DEPTH = 20  # confirmations of what is assigned from the base layer, where the process asks for no other


class Schedule(msgspec.Struct, frozen=True):
    """The newest place of one process; `nonce` -1 and `assignment` None before the first.

    `hash_chain` is the raw 32 bytes, the process id's own before the first assignment.
    """

    process: ProcessId
    nonce: int
    hash_chain: bytes
    assignment: str | None
    timestamp_ms: int
    block_height: int


def empty(process: ProcessId) -> Schedule:
    return Schedule(process, -1, b64url_decode(process), None, -1, 0)


def hash_chain(previous: bytes, assignment_id: bytes | None) -> bytes:
    """Link an assignment to the whole schedule before it.

    `previous` is the last chain value, or the process id for the first assignment; `assignment_id` is the last
    assignment's id, None only then. All are raw 32 bytes. The id is hashed before the chain. Source: 3.5.1.
    """
    return hashlib.sha256((assignment_id or b"") + previous).digest()


def next_chain(schedule: Schedule) -> bytes:
    """The hash chain that the assignment after `schedule` must carry."""
    return hash_chain(schedule.hash_chain, b64url_decode(schedule.assignment) if schedule.assignment else None)


def assign(
    schedule: Schedule,
    item_id: str,
    tip: Tip,
    sign: Callable[[tuple[Tag, ...]], DataItem],
    exclude: tuple[str, ...] = (),
) -> Assignment:
    """The next assignment: `item_id` gets the place after the newest one. `sign` makes the item of its tags.

    Timestamps grow strictly within a process, whatever the clock does: readers page by them.
    """
    process, nonce, chain = schedule.process, schedule.nonce + 1, next_chain(schedule)
    block_height = max(tip.height, schedule.block_height)
    timestamp_ms = max(tip.timestamp_ms, schedule.timestamp_ms + 1)
    message = None if item_id == process else MessageId(item_id)
    item = sign(assignment_tags(process, nonce, chain, block_height, timestamp_ms, message, exclude))
    return Assignment(process, EPOCH, nonce, chain, block_height, timestamp_ms, message, exclude, item)


def extend(schedule: Schedule, assignment: Assignment) -> Schedule:
    """The schedule with one more, signed, assignment."""
    return Schedule(
        schedule.process,
        assignment.nonce,
        assignment.hash_chain,
        assignment.id,
        assignment.timestamp_ms,
        assignment.block_height,
    )


def check_item(item: DataItem, scheduler: str) -> Literal["Message", "Process"]:
    """Tell what an item wants of a scheduler with address `scheduler`. Raises Invalid with the texts of 3.2."""
    told = dict(reversed(item.tags))  # the first of each name
    kind = told.get("Type") or told.get("type")
    if kind is None:
        raise Invalid("Type tag not present")
    if kind not in ("Message", "Process"):
        raise Invalid("Unsupported Type tag value")
    if "Data-Protocol" not in told:
        raise Invalid("Data-Protocol tag not present")
    for name, _ in item.tags:
        if name.endswith("+link"):
            raise Invalid(f"Tag {name} cannot contain +link")
    _check_size(item)
    if kind == "Process":
        _check_process(item, scheduler)
    return kind


def check_assigned(item: Item, exclude: tuple[str, ...]) -> None:
    """Raises Invalid when an item of the weave is too large to be told to a process whole."""
    if "Data" not in exclude:
        _check_size(item, "Exclude its Data, and read it through WeaveDrive.")


def check_settled(process: Item, confirmations: int) -> None:
    """Raises Invalid unless what is assigned from the base layer is as deep in it as `process` asks. Source: 3.4."""
    asked = first(process.tags, "Settlement-Depth") or ""
    wanted = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else SETTLEMENT_DEPTH
    if confirmations < wanted:
        todo = f"(it has {confirmations}, the process asks for {wanted}): try again some blocks later."
        raise Invalid("Not enough confirmations to assign", todo)


def _check_size(item: Item, todo: str = "") -> None:
    if item.data_bytes > ITEM_BYTES_MAX:
        raise Invalid(f"Message size exceeds maximum of {ITEM_BYTES_MAX} bytes", todo)


def _check_process(item: DataItem, scheduler: str) -> None:
    named = first(item.tags, "Scheduler")
    if first(item.tags, "Module") is None or named is None:
        raise Invalid("Required Module and Scheduler tags for Process type not present")
    # A schedule signed by any other key than the one the process named could never be verified.
    if named != scheduler:
        raise Invalid(f"Scheduler tag names {named}, this scheduler is {scheduler}", "Spawn with this address.")


def supersedes(item: Item, earlier: Item, process: Item) -> bool:
    """Whether a pushed message is to be placed although one of the same content has a place.

    It is when `process` trusts the signer of this one and not of that: else anybody could foresee a message, sign it
    first, and so keep the true one out while the process ignores theirs.
    """
    trusted = authorities(process)
    return item.address in trusted and earlier.address not in trusted


def authorities(process: Item) -> frozenset[str]:
    """The addresses that a process trusts to speak for other processes: its `Authority` tags, lists with commas too."""
    named = (value for name, value in process.tags if name == "Authority")
    return frozenset(address.strip() for value in named for address in value.split(","))


def content_key(item: Item) -> str | None:
    """What makes two pushes of one outbox entry equal, None for what no messenger pushed: those sign data items.

    The item's hash with signer and `Pushed-For` left out and the tags sorted. Source: 3.5.2.
    """
    if not isinstance(item, DataItem) or not is_pushed(item):
        return None
    tags = sorted(tag for tag in item.tags if tag.name != "Pushed-For")
    target = id_bytes(item.target) if item.target else b""
    parts = [b"dataitem", b"1", b"1", b"", target, bytes(item.anchor), encode_tags(tags), item.data]
    return b64url_encode(deep_hash(parts))
