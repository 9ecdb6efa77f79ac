"""The three units of one node, wired to each other: who tells whom, in which order they start and stop.

Called by the node and by tests. Nothing here decides anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from puna.arweave.archive import Archive
from puna.arweave.store.port import Store
from puna.arweave.wallet import Wallet
from puna.clock import Clock

from .compute.port import Evaluators
from .compute.unit import ComputeUnit
from .events import Hub
from .link import LocalLink
from .messenger.unit import MessengerUnit
from .scheduler.unit import SchedulerUnit


@dataclass(frozen=True)
class Units:
    """Make with `wire`, then `resume` once the evaluators run; `stop` before they stop."""

    scheduler: SchedulerUnit
    compute: ComputeUnit
    messenger: MessengerUnit
    link: LocalLink
    hub: Hub = field(default_factory=Hub)

    @classmethod
    def wire(
        cls,
        store: Store,
        evaluators: Evaluators,
        clock: Clock,
        *,
        scheduler: Wallet,
        compute: Wallet,
        messenger: Wallet,
        archive: Archive | None = None,
        compute_options: Mapping[str, Any] = {},
        messenger_options: Mapping[str, Any] = {},
    ) -> "Units":
        """Units over one store, each with its wallet. `archive` is what they find beyond the store.

        The options are those of the units' constructors.
        """
        hub = Hub()
        scheduler_unit = SchedulerUnit(store, scheduler, clock, archive=archive)
        compute_unit = ComputeUnit(store, compute, scheduler_unit, evaluators, archive, **compute_options)
        messenger_unit = MessengerUnit(store, messenger, scheduler_unit, compute_unit, hub, **messenger_options)
        # Places that nobody carries, such as those posted to the scheduler by others, are evaluated all the same.
        scheduler_unit.on_assigned = compute_unit.nudge
        evaluators.on_event = messenger_unit.tell
        link = LocalLink(messenger_unit, scheduler_unit, compute_unit, hub)
        return cls(scheduler_unit, compute_unit, messenger_unit, link, hub)

    async def resume(self) -> None:
        """Take up everything that was under way when the node last stopped, in whatever manner it stopped."""
        await self.messenger.resume()
        await self.compute.resume()

    async def stop(self) -> None:
        """No new work; finish what is quick, checkpoint what was costly, leave the rest to the next start."""
        await self.messenger.stop()
        await self.compute.stop()
        await self.scheduler.stop()
