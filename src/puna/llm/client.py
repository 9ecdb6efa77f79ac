"""The inference engine as evaluators and the node see it: a blocking client, and starting the server.

An `EngineClient` may be used from any number of threads; each request under way has a connection of its own, so a
long answer delays nobody. Requests change nothing in the engine, so one that was lost may simply be asked again.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

import puna
from puna.errors import Invalid, NotYet
from puna.llm import frames
from puna.llm.frames import EngineStatus
from puna.llm.generate import Completion, Request
from puna.llm.models import ModelInfo
from puna.llm.sampler import GREEDY, Sampling

AGAIN = "Ask again: the node starts it anew."
RECEIVE_BYTES = 64 << 10  # asked for at a time: many tokens' frames
IDLE_MAX = 32  # connections kept open for the next request


class Lost(NotYet):
    """The engine is away, or went away while it was answering."""


class Connection:
    """A connection to the engine, and the part of a reply that was received."""

    def __init__(self, connected: socket.socket):
        self.socket = connected
        self._received = bytearray()

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def receive(self) -> list[frames.Reply]:
        """The next reply, and those that came with it. Raises Lost when the engine ends, OSError when it breaks."""
        replies: list[frames.Reply] = []
        while not replies:
            chunk = self.socket.recv(RECEIVE_BYTES)
            if not chunk:
                raise Lost("The inference engine ended while it was answering.", AGAIN)
            self._received += chunk
            replies = self._take_replies()
        return replies

    def _take_replies(self) -> list[frames.Reply]:
        replies, start, received = [], 0, self._received
        while len(received) - start >= frames.LENGTH.size:
            begin = start + frames.LENGTH.size
            end = begin + frames.LENGTH.unpack_from(received, start)[0]
            if len(received) < end:
                break
            replies.append(frames.decode_reply(bytes(received[begin:end])))
            start = end
        del received[:start]
        return replies

    def close(self) -> None:
        self.socket.close()


class EngineClient:
    """Requests to the engine listening at `address`, the path given to spawn_engine.

    All methods block. They raise Invalid, Missing and NotYet with the engine's own words, and Lost (a NotYet) when
    there is no engine or the connection breaks. `path` is always a model file's.
    """

    def __init__(self, address: Path | str):
        self.address = Path(address)
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    def open_model(self, path: Path | str) -> ModelInfo:
        """What the model is; loads it into the engine, so that later requests find it there."""
        return msgspec.convert(self._ask(frames.OpenModel(str(path))), ModelInfo)

    def tokenize(self, path: Path | str, text: str, bos: bool = True, special: bool = False) -> list[int]:
        """The tokens of `text`; see Tokenizer.encode."""
        return self._ask(frames.Tokenize(str(path), text, bos, special))

    def detokenize(self, path: Path | str, tokens: Sequence[int]) -> bytes:
        """The bytes of tokens that continue a text, possibly with parts of a character at either end."""
        return self._ask(frames.Detokenize(str(path), list(tokens)))

    def render_chat(
        self, path: Path | str, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The text of a conversation as the model's template writes it. To generate, use encode_chat."""
        return self._ask(frames.RenderChat(str(path), [dict(each) for each in messages], add_generation_prompt))

    def encode_chat(
        self, path: Path | str, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> list[int]:
        """The tokens of a conversation: the template's role markers are control tokens, users' text never is."""
        return self._ask(frames.EncodeChat(str(path), [dict(each) for each in messages], add_generation_prompt))

    def generate(
        self,
        path: Path | str,
        tokens: Sequence[int],
        limit: int,
        sampling: Sampling = GREEDY,
        stop: Sequence[str] = (),
        on_tokens: Callable[[list[tuple[int, bytes]]], None] | None = None,
    ) -> Completion:
        """Continue `tokens` by at most `limit` more.

        `on_tokens` is called on this thread with the tokens of the completion, in order and as many as the engine told
        together, the first one by itself; each with the bytes of text it adds, which joined are the completion's text.
        When it raises, the engine stops and the error goes on.
        """
        ask = frames.Generate(str(path), wanted(Request(tuple(tokens), limit, sampling, tuple(stop))))
        tell = None if on_tokens is None else lambda place, told: on_tokens(told)
        return msgspec.convert(self._ask(ask, tell), Completion)

    def generate_all(
        self,
        path: Path | str,
        requests: Sequence[Request],
        on_tokens: Callable[[int, list[tuple[int, bytes]]], None] | None = None,
    ) -> list[Completion | Invalid]:
        """Continue several contexts at once; each gets the answer that it would get alone.

        For a request that can never be answered its error stands in the place of the Completion, and harms no other.
        Any other error is raised, and ends them all. `on_tokens` is called as that of `generate`, with the place of the
        request in the list before the tokens.
        """
        ask = frames.GenerateAll(str(path), [wanted(each) for each in requests])
        made = msgspec.convert(self._ask(ask, on_tokens), list[Completion | frames.Failure])
        return [frames.error_of(each) if isinstance(each, frames.Failure) else each for each in made]

    def score(
        self, path: Path | str, tokens: Sequence[int], from_position: int, sampling: Sampling = GREEDY
    ) -> list[int]:
        """The tokens the model chooses itself at each position from `from_position` on, given those before it.

        One pass instead of generating: an answer is honest when this equals tokens[from_position:]. To check that
        it also ended rightly, append the end token to `tokens`.
        """
        return self._ask(frames.Score(str(path), list(tokens), from_position, *sampling_fields(sampling)))

    def status(self) -> EngineStatus:
        """What the engine is doing and has done."""
        return msgspec.convert(self._ask(frames.Status()), EngineStatus)

    def close(self) -> None:
        """Close the idle connections. Requests under way go on."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _ask(self, ask: frames.Ask, on_tokens: Callable[[int, list[tuple[int, bytes]]], None] | None = None) -> Any:
        request = frames.frame(ask)
        with self._connection(request) as batches:
            for replies in batches:
                for reply in replies:
                    if on_tokens and isinstance(reply, frames.Tokens):
                        on_tokens(reply.place, list(zip(reply.tokens, reply.pieces, strict=True)))
                last = replies[-1]
                if not isinstance(last, frames.Tokens):
                    break
        if isinstance(last, frames.Failure):
            raise frames.error_of(last)
        return last.value

    @contextmanager
    def _connection(self, request: bytes) -> Iterator[Iterator[list[frames.Reply]]]:
        """The replies to a request, as they come together; its connection is kept if they came to their end."""
        connection, first = self._send(request)
        try:
            yield all_replies(connection, first)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if not self._closed and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
                return
        connection.close()

    def _send(self, request: bytes) -> tuple[Connection, list[frames.Reply]]:
        """Send on an idle connection or a new one; the connection and the first replies."""
        while connection := self._take_idle():
            # The engine may have been started anew since this connection was used.
            with suppress(Lost):
                return connection, exchange(connection, request)
        connection = connect(self.address)
        return connection, exchange(connection, request)

    def _take_idle(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None


def wanted(request: Request) -> frames.Wanted:
    """A request as the engine is asked for it."""
    return frames.Wanted(list(request.tokens), request.limit, *sampling_fields(request.sampling), list(request.stop))


def sampling_fields(sampling: Sampling) -> tuple[float, int, float, int]:
    return sampling.temperature, sampling.seed, sampling.top_p, sampling.top_k


def connect(address: Path) -> Connection:
    """A connection to the engine at `address`; raises Lost when nobody listens there."""
    try:
        if frames.fits_unix_socket(address):
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connected.connect(os.fspath(address))
        else:
            port, secret = address.read_text().split()
            connected = socket.create_connection(("127.0.0.1", int(port)))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.sendall(bytes.fromhex(secret))
    except (OSError, ValueError) as error:
        raise Lost(f"The inference engine is not there ({error}).", AGAIN) from None
    return Connection(connected)


def exchange(connection: Connection, request: bytes) -> list[frames.Reply]:
    """Send a request and wait for the first replies. The connection is closed when it breaks."""
    try:
        connection.send(request)
        return connection.receive()
    except OSError as error:
        connection.close()
        raise Lost(f"The connection to the inference engine broke ({error}).", AGAIN) from None
    except BaseException:
        connection.close()
        raise


def all_replies(connection: Connection, first: list[frames.Reply]) -> Iterator[list[frames.Reply]]:
    replies = first
    while True:
        yield replies
        try:
            replies = connection.receive()
        except OSError as error:
            raise Lost(f"The connection to the inference engine broke ({error}).", AGAIN) from None


def spawn_engine(
    address: Path | str, threads: int | None = None, cache_mib: int | None = None
) -> subprocess.Popen[bytes]:
    """Start the engine as a process that listens at `address`, and wait until it does.

    It ends by itself when this process does; to end it, close its stdin (or terminate it) and wait. Raises NotYet
    when it does not start; what went wrong is on standard error.
    """
    command = [sys.executable, "-m", "puna.llm.server", "--socket", str(address)]
    command += ["--threads", str(threads)] if threads else []
    command += ["--cache-mib", str(cache_mib)] if cache_mib is not None else []
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    ready = process.stdout.readline()
    process.stdout.close()
    if ready != b"ready\n":
        stop_engine(process)
        raise NotYet("The inference engine did not start.", "Read why on standard error, and start it again.")
    return process


def stop_engine(process: subprocess.Popen[bytes]) -> None:
    """End an engine and wait until it has ended."""
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:  # inside one long step of a large model
        process.kill()
        process.wait()


def environment() -> dict[str, str]:
    """This process's environment, in which a child finds the same puna."""
    package_parent = str(Path(puna.__file__).resolve().parent.parent)
    inherited = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return os.environ | {"PYTHONPATH": os.pathsep.join([package_parent, *inherited])}
