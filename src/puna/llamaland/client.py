"""Client of Llama Land: who is where and what is said, petitions, jokes, questions, balances.

Called by tests, benches and programs. Amounts are in units of LLAMA. Reads are dry-runs; what changes something is an
ordinary signed message, and is followed until its end: an answer, or coins that came back.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from puna.ao.link import Link
from puna.ao.message import owner_address
from puna.ao.result import Result
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, NotYet
from puna.services import letters
from puna.services.outbox import first, question, sent
from puna.services.token.client import balance

from .land import Land

LLAMA = 10**12  # units in one LLAMA
OFFERING, JOKE_PRICE, QUESTION_PRICE = LLAMA, 5 * LLAMA, 2 * LLAMA
PATIENCE_S = 16 * 60  # a little more than characters have

Place = tuple[float, float]


@dataclass(frozen=True)
class Entity:
    """Somebody in a world. `state` 0 is hidden, 1 always visible, 2 visible while it does something; `at` in ms."""

    id: str
    name: str
    position: Place
    state: int
    at: int
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """A line of chat. `recipient` is whom it is for, empty when for all; `root` begins the events of its inference."""

    number: int
    author: str
    name: str
    text: str
    recipient: str
    kind: str
    root: str
    inference: str
    at: int


@dataclass(frozen=True)
class Verdict:
    """How a petition ended: `paid` and `asked` in units (less is paid when the treasury is low), `inferences` the two
    messages in which the herd graded it, `record` all that the Banker keeps."""

    transfer: str
    grade: int
    mood: int
    words: str
    paid: int
    asked: int
    inferences: tuple[str, ...]
    record: Mapping[str, Any]


# Reading -----------------------------------------------------------------------------------------------------------


async def llama_balance(link: Link, land: Land, address: str) -> int:
    """Units of LLAMA that an address owns."""
    return await balance(link, land.coin, address)


async def entities(link: Link, world: str, since_ms: int = 0) -> dict[str, Entity]:
    """Who is in a world, or did something there since; characters and warps that stand for ever are not among them."""
    asked = msgspec.json.encode({"Timestamp": since_ms, "Initial": since_ms == 0}).decode()
    told = await _read(link, world, {"Action": "Reality.EntitiesDynamic"}, asked)
    return _entities(told)


async def chat(link: Link, world: str, after: int = 0, limit: int = 100) -> list[Line]:
    """Lines with a number above `after`, the oldest first."""
    tags = {"Action": "ChatHistory", "Id-After": str(after), "Limit": str(limit)}
    told = msgspec.json.decode(await _read(link, world, tags))
    return [
        Line(
            each["Id"], each["AuthorId"], each["AuthorName"], each["Content"], each.get("Recipient", ""),
            each.get("Kind", ""), each.get("Root", ""), each.get("Inference", ""), each["Timestamp"],
        )
        for each in reversed(told)
    ]  # fmt: skip


async def record(link: Link, land: Land, transfer: str) -> dict[str, Any]:
    """What the Banker keeps of the petition that this transfer began; empty when nothing."""
    return msgspec.json.decode(await _read(link, land.banker, {"Action": "Record", "Root": transfer}))


async def ledger(link: Link, land: Land) -> dict[str, Any]:
    """The Banker's books: issued, remaining, the hour's budget, today's petitions."""
    return msgspec.json.decode(await _read(link, land.banker, {"Action": "Ledger"}))


async def quests(link: Link, land: Land, address: str) -> dict[str, bool]:
    """Quest -> whether it was done and paid."""
    told = msgspec.json.decode(await _read(link, land.giver, {"Action": "Quests", "Account": address}))
    return {each["Quest"]: each["Done"] for each in told}


def _entities(told: str) -> dict[str, Entity]:
    return {
        id: Entity(
            id, each["Metadata"].get("DisplayName", ""), tuple(each["Position"]), each["StateCode"], each["At"],
            each["Metadata"],
        )
        for id, each in msgspec.json.decode(told).items()
    }  # fmt: skip


# Walking and talking -----------------------------------------------------------------------------------------------


async def enter(link: Link, wallet: Wallet, world: str, name: str, at: Place | None = None, skin: int = 0) -> Entity:
    """Appear in a world. Raises Invalid when it does not take us as we are."""
    wanted: dict[str, Any] = {"Type": "Avatar", "Metadata": {"DisplayName": name, "SkinNumber": skin}}
    if at is not None:
        wanted["Position"] = at
    told = await _change(link, wallet, world, {"Action": "Reality.EntityCreate"}, wanted)
    return _entities(told)[owner_address(wallet)]


async def walk(link: Link, wallet: Wallet, world: str, *path: Place) -> None:
    """Go to the last of these places by way of the others. Raises Invalid when that is outside or too fast."""
    await _change(link, wallet, world, {"Action": "Reality.EntityUpdatePosition"}, {"Path": path})


async def leave(link: Link, wallet: Wallet, world: str) -> None:
    """Hide in a world."""
    await _change(link, wallet, world, {"Action": "Reality.EntityHide"})


async def open_session(link: Link, wallet: Wallet, world: str, key: str) -> None:
    """Let the key with that address move and chat for the wallet."""
    await _change(link, wallet, world, {"Action": "Reality.Session", "Session-Key": key})


async def speak(link: Link, wallet: Wallet, world: str, name: str, text: str) -> None:
    """Say a line to all. Raises Invalid when it is refused."""
    item = letters.message(wallet, world, {"Action": "ChatMessage", "Author-Name": name}, text.encode())
    await link.submit(item)
    _checked(await link.result(world, item.id))


async def gift(link: Link, wallet: Wallet, land: Land) -> None:
    """Ask the Giver for his gift. Raises Invalid when there is none for us."""
    await _change(link, wallet, land.giver, {"Action": "GetDonation"})


async def immigrate(link: Link, wallet: Wallet, land: Land) -> None:
    """Become a citizen. Raises Invalid when that is refused."""
    await _change(link, wallet, land.citizenship, {"Action": "Immigrate"})


# What is paid for --------------------------------------------------------------------------------------------------


async def petition(
    link: Link, wallet: Wallet, land: Land, text: str, name: str, *, patience_s: float = PATIENCE_S
) -> Verdict:
    """Lay a petition before the King. Raises Invalid when it is refused; then the offering came back."""
    tags = {"X-Petition": text, "X-Sender-Name": name}
    transfer = await _pay(link, wallet, land, land.banker, OFFERING, tags)

    async def ended():
        known = await record(link, land, transfer)
        is_over = known.get("State") in ("paid", "unpaid") or known.get("Paid") == "0"
        return known if is_over else None

    known = await _wait(link, land, wallet, transfer, ended, patience_s)
    return Verdict(
        transfer, known["Grade"], known["Mood"], known["Words"], int(known["Paid"]), int(known["Asked"]),
        tuple(known["Inferences"]), known,
    )  # fmt: skip


async def joke(link: Link, wallet: Wallet, land: Land, topic: str, *, patience_s: float = PATIENCE_S) -> str:
    """Have the Joker tell a joke. Raises Invalid when none came; then the coins came back."""
    transfer = await _pay(link, wallet, land, land.joker, JOKE_PRICE, {"X-JokeTopic": topic})
    return (await _answer(link, land, wallet, transfer, patience_s)).text


async def ask_oracle(link: Link, wallet: Wallet, land: Land, text: str, *, patience_s: float = PATIENCE_S) -> str:
    """Ask the Oracle. Raises Invalid when no answer came; then the coins came back."""
    transfer = await _pay(link, wallet, land, land.oracle, QUESTION_PRICE, {"X-Question": text})
    return (await _answer(link, land, wallet, transfer, patience_s)).text


async def _answer(link: Link, land: Land, wallet: Wallet, transfer: str, patience_s: float) -> Line:
    async def ended():
        lines = await chat(link, land.worlds["town"])
        return next((line for line in lines if line.root == transfer and line.kind == "answer"), None)

    return await _wait(link, land, wallet, transfer, ended, patience_s)


async def _pay(link: Link, wallet: Wallet, land: Land, recipient: str, units: int, tags: Mapping[str, str]) -> str:
    paid = {"Action": "Transfer", "Recipient": recipient, "Quantity": str(units), **tags}
    item = letters.message(wallet, land.coin, paid)
    await link.submit(item)
    result = await link.result(land.coin, item.id)
    if refusal := first(result.messages, "Transfer-Error"):
        raise Invalid(f"The coin refused the payment: {refusal.tags.get('Error', '')}", "Nothing was paid.")
    return item.id


async def _wait(link: Link, land: Land, wallet: Wallet, transfer: str, ended, patience_s: float):
    """What `ended` returns once it is something. Raises Invalid when the coins came back, with the reason said."""
    deadline = time.monotonic() + patience_s
    async with link.events() as events:
        while time.monotonic() < deadline:
            if (found := await ended()) is not None:
                return found
            for line in await chat(link, land.worlds["town"]):
                if line.root == transfer and line.kind == "refund" and line.recipient == owner_address(wallet):
                    raise Invalid(line.text, "Change the request or come back later.")
            await _news(events, {land.worlds["town"], land.banker}, deadline)
    raise NotYet(f"Nothing came of {transfer} in {patience_s:g} seconds.", "Coins that nobody earns come back.")


async def _news(events, processes: set[str], deadline: float) -> None:
    """Wait until one of these processes did something."""
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            async for event in events:
                if event["kind"] == "evaluated" and event.get("process") in processes:
                    return
    except TimeoutError:
        pass


async def _read(link: Link, process: str, tags: Mapping[str, str], data: str = "") -> str:
    result = await link.preview(process, question(process, process, tags, data))
    answers = sent(result.messages)
    if not answers:
        raise NotYet(f"The process {process} does not answer: {result.error or 'no reply'}", "Check its id.")
    return answers[0].data


async def _change(link: Link, wallet: Wallet, process: str, tags: Mapping[str, str], data: Any = None) -> str:
    item = letters.message(wallet, process, tags, b"" if data is None else msgspec.json.encode(data))
    await link.submit(item)
    return _checked(await link.result(process, item.id))


def _checked(result: Result) -> str:
    """The data of the first answer. Raises Invalid with its words when it is a refusal."""
    if result.error is not None:
        raise NotYet(f"It failed: {result.error}", "Nothing was changed.")
    answers = sent(result.messages)
    for answer in answers:
        if answer.tags.get("Result") == "Error":
            raise Invalid(answer.tags.get("Error", answer.data), "Nothing was changed.")
    return answers[0].data if answers else ""
