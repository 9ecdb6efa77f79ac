"""Signature kind 7: secp256k1 over EIP-712 typed data. The owner is the text of the `0x` address.

The key is recovered from the signature. The struct's field really is called `Transaction hash`, with a space.
Source: EIP-712.
"""

from puna.arweave.keys import secp256k1
from puna.arweave.keys.ethereum import keccak256

NAME = "typedEthereum"
SIGNATURE_BYTES = 65
OWNER_BYTES = 42


def verify(owner: bytes, message: bytes, signature: bytes) -> bool:
    try:
        if owner[:2] != b"0x":
            return False
        address = bytes.fromhex(owner[2:].decode("ascii"))
    except ValueError:
        return False
    key = secp256k1.recover(typed_digest(address, message), signature)
    return key is not None and keccak256(key[1:])[-20:] == address


def typed_digest(address: bytes, message: bytes) -> bytes:
    """The 32 bytes that are signed, for the raw 20-byte address that signs them."""
    domain_type = keccak256(b"EIP712Domain(string name,string version)")
    domain = keccak256(domain_type + keccak256(b"Bundlr") + keccak256(b"1"))
    struct_type = keccak256(b"Bundlr(bytes Transaction hash,address address)")
    struct = keccak256(struct_type + keccak256(message) + address.rjust(32, b"\0"))
    return keccak256(b"\x19\x01" + domain + struct)
