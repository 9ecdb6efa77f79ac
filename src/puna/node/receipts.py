"""Writes the receipt of every answered request, once: whenever the log holds an answer without one, it is added.

Started by the node. What a receipt says comes from the log alone (services/receipts.py); the node's news only tell when
there is an answer, and which. A note says up to where in the log every answer was looked at. It is moved now and then:
whoever starts after a kill looks at all answers from there on, and finds those that have their receipt.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from puna.ao.events import Event, Hub, Subscription
from puna.ao.message import tag
from puna.arweave.dataitem import DataItem
from puna.arweave.store.port import Store
from puna.arweave.wallet import Wallet
from puna.errors import Missing, NodeError
from puna.services.network import Network
from puna.services.receipts import find_receipt, gather, receipt_item, responses, responses_after

log = logging.getLogger("puna")

SEEN = "receipts/seen"  # the place in the log up to which each answer was looked at
PAGE = 100
AHEAD_MAX = 64  # answers looked at beyond that place: so many more are looked at again after a kill


class Receipts:
    """`start` it when the network stands, `stop` it before the store closes."""

    def __init__(self, store: Store, wallet: Wallet, hub: Hub, network: Callable[[], Network]):
        self._store, self._wallet, self._hub, self._network = store, wallet, hub, network
        self._task: asyncio.Task[None] | None = None
        self._seen = 0
        self._ahead: set[str] = set()  # answers beyond that place that were looked at

    async def start(self) -> None:
        """Complete what is missing, in the background, and follow the log."""
        subscription = self._hub.subscribe(tokens=False)
        self._task = asyncio.create_task(self._follow(subscription), name="receipts")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def _follow(self, subscription: Subscription) -> None:
        behind = not await self._look(self._catch_up())
        spoken: dict[str, _Spoken] = {}  # by journey, what the herder evaluated last
        async with subscription:
            async for event in subscription:
                kind, root = event["kind"], event.get("root") or ""
                if kind == "evaluated" and event.get("process") == self._network().herder:
                    spoken[root] = _Spoken(event["message"])
                answers = self._may_be_answer(event, spoken)
                last = spoken.pop(root, None) if kind == "finished" else spoken.get(root)
                # A journey that ends without an answer after the herder's last word: it may have come another way.
                if kind == "gap" or (kind == "finished" and last and not last.seen) or (answers and behind):
                    behind = not await self._look(self._catch_up())
                elif answers:
                    behind = not await self._look(self._write_told(event["message"], last.message if last else ""))

    async def _look(self, work: Awaitable[None]) -> bool:
        try:
            await work
            return True
        except NodeError as error:
            log.warning("receipts have to wait: %s", error)
        except Exception:
            log.exception("receipts met a bug")
        return False

    def _may_be_answer(self, event: Event, spoken: dict[str, "_Spoken"]) -> bool:
        """Whether the message of an event may be an answer that was not in the log before.

        An answer to a wallet is stored, one to a process is given a place; both are in the log by then.
        """
        last = spoken.get(event.get("root") or "")
        if event["kind"] == "stored":
            holds = {"name": "Action", "value": "Inference-Response"} in event.get("item", {}).get("tags", ())
        elif event["kind"] == "assigned" and last is not None:
            network = self._network()
            holds = event.get("process") not in (network.token, network.herder, *network.workers)
        else:
            return False
        if holds and last is not None:
            last.seen = True
        return holds

    async def _catch_up(self) -> None:
        network = self._network()
        seen = self._seen = int(self._store.note(SEEN) or 0)
        while entries := responses_after(self._store, network.herder, network.authority, seen, PAGE):
            for entry in entries:
                if entry.item.id not in self._ahead:
                    notes = {SEEN: str(entry.sequence).encode()}
                    await self._write(entry.item, network, find_receipt(self._store, entry.item.id), "", notes)
                    self._seen = entry.sequence
                seen = entry.sequence
        if seen > self._seen:
            await self._store.append([], {SEEN: str(seen).encode()})
            self._seen = seen
        self._ahead.clear()

    async def _write_told(self, message: str, completion: str) -> None:
        """The receipt of an answer that came just now, if `message` is one; `completion` perhaps brought it."""
        network = self._network()
        for entry in self._store.find(replace(responses(network.herder, network.authority), ids=(message,))):
            if entry.sequence > self._seen and message not in self._ahead:
                # Nobody else writes receipts, so this one is not in the log yet.
                await self._write(entry.item, network, None, completion, {})
                self._ahead.add(message)
        if len(self._ahead) >= AHEAD_MAX:
            await self._catch_up()

    async def _write(
        self, response: DataItem, network: Network, item: DataItem | None, completion: str, notes: dict[str, bytes]
    ) -> None:
        """Write the receipt of an answer, along with notes, unless `item` is there already; and tell of it."""
        payment = ""
        if item is None:
            try:
                receipt = gather(self._store, network.token, network.herder, network.authority, response, completion)
                item, payment = receipt_item(self._wallet, receipt), receipt.payment.id
            except (Missing, KeyError) as error:
                # A published herder's answer, or one whose beginning is on another node: nothing to vouch for.
                log.warning("no receipt of %s: %s", response.id, error)
        await self._store.append([item] if payment else [], notes)
        self._tell(response, item, payment)

    def _tell(self, response: DataItem, item: DataItem | None, payment: str) -> None:
        """The news of a receipt; without one, `message` is "" and payer and reference say whose answer it was."""
        said = dict(reversed(response.tags))
        payment = payment or (tag(item, "Payment") or "" if item is not None else "")
        news = {"kind": "receipt", "root": payment, "process": said.get("From-Process", "")}
        news |= {"message": item.id if item is not None else "", "response": response.id, "payment": payment}
        self._hub.publish({**news, "payer": response.target, "reference": said.get("X-Reference", "")})


@dataclass
class _Spoken:
    """An evaluation of the herder: of which message, and whether an answer was seen since."""

    message: str
    seen: bool = False
