"""Memory, its shadow, its digest and its snapshot: laws that hold for any content."""

import itertools
import mmap

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.errors import Invalid
from puna.vm import snapshot
from puna.vm.memory import PAGE_BYTES, PageSet, Shadow, ranges_of
from puna.vm.stateroot import BLOCK_BYTES, StateTree
from puna.vm.watch import Watch, watch

WASM_PAGE = 65536
DIGEST = bytes(range(32))

# A memory's life: at each step it may grow, and some bytes are written.
writes = st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), max_size=8)
lives = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 3, 17, 40]), writes), min_size=1, max_size=8)


def root_by_definition(memory: bytes) -> bytes:
    """The state root as docs/vm.md defines it, computed from the whole memory."""
    level = memory
    while True:
        level = b"".join(blake3(level[at : at + 16384]).digest() for at in range(0, len(level), 16384))
        if len(level) <= 32:
            return blake3(b"puna-state-2" + len(memory).to_bytes(8, "big") + level).digest()


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
        differing = {at // BLOCK_BYTES for at in np.flatnonzero(live[: shadow.size] != shadow.view()).tolist()}
        differing |= {at // BLOCK_BYTES for at in np.flatnonzero(live[shadow.size :]) + shadow.size}
        shadow.accept(live, shadow.changed(live))
        told = sorted(differing | set(range(0, live.size // BLOCK_BYTES, 5)))  # more than that may be told
        assert tree.update(live.size, told, shadow.view()) == sorted(differing)
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


def watched(size: int) -> tuple[np.ndarray, Watch]:
    """A memory of `size` bytes, and who watches it."""
    live = np.frombuffer(mmap.mmap(-1, size), np.uint8)
    watching = watch(live.ctypes.data)
    if watching is None:
        pytest.skip("this machine cannot watch writes; memories are compared whole")
    return live, watching


def test_the_kernel_tells_of_every_page_that_was_written():
    live, watching = watched(64 * WASM_PAGE)
    watching.begin(2 * WASM_PAGE)
    assert watching.written() == []
    live[5 * PAGE_BYTES] = 1
    live[7 * PAGE_BYTES - 1 : 8 * PAGE_BYTES + 1] = 2
    live[12 * PAGE_BYTES] = 1
    assert watching.written() == [(5, 9), (12, 13)]
    assert watching.written() == []
    live[5 * PAGE_BYTES] = 3  # a second time
    live[40 * PAGE_BYTES] = 4  # beyond the end, so far
    assert watching.peek() == watching.peek() == [(5, 6)]
    assert watching.written() == [(5, 6)]
    watching.begin(4 * WASM_PAGE)
    live[63 * PAGE_BYTES] = live[0]
    assert watching.written() == [(63, 64)]


def test_pages_that_are_left_open_are_told_every_time():
    live, watching = watched(4 * WASM_PAGE)
    watching.begin(4 * WASM_PAGE)
    watching.leave_open([(0, 4), (8, 12), (60, 64)])
    assert watching.written() == [(0, 4), (8, 12), (60, 64)]
    for page in (3, 4, 7, 9, 63):
        live[page * PAGE_BYTES] = 1
    assert watching.written() == [(0, 4), (4, 5), (7, 8), (8, 12), (60, 64)]
    live[9 * PAGE_BYTES] = 2
    watching.leave_open([(0, 4)])
    assert watching.written() == [(0, 4), (9, 10), (63, 64)]  # what was open is told once more, where it was written
    live[9 * PAGE_BYTES] = 3
    assert watching.written() == [(0, 4), (9, 10)]
    assert watching.written() == [(0, 4)]


writings = st.lists(st.lists(st.integers(0, 127), max_size=12), max_size=6)


@settings(max_examples=40, deadline=None)
@given(writings, st.data())
def test_whatever_is_left_open_no_write_is_missed(rounds, data):
    live, watching = watched(8 * WASM_PAGE)
    watching.begin(8 * WASM_PAGE)
    for number, pages in enumerate(rounds):
        for page in pages:
            live[page * PAGE_BYTES + number] = 1
        if data.draw(st.booleans()):
            assert {page for first, end in watching.peek() for page in range(first, end)} >= set(pages)
        told = watching.written()
        assert {page for first, end in told for page in range(first, end)} >= set(pages)
        assert all(end <= first for (_, end), (first, _) in itertools.pairwise(told))
        opened = data.draw(st.sets(st.integers(0, 31), max_size=4))
        watching.leave_open([(4 * block, 4 * block + 4) for block in sorted(opened)])


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=8))
def test_a_set_of_pages_holds_what_was_added(ranges):
    ranges = [(first, first + count) for first, count in ranges]
    pages, wanted = PageSet(), {page for first, end in ranges for page in range(first, end)}
    pages.add(ranges)
    assert pages.numbers().tolist() == sorted(wanted)
    assert len(pages) == len(wanted)
    told = ranges_of(pages.numbers())
    assert [page for first, end in told for page in range(first, end)] == sorted(wanted)
    assert all(end < first for (_, end), (first, _) in itertools.pairwise(told))


def test_a_tree_that_grows_taller_keeps_the_root_of_the_whole():
    live, shadow, tree = np.zeros(WASM_PAGE, np.uint8), Shadow(), StateTree()
    for pages in (0, 60, 67, 1, 0, 128, 40):  # 4 blocks, then more than 512 of them: a third level
        live = grown(live, pages, [(live.size - 7, 1), (pages * 70_000, 3)])
        written = shadow.changed(live)
        shadow.accept(live, written)
        tree.update(
            live.size, sorted({page // 4 for first, end in written for page in range(first, end)}), shadow.view()
        )
        assert tree.root() == root_by_definition(live.tobytes())
    assert len(tree.levels()) == 3


def test_the_size_of_memory_is_part_of_its_root():
    roots = set()
    for size in (WASM_PAGE, 2 * WASM_PAGE, 16 * WASM_PAGE, 17 * WASM_PAGE):
        tree = StateTree()
        tree.update(size, [], Shadow(size).view())
        roots.add(tree.root())
    assert len(roots) == 4


def test_the_root_of_a_known_memory_is_known():
    memory = bytes(range(256)) * 256
    shadow, tree, live = Shadow(), StateTree(), np.frombuffer(memory, np.uint8)
    shadow.accept(live, shadow.changed(live))
    tree.update(len(memory), range(4), shadow.view())
    assert tree.root().hex() == "bf44755335e598b0e26d2e35764699e1b0d2a5923a32d726d26ddbe9e72f93ab"
    # BLAKE3 itself, of nothing: from its authors' test vectors.
    assert blake3(b"").hexdigest() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_a_snapshot_larger_than_granted_is_refused():
    shadow = Shadow()
    shadow.accept(np.ones(2 * WASM_PAGE, np.uint8), [(0, 2 * WASM_PAGE // PAGE_BYTES)])
    with pytest.raises(Invalid, match="at most 65536"):
        snapshot.unpack(snapshot.pack(shadow, DIGEST), DIGEST, WASM_PAGE)
