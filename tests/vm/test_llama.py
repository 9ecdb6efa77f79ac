"""The `Llama` extension, over an engine of three lines: what is asked, what it costs, what watchers are told."""

import json
from collections import namedtuple
from pathlib import Path

import pytest
from vm.bench import Bench, program

from puna.errors import Invalid, NotYet
from puna.vm.extensions import Host
from puna.vm.extensions.llama import GAS_PROMPT_TOKEN, GAS_TOKEN

MODEL = "M" * 43
PATH = Path("/weave/payloads/model")
Info = namedtuple("Info", "name context vocab arithmetic eos chat_template")
Completion = namedtuple("Completion", "tokens text finish")
# The bytes of tokens 0..3; 1 and 2 are the halves of one character.
PIECES = [b" llama", b"\xc3", b"\xa9", b"!"]


class Engine:
    """Answers every prompt with tokens 0, 1, 2, 3, 0, 1, ..."""

    def __init__(self):
        self.asked, self.described = [], 0

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
            on_tokens([(token, PIECES[token]) for token in made[start : start + 2]])
        return Completion(made, b"".join(PIECES[token] for token in made).decode("utf-8", "replace"), "length")


class Llama:
    """A process with the extension, its engine and its watchers."""

    def __init__(self, gas: int = 2_000_000_000):
        self.engine, self.events = Engine(), []
        host = Host("process", {MODEL: PATH}.get, lambda: self.engine, self.events.extend)
        self.host = host
        self.bench = Bench(program(extensions=["Llama"], gas=gas), host)

    def ask(self, **request):
        text = json.dumps({"model": MODEL, **request})
        answer = self.bench.output(f"local a, e = _host('Llama', [==[{text}]==]) return a or 'ERROR ' .. e")
        return answer if answer.startswith("ERROR") else json.loads(answer)


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
    assert llama.engine.asked == [(str(PATH), [1, 2], 4, 0.5, 7, ["x"])]
    assert [event["text"] for event in llama.events] == [" llama", "é!"]
    assert llama.events[1] == {
        **{"process": "process", "message": "message", "extension": "Llama", "event": "token"},
        **{"index": 2, "tokens": 2, "text": "é!"},
    }


def test_nobody_watches_a_preview(llama):
    request = json.dumps({"op": "generate", "model": MODEL, "tokens": [1], "limit": 2})
    assert llama.bench.preview(f"return _host('Llama', '{request}')").error is None
    assert llama.events == []


def test_a_token_costs_the_same_everywhere(llama):
    def gas(tokens, limit):
        request = json.dumps({"op": "generate", "model": MODEL, "tokens": [1] * tokens, "limit": limit})
        return llama.bench.preview(f"_host('Llama', '{request}') return 1").gas_used

    assert gas(10, 10) - gas(10, 0) == pytest.approx(10 * GAS_TOKEN, abs=200_000)
    assert gas(20, 0) - gas(10, 0) == pytest.approx(10 * GAS_PROMPT_TOKEN, abs=200_000)


def test_an_answer_that_cannot_be_paid_for_ends_in_out_of_gas_and_not_before():
    llama = Llama(gas=5 * GAS_TOKEN)
    request = json.dumps({"op": "generate", "model": MODEL, "tokens": [1], "limit": 1000})
    assert llama.bench.error(f"return _host('Llama', '{request}')").startswith("out of gas")
    assert llama.engine.asked[0][2] == 5  # and nobody computed a thousand tokens for it
    assert Llama(gas=5 * GAS_TOKEN).ask(op="generate", tokens=[1], limit=4)["tokens"] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"op": "sing"}, "request not understood"),
        ({"op": "generate", "tokens": ["a"], "limit": 1}, "request not understood"),
        ({"op": "generate", "tokens": [1], "limit": -1}, "limit -1 is not between"),
        ({"op": "generate", "tokens": [1], "limit": 1, "temperature": -1}, "temperature"),
        ({"op": "generate", "tokens": [1], "limit": 1, "colour": 1}, "request not understood"),
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
    with pytest.raises(NotYet, match="away"):
        llama.ask(op="info")
    assert llama.bench.root == before


def test_the_engine_describes_a_model_to_a_process_once(llama):
    assert llama.ask(op="info") == llama.ask(op="info")
    assert llama.engine.described == 1
