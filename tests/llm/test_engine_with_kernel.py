"""The engine's law on the real kernel: the same bytes for any batch, thread count and state of the caches."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm.small_models import write_llama

from puna.llm.engine import Engine
from puna.llm.generate import Request, generate
from puna.llm.models import load_model
from puna.llm.sampler import Sampling


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_model(write_llama(tmp_path_factory.mktemp("law") / "random.gguf"), threads=1)


REQUESTS = st.builds(
    Request,
    tokens=st.lists(st.sampled_from([1, 300, 301, 302]), min_size=1, max_size=40).map(
        lambda tail: (1, *range(280, 300), *tail)
    ),
    limit=st.integers(1, 20),
    sampling=st.builds(Sampling, temperature=st.sampled_from([0.0, 1.0]), seed=st.integers(0, 3)),
)


@settings(max_examples=12, deadline=None)
@given(
    rounds=st.lists(st.lists(REQUESTS, min_size=1, max_size=5), min_size=1, max_size=2),
    rows=st.integers(1, 70),
    threads=st.integers(1, 2),
)
def test_an_answer_is_the_same_alone_together_and_after_others(loaded, rounds, rows, threads):
    engine = Engine(threads=threads, rows_alone=rows, rows_shared=rows)
    try:
        for requests in rounds:
            events = [[] for _ in requests]
            done = threading.Semaphore(0)

            def deliver_to(number, events=events, done=done):
                def deliver(event):
                    events[number].append(event)
                    if not hasattr(event, "piece"):
                        done.release()

                return deliver

            for number, request in enumerate(requests):
                engine.start_generate(loaded.path, request, deliver_to(number))
            for _ in requests:
                done.acquire()
            for request, received in zip(requests, events, strict=True):
                assert received[-1].result == plain(loaded, request)
    finally:
        engine.close()


def plain(loaded, request):
    steps = generate(loaded.model, loaded.tokenizer, request)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
