"""What the kernel refuses, in words, before any of it reaches C."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from llm.kernel_models import SMALL_MODELS, SmallModel, open_small, path_of

from bench.make_random_gguf import Shape
from puna.errors import Invalid, NotYet
from puna.llm import kernel
from puna.llm.families import read_config
from puna.llm.gguf import open_gguf

MODEL = SMALL_MODELS[0]
BACKENDS = kernel.available()


@pytest.fixture(params=BACKENDS)
def loaded(request) -> kernel.KernelModel:
    return open_small(MODEL, request.param)


def forward(loaded, tokens, positions, caches, cache_index=None, logits_rows=()):
    return loaded.forward(tokens, positions, caches, cache_index or [0] * len(tokens), list(logits_rows))


def test_tokens_outside_the_vocabulary_are_refused(loaded):
    cache = loaded.new_cache(8)
    for token in (-1, loaded.config.vocab, 1 << 40):
        with pytest.raises(Invalid):
            forward(loaded, [5, token], [0, 1], [cache])
    assert cache.length == 0


def test_positions_must_continue_the_sequence(loaded):
    cache = loaded.new_cache(8)
    forward(loaded, [1, 2, 3], [0, 1, 2], [cache])
    for positions in ([4, 5], [2, 3], [4, 3], [3, 3], [3, 5]):
        with pytest.raises(Invalid, match="do not continue a sequence of 3 positions"):
            forward(loaded, [1, 1], positions, [cache])
    assert cache.length == 3


def test_a_full_cache_says_so(loaded):
    cache = loaded.new_cache(4)
    forward(loaded, [1] * 4, range(4), [cache])
    with pytest.raises(Invalid, match="its cache holds 4"):
        forward(loaded, [1], [4], [cache])
    cache.truncate(3)
    assert forward(loaded, [1], [3], [cache], logits_rows=[0]).shape == (1, loaded.config.vocab)


def test_a_cache_cannot_be_longer_than_the_context(loaded):
    for positions in (0, -1, loaded.config.context + 1):
        with pytest.raises(Invalid, match="the model's context is"):
            loaded.new_cache(positions)


def test_indices_outside_the_batch_are_refused(loaded):
    cache = loaded.new_cache(4)
    with pytest.raises(Invalid, match="cache index"):
        forward(loaded, [1], [0], [cache], [1])
    with pytest.raises(Invalid, match="logits row"):
        forward(loaded, [1], [0], [cache], logits_rows=[1])
    with pytest.raises(Invalid, match="differ in length"):
        forward(loaded, [1, 1], [0], [cache])
    with pytest.raises(Invalid, match="whole numbers"):
        forward(loaded, [1.5], [0], [cache])
    with pytest.raises(Invalid, match="twice"):
        forward(loaded, [1, 1], [0, 0], [cache, cache], [0, 1])


def test_an_empty_batch_is_no_error(loaded):
    assert forward(loaded, [], [], [loaded.new_cache(4)]).shape == (0, loaded.config.vocab)


def test_closed_and_foreign_caches_are_refused(loaded):
    closed, foreign = loaded.new_cache(4), open_small(SMALL_MODELS[1], loaded.backend).new_cache(4)
    closed.close()
    closed.close()
    for cache in (closed, foreign):
        with pytest.raises(Invalid, match="closed or belongs to another model"):
            forward(loaded, [1], [0], [cache])


def test_a_cache_cannot_be_cut_to_more_than_it_has(loaded):
    cache = loaded.new_cache(4)
    forward(loaded, [1, 2], [0, 1], [cache])
    for length in (-1, 3):
        with pytest.raises(Invalid):
            cache.truncate(length)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_closed_model_answers_no_more(backend):
    path = path_of(MODEL)
    model = kernel.open_model(path, read_config(open_gguf(path)), backend=backend)
    cache = model.new_cache(4)
    model.close()
    model.close()
    cache.close()
    with pytest.raises(Invalid, match="closed"):
        model.new_cache(4)


def test_unknown_backends_and_thread_counts_are_refused():
    path = path_of(MODEL)
    config = read_config(open_gguf(path))
    with pytest.raises(Invalid, match="Choose one of"):
        kernel.open_model(path, config, backend="abacus")
    for threads in (0, -3, 100_000):
        with pytest.raises(Invalid, match="threads"):
            kernel.open_model(path, config, threads=threads)


def test_refused_memory_is_said_and_changes_nothing(monkeypatch):
    loaded = open_small(MODEL, "scalar")
    monkeypatch.setitem(loaded._backend._library.__dict__, "puna_cache_new", lambda *_: None)
    with pytest.raises(NotYet, match="refuses memory"):
        loaded.new_cache(4)


def test_many_threads_may_call_one_model():
    loaded, results = open_small(MODEL, BACKENDS[0], threads=2), {}

    def generate(name: int) -> None:
        cache = loaded.new_cache(16)
        for position in range(16):
            results[name] = forward(loaded, [position + 5], [position], [cache], logits_rows=[0])
        cache.close()

    callers = [threading.Thread(target=generate, args=(name,)) for name in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all(np.array_equal(results[0], each) for each in results.values()) and len(results) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident size from /proc")
def test_a_caches_memory_is_taken_as_positions_are_filled():
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    model = SmallModel(Shape(dim=64, layers=8, heads=8, kv_heads=8, ffn=64, vocab=300, context=1 << 16), "q8_0")
    loaded = open_small(model, "scalar")
    forward(loaded, [1] * 64, range(64), [loaded.new_cache(64)])
    before = resident()
    cache = loaded.new_cache(1 << 16)  # 268 MB when full
    forward(loaded, [1] * 64, range(64), [cache])
    assert resident() - before < 16 << 20
