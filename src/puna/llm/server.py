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
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from puna.errors import Invalid, NodeError
from puna.llm import frames
from puna.llm.chat import encode_chat, render_chat
from puna.llm.engine import SHELF_BYTES_MAX, Done, Engine, Event, Failed, Job, Piece
from puna.llm.generate import Request
from puna.llm.sampler import Sampling

log = logging.getLogger(__name__)

READY = b"ready\n"


class Server:
    """Connections to one engine. All methods run on the event loop; the engine answers from its own thread."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.connections: dict[asyncio.Task, asyncio.StreamWriter] = {}

    async def listen(self, path: Path) -> asyncio.Server:
        """Accept clients at `path`: a Unix socket there, or a file that says which loopback port."""
        with suppress(FileNotFoundError):
            path.unlink()  # left by a server that was killed
        if frames.fits_unix_socket(path):
            return await listen_unix(path, lambda reader, writer: self.serve(reader, writer, None))
        return await listen_tcp(path, self.serve)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: bytes | None) -> None:
        """One client: its requests, one after another, until it goes."""
        task = asyncio.current_task()
        self.connections[task] = writer
        try:
            if secret is not None and not hmac.compare_digest(await reader.readexactly(frames.SECRET_BYTES), secret):
                return
            while True:
                size = frames.LENGTH.unpack(await reader.readexactly(frames.LENGTH.size))[0]
                if size > frames.FRAME_BYTES_MAX:
                    return
                await self.answer(await reader.readexactly(size), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            del self.connections[task]
            writer.close()

    async def hang_up(self) -> None:
        """End all connections, and with them what is computed for them."""
        for writer in self.connections.values():
            writer.transport.abort()
        while self.connections:
            await asyncio.wait(list(self.connections))

    async def answer(self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            ask = frames.decode_ask(body)
            if isinstance(ask, frames.Generate):
                value = await self.generate(ask, reader, writer)
            elif isinstance(ask, frames.Score):
                value = await self.score(ask, reader)
            else:
                # Opening a model or reading a long text takes a while, and others are served meanwhile.
                value = await asyncio.to_thread(ANSWERS[type(ask)], self.engine, ask)
            reply: Any = frames.frame(frames.Value(value))
        except NodeError as error:
            reply = frames.frame(frames.failure_of(error))
        except (msgspec.MsgspecError, UnicodeError) as error:
            reply = frames.frame(frames.failure_of(Invalid(f"The engine cannot read the request: {error}")))
        except ConnectionError:
            raise
        except Exception as error:
            log.exception("a request failed")
            reply = frames.frame(frames.Failure("bug", repr(error), ""))
        writer.write(reply)
        await writer.drain()

    async def generate(self, ask: frames.Generate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        request = Request(tuple(ask.tokens), ask.limit, sampling_of(ask), tuple(ask.stop))

        def send(piece: Piece) -> None:
            writer.write(frames.frame(frames.Token(piece.token, piece.piece)))

        completion = await self.follow(
            lambda deliver: self.engine.start_generate(ask.path, request, deliver), reader, send, writer.drain
        )
        return {"tokens": completion.tokens, "text": completion.text, "finish": completion.finish}

    async def score(self, ask: frames.Score, reader: asyncio.StreamReader) -> Any:
        sampling = sampling_of(ask)
        return await self.follow(
            lambda deliver: self.engine.start_score(ask.path, ask.tokens, ask.from_position, sampling, deliver), reader
        )

    async def follow(
        self,
        start: Callable[[Callable[[Event], None]], Job],
        reader: asyncio.StreamReader,
        send: Callable[[Piece], None] = lambda piece: None,
        drain: Callable[[], Awaitable[None]] | None = None,
    ) -> Any:
        """The result of a job, its pieces sent as they come; the job is cancelled when the client goes."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event | None] = asyncio.Queue()  # as long as an answer at most
        deliver: Callable[[Event], None] = lambda event: loop.call_soon_threadsafe(events.put_nowait, event)  # noqa: E731
        job = await asyncio.to_thread(start, deliver)
        # A client says nothing while it waits: the only thing to be read here is the end.
        gone = asyncio.create_task(reader.read(1))
        gone.add_done_callback(lambda task: events.put_nowait(None))
        try:
            while True:
                match await events.get():
                    case Piece() as piece:
                        send(piece)
                        if drain and events.empty():
                            await drain()
                    case Done(result):
                        return result
                    case Failed(error):
                        raise error
                    case None:
                        raise ConnectionResetError("the client has gone")
        finally:
            job.cancel()
            gone.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await gone


def sampling_of(ask: frames.Generate | frames.Score) -> Sampling:
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


async def listen_unix(path: Path, serve: Callable[..., Awaitable[None]]) -> asyncio.Server:
    """A Unix socket only this user can connect to."""
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(serve, path)
    finally:
        os.umask(before)


async def listen_tcp(path: Path, serve: Callable[..., Awaitable[None]]) -> asyncio.Server:
    """A loopback port, and a file at `path` only this user can read that tells it with the secret to say first."""
    secret = secrets.token_bytes(frames.SECRET_BYTES)
    server = await asyncio.start_server(lambda reader, writer: serve(reader, writer, secret), "127.0.0.1", 0)
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
    engine = Engine(threads=options.threads, shelf_bytes_max=options.cache_mib << 20)
    asyncio.run(serve_parent(options.socket, engine))
    # Threads may still be inside a long tokenization; nothing is left to be saved.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
