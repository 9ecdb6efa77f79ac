"""A journey: one placed item on its way to being evaluated and its outbox sent on. Pure; driven by `unit.py`.

A journey is a note in the store from before its item is acknowledged until its outbox is handed over, and the
outbox's own journeys are written in the same append that deletes it. So there is no moment at which a crash
could lose a message or send it twice. Source: protocol reference 2.5.
"""

import msgspec
from msgspec.structs import replace

from puna.arweave.tags import Tag
from puna.errors import NodeError

from ..assignment import Assignment
from ..message import ProcessId
from ..result import Result
from .address import EMPTY_DATA, Letter, Parcel, Sender, Share, address, spawned

JOURNEY_NOTES = "ao/journey/"


class Journey(msgspec.Struct, frozen=True):
    """`item` has a place in `process`; its result is to be carried on.

    `root` is the id of the item that began it all, "" for an assignment by id that is its own root. `orphan`: what
    it sends bears no Pushed-For. `spawner` is told of the new process by a message of tags `reply`, once. `share`
    is a process that gets this item as well, after it was evaluated.
    """

    item: str
    process: ProcessId
    root: str = ""
    orphan: bool = False
    spawner: str = ""
    reply: tuple[Tag, ...] = ()
    share: str = ""


class Assigned(msgspec.Struct, frozen=True):
    """The item has its place."""

    assignment: Assignment


class Evaluated(msgspec.Struct, frozen=True):
    """The item's result is attested; `sender` is the process that it belongs to."""

    result: Result
    sender: Sender


class Failed(msgspec.Struct, frozen=True):
    """The item can never be evaluated."""

    error: NodeError


class Send(msgspec.Struct, frozen=True):
    """Hand over these parcels, and in the same append keep, change or end the journey."""

    parcels: list[Parcel]


class Evaluate(msgspec.Struct, frozen=True):
    """Ask for the item's result."""


class End(msgspec.Struct, frozen=True):
    """Forget the journey and tell its listeners why."""

    why: str


Event = Assigned | Evaluated | Failed
Command = Send | Evaluate | End


def advance(journey: Journey, event: Event) -> tuple[Journey | None, Command]:
    """What a journey becomes through an event, None when it is over, and what is to be done first."""
    match event:
        case Assigned() if journey.spawner:
            # The spawner learns of its child before the child's first words can reach it.
            return replace(journey, spawner="", reply=()), Send([_birth_notice(journey)])
        case Assigned(assignment):
            return journey if journey.root else replace(journey, root=assignment.id), Evaluate()
        case Evaluated(result, sender):
            # The memory that wrote an outbox beside an error is undone, and would write the same references again.
            outbox = result if result.error is None else Result()
            parcels = address(outbox, sender, None if journey.orphan else journey.root)
            if journey.share:
                parcels.append(Share(ProcessId(journey.share), journey.item))
            return None, Send(parcels)
        case Failed(error):
            return None, End(str(error))


def encode_journey(journey: Journey) -> bytes:
    return msgspec.json.encode(journey)


def decode_journey(note: bytes) -> Journey:
    return msgspec.json.decode(note, type=Journey)


def journey_key(journey: Journey) -> str:
    """One note for each place: an item may have places in several processes."""
    return f"{JOURNEY_NOTES}{journey.item}/{journey.process}"


def _birth_notice(journey: Journey) -> Letter:
    tags = spawned(journey.reply, journey.process)
    return Letter(target=journey.spawner, anchor=b"", tags=tags, data=EMPTY_DATA)
