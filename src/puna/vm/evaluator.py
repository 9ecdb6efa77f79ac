"""An evaluator: one of the operating system's processes that hold AO processes and move them on.

Started by `evaluators.py` as `python -m puna.vm.evaluator`; it reads frames from standard input and writes frames to
standard output. Each AO process has a lane, a thread that does what is asked of it in order, so a long evaluation
keeps nobody else waiting. Where messages wait in a lane, the state root of one is computed on another thread while the
next one is evaluated; each answer still carries its own root. When standard input ends, so does the evaluator, whatever
it is doing: the node is gone.
"""

import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from puna.errors import NodeError, NotYet
from puna.scheduling import compute_in_batches

from . import frames
from .checkpoint import Checkpoint, NoPages
from .extensions import Host
from .machine import THREAD_STACK_BYTES, Machine
from .pagefile import PageFiles
from .process import Process, Unrooted
from .program import Program
from .result import Step

# Written by a message: from here on its root is computed alongside the next evaluation, where there is one. Below it,
# two threads that want Python's lock would cost each other more than the hashing takes.
ALONGSIDE_BYTES = 1 << 20
# More ready threads than cores by more than this: whoever waits for Python's lock may then wait for one that sleeps.
CROWD = 0.5
LOOK_S = 1.0  # how long a look at that holds good
PATHS_MAX = 64  # of items that are asked for again and again: models

_decode_message = msgspec.msgpack.Decoder(frames.Message).decode


class Node:
    """What all lanes share: the machine, the weave and the engine, each opened when first needed."""

    def __init__(self, setup: frames.Setup, send: Callable[..., None]):
        self.machine = Machine(Path(setup.cache) if setup.cache else None)
        self.pages = PageFiles(Path(setup.cache) / "pages") if setup.cache else None
        self.send = send  # replies, any number at a time
        self.roots = ThreadPoolExecutor(1, "roots")
        self._setup = setup
        self._crowded, self._looked_s = False, -LOOK_S
        self._lock = threading.Lock()
        self._store: Any = None
        self._client: Any = None
        self._paths: dict[str, Path] = {}

    def is_crowded(self) -> bool:
        """Whether this machine has more to do than cores, about."""
        now = time.monotonic()
        if now - self._looked_s >= LOOK_S:
            self._looked_s = now
            with suppress(AttributeError, OSError):  # not every system can tell
                self._crowded = os.getloadavg()[0] > (os.cpu_count() or 1) + CROWD
        return self._crowded

    def weave(self, item_id: str) -> Path | None:
        if item_id in self._paths:
            return self._paths[item_id]
        store = self.archive()
        path = None if store is None else store.payload_path(item_id)
        if path is not None and len(self._paths) < PATHS_MAX:
            self._paths[item_id] = path  # what is stored stays where it is
        return path

    def archive(self) -> Any:
        """The node's store, to read from; None where there is none."""
        if self._setup.weave is None:
            return None
        with self._lock:
            if self._store is None:
                from puna.arweave.store.sqlite import open_store

                try:
                    self._store = open_store(Path(self._setup.weave), read_only=True)
                except NodeError as error:  # what cannot be read now is no fact about the process
                    raise NotYet(error.what, error.todo) from None
        return self._store

    def engine(self) -> Any:
        if self._setup.engine is None:
            raise NotYet("This node has no inference engine.", "Start it with `puna up`.")
        with self._lock:
            if self._client is None:
                from puna.llm.client import EngineClient

                self._client = EngineClient(self._setup.engine)
        return self._client

    def tell(self, events: list[dict[str, Any]]) -> None:
        self.send(*(frames.Reply(0, event) for event in events))


class Out:
    """The way to the node, for any thread: what is sent by one is heard in its order."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, *replies: frames.Reply) -> None:
        rest = memoryview(b"".join(map(frames.encode, replies)))
        with self._lock:
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                os._exit(0)  # nobody is there to read


class Lane:
    """One AO process and the thread that evaluates it."""

    def __init__(self, node: Node, process_id: str):
        self._node = node
        self._process_id = process_id
        self._process: Process | None = None
        self._broken_run = 0
        self._calls: queue.SimpleQueue[frames.Asked] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"lane {process_id}", daemon=True)
        self._thread.start()

    def put(self, call: frames.Asked) -> None:
        self._calls.put(call)

    def _run(self) -> None:
        while True:
            call = self._calls.get()
            reply = self._answer(call.number, lambda call=call: getattr(self, call.operation)(call.argument))
            if not isinstance(reply.value, Unrooted):
                self._node.send(reply)
            elif self._goes_alongside(reply.value):
                self._node.roots.submit(self._finish, call.number, reply.value)
            else:
                self._finish(call.number, reply.value)
            if call.operation == "detach":
                return

    def _goes_alongside(self, evaluated: Unrooted) -> bool:
        """Whether to compute the state root on the other thread: where a call waits, and it pays."""
        waits = not self._calls.empty()
        return waits and evaluated.written_bytes >= ALONGSIDE_BYTES and not self._node.is_crowded()

    def _finish(self, number: int, evaluated: Unrooted) -> None:
        self._node.send(self._answer(number, evaluated.step))

    def _answer(self, number: int, make: Callable[[], Any]) -> frames.Reply:
        try:
            return frames.Reply(number, make())
        except Exception as error:
            if not isinstance(error, NodeError):
                traceback.print_exc()
            return frames.Reply(number, error=frames.error_of(error))

    # --- what may be called: one method per operation -------------------------------------------------------

    def attach(self, argument: msgspec.Raw) -> bool:
        asked = msgspec.msgpack.decode(argument, type=frames.Attach)
        program = Program(
            asked.module_path,
            asked.module_id,
            asked.memory_limit,
            asked.gas_limit,
            asked.extensions,
            asked.environment,
            asked.options,
            asked.module_format,
        )
        host = Host(self._process_id, self._node.weave, self._node.engine, self._node.tell, asked.options)
        host.archive = self._node.archive
        self._close()
        start = asked.start and Checkpoint(
            asked.start.base_digest, asked.start.base, asked.start.increments, asked.start.state_root
        )
        try:
            self._process = Process(self._node.machine, program, host, start, self._node.pages)
        except NoPages:
            return False
        return True

    def apply(self, argument: msgspec.Raw) -> Unrooted:
        message = _decode_message(argument)
        if message.run and message.run == self._broken_run:
            raise NotYet(f"a message before {message.id} could not be evaluated")
        try:
            return self._attached().evaluate(message.json, message.id)
        except BaseException:
            self._broken_run = message.run
            raise

    def preview(self, argument: msgspec.Raw) -> Step:
        message = _decode_message(argument)
        return self._attached().preview(message.json)

    def snapshot(self, argument: msgspec.Raw) -> bytes:
        return self._attached().snapshot()

    def checkpoint(self, argument: msgspec.Raw) -> bytes:
        return self._attached().checkpoint(msgspec.msgpack.decode(argument))

    def detach(self, argument: msgspec.Raw) -> None:
        self._close()

    def _attached(self) -> Process:
        if self._process is None:
            raise NotYet(f"process {self._process_id} is not attached")
        return self._process

    def _close(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None


def serve(read_from: BinaryIO, send: Callable[..., None]) -> None:
    """Hand each call to its process's lane, until the stream ends."""
    setup = frames.read(read_from)
    if setup is None:
        return
    node = Node(msgspec.msgpack.decode(setup, type=frames.Setup), send)
    decode = msgspec.msgpack.Decoder(frames.Asked).decode
    lanes: dict[str, Lane] = {}
    while (body := frames.read(read_from)) is not None:
        call = decode(body)
        if call.process not in lanes:
            lanes[call.process] = Lane(node, call.process)
        lanes[call.process].put(call)
        if call.operation == "detach":
            del lanes[call.process]


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which ends us in its own time
    compute_in_batches()
    with suppress(ValueError, RuntimeError):
        threading.stack_size(THREAD_STACK_BYTES)
    # Frames get a descriptor of their own, so that a stray print lands among the errors and not inside a frame.
    out = os.dup(1)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(out, os.O_BINARY)
        msvcrt.setmode(0, os.O_BINARY)
    serve(sys.stdin.buffer, Out(out).send)
    os._exit(0)  # lanes may be in the middle of an endless loop


if __name__ == "__main__":
    main()
