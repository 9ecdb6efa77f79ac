"""Tags and their Avro block, as data items carry them. Used by dataitem, and by all who read or write tags.

Order is meaningful and duplicates are legal. The limits are those that deployed verifiers enforce, and the
count and name limits of ANS-104. Empty values, and values over ANS-104's 3072 bytes, are let through while the
block stays under its limit: real processes and clients send them, and their verifiers accept them.
Source: ANS-104 section 2; Apache Avro 1.11, binary encoding of arrays.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from puna.errors import Invalid

TAGS_MAX = 128
TAG_NAME_MAX = 1024  # bytes of UTF-8
TAG_BLOCK_MAX = 4096  # bytes of the whole encoded block
VARINT_BYTES_MAX = 10  # what 64 bits need


class Tag(NamedTuple):
    name: str
    value: str


def first(tags: Iterable[Tag], name: str) -> str | None:
    """The value of the first tag called `name`."""
    return next((tag[1] for tag in tags if tag[0] == name), None)


def values(tags: Iterable[Tag], name: str) -> list[str]:
    """The values of all tags called `name`, in order."""
    return [tag[1] for tag in tags if tag[0] == name]


def encode_tags(tags: Sequence[tuple[str, str]]) -> bytes:
    """The Avro block of `tags`; no tags give no bytes. Raises Invalid over a limit."""
    if not tags:
        return b""
    if len(tags) > TAGS_MAX:
        raise _too_many(len(tags))
    parts = [_varint(len(tags))]
    for name, value in tags:
        name_part = _encoded_name(name) if isinstance(name, str) else _utf8(name)  # which refuses it
        value_bytes = _utf8(value)
        parts += (name_part, _varint(len(value_bytes)), value_bytes)
    parts.append(b"\0")
    block = b"".join(parts)
    if len(block) > TAG_BLOCK_MAX:
        raise too_long(len(block))
    return block


def decode_tags(block: bytes) -> tuple[Tag, ...]:
    """The tags of an Avro block, which may come in several parts and with negative counts.

    Raises Invalid when it is over a limit, cut short, too long, or not UTF-8.
    """
    if len(block) > TAG_BLOCK_MAX:
        raise too_long(len(block))
    if not block:
        return ()
    tags: list[Tag] = []
    text = block.decode("ascii") if block.isascii() else None  # of nearly all: cut up, it need not be decoded by parts
    count, at = _read_varint(block, 0)
    while count:
        end = None
        if count < 0:
            # A negative count is followed by the part's byte size, for readers that want to skip it.
            size, at = _read_varint(block, at)
            count, end = -count, at + size
        if len(tags) + count > TAGS_MAX:
            raise _too_many(len(tags) + count)
        at = _read_tags(block, text, at, count, tags)
        if end is not None and end != at:
            raise Invalid("A part of the tag block is not as long as it says.", "Encode the tags again.")
        count, at = _read_varint(block, at)
    if at != len(block):
        raise Invalid(f"The tag block has {len(block) - at} bytes after its end.", "Encode the tags again.")
    return tuple(tags)


def too_long(size: int) -> Invalid:
    return Invalid(f"The tag block is {size} bytes, at most {TAG_BLOCK_MAX}.", "Put long texts into the data instead.")


def _too_many(count: int) -> Invalid:
    return Invalid(f"There are {count} tags, at most {TAGS_MAX}.", "Put lists into the data instead.")


def _cut_short() -> Invalid:
    return Invalid("The tag block ends in the middle of a tag.", "Send the whole item, or encode its tags again.")


def _bad_name(name: bytes | str) -> Invalid:
    return Invalid(f"A tag name is {len(name)} bytes, must be 1 to {TAG_NAME_MAX}.", "Choose another tag name.")


@lru_cache(maxsize=1024)  # a few names come with nearly every item
def _encoded_name(name: str) -> bytes:
    name_bytes = _utf8(name)
    if not 0 < len(name_bytes) <= TAG_NAME_MAX:
        raise _bad_name(name_bytes)
    return _varint(len(name_bytes)) + name_bytes


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except (UnicodeEncodeError, AttributeError):
        raise Invalid(f"A tag holds {text!r:.60}, which is not valid text.", "Use text; encode bytes first.") from None


def _varint(number: int) -> bytes:
    """A non-negative number zig-zagged, seven bits a byte, low bits first."""
    return _SHORT_VARINTS[number] if number < len(_SHORT_VARINTS) else _long_varint(number)


def _long_varint(number: int) -> bytes:
    number <<= 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(block: bytes, at: int) -> tuple[int, int]:
    """The zig-zag number at `at`, and where it ends."""
    if at < len(block) and block[at] < 0x80:  # in one byte, as nearly all are
        return (block[at] >> 1) ^ -(block[at] & 1), at + 1
    number = shift = 0
    for end in range(at, min(at + VARINT_BYTES_MAX, len(block))):
        byte = block[end]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), end + 1
        shift += 7
    if at + VARINT_BYTES_MAX > len(block):
        raise _cut_short()
    raise Invalid("The tag block holds a number of more than 64 bits.", "Encode the tags again.")


def _read_tags(block: bytes, text: str | None, at: int, count: int, tags: list[Tag]) -> int:
    """Adds `count` tags that begin at `at`; answers where they end. Every item read passes through here.

    `text` is the whole block when it is ASCII.
    """
    make, end, whole = tuple.__new__, len(block), block if text is None else text
    try:
        for _ in range(count):
            # A size of one byte, as nearly all are, is read in place.
            size = block[at]
            if size & 0x81:
                size, at = _read_size(block, at)
            else:
                size, at = size >> 1, at + 1
            name, at = whole[at : at + size], at + size
            size = block[at]
            if size & 0x81:
                size, at = _read_size(block, at)
            else:
                size, at = size >> 1, at + 1
            value, at = whole[at : at + size], at + size
            if at > end:
                raise _cut_short()
            if not 0 < len(name) <= TAG_NAME_MAX:
                raise _bad_name(name)
            if text is None:
                name, value = name.decode(), value.decode()
            tags.append(make(Tag, (name, value)))
    except IndexError:
        raise _cut_short() from None
    except UnicodeDecodeError:
        raise Invalid("A tag is not UTF-8 text.", "Encode bytes as base64url before tagging with them.") from None
    return at


def _read_size(block: bytes, at: int) -> tuple[int, int]:
    size, at = _read_varint(block, at)
    if size < 0:
        raise Invalid(f"A tag says that it is {size} bytes long.", "Encode the tags again.")
    return size, at


_SHORT_VARINTS = tuple(map(_long_varint, range(128)))
