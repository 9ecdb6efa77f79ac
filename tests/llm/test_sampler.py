"""The choice of tokens: pure, exact, and the same on every machine."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from puna.errors import Invalid
from puna.llm.sampler import GREEDY, Sampling, chance, exponential, likeliest, sample

LOGITS = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-30, 30, width=32))
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.floats(0.01, 5),
    seed=st.integers(-(1 << 63), (1 << 64) - 1),
    top_p=st.floats(0.01, 1),
    top_k=st.integers(0, 70),
)


def test_greedy_is_the_lowest_index_of_the_maximum():
    assert sample(np.array([1, 5, 2, 5, 5], dtype=np.float32), GREEDY, 0) == 1


@given(logits=LOGITS, sampling=SAMPLINGS, step=st.integers(0, 1 << 40))
def test_the_same_step_is_always_the_same_choice(logits, sampling, step):
    before = logits.copy()
    chosen = sample(logits, sampling, step)
    assert 0 <= chosen < len(logits)
    assert sample(logits.copy(), sampling, step) == chosen
    assert np.array_equal(before, logits)


@given(logits=LOGITS, sampling=SAMPLINGS)
def test_only_the_likeliest_are_chosen(logits, sampling):
    order, weights = likeliest(logits, sampling)
    assert list(order) == sorted(order, key=lambda token: (-logits[token], token))
    assert list(weights) == sorted(weights, reverse=True)
    assert not sampling.top_k or len(order) <= sampling.top_k
    assert logits[order].min() >= np.delete(logits, order).max(initial=-np.inf)


@given(logits=LOGITS, seed=st.integers(0, 1 << 32))
def test_one_candidate_leaves_no_choice(logits, seed):
    greedy = sample(logits, GREEDY, 0)
    assert sample(logits, Sampling(temperature=1.0, seed=seed, top_k=1), 3) == greedy
    assert sample(logits, Sampling(temperature=1.0, seed=seed, top_p=1e-9), 3) == greedy
    # A tiny temperature leaves only those that are equal to the best.
    assert logits[sample(logits, Sampling(temperature=1e-300, seed=seed), 3)] == logits.max()


def test_frequencies_follow_the_probabilities():
    probabilities = np.array([0.5, 0.3, 0.15, 0.05])
    logits = np.log(probabilities).astype(np.float32)
    chosen = [sample(logits, Sampling(temperature=1.0, seed=7), step) for step in range(4000)]
    assert np.allclose(np.bincount(chosen) / 4000, probabilities, atol=0.03)
    hot = [sample(logits, Sampling(temperature=5.0, seed=7), step) for step in range(4000)]
    assert np.bincount(hot)[3] > 2 * np.bincount(chosen)[3]


@given(hnp.arrays(np.float64, 20, elements=st.floats(-700, 0)))
def test_our_exponential_is_the_mathematical_one(values):
    assert np.allclose(exponential(values), np.exp(values), rtol=5e-16, atol=0)


def test_bits_are_those_of_every_machine():
    # Witnesses: computed once; another result anywhere means that answers there could not be checked here.
    values = np.linspace(-40, 0, 4001)
    assert hashlib.sha256(exponential(values).astype("<f8").tobytes()).hexdigest()[:16] == "f37728f99300ed26"
    assert [chance(seed, step) for seed, step in ((0, 0), (1, 0), (0, 1), (-1, 5))] == [
        0.8344336729487916,
        0.8192151381616409,
        0.46837042216709857,
        0.29612717467258776,
    ]
    logits = (np.arange(1000) * 7919 % 997 / 100).astype(np.float32)
    sampling = Sampling(temperature=0.8, seed=42, top_p=0.95, top_k=200)
    assert [sample(logits, sampling, step) for step in range(8)] == [615, 140, 90, 123, 210, 18, 19, 702]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_broken_logits_are_refused(value):
    for sampling in (GREEDY, Sampling(temperature=1.0)):
        with pytest.raises(Invalid, match="not finite"):
            sample(np.array([1, value, 2], dtype=np.float32), sampling, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(temperature=-1.0),
        dict(temperature=float("nan")),
        dict(temperature=float("inf")),
        dict(top_p=0.0),
        dict(top_p=1.5),
        dict(top_p=float("nan")),
        dict(top_k=-1),
        dict(seed=1 << 64),
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(Invalid):
        Sampling(**wrong)
