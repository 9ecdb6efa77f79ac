"""A process: a program, its living memory, and the memory to return to. One evaluation at a time.

Called by `evaluator.py`, and by tests directly. A message either moves the memory on and changes the state root, or
leaves both exactly as they were.
"""

from . import snapshot as snapshots
from .extensions import Host
from .formats import FORMATS
from .instance import Instance, Outcome
from .machine import Machine
from .memory import Shadow
from .program import Program
from .result import Step, read_answer
from .stateroot import StateTree
from .watch import Watch, watch


class Process:
    """The memory of one AO process with everything needed to move it on."""

    def __init__(self, machine: Machine, program: Program, host: Host, snapshot: bytes | None = None):
        """Start from nothing, or go on from a snapshot.

        Raises Invalid or Missing when module, snapshot or limits do not go together.
        """
        self.program = program
        self._machine = machine
        self._host = host
        self._watch: Watch | None = None
        self._format = FORMATS[program.module_format]
        self._module = self._format.load(machine, program)
        if snapshot is None:
            self._start_anew()
        else:
            self._shadow = snapshots.unpack(snapshot, self._module.digest, program.memory_limit)
            self._restore_instance()
        self._tree = StateTree()
        self._tree.update(self._shadow.size, self._shadow.used_pages().tolist(), self._shadow.page)

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
        return snapshots.pack(self._shadow, self._module.digest)

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
        return Step(outcome.answer, outcome.stopped, outcome.gas_used, self._tree.root(), self._shadow.size)

    # --- memory ---------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        live = self._instance.view()
        changed = self._shadow.changed(live, self._written())
        self._shadow.accept(live, changed)
        self._tree.update(live.size, changed, self._shadow.page)

    def _start_anew(self) -> None:
        instance = self._new_instance()
        instance.start()
        live = instance.view()
        self._shadow = Shadow()
        self._shadow.accept(live, self._shadow.changed(live))
        self._start_watch(instance)

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
        self._shadow.restore(live, self._shadow.changed(live))
        self._start_watch(instance)
