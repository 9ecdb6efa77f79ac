"""What the engine's server and its clients say to each other: length-prefixed msgpack, one request at a time.

A request is answered by one Value, by any number of Tokens and then a Value, or by a Failure.
"""

import os
import struct
import sys
from pathlib import Path
from typing import Any

import msgspec

from puna.errors import Invalid, Missing, NodeError, NotYet

LENGTH = struct.Struct("<I")
FRAME_BYTES_MAX = 64 << 20
SECRET_BYTES = 32
# A Unix socket's path has room for about a hundred bytes; where it is longer, or such sockets do not exist, the
# server listens on loopback TCP and writes where, with a secret, into a file at that path.
UNIX_PATH_BYTES_MAX = 100


class OpenModel(msgspec.Struct, frozen=True, tag=True):
    """-> ModelInfo"""

    path: str


class Tokenize(msgspec.Struct, frozen=True, tag=True):
    """-> list of tokens"""

    path: str
    text: str
    bos: bool
    special: bool


class Detokenize(msgspec.Struct, frozen=True, tag=True):
    """-> bytes"""

    path: str
    tokens: list[int]


class RenderChat(msgspec.Struct, frozen=True, tag=True):
    """-> str"""

    path: str
    messages: list[dict[str, Any]]
    add_generation_prompt: bool


class EncodeChat(msgspec.Struct, frozen=True, tag=True):
    """-> list of tokens"""

    path: str
    messages: list[dict[str, Any]]
    add_generation_prompt: bool


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """An answer: what it goes on from, how long it may be, how its tokens are chosen."""

    tokens: list[int]
    limit: int
    temperature: float
    seed: int
    top_p: float
    top_k: int
    stop: list[str]


class Generate(msgspec.Struct, frozen=True, tag=True):
    """-> Tokens, then a Completion"""

    path: str
    wanted: Wanted


class GenerateAll(msgspec.Struct, frozen=True, tag=True):
    """-> Tokens of all of them as they come, then a list: of each a Completion, or the Failure that refuses it"""

    path: str
    wanted: list[Wanted]


class Score(msgspec.Struct, frozen=True, tag=True):
    """-> list of tokens"""

    path: str
    tokens: list[int]
    from_position: int
    temperature: float
    seed: int
    top_p: float
    top_k: int


class Status(msgspec.Struct, frozen=True, tag=True):
    """-> EngineStatus"""


Ask = OpenModel | Tokenize | Detokenize | RenderChat | EncodeChat | Generate | GenerateAll | Score | Status


class Tokens(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Some more tokens of an answer, and the bytes of text that each adds; of several answers, that of this place."""

    tokens: list[int]
    pieces: list[bytes]
    place: int = 0


class Value(msgspec.Struct, frozen=True, tag=True, array_like=True):
    value: Any


class Failure(msgspec.Struct, frozen=True, tag=True, array_like=True):
    kind: str
    what: str
    todo: str


Reply = Tokens | Value | Failure


class EngineStatus(msgspec.Struct, frozen=True):
    """What the engine is doing (`running`, `waiting`: requests; `models`: names) and has done since it started."""

    running: int
    waiting: int
    models: list[str]
    requests: int
    prompt_tokens: int
    reused_tokens: int
    generated_tokens: int
    threads: int


encode = msgspec.msgpack.Encoder().encode
decode_ask = msgspec.msgpack.Decoder(Ask).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode

ERROR_KINDS: dict[str, type[NodeError]] = {each.__name__: each for each in (Invalid, Missing, NotYet, NodeError)}


def frame(message: Any) -> bytes:
    """A message ready to be sent."""
    try:
        body = encode(message)
    except OverflowError:
        raise Invalid("A number in the message has more than 64 bits.", "Give a smaller one.") from None
    if len(body) > FRAME_BYTES_MAX:
        raise Invalid(f"The message has {len(body)} bytes, at most {FRAME_BYTES_MAX}.", "Send less at a time.")
    return LENGTH.pack(len(body)) + body


def failure_of(error: NodeError) -> Failure:
    """An expected error as it travels: its kind, and both of its texts unchanged."""
    kind = next(each.__name__ for each in type(error).__mro__ if each.__name__ in ERROR_KINDS)
    return Failure(kind, error.what, error.todo)


def error_of(failure: Failure) -> Exception:
    """The error a Failure tells of; what is no NodeError was a bug in the engine and stays loud."""
    if failure.kind in ERROR_KINDS:
        return ERROR_KINDS[failure.kind](failure.what, failure.todo)
    return RuntimeError(f"the inference engine failed: {failure.what}")


def fits_unix_socket(path: Path) -> bool:
    return sys.platform != "win32" and len(os.fsencode(path)) <= UNIX_PATH_BYTES_MAX
