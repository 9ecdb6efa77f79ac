"""The engine: whatever is batched, cached or cancelled, an answer is what it is alone."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm.fake_model import FakeModel, alone, fake_loaded

from puna.errors import Invalid, NotYet
from puna.llm import engine as engine_module
from puna.llm.engine import TURN_STEPS, Engine, GenerateJob, Kept, Shelf, in_turn, plan_rows
from puna.llm.generate import Request
from puna.llm.sampler import Sampling


def start(model: FakeModel, **options) -> Engine:
    return Engine(threads=1, load=lambda path, threads: fake_loaded(path, model), **options)


@pytest.fixture
def running():
    engines = []

    def make(model: FakeModel, **options) -> Engine:
        engines.append(start(model, **options))
        return engines[-1]

    yield make
    for each in engines:
        each.close()


def together(engine: Engine, requests: list[Request]):
    """All answers, asked at the same moment from a thread each."""
    results = [None] * len(requests)

    def ask(number: int) -> None:
        released = []
        completion = engine.generate("fake", requests[number], lambda token, piece: released.append((token, piece)))
        results[number] = completion, released

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


REQUESTS = st.builds(
    Request,
    # Few tokens and a common beginning: prompts share prefixes of every length.
    tokens=st.tuples(st.integers(0, 20), st.lists(st.integers(1, 2), min_size=1, max_size=25)).map(
        lambda drawn: (*[3, 4, 5, 6] * 5, *drawn[1])[20 - drawn[0] :]
    ),
    limit=st.integers(1, 18),
    sampling=st.builds(Sampling, temperature=st.sampled_from([0.0, 0.7, 1.5]), seed=st.integers(0, 3)),
    stop=st.sampled_from([(), ("ab",), ("b a", "é")]),
)


@settings(max_examples=60, deadline=None)
@given(
    rounds=st.lists(st.lists(REQUESTS, min_size=1, max_size=6), min_size=1, max_size=3),
    sequences_max=st.integers(1, 5),
    rows=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    shelf=st.sampled_from([0, 3000, 1 << 20]),
    step_cache=st.sampled_from([1, 3000, 1 << 20]),
)
def test_batches_chunks_turns_and_warm_caches_change_no_answer(rounds, sequences_max, rows, shelf, step_cache):
    engine = start(
        FakeModel(),
        sequences_max=sequences_max,
        rows_alone=rows[0],
        rows_shared=rows[1],
        shelf_bytes_max=shelf,
        step_cache_bytes=step_cache,
    )
    try:
        for requests in rounds:
            assert together(engine, requests) == [alone(request) for request in requests]
    finally:
        engine.close()


def test_requests_are_computed_in_one_batch(running):
    gate = threading.Event()
    model = FakeModel(before_step=lambda rows: gate.wait())
    engine = running(model)
    jobs = []
    done = threading.Semaphore(0)
    for number in range(4):
        jobs.append(engine.start_generate("fake", Request((3, number + 1), 8), lambda event: done.release()))
    gate.set()
    for _ in range(4 * 1):
        done.acquire()
    engine.close()
    assert max(model.batches) >= 3, "the first may have begun alone, the others join it"


def test_long_sequences_take_turns_and_a_short_one_takes_part_in_each():
    def job(evaluated: int) -> GenerateJob:
        job = GenerateJob(fake_loaded("fake", FakeModel()), Request((1,) * (evaluated + 1), 1), lambda event: None)
        job.evaluated = evaluated
        return job

    long, short = [job(20) for _ in range(5)], job(1)
    kv_bytes = short.loaded.info.kv_bytes
    jobs = [*long[:3], short, *long[3:]]
    assert in_turn(jobs, 101 * kv_bytes, step=0) == jobs
    turns = [in_turn(jobs, 40 * kv_bytes, step=turn * TURN_STEPS) for turn in range(3)]
    assert all(short in turn and len(turn) <= 3 for turn in turns)
    assert set().union(*turns) == set(jobs)
    assert in_turn(jobs, 40 * kv_bytes, step=TURN_STEPS - 1) == turns[0]
    # One that does not fit by itself is computed all the same.
    assert [len(in_turn(long, kv_bytes, step=turn * TURN_STEPS)) for turn in range(5)] == [1] * 5


def test_a_long_prompt_does_not_keep_a_generating_one_waiting(running):
    order = []
    in_step, gate = threading.Event(), threading.Event()

    def before_step(rows: int) -> None:
        order.append(rows)
        in_step.set()
        gate.wait()

    model = FakeModel(context=512, before_step=before_step)
    engine = running(model, rows_alone=32, rows_shared=8)
    finished = threading.Semaphore(0)

    def finish(event):
        if not isinstance(event, engine_module.Piece):
            finished.release()

    engine.start_generate("fake", Request((1, 2), 12), finish)
    in_step.wait()
    engine.start_generate("fake", Request((5,) * 100, 1), finish)
    gate.set()
    finished.acquire()
    finished.acquire()
    assert max(order) <= 32
    assert max(model.batches) == 2


def test_a_prompt_that_was_seen_is_not_computed_again(running):
    model = FakeModel()
    engine = running(model)
    prompt = tuple(range(1, 21))
    first = engine.generate("fake", Request(prompt, 5))
    rows = model.rows
    second = engine.generate("fake", Request(prompt, 5))
    assert first == second
    assert model.rows == rows + len(second.tokens) or model.rows == rows + len(second.tokens) + 1
    longer = Request(prompt + first.tokens + (7, 8), 3)
    rows = model.rows
    engine.generate("fake", longer)
    assert model.rows - rows <= 3 + 3, "a conversation that goes on computes what is new"
    assert engine.counts.reused_tokens >= 19 + 20


def test_kept_caches_are_bounded_by_their_memory(running):
    model = FakeModel()
    engine = running(model, shelf_bytes_max=3000)  # 64 bytes a position: 46 positions
    for number in range(6):
        engine.generate("fake", Request((number + 1,) * 20, 2))
    open_caches = [cache for cache in model.caches if not cache.closed]
    assert 1 <= len(open_caches) <= 2
    engine.close()
    assert all(cache.closed for cache in model.caches)


def test_the_shelf_gives_the_longest_beginning_and_forgets_the_oldest():
    model = FakeModel()
    loaded, other = fake_loaded("a", model), fake_loaded("b", model)
    shelf = Shelf(bytes_max=64 * 100)

    def kept(tokens, of=loaded, capacity=64):
        return Kept(of, list(tokens), model.new_cache(capacity), capacity, len(tokens))

    short, long, foreign = kept(range(10)), kept(range(30)), kept(range(40), of=other)
    for each in (short, long, foreign):
        shelf.put(each)
    assert shelf.take(loaded, range(50), capacity=65) is None, "too small"
    assert shelf.take(loaded, [9] * 50, capacity=1) is None, "nothing in common"
    assert shelf.take(loaded, range(30), capacity=1) == (long, 29), "one token is left to evaluate"
    assert shelf.take(loaded, range(30), capacity=1) == (short, 10)
    shelf.put(kept(range(70)))
    assert foreign.cache.closed


def test_a_cancelled_request_is_computed_no_further(running):
    model = FakeModel(context=4096, endless=True)
    engine = running(model)

    def on_token(token, piece):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        engine.generate("fake", Request((1, 2, 3), 4000), on_token)
    engine.close()
    assert model.rows < 4000


def test_a_failing_step_harms_only_its_own_requests(running):
    def before_step(rows):
        if rows == 13:
            raise ZeroDivisionError("a bug")

    engine = running(FakeModel(before_step=before_step))
    with pytest.raises(RuntimeError, match="a bug"):
        engine.generate("fake", Request((1,) * 13, 2))
    assert engine.generate("fake", Request((1,) * 12, 2)) == alone(Request((1,) * 12, 2))[0]


def test_closing_fails_what_is_under_way_with_not_yet():
    entered, gate = threading.Event(), threading.Event()

    def before_step(rows):
        entered.set()
        gate.wait()

    model = FakeModel(context=1 << 20, before_step=before_step)
    engine = start(model)
    events = []
    engine.start_generate("fake", Request((1,), 1 << 19), events.append)
    entered.wait()
    closing = threading.Thread(target=engine.close)
    closing.start()
    while not engine._closed:
        entered.wait()
    gate.set()
    closing.join()
    assert isinstance(events[-1].error, NotYet)
    with pytest.raises(NotYet, match="stopping"):
        engine.generate("fake", Request((1,), 1))


def test_past_a_bounded_queue_requests_are_refused(running, monkeypatch):
    monkeypatch.setattr(engine_module, "WAITING_MAX", 2)
    gate = threading.Event()
    entered = threading.Event()

    def before_step(rows):
        entered.set()
        gate.wait()

    engine = running(FakeModel(before_step=before_step), sequences_max=1)
    engine.start_generate("fake", Request((1,), 1), lambda event: None)
    entered.wait()
    for _ in range(2):
        engine.start_generate("fake", Request((1,), 1), lambda event: None)
    with pytest.raises(NotYet, match="wait for the engine already"):
        engine.start_generate("fake", Request((1,), 1), lambda event: None)
    gate.set()


def test_sequences_that_could_fill_the_memory_run_one_after_another(running):
    model = FakeModel()
    engine = running(model, running_bytes_max=64 * 30)  # 64 bytes a position
    requests = [Request((3, number + 1), 20) for number in range(4)]
    assert together(engine, requests) == [alone(request) for request in requests]
    assert max(model.batches) == 1


def test_models_are_loaded_once_and_the_unused_are_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "MODELS_MAX", 2)
    models = {}

    def load(path, threads):
        assert path.name not in models, "loaded once"
        models[path.name] = FakeModel()
        return fake_loaded(path, models[path.name])

    engine = Engine(threads=1, load=load)
    for name in "abcd":
        (tmp_path / name).touch()
    for name in "aababcd":
        engine.generate(tmp_path / name, Request((1,) * 10, 2))
    assert models["a"].closed and models["b"].closed
    assert not models["c"].closed and not models["d"].closed
    engine.close()
    assert models["c"].closed and models["d"].closed


def test_scoring_agrees_with_an_honest_answer_and_not_with_another(running):
    model = FakeModel()
    engine = running(model)
    sampling = Sampling(temperature=1.0, seed=11)
    prompt = (1, 2, 3, 4, 5, 6, 7, 8, 9)
    completion = engine.generate("fake", Request(prompt, 20, sampling))
    tokens = prompt + completion.tokens
    assert engine.score("fake", tokens, len(prompt), sampling) == list(completion.tokens)
    lie = (*tokens[:-1], (tokens[-1] + 1) % 24)
    assert engine.score("fake", lie, len(prompt), sampling)[-1] != lie[-1]
    for start_at in (0, len(tokens)):
        with pytest.raises(Invalid, match="cannot start"):
            engine.score("fake", tokens, start_at)
    with pytest.raises(Invalid, match="context full"):
        engine.score("fake", (1,) * 65, 5)


@given(waiting=st.lists(st.integers(1, 100), min_size=1, max_size=12), rows_max=st.integers(1, 200))
def test_rows_are_shared_fairly(waiting, rows_max):
    rows = plan_rows(waiting, rows_max)
    assert all(1 <= row <= each for row, each in zip(rows, waiting, strict=True))
    assert sum(rows) <= max(rows_max, len(waiting))
    if sum(rows) < rows_max - len(waiting):
        assert rows == waiting, "no row is left unused"
    unfinished = [row for row, each in zip(rows, waiting, strict=True) if row < each]
    assert max(unfinished, default=0) - min(unfinished, default=0) <= 1
    assert max(rows) <= min(unfinished, default=max(rows)) + 1
