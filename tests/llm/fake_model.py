"""A model whose logits depend on every token before, and on nothing else: a mistake in any position or cache shows."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from puna.llm.generate import Completion, Request, generate
from puna.llm.models import LoadedModel, ModelInfo


class FakeCache:
    def __init__(self, capacity: int):
        self.tokens: list[int] = []
        self.capacity = capacity
        self.closed = False

    def truncate(self, length: int) -> None:
        assert not self.closed and length <= len(self.tokens)
        del self.tokens[length:]

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class FakeModel:
    """`before_step` is called with the rows of each forward pass; `batches` keeps how many sequences each one had."""

    def __init__(self, vocab: int = 24, context: int = 64, before_step=lambda rows: None, endless: bool = False):
        self.config = SimpleNamespace(vocab=vocab, context=context, layers=1, kv_dim=8)
        self.before_step = before_step
        self.endless = endless  # never choose the end token
        self.batches: list[int] = []
        self.rows = 0
        self.caches: list[FakeCache] = []
        self.closed = False

    def new_cache(self, positions_max: int) -> FakeCache:
        self.caches.append(FakeCache(positions_max))
        return self.caches[-1]

    def forward(self, tokens, positions, caches: Sequence[FakeCache], cache_index, logits_rows) -> np.ndarray:
        assert not self.closed
        for array in (tokens, positions, cache_index, logits_rows):
            assert array.dtype == np.int32 and array.ndim == 1
        self.before_step(len(tokens))
        self.batches.append(len(caches))
        self.rows += len(tokens)
        logits = np.empty((len(tokens), self.config.vocab), dtype=np.float32)
        for row, (token, position, index) in enumerate(zip(tokens, positions, cache_index, strict=True)):
            cache = caches[index]
            assert not cache.closed and position == len(cache.tokens) < cache.capacity
            cache.tokens.append(int(token))
            logits[row] = self.logits(cache.tokens)
        return logits[logits_rows]

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        seed = hashlib.sha256(np.array(tokens, dtype="<i4").tobytes()).digest()
        logits = np.random.default_rng(list(seed)).standard_normal(self.config.vocab).astype(np.float32) * 3
        logits[0] -= 100 * self.endless
        return logits

    def close(self) -> None:
        self.closed = True


class FakeSpeech:
    """Token 0 ends a turn; the others say pieces of text, some of them parts of one character."""

    end_ids = frozenset({0})
    chat_template = ""
    PIECES = [b"", b"a", b"b", b"ab", b"ba", b" ", b"\n", b"abc", "é".encode(), *(bytes([x]) for x in "🦙".encode())]

    def piece(self, token: int) -> bytes:
        return self.PIECES[token % len(self.PIECES)]


def fake_loaded(path: Path, model: FakeModel) -> LoadedModel:
    vocab, context = model.config.vocab, model.config.context
    info = ModelInfo("fake", "fake", 0, "F32", 0, context, vocab, "canonical-1", 1, 0, (0,), False, 64)
    return LoadedModel(path, info, FakeSpeech(), model)


def alone(request: Request) -> tuple[Completion, list[tuple[int, bytes]]]:
    """What the plain generator gives for a request on a fresh model: the completion and what it released."""
    steps, released = generate(FakeModel(), FakeSpeech(), request), []
    while True:
        try:
            released.append(next(steps))
        except StopIteration as end:
            return end.value, released
