"""Signature kind 4: Ed25519 as Solana wallets in browsers sign, over the hexadecimal text of the deep hash."""

from puna.arweave.keys import ed25519

NAME = "solana"
SIGNATURE_BYTES = 64
OWNER_BYTES = 32


def verify(owner: bytes, message: bytes, signature: bytes) -> bool:
    return ed25519.verify(owner, message.hex().encode(), signature)
