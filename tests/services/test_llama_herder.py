"""The client package inside a process, against our token, herder and workers."""

import pytest
from services.herd_story import HERDER, TOKEN, HerdStory, worker_id
from services.story import OPERATOR, named_id

from puna.services import programs

APP = named_id("APP")
MONEY = 10**9
QUESTION = "What is the meaning of life?"


def app_story(workers: int = 1, **herd) -> HerdStory:
    """A process that has the package, knows the local ids, and owns money."""
    it = HerdStory(workers=workers, **herd)
    package = programs.source(programs.LLAMA_HERDER).decode()
    setup = f'Llama.herder, Llama.token = "{HERDER}", "{TOKEN}" ANSWERS = {{}}'
    it.spawn("APP", f"Llama = (function() {package}\nend)() {setup}")
    it.send(OPERATOR, TOKEN, "Mint", Recipient=APP, Quantity=str(MONEY))
    return it


KEEP = "function(answer, msg, reason) table.insert(ANSWERS, tostring(answer) .. '|' .. tostring(reason)) end"


def do(it: HerdStory, code: str):
    return it.send(OPERATOR, APP, "Eval", code)


def answers(it: HerdStory) -> list[str]:
    return list(it.processes[APP].eval("ANSWERS").values())


def transfers(it: HerdStory) -> list:
    return [entry for e in it.log if e.process == APP for entry in e.sent if entry.action == "Transfer"]


def client(it: HerdStory, name: str):
    return it.processes[APP].eval(f"Llama.{name}")


def test_run_asks_prices_pays_and_calls_back_with_the_answer():
    it = app_story()
    do(it, f'Llama.run("{QUESTION}", 20, {KEEP})')
    (payment,) = transfers(it)
    assert (payment.tags["Quantity"], payment.tags["Recipient"], payment.tags["X-Reference"]) == (
        "27",
        HERDER,
        "herder-0",
    )
    it.answer(text="42")
    assert answers(it) == ["42|nil"]
    assert client(it, "lastFeePaid") == 27


@pytest.mark.parametrize("multiplier, queue, quantity", [(1, 0, 27), (1, 3, 27), (2.4, 0, 64), (2.4, 1, 65)])
def test_58_the_fee_follows_the_published_formula(multiplier, queue, quantity):
    it = app_story()
    do(it, "Llama.getPrices()")
    do(it, f"Llama.lastMultiplier, Llama.queueLength = {multiplier}, {queue}")
    do(it, f'Llama.run("{QUESTION}", 20)')
    assert transfers(it)[0].tags["Quantity"] == str(quantity)


def test_calculate_fee_without_prices_prints_and_returns_nothing():
    it = app_story()
    evaluation = do(it, 'Llama.calculateFee("a b", 5)')
    assert "No base fee found. Get prices before calculating." in evaluation.printed
    do(it, "Llama.getPrices()")
    assert it.processes[APP].eval('Llama.calculateFee("a b", 5)') == 8


def test_fees_may_be_given_or_multiplied():
    it = app_story()
    do(it, "Llama.getPrices()")
    do(it, 'Llama.run("a b", 7, nil, {Fee = 100}) Llama.run("a b", 7, nil, {Multiplier = 2.5}) '
           'Llama.run("a b", 7, nil, {Fee = 100, Multiplier = 3})')  # fmt: skip
    assert [payment.tags["Quantity"] for payment in transfers(it)] == ["100", "25", "300"]


def test_fault_13_a_given_fee_needs_no_prices():
    it = app_story()
    do(it, 'Llama.run("a b", 7, nil, {Fee = 100})')
    assert client(it, "feeBase") == 0 and transfers(it)[0].tags["Quantity"] == "100"


def test_calls_made_before_prices_are_known_run_in_order_after_one_question():
    it = app_story()
    do(it, f'Llama.run("a", 1, {KEEP}) Llama.run("b", 1, {KEEP}) Llama.run("c", 1, {KEEP})')
    assert [payment.tags["X-Prompt"] for payment in transfers(it)] == ["a", "b", "c"]
    assert sum(entry.action == "Info" for e in it.log if e.process == APP for entry in e.sent) == 1


def test_fault_12_prices_are_asked_again_after_five_minutes_and_after_a_failure():
    it = app_story()

    def questions():
        return sum(entry.action == "Info" for e in it.log if e.process == APP for entry in e.sent)

    do(it, 'Llama.run("a", 1)')
    do(it, 'Llama.run("a", 1)')
    assert questions() == 1
    it.clock.pass_ms(5 * 60_000 + 1)
    do(it, 'Llama.run("a", 1)')
    assert questions() == 2
    do(it, f'Llama.run("a", 1, {KEEP}, {{Fee = 1}})')  # refunded
    do(it, 'Llama.run("a", 1)')
    assert questions() == 3


def test_fault_14_the_client_can_set_stop_strings_and_the_rest():
    it = app_story()
    do(it, 'Llama.run("a", 1, nil, nil, nil, {Termination = "END", Temperature = "0.5", Seed = "3"})')
    job = it.jobs()[-1]
    assert (job.tags["Termination"], job.tags["Temperature"], job.tags["Seed"]) == ("END", "0.5", "3")


def test_fault_21_an_error_in_a_callback_undoes_nothing_and_happens_once():
    it = app_story()
    do(it, 'Llama.run("a", 1, function(answer) error("mine") end)')
    it.answer()
    assert "error in a callback" in it.log[-1].printed and "mine" in it.log[-1].printed
    assert it.processes[APP].eval("next(Llama.inferenceCallbacks)") is None


def test_fault_22_a_refused_payment_calls_back_with_the_reason():
    it = app_story()
    do(it, f'Llama.run("a", 1, {KEEP}, {{Fee = {MONEY + 1}}})')
    assert answers(it) == ["nil|Insufficient Balance!"]
    assert it.processes[APP].eval("next(Llama.inferenceCallbacks)") is None


def test_fault_22_a_refund_calls_back_once_with_the_reason():
    it = app_story()
    do(it, f'Llama.run("a b c", 5, {KEEP}, {{Fee = 3}})')
    assert answers(it) == ["nil|Insufficient payment"] and it.balance(APP) == MONEY


def test_a_refund_by_a_herder_that_says_nothing_else_is_understood():
    it = app_story()
    do(it, f'Llama.run("a", 1, {KEEP})')
    it.speak(
        TOKEN,
        APP,
        "Credit-Notice",
        Sender=HERDER,
        Quantity="3",
        X_Reference="herder-0",
        X_Reason="Insufficient payment",
    )
    assert answers(it) == ["nil|Insufficient payment"]


def test_messages_of_strangers_are_no_answers():
    it = app_story()
    do(it, f'Llama.run("a", 1, {KEEP})')
    for action in ("Inference-Response", "Inference-Error", "Transfer-Error"):
        it.speak(named_id("STRANGER"), APP, action, "false", X_Reference="herder-0", Error="false")
    it.speak(named_id("STRANGER"), APP, "Info-Response", Base_Fee="1000000")
    assert answers(it) == [] and client(it, "feeBase") == 1
    it.answer(text="true")
    assert answers(it) == ["true|nil"]


def test_labels_cannot_be_taken_for_the_numbers_that_match_replies():
    it = app_story()
    do(it, 'Llama.run("a", 1) Llama.run("b", 1, nil, nil, "my own")')
    assert [payment.tags["X-Reference"] for payment in transfers(it)] == ["herder-0", "my own"]


def test_loading_the_package_again_keeps_labels_and_callbacks():
    it = app_story()
    do(it, f'Llama.run("a", 1, {KEEP})')
    package = programs.source(programs.LLAMA_HERDER).decode()
    do(it, f"Llama = (function() {package}\nend)()")
    do(it, 'Llama.run("b", 1)')
    assert transfers(it)[-1].tags["X-Reference"] == "herder-1"
    it.answer(text="still here")
    assert answers(it) == ["still here|nil"]


def sent(it: HerdStory, action: str) -> list:
    return [entry for e in it.log if e.process == APP for entry in e.sent if entry.action == action]


def test_what_an_answer_really_cost_is_known_and_the_rest_comes_back_without_a_word():
    it = app_story()
    do(it, f'Llama.run("{QUESTION}", 20, {KEEP})')
    it.answer(text="42", Tokens_Used="3")
    assert answers(it) == ["42|nil"]
    assert (client(it, "lastFeePaid"), client(it, "lastFee")) == (27, 10) and it.balance(APP) == MONEY - 10


def test_a_settlement_that_overtakes_its_answer_is_no_failure():
    it = app_story()
    do(it, f'Llama.run("a", 1, {KEEP})')
    tags = {"X-Reason": "fewer tokens", "X-Code": "settled", "X-Reference": "herder-0"}
    it.speak(TOKEN, APP, "Credit-Notice", Sender=HERDER, Quantity="1", **tags)
    assert answers(it) == []
    it.answer(text="here it is")
    assert answers(it) == ["here it is|nil"]


@pytest.mark.parametrize("sender", [named_id("STRANGER"), HERDER])
def test_fault_22_a_forged_refund_is_none(sender):
    it = app_story()
    do(it, f'Llama.run("a", 1, {KEEP})')
    it.speak(sender, APP, "Credit-Notice", Sender=HERDER, Quantity="3", X_Reference="herder-0", X_Reason="refund")
    assert answers(it) == [] and not it.errors(APP)
    it.answer(text="true")
    assert answers(it) == ["true|nil"]


def test_fault_4_a_text_too_long_for_a_payment_is_sent_ahead_of_it():
    it = app_story()
    long = "word " * 700
    do(it, f'Llama.run("{long}", 20, {KEEP}, nil, nil, {{ System = "be brief" }})')
    (payment,), (ahead,) = transfers(it), sent(it, "Prompt")
    assert ahead.data == long and payment.tags["X-Prompt-Ref"] == ahead.tags["Label"]
    assert payment.tags["Quantity"] == str(1 + 702 + 20) and "X-Prompt" not in payment.tags
    assert it.jobs()[-1].data == f"be brief\n\n{long}"
    it.answer(text="fine")
    assert answers(it) == ["fine|nil"] and it.processes[APP].eval("next(Llama.steps)") is None


def test_fault_4_two_long_texts_go_ahead_one_after_the_other():
    it = app_story()
    do(it, f'Llama.run(string.rep("p ", 2000), 20, {KEEP}, nil, nil, {{ System = string.rep("s ", 1700) }})')
    assert [ahead.data[0] for ahead in sent(it, "Prompt")] == ["p", "s"] and len(transfers(it)) == 1
    assert it.jobs()[-1].data == "s " * 1700 + "\n\n" + "p " * 2000 and not it.dropped


def test_a_prompt_that_the_herder_does_not_keep_calls_back_before_paying():
    it = app_story()
    it.send(OPERATOR, HERDER, "Set-Limits", **{"Max-Queued-Per-Payer": "1"})
    it.speak(APP, HERDER, "Prompt", "already here", Label="x")
    do(it, f'Llama.run(string.rep("p ", 2000), 20, {KEEP})')
    assert answers(it) == ["nil|Too many prompts wait for their payment"] and not transfers(it)


def test_a_request_that_names_a_model_is_quoted_because_its_tokenizer_counts():
    it = app_story(extension="Llama")
    options = '{ Model = "fake", System = "be brief", TopP = "0.5" }'
    do(it, f'Llama.run("a b c", 7, {KEEP}, {{ Multiplier = 2 }}, nil, {options})')
    (payment,) = transfers(it)
    assert payment.tags["Quantity"] == str(2 * (1 + 5 + 2 + 3 + 7)) and payment.tags["X-Top-P"] == "0.5"
    assert len(sent(it, "Quote")) == 1
    it.answer(text="fine")
    assert answers(it) == ["fine|nil"]
    do(it, f'Llama.run("a b c", 7, {KEEP}, nil, nil, {{ Model = "nobody" }})')
    assert answers(it)[-1] == "nil|No worker offers this model" and len(transfers(it)) == 1


def test_a_herder_that_counts_words_is_not_asked_for_a_quote():
    it = app_story()
    do(it, f'Llama.run("a b c", 7, {KEEP}, nil, nil, {{ Model = "fake" }})')
    assert transfers(it)[0].tags["Quantity"] == "11" and not sent(it, "Quote")


def test_answers_of_strangers_to_our_questions_are_none():
    it = app_story()
    do(it, "Llama.getPrices()")
    it.silent.add(HERDER)
    do(it, f'Llama.run(string.rep("p ", 2000), 20, {KEEP})')
    for action in ("Prompt-Stored", "Prompt-Error", "Quote-Response"):
        it.speak(named_id("STRANGER"), APP, action, X_Reference="herder-0", Error="false")
    assert answers(it) == [] and not transfers(it)
    it.wake(HERDER)
    assert len(transfers(it)) == 1


def test_a_reference_that_is_under_way_is_not_used_twice():
    it = app_story()
    do(it, f'Llama.run("a", 1, {KEEP}, nil, "mine")')
    said = do(
        it, f'local label, fault = Llama.run("b", 1, {KEEP}, nil, "mine") return tostring(label) .. fault'
    ).printed
    assert "a request with the reference mine is under way" in said and len(transfers(it)) == 1
    it.answer(text="first")
    do(it, f'Llama.run("c", 1, {KEEP}, nil, "mine")')
    it.answer(text="second")
    assert answers(it) == ["first|nil", "second|nil"]


HEAR = "function(piece, msg) table.insert(ANSWERS, msg.Index .. ':' .. piece) end"


def part(it: HerdStory, text: str, index: int, number: int = 0, **tags: str) -> None:
    named = {"Job": it.jobs(number)[-1].tags["Job"], "Index": str(index)} | tags
    it.speak(worker_id(number), HERDER, "Inference-Part", text, **named)
    it.check_books()


def test_an_answer_is_heard_in_pieces_while_it_is_made_and_then_whole():
    it = app_story()
    do(it, f'Llama.run("{QUESTION}", 20, {KEEP}, nil, nil, {{ Piece = 4, Stream = {HEAR} }})')
    (job,) = it.jobs()
    assert job.tags["Stream"] == "4"
    part(it, "to be ", 1)
    part(it, "kind", 2)
    it.answer(text="to be kind")
    assert answers(it) == ["1:to be ", "2:kind", "to be kind|nil"]
    part(it, " and late", 3)
    assert len(answers(it)) == 3 and client(it, "pieceCallbacks['herder-0']") is None


def test_pieces_of_strangers_and_errors_in_hearing_them_do_no_harm():
    it = app_story()
    do(it, f'Llama.run("{QUESTION}", 20, {KEEP}, nil, nil, {{ Stream = function() error("deaf") end }})')
    it.speak(named_id("STRANGER"), APP, "Inference-Part", "lies", X_Reference="herder-0", Index="1")
    it.speak(named_id("STRANGER"), HERDER, "Inference-Part", "lies", Job="job-1", Index="1")
    part(it, "to be ", 1)
    it.answer(text="to be kind")
    assert answers(it) == ["to be kind|nil"]


def test_pieces_too_small_are_refunded_and_what_is_no_function_is_said_before_paying():
    it = app_story()
    do(it, f'Llama.run("{QUESTION}", 20, {KEEP}, nil, nil, {{ Piece = 3, Stream = {HEAR} }})')
    (told,) = answers(it)
    assert told.startswith("nil|X-Stream must be a whole number of tokens from 4")
    do(it, f'local sent = Llama.run("{QUESTION}", 20, {KEEP}, nil, nil, {{ Stream = "yes" }}) assert(sent == nil)')
    assert len(transfers(it)) == 1


def test_what_cannot_be_sent_is_said_before_paying():
    it = app_story()
    for call, fault in [('"", 5', "empty"), ('"x", 0', "at least 1"), ('"x", 1.5', "at least 1"),
                        ('string.rep("x", 32769), 5', "32769 bytes"),
                        ('"x", 5, nil, nil, nil, {System = string.rep("x", 32769)}', "32769 bytes"),
                        ('"x", 5, nil, nil, nil, {System = 7}', "System must be text")]:  # fmt: skip
        assert fault in do(it, f"local label = Llama.run({call}) assert(label == nil)").printed
    assert not transfers(it)


def test_an_answer_without_callback_is_printed():
    it = app_story()
    do(it, 'Llama.run("a", 1)')
    it.answer(text="hello")
    assert "LlamaHerder response: hello" in it.log[-1].printed


def test_several_workers_answer_each_caller():
    it = app_story(workers=2)
    do(it, f'Llama.run("a", 1, {KEEP}) Llama.run("b", 1, {KEEP})')
    it.answer(1, text="for b")
    it.answer(0, text="for a")
    assert answers(it) == ["for b|nil", "for a|nil"]


def test_temperature_and_seed_travel_with_the_requests_to_come():
    it = app_story()
    do(it, 'Llama.setTemperature(0.7) Llama.setSeed(42) Llama.run("a", 1)')
    do(it, 'Llama.run("b", 1, nil, nil, nil, { Temperature = "0" })')
    do(it, 'Llama.setTemperature(nil) Llama.setSeed(nil) Llama.run("c", 1)')
    first, second, third = (payment.tags for payment in transfers(it))
    assert (first["X-Temperature"], first["X-Seed"]) == ("0.7", "42")
    assert (second["X-Temperature"], second["X-Seed"]) == ("0", "42")
    assert "X-Temperature" not in third and "X-Seed" not in third
    assert it.received(named_id("WORKER0"), "Inference")[0].tags["Temperature"] == "0.7"


@pytest.mark.parametrize("call", ["setTemperature(2.1)", "setTemperature(-1)", 'setTemperature("hot")', "setSeed(1.5)",
                                  "setSeed(-1)", "setSeed(1 << 32)", "setTopP(0)", "setTopP(1.1)"])  # fmt: skip
def test_what_is_no_temperature_or_seed_is_refused(call):
    it = app_story()
    assert "is a " in do(it, f"local ok, fault = pcall(function() Llama.{call} end) return fault").printed
    assert client(it, "temperature") is None and client(it, "seed") is None


def test_the_package_is_found_by_both_its_names_and_goes_without_a_trace():
    it = app_story()
    for name in ("@puna/Llama-Herder", "@sam/Llama-Herder"):
        assert it.processes[APP].eval(f'require("{name}") == Llama') is True
    do(it, "Llama.uninstall()")
    assert it.processes[APP].eval("Llama == nil and LlamaHerder == nil and package.loaded['@sam/Llama-Herder'] == nil")
    assert "LlamaHerder" not in it.processes[APP].eval(
        "table.concat(require('.utils').map(function(h) return h.name end, Handlers.list), ' ')"
    )


def test_a_newer_version_takes_over_what_is_under_way():
    it = app_story()
    do(it, f'Llama.run("a", 1, {KEEP})')
    package = programs.source(programs.LLAMA_HERDER).decode()
    do(it, f"Llama.uninstall('2.0.0') Llama = (function() {package}\nend)()")
    it.answer(text="still here")
    assert answers(it) == ["still here|nil"]


def test_an_engine_in_the_process_keeps_its_name():
    it = HerdStory()
    package = programs.source(programs.LLAMA_HERDER).decode()
    it.spawn("APP", f"Llama = {{ load = print }} Herd = (function() {package}\nend)()")
    assert it.processes[APP].eval("Llama.run == nil and Herd.run ~= nil") is True


def test_without_a_network_of_its_own_it_is_the_public_one():
    it = HerdStory()
    it.spawn("APP", programs.source(programs.LLAMA_HERDER))
    assert it.processes[APP].eval("Llama.herder") == "wh5vB2IbqmIBUqgodOaTvByNFDPr73gbUq1bVOUtCrw"
