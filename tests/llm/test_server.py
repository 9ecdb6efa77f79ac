"""The engine behind its socket: all requests, streaming, many clients, clients that go, engines that go."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from llm.fake_model import FakeModel, alone, fake_loaded
from llm.small_models import write_llama

from puna.errors import Invalid, Missing, NotYet
from puna.llm import client as client_module
from puna.llm import engine as engine_module
from puna.llm import frames, server
from puna.llm.client import EngineClient, Lost, spawn_engine, stop_engine
from puna.llm.engine import Engine
from puna.llm.generate import Request
from puna.llm.models import read_info
from puna.llm.sampler import Sampling

DEMO = Path(__file__).parents[2] / "src" / "puna" / "models" / "puna-demo.gguf"


@contextmanager
def serving(address: Path, engine: Engine):
    """The engine served at `address` by a thread of this process."""
    ready = threading.Event()
    stopping = []

    async def main() -> None:
        stop = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), stop))
        await server.run(address, engine, ready.set, stop)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    ready.wait()
    client = EngineClient(address)
    try:
        yield client
    finally:
        client.close()
        loop, stop = stopping[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@pytest.fixture(scope="module")
def model_path(tmp_path_factory) -> Path:
    return write_llama(tmp_path_factory.mktemp("model") / "random.gguf")


@pytest.fixture(scope="module", params=["unix", "tcp"])
def client(request, tmp_path_factory, model_path):
    name = "engine.sock" if request.param == "unix" else "e" * 120  # no room for it in a Unix socket's address
    with serving(tmp_path_factory.mktemp("engine") / name, Engine(threads=1)) as client:
        yield client


def fake_engine(sequences_max: int = 16, **options) -> tuple[Engine, FakeModel]:
    model = FakeModel(context=1 << 16, **options)
    engine = Engine(threads=1, load=lambda path, threads: fake_loaded(path, model), sequences_max=sequences_max)
    return engine, model


def stream(client: EngineClient, *request):
    released = []
    completion = client.generate(*request, on_tokens=released.extend)
    return completion, released


def stream_all(client: EngineClient, path, requests: list[Request]):
    """The answers, and what was told of each."""
    released = [[] for _ in requests]
    return client.generate_all(path, requests, lambda place, told: released[place].extend(told)), released


def assert_told(completion, released) -> None:
    assert tuple(token for token, _ in released) == completion.tokens
    assert b"".join(piece for _, piece in released).decode(errors="replace") == completion.text


def noting(errors: list[NotYet], ask, *arguments) -> None:
    """Ask, and note the error that says to ask again."""
    try:
        ask(*arguments)
    except NotYet as error:
        errors.append(error)


def wanted(*tokens: int, limit: int = 10, temperature: float = 0.0) -> frames.Wanted:
    return frames.Wanted(list(tokens), limit, temperature, 0, 1.0, 0, [])


def test_what_a_model_is(client, model_path):
    info = client.open_model(model_path)
    assert info == read_info(model_path)
    assert (info.name, info.architecture, info.context, info.file_type) == ("random llama", "llama", 128, "Q8_0")
    assert (info.arithmetic, info.bos, info.eos, info.chat_template) == ("canonical-1", 1, 2, True)
    assert info.file_bytes == model_path.stat().st_size
    assert info.parameters > 2 * info.vocab * 64


def test_text_to_tokens_and_back(client, model_path):
    tokens = client.tokenize(model_path, "the llama 🦙<|end|>")
    assert tokens[0] == 1
    assert client.detokenize(model_path, tokens).replace("\u2581".encode(), b" ") == " the llama 🦙<|end|>".encode()
    assert client.tokenize(model_path, "<|end|>", bos=False, special=True) == [259]


def test_chats(client, model_path):
    messages = [{"role": "user", "content": "why <|end|>?"}]
    assert client.render_chat(model_path, messages).endswith("why <|end|>?<|end|>\n<|assistant|>\n")
    tokens = client.encode_chat(model_path, messages)
    assert [token for token in tokens if token in (1, 259, 260, 261)] == [1, 260, 259, 261]


def test_an_answer_is_streamed_and_the_same_as_without_a_server(client, model_path):
    engine = Engine(threads=1)
    tokens = client.tokenize(model_path, "the llama eats")
    for sampling in (Sampling(), Sampling(temperature=1.0, seed=1 << 63, top_p=0.9, top_k=40)):
        completion, released = stream(client, model_path, tokens, 30, sampling, ("zz",))
        assert completion == engine.generate(model_path, Request(tuple(tokens), 30, sampling, ("zz",)))
        assert_told(completion, released)
        assert client.generate(model_path, tokens, 30, sampling, ("zz",)) == completion
    engine.close()


def test_several_answers_at_once_are_those_that_each_gets_alone(client, model_path):
    engine = Engine(threads=1)
    llama, grass = (tuple(client.tokenize(model_path, text)) for text in ("the llama eats", "grass"))
    plain = Request(llama, 30)
    requests = [
        plain,
        Request(llama, 30, stop=(" llama",)),
        Request(grass, 12, Sampling(temperature=1.0, seed=1 << 63, top_p=0.9, top_k=40)),
        Request(llama, 1, Sampling(temperature=0.7, seed=5)),
        Request(llama, 40, Sampling(temperature=1.0, seed=5), ("zz", "a")),
        plain,
    ]
    completions, released = stream_all(client, model_path, requests)
    assert completions == [engine.generate(model_path, request) for request in requests]
    assert completions[0].finish == "length" and completions[1].finish == "stop"
    for completion, told in zip(completions, released, strict=True):
        assert_told(completion, told)
    assert client.generate_all(model_path, requests) == completions
    engine.close()


def test_none_at_once_is_no_answer(client, model_path):
    assert client.generate_all(model_path, []) == []


def test_what_can_never_be_answered_has_its_error_in_its_place_and_harms_no_other(client, model_path):
    one, other = Request((1, 300), 20), Request((1, 301), 20)
    requests = [
        one,
        Request((1, 300), 1000),
        Request((1, 999999), 1),
        Request((1,), 0),
        other,
        Request((1,), 1, stop=("",)),
    ]
    (first, full, unknown, nothing, last, unstoppable), released = stream_all(client, model_path, requests)
    assert [first, last] == [client.generate(model_path, each.tokens, each.limit) for each in (one, other)]
    assert all(isinstance(each, Invalid) for each in (full, unknown, nothing, unstoppable))
    assert full.what == "context full: 2 tokens of prompt and 1000 to generate exceed this model's 128."
    assert full.todo == "Ask for at most 126 tokens, or shorten the prompt."
    assert "tokens outside 0 to" in unknown.what and "limit of 0" in nothing.what and "stop texts" in unstoppable.what
    assert [bool(told) for told in released] == [True, False, False, False, True, False]


def test_a_sampling_that_no_answer_can_have_is_refused_in_its_place(tmp_path):
    engine, _ = fake_engine()
    with serving(tmp_path / "sock", engine) as client:
        connection = client_module.connect(client.address)
        connection.send(frames.frame(frames.GenerateAll("fake", [wanted(1, temperature=-1.0), wanted(2)])))
        while not isinstance(reply := connection.receive()[-1], frames.Value):
            assert reply.place == 1
        connection.close()
        refused, made = reply.value
        assert refused[:3] == ["Failure", "Invalid", "The temperature is -1.0."]
        assert made["text"] == alone(Request((2,), 10))[0].text


def test_a_model_that_cannot_be_had_is_told_once_and_not_in_each_place(client, tmp_path):
    with pytest.raises(Missing, match="There is no model file"):
        client.generate_all(tmp_path / "none.gguf", [Request((1,), 1)] * 3)
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"no model")
    with pytest.raises(Invalid):
        client.generate_all(junk, [Request((1,), 1)] * 3)
    with pytest.raises(Invalid, match="cannot read the request"):
        client.generate_all(junk, [Request((1,), "many")])


def test_an_answer_is_checked_in_one_pass(client, model_path):
    tokens = client.tokenize(model_path, "the llama eats")
    sampling = Sampling(temperature=1.0, seed=9)
    completion = client.generate(model_path, tokens, 20, sampling)
    assert client.score(model_path, [*tokens, *completion.tokens], len(tokens), sampling) == list(completion.tokens)


def test_errors_arrive_in_the_words_they_were_raised_with(client, model_path, tmp_path):
    with pytest.raises(Missing) as raised:
        client.open_model(tmp_path / "none.gguf")
    assert (
        "There is no model file at" in raised.value.what
        and raised.value.todo == "Check the path, or add the model first."
    )
    with pytest.raises(Invalid, match="context full: 3 tokens of prompt and 1000 to generate"):
        client.generate(model_path, [1, 2, 3], 1000)
    with pytest.raises(Invalid, match="limit of 0"):
        client.generate(model_path, [1], 0)
    with pytest.raises(Invalid, match="no token 999999"):
        client.detokenize(model_path, [999999])
    with pytest.raises(Invalid, match="cannot read the request"):
        client.generate(model_path, [1], "many")
    with pytest.raises(Invalid, match="more than 64 bits"):
        client.generate(model_path, [1 << 64], 1)
    with pytest.raises(Invalid, match="more than 64 bits"):
        client.generate_all(model_path, [Request((1,), 1), Request((-1 << 64,), 1)])
    assert client.tokenize(model_path, "a") == [1, 295], "the connection is good for more"


def test_a_bug_in_the_engine_stays_loud(tmp_path):
    def load(path, threads):
        raise ZeroDivisionError("oops")

    with serving(tmp_path / "sock", Engine(threads=1, load=load)) as client:
        with pytest.raises(RuntimeError, match="oops"):
            client.open_model("any")


def test_a_bug_among_several_answers_stays_loud(tmp_path):
    def before_step(rows):
        raise ZeroDivisionError("oops")

    engine, _ = fake_engine(before_step=before_step)
    with serving(tmp_path / "sock", engine) as client:
        with pytest.raises(RuntimeError, match="oops"):
            client.generate_all("fake", [Request((1, 2), 10), Request((2, 1), 10)])


def test_many_clients_at_once(tmp_path):
    engine, _ = fake_engine()
    requests = [Request((3, number + 1), 40, Sampling(temperature=1.0, seed=number)) for number in range(12)]
    with serving(tmp_path / "sock", engine) as client:
        answers = [None] * len(requests)

        def ask(number: int) -> None:
            request = requests[number]
            answers[number] = client.generate("fake", request.tokens, request.limit, request.sampling)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(requests))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [alone(request)[0] for request in requests]
        status = client.status()
        assert (status.requests, status.running, status.waiting, status.models) == (12, 0, 0, ["fake"])


def test_more_answers_at_once_than_are_computed_at_a_time(tmp_path):
    engine, model = fake_engine(sequences_max=3)
    requests = [Request((3, number + 1), 40, Sampling(temperature=1.0, seed=number)) for number in range(10)]
    with serving(tmp_path / "sock", engine) as client:
        assert stream_all(client, "fake", requests) == tuple(map(list, zip(*map(alone, requests), strict=True)))
        assert client.status().requests == 10 and max(model.batches) == 3


class Gone(Exception):
    pass


def leave_one_by_raising(client: EngineClient, prompts) -> None:
    def leave(tokens):
        raise Gone

    (prompt,) = prompts
    with pytest.raises(Gone):
        client.generate("fake", prompt, 60_000, on_tokens=leave)


def leave_by_raising(client: EngineClient, prompts) -> None:
    def leave(place, tokens):
        raise Gone

    with pytest.raises(Gone):
        client.generate_all("fake", [Request(prompt, 60_000) for prompt in prompts], leave)


def leave_by_hanging_up(client: EngineClient, prompts) -> None:
    connection = client_module.connect(client.address)
    connection.send(frames.frame(frames.GenerateAll("fake", [wanted(*prompt, limit=60_000) for prompt in prompts])))
    assert isinstance(connection.receive()[0], frames.Tokens)
    connection.close()


@pytest.mark.parametrize(
    "leave, prompts",
    [
        (leave_one_by_raising, [(1, 2)]),
        (leave_by_raising, [(1, 2), (2, 3), (3, 4)]),
        (leave_by_hanging_up, [(1, 2), (2, 3), (3, 4)]),
    ],
)
def test_when_a_client_goes_none_of_its_answers_is_computed_further(tmp_path, monkeypatch, leave, prompts):
    cancelled = threading.Semaphore(0)
    all_cancelled = []
    cancel = engine_module.Job.cancel

    def before_step(rows):
        # The first step tells a token. The second one lasts until the server has seen that nobody listens.
        if model.batches and not all_cancelled:
            all_cancelled.append(all(cancelled.acquire(timeout=20) for _ in prompts))

    engine, model = fake_engine(endless=True, before_step=before_step)
    monkeypatch.setattr(engine_module.Job, "cancel", lambda job: (cancel(job), cancelled.release()))
    with serving(tmp_path / "sock", engine) as client:
        leave(client, prompts)
        client.generate("fake", [2, 1], 1)
        assert all_cancelled == [True]
        assert model.batches[-1] == 1 and model.rows <= 3 * len(prompts) + 2


def test_where_too_many_wait_none_of_several_is_computed(tmp_path, monkeypatch):
    gate, entered = threading.Event(), threading.Event()

    def before_step(rows):
        entered.set()
        gate.wait()

    engine, model = fake_engine(before_step=before_step, endless=True)
    with serving(tmp_path / "sock", engine) as client:
        asking = threading.Thread(target=client.generate, args=("fake", [1, 2], 1))
        asking.start()
        entered.wait()
        try:
            with monkeypatch.context() as patched, pytest.raises(NotYet, match="2 requests wait for the engine"):
                patched.setattr(engine_module, "WAITING_MAX", 2)
                client.generate_all("fake", [Request((number,), 60_000) for number in (1, 2, 3)])
        finally:
            gate.set()
        asking.join()
        client.generate("fake", [2, 1], 1)
        assert model.rows == 4, "two prompts, and nothing of what was given up"


def test_an_engine_that_stops_ends_several_answers_with_ask_again(tmp_path):
    gate, entered = threading.Event(), threading.Event()

    def before_step(rows):
        entered.set()
        gate.wait()

    engine, _ = fake_engine(before_step=before_step, endless=True)
    requests = [Request((number,), 60_000) for number in (1, 2, 3)]
    errors = []

    with serving(tmp_path / "sock", engine) as client:
        asking = threading.Thread(target=noting, args=(errors, client.generate_all, "fake", requests))
        asking.start()
        entered.wait()
        stopping = threading.Thread(target=engine.close)
        stopping.start()
        gate.set()
        stopping.join()
        asking.join()
        with pytest.raises(NotYet, match="The engine is stopping"):
            client.generate_all("fake", requests)
    assert [error.what for error in errors] in (["The engine stopped."], ["The engine is stopping."])


def test_without_an_engine_ask_again(tmp_path):
    client = EngineClient(tmp_path / "nobody.sock")
    with pytest.raises(Lost, match="engine is not there") as raised:
        client.status()
    assert isinstance(raised.value, NotYet)


def test_an_engine_that_was_started_anew_is_found_again(tmp_path):
    engine, _ = fake_engine()
    address = tmp_path / "sock"
    with serving(address, engine) as first:
        client = EngineClient(address)
        assert client.status().requests == 0
        first.status()
    with pytest.raises(Lost):
        client.status()
    with serving(address, fake_engine()[0]):
        assert client.status().requests == 0
    client.close()


def test_an_engine_that_ends_while_it_answers_says_ask_again(tmp_path):
    gate, entered = threading.Event(), threading.Event()

    def before_step(rows):
        entered.set()
        gate.wait()

    engine, _ = fake_engine(before_step=before_step)
    errors = []

    with serving(tmp_path / "sock", engine) as client:
        asking = threading.Thread(target=noting, args=(errors, client.generate, "fake", [1, 2], 10))
        asking.start()
        entered.wait()
        # The server closes its connections first, and waits for the engine's step after that.
        releasing = threading.Thread(target=lambda: (asking.join(), gate.set()))
        releasing.start()
    releasing.join()
    assert len(errors) == 1


def test_only_who_knows_the_secret_is_served_over_tcp(tmp_path):
    engine, _ = fake_engine()
    address = tmp_path / ("e" * 120)
    with serving(address, engine) as client:
        assert client.status().requests == 0
        assert address.stat().st_mode & 0o077 == 0
        port, _ = address.read_text().split()
        stranger = tmp_path / ("f" * 120)
        stranger.write_text(f"{port} {'00' * frames.SECRET_BYTES}\n")
        with pytest.raises(Lost):
            EngineClient(stranger).status()


def test_a_unix_socket_is_for_its_owner_only(tmp_path):
    engine, _ = fake_engine()
    with serving(tmp_path / "sock", engine):
        assert (tmp_path / "sock").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "sock").exists()


def test_the_engine_as_a_process(tmp_path, model_path):
    process = spawn_engine(tmp_path / "sock", threads=1, cache_mib=8)
    client = EngineClient(tmp_path / "sock")
    tokens = client.tokenize(model_path, "the llama")
    engine = Engine(threads=1)
    assert client.generate(model_path, tokens, 12) == engine.generate(model_path, Request(tuple(tokens), 12))
    engine.close()
    assert client.status().threads == 1
    stop_engine(process)
    assert process.returncode == 0
    assert not (tmp_path / "sock").exists()
    with pytest.raises(Lost):
        client.status()


def test_the_demo_model_answers_and_its_answer_is_audited(tmp_path):
    process = spawn_engine(tmp_path / "sock")
    client = EngineClient(tmp_path / "sock")
    info = client.open_model(DEMO)
    tokens = client.encode_chat(DEMO, [{"role": "user", "content": "Who are you?"}])
    completion, released = stream(client, DEMO, tokens, 64)
    assert completion.finish == "stop"
    assert completion.text.isprintable() and len(completion.text) > 5
    assert b"".join(piece for _, piece in released).decode() == completion.text
    audited = [*tokens, *completion.tokens, info.eos]
    assert client.score(DEMO, audited, len(tokens)) == [*completion.tokens, info.eos]
    stop_engine(process)


def test_the_demo_model_says_together_what_it_says_alone(tmp_path):
    process = spawn_engine(tmp_path / "sock")
    client = EngineClient(tmp_path / "sock")
    questions = ("Who are you?", "Tell me a joke.", "What is the capital of France?", "What is AO?")
    chats = [tuple(client.encode_chat(DEMO, [{"role": "user", "content": each}])) for each in questions]
    requests = [
        *(Request(chat, 48) for chat in chats),
        *(Request(chat, 48, Sampling(temperature=0.9, seed=seed, top_p=0.95)) for seed, chat in enumerate(chats)),
        *(Request(chat, 48, stop=(".", " the")) for chat in chats),
    ]
    completions, released = stream_all(client, DEMO, requests)
    for request, completion, told in zip(requests, completions, released, strict=True):
        assert completion == client.generate(DEMO, request.tokens, request.limit, request.sampling, request.stop)
        assert_told(completion, told)
    assert "Paris" in completions[2].text
    assert all("." not in completion.text for completion in completions[-len(chats) :])
    stop_engine(process)


def test_the_engine_ends_with_its_parent(tmp_path):
    program = f"""
import os, sys
from puna.llm.client import spawn_engine
print(spawn_engine({str(tmp_path / "sock")!r}, threads=1).pid, flush=True)
sys.stdin.read()
os.kill(os.getpid(), 9)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=client_module.environment(),
        text=True,
    )
    pid = int(parent.stdout.readline())
    client = EngineClient(tmp_path / "sock")
    assert client.status().requests == 0
    parent.communicate("")
    psutil = pytest.importorskip("psutil")
    if psutil.pid_exists(pid):
        psutil.wait_procs([psutil.Process(pid)], timeout=30)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_an_engine_that_cannot_start_says_so(tmp_path, capfd):
    with pytest.raises(NotYet, match="did not start"):
        spawn_engine(tmp_path / "no folder" / "sock")
    assert "Error" in capfd.readouterr().err
    assert os.listdir(tmp_path) == []


def test_replies_are_taken_whole_however_they_arrive():
    mine, its = socket.socketpair()
    connection = client_module.Connection(mine)
    sent = [frames.Tokens([7], [b"ab"]), frames.Tokens([8, 9], [b"", b"c"]), frames.Value([1, 2])]
    first, second, last = map(frames.frame, sent)
    its.sendall(first + second + last[:3])
    assert connection.receive() == sent[:2]
    its.sendall(last[3:5])
    threading.Timer(0.05, its.sendall, [last[5:]]).start()
    assert connection.receive() == sent[2:]
    its.close()
    with pytest.raises(Lost):
        connection.receive()
    connection.close()


def test_a_client_that_asks_before_it_was_answered_is_taken_for_gone(tmp_path):
    engine, _ = fake_engine(endless=True)
    with serving(tmp_path / "sock", engine) as client:
        hasty = client_module.connect(client.address)
        hasty.send(frames.frame(frames.Generate("fake", wanted(1, 2, limit=60_000))))
        assert hasty.receive()
        hasty.send(frames.frame(frames.Status()))
        with pytest.raises((Lost, OSError)):
            while hasty.receive():
                pass
        hasty.close()
        assert client.status().requests == 1


def test_a_model_that_takes_long_keeps_others_waiting_a_single_time(tmp_path, monkeypatch):
    engine, _ = fake_engine()
    answered_on = []

    def tokenize(engine, ask):
        answered_on.append(threading.current_thread())
        began_s = time.thread_time()
        while ask.text == "long" and time.thread_time() - began_s < 2 * server.AT_ONCE_S:
            pass
        return [1]

    monkeypatch.setitem(server.ANSWERS, frames.Tokenize, tokenize)
    with serving(tmp_path / "sock", engine) as client:
        client.generate("fake", [1, 2], 1)  # opens it
        for text in ("short", "long", "short"):
            assert client.tokenize("fake", text) == [1]
    first, second, third = answered_on
    assert first == second != third
