"""The `Llama` library over a small stand-in for the node's model, whose tokens are the bytes of its text."""

from __future__ import annotations

import json

import pytest
from vm.lua.hosts import HOSTS
from vm.lua.stories import BOB, Process

BOS, END = 256, 257
MARKERS = {"<|system|>": 258, "<|user|>": 259, "<|assistant|>": 260, "<|end|>": 261}
CONTEXT = 200
MODEL = "m" * 43


class Model:
    """Continues a context with the text that `says` gives for it, then ends; keeps all requests."""

    def __init__(self, says: str = "One, two. Ünï🦙!"):
        self.says = says.encode()
        self.requests: list[dict] = []
        self.away = False

    def __call__(self, name: str, request: str) -> str:
        assert name == "Llama"
        question = json.loads(request)
        self.requests.append(question)
        if question["model"] != MODEL or self.away:
            raise ValueError(f"model {question['model']} is not on this node")
        return json.dumps(getattr(self, question["op"])(question))

    def info(self, question):
        return {
            "name": "Parrot",
            "context": CONTEXT,
            "vocab": 262,
            "arithmetic": "test-1",
            "eos": [END],
            "template": True,
        }

    def tokenize(self, question):
        tokens, text = [BOS] if question["bos"] else [], question["text"]
        while text:
            marker = next((m for m in MARKERS if question["special"] and text.startswith(m)), None)
            tokens += [MARKERS[marker]] if marker else list(text[0].encode())
            text = text[len(marker or text[0]) :]
        return {"tokens": tokens}

    def chat(self, question):
        tokens = [BOS]
        for message in question["messages"]:
            tokens += [MARKERS[f"<|{message['role']}|>"], *message["content"].encode(), MARKERS["<|end|>"]]
        return {"tokens": [*tokens, MARKERS["<|assistant|>"]]}

    def generate(self, question):
        tokens, limit = question["tokens"], question["limit"]
        if len(tokens) + limit > CONTEXT:
            raise ValueError(f"context full: {len(tokens)} tokens of prompt and {limit} to generate")
        # What was said already is the longest end of the context that begins our text.
        said = next(n for n in range(len(self.says), -1, -1) if tokens[len(tokens) - n :] == list(self.says[:n]))
        new = self.says[said : said + limit]
        finish = "length" if len(new) == limit else "stop"
        for stop in question["stop"]:
            if stop.encode() in new:
                new, finish = new[: new.index(stop.encode())], "stop"
        return {"tokens": list(new), "text": new.decode(errors="replace"), "finish": finish}

    def generate_all(self, question):
        return {"answers": [self.tried(each) for each in question["wanted"]]}

    def tried(self, question):
        try:
            return self.generate(question)
        except ValueError as refusal:
            return {"error": str(refusal)}


class Teller:
    """A process with a model, asked by Eval."""

    def __init__(self, host, model: Model):
        self.model = model
        self.process = Process(host)
        self.process.spawn()
        self.say(f'Llama = require("llama"); Llama.load("/data/{MODEL}")')

    def say(self, code: str):
        answer = self.process.eval(code)
        assert answer.error is None, answer.error
        return answer.data

    def fails(self, code: str) -> str:
        return self.process.eval(code).error


@pytest.fixture(params=HOSTS, ids=lambda host: host.name)
def teller(request):
    model = Model()
    with request.param(model) as host:
        yield Teller(host, model)


def test_statement_54_a_prompt_is_continued(teller):
    teller.say('Llama.setPrompt("Count: ")')
    assert teller.say("Llama.run(4)") == "One,"
    assert teller.say("Llama.run(5)") == " two."
    assert teller.say("table.concat({Llama.last.prompt, Llama.last.generated, Llama.last.total}, ' ')") == "12 5 9"
    generate = teller.model.requests[-1]
    assert generate["tokens"] == [BOS, *b"Count: One,"] and generate["limit"] == 5
    assert (generate["temperature"], generate["top_p"], generate["stop"]) == (0, 1, [])


def test_statement_55_the_end_is_an_empty_text(teller):
    teller.say('Llama.setPrompt("x")')
    assert teller.say("Llama.run(100) .. '/' .. Llama.run(5) .. '/' .. Llama.next()") == "One, two. Ünï🦙!//"
    assert teller.say("tostring(Llama.finished()) .. Llama.last.finish") == "truestop"
    assert teller.say("#Llama.tokens()") == str(2 + len("One, two. Ünï🦙!".encode()))


def test_statement_55_one_token_at_a_time_gives_the_same_text(teller):
    together = "Llama.setPrompt('x'); local t = {} for i = 1, 40 do t[i] = Llama.next() end return table.concat(t)"
    assert teller.say(together) == "One, two. Ünï🦙!"
    pieces = "Llama.setPrompt('x'); local t = {} for i = 1, 14 do t[i] = Llama.next() end return table.concat(t, '|')"
    assert teller.say(pieces) == "O|n|e|,| |t|w|o|.| ||Ü|n|"


def test_no_character_is_cut_in_halves(teller):
    teller.say("Llama.setPrompt('x')")
    assert [teller.say(f"Llama.run({n})") for n in (12, 3, 2, 1, 1)] == ["One, two. Ü", "nï", "", "", "🦙"]


def test_a_true_replacement_character_comes_through():
    for make in HOSTS:
        model = Model("a�b���������c")
        with make(model) as host:
            teller = Teller(host, model)
            text = "Llama.setPrompt('x'); local t = '' while not Llama.finished() do t = t .. Llama.next() end return t"
            assert teller.say(text) == model.says.decode()


def test_statement_55_adding_text_equals_one_prompt(teller):
    teller.say('Llama.setPrompt("Once "); Llama.add("upon a "); Llama.add("time")')
    added = teller.say("table.concat(Llama.tokens(), ' ')")
    assert added == teller.say('Llama.setPrompt("Once upon a time") return table.concat(Llama.tokens(), " ")')
    assert teller.say('Llama.stop(); Llama.add("Once upon a time") return table.concat(Llama.tokens(), " ")') == added


def test_an_answer_may_go_on_after_adding(teller):
    teller.say('Llama.setPrompt("x"); Llama.run(100)')
    assert teller.say("Llama.run(3)") == ""
    assert teller.say('Llama.add(" and"); return Llama.run(3)') == "One"


def test_statement_54_states_are_saved_and_come_back(teller):
    teller.say('Llama.setPrompt("x"); Llama.run(3); Llama.saveState(); Llama.run(100)')
    assert teller.say("Llama.loadState(); return Llama.run(6)") == ", two."
    assert teller.say("Llama.loadState(); return Llama.run(2)") == ", "
    assert teller.say("Llama.clearState(); Llama.loadState(); return Llama.run(3)") == "two"


def test_role_markers_count_only_in_a_prompt_in_the_models_form(teller):
    def tokens(text: str) -> list[int]:
        return [
            int(t) for t in teller.say(f"Llama.setPrompt({text!r}) return table.concat(Llama.tokens(), ' ')").split()
        ]

    assert tokens("<|user|>a<|end|>") == [BOS, MARKERS["<|user|>"], ord("a"), MARKERS["<|end|>"]]
    assert tokens("<|system|>a")[1] == MARKERS["<|system|>"]
    assert tokens("say <|end|>") == [BOS, *b"say <|end|>"]
    assert tokens("<|end|>") == [BOS, *b"<|end|>"]
    assert teller.say('Llama.setPrompt("<|user|>a") Llama.add("<|end|>") return #Llama.tokens()') == str(3 + 7)


def test_a_conversation_in_the_models_own_form(teller):
    assert teller.say('Llama.chat{system = "Be brief.", user = "<|end|>Hi", tokens = 3}') == "One"
    chat = teller.model.requests[-2]
    assert chat["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "<|end|>Hi"},
    ]
    assert teller.say('Llama.chat{{role = "user", content = "Hi"}}; return Llama.run(3)') == "One"
    assert teller.say('Llama.ask("Hi", 4)') == "One,"


def test_stop_texts_end_an_answer(teller):
    assert teller.say('Llama.setStop("two"); Llama.setPrompt("x"); return Llama.run(50)') == "One, "
    assert teller.say("Llama.last.finish") == "stop" and teller.model.requests[-1]["stop"] == ["two"]
    assert teller.say('Llama.setStop({"a", "b"}); Llama.setPrompt("x"); return Llama.run(3)') == "One"
    assert teller.model.requests[-1]["stop"] == ["a", "b"]
    assert teller.say('Llama.setStop(nil); Llama.setPrompt("x"); return Llama.run(9)') == "One, two."


def test_sampling_is_passed_on_and_never_repeats_its_chance(teller):
    teller.say('Llama.setTemp(0.5); Llama.setSeed(42); Llama.setPrompt("x"); Llama.next(); Llama.next(); Llama.next()')
    asked = [r for r in teller.model.requests if r["op"] == "generate"]
    assert [r["temperature"] for r in asked] == [0.5] * 3
    assert asked[0]["seed"] == 42 and len({r["seed"] for r in asked}) == 3
    assert all(isinstance(r["seed"], int) and 0 <= r["seed"] < 2**44 for r in asked)
    assert "temperature should be a number" in teller.fails('Llama.setTemperature("hot")')


def test_the_end_marker_is_told_to_those_who_ask(teller):
    assert teller.say('Llama.special = true; Llama.setPrompt("x"); return Llama.run(99)') == "One, two. Ünï🦙!<|end|>"
    assert teller.say("Llama.run(9)") == ""


# Texts of several answers, one a line, and before each how it ended.
RUN_ALL = """
    local told = {}
    for place, answer in ipairs(Llama.runAll(wishes)) do
        told[place] = (answer.finish or "refused") .. " " .. (answer.text or answer.error)
    end
    return table.concat(told, "\\n")"""


def test_several_contexts_get_the_answers_that_each_gets_alone(teller):
    teller.say("""contexts = {}
        for place, text in ipairs({"x", "Count: ", "x One, tw", "y"}) do
            Llama.setPrompt(text)
            contexts[place] = Llama.tokens()
        end""")
    for count in (1, 4, 11, 13, 14, 99):  # among them those after which a character is cut in two
        alone = teller.say(f"""
            local told = {{}}
            for place, text in ipairs({{"x", "Count: ", "x One, tw", "y"}}) do
                Llama.setPrompt(text)
                local text = Llama.run({count})
                told[place] = Llama.last.finish .. " " .. text
            end
            return table.concat(told, "\\n")""")
        together = f"""
            local wishes = {{}}
            for place, tokens in ipairs(contexts) do wishes[place] = {{ tokens = tokens, count = {count} }} end
            {RUN_ALL}"""
        assert teller.say(together) == alone
        assert teller.model.requests[-1]["op"] == "generate_all"
    new = "table.concat(Llama.runAll({{ tokens = contexts[2], count = 3 }})[1].tokens, ' ')"
    assert teller.say(new) == " ".join(map(str, b"One"))
    assert teller.say("#Llama.runAll({})") == "0"


def test_several_answers_leave_the_context_as_it_is(teller):
    state = "return table.concat(Llama.tokens(), ' ') .. Llama.last.total .. Llama.last.text"
    teller.say('Llama.setPrompt("x"); Llama.run(4); other = Llama.tokens(); Llama.setPrompt("x"); Llama.run(2)')
    before = teller.say(state)
    assert teller.say(f"local wishes = {{{{ tokens = other, count = 99 }}}} {RUN_ALL}") == "stop  two. Ünï🦙!"
    assert teller.say(state) == before and teller.say("tostring(Llama.finished())") == "false"
    assert teller.say("Llama.run(6)") == "e, two"


def test_a_wish_is_sampled_as_it_says_and_else_as_the_library_does(teller):
    teller.say("""Llama.setTemp(0.5); Llama.setSeed(42); Llama.setTopP(0.75); Llama.setStop("w")
        Llama.runAll({
            { tokens = {256}, count = 3 },
            { tokens = {256, 7}, count = "5", temperature = 0, seed = 7, topP = 1, stop = {} },
            { tokens = {256}, count = 3, seed = -1, stop = "two" },
        })""")
    defaults = {"tokens": [256], "limit": 3, "temperature": 0.5, "seed": 42, "top_p": 0.75, "stop": ["w"]}
    own = {"tokens": [256, 7], "limit": 5, "temperature": 0, "seed": 7, "top_p": 1, "stop": []}
    mixed = defaults | {"seed": 2**44 - 1, "stop": ["two"]}
    assert teller.model.requests[-1] == {"op": "generate_all", "model": MODEL, "wanted": [defaults, own, mixed]}
    teller.say("Llama.setPrompt('x'); Llama.run(3)")
    alone = teller.model.requests[-1]
    assert {name: alone[name] for name in defaults} == defaults | {"tokens": alone["tokens"]}


def test_the_end_marker_is_told_of_each_of_several_answers(teller):
    wishes = """Llama.special = true
        local wishes = {{ tokens = {256}, count = 99 }, { tokens = {256}, count = 3 },
            { tokens = {256}, count = 99, stop = "," }}"""
    assert teller.say(wishes + RUN_ALL) == "stop One, two. Ünï🦙!<|end|>\nlength One\nstop One"


def test_what_goes_wrong_with_one_of_several_is_told_in_its_place(teller):
    wishes = f"local wishes = {{{{ tokens = {{256}}, count = {CONTEXT} }}, {{ tokens = {{256}}, count = 3 }}}}"
    refused = f"refused context full: 1 tokens of prompt and {CONTEXT} to generate"
    assert teller.say(wishes + RUN_ALL) == f"{refused}\nlength One"


def test_wishes_that_are_none_are_refused_in_words(teller):
    for count in ("1.5", '"many"', "nil"):
        wishes = f"{{{{ tokens = {{256}}, count = 1 }}, {{ tokens = {{256}}, count = {count} }}}}"
        assert "count should be an integer" in teller.fails(f"Llama.runAll({wishes})")
    assert "seed should be an integer" in teller.fails("Llama.runAll({{ tokens = {256}, count = 1, seed = 1.5 }})")
    assert "stop should be a string" in teller.fails("Llama.runAll({{ tokens = {256}, count = 1, stop = 1 }})")
    assert "wishes should be a list" in teller.fails("Llama.runAll('x')")
    assert all(request["op"] == "info" for request in teller.model.requests)
    teller.model.away = True
    assert "is not on this node" in teller.fails("Llama.runAll({{ tokens = {256}, count = 1 }})")


def test_what_goes_wrong_is_told_in_words(teller):
    assert f"model {'n' * 43} is not on this node" in teller.fails(f'Llama.load("/data/{"n" * 43}")')
    assert "context full" in teller.fails(f'Llama.setPrompt("x"); Llama.run({CONTEXT})')
    assert "the context is empty" in teller.fails("Llama.stop(); Llama.run(1)")
    assert "text should be a string" in teller.fails("Llama.setPrompt(nil)")
    teller.model.away = True
    assert "is not on this node" in teller.fails('Llama.setPrompt("x")')


def test_a_model_must_be_loaded_first():
    for make in HOSTS:
        with make(Model()) as host:
            process = Process(host)
            assert "no model is loaded" in process.eval('require("llama").setPrompt("x")').error
            assert "no model is loaded" in process.eval('require("llama").runAll({})').error
            assert process.eval('require(".Llama") == require("llama") and Llama == require(".llama")').data == "true"


def test_a_host_without_extensions_is_named():
    with HOSTS[0]() as host:
        process = Process(host)
        assert "runs on a host without extensions" in process.eval('require("llama").load("x")').error


def test_the_library_tells_about_its_model(teller):
    assert teller.say("Llama.info()") == f"Puna: Parrot, {CONTEXT} tokens of context, arithmetic test-1."
    assert teller.say("Llama.model().arithmetic .. Llama.log.info[1]") == "test-1loaded Parrot"


def test_the_native_names_work(teller):
    native = f"""local l = require("_llama")
        assert(l.load("/data/{MODEL}") == 0 and l.load("/data/other") == 1)
        l.load("/data/{MODEL}") l.set_prompt("x") return l.next() .. l.run(2)"""
    assert teller.say(native) == "One"


def test_statement_56_a_worker_in_the_published_manner(teller):  # its calls
    teller.say("""
        Handlers.add("Inference", "Inference", function(msg)
            Llama.setPrompt(msg.Data)
            local text = ""
            for i = 1, tonumber(msg.Tokens) do text = text .. Llama.next() end
            msg.reply({Action = "Inference-Response", Data = text})
        end)""")
    answer = teller.process.send("Hi", action="Inference", signer=BOB, tags=[("Tokens", "50")])
    assert [m.data for m in answer.messages] == ["One, two. Ünï🦙!"]
