"""The `Llama` extension, over an engine of a few lines: what is asked, what it costs, what watchers are told."""

import json
from collections import namedtuple
from pathlib import Path

import pytest
from vm.bench import Bench, program

from puna.errors import Invalid, NotYet
from puna.llm.client import EngineClient, spawn_engine, stop_engine
from puna.models import DEMO_MODEL
from puna.vm.extensions import Host
from puna.vm.extensions.llama import GAS_PROMPT_TOKEN, GAS_TOKEN, TOGETHER_MAX

MODEL = "M" * 43
PATH = Path("/weave/payloads/model")
Info = namedtuple("Info", "name context vocab arithmetic eos chat_template")
Completion = namedtuple("Completion", "tokens text finish")
# The bytes of tokens 0..3; 1 and 2 are the halves of one character.
PIECES = [b" llama", b"\xc3", b"\xa9", b"!"]


class Engine:
    """Answers every prompt with tokens 0, 1, 2, 3, 0, 1, ...; of several, the last comes first if `backwards`."""

    def __init__(self, backwards: bool = False):
        self.asked, self.described, self.told, self.backwards = [], 0, 0, backwards

    def open_model(self, path):
        self.described += 1
        return Info("tiny", 64, 4, "canonical-1", 3, True)

    def tokenize(self, path, text, bos, special):
        return [bos, special, *text.encode()]

    def encode_chat(self, path, messages):
        return [len(each["role"]) for each in messages]

    def generate(self, path, tokens, limit, sampling, stop, on_tokens):
        self.asked.append((path, tokens, limit, sampling.temperature, sampling.seed, stop))
        if len(tokens) > 60:
            raise Invalid(f"context full: {len(tokens)} of 64 positions in {path}.")
        made = [number % 4 for number in range(limit)]
        for start in range(0, len(made), 2):  # some come together, as they do from a fast engine
            self.told += len(made[start : start + 2])
            on_tokens([(token, PIECES[token]) for token in made[start : start + 2]])
        return Completion(made, b"".join(PIECES[token] for token in made).decode("utf-8", "replace"), "length")

    def generate_all(self, path, requests, on_tokens):
        told, made = [], []
        for place, each in enumerate(requests):
            try:
                fields = (each.tokens, each.limit, each.sampling, each.stop)
                made.append(self.generate(path, *fields, lambda tokens, place=place: told.append((place, tokens))))
            except Invalid as refusal:
                made.append(refusal)
        self.told = 0
        for place, tokens in reversed(told) if self.backwards else told:
            self.told += len(tokens)
            on_tokens(place, tokens)
        return made


class Llama:
    """A process with the extension, its engine and its watchers."""

    def __init__(self, gas: int = 2_000_000_000, engine=None, path: Path = PATH):
        self.engine, self.events = engine or Engine(), []
        host = Host("process", {MODEL: path}.get, lambda: self.engine, self.events.extend)
        self.host = host
        self.bench = Bench(program(extensions=["Llama"], gas=gas), host)

    def ask(self, **request):
        answer = self.bench.output(f"local a, e = {call(**request)} return a or 'ERROR ' .. e")
        return answer if answer.startswith("ERROR") else json.loads(answer)


def call(**request) -> str:
    """What a program writes to ask."""
    return f"_host('Llama', [==[{json.dumps({'model': MODEL, **request})}]==])"


@pytest.fixture
def llama():
    return Llama()


def test_info_tokenize_and_chat(llama):
    info = {"name": "tiny", "context": 64, "vocab": 4, "arithmetic": "canonical-1", "eos": 3, "template": True}
    assert llama.ask(op="info") == info
    assert llama.ask(op="tokenize", text="a", bos=False, special=True) == {"tokens": [0, 1, 97]}
    assert llama.ask(op="tokenize", text="a") == {"tokens": [1, 0, 97]}
    chat = [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]
    assert llama.ask(op="chat", messages=chat) == {"tokens": [6, 4]}


def test_generate_answers_and_tells_watchers_tokens_as_they_come_in_whole_characters(llama):
    answer = llama.ask(op="generate", tokens=[1, 2], limit=4, temperature=0.5, seed=7, stop=["x"])
    assert answer == {"tokens": [0, 1, 2, 3], "text": " llamaé!", "finish": "length"}
    assert llama.engine.asked == [(str(PATH), (1, 2), 4, 0.5, 7, ("x",))]
    assert [event["text"] for event in llama.events] == [" llama", "é!"]
    assert llama.events[1] == {
        **{"process": "process", "message": "message", "extension": "Llama", "event": "token"},
        **{"index": 2, "tokens": 2, "text": "é!"},
    }


def test_nobody_watches_a_preview(llama):
    one = {"tokens": [1], "limit": 2}
    for request in ({"op": "generate", **one}, {"op": "generate_all", "wanted": [one, one]}):
        assert llama.bench.preview(f"return {call(**request)}").error is None
    assert len(llama.engine.asked) == 3 and llama.events == []


def test_a_token_costs_the_same_everywhere(llama):
    def gas(tokens, limit):
        request = call(op="generate", tokens=[1] * tokens, limit=limit)
        return llama.bench.preview(f"{request} return 1").gas_used

    assert gas(10, 10) - gas(10, 0) == pytest.approx(10 * GAS_TOKEN, abs=200_000)
    assert gas(20, 0) - gas(10, 0) == pytest.approx(10 * GAS_PROMPT_TOKEN, abs=200_000)


def test_an_answer_that_cannot_be_paid_for_ends_in_out_of_gas_and_not_before():
    llama = Llama(gas=5 * GAS_TOKEN)
    request = call(op="generate", tokens=[1], limit=1000)
    assert llama.bench.error(f"return {request}").startswith("out of gas")
    assert llama.engine.asked[0][2] == 5  # and nobody computed a thousand tokens for it
    assert Llama(gas=5 * GAS_TOKEN).ask(op="generate", tokens=[1], limit=4)["tokens"] == [0, 1, 2, 3]


WANTED = [
    {"tokens": [1, 2], "limit": 4, "temperature": 0.5, "seed": 7, "stop": ["x"]},
    {"tokens": [3], "limit": 1},
    {"tokens": [2], "limit": 7, "top_p": 0.5, "top_k": 9},
]


def test_several_answers_are_those_that_each_gets_alone(llama):
    alone = [llama.ask(op="generate", **each) for each in WANTED]
    asked, llama.engine.asked = llama.engine.asked, []
    assert llama.ask(op="generate_all", wanted=WANTED) == {"answers": alone}
    assert llama.engine.asked == asked
    assert llama.ask(op="generate_all", wanted=[]) == {"answers": []}


@pytest.mark.parametrize("backwards", [False, True])
def test_watchers_hear_of_which_answer_a_token_is(backwards):
    llama = Llama(engine=Engine(backwards))
    llama.ask(op="generate_all", wanted=[{"tokens": [1], "limit": 1}, {"tokens": [2], "limit": 1}])
    told = {"process": "process", "message": "message", "extension": "Llama", "event": "token"}
    told |= {"index": 0, "tokens": 1, "text": " llama"}
    assert llama.events == [told | {"place": place} for place in ([1, 0] if backwards else [0, 1])]


def test_of_several_answers_each_is_told_in_whole_characters(llama):
    answers = llama.ask(op="generate_all", wanted=WANTED)["answers"]
    for place, answer in enumerate(answers):
        told = [event for event in llama.events if event["place"] == place]
        assert [event["index"] for event in told] == list(range(0, WANTED[place]["limit"], 2))
        assert sum(event["tokens"] for event in told) == len(answer["tokens"])
        assert answer["text"].removesuffix("\ufffd") == "".join(event["text"] for event in told)


def test_what_is_refused_among_several_has_its_text_in_its_place_and_harms_no_other(llama):
    bad = [
        {"tokens": [1], "limit": 1, "temperature": -1},
        {"tokens": [1] * 61, "limit": 1},
        {"tokens": [1], "limit": 1, "top_p": 2},
        {"tokens": [1], "limit": -1},
        {"tokens": [1], "limit": 1, "seed": 1 << 64},
    ]
    alone = [llama.ask(op="generate", **each) for each in bad]
    good = [llama.ask(op="generate", **each) for each in WANTED]
    llama.events.clear()
    mixed = [bad[0], WANTED[0], bad[1], bad[2], WANTED[1], WANTED[2], bad[3], bad[4]]
    answers = llama.ask(op="generate_all", wanted=mixed)["answers"]
    assert [answer for answer in answers if "error" not in answer] == good
    assert [f"ERROR {answer['error']}" for answer in answers if "error" in answer] == alone
    assert answers[2] == {"error": f"context full: 61 of 64 positions in model {MODEL}."}
    assert {event["place"] for event in llama.events} == {1, 4, 5}
    assert all("error" in each for each in llama.ask(op="generate_all", wanted=bad)["answers"])


def test_several_answers_cost_what_they_cost_alone(llama):
    def gas(*wanted):
        request = call(op="generate_all", wanted=[{"tokens": [1] * tokens, "limit": limit} for tokens, limit in wanted])
        return llama.bench.preview(f"{request} return 1").gas_used

    assert gas((10, 10), (1, 6)) - gas((10, 0), (1, 0)) == pytest.approx(16 * GAS_TOKEN, abs=200_000)
    assert gas((20, 0), (6, 0)) - gas((10, 0), (1, 0)) == pytest.approx(15 * GAS_PROMPT_TOKEN, abs=200_000)


@pytest.mark.parametrize("backwards", [False, True])
def test_several_answers_that_cannot_be_paid_for_end_in_out_of_gas_in_whatever_order_they_come(backwards):
    llama = Llama(gas=10 * GAS_TOKEN, engine=Engine(backwards))
    before = llama.bench.root
    runs = [llama.bench.run(f"N = 1 return {call(op='generate_all', wanted=WANTED)}") for _ in range(2)]
    assert runs[0] == runs[1] and runs[0].gas_used == 10 * GAS_TOKEN
    assert runs[0].error.startswith("out of gas") and llama.bench.root == before
    assert llama.engine.told <= 10 + 2, "what cannot be paid for is not waited for"


def test_several_answers_are_given_for_just_enough_gas_and_not_for_less():
    program = f"return {call(op='generate_all', wanted=WANTED)}"
    needed = Llama().bench.run(program).gas_used
    assert Llama(gas=needed).bench.run(program).gas_used == needed
    assert Llama(gas=needed).bench.run(program).error is None
    assert Llama(gas=needed - GAS_TOKEN).bench.error(program).startswith("out of gas")


def test_too_many_answers_at_once_are_refused_before_any_is_asked_for(llama):
    one = {"tokens": [1], "limit": 1}
    refused = llama.ask(op="generate_all", wanted=[one] * (TOGETHER_MAX + 1))
    assert refused == f"ERROR {TOGETHER_MAX + 1} answers at once are more than {TOGETHER_MAX}"
    assert llama.engine.asked == []
    assert len(llama.ask(op="generate_all", wanted=[one] * TOGETHER_MAX)["answers"]) == TOGETHER_MAX


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"op": "sing"}, "request not understood"),
        ({"op": "generate", "tokens": ["a"], "limit": 1}, "request not understood"),
        ({"op": "generate", "tokens": [1], "limit": -1}, "limit -1 is not between"),
        ({"op": "generate", "tokens": [1], "limit": 1, "temperature": -1}, "temperature"),
        ({"op": "generate", "tokens": [1], "limit": 1, "colour": 1}, "request not understood"),
        ({"op": "generate_all"}, "request not understood"),
        ({"op": "generate_all", "wanted": {}}, "request not understood"),
        ({"op": "generate_all", "wanted": [], "colour": 1}, "request not understood"),
        ({"op": "generate_all", "wanted": [{"tokens": [1], "limit": 1, "colour": 1}]}, "unknown field `colour`"),
        ({"op": "generate_all", "wanted": [{"tokens": [1], "limit": 1}, {"limit": 1}]}, "`$.wanted[1]`"),
        ({"op": "generate_all", "wanted": [{"tokens": ["a"], "limit": 1}]}, "`$.wanted[0].tokens[0]`"),
        ({"op": "generate_all", "model": "x" * 43, "wanted": []}, f"model {'x' * 43} is not on this node"),
        ({"op": "info", "model": "x" * 43}, f"model {'x' * 43} is not on this node"),
        ({"op": "info", "model": "../../etc/passwd"}, "model ../../etc/passwd is not on this node"),
    ],
)
def test_a_bad_request_is_refused_with_a_text(llama, request_, text):
    assert text in llama.ask(**request_)


def test_what_a_process_reads_does_not_tell_where_a_node_keeps_its_files(llama):
    answer = llama.ask(op="generate", tokens=[1] * 61, limit=1)
    assert answer == f"ERROR context full: 61 of 64 positions in model {MODEL}."


def test_an_engine_that_is_away_ends_the_evaluation_without_a_result(llama):
    def away():
        raise NotYet("the engine is away")

    llama.bench.run("N = 1")
    before = llama.bench.root
    llama.host.engine = away
    for request in ({"op": "info"}, {"op": "generate_all", "wanted": WANTED}):
        with pytest.raises(NotYet, match="away"):
            llama.ask(**request)
    assert llama.bench.root == before


def test_an_engine_that_goes_while_it_makes_several_answers_ends_the_evaluation_without_a_result(llama):
    def generate_all(path, requests, on_tokens):
        on_tokens(1, [(0, PIECES[0])])
        raise NotYet("the engine went away")

    before = llama.bench.root
    llama.engine.generate_all = generate_all
    with pytest.raises(NotYet, match="went away"):
        llama.ask(op="generate_all", wanted=WANTED)
    assert llama.bench.root == before


def test_the_engine_describes_a_model_to_a_process_once(llama):
    assert llama.ask(op="info") == llama.ask(op="info")
    assert llama.engine.described == 1


def test_the_demo_model_makes_several_answers_for_a_process(tmp_path):
    serving = spawn_engine(tmp_path / "sock")
    engine = EngineClient(tmp_path / "sock")
    llama = Llama(engine=engine, path=DEMO_MODEL, gas=20_000_000_000)
    chats = [
        llama.ask(op="chat", messages=[{"role": "user", "content": question}])["tokens"]
        for question in ("Who are you?", "Tell me a joke.")
    ]
    wanted = [
        *({"tokens": chat, "limit": 32} for chat in chats),
        *({"tokens": chat, "limit": 32, "temperature": 0.9, "seed": 7, "stop": ["."]} for chat in chats),
        {"tokens": chats[0], "limit": 1020},
        {"tokens": [1 << 16], "limit": 1},
    ]
    alone = [llama.ask(op="generate", **each) for each in wanted]
    llama.events.clear()
    *made, full, unknown = llama.ask(op="generate_all", wanted=wanted)["answers"]
    assert made == alone[:4] and made[0]["finish"] == "stop"
    assert [f"ERROR {each['error']}" for each in (full, unknown)] == alone[4:]
    assert full["error"].startswith("context full") and "tokens outside" in unknown["error"]
    for place, answer in enumerate(made):
        assert "".join(event["text"] for event in llama.events if event["place"] == place) == answer["text"]
    stop_engine(serving)
