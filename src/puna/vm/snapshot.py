"""A process's memory as bytes: whole, or what changed since another snapshot. Stored as checkpoints, read anywhere.

Called by `process.py`. A whole snapshot is a magic, a header of fixed size (the module's SHA-256, the memory's size in
bytes, the number of pages that follow) and zlib data: the pages' numbers (32 bits each, ascending) and then their
content, 4096 bytes each. All other pages are zero.

An increment has a magic of its own and, after the same header, the SHA-256 of the snapshot before it. Its pages come
in groups, each with its length in 32 bits and zlib data of numbers and content; all other pages are as before it, and
memory that grew is zero. Integers are big-endian.

Between messages a module's globals stand as its start left them, so memory is all there is.
"""

import struct
import zlib

import numpy as np

from puna.errors import Invalid

from .checkpoint import INCREMENT_MAGIC
from .memory import PAGE_BYTES, Range, Shadow, ranges_of

MAGIC = b"PUNAMEM1"
HEADER = struct.Struct(">32sQI")
GROUP_LENGTH = struct.Struct(">I")
GROUP_PAGES = 256  # pages compressed together: a megabyte
LEVEL = 1  # higher levels take four times as long for a tenth less
WASM_PAGE_BYTES = 65536


def pack(shadow: Shadow, module_digest: bytes) -> bytes:
    numbers = shadow.used_pages()
    return MAGIC + HEADER.pack(module_digest, shadow.size, len(numbers)) + _deflate(shadow, numbers)


def pack_increment(shadow: Shadow, module_digest: bytes, before: bytes, numbers: np.ndarray) -> bytes:
    """The pages `numbers`, ascending, which were written since the snapshot whose digest is `before`."""
    groups = [numbers[start : start + GROUP_PAGES] for start in range(0, len(numbers), GROUP_PAGES)]
    bodies = [_deflate(shadow, group) for group in groups]
    header = HEADER.pack(module_digest, shadow.size, len(numbers)) + before
    return INCREMENT_MAGIC + header + b"".join(GROUP_LENGTH.pack(len(body)) + body for body in bodies)


def unpack(snapshot: bytes, module_digest: bytes, memory_limit: int) -> Shadow:
    """Raises Invalid when the bytes are no snapshot, or one of another module or of more memory than is granted."""
    size, count, start = _read_header(snapshot, MAGIC, module_digest, memory_limit)
    shadow = Shadow(size)
    shadow.write_pages(*_inflate(snapshot[start:], count, size))
    return shadow


def unpack_increment(
    snapshot: bytes, shadow: Shadow, module_digest: bytes, before: bytes, memory_limit: int
) -> list[Range]:
    """Move `shadow`, the memory of the snapshot `before`, on by an increment; answers the pages it brought.

    Raises Invalid as `unpack`, and when the increment follows another snapshot; the shadow is of no use then.
    """
    size, count, start = _read_header(snapshot, INCREMENT_MAGIC, module_digest, memory_limit)
    if snapshot[start : start + len(before)] != before:
        raise Invalid("The snapshot is an increment to another one.")
    if size < shadow.size:
        raise Invalid("The snapshot is damaged: memory does not shrink.")
    shadow.grow_to(size)
    changed: list[int] = []
    rest = snapshot[start + len(before) :]
    while len(changed) < count:
        length = GROUP_LENGTH.unpack(rest[: GROUP_LENGTH.size])[0] if len(rest) >= GROUP_LENGTH.size else 0
        body, rest = rest[GROUP_LENGTH.size :][:length], rest[GROUP_LENGTH.size + length :]
        numbers, content = _inflate(body, min(GROUP_PAGES, count - len(changed)), size)
        if changed and numbers[0] <= changed[-1]:
            raise Invalid("The snapshot is damaged: its page numbers do not ascend.")
        shadow.write_pages(numbers, content)
        changed += numbers.tolist()
    if rest:
        raise Invalid("The snapshot is damaged: its size is not what it says.")
    return ranges_of(np.array(changed, np.int64))


def _read_header(snapshot: bytes, magic: bytes, module_digest: bytes, memory_limit: int) -> tuple[int, int, int]:
    """Memory's size, the number of pages, and where what follows begins."""
    start = len(magic) + HEADER.size
    if not snapshot.startswith(magic) or len(snapshot) < start:
        raise Invalid("This is not a snapshot of a process.")
    digest, size, count = HEADER.unpack(snapshot[len(magic) : start])
    if digest != module_digest:
        raise Invalid("The snapshot was made by another module.")
    if size > memory_limit or size % WASM_PAGE_BYTES or count > size // PAGE_BYTES:
        raise Invalid(f"The snapshot holds {size} bytes of memory, at most {memory_limit} are granted.")
    return size, count, start


def _deflate(shadow: Shadow, numbers: np.ndarray) -> bytes:
    return zlib.compress(numbers.astype(">u4").tobytes() + shadow.read_pages(numbers), LEVEL)


def _inflate(data: bytes, count: int, size: int) -> tuple[np.ndarray, bytes]:
    """The numbers and the content of `count` pages of a memory of `size` bytes."""
    body = _inflate_exactly(data, count * (4 + PAGE_BYTES))
    numbers = np.frombuffer(body, ">u4", count).astype(np.int64)
    if count and (numbers[-1] >= size // PAGE_BYTES or (np.diff(numbers) <= 0).any()):
        raise Invalid("The snapshot is damaged: its page numbers do not ascend.")
    return numbers, body[4 * count :]


def _inflate_exactly(data: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise Invalid(f"The snapshot is damaged: {error}") from None
    if len(body) != size or not inflater.eof:
        raise Invalid("The snapshot is damaged: its size is not what it says.")
    return body
