"""A process: a program, its living memory, and the memory to return to. One evaluation at a time.

Called by `evaluator.py`, and by tests directly. A message either moves the memory on and changes the state root, or
leaves both exactly as they were.

The state root is computed from the shadow, which stays as it is while the next message is evaluated on the living
memory. So one thread may evaluate while another still hashes what the message before it wrote.
"""

import threading
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from puna.errors import Invalid

from . import snapshot as snapshots
from .checkpoint import Checkpoint, NoPages, digest_of
from .extensions import Host
from .formats import FORMATS
from .instance import Instance, Outcome
from .machine import Machine
from .memory import PAGE_BYTES, PageSet, Range, Shadow, ranges_of
from .pagefile import PageFile, PageFiles
from .program import Program
from .result import Step, read_answer
from .stateroot import BLOCK_BYTES, StateTree
from .watch import Watch, watch

BLOCK_PAGES = BLOCK_BYTES // PAGE_BYTES
OPEN_PAGES_MIN = 16  # neighbours worth leaving unwatched: asking around a gap takes as long as a few faults


class Unrooted:
    """An evaluation whose state root is still to be computed."""

    def __init__(self, process: "Process", outcome: Outcome, written: Sequence[Range]):
        self._process = process
        self._outcome = outcome
        self._written = written
        self._lock = threading.Lock()
        self._step: Step | None = None

    @property
    def written_bytes(self) -> int:
        return PAGE_BYTES * sum(end - first for first, end in self._written)

    def step(self) -> Step:
        """The evaluation with its state root. Any thread may ask; the first does the work."""
        with self._lock:
            if self._step is None:
                root, size, held = self._process._root(self._written)
                self._step = Step(self._outcome.answer, self._outcome.stopped, self._outcome.gas_used, root, size, held)
                self._process.settled(self)
            return self._step


class Process:
    """The memory of one AO process with everything needed to move it on."""

    def __init__(
        self,
        machine: Machine,
        program: Program,
        host: Host,
        start: Checkpoint | bytes | None = None,
        pages: PageFiles | None = None,
    ):
        """Start from nothing, or go on from a checkpoint or from a whole snapshot.

        `pages` is where whole memories are kept to be mapped. Raises Invalid or Missing when module, snapshot or
        limits do not go together; NoPages when the checkpoint comes without its base and no page file has it.
        """
        self.program = program
        self._machine = machine
        self._host = host
        self._watch: Watch | None = None
        self._format = FORMATS[program.module_format]
        self._module = self._format.load(machine, program)
        self._pages = pages
        self._base: PageFile | None = None  # what the memory was mapped from
        self._moved = PageSet()  # pages that are not, or no longer, those of the base
        self._since: dict[bytes, PageSet] = {}  # by snapshot that may become a parent: the pages written after it
        self._tree = StateTree()
        self._warm: set[int] = set()  # blocks that the last accepted message changed
        self._unrooted: Unrooted | None = None  # the last evaluation, while its root is not computed
        if start is None:
            self._start_anew()
        else:
            self._go_on(start if isinstance(start, Checkpoint) else Checkpoint.of(start))

    @property
    def state_root(self) -> bytes:
        self._settle()
        return self._tree.root()

    def apply(self, message: bytes, message_id: str = "") -> Step:
        """Evaluate a message and keep its memory, unless it failed.

        Raises NotYet when the node could not do its part; memory is then as before.
        """
        return self.evaluate(message, message_id).step()

    def evaluate(self, message: bytes, message_id: str = "") -> Unrooted:
        """As `apply`, and the state root may be asked for later or by another thread. Raises as `apply`."""
        outcome = self._run(message, message_id)
        self._settle()  # the shadow is about to move, and the root before this is computed from it
        written: Sequence[Range] = ()
        if read_answer(outcome.answer, outcome.stopped).keeps:
            written = self._accept()
        else:
            self._roll_back()
        self._unrooted = Unrooted(self, outcome, written)
        return self._unrooted

    def preview(self, message: bytes) -> Step:
        """Evaluate a message and take its memory back in any case. Raises as `apply`."""
        outcome = self._run(message, "")
        self._settle()
        self._roll_back()
        return Unrooted(self, outcome, ()).step()

    def snapshot(self) -> bytes:
        """The memory as a whole snapshot."""
        return snapshots.pack(self._shadow, self._module.digest)

    def checkpoint(self, before: bytes | None = None) -> bytes:
        """A snapshot to keep: an increment to the one whose SHA-256 is `before` where that is known, else whole.

        The caller may lose what it gets: an increment to the same snapshot can be had again.
        """
        self._settle()
        changed = self._since.get(before) if before is not None else None
        if changed is None:
            made = self.snapshot()
        else:
            made = snapshots.pack_increment(self._shadow, self._module.digest, before, changed.numbers())
        digest = digest_of(made)
        if changed is None and self._pages is not None:
            self._pages.write(digest, self._module.digest, self._shadow, self._tree)
        self._since = ({} if changed is None else {before: changed}) | {digest: PageSet()}
        return made

    def close(self) -> None:
        self._instance.close()

    # --- one evaluation -------------------------------------------------------------------------------------

    def _run(self, message: bytes, message_id: str) -> Outcome:
        self._host.message_id = message_id
        try:
            return self._instance.handle(message, self.program.environment, self.program.gas_limit)
        except BaseException:
            self._roll_back()
            raise

    def _settle(self) -> None:
        """Have the root of the last evaluation computed."""
        unrooted = self._unrooted
        if unrooted is not None:
            unrooted.step()

    def settled(self, evaluated: Unrooted) -> None:
        """The root of this evaluation is known. An idle process keeps no answers."""
        if self._unrooted is evaluated:
            self._unrooted = None

    def _root(self, written: Sequence[Range]) -> tuple[bytes, int, int]:
        """State root, memory's size and what is held after the pages `written` came into the shadow."""
        watched = self._watch
        changed = self._tree.update(self._shadow.size, _blocks(written), self._shadow.view())
        if watched is not None and written:
            # Changed twice in a row, a block is likely to change again.
            likely = _pages_of([block for block in changed if block in self._warm])
            watched.leave_open([each for each in likely if each[1] - each[0] >= OPEN_PAGES_MIN])
            self._warm = set(changed)
        return self._tree.root(), self._shadow.size, self.held_bytes

    @property
    def held_bytes(self) -> int:
        """About what this process keeps of the machine's memory: its own pages, living and shadow."""
        return 2 * PAGE_BYTES * len(self._moved)

    # --- memory ---------------------------------------------------------------------------------------------

    def _accept(self) -> Sequence[Range]:
        """Move the shadow on to the living memory; answers the pages that were written."""
        live = self._instance.view()
        written = self._written(live)
        self._shadow.accept(live, written)
        self._moved.add(written)
        for pages in self._since.values():
            pages.add(written)
        self._watch_all()  # what grew, too
        return written

    def _start_anew(self) -> None:
        instance = self._new_instance()
        instance.start()
        live = instance.view()
        self._shadow = Shadow()
        changed = self._shadow.changed(live)
        self._shadow.accept(live, changed)
        self._update_tree(changed)
        self._moved.add(changed)
        self._start_watch(instance)

    def _update_tree(self, changed: Sequence[Range]) -> None:
        self._tree.update(self._shadow.size, _blocks(changed), self._shadow.view())

    def _go_on(self, start: Checkpoint) -> None:
        self._take_base(start)
        last, moved = start.base_digest, PageSet()
        for increment in start.increments:
            changed = snapshots.unpack_increment(
                increment, self._shadow, self._module.digest, last, self.program.memory_limit
            )
            moved.add(changed)
            last = digest_of(increment)
        changed = ranges_of(moved.numbers())
        self._update_tree(changed)
        self._moved.add(changed)
        if start.state_root is not None and start.state_root != self._tree.root():
            raise Invalid("The checkpoint does not hold the memory it says: its state root differs.")
        self._since = {last: PageSet()}
        self._restore_instance()

    def _take_base(self, start: Checkpoint) -> None:
        """Shadow and tree of the whole snapshot: from its page file, which is made where there is none."""
        if self._map_base(start.base_digest):
            return
        if start.base is None:
            raise NoPages
        self._shadow = snapshots.unpack(start.base, self._module.digest, self.program.memory_limit)
        used = ranges_of(self._shadow.used_pages())
        self._update_tree(used)
        self._moved.add(used)
        if self._pages is not None:
            self._pages.write(start.base_digest, self._module.digest, self._shadow, self._tree)
            self._map_base(start.base_digest)

    def _map_base(self, digest: bytes) -> bool:
        found = self._pages.open(digest, self._module.digest) if self._pages is not None else None
        if found is None or found.size > self.program.memory_limit:
            return False
        self._base, self._moved = found, PageSet()
        self._shadow, self._tree = found.shadow(), found.tree()
        return True

    def _start_watch(self, instance: Instance) -> None:
        """From here on, where memory and shadow are equal, writes are watched if this machine can."""
        self._instance = instance
        self._watch = watch(instance.address)
        self._watch_all()

    def _watch_all(self) -> None:
        if self._watch is not None:
            try:
                self._watch.begin(self._shadow.size)
            except OSError:
                self._watch = None

    def _roll_back(self) -> None:
        if self._instance.size != self._shadow.size:
            # WebAssembly memory cannot shrink, so the process moves into a new one.
            self._instance.close()
            self._restore_instance()
        else:
            live = self._instance.view()
            told = self._ask_watch(Watch.peek)
            self._shadow.restore(live, self._shadow.changed(live) if told is None else told)

    def _written(self, live: np.ndarray) -> list[Range]:
        """Where the living memory may differ from the shadow."""
        told = self._ask_watch(Watch.written)
        if told is None:
            return self._shadow.changed(live)
        if live.size == self._shadow.size:
            return told
        # Nobody watched what grew. Most of it may be untouched, and should not be copied.
        return told + self._shadow.changed(live, self._shadow.size // PAGE_BYTES)

    def _ask_watch(self, ask: Callable[[Watch], list[Range]]) -> list[Range] | None:
        """What the watch tells; None when nobody can tell but by comparing."""
        if self._watch is not None and self._watch.start != self._instance.address:
            self._watch = None  # beyond what the engine reserves, a memory moves when it grows
        if self._watch is not None:
            try:
                return ask(self._watch)
            except OSError:
                self._watch = None
        return None

    def _new_instance(self) -> Instance:
        instance = self._format.instance(self._machine, self._module, self.program.memory_limit)
        instance.bind(self.program, self._host)
        return instance

    def _restore_instance(self) -> None:
        instance = self._new_instance()
        instance.grow_to(self._shadow.size)
        live = instance.view()
        if self._base is not None and self._base.map_to(instance.address):
            self._shadow.restore(live, ranges_of(self._moved.numbers()))
        else:
            self._shadow.restore(live, self._shadow.changed(live))
        self._start_watch(instance)


def _blocks(ranges: Sequence[Range]) -> list[int]:
    """The blocks in which pages lie, ascending."""
    blocks: list[int] = []
    for first, end in ranges:
        begin = first // BLOCK_PAGES
        if blocks and blocks[-1] == begin:
            begin += 1
        blocks += range(begin, -(-end // BLOCK_PAGES))
    return blocks


def _pages_of(blocks: Iterable[int]) -> list[Range]:
    """The pages of blocks, neighbours together, both ascending."""
    ranges: list[Range] = []
    first = end = -1
    for block in blocks:
        if block != end:
            if end > 0:
                ranges.append((first * BLOCK_PAGES, end * BLOCK_PAGES))
            first = block
        end = block + 1
    return [*ranges, (first * BLOCK_PAGES, end * BLOCK_PAGES)] if end > 0 else ranges
