"""Verification: replay a process from nothing but signed items, and name everything that does not agree.

Called by `puna verify` and by tests. It trusts no note and no index beyond finding items: signatures, nonces, hash
chain, results and state roots are all checked again. Source of the rules: protocol reference 3.3, 3.5, 4.8.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec

from puna.arweave.archive import Item, verify_found, view_of
from puna.arweave.dataitem import DataItem
from puna.arweave.ids import b64url_encode
from puna.arweave.store.port import Query, Store
from puna.errors import Invalid, Missing
from puna.vm.evaluators import taken_from
from puna.vm.stateroot import RULE

from ..assignment import Assignment, read_assignment
from ..message import ProcessId, tag
from ..result import Result
from ..scheduler import schedule as rules
from .chain import Chain, read_chain
from .cron import Blocks, Moment, Tick, cron_json, crons_of, no_blocks, ticks
from .fold import message_json, result_of
from .fork import check_module, origin_of
from .port import Evaluation, Evaluators, Program
from .program import Limits, ModuleFiles, View, program_of
from .testimony import Attestation, read_attestation

PAGE = 1000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Divergence:
    """One thing that does not agree: where, in what, what was signed and what was found instead."""

    nonce: int
    message: str
    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        place = f"nonce {self.nonce}, message {self.message or '(none)'}"
        return f"{place}: {self.field} is {self.found}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found. `state_root` is that of the replay's end, b64url, "" when nothing was replayed."""

    process: ProcessId
    assignments: int
    replayed: int
    attestations: int
    gas_used: int
    state_root: str
    divergences: tuple[Divergence, ...]
    since: int = -1  # the nonce of the checkpoint it began from; -1 from nothing

    @property
    def agrees(self) -> bool:
        return not self.divergences

    @property
    def first(self) -> Divergence | None:
        """The divergence at the lowest nonce."""
        return self.divergences[0] if self.divergences else None


async def verify(
    store: Store,
    evaluators: Evaluators,
    process: ProcessId,
    on_progress: Progress = lambda done, total: None,
    *,
    view: View | None = None,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    modules: Path | None = None,
    blocks: Blocks = no_blocks,
) -> Report:
    """Replay `process` and compare with all that was signed about it; its crons are made up again from the rule.

    `on_progress` is told how many assignments of how many are done. Raises Missing when the process is not here,
    Invalid when it cannot run here, NotYet when its module is not here or an evaluator was lost.
    """
    view = view or view_of(store)
    item = view(process)
    if item is None:
        raise Missing(f"process {process} is not in the store", "Check the id, and the folder given with --home.")
    schedule = list(_schedule_of(store, process, tag(item, "Scheduler") or ""))
    attested = _attestations_of(store, process)
    return await _verify(store, evaluators, item, schedule, attested, None, on_progress, view, limits, modules, blocks)


async def verify_message(
    store: Store,
    evaluators: Evaluators,
    process: ProcessId,
    message: str,
    on_progress: Progress = lambda done, total: None,
    *,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    modules: Path | None = None,
    blocks: Blocks = no_blocks,
) -> Report:
    """Replay one message, from the newest checkpoint before it that has the attested state root, else from nothing.

    The schedule up to there is checked whole, and what was evaluated before the checkpoint is believed as attested.
    Raises as `verify`, and Missing when the process has no such message.
    """
    view = view_of(store)
    item = view(process)
    if item is None:
        raise Missing(f"process {process} is not in the store", "Check the id, and the folder given with --home.")
    schedule = list(_schedule_of(store, process, tag(item, "Scheduler") or ""))
    schedule, attested = _until(process, message, schedule, _attestations_of(store, process))
    start = _start_before(store, view, process, attested, (schedule[-1].nonce, 0))
    return await _verify(store, evaluators, item, schedule, attested, start, on_progress, view, limits, modules, blocks)


async def _verify(
    store: Store,
    evaluators: Evaluators,
    item: DataItem,
    schedule: list[Assignment],
    attested: "_Attested",
    start: "_Start | None",
    on_progress: Progress,
    view: View,
    limits: Limits,
    modules: Path | None,
    blocks: Blocks,
) -> Report:
    process = ProcessId(item.id)
    found = _check_schedule(process, item, schedule, view)
    steps = list(_steps(item, schedule, attested, blocks, view))
    found += _check_coverage(steps, attested)
    if start is not None:
        steps = [step for step in steps if step.place > start.place]
    replay = _Replay()
    files = ModuleFiles(store, modules)
    try:
        program = program_of(view, item, limits, files)
        begins: bytes | Chain | None = start and start.chain
        if begins is None:
            begins, inherited = await _inherited(store, evaluators, item, view, limits, files, blocks)
            found += inherited
        async for step, evaluation in _replayed(evaluators, process, program, steps, begins):
            replay.add(evaluation)
            for attestation in attested.get(step.place, ()):
                found += _compare(step, evaluation, attestation)
            on_progress(replay.count, len(steps))
    finally:
        files.close()
    found.sort(key=lambda divergence: divergence.nonce)
    count = sum(map(len, attested.values()))
    since = start.place[0] if start else -1
    return Report(process, len(schedule), replay.count, count, replay.gas_used, replay.state_root, tuple(found), since)


@dataclass
class _Replay:
    """What a replay came to so far."""

    count: int = 0
    gas_used: int = 0
    state_root: str = ""

    def add(self, evaluation: Evaluation) -> None:
        self.count += 1
        self.gas_used += evaluation.gas_used
        self.state_root = b64url_encode(evaluation.state_root)


@dataclass(frozen=True, slots=True)
class _Step:
    """One evaluation that is due: its nonce, which cron after that entry (0: the entry itself), and its message.

    `message` is None when the item is not here.
    """

    place: tuple[int, int]
    name: str
    message: bytes | None


def _steps(
    process: Item, schedule: list[Assignment], attested: "_Attested", blocks: Blocks, view: View
) -> Iterator[_Step]:
    """Everything that is to be evaluated, in order: entries, and between them the crons that the rule gives."""
    crons = crons_of(process)
    for assignment, following in zip(schedule, [*schedule[1:], None], strict=True):
        item = view(assignment.item_id)
        message = message_json(item, assignment) if item is not None else None
        yield _Step((assignment.nonce, 0), assignment.item_id, message)
        # After the last entry crons go on for ever: those are due that somebody attested.
        until = following.timestamp_ms if following else _attested_until(attested, assignment.nonce)
        left, origin = _moment(assignment), _moment(schedule[0])
        for number, tick in enumerate(ticks(crons, origin, left, until, blocks), 1):
            if following is None and (assignment.nonce, number) not in attested:
                break
            yield _Step((assignment.nonce, number), _tick_name(tick), cron_json(process, tick))


def _moment(assignment: Assignment) -> Moment:
    return Moment(assignment.timestamp_ms, assignment.block_height)


def _tick_name(tick: Tick) -> str:
    return f"{tick.cron.name} at {tick.timestamp_ms}"


def _attested_until(attested: "_Attested", nonce: int) -> int:
    """The end, in milliseconds, of the last second in which a cron after this entry was attested."""
    times = [a.timestamp_ms for (at, tick), some in attested.items() if at == nonce and tick for a in some]
    return max(times, default=-1000) + 1000


async def _replayed(
    evaluators: Evaluators, process: ProcessId, program: Program, steps: list[_Step], begins: "bytes | Chain | None"
) -> AsyncIterator[tuple[_Step, Evaluation]]:
    """Evaluate from where the memory `begins` stands, up to the end or to the first item that is not here."""
    due = list(takewhile(lambda step: step.message is not None, steps))  # the rest is told by _check_schedule
    done = iter(due)
    async with _replica(evaluators, process, program, begins) as replica:
        take = taken_from((step.message, step.name) for step in due)
        async with aclosing(evaluators.apply_all(replica, take)) as evaluations:
            async for evaluation in evaluations:
                yield next(done), evaluation


@asynccontextmanager
async def _replica(
    evaluators: Evaluators, process: ProcessId, program: Program, begins: bytes | Chain | None
) -> AsyncIterator[str]:
    # A name of its own: the running node may hold the same process in the same evaluators.
    replica = f"verify {process}"
    if isinstance(begins, Chain):
        await evaluators.resume(replica, program, begins.start(), begins.base)
    else:
        await evaluators.attach(replica, program, begins)
    try:
        yield replica
    finally:
        if evaluators.attached(replica):
            await evaluators.detach(replica)


async def _inherited(
    store: Store, evaluators: Evaluators, item: DataItem, view: View, limits: Limits, files: ModuleFiles, blocks: Blocks
) -> tuple[bytes | None, list[Divergence]]:
    """The memory that a fork begins with, from a replay of its origin; and what does not agree there.

    None for a process that begins empty. Raises Missing or Invalid when there is no such place to begin from.
    """
    origin = origin_of(item)
    if origin is None:
        return None, []
    born = view(origin.process)
    if born is None:
        raise Missing(f"process {origin.process}, which {item.id} forks, is not in the store")
    check_module(item, born)
    schedule = list(_schedule_of(store, origin.process, tag(born, "Scheduler") or ""))
    end = next((place.nonce for place in schedule if origin.message in (place.item_id, place.id)), None)
    if end is None:
        raise Invalid(f"process {origin.process} has no message {origin.message}, after which {item.id} forks it")
    schedule = [place for place in schedule if place.nonce <= end]
    attested = _attestations_of(store, origin.process)
    steps = [step for step in _steps(born, schedule, attested, blocks, view) if step.place <= (end, 0)]
    begins, found = await _inherited(store, evaluators, born, view, limits, files, blocks)
    found = found + _check_schedule(origin.process, born, schedule, view)
    program = program_of(view, born, limits, files)
    async with _replica(evaluators, origin.process, program, begins) as replica:
        for step in steps:
            if step.message is None:
                raise Missing(f"item {step.name} of process {origin.process}, which {item.id} forks, is not here")
            evaluation = await evaluators.apply(replica, step.message, message_id=step.name)
            for attestation in attested.get(step.place, ()):
                found += _compare(step, evaluation, attestation)
        return await evaluators.snapshot(replica), found


def _schedule_of(store: Store, process: ProcessId, scheduler: str) -> Iterator[Assignment]:
    """The assignments that the process's own scheduler signed, in the order of their nonces."""
    tags = (("Type", ("Assignment",)), ("Process", (process,)))
    found = [read_assignment(item) for item in _all(store, Query(owners=(scheduler,), tags=tags))]
    yield from sorted(found, key=lambda assignment: assignment.nonce)


_Attested = dict[tuple[int, int], list[Attestation]]


def _attestations_of(store: Store, process: ProcessId) -> _Attested:
    """All attested results of a process by nonce and number of the cron after it, whoever signed them."""
    by_place: _Attested = defaultdict(list)
    for item in _all(store, Query(tags=(("Type", ("Result",)), ("Process", (process,))))):
        attestation = read_attestation(item)
        by_place[attestation.nonce, attestation.tick].append(attestation)
    return dict(by_place)


def _until(
    process: ProcessId, message: str, schedule: list[Assignment], attested: _Attested
) -> tuple[list[Assignment], _Attested]:
    """A schedule and what was attested of it, up to one message."""
    end = next((place.nonce for place in schedule if message in (place.item_id, place.id)), None)
    if end is None:
        raise Missing(f"process {process} has no message {message}", "Check the ids.")
    kept = {place: some for place, some in attested.items() if place <= (end, 0)}
    return [place for place in schedule if place.nonce <= end], defaultdict(list, kept)


@dataclass(frozen=True, slots=True)
class _Start:
    """A checkpoint to begin from, and the place of the last evaluation in it."""

    place: tuple[int, int]
    chain: Chain


def _start_before(
    store: Store, view: View, process: ProcessId, attested: _Attested, end: tuple[int, int]
) -> _Start | None:
    """The newest checkpoint before `end` that is signed, complete, and of the state root attested at its place."""
    tags = (("Type", ("Checkpoint",)), ("Process", (process,)))
    for item in sorted(_all(store, Query(tags=tags)), key=_place_of, reverse=True):
        place, root = _place_of(item), tag(item, "State-Root")
        if place < end and any(each.state_root == root and each.rule == RULE for each in attested.get(place, ())):
            chain = read_chain(view, item.id)
            if chain is not None and all(_signature(each) == "valid" for each in chain.items):
                return _Start(place, chain)
    return None


def _place_of(checkpoint: DataItem) -> tuple[int, int]:
    numbers = (tag(checkpoint, name) or "" for name in ("Nonce", "Tick"))
    nonce, tick = (int(number) if number.isascii() and number.isdigit() else 0 for number in numbers)
    return nonce, tick


def _all(store: Store, query: Query) -> Iterator[DataItem]:
    after = None
    while entries := store.find(replace(query, limit=PAGE, after=after)):
        yield from (entry.item for entry in entries)
        after = entries[-1].sequence


def _check_schedule(process: ProcessId, item: Item, schedule: list[Assignment], view: View) -> list[Divergence]:
    """Signatures, nonces, hash chain, duplicates: all that is wrong without evaluating anything."""
    found: list[Divergence] = []
    previous = rules.empty(process)
    times_seen = Counter(assignment.item_id for assignment in schedule)
    for assignment in schedule:

        def differs(field: str, expected: Any, actual: Any, assignment: Assignment = assignment) -> None:
            if expected != actual:
                found.append(Divergence(assignment.nonce, assignment.item_id, field, str(expected), str(actual)))

        message = item if assignment.message is None else view(assignment.item_id)
        differs("nonce", previous.nonce + 1, assignment.nonce)
        differs("Hash-Chain", b64url_encode(rules.next_chain(previous)), b64url_encode(assignment.hash_chain))
        differs("later than the one before", True, assignment.timestamp_ms > previous.timestamp_ms)
        differs("places of this item", 1, times_seen[assignment.item_id])
        differs("signature of the assignment", "valid", _signature(assignment.item))
        differs("signature of the item", "valid", _signature(message))
        previous = rules.extend(previous, assignment)
    if not schedule:
        found.append(Divergence(0, process, "assignments by its scheduler", "at least 1", "0"))
    return found


def _signature(item: Item | None) -> str:
    if item is None:
        return "not in the store"
    try:
        verify_found(item)
    except Invalid:
        return "not valid"
    return "valid"


def _check_coverage(steps: list[_Step], attested: _Attested) -> list[Divergence]:
    """Attestations of places that neither the schedule nor its crons have."""
    places = {step.place for step in steps}
    return [
        Divergence(place[0], attestation.message, "place in the schedule", "present", "absent")
        for place, attestations in attested.items()
        for attestation in attestations
        if place not in places
    ]


def _compare(step: _Step, evaluation: Evaluation, attestation: Attestation) -> list[Divergence]:
    """Every field in which a replayed evaluation is not what was attested."""
    place = (step.place[0], step.name)
    by = f"attested by {attestation.item.address}"
    replayed = result_of(evaluation)
    found = []
    if _signature(attestation.item) != "valid":
        found.append(Divergence(*place, f"signature {by}", "valid", "not valid"))
    message = f"{attestation.message} at {attestation.timestamp_ms}" if attestation.tick else attestation.message
    if message != step.name:
        found.append(Divergence(*place, f"Message {by}", message, step.name))
    if attestation.encoded != replayed.encode():
        found += [Divergence(*place, f"{field} {by}", *values) for field, values in _fields(attestation, replayed)]
    root = b64url_encode(evaluation.state_root)
    if attestation.rule != RULE:
        found.append(Divergence(*place, f"State-Rule {by}", attestation.rule, RULE))  # its root says nothing to us
    elif attestation.state_root != root:
        found.append(Divergence(*place, f"State-Root {by}", attestation.state_root, root))
    return found


def _fields(attestation: Attestation, replayed: Result) -> Iterator[tuple[str, tuple[str, str]]]:
    """The fields of the result JSON that differ, with both values as JSON."""
    try:
        wanted = attestation.result.to_json()
    except Invalid as error:
        yield "result", (str(error), _json(replayed.to_json()))
        return
    actual = replayed.to_json()
    differing = [name for name in dict.fromkeys((*wanted, *actual)) if wanted.get(name) != actual.get(name)]
    for name in differing:
        yield name, (_json(wanted.get(name)), _json(actual.get(name)))
    if not differing:
        yield "encoding of the result", (attestation.encoded.decode(errors="replace"), _json(actual))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
