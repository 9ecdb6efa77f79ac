"""The Merkle tree over data: conformance statement 4 (vectors of the network), and its laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna.arweave.ids import b64url_encode
from puna.arweave.merkle import CHUNK_MAX, prove, split, tree_of, tree_of_bytes

VECTORS = [
    (1, "Ht_yZhXGBDUZfLv4OD6we7FkrjcpDpGPwQZEZgEJVfk", [(0, 1, 64)]),
    (262144, "52DNVt8uvPh8pl28AF3nbEZhL-hZTTm39QQb70qBUYw", [(0, 262144, 160)]),
    (262145, "br1Vtl3TS_NGWdHmYqBh3-MxrlckoluHCZGmUZk-dJc", [(0, 131073, 160), (131073, 262145, 160)]),
    (300000, "vLVyh2ubS0pxO3nE3wNDIPBZyfqL-jBmGp7XpBUZzRk", [(0, 262144, 160), (262144, 300000, 160)]),
    (524288, "zJuJu7Dwmaj6mkfzgUIBtWC34UwdfhK6XXv_WqvC25Y", [(0, 262144, 256), (262144, 524288, 256)]),
    (
        600000,
        "FxKW7F7xlVRJQGY4khyAaqtQCCRepNsTYzxC5n_w7vg",
        [(0, 262144, 256), (262144, 524288, 256), (524288, 600000, 160)],
    ),
]


@pytest.mark.parametrize("size, root, chunks", VECTORS, ids=[str(vector[0]) for vector in VECTORS])
def test_statement_4_the_trees_of_the_network_come_out_exact(size, root, chunks):
    tree = tree_of_bytes(bytes(size))
    assert b64url_encode(tree.root) == root
    assert [(*span, len(tree.proof(leaf))) for leaf, span in enumerate(tree.spans) if span.start < span.end] == chunks


@given(st.integers(1, 40 * CHUNK_MAX), st.data())
def test_a_proof_proves_its_own_chunk_at_every_offset_and_nothing_beyond(size, data):
    tree = tree_of(size, lambda start, end: b"%d-%d" % (start, end))
    leaf = data.draw(st.integers(0, len(tree.spans) - 1).filter(lambda n: tree.spans[n].start < tree.spans[n].end))
    span, path = tree.spans[leaf], tree.proof(leaf)
    for offset in (span.start, span.end - 1):
        proven = prove(tree.root, offset, size, path)
        assert proven.span == span and proven.data_hash == tree.hashes[leaf]
    for offset in (span.start - 1, span.end, -1, size):
        assert prove(tree.root, offset, size, path) is None


@given(st.integers(1, 10 * CHUNK_MAX), st.data())
def test_a_proof_with_any_byte_changed_proves_nothing(size, data):
    tree = tree_of(size, lambda start, end: b"%d" % start)
    path = bytearray(tree.proof(0))
    at = data.draw(st.integers(0, len(path) - 1))
    path[at] ^= data.draw(st.integers(1, 255))
    assert prove(tree.root, 0, size, bytes(path)) is None


@given(st.binary(max_size=300))
def test_noise_proves_nothing(path):
    assert prove(bytes(32), 0, 1000, path) is None


@given(st.integers(0, 10**9))
def test_the_cuts_cover_the_data_without_holes(size):
    spans = split(size)
    assert spans[0].start == 0 and spans[-1].end == size
    assert all(left.end == right.start for left, right in zip(spans, spans[1:], strict=False))
    assert all(0 <= span.end - span.start <= CHUNK_MAX for span in spans)
