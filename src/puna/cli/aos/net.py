"""A network as the console needs it: a remote link, and the further requests of units and gateways that it makes.

Called by `console.py` and `processes.py`. One class for every network: a node of ours, embedded or not, and units of
others. `relocate` finds a node again that came back on other ports. Source: protocol reference 1.8, 3.6, 4.4.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from puna.ao.remote import RemoteLink
from puna.errors import Invalid, Missing, NodeError, NotYet

PAGE = 100
CONNECT_S = 5.0  # to reach a unit; an answer itself may take as long as an inference takes
DOORS = {"mu": 2, "su": 3, "cu": 4}  # after the gateway's port, where a node does not tell where its units are


@dataclass(frozen=True)
class Doors:
    """URLs without a trailing slash; "" for a unit that was not named."""

    gateway: str = ""
    mu: str = ""
    su: str = ""
    cu: str = ""


class Net:
    """Use as an async context manager. All requests raise NodeError and its kinds."""

    def __init__(self, doors: Doors, find: Callable[[], Doors | None] = lambda: None):
        self.doors = doors
        self._find = find
        self.link = self._new_link()
        self._session: aiohttp.ClientSession | None = None

    def _new_link(self) -> RemoteLink:
        doors = self.doors
        return RemoteLink(gateway=doors.gateway, mu=doors.mu, su=doors.su, cu=doors.cu)

    async def __aenter__(self) -> "Net":
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        await self.link.__aenter__()
        return self

    async def __aexit__(self, *why: object) -> None:
        await self.link.__aexit__(*why)
        await self._session.close()

    async def relocate(self) -> None:
        """Look where the node is now."""
        doors = self._find()
        if doors is not None and doors != self.doors:
            await self.link.__aexit__(None, None, None)
            self.doors = doors
            self.link = await self._new_link().__aenter__()

    async def evaluate_crons(self, process: str, after: str) -> None:
        """Have the crons of a process evaluated up to now; their results are on the pages then."""
        query = {"limit": "1"} | ({"from": after} if after else {})
        await self._json("GET", f"{self.doors.cu}/cron/{process}", params=query)

    async def schedule(self, process: str, after_nonce: int, limit: int) -> list[dict[str, Any]]:
        """Places of a schedule, as the scheduler tells them: each `{message, assignment}`."""
        query = {"from-nonce": str(after_nonce), "limit": str(limit)}
        page = await self._scheduler(f"/{process}", query)
        return [edge["node"] for edge in page["edges"]]

    async def newest(self, process: str) -> dict[str, Any]:
        """The newest place of a schedule."""
        return await self._scheduler(f"/{process}/latest", {})

    async def place(self, process: str, message: str) -> dict[str, Any]:
        """The place of a message or an assignment. Raises Missing."""
        return await self._scheduler(f"/{message}", {"process-id": process})

    async def scheduled_process(self, process: str) -> dict[str, Any]:
        """The item of a process. Raises Missing."""
        return await self._scheduler(f"/processes/{process}", {})

    async def scheduler_address(self) -> str:
        return (await self._scheduler("/", {})).get("address", "")

    async def _scheduler(self, path: str, query: Mapping[str, str]) -> Any:
        if not self.doors.su:
            raise Invalid("No scheduler was named, so nobody knows the order of messages.", "Name it with --su-url.")
        try:
            return await self._json("GET", f"{self.doors.su}{path}", params=query)
        except Invalid as error:  # schedulers answer 400 for what they do not have
            raise Missing(f"The scheduler has nothing there: {error.what}", error.todo) from error

    async def graphql(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The `data` of a GraphQL answer."""
        if not self.doors.gateway:
            raise Invalid("No gateway was named, so nothing can be looked up.", "Name it with --gateway-url.")
        body = {"query": query, "variables": dict(variables)}
        answer = await self._json("POST", f"{self.doors.gateway}/graphql", json=body)
        told = answer if isinstance(answer, dict) else {}
        if told.get("errors") or not told.get("data"):
            raise NodeError(f"The gateway at {self.doors.gateway} cannot answer: {told.get('errors') or answer}")
        return told["data"]

    async def data(self, id: str) -> bytes:
        """The data of an item. Raises Missing."""
        return await self._bytes("GET", f"{self.doors.gateway}/raw/{id}")

    async def _json(self, method: str, url: str, **options: Any) -> Any:
        body = await self._bytes(method, url, **options)
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            what = body[:80].decode(errors="replace")
            raise Invalid(f"{url} does not answer as a unit does: {what!r}", "Check the URL.") from error

    async def _bytes(self, method: str, url: str, **options: Any) -> bytes:
        try:
            async with self._session.request(method, url, **options) as reply:
                body = await reply.read()
        except aiohttp.InvalidURL as error:
            raise Invalid(f"{url} is not a URL.", "Give one that begins with https:// or http://.") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise NotYet(f"{urlsplit(url).netloc} is not within reach ({type(error).__name__}).") from error
        if reply.status >= 400:
            said = _said(body.decode(errors="replace")) or f"{urlsplit(url).netloc} answers with status {reply.status}."
            kind = {404: Missing, 429: NotYet, 502: NotYet, 503: NotYet}.get(reply.status)
            raise (kind or (Invalid if reply.status < 500 else NodeError))(said)
        return body


def _said(text: str) -> str:
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text.strip()
    return str(value.get("error", text)) if isinstance(value, dict) else text.strip()


async def doors_of(url: str) -> Doors:
    """The doors of a node of ours, from the URL of its gateway. Raises NotYet when nobody answers there."""
    gateway = url.rstrip("/")
    async with Net(Doors(gateway=gateway)) as net:
        units = (await net.link.network()).get("units") or {}
    return Doors(gateway, *(_seen_from(gateway, units.get(name), after) for name, after in DOORS.items()))


def _seen_from(gateway: str, unit: str | None, after: int) -> str:
    """Where a unit is for one who reached its gateway: a unit that listens everywhere is there, too.

    Without a word about the unit: so many ports after the gateway's.
    """
    parts = urlsplit(gateway)
    told = urlsplit(unit or "")
    if told.hostname not in (None, "0.0.0.0", "::"):
        return unit
    own = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return urlunsplit((parts.scheme, f"{host}:{told.port or own + after}", "", "", ""))
