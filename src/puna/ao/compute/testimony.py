"""What a compute unit signs: result attestations and checkpoints. Pure; written by `unit.py`, read by verify.

An attestation says: after this message of this process the result was this and the memory had this state root.
A checkpoint holds the memory itself. Source: protocol reference 4.9; Type=Result is ours.
"""

import hashlib
from dataclasses import dataclass

from puna.arweave.dataitem import DataItem
from puna.arweave.ids import b64url_encode
from puna.arweave.tags import Tag
from puna.errors import Invalid
from puna.vm.stateroot import RULE

from ..assignment import HEIGHT_DIGITS, Assignment
from ..message import PROTOCOL, VARIANT, tag
from ..result import Result
from .cron import Tick

SNAPSHOT_FORMAT = "puna-snapshot-1"
INCREMENT_FORMAT = "puna-increment-1"
FIRST_RULE = "puna-state-1"  # of state roots whose item does not say


@dataclass(frozen=True, slots=True)
class Attestation:
    """One attested evaluation; `state_root` is b64url of 32 bytes, `encoded` the result's bytes as signed.

    `rule` names the definition of the state root; one of another rule than ours can be compared with nothing.

    Of a cron message `message` is its identity, `nonce` the entry before it, `tick` which one after that, from 1.
    """

    item: DataItem
    process: str
    message: str
    nonce: int
    state_root: str
    encoded: bytes
    tick: int = 0
    timestamp_ms: int = 0  # of a cron message
    rule: str = RULE

    @property
    def result(self) -> Result:
        return Result.decode(self.encoded)


def attestation_tags(assignment: Assignment, state_root: bytes, gas_used: int) -> tuple[Tag, ...]:
    return (
        PROTOCOL,
        VARIANT,
        Tag("Type", "Result"),
        Tag("Process", assignment.process),
        Tag("Message", assignment.item_id),
        Tag("Nonce", str(assignment.nonce)),
        Tag("State-Root", b64url_encode(state_root)),
        Tag("State-Rule", RULE),
        Tag("Gas-Used", str(gas_used)),
        Tag("Content-Type", "application/json"),
    )


def tick_tags(process: str, nonce: int, number: int, tick: Tick, state_root: bytes, gas_used: int) -> tuple[Tag, ...]:
    """The tags of a cron message's attestation: the `number`-th after entry `nonce`, from 1.

    It has an Ordinate and no Nonce, for it has no place in the schedule.
    """
    return (
        PROTOCOL,
        VARIANT,
        Tag("Type", "Result"),
        Tag("Process", process),
        Tag("Cron-Interval", tick.cron.name),
        Tag("Ordinate", str(nonce)),
        Tag("Tick", str(number)),
        Tag("Timestamp", str(tick.timestamp_ms)),
        Tag("Block-Height", f"{tick.block_height:0{HEIGHT_DIGITS}d}"),
        Tag("State-Root", b64url_encode(state_root)),
        Tag("State-Rule", RULE),
        Tag("Gas-Used", str(gas_used)),
        Tag("Content-Type", "application/json"),
    )


def read_attestation(item: DataItem) -> Attestation:
    """Read an attestation. Raises Invalid when a tag is missing."""
    of_tick = tag(item, "Cron-Interval") is not None
    numbers = ("Ordinate", "Tick", "Timestamp") if of_tick else ("Nonce",)
    names = ("Process", "Cron-Interval" if of_tick else "Message", "State-Root", *numbers)
    values = {name: tag(item, name) or "" for name in names}
    wrong = [name for name, value in values.items() if not value or (name in numbers and not value.isdecimal())]
    if wrong:
        raise Invalid(f"item {item.id} is no result attestation: {', '.join(wrong)} is wrong")
    process, message, state_root, *counts = values.values()
    nonce, tick, timestamp_ms = (*map(int, counts), 0, 0)[:3]
    data, rule = bytes(item.data), state_rule(item)
    return Attestation(item, process, message, nonce, state_root, data, tick, timestamp_ms, rule)


def state_rule(item: DataItem) -> str:
    """By which definition the State-Root of an attestation or a checkpoint was computed."""
    return tag(item, "State-Rule") or FIRST_RULE


def checkpoint_tags(
    module_id: str,
    last: Assignment,
    ticks: int,
    state_root: bytes,
    snapshot: bytes,
    unit: str,
    parent: str | None = None,
) -> tuple[Tag, ...]:
    """The tags of a checkpoint after `last` and the `ticks` cron messages that follow it.

    `parent` is the id of the checkpoint that this one is an increment to. `SHA-256` is of the data as stored. Our
    snapshots are compressed inside, in a form of their own, so there is no Content-Encoding.
    """
    return (
        PROTOCOL,
        VARIANT,
        Tag("Type", "Checkpoint"),
        Tag("Module", module_id),
        Tag("Process", last.process),
        Tag("Nonce", str(last.nonce)),
        Tag("Timestamp", str(last.timestamp_ms)),
        Tag("Block-Height", f"{last.block_height:0{HEIGHT_DIGITS}d}"),
        Tag("Content-Type", "application/octet-stream"),
        Tag("SHA-256", hashlib.sha256(snapshot).hexdigest()),
        Tag("Snapshot-Format", SNAPSHOT_FORMAT if parent is None else INCREMENT_FORMAT),
        Tag("Unit-Identifier", unit),
        Tag("Ordinate", str(last.nonce)),
        Tag("Assignment", last.id),
        Tag("Hash-Chain", b64url_encode(last.hash_chain)),
        Tag("Epoch", str(last.epoch)),
        Tag("State-Root", b64url_encode(state_root)),
        Tag("State-Rule", RULE),
        *((Tag("Tick", str(ticks)),) if ticks else ()),
        *((Tag("Parent", parent),) if parent is not None else ()),
    )
