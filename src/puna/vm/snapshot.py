"""A process's memory as bytes that stand alone: stored as a checkpoint, read on any machine.

Called by `process.py`. Layout: the magic, then a header of fixed size, then zlib data. The header is the module's
SHA-256, the memory's size in bytes and the number of pages that follow; the zlib data is their numbers (32 bits each,
ascending) and then their content, 4096 bytes each. All other pages are zero. Integers are big-endian.

Between messages a module's globals stand as its start left them, so memory is all there is.
"""

import struct
import zlib

import numpy as np

from puna.errors import Invalid

from .memory import PAGE_BYTES, Shadow

MAGIC = b"PUNAMEM1"
HEADER = struct.Struct(">32sQI")
LEVEL = 1  # higher levels take four times as long for a tenth less
WASM_PAGE_BYTES = 65536


def pack(shadow: Shadow, module_digest: bytes) -> bytes:
    numbers = shadow.used_pages()
    header = HEADER.pack(module_digest, shadow.size, len(numbers))
    body = zlib.compress(numbers.astype(">u4").tobytes() + shadow.read_pages(numbers), LEVEL)
    return MAGIC + header + body


def unpack(snapshot: bytes, module_digest: bytes, memory_limit: int) -> Shadow:
    """Raises Invalid when the bytes are no snapshot, or one of another module or of more memory than is granted."""
    start = len(MAGIC) + HEADER.size
    if not snapshot.startswith(MAGIC) or len(snapshot) < start:
        raise Invalid("This is not a snapshot of a process.")
    digest, size, count = HEADER.unpack(snapshot[len(MAGIC) : start])
    if digest != module_digest:
        raise Invalid("The snapshot was made by another module.")
    if size > memory_limit or size % WASM_PAGE_BYTES or count > size // PAGE_BYTES:
        raise Invalid(f"The snapshot holds {size} bytes of memory, at most {memory_limit} are granted.")
    body = _inflate(snapshot[start:], count * (4 + PAGE_BYTES))
    numbers = np.frombuffer(body, ">u4", count).astype(np.int64)
    if count and (numbers[-1] >= size // PAGE_BYTES or (np.diff(numbers) <= 0).any()):
        raise Invalid("The snapshot is damaged: its page numbers do not ascend.")
    shadow = Shadow(size)
    shadow.write_pages(numbers, body[4 * count :])
    return shadow


def _inflate(data: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise Invalid(f"The snapshot is damaged: {error}") from None
    if len(body) != size or not inflater.eof:
        raise Invalid("The snapshot is damaged: its size is not what it says.")
    return body
