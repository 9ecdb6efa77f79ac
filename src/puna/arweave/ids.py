"""Ids and addresses: 32 bytes, written as 43 characters of base64url. Used by everything that names a thing.

Only one text stands for each value: padding, foreign characters and stray low bits are refused,
so two different texts never mean the same item.
"""

import binascii
from typing import NewType

from puna.errors import Invalid

ItemId = NewType("ItemId", str)
Address = NewType("Address", str)

ID_BYTES = 32
ID_CHARACTERS = 43
SHOWN_CHARACTERS = 60  # how much of a bad text an error message repeats

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# Everything outside the alphabet becomes NUL, which the strict decoder then refuses.
_TO_BASE64 = bytes(byte if byte in _ALPHABET else 0 for byte in range(256)).translate(bytes.maketrans(b"-_", b"+/"))
_LAST_OF_ID = _ALPHABET[::4].decode()  # the last of 43 characters stands for four bits: its two low ones are zero
_FROM_BASE64 = bytes.maketrans(b"+/", b"-_")


def b64url_encode(data: bytes) -> str:
    """Bytes as base64url text without padding."""
    return binascii.b2a_base64(data, newline=False).translate(_FROM_BASE64).rstrip(b"=").decode("ascii")


def b64url_decode(text: str) -> bytes:
    """The bytes that `text` stands for. Raises Invalid on any text that `b64url_encode` does not write."""
    try:
        ascii_text = text.encode("ascii").translate(_TO_BASE64)
        data = binascii.a2b_base64(ascii_text + b"=" * (-len(ascii_text) % 4), strict_mode=True)
    except (ValueError, AttributeError):
        raise _not_b64url(text) from None
    tail = len(data) % 3
    if tail and b64url_encode(data[-tail:]) != text[-tail - 1 :]:
        raise _not_b64url(text)
    return data


def is_id(text: object) -> bool:
    """Whether `text` is the one way to write some 32 bytes: an id or an address."""
    try:
        id_bytes(text)
    except Invalid:
        return False
    return True


def id_bytes(text: str) -> bytes:
    """The 32 raw bytes of an id or address. Raises Invalid when `text` is not one."""
    if isinstance(text, str) and len(text) == ID_CHARACTERS and text[-1] in _LAST_OF_ID:
        try:
            return binascii.a2b_base64(text.encode("ascii").translate(_TO_BASE64) + b"=", strict_mode=True)
        except ValueError:
            pass
    raise Invalid(
        f"{shown(text)} is not an id: it is not the base64url text of 32 bytes.",
        "Give 43 characters of A-Z, a-z, 0-9, - and _, as they were printed.",
    )


def shown(text: object) -> str:
    """A quoted, shortened form of hostile text that is safe to print in an error."""
    quoted = repr(text)
    return quoted if len(quoted) <= SHOWN_CHARACTERS else quoted[:SHOWN_CHARACTERS] + "..."


def _not_b64url(text: object) -> Invalid:
    return Invalid(
        f"{shown(text)} is not base64url text.", "Use A-Z, a-z, 0-9, - and _ only, without padding or line breaks."
    )
