"""A process: a program, its living memory, and the memory to return to. One evaluation at a time.

Called by `evaluator.py`, and by tests directly. A message either moves the memory on and changes the state root, or
leaves both exactly as they were.
"""

from puna.errors import Invalid

from . import snapshot as snapshots
from .checkpoint import Checkpoint, NoPages, digest_of
from .extensions import Host
from .formats import FORMATS
from .instance import Instance, Outcome
from .machine import Machine
from .memory import PAGE_BYTES, Shadow
from .pagefile import PageFile, PageFiles
from .program import Program
from .result import Step, read_answer
from .stateroot import StateTree
from .watch import Watch, watch


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
        self._moved: set[int] = set()  # pages that are not, or no longer, those of the base
        self._since: dict[bytes, set[int]] = {}  # by snapshot that may become a parent: the pages changed after it
        if start is None:
            self._start_anew()
        else:
            self._go_on(start if isinstance(start, Checkpoint) else Checkpoint.of(start))

    @property
    def state_root(self) -> bytes:
        return self._tree.root()

    def apply(self, message: bytes, message_id: str = "") -> Step:
        """Evaluate a message and keep its memory, unless it failed.

        Raises NotYet when the node could not do its part; memory is then as before.
        """
        outcome = self._evaluate(message, message_id)
        if read_answer(outcome.answer, outcome.stopped).keeps:
            self._accept()
        else:
            self._roll_back()
        return self._step(outcome)

    def preview(self, message: bytes) -> Step:
        """Evaluate a message and take its memory back in any case. Raises as `apply`."""
        outcome = self._evaluate(message, "")
        self._roll_back()
        return self._step(outcome)

    def snapshot(self) -> bytes:
        """The memory as a whole snapshot."""
        return snapshots.pack(self._shadow, self._module.digest)

    def checkpoint(self, before: bytes | None = None) -> bytes:
        """A snapshot to keep: an increment to the one whose SHA-256 is `before` where that is known, else whole.

        The caller may lose what it gets: an increment to the same snapshot can be had again.
        """
        changed = self._since.get(before) if before is not None else None
        if changed is None:
            made = self.snapshot()
        else:
            made = snapshots.pack_increment(self._shadow, self._module.digest, before, changed)
        digest = digest_of(made)
        if changed is None and self._pages is not None:
            self._pages.write(digest, self._module.digest, self._shadow, self._tree)
        self._since = ({} if changed is None else {before: changed}) | {digest: set()}
        return made

    def close(self) -> None:
        self._instance.close()

    # --- one evaluation -------------------------------------------------------------------------------------

    def _evaluate(self, message: bytes, message_id: str) -> Outcome:
        self._host.message_id = message_id
        try:
            return self._instance.handle(message, self.program.environment, self.program.gas_limit)
        except BaseException:
            self._roll_back()
            raise

    def _step(self, outcome: Outcome) -> Step:
        root, size = self._tree.root(), self._shadow.size
        return Step(outcome.answer, outcome.stopped, outcome.gas_used, root, size, self.held_bytes)

    @property
    def held_bytes(self) -> int:
        """About what this process keeps of the machine's memory: its own pages, living and shadow."""
        return 2 * PAGE_BYTES * len(self._moved)

    # --- memory ---------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        live = self._instance.view()
        changed = self._shadow.changed(live, self._written())
        self._shadow.accept(live, changed)
        self._tree.update(live.size, changed, self._shadow.page)
        self._moved.update(changed)
        for pages in self._since.values():
            pages.update(changed)

    def _start_anew(self) -> None:
        instance = self._new_instance()
        instance.start()
        live = instance.view()
        self._shadow = Shadow()
        changed = self._shadow.changed(live)
        self._shadow.accept(live, changed)
        self._tree = StateTree()
        self._tree.update(self._shadow.size, changed, self._shadow.page)
        self._moved.update(changed)
        self._start_watch(instance)

    def _go_on(self, start: Checkpoint) -> None:
        self._take_base(start)
        last = start.base_digest
        for increment in start.increments:
            changed = snapshots.unpack_increment(
                increment, self._shadow, self._module.digest, last, self.program.memory_limit
            )
            self._tree.update(self._shadow.size, changed, self._shadow.page)
            self._moved.update(changed)
            last = digest_of(increment)
        if start.state_root is not None and start.state_root != self._tree.root():
            raise Invalid("The checkpoint does not hold the memory it says: its state root differs.")
        self._since = {last: set()}
        self._restore_instance()

    def _take_base(self, start: Checkpoint) -> None:
        """Shadow and tree of the whole snapshot: from its page file, which is made where there is none."""
        if self._map_base(start.base_digest):
            return
        if start.base is None:
            raise NoPages
        self._shadow = snapshots.unpack(start.base, self._module.digest, self.program.memory_limit)
        used = self._shadow.used_pages().tolist()
        self._tree = StateTree()
        self._tree.update(self._shadow.size, used, self._shadow.page)
        self._moved.update(used)
        if self._pages is not None:
            self._pages.write(start.base_digest, self._module.digest, self._shadow, self._tree)
            self._map_base(start.base_digest)

    def _map_base(self, digest: bytes) -> bool:
        found = self._pages.open(digest, self._module.digest) if self._pages is not None else None
        if found is None or found.size > self.program.memory_limit:
            return False
        self._base, self._moved = found, set()
        self._shadow, self._tree = found.shadow(), found.tree()
        return True

    def _start_watch(self, instance: Instance) -> None:
        """From here on, where memory and shadow are equal, writes are watched if this machine can."""
        self._instance = instance
        self._watch = watch(instance.address)
        self._written()

    def _roll_back(self) -> None:
        if self._instance.size != self._shadow.size:
            # WebAssembly memory cannot shrink, so the process moves into a new one.
            self._instance.close()
            self._restore_instance()
        else:
            live = self._instance.view()
            self._shadow.restore(live, self._shadow.changed(live, self._written()))

    def _written(self) -> list[int] | None:
        """The pages written since the last call, None when nobody can tell but by comparing."""
        if self._watch is not None and self._watch.start != self._instance.address:
            self._watch = None  # beyond what the engine reserves, a memory moves when it grows
        if self._watch is not None:
            try:
                return self._watch.written(self._instance.size)
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
            self._shadow.restore(live, sorted(self._moved))
        else:
            self._shadow.restore(live, self._shadow.changed(live))
        self._start_watch(instance)
