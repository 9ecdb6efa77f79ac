"""The desk: every request to the herd of this node, followed from its payment to its receipt by one listener.

Run by the node; asked by its doors. `ask` in `client.py` follows one request through all of a node's events; here one
reader does it for all of them, so a thousand callers cost no more evaluations read than one. What happened to a
request is news for those who follow it; the truth is in the store, where it is looked up whenever news were missed.
"""

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from puna.ao.events import Event
from puna.ao.link import Link
from puna.ao.message import tag
from puna.arweave.store.port import Query, Store
from puna.errors import NodeError, NotYet

from ..network import Network
from ..outbox import Sent, sent
from ..receipts import find_receipt
from .batch import unfolded
from .client import Inquiry, Ticker, advance, answer_text, refused

KEPT_MAX = 256  # requests that ended and are still remembered; after that the store is asked
FOLLOWERS_MAX = 256  # of one request
log = logging.getLogger("puna")


@dataclass(frozen=True, slots=True)
class News:
    """One thing that happened to a request: more text, or a new state.

    `state` is `paid`, `queued`, `running`, `answered` or `refunded`; the last two end it. With text it is `running`.
    """

    state: str
    text: str = ""


@dataclass(eq=False)
class Case:
    """One request. Whoever follows it hears all its news, from the first on, and then the end."""

    inquiry: Inquiry
    state: str = "paid"
    credit: str = ""
    root: str = ""
    response: str = ""
    receipt: str = ""
    trouble: str = ""
    told: list[News] = field(default_factory=list)
    over: bool = False
    _followers: set[asyncio.Event] = field(default_factory=set)

    def __post_init__(self):
        self.ticker = Ticker(lambda text: self._tell(News("running", text)))

    @property
    def answer(self) -> Sent | None:
        return self.inquiry.answered

    @property
    def text(self) -> str:
        """What was said so far; once it is over, exactly the committed answer."""
        return "".join(news.text for news in self.told)

    def move(self, state: str) -> None:
        if state != self.state and not self.over:
            self.state = state
            self._tell(News(state))

    def end(self, state: str) -> None:
        if not self.over:
            self.state, self.over = state, True
            self._tell(News(state))

    def _tell(self, news: News) -> None:
        self.told.append(news)
        for follower in self._followers:
            follower.set()

    async def follow(self) -> AsyncIterator[News]:
        """All news from the beginning, as they come; ends after the last. Raises NotYet where too many listen."""
        if len(self._followers) >= FOLLOWERS_MAX:
            raise NotYet("Too many follow this request already.", "Ask for its receipt when it has ended.")
        wake, heard = asyncio.Event(), 0
        self._followers.add(wake)
        try:
            while True:
                while heard < len(self.told):
                    heard += 1
                    yield self.told[heard - 1]
                if self.over:
                    return
                wake.clear()
                await wake.wait()
        finally:
            self._followers.discard(wake)


class Desk:
    """The requests under way. `start` it when the units run, `stop` it before them."""

    def __init__(self, link: Link, store: Store, network: Callable[[], Network]):
        self._link, self._store, self._network = link, store, network
        self._cases: OrderedDict[str, Case] = OrderedDict()  # by transfer, the oldest first
        self._open: dict[str, Case] = {}  # those of them that did not end
        self._by_label: dict[tuple[str, str], list[Case]] = defaultdict(list)  # the open ones, by payer and reference
        self._by_worker: dict[tuple[str, int], Case] = {}  # and by the place among the jobs that it got at once
        self._missed = False  # some news, once: then every end is looked for in the store, too
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        listening = asyncio.Event()
        self._task = asyncio.create_task(self._listen(listening), name="desk")
        await listening.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        trouble = NotYet("The node is stopping.", "What was paid is not lost: ask for the receipt when it runs again.")
        for case in list(self._open.values()):
            self._fail(case, trouble)

    def expect(self, payer: str, reference: str, transfer: str) -> Case:
        """Follow a request from before its payment is handed over."""
        network = self._network()
        return self._take(Inquiry(payer, reference, transfer, network.token, network.herder))

    def forget(self, case: Case) -> None:
        """Its payment was never handed over."""
        self._close(case)
        self._cases.pop(case.inquiry.transfer, None)

    def find(self, name: str) -> Case | None:
        """A request by the id of its transfer or Credit-Notice, of its answer or receipt, or by its reference.

        Of several with the same reference the newest one.
        """
        if name in self._cases:
            return self._cases[name]
        for case in reversed(self._cases.values()):
            if name in (case.credit, case.response, case.receipt, case.inquiry.reference):
                return case
        return None

    # Reading the node's news

    async def _listen(self, listening: asyncio.Event) -> None:
        async with self._link.events() as events:
            listening.set()
            async for event in events:
                try:
                    await self._see(event)
                except NodeError as error:
                    log.warning("the desk could not read an event: %s", error)
                    self._missed = True
                except Exception:
                    log.exception("the desk met a bug")

    async def _see(self, event: Event) -> None:
        kind, process = event["kind"], event.get("process")
        network = self._network()
        if kind == "token":
            if case := self._by_worker.get((process, event.get("place", 0))):
                case.ticker.hear(event.get("index", 0), event.get("text", ""), event.get("tokens", 1))
        elif kind == "evaluated" and process == network.token:
            await self._token_spoke(event)
        elif kind == "evaluated" and process == network.herder:
            await self._herder_spoke(event)
        elif kind == "assigned" and process == network.herder:
            if case := self._open.get(event.get("root") or ""):
                case.credit = case.credit or event["message"]
        elif kind == "failed":
            if case := self._open.get(event.get("root") or ""):
                case.trouble = str(event.get("error", ""))
        elif kind == "finished":
            self._finished(event.get("root") or "")
        elif kind == "receipt":
            self._receipt(event)
        elif kind == "gap":
            self._missed = True
            self._look_up()

    async def _token_spoke(self, event: Event) -> None:
        message, network = event["message"], self._network()
        result = await self._link.result(network.token, message)
        entries = sent(result.messages)
        case = self._open.get(message)
        if case is None:
            for entry in entries:
                if entry.action == "Credit-Notice" and entry.target == network.herder and "X-Reason" not in entry.tags:
                    payer, reference = entry.tags.get("Sender", ""), entry.tags.get("X-Reference", "")
                    case = self._take(Inquiry(payer, reference, message, network.token, network.herder))
        for each in {id(c): c for c in (case, *self._due()) if c is not None}.values():
            self._advance(each, network.token, message, result.error, entries)

    def _due(self) -> list[Case]:
        return [case for case in self._open.values() if case.inquiry.refund_due]

    async def _herder_spoke(self, event: Event) -> None:
        message, network = event["message"], self._network()
        result = await self._link.result(network.herder, message)
        concerned: dict[int, Case] = {}
        if (case := self._open.get(event.get("root") or "")) and case.credit in ("", message):
            concerned[id(case)] = case
        entries = unfolded(sent(result.messages))
        for entry in entries:
            payer = entry.tags.get("Client") if entry.action == "Inference" else entry.target
            for case in self._by_label.get((payer or "", entry.tags.get("X-Reference", "")), ()):
                concerned[id(case)] = case
        for case in concerned.values():
            self._advance(case, network.herder, message, result.error, entries)

    def _advance(self, case: Case, process: str, message: str, error: Any, entries: Sequence[Sent]) -> None:
        before, case.inquiry = case.inquiry, advance(case.inquiry, process, message, error, entries)
        now = case.inquiry
        if (now.worker, now.place, now.job) != (before.worker, before.place, before.job):
            self._let_go(case)
            self._by_worker[now.worker, now.place] = case
            case.move("running")
        elif now.taken and not before.taken and not now.ended:
            case.move("queued")
        if now.answered is not None and before.answered is None:
            self._let_go(case)
            case.ticker.settle(answer_text(now.answered))
        if now.failure is not None and not now.refund_due:
            self._fail(case, now.failure)

    def _finished(self, root: str) -> None:
        if self._missed:  # of which requests we do not know
            self._look_up()
            self._missed = bool(self._open)
        case = self._open.get(root)
        if case is not None and not case.credit and not case.inquiry.taken and not case.inquiry.ended:
            why = f": {case.trouble}" if case.trouble else ""
            self._fail(case, NotYet(f"The payment did not reach the herder{why}.", "Look at your balance."))

    def _receipt(self, event: Event) -> None:
        label = event.get("payer", ""), event.get("reference", "")
        case = self._open.get(event.get("payment") or "") or next(iter(self._by_label.get(label, ())), None)
        if case is None:
            return
        if case.answer is None:  # its news were missed
            self._look_up_one(case)
        if not case.over:
            self._complete(case, event["response"], event["message"])

    def _complete(self, case: Case, response: str, receipt: str) -> None:
        case.response, case.receipt = response, receipt
        self._close(case)
        case.end("answered")

    # Cases

    def _take(self, inquiry: Inquiry) -> Case:
        case = self._cases[inquiry.transfer] = self._open[inquiry.transfer] = Case(inquiry)
        self._by_label[inquiry.payer, inquiry.reference].append(case)
        ended = (key for key, each in self._cases.items() if each.over)
        for key in list(islice(ended, max(len(self._cases) - KEPT_MAX, 0))):
            del self._cases[key]
        return case

    def _let_go(self, case: Case) -> None:
        for worker in [worker for worker, each in self._by_worker.items() if each is case]:
            del self._by_worker[worker]

    def _close(self, case: Case) -> None:
        self._let_go(case)
        self._open.pop(case.inquiry.transfer, None)
        label = case.inquiry.payer, case.inquiry.reference
        left = [each for each in self._by_label.pop(label, ()) if each is not case]
        if left:
            self._by_label[label] = left

    def _fail(self, case: Case, failure: NodeError) -> None:
        case.inquiry = replace(case.inquiry, failure=failure)
        self._close(case)
        case.end("refunded")

    # What the store says of requests whose news were missed

    def _look_up(self) -> None:
        for case in list(self._open.values()):
            self._look_up_one(case)

    def _look_up_one(self, case: Case) -> None:
        end = end_of(self._store, self._network(), case.inquiry.payer, case.inquiry.reference, case.credit)
        if end is None:
            return
        if end.action == "Inference-Error":
            self._fail(case, refused(end))
            return
        if case.answer is None:
            case.inquiry = replace(case.inquiry, answered=end, taken=True)
            case.ticker.settle(answer_text(end))
        if receipt := find_receipt(self._store, case.inquiry.transfer):
            self._complete(case, tag(receipt, "Response") or "", receipt.id)


def end_of(store: Store, network: Network, payer: str, reference: str, credit: str = "") -> Sent | None:
    """How a request ended, by what the herder sent its payer; None while it did not."""
    query = Query(
        owners=(network.authority,), recipients=(payer,),
        tags=(("From-Process", (network.herder,)), ("Action", ("Inference-Response", "Inference-Error")),
              ("X-Reference", (reference,))),
        newest_first=True,
    )  # fmt: skip
    for entry in store.find(query):
        tags = dict(reversed(entry.item.tags))
        if not credit or tags.get("Payment", credit) == credit:
            return Sent(entry.item.target, tags, bytes(entry.item.data).decode(errors="replace"))
    return None
