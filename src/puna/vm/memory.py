"""The memory a process had after its last accepted message, kept beside the living one.

Called by `process.py`. Comparing the two gives the pages a message changed: those are hashed into the state root when
the message is accepted, and copied back when it is not.
"""

import mmap
from collections.abc import Sequence

import numpy as np

PAGE_BYTES = 4096
_WORDS = PAGE_BYTES // 8
_STRIDE = 256  # pages compared at a time: 1 MiB, which stays in the processor's cache

# How anonymous memory is asked for where that takes words; by default Unix would make it sharable.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


class Shadow:
    """A copy of linear memory. Pages never written cost nothing."""

    def __init__(self, size: int = 0):
        self.size = size  # bytes
        self._pages = _blank(_pages(size))  # (capacity, words)

    @classmethod
    def over(cls, pages: np.ndarray, size: int) -> "Shadow":
        """A shadow whose pages are these, uint64 (pages, words): a file mapped so that writes stay private."""
        shadow = cls()
        shadow.size, shadow._pages = size, pages
        return shadow

    def page(self, number: int) -> memoryview:
        return self._pages[number].data.cast("B")

    def changed(self, live: np.ndarray, among: Sequence[int] | None = None) -> list[int]:
        """The numbers of the pages in which `live`, uint8 (size,), differs. What grew counts from zeros.

        `among` are the pages that may differ, when that is known.
        """
        pages = live.view(np.uint64).reshape(-1, _WORDS)
        candidates = np.arange(len(pages)) if among is None else np.asarray(among, np.int64)
        found: list[int] = []
        for start in range(0, len(candidates), _STRIDE):
            numbers = candidates[start : start + _STRIDE]
            # Neighbours are compared where they lie; scattered pages are gathered first.
            together = numbers[-1] - numbers[0] == len(numbers) - 1
            block = pages[numbers[0] : numbers[-1] + 1] if together else pages[numbers]
            found += numbers[(block != self._read(numbers, together)).any(axis=1)].tolist()
        return found

    def _read(self, numbers: np.ndarray, together: bool) -> np.ndarray:
        """The pages `numbers`, uint64 (pages, words); zeros for those beyond the end."""
        known = _pages(self.size)
        if numbers[-1] < known:
            return self._pages[numbers[0] : numbers[-1] + 1] if together else self._pages[numbers]
        old = np.zeros((len(numbers), _WORDS), np.uint64)
        inside = numbers < known
        old[inside] = self._pages[numbers[inside]]
        return old

    def accept(self, live: np.ndarray, changed: list[int]) -> None:
        """Follow `live` in the pages `changed` and in size."""
        self.grow_to(live.size)
        if changed:
            pages = live.view(np.uint64).reshape(-1, _WORDS)
            self._pages[changed] = pages[changed]

    def grow_to(self, size: int) -> None:
        """Memory has `size` bytes now; what is new is zero."""
        self._make_room(size)
        self.size = size

    def restore(self, live: np.ndarray, changed: list[int]) -> None:
        """Undo the changes of `live`, which must be of this size."""
        if changed:
            live.view(np.uint64).reshape(-1, _WORDS)[changed] = self._pages[changed]

    def used_pages(self) -> np.ndarray:
        """The numbers of the pages that are not all zero, int64 (used,)."""
        return np.flatnonzero(self._pages[: _pages(self.size)].any(axis=1))

    def read_pages(self, numbers: np.ndarray) -> bytes:
        return self._pages[numbers].tobytes()

    def write_pages(self, numbers: np.ndarray, content: bytes) -> None:
        self._pages[numbers] = np.frombuffer(content, np.uint64).reshape(-1, _WORDS)

    def _make_room(self, size: int) -> None:
        if _pages(size) > len(self._pages):
            wider = _blank(max(_pages(size), 2 * len(self._pages)))
            used = self.used_pages()  # zero pages stay untouched, and so take no memory
            wider[used] = self._pages[used]
            self._pages = wider


def _blank(pages: int) -> np.ndarray:
    """Zero pages straight from the system, uint64 (pages, words): memory only where they are written.

    NumPy would ask for huge pages, or clear a block it had before, and so touch them all.
    """
    if not pages:
        return np.zeros((0, _WORDS), np.uint64)
    return np.frombuffer(mmap.mmap(-1, pages * PAGE_BYTES, **_PRIVATE), np.uint64).reshape(-1, _WORDS)


def _pages(size: int) -> int:
    return size // PAGE_BYTES
