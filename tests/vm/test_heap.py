"""The allocator of the process module by itself: objects keep what is in them, and what is given back is used again."""

from functools import cache

import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st
from vm.bench import BUILT, ROOT, Bench, build_script

FRAME_BYTES = 36  # sizeof(CallInfo), which has a place of its own
BLOCK_BYTES = 65536
KINDS = [0, 4, 5]  # what Lua says of something new: nothing in particular, a string, a table


@cache
def module() -> wasmtime.Module:
    """heap.c and malloc, exported."""
    script = build_script()
    lua = script.fetch(script.LUA, ROOT / ".build-cache")
    path = BUILT / "heap.wasm"
    arguments = [*script.COMPILER, "-Wl,--export=puna_heap", f"-I{lua}", f"-I{script.HERE}"]
    sources = [script.HERE / "heap.c"]
    script.compile_c(path, sources, arguments, inputs=[script.HERE / "process.h", *sorted(lua.glob("*.h"))])
    return wasmtime.Module(engine(), path.read_bytes())


@cache
def engine() -> wasmtime.Engine:
    return wasmtime.Engine()


class Heap:
    """Objects by number, each full of bytes of its own, checked whenever one is touched."""

    def __init__(self, memory_limit: int = -1):
        self._store = wasmtime.Store(engine())
        self._store.set_limits(memory_size=memory_limit)
        linker = wasmtime.Linker(engine())
        linker.define_unknown_imports_as_traps(module())
        exports = linker.instantiate(self._store, module()).exports(self._store)
        self._call, self._memory = exports["puna_heap"], exports["memory"]
        exports["_initialize"](self._store)
        self._objects: dict[int, tuple[int, bytes]] = {}
        self._made = 0

    @property
    def pages(self) -> int:
        return self._memory.size(self._store)

    def __len__(self) -> int:
        return len(self._objects)

    def new(self, size: int, kind: int = 0) -> int | None:
        """The number of a new object; None when there is no room."""
        at = self._call(self._store, 0, 0, kind, size)
        if not at:
            return None
        assert at % 8 == 0 or size == FRAME_BYTES and at % 4 == 0
        self._made += 1
        self._fill(self._made, at, size, b"")
        return self._made

    def resize(self, number: int, size: int) -> bool:
        at, content = self._checked(number)
        to = self._call(self._store, 0, at, len(content), size)
        if not to:
            return False
        self._fill(number, to, size, content[:size])
        return True

    def free(self, number: int) -> None:
        at, content = self._checked(number)
        assert self._call(self._store, 0, at, len(content), 0) == 0
        del self._objects[number]

    def check_all(self) -> None:
        for number in self._objects:
            self._checked(number)

    def nth(self, place: int) -> int:
        return list(self._objects)[place % len(self._objects)]

    def size_of(self, number: int) -> int:
        return len(self._objects[number][1])

    def _fill(self, number: int, at: int, size: int, kept: bytes) -> None:
        assert bytes(self._memory.read(self._store, at, at + len(kept))) == kept
        content = (kept + (number % 251 + 1).to_bytes(1, "big") * size)[:size]
        self._memory.write(self._store, content, at)
        self._objects[number] = at, content

    def _checked(self, number: int) -> tuple[int, bytes]:
        at, content = self._objects[number]
        assert bytes(self._memory.read(self._store, at, at + len(content))) == content
        return at, content


sizes = st.one_of(
    st.integers(1, 200), st.sampled_from([FRAME_BYTES, 128, 129, 2047, 2048, 2049, 70_000]), st.integers(1, 9000)
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("new"), sizes, st.sampled_from(KINDS)),
        st.tuples(st.just("resize"), st.integers(0, 999), sizes),
        st.tuples(st.just("free"), st.integers(0, 999), st.just(0)),
    ),
    min_size=100,
    max_size=300,
)


def play(heap: Heap, story) -> None:
    for step, first, second in story:
        if step == "new":
            heap.new(first, second)
        elif len(heap):
            number = heap.nth(first)
            heap.free(number) if step == "free" else heap.resize(number, second)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_objects_keep_what_is_in_them(story):
    heap = Heap()
    play(heap, story)
    heap.check_all()


@settings(max_examples=15, deadline=None)
@given(steps)
def test_what_was_given_back_is_used_again(story):
    heap = Heap()
    grown = []
    for _ in range(6):
        play(heap, story)
        while len(heap):
            heap.free(heap.nth(len(heap) // 2))
        grown.append(heap.pages)
    assert grown[1:] == grown[1:2] * 5


def test_small_objects_made_one_after_the_other_lie_together():
    heap = Heap()
    first = heap.new(40, KINDS[2])
    for _ in range(200):
        heap.new(40, KINDS[2])
    places = [at for at, _ in heap._objects.values()]
    assert max(places) - min(places) == 200 * 40 and first is not None


def test_what_shrinks_never_fails_though_memory_is_full():
    heap = Heap(memory_limit=320 * BLOCK_BYTES)
    kept = []
    for size in (5000, 2000, 100):
        while (number := heap.new(size)) is not None:
            kept.append(number)
    for number in kept:
        assert heap.resize(number, max(1, heap.size_of(number) // 3))
    heap.check_all()


def test_frames_beyond_their_place_come_from_the_heap():
    heap = Heap()
    frames = [heap.new(FRAME_BYTES) for _ in range(1000)]
    assert None not in frames
    for number in frames[::2]:
        heap.free(number)
    heap.check_all()


CHURN = """
local kept, sum = {}, 0
for round = 1, 40 do
  for i = 1, 400 do kept[(i * 7919 + round * 104729) % 3000] = ('x'):rep(i % 300 + 1) .. round end
  for i = 1, 400 do local t = {} for k = 1, i % 40 do t[k] = {k} end sum = sum + #t end
end
collectgarbage()
for _, text in pairs(kept) do sum = sum + #text end
return sum
"""


def test_a_process_that_makes_and_drops_does_not_grow():
    bench = Bench()
    sums = {bench.output(CHURN) for _ in range(16)}
    size = bench.process._shadow.size
    sums |= {bench.output(CHURN) for _ in range(16)}
    assert bench.process._shadow.size <= size + 3 * BLOCK_BYTES
    assert len(sums) == 1
