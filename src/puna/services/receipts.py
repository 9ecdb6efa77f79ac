"""Receipts: what was asked, by whom, of which model, what it answered and what it cost, in one signed item.

A receipt says nothing new. It is put together from what the permanent log holds about one answered request, so
anybody can make it again, and `check` holds every line of one against the messages it names. Written by the node
(node/receipts.py), checked by `puna verify`, both through the Store port.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from puna.ao.compute.testimony import Attestation, read_attestation
from puna.ao.message import PROTOCOL, VARIANT, lenient_text, owner_address, tag
from puna.arweave.archive import Item
from puna.arweave.dataitem import DataItem, Signer, sign_item, verify_item
from puna.arweave.ids import b64url_encode
from puna.arweave.store.port import Entry, Query, Store
from puna.arweave.tags import Tag
from puna.errors import Invalid, Missing

from .herder.batch import ANSWERS, ORDERS, parts, unfolded
from .herder.client import token_numbers
from .outbox import Sent, sent

VERSION = 1
TYPE = "Inference-Receipt"
TURNS_MAX = 4096  # as many pieces as the longest answer has tokens

View = Callable[[str], Item | None]


class Payment(msgspec.Struct, frozen=True):
    """The Transfer that paid, and its signature: `owner` and `signature` are base64url."""

    id: str
    owner: str
    signature: str
    signature_type: int


class Parameters(msgspec.Struct, frozen=True):
    """What was asked of the model. `format` is "" for a prompt that the model's own template wraps; `piece` is the
    number of tokens in which the answer was told, 0 for all at once."""

    tokens: int
    temperature: float
    seed: int
    stop: tuple[str, ...]
    top_p: float = 1.0
    format: str = ""
    piece: int = 0


class Model(msgspec.Struct, frozen=True):
    id: str
    name: str


class Processes(msgspec.Struct, frozen=True):
    token: str
    herder: str
    worker: str


class Messages(msgspec.Struct, frozen=True):
    """The messages in their order; `prompt` is the one that carried a long prompt ahead, "" where none did."""

    payment: str
    credit: str
    inference: str
    completion: str
    response: str
    prompt: str = ""


class Attested(msgspec.Struct, frozen=True):
    """The compute unit's signed word on the worker's evaluation."""

    id: str
    owner: str
    signature: str
    signature_type: int
    state_root: str


class Receipt(msgspec.Struct, frozen=True):
    """One answered request. Amounts are winston in decimal text; ids None where the answer did not carry them."""

    version: int
    payer: str
    reference: str
    payment: Payment
    prompt: str
    system: str
    parameters: Parameters
    model: Model
    arithmetic: str
    prompt_ids: tuple[int, ...] | None
    output_ids: tuple[int, ...] | None
    text: str
    finish: str
    prompt_tokens: int
    tokens: int
    paid: str
    fee: str
    refund: str
    processes: Processes
    messages: Messages
    attestation: Attested | None


# Writing ------------------------------------------------------------------------------------------------------------


def receipt_item(wallet: Signer, receipt: Receipt) -> DataItem:
    """The receipt as an item. Where the key's signatures are deterministic, made twice it is the same item."""
    anchor = hashlib.sha256(receipt.messages.response.encode()).hexdigest()[:32].encode()
    tags = (
        PROTOCOL,
        VARIANT,
        Tag("Type", TYPE),
        Tag("Payer", receipt.payer),
        Tag("Payment", receipt.payment.id),
        Tag("Credit", receipt.messages.credit),
        Tag("Response", receipt.messages.response),
        Tag("Reference", receipt.reference),
        Tag("Model", receipt.model.id),
        Tag("Model-Name", receipt.model.name),
        Tag("Herder", receipt.processes.herder),
        Tag("Worker", receipt.processes.worker),
        Tag("Fee", receipt.fee),
        Tag("Content-Type", "application/json"),
    )
    return sign_item(wallet, data=msgspec.json.encode(receipt), tags=tags, anchor=anchor)


def responses(herder: str, authority: str) -> Query:
    """The herder's answers to payers."""
    return Query(owners=(authority,), tags=(("From-Process", (herder,)), ("Action", ("Inference-Response",))))


def responses_after(store: Store, herder: str, authority: str, after: int | None, limit: int = 100) -> list[Entry]:
    """The herder's answers to payers in the log, after one place in it."""
    return store.find(replace(responses(herder, authority), after=after, limit=limit))


def gather(store: Store, token: str, herder: str, authority: str, response: DataItem, completion: str = "") -> Receipt:
    """The receipt of an answered request, out of the log. Raises Missing where the log does not hold all of it.

    `completion` is the id of the message that is thought to be the worker's answer; without one it is searched for.
    """
    said = _tags(response)
    log = _Log(store, authority, token, herder)
    payer, worker, job = response.target, said.get("Worker", ""), said.get("Job", "")
    reference = said.get("X-Reference", "")
    credit = log.credit(payer, reference, said.get("Payment"))
    payment = log.payment(payer, reference, credit)
    ordered = log.inference(worker, job, said.get("Inference"))
    inference, completed = ordered.item, log.completion(worker, job, ordered.item, completion)
    order = _part(inference, job)
    asked, paid = _tags(credit), _tags(credit)["Quantity"]
    system, prompt = _parted(order)
    label = asked.get("X-Prompt-Ref")
    ahead = log.prompt(payer, label) if label else None
    attestation = log.attestation(worker, log.last_turn(worker, job, ordered), ordered)
    return Receipt(
        version=VERSION,
        payer=payer,
        reference=reference,
        payment=Payment(
            payment.id, _text(payment.owner), _text(payment.signature), payment.signature_type
        ),
        prompt=prompt,
        system=system,
        parameters=_parameters(asked, order.tags),
        model=Model(said.get("Model", ""), said.get("Model-Name", "")),
        arithmetic=said.get("Arithmetic", ""),
        prompt_ids=token_numbers(said.get("Prompt-Ids", "")) or None,
        output_ids=token_numbers(said.get("Token-Ids", "")) or None,
        text=_answer(_whole_of(response)),
        finish=said.get("Finish", ""),
        prompt_tokens=_whole(said.get("Prompt-Tokens")),
        tokens=_whole(said.get("Tokens-Used")),
        paid=said.get("Paid", paid),
        fee=said.get("Fee", paid),
        refund=said.get("Refund", "0"),
        processes=Processes(token, herder, worker),
        messages=Messages(
            payment.id, credit.id, inference.id, completed.id, response.id, ahead.id if ahead else ""
        ),
        attestation=attestation and Attested(
            attestation.item.id, _text(attestation.item.owner), _text(attestation.item.signature),
            attestation.item.signature_type, attestation.state_root,
        ),
    )  # fmt: skip


def _parameters(asked: dict[str, str], ordered: dict[str, str]) -> Parameters:
    return Parameters(
        tokens=_whole(ordered.get("Tokens")),
        temperature=_decimal(ordered.get("Temperature"), 0.0),
        seed=_whole(ordered.get("Seed")),
        stop=_stops(ordered.get("Termination", "")),
        top_p=_decimal(ordered.get("Top-P"), 1.0),
        format=ordered.get("Format", ""),
        piece=_whole(ordered.get("Stream")),
    )


@dataclass(frozen=True)
class _Log:
    """Finding the messages of one request. What processes sent bears the messenger's signature, `authority`."""

    store: Store
    authority: str
    token: str
    herder: str

    def credit(self, payer: str, reference: str, named: str | None) -> DataItem:
        if named and (item := self.store.view(named)) is not None:
            return item
        entry = self._newest(
            "the Credit-Notice", self.herder, ("From-Process", self.token), ("Action", "Credit-Notice"),
            ("Sender", payer), ("X-Reference", reference),
        )  # fmt: skip
        return entry.item

    def payment(self, payer: str, reference: str, credit: DataItem) -> DataItem:
        root = self.store.view(tag(credit, "Pushed-For") or "")
        if root is not None and root.target == self.token and owner_address(root) == payer:
            return root
        # A process paid: the messenger signed for it, in a journey that somebody else began.
        entry = self._newest(
            "the Transfer", self.token, ("From-Process", payer), ("Action", "Transfer"), ("X-Reference", reference)
        )
        return entry.item

    def inference(self, worker: str, job: str, named: str | None) -> Entry:
        for entry in self.store.find(Query(ids=(named,))) if named else ():
            if entry.item.target == worker:
                return entry
        sought = ("From-Process", self.herder), ("Action", "Inference"), ("Job", job)
        return self._newest("the Inference", worker, *sought)

    def last_turn(self, worker: str, job: str, inference: Entry) -> str:
        """The worker's message whose evaluation sent the answer: of one told in pieces, the last `Continue`."""
        if tag(inference.item, "Stream") is None:
            return inference.item.id
        sought = (("From-Process", (worker,)), ("Action", ("Inference-Continue",)), ("Job", (job,)))
        # They follow the Inference: what was in the log before it, which may be long, is not searched.
        query = Query(owners=(self.authority,), recipients=(worker,), tags=sought, limit=TURNS_MAX)
        turns = self.store.find(replace(query, after=inference.sequence))
        return turns[-1].item.id if turns else inference.item.id

    def completion(self, worker: str, job: str, inference: DataItem, named: str) -> DataItem:
        sought = [("From-Process", worker), ("Action", "Inference-Response"), ("Job", job)]
        if tag(inference, "Action") == ORDERS:
            sought[1:] = ("Action", ANSWERS), ("Inference", inference.id)
        query = self._sent_to(self.herder, *sought)
        if named and (item := self.store.view(named)) is not None and query.matches(item):
            return item
        return self._newest("the worker's answer", self.herder, *sought).item

    def prompt(self, payer: str, label: str) -> DataItem | None:
        """The message that left a long prompt. A payer that is a process signs as the messenger."""
        query = Query(recipients=(self.herder,), tags=(("Action", ("Prompt",)), ("Label", (label,))), newest_first=True)
        for entry in self.store.find(query):
            if payer in (owner_address(entry.item), tag(entry.item, "From-Process")):
                return entry.item
        return None

    def attestation(self, worker: str, message: str, inference: Entry) -> Attestation | None:
        """The first word of a compute unit on an evaluation; None while there is none."""
        tags = (("Type", ("Result",)), ("Process", (worker,)), ("Message", (message,)))
        found = self.store.find(Query(tags=tags, limit=1, after=inference.sequence))
        return read_attestation(found[0].item) if found else None

    def _newest(self, what: str, target: str, *tags: tuple[str, str]) -> Entry:
        query = replace(self._sent_to(target, *tags), limit=1, newest_first=True)
        found = self.store.find(query) if target else []
        if not found:
            raise Missing(f"{what} of this request is not in the log", "It may be on the node that served it.")
        return found[0]

    def _sent_to(self, target: str, *tags: tuple[str, str]) -> Query:
        sought = tuple((name, (value,)) for name, value in tags)
        return Query(owners=(self.authority,), recipients=(target,), tags=sought)


def find_receipt(store: Store, name: str) -> DataItem | None:
    """The receipt called `name`, or the one of that payment, Credit-Notice or response; None when there is none."""
    item = store.view(name)
    if item is not None and tag(item, "Type") == TYPE:
        return item
    for field in ("Payment", "Response", "Credit"):
        if found := store.find(Query(tags=(("Type", (TYPE,)), (field, (name,))), limit=1)):
            return found[0].item
    return None


def read_receipt(item: Item) -> Receipt:
    """The receipt in an item. Raises Invalid when it holds none."""
    if tag(item, "Type") != TYPE:
        raise Invalid(f"item {item.id} is no receipt", "Give the id of a receipt, of a payment or of a response.")
    try:
        receipt = msgspec.json.decode(bytes(item.data), type=Receipt)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"receipt {item.id} cannot be read: {error}") from None
    if receipt.version != VERSION:
        raise Invalid(f"receipt {item.id} is of version {receipt.version}", f"This is Puna for version {VERSION}.")
    return receipt


# Checking -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what, and what was expected and found where it does not agree."""

    what: str
    agrees: bool
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        return self.what if self.agrees else f"{self.what} is {self.found}, expected {self.expected}"


def compared(what: str, expected: Any, found: Any) -> Check:
    """A check of two values that must be equal."""
    return Check(what, expected == found, _shown(expected), _shown(found))


def check(item: DataItem, view: View, signer: str = "") -> list[Check]:
    """Hold a receipt against the log, line by line, without running anything.

    `signer` is the address that must have signed it, when it is known. A receipt that cannot be read has one check.
    """
    checks = _Checks()
    checks.signature("signature of the receipt", item)
    if signer:
        checks.same("signer of the receipt", signer, item.address)
    try:
        receipt = read_receipt(item)
    except Invalid as error:
        checks.same("receipt", "readable", str(error))
        return checks.all
    _check_tags(checks, item, receipt)
    messages = receipt.messages
    _check_payment(checks, receipt, view(receipt.payment.id), view(messages.prompt) if messages.prompt else None)
    _check_credit(checks, receipt, view(messages.credit))
    response = view(messages.response)
    job = tag(response, "Job") if response is not None else None
    _check_inference(checks, receipt, view(messages.inference), job)
    _check_attestation(checks, receipt, view(receipt.attestation.id) if receipt.attestation else None, job)
    _check_completion(checks, receipt, view(messages.completion), job)
    _check_response(checks, receipt, response)
    _check_money(checks, receipt, response)
    return checks.all


class _Checks:
    def __init__(self):
        self.all: list[Check] = []

    def same(self, what: str, expected: Any, found: Any) -> None:
        self.all.append(compared(what, expected, found))

    def signature(self, what: str, item: Item | None) -> bool:
        """Whether an item is here and its signature good; told as one check."""
        found = "valid"
        if item is None:
            found = "not in the log"
        else:
            try:
                verify_item(item)
            except Invalid:
                found = "not valid"
        self.same(what, "valid", found)
        return item is not None


def _check_tags(checks: _Checks, item: DataItem, receipt: Receipt) -> None:
    told = {"Payer": receipt.payer, "Payment": receipt.payment.id, "Response": receipt.messages.response}
    told |= {"Model": receipt.model.id, "Fee": receipt.fee, "Credit": receipt.messages.credit}
    checks.same("tags of the receipt", told, {name: tag(item, name) for name in told})


def _check_payment(checks: _Checks, receipt: Receipt, item: Item | None, ahead: Item | None) -> None:
    if not checks.signature("signature of the payment", item):
        return
    told = receipt.payment
    shown = Payment(item.id, _text(item.owner), _text(item.signature), item.signature_type)
    checks.same("payment's signature in the receipt", shown, told)
    said = _tags(item)
    checks.same("payer", said.get("From-Process") or owner_address(item), receipt.payer)
    checks.same("payment's token", item.target, receipt.processes.token)
    checks.same("payment's recipient", said.get("Recipient"), receipt.processes.herder)
    checks.same("paid", said.get("Quantity"), receipt.paid)
    if receipt.messages.prompt:
        if checks.signature("signature of the prompt", ahead):
            checks.same("prompt", lenient_text(ahead.data), receipt.prompt)
    else:
        checks.same("prompt", said.get("X-Prompt"), receipt.prompt)
    checks.same("tokens asked for", said.get("X-Tokens"), str(receipt.parameters.tokens))
    if "X-System-Ref" not in said:  # else it was sent ahead, and is in the Inference
        checks.same("system text", said.get("X-System", "").strip() and said["X-System"], receipt.system)
    if wanted := said.get("X-Model"):
        checks.same("model", True, wanted in (receipt.model.id, receipt.model.name))


def _check_credit(checks: _Checks, receipt: Receipt, item: Item | None) -> None:
    if not checks.signature("signature of the Credit-Notice", item):
        return
    said = _tags(item)
    expected = (receipt.processes.token, receipt.processes.herder, receipt.payer, receipt.paid)
    found = (said.get("From-Process"), item.target, said.get("Sender"), said.get("Quantity"))
    checks.same("Credit-Notice (from, to, sender, quantity)", expected, found)


def _check_inference(checks: _Checks, receipt: Receipt, item: Item | None, job: str | None) -> None:
    if not checks.signature("signature of the Inference", item):
        return
    order = _part(item, job)
    expected = (receipt.processes.herder, receipt.processes.worker, receipt.payer)
    found = (tag(item, "From-Process"), item.target, order.tags.get("Client"))
    checks.same("Inference (from, to, client)", expected, found)
    checks.same("prompt given to the worker", _parted(order), (receipt.system, receipt.prompt))
    checks.same("parameters", _parameters({}, order.tags), receipt.parameters)


def _check_attestation(checks: _Checks, receipt: Receipt, item: Item | None, job: str | None) -> None:
    told = receipt.attestation
    if told is None:
        checks.same("attestation of the worker's evaluation", "present", "absent")
        return
    if not checks.signature("signature of the attestation", item):
        return
    try:
        attestation = read_attestation(item)
        result = attestation.result
    except Invalid as error:
        checks.same("attestation", "readable", str(error))
        return
    shown = Attested(item.id, _text(item.owner), _text(item.signature), item.signature_type, attestation.state_root)
    checks.same("attestation in the receipt", shown, told)
    checks.same("attestation's process", receipt.processes.worker, attestation.process)
    said = [each for each in unfolded(sent(result.messages)) if each.action == "Inference-Response"]
    answers = [each for each in said if job is None or each.tags.get("Job", job) == job]  # published workers name none
    text = next((each.data for each in answers if each.target == receipt.processes.herder), None)
    checks.same("attested answer", receipt.text, text)
    if answers and (ids := token_numbers(answers[0].tags.get("Token-Ids", ""))):
        checks.same("attested token ids", ids, receipt.output_ids or ids)


def _check_completion(checks: _Checks, receipt: Receipt, item: Item | None, job: str | None) -> None:
    if not checks.signature("signature of the worker's answer", item):
        return
    answer = _part(item, job)
    said = answer.tags
    expected = (receipt.processes.worker, receipt.processes.herder, receipt.text, receipt.finish, str(receipt.tokens))
    found = (tag(item, "From-Process"), item.target, _answer(answer), said.get("Finish"), said.get("Tokens-Used"))
    checks.same("worker's answer (from, to, text, finish, tokens)", expected, found)


def _check_response(checks: _Checks, receipt: Receipt, item: Item | None) -> None:
    if not checks.signature("signature of the response", item):
        return
    said = _tags(item)
    expected = (receipt.processes.herder, receipt.payer, receipt.reference, receipt.text)
    found = (said.get("From-Process"), item.target, said.get("X-Reference", ""), _answer(_whole_of(item)))
    checks.same("response (from, to, reference, text)", expected, found)
    expected = (receipt.model.id, receipt.arithmetic, receipt.finish, receipt.fee)
    found = (said.get("Model", ""), said.get("Arithmetic", ""), said.get("Finish", ""), said.get("Fee"))
    checks.same("response (model, arithmetic, finish, fee)", expected, found)
    for name, told in (("Prompt-Ids", receipt.prompt_ids), ("Token-Ids", receipt.output_ids)):
        checks.same(f"{name} of the response", token_numbers(said.get(name, "")) or None, told)


def _check_money(checks: _Checks, receipt: Receipt, response: Item | None) -> None:
    amounts = (receipt.paid, receipt.fee, receipt.refund)
    if not all(each.isascii() and each.isdigit() for each in amounts):
        checks.same("amounts", "whole numbers of winston", amounts)
        return
    paid, fee, refund = map(int, amounts)
    checks.same("paid = fee + refund", paid, fee + refund)
    said = _tags(response) if response is not None else {}
    if {"Base-Fee", "Token-Fee", "Prompt-Count"} <= said.keys():
        base, each, prompt = (_whole(said[name]) for name in ("Base-Fee", "Token-Fee", "Prompt-Count"))
        needed = base + each * (prompt + receipt.parameters.tokens)
        used = base + each * (prompt + min(receipt.tokens, receipt.parameters.tokens))
        checks.same("fee by the herder's prices", paid * used // needed if needed else 0, fee)


# Reading items ------------------------------------------------------------------------------------------------------


def _tags(item: Item) -> dict[str, str]:
    """Tags by name; of several with the same name the first counts, as everywhere."""
    return dict(reversed(item.tags))


class _Part(NamedTuple):
    """What a message says of one job: tags and data, as they would be in a message for this job alone."""

    tags: dict[str, str]
    data: bytes


def _part(item: Item, job: str | None) -> _Part:
    """A message about a job; of one about several, what it says of this one, which may be nothing."""
    whole = _whole_of(item)
    if whole.tags.get("Action") not in (ORDERS, ANSWERS):
        return whole
    for part in parts(Sent(item.target, whole.tags, lenient_text(whole.data))):
        if part.tags.get("Job") == job:
            return _Part(dict(part.tags), part.data.encode())
    return _Part({}, b"")


def _whole_of(item: Item) -> _Part:
    return _Part(_tags(item), bytes(item.data))


def _answer(said: _Part) -> str:
    # The messenger writes one blank where there is no data.
    text = lenient_text(said.data)
    return "" if text == " " and said.tags.get("Tokens-Used") == "0" else text


def _parted(order: _Part) -> tuple[str, str]:
    """System text, "" for none, and prompt of an Inference. The rule is `parted` in worker.lua."""
    data, told = order.data, order.tags.get("System-Bytes", "")
    size = int(told) if told.isascii() and told.isdigit() else 0
    if not 0 < size < len(data) - 2:
        return "", lenient_text(data)
    return lenient_text(data[:size]), lenient_text(data[size + 2 :])


def _text(raw: bytes) -> str:
    return b64url_encode(bytes(raw))


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0


def _decimal(text: str | None, default: float) -> float:
    try:
        return float(text) if text else default
    except ValueError:
        return default


def _stops(termination: str) -> tuple[str, ...]:
    """The stop texts of a Termination tag: one plain text, or a JSON array of texts. As the worker reads it."""
    if termination.startswith("["):
        try:
            return tuple(msgspec.json.decode(termination, type=list[str]))
        except msgspec.MsgspecError:
            pass
    return (termination,) if termination else ()


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


def lines(checks: list[Check]) -> Iterator[str]:
    """Checks as a person reads them, the first that does not agree marked."""
    for each in checks:
        yield f"{'ok  ' if each.agrees else 'NOT '} {each}"
