"""The signature kinds a data item may carry: one file and one row each. Used by dataitem and wallet.

Every file has NAME, SIGNATURE_BYTES, OWNER_BYTES and verify(owner, message, signature) -> bool, where `message` is
the item's 48-byte deep hash. `verify` answers False to any nonsense of the right size, and accepts exactly one
signature text per signing: an id is the hash of a signature, so a second text for it would let a stranger
send the same message again under another id.
"""

from collections.abc import Callable
from typing import NamedTuple

from puna.arweave.keys import ed25519, ethereum, rsa, solana, typed_ethereum


class SignatureKind(NamedTuple):
    name: str
    signature_bytes: int
    owner_bytes: int
    verify: Callable[[bytes, bytes, bytes], bool]


def _row(module) -> SignatureKind:
    return SignatureKind(module.NAME, module.SIGNATURE_BYTES, module.OWNER_BYTES, module.verify)


SIGNATURE_KINDS: dict[int, SignatureKind] = {
    1: _row(rsa),
    2: _row(ed25519),
    3: _row(ethereum),
    4: _row(solana),
    7: _row(typed_ethereum),
}
