"""The inference engine as an operating system process of its own: python -m puna.llm.server --socket PATH

One engine serves every evaluator of a node, so a model's weights and caches are in memory once, and what an engine
could do wrong (crash, run out of memory) happens apart from the node. Its parent holds the other end of standard
input: when that closes, for whatever reason, the server ends. `puna.llm.client.spawn_engine` starts it.
"""

import argparse
import asyncio
import hmac
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from puna.errors import Invalid, NodeError
from puna.llm import frames
from puna.llm.chat import encode_chat, render_chat
from puna.llm.engine import SHELF_BYTES_MAX, Deliver, Done, Engine, Event, Failed, Job, Piece
from puna.llm.generate import Completion, Request
from puna.llm.sampler import Sampling
from puna.scheduling import compute_in_batches

log = logging.getLogger(__name__)

Take = Callable[[list[Event]], None]

READY = b"ready\n"
# Tokens of a small model come every fraction of a millisecond. Told one by one, waking everybody on their way costs
# more than computing them; nobody sees whether they come this much later, some at a time.
TELL_S = 0.02
AT_ONCE_BYTES_MAX = 4096  # a request this short is answered on the event loop,
AT_ONCE_S = 0.005  # unless one took longer than this; compiling a chat template takes a millisecond
SLOW_MAX = 1024  # past it no model is given the chance


class Server:
    """Connections to one engine. All methods but `tell` run on the event loop; the engine has a thread of its own."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.connections: set[Connection] = set()
        self._loop = asyncio.get_running_loop()
        # Of the engine's thread: tokens that may wait for others, and what is told after this step.
        self._waiting: defaultdict[Take, list[Event]] = defaultdict(list)
        self._due: list[tuple[Take, list[Event]]] = []
        self._slow: set[str] = set()  # models with which a short request took long
        self._told_s = 0.0
        engine.after_step = self.tell

    async def listen(self, path: Path) -> asyncio.Server:
        """Accept clients at `path`: a Unix socket there, or a file that says which loopback port."""
        with suppress(FileNotFoundError):
            path.unlink()  # left by a server that was killed
        if frames.fits_unix_socket(path):
            return await listen_unix(path, lambda: Connection(self, None))
        return await listen_tcp(path, lambda secret: Connection(self, secret))

    async def hang_up(self) -> None:
        """End all connections, and with them what is computed for them."""
        tasks = [each.answering for each in self.connections if each.answering]
        for each in self.connections:
            each.transport.abort()
        while self.connections:
            await asyncio.sleep(0)  # until each has been told
        if tasks:
            await asyncio.wait(tasks)

    def is_quick(self, ask: Any) -> bool:
        """Whether a short request may be answered on the event loop, where a thread would cost more than the answer."""
        path = getattr(ask, "path", None)
        if path is None:
            return True
        return path not in self._slow and len(self._slow) < SLOW_MAX and self.engine.has_open(path)

    def answer_timed(self, ask: Any) -> Any:
        """Answer at once. A model that takes long (its chat template is anybody's program) does so a single time."""
        began_s = time.thread_time()
        try:
            return ANSWERS[type(ask)](self.engine, ask)
        finally:
            if time.thread_time() - began_s > AT_ONCE_S:
                self._slow.add(getattr(ask, "path", ""))

    def deliver_to(self, take: Take) -> Deliver:
        """What hands a job's events to `take` on the event loop, together, when the engine's step has ended.

        The first one comes by itself: a reader sees an answer begin, however quickly the rest of it follows. Neither
        it nor the last one waits for others.
        """
        is_first = True

        def deliver(event: Event) -> None:
            nonlocal is_first
            self._waiting[take].append(event)
            if is_first or not isinstance(event, Piece):
                self._due.append((take, self._waiting.pop(take)))
            is_first = False

        return deliver

    def tell(self) -> None:
        """After each step, on the engine's thread: wake the event loop, once for the events of all jobs.

        Tokens may wait for those of the next steps: as no job ends with them, such steps follow.
        """
        now_s = time.monotonic()
        due, self._due = self._due, []
        if now_s - self._told_s >= TELL_S:
            due += self._waiting.items()
            self._waiting = defaultdict(list)
            self._told_s = now_s
        if due:
            with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                self._loop.call_soon_threadsafe(hand_out, due)


def hand_out(due: Sequence[tuple[Take, list[Event]]]) -> None:
    for take, events in due:
        take(events)


class Connection(asyncio.Protocol):
    """One client: its requests, one after another, until it goes.

    It says nothing while it waits for an answer, and reads that before it asks again; one that does otherwise is
    taken for gone.
    """

    def __init__(self, server: Server, secret: bytes | None):
        self.server, self.engine = server, server.engine
        self.secret = secret  # still to be said
        self.received = bytearray()
        self.answering: asyncio.Task | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.server.connections.discard(self)
        if self.answering:
            self.answering.cancel()

    def data_received(self, data: bytes) -> None:
        if self.answering or self.transport.get_write_buffer_size():
            self.transport.abort()
            return
        self.received += data
        if self.secret is not None and not self._is_let_in():
            return
        body = self._next_frame()
        if body is not None:
            self.answering = self.server._loop.create_task(self.answer(body))

    def _is_let_in(self) -> bool:
        if len(self.received) < frames.SECRET_BYTES:
            return False
        said = bytes(self.received[: frames.SECRET_BYTES])
        del self.received[: frames.SECRET_BYTES]
        if not hmac.compare_digest(said, self.secret):
            self.transport.abort()
            return False
        self.secret = None
        return True

    def _next_frame(self) -> bytes | None:
        if len(self.received) < frames.LENGTH.size:
            return None
        end = frames.LENGTH.size + frames.LENGTH.unpack_from(self.received)[0]
        # Nothing may follow a request: its answer comes first.
        if end > frames.LENGTH.size + frames.FRAME_BYTES_MAX or len(self.received) > end:
            self.transport.abort()
        elif len(self.received) == end:
            body, self.received = bytes(self.received[frames.LENGTH.size :]), bytearray()
            return body
        return None

    async def answer(self, body: bytes) -> None:
        try:
            ask = frames.decode_ask(body)
            if isinstance(ask, frames.Generate):
                value = await self.generate(ask)
            elif isinstance(ask, frames.GenerateAll):
                value = await self.generate_all(ask)
            elif isinstance(ask, frames.Score):
                value = await self.score(ask)
            elif len(body) <= AT_ONCE_BYTES_MAX and self.server.is_quick(ask):
                value = self.server.answer_timed(ask)
            else:
                # Opening a model or reading a long text takes a while, and others are served meanwhile.
                value = await asyncio.to_thread(ANSWERS[type(ask)], self.engine, ask)
            reply: Any = frames.frame(frames.Value(value))
        except NodeError as error:
            reply = frames.frame(frames.failure_of(error))
        except (msgspec.MsgspecError, UnicodeError) as error:
            reply = frames.frame(frames.failure_of(Invalid(f"The engine cannot read the request: {error}")))
        except Exception as error:
            log.exception("a request failed")
            reply = frames.frame(frames.Failure("bug", repr(error), ""))
        self.answering = None
        self.transport.write(reply)

    async def generate(self, ask: frames.Generate) -> Completion:
        await self.open(ask.path)
        return await self._generate(ask.path, 0, ask.wanted)

    async def generate_all(self, ask: frames.GenerateAll) -> list[Completion | frames.Failure]:
        """What each one comes to. What can never be answered harms no other; any other error ends them all."""
        await self.open(ask.path)
        try:
            async with asyncio.TaskGroup() as group:
                making = [group.create_task(self._try_generate(ask.path, *each)) for each in enumerate(ask.wanted)]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [each.result() for each in making]

    async def _try_generate(self, path: str, place: int, wanted: frames.Wanted) -> Completion | frames.Failure:
        try:
            return await self._generate(path, place, wanted)
        except Invalid as error:
            return frames.failure_of(error)

    async def _generate(self, path: str, place: int, wanted: frames.Wanted) -> Completion:
        request = Request(tuple(wanted.tokens), wanted.limit, sampling_of(wanted), tuple(wanted.stop))
        return await self.follow(partial(self.engine.start_generate, path, request), partial(self.send, place))

    def send(self, place: int, pieces: list[Piece]) -> None:
        # A client that does not read finds at most what it asked for in our memory.
        told = frames.Tokens([each.token for each in pieces], [each.piece for each in pieces], place)
        self.transport.write(frames.frame(told))

    async def score(self, ask: frames.Score) -> Any:
        await self.open(ask.path)
        return await self.follow(
            partial(self.engine.start_score, ask.path, ask.tokens, ask.from_position, sampling_of(ask))
        )

    async def open(self, path: str) -> None:
        """Have the model ready: reading a file takes a while, starting a job does not."""
        if not self.engine.has_open(path):
            await asyncio.to_thread(self.engine.open_model, path)

    async def follow(
        self, start: Callable[[Deliver], Job], send: Callable[[list[Piece]], None] = lambda pieces: None
    ) -> Any:
        """The result of a job, its pieces sent as they come; the job is cancelled when the client goes."""
        ended = self.server._loop.create_future()

        def take(events: list[Event]) -> None:
            if ended.done():  # the client has gone
                return
            pieces = [event for event in events if isinstance(event, Piece)]
            if pieces:
                send(pieces)
            match events[-1]:
                case Done(result):
                    ended.set_result(result)
                case Failed(error):
                    ended.set_exception(error)

        job = start(self.server.deliver_to(take))
        try:
            return await ended
        finally:
            job.cancel()


def sampling_of(ask: frames.Wanted | frames.Score) -> Sampling:
    return Sampling(temperature=ask.temperature, seed=ask.seed, top_p=ask.top_p, top_k=ask.top_k)


def status(engine: Engine, ask: frames.Status) -> frames.EngineStatus:
    counts, (running, waiting) = engine.counts, engine.load
    return frames.EngineStatus(
        running=running,
        waiting=waiting,
        models=[loaded.info.name for loaded in engine.models],
        requests=counts.requests,
        prompt_tokens=counts.prompt_tokens,
        reused_tokens=counts.reused_tokens,
        generated_tokens=counts.generated_tokens,
        threads=engine.threads,
    )


def detokenize(engine: Engine, ask: frames.Detokenize) -> bytes:
    return b"".join(map(engine.open_model(ask.path).tokenizer.piece, ask.tokens))


# What is answered at once: the request's type -> what computes its value, on a thread of its own.
ANSWERS: dict[type, Callable[[Engine, Any], Any]] = {
    frames.OpenModel: lambda engine, ask: engine.open_model(ask.path).info,
    frames.Tokenize: lambda engine, ask: engine.open_model(ask.path).tokenizer.encode(
        ask.text, bos=ask.bos, special=ask.special
    ),
    frames.Detokenize: detokenize,
    frames.RenderChat: lambda engine, ask: render_chat(
        engine.open_model(ask.path).tokenizer, ask.messages, ask.add_generation_prompt
    ),
    frames.EncodeChat: lambda engine, ask: encode_chat(
        engine.open_model(ask.path).tokenizer, ask.messages, ask.add_generation_prompt
    ),
    frames.Status: status,
}


async def listen_unix(path: Path, connection: Callable[[], Connection]) -> asyncio.Server:
    """A Unix socket only this user can connect to."""
    before = os.umask(0o177)
    try:
        return await asyncio.get_running_loop().create_unix_server(connection, path)
    finally:
        os.umask(before)


async def listen_tcp(path: Path, connection: Callable[[bytes], Connection]) -> asyncio.Server:
    """A loopback port, and a file at `path` only this user can read that tells it with the secret to say first."""
    secret = secrets.token_bytes(frames.SECRET_BYTES)
    server = await asyncio.get_running_loop().create_server(lambda: connection(secret), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{port} {secret.hex()}\n")
    draft.replace(path)
    return server


async def run(path: Path, engine: Engine, ready: Callable[[], None], stop: asyncio.Event) -> None:
    """Serve `engine` at `path` until `stop` is set; `ready` is called when clients may connect."""
    server = Server(engine)
    listening = await server.listen(path)
    ready()
    try:
        await stop.wait()
    finally:
        listening.close()
        await server.hang_up()
        await asyncio.to_thread(engine.close)
        with suppress(FileNotFoundError):
            path.unlink()


def watch_parent(on_end: Callable[[], None]) -> None:
    """Call `on_end` when standard input ends: the parent has closed it, or is dead."""

    def watch() -> None:
        with suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        on_end()

    threading.Thread(target=watch, name="puna-parent-watch", daemon=True).start()


def say_ready() -> None:
    """Tell the parent, and free standard output for good: nothing else may be written there."""
    os.write(1, READY)
    os.dup2(2, 1)


async def serve_parent(path: Path, engine: Engine) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    watch_parent(lambda: loop.call_soon_threadsafe(stop.set))
    with suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGTERM, stop.set)
    await run(path, engine, say_ready, stop)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m puna.llm.server", description="Puna's inference engine.")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    threads = "threads to compute with (default: one per core; one for very small models)"
    parser.add_argument("--threads", type=int, default=None, help=threads)
    parser.add_argument("--cache-mib", type=int, default=SHELF_BYTES_MAX >> 20, help="memory for kept KV caches, MiB")
    options = parser.parse_args(arguments)
    # Ctrl-C reaches the whole group in a terminal: the parent decides when the engine ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s engine: %(message)s")
    compute_in_batches()
    engine = Engine(threads=options.threads, shelf_bytes_max=options.cache_mib << 20)
    asyncio.run(serve_parent(options.socket, engine))
    # Threads may still be inside a long tokenization; nothing is left to be saved.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
