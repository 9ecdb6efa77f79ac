"""A scheduler on another machine, or a router in front of many: the port `Schedules` over HTTP.

Used by a compute unit or a messenger that runs alone. Every entry that passes is verified and kept in the unit's own
store, so a schedule here can be read, replayed and verified without asking again. Source: protocol reference 3.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import msgspec

from puna.arweave.archive import view_of
from puna.arweave.dataitem import DataItem, encode_item
from puna.arweave.store.port import Store
from puna.clock import Tip
from puna.errors import Invalid, Missing, NodeError

from ..assignment import Assignment, read_assignment
from ..foreign import ask
from ..message import ProcessId, tag
from ..told import assignment_item, message_item, raw_item
from .port import Entry, Placed, Placing, Refused


class RemoteSchedules:
    """`url` is the scheduler's or its router's, without a trailing slash. `address` is who answers there, known after
    `meet`. Assignments must be signed by whom the process itself names as its scheduler.
    """

    def __init__(self, store: Store, url: str, web: aiohttp.ClientSession):
        self._store, self._url, self._web = store, url, web
        self._view = view_of(store)
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
            query |= {"base-layer": ""} if placing.settled else {}
            query |= {"exclude": ",".join(placing.exclude)} if placing.exclude else {}
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
            if node["message"] is not None:
                item = await self._message(process, node["message"])
            else:
                # Assigned by id: some schedulers hand it out, else it is for a gateway to give.
                item = self._view(assignment.item_id)
                item = item or await raw_item(self._web, self._url, process, assignment.item_id)
            entries.append((item, assignment))
        signer = await self._scheduler_of(process, entries)
        for _, assignment in entries:
            if assignment.item.address != signer:
                raise Invalid(f"assignment {assignment.id} is not signed by the scheduler {signer}")
        kept = [part for item, a in entries for part in (item, a.item) if isinstance(part, DataItem)]
        await self._store.append(kept)
        return entries[-1]

    async def _scheduler_of(self, process: ProcessId, entries: Sequence[Entry]) -> str:
        """The address that a process names as its scheduler: whoever answers here, only that one orders it."""
        item = next((item for item, _ in entries if item is not None and item.id == process), None)
        item = item or self._store.view(process)
        if item is None:
            feed = await self._json(f"/{process}", **{"process-id": process, "limit": "1"})
            item = await self._message(process, feed["edges"][0]["node"]["message"])
            await self._store.append([item])
        return tag(item, "Scheduler") or self.address

    async def _assignment(self, process: ProcessId, told: dict[str, Any]) -> DataItem:
        return self._store.view(told["id"]) or await assignment_item(self._web, self._url, process, told)

    async def _message(self, process: ProcessId, told: dict[str, Any]) -> DataItem:
        return self._store.view(told["id"]) or await message_item(self._web, self._url, process, told)


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        answer = None
    return answer if isinstance(answer, dict) else {"error": body[:200].decode(errors="replace")}


def _sent_key(assignment: Assignment) -> str:
    """That we placed this, and wrote down whatever belongs to it."""
    return f"ao/sent/{assignment.process}/{assignment.item_id}"
