"""A body: bytes that may be many, read in parts from where they lie. Served by the gateway, hashed by the weave.

An item's data, a transaction's chunks and a bundle that exists only as a list of its items all read alike, and none is
ever held whole.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

PART_BYTES = 256 * 1024  # what is handed out at once


@dataclass(frozen=True)
class Body:
    """`size` bytes; `read(start, end)` gives any part of them as bytes or a view."""

    size: int
    read: Callable[[int, int], bytes | memoryview]

    def parts(self, start: int = 0, end: int | None = None) -> Iterator[bytes | memoryview]:
        """The bytes from `start` to `end` (exclusive), a bounded part at a time."""
        end = self.size if end is None else end
        for at in range(start, end, PART_BYTES):
            yield self.read(at, min(at + PART_BYTES, end))

    def all(self) -> bytes:
        return bytes(self.read(0, self.size))


def body_of(data: bytes | memoryview) -> Body:
    view = memoryview(data)
    return Body(len(view), lambda start, end: view[start:end])


def joined(sizes: Sequence[int], open_part: Callable[[int], Body]) -> Body:
    """Bodies end to end, of which only the sizes are known before they are opened by number."""
    ends = list(accumulate(sizes))

    def read(start: int, end: int) -> bytes | memoryview:
        pieces = []
        number = bisect_right(ends, start)
        while start < end:
            begin = ends[number] - sizes[number]
            stop = min(end, ends[number])
            if stop > start:
                pieces.append(open_part(number).read(start - begin, stop - begin))
                start = stop
            number += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    return Body(ends[-1] if ends else 0, read)
