"""A snapshot as the plain memory it stands for. Called by the compute unit for readers outside,
who know no other form."""

from .memory import PAGE_BYTES
from .snapshot import HEADER, MAGIC, unpack


def image(snapshot: bytes) -> bytes:
    """All of linear memory, uncompressed. Raises Invalid when the bytes are no snapshot."""
    digest, size = b"", 0
    if snapshot.startswith(MAGIC) and len(snapshot) >= len(MAGIC) + HEADER.size:
        digest, size, _ = HEADER.unpack(snapshot[len(MAGIC) : len(MAGIC) + HEADER.size])
    shadow = unpack(snapshot, digest, size)
    memory = bytearray(size)
    for number in shadow.used_pages().tolist():
        memory[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = shadow.page(number)
    return bytes(memory)
