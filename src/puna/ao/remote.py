"""The Link to a network that runs elsewhere: messenger, scheduler and compute unit over HTTP, news as an event stream.

Used by commands beside a running node and by clients on other machines. Source of the wire: protocol reference 2.1,
3.6, 4.2, 4.5; the event stream is ours (`docs/ao-units.md`).
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import msgspec

from puna.arweave.dataitem import DataItem, encode_item
from puna.errors import Invalid, Missing, NodeError, NotYet

from .foreign import exchange
from .result import Result

CONNECT_S = 5.0  # to reach a unit; an answer itself may take as long as an inference takes
EVENT_BYTES_MAX = 1 << 22


class RemoteLink:
    """Use as an async context manager. URLs without a trailing slash."""

    def __init__(self, *, gateway: str, mu: str, su: str, cu: str):
        self._gateway, self._mu, self._su, self._cu = gateway, mu, su, cu
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "RemoteLink":
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        # Only the machine named is asked: a proxy set for the world must not see a local network.
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False, read_bufsize=EVENT_BYTES_MAX)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def submit(self, item: DataItem) -> None:
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
        await self._json("POST", f"{self._mu}/", data=encode_item(item), headers=headers)

    async def assign(self, process: str, item_id: str, exclude: tuple[str, ...] = ()) -> str:
        """The assignment's id."""
        query = {"process-id": process, "assign": item_id} | ({"exclude": ",".join(exclude)} if exclude else {})
        return (await self._json("POST", f"{self._mu}/", params=query))["id"]

    async def result(self, process: str, message: str) -> Result:
        query = {"process-id": process, "no-busy": "1"}
        return Result.from_json(await self._json("GET", f"{self._cu}/result/{message}", params=query))

    async def preview(self, process: str, body: Mapping[str, Any]) -> Result:
        content = msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"}
        query = {"process-id": process}
        return Result.from_json(
            await self._json("POST", f"{self._cu}/dry-run", params=query, data=content, headers=headers)
        )

    def events(self, root: str | None = None) -> "_Stream":
        """Listen to everything, or to one journey; `async with` begins and ends it."""
        return _Stream(self._session, f"{self._gateway}/events", root)

    async def network(self) -> dict[str, Any]:
        """The standing programs of the network, as its gateway tells them."""
        return await self._json("GET", f"{self._gateway}/network")

    async def _json(self, method: str, url: str, **options: Any) -> Any:
        try:
            status, body = await exchange(self._session, method, url, **options)
        except aiohttp.ClientError as error:
            raise _away(url, error) from error
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            value = {"error": body.decode(errors="replace").strip() or f"status {status}"}
        if status >= 400:
            raise _error_of(status, str(value.get("error", value)) if isinstance(value, dict) else str(value))
        return value


class _Stream(AsyncIterator[dict[str, Any]]):
    """Server-sent events as dicts. Entering waits until the node has begun to listen for us."""

    def __init__(self, session: aiohttp.ClientSession, url: str, root: str | None):
        self._session = session
        self._url = url
        self._query = {"root": root} if root else {}
        self._reply: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> "_Stream":
        try:
            self._reply = await self._session.get(self._url, params=self._query)
        except aiohttp.ClientError as error:
            raise _away(self._url, error) from error
        if self._reply.status != 200:
            raise _error_of(self._reply.status, await self._reply.text())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reply.close()

    async def __anext__(self) -> dict[str, Any]:
        try:
            while line := await self._reply.content.readline():
                if line.startswith(b"data: "):
                    return msgspec.json.decode(line[6:])
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _away(self._url, error) from error
        raise StopAsyncIteration


def _away(url: str, error: Exception) -> NotYet:
    return NotYet(
        f"The node at {url.split('/')[2]} is not within reach ({type(error).__name__}).",
        "What was acknowledged is not lost: it goes on when the node runs again. Start it with: puna up",
    )


def _error_of(status: int, text: str) -> NodeError:
    kind = {404: Missing, 429: NotYet, 503: NotYet}.get(status)
    if kind is not None:
        return kind(text)
    return Invalid(text) if status < 500 else NodeError(text)
