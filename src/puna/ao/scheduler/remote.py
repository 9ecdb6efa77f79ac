"""A scheduler on another machine, as the units here need it: the port `Schedules` over HTTP.

Used by a compute unit or a messenger that runs alone. Every entry that passes is verified and kept in the unit's own
store, so a schedule here can be read, replayed and verified without asking again. Source: protocol reference 3.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import msgspec

from puna.arweave.dataitem import DataItem, decode_item, encode_item, rebuild_item, verify_item
from puna.arweave.ids import b64url_decode
from puna.arweave.store.port import Store
from puna.clock import Tip
from puna.errors import Invalid, Missing, NodeError

from ..assignment import Assignment, read_assignment
from ..foreign import ask
from ..message import ProcessId, tag
from .port import Entry, Placed, Placing, Refused


class RemoteSchedules:
    """`url` is the scheduler's, without a trailing slash; `address` who must have signed, known after `meet`."""

    def __init__(self, store: Store, url: str, web: aiohttp.ClientSession):
        self._store, self._url, self._web = store, url, web
        self._known: set[str] = set()
        self.address = ""

    async def meet(self) -> None:
        """Learn who the scheduler is. Raises NotYet while it does not answer."""
        self.address = (await self._json("/"))["address"]

    # Writing

    async def place_all(
        self,
        placings: Sequence[Placing],
        items: Sequence[DataItem] = (),
        notes: Mapping[str, bytes | None] = {},
    ) -> list[Placed | Refused]:
        """See `port.Schedules.place_all`. Not one append here, but steps that may be taken again: items, places, notes.

        Killed between them, the caller takes the whole step again: the scheduler knows each item by its id, and what
        has no note here yet counts as new.
        """
        await self._store.append([*items, *(placing.item for placing in placings if placing.item is not None)])
        answers = [await self._place(placing) for placing in placings]
        written = dict(notes)
        for placing, answer in zip(placings, answers, strict=True):
            if isinstance(answer, Placed) and answer.new:
                written |= placing.notes | {_sent_key(answer.assignment): b""}
        await self._store.append([], written)
        return answers

    async def _place(self, placing: Placing) -> Placed | Refused:
        try:
            process, assignment_id = await self._post(placing)
            _, assignment = await self.place(process, assignment_id)
        except (Invalid, Missing) as error:
            return Refused(error)
        return Placed(assignment, new=self._store.note(_sent_key(assignment)) is None)

    async def _post(self, placing: Placing) -> tuple[ProcessId, str]:
        """Ask for a place; answers the process and an id that the scheduler knows the place by."""
        if placing.process is not None:
            process, query = placing.process, {"process-id": placing.process, "assign": placing.item_id}
            if placing.exclude:
                query["exclude"] = ",".join(placing.exclude)
            status, body = await ask(self._web, "POST", f"{self._url}/", params=query)
            wanted = placing.item_id
        else:
            item = placing.item
            process = ProcessId(item.id if tag(item, "Type") == "Process" else item.target)
            status, body = await ask(self._web, "POST", f"{self._url}/", data=encode_item(item))
            wanted = item.id
        answer = _object(body)
        text = str(answer.get("error", ""))
        if status >= 400 and not text.startswith("MessageExists"):
            raise Invalid(text or f"the scheduler answers {status}")
        return process, answer.get("assignment") or answer.get("id") or wanted

    # Reading

    async def knows(self, process: str) -> bool:
        if process not in self._known:
            status, _ = await ask(self._web, "GET", f"{self._url}/", params={"process-id": process})
            if status != 200:
                return False
            self._known.add(process)
        return True

    async def place(self, process: ProcessId, item_id: str) -> Entry:
        """The entry of a message id or an assignment id; the process id gives nonce 0. Raises Missing."""
        if item_id == process:
            ((entry),) = await self.assignments(process, -1, 1)
            return entry
        if self._store.view(process) is None:
            await self.assignments(process, -1, 1)
        node = await self._json(f"/{item_id}", **{"process-id": process})
        return await self._keep(process, [node], [])

    async def assignments(self, process: ProcessId, after_nonce: int = -1, limit: int = 100) -> list[Entry]:
        query = {"process-id": process, "from-nonce": str(after_nonce), "limit": str(limit)}
        feed = await self._json(f"/{process}", **query)
        entries: list[Entry] = []
        if feed["edges"]:
            await self._keep(process, [edge["node"] for edge in feed["edges"]], entries)
        return entries

    async def newest(self, process: ProcessId) -> int:
        """The nonce of the newest assignment. Raises Missing."""
        node = await self._json(f"/{process}/latest")
        return (await self._keep(process, [node], []))[1].nonce

    async def present(self) -> Tip:
        """See `port.Schedules.present`."""
        told = await self._json("/timestamp")
        return Tip(int(told["timestamp"]), int(told["block_height"]))

    async def heads(self) -> list[tuple[ProcessId, int]]:
        """The processes that were seen here already; what is new elsewhere comes with the first question about it."""
        found = []
        for key, _ in self._store.notes("ao/evaluated/"):
            process = ProcessId(key.removeprefix("ao/evaluated/"))
            try:
                found.append((process, await self.newest(process)))
            except NodeError:
                continue  # it is followed again as soon as somebody asks
        return found

    # What came over the wire

    async def _json(self, path: str, **query: str) -> Any:
        status, body = await ask(self._web, "GET", self._url + path, params=query)
        answer = _object(body)
        if status >= 400:
            raise Missing(str(answer.get("error", f"the scheduler answers {status}")))
        return answer

    async def _keep(self, process: ProcessId, nodes: Sequence[dict[str, Any]], entries: list[Entry]) -> Entry:
        """Verify entries and keep them; adds them to `entries` and answers the last."""
        for node in nodes:
            assignment = read_assignment(await self._assignment(process, node["assignment"]))
            item = await self._message(process, node["message"]) if node["message"] is not None else None
            entries.append((item, assignment))
        await self._store.append([part for item, a in entries for part in (item, a.item) if part is not None])
        return entries[-1]

    async def _assignment(self, process: ProcessId, told: dict[str, Any]) -> DataItem:
        signed = self._store.view(told["id"])
        if signed is None:
            anchor = b64url_decode(told["anchor"] or "")
            signed = await self._signed(process, told, anchor, b"")
        if self.address and signed.address != self.address:
            raise Invalid(f"assignment {told['id']} is not signed by the scheduler {self.address}")
        return signed

    async def _message(self, process: ProcessId, told: dict[str, Any]) -> DataItem:
        known = self._store.view(told["id"])
        if known is not None:
            return known
        return await self._signed(process, told, (told["anchor"] or "").encode(), (told["data"] or "").encode())

    async def _signed(self, process: ProcessId, told: dict[str, Any], anchor: bytes, data: bytes) -> DataItem:
        """The item as signed. What the feed cannot show as text is asked for whole."""
        target = told.get("target") or ""
        try:
            owner, signature = b64url_decode(told["owner"]["key"]), b64url_decode(told["signature"])
            return rebuild_item(told["id"], owner, signature, target, anchor, told["tags"], data)
        except Invalid:
            status, body = await ask(self._web, "GET", f"{self._url}/raw/{process}/{told['id']}")
            if status != 200:
                raise
        item = decode_item(body)
        verify_item(item)
        if item.id != told["id"]:
            raise Invalid(f"the scheduler gave {item.id} for {told['id']}")
        return item


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        answer = None
    return answer if isinstance(answer, dict) else {"error": body[:200].decode(errors="replace")}


def _sent_key(assignment: Assignment) -> str:
    """That we placed this, and wrote down whatever belongs to it."""
    return f"ao/sent/{assignment.process}/{assignment.item_id}"
