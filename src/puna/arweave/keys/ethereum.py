"""Signature kind 3: secp256k1 over Ethereum's personal message. The owner is the uncompressed public key.

Source: EIP-191 version 0x45; EIP-55 for the checksum in an address.
"""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from puna.arweave.keys import secp256k1

NAME = "ethereum"
SIGNATURE_BYTES = 65
OWNER_BYTES = 65


def verify(owner: bytes, message: bytes, signature: bytes) -> bool:
    return secp256k1.recover(_personal_digest(message), signature) == owner


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """r, s, v with s in the lower half and v 27 or 28; deterministic (RFC 6979)."""
    digest = _personal_digest(message)
    der = key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()), deterministic_signing=True))
    r, s = decode_dss_signature(der)
    rs = r.to_bytes(32, "big") + min(s, secp256k1.N - s).to_bytes(32, "big")
    owner = owner_of(key)
    return next(rs + v for v in (b"\x1b", b"\x1c") if secp256k1.recover(digest, rs + v) == owner)


def owner_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = key.public_key().public_numbers()
    return b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def native_address(owner: bytes) -> str:
    """The `0x` address, checksummed, of a 65-byte owner: what processes see as an Ethereum sender."""
    plain = keccak256(owner[1:])[-20:].hex()
    marks = keccak256(plain.encode()).hex()
    return "0x" + "".join(c.upper() if int(mark, 16) >= 8 else c for c, mark in zip(plain, marks, strict=False))


def keccak256(data: bytes) -> bytes:
    """Keccak as Ethereum uses it, with the padding from before it became SHA-3."""
    # Imported here: it costs every command 70 ms, and few ever meet an Ethereum key.
    from Crypto.Hash import keccak

    return keccak.new(digest_bits=256, data=data).digest()


def _personal_digest(message: bytes) -> bytes:
    return keccak256(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)
