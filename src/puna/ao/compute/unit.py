"""The compute unit: evaluates each process's schedule in order, attests every result, keeps memories affordable.

Called by the messenger, by links and by its routes. What is attested is final: a result is durable before anyone
sees it, so that an outbox which was pushed once can never come out differently. Memory is derived: whatever is
lost, the newest checkpoint and a replay of the schedule bring it back, and every replayed result must equal the
attested one. Notes beside the items:

    ao/evaluated/<process>           the last attested evaluation
    ao/result/<process>/<nonce>      id of the attestation, time; of cron messages after it: <nonce>/<number>, name too
    ao/checkpoint/<process>          nonce, id and cron messages of the newest checkpoint
"""

import asyncio
import heapq
import itertools
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from puna.arweave.archive import Archive, BaseTransaction, Item
from puna.arweave.dataitem import DataItem, sign_item
from puna.arweave.ids import b64url_decode, b64url_encode
from puna.arweave.store.port import Query, Store
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, Missing, NodeError, NotYet
from puna.vm.checkpoint import is_increment
from puna.vm.program import Wanted
from puna.vm.stateroot import RULE

from ..assignment import Assignment
from ..message import ProcessId
from ..result import Result
from ..scheduler.port import Entry, Schedules
from ..scheduler.schedule import hash_chain
from .chain import Chain, digest_of, read_chain
from .cron import Blocks, Cron, Moment, Place, Tick, cron_json, crons_of, no_blocks, ticks
from .fold import message_json, preview_json, result_of
from .fork import check_module, origin_of
from .port import Evaluation, Evaluators, Program
from .program import Limits, ModuleFiles, needs_of, program_of
from .testimony import Attestation, attestation_tags, checkpoint_tags, read_attestation, tick_tags

ATTACHED_MAX = 256  # memories held at once; past it the longest unused is checkpointed and let go
HELD_BYTES_MAX = 512 << 20  # what these may keep of the machine's memory, about; past it likewise
CHECKPOINT_EVALUATIONS = 1024  # a replay never takes more evaluations than this,
CHECKPOINT_GAS_MOST = 20_000_000_000  # nor, by more than one evaluation, more gas: some seconds of work
CHECKPOINT_GAS = 100_000_000  # below this much gas a replay is quicker than writing a checkpoint
PAGE = 64  # entries of a schedule read at once
UNATTESTED_MAX = 128  # evaluations of one process that wait for the disk; past it the next one waits as well
RECENT_RESULTS_MAX = 4096  # kept as they are for those who ask soon, as nearly all do
RECENT_RESULT_BYTES_MAX = 4096  # of each; larger ones are read again, which costs little beside their size
PREVIEWS_MAX = 64  # dry-runs of one process that wait for their turn; past it the caller is asked to come again
TRIES = 8  # attempts at one evaluation before its waiters are told to come again
BRINGS_MAX = 256  # things that one evaluation may want of an upstream before others have their turn
RETRY_FIRST_S = 0.1
RETRY_LONGEST_S = 10.0
STOP_GRACE_S = 5.0  # for evaluations under way at a clean stop; they are repeated after a restart otherwise

T = TypeVar("T")
log = logging.getLogger(__name__)


class Diverged(Exception):
    """A replay did not give what was attested. Ours or the machine's fault, never the sender's: it stays loud."""


class HashChainBroken(Invalid):
    """The scheduler went back on its word (on the wire: 422)."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The last attested evaluation of a process; nonce -1 before the first. `root` is the state root, b64url.

    `ticks` cron messages were evaluated after that entry, up to `place`.
    """

    nonce: int = -1
    timestamp_ms: int = 0
    block_height: int = 0
    assignment: str = ""
    hash_chain: str = ""
    root: str = ""
    ticks: int = 0
    place: Place | None = None

    @property
    def position(self) -> "Position":
        return Position(self.nonce, self.ticks)


class Position(NamedTuple):
    """A place in the order of evaluation: an entry of the schedule, or the `tick`-th cron message after it, from 1."""

    nonce: int
    tick: int = 0


class Kept(NamedTuple):
    """An evaluation that is attested: where, when, and which cron it was ("" for an entry of the schedule)."""

    nonce: int
    tick: int
    timestamp_ms: int
    cron: str

    @property
    def position(self) -> Position:
        return Position(self.nonce, self.tick)


class State(NamedTuple):
    """A process's memory as a snapshot, after the evaluation `at`."""

    snapshot: bytes
    at: Kept
    block_height: int


@dataclass(frozen=True, slots=True)
class _Timetable:
    """The crons of a process, and the moment they count from."""

    item: Item | None  # None without crons
    crons: tuple[Cron, ...]
    origin: Moment


_NO_CRONS = _Timetable(None, (), Moment(0, 0))  # one for all: most of thousands of processes have none


@dataclass(slots=True, eq=False)
class _Stream:
    """One process as this unit works on it. `lock` is held during one evaluation, preview, checkpoint or detach."""

    process: ProcessId
    done: Evaluated
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    memory: Position | None = None  # up to where the attached memory has been folded; None: not attached
    timetable: _Timetable | None = None  # of a process without crons it has none in it; None: not read yet
    present: Position = Position(-1)  # crons are wanted after this nonce, up to the time in `tick` (ms)
    kept: Position = Position(-1)  # crons are done after this nonce, up to the time in `tick` (ms)
    module_id: str = ""
    last: Assignment | None = None  # of the attached memory
    root: bytes = b""  # state root of the attached memory
    held_bytes: int = 0  # what the attached memory keeps of the machine's
    unsaved_evaluations: int = 0  # since the newest checkpoint
    unsaved_gas: int = 0
    goal: int = -1
    previews: int = 0  # dry-runs that wait
    interruptions: int = 0  # of these, those for which a run must end
    run: "_Run | None" = None  # what is evaluated now
    news: asyncio.Event = field(default_factory=asyncio.Event)  # for a run at rest: more to do, or all is durable
    waiters: list[tuple[Position, int, "asyncio.Future[None]"]] = field(default_factory=list)  # a heap, nearest first
    task: "asyncio.Task[None] | None" = None
    rest: "asyncio.Task[None] | None" = None  # the pause between two attempts
    broken: Diverged | None = None


class ComputeUnit:
    """Evaluates on demand and in the background; different processes in parallel, each one in order.

    `archive` finds modules, processes and assigned items, upstream as well where the node has one; `modules` is a
    folder for module files, a temporary one if not given; `blocks` are those that crons count.
    """

    def __init__(
        self,
        store: Store,
        wallet: Wallet,
        schedules: Schedules,
        evaluators: Evaluators,
        archive: Archive | None = None,
        *,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        modules: Path | None = None,
        blocks: Blocks = no_blocks,
        attached_max: int = ATTACHED_MAX,
        held_bytes_max: int = HELD_BYTES_MAX,
        checkpoint_evaluations: int = CHECKPOINT_EVALUATIONS,
        checkpoint_gas: int = CHECKPOINT_GAS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self._store = store
        self._wallet = wallet
        self._schedules = schedules
        self._evaluators = evaluators
        self._archive = archive or Archive(store)
        self._limits = limits
        self._files = ModuleFiles(store, modules)
        self._blocks = blocks
        self._attached_max = attached_max
        self._held_bytes_max = held_bytes_max
        self._checkpoint_evaluations = checkpoint_evaluations
        self._checkpoint_gas = checkpoint_gas
        self._sleep = sleep
        self._streams: dict[ProcessId, _Stream] = {}
        self._attached: OrderedDict[ProcessId, _Stream] = OrderedDict()  # least recently used first
        self._recent_results: OrderedDict[tuple[ProcessId, int], Result] = OrderedDict()
        self._room = asyncio.Event()
        self._stopping = False
        self._arrival = itertools.count()  # futures cannot be compared: no two waiters of a heap are equal
        self._replicas = 0

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

    async def preview(self, process: ProcessId, body: Mapping[str, Any], to: str | None = None) -> Result:
        """What the process would answer to an unsigned message at the newest point of its schedule (a dry-run).

        With `to`, a message id, right after that one. Nothing is stored, no memory changes. Raises as `result`.
        """
        if to is not None:
            _, assignment = await self._schedules.place(process, to)
            if assignment.nonce < await self._schedules.newest(process):
                return await self._preview_past(process, body, assignment)
        newest, stream = await self._schedules.newest(process), self._stream(process)
        # What is on its way to the evaluator is evaluated before the dry-run is: nobody needs to wait for the disk.
        if stream.run is None or stream.run.last.nonce < newest:
            await self._reach(process, newest)
        with self._waiting_preview(stream):
            return result_of(await self._persist(stream, lambda: self._preview_once(stream, body)))

    @contextmanager
    def _waiting_preview(self, stream: _Stream) -> Iterator[None]:
        if stream.previews >= PREVIEWS_MAX:
            raise NotYet(
                f"{stream.previews} dry-runs of process {stream.process} wait already", "Ask again in a moment."
            )
        stream.previews += 1
        try:
            yield
        finally:
            stream.previews -= 1

    async def _preview_once(self, stream: _Stream, body: Mapping[str, Any]) -> Evaluation:
        run = stream.run
        if run is not None and run.newest is not None:  # in between: the evaluator takes things in their order
            message = preview_json(stream.process, body, run.newest.timestamp_ms, run.newest.block_height)
            return await self._evaluators.preview(stream.process, message)
        stream.interruptions += 1
        try:
            async with stream.lock:
                await self._bring_up(stream)
                done = stream.done
                message = preview_json(stream.process, body, done.timestamp_ms, done.block_height)
                return await self._evaluators.preview(stream.process, message)
        finally:
            stream.interruptions -= 1
            self._room.set()

    async def _preview_past(self, process: ProcessId, body: Mapping[str, Any], at: Assignment) -> Result:
        await self._reach(process, at.nonce)
        message = preview_json(process, body, at.timestamp_ms, at.block_height)
        with self._waiting_preview(self._stream(process)):
            return result_of(await self._fed(lambda: self._preview_on_replica(process, message, at)))

    async def _preview_on_replica(self, process: ProcessId, message: bytes, at: Assignment) -> Evaluation:
        async with self._replica(process, Position(at.nonce)) as replica:
            return await self._evaluators.preview(replica, message)

    async def state(self, process: ProcessId, to_ms: int | None = None) -> State:
        """The memory of a process now, or as it was at a time in the past. Raises as `result`."""
        await self._reach_present(process)
        newest = self.evaluated(process).position
        past = newest if to_ms is None else min(newest, self.position_at(process, to_ms))
        if past.nonce < 0:
            raise Missing(f"process {process} had not begun at {to_ms}")
        if past == newest:
            return await self._persist(self._stream(process), lambda: self._state_now(self._stream(process)))
        return await self._fed(lambda: self._state_past(process, past))

    async def _state_past(self, process: ProcessId, past: Position) -> State:
        ((_, assignment),) = await self._schedules.assignments(process, past.nonce - 1, 1)
        async with self._replica(process, past) as replica:
            snapshot = await self._evaluators.snapshot(replica)
        return State(snapshot, self._kept(process, past), assignment.block_height)

    async def _state_now(self, stream: _Stream) -> State:
        try:
            async with stream.lock:
                await self._bring_up(stream)
                snapshot = await self._evaluators.snapshot(stream.process)
                return State(snapshot, self._kept(stream.process, stream.done.position), stream.done.block_height)
        finally:
            self._room.set()

    @asynccontextmanager
    async def _replica(self, process: ProcessId, goal: Position) -> AsyncIterator[str]:
        """A memory of its own that stands at `goal`, for as long as the caller uses it; answers its name."""
        program = await self._program_of(process)
        position, chain = self._newest_checkpoint(process)
        if position > goal:
            position, chain = Position(-1), None
        self._replicas += 1
        name = f"replica {self._replicas} of {process}"
        await self._attach_to(name, process, program, chain)
        try:
            async for number, message in self._messages(process, position, goal):
                await self._evaluators.apply(name, message, message_id=str(number))
            yield name
        finally:
            if self._evaluators.attached(name):
                with suppress(NotYet):
                    await self._evaluators.detach(name)

    async def _messages(self, process: ProcessId, after: Position, goal: Position) -> AsyncIterator[tuple[int, bytes]]:
        """The messages of everything attested after one position up to another, cron messages in their places."""
        position = after
        while position < goal:
            for kept in self._ticks(process, position):
                if kept.position > goal:
                    return
                yield kept.nonce, await self._tick_json(process, kept)
            if position.nonce >= goal.nonce:
                return
            ((item, assignment),) = await self._schedules.assignments(process, position.nonce, 1)
            item = item or self._item_of(assignment)
            yield assignment.nonce, message_json(item, assignment)
            position = Position(assignment.nonce)

    async def results(
        self,
        process: ProcessId,
        *,
        after: Position | None = None,
        until: Position | None = None,
        limit: int = 25,
        newest_first: bool = False,
        only_crons: bool = False,
    ) -> tuple[list[tuple[Kept, Result]], bool]:
        """A page of the results there are, and whether more follow it. Evaluates nothing.

        In the order asked for: from what is next to `after` (not itself) up to `until` (itself too). Failed
        evaluations are left out, as clients expect of a page. Source: 4.3.
        """
        page: list[tuple[Kept, Result]] = []
        for kept in self._all_kept(process, after, until, newest_first):
            if only_crons and not kept.cron:
                continue
            result = self._attestation(process, kept.position).result
            if result.error is not None:
                continue
            if len(page) == limit:
                return page, True
            page.append((kept, result))
        return page, False

    async def crons(
        self, process: ProcessId, *, after: Position | None = None, until: Position | None = None, limit: int = 500
    ) -> tuple[list[tuple[Kept, Result]], bool]:
        """A page of the results of cron messages, evaluated up to the present. Raises as `result`. Source: 4.4."""
        await self._reach_present(process)
        return await self.results(process, after=after, until=until, limit=limit, only_crons=True)

    async def cron_mark(self, process: ProcessId) -> str:
        """Where the newest result of a process is, as text for `cron_page`."""
        return _mark(self.evaluated(process).position)

    async def cron_page(self, process: ProcessId, after: str, limit: int) -> list[tuple[str, Result]]:
        """Results of crons up to now, after a mark, each with its own mark."""
        position = Position(*map(int, after.split())) if after else None
        page, _ = await self.crons(process, after=position, limit=limit)
        return [(_mark(kept.position), result) for kept, result in page]

    def position_at(self, process: ProcessId, timestamp_ms: int) -> Position:
        """The newest evaluation at or before a time; nonce -1 when all are later. Times grow with nonces."""
        low, high = -1, self.evaluated(process).nonce
        while low < high:
            middle = (low + high + 1) // 2
            early = self._kept(process, Position(middle)).timestamp_ms <= timestamp_ms
            low, high = (middle, high) if early else (low, middle - 1)
        if low < 0:
            return Position(-1)
        early_ticks = [kept.tick for kept in self._ticks(process, Position(low)) if kept.timestamp_ms <= timestamp_ms]
        return Position(low, max(early_ticks, default=0))

    def find_cron(self, process: ProcessId, nonce: int, cron: str, timestamp_ms: int) -> Position:
        """The position of a cron message by what a cursor says of it. Raises Missing."""
        for kept in self._ticks(process, Position(nonce)):
            if (kept.cron, kept.timestamp_ms) == (cron, timestamp_ms):
                return kept.position
        raise Missing(f"cron {cron} of process {process} at {timestamp_ms} was not evaluated")

    def _all_kept(
        self, process: ProcessId, after: Position | None, until: Position | None, newest_first: bool
    ) -> Iterator[Kept]:
        """Everything attested after `after` up to `until`, one nonce at a time: a page must not read the whole past."""
        newest = self.evaluated(process).position
        if newest_first:
            start = newest if after is None else min(Position(after.nonce, after.tick), newest)
            for nonce in range(start.nonce, max(0, until.nonce if until else 0) - 1, -1):
                for kept in reversed([self._kept(process, Position(nonce)), *self._ticks(process, Position(nonce))]):
                    if (after is None or kept.position < after) and (until is None or kept.position >= until):
                        yield kept
            return
        last = newest if until is None else min(until, newest)
        for nonce in range(max(0, after.nonce if after else 0), last.nonce + 1):
            for kept in (self._kept(process, Position(nonce)), *self._ticks(process, Position(nonce))):
                if (after is None or kept.position > after) and kept.position <= last:
                    yield kept

    async def known(self, process: ProcessId) -> None:
        """Raises Missing when no such process is scheduled."""
        if process not in self._streams and self._stored(process).nonce < 0:
            await self._schedules.newest(process)

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
        """Evaluate up to an entry of the schedule, and every cron before it."""
        stream = self._stream(process)
        if stream.done.nonce < nonce:
            await self._wait_for(stream, Position(nonce), lambda: self._aim(stream, nonce))

    async def _reach_present(self, process: ProcessId) -> None:
        """Evaluate the whole schedule, and every cron up to now."""
        # In this order: an entry that comes after the question for the time is not earlier than the answer.
        present = await self._schedules.present()
        newest = await self._schedules.newest(process)
        await self._reach(process, newest)
        stream = self._stream(process)
        timetable = await self._read_timetable(stream)
        if timetable.crons and stream.done.nonce == newest:
            stream.present = Position(newest, present.timestamp_ms)
            await self._wait_for(stream, stream.present, lambda: self._aim(stream, newest))

    async def _wait_for(self, stream: _Stream, goal: Position, aim: Callable[[], None]) -> None:
        if self._stopping:
            raise NotYet("the compute unit is stopping", "Ask again after the restart.")
        reached = asyncio.get_running_loop().create_future()
        heapq.heappush(stream.waiters, (goal, next(self._arrival), reached))
        aim()
        self._wake(stream)
        await reached

    def _aim(self, stream: _Stream, nonce: int) -> None:
        if nonce > stream.goal:
            stream.goal = nonce
            stream.news.set()
        if stream.rest is not None:
            stream.rest.cancel()
        if stream.task is None and (stream.done.nonce < stream.goal or _time_is_behind(stream)):
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
            stream.present = Position(-1)
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
        for *_, waiter in stream.waiters:
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
        while not self._stopping:
            if stream.done.nonce < stream.goal:
                await self._advance_page(stream)
            elif _time_is_behind(stream):
                await self._keep_time(stream, stream.present.tick)
                self._wake(stream)
            else:
                return

    async def _advance_page(self, stream: _Stream) -> None:
        page = await self._schedules.assignments(stream.process, stream.done.nonce, PAGE)
        if not page:
            raise Missing(f"the schedule of {stream.process} ends before nonce {stream.goal}")
        # Crons come between entries, so a process that has some takes them one by one.
        singly = bool((await self._read_timetable(stream)).crons)
        while page and not self._stopping:
            await self._keep_time(stream, page[0][1].timestamp_ms)
            run = page[:1] if singly else page
            await self._persist(stream, lambda run=run: self._evaluate_run(stream, run, goes_on=not singly))
            page = [entry for entry in page if entry[1].nonce > stream.done.nonce]

    async def _keep_time(self, stream: _Stream, until_ms: int) -> None:
        """Evaluate the crons between the last entry and a moment."""
        timetable = await self._read_timetable(stream)
        done = stream.done
        if not timetable.crons or done.nonce < 0:
            return
        left = Moment(done.timestamp_ms, done.block_height)
        for tick in ticks(timetable.crons, timetable.origin, left, until_ms, self._blocks, done.place):
            if self._stopping:
                return
            await self._persist(stream, lambda tick=tick: self._evaluate_tick(stream, tick, timetable))
        stream.kept = Position(done.nonce, until_ms)

    async def _read_timetable(self, stream: _Stream) -> _Timetable:
        """Raises Invalid when the process's cron tags are wrong."""
        if stream.timetable is None:
            ((item, assignment),) = await self._schedules.assignments(stream.process, -1, 1)
            item = item or self._item_of(assignment)
            origin = Moment(assignment.timestamp_ms, assignment.block_height)
            crons = crons_of(item)
            stream.timetable = _Timetable(item, crons, origin) if crons else _NO_CRONS
        return stream.timetable

    def _wake(self, stream: _Stream) -> None:
        # Whoever waits for a later place than one that is not reached waits as well: the heap's top is enough to see.
        while stream.waiters and _is_reached(stream, stream.waiters[0][0]):
            *_, waiter = heapq.heappop(stream.waiters)
            if not waiter.done():
                waiter.set_result(None)

    async def _persist(self, stream: _Stream, step: Callable[[], Awaitable[T]]) -> T:
        """Take a step again while a part of the node is away, waiting longer each time."""
        for attempt in range(TRIES):
            try:
                return await self._fed(step)
            except NotYet as error:
                if attempt == TRIES - 1 or self._stopping:
                    raise
                log.info("process %s: %s; trying again", stream.process, error)
                await self._sleep(min(RETRY_FIRST_S * 2**attempt, RETRY_LONGEST_S))
        raise AssertionError("unreachable")

    async def _fed(self, step: Callable[[], Awaitable[T]]) -> T:
        """Take a step, and again with whatever it turned out to want of the weave and an upstream could bring.

        What was brought is kept, so a step that wants much comes further each time.
        """
        for _ in range(BRINGS_MAX):
            try:
                return await step()
            except Wanted as wanted:
                brought = [await self._archive.bring_found(query) for query in wanted.queries]
                if not any(brought):
                    raise
        return await step()

    # Evaluations

    async def _evaluate_run(self, stream: _Stream, entries: list[Entry], goes_on: bool) -> None:
        """Evaluate entries in their order, and attest them while the next are evaluated.

        With `goes_on` those that follow, too, until none is left or a checkpoint is due. Stops early when somebody
        wants a preview. Raises what prevents the first; what prevents a later one will prevent the first of the next
        run.
        """
        async with stream.lock:
            before = stream.done.nonce
            await self._bring_up(stream)
            try:
                async with self._undone_on_error(stream):
                    await self._fold(stream, [entry for entry in entries if entry[1].nonce > before], goes_on)
            except NotYet:
                if stream.done.nonce == before:
                    raise
            if self._checkpoint_is_due(stream):
                await self._try_checkpoint(stream)
        self._room.set()

    async def _fold(self, stream: _Stream, entries: list[Entry], goes_on: bool) -> None:
        attesting = _Attesting(lambda batch: self._keep(stream, batch), stream.news.set)
        # Where the checkpoint could not be had, it is not asked for after every message.
        until_checkpoint = max(self._checkpoint_evaluations - stream.unsaved_evaluations, 0) or PAGE
        run = _Run(_Last.of(stream.done), deque(entries), until_checkpoint if goes_on else len(entries))
        stream.run = run
        try:
            while True:
                take = partial(self._take, stream, run)
                async with aclosing(self._evaluators.apply_all(stream.process, take)) as evaluations:
                    async for evaluation in evaluations:
                        assignment = run.sent.popleft()
                        self._moved(stream, Position(assignment.nonce), evaluation)
                        stream.last = assignment
                        await attesting.add(self._attested_entry(assignment, evaluation))
                if not await self._goes_on(stream, run, attesting):
                    break
        finally:
            stream.run = None
            await attesting.drain()

    async def _goes_on(self, stream: _Stream, run: "_Run", attesting: "_Attesting") -> bool:
        """Whether there is more for a run that has evaluated all it had: what comes does not wait for the disk."""
        while attesting.is_writing:
            stream.news.clear()  # before looking: what comes meanwhile is news
            if await self._has_more(stream, run):
                return True
            await stream.news.wait()
        return False

    async def _has_more(self, stream: _Stream, run: "_Run") -> bool:
        """Whether a run goes on, with entries at hand: they are read from the schedule where it had none."""
        interrupted = bool(stream.interruptions) or self._checkpoint_is_due(stream)
        if not run.left or self._stopping or (run.newest is not None and interrupted):
            return False
        if not run.entries and run.last.nonce < stream.goal:
            run.entries.extend(await self._schedules.assignments(stream.process, run.last.nonce, PAGE))
        return bool(run.entries)

    async def _take(self, stream: _Stream, run: "_Run", count: int) -> list[tuple[bytes, str]]:
        """The next messages of a run, at most `count`; none at its end. See `vm.program.Take`.

        Raises Invalid at an entry that does not follow, Wanted when an item is not here.
        """
        if not await self._has_more(stream, run):
            return []
        messages: list[tuple[bytes, str]] = []
        for item, assignment in itertools.islice(run.entries, min(count, run.left)):
            try:
                _check_follows(run.last, assignment)
                messages.append((message_json(item or self._item_of(assignment), assignment), assignment.item_id))
            except NodeError:
                if not messages:
                    raise
                break  # those before it are evaluated first; it is asked for again then
            run.last, run.newest = _Last(assignment.nonce, assignment.hash_chain, assignment.id), assignment
            run.sent.append(assignment)
        for _ in messages:
            run.entries.popleft()
        run.left -= len(messages)
        return messages

    async def _evaluate_tick(self, stream: _Stream, tick: Tick, timetable: _Timetable) -> None:
        async with stream.lock:
            await self._bring_up(stream)
            async with self._undone_on_error(stream):
                position = Position(stream.done.nonce, stream.done.ticks + 1)
                evaluation = await self._apply_message(
                    stream, position, tick.cron.name, cron_json(timetable.item, tick)
                )
                await self._attest_tick(stream, position, tick, evaluation)
            if self._checkpoint_is_due(stream):
                await self._try_checkpoint(stream)
        self._room.set()

    @asynccontextmanager
    async def _undone_on_error(self, stream: _Stream) -> AsyncIterator[None]:
        try:
            yield
        except NotYet:
            raise  # the memory is as it was, or not attached, or known to be ahead
        except BaseException:
            # The memory may be ahead of what is attested, and nothing tells by how much.
            await self._abandon(stream)
            raise

    def _item_of(self, assignment: Assignment) -> Item:
        """What was assigned by id. Raises Wanted while it is not on this node."""
        item = self._archive.view(assignment.item_id)
        if item is None:
            what = f"item {assignment.item_id} is not on this node"
            raise Wanted(what, "Upload it; evaluation goes on then.", (Query(ids=(assignment.item_id,)),))
        return item

    async def _program_of(self, process: ProcessId) -> Program:
        """The program of a process. Raises Invalid when it cannot run here, NotYet while a part of it is away."""
        item = await self._archive.bring(process)
        if item is None:
            raise NotYet(f"process item {process} is not on this node", "Upload it.")
        needed = [await self._archive.bring(id) for id in needs_of(item)]
        if needed and isinstance(needed[0], BaseTransaction):
            await asyncio.to_thread(self._files.path, needed[0])  # a module in chunks is put together into a file
        return program_of(self._archive.view, item, self._limits, self._files)

    async def _apply(self, stream: _Stream, item: Item | None, assignment: Assignment) -> Evaluation:
        message = message_json(item or self._item_of(assignment), assignment)
        evaluation = await self._apply_message(stream, Position(assignment.nonce), assignment.item_id, message)
        stream.last = assignment
        return evaluation

    async def _apply_message(self, stream: _Stream, position: Position, name: str, message: bytes) -> Evaluation:
        evaluation = await self._evaluators.apply(stream.process, message, message_id=name)
        self._moved(stream, position, evaluation)
        return evaluation

    def _moved(self, stream: _Stream, position: Position, evaluation: Evaluation) -> None:
        """Follow the attached memory to where an evaluation has brought it."""
        stream.memory, stream.root = position, evaluation.state_root
        stream.held_bytes = evaluation.held_bytes
        stream.unsaved_evaluations += 1
        stream.unsaved_gas += evaluation.gas_used

    def _attested_entry(self, assignment: Assignment, evaluation: Evaluation) -> "_Attested":
        tags = attestation_tags(assignment, evaluation.state_root, evaluation.gas_used)
        result = result_of(evaluation)
        item = sign_item(self._wallet, data=result.encode(), tags=tags)
        return _Attested(assignment, item, result, evaluation.state_root)

    async def _keep(self, stream: _Stream, batch: Sequence["_Attested"]) -> None:
        """Make attestations durable, in one append, and only then known."""
        last = batch[-1].assignment
        done = Evaluated(
            last.nonce,
            last.timestamp_ms,
            last.block_height,
            last.id,
            b64url_encode(last.hash_chain),
            b64url_encode(batch[-1].state_root),
        )
        notes = {
            _result_key(stream.process, each.assignment.nonce): (
                f"{each.item.id} {each.assignment.timestamp_ms}".encode()
            )
            for each in batch
        }
        notes[_evaluated_key(stream.process)] = msgspec.json.encode(done)
        await self._store.append([each.item for each in batch], notes)
        self._remember(stream.process, batch)
        stream.done = done
        self._wake(stream)

    def _remember(self, process: ProcessId, batch: Sequence["_Attested"]) -> None:
        for each in batch:
            if each.item.data_bytes <= RECENT_RESULT_BYTES_MAX:
                self._recent_results[process, each.assignment.nonce] = each.result
        while len(self._recent_results) > RECENT_RESULTS_MAX:
            self._recent_results.popitem(last=False)

    async def _attest_tick(self, stream: _Stream, position: Position, tick: Tick, evaluation: Evaluation) -> None:
        tags = tick_tags(stream.process, *position, tick, evaluation.state_root, evaluation.gas_used)
        attestation = sign_item(self._wallet, data=result_of(evaluation).encode(), tags=tags)
        root = b64url_encode(evaluation.state_root)
        done = replace(stream.done, root=root, ticks=position.tick, place=tick.place)
        notes = {
            _result_key(stream.process, *position): f"{attestation.id} {tick.timestamp_ms} {tick.cron.name}".encode(),
            _evaluated_key(stream.process): msgspec.json.encode(done),
        }
        await self._store.append([attestation], notes)
        stream.done = done

    # Memory: attach, replay, checkpoint, let go. All under the stream's lock.

    async def _bring_up(self, stream: _Stream) -> None:
        """Make the attached memory that of the last attested evaluation."""
        if stream.broken is not None:
            raise stream.broken
        lost = stream.memory is None or not self._evaluators.attached(stream.process)
        # A memory that is ahead had an evaluation which could not be attested: it must not be applied twice.
        if lost or stream.memory > stream.done.position:
            await self._attach(stream)
        self._attached.move_to_end(stream.process)
        while stream.memory < stream.done.position:
            await self._replay_ticks(stream)
            limit = min(PAGE, stream.done.nonce - stream.memory.nonce)
            page = await self._schedules.assignments(stream.process, stream.memory.nonce, limit) if limit else []
            if limit and not page:
                raise NotYet(f"the schedule of {stream.process} does not reach nonce {stream.done.nonce}")
            for item, assignment in page:
                await self._replay_ticks(stream)
                await self._replay(stream, item, assignment)

    async def _replay_ticks(self, stream: _Stream) -> None:
        """Replay the cron messages that were evaluated where the memory stands."""
        for kept in self._ticks(stream.process, stream.memory):
            message = await self._tick_json(stream.process, kept)
            evaluation = await self._apply_message(stream, kept.position, kept.cron, message)
            await self._check_replay(stream, kept.position, kept.cron, evaluation)

    async def _tick_json(self, process: ProcessId, kept: Kept) -> bytes:
        """The message of a cron that was evaluated, from its attestation and the tags of the process."""
        timetable = await self._read_timetable(self._stream(process))
        signed = self._attestation(process, kept.position).item
        height = next((int(value) for name, value in signed.tags if name == "Block-Height"), 0)
        for cron in timetable.crons:
            if cron.name == kept.cron:
                return cron_json(timetable.item, Tick(cron, kept.timestamp_ms, height, Place(0, 0, 0)))
        raise Missing(f"process {process} has no cron {kept.cron}")

    async def _attach(self, stream: _Stream) -> None:
        await self._abandon(stream)
        program = await self._program_of(stream.process)
        await self._reach_origin(stream.process)  # before there is room for us: the origin needs room of its own
        await self._make_room(stream)
        self._attached[stream.process] = stream
        try:
            memory = await self._attach_newest(stream.process, program)
        except BaseException:
            del self._attached[stream.process]
            self._room.set()
            raise
        stream.memory, stream.module_id = memory, program.module_id
        stream.last, stream.root = None, b""
        stream.unsaved_evaluations = stream.unsaved_gas = 0

    async def _attach_newest(self, process: ProcessId, program: Program) -> Position:
        """Attach from the newest checkpoint, or from nothing; answers where that memory stands."""
        position, chain = self._newest_checkpoint(process)
        try:
            await self._attach_to(process, process, program, chain)
            return position
        except Invalid:
            if chain is None:
                raise
        log.warning("process %s: its checkpoint cannot be used; replaying from nothing", process)
        await self._attach_to(process, process, program, None)
        return Position(-1)

    async def _attach_to(self, name: str, process: ProcessId, program: Program, chain: Chain | None) -> None:
        """Attach, under a name, the memory of a checkpoint of `process`, or the one it begins with."""
        if chain is None:
            await self._evaluators.attach(name, program, await self._inherited(process))
        else:
            await self._evaluators.resume(name, program, chain.start(), chain.base)

    async def _reach_origin(self, process: ProcessId) -> tuple[ProcessId, Position] | None:
        """The place that a fork begins from, evaluated; None for a process that begins empty. Raises Invalid."""
        ((item, _),) = await self._schedules.assignments(process, -1, 1)
        origin = origin_of(item) if item is not None else None
        if origin is None:
            return None
        try:
            _, place = await self._schedules.place(origin.process, origin.message)
            ((born, _),) = await self._schedules.assignments(origin.process, -1, 1)
        except Missing as error:
            what = f"Process {process} forks {origin.process} after {origin.message}, which is not scheduled here"
            raise Invalid(f"{what}: {error.what}") from error
        if born is not None:
            check_module(item, born)
        await self._reach(origin.process, place.nonce)
        return origin.process, Position(place.nonce)

    async def _inherited(self, process: ProcessId) -> bytes | None:
        """The memory that a fork begins with; None for a process that begins empty."""
        origin = await self._reach_origin(process)
        if origin is None:
            return None
        async with self._replica(*origin) as replica:
            return await self._evaluators.snapshot(replica)

    async def _replay(self, stream: _Stream, item: Item | None, assignment: Assignment) -> None:
        evaluation = await self._apply(stream, item, assignment)
        await self._check_replay(stream, Position(assignment.nonce), f"message {assignment.item_id}", evaluation)

    async def _check_replay(self, stream: _Stream, position: Position, name: str, evaluation: Evaluation) -> None:
        """Hold a replayed evaluation against the attested one. Raises Diverged."""
        attested = self._attestation(stream.process, position)
        found = result_of(evaluation).encode()
        root = b64url_encode(evaluation.state_root)
        # Attested under another rule, by an older Puna, a root cannot be compared; the result still is.
        if found == attested.encoded and (root == attested.state_root or attested.rule != RULE):
            return
        differs = "the result" if found != attested.encoded else "the state root"
        stream.broken = Diverged(
            f"replaying process {stream.process}, nonce {position.nonce}, {name}: {differs} "
            f"differs from what was attested; `puna verify {stream.process}` says in what"
        )
        log.critical("%s", stream.broken)
        await self._abandon(stream)
        raise stream.broken

    def _newest_checkpoint(self, process: ProcessId) -> tuple[Position, Chain | None]:
        note = self._store.note(_checkpoint_key(process))
        if note is None:
            return Position(-1), None
        nonce, checkpoint_id, *tick = note.decode().split()
        chain = read_chain(self._store.view, checkpoint_id)
        return (Position(int(nonce), *map(int, tick)), chain) if chain is not None else (Position(-1), None)

    async def _checkpoint(self, stream: _Stream) -> None:
        """Store the attached memory, signed: what changed since the newest checkpoint, now and then all of it.

        It is that of the last attested evaluation.
        """
        if not stream.root or stream.memory != stream.done.position:
            return
        if stream.last is None:  # only crons since it was attached
            ((_, stream.last),) = await self._schedules.assignments(stream.process, stream.memory.nonce - 1, 1)
        _, chain = self._newest_checkpoint(stream.process)
        parent = chain.parent if chain is not None else None
        snapshot = await self._evaluators.checkpoint(stream.process, digest_of(parent) if parent is not None else None)
        tags = checkpoint_tags(
            stream.module_id, stream.last, stream.memory.tick, stream.root, snapshot, self.address,
            parent.id if parent is not None and is_increment(snapshot) else None,
        )  # fmt: skip
        item = sign_item(self._wallet, data=snapshot, tags=tags)
        note = f"{stream.memory.nonce} {item.id} {stream.memory.tick}".encode()
        await self._store.append([item], {_checkpoint_key(stream.process): note})
        stream.unsaved_evaluations = stream.unsaved_gas = 0

    def _checkpoint_is_due(self, stream: _Stream) -> bool:
        many = stream.unsaved_evaluations >= self._checkpoint_evaluations
        return many or stream.unsaved_gas >= CHECKPOINT_GAS_MOST

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
        stream.memory, stream.held_bytes = None, 0
        self._attached.pop(stream.process, None)
        self._room.set()
        if self._evaluators.attached(stream.process):
            try:
                await self._evaluators.detach(stream.process)
            except NotYet:
                pass  # it was lost meanwhile, which is as good

    async def _make_room(self, stream: _Stream) -> None:
        while stream.process not in self._attached and self._is_full():
            idle = next((other for other in self._attached.values() if not other.lock.locked()), None)
            if idle is None:
                self._room.clear()
                await self._room.wait()
                continue
            async with idle.lock:
                await self._let_go(idle)

    def _is_full(self) -> bool:
        held_bytes = sum(stream.held_bytes for stream in self._attached.values())
        return len(self._attached) >= self._attached_max or (held_bytes >= self._held_bytes_max and held_bytes > 0)

    # Look-ups

    def _stream(self, process: ProcessId) -> _Stream:
        if process not in self._streams:
            self._streams[process] = _Stream(process, self._stored(process))
        return self._streams[process]

    def _stored(self, process: ProcessId) -> Evaluated:
        note = self._store.note(_evaluated_key(process))
        return msgspec.json.decode(note, type=Evaluated) if note is not None else Evaluated()

    def _attested(self, process: ProcessId, nonce: int) -> Result:
        return self._recent_results.get((process, nonce)) or self._attestation(process, Position(nonce)).result

    def _attestation(self, process: ProcessId, position: Position) -> Attestation:
        note = self._store.note(_result_key(process, *position))
        found = None if position.tick else self._find_attestation
        item = self._store.view(note.decode().split()[0]) if note else found and found(process, position.nonce)
        if item is None:
            raise Missing(f"the result of nonce {position.nonce} of {process} is not in the store")
        return read_attestation(item)

    def _kept(self, process: ProcessId, position: Position) -> Kept:
        note = self._store.note(_result_key(process, *position))
        _, timestamp_ms, *cron = (note or b"? 0").decode().split()
        return Kept(*position, int(timestamp_ms), *(cron or [""]))

    def _ticks(self, process: ProcessId, after: Position) -> list[Kept]:
        """The cron messages evaluated after the same entry as `after`, and after it."""
        if after.nonce < 0:
            return []
        prefix = f"{_result_key(process, after.nonce)}/"
        numbers = [int(key.removeprefix(prefix)) for key, _ in self._store.notes(prefix)]
        return [self._kept(process, Position(after.nonce, number)) for number in numbers if number > after.tick]

    def _find_attestation(self, process: ProcessId, nonce: int) -> DataItem | None:
        tags = (("Type", ("Result",)), ("Process", (process,)), ("Nonce", (str(nonce),)))
        found = self._store.find(Query(owners=(self.address,), tags=tags, limit=1))
        return found[0].item if found else None


class _Attested(NamedTuple):
    """An evaluation, signed."""

    assignment: Assignment
    item: DataItem
    result: Result
    state_root: bytes


class _Attesting:
    """Attestations on their way to the store: one append at a time, each with all that gathered during the last.

    So none is durable before those it follows, and evaluation does not wait for the disk.
    """

    def __init__(self, keep: Callable[[Sequence[_Attested]], Awaitable[None]], on_rest: Callable[[], None]):
        self._keep = keep
        self._on_rest = on_rest  # called when nothing is being written any more
        self._gathered: list[_Attested] = []
        self._writing: asyncio.Task[None] | None = None

    async def add(self, attestation: _Attested) -> None:
        """Raises what an earlier append raised."""
        self._gathered.append(attestation)
        if not self.is_writing:
            await self.drain()
            self._writing = asyncio.create_task(self._write())
            self._writing.add_done_callback(lambda task: self._on_rest())
        elif len(self._gathered) >= UNATTESTED_MAX:
            await self.drain()

    @property
    def is_writing(self) -> bool:
        return self._writing is not None and not self._writing.done()

    async def drain(self) -> None:
        """Wait until all is durable. Raises what an append raised."""
        if self._writing is not None:
            await asyncio.shield(self._writing)
            self._writing = None

    async def _write(self) -> None:
        while self._gathered:
            batch, self._gathered = self._gathered, []
            await self._keep(batch)


@dataclass(slots=True)
class _Run:
    """Entries of a schedule on their way through the evaluators."""

    last: "_Last"  # of those that were sent, or done before
    entries: deque[Entry]  # the next ones
    left: int  # so many may be sent yet
    sent: deque[Assignment] = field(default_factory=deque)  # those not evaluated yet
    newest: Assignment | None = None  # that was sent


class _Last(NamedTuple):
    """The entry that the next one must follow; nonce -1 and nothing else before the first."""

    nonce: int
    hash_chain: bytes
    assignment: str

    @classmethod
    def of(cls, done: Evaluated) -> "_Last":
        return cls(done.nonce, b64url_decode(done.hash_chain), done.assignment)


def _check_follows(last: _Last, assignment: Assignment) -> None:
    """Hold the scheduler to its word: no gaps, no other past. Raises Invalid with the text of 4.2."""
    previous = last.hash_chain or b64url_decode(assignment.process)
    linked = hash_chain(previous, b64url_decode(last.assignment) if last.assignment else None)
    if assignment.nonce != last.nonce + 1 or assignment.hash_chain != linked:
        raise HashChainBroken(f"HashChain invalid on message {assignment.item_id}")


def _evaluated_key(process: str) -> str:
    return f"ao/evaluated/{process}"


def _mark(position: Position) -> str:
    return f"{position.nonce} {position.tick}"


def _is_reached(stream: _Stream, goal: Position) -> bool:
    return stream.done.nonce > goal.nonce or Position(stream.done.nonce) == goal or stream.kept >= goal


def _time_is_behind(stream: _Stream) -> bool:
    return stream.present.nonce == stream.done.nonce and stream.kept < stream.present


def _result_key(process: str, nonce: int, tick: int = 0) -> str:
    key = f"ao/result/{process}/{nonce:012d}"
    return f"{key}/{tick:012d}" if tick else key


def _checkpoint_key(process: str) -> str:
    return f"ao/checkpoint/{process}"
