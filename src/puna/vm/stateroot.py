"""The state root: 32 bytes that stand for a whole memory, recomputed from the changed pages alone.

Called by `process.py`; the definition is in docs/vm.md. Leaves are the SHA-256 of the memory's 4096-byte pages. A node
is the SHA-256 of its 16 children's digests; children beyond the end of memory are those of zero memory.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256

from .memory import PAGE_BYTES

ARITY = 16
DIGEST_BYTES = 32
DOMAIN = b"puna-state-1"


def _zero_digests(levels: int) -> list[bytes]:
    digests = [sha256(bytes(PAGE_BYTES)).digest()]
    for _ in range(levels):
        digests.append(sha256(digests[-1] * ARITY).digest())
    return digests


ZERO = _zero_digests(6)  # by level: enough for 2**24 pages, 64 GiB


class StateTree:
    """The digests of a memory's pages and of all nodes above them."""

    def __init__(self) -> None:
        self._levels = [bytearray()]  # level k: the digests of nodes over 16**k pages, one after the other
        self._size = 0

    def update(self, size: int, changed: Iterable[int], page: Callable[[int], memoryview]) -> None:
        """Bring the tree to a memory of `size` bytes whose pages `changed` have new content."""
        nodes = self._resize(size)
        leaves = self._levels[0]
        for number in changed:
            leaves[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES] = sha256(page(number)).digest()
            nodes.add(number // ARITY)
        for level in range(1, len(self._levels)):
            self._hash_nodes(level, nodes)
            nodes = {number // ARITY for number in nodes}

    @classmethod
    def of(cls, size: int, levels: Iterable[bytes]) -> "StateTree":
        """The tree that `levels` told."""
        tree = cls()
        tree._levels, tree._size = [bytearray(level) for level in levels], size
        return tree

    def levels(self) -> list[bytes]:
        """All digests, from those of the pages up to the top: what `of` takes."""
        return [bytes(level) for level in self._levels]

    def root(self) -> bytes:
        return sha256(DOMAIN + self._size.to_bytes(8, "big") + self._levels[-1]).digest()

    def _hash_nodes(self, level: int, nodes: Iterable[int]) -> None:
        below, here, span = self._levels[level - 1], self._levels[level], ARITY * DIGEST_BYTES
        for number in nodes:
            children = bytes(below[number * span : (number + 1) * span])
            children += ZERO[level - 1] * ((span - len(children)) // DIGEST_BYTES)
            here[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES] = sha256(children).digest()

    def _resize(self, size: int) -> set[int]:
        """Make room for `size` bytes; answers the nodes of level 1 whose ancestors must be hashed for it.

        Memory only grows. What is new is zero, and so are the nodes that hold nothing else; only where the tree
        itself grew taller does the first node of each new level hold the old memory.
        """
        depth, count, level = len(self._levels), size // PAGE_BYTES, 0
        while True:
            if level == len(self._levels):
                self._levels.append(bytearray())
            digests = self._levels[level]
            digests += ZERO[level] * (count - len(digests) // DIGEST_BYTES)
            if count <= 1:
                break
            count, level = -(-count // ARITY), level + 1
        self._size = size
        return {0} if len(self._levels) > depth else set()
