"""The messenger unit: acknowledges what users send, and carries every outbox on until nothing is left to carry.

Called by links and by its routes. It owns the journeys (`journey.py`): each is a task here and a note in the store,
and `resume` makes the tasks again from the notes. It alone knows which item began a journey, so it also tells the
hub what happens.
"""

import asyncio
import logging
import string
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from puna.arweave.dataitem import DataItem, sign_item, verify_item
from puna.arweave.store.port import Store
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, Missing, NodeError, NotYet

from ..assignment import Assignment
from ..events import Hub
from ..message import PROTOCOL, ProcessId, tag, to_feed
from ..result import Result
from ..scheduler.port import Placed, Placing, Refused, Schedules
from .address import Birth, Dropped, Letter, Parcel, Sender, Share, address
from .journey import (
    JOURNEY_NOTES,
    Assigned,
    End,
    Evaluate,
    Evaluated,
    Failed,
    Journey,
    Send,
    advance,
    decode_journey,
    encode_journey,
    journey_key,
)
from .monitors import CronResults, Monitors
from .room import Room

JOURNEYS_MAX = 8192  # under way in memory, shared among their roots; past it what processes send rests in the store
ROOT_JOURNEYS_MAX = 2048  # of one root, even when it is alone
RETRY_FIRST_S = 1.0
RETRY_LONGEST_S = 60.0
EVENT_TEXT_MAX = 65_536  # characters of data in an event; who wants more reads the item or the result
SENDERS_MAX = 4096  # processes whose spawn items, which may be long programs, are not read again for each message
LARGE_BYTES = 1 << 20  # from here on a signature is checked on a thread

ID_CHARACTERS = string.ascii_letters + string.digits + "-_"

T = TypeVar("T")
log = logging.getLogger(__name__)


class Results(CronResults, Protocol):
    """What the messenger needs of a compute unit."""

    async def result(self, process: ProcessId, item_id: str) -> Result: ...


class MessengerUnit:
    """Takes messages, assigns them through `schedules`, pulls their results, signs and sends what they beget."""

    def __init__(
        self,
        store: Store,
        wallet: Wallet,
        schedules: Schedules,
        results: Results,
        hub: Hub,
        *,
        journeys_max: int = JOURNEYS_MAX,
        root_journeys_max: int = ROOT_JOURNEYS_MAX,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self._store = store
        self._wallet = wallet
        self._schedules = schedules
        self._results = results
        self._hub = hub
        self._sleep = sleep
        self._room = Room(journeys_max, root_journeys_max)
        self._running: dict[str, asyncio.Task[None]] = {}  # by journey key
        self._roots: dict[tuple[str, str], str] = {}  # by process and item, of the journeys under way
        self._stuck: set[str] = set()  # keys of journeys that met a bug of ours; they wait for the next start
        self._owned: set[asyncio.Task[Any]] = set()
        self._senders: dict[ProcessId, Sender] = {}
        self._waking = self._wake_again = False
        self._stopping = False
        self.monitors = Monitors(store, results, self._carry_cron)

    @property
    def address(self) -> str:
        """The Authority that processes trust to speak for other processes."""
        return self._wallet.address

    # What users ask

    async def submit(self, item: DataItem) -> Assignment:
        """Take a signed message or process. When this answers, it is durable and will be carried to its end.

        Raises Invalid when it breaks a rule, Missing when its process is unknown, NotYet when there is no room.
        """
        kind = _checked_kind(item)
        if len(item.data) > LARGE_BYTES:
            await asyncio.to_thread(_check_signature, item)
        else:
            _check_signature(item)
        process = ProcessId(item.id if kind == "Process" else item.target)
        journey = Journey(item.id, process, root=item.id, share=item.target if process == item.id else "")
        return await self._admit(journey, Placing(item=item))

    async def assign(
        self, process: ProcessId, item_id: str, exclude: tuple[str, ...] = (), *, base_layer: bool = False
    ) -> Assignment:
        """Give a process an item that the weave has; with `base_layer`, only when it is permanent enough for it.

        Durable and carried on as in `submit`; raises the same.
        """
        placing = Placing(process=process, item_id=item_id, exclude=exclude, settled=base_layer)
        return await self._admit(Journey(item_id, process), placing)

    async def push(self, process: ProcessId, message: str, number: int) -> None:
        """Send the `number`-th outbox message of a result again, counted from 0. What has its place keeps it.

        Raises Missing when there is no such message, and as `submit`.
        """
        item, assignment = await self._schedules.place(process, message)
        result = await self._results.result(process, message)
        root = (tag(item, "Pushed-For") if item is not None else None) or assignment.item_id
        letters = address(Result(messages=result.messages), self._sender(process), root)
        if not 0 <= number < len(letters):
            raise Missing(f"the result of {message} has {len(letters)} messages, there is none of number {number}")
        await self._own(self._send([letters[number]], Journey(assignment.item_id, process, root), {}))

    async def _carry_cron(self, process: ProcessId, result: Result, notes: Mapping[str, bytes | None]) -> None:
        """Hand over what a cron sends: nobody's message began it, so nothing of it bears a Pushed-For."""
        journey = Journey("", process, root=process, orphan=True)
        parcels = address(result, self._sender(process), None)
        await asyncio.shield(self._own(self._send(parcels, journey, dict(notes))))

    async def resume(self) -> None:
        """After a start: go on with every journey that was under way."""
        self.monitors.resume()
        for _, note in self._store.notes(JOURNEY_NOTES):
            self._enter(await self._rooted(decode_journey(note)))

    async def stop(self) -> None:
        """Let go of all journeys; the store keeps them."""
        self._stopping = True
        await self.monitors.stop()
        await asyncio.gather(*self._owned, return_exceptions=True)
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def tell(self, event: dict[str, Any]) -> None:
        """Pass on what an evaluation says while it runs, such as a token of a model, with its root."""
        root = self._roots.get((event.get("process", ""), event.get("message", "")))
        self._hub.publish({**event, "kind": event.get("event", "token"), "root": root})

    async def _admit(self, journey: Journey, placing: Placing) -> Assignment:
        if self._stopping:
            raise NotYet("the messenger is stopping", "Send it again in a moment.")
        if self._room.full:
            raise NotYet(f"{self._room.roots} messages are under way", "Send it again in a moment.")
        # A task of our own: a user who hangs up must not leave a durable journey that nobody walks.
        return await asyncio.shield(self._own(self._begin(journey, placing)))

    def _own(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that is awaited at the stop."""
        task = asyncio.create_task(work)
        self._owned.add(task)
        task.add_done_callback(self._owned.discard)
        return task

    async def _begin(self, journey: Journey, placing: Placing) -> Assignment:
        noted = replace(placing, notes={journey_key(journey): encode_journey(journey)})
        (answer,) = await self._schedules.place_all([noted])
        if isinstance(answer, Refused):
            raise answer.error
        root = journey.root or answer.assignment.id
        if answer.new:
            self._hub.publish(_news("accepted", root, journey))
            self._start_placed(replace(journey, root=root), answer.assignment)
        elif not self._room.alive(root):
            self._hub.publish({"kind": "finished", "root": root})
        return answer.assignment

    # Journeys as tasks

    def _start_placed(self, journey: Journey, assignment: Assignment) -> None:
        news = _news("assigned", journey.root, journey)
        self._hub.publish({**news, "nonce": assignment.nonce, "assignment": assignment.id})
        self._enter(journey, assignment)

    def _enter(self, journey: Journey, assignment: Assignment | None = None) -> None:
        if not self._stopping and self._room.arrive(journey.root):
            self._walk(journey, assignment)

    def _walk(self, journey: Journey, assignment: Assignment | None = None) -> None:
        key = journey_key(journey)
        if key not in self._running:
            self._room.run(journey.root)
            self._roots[journey.process, journey.item] = journey.root
            self._running[key] = asyncio.create_task(self._travel(journey, assignment), name=f"journey {key}")

    def _leave(self, journey: Journey) -> None:
        del self._running[journey_key(journey)]
        del self._roots[journey.process, journey.item]
        if self._stopping:
            return
        if self._room.leave(journey.root):
            self._hub.publish({"kind": "finished", "root": journey.root})
        elif self._room.resting(journey.root) and self._room.hungry():
            self._wake_soon()

    def _wake_soon(self) -> None:
        self._wake_again = True
        if not self._waking:
            self._waking = True
            self._own(self._wake())

    async def _wake(self) -> None:
        """Start journeys that rest, of every root with room. Ids are spread evenly, so any part of them is as good."""
        try:
            while self._wake_again and not self._stopping:
                self._wake_again = False
                for first in ID_CHARACTERS:
                    for key, note in self._store.notes(JOURNEY_NOTES + first):
                        await self._walk_rested(key, decode_journey(note))
                    if not self._room.hungry():
                        break
                    await asyncio.sleep(0)
        finally:
            self._waking = False

    async def _walk_rested(self, key: str, journey: Journey) -> None:
        journey = await self._rooted(journey)
        if key not in self._stuck and self._room.resting(journey.root) and self._room.has_room(journey.root):
            self._walk(journey)

    async def _rooted(self, journey: Journey) -> Journey:
        """An assignment by id is its own root, and was written down before it had an id."""
        if journey.root:
            return journey
        try:
            _, assignment = await self._schedules.place(journey.process, journey.item)
        except NodeError as error:
            log.warning("the assignment of %s is not to be had now: %s", journey.item, error)
            return replace(journey, root=journey.item)
        return replace(journey, root=assignment.id)

    async def _travel(self, journey: Journey, assignment: Assignment | None = None) -> None:
        here: Journey | None = journey
        attempt = 0
        try:
            while here is not None:
                try:
                    here = await self._step(here, assignment)
                    attempt = 0
                    continue
                except NodeError as error:
                    # Whatever is away or full may come back. A message that was acknowledged is not given up.
                    log.info("journey of %s waits: %s", journey.item, error)
                    assignment = None  # whether it goes on, and from where, is read again
                await self._sleep(min(RETRY_FIRST_S * 2**attempt, RETRY_LONGEST_S))
                attempt = min(attempt + 1, 16)
        except Exception as bug:
            self._stuck.add(journey_key(journey))
            log.exception("the journey of %s stops until the next start", journey.item)
            self._hub.publish({**_news("failed", journey.root, journey), "error": f"{type(bug).__name__}: {bug}"})
        finally:
            self._leave(journey)

    async def _step(self, journey: Journey, assignment: Assignment | None) -> Journey | None:
        """Take a journey through its next durable step; None when that was the last.

        `assignment` is its place, None when it has to be looked up.
        """
        if assignment is None:
            if self._store.note(journey_key(journey)) is None:
                return None  # it ended between the reading of its note and now
            _, assignment = await self._schedules.place(journey.process, journey.item)
        after, command = advance(journey, Assigned(assignment))
        if isinstance(command, Evaluate):
            after, command = advance(journey, await self._evaluate(journey, assignment))
        change = {journey_key(journey): encode_journey(after) if after is not None else None}
        match command:
            case Send(parcels):
                await self._send(parcels, journey, change)
            case End(why):
                await self._schedules.place_all([], (), change)
                self._hub.publish({**_news("failed", journey.root, journey), "error": why})
        return after

    async def _evaluate(self, journey: Journey, assignment: Assignment) -> Evaluated | Failed:
        try:
            result = await self._results.result(journey.process, journey.item)
        except Invalid as error:
            return Failed(error)
        news = _news("evaluated", journey.root, journey)
        shown = {"nonce": assignment.nonce, "data": _shown(result.output), "error": result.error}
        self._hub.publish({**news, **shown, "gas": result.gas_used})
        return Evaluated(result, self._sender(journey.process))

    def _sender(self, process: ProcessId) -> Sender:
        sender = self._senders.get(process)
        if sender is None:
            item = self._store.view(process)
            if item is None:
                raise NotYet(f"process item {process} is not on this node", "Upload it.")
            sender = Sender(process, tag(item, "Module") or "", tag(item, "Scheduler") or "")
            if len(self._senders) >= SENDERS_MAX:
                del self._senders[next(iter(self._senders))]
            self._senders[process] = sender
        return sender

    # Sending

    async def _send(self, parcels: list[Parcel], parent: Journey, change: dict[str, bytes | None]) -> None:
        """Sign the parcels and hand them over, with the change of their parent's journey, as one durable step."""
        placings: list[Placing] = []
        children: list[Journey] = []
        stored: list[DataItem] = []
        dropped: list[Dropped] = []
        for index, parcel in enumerate(parcels):
            try:
                for placing, child in await self._prepare(parcel, parent, stored, dropped):
                    placings.append(replace(placing, notes={journey_key(child): encode_journey(child)}))
                    children.append(child)
            except Invalid as error:
                dropped.append(Dropped(type(parcel).__name__, index, str(error)))
        answers = await self._schedules.place_all(placings, stored, change)
        for drop in dropped:
            news = {"entry": f"{drop.box}[{drop.index}]", "error": drop.why}
            self._hub.publish({**_news("failed", parent.root, parent), **news})
        for item in stored:
            self._tell_stored(item, parent)
        for child, answer in zip(children, answers, strict=True):
            self._follow(child, answer)

    async def _prepare(
        self, parcel: Parcel, parent: Journey, stored: list[DataItem], dropped: list[Dropped]
    ) -> list[tuple[Placing, Journey]]:
        """Sign a parcel: what is to be placed is returned, what is only to be kept is added to `stored`."""
        match parcel:
            case Letter(target, anchor, tags, data, assign_to):
                item = sign_item(self._wallet, data=data, tags=tags, target=target, anchor=anchor)
                placings = [
                    (Placing(process=ProcessId(process), item=item, item_id=item.id), _shared(parent, item.id, process))
                    for process in assign_to
                ]
                if await self._schedules.knows(target):
                    child = Journey(item.id, ProcessId(target), parent.root, parent.orphan)
                    return [(Placing(item=item), child), *placings]
                stored.append(item)
                return placings
            case Birth(tags, data, spawner, reply):
                item = sign_item(self._wallet, data=data, tags=tags)
                child = Journey(item.id, ProcessId(item.id), parent.root, parent.orphan, spawner, reply)
                return [(Placing(item=item), child)]
            case Share(process, item_id, exclude, settled):
                child = _shared(parent, item_id, process)
                return [(Placing(process=process, item_id=item_id, exclude=exclude, settled=settled), child)]
            case Dropped():
                dropped.append(parcel)
        return []

    def _follow(self, child: Journey, answer: Placed | Refused) -> None:
        if isinstance(answer, Refused):
            self._hub.publish({**_news("failed", child.root, child), "error": str(answer.error)})
        elif answer.new:
            self._start_placed(child, answer.assignment)

    def _tell_stored(self, item: DataItem, parent: Journey) -> None:
        event = {"kind": "stored", "root": parent.root, "process": parent.process, "message": item.id}
        shown = to_feed(item)
        data = _cut(shown["data"])
        shown_item = {"target": item.target, "item": {**shown, "data": data}, "cut": len(data) < len(shown["data"])}
        self._hub.publish({**event, **shown_item})


def _shared(parent: Journey, item_id: str, process: str) -> Journey:
    # What comes out of an assignment bears no Pushed-For on the network, so neither does ours.
    return Journey(item_id, ProcessId(process), parent.root, orphan=True)


def _news(kind: str, root: str, journey: Journey) -> dict[str, Any]:
    return {"kind": kind, "root": root, "process": journey.process, "message": journey.item}


def _shown(output: Any) -> Any:
    """What a person is shown of an output: aos wraps it in an object."""
    return _cut(output.get("data", "") if isinstance(output, dict) else output)


def _cut(shown: Any) -> Any:
    """Long texts by their beginning, and no large objects: listeners' queues are counted in events."""
    if isinstance(shown, (dict, list)):
        shown = msgspec.json.encode(shown).decode()
    return shown[:EVENT_TEXT_MAX] if isinstance(shown, str) else shown


def not_an_item(error: Invalid) -> Invalid:
    """Why a body is no signed item, with the text that clients know. Source: 2.1."""
    wanted = "'body': A valid and signed data item must be provided as the body."
    return Invalid(f"{wanted} ({error.what})", error.todo)


def _check_signature(item: DataItem) -> None:
    try:
        verify_item(item)
    except Invalid as error:
        raise not_an_item(error) from error


def _checked_kind(item: DataItem) -> str:
    """Message or Process, if it is what the messenger asks of a user's item.

    Raises Invalid with the texts of protocol reference 2.1.
    """
    if PROTOCOL not in item.tags:
        raise Invalid("Tag 'Data-Protocol': must contain 'ao'")
    kind = next((value for name, value in item.tags if name == "Type" and value in ("Message", "Process")), "")
    if not kind:
        raise Invalid("Tag 'Type': must be either 'Process' or 'Message'")
    if kind == "Process" and tag(item, "Scheduler") is None:
        raise Invalid("No Scheduler tag found on 'Process' DataItem")
    return kind
