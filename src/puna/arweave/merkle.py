"""The Merkle tree over a transaction's data: how it is cut into chunks, its root, and the proof of each chunk.

Used by transactions, by the weave when chunks arrive, and by the gateway when they are asked for. Nothing here holds
the data: a tree is made from the hash of each chunk. Source: protocol reference 1.6.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

CHUNK_MAX = 262_144
CHUNK_MIN = 32_768  # a last chunk smaller than this shares evenly with the one before it
HASH_BYTES = 32
NOTE_BYTES = 32
LEAF_BYTES = HASH_BYTES + NOTE_BYTES
BRANCH_BYTES = 2 * HASH_BYTES + NOTE_BYTES


class Span(NamedTuple):
    """Bytes `start` to `end` (exclusive) of some data."""

    start: int
    end: int


class Proven(NamedTuple):
    """What a valid proof says: which bytes lie at the offset, and their hash."""

    span: Span
    data_hash: bytes


def split(size: int) -> list[Span]:
    """Where data of `size` bytes is cut. The last span may be empty: it is a leaf, but nothing to upload."""
    spans, start = [], 0
    while size - start >= CHUNK_MAX:
        rest = size - start
        length = (rest + 1) // 2 if 0 < rest - CHUNK_MAX < CHUNK_MIN else CHUNK_MAX
        spans.append(Span(start, start + length))
        start += length
    spans.append(Span(start, size))
    return spans


class _Node(NamedTuple):
    id: bytes
    end: int  # the end of the last byte below it


@dataclass(frozen=True)
class Tree:
    """A Merkle tree: `layers` from the leaves up to the root alone; `hashes` and `spans` of the leaves."""

    spans: tuple[Span, ...]
    hashes: tuple[bytes, ...]
    layers: tuple[tuple[_Node, ...], ...]

    @property
    def root(self) -> bytes:
        return self.layers[-1][0].id

    def proof(self, leaf: int) -> bytes:
        """The path from the root down to a leaf, which proves that leaf's bytes to whoever knows the root."""
        path, place = [self.hashes[leaf] + _note(self.spans[leaf].end)], leaf
        for layer in self.layers[:-1]:
            left = place & ~1
            if left + 1 < len(layer):
                path.append(layer[left].id + layer[left + 1].id + _note(layer[left].end))
            place >>= 1
        return b"".join(reversed(path))

    def leaf_at(self, offset: int) -> int:
        """The number of the leaf that holds byte `offset`."""
        return next(number for number, span in enumerate(self.spans) if span.start <= offset < span.end)


def tree_of_hashes(spans: Sequence[Span], hashes: Sequence[bytes]) -> Tree:
    """The tree whose leaves cover `spans` and have `hashes`. There is at least one leaf."""
    layer = tuple(
        _Node(_hash(_hash(hash) + _hash(_note(span.end))), span.end) for span, hash in zip(spans, hashes, strict=True)
    )
    layers = [layer]
    while len(layer) > 1:
        layer = tuple(_join(layer[at : at + 2]) for at in range(0, len(layer), 2))
        layers.append(layer)
    return Tree(tuple(spans), tuple(hashes), tuple(layers))


def tree_of(size: int, read: Callable[[int, int], bytes | memoryview]) -> Tree:
    """The tree over data of `size` bytes, of which `read(start, end)` gives parts; one chunk is held at a time."""
    spans = split(size)
    return tree_of_hashes(spans, [_hash(read(*span)) for span in spans])


def tree_of_bytes(data: bytes | memoryview) -> Tree:
    view = memoryview(data)
    return tree_of(len(view), lambda start, end: view[start:end])


def prove(root: bytes, offset: int, size: int, path: bytes) -> Proven | None:
    """What `path` proves about the byte at `offset` of the data under `root`; None when it proves nothing.

    `size` is the size of the whole data, by which the last span is bounded.
    """
    if size <= 0 or not 0 <= offset < size:
        return None
    expected, left, right, at = root, 0, size, 0
    while len(path) - at > LEAF_BYTES:
        branch = path[at : at + BRANCH_BYTES]
        if len(branch) < BRANCH_BYTES:
            return None
        first, second, note = branch[:32], branch[32:64], branch[64:]
        if _hash(_hash(first) + _hash(second) + _hash(note)) != expected:
            return None
        middle, at = int.from_bytes(note, "big"), at + BRANCH_BYTES
        if offset < middle:
            expected, right = first, min(right, middle)
        else:
            expected, left = second, max(left, middle)
    data_hash, note = path[at : at + HASH_BYTES], path[at + HASH_BYTES :]
    if len(path) - at != LEAF_BYTES or _hash(_hash(data_hash) + _hash(note)) != expected:
        return None
    end = min(right, int.from_bytes(note, "big"))
    return Proven(Span(left, end), data_hash) if left <= offset < end else None


def _join(pair: Sequence[_Node]) -> _Node:
    if len(pair) == 1:
        return pair[0]  # an odd last node rises unchanged
    left, right = pair
    return _Node(_hash(_hash(left.id) + _hash(right.id) + _hash(_note(left.end))), right.end)


def _hash(data: bytes | memoryview) -> bytes:
    return sha256(data).digest()


def _note(end: int) -> bytes:
    return end.to_bytes(NOTE_BYTES, "big")
