"""Pages of results, and their cursors: where a page ended, as text that clients keep and some of them read.

Called by `routes.py` and by the link at hand. Source: protocol reference 4.3; the key order is part of the form.
"""

import base64
import binascii

import msgspec

from puna.errors import Invalid

from ..message import ProcessId
from ..result import Page
from .unit import ComputeUnit, Kept, Position


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


async def page_of(
    unit: ComputeUnit, process: ProcessId, after: str | None, until: str | None, limit: int, newest_first: bool
) -> Page:
    """What `unit.results` gives between two cursors or times. Raises Missing without such a process, Invalid."""
    await unit.known(process)
    start, end = position_of(unit, process, after), position_of(unit, process, until)
    kept, more = await unit.results(process, after=start, until=end, limit=limit, newest_first=newest_first)
    sort = "DESC" if newest_first else "ASC"
    return Page(tuple((cursor_of(each, sort), result) for each, result in kept), more)


def position_of(unit: ComputeUnit, process: ProcessId, text: str | None) -> Position | None:
    """Where a cursor, or a time in milliseconds, points; None for none. Raises Invalid, Missing."""
    if not text:
        return None
    cursor = read_cursor(text)
    if not cursor.ordinate:
        return unit.position_at(process, cursor.timestamp)
    if cursor.cron:
        return unit.find_cron(process, int(cursor.ordinate), cursor.cron, cursor.timestamp)
    return Position(int(cursor.ordinate))
