"""The memory a process had after its last accepted message, kept beside the living one.

Called by `process.py`. What a message wrote is copied here when the message is accepted, and hashed into the state
root; when it is not, it is copied back. Pages are told by *ranges*: (first, one past the last) page number.
"""

import mmap
from collections.abc import Iterable

import numpy as np

PAGE_BYTES = 4096
Range = tuple[int, int]
_WORDS = PAGE_BYTES // 8
_STRIDE = 256  # pages compared at a time: 1 MiB, which stays in the processor's cache

# How anonymous memory is asked for where that takes words; by default Unix would make it sharable.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


class Shadow:
    """A copy of linear memory. Pages never written cost nothing."""

    def __init__(self, size: int = 0, capacity: int = 0):
        self.size = size  # bytes
        self._pages = _blank(_pages(max(size, capacity)))  # (capacity, words)

    @classmethod
    def over(cls, pages: np.ndarray, size: int) -> "Shadow":
        """A shadow whose pages are these, uint64 (pages, words): a file mapped so that writes stay private."""
        shadow = cls()
        shadow.size, shadow._pages = size, pages
        return shadow

    @property
    def address(self) -> int:
        return self._pages.ctypes.data

    def view(self) -> memoryview:
        """The memory itself, bytes (size,), good until it grows."""
        return memoryview(self._bytes())[: self.size]

    def page(self, number: int) -> memoryview:
        return self._pages[number].data.cast("B")

    def changed(self, live: np.ndarray, first: int = 0) -> list[Range]:
        """Where `live`, uint8 (size,), differs, from page `first` on. What grew counts from zeros."""
        pages = live.view(np.uint64).reshape(-1, _WORDS)
        differs = np.zeros(len(pages), bool)
        known = _pages(self.size)
        for start in range(first, len(pages), _STRIDE):
            block = pages[start : start + _STRIDE]
            old = self._pages[start : min(start + _STRIDE, known)] if start < known else block[:0]
            differs[start : start + len(old)] = (block[: len(old)] != old).any(axis=1)
            differs[start + len(old) : start + len(block)] = block[len(old) :].any(axis=1)
        return ranges_of(np.flatnonzero(differs))

    def accept(self, live: np.ndarray, changed: Iterable[Range]) -> None:
        """Follow `live` in the pages `changed` and in size."""
        self.grow_to(live.size)
        _copy(live, self._bytes(), changed)

    def grow_to(self, size: int) -> None:
        """Memory has `size` bytes now; what is new is zero."""
        self._make_room(size)
        self.size = size

    def restore(self, live: np.ndarray, changed: Iterable[Range]) -> None:
        """Undo the changes of `live`, which must be of this size."""
        _copy(self._bytes(), live, changed)

    def used_pages(self) -> np.ndarray:
        """The numbers of the pages that are not all zero, int64 (used,)."""
        return np.flatnonzero(self._pages[: _pages(self.size)].any(axis=1))

    def read_pages(self, numbers: np.ndarray) -> bytes:
        return self._pages[numbers].tobytes()

    def write_pages(self, numbers: np.ndarray, content: bytes) -> None:
        self._pages[numbers] = np.frombuffer(content, np.uint64).reshape(-1, _WORDS)

    def _bytes(self) -> np.ndarray:
        return self._pages.reshape(-1).view(np.uint8)

    def _make_room(self, size: int) -> None:
        if _pages(size) > len(self._pages):
            wider = _blank(max(_pages(size), 2 * len(self._pages)))
            used = self.used_pages()  # zero pages stay untouched, and so take no memory
            wider[used] = self._pages[used]
            self._pages = wider


class PageSet:
    """A set of page numbers: a byte for each page there may be."""

    def __init__(self) -> None:
        self._marks = bytearray()

    def add(self, ranges: Iterable[Range]) -> None:
        marks = self._marks
        for first, end in ranges:
            if end > len(marks):
                marks += bytes(end - len(marks))
            if end - first == 1:  # most of them
                marks[first] = 1
            else:
                marks[first:end] = b"\1" * (end - first)

    def numbers(self) -> np.ndarray:
        """Ascending, int64 (count,)."""
        return np.flatnonzero(np.frombuffer(self._marks, bool))

    def __len__(self) -> int:
        return int(np.count_nonzero(np.frombuffer(self._marks, bool)))


def ranges_of(numbers: np.ndarray) -> list[Range]:
    """Neighbours of ascending page numbers together."""
    if not len(numbers):
        return []
    breaks = np.flatnonzero(np.diff(numbers) > 1)
    firsts = numbers[np.concatenate([[0], breaks + 1])]
    lasts = numbers[np.concatenate([breaks, [len(numbers) - 1]])]
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))


def _copy(source: np.ndarray, target: np.ndarray, ranges: Iterable[Range]) -> None:
    old, new = memoryview(target), memoryview(source)  # for a few pages at a time quicker than arrays
    for first, end in ranges:
        old[first * PAGE_BYTES : end * PAGE_BYTES] = new[first * PAGE_BYTES : end * PAGE_BYTES]


def _blank(pages: int) -> np.ndarray:
    """Zero pages straight from the system, uint64 (pages, words): memory only where they are written.

    NumPy would ask for huge pages, or clear a block it had before, and so touch them all.
    """
    if not pages:
        return np.zeros((0, _WORDS), np.uint64)
    return np.frombuffer(mmap.mmap(-1, pages * PAGE_BYTES, **_PRIVATE), np.uint64).reshape(-1, _WORDS)


def _pages(size: int) -> int:
    return size // PAGE_BYTES
