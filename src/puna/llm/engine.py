"""The inference engine: many requests at once, on models loaded once.

One thread takes steps. In each, every sequence under way gives rows to one batch: a generating one its newest token,
a new one the next chunk of its prompt, so long prompts do not keep others waiting. Long sequences of a small model,
whose caches do not fit the processor's all at once, take turns. Finished sequences leave their KV
cache on a shelf, where a request that begins with the same tokens finds it. None of this changes an answer: a row's
logits depend on the tokens before it and on nothing else. The server calls this; tests call it with models of their
own.
"""

import logging
import os
import queue
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from puna.errors import Invalid, NodeError, NotYet
from puna.llm.generate import Answer, Cache, Completion, Request, check_request, check_tokens
from puna.llm.models import LoadedModel, load_model
from puna.llm.sampler import GREEDY, Sampling, greedy, sample

log = logging.getLogger(__name__)

SEQUENCES_MAX = 16  # in one batch; past it requests wait in order
WAITING_MAX = 1024  # past it requests are refused: hours of work for one machine
# Rows of a step. Larger ones compute a prompt faster; while others generate, smaller ones keep their pace.
ROWS_ALONE = 256
ROWS_SHARED = 64
# What the sequences of one step, with a model no larger than this, may read of their KV caches. More would have left
# the processor's cache when the next step comes, and reading memory costs more than reading the weights once more.
STEP_CACHE_BYTES = 8 << 20
TURN_STEPS = 16  # steps that the processor's cache is filled for; a few milliseconds
CACHE_POSITIONS_MIN = 256
# A shorter beginning in common (a begin token, a role marker) is not worth taking a cache another may need.
REUSE_TOKENS_MIN = 8
KEPT_MAX = 64  # caches on the shelf, however small: each is looked at for every request
MODELS_MAX = 4  # open at a time; beyond it the one unused for longest is closed
SHELF_BYTES_MAX = 1 << 30
RUNNING_BYTES_MIN = 1 << 30  # caches of running sequences may take a quarter of memory, and at least this

Deliver = Callable[["Event"], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """One more token that is certain, and the bytes of text it adds."""

    token: int
    piece: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a job and its result: a Completion, or the tokens of a scoring."""

    result: Completion | list[int]


@dataclass(frozen=True, slots=True)
class Failed:
    """The end of a job that could not be done."""

    error: Exception


Event = Piece | Done | Failed


class Job:
    """A request under way. Its events are delivered on the engine's thread; `cancel` may be called from any."""

    def __init__(self, loaded: LoadedModel, tokens: Sequence[int], logits_from: int, length_max: int, deliver: Deliver):
        self.loaded = loaded
        self.tokens = list(tokens)
        self.logits_from = logits_from  # the first position whose logits are wanted
        self.length_max = length_max
        self.deliver = deliver
        self.evaluated = 0
        self.reuses = True
        self.cache: Cache | None = None
        self.capacity = 0
        self.touched = 0
        self.result: Completion | list[int] | None = None
        self.cancelled = False

    @property
    def cache_bytes_max(self) -> int:
        return self.length_max * self.loaded.info.kv_bytes

    @property
    def cache_bytes(self) -> int:
        return self.evaluated * self.loaded.info.kv_bytes

    @property
    def waiting_rows(self) -> int:
        return len(self.tokens) - self.evaluated

    def cancel(self) -> None:
        """Stop computing. No event follows once the step under way has ended."""
        self.cancelled = True

    def accept(self, logits: np.ndarray, likeliest: int | None) -> None:
        """The logits after one more of `tokens`, in order, from position `logits_from` on.

        `likeliest` is their greedy choice, None when they are not finite.
        """
        raise NotImplementedError


class GenerateJob(Job):
    """Adds tokens until the answer has finished."""

    def __init__(self, loaded: LoadedModel, request: Request, deliver: Deliver):
        prompt = len(request.tokens)
        super().__init__(loaded, request.tokens, prompt - 1, prompt + request.limit, deliver)
        self.answer = Answer(request, loaded.tokenizer)

    def accept(self, logits: np.ndarray, likeliest: int | None) -> None:
        is_greedy = likeliest is not None and self.answer.request.sampling.temperature == 0
        for token, piece in self.answer.take(likeliest) if is_greedy else self.answer.choose(logits):
            deliver(self, Piece(token, piece))
        if self.answer.finish is None:
            self.tokens.append(self.answer.tokens[-1])
        else:
            self.result = self.answer.completion()


class ScoreJob(Job):
    """Goes through given tokens in one pass and says at each which token the model would have chosen there."""

    def __init__(self, loaded: LoadedModel, tokens: Sequence[int], start: int, sampling: Sampling, deliver: Deliver):
        # The last token's logits choose what comes after the given ones: nobody asks for that.
        super().__init__(loaded, tokens[:-1], start - 1, len(tokens), deliver)
        self.reuses = False  # an audit that trusted an earlier computation would be none
        self.sampling = sampling
        self.choices: list[int] = []

    def accept(self, logits: np.ndarray, likeliest: int | None) -> None:
        is_greedy = likeliest is not None and self.sampling.temperature == 0
        self.choices.append(likeliest if is_greedy else sample(logits, self.sampling, step=len(self.choices)))
        if len(self.choices) == len(self.tokens) - self.logits_from:
            self.result = self.choices


def plan_rows(waiting: Sequence[int], rows_max: int) -> list[int]:
    """How many rows each sequence gives to the next batch.

    `waiting[i]` is how many tokens of sequence i are not evaluated yet. Everybody gets one row; what is left of
    `rows_max` goes to the prompts in equal shares, and what one does not need to the others.
    """
    rows = [min(1, each) for each in waiting]
    hungry = [i for i, each in enumerate(waiting) if each > 1]
    hungry.sort(key=lambda i: waiting[i])
    left = max(rows_max - sum(rows), 0)
    for place, i in enumerate(hungry):
        more = min(waiting[i] - 1, left // (len(hungry) - place))
        rows[i] += more
        left -= more
    return rows


def in_turn(jobs: Sequence[Job], bytes_max: int, step: int) -> list[Job]:
    """Those of one model's `jobs` that take part in step number `step`: all, if their caches fill at most `bytes_max`.

    Else the long ones take turns, some of them for TURN_STEPS steps; the short ones take part in every step.
    """
    long = [job for job in jobs if job.cache_bytes > bytes_max // SEQUENCES_MAX]
    turns = min(-(-sum(job.cache_bytes for job in long) // bytes_max), len(long))
    if turns <= 1:
        return list(jobs)
    resting = {job for place, job in enumerate(long) if place % turns != step // TURN_STEPS % turns}
    return [job for job in jobs if job not in resting]


@dataclass(slots=True, eq=False)
class Kept:
    """A cache on the shelf and the tokens that are in it."""

    loaded: LoadedModel
    tokens: list[int]
    cache: Cache
    capacity: int
    touched: int  # positions ever written: that much memory it takes

    @property
    def nbytes(self) -> int:
        return self.touched * self.loaded.info.kv_bytes


@dataclass(slots=True)
class Shelf:
    """KV caches of finished sequences, the latest used last, bounded by the memory they take."""

    bytes_max: int
    kept: list[Kept] = field(default_factory=list)

    def take(self, loaded: LoadedModel, tokens: Sequence[int], capacity: int) -> tuple[Kept, int] | None:
        """The cache that shares the longest beginning with `tokens`, and its length; None when none is worth it.

        At least one of `tokens` is left to evaluate, because somebody waits for its logits.
        """
        best, longest = None, REUSE_TOKENS_MIN - 1
        for kept in self.kept:
            if kept.loaded is loaded and kept.capacity >= capacity:
                common = min(common_length(kept.tokens, tokens), len(tokens) - 1)
                if common > longest:
                    best, longest = kept, common
        if best is None:
            return None
        self.kept.remove(best)
        return best, longest

    def put(self, kept: Kept) -> None:
        if len(kept.tokens) < REUSE_TOKENS_MIN:
            kept.cache.close()
            return
        self.kept.append(kept)
        while len(self.kept) > KEPT_MAX or sum(each.nbytes for each in self.kept) > self.bytes_max:
            self.kept.pop(0).cache.close()

    def keep_only(self, models: Sequence[LoadedModel]) -> None:
        """Close the caches of all models but these."""
        for kept in [each for each in self.kept if each.loaded not in models]:
            self.kept.remove(kept)
            kept.cache.close()


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    length = min(len(a), len(b))
    return next((i for i in range(length) if a[i] != b[i]), length)


@dataclass(slots=True)
class Counts:
    """What the engine has done since it started."""

    prompt_tokens: int = 0
    reused_tokens: int = 0
    generated_tokens: int = 0
    requests: int = 0


class Engine:
    """Models and the thread that computes with them. All methods may be called from any thread."""

    def __init__(
        self,
        *,
        threads: int | None = None,
        load: Callable[[Path, int | None], LoadedModel] = load_model,
        sequences_max: int = SEQUENCES_MAX,
        shelf_bytes_max: int = SHELF_BYTES_MAX,
        running_bytes_max: int | None = None,
        rows_alone: int = ROWS_ALONE,
        rows_shared: int = ROWS_SHARED,
        step_cache_bytes: int = STEP_CACHE_BYTES,
    ):
        self.threads = threads or os.cpu_count() or 1
        self._threads = threads
        self.counts = Counts()
        # Called on the engine's thread when the events of a step have all been delivered.
        self.after_step: Callable[[], None] = lambda: None
        self._load = load
        self._sequences_max = sequences_max
        self._running_bytes_max = running_bytes_max or max(memory_bytes() // 4, RUNNING_BYTES_MIN)
        self._rows_alone = rows_alone
        self._rows_shared = rows_shared
        self._step_cache_bytes = step_cache_bytes
        self._shelf = Shelf(shelf_bytes_max)
        self._models: OrderedDict[tuple, LoadedModel] = OrderedDict()  # the latest used last
        self._loading = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._steps = 0
        self._forgotten = False  # a model was dropped, and its caches are still on the shelf
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="puna-engine", daemon=True)
        self._thread.start()

    # -- models ---------------------------------------------------------------------------------------------------

    def open_model(self, path: Path | str) -> LoadedModel:
        """The model in a file, loaded at the first call and shared by all later ones.

        A file that was replaced since is another model. Raises Missing or Invalid.
        """
        key = file_key(Path(path))
        loaded = self._models.get(key)
        if loaded is None:
            with self._loading:  # whoever asks for the same file meanwhile waits instead of loading it again
                loaded = self._models.get(key) or self._open(key, Path(path))
        with suppress(KeyError):
            self._models.move_to_end(key)
        return loaded

    def _open(self, key: tuple, path: Path) -> LoadedModel:
        loaded = self._models[key] = self._load(path, self._threads)
        # Jobs and kept caches hold the model; it is closed when the last of them has let go.
        weakref.finalize(loaded, loaded.model.close).atexit = False
        while len(self._models) > MODELS_MAX:
            self._models.popitem(last=False)
            with self._changed:
                self._forgotten = True
                self._changed.notify()
        return loaded

    def has_open(self, path: Path | str) -> bool:
        """Whether open_model would return at once."""
        return file_key(Path(path)) in self._models

    @property
    def models(self) -> list[LoadedModel]:
        return list(self._models.values())

    @property
    def load(self) -> tuple[int, int]:
        """How many requests are computed now, and how many wait."""
        return sum(job.result is None for job in list(self._running)), len(self._waiting)

    # -- requests -------------------------------------------------------------------------------------------------

    def start_generate(self, path: Path | str, request: Request, deliver: Deliver) -> Job:
        """Begin an answer; `deliver` gets Pieces, then Done with the Completion, on the engine's thread.

        Raises Invalid for what can never be answered, NotYet when too many wait already.
        """
        loaded = self.open_model(path)
        check_request(request, loaded.info.vocab, loaded.info.context)
        return self._start(GenerateJob(loaded, request, deliver))

    def start_score(
        self, path: Path | str, tokens: Sequence[int], start: int, sampling: Sampling, deliver: Deliver
    ) -> Job:
        """Begin to go through `tokens` in one pass; `deliver` gets Done with the tokens the model chooses itself.

        There is one for each position from `start` on, and where an answer is honest they are equal to `tokens`
        there. Raises Invalid when the tokens do not fit the model.
        """
        loaded = self.open_model(path)
        check_tokens(tokens, loaded.info.vocab)
        if not 1 <= start < len(tokens):
            raise Invalid(f"Scoring cannot start at {start} of {len(tokens)} tokens.", "Start after the prompt.")
        if len(tokens) > loaded.info.context:
            raise Invalid(
                f"context full: {len(tokens)} tokens exceed {loaded.info.context}.", "Score a shorter answer."
            )
        return self._start(ScoreJob(loaded, tokens, start, sampling, deliver))

    def _start(self, job: Job) -> Job:
        with self._changed:
            if self._closed:
                raise NotYet("The engine is stopping.", "Ask again when it has started again.")
            if len(self._waiting) >= WAITING_MAX:
                raise NotYet(f"{WAITING_MAX} requests wait for the engine already.", "Ask again later.")
            self._waiting.append(job)
            self.counts.requests += 1
            self._changed.notify()
        return job

    def generate(
        self, path: Path | str, request: Request, on_token: Callable[[int, bytes], None] = lambda token, piece: None
    ) -> Completion:
        """Answer a request and wait for it; `on_token` is called on this thread for every token as it is certain.

        When `on_token` raises, the computation is cancelled. Raises as start_generate does.
        """
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        job = self.start_generate(path, request, events.put)
        try:
            return wait(events, on_token)
        finally:
            job.cancel()

    def score(self, path: Path | str, tokens: Sequence[int], start: int, sampling: Sampling = GREEDY) -> list[int]:
        """The tokens the model chooses itself at each position of `tokens` from `start` on; see start_score."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.start_score(path, tokens, start, sampling, events.put)
        return wait(events, lambda token, piece: None)

    def close(self) -> None:
        """Stop computing; every job under way fails with NotYet. Models are closed."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    # -- the engine's thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._admit():
            for loaded in {id(job.loaded): job.loaded for job in self._running}.values():
                jobs = [job for job in self._running if job.loaded is loaded and job.cache is not None]
                if loaded.info.file_bytes <= STEP_CACHE_BYTES:
                    jobs = in_turn(jobs, self._step_cache_bytes, self._steps)
                self._steps += 1
                try:
                    self._step(loaded, jobs)
                except Exception as error:  # our bug: it fails these jobs, loudly, and leaves the others alone
                    log.exception("a step of the engine failed")
                    for job in jobs:
                        if job.cache is not None:
                            self._fail(job, error)
                self.after_step()
            self._running = [job for job in self._running if job.cache is not None]
        self._shut()
        self.after_step()

    def _admit(self) -> bool:
        """Wait for work and take in what there is room for; False when the engine closes."""
        with self._changed:
            while not (self._closed or self._waiting or self._running or self._forgotten):
                self._changed.wait()
            while self._waiting and self._has_room(self._waiting[0]):
                self._running.append(self._waiting.popleft())
            if self._forgotten:
                self._shelf.keep_only(self.models)
                self._forgotten = False
        for job in self._running:
            if job.cache is None:
                self._give_cache(job)
        return not self._closed

    def _has_room(self, job: Job) -> bool:
        """Whether the next request can begin; one always can, however large."""
        taken = sum(each.cache_bytes_max for each in self._running)
        return not self._running or (
            len(self._running) < self._sequences_max and taken + job.cache_bytes_max <= self._running_bytes_max
        )

    def _give_cache(self, job: Job) -> None:
        found = self._shelf.take(job.loaded, job.tokens, job.length_max) if job.reuses else None
        if found:
            kept, job.evaluated = found
            job.cache, job.capacity, job.touched = kept.cache, kept.capacity, kept.touched
            job.cache.truncate(job.evaluated)
            self.counts.reused_tokens += job.evaluated
            return
        # Twice what is needed and more, so that a conversation that goes on finds its cache large enough.
        roomy = max(CACHE_POSITIONS_MIN, 1 << (job.length_max * 2 - 1).bit_length())
        job.capacity = min(roomy, job.loaded.info.context)
        try:
            job.cache = job.loaded.model.new_cache(job.capacity)
        except Exception as error:
            log.exception("no cache for a sequence")
            self._fail(job, error)

    def _step(self, loaded: LoadedModel, jobs: list[Job]) -> None:
        for job in [each for each in jobs if each.cancelled]:
            jobs.remove(job)
            self._leave(job)
        if not jobs:
            return
        waiting = [job.waiting_rows for job in jobs]
        rows = plan_rows(waiting, self._rows_shared if 1 in waiting else self._rows_alone)
        logits = forward(loaded, jobs, rows)
        likeliest = greedy(logits)
        at = 0
        for job, count in zip(jobs, rows, strict=True):
            wanted = wanted_rows(job, count)
            job.evaluated += count
            job.touched = max(job.touched, job.evaluated)
            generated = wanted if isinstance(job, GenerateJob) else 0
            self.counts.generated_tokens += generated
            self.counts.prompt_tokens += count - generated
            self._hand_over(job, logits[at : at + wanted], likeliest[at : at + wanted])
            at += wanted

    def _hand_over(self, job: Job, logits: np.ndarray, likeliest: Sequence[int | None]) -> None:
        try:
            for row, token in zip(logits, likeliest, strict=True):
                job.accept(row, token)
        except NodeError as error:
            self._fail(job, error)
            return
        if job.result is not None:
            self._leave(job)
            deliver(job, Done(job.result))

    def _leave(self, job: Job) -> None:
        """Put a finished or cancelled job's cache on the shelf."""
        cache, job.cache = job.cache, None
        self._shelf.put(Kept(job.loaded, job.tokens[: job.evaluated], cache, job.capacity, job.touched))
        if job.loaded not in self.models:
            self._shelf.keep_only(self.models)

    def _fail(self, job: Job, error: Exception) -> None:
        if job.cache is not None:
            job.cache.close()
            job.cache = None
        deliver(job, Failed(error))

    def _shut(self) -> None:
        with self._changed:
            jobs = [*self._running, *self._waiting]
            self._running, self._waiting = [], deque()
        for job in jobs:
            self._fail(job, NotYet("The engine stopped.", "Ask again when it has started again."))
        self._shelf.keep_only([])
        self._models.clear()


def wanted_rows(job: Job, rows: int) -> int:
    """Of the next `rows` rows of a job, how many (the last ones) give logits that are wanted."""
    return max(0, min(rows, job.evaluated + rows - job.logits_from))


def forward(loaded: LoadedModel, jobs: Sequence[Job], rows: Sequence[int]) -> np.ndarray:
    """One batch with the next `rows[i]` tokens of `jobs[i]`: logits (wanted, vocab) in the same order."""
    # Lists until the end: for the few rows of a step each of NumPy's calls costs more than all the numbers.
    tokens: list[int] = []
    positions: list[int] = []
    cache_index: list[int] = []
    wanted: list[int] = []
    for place, (job, n) in enumerate(zip(jobs, rows, strict=True)):
        tokens += job.tokens[job.evaluated : job.evaluated + n]
        positions += range(job.evaluated, job.evaluated + n)
        cache_index += [place] * n
        wanted += range(len(tokens) - wanted_rows(job, n), len(tokens))
    return loaded.model.forward(
        np.array(tokens, dtype=np.int32),
        np.array(positions, dtype=np.int32),
        [job.cache for job in jobs],
        np.array(cache_index, dtype=np.int32),
        np.array(wanted, dtype=np.int32),
    )


def deliver(job: Job, event: Event) -> None:
    """Hand an event over. Whoever waits for it may be gone, which is no harm to the others."""
    try:
        job.deliver(event)
    except Exception:
        pass


def wait(events: "queue.SimpleQueue[Event]", on_token: Callable[[int, bytes], None]):
    """The result of a job from its events; raises the error it failed with."""
    while True:
        match events.get():
            case Piece(token, piece):
                on_token(token, piece)
            case Done(result):
                return result
            case Failed(error):
                raise (
                    error if isinstance(error, NodeError) else RuntimeError(f"the engine failed: {error!r}")
                ) from error


def memory_bytes() -> int:
    """This machine's memory; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def file_key(path: Path) -> tuple:
    """What tells a model file from another one that is put in its place."""
    try:
        status = path.stat()
    except OSError:
        return (str(path),)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
