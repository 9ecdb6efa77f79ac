"""The kernel's promise: every backend, batch, thread count and history gives the reference's logits in every byte."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from llm.kernel_models import EQUAL, GROUPED, SMALL_MODELS, SmallModel, open_small

from bench.make_random_gguf import SHAPES
from puna.llm import kernel

FAST = [name for name in kernel.available() if name != "numpy"]
NATIVE = [name for name in FAST if name != "wasm"]
LENGTH = 40


def tokens_of(model: SmallModel, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, model.shape.vocab, count).astype(np.int32)


def run(loaded: kernel.KernelModel, tokens: np.ndarray, batch: int) -> np.ndarray:
    """All logits (n, vocab) of one sequence, computed `batch` rows at a time."""
    cache = loaded.new_cache(len(tokens))
    parts = []
    for start in range(0, len(tokens), batch):
        part = tokens[start : start + batch]
        rows = np.arange(len(part))
        parts.append(loaded.forward(part, rows + start, [cache], np.zeros(len(part), int), rows))
    cache.close()
    return np.concatenate(parts)


@functools.cache
def expected(model: SmallModel, length: int = LENGTH, seed: int = 1) -> np.ndarray:
    return run(open_small(model, "numpy"), tokens_of(model, length, seed), length)


def assert_same_bits(found: np.ndarray, wanted: np.ndarray) -> None:
    different = np.flatnonzero((found.view(np.uint32) != wanted.view(np.uint32)).any(axis=-1))
    assert found.shape == wanted.shape and not different.size, f"rows {different} differ"


def test_the_machine_has_a_native_kernel_and_webassembly():
    assert "scalar" in NATIVE and "wasm" in FAST and kernel.available()[-1] == "numpy"


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("model", SMALL_MODELS, ids=str)
@pytest.mark.parametrize("panels_bytes_max", [0, kernel.PANELS_BYTES_MAX])
def test_every_backend_gives_the_references_bits_in_every_batch(model: SmallModel, backend: str, panels_bytes_max: int):
    loaded = open_small(model, backend, panels_bytes_max=panels_bytes_max)
    for batch in (*range(1, 10), 33):  # each number of rows in a tile has a loop of its own
        assert_same_bits(run(loaded, tokens_of(model, LENGTH), batch), expected(model))


@pytest.mark.parametrize("backend", NATIVE)
@pytest.mark.parametrize("model", [SMALL_MODELS[0], SMALL_MODELS[5]], ids=str)
@pytest.mark.parametrize("panels_bytes_max", [0, kernel.PANELS_BYTES_MAX])
def test_threads_change_no_bit(model: SmallModel, backend: str, panels_bytes_max: int):
    loaded = open_small(model, backend, threads=2, panels_bytes_max=panels_bytes_max)
    for batch in (1, 3, 33):
        assert_same_bits(run(loaded, tokens_of(model, LENGTH), batch), expected(model))


def test_the_reference_itself_does_not_depend_on_the_batch():
    model = SMALL_MODELS[0]
    assert_same_bits(run(open_small(model, "numpy"), tokens_of(model, LENGTH), 3), expected(model))


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("model", [SMALL_MODELS[1], SMALL_MODELS[4], SMALL_MODELS[6]], ids=str)
def test_sequences_mixed_in_one_batch_do_not_notice_each_other(model: SmallModel, backend: str):
    loaded = open_small(model, backend)
    length, rng = 24, np.random.default_rng(5)
    texts = [tokens_of(model, length, seed) for seed in (1, 2, 3)]
    caches = [loaded.new_cache(length) for _ in texts]
    logits = [np.zeros((length, model.shape.vocab), np.float32) for _ in texts]
    while any(cache.length < length for cache in caches):
        # Each round a random number of rows of each sequence, in a random interleaving.
        counts = [int(rng.integers(0, length - cache.length + 1)) for cache in caches]
        index = rng.permutation(np.repeat([0, 1, 2], counts))
        if not len(index):
            continue
        positions = np.zeros(len(index), int)
        for which, cache in enumerate(caches):
            positions[index == which] = cache.length + np.arange(counts[which])
        tokens = np.array([texts[which][position] for which, position in zip(index, positions, strict=True)])
        result = loaded.forward(tokens, positions, caches, index, np.arange(len(index)))
        for row, (which, position) in enumerate(zip(index, positions, strict=True)):
            logits[which][position] = result[row]
    for seed, found in zip((1, 2, 3), logits, strict=True):
        assert_same_bits(found, expected(model, length, seed))


@pytest.mark.parametrize("backend", FAST)
def test_a_truncated_cache_continues_as_if_nothing_had_been_there(backend: str):
    model = SMALL_MODELS[0]
    loaded, tokens = open_small(model, backend), tokens_of(model, LENGTH)
    cache = loaded.new_cache(LENGTH)
    other = np.concatenate([tokens[:17], tokens_of(model, 20, seed=9)])
    loaded.forward(other, np.arange(37), [cache], np.zeros(37, int), [])
    cache.truncate(17)
    rows = np.arange(LENGTH - 17)
    found = loaded.forward(tokens[17:], rows + 17, [cache], np.zeros(len(rows), int), rows)
    assert_same_bits(found, expected(model)[17:])


@pytest.mark.parametrize("backend", FAST)
def test_only_the_wanted_rows_logits_come_back_in_the_wanted_order(backend: str):
    model = SMALL_MODELS[2]
    loaded, tokens = open_small(model, backend), tokens_of(model, LENGTH)
    wanted = np.array([31, 0, 39, 31])
    found = loaded.forward(tokens, np.arange(LENGTH), [loaded.new_cache(64)], np.zeros(LENGTH, int), wanted)
    assert_same_bits(found, expected(model)[wanted])


def test_a_batch_longer_than_the_kernel_takes_at_once_is_split_unnoticed(monkeypatch):
    model = SMALL_MODELS[0]
    loaded, tokens = open_small(model, FAST[0]), tokens_of(model, LENGTH)
    wanted = np.array([31, 0, 39, 31, 5, 16])
    monkeypatch.setattr(kernel, "ROWS_MAX", 16)
    found = loaded.forward(tokens, np.arange(LENGTH), [loaded.new_cache(64)], np.zeros(LENGTH, int), wanted)
    assert_same_bits(found, expected(model)[wanted])


@pytest.mark.parametrize("matrices", ["q8_0", "q4_0"])
def test_a_hundred_tokens_of_a_larger_model_hash_alike_on_every_backend(matrices: str):
    """3 M parameters, no reference: what the backends say to one another over a longer text."""
    model = SmallModel(SHAPES["s3m"], matrices)
    tokens = tokens_of(model, 100)
    plain = run(open_small(model, "scalar"), tokens, 100)
    for backend in FAST:
        assert_same_bits(run(open_small(model, backend), tokens[:60], 60), plain[:60])
        assert_same_bits(run(open_small(model, backend), tokens, 9), plain)


def test_long_contexts_cross_the_chunks_of_attention():
    """Values are added in chunks of 64 positions: 150 positions cross two borders."""
    for model in (SmallModel(GROUPED, "q8_0"), SmallModel(EQUAL, "q8_0")):
        wanted = expected(model, 150)
        for backend in FAST:
            assert_same_bits(run(open_small(model, backend), tokens_of(model, 150), 64), wanted)
