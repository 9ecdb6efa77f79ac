"""What the other units need of a scheduler, whether it is in this process or on another machine.

`unit.SchedulerUnit` is the one at hand. Requests are values so that one outbox becomes one durable step.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from puna.arweave.archive import Item
from puna.arweave.dataitem import DataItem
from puna.clock import Tip
from puna.errors import NodeError

from ..assignment import Assignment
from ..message import ProcessId


class Placing(msgspec.Struct, frozen=True):
    """A wish to give an item a place.

    Without `process` the item goes where it says itself (a message to its target, a process to itself); with
    `process`, the item or layer-1 transaction of id `item_id`, which the weave has, is assigned there. `settled`
    wants it to have as many confirmations as the process asks for. `notes` become durable no later than the
    assignment, and only if it is a new one.
    """

    item: DataItem | None = None
    process: ProcessId | None = None
    item_id: str = ""
    exclude: tuple[str, ...] = ()
    settled: bool = False
    notes: Mapping[str, bytes | None] = {}


class Placed(msgspec.Struct, frozen=True):
    """The answer to a Placing: its assignment, and whether this request made it or an earlier one did."""

    assignment: Assignment
    new: bool


class Refused(msgspec.Struct, frozen=True):
    """The answer to a Placing that broke a rule; its siblings are unharmed."""

    error: NodeError


Entry = tuple[Item | None, Assignment]


class Schedules(Protocol):
    """Any scheduler. `place_all` answers once everything in the request is durable."""

    @property
    def address(self) -> str: ...

    async def place_all(
        self,
        placings: Sequence[Placing],
        items: Sequence[DataItem] = (),
        notes: Mapping[str, bytes | None] = {},
    ) -> list[Placed | Refused]:
        """Place in the given order; keep `items` without a place; write `notes` in any case. Verified items only."""
        ...

    async def knows(self, process: str) -> bool: ...

    async def place(self, process: ProcessId, item_id: str) -> Entry:
        """The entry of a message id or an assignment id. Raises Missing."""
        ...

    async def assignments(self, process: ProcessId, after_nonce: int = -1, limit: int = 100) -> list[Entry]: ...

    async def present(self) -> Tip:
        """A moment with nothing more to come before it: whatever is assigned from now on is not earlier."""
        ...

    async def newest(self, process: ProcessId) -> int:
        """The nonce of the newest assignment. Raises Missing."""
        ...

    async def heads(self) -> list[tuple[ProcessId, int]]:
        """Every process with the nonce of its newest assignment."""
        ...
