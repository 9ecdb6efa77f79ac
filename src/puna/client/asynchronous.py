"""The client of a network, for programs with an event loop; `synchronous.py` is the same one for all others.

Agents, games and tools of people are written on it. Everything goes through a Link and a Gateway, so it does not
matter whether the network is in this program or far away. Errors are NodeError and its kinds. A process that fails
on a message is no error here: its Result has `error` set, and `Result.check()` raises where that is wanted.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from puna.ao.events import Event as EventTold
from puna.ao.link import Events, Link
from puna.ao.message import MessageId, ProcessId, owner_address
from puna.arweave.dataitem import DataItem, sign_item
from puna.arweave.ids import Address, ItemId, is_id
from puna.arweave.ids import shown as quoted
from puna.arweave.wallet import Wallet
from puna.errors import Invalid, Missing, NodeError, NotYet
from puna.services import letters
from puna.services.herder import client as herder
from puna.services.herder.client import PATIENCE_S, RECEIPT_PATIENCE_S, Answer, Prices, Quote
from puna.services.network import Network
from puna.services.outbox import question
from puna.services.token import client as token_client

from .events import Event, Stored, read_event
from .gateway import Gateway, Search, open_payload
from .reach import Reached
from .records import (
    Found,
    Item,
    Page,
    Result,
    Scheduled,
    Tags,
    TagsLike,
    read_item,
    read_page,
    read_result,
    read_scheduled,
)

T = TypeVar("T")

Data = str | bytes | bytearray | memoryview
RESULTS_MAX = 1000
FOUND_MAX = 100
ANYBODY = "1234"  # who asks in a dry-run without a wallet, as clients elsewhere have it


class Missed(NotYet):
    """Some news were not heard. Nothing is lost: what was sent is in the weave."""


async def _event(told: EventTold) -> Any:
    return read_event(told)


class Listening(AsyncIterator[T], Generic[T]):
    """News as they come. `async with` begins to listen at once and ends it; `async for` alone begins by itself.

    Without `async with` it goes on until its journey is finished or the client is closed. Whoever is too slow gets a
    `Gap` in place of what was dropped. Raises NotYet when the network goes away before that.
    """

    def __init__(
        self, client: AsyncClient, root: str | None, pick: Callable[[EventTold], Awaitable[T | None]] = _event
    ):
        self._client, self._root, self._pick = client, root, pick
        self._events: Events | None = None
        self._told: EventTold | None = None
        self._over = self._finished = False

    async def __aenter__(self) -> Listening[T]:
        await self._begun()
        return self

    async def _begun(self) -> Events:
        if self._events is None:
            self._events = await self._client._link.events(self._root).__aenter__()
            self._client._listening.add(self)
        return self._events

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        self._client._listening.discard(self)
        if self._events is not None:
            await self._events.__aexit__(None, None, None)

    async def __anext__(self) -> T:
        while not self._over:
            # Kept until it was looked at: one who stops waiting in the middle finds it again.
            self._told = self._told or await self._next()
            if self._told is None:
                break
            try:
                news = await self._pick(self._told)
            except Missed:
                self._told = None
                raise
            self._told = None
            if news is not None:
                return news
        raise StopAsyncIteration

    async def _next(self) -> EventTold | None:
        """The next event; None when nothing more will come of this journey, or nobody listens any more."""
        events = await self._begun()
        try:
            told = None if self._finished else await anext(events, None)
        except NotYet:
            if not self._over:
                raise
            told = None
        if told is not None:
            self._finished = self._root is not None and told["kind"] == "finished"
        elif self._finished:
            await self.__aexit__()
        elif not self._over:
            raise NotYet("The node stopped telling its news.", "Listen again when it runs.")
        return told

    async def get(self, timeout_s: float | None = None) -> T | None:
        """The next one; None when there are no more. Raises NotYet when none came in time; none is lost by that."""
        try:
            async with asyncio.timeout(timeout_s):
                return await anext(self, None)
        except TimeoutError:
            raise NotYet(f"Nothing came within {timeout_s:g} seconds.", "Ask again.") from None


class AsyncClient:
    """One network, and the wallet that signs. Made by `puna.client.connect` and `embedded`."""

    def __init__(
        self, reached: Reached, wallet: Wallet | None = None, leave: Callable[[], Awaitable[None]] | None = None
    ):
        """`leave` lets go of what was reached."""
        self._reached: Reached | None = reached
        self._wallet = wallet
        self._leave = leave
        self._listening: set[Listening[Any]] = set()

    async def aclose(self) -> None:
        """End all listening and let go of the network; an embedded one is stopped in good order. Safe to repeat."""
        self._reached = None
        for listening in tuple(self._listening):
            with suppress(NodeError):
                await listening.__aexit__()
        leave, self._leave = self._leave, None
        if leave is not None:
            await leave()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def _within(self) -> Reached:
        if self._reached is None:
            raise Invalid("This client is closed.", "Make a new one.")
        return self._reached

    @property
    def _link(self) -> Link:
        return self._within.link

    @property
    def _gateway(self) -> Gateway:
        return self._within.gateway

    @property
    def network(self) -> Network:
        """The ids of what stands there: module, scheduler, authority, token, herder.

        Raises Missing where nothing does.
        """
        if self._within.network is None:
            raise Missing("These units tell of no network.", "Name what you mean: module, scheduler, token.")
        return self._within.network

    @property
    def wallet(self) -> Wallet:
        """The wallet that signs. Raises Missing when there is none."""
        if self._wallet is None:
            if self._within.wallet is None:
                raise Missing("This client has no wallet to sign with.", "Give one: connect(..., wallet=PATH).")
            self._wallet = self._within.wallet()
        return self._wallet

    @property
    def address(self) -> Address:
        """The wallet's address, as processes see it."""
        return Address(owner_address(self.wallet))

    # Processes and messages

    async def spawn(
        self,
        data: Data = "",
        *,
        tags: TagsLike = None,
        module: str | None = None,
        scheduler: str | None = None,
        authority: str | None = None,
    ) -> ProcessId:
        """Spawn a process; returns its id once it is durable and has its place.

        What is not named is the network's own: the Lua module, the scheduler, and the messenger as Authority (unless
        `tags` name one). `data` is a program when there is the tag `On-Boot=Data`. Raises Missing when nobody has the
        module. How it went is `result(process)`.
        """
        named = Tags(tags)
        standing = self._within.network
        module = _id("The module", module) if module else self.network.module
        scheduler = _id("The scheduler", scheduler) if scheduler else self.network.scheduler
        authority = _id("The authority", authority) if authority else standing.authority if standing else None
        if standing is None or module != standing.module:
            await self._check_module(module)
        pairs = [("Module", module), ("Scheduler", scheduler)]
        if authority and "Authority" not in named:
            pairs.append(("Authority", authority))
        wallet, body = self.wallet, _bytes(data)
        item = await asyncio.to_thread(letters.process, wallet, [*pairs, *named.pairs], body)
        await self._link.submit(item)
        return ProcessId(item.id)

    async def message(self, process: ProcessId, tags: TagsLike = None, data: Data = "") -> MessageId:
        """Send a message; returns its id once it is durable and has its place. `result` tells what it did.

        Raises Missing when there is no such process.
        """
        return await self.submit(await self.sign(process, tags, data))

    async def sign(self, process: ProcessId, tags: TagsLike = None, data: Data = "") -> DataItem:
        """A signed message, not sent yet. The same one may be handed to `submit` again and again: it counts once."""
        target, named, body, wallet = _id("The process", process), Tags(tags), _bytes(data), self.wallet
        return await asyncio.to_thread(letters.message, wallet, target, named.pairs, body)

    async def submit(self, item: DataItem) -> MessageId:
        """Hand over a message or process that was signed, by `sign` or elsewhere."""
        if not isinstance(item, DataItem):
            raise Invalid(f"{item!r:.60} is no signed item.", "Take one from sign().")
        await self._link.submit(item)
        return MessageId(item.id)

    async def send(self, process: ProcessId, tags: TagsLike = None, data: Data = "") -> Result:
        """Send a message and wait for its result."""
        return await self.result(process, await self.message(process, tags, data))

    async def eval(self, process: ProcessId, code: str) -> Result:
        """Have a process of ours run Lua, as the console does; `output` is what it shows."""
        return await self.send(process, {"Action": "Eval"}, code)

    async def result(self, process: ProcessId, message: str | None = None) -> Result:
        """The result of a message or an assignment; without one, of the process's own start. Waits for it.

        Raises Missing when the process or the message is not known there.
        """
        process = _id("The process", process)
        message = process if message is None else _id("The message", message)
        with _known(process, message):
            return read_result(await self._link.result(process, message))

    async def results(
        self,
        process: ProcessId,
        *,
        after: str | int | None = None,
        until: str | int | None = None,
        limit: int = 25,
        newest_first: bool = False,
    ) -> Page:
        """A page of the results there are, after a cursor or time (itself not) up to another (itself too).

        Times in milliseconds; at most `limit`, 1 to 1000. Messages on which the process failed are left out.
        """
        process, limit = _id("The process", process), _limit(limit, RESULTS_MAX)
        begin, end = (None if place is None else str(place) for place in (after, until))
        with _known(process):
            told = await self._link.results(process, after=begin, until=end, limit=limit, newest_first=newest_first)
        return read_page(told)

    async def dry_run(
        self,
        process: ProcessId,
        tags: TagsLike = None,
        data: str = "",
        *,
        sender: str | None = None,
        at: MessageId | None = None,
    ) -> Result:
        """What a process would answer to an unsigned message now, or right after its message `at`. Changes nothing.

        `sender` is whom it believes to be asked by: the wallet's address if not named, anybody without a wallet.
        """
        process, named = _id("The process", process), Tags(tags)
        if not isinstance(data, str):
            raise Invalid(f"The data of a dry-run is {data!r:.60}.", "It travels as JSON: give text.")
        body = question(process, sender or self._asker(), named.pairs, data)
        to = None if at is None else _id("The message", at)
        with _known(process, to):
            return read_result(await self._link.preview(process, body, to))

    def _asker(self) -> str:
        try:
            return self.address
        except Missing:
            return ANYBODY

    async def assign(self, process: ProcessId, item: str, *, exclude: Sequence[str] = ()) -> str:
        """Give a process an item that is in the weave; returns the assignment's id, which `result` takes.

        `exclude` names fields that it is not to see, such as `Data`.
        """
        process, item = _id("The process", process), _id("The item", item)
        return await self._link.assign(process, item, _texts("exclude", exclude))

    async def monitor(self, process: ProcessId) -> None:
        """Have what the crons of a process of ours send carried from now on. Raises Invalid when it is already."""
        await self._link.monitor(await self._monitoring(process))

    async def unmonitor(self, process: ProcessId) -> None:
        """Undo `monitor`. Raises Missing when it is not monitored."""
        await self._link.unmonitor(await self._monitoring(process))

    async def _monitoring(self, process: ProcessId) -> DataItem:
        target, wallet = _id("The process", process), self.wallet
        return await asyncio.to_thread(sign_item, wallet, b" ", (), target, letters.new_anchor())

    async def schedule(self, process: ProcessId, *, after: int = -1, limit: int = 100) -> tuple[Scheduled, ...]:
        """What a process got, by nonce, from the one next to `after`; every item verified. At most `limit`, to 1000."""
        process, limit = _id("The process", process), _limit(limit, RESULTS_MAX)
        with _known(process):
            return tuple(map(read_scheduled, await self._link.assignments(process, after, limit)))

    # News

    def events(self, root: str | None = None) -> Listening[Event]:
        """All that happens from now on; with a root, that journey from its beginning until it is finished.

        The root of a journey is the id of the message, or assignment, that began it.
        """
        root = None if root is None else _id("The root", root)
        return Listening(self, root)

    def watch(self, process: ProcessId) -> Listening[Event]:
        """All that happens in one process from now on."""
        process = _id("The process", process)

        async def of_process(told: EventTold) -> Event | None:
            return read_event(told) if told.get("process") == process or told["kind"] == "gap" else None

        return Listening(self, None, of_process)

    def inbox(self, address: str | None = None) -> Listening[Item]:
        """What processes send to a wallet from now on, ours if not named; whole items, verified.

        What came earlier is found with `find(recipients=...)`. Raises Missed when it was too slow.
        """
        mine = address or self.wallet.address

        async def to_me(told: EventTold) -> Item | None:
            if told["kind"] == "gap":
                raise Missed(
                    f"This listener was too slow: {told.get('missed')} events passed it by.",
                    "Items among them are found with find(recipients=...). Go on listening.",
                )
            if told["kind"] != "stored" or told.get("target") != mine:
                return None
            news = read_event(told)
            return await self.item(str(news.item)) if isinstance(news, Stored) else None

        return Listening(self, None, to_me)

    # Permanent data

    async def upload(
        self, data: Data | os.PathLike[str], *, tags: TagsLike = None, content_type: str | None = None
    ) -> ItemId:
        """Keep data for ever, as an item of ours; returns its id. A path means a file, however large."""
        named, wallet = Tags(tags), self.wallet
        if isinstance(data, os.PathLike):
            path = Path(data)
            body: bytes | memoryview = open_payload(path)
            guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        else:
            body = _bytes(data)
            guessed = "text/plain" if isinstance(data, str) else "application/octet-stream"
        pairs = list(named.pairs)
        if content_type or "Content-Type" not in named:
            pairs.append(("Content-Type", content_type or guessed))
        item = await asyncio.to_thread(sign_item, wallet, body, pairs)
        await self._gateway.upload(item)
        return item.id

    async def item(self, id: str) -> Item:
        """An item with its tags and data, its signature checked. Raises Missing."""
        return read_item(await self._gateway.item(_id("The item", id)))

    async def data(self, id: str) -> bytes:
        """The data of an item or a transaction, as the gateway gives it. Raises Missing."""
        return await self._gateway.data(_id("The item", id))

    async def download(self, id: str, path: str | os.PathLike[str]) -> int:
        """Write the data of an item or a transaction to a new file, however large; returns its size in bytes."""
        id, place = _id("The item", id), Path(path)
        try:
            with open(place, "xb") as file:
                try:
                    return await self._gateway.save(id, file)
                except BaseException:
                    place.unlink()  # half a file must not look like a whole one
                    raise
        except FileExistsError:
            raise Invalid(f"{place} exists already.", "Choose another name, or move that file away first.") from None
        except OSError as error:
            raise Invalid(f"{place} cannot be written: {error.strerror}.", "Choose another place.") from error

    async def find(
        self,
        *,
        tags: Mapping[str, str | Sequence[str]] | None = None,
        owners: str | Iterable[str] = (),
        recipients: str | Iterable[str] = (),
        ids: str | Iterable[str] = (),
        limit: int = FOUND_MAX,
        after: str | None = None,
        newest_first: bool = True,
    ) -> tuple[Found, ...]:
        """Items and transactions for which all of this holds, each by any one of its values.

        At most `limit`, 1 to 100; what follows is found with `after`, the cursor of the last one.
        """
        if tags is not None and not isinstance(tags, Mapping):
            raise Invalid(f"The tags to find are {tags!r:.60}.", 'Give a dict, like {"App-Name": "Arena"}.')
        search = Search(
            ids=_texts("ids", ids),
            owners=_texts("owners", owners),
            recipients=_texts("recipients", recipients),
            tags=tuple((name, _texts(name, values)) for name, values in (tags or {}).items()),
            limit=_limit(limit, FOUND_MAX),
            after=after,
            newest_first=newest_first,
        )
        return tuple(await self._gateway.find(search))

    async def _check_module(self, module: str) -> None:
        """Raises Missing or Invalid, before anything is sent, when a process of this module could never run."""
        try:
            found = await self._gateway.find(Search(ids=(module,), limit=1))
        except NotYet:
            raise
        except NodeError:
            return  # no gateway to ask: the units will say
        if not found:
            raise Missing(f"The gateway has no module {module}.", "Check the id, or publish the module first.")
        if found[0].tags.get("Type") != "Module":
            raise Invalid(f"Item {module} is no module: it has no tag Type=Module.", "Name a module.")

    # Models and money

    async def prices(self) -> Prices:
        """What the herder asks for, its limits and its queue."""
        return await herder.prices(self._link, self.network.herder)

    async def quote(self, prompt: str, tokens: int, *, model: str | None = None, system: str | None = None) -> Quote:
        """What a prompt would cost now, and how long it would take. `model` is an id or a name."""
        named = self._model(model)
        return await herder.quote(self._link, self.network.herder, prompt, tokens, model=named, system=system)

    async def ask(
        self,
        prompt: str,
        tokens: int = 40,
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
        patience_s: float = PATIENCE_S,
    ) -> Answer:
        """Pay the herder for at most `tokens` tokens after `prompt`. See `puna.services.herder.client.ask`."""
        return await herder.ask(
            self._link,
            self.wallet,
            self.network,
            prompt,
            tokens,
            model=self._model(model),
            stop=stop,
            temperature=temperature,
            seed=seed,
            deadline_ms=deadline_ms,
            system=system,
            top_p=top_p,
            fee_winston=fee_winston,
            reference=reference,
            on_text=on_text,
            patience_s=patience_s,
            receipt_patience_s=RECEIPT_PATIENCE_S,
        )

    def _model(self, model: str | None) -> str | None:
        return self.network.model_id(model) if model else None

    async def balance(self, address: str | None = None, *, token: ProcessId | None = None) -> int:
        """Units of a token that an address owns; of ours and of the network's wAR (winston) if not named."""
        return await token_client.balance(self._link, self._token(token), address or self.address)

    async def transfer(self, recipient: str, units: int, *, token: ProcessId | None = None) -> MessageId:
        """Pay from our balance; returns the transfer's id once the token has moved the units."""
        if isinstance(units, bool) or not isinstance(units, int) or units < 1:
            raise Invalid(f"{units!r:.60} is no amount.", "Amounts are whole numbers of units, 1 or more.")
        paid = await token_client.transfer(self._link, self.wallet, self._token(token), recipient, units)
        return MessageId(paid)

    def _token(self, token: str | None) -> str:
        return _id("The token", token) if token else self.network.token


def _id(what: str, value: object) -> Any:
    if not is_id(value):
        raise Invalid(f"{what} {quoted(value)} is not an id.", "Ids are 43 characters of A-Z, a-z, 0-9, - and _.")
    return value


@contextmanager
def _known(process: str, message: str | None = None) -> Iterator[None]:
    """Units say that something is missing, not what."""
    try:
        yield
    except Missing as error:
        what = f"process {process}" if message in (None, process) else f"message {message} of process {process}"
        raise Missing(f"There is no {what} there.", "Check the ids, and which network they are of.") from error


def _bytes(data: object) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise Invalid(f"The data is {data!r:.60}.", "Give text or bytes, such as json.dumps(...).")


def _texts(what: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str):
        return (values,)
    several = tuple(values) if isinstance(values, Iterable) else (None,)
    if not all(isinstance(value, str) for value in several):
        raise Invalid(f"{what} is {values!r:.60}.", "Give a text, or a list of texts.")
    return several


def _limit(limit: object, most: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= most:
        raise Invalid(f"The limit is {limit!r:.60}.", f"Ask for 1 to {most}.")
    return limit
