"""Cursors of result pages: where a page ended, as text that clients keep and some of them read. Pure.

Called by `routes.py`. Source: protocol reference 4.3; the key order is part of the form.
"""

import base64
import binascii

import msgspec

from puna.errors import Invalid

from .unit import Kept


class Cursor(msgspec.Struct, omit_defaults=True):
    """`ordinate` is a nonce as text; `cron` names a cron message after it."""

    timestamp: int
    ordinate: str = ""
    cron: str = ""
    sort: str = ""


def cursor_of(kept: Kept, sort: str) -> str:
    """Standard base64, with padding, of the cursor's JSON."""
    cursor = Cursor(kept.timestamp_ms, str(kept.nonce), kept.cron, sort)
    return base64.b64encode(msgspec.json.encode(cursor)).decode()


def read_cursor(text: str) -> Cursor:
    """A cursor, or a time in milliseconds, which has no ordinate. Raises Invalid when it is neither."""
    if text.isascii() and text.isdigit():
        return Cursor(int(text))
    try:
        cursor = msgspec.json.decode(base64.b64decode(text, validate=True), type=Cursor)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"{text[:60]!r} is neither a cursor nor a time in milliseconds") from error
    if cursor.ordinate and not (cursor.ordinate.isascii() and cursor.ordinate.isdigit()):
        raise Invalid(f"the ordinate of a cursor is {cursor.ordinate[:40]!r}, not a number")
    return cursor
