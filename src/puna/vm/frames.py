"""What a node and its evaluators say to each other: msgpack messages, each after its length in 4 bytes.

Called by `evaluators.py` on the node's side and by `evaluator.py` on the other. The first frame to an evaluator is a
Setup; then every call is answered by exactly one Reply with its number, and events come in between.
"""

import struct
from typing import Any, BinaryIO

import msgspec

from puna.arweave.store.port import Query
from puna.errors import Invalid, Missing, NodeError, NotYet

from .program import Wanted

LENGTH = struct.Struct(">I")
FRAME_BYTES_MAX = 1 << 31


class Setup(msgspec.Struct):
    """What an evaluator works with: folders as paths, the engine's address; each may be None."""

    weave: str | None
    cache: str | None
    engine: str | None


class Call(msgspec.Struct, array_like=True):
    """`operation` is attach (Attach), apply or preview (Message), checkpoint (a digest or nothing), snapshot or detach
    (nothing).
    """

    number: int
    operation: str
    process: str
    argument: Any = None


class Asked(msgspec.Struct, array_like=True):
    """A Call as it is read: its operation knows of which type the argument is."""

    number: int
    operation: str
    process: str
    argument: msgspec.Raw = msgspec.Raw(b"\xc0")  # None


class Start(msgspec.Struct):
    """A checkpoint (`checkpoint.py`)."""

    base_digest: bytes
    base: bytes | None
    increments: tuple[bytes, ...]
    state_root: bytes | None


class Attach(msgspec.Struct):
    """`start` None: from nothing."""

    module_path: str
    module_id: str
    memory_limit: int
    gas_limit: int
    extensions: tuple[str, ...]
    environment: bytes
    options: dict[str, str]
    module_format: str
    start: Start | None


class Message(msgspec.Struct, array_like=True):
    """`run` is the same for messages sent one behind the other, 0 for one by itself: none is evaluated after one of its
    run that could not be.
    """

    json: bytes
    id: str
    run: int = 0


Error = tuple[str, str, str, tuple[Query, ...]]


class Reply(msgspec.Struct, array_like=True):
    """The answer to call `number`, or an event when that is 0. `error` is (kind, what, todo, what is wanted).

    The value is a Step for apply and preview, bytes for snapshot and checkpoint, for attach whether it was done (else
    the base's bytes are needed), None otherwise.
    """

    number: int
    value: Any = None
    error: "Error | None" = None


class Told(msgspec.Struct, array_like=True):
    """A Reply as it is read: whoever asked knows of which type the value is."""

    number: int
    value: msgspec.Raw = msgspec.Raw(b"\xc0")  # None
    error: "Error | None" = None


ERRORS: dict[str, type[NodeError]] = {kind.__name__: kind for kind in (Invalid, Missing, NotYet, NodeError)}


def encode(message: msgspec.Struct) -> bytes:
    """A frame. Raises Invalid when it is longer than a frame may be."""
    body = msgspec.msgpack.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise Invalid(f"A message to an evaluator has {len(body)} bytes, at most {FRAME_BYTES_MAX}.")
    return LENGTH.pack(len(body)) + body


def end_of(buffer: bytes, at: int) -> int:
    """Where the frame that begins `at` ends; where its length does, while not even that is there."""
    head = at + LENGTH.size
    return head if len(buffer) < head else head + LENGTH.unpack_from(buffer, at)[0]


def read(stream: BinaryIO) -> bytes | None:
    """The next frame's body; None at the end of the stream, also when it ends within a frame."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    size = LENGTH.unpack(head)[0]
    body = stream.read(size)
    return body if len(body) == size else None


def error_of(error: Exception) -> Error:
    """An error as a reply carries it. What is no NodeError is our bug, and named as such."""
    if isinstance(error, Wanted):
        return Wanted.__name__, error.what, error.todo, error.queries
    for kind in ERRORS.values():
        if isinstance(error, kind):
            return kind.__name__, error.what, error.todo, ()
    return "Bug", f"{type(error).__name__}: {error}", "", ()


def exception_of(error: Error) -> Exception:
    kind, what, todo, queries = error
    if kind == Wanted.__name__:
        return Wanted(what, todo, queries)
    return ERRORS[kind](what, todo) if kind in ERRORS else RuntimeError(f"an evaluator failed: {what}")
