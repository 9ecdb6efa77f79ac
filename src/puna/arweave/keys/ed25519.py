"""Signature kind 2: Ed25519 over the deep hash. The kind Puna's own units sign with: fast, and deterministic.

libsodium signs the same bytes as OpenSSL in two thirds of the time, and verifies in half of it. It refuses a few keys
and signatures more (points of small order), so its no is for OpenSSL to confirm: an item is valid here when OpenSSL
says so, as it always was. docs/decisions/0023 tells why its yes may be believed.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

NAME = "ed25519"
SIGNATURE_BYTES = 64
OWNER_BYTES = 32
SEED_BYTES = 32


def verify(owner: bytes, message: bytes, signature: bytes) -> bool:
    if len(owner) != OWNER_BYTES or len(signature) != SIGNATURE_BYTES:  # which libsodium takes on trust
        return False
    try:
        crypto_sign_open(signature + message, owner)
    except BadSignatureError:
        return _openssl_verifies(owner, message, signature)
    return True


def _openssl_verifies(owner: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(owner).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_of(seed: bytes) -> bytes:
    """The key that signs, 64 bytes: the seed, which is all of the secret, and the owner. Raises ValueError."""
    if len(seed) != SEED_BYTES:
        raise ValueError(f"an Ed25519 private key is {SEED_BYTES} bytes, this one is {len(seed)}")
    return crypto_sign_seed_keypair(seed)[1]


def seed_of(key: bytes) -> bytes:
    return key[:SEED_BYTES]


def owner_of(key: bytes) -> bytes:
    return key[SEED_BYTES:]


def sign(key: bytes, message: bytes) -> bytes:
    return crypto_sign(message, key)[:SIGNATURE_BYTES]
