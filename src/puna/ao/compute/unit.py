"""The compute unit: evaluates each process's schedule in order, attests every result, keeps memories affordable.

Called by the messenger, by links and by its routes. What is attested is final: a result is durable before anyone
sees it, so that an outbox which was pushed once can never come out differently. Memory is derived: whatever is
lost, the newest checkpoint and a replay of the schedule bring it back, and every replayed result must equal the
attested one. Notes beside the items:

    ao/evaluated/<process>           the last attested evaluation
    ao/result/<process>/<nonce>      id of the attestation
    ao/checkpoint/<process>          nonce and id of the newest checkpoint
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from puna.arweave.dataitem import DataItem, sign_item
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.arweave.store.port import Query, Store
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, Missing, NodeError, NotYet

from ..assignment import Assignment
from ..message import ProcessId
from ..result import Result
from ..scheduler.port import Entry, Schedules
from ..scheduler.schedule import hash_chain
from .fold import message_json, preview_json, result_of
from .port import Evaluation, Evaluators, Program
from .program import Limits, ModuleFiles, View, program_of
from .testimony import Attestation, attestation_tags, checkpoint_tags, read_attestation

ATTACHED_MAX = 256  # memories held at once; past it the longest unused is checkpointed and let go
CHECKPOINT_EVALUATIONS = 64  # a replay never takes more evaluations than this
CHECKPOINT_GAS = 100_000_000  # below this much gas a replay is quicker than writing a checkpoint
PAGE = 64  # entries of a schedule read at once
PREVIEWS_MAX = 64  # dry-runs of one process that wait for their turn; past it the caller is asked to come again
TRIES = 8  # attempts at one evaluation before its waiters are told to come again
RETRY_FIRST_S = 0.1
RETRY_LONGEST_S = 10.0
STOP_GRACE_S = 5.0  # for evaluations under way at a clean stop; they are repeated after a restart otherwise

T = TypeVar("T")
log = logging.getLogger(__name__)


class Diverged(Exception):
    """A replay did not give what was attested. Ours or the machine's fault, never the sender's: it stays loud."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The last attested evaluation of a process; nonce -1 before the first. `root` is the state root, b64url."""

    nonce: int = -1
    timestamp_ms: int = 0
    block_height: int = 0
    assignment: str = ""
    hash_chain: str = ""
    root: str = ""


@dataclass(slots=True, eq=False)
class _Stream:
    """One process as this unit works on it. `lock` is held during one evaluation, preview, checkpoint or detach."""

    process: ProcessId
    done: Evaluated
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    memory_nonce: int | None = None  # the nonce up to which the attached memory has been folded; None: not attached
    module_id: str = ""
    last: Assignment | None = None  # of the attached memory
    root: bytes = b""  # state root of the attached memory
    unsaved_evaluations: int = 0  # since the newest checkpoint
    unsaved_gas: int = 0
    goal: int = -1
    previews: int = 0
    waiters: list[tuple[int, "asyncio.Future[None]"]] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None
    rest: "asyncio.Task[None] | None" = None  # the pause between two attempts
    broken: Diverged | None = None


class ComputeUnit:
    """Evaluates on demand and in the background; different processes in parallel, each one in order.

    `view` finds items that the store does not have, such as modules of an upstream gateway; `modules` is a folder
    for module files, a temporary one if not given.
    """

    def __init__(
        self,
        store: Store,
        wallet: Wallet,
        schedules: Schedules,
        evaluators: Evaluators,
        view: View | None = None,
        *,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        modules: Path | None = None,
        attached_max: int = ATTACHED_MAX,
        checkpoint_evaluations: int = CHECKPOINT_EVALUATIONS,
        checkpoint_gas: int = CHECKPOINT_GAS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self._store = store
        self._wallet = wallet
        self._schedules = schedules
        self._evaluators = evaluators
        self._view = view or store.view
        self._limits = limits
        self._files = ModuleFiles(store, modules)
        self._attached_max = attached_max
        self._checkpoint_evaluations = checkpoint_evaluations
        self._checkpoint_gas = checkpoint_gas
        self._sleep = sleep
        self._streams: dict[ProcessId, _Stream] = {}
        self._attached: OrderedDict[ProcessId, _Stream] = OrderedDict()  # least recently used first
        self._room = asyncio.Event()
        self._stopping = False

    @property
    def address(self) -> str:
        return self._wallet.address

    # What others ask

    async def result(self, process: ProcessId, item_id: str) -> Result:
        """The result of a message, by message id or assignment id; of the process itself, by the process id.

        Evaluates everything up to it first. Results are final. Raises Missing when the schedule does not have it,
        Invalid when the process cannot run here, NotYet when something that is needed is away.
        """
        _, assignment = await self._schedules.place(process, item_id)
        await self._reach(process, assignment.nonce)
        return self._attested(process, assignment.nonce)

    async def preview(self, process: ProcessId, body: Mapping[str, Any]) -> Result:
        """What the process would answer to an unsigned message at the newest point of its schedule (a dry-run).

        Nothing is stored, no memory changes. Raises as `result`.
        """
        await self._reach(process, await self._schedules.newest(process))
        stream = self._stream(process)
        if stream.previews >= PREVIEWS_MAX:
            raise NotYet(f"{stream.previews} dry-runs of process {process} wait already", "Ask again in a moment.")
        stream.previews += 1
        try:
            return result_of(await self._persist(stream, lambda: self._preview_once(stream, body)))
        finally:
            stream.previews -= 1

    async def _preview_once(self, stream: _Stream, body: Mapping[str, Any]) -> Evaluation:
        try:
            async with stream.lock:
                await self._bring_up(stream)
                done = stream.done
                message = preview_json(stream.process, body, done.timestamp_ms, done.block_height)
                return await self._evaluators.preview(stream.process, message)
        finally:
            self._room.set()

    async def results(
        self,
        process: ProcessId,
        *,
        after: int | None = None,
        until: int | None = None,
        limit: int = 25,
        newest_first: bool = False,
    ) -> tuple[list[tuple[Assignment, Result]], bool]:
        """A page of the results there are, and whether more follow it. Evaluates nothing.

        In the order asked for: from the nonce next to `after` (not itself) up to `until` (itself too). Failed
        evaluations are left out, as clients expect of a page. Source: 4.3.
        """
        newest = self.evaluated(process).nonce
        if newest_first:
            first = newest if after is None else min(after - 1, newest)
            nonces = range(first, max(0, until or 0) - 1, -1)
        else:
            first = 0 if after is None else max(after + 1, 0)
            nonces = range(first, (newest if until is None else min(until, newest)) + 1)
        page: list[tuple[Assignment, Result]] = []
        for nonce in nonces:
            result = self._attested(process, nonce)
            if result.error is not None:
                continue
            if len(page) == limit:
                return page, True
            ((_, assignment),) = await self._schedules.assignments(process, nonce - 1, 1)
            page.append((assignment, result))
        return page, False

    def evaluated(self, process: ProcessId) -> Evaluated:
        """The last attested evaluation of a process, nonce -1 before the first."""
        return self._stream(process).done

    def nudge(self, process: ProcessId, nonce: int) -> None:
        """Evaluate up to `nonce` in the background: for places that nobody waits for."""
        if not self._stopping:
            self._aim(self._stream(process), nonce)

    async def resume(self) -> None:
        """After a start: take up every process whose schedule goes on after its last attested result."""
        for process, nonce in await self._schedules.heads():
            if self._stored(process).nonce < nonce:
                self.nudge(process, nonce)

    async def stop(self) -> None:
        """End evaluations, checkpoint the memories whose replay would cost something, let go of all."""
        self._stopping = True
        running = {stream.task: stream for stream in self._streams.values() if stream.task is not None}
        if running:
            evaluating = [task for task, stream in running.items() if stream.lock.locked()]
            if evaluating:
                await asyncio.wait(evaluating, timeout=STOP_GRACE_S)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        for stream in list(self._attached.values()):
            async with stream.lock:
                await self._let_go(stream)
        self._files.close()

    # Reaching a place in the schedule

    async def _reach(self, process: ProcessId, nonce: int) -> None:
        stream = self._stream(process)
        if stream.done.nonce >= nonce:
            return
        if self._stopping:
            raise NotYet("the compute unit is stopping", "Ask again after the restart.")
        reached = asyncio.get_running_loop().create_future()
        stream.waiters.append((nonce, reached))
        self._aim(stream, nonce)
        await reached

    def _aim(self, stream: _Stream, nonce: int) -> None:
        stream.goal = max(stream.goal, nonce)
        if stream.rest is not None:
            stream.rest.cancel()
        if stream.task is None and stream.done.nonce < stream.goal:
            # A task of its own: whoever asked may go away in the middle of an evaluation.
            stream.task = asyncio.create_task(self._run(stream), name=f"compute {stream.process}")

    async def _run(self, stream: _Stream) -> None:
        try:
            # A place that was posted straight to the scheduler has nobody who would ask for it again, so this does.
            while not await self._try_to_advance(stream):
                await self._rest(stream)
        finally:
            stream.task = None
            stream.goal = stream.done.nonce
            self._disappoint(stream, NotYet("the compute unit is stopping", "Ask again after the restart."))

    async def _try_to_advance(self, stream: _Stream) -> bool:
        """Advance to the goal; whoever waits is told what prevents it. False when trying again may help."""
        try:
            await self._advance(stream)
            return True
        except NodeError as error:
            log.warning("process %s stays at nonce %d: %s", stream.process, stream.done.nonce, error)
            self._disappoint(stream, error)
            return isinstance(error, Invalid)
        except Exception as bug:
            log.exception("process %s stays at nonce %d", stream.process, stream.done.nonce)
            self._disappoint(stream, bug)
            return True

    def _disappoint(self, stream: _Stream, error: Exception) -> None:
        for _, waiter in stream.waiters:
            if not waiter.done():
                waiter.set_exception(error)
        stream.waiters.clear()

    async def _rest(self, stream: _Stream) -> None:
        """Wait before trying again, or until somebody asks."""
        stream.rest = asyncio.create_task(self._sleep(RETRY_LONGEST_S))
        try:
            await asyncio.wait([stream.rest])
        finally:
            stream.rest.cancel()
            stream.rest = None

    async def _advance(self, stream: _Stream) -> None:
        while stream.done.nonce < stream.goal and not self._stopping:
            page = await self._schedules.assignments(stream.process, stream.done.nonce, PAGE)
            if not page:
                raise Missing(f"the schedule of {stream.process} ends before nonce {stream.goal}")
            for entry in page:
                if self._stopping:
                    return
                await self._persist(stream, lambda entry=entry: self._evaluate_next(stream, entry))
                self._wake(stream)

    def _wake(self, stream: _Stream) -> None:
        for nonce, waiter in stream.waiters:
            if nonce <= stream.done.nonce and not waiter.done():
                waiter.set_result(None)
        stream.waiters = [(nonce, waiter) for nonce, waiter in stream.waiters if not waiter.done()]

    async def _persist(self, stream: _Stream, step: Callable[[], Awaitable[T]]) -> T:
        """Take a step again while a part of the node is away, waiting longer each time."""
        for attempt in range(TRIES):
            try:
                return await step()
            except NotYet as error:
                if attempt == TRIES - 1 or self._stopping:
                    raise
                log.info("process %s: %s; trying again", stream.process, error)
                await self._sleep(min(RETRY_FIRST_S * 2**attempt, RETRY_LONGEST_S))
        raise AssertionError("unreachable")

    # One evaluation

    async def _evaluate_next(self, stream: _Stream, entry: Entry) -> None:
        async with stream.lock:
            item, assignment = entry
            if assignment.nonce <= stream.done.nonce:
                return
            _check_follows(stream.done, assignment)
            await self._bring_up(stream)
            try:
                evaluation = await self._apply(stream, item, assignment)
                result = result_of(evaluation)
                await self._attest(stream, assignment, result, evaluation)
            except NotYet:
                raise  # the memory is as it was, or not attached, or known to be ahead
            except BaseException:
                # The memory may be ahead of what is attested, and nothing tells by how much.
                await self._abandon(stream)
                raise
            if stream.unsaved_evaluations >= self._checkpoint_evaluations:
                await self._try_checkpoint(stream)
        self._room.set()

    async def _apply(self, stream: _Stream, item: DataItem | None, assignment: Assignment) -> Evaluation:
        item = item or self._view(assignment.item_id)
        if item is None:
            raise NotYet(f"item {assignment.item_id} is not on this node", "Upload it; evaluation goes on then.")
        evaluation = await self._evaluators.apply(
            stream.process, message_json(item, assignment), message_id=assignment.item_id
        )
        stream.memory_nonce = assignment.nonce
        stream.last, stream.root = assignment, evaluation.state_root
        stream.unsaved_evaluations += 1
        stream.unsaved_gas += evaluation.gas_used
        return evaluation

    async def _attest(self, stream: _Stream, assignment: Assignment, result: Result, evaluation: Evaluation) -> None:
        tags = attestation_tags(assignment, evaluation.state_root, evaluation.gas_used)
        attestation = sign_item(self._wallet, data=result.encode(), tags=tags)
        done = Evaluated(
            assignment.nonce,
            assignment.timestamp_ms,
            assignment.block_height,
            assignment.id,
            b64url_encode(assignment.hash_chain),
            b64url_encode(evaluation.state_root),
        )
        notes = {
            _result_key(stream.process, assignment.nonce): attestation.id.encode(),
            _evaluated_key(stream.process): msgspec.json.encode(done),
        }
        await self._store.append([attestation], notes)
        stream.done = done

    # Memory: attach, replay, checkpoint, let go. All under the stream's lock.

    async def _bring_up(self, stream: _Stream) -> None:
        """Make the attached memory that of the last attested evaluation."""
        if stream.broken is not None:
            raise stream.broken
        lost = stream.memory_nonce is None or not self._evaluators.attached(stream.process)
        # A memory that is ahead had an evaluation which could not be attested: it must not be applied twice.
        if lost or stream.memory_nonce > stream.done.nonce:
            await self._attach(stream)
        self._attached.move_to_end(stream.process)
        while stream.memory_nonce < stream.done.nonce:
            limit = min(PAGE, stream.done.nonce - stream.memory_nonce)
            page = await self._schedules.assignments(stream.process, stream.memory_nonce, limit)
            if not page:
                raise NotYet(f"the schedule of {stream.process} does not reach nonce {stream.done.nonce}")
            for item, assignment in page:
                await self._replay(stream, item, assignment)

    async def _attach(self, stream: _Stream) -> None:
        await self._abandon(stream)
        await self._make_room(stream)
        process = self._view(stream.process)
        if process is None:
            raise NotYet(f"process item {stream.process} is not on this node", "Upload it.")
        program = program_of(self._view, process, self._limits, self._files)
        self._attached[stream.process] = stream
        try:
            nonce = await self._attach_newest(stream.process, program)
        except BaseException:
            del self._attached[stream.process]
            self._room.set()
            raise
        stream.memory_nonce, stream.module_id = nonce, program.module_id
        stream.last, stream.root = None, b""
        stream.unsaved_evaluations = stream.unsaved_gas = 0

    async def _attach_newest(self, process: ProcessId, program: Program) -> int:
        """Attach from the newest checkpoint, or from nothing; answers the nonce that memory stands at."""
        nonce, snapshot = self._newest_checkpoint(process)
        try:
            await self._evaluators.attach(process, program, snapshot)
            return nonce
        except Invalid:
            if snapshot is None:
                raise
        log.warning("process %s: its checkpoint cannot be used; replaying from nothing", process)
        await self._evaluators.attach(process, program, None)
        return -1

    async def _replay(self, stream: _Stream, item: DataItem | None, assignment: Assignment) -> None:
        evaluation = await self._apply(stream, item, assignment)
        attested = self._attestation(stream.process, assignment.nonce)
        found = result_of(evaluation).encode()
        root = b64url_encode(evaluation.state_root)
        if found == attested.encoded and root == attested.state_root:
            return
        differs = "the result" if found != attested.encoded else "the state root"
        stream.broken = Diverged(
            f"replaying process {stream.process}, nonce {assignment.nonce}, message {assignment.item_id}: {differs} "
            f"differs from what was attested; `puna verify {stream.process}` says in what"
        )
        log.critical("%s", stream.broken)
        await self._abandon(stream)
        raise stream.broken

    def _newest_checkpoint(self, process: ProcessId) -> tuple[int, bytes | None]:
        note = self._store.note(_checkpoint_key(process))
        if note is None:
            return -1, None
        nonce, checkpoint_id = note.decode().split()
        item = self._store.view(checkpoint_id)
        return (int(nonce), bytes(item.data)) if item is not None else (-1, None)

    async def _checkpoint(self, stream: _Stream) -> None:
        """Store the attached memory, signed. It is that of the last attested evaluation."""
        if stream.last is None or stream.memory_nonce != stream.done.nonce:
            return
        snapshot = await self._evaluators.snapshot(stream.process)
        tags = checkpoint_tags(stream.module_id, stream.last, stream.root, snapshot, self.address)
        item = sign_item(self._wallet, data=snapshot, tags=tags)
        note = f"{stream.memory_nonce} {item.id}".encode()
        await self._store.append([item], {_checkpoint_key(stream.process): note})
        stream.unsaved_evaluations = stream.unsaved_gas = 0

    async def _try_checkpoint(self, stream: _Stream) -> None:
        try:
            await self._checkpoint(stream)
        except NodeError as error:
            # Only time is lost: the replay starts from an older one.
            log.warning("process %s: no checkpoint: %s", stream.process, error)

    async def _let_go(self, stream: _Stream) -> None:
        """Detach a memory, checkpointed first where its replay would cost something."""
        if stream.unsaved_gas >= self._checkpoint_gas and self._evaluators.attached(stream.process):
            await self._try_checkpoint(stream)
        await self._abandon(stream)

    async def _abandon(self, stream: _Stream) -> None:
        """Detach a memory as it is. It can be made again from the store."""
        stream.memory_nonce = None
        self._attached.pop(stream.process, None)
        self._room.set()
        if self._evaluators.attached(stream.process):
            try:
                await self._evaluators.detach(stream.process)
            except NotYet:
                pass  # it was lost meanwhile, which is as good

    async def _make_room(self, stream: _Stream) -> None:
        while stream.process not in self._attached and len(self._attached) >= self._attached_max:
            idle = next((other for other in self._attached.values() if not other.lock.locked()), None)
            if idle is None:
                self._room.clear()
                await self._room.wait()
                continue
            async with idle.lock:
                await self._let_go(idle)

    # Look-ups

    def _stream(self, process: ProcessId) -> _Stream:
        if process not in self._streams:
            self._streams[process] = _Stream(process, self._stored(process))
        return self._streams[process]

    def _stored(self, process: ProcessId) -> Evaluated:
        note = self._store.note(_evaluated_key(process))
        return msgspec.json.decode(note, type=Evaluated) if note is not None else Evaluated()

    def _attested(self, process: ProcessId, nonce: int) -> Result:
        return self._attestation(process, nonce).result

    def _attestation(self, process: ProcessId, nonce: int) -> Attestation:
        note = self._store.note(_result_key(process, nonce))
        item = self._store.view(note.decode()) if note is not None else self._find_attestation(process, nonce)
        if item is None:
            raise Missing(f"the result of nonce {nonce} of {process} is not in the store")
        return read_attestation(item)

    def _find_attestation(self, process: ProcessId, nonce: int) -> DataItem | None:
        tags = (("Type", ("Result",)), ("Process", (process,)), ("Nonce", (str(nonce),)))
        found = self._store.find(Query(owners=(self.address,), tags=tags, limit=1))
        return found[0].item if found else None


def _check_follows(done: Evaluated, assignment: Assignment) -> None:
    """Hold the scheduler to its word: no gaps, no other past. Raises Invalid with the text of 4.2."""
    previous = b64url_decode(done.hash_chain) if done.hash_chain else b64url_decode(assignment.process)
    linked = hash_chain(previous, b64url_decode(done.assignment) if done.assignment else None)
    if assignment.nonce != done.nonce + 1 or assignment.hash_chain != linked:
        raise Invalid(f"HashChain invalid on message {assignment.item_id}")


def _evaluated_key(process: str) -> str:
    return f"ao/evaluated/{process}"


def _result_key(process: str, nonce: int) -> str:
    return f"ao/result/{process}/{nonce:012d}"


def _checkpoint_key(process: str) -> str:
    return f"ao/checkpoint/{process}"
