"""A whole network in one process: real store, units, WebAssembly module and programs; only the model is played."""

import asyncio
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

from llm.small_models import write_llama

from puna.ao.units import Units
from puna.arweave.store.sqlite import open_store
from puna.arweave.wallet import new_ed25519_wallet
from puna.clock import HandClock
from puna.llm.generate import Completion
from puna.services.genesis import genesis
from puna.services.network import Network, standing
from puna.vm.extensions import Host
from puna.vm.machine import THREAD_STACK_BYTES, Machine
from puna.vm.process import Process

MACHINE = Machine()


class PlayedEngine:
    """What an EngineClient offers: says `text`, or raises `trouble`. Every word is a token."""

    def __init__(self, text: str = "to eat grass"):
        self.text, self.trouble, self.asked = text, None, []

    def open_model(self, path):
        return SimpleNamespace(
            name="Played", context=64, vocab=100, arithmetic="canonical-1", eos=2, chat_template=True
        )  # fmt: skip

    def encode_chat(self, path, messages):
        return [1, *range(3, 3 + sum(len(message["content"].split()) for message in messages))]

    def tokenize(self, path, text, bos, special):
        return [1, *range(3, 3 + len(text.split()))]

    def generate(self, path, tokens, limit, sampling, stop, on_tokens):
        self.asked.append((path, tuple(tokens), limit, sampling, tuple(stop)))
        if self.trouble:
            raise self.trouble
        words = self.text.split(" ")[:limit]
        for index, word in enumerate(words):
            on_tokens([(index, ((" " if index else "") + word).encode())])
        finish = "length" if len(words) == limit else "stop"
        return Completion(tuple(range(len(words))), " ".join(words), finish)

    def generate_all(self, path, requests, on_tokens):
        return [
            self.generate(path, each.tokens, each.limit, each.sampling, each.stop, partial(on_tokens, place))
            for place, each in enumerate(requests)
        ]


class NearEvaluators:
    """The Evaluators port on threads of this process."""

    def __init__(self, store, engine: PlayedEngine):
        self.store, self.engine = store, engine
        self.processes: dict[str, Process] = {}
        self.lanes = defaultdict(asyncio.Lock)  # what is asked of a process is done in order
        self.on_event = lambda event: None
        before = threading.stack_size(THREAD_STACK_BYTES)
        self.threads = ThreadPoolExecutor(4)
        self.threads.submit(lambda: None).result()
        threading.stack_size(before)

    async def _run(self, function, *args):
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *args)

    async def attach(self, process_id, program, snapshot=None):
        loop = asyncio.get_running_loop()
        host = Host(
            process_id=process_id,
            weave=self.store.payload_path,
            engine=lambda: self.engine,
            emit=lambda events: loop.call_soon_threadsafe(lambda: [self.on_event(event) for event in events]),
        )
        self.processes[process_id] = await self._run(Process, MACHINE, program, host, snapshot)

    def attached(self, process_id):
        return process_id in self.processes

    async def apply(self, process_id, message_json, *, message_id):
        async with self.lanes[process_id]:
            return (await self._run(self.processes[process_id].apply, message_json, message_id)).evaluation()

    async def apply_all(self, process_id, take):
        while given := await take(1):
            ((message_json, message_id),) = given
            yield await self.apply(process_id, message_json, message_id=message_id)

    async def preview(self, process_id, message_json):
        async with self.lanes[process_id]:
            return (await self._run(self.processes[process_id].preview, message_json)).evaluation()

    async def resume(self, process_id, program, start, base):
        await self.attach(process_id, program, replace(start, base=base()))

    async def snapshot(self, process_id):
        return await self._run(self.processes[process_id].snapshot)

    async def checkpoint(self, process_id, before=None):
        return await self._run(self.processes[process_id].checkpoint, before)

    async def detach(self, process_id):
        del self.processes[process_id]


KEYS = [new_ed25519_wallet() for _ in range(5)]
OPERATOR, USER = KEYS[3:]


class Whole(SimpleNamespace):
    """link, store, units, clock, engine, network."""

    network: Network


class Dying:
    """A store on a machine whose power fails right after its n-th append from now."""

    def __init__(self, store, appends: int):
        self._store, self._left = store, appends
        self.dead = asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def append(self, items, notes={}):  # noqa: B006
        self._left -= 1
        if self._left < 0:
            self.dead.set()
            await asyncio.Event().wait()  # nothing after this line of a dead machine's program runs
        await self._store.append(items, notes)
        if self._left == 0:
            self.dead.set()
            await asyncio.Event().wait()


@asynccontextmanager
async def whole(folder, engine: PlayedEngine | None = None, clock: HandClock | None = None, **options):
    """A network on `folder`, raised or resumed; stopped in good order at the end."""
    engine, clock = engine or PlayedEngine(), clock or HandClock()
    if not (folder / "model.gguf").exists():
        write_llama(folder / "model.gguf", seed=1)
    store = open_store(folder / "weave")
    units = _units(store, engine, clock)
    await units.resume()
    try:
        network = await genesis(
            units.link, store, OPERATOR, scheduler=KEYS[0].address, authority=KEYS[2].address,
            user=USER.address, model=folder / "model.gguf", **options,
        )  # fmt: skip
        yield Whole(link=units.link, store=store, units=units, clock=clock, engine=engine, network=network)
    finally:
        await units.stop()
        await store.close()


@asynccontextmanager
async def dying(folder, appends: int):
    """The network of `folder`, whose power fails after so many appends; nothing of it is stopped in good order."""
    store = open_store(folder / "weave")
    before, mortal = asyncio.all_tasks(), Dying(store, appends)
    units = _units(mortal, PlayedEngine(), HandClock())
    await units.resume()
    try:
        yield Whole(link=units.link, store=store, units=units, network=standing(store), dead=mortal.dead)
    finally:
        left = asyncio.all_tasks() - before
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await store.close()


def _units(store, engine: PlayedEngine, clock: HandClock) -> Units:
    evaluators = NearEvaluators(store, engine)
    return Units.wire(store, evaluators, clock, scheduler=KEYS[0], compute=KEYS[1], messenger=KEYS[2])
