"""The Link to a network that runs elsewhere: messenger, scheduler and compute unit over HTTP, news as an event stream.

Used by commands beside a running node and by clients on other machines. Source of the wire: protocol reference 2.1,
2.4, 3.6, 4.2, 4.3, 4.5; the event stream is ours (`docs/ao-units.md`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
import msgspec

from puna.arweave.dataitem import DataItem, encode_item
from puna.errors import Invalid, Missing, NodeError, NotYet

from .assignment import read_assignment
from .events import LISTENER_MAX, Event
from .foreign import exchange
from .link import Events
from .result import Page, Result
from .scheduler.port import Entry
from .told import assignment_item, message_item

CONNECT_S = 5.0  # to reach a unit; an answer itself may take as long as an inference takes
IDLE_S = 4.0  # a connection at rest is let go before the server does, which is after 5 s
EVENT_BYTES_MAX = 1 << 22
NEWS_IDLE_S = 2.0  # who asks again and again need not have the stream of news opened each time
RESULTS_KEPT = 64
RESULT_KEPT_BYTES_MAX = 1 << 16  # a larger one is shared by those who ask meanwhile, and not kept
NO_JSON = (msgspec.DecodeError, UnicodeError, RecursionError)


class RemoteLink:
    """Use as an async context manager. URLs without a trailing slash, "" for a unit that is not there.

    `timeout_s` is how long any call but the event stream may take; past it NotYet is raised.
    """

    def __init__(self, *, gateway: str = "", mu: str = "", su: str = "", cu: str = "", timeout_s: float | None = None):
        self._urls = {"gateway": gateway, "mu": mu, "su": su, "cu": cu}
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._news: _News | None = None
        self._results: dict[tuple[str, str], Result] = {}  # read last, by process and message
        self._asking: dict[tuple[str, str], asyncio.Future[Result]] = {}
        self._about_to_ask: dict[tuple[str, str | None, bytes], asyncio.Task[Result]] = {}  # dry-runs not sent yet

    async def __aenter__(self) -> "RemoteLink":
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S)
        # Without a limit: those who wait for results and news must not keep out those who have something to say.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
        # Only the machine named is asked: a proxy set for the world must not see a local network.
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._news is not None:
            await self._news.close()
        await self._session.close()

    @property
    def web(self) -> aiohttp.ClientSession:
        return self._session

    async def submit(self, item: DataItem) -> None:
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
        await self._json("POST", "mu", "/", data=encode_item(item), headers=headers)

    async def assign(self, process: str, item_id: str, exclude: tuple[str, ...] = ()) -> str:
        query = {"process-id": process, "assign": item_id} | ({"exclude": ",".join(exclude)} if exclude else {})
        return (await self._json("POST", "mu", "/", params=query))["id"]

    async def result(self, process: str, message: str) -> Result:
        """One that many wait for is asked for once: it never changes."""
        key = process, message
        while (found := self._results.get(key)) is None:
            asking = self._asking.get(key)
            if asking is None:
                return await self._ask_for_result(key)
            await asyncio.wait([asking])
            if not asking.cancelled():
                return asking.result()
        return found

    async def _ask_for_result(self, key: tuple[str, str]) -> Result:
        asking = self._asking[key] = asyncio.get_running_loop().create_future()
        try:
            body = await self._text("GET", "cu", f"/result/{key[1]}", params={"process-id": key[0], "no-busy": "1"})
            result = Result.from_json(self._decoded("cu", body))
        except NodeError as error:
            asking.set_exception(error)
            asking.exception()  # nobody else may be waiting for it
            raise
        except BaseException:
            asking.cancel()  # we stop asking; whoever waited with us asks again
            raise
        finally:
            del self._asking[key]
        asking.set_result(result)
        if len(body) <= RESULT_KEPT_BYTES_MAX:
            self._results[key] = result
            if len(self._results) > RESULTS_KEPT:
                del self._results[next(iter(self._results))]
        return result

    async def results(
        self, process: str, *, after: str | None, until: str | None, limit: int, newest_first: bool
    ) -> Page:
        query = {"sort": "DESC" if newest_first else "ASC", "limit": str(limit)}
        query |= {name: text for name, text in (("from", after), ("to", until)) if text}
        told = await self._json("GET", "cu", f"/results/{process}", params=query)
        try:
            edges = tuple((edge["cursor"], Result.from_json(edge["node"])) for edge in told["edges"])
            return Page(edges, bool(told.get("pageInfo", {}).get("hasNextPage")))
        except (LookupError, TypeError, AttributeError) as error:
            raise NodeError(f"The compute unit at {self._urls['cu']} gives no page of results.") from error

    async def preview(self, process: str, body: Mapping[str, Any], to: str | None = None) -> Result:
        """A question that several ask at the same moment goes out once: who asks a moment later may have done
        something that the answer must show.
        """
        key = process, to, msgspec.json.encode(body)
        asking = self._about_to_ask.get(key)
        if asking is None:
            asking = self._about_to_ask[key] = asyncio.create_task(self._preview(*key), name="dry-run")
        return await asyncio.shield(asking)

    async def _preview(self, process: str, to: str | None, content: bytes) -> Result:
        await asyncio.sleep(0)  # whoever is woken by the same news asks before this goes on
        del self._about_to_ask[process, to, content]
        headers = {"Content-Type": "application/json"}
        query = {"process-id": process} | ({"to": to} if to else {})
        return Result.from_json(await self._json("POST", "cu", "/dry-run", params=query, data=content, headers=headers))

    async def monitor(self, item: DataItem) -> None:
        await self._text("POST", "mu", f"/monitor/{item.target}", data=encode_item(item))

    async def unmonitor(self, item: DataItem) -> None:
        await self._text("DELETE", "mu", f"/monitor/{item.target}", data=encode_item(item))

    async def assignments(self, process: str, after_nonce: int = -1, limit: int = 100) -> list[Entry]:
        query = {"process-id": process, "from-nonce": str(after_nonce), "limit": str(limit)}
        try:
            feed = await self._json("GET", "su", f"/{process}", params=query)
        except Invalid as error:
            if "not found" in error.what:  # schedulers have one status for all refusals
                raise Missing(error.what, error.todo) from error
            raise
        return [await self._entry(process, edge["node"]) for edge in feed["edges"]]

    async def _entry(self, process: str, node: dict[str, Any]) -> Entry:
        su, told = self._urls["su"], node["message"]
        item = await message_item(self._session, su, process, told) if told is not None else None
        return item, read_assignment(await assignment_item(self._session, su, process, node["assignment"]))

    def events(self, root: str | None = None) -> Events:
        """Listen to everything, or to one journey; `async with` begins and ends it.

        All who listen to everything share one stream, so each event comes and is decoded once.
        """
        if root is not None:
            return _Stream(self._session, self.url("gateway", "/events"), root)
        if self._news is None:
            url = self.url("gateway", "/events")
            self._news = _News(lambda: _Stream(self._session, url, None))
        return _Listener(self._news)

    async def network(self) -> dict[str, Any]:
        """The standing programs of the network and the URLs of its units, as its gateway tells them."""
        return await self._json("GET", "gateway", "/network")

    def url(self, unit: str, path: str = "") -> str:
        """Where a unit is. Raises Invalid when nobody said so."""
        if not self._urls[unit]:
            raise Invalid(f"This needs the {_UNITS[unit]}, and its URL was not given.", f"Name it: {unit}=URL.")
        return self._urls[unit] + path

    async def _json(self, method: str, unit: str, path: str, **options: Any) -> Any:
        return self._decoded(unit, await self._text(method, unit, path, **options))

    def _decoded(self, unit: str, body: bytes) -> Any:
        try:
            return msgspec.json.decode(body)
        except NO_JSON as error:
            where, said = self.url(unit), body[:80].decode(errors="replace")
            raise Invalid(f"{where} is no {_UNITS[unit]}: it answers {said!r}.", "Check the URL.") from error

    async def _text(self, method: str, unit: str, path: str, **options: Any) -> bytes:
        url = self.url(unit, path)
        try:
            status, body = await exchange(self._session, method, url, **options)
        except (aiohttp.NonHttpUrlClientError, ValueError) as error:
            raise Invalid(f"{url} is not a URL.", "Give one that begins with https:// or http://.") from error
        except TimeoutError as error:
            if isinstance(error, aiohttp.ClientError):
                raise _away(url, error) from error
            raise NotYet(
                f"The {_UNITS[unit]} at {self._urls[unit]} did not answer within {self._timeout_s:g} seconds.",
                "Whether it took what was sent is not known: ask for the result.",
            ) from error
        except aiohttp.ClientError as error:
            raise _away(url, error) from error
        if status >= 400:
            raise _error_of(status, _reason(body) or f"The {_UNITS[unit]} answers with status {status}.")
        return body


_UNITS = {"gateway": "gateway", "mu": "messenger unit", "su": "scheduler unit", "cu": "compute unit"}


class _Stream(AsyncIterator[dict[str, Any]]):
    """Server-sent events as dicts. Entering waits until the node has begun to listen for us."""

    def __init__(self, session: aiohttp.ClientSession, url: str, root: str | None):
        self._session = session
        self._url = url
        self._query = {"root": root} if root else {}
        self._reply: aiohttp.ClientResponse | None = None
        self._come = bytearray()  # of a line whose end has not come yet

    async def __aenter__(self) -> "_Stream":
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        try:
            self._reply = await self._session.get(self._url, params=self._query, timeout=timeout)
        except aiohttp.ClientError as error:
            raise _away(self._url, error) from error
        if self._reply.status != 200:
            text = _reason(await self._reply.read())
            raise _error_of(self._reply.status, text or f"{self._url} tells no events.")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._reply is not None:
            self._reply.close()

    async def __anext__(self) -> dict[str, Any]:
        while (line := await self._line()) is not None:
            if line.startswith(b"data: "):
                return msgspec.json.decode(line[6:])
        raise StopAsyncIteration

    async def _line(self) -> bytes | None:
        """The next line; None at the end. One who stops waiting loses nothing: what came is kept."""
        while (end := self._come.find(b"\n")) < 0:
            if len(self._come) > EVENT_BYTES_MAX:
                raise NodeError(f"An event of {self._url} is longer than {EVENT_BYTES_MAX} bytes.")
            try:
                part = await self._reply.content.readany()
            except (aiohttp.ClientError, ConnectionError) as error:
                raise _away(self._url, error) from error
            if not part:
                return None
            self._come += part
        line = bytes(self._come[:end])
        del self._come[: end + 1]
        return line


class _News:
    """One stream of everything, read for all who listen to it. Open while somebody listens, and a little longer."""

    def __init__(self, open: Callable[[], _Stream]):
        self._open = open
        self._listeners: set[_Listener] = set()
        self._opening = asyncio.Lock()
        self._stream: _Stream | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ending: asyncio.TimerHandle | None = None

    async def join(self, listener: "_Listener") -> None:
        """Returns once the node tells everything that happens from then on. Raises NodeError when it does not."""
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        self._listeners.add(listener)
        try:
            async with self._opening:
                if self._stream is None:
                    stream = await self._open().__aenter__()
                    self._stream, self._reading = stream, asyncio.create_task(self._read(stream), name="news")
        except BaseException:
            self.leave(listener)
            raise

    def leave(self, listener: "_Listener") -> None:
        self._listeners.discard(listener)
        if not self._listeners and self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(NEWS_IDLE_S, self._let_go)

    def _let_go(self) -> None:
        self._ending = None
        if self._reading is not None:
            self._reading.cancel()
            self._end(None)

    async def close(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        reading = self._reading
        self._let_go()
        if reading is not None:
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, stream: _Stream) -> None:
        failure: Exception | None = None
        try:
            async for event in stream:
                for listener in self._listeners:
                    listener.offer(event)
        except Exception as error:  # whatever it is, each of those who listen is told
            failure = error
        self._end(failure)

    def _end(self, failure: Exception | None) -> None:
        """Whoever listens next has the stream opened again."""
        self._stream.close()
        self._stream = self._reading = None
        for listener in self._listeners:
            listener.end(failure)


class _Listener(AsyncIterator[Event]):
    """Everything from now on, as one of those who share a stream."""

    def __init__(self, news: _News):
        self._news = news
        self._waiting: deque[Event] = deque()
        self._missed = 0
        self._over = False
        self._failure: Exception | None = None
        self._wake = asyncio.Event()

    def offer(self, event: Event) -> None:
        if len(self._waiting) >= LISTENER_MAX:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(event)
        self._wake.set()

    def end(self, failure: Exception | None) -> None:
        self._over, self._failure = True, failure
        self._wake.set()

    async def __aenter__(self) -> "_Listener":
        await self._news.join(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._news.leave(self)
        self.end(None)  # somebody else may wait for the next one

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._over:
                raise self._failure or StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        if self._missed:
            missed, self._missed = self._missed, 0
            return {"kind": "gap", "root": None, "missed": missed}
        return self._waiting.popleft()


def _away(url: str, error: Exception) -> NotYet:
    return NotYet(
        f"The node at {url.split('/')[2]} is not within reach ({type(error).__name__}).",
        "What was acknowledged is not lost: it goes on when the node runs again. Start it with: puna up",
    )


def _reason(body: bytes) -> str:
    """What an error's body says, in whatever form."""
    try:
        told = msgspec.json.decode(body)
    except NO_JSON:
        return body.decode(errors="replace").strip()
    return str(told.get("error", told)) if isinstance(told, dict) else str(told)


def _error_of(status: int, text: str) -> NodeError:
    kind = {404: Missing, 429: NotYet, 503: NotYet}.get(status)
    if kind is not None:
        return kind(text)
    return Invalid(text) if status < 500 else NodeError(text)
