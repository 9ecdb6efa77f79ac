"""Verification: replay a process from nothing but signed items, and name everything that does not agree.

Called by `puna verify` and by tests. It trusts no note and no index beyond finding items: signatures, nonces, hash
chain, results and state roots are all checked again. Source of the rules: protocol reference 3.3, 3.5, 4.8.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from puna.arweave.dataitem import DataItem, verify_item
from puna.arweave.ids import b64url_encode
from puna.arweave.store.port import Query, Store
from puna.errors import Invalid, Missing

from ..assignment import Assignment, read_assignment
from ..message import ProcessId, tag
from ..result import Result
from ..scheduler import schedule as rules
from .fold import message_json, result_of
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
) -> Report:
    """Replay `process` and compare with all that was signed about it.

    `on_progress` is told how many assignments of how many are done. Raises Missing when the process is not here,
    Invalid when it cannot run here, NotYet when its module is not here or an evaluator was lost.
    """
    view = view or store.view
    item = view(process)
    if item is None:
        raise Missing(f"process {process} is not in the store", "Check the id, and the folder given with --home.")
    schedule = list(_schedule_of(store, process, tag(item, "Scheduler") or ""))
    attested = _attestations_of(store, process)
    found = _check_schedule(process, item, schedule, view)
    found += _check_coverage(schedule, attested)
    replay = _Replay()
    files = ModuleFiles(store, modules)
    try:
        program = program_of(view, item, limits, files)
        async for assignment, evaluation in _replayed(evaluators, process, program, schedule, view):
            replay.add(evaluation)
            for attestation in attested.get(assignment.nonce, ()):
                found += _compare(assignment, evaluation, attestation)
            on_progress(replay.count, len(schedule))
    finally:
        files.close()
    found.sort(key=lambda divergence: divergence.nonce)
    count = sum(map(len, attested.values()))
    return Report(process, len(schedule), replay.count, count, replay.gas_used, replay.state_root, tuple(found))


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


async def _replayed(
    evaluators: Evaluators, process: ProcessId, program: Program, schedule: list[Assignment], view: View
) -> AsyncIterator[tuple[Assignment, Evaluation]]:
    """Evaluate a schedule from nothing, up to its end or to the first item that is not here."""
    # A name of its own: the running node may hold the same process in the same evaluators.
    replica = f"verify {process}"
    await evaluators.attach(replica, program, None)
    try:
        for assignment in schedule:
            item = view(assignment.item_id)
            if item is None:
                return  # told by _check_schedule
            message = message_json(item, assignment)
            yield assignment, await evaluators.apply(replica, message, message_id=assignment.item_id)
    finally:
        if evaluators.attached(replica):
            await evaluators.detach(replica)


def _schedule_of(store: Store, process: ProcessId, scheduler: str) -> Iterator[Assignment]:
    """The assignments that the process's own scheduler signed, in the order of their nonces."""
    tags = (("Type", ("Assignment",)), ("Process", (process,)))
    found = [read_assignment(item) for item in _all(store, Query(owners=(scheduler,), tags=tags))]
    yield from sorted(found, key=lambda assignment: assignment.nonce)


def _attestations_of(store: Store, process: ProcessId) -> dict[int, list[Attestation]]:
    """All attested results of a process by nonce, whoever signed them."""
    by_nonce: dict[int, list[Attestation]] = defaultdict(list)
    for item in _all(store, Query(tags=(("Type", ("Result",)), ("Process", (process,))))):
        attestation = read_attestation(item)
        by_nonce[attestation.nonce].append(attestation)
    return by_nonce


def _all(store: Store, query: Query) -> Iterator[DataItem]:
    after = None
    while entries := store.find(replace(query, limit=PAGE, after=after)):
        yield from (entry.item for entry in entries)
        after = entries[-1].sequence


def _check_schedule(process: ProcessId, item: DataItem, schedule: list[Assignment], view: View) -> list[Divergence]:
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


def _signature(item: DataItem | None) -> str:
    if item is None:
        return "not in the store"
    try:
        verify_item(item)
    except Invalid:
        return "not valid"
    return "valid"


def _check_coverage(schedule: list[Assignment], attested: dict[int, list[Attestation]]) -> list[Divergence]:
    """Attestations of places that the schedule does not have."""
    nonces = {assignment.nonce for assignment in schedule}
    return [
        Divergence(nonce, attestation.message, "place in the schedule", "present", "absent")
        for nonce, attestations in attested.items()
        for attestation in attestations
        if nonce not in nonces
    ]


def _compare(assignment: Assignment, evaluation: Evaluation, attestation: Attestation) -> list[Divergence]:
    """Every field in which a replayed evaluation is not what was attested."""
    place = (assignment.nonce, assignment.item_id)
    by = f"attested by {attestation.item.address}"
    replayed = result_of(evaluation)
    found = []
    if _signature(attestation.item) != "valid":
        found.append(Divergence(*place, f"signature {by}", "valid", "not valid"))
    if attestation.message != assignment.item_id:
        found.append(Divergence(*place, f"Message {by}", attestation.message, assignment.item_id))
    if attestation.encoded != replayed.encode():
        found += [Divergence(*place, f"{field} {by}", *values) for field, values in _fields(attestation, replayed)]
    root = b64url_encode(evaluation.state_root)
    if attestation.state_root != root:
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
