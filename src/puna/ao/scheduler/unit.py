"""The scheduler unit: takes requests in their order of arrival and writes items and assignments in one append.

Called by the messenger, by links and by its routes. All requests that wait at one moment share one append, so a
busy process costs one disk flush per batch and not per message. Notes beside the items make every look-up a key:

    ao/head/<process>           newest place
    ao/slot/<process>/<nonce>   assignment id and item id
    ao/place/<process>/<id>     nonce, by message id and by assignment id
    ao/content/<process>/<key>  nonce of a pushed message, by its content
"""

import asyncio
import logging
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from puna.arweave.archive import Archive, Item
from puna.arweave.dataitem import ANCHOR_BYTES, DataItem, sign_item, verify_item
from puna.arweave.ids import b64url_decode, b64url_encode, is_id
from puna.arweave.store.port import Query, Store
from puna.arweave.tags import Tag
from puna.arweave.wallet import Wallet
from puna.clock import Clock, Tip
from puna.errors import Invalid, Missing, NodeError, NotYet

from ..assignment import Assignment, read_assignment
from ..message import MessageId, ProcessId
from . import schedule as rules
from .port import Entry, Placed, Placing, Refused
from .schedule import Schedule

WAITING_MAX = 65_536  # requests; past it the sender is asked to come again
RECENT_MAX = 16_384  # entries kept as they are: what was just placed is read again by whoever evaluates or follows it
RECENT_BYTES_MAX = 4096  # of an entry's data; larger ones are read from the store, which costs little beside their size
FEW_SLOTS = 32  # are asked for one by one; more by the hundreds they lie in
NONCE_DIGITS = 12  # in a key, so that keys are in the order of their nonces
BATCH_MAX = 256  # requests per append: more would only make the first of them wait longer

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Request:
    placings: Sequence[Placing]
    items: Sequence[DataItem]
    notes: Mapping[str, bytes | None]
    answer: "asyncio.Future[list[Placed | Refused]]"
    confirmations: Mapping[str, int]  # of what is to be settled, by id


class SchedulerUnit:
    """Orders the messages of every process that names this wallet as its Scheduler.

    `archive` finds what is assigned by id, and what a process boots from. `on_assigned(process, nonce)` is told of
    every new place once it is durable: evaluation can begin.
    """

    def __init__(
        self,
        store: Store,
        wallet: Wallet,
        clock: Clock,
        *,
        archive: Archive | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        on_assigned: Callable[[ProcessId, int], None] = lambda process, nonce: None,
    ):
        self._store = store
        self._wallet = wallet
        self._clock = clock
        self._archive = archive or Archive(store)
        self._entropy = entropy
        self.on_assigned = on_assigned
        self._recent: OrderedDict[tuple[ProcessId, int], Entry] = OrderedDict()  # oldest first
        self._waiting: deque[_Request] = deque()
        self._bringing = 0
        self._writer: asyncio.Task[None] | None = None
        self._closed = False
        self._promised_ms = 0  # no assignment from now on is earlier than this

    @property
    def address(self) -> str:
        return self._wallet.address

    def tip(self) -> Tip:
        """The present as this unit would stamp it."""
        tip = self._clock.tip()
        return tip if tip.timestamp_ms >= self._promised_ms else Tip(self._promised_ms, tip.height)

    async def present(self) -> Tip:
        """A moment with nothing more to come before it: crons up to it can be evaluated for good. See `port`."""
        tip = self.tip()
        self._promised_ms = tip.timestamp_ms
        if self._writer is not None:
            # What is being written was stamped before; an empty request is answered after it.
            await self.place_all([])
        return tip

    # Writing

    async def submit(self, item: DataItem) -> Assignment:
        """Verify an item, give it its place, answer when both are durable.

        The same item again, or a pushed message equal to an earlier one, gets the earlier assignment.
        Raises Invalid with the texts of protocol reference 3.2, Missing when the process is unknown.
        """
        verify_item(item)
        return await self._place_one(Placing(item=item))

    async def assign(
        self, process: ProcessId, item_id: str, exclude: tuple[str, ...] = (), *, base_layer: bool = False
    ) -> Assignment:
        """Give an item or a layer-1 transaction of the weave a place in `process` as well.

        With `base_layer` it must have as many confirmations as the process's `Settlement-Depth` asks for, or 20.
        Raises Missing when either is unknown, Invalid when it is not settled or too large.
        """
        return await self._place_one(Placing(process=process, item_id=item_id, exclude=exclude, settled=base_layer))

    async def _place_one(self, placing: Placing) -> Assignment:
        (answer,) = await self.place_all([placing])
        if isinstance(answer, Refused):
            raise answer.error
        return answer.assignment

    async def place_all(
        self,
        placings: Sequence[Placing],
        items: Sequence[DataItem] = (),
        notes: Mapping[str, bytes | None] = {},
    ) -> list[Placed | Refused]:
        """See `port.Schedules.place_all`. All of one request goes down in one append, or nothing does."""
        self._check_room()
        confirmations = await self._bring(placings, items)
        self._check_room()
        request = _Request(placings, items, notes, asyncio.get_running_loop().create_future(), confirmations)
        self._waiting.append(request)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_waiting(), name="scheduler")
        # The writer owns the append: a caller who goes away must not tear it in two.
        return await request.answer

    def _check_room(self) -> None:
        if self._closed:
            raise NotYet("the scheduler is stopping", "Send it again in a moment.")
        if len(self._waiting) + self._bringing >= WAITING_MAX:
            raise NotYet(f"{WAITING_MAX} requests wait for the scheduler", "Send it again in a moment.")

    async def _bring(self, placings: Sequence[Placing], items: Sequence[DataItem]) -> dict[str, int]:
        """Have at hand what the placings name by id; answers the confirmations that some of them ask about.

        Before the request gets in line: those who need nothing from elsewhere do not wait for it. What nobody has is
        told when its turn comes. Raises NotYet while an upstream is away that may have it.
        """
        named = [id for placing in placings for id in _named(placing)]
        settled = [placing.item_id for placing in placings if placing.settled]
        if not named and not settled:
            return {}  # as nearly always
        brought = {item.id for item in (*items, *(p.item for p in placings if p.item is not None))}
        self._bringing += 1
        try:
            for id in named:
                if id not in brought:
                    await self._archive.bring(id)
            return {id: await self._archive.confirmations(id) for id in settled}
        finally:
            self._bringing -= 1

    async def stop(self) -> None:
        """Refuse new requests and finish those that wait."""
        self._closed = True
        if self._writer is not None:
            await self._writer

    async def _write_waiting(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
                await self._write(batch)
        finally:
            self._writer = None

    async def _write(self, batch: Sequence[_Request]) -> None:
        try:
            draft = _Draft(self._store, self._archive, self._wallet, self.tip(), self._entropy)
            answers = [draft.take(request) for request in batch]
            await self._store.append(draft.items, draft.notes)
        except Exception as error:
            await self._write_failed(batch, error)
            return
        self._remember(draft.entries)
        for request, answer in zip(batch, answers, strict=True):
            if not request.answer.done():
                request.answer.set_result(answer)
        for schedule in draft.schedules.values():
            self.on_assigned(schedule.process, schedule.nonce)

    def _remember(self, entries: Sequence[Entry]) -> None:
        for item, assignment in entries:
            if item.data_bytes <= RECENT_BYTES_MAX:
                self._recent[assignment.process, assignment.nonce] = item, assignment
        while len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    async def _write_failed(self, batch: Sequence[_Request], error: Exception) -> None:
        """Nothing of the batch is written. Whatever was wrong with one request must not harm the others."""
        if len(batch) > 1:
            for request in batch:
                await self._write([request])
        elif not batch[0].answer.done():
            batch[0].answer.set_exception(error)

    # Reading

    async def knows(self, process: str) -> bool:
        return self._store.note(_head_key(process)) is not None

    async def head(self, process: ProcessId) -> Schedule:
        """The newest place of a process. Raises Missing when it was never spawned here."""
        note = self._store.note(_head_key(process))
        if note is None:
            raise Missing(rules.NOT_FOUND)
        return _decode_head(process, note)

    async def newest(self, process: ProcessId) -> int:
        """The nonce of the newest assignment. Raises Missing."""
        note = self._store.note(_head_key(process))
        if note is None:
            raise Missing(rules.NOT_FOUND)
        return _decode_nonce(note)

    async def heads(self) -> list[tuple[ProcessId, int]]:
        found = []
        for key, note in self._store.notes("ao/head/"):
            found.append((ProcessId(key.removeprefix("ao/head/")), _decode_nonce(note)))
        return found

    async def place(self, process: ProcessId, item_id: str) -> Entry:
        """The entry of a message id or an assignment id; the process id gives nonce 0. Raises Missing."""
        nonce = self._store.note(_place_key(process, item_id))
        if nonce is None:
            raise Missing(rules.NOT_FOUND)
        return self._entry(process, int(nonce))

    async def assignments(self, process: ProcessId, after_nonce: int = -1, limit: int = 100) -> list[Entry]:
        """The schedule from the place after `after_nonce` on; -1 begins with the process itself.

        An item is None when it was assigned by id and this store does not have it.
        """
        last = min(await self.newest(process), after_nonce + limit)
        return self._entries(process, range(after_nonce + 1, last + 1))

    def _entry(self, process: ProcessId, nonce: int) -> Entry:
        (entry,) = self._entries(process, range(nonce, nonce + 1))
        return entry

    def _entries(self, process: ProcessId, nonces: range) -> list[Entry]:
        """Entries of a schedule, which must have them all. A page is read with a few questions to the store."""
        recent = [self._recent.get((process, nonce)) for nonce in nonces]
        if None not in recent:
            return recent
        stored = iter(self._stored(process, [nonce for nonce, entry in zip(nonces, recent, strict=True) if not entry]))
        return [entry or next(stored) for entry in recent]

    def _stored(self, process: ProcessId, nonces: Sequence[int]) -> list[Entry]:
        slots = [slot.decode().split() for slot in self._slots(process, nonces)]
        parts = self._store.view_all([id for slot in slots for id in slot])
        entries: list[Entry] = []
        for (assignment_id, item_id), signed, item in zip(slots, parts[::2], parts[1::2], strict=True):
            if signed is None:
                raise Missing(f"assignment {assignment_id} is not in the store", "Run `puna doctor` on this folder.")
            entries.append((item or self._archive.view(item_id), read_assignment(signed)))
        return entries

    def _slots(self, process: ProcessId, nonces: Sequence[int]) -> list[bytes]:
        if len(nonces) <= FEW_SLOTS:
            found = {nonce: self._store.note(_slot_key(process, nonce)) for nonce in nonces}
        else:
            hundreds = range(nonces[0] // 100, nonces[-1] // 100 + 1)
            rows = (row for hundred in hundreds for row in self._store.notes(_slot_key(process, hundred * 100)[:-2]))
            found = {int(key[-NONCE_DIGITS:]): slot for key, slot in rows}
        for nonce in nonces:
            if found.get(nonce) is None:
                raise Missing(f"process {process} has no place {nonce}")
        return [found[nonce] for nonce in nonces]

    async def rebuild(self) -> int:
        """Write the notes of this unit again from the signed assignments alone; answers how many there were."""
        query = Query(owners=(self.address,), tags=(("Type", ("Assignment",)),), limit=1000)
        count, after = 0, None
        while entries := self._store.find(replace(query, after=after)):
            notes: dict[str, bytes | None] = {}
            for entry in entries:
                assignment = read_assignment(entry.item)
                item = self._store.view(assignment.item_id)
                notes |= notes_of(assignment, rules.content_key(item) if item is not None else None)
            await self._store.append([], notes)
            count, after = count + len(entries), entries[-1].sequence
        return count


class _Draft:
    """What one append will hold: the requests of a batch taken in turn, each seeing those before it."""

    def __init__(self, store: Store, archive: Archive, wallet: Wallet, tip: Tip, entropy: Callable[[int], bytes]):
        self._store = store
        self._archive = archive
        self._wallet = wallet
        self._tip = tip
        self._entropy = entropy
        self._new: dict[str, DataItem] = {}
        self._confirmations: Mapping[str, int] = {}
        self.items: list[DataItem] = []
        self.entries: list[Entry] = []
        self.notes: dict[str, bytes | None] = {}
        self.schedules: dict[ProcessId, Schedule] = {}

    def take(self, request: _Request) -> list[Placed | Refused]:
        self.notes |= request.notes
        self._confirmations = request.confirmations
        for item in request.items:
            self._keep(item)
        return [self._try(placing) for placing in request.placings]

    def _try(self, placing: Placing) -> Placed | Refused:
        try:
            if placing.process is not None:
                return self._place_known(placing.process, placing)
            return self._place_item(placing)
        except NodeError as error:
            return Refused(error)

    def _place_item(self, placing: Placing) -> Placed:
        item = placing.item
        if item is None:
            raise Invalid("If sending assign or process-id, you must send both.")
        kind = rules.check_item(item, self._wallet.address)
        if kind == "Process":
            self._check_on_boot(item)
        elif not self._knows(item.target):
            raise Missing(f"process {item.target or '(none)'} is not scheduled here", "Spawn it first.")
        process = ProcessId(item.id if kind == "Process" else item.target)
        return self._assign(process, item.id, item, placing)

    def _place_known(self, process: ProcessId, placing: Placing) -> Placed:
        if not is_id(placing.item_id):
            raise Invalid("assign param must be 43 characters")
        if not self._knows(process):
            raise Missing(f"process {process} is not scheduled here", "Spawn it first.")
        item = placing.item or self._view(placing.item_id)
        if item is None:
            raise Missing("Transaction not found", f"Upload {placing.item_id} first; a transaction must be in a block.")
        rules.check_assigned(item, placing.exclude)
        if placing.settled:
            rules.check_settled(self._view(process), self._confirmations.get(placing.item_id, 0))
        return self._assign(process, placing.item_id, item, placing)

    def _assign(self, process: ProcessId, item_id: str, item: Item, placing: Placing) -> Placed:
        key = rules.content_key(item)
        earlier = self._earlier(process, item_id, item, key)
        if earlier is not None:
            return Placed(earlier, new=False)
        schedule = self._schedule(process)
        assignment = rules.assign(schedule, item_id, self._tip, self._sign, placing.exclude)
        self.schedules[process] = rules.extend(schedule, assignment)
        if isinstance(item, DataItem):
            self._keep(item)
            self.entries.append((item, assignment))
        self._keep(assignment.item)
        self.notes |= notes_of(assignment, key)
        self.notes |= placing.notes
        return Placed(assignment, new=True)

    def _sign(self, tags: tuple[Tag, ...]) -> DataItem:
        return sign_item(self._wallet, tags=tags, anchor=self._entropy(ANCHOR_BYTES))

    def _earlier(self, process: ProcessId, item_id: str, item: Item, key: str | None) -> Assignment | None:
        """The place that an item has already, by its id or, if a process sent it, by its content key."""
        nonce = self._note(_place_key(process, item_id))
        if nonce is not None:
            return self._slot(process, nonce)[0]
        nonce = self._note(_content_key(process, key)) if key is not None else None
        if nonce is None:
            return None
        assignment, twin = self._slot(process, nonce)
        owner = self._view(process)
        if twin is not None and owner is not None and rules.supersedes(item, twin, owner):
            return None
        return assignment

    def _slot(self, process: ProcessId, nonce: bytes) -> tuple[Assignment, Item | None]:
        slot = self._note(_slot_key(process, int(nonce)))
        assignment_id, item_id = slot.decode().split() if slot else ("", "")
        signed = self._view(assignment_id)
        if signed is None:
            raise Missing(f"place {int(nonce)} of {process} is not in the store", "Run `puna doctor` on this folder.")
        return read_assignment(signed), self._view(item_id)

    def _check_on_boot(self, item: DataItem) -> None:
        for boot in _boots_from(item):
            if boot != "Data" and not (is_id(boot) and self._view(boot) is not None):
                raise Invalid("Invalid tx id for On-Boot tag")

    def _keep(self, item: DataItem) -> None:
        self._new[item.id] = item
        self.items.append(item)

    def _view(self, item_id: str) -> Item | None:
        return self._new.get(item_id) or self._archive.view(item_id)

    def _note(self, key: str) -> bytes | None:
        return self.notes[key] if key in self.notes else self._store.note(key)

    def _knows(self, process: str) -> bool:
        return process in self.schedules or self._note(_head_key(process)) is not None

    def _schedule(self, process: ProcessId) -> Schedule:
        if process not in self.schedules:
            note = self._note(_head_key(process))
            return _decode_head(process, note) if note else rules.empty(process)
        return self.schedules[process]


def _named(placing: Placing) -> list[str]:
    """What a placing names by id, without bringing it along."""
    if placing.process is not None:
        return [placing.item_id] if placing.item is None and is_id(placing.item_id) else []
    return [boot for boot in _boots_from(placing.item) if is_id(boot)]


def _boots_from(item: DataItem | None) -> list[str]:
    return [value for name, value in (item.tags if item is not None else ()) if name == "On-Boot"][:1]


def notes_of(assignment: Assignment, content_key: str | None) -> dict[str, bytes | None]:
    """The keys under which an assignment is found again: derived from the signed items, never the other way round.

    `content_key` is that of the assigned item, when a messenger pushed it.
    """
    process, nonce = assignment.process, str(assignment.nonce).encode()
    notes: dict[str, bytes | None] = {
        _head_key(process): _encode_head(assignment),
        _slot_key(process, assignment.nonce): f"{assignment.id} {assignment.item_id}".encode(),
        _place_key(process, assignment.item_id): nonce,
        _place_key(process, assignment.id): nonce,
    }
    if content_key is not None:
        notes[_content_key(process, content_key)] = nonce
    return notes


def _encode_head(assignment: Assignment) -> bytes:
    return msgspec.json.encode(
        [
            assignment.nonce,
            b64url_encode(assignment.hash_chain),
            assignment.id,
            assignment.timestamp_ms,
            assignment.block_height,
        ]
    )


def _decode_head(process: ProcessId, note: bytes) -> Schedule:
    nonce, chain, assignment_id, timestamp_ms, height = msgspec.json.decode(note)
    return Schedule(process, nonce, b64url_decode(chain), assignment_id, timestamp_ms, height)


def _decode_nonce(head: bytes) -> int:
    return msgspec.json.decode(head)[0]


def _head_key(process: str) -> str:
    return f"ao/head/{process}"


def _slot_key(process: str, nonce: int) -> str:
    return f"ao/slot/{process}/{nonce:0{NONCE_DIGITS}d}"


def _place_key(process: str, item_id: str | MessageId) -> str:
    return f"ao/place/{process}/{item_id}"


def _content_key(process: str, key: str) -> str:
    return f"ao/content/{process}/{key}"
