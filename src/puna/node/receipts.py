"""Writes the receipt of every answered request, once: whenever the log holds an answer without one, it is added.

Started by the node. What a receipt says comes from the log alone (services/receipts.py) and the operator's signature
is deterministic, so nothing is lost or doubled when the node is killed between an answer and its receipt: the note
that says how far it got goes down in the same append, and the next start goes on from there.
"""

import asyncio
import logging
from collections.abc import Callable

from puna.ao.events import Event, Hub, Subscription
from puna.ao.message import tag
from puna.arweave.dataitem import DataItem
from puna.arweave.store.port import Entry, Store
from puna.arweave.wallet import Wallet
from puna.errors import Missing, NodeError
from puna.services.network import Network
from puna.services.receipts import find_receipt, gather, receipt_item, responses_after

log = logging.getLogger("puna")

SEEN = "receipts/seen"  # the place in the log of the last answer that was looked at
PAGE = 100


class Receipts:
    """`start` it when the network stands, `stop` it before the store closes."""

    def __init__(self, store: Store, wallet: Wallet, hub: Hub, network: Callable[[], Network]):
        self._store, self._wallet, self._hub, self._network = store, wallet, hub, network
        self._task: asyncio.Task[None] | None = None

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
        await self._look()
        due: dict[str, bool] = {}  # journeys in which the herder spoke; whether nobody has looked since
        async with subscription:
            async for event in subscription:
                if self._may_hold_answer(event, due):
                    await self._look()

    async def _look(self) -> None:
        try:
            await self._catch_up()
        except NodeError as error:
            log.warning("receipts have to wait: %s", error)
        except Exception:
            log.exception("receipts met a bug")

    def _may_hold_answer(self, event: Event, due: dict[str, bool]) -> bool:
        """Whether an answer may be in the log that was not there before this event.

        An answer to a wallet is stored, one to a process is given a place; both are in the log by then.
        """
        kind, root, network = event["kind"], event.get("root") or "", self._network()
        if kind == "evaluated" and event.get("process") == network.herder:
            due[root] = True
        if kind == "finished":
            return due.pop(root, False)
        if kind == "stored":
            holds = {"name": "Action", "value": "Inference-Response"} in event.get("item", {}).get("tags", ())
        else:
            ours = (network.token, network.herder, *network.workers)
            holds = kind == "assigned" and root in due and event.get("process") not in ours
        if holds and root in due:
            due[root] = False
        return holds or kind == "gap"

    async def _catch_up(self) -> None:
        network = self._network()
        seen = int(self._store.note(SEEN) or 0)
        while entries := responses_after(self._store, network.herder, network.authority, seen, PAGE):
            for entry in entries:
                await self._write(entry, network)
                seen = entry.sequence

    async def _write(self, entry: Entry, network: Network) -> None:
        notes, response = {SEEN: str(entry.sequence).encode()}, entry.item
        item = find_receipt(self._store, response.id)
        payment = ""
        if item is None:
            try:
                receipt = gather(self._store, network.token, network.herder, network.authority, response)
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
