"""The evaluators as a node sees them: an asyncio front for memories held by other processes of the operating system.

Called by the compute unit. A message is evaluated where its process is attached; evaluators share the processes among
them. When one dies its processes are no longer attached and calls under way raise Lost: the caller attaches again,
from its newest checkpoint, and replays. Nothing is lost that way, for an evaluator has nothing of its own.
"""

import asyncio
import itertools
import logging
import os
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

import puna
from puna.errors import NotYet

from . import frames
from .checkpoint import Checkpoint
from .program import Evaluation, Lost, Program, Take
from .result import Step

log = logging.getLogger("puna.vm")

CALLS_MAX = 256  # under way on one evaluator; further callers wait
# Messages of one process are given to its evaluator ahead, so that it need not wait for us between them: so many at
# first, and then as many as cost about so much gas. Whoever wants a dry-run waits for those.
AHEAD_FIRST = 32
AHEAD_MIN, AHEAD_MAX = 2, 128
AHEAD_GAS = 500_000_000  # some hundred milliseconds
READ_BUFFER_BYTES = 1 << 20
READ_BYTES = 1 << 16
SOON_S = 1.0  # an evaluator that lived less than this is started again only after a pause
PAUSE_S = 0.5
END_S = 10.0  # an evaluator that does not end by itself within this time is killed

# A memory is a few pages here and there, and evaluators hold hundreds: huge pages and a heap for each thread would make
# each of them four times as large. Nor do they use NumPy's linear algebra, which has threads of its own.
SPARING = {"NUMPY_MADVISE_HUGEPAGE": "0", "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}

AGAIN = "Attach it again; nothing is lost."

_decode = msgspec.msgpack.Decoder().decode
_decode_step = msgspec.msgpack.Decoder(Step).decode
_decode_reply = msgspec.msgpack.Decoder(frames.Told).decode


def taken_from(messages: Iterable[tuple[bytes, str]]) -> Take:
    """Gives `messages` to `apply_all`."""
    source = iter(messages)

    async def take(count: int) -> list[tuple[bytes, str]]:
        return list(itertools.islice(source, count))

    return take


class Evaluators:
    """Memories of many processes, evaluated in parallel.

    `weave` is the folder of the node's store, `cache` one for compiled modules, `engine` the address of the inference
    engine. `on_event` is called with every event of an evaluation under way, in order.
    """

    def __init__(
        self,
        *,
        weave: Path | str | None = None,
        cache: Path | str | None = None,
        engine: Path | str | None = None,
        on_event: Callable[[dict[str, Any]], None] = lambda event: None,
    ):
        self.on_event = on_event
        self._setup = frames.Setup(*(None if each is None else str(each) for each in (weave, cache, engine)))
        self._workers: list[_Worker] = []
        self._homes: dict[str, _Worker] = {}
        self._runs = itertools.count(1)

    async def start(self, count: int) -> None:
        """Start `count` evaluators. They are ready a moment later; calls wait for them until then."""
        self._workers = [_Worker(self, self._setup) for _ in range(count)]
        await asyncio.gather(*(worker.start() for worker in self._workers))

    async def stop(self) -> None:
        """End all evaluators, in the middle of what they are doing. Calls under way raise Lost."""
        workers, self._workers = self._workers, []
        await asyncio.gather(*(worker.stop() for worker in workers))
        self._homes.clear()

    def attached(self, process_id: str) -> bool:
        return process_id in self._homes

    async def attach(self, process_id: str, program: Program, snapshot: bytes | None = None) -> None:
        """Give a process a memory: of a whole snapshot, or a new one. Replaces the one it has.

        Raises Invalid or Missing when module, snapshot and limits do not go together; Lost.
        """
        await self._attach(process_id, program, None if snapshot is None else Checkpoint.of(snapshot))

    async def resume(self, process_id: str, program: Program, start: Checkpoint, base: Callable[[], bytes]) -> None:
        """Give a process the memory of a checkpoint. `base` reads the whole snapshot, where no page file has it.

        Raises as `attach`, Invalid also when that memory's state root is another.
        """
        if not await self._attach(process_id, program, start):
            await self._attach(process_id, program, replace(start, base=await asyncio.to_thread(base)))

    async def _attach(self, process_id: str, program: Program, start: Checkpoint | None) -> bool:
        """False when the base's bytes are needed; nothing is attached then."""
        if process_id in self._homes:
            await self.detach(process_id)
        worker = self._least_loaded()
        argument = frames.Attach(
            str(program.module_path),
            program.module_id,
            program.memory_limit,
            program.gas_limit,
            tuple(program.extensions),
            program.environment,
            dict(program.options),
            program.module_format,
            start and frames.Start(start.base_digest, start.base, start.increments, start.state_root),
        )
        try:
            attached = _decode(await worker.call("attach", process_id, argument))
        except BaseException:
            worker.send_and_forget("detach", process_id)
            raise
        if attached:
            self._homes[process_id] = worker
        else:
            worker.send_and_forget("detach", process_id)
        return attached

    async def apply(self, process_id: str, message_json: bytes, *, message_id: str) -> Evaluation:
        """Evaluate a message; the memory moves on unless the evaluation has an error.

        Raises NotYet when the node could not do its part (memory is as before), and Lost, a NotYet too, after which
        the process is not attached. A caller who stops waiting leaves the process detached: nobody then knows
        whether its memory moved on.
        """
        worker = self._home(process_id)
        try:
            step = await worker.call("apply", process_id, frames.Message(message_json, message_id))
        except asyncio.CancelledError:
            self._forget(process_id, worker)
            raise
        return _evaluation(step)

    async def apply_all(self, process_id: str, take: Take) -> AsyncGenerator[Evaluation]:
        """Evaluate messages, each JSON and an id, one after the other: their evaluations in order, as they come.

        `take(count)` gives the next ones, at most so many. It is asked again and again while earlier ones are
        evaluated; when it gives none and all are evaluated, that was the last. What it raises is raised when those
        before are done. Raises as `apply`; then no message after the one that raised was evaluated. A caller who does
        not take all evaluations leaves the process detached.
        """
        worker, run = self._home(process_id), next(self._runs)
        under_way: deque[asyncio.Future[msgspec.Raw]] = deque()
        trouble: Exception | None = None
        ahead = AHEAD_FIRST
        try:
            while True:
                if trouble is None and len(under_way) <= ahead - ahead // 4:
                    try:
                        for message_json, message_id in await take(ahead - len(under_way)):
                            message = frames.Message(message_json, message_id, run)
                            under_way.append(worker.begin("apply", process_id, message))
                    except Exception as error:
                        trouble = error
                if not under_way:
                    break
                try:
                    step = await under_way[0]
                except Exception:
                    await asyncio.gather(*under_way, return_exceptions=True)  # these are refused without delay
                    under_way.clear()
                    raise
                under_way.popleft()
                evaluation = _evaluation(step)
                ahead = min(max(AHEAD_GAS // (evaluation.gas_used + 1), AHEAD_MIN), AHEAD_MAX)
                yield evaluation
        finally:
            if under_way:
                for call in under_way:
                    _let_go(call)
                self._forget(process_id, worker)
        if trouble is not None:
            raise trouble

    async def preview(self, process_id: str, message_json: bytes) -> Evaluation:
        """Evaluate a message and take its memory back. Raises as `apply`."""
        worker = self._home(process_id)
        return _evaluation(await worker.call("preview", process_id, frames.Message(message_json, "")))

    async def snapshot(self, process_id: str) -> bytes:
        """The memory of a process, compressed, as `attach` takes it. Raises Lost."""
        return _decode(await self._home(process_id).call("snapshot", process_id))

    async def checkpoint(self, process_id: str, before: bytes | None = None) -> bytes:
        """A snapshot to keep, for `resume`: what changed since the one with the SHA-256 `before`, where that is known
        (`is_increment`), else whole. Raises Lost.
        """
        return _decode(await self._home(process_id).call("checkpoint", process_id, before))

    async def detach(self, process_id: str) -> None:
        """Let go of a process's memory. Raises Lost, when it is gone anyway."""
        worker = self._home(process_id)
        del self._homes[process_id]
        await worker.call("detach", process_id)

    def _home(self, process_id: str) -> "_Worker":
        worker = self._homes.get(process_id)
        if worker is None:
            raise Lost(f"Process {process_id} is not attached.", AGAIN)
        return worker

    def _least_loaded(self) -> "_Worker":
        if not self._workers:
            raise NotYet("The evaluators are not running.")
        held = [sum(home is worker for home in self._homes.values()) for worker in self._workers]
        order = range(len(self._workers))
        return self._workers[min(order, key=lambda number: (self._workers[number].under_way, held[number]))]

    def _forget(self, process_id: str, worker: "_Worker") -> None:
        if self._homes.get(process_id) is worker:
            del self._homes[process_id]
            worker.send_and_forget("detach", process_id)

    def _died(self, worker: "_Worker") -> None:
        for process_id in [each for each, home in self._homes.items() if home is worker]:
            del self._homes[process_id]

    def _tell(self, event: dict[str, Any]) -> None:
        try:
            self.on_event(event)
        except Exception:
            log.exception("telling an event failed")


class _Worker:
    """One evaluator, kept alive: its process, the calls under way, and the task that reads its replies."""

    def __init__(self, owner: Evaluators, setup: frames.Setup):
        self._owner = owner
        self._setup = setup
        self._process: asyncio.subprocess.Process | None = None
        self._calls: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._numbers = itertools.count(1)
        self._room = asyncio.Semaphore(CALLS_MAX)
        self._running = asyncio.Event()
        self._unsent: list[bytes] = []
        self._stopped = False
        self._asking = 0  # calls that wait for a start
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name="evaluator")

    async def stop(self) -> None:
        self._stopped = True
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        await self._end()
        self._running.set()  # whoever waits for another evaluator learns that there will be none

    @property
    def under_way(self) -> int:
        return self._asking + len(self._calls)

    async def call(self, operation: str, process_id: str, argument: Any = None) -> msgspec.Raw:
        """Ask and wait for the answer, still encoded. Raises what the evaluator raised, and Lost."""
        async with self._room:
            self._asking += 1
            try:
                await self._running.wait()
                if self._stopped:
                    raise Lost("The evaluators are stopping.", AGAIN)
                reply = self._exchange(operation, process_id, argument)
            finally:
                self._asking -= 1
            try:
                with suppress(ConnectionError, RuntimeError):
                    await self._process.stdin.drain()
                return await reply
            finally:
                _let_go(reply)

    def begin(self, operation: str, process_id: str, argument: Any = None) -> "asyncio.Future[msgspec.Raw]":
        """As `call`, without a task of its own where there is room: the answer to come."""
        if self._stopped or not self._running.is_set() or len(self._calls) >= CALLS_MAX:
            return asyncio.ensure_future(self.call(operation, process_id, argument))
        return self._exchange(operation, process_id, argument)

    def _exchange(self, operation: str, process_id: str, argument: Any) -> "asyncio.Future[msgspec.Raw]":
        number = next(self._numbers)
        frame = frames.encode(frames.Call(number, operation, process_id, argument))
        reply = self._calls[number] = asyncio.get_running_loop().create_future()
        self._put(frame)
        return reply

    def send_and_forget(self, operation: str, process_id: str) -> None:
        if self._running.is_set() and not self._stopped:
            self._put(frames.encode(frames.Call(next(self._numbers), operation, process_id)))

    def _put(self, frame: bytes) -> None:
        """Send a frame together with those of the same round of the event loop: waking the evaluator is what costs."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush, self._process.stdin)
        self._unsent.append(frame)

    def _flush(self, pipe: asyncio.StreamWriter) -> None:
        unsent, self._unsent = self._unsent, []
        # A pipe that has broken is no concern of ours: who reads the replies sees the end and tells.
        with suppress(ConnectionError, RuntimeError):
            pipe.write(b"".join(unsent))

    async def _spawn(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "puna.vm.evaluator"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=READ_BUFFER_BYTES,
            env=_environment(),
        )
        self._process.stdin.write(frames.encode(self._setup))
        self._running.set()

    async def _keep(self) -> None:
        """Read replies; when the evaluator dies, start another."""
        loop = asyncio.get_running_loop()
        while True:
            born = loop.time()
            await self._read_replies()
            await self._end()
            log.warning("an evaluator ended with status %s; starting another", self._process.returncode)
            if loop.time() - born < SOON_S:
                await asyncio.sleep(PAUSE_S)
            while not self._running.is_set():
                try:
                    await self._spawn()
                except OSError as error:  # too many processes, too little memory
                    log.error("an evaluator cannot be started: %s", error)
                    await asyncio.sleep(PAUSE_S)

    async def _read_replies(self) -> None:
        stream, read, at = self._process.stdout, b"", 0
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                while (end := frames.end_of(read, at)) <= len(read):
                    self._take_reply(read[at + frames.LENGTH.size : end])
                    at = end
                # Whatever is there is taken: most frames are small, and asking for each part of each costs more.
                missing = end - len(read)
                more = await (stream.readexactly(missing) if missing > READ_BYTES else stream.read(READ_BYTES))
                if not more:
                    return
                read, at = read[at:] + more, 0

    def _take_reply(self, body: bytes) -> None:
        reply = _decode_reply(body)
        if reply.number == 0:
            self._owner._tell(_decode(reply.value))
            return
        waiting = self._calls.pop(reply.number, None)
        if waiting is None or waiting.done():
            return
        if reply.error is None:
            waiting.set_result(reply.value)
        else:
            waiting.set_exception(frames.exception_of(reply.error))

    async def _end(self) -> None:
        """Make sure that the evaluator is dead, and tell everybody who waits for it."""
        self._running.clear()
        if self._process is None:
            return
        self._process.stdin.close()  # it ends by itself at that, in the middle of whatever it does
        try:
            await asyncio.wait_for(self._process.wait(), END_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._owner._died(self)
        calls, self._calls = self._calls, {}
        for waiting in calls.values():
            if not waiting.done():
                waiting.set_exception(Lost("The evaluator that held this process is gone.", AGAIN))


def _evaluation(step: msgspec.Raw) -> Evaluation:
    return _decode_step(step).evaluation()


def _let_go(reply: "asyncio.Future[Any]") -> None:
    """Nobody waits for this answer, or error, any more."""
    if not reply.cancel() and not reply.cancelled():
        reply.exception()  # seen


def _environment() -> dict[str, str]:
    """Ours, and a path on which the evaluator finds the same Puna."""
    here = str(Path(puna.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **SPARING}
