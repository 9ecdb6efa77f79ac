"""The doors over a whole network in this program, whose model says what the test wants when the test wants it."""

import threading
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from services.whole import OPERATOR, USER, PlayedEngine, Whole, whole

from puna.api.counter import Counter
from puna.api.keys import Keys, create
from puna.api.routes import api_routes
from puna.arweave.gateway.library import Library
from puna.arweave.weave import Weave
from puna.llm.generate import Answer, Completion, Request
from puna.node.doors import Serving, open_doors
from puna.node.gateway import gateway_app
from puna.node.receipts import Receipts
from puna.services.herder.desk import Desk


class Slow(PlayedEngine):
    """Says `pieces` of bytes, a token each, by the engine's own rules; `gate` lets through as many as it was told.

    A stop text ends the answer and pieces of half characters are told as they are, as with a real model.
    """

    def __init__(self, pieces: list[bytes], open: bool = False):
        super().__init__()
        self.pieces, self.gate = pieces, threading.Semaphore(10**6 if open else 0)

    def generate(self, path, tokens, limit, sampling, stop, on_tokens):
        request = Request(tuple(tokens), limit, sampling, tuple(stop))
        answer, words = Answer(request, self), deque(range(1, len(self.pieces) + 1))
        while answer.finish is None:
            assert self.gate.acquire(timeout=60)
            token = words.popleft() if words else 0
            if token == 0:
                answer.finish = "stop"
                told = answer._release(answer.held)
            else:
                answer.tokens.append(token)
                answer.held.append((token, self.piece(token)))
                told = answer._settle()
            if told:
                on_tokens(told)
        return Completion(tuple(answer.tokens), answer.released.decode("utf-8", "replace"), answer.finish)

    def piece(self, token: int) -> bytes:
        return self.pieces[token - 1]


@dataclass(frozen=True)
class House:
    it: Whole
    http: httpx.AsyncClient
    engine: Slow
    keys: Keys
    desk: Desk

    async def key(self, winston: int = 10**6) -> str:
        shown, _ = await create(self.keys, self.it.link, USER, self.it.network.token, "", winston)
        self.http.headers["Authorization"] = f"Bearer {shown}"
        return shown


@asynccontextmanager
async def house(folder, engine: Slow, **options):
    async with whole(folder, engine, **options) as it:
        keys = Keys(folder / "api-keys")
        receipts = Receipts(it.store, OPERATOR, it.units.hub, lambda: it.network)
        await receipts.start()
        desk = Desk(it.link, it.store, lambda: it.network)
        await desk.start()
        counter = Counter(it.link, it.store, lambda: it.network, desk)
        library = Library(await Weave.open(it.store, OPERATOR, lambda: USER))
        doors = open_doors("127.0.0.1", 0, ["gateway"])
        routes = api_routes(counter, keys)
        serving = Serving(doors, {"gateway": gateway_app(library, it.units.hub, it.network.to_json, services=routes)})
        await serving.start()
        try:
            async with httpx.AsyncClient(base_url=doors.urls["gateway"], timeout=60) as http:
                yield House(it, http, engine, keys, desk)
        finally:
            engine.gate.release(10**6)
            await serving.stop()
            await counter.stop()
            await desk.stop()
            await receipts.stop()
