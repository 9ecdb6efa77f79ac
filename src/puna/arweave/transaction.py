"""Layer-1 transactions: what wallets sign and nodes mine, in their two formats and as the JSON of the wire.

Used by the weave, the gateway and the bundler. A transaction read from JSON has a sound form; only `verify_transaction`
says that its owner signed it. Source: protocol reference 1.5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from puna.arweave.dataitem import Signer
from puna.arweave.deephash import deep_hash
from puna.arweave.ids import ID_BYTES, Address, ItemId, b64url_decode, b64url_encode, is_id, shown
from puna.arweave.keys import rsa
from puna.arweave.merkle import tree_of_bytes
from puna.arweave.tags import Tag
from puna.errors import Invalid

NUMBER_DIGITS_MAX = 30  # of winston or bytes; all the AR there is has 20
TAGS_BYTES_MAX = 2048  # of names and values together, as nodes enforce it
INLINE_BYTES_MAX = 12 << 20  # data that a transaction's JSON carries; more comes in chunks
SIGNATURE_TYPE = 1


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction. Byte fields are raw; `data` is b"" when it travels in chunks (format 2)."""

    format: int
    last_tx: bytes
    owner: bytes
    raw_tags: tuple[tuple[bytes, bytes], ...]
    target: bytes
    quantity: int  # winston
    reward: int  # winston
    data_size: int
    data_root: bytes
    signature: bytes = b""
    data: bytes = field(default=b"", repr=False)

    @property
    def id(self) -> ItemId:
        return ItemId(b64url_encode(sha256(self.signature).digest()))

    @property
    def address(self) -> Address:
        return Address(b64url_encode(sha256(self.owner).digest()))

    @property
    def recipient(self) -> str:
        return b64url_encode(self.target)

    @property
    def tags(self) -> tuple[Tag, ...]:
        """The tags as text; bytes that are no UTF-8 show as the replacement character."""
        return tuple(
            Tag(name.decode(errors="replace"), value.decode(errors="replace")) for name, value in self.raw_tags
        )

    def without_data(self) -> "Transaction":
        return replace(self, data=b"")


def sign_transaction(
    wallet: Signer,
    *,
    last_tx: bytes,
    reward: int,
    tags: Sequence[tuple[str, str]] = (),
    target: bytes = b"",
    quantity: int = 0,
    data: bytes = b"",
    data_size: int | None = None,
    data_root: bytes | None = None,
) -> Transaction:
    """A new transaction of format 2. Large data is told by `data_size` and `data_root` alone.

    Raises Invalid when the wallet is not RSA, the only kind that layer 1 takes.
    """
    if wallet.signature_type != SIGNATURE_TYPE:
        raise Invalid("Only RSA wallets sign layer-1 transactions.", "Use one made by: puna wallet new")
    if data_root is None:
        data_size, data_root = len(data), tree_of_bytes(data).root if data else b""
    raw_tags = tuple((name.encode(), value.encode()) for name, value in tags)
    unsigned = Transaction(
        2, last_tx, wallet.owner, raw_tags, target, quantity, reward, data_size or 0, data_root, b"", data
    )
    return replace(unsigned, signature=wallet.sign(signed_bytes(unsigned)))


def signed_bytes(tx: Transaction) -> bytes:
    """What the owner signs."""
    if tx.format == 1:
        tags = b"".join(name + value for name, value in tx.raw_tags)
        numbers = b"%d%d" % (tx.quantity, tx.reward)
        return tx.owner + tx.target + tx.data + numbers + tx.last_tx + tags
    return deep_hash(
        [
            b"2",
            tx.owner,
            tx.target,
            b"%d" % tx.quantity,
            b"%d" % tx.reward,
            tx.last_tx,
            [[name, value] for name, value in tx.raw_tags],
            b"%d" % tx.data_size,
            tx.data_root,
        ]
    )


def verify_transaction(tx: Transaction) -> None:
    """Checks signature and data. Raises Invalid: it is not the owner's over exactly this transaction."""
    sizes = len(tx.owner) == rsa.OWNER_BYTES and len(tx.signature) == rsa.SIGNATURE_BYTES
    if not sizes or not rsa.verify(tx.owner, signed_bytes(tx), tx.signature):
        raise Invalid("The signature does not match the transaction.", "Sign it again, and send it unchanged.")


def transaction_from_json(value: Any) -> Transaction:
    """The transaction of a decoded JSON object. Raises Invalid with the field that is wrong."""
    if not isinstance(value, Mapping):
        raise Invalid("A transaction is a JSON object.")
    format = value.get("format", 1)
    if format not in (1, 2, "1", "2") or isinstance(format, bool):
        raise Invalid(f"Transaction format {shown(format)} is not known.", "Use format 2.")
    tx = Transaction(
        format=int(format),
        last_tx=_bytes(value, "last_tx"),
        owner=_bytes(value, "owner"),
        raw_tags=_tags(value.get("tags", [])),
        target=_target(value),
        quantity=_number(value, "quantity"),
        reward=_number(value, "reward"),
        data_size=_number(value, "data_size"),
        data_root=_bytes(value, "data_root"),
        signature=_bytes(value, "signature"),
        data=_bytes(value, "data"),
    )
    if tx.format == 1 and tx.data:
        # Format 1 signs the data itself; its size and root are worked out, not claimed. Without its data it is only
        # shown, as nodes do with large ones, and nobody takes it in.
        tx = replace(tx, data_size=len(tx.data), data_root=tree_of_bytes(tx.data).root)
    if len(tx.data_root) not in (0, ID_BYTES):
        raise Invalid("A data_root is 32 bytes.")
    if not is_id(value.get("id")) or value["id"] != tx.id:
        raise Invalid("The id is not the hash of the signature.")
    return tx


def transaction_to_json(tx: Transaction, *, data: bytes = b"") -> dict[str, Any]:
    """The wire's JSON; `data` is put in as given, which a node does for up to INLINE_BYTES_MAX."""
    return {
        "format": tx.format,
        "id": tx.id,
        "last_tx": b64url_encode(tx.last_tx),
        "owner": b64url_encode(tx.owner),
        "tags": [{"name": b64url_encode(name), "value": b64url_encode(value)} for name, value in tx.raw_tags],
        "target": tx.recipient,
        "quantity": str(tx.quantity),
        "data": b64url_encode(data),
        "data_size": str(tx.data_size),
        "data_tree": [],
        "data_root": b64url_encode(tx.data_root),
        "reward": str(tx.reward),
        "signature": b64url_encode(tx.signature),
    }


def _bytes(value: Mapping, name: str) -> bytes:
    text = value.get(name, "")
    if not isinstance(text, str):
        raise Invalid(f"The field {name} must be base64url text.")
    return b64url_decode(text)


def _target(value: Mapping) -> bytes:
    target = _bytes(value, "target")
    if len(target) not in (0, ID_BYTES):
        raise Invalid("The field target must be an address.")
    return target


def _number(value: Mapping, name: str) -> int:
    text = value.get(name, "0")
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text) if abs(text) < 10**NUMBER_DIGITS_MAX else "-"
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > NUMBER_DIGITS_MAX:
        raise Invalid(f"The field {name} must be a number as decimal text.")
    return int(text)


def _tags(value: Any) -> tuple[tuple[bytes, bytes], ...]:
    if not isinstance(value, list) or not all(isinstance(tag, Mapping) for tag in value):
        raise Invalid("The field tags must be a list of names and values.")
    tags = tuple((_bytes(tag, "name"), _bytes(tag, "value")) for tag in value)
    if sum(len(name) + len(text) for name, text in tags) > TAGS_BYTES_MAX:
        raise Invalid(f"The tags are more than {TAGS_BYTES_MAX} bytes.", "Put long texts into the data.")
    return tags
