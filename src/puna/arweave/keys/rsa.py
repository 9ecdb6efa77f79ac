"""Signature kind 1, Arweave's own: RSA-4096 with PSS, SHA-256 and MGF1-SHA-256. The owner is the modulus."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

NAME = "arweave"
SIGNATURE_BYTES = 512
OWNER_BYTES = 512
PUBLIC_EXPONENT = 65537

# Clients sign with the longest salt, with 32 bytes or with none; 32 is what every one of them verifies.
_ANY_SALT = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
_SIGNING_SALT = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


def verify(owner: bytes, message: bytes, signature: bytes) -> bool:
    try:
        key = rsa.RSAPublicNumbers(PUBLIC_EXPONENT, int.from_bytes(owner, "big")).public_key()
        key.verify(signature, message, _ANY_SALT, hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def sign(key: rsa.RSAPrivateKey, message: bytes) -> bytes:
    return key.sign(message, _SIGNING_SALT, hashes.SHA256())


def owner_of(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_numbers().n.to_bytes(OWNER_BYTES, "big")
