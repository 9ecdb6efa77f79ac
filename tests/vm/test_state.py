"""Memory, its shadow, its digest and its snapshot: laws that hold for any content."""

import hashlib
import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.errors import Invalid
from puna.vm import snapshot
from puna.vm.memory import PAGE_BYTES, Shadow
from puna.vm.stateroot import StateTree
from puna.vm.watch import watch

WASM_PAGE = 65536
DIGEST = bytes(range(32))

# A memory's life: at each step it may grow, and some bytes are written.
writes = st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), max_size=8)
lives = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 3, 17, 40]), writes), min_size=1, max_size=8)


def root_by_definition(memory: bytes) -> bytes:
    """The state root as docs/vm.md defines it, computed from the whole memory."""
    digests = [hashlib.sha256(memory[at : at + 4096]).digest() for at in range(0, len(memory), 4096)]
    zero = hashlib.sha256(bytes(4096)).digest()
    while len(digests) > 1:
        digests += [zero] * (-len(digests) % 16)
        digests = [hashlib.sha256(b"".join(digests[at : at + 16])).digest() for at in range(0, len(digests), 16)]
        zero = hashlib.sha256(zero * 16).digest()
    return hashlib.sha256(b"puna-state-1" + len(memory).to_bytes(8, "big") + digests[0]).digest()


def grown(live: np.ndarray, pages: int, bytes_written) -> np.ndarray:
    live = np.concatenate([live, np.zeros(pages * WASM_PAGE, np.uint8)])
    for address, value in bytes_written:
        live[address % live.size] = value
    return live


@settings(max_examples=25, deadline=None)
@given(lives)
def test_the_root_kept_step_by_step_is_the_root_of_the_whole(life):
    live, shadow, tree = np.zeros(WASM_PAGE, np.uint8), Shadow(), StateTree()
    for pages, bytes_written in life:
        live = grown(live, pages, bytes_written)
        changed = shadow.changed(live)
        among = sorted({*changed, *range(0, live.size // PAGE_BYTES, 5)})
        assert shadow.changed(live, among) == changed
        shadow.accept(live, changed)
        tree.update(live.size, changed, shadow.page)
        assert tree.root() == root_by_definition(live.tobytes())


@settings(max_examples=25, deadline=None)
@given(lives, writes)
def test_the_shadow_gives_back_what_was_accepted(life, lost):
    live, shadow = np.zeros(WASM_PAGE, np.uint8), Shadow()
    for pages, bytes_written in life:
        live = grown(live, pages, bytes_written)
        shadow.accept(live, shadow.changed(live))
    kept = live.copy()
    live = grown(live, 0, lost)
    shadow.restore(live, shadow.changed(live))
    assert (live == kept).all()
    assert shadow.changed(live) == []


@settings(max_examples=25, deadline=None)
@given(lives)
def test_a_snapshot_holds_the_whole_memory(life):
    live, shadow = np.zeros(WASM_PAGE, np.uint8), Shadow()
    for pages, bytes_written in life:
        live = grown(live, pages, bytes_written)
    shadow.accept(live, shadow.changed(live))
    again = snapshot.unpack(snapshot.pack(shadow, DIGEST), DIGEST, live.size)
    assert again.size == live.size
    assert again.changed(live) == []


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.data())
def test_a_damaged_snapshot_is_refused_and_nothing_else_happens(noise, data):
    shadow = Shadow()
    live = grown(np.zeros(WASM_PAGE, np.uint8), 0, [(5, 5), (9000, 9)])
    shadow.accept(live, shadow.changed(live))
    good = snapshot.pack(shadow, DIGEST)
    at = data.draw(st.integers(0, len(good)))
    bad = good[:at] + noise + good[at + len(noise) :]
    try:
        again = snapshot.unpack(bad, DIGEST, 1 << 20)
    except Invalid:
        return
    assert again.size <= 1 << 20


def test_the_kernel_tells_of_every_page_that_was_written():
    memory = mmap.mmap(-1, 64 * WASM_PAGE)
    live = np.frombuffer(memory, np.uint8)
    watching = watch(live.ctypes.data)
    if watching is None:
        pytest.skip("this machine cannot watch writes; memories are compared whole")
    assert watching.written(2 * WASM_PAGE) == list(range(32))
    assert watching.written(2 * WASM_PAGE) == []
    live[5 * PAGE_BYTES] = 1
    live[7 * PAGE_BYTES - 1 : 8 * PAGE_BYTES + 1] = 2
    assert watching.written(2 * WASM_PAGE) == [5, 6, 7, 8]
    live[5 * PAGE_BYTES] = 3  # a second time
    live[40 * PAGE_BYTES] = 4  # beyond the end, so far
    assert watching.written(4 * WASM_PAGE) == [5, *range(32, 64)]
    live[63 * PAGE_BYTES] = live[0]
    assert watching.written(4 * WASM_PAGE) == [63]
    del watching, live


def test_the_size_of_memory_is_part_of_its_root():
    roots = set()
    for size in (WASM_PAGE, 2 * WASM_PAGE, 16 * WASM_PAGE, 17 * WASM_PAGE):
        tree = StateTree()
        tree.update(size, [], Shadow(size).page)
        roots.add(tree.root())
    assert len(roots) == 4


def test_the_root_of_a_known_memory_is_known():
    memory = bytes(range(256)) * 256
    shadow, tree, live = Shadow(), StateTree(), np.frombuffer(memory, np.uint8)
    shadow.accept(live, shadow.changed(live))
    tree.update(len(memory), shadow.used_pages().tolist(), shadow.page)
    assert tree.root().hex() == "74be2d7688aa9b3f5e396b8798826a9f82b6ba07c076f680e6d5fdaded0b089b"


def test_a_snapshot_larger_than_granted_is_refused():
    shadow = Shadow()
    shadow.accept(np.ones(2 * WASM_PAGE, np.uint8), list(range(2 * WASM_PAGE // PAGE_BYTES)))
    with pytest.raises(Invalid, match="at most 65536"):
        snapshot.unpack(snapshot.pack(shadow, DIGEST), DIGEST, WASM_PAGE)
