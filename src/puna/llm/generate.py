"""An answer, token by token: the pure rules of generating, without threads, batches or caches kept for later.

`Answer` turns logits into tokens and text; the engine feeds many of them at once and `generate` one alone. Both give
the same answer, because nothing in here knows how the logits came about.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from puna.errors import Invalid
from puna.llm.sampler import GREEDY, Sampling, sample

STOPS_MAX = 16
STOP_BYTES_MAX = 1024
Finish = Literal["stop", "length"]


class Cache(Protocol):
    """Keys and values of one sequence."""

    def truncate(self, length: int) -> None:
        """Forget all positions from `length` on."""

    def close(self) -> None: ...


class Model(Protocol):
    """What generating needs of a model: the kernel's, or a test's."""

    config: Any  # .vocab, .context, .layers, .kv_dim

    def new_cache(self, positions_max: int) -> Cache: ...

    def forward(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        caches: Sequence[Cache],
        cache_index: np.ndarray,
        logits_rows: np.ndarray,
    ) -> np.ndarray:
        """int32 (rows,) three times, int32 (wanted,) -> logits float32 (wanted, vocab)."""

    def close(self) -> None: ...


class Speech(Protocol):
    """What generating needs of a tokenizer."""

    end_ids: frozenset[int]

    def piece(self, token: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Request:
    """What to answer: the prompt's tokens, at most `limit` tokens more, and texts that end the answer."""

    tokens: tuple[int, ...]
    limit: int
    sampling: Sampling = GREEDY
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    `tokens` are all that were generated, without an end token but with those that a stop text was made of; `text`
    ends before the stop text. `finish`: "stop" after an end token or stop text, "length" when the limit was reached.
    """

    tokens: tuple[int, ...]
    text: str
    finish: Finish


def check_request(request: Request, vocab: int, context: int) -> None:
    """Raise Invalid for a request that no model of this size could answer, before anything is evaluated."""
    check_tokens(request.tokens, vocab)
    if request.limit < 1:
        raise Invalid(f"A limit of {request.limit} tokens.", "Ask for at least one token.")
    if len(request.tokens) + request.limit > context:
        raise Invalid(context_full(len(request.tokens), request.limit, context), shorten(len(request.tokens), context))
    if len(request.stop) > STOPS_MAX or any(not 1 <= len(text.encode()) <= STOP_BYTES_MAX for text in request.stop):
        raise Invalid(
            "The stop texts are too many, empty or too long.",
            f"Give up to {STOPS_MAX}, of 1 to {STOP_BYTES_MAX} bytes.",
        )


def check_tokens(tokens: Sequence[int], vocab: int) -> None:
    if not tokens:
        raise Invalid("The prompt is empty.", "Give at least one token.")
    # An index that is no token would read beside the weights.
    if min(tokens) < 0 or max(tokens) >= vocab:
        raise Invalid(f"The prompt has tokens outside 0 to {vocab - 1}.", "Tokenize it with this model.")


def context_full(prompt: int, limit: int, context: int) -> str:
    return f"context full: {prompt} tokens of prompt and {limit} to generate exceed this model's {context}."


def shorten(prompt: int, context: int) -> str:
    if prompt < context:
        return f"Ask for at most {context - prompt} tokens, or shorten the prompt."
    return f"Shorten the prompt to less than {context} tokens."


class Answer:
    """One answer while it comes about.

    Bytes that may yet turn out to begin a stop text are held back together with their tokens, so that what is
    released is never taken back.
    """

    def __init__(self, request: Request, speech: Speech):
        self.request = request
        self.speech = speech
        self.stops = [text.encode("utf-8") for text in request.stop]
        self.tokens: list[int] = []
        self.released = bytearray()
        self.held: list[tuple[int, bytes]] = []
        self.finish: Finish | None = None

    def choose(self, logits: np.ndarray) -> list[tuple[int, bytes]]:
        """Take the next token from logits (vocab,) float32; the tokens and pieces that are now certain, in order."""
        return self.take(sample(logits, self.request.sampling, step=len(self.tokens)))

    def take(self, token: int) -> list[tuple[int, bytes]]:
        """The same with the token chosen already."""
        if token in self.speech.end_ids:
            self.finish = "stop"
            return self._release(self.held)
        self.tokens.append(token)
        self.held.append((token, self.speech.piece(token)))
        if self.stops:
            return self._settle()
        if len(self.tokens) == self.request.limit:
            self.finish = "length"
        return self._release(self.held)

    def completion(self) -> Completion:
        """The whole answer, once `finish` says that it is."""
        assert self.finish is not None, "an answer is complete when it has finished"
        return Completion(tuple(self.tokens), self.released.decode("utf-8", errors="replace"), self.finish)

    def _settle(self) -> list[tuple[int, bytes]]:
        text = b"".join(piece for _, piece in self.held)
        end = find_stop(text, self.stops)
        if end is not None:
            self.finish = "stop"
            return self._release(cut(self.held, end))
        if len(self.tokens) == self.request.limit:
            self.finish = "length"
            return self._release(self.held)
        certain, length = 0, len(text) - open_stop(text, self.stops)
        for _, piece in self.held:
            length -= len(piece)
            if length < 0:
                break
            certain += 1
        return self._release(self.held[:certain])

    def _release(self, pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        self.held = self.held[len(pieces) :]
        for _, piece in pieces:
            self.released += piece
        return pieces


def find_stop(text: bytes, stops: Sequence[bytes]) -> int | None:
    """Where the earliest stop text in `text` begins, None when there is none."""
    return min((at for at in map(text.find, stops) if at >= 0), default=None)


def open_stop(text: bytes, stops: Sequence[bytes]) -> int:
    """How many bytes at the end of `text` may be the beginning of a stop text."""
    longest = min(len(text), max(map(len, stops), default=1) - 1)
    return next((n for n in range(longest, 0, -1) if any(stop.startswith(text[-n:]) for stop in stops)), 0)


def cut(pieces: Sequence[tuple[int, bytes]], length: int) -> list[tuple[int, bytes]]:
    """The same tokens, their pieces cut to `length` bytes in all."""
    result = []
    for token, piece in pieces:
        result.append((token, piece[:length]))
        length -= min(length, len(piece))
    return result


def generate(model: Model, speech: Speech, request: Request) -> Iterator[tuple[int, bytes]]:
    """Answer one request alone, the plain way; the generator returns the Completion.

    Yields token and piece as they become certain. Raises Invalid as check_request does.
    """
    check_request(request, model.config.vocab, model.config.context)
    answer = Answer(request, speech)
    cache = model.new_cache(len(request.tokens) + request.limit)
    try:
        evaluated, waiting = 0, list(request.tokens)
        while answer.finish is None:
            yield from answer.choose(evaluate(model, cache, evaluated, waiting))
            evaluated, waiting = evaluated + len(waiting), answer.tokens[-1:]
    finally:
        cache.close()
    return answer.completion()


def evaluate(model: Model, cache: Cache, start: int, tokens: Sequence[int]) -> np.ndarray:
    """Put tokens into a cache from position `start` on; the logits (vocab,) after the last one."""
    rows = len(tokens)
    positions = np.arange(start, start + rows, dtype=np.int32)
    last = np.array([rows - 1], dtype=np.int32)
    return model.forward(np.array(tokens, dtype=np.int32), positions, [cache], np.zeros(rows, dtype=np.int32), last)[0]
