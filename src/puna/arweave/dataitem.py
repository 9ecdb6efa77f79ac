"""Data items: the signed envelopes in which everything durable travels and rests (ANS-104).

Every floor above reads, makes and verifies them here. A decoded item's structure is checked, its signature only
by `verify_item`. Data given as a memoryview, such as one over a mapped file, is never copied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import Protocol

from puna.arweave.deephash import begin_list, go_on
from puna.arweave.ids import ID_BYTES, Address, ItemId, b64url_encode, id_bytes
from puna.arweave.keys import SIGNATURE_KINDS, SignatureKind
from puna.arweave.tags import TAG_BLOCK_MAX, Tag, decode_tags, encode_tags, too_long
from puna.errors import Invalid

ITEM_BYTES_MIN = 80
ANCHOR_BYTES = 32
# Two 8-byte fields that the wire leaves room for, though both stay small.
_COUNTS = Struct("<QQ")
_COUNTS_BYTES = _COUNTS.size
_KEY_BYTES_MAX = max(kind.signature_bytes + kind.owner_bytes for kind in SIGNATURE_KINDS.values())
HEADER_BYTES_MAX = 2 + _KEY_BYTES_MAX + 2 * (1 + ID_BYTES) + _COUNTS_BYTES + TAG_BLOCK_MAX


class Signer(Protocol):
    """What can sign an item: every wallet."""

    @property
    def signature_type(self) -> int: ...
    @property
    def owner(self) -> bytes: ...
    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class DataItem:
    """One signed item. Two items are equal when all that was signed, and the signature, are.

    `owner` is the public key as raw bytes; `target` an id or "" for none; `anchor` 32 bytes or b"" for none.
    """

    signature_type: int
    signature: bytes
    owner: bytes
    target: str
    anchor: bytes
    tags: tuple[Tag, ...]
    data: bytes | memoryview = field(repr=False)
    # What the fields above lead to, kept once found. The tag block is kept as it came: another encoder may
    # have cut it into parts, and the signature is over its very bytes.
    _tag_block: bytes | None = field(default=None, init=False, repr=False, compare=False)
    _id: ItemId | None = field(default=None, init=False, repr=False, compare=False)
    _address: Address | None = field(default=None, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        return hash(self.signature)

    @property
    def id(self) -> ItemId:
        """The hash of the signature."""
        if self._id is None:
            object.__setattr__(self, "_id", ItemId(b64url_encode(sha256(self.signature).digest())))
        return self._id

    @property
    def address(self) -> Address:
        """The owner's address: the hash of the public key, for every signature kind."""
        if self._address is None:
            object.__setattr__(self, "_address", _address_of(bytes(self.owner)))
        return self._address

    @property
    def tag_block(self) -> bytes:
        """The Avro block of the tags, as signed."""
        if self._tag_block is None:
            object.__setattr__(self, "_tag_block", encode_tags(self.tags))
        return self._tag_block

    @property
    def data_bytes(self) -> int:
        """The size of the data."""
        return self.data.nbytes if isinstance(self.data, memoryview) else len(self.data)


@lru_cache(maxsize=4096)  # a few owners sign nearly everything
def _address_of(owner: bytes) -> Address:
    return Address(b64url_encode(sha256(owner).digest()))


def sign_item(
    wallet: Signer,
    data: bytes | memoryview = b"",
    tags: Sequence[tuple[str, str]] = (),
    target: str = "",
    anchor: bytes = b"",
) -> DataItem:
    """A new item signed by `wallet`. Raises Invalid when a part cannot be put on the wire."""
    block, tags = encode_tags(tags), tuple([tag if type(tag) is Tag else Tag(*tag) for tag in tags])
    message = _message(wallet.signature_type, wallet.owner, _target_bytes(target), _checked(anchor), block, data)
    item = DataItem(wallet.signature_type, wallet.sign(message), wallet.owner, target, anchor, tags, data)
    object.__setattr__(item, "_tag_block", block)
    return item


def verify_item(item: DataItem) -> None:
    """Checks the signature. Raises Invalid when it is not the owner's over exactly this item."""
    kind = _kind(item.signature_type)
    _check_sizes(item, kind)
    target = _target_bytes(item.target)
    message = _message(item.signature_type, item.owner, target, _checked(item.anchor), item.tag_block, item.data)
    if not kind.verify(item.owner, message, item.signature):
        raise Invalid(
            f"The {kind.name} signature of item {item.id} does not match its content.",
            "Sign the item again, and send it unchanged.",
        )


def rebuild_item(
    id: str,
    owner: bytes,
    signature: bytes,
    target: str,
    anchor: bytes,
    tags: Sequence[Mapping[str, str]],
    data: bytes | memoryview,
) -> DataItem:
    """The item `id` put together again from parts that somebody tells, such as a gateway or a scheduler elsewhere.

    `tags` are JSON's objects of name and value. Nobody tells which kind the signature is of; only one will verify.
    Raises Invalid when these parts are not what was signed under that id.
    """
    named = tuple(Tag(tag["name"], tag["value"]) for tag in tags)
    for number, kind in SIGNATURE_KINDS.items():
        if kind.owner_bytes != len(owner):
            continue
        item = DataItem(number, signature, owner, target, anchor, named, data)
        try:
            verify_item(item)
        except Invalid:
            continue
        if item.id == id:
            return item
    raise Invalid(f"What was told of item {id} is not what was signed.")


def encode_item(item: DataItem) -> bytes:
    """The item on the wire. For gigabytes, write `encode_header(item)` and then `item.data`."""
    return b"".join((encode_header(item), item.data))


def encode_header(item: DataItem) -> bytes:
    """All that comes before the data on the wire."""
    _check_sizes(item, _kind(item.signature_type))
    target = _target_bytes(item.target)
    return b"".join(
        (
            item.signature_type.to_bytes(2, "little"),
            item.signature,
            item.owner,
            b"\x01" + target if target else b"\x00",
            b"\x01" + _checked(item.anchor) if item.anchor else b"\x00",
            len(item.tags).to_bytes(8, "little"),
            len(item.tag_block).to_bytes(8, "little"),
            item.tag_block,
        )
    )


def decode_item(buffer: bytes | bytearray | memoryview) -> DataItem:
    """The item that fills all of `buffer`. Raises Invalid when it is none; the signature is not checked.

    From a memoryview, the data stays a view of it; from bytes, the data is a copy.
    """
    view = buffer if isinstance(buffer, (bytes, memoryview)) else memoryview(buffer)
    if isinstance(view, memoryview) and (view.format != "B" or view.ndim != 1):
        view = view.cast("B")
    item, data_at = decode_header(view, view[:0])
    data = view[data_at:] if isinstance(buffer, (bytes, memoryview)) else bytes(view[data_at:])
    object.__setattr__(item, "data", data)
    if data_at + len(data) < ITEM_BYTES_MIN:
        raise Invalid(f"An item is at least {ITEM_BYTES_MIN} bytes long, this one is {len(view)}.", "Send all of it.")
    return item


def decode_header(view: bytes | memoryview, data: bytes | memoryview) -> tuple[DataItem, int]:
    """The item whose encoding `view` begins with, given its data, and the offset at which the data would begin."""
    head = bytes(view[:HEADER_BYTES_MAX])  # bytes are cut up in half the time of a view
    if len(head) < 2:
        raise _cut_short(view)
    kind_number = int.from_bytes(head[:2], "little")
    kind = _kind(kind_number)
    owner_at = 2 + kind.signature_bytes
    target_at = owner_at + kind.owner_bytes
    try:
        target, at = _optional(head, target_at, "target")
        anchor, at = _optional(head, at, "anchor")
    except IndexError:
        raise _cut_short(view) from None
    block_at = at + _COUNTS_BYTES
    if block_at > len(head):
        raise _cut_short(view)
    tag_count, block_bytes = _COUNTS.unpack_from(head, at)
    if block_bytes > TAG_BLOCK_MAX:
        raise too_long(block_bytes)
    data_at = block_at + block_bytes
    if data_at > len(head):
        raise _cut_short(view)
    block = head[block_at:data_at]
    tags = decode_tags(block)
    if len(tags) != tag_count:
        raise Invalid(f"The header says {tag_count} tags and {len(tags)} follow.", "Encode the item again.")
    signature, owner = head[2:owner_at], head[owner_at:target_at]
    target_text = b64url_encode(target) if target else ""
    item = DataItem(kind_number, signature, owner, target_text, anchor, tags, data)
    object.__setattr__(item, "_tag_block", block)
    return item, data_at


def decode_kept(id: str, header: bytes, data: bytes | memoryview) -> DataItem:
    """The item `id`, from the header that `encode_header` gave of it once: for stores, which kept them together."""
    item, _ = decode_header(header, data)
    object.__setattr__(item, "_id", ItemId(id))
    return item


def _message(
    kind_number: int, owner: bytes, target: bytes, anchor: bytes, tag_block: bytes, data: bytes | memoryview
) -> bytes:
    """The 48 bytes that are signed: the deep hash of a list of eight.

    The tags go in as one blob, as every deployed signer does it.
    """
    return go_on(_signed_by(kind_number, bytes(owner)), (target, anchor, tag_block, data))


@lru_cache(maxsize=1024)  # a few owners sign nearly everything
def _signed_by(kind_number: int, owner: bytes) -> bytes:
    """Where that deep hash stands before what differs from item to item."""
    return begin_list(8, (b"dataitem", b"1", b"%d" % kind_number, owner))


def _kind(number: int) -> SignatureKind:
    kind = SIGNATURE_KINDS.get(number)
    if kind is None:
        known = ", ".join(f"{n} ({k.name})" for n, k in SIGNATURE_KINDS.items())
        raise Invalid(f"Signature type {number} is not known here.", f"Send a whole item, signed with one of {known}.")
    return kind


def _check_sizes(item: DataItem, kind: SignatureKind) -> None:
    if len(item.signature) != kind.signature_bytes or len(item.owner) != kind.owner_bytes:
        raise Invalid(
            f"A signature of type {kind.name} is {kind.signature_bytes} bytes and its owner {kind.owner_bytes}, "
            f"these are {len(item.signature)} and {len(item.owner)}.",
            "Give the key and signature as raw bytes.",
        )


def _target_bytes(target: str) -> bytes:
    return id_bytes(target) if target else b""


def _checked(anchor: bytes) -> bytes:
    if anchor and len(anchor) != ANCHOR_BYTES:
        raise Invalid(f"An anchor is {ANCHOR_BYTES} bytes, this one is {len(anchor)}.", "Give 32 bytes, or none.")
    return anchor


def _cut_short(view: bytes | memoryview) -> Invalid:
    return Invalid(f"The item ends after {len(view)} bytes, in the middle of its header.", "Send all of it.")


def _optional(head: bytes, at: int, name: str) -> tuple[bytes, int]:
    """32 bytes after a 1, none after a 0, and where they end. Raises IndexError past the end of the head."""
    presence = head[at]
    if presence == 0:
        return b"", at + 1
    if presence == 1:
        end = at + 1 + ID_BYTES
        return head[at + 1 : end], end
    raise Invalid(f"The {name}'s presence byte is {presence}, must be 0 or 1.", "Encode the item again.")
