"""What the units stand on in tests: a store in memory that can be killed, a module of plain Python, keys from seeds.

`Town` is a whole network over one store; `reborn` gives the network after a restart.
"""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from puna.ao.compute.port import Checkpoint, Evaluation, Program
from puna.ao.units import Units
from puna.arweave.dataitem import DataItem, sign_item
from puna.arweave.ids import b64url_encode
from puna.arweave.store.port import Entry, Query
from puna.arweave.wallet import Wallet, wallet_from_jwk
from puna.clock import HandClock
from puna.errors import Invalid, NotYet
from puna.vm.checkpoint import INCREMENT_MAGIC, digest_of


def wallet(name: str) -> Wallet:
    """The same Ed25519 wallet for the same name, always."""
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    private = key.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(public), "d": b64url_encode(private)}
    return wallet_from_jwk(jwk)


SCHEDULER, COMPUTE, MESSENGER = wallet("scheduler"), wallet("compute"), wallet("messenger")
ALICE, BOB = wallet("alice"), wallet("bob")


class MemoryStore:
    """The Store port over lists and dicts. Appends are durable at once, and counted."""

    def __init__(self) -> None:
        self.items: list[DataItem] = []
        self.by_id: dict[str, DataItem] = {}
        self.derived: dict[str, bytes] = {}
        self.appends = 0

    async def append(self, items: Sequence[DataItem], notes: Mapping[str, bytes | None] = {}) -> None:
        await asyncio.sleep(0)
        self.appends += 1
        for item in items:
            if item.id not in self.by_id:
                self.items.append(item)
                self.by_id[item.id] = item
        for key, value in notes.items():
            if value is None:
                self.derived.pop(key, None)
            else:
                self.derived[key] = value

    def view(self, id: str) -> DataItem | None:
        return self.by_id.get(id)

    def view_all(self, ids: Sequence[str]) -> list[DataItem | None]:
        return [self.view(id) for id in ids]

    def find(self, query: Query) -> list[Entry]:
        entries = [Entry(n, item) for n, item in enumerate(self.items, 1) if query.matches(item)]
        if query.newest_first:
            entries = [e for e in reversed(entries) if query.after is None or e.sequence < query.after]
        else:
            entries = [e for e in entries if query.after is None or e.sequence > query.after]
        return entries[: query.limit]

    def note(self, key: str) -> bytes | None:
        return self.derived.get(key)

    def notes(self, prefix: str) -> list[tuple[str, bytes]]:
        return sorted((key, value) for key, value in self.derived.items() if key.startswith(prefix))

    def payload_path(self, id: str) -> Path | None:
        return Path(f"/payloads/{id}") if id in self.by_id else None

    async def append_file(self, wallet, path, tags) -> DataItem:
        item = sign_item(wallet, data=path.read_bytes(), tags=tags)
        await self.append([item])
        return item

    async def close(self) -> None:
        pass


class MortalStore:
    """A store on a machine that dies at its n-th append from now: just before it is durable, or just after."""

    def __init__(self, inner: MemoryStore, appends: int, *, before: bool):
        self._inner, self._left, self._before = inner, appends, before
        self.dead = asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def append(self, items, notes={}) -> None:  # noqa: B006
        if self.dead.is_set():
            await asyncio.Event().wait()
        self._left -= 1
        if self._left > 0:
            return await self._inner.append(items, notes)
        self.dead.set()
        if not self._before:
            await self._inner.append(items, notes)
        # Whoever waits for a dead machine waits for ever: nothing after this line of its program runs.
        await asyncio.Event().wait()


class FakeEvaluators:
    """The Evaluators port with a module of plain Python (`handle`) instead of WebAssembly.

    `lose_in` counts applications down: at 0 every memory is lost, as when the process that holds them dies.
    """

    def __init__(self, *, gas: int = 10, lose_in: int | None = None):
        self.memories: dict[str, tuple[Program, dict]] = {}
        self.kept: dict[str, tuple[bytes, dict]] = {}  # the newest checkpoint: its digest, and the memory in it
        self.lanes: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # what is asked is done in order
        self.busy: set[str] = set()
        self.applied: list[tuple[str, str]] = []
        self.most_attached = 0
        self.parallel_most = 0
        self.gas = gas
        self.held_bytes = 0  # what each memory says it holds
        self.lose_in = lose_in
        self.refuse: list[Exception] = []  # raised, one each, by the next applications
        self.gate: asyncio.Event | None = None
        self.on_event = lambda event: None

    async def attach(self, process_id: str, program: Program, snapshot: bytes | None = None) -> None:
        await asyncio.sleep(0)
        if snapshot is not None and not snapshot.startswith(b"fake:"):
            raise Invalid("not a snapshot")
        state = json.loads(snapshot[5:]) if snapshot else {}
        self.memories[process_id] = (program, state)
        self.most_attached = max(self.most_attached, len(self.memories))

    def attached(self, process_id: str) -> bool:
        return process_id in self.memories

    async def apply(self, process_id: str, message_json: bytes, *, message_id: str) -> Evaluation:
        async with self.lanes[process_id]:
            self._lose_if_due()
            if self.refuse:
                raise self.refuse.pop(0)
            self.on_event({"process": process_id, "message": message_id, "event": "token", "text": "a", "index": 0})
            state, evaluation = await self._evaluate(process_id, message_json)
            self.memories[process_id] = (self.memories[process_id][0], state)
            self.applied.append((process_id, message_id))
            return evaluation

    async def apply_all(self, process_id: str, take):
        while given := await take(1):
            ((message_json, message_id),) = given
            yield await self.apply(process_id, message_json, message_id=message_id)

    async def preview(self, process_id: str, message_json: bytes) -> Evaluation:
        async with self.lanes[process_id]:
            return (await self._evaluate(process_id, message_json))[1]

    async def snapshot(self, process_id: str) -> bytes:
        return b"fake:" + _dump(self.memories[process_id][1])

    async def resume(self, process_id: str, program: Program, start: Checkpoint, base: Callable[[], bytes]) -> None:
        snapshot = base()
        state = json.loads(snapshot[5:])
        for increment in start.increments:
            magic, before, changed = increment.split(b" ", 2)
            if magic != INCREMENT_MAGIC or bytes.fromhex(before.decode()) != digest_of(snapshot):
                raise Invalid("an increment to another snapshot")
            new, gone = json.loads(changed)
            state = {key: value for key, value in {**state, **new}.items() if key not in gone}
            snapshot = increment
        if hashlib.sha256(_dump(state)).digest() != start.state_root:
            raise Invalid("another state root")
        await self.attach(process_id, program, b"fake:" + _dump(state))
        self.kept[process_id] = (digest_of(snapshot), deepcopy(state))

    async def checkpoint(self, process_id: str, before: bytes | None = None) -> bytes:
        state = deepcopy(self.memories[process_id][1])
        digest, old = self.kept.get(process_id, (None, {}))
        made = b"fake:" + _dump(state)
        if before is not None and before == digest:
            new = {key: state[key] for key in state if key not in old or old[key] != state[key]}
            gone = [key for key in old if key not in state]
            made = b" ".join([INCREMENT_MAGIC, before.hex().encode(), json.dumps([new, gone]).encode()])
        self.kept[process_id] = (digest_of(made), state)
        return made

    async def detach(self, process_id: str) -> None:
        self.kept.pop(process_id, None)
        del self.memories[process_id]

    def _lose_if_due(self) -> None:
        if self.lose_in is not None:
            self.lose_in -= 1
            if self.lose_in < 0:
                self.lose_in = None
                self.memories.clear()
                self.kept.clear()
                raise NotYet("the evaluator is gone")

    async def _evaluate(self, process_id: str, message_json: bytes) -> tuple[dict, Evaluation]:
        assert process_id not in self.busy, "two evaluations of one process at once"
        if process_id not in self.memories:
            raise NotYet("not attached")
        self.busy.add(process_id)
        self.parallel_most = max(self.parallel_most, len(self.busy))
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
            if process_id not in self.memories:
                raise NotYet("lost while it was evaluated")
            program, before = self.memories[process_id]
            state = deepcopy(before)
            answer = handle(state, json.loads(message_json), json.loads(program.environment))
        finally:
            self.busy.discard(process_id)
        error = answer.get("Error")
        after = before if error else state
        empty = bool(error)
        evaluation = Evaluation(
            output=answer.get("Output", ""),
            messages=[] if empty else answer["Messages"],
            spawns=[] if empty else answer["Spawns"],
            assignments=[] if empty else answer["Assignments"],
            error=error,
            gas_used=self.gas,
            state_root=hashlib.sha256(_dump(after)).digest(),
            memory_bytes=len(_dump(after)),
            held_bytes=self.held_bytes,
        )
        return after, evaluation


def handle(state: dict, message: dict, env: dict) -> dict:
    """A program in Python: does what a message's data says, plays ping-pong, and remembers all it saw."""
    answer = {"Messages": [], "Spawns": [], "Assignments": [], "Output": ""}
    tags = {tag["name"]: tag["value"] for tag in message["Tags"]}
    state.setdefault("seen", []).append([message.get("Id"), message["From"], tags.get("Action", "")])
    references = (f"{reference_seed(message)}{n}" for n in range(1, 1000))

    def send(target, extra, data=""):
        reference = next(references)
        basic = {"Variant": "ao.TN.1", "Reference": reference, **extra}
        entry_tags = [{"name": name, "value": value} for name, value in basic.items()]
        answer["Messages"].append(
            {"Target": target, "Anchor": reference.rjust(32, "0"), "Tags": entry_tags, "Data": data}
        )

    if "Ball" in tags and int(tags["Ball"]) > 0:
        send(message["From"], {"Ball": str(int(tags["Ball"]) - 1)})
    for step in _steps(message.get("Data")):
        match step:
            case ["send", target, extra, data]:
                send(target, extra, data)
            case ["spawn", extra]:
                spawn_tags = {
                    "From-Process": env["Process"]["Id"],
                    "Reference": next(references),
                    "Module": env["Module"]["Id"],
                    **extra,
                }
                entry_tags = [{"name": name, "value": value} for name, value in spawn_tags.items() if value]
                answer["Spawns"].append({"Tags": entry_tags, "Data": "NODATA", "Anchor": "0" * 32})
            case ["raw", box, entry]:
                answer[box].append(entry)
            case ["set", name, value]:
                state[name] = value
            case ["get", name]:
                answer["Output"] = state.get(name)
            case ["show"]:
                answer["Output"] = {"data": json.dumps(message)}
            case ["fail", text]:
                return {**answer, "Error": text}
    return answer


def reference_seed(message: dict) -> str:
    """References depend on the message alone, so that what is sent does not depend on the order of arrival."""
    said = message.get("Id") or message["Timestamp"]  # a cron has no id
    return hashlib.sha256(str(said).encode()).hexdigest()[:16]


def _steps(data) -> list:
    try:
        steps = json.loads(data)
    except (TypeError, ValueError):
        return []
    return steps if isinstance(steps, list) else []


def _dump(state: dict) -> bytes:
    return json.dumps(state, sort_keys=True).encode()


MODULE = sign_item(
    ALICE,
    data=b"\0asm",
    tags=[
        ("Data-Protocol", "ao"),
        ("Variant", "ao.TN.1"),
        ("Type", "Module"),
        ("Module-Format", "wasm32-puna-lua-1"),
        ("Input-Encoding", "JSON-1"),
        ("Output-Encoding", "JSON-1"),
        ("Memory-Limit", "64-mb"),
        ("Compute-Limit", "9000000000"),
    ],
)


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


class Town:
    """A network over one store. Messages are signed by ALICE unless said otherwise."""

    def __init__(self, store=None, evaluators=None, clock=None, messenger=None, archive=None, **options):
        self.store = store if store is not None else MemoryStore()
        self.evaluators = evaluators or FakeEvaluators()
        self.clock = clock or HandClock()
        messenger_options = {"sleep": no_sleep} | options.pop("messenger_options", {})
        self.units = Units.wire(
            self.store,
            self.evaluators,
            self.clock,
            scheduler=SCHEDULER,
            compute=COMPUTE,
            messenger=messenger or MESSENGER,
            archive=archive,
            compute_options={"sleep": no_sleep} | options,
            messenger_options=messenger_options,
        )
        self.link = self.units.link

    @classmethod
    async def founded(cls, **options) -> "Town":
        town = cls(**options)
        await town.store.append([MODULE])
        return town

    async def spawn(self, *tags: tuple[str, str], data: bytes = b" ", by: Wallet = ALICE) -> str:
        item = process_item(*tags, data=data, by=by)
        await self.link.submit(item)
        return item.id

    async def do(self, process: str, *steps, tags: Sequence[tuple[str, str]] = (), by: Wallet = ALICE) -> str:
        item = message_item(process, *steps, tags=tags, by=by)
        await self.link.submit(item)
        return item.id

    async def quiet(self) -> None:
        """Wait until nothing is under way. Every journey ends by itself in these stories."""
        while self.store.notes("ao/journey/") or any(s.task for s in self.units.compute._streams.values()):
            await asyncio.sleep(0)

    async def ended(self, root: str) -> list[dict]:
        """All events of a journey, once it is finished."""
        return [event async for event in self.link.events(root)]

    async def schedule(self, process: str):
        return await self.link.assignments(process, -1, 10_000)

    async def memory(self, process: str) -> dict:
        """The program's state, from a replay of nothing but signed items."""
        state: dict = {}
        process_view, module = self.store.view(process), MODULE
        from puna.ao.compute.fold import message_of
        from puna.ao.compute.program import environment_json

        env = json.loads(environment_json(process_view, module))
        for item, assignment in await self.schedule(process):
            after = deepcopy(state)
            if not handle(after, message_of(item, assignment), env).get("Error"):
                state = after
        return state


def process_item(*tags: tuple[str, str], data: bytes = b" ", by: Wallet = ALICE, scheduler: str = "") -> DataItem:
    return sign_item(
        by,
        data=data,
        tags=[
            *tags,
            ("Data-Protocol", "ao"),
            ("Variant", "ao.TN.1"),
            ("Type", "Process"),
            ("Module", MODULE.id),
            ("Scheduler", scheduler or SCHEDULER.address),
            ("Authority", MESSENGER.address),
        ],
    )


def message_item(
    process: str, *steps, tags: Sequence[tuple[str, str]] = (), by: Wallet = ALICE, anchor: bytes = b""
) -> DataItem:
    data = json.dumps(list(steps)).encode() if steps else b" "
    all_tags = [*tags, ("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message")]
    return sign_item(by, data=data, target=process, tags=all_tags, anchor=anchor)


def tags_of(item: DataItem) -> dict[str, str]:
    """Tags as a map; fails when a name occurs twice."""
    assert len({tag.name for tag in item.tags}) == len(item.tags), item.tags
    return {name: value for name, value in item.tags}


def named(item: DataItem, name: str) -> list[str]:
    return [value for tag_name, value in item.tags if tag_name == name]
