"""The state root: 32 bytes that stand for a whole memory, recomputed from the changed blocks alone.

Called by `process.py` and `pagefile.py`; the definition is in docs/vm.md. Memory is cut into blocks of 16 KiB, and each
is hashed with BLAKE3. The digests one after the other are cut and hashed in the same way, and so on, until one is left.
"""

from collections.abc import Collection, Iterable, Iterator

from blake3 import blake3

BLOCK_BYTES = 16384  # the smallest piece that BLAKE3 hashes at its full speed: 16 chunks side by side
DIGEST_BYTES = 32
ARITY = BLOCK_BYTES // DIGEST_BYTES
RULE = "puna-state-2"  # what attestations call this definition

ZERO = blake3(bytes(BLOCK_BYTES)).digest()  # of a block that holds nothing


def hash_blocks(content: memoryview | bytearray, blocks: Iterable[int]) -> Iterator[bytes]:
    """The digests of `content`'s blocks with these numbers."""
    hasher = blake3()  # one for all: making it takes a tenth of the time
    for number in blocks:
        yield hasher.update(content[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]).digest()
        hasher.reset()


class StateTree:
    """The digests of a memory's blocks and of all nodes above them."""

    def __init__(self) -> None:
        self._levels = [bytearray()]  # level k: the digests of nodes over ARITY**k blocks, one after the other
        self._size = 0

    def update(self, size: int, blocks: Collection[int], memory: memoryview) -> list[int]:
        """Bring the tree to `memory`, which has `size` bytes now and may differ from before in `blocks` alone.

        What grew is zero, except in `blocks`. Answers those of the blocks that do differ, in the order given.
        """
        nodes = self._resize(size)
        leaves, changed = self._levels[0], []
        for number, digest in zip(blocks, hash_blocks(memory, blocks), strict=True):
            at = number * DIGEST_BYTES
            if leaves[at : at + DIGEST_BYTES] != digest:
                leaves[at : at + DIGEST_BYTES] = digest
                changed.append(number)
        nodes.update(number // ARITY for number in changed)
        for below, here in zip(self._levels, self._levels[1:], strict=False):
            for number, digest in zip(nodes, hash_blocks(below, nodes), strict=True):
                here[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES] = digest
            nodes = {number // ARITY for number in nodes}
        return changed

    @classmethod
    def of(cls, size: int, levels: Iterable[bytes]) -> "StateTree":
        """The tree that `levels` told."""
        tree = cls()
        tree._levels, tree._size = [bytearray(level) for level in levels], size
        return tree

    def levels(self) -> list[bytes]:
        """All digests, from those of the blocks up to the top: what `of` takes."""
        return [bytes(level) for level in self._levels]

    def root(self) -> bytes:
        return blake3(RULE.encode() + self._size.to_bytes(8, "big") + self._levels[-1]).digest()

    def _resize(self, size: int) -> set[int]:
        """Make room for `size` bytes, all that is new zero; answers the nodes of level 1 that must be hashed for it.

        Memory only grows, in steps of WebAssembly's pages, of which each is four blocks.
        """
        if size == self._size:
            return set()
        count = size // BLOCK_BYTES
        before = len(self._levels[0]) // DIGEST_BYTES
        self._levels[0] += ZERO * (count - before)
        level, wanted = 0, count
        while wanted > 1:
            level, wanted = level + 1, -(-wanted // ARITY)
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += bytes(wanted * DIGEST_BYTES - len(self._levels[level]))
        self._size = size
        return set(range(before // ARITY, -(-count // ARITY))) if level else set()
