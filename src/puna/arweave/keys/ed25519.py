"""Signature kind 2: Ed25519 over the deep hash. The kind Puna's own units sign with: fast, and deterministic."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NAME = "ed25519"
SIGNATURE_BYTES = 64
OWNER_BYTES = 32


def verify(owner: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(owner).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign(key: Ed25519PrivateKey, message: bytes) -> bytes:
    return key.sign(message)


def owner_of(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()
