"""Client of the herder: prices, quotes, and `ask`, which pays, watches the inquiry, and returns the answer.

Called by the command line and by servers. Before anything is paid, everything that can be known to fail is checked.
What is known about a request under way is one record, `Inquiry`, advanced by what the processes sent.
"""

import asyncio
import base64
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain, repeat
from typing import Any, Protocol

import msgspec

from puna.ao.link import Events, Link
from puna.ao.message import owner_address
from puna.arweave.dataitem import DataItem
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, Missing, NodeError, NotYet

from .. import letters
from ..outbox import Sent, first, question, sent, sent_item
from ..token.client import balance, format_war
from .batch import PLACE, unfolded

PATIENCE_S = 30 * 60  # two workers may have failed by then, each in the ten minutes that the herder gives it
RECEIPT_PATIENCE_S = 5  # a node of ours writes it within milliseconds of the answer
# The herder looks at its deadlines whenever a message comes, and where nobody else writes, we do: soon, because a job
# may wait in company for a worker that died just then, and when the time of a worker that had it is over.
POKES_S = (5, 10 * 60 + 10)
SILENCE_S = 1.0  # an answer is told within milliseconds of the evaluation that sent it
LEASE_S = 10 * 60 - 10  # the herder gives a worker ten minutes or more before it asks another
STOPS_MAX = 4
STOP_BYTES_MAX = 64
REFERENCE_BYTES_MAX = 128
X_TAG_BYTES_MAX = 3500  # what the token carries on: the names and values of all X- tags


class Ids(Protocol):
    """What `ask` needs to know of a network; `genesis.Network` has it."""

    @property
    def token(self) -> str: ...
    @property
    def herder(self) -> str: ...


@dataclass(frozen=True)
class Prices:
    """What the herder publishes. Fees in winston; `multiplier` is decimal text, as exact as it was said."""

    base_fee: int
    token_fee: int
    multiplier: str
    queue_length: int
    tokens_max: int
    prompt_bytes_max: int
    workers_idle: int
    workers_in_service: int
    model: str
    text_bytes_max: int = 0  # of a prompt or a system text that is sent ahead of its payment
    counted_with_model: str = "words"  # or "tokens": how the prompt of a request that names a model is counted
    paused: bool = False
    queued_per_payer_max: int = 20


@dataclass(frozen=True)
class Quote:
    """What one prompt would cost now. `needed` is the least that is taken, `price` what is asked at the present
    multiplier, both in winston; times in milliseconds, estimated by the herder from past jobs. A prompt of more than
    `prompt_bytes_max` bytes does not fit into a payment and is sent ahead, up to `text_bytes_max`. `prompt_count` is
    the prompt's length in what is `counted`: "tokens" of the model where one is named and the herder has its tokenizer,
    else "words"."""

    needed: int
    price: int
    words: int
    tokens: int
    model: str
    queue_length: int
    ahead: int
    wait_ms: int
    duration_ms: int
    prompt_bytes_max: int
    prompt_count: int = 0
    counted: str = "words"
    text_bytes_max: int = 0


@dataclass(frozen=True)
class Answer:
    """An answer and its receipt. `tokens` counts what was generated; `model` is a name where the model has one.

    `canonical` says that the arithmetic was the one which any node can repeat bit by bit. `seconds_generate` runs
    from the worker's getting the job to its answer.

    Money: `paid_winston` was paid, `fee_winston` of it earned by the tokens really made, and `refund_winston` goes
    back: paid = fee + refund. `payment` is the message that brought the herder the money, `prompt_count` the length
    of the prompt in what was `counted`: "words" or the model's "tokens". `prompt_ids` and `token_ids` are what the
    model was given and what it made, in its own token numbers; empty where the worker did not tell, or they were too
    many. `receipt` is the id of the item with all of this, where `ask` waited for it.
    """

    text: str
    tokens: int
    prompt_tokens: int
    finish: str
    model: str
    model_id: str
    canonical: bool
    fee_winston: int
    reference: str
    transfer: str
    inference: str
    response: str
    token: str
    herder: str
    worker: str
    seconds_total: float
    seconds_first_token: float
    seconds_generate: float
    paid_winston: int = 0
    refund_winston: int = 0
    base_fee: int = 0
    token_fee: int = 0
    prompt_count: int = 0
    counted: str = "words"
    payment: str = ""
    arithmetic: str = ""
    temperature: str = "0"
    seed: str = "0"
    top_p: str = "1"
    prompt_ids: tuple[int, ...] = ()
    token_ids: tuple[int, ...] = ()
    receipt: str = ""


# Before paying -----------------------------------------------------------------------------------------------------


def count_words(prompt: str) -> int:
    """Words as the published price counts them: runs of ASCII letters and digits."""
    return len(re.findall(rb"[A-Za-z0-9]+", prompt.encode()))


def token_numbers(text: str) -> tuple[int, ...]:
    """Token numbers out of a tag: base64url without padding of unsigned LEB128. What is none of that is ()."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return ()
    numbers, number, shift = [], 0, 0
    for byte in packed:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number, shift = 0, 0
    return () if shift else tuple(numbers)


async def prices(link: Link, herder: str) -> Prices:
    """The herder's prices and limits, without a message on chain. Raises NotYet when it does not answer."""
    tags = (await consult(link, herder, herder, {"Action": "Info"}, "Info-Response")).tags
    if "Base-Fee" not in tags:
        raise NotYet(f"The process {herder} does not answer as a herder.", "Check the herder's id.")
    return Prices(
        base_fee=whole_number(tags, "Base-Fee"),
        token_fee=whole_number(tags, "Token-Fee"),
        multiplier=tags.get("Last-Multiplier", "1"),
        queue_length=whole_number(tags, "Queue-Length"),
        tokens_max=whole_number(tags, "Max-Tokens"),
        prompt_bytes_max=whole_number(tags, "Max-Prompt"),
        workers_idle=whole_number(tags, "Workers-Idle"),
        workers_in_service=whole_number(tags, "Workers-In-Service"),
        model=tags.get("Model", ""),
        text_bytes_max=whole_number(tags, "Max-Prompt-Data"),
        counted_with_model=tags.get("Counted-With-Model", "words"),
        paused=tags.get("Paused") == "true",
        queued_per_payer_max=whole_number(tags, "Max-Queued-Per-Payer") or 1,
    )


async def quote(
    link: Link,
    herder: str,
    prompt: str,
    tokens: int,
    *,
    model: str | None = None,
    system: str | None = None,
    format: str | None = None,
) -> Quote:
    """The exact price of a prompt now. `model` is an id or a name. Raises Invalid when it cannot be run."""
    asked = {"Action": "Quote", "Tokens": str(tokens)} | ({"X-Model": model} if model else {})
    asked |= {"System-Bytes": str(len(system.encode()))} if system else {}
    asked |= {"X-Format": format} if format else {}
    text = f"{system}\n\n{prompt}" if system else prompt
    tags = (await consult(link, herder, herder, asked, "Quote-Response", text)).tags
    if format and tags.get("Format") != format and "Error" not in tags:
        raise NotYet("This herd is of an older Puna and takes no conversations.", "Restart its node with this Puna.")
    if "Error" in tags:
        if tokens > (most := whole_number(tags, "Max-Tokens")):
            raise Invalid(
                f"{tokens} tokens are too many: the herder takes 1 to {most}.", f"Ask for {most} tokens or fewer."
            )
        raise Invalid(f"The herder cannot run this: {tags['Error']}.", "Change the request; nothing was paid.")
    return Quote(
        needed=whole_number(tags, "Needed"),
        price=whole_number(tags, "Price"),
        words=whole_number(tags, "Words"),
        tokens=whole_number(tags, "Tokens"),
        model=tags.get("Model", ""),
        queue_length=whole_number(tags, "Queue-Length"),
        ahead=whole_number(tags, "Ahead"),
        wait_ms=whole_number(tags, "Expected-Wait"),
        duration_ms=whole_number(tags, "Expected-Duration"),
        prompt_bytes_max=whole_number(tags, "Max-Prompt"),
        prompt_count=whole_number(tags, "Prompt-Count" if "Prompt-Count" in tags else "Words"),
        counted=tags.get("Counted", "words"),
        text_bytes_max=whole_number(tags, "Max-Prompt-Data"),
    )


@dataclass(frozen=True)
class Request:
    """What is asked of the herder, in the units of the wire. `temperature` None and 0 mean greedy.

    `format` says what the prompt is: None what a user says (or a conversation laid out with role markers), "chat" a
    conversation as a JSON array of `{"role", "content"}`, "text" a text to be continued as it is. `ahead` names the
    texts, of "X-Prompt" and "X-System", that are sent ahead of the payment as the data of a message.
    """

    prompt: str
    tokens: int
    model: str | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    seed: int | None = None
    deadline_ms: int | None = None
    system: str | None = None
    top_p: float | None = None
    ahead: tuple[str, ...] = ()
    format: str | None = None

    @property
    def texts(self) -> dict[str, str]:
        return {"X-Prompt": self.prompt} | ({"X-System": self.system} if self.system else {})

    def tags(self, reference: str) -> dict[str, str]:
        tags = {"X-Tokens": str(self.tokens), "X-Reference": reference}
        for name, text in self.texts.items():
            tags |= {f"{name}-Ref": label_of(name, reference)} if name in self.ahead else {name: text}
        if self.top_p is not None:
            tags["X-Top-P"] = _decimal(self.top_p)
        if self.format is not None:
            tags["X-Format"] = self.format
        if self.model:
            tags["X-Model"] = self.model
        if self.stop:
            tags["X-Termination"] = msgspec.json.encode(self.stop).decode()
        if self.temperature is not None:
            tags["X-Temperature"] = _decimal(self.temperature)
        if self.seed is not None:
            tags["X-Seed"] = str(self.seed)
        if self.deadline_ms is not None:
            tags["X-Deadline"] = str(self.deadline_ms)
        return tags


def _decimal(number: float) -> str:
    return f"{number:.4f}".rstrip("0").rstrip(".")


def label_of(name: str, reference: str) -> str:
    """The label under which a text of a request is sent ahead: as short whatever the reference."""
    return f"{name.lower()}-{sha256(reference.encode()).hexdigest()[:32]}"


def check_request(request: Request) -> None:
    """Raises Invalid for what anybody can see is wrong, in words for the one who typed it."""
    if not request.prompt.strip():
        raise Invalid("The prompt is empty.", "Say what you want to know.")
    if request.tokens < 1:
        raise Invalid(f"{request.tokens} tokens are no answer.", "Ask for at least 1 token.")
    if len(request.stop) > STOPS_MAX or any(not 0 < len(text.encode()) <= STOP_BYTES_MAX for text in request.stop):
        raise Invalid(f"At most {STOPS_MAX} stop texts of 1 to {STOP_BYTES_MAX} bytes are taken.", "Shorten them.")
    if request.temperature is not None and not 0 <= request.temperature <= 2:
        raise Invalid(f"The temperature {request.temperature} is not between 0 and 2.", "Use 0 for the likeliest text.")
    if request.top_p is not None and not 0.0001 <= request.top_p <= 1:
        raise Invalid(f"top_p {request.top_p} is not between 0.0001 and 1.", "Use 1 for all tokens.")
    if request.seed is not None and not 0 <= request.seed < 2**32:
        raise Invalid(f"The seed {request.seed} is not between 0 and {2**32 - 1}.", "Choose another seed.")


def fitted(request: Request, reference: str, offer: Quote) -> Request:
    """The request with the texts sent ahead that do not fit into the tags of a payment, the longest first.

    Raises Invalid for a text that is longer than the herder keeps.
    """
    sizes = {name: len(text.encode()) for name, text in request.texts.items()}
    for name, size in sizes.items():
        if size > (most := max(offer.text_bytes_max, offer.prompt_bytes_max)):
            what = "prompt" if name == "X-Prompt" else "system text"
            raise Invalid(f"The {what} has {size} bytes; the herder takes {most}.", "Shorten it.")
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        within = sizes[name] <= offer.prompt_bytes_max
        if within and _tag_bytes(request.tags(reference)) <= X_TAG_BYTES_MAX:
            break
        request = replace(request, ahead=(*request.ahead, name))
    return request


def _tag_bytes(tags: dict[str, str]) -> int:
    return sum(len(name) + len(value.encode()) + 4 for name, value in tags.items())


@dataclass(frozen=True)
class Status:
    """Where a job is: `state` queued or running; `place` 1 is served next, None when it does not wait."""

    state: str
    job: str
    place: int | None
    worker: str
    queue_length: int


async def status(link: Link, herder: str, payer: str, reference: str) -> Status:
    """Where the request of that reference is now. Raises Missing when the herder has no such job any more."""
    asked = {"Action": "Status", "X-Reference": reference}
    tags = (await consult(link, herder, payer, asked, "Status-Response")).tags
    if tags.get("State", "unknown") == "unknown":
        raise Missing(f"The herder has no job {reference} of {payer}.", "It has ended, or was never paid.")
    place = whole_number(tags, "Place") or None
    return Status(tags["State"], tags.get("Job", ""), place, tags.get("Worker", ""), whole_number(tags, "Queue-Length"))


# A request under way ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inquiry:
    """What is known about a request under way: whom it is with, and how it ended once it has."""

    payer: str
    reference: str
    transfer: str
    token: str
    herder: str
    taken: bool = False
    job: str | None = None
    worker: str | None = None
    place: int = 0  # of the job among those that the worker got with it
    inference: str | None = None
    answered: Sent | None = None
    failure: NodeError | None = None
    refund_due: bool = False

    @property
    def ended(self) -> bool:
        return self.answered is not None or self.failure is not None


def advance(inquiry: Inquiry, process: str, message: str, error: Any, entries: Sequence[Sent]) -> Inquiry:
    """One evaluation of the token or the herder seen: its error, and its outbox, which is all that counts."""
    if process == inquiry.token:
        return _after_token(inquiry, message, error, entries)
    if error is None:
        inquiry = replace(inquiry, taken=True)
    for entry in unfolded(entries):
        inquiry = _after_herder(inquiry, entry)
    return inquiry


def hear(inquiry: Inquiry, process: str, entry: Sent) -> Inquiry:
    """One message seen that the token or the herder sent to the payer's wallet."""
    if process == inquiry.herder:
        return _after_herder(inquiry, entry)
    if entry.action == "Transfer-Error" and not inquiry.taken:
        return replace(inquiry, failure=_not_paid(entry))
    return replace(inquiry, refund_due=False) if _is_our_refund(inquiry, entry) else inquiry


def _after_token(inquiry: Inquiry, message: str, error: Any, entries: Sequence[Sent]) -> Inquiry:
    if message != inquiry.transfer:
        returned = any(_is_our_refund(inquiry, entry) for entry in entries)
        return replace(inquiry, refund_due=False) if returned else inquiry
    if error is not None:
        return replace(inquiry, failure=_token_failed(error))
    if refusal := next((entry for entry in entries if entry.action == "Transfer-Error"), None):
        return replace(inquiry, failure=_not_paid(refusal))
    return inquiry


def _token_failed(error: Any) -> NodeError:
    return NotYet(f"The token failed on the payment: {error}", "Nothing was paid; try again.")


def _not_paid(refusal: Sent) -> NodeError:
    return Invalid(f"The token refused the payment: {refusal.tags.get('Error', '')}", "Nothing was paid.")


def _is_our_refund(inquiry: Inquiry, entry: Sent) -> bool:
    about_us = entry.target == inquiry.payer and entry.tags.get("X-Reference") == inquiry.reference
    return about_us and entry.action == "Credit-Notice" and entry.tags.get("Sender") == inquiry.herder


def _after_herder(inquiry: Inquiry, entry: Sent) -> Inquiry:
    if entry.tags.get("X-Reference") != inquiry.reference:
        return inquiry
    if entry.action == "Inference" and entry.tags.get("Client") == inquiry.payer:
        place = whole_number(entry.tags, PLACE)
        return replace(inquiry, job=entry.tags.get("Job"), worker=entry.target, place=place, inference=None)
    if entry.target != inquiry.payer:
        return inquiry
    if entry.action == "Inference-Response":
        return replace(inquiry, answered=entry, refund_due=entry.tags.get("Refund", "0") != "0")
    if entry.action == "Inference-Error":
        return replace(inquiry, failure=refused(entry), refund_due=entry.tags.get("Refund", "0") != "0")
    return inquiry


def refused(entry: Sent) -> NodeError:
    """The herder's Inference-Error as an error for whoever paid; it always says what came back."""
    code, reason = entry.tags.get("Code", ""), entry.tags.get("Error", "no reason was given").rstrip(".")
    refund = int(entry.tags.get("Refund", "0"))
    back = f"{format_war(refund)} wAR ({refund} winston) came back to you."
    if code == "insufficient":
        needed = entry.tags.get("Needed", "?")
        return Invalid(f"The payment was too small: {needed} winston are needed.", f"Ask for a new quote. {back}")
    if code in ("bad-request", "cancelled"):
        return Invalid(f"The request was refunded: {reason}.", back)
    return NotYet(f"The request was refunded: {reason}.", f"Ask again in a while. {back}")


# Asking ---------------------------------------------------------------------------------------------------------------


async def ask(
    link: Link,
    wallet: Wallet,
    network: Ids,
    prompt: str,
    tokens: int,
    *,
    model: str | None = None,
    stop: Sequence[str] = (),
    temperature: float | None = None,
    seed: int | None = None,
    deadline_ms: int | None = None,
    system: str | None = None,
    top_p: float | None = None,
    fee_winston: int | None = None,
    reference: str | None = None,
    on_text: Callable[[str], None] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    patience_s: float = PATIENCE_S,
    receipt_patience_s: float = 0,
) -> Answer:
    """Pay the herder for at most `tokens` tokens after `prompt`, and return the answer.

    `system` is laid out by the model's template. What does not fit into a payment is sent ahead of it.

    `on_text` gets the text piece by piece as it is generated, and in the end has got exactly the answer. Without it
    the answer is all that is asked of the node.
    `fee_winston` replaces the quoted price. `receipt_patience_s` is how long the node's word of the receipt is waited
    for once the answer is here; a network of other units gives none. Raises Invalid for what the asker must change,
    NotYet for what may work later; whenever money had moved, the error says what came back.
    """
    began, label = monotonic(), _label(reference)
    request = Request(prompt, tokens, model or None, tuple(stop), temperature, seed, deadline_ms, system or None, top_p)
    check_request(request)
    payer = owner_address(wallet)
    offer, owned = await asyncio.gather(
        quote(link, network.herder, prompt, tokens, model=model, system=request.system),
        balance(link, network.token, payer),
    )
    request = fitted(request, label, offer)
    fee = fee_winston or offer.price
    _check_balance(payer, owned, fee)
    for name in request.ahead:
        await send_ahead(link, wallet, network.herder, label_of(name, label), request.texts[name])
    item = payment(wallet, network, request, label, fee)
    inquiry = Inquiry(payer, label, item.id, network.token, network.herder)
    watch = _Watch(link, inquiry, Ticker(on_text) if on_text else None, monotonic, began)
    poking = asyncio.create_task(poke(link, wallet, network.herder, label))
    try:
        await asyncio.wait_for(watch.follow(item, receipt_patience_s), patience_s)
    except TimeoutError:
        raise NotYet(
            f"No answer came within {patience_s:g} seconds; request {label} is still with the herder.",
            "The herder refunds jobs that nobody runs; look at your balance later.",
        ) from None
    finally:
        poking.cancel()
    return watch.receipt(fee)


def payment(wallet: Wallet, network: Ids, request: Request, reference: str, winston: int) -> DataItem:
    """The signed Transfer that asks and pays."""
    # Of what he signs himself the payer needs no notice.
    paid = {"Action": "Transfer", "Recipient": network.herder, "Quantity": str(winston), "Debit-Notice": "no"}
    return letters.message(wallet, network.token, paid | request.tags(reference))


async def send_ahead(link: Link, wallet: Wallet, herder: str, label: str, text: str) -> None:
    """Leave a text with the herder, for a payment to name by its label within ten minutes. Raises NotYet if refused."""
    item = letters.message(wallet, herder, {"Action": "Prompt", "Label": label}, text.encode())
    await link.submit(item)
    result = await link.result(herder, item.id)
    if first(result.messages, "Prompt-Stored") is None:
        refusal = first(result.messages, "Prompt-Error")
        why = refusal.tags.get("Error", "") if refusal else result.error or "no reply"
        raise NotYet(f"The herder did not keep the prompt: {why}.", "Nothing was paid; ask again in a while.")


def answer_text(answered: Sent) -> str:
    """The text of an Inference-Response. The messenger writes one blank where there is no data."""
    return "" if answered.tags.get("Tokens-Used") == "0" and answered.data == " " else answered.data


REPLACEMENT = "\ufffd"


class Ticker:
    """Says a growing text piece by piece, each piece once.

    What it says is never taken back: a replacement character at the end may stand for the first half of a character,
    and waits for what follows. After a token that was missed nothing is said before the whole text is known.

    Tokens numbered from 0 again come from a second run of the same job: an evaluation repeated after a crash, or
    another worker. What was said already is not said again.
    """

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._heard = self._said = ""
        self._next = 0

    def hear(self, index: int, text: str, tokens: int = 1) -> None:
        """The text of some more tokens, of which the first has the number `index`."""
        if index == 0:
            self._heard, self._next = "", 0
        if index != self._next:
            return
        self._next += tokens
        self._heard += text
        self.settle(self._heard.rstrip(REPLACEMENT))

    def settle(self, text: str) -> None:
        """Say of `text` what was not said yet."""
        if text.startswith(self._said) and len(text) > len(self._said):
            self._say(text[len(self._said) :])
            self._said = text


@dataclass(slots=True)
class _Shift:
    """When a worker got its newest job, said its first token, and was done."""

    got: float | None = None
    spoke: float | None = None
    done: float | None = None


class _Watch:
    """Follows one journey through the events of the node, and keeps the time.

    What the payer gets is in the events that tell of it. Outboxes are read only for what events do not say: which
    worker has the job, where somebody wants to hear its tokens. That is looked for in what the herder does with the
    payment, and while the job waits in all that it does: a job that had to wait is begun, and so answered, in the
    journey of somebody else's message.
    """

    def __init__(
        self, link: Link, inquiry: Inquiry, ticker: Ticker | None, monotonic: Callable[[], float], began: float
    ):
        self.link = link
        self.inquiry = inquiry
        self.response = ""
        self.receipt_item = ""
        self._ticker = ticker
        self._now = monotonic
        self._trouble = ""
        self._end_root: str | None = None
        self._lease_root: str | None = None  # the journey in which a worker got the job
        self._leased = 0.0
        self._worked = False  # since then
        self._waits = True  # for a worker, as far as is known
        self._unread: dict[str, str] = {}  # by journey under way, the herder's last evaluation if it was not read
        self._unread_since = 0.0
        self._shifts: defaultdict[str, _Shift] = defaultdict(_Shift)  # of whoever may be the worker
        self.began = began
        self.ended: float | None = None

    async def follow(self, item: DataItem, receipt_patience_s: float) -> None:
        # Listening to everything, and before anything is sent: the job may be begun in another journey.
        async with self.link.events() as events:
            await self.link.submit(item)
            async for event in events:
                await self._see(event)
                if self._over(event):
                    break
            if self.inquiry.answered is not None and receipt_patience_s:
                with suppress(TimeoutError, StopAsyncIteration):
                    await asyncio.wait_for(self._receipt(events), receipt_patience_s)
        if self.inquiry.failure is not None:
            raise self.inquiry.failure
        if self.inquiry.answered is None:
            raise NotYet(
                f"The node stopped telling its news before request {self.inquiry.reference} was answered.",
                "What was paid is not lost: the request goes on when the node runs again.",
            )
        # Events are news, not truth: whatever of the answer no event brought is said now.
        if self._ticker is not None:
            self._ticker.settle(self._text())

    async def _receipt(self, events: Events) -> None:
        """Wait for the node to say that the receipt is in the log."""
        while not self.receipt_item:
            await self._see(await anext(events))

    def _over(self, event: dict[str, Any]) -> bool:
        """Whether nothing more will come that belongs to the end: the answer's own item, and money that goes back."""
        if not self.inquiry.ended:
            return False
        if self._end_root is None:
            self._end_root = event.get("root")
        if event["kind"] == "finished" and event.get("root") == self._end_root:
            return True
        return (self.response != "" or self.inquiry.failure is not None) and not self.inquiry.refund_due

    async def _see(self, event: dict[str, Any]) -> None:
        kind, root = event["kind"], event.get("root")
        if kind == "token":
            self._token(event)
        elif kind == "evaluated":
            await self._evaluated(event)
        elif kind == "assigned" and not self.inquiry.ended:
            self._shifts[event["process"]] = _Shift(got=self._now())
        elif kind == "stored":
            if event.get("target") == self.inquiry.payer:
                await self._stored(event)
        elif kind == "receipt":
            if event.get("payment") == self.inquiry.transfer:
                self.receipt_item = event["message"]
        elif root == self._lease_root or root == self.inquiry.transfer:
            await self._went_on(kind, event)
        if kind == "finished":
            self._unread.pop(root, None)

    def _token(self, event: dict[str, Any]) -> None:
        worker = event.get("process", "")
        if self.inquiry.ended:
            return
        shift = self._shifts[worker]
        shift.spoke = shift.spoke or self._now()
        is_ours = worker == self.inquiry.worker and event.get("place", 0) == self.inquiry.place
        if self._ticker is not None and is_ours:
            self._ticker.hear(event.get("index", 0), event.get("text", ""), event.get("tokens", 1))

    async def _went_on(self, kind: str, event: dict[str, Any]) -> None:
        """A journey of ours has more, or no more. What the payer gets is told before anything else that was sent."""
        await self._read_lease()
        if event.get("root") != self.inquiry.transfer:
            return
        if kind == "failed":
            self._trouble = str(event.get("error", ""))
        elif kind == "finished" and not self.inquiry.taken:
            why = f": {self._trouble}" if self._trouble else ""
            lost = NotYet(f"The payment did not reach the herder{why}.", "Look at your balance before you ask again.")
            self.inquiry = replace(self.inquiry, failure=self.inquiry.failure or lost)

    async def _evaluated(self, event: dict[str, Any]) -> None:
        process, message, root, inquiry = event["process"], event["message"], event.get("root"), self.inquiry
        if inquiry.ended:
            return
        if process == inquiry.herder:
            await self._herder_evaluated(root, message)
            if root == inquiry.transfer and event.get("error") is None:
                self.inquiry = replace(self.inquiry, taken=True)
            return
        if process == inquiry.token:
            if message == inquiry.transfer and event.get("error") is not None:
                self.inquiry = replace(inquiry, failure=_token_failed(event["error"]))
            return
        shift = self._shifts[process]
        shift.done = shift.done or self._now()
        if process == inquiry.worker and root == self._lease_root:
            self._worked = True
            self.inquiry = replace(inquiry, inference=message)

    async def _herder_evaluated(self, root: str | None, message: str) -> None:
        if self._is_unread and self._now() - self._unread_since >= SILENCE_S:
            await self._read_lease()
        if self._may_lease(root):
            await self._read(root, message)
        else:
            self._unread[root] = message
            if root == self._lease_root:
                self._unread_since = self._now()

    def _may_lease(self, root: str | None) -> bool:
        """Whether what the herder did may be that it gave our job to a worker, of which somebody wants to hear."""
        if self._ticker is None:
            return False
        if not self.inquiry.taken:
            return root == self.inquiry.transfer
        return self._waits or self._now() - self._leased >= LEASE_S

    @property
    def _is_unread(self) -> bool:
        return self._lease_root is not None and self._lease_root in self._unread

    async def _read_lease(self) -> None:
        """Read what the herder did in the lease's journey, if no answer has come of it: it may have asked another.

        Where the job went back into the queue, another journey may have it by now.
        """
        if not self._is_unread or self.inquiry.ended:
            return
        await self._read(self._lease_root, self._unread.pop(self._lease_root))
        while self._waits and self._unread and not self.inquiry.ended:
            root = next(iter(self._unread))
            await self._read(root, self._unread.pop(root))

    async def _read(self, root: str | None, message: str) -> None:
        before, herder = self.inquiry, self.inquiry.herder
        result = await self.link.result(herder, message)
        self.inquiry = advance(before, herder, message, result.error, sent(result.messages))
        if (self.inquiry.worker, self.inquiry.job) != (before.worker, before.job):
            self._leased, self._worked = self._now(), False
            self._lease_root, self._waits = root, False
        elif self._worked:  # the worker spoke, and this is no answer: the job may be in the queue again
            self._waits = True
        if self.inquiry.answered is not None:
            self.ended = self.ended or self._now()

    async def _stored(self, event: dict[str, Any]) -> None:
        process, root, item = event.get("process"), event.get("root"), event.get("item", {})
        entry = sent_item(event["target"], item)
        if process == self.inquiry.token and (entry.action != "Transfer-Error" or root == self.inquiry.transfer):
            self.inquiry = hear(self.inquiry, process, entry)
        elif process == self.inquiry.herder and entry.tags.get("X-Reference") == self.inquiry.reference:
            await self._herder_said(event, entry)

    async def _herder_said(self, event: dict[str, Any], entry: Sent) -> None:
        if entry.action not in ("Inference-Response", "Inference-Error"):
            return
        root, message = event.get("root"), event["message"]
        unread = self._unread.pop(root, None)
        if not self.inquiry.ended and not event.get("cut"):
            self.inquiry = hear(self.inquiry, self.inquiry.herder, entry)
        elif not self.inquiry.ended:  # the event tells only the beginning of a long answer
            if unread is None:
                raise NotYet("The node's news of a long answer were missed.", f"It is there: read item {message}.")
            await self._read(root, unread)
        if self.inquiry.answered is not None:
            self.response, self.ended = message, self.ended or self._now()

    def _text(self) -> str:
        return answer_text(self.inquiry.answered)

    def receipt(self, fee: int) -> Answer:
        inquiry, tags = self.inquiry, self.inquiry.answered.tags
        ended, worker = self.ended or self.began, tags.get("Worker") or inquiry.worker or ""
        shift = self._shifts[worker]
        return Answer(
            text=self._text(),
            tokens=whole_number(tags, "Tokens-Used"),
            prompt_tokens=whole_number(tags, "Prompt-Tokens"),
            finish=tags.get("Finish", ""),
            model=tags.get("Model-Name") or tags.get("Model", ""),
            model_id=tags.get("Model", ""),
            canonical=tags.get("Arithmetic", "").startswith("canonical"),
            fee_winston=int(tags.get("Fee", fee)),
            paid_winston=int(tags.get("Paid", fee)),
            refund_winston=whole_number(tags, "Refund"),
            base_fee=whole_number(tags, "Base-Fee"),
            token_fee=whole_number(tags, "Token-Fee"),
            prompt_count=whole_number(tags, "Prompt-Count"),
            counted=tags.get("Counted", "words"),
            payment=tags.get("Payment", ""),
            arithmetic=tags.get("Arithmetic", ""),
            temperature=tags.get("Temperature", "0"),
            seed=tags.get("Seed", "0"),
            top_p=tags.get("Top-P", "1"),
            prompt_ids=token_numbers(tags.get("Prompt-Ids", "")),
            token_ids=token_numbers(tags.get("Token-Ids", "")),
            reference=inquiry.reference,
            transfer=inquiry.transfer,
            inference=tags.get("Inference") or inquiry.inference or "",
            response=self.response,
            receipt=self.receipt_item,
            token=inquiry.token,
            herder=inquiry.herder,
            worker=worker,
            seconds_total=ended - self.began,
            seconds_first_token=(shift.spoke or ended) - self.began,
            seconds_generate=(shift.done or ended) - (shift.got or self.began),
        )


def _label(reference: str | None) -> str:
    if reference is None:
        return f"ask-{secrets.token_hex(8)}"
    if not 0 < len(reference.encode()) <= REFERENCE_BYTES_MAX:
        raise Invalid(f"A reference has 1 to {REFERENCE_BYTES_MAX} bytes.", "Choose a shorter one.")
    return reference


def _check_balance(payer: str, owned: int, fee: int) -> None:
    if owned < fee:
        raise Invalid(
            f"Not enough wAR: this costs {format_war(fee)} wAR ({fee} winston) "
            f"and the wallet {payer} has {format_war(owned)} wAR ({owned} winston).",
            "Send wAR to the wallet, ask for fewer tokens, or pay with another wallet.",
        )


async def cancel(link: Link, wallet: Wallet, herder: str, reference: str) -> None:
    """Take a request back that waits. What was paid comes back without the base fee; one that runs goes on."""
    await link.submit(letters.message(wallet, herder, {"Action": "Cancel", "X-Reference": reference}))


async def poke(
    link: Link,
    wallet: Wallet,
    herder: str,
    reference: str,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Let the herder look at its deadlines, soon and then now and again, until the caller cancels this."""
    for pause_s in chain(POKES_S, repeat(POKES_S[-1])):
        await sleep(pause_s)
        with suppress(NodeError):
            await link.submit(letters.message(wallet, herder, {"Action": "Status", "X-Reference": reference}))


async def consult(link: Link, herder: str, asker: str, tags: dict[str, str], action: str, data: str = "") -> Sent:
    """The herder's answer to a dry-run. Raises NotYet when there is none."""
    result = await link.preview(herder, question(herder, asker, tags, data))
    answer = first(result.messages, action)
    if answer is None:
        raise NotYet(f"The herder {herder} does not answer: {result.error or 'no reply'}", "Check the herder's id.")
    return answer


def whole_number(tags: Mapping[str, str], name: str) -> int:
    """A whole number out of a tag; 0 where it is missing or none."""
    text = tags.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() else 0
