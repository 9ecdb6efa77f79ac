"""The herder: one story for each fault of the published one, for each rule of ours, and for each end of a job.

Numbers in names are those of the conformance checklist; `fault` numbers those of the list of upstream shortcomings.
"""

import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.herd_story import HERDER, MONEY, TOKEN, HerdStory, answer_to, worker_id
from services.story import ALICE, BOB, MODEL, OPERATOR, named_id

# needed for "hi there" and 10 tokens: 1 + (2 + 10) * 1
NEEDED = 13


def only(messages):
    assert len(messages) == 1, messages
    return messages[0]


# A request, from payment to answer


def test_a_paid_prompt_is_run_and_its_answer_tells_everything():
    it = HerdStory()
    it.pay(ALICE, NEEDED, X_Reference="mine", X_Temperature="0.5", X_Seed="7", X_Termination="END")
    job = only(it.jobs())
    assert job.data == "hi there"
    assert (job.tags["Tokens"], job.tags["Termination"]) == ("10", "END")
    assert (job.tags["Temperature"], job.tags["Seed"], job.tags["Client"]) == ("0.5", "7", ALICE)
    it.clock.pass_ms(1500)
    it.answer(text="hello", Tokens_Used="2", Finish="stop", Prompt_Tokens="9", Model=MODEL, Arithmetic="canonical-1",
              Inference="the-message", Prompt_Ids="AQID", Token_Ids="BAU")  # fmt: skip
    answer = only(it.answers())
    assert answer.data == "hello"
    wanted = {
        "X-Reference": "mine", "Job": "job-1", "Tokens-Used": "2", "Prompt-Tokens": "9", "Finish": "stop",
        "Worker": worker_id(0), "Duration": "1500", "Model": MODEL, "Model-Name": "fake", "Arithmetic": "canonical-1",
        "Paid": "13", "Fee": "5", "Refund": "8", "Base-Fee": "1", "Token-Fee": "1", "Prompt-Count": "2",
        "Counted": "words", "Temperature": "0.5", "Seed": "7", "Inference": "the-message", "Prompt-Ids": "AQID",
        "Token-Ids": "BAU",
    }  # fmt: skip
    assert {name: answer.tags.get(name) for name in wanted} == wanted
    assert answer.tags["Payment"] in {e.message for e in it.log if e.process == HERDER}
    assert it.ledger() == {"credits": 13, "earned": 5, "refunded": 8, "held": 0, "withdrawn": 0}


# Settlement: the tokens that were made are earned, the rest goes back


def test_what_was_paid_for_tokens_that_were_not_made_goes_back_with_a_reason():
    it = HerdStory(base_fee=5, token_fee=3)
    it.pay(ALICE, 82, X_Reference="mine")  # twice the needed 5 + 3 * (2 + 10)
    it.answer(Tokens_Used="4")
    fee = 82 * (5 + 3 * (2 + 4)) // 41
    back = only(it.received(ALICE, "Credit-Notice")[-1:])
    assert (back.tags["Sender"], back.tags["Quantity"]) == (HERDER, str(82 - fee))
    assert (back.tags["X-Code"], back.tags["X-Reference"]) == ("settled", "mine") and back.tags["X-Reason"]
    assert (only(it.answers()).tags["Fee"], it.answers()[0].tags["Refund"]) == (str(fee), str(82 - fee))
    assert it.balance(ALICE) == MONEY - fee and not it.errors()


@pytest.mark.parametrize("used, fee", [("0", 3), ("10", 13), ("11", 13), (None, 13), ("-1", 13), ("1e1", 13)])
def test_a_worker_that_counts_oddly_or_not_at_all_is_paid_at_most_what_was_asked(used, fee):
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    tags = {} if used is None else {"Tokens_Used": used}
    it.speak(worker_id(0), HERDER, "Inference-Response", "text", Job="job-1", **tags)
    it.check_books()
    assert it.ledger()["earned"] == fee and it.balance(ALICE) == MONEY - fee


def test_where_everything_was_made_nothing_travels_back():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.answer()
    assert only(it.answers()).tags["Refund"] == "0" and not it.received(ALICE, "Credit-Notice")[1:]


def test_nothing_that_a_worker_says_makes_an_answer_too_long_to_send():
    it = HerdStory(money={ALICE: 10**38})
    it.pay(ALICE, 10**37, X_Reference="r" * 128)
    long = dict.fromkeys(["Model", "Model_Name", "Arithmetic", "Finish", "Prompt_Tokens", "Inference"], "m" * 64)
    it.answer(Tokens_Used="0", Prompt_Ids="p" * 1200, Token_Ids="t" * 1500, **long)
    answer = only(it.answers())
    assert "Token-Ids" in answer.tags and "Prompt-Ids" not in answer.tags
    it.pay(ALICE, 10**37, X_Reference="r" * 128)
    it.answer(Tokens_Used="0", Prompt_Ids="p" * 1100, Token_Ids="t" * 1500, **long)
    assert len(it.answers()[-1].tags["Prompt-Ids"]) == 1100
    it.pay(ALICE, 10**37)
    it.answer(Token_Ids="not base64!", **dict.fromkeys(long, "m" * 500))
    assert it.answers()[-1].tags["Model"] == MODEL and "Token-Ids" not in it.answers()[-1].tags


def counting(**herd) -> HerdStory:
    return HerdStory(extension="Llama", **herd)


def test_the_prompt_is_counted_by_the_tokenizer_of_the_model_that_a_request_names():
    it = counting()
    # The played tokenizer makes 5 tokens of the chat form and one of each word.
    quote = it.ask(ALICE, HERDER, "Quote", "日 本", Tokens="10", X_Model="fake").tags
    assert (quote["Counted"], quote["Prompt-Count"], quote["Words"], quote["Needed"]) == ("tokens", "7", "0", "18")
    it.pay(ALICE, 17, prompt="日 本", X_Model=MODEL)
    assert only(it.errors()).tags["Needed"] == "18"
    it.pay(ALICE, 18, prompt="日 本", X_Model=MODEL)
    it.answer(Tokens_Used="4")
    answer = only(it.answers()).tags
    assert (answer["Fee"], answer["Counted"], answer["Prompt-Count"]) == ("12", "tokens", "7")


def test_a_request_that_names_no_model_is_counted_in_words_as_published_clients_do():
    it = counting()
    quote = it.ask(ALICE, HERDER, "Quote", "hi there", Tokens="10").tags
    assert (quote["Counted"], quote["Prompt-Count"], quote["Needed"]) == ("words", "2", "13")
    it.pay(ALICE, NEEDED)
    assert len(it.jobs()) == 1 and not it.engine.requests


def test_a_prompt_laid_out_by_its_program_is_counted_as_it_is():
    it = counting()
    quote = it.ask(ALICE, HERDER, "Quote", "<|user|>\na b<|end|>\n<|assistant|>", Tokens="1", X_Model="fake").tags
    assert quote["Prompt-Count"] == "5" and it.engine.requests[-1]["special"] is True


def test_without_tokenizer_words_are_counted_and_said():
    info = HerdStory().ask(BOB, HERDER, "Info").tags
    assert (info["Counted"], info["Counted-With-Model"]) == ("words", "words")
    it = counting()
    assert it.ask(BOB, HERDER, "Info").tags["Counted-With-Model"] == "tokens"
    it.engine.trouble = "the model is not on this node"
    it.processes[HERDER].lua.execute("_host = function() return nil, 'no such model' end")
    assert it.ask(BOB, HERDER, "Quote", "hi", Tokens="1", X_Model="fake").tags["Counted"] == "words"


def test_the_article_costs_27_winston():
    it = HerdStory()
    quote = it.ask(ALICE, HERDER, "Quote", "What is the meaning of life?", Tokens="20")
    assert (quote.tags["Needed"], quote.tags["Price"], quote.tags["Words"]) == ("27", "27", "6")


def test_info_publishes_prices_and_limits():
    info = HerdStory().ask(BOB, HERDER, "Info").tags
    assert (info["Name"], info["Version"], info["Base-Fee"], info["Token-Fee"]) == ("Llama-Herder", "0.2", "1", "1")
    assert (info["Last-Multiplier"], info["Queue-Length"]) == ("1", "0")
    assert (info["Max-Queue"], info["Max-Prompt"], info["Max-Tokens"]) == ("500", "3000", "512")
    assert (info["Workers-Idle"], info["Model"], info["Token"]) == ("1", MODEL, TOKEN)


def test_credit_notices_from_any_other_process_are_ignored_and_printed():
    it = HerdStory()
    it.speak(named_id("FALSE-TOKEN"), HERDER, "Credit-Notice", Sender=ALICE, Quantity="99", X_Prompt="x", X_Tokens="1")
    assert "not from the token" in it.log[-1].printed and not it.jobs()
    evaluation = it.send(BOB, HERDER, "Credit-Notice", Sender=BOB, Quantity="99", X_Prompt="x", X_Tokens="1")
    assert "not from the token" in evaluation.printed
    assert it.ledger()["credits"] == 0


# Conformance and the faults of the published herder


def test_60_fault_1_payment_one_unit_short_goes_back_to_the_payer_in_full():
    it = HerdStory()
    it.pay(ALICE, NEEDED - 1, X_Reference="mine")
    back = only(it.received(ALICE, "Credit-Notice")[-1:])
    assert back.tags["Sender"] == HERDER
    assert (back.tags["Quantity"], back.tags["X-Reason"], back.tags["X-Needed"]) == ("12", "Insufficient payment", "13")
    assert back.tags["X-Reference"] == "mine"
    assert it.balance(ALICE) == MONEY
    error = only(it.errors())
    assert (error.tags["Code"], error.tags["Refund"], error.tags["Needed"]) == ("insufficient", "12", "13")


@pytest.mark.parametrize("tokens", [None, "", "abc", "0", "-2", "1e9", "1.5", "0x10", "513", "9" * 50, "007"])
def test_61_fault_2_5_6_token_counts_out_of_bounds_are_refunded_with_a_reason(tokens):
    it = HerdStory()
    it.pay(ALICE, 1000, tokens=tokens)
    error = only(it.errors())
    assert error.tags["Code"] == "bad-request" and error.tags["Error"].startswith(
        "X-Tokens must be a whole number from 1"
    )
    assert it.balance(ALICE) == MONEY and not it.jobs()


@pytest.mark.parametrize("prompt", [None, "", "  \n "])
def test_61_fault_2_a_missing_or_empty_prompt_is_refunded(prompt):
    it = HerdStory()
    it.pay(ALICE, 1000, prompt=prompt)
    assert only(it.errors()).tags["Code"] == "bad-request" and it.balance(ALICE) == MONEY


def test_61_fault_3_a_request_without_reference_is_answered_under_the_credit_notices_id():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.answer()
    reference = only(it.answers()).tags["X-Reference"]
    assert reference in {e.message for e in it.log if e.process == HERDER}


def test_fault_3_a_reference_that_is_too_long_is_refunded_under_its_first_part():
    it = HerdStory()
    it.pay(ALICE, NEEDED, X_Reference="r" * 129)
    assert only(it.errors()).tags["X-Reference"] == "r" * 128


def test_fault_4_a_long_prompt_can_be_sent_ahead_as_data():
    it = HerdStory()
    prompt = "word " * 2000
    assert it.ask(ALICE, HERDER, "Prompt", prompt, Label="p1").action == "Prompt-Stored"
    it.pay(ALICE, 1 + 2000 + 10, prompt=None, X_Prompt_Ref="p1")
    assert only(it.jobs()).data == prompt
    it.pay(ALICE, 5000, prompt=None, X_Prompt_Ref="p1")
    assert only(it.errors()).tags["Code"] == "bad-request"


def test_fault_4_an_unpaid_prompt_is_forgotten_after_ten_minutes_and_belongs_to_its_sender():
    it = HerdStory()
    it.send(ALICE, HERDER, "Prompt", "secret plan", Label="p")
    it.pay(BOB, 100, prompt=None, X_Prompt_Ref="p")
    assert only(it.errors(BOB)).tags["Code"] == "bad-request"
    it.later(10)
    it.pay(ALICE, 100, prompt=None, X_Prompt_Ref="p")
    assert only(it.errors(ALICE)).tags["Code"] == "bad-request"


def test_fault_4_prompts_sent_ahead_are_limited_in_size_and_number():
    it = HerdStory()
    assert it.ask(ALICE, HERDER, "Prompt", "x" * 32769, Label="p").action == "Prompt-Error"
    assert it.ask(ALICE, HERDER, "Prompt", "x").action == "Prompt-Error"
    it.send(OPERATOR, HERDER, "Set-Limits", **{"Max-Queued-Per-Payer": "20"})
    answers = [it.ask(ALICE, HERDER, "Prompt", "x", Label=str(n)).action for n in range(21)]
    assert answers == ["Prompt-Stored"] * 20 + ["Prompt-Error"]
    assert it.ask(ALICE, HERDER, "Prompt", "y", Label="3").action == "Prompt-Stored"  # in place of the older one
    it.send(OPERATOR, HERDER, "Set-Limits", **{"Max-Queued-Per-Payer": "2000"})
    answers = [it.ask(BOB, HERDER, "Prompt", "x", Label=str(n)).action for n in range(981)]
    assert answers == ["Prompt-Stored"] * 980 + ["Prompt-Error"]
    it.later(10)
    assert it.ask(BOB, HERDER, "Prompt", "x", Label="p").action == "Prompt-Stored"
    assert it.herd("herd.texts") == 1 == it.herd("herd.text_bytes")


def test_fault_6_a_prompt_over_the_limit_is_refunded():
    it = HerdStory()
    it.pay(ALICE, 5000, prompt="x" * 3001)
    assert "3001 bytes" in only(it.errors()).tags["Error"]


def test_63_fault_7_five_idle_workers_take_five_queued_jobs_in_one_message():
    it = HerdStory(workers=0)
    it.register(9)
    for n in range(6):
        it.pay(ALICE, 100, prompt=f"p{n}")  # the first is running, five wait
    assert len(it.given()) == 1
    # Five workers come back at once: the herder sees them idle only when the next message is over.
    lua = it.processes[HERDER].lua
    lua.execute(
        "for n = 0, 4 do local id = ('WORKER' .. n) .. string.rep('-', 35) .. 'A' "
        f"Herd.workers[id] = {{id = id, state = 'idle', model = '{MODEL}', failures = 0}} "
        "table.insert(Herd.idle, id) end"
    )
    evaluation = it.send(BOB, HERDER, "Info")
    assert sum(entry.action == "Inference" for entry in evaluation.sent) == 5


def test_62_fault_8_a_worker_that_never_answers_costs_one_retry_then_the_money_goes_back():
    it = HerdStory(workers=2)
    it.pay(ALICE, NEEDED)
    first_job = only(it.jobs(0))
    it.later(10)
    assert it.worker_state(0) == "quarantined" and only(it.jobs(1)).data == first_job.data
    assert only(it.received(worker_id(0), "Ping"))
    it.later(10)
    error = only(it.errors())
    assert (error.tags["Code"], error.tags["Refund"]) == ("worker-failed", "13")
    assert it.balance(ALICE) == MONEY
    # The late answer is delivered to nobody and brings its worker back.
    it.pay(BOB, NEEDED)
    assert not it.received(BOB, "Inference-Response")
    it.speak(worker_id(0), HERDER, "Inference-Response", "late", Job=first_job.tags["Job"])
    assert not it.answers(ALICE) and not it.answers(BOB)
    assert it.jobs(0)[-1].data == "hi there" and it.worker_state(0) == "busy"
    it.answer(0, "for bob")
    assert only(it.answers(BOB)).data == "for bob"


def test_fault_8_a_worker_that_reports_an_error_is_tried_elsewhere_once_then_refunded():
    it = HerdStory(workers=2)
    it.pay(ALICE, NEEDED)
    it.fail(0)
    assert only(it.jobs(1)).data == "hi there" and it.worker_state(0) == "idle"
    it.fail(1, error="the model is not on this node")
    error = only(it.errors())
    assert (error.tags["Code"], error.tags["Error"]) == ("worker-failed", "the model is not on this node")
    assert it.balance(ALICE) == MONEY


def test_fault_8_the_only_worker_gets_the_second_try_itself():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.fail(0)
    assert len(it.jobs()) == 2
    it.answer(0)
    assert only(it.answers())


def test_a_request_that_no_worker_could_run_is_refunded_at_once_and_is_no_fault_of_the_worker():
    it = HerdStory(workers=2)
    it.pay(ALICE, NEEDED)
    it.fail(0, code="context-full", error="context full: 1000 tokens, 900 fit")
    error = only(it.errors())
    assert error.tags["Code"] == "bad-request" and error.tags["Error"].startswith("context full")
    assert not it.jobs(1) and it.worker_state(0) == "idle" and it.herd(f'herd.workers["{worker_id(0)}"].failures') == 0


def test_fault_10_three_failures_in_a_row_retire_a_worker_and_the_owner_can_bring_it_back():
    it = HerdStory()
    for _ in range(2):
        it.pay(ALICE, NEEDED)
        it.fail(0)
        if it.jobs()[-1].tags["Job"] == "job-1":
            it.fail(0)
    assert it.worker_state() == "retired"
    assert [error.tags["Code"] for error in it.errors()] == ["worker-failed", "worker-failed"]
    it.pay(ALICE, NEEDED)
    assert it.errors()[-1].tags["Error"] == "No worker is in service"
    it.register(0)
    it.pay(ALICE, NEEDED)
    it.answer()
    assert only(it.answers())


def test_fault_10_one_success_clears_the_failures():
    it = HerdStory()
    for _ in range(4):
        it.pay(ALICE, NEEDED)
        it.fail()
        it.answer()
    assert it.worker_state() == "idle" and len(it.answers()) == 4


def test_fault_10_a_heartbeat_brings_a_quarantined_worker_back():
    it = HerdStory(workers=1)
    it.pay(ALICE, NEEDED)
    it.later(10)
    assert it.worker_state() == "quarantined"
    it.speak(worker_id(0), HERDER, "Worker-Heartbeat")
    assert it.worker_state() == "busy" and len(it.jobs()) == 2
    it.speak(worker_id(0), HERDER, "Worker-Heartbeat")
    assert it.worker_state() == "busy"


def test_fault_10_only_the_owner_registers_and_retires():
    it = HerdStory()
    it.send(ALICE, HERDER, "Register-Worker", Worker=worker_id(7), Model=MODEL)
    it.send(ALICE, HERDER, "Retire-Worker", Worker=worker_id(0))
    assert it.worker_state(0) == "idle" and it.herd(f'herd.workers["{worker_id(7)}"]') is None


def test_fault_10_a_retired_worker_finishes_its_job_first():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.send(OPERATOR, HERDER, "Retire-Worker", Worker=worker_id(0))
    assert it.worker_state() == "busy"
    it.answer()
    assert only(it.answers()) and it.worker_state() == "retired"


def test_retiring_the_last_worker_of_a_model_refunds_what_waits_for_it():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.pay(BOB, NEEDED)
    it.send(OPERATOR, HERDER, "Retire-Worker", Worker=worker_id(0))
    assert only(it.errors(BOB)).tags["Code"] == "worker-failed" and it.balance(BOB) == MONEY
    it.answer()
    assert only(it.answers(ALICE))


def test_fault_11_the_quoted_multiplier_rises_fourfold_at_most_and_cools_while_a_worker_is_idle():
    it = HerdStory()

    def quoted():
        return it.ask(BOB, HERDER, "Info").tags["Last-Multiplier"]

    it.pay(ALICE, NEEDED * 100)
    assert quoted() == "4"
    it.later(5)
    assert quoted() == "4"  # nobody is idle
    it.answer()
    it.later(1)
    assert quoted() == "3.7"
    it.later(1)
    assert quoted() == "3.43"
    it.later(500)
    assert quoted() == "1"
    it.pay(ALICE, 31)
    assert quoted() == "2.384615"


def test_fault_11_the_quote_never_falls_below_one():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.answer()
    assert it.ask(BOB, HERDER, "Info").tags["Last-Multiplier"] == "1"


@pytest.mark.parametrize("text", ["[1]", '["a","b","c","d","e"]', "x" * 65, '[""]'])
def test_fault_14_bad_stop_strings_are_refunded(text):
    it = HerdStory()
    it.pay(ALICE, 100, X_Termination=text)
    assert only(it.errors()).tags["Code"] == "bad-request"


@pytest.mark.parametrize("tags", [{"X_Temperature": "hot"}, {"X_Temperature": "2.1"}, {"X_Temperature": "-1"},
                                  {"X_Seed": "-1"}, {"X_Seed": "4294967296"}, {"X_Deadline": "soon"},
                                  {"X_Model": "no-such-model"}])  # fmt: skip
def test_bad_options_are_refunded(tags):
    it = HerdStory()
    it.pay(ALICE, 100, **tags)
    assert only(it.errors()).tags["Code"] == "bad-request" and it.balance(ALICE) == MONEY


def test_fault_15_a_doubled_answer_goes_to_nobody():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.answer()
    it.pay(BOB, NEEDED)
    it.speak(worker_id(0), HERDER, "Inference-Response", "doubled", Job="job-1")
    assert not it.answers(BOB) and len(it.answers(ALICE)) == 1
    it.answer(text="for bob")
    assert only(it.answers(BOB)).data == "for bob"


def test_fault_15_an_answer_from_a_stranger_is_dropped():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.speak(named_id("STRANGER"), HERDER, "Inference-Response", "x", Job="job-1")
    it.send(BOB, HERDER, "Inference-Error", Job="job-1", Code="bad-request")
    assert not it.answers(ALICE) and not it.errors(ALICE) and it.ledger()["held"] == NEEDED


def test_an_upstream_worker_that_names_no_job_is_understood():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.speak(worker_id(0), HERDER, "Inference-Response", "old style")
    assert only(it.answers()).data == "old style"
    it.pay(ALICE, NEEDED)
    it.later(10)  # quarantined: its late answer can only be about the job it lost
    it.speak(worker_id(0), HERDER, "Inference-Response", "late")
    assert len(it.answers()) == 1 and it.worker_state() == "busy"


def test_fault_17_a_full_queue_refunds_the_cheapest():
    payers = [named_id(f"P{n}") for n in range(501)]
    it = HerdStory(money=dict.fromkeys([BOB, *payers], 1000))
    for payer in payers:
        it.pay(payer, 26)  # the first is running, 500 wait
    it.pay(BOB, 13)
    assert only(it.errors(BOB)).tags["Code"] == "queue-full" and it.balance(BOB) == 1000
    it.pay(BOB, 39)
    assert len(it.errors(BOB)) == 1 and it.balance(BOB) == 1000 - 39
    assert only(it.errors(payers[-1])).tags["Code"] == "queue-full"
    assert it.herd("#herd.queue") == 500
    it.answer()
    assert it.jobs()[-1].tags["Client"] == BOB


def test_fault_17_one_payer_cannot_fill_the_queue():
    it = HerdStory(limits={"Max-Queued-Per-Payer": "20"})
    for _ in range(22):
        it.pay(ALICE, NEEDED)
    assert only(it.errors()).tags["Code"] == "queue-full"
    it.pay(BOB, NEEDED)
    assert not it.errors(BOB)


def test_fault_18_status_tells_the_place_in_the_queue():
    it = HerdStory()
    for name in "abc":
        it.pay(ALICE, NEEDED, X_Reference=name)
    states = [it.ask(ALICE, HERDER, "Status", X_Reference=name).tags for name in "abcd"]
    assert [state["State"] for state in states] == ["running", "queued", "queued", "unknown"]
    assert (states[1]["Place"], states[2]["Place"]) == ("1", "2") and states[0]["Worker"] == worker_id(0)
    assert it.ask(BOB, HERDER, "Status", Job="job-2").tags["State"] == "queued"
    assert it.ask(BOB, HERDER, "Status", X_Reference="b").tags["State"] == "unknown"


def test_fault_18_a_queued_job_can_be_cancelled_by_its_payer_for_the_base_fee():
    it = HerdStory()
    it.pay(ALICE, NEEDED, X_Reference="a")
    it.pay(ALICE, NEEDED, X_Reference="b")
    assert it.ask(BOB, HERDER, "Cancel", Job="job-2").action == "Cancel-Error"
    assert it.ask(ALICE, HERDER, "Cancel", X_Reference="a").tags["Error"] == "The job runs already"
    it.send(ALICE, HERDER, "Cancel", X_Reference="b")
    it.check_books()
    error = only(it.errors())
    assert (error.tags["Code"], error.tags["Refund"]) == ("cancelled", "12")
    assert it.ledger()["earned"] == 1 and it.balance(ALICE) == MONEY - NEEDED - 1


def test_fault_19_quantities_beyond_64_bits_are_exact_and_wrapped_ones_ignored():
    it = HerdStory(money={ALICE: 10**38, BOB: MONEY})
    it.pay(ALICE, 10**37 + 1)
    it.pay(ALICE, 10**37)
    it.pay(ALICE, 10**37 + 1, prompt="first of two")
    assert it.ledger()["credits"] == 3 * 10**37 + 2
    it.answer()
    assert it.given()[-1] == "hi there"
    it.speak(TOKEN, HERDER, "Credit-Notice", Sender=BOB, Quantity=str(2**256 + 5), X_Prompt="x", X_Tokens="1")
    assert "ignored: no quantity" in it.log[-1].printed
    it.answer()


def test_fault_20_words_are_priced_and_the_true_counts_reported():
    it = HerdStory()
    it.pay(ALICE, 1 + 0 + 3, prompt="日本語", tokens=3)  # no ASCII word
    it.answer(Prompt_Tokens="9", Tokens_Used="3")
    assert (only(it.answers()).tags["Prompt-Tokens"], it.answers()[0].tags["Tokens-Used"]) == ("9", "3")


def test_fault_23_the_owner_withdraws_what_was_earned_and_no_more():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    assert it.ask(OPERATOR, HERDER, "Withdraw").action == "Withdraw-Error"
    it.answer()
    it.send(ALICE, HERDER, "Withdraw")
    assert it.ask(OPERATOR, HERDER, "Withdraw", Quantity="14").action == "Withdraw-Error"
    it.send(OPERATOR, HERDER, "Withdraw", Quantity="5", Recipient=BOB)
    it.check_books()
    assert it.balance(BOB) == MONEY + 5
    it.send(OPERATOR, HERDER, "Withdraw")
    it.check_books()
    assert it.balance(OPERATOR) == 8 and it.ledger()["withdrawn"] == 13


def test_fault_23_a_withdrawal_that_the_token_refuses_is_taken_back():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.answer()
    it.send(OPERATOR, HERDER, "Withdraw", Recipient="not an address")
    it.check_books()
    assert it.ledger()["withdrawn"] == 0


def test_fault_24_quote_answers_the_exact_price():
    it = HerdStory(base_fee=7, token_fee=3)
    needed = 7 + 3 * (2 + 10)
    assert it.ask(ALICE, HERDER, "Quote", "hi there", Tokens="10").tags["Price"] == str(needed)
    it.pay(ALICE, needed * 2)
    it.pay(ALICE, needed)
    quote = it.ask(ALICE, HERDER, "Quote", "hi there", Tokens="10").tags
    assert quote["Price"] == str(needed * 2 * 1005 // 1000)
    assert (quote["Queue-Length"], quote["Ahead"]) == ("1", "0")
    assert "Error" in it.ask(ALICE, HERDER, "Quote", "hi", Tokens="0").tags


# System text and top-p


def test_a_system_text_travels_before_the_prompt_and_is_counted():
    it = HerdStory()
    it.pay(ALICE, 15, X_System="be brief", X_Top_P="0.9")
    job = only(it.jobs())
    assert (job.data, job.tags["System-Bytes"], job.tags["Top-P"]) == ("be brief\n\nhi there", "8", "0.9")
    it.pay(ALICE, 14, X_System="be brief")
    assert only(it.errors()).tags["Needed"] == "15"
    assert it.ask(ALICE, HERDER, "Quote", "hi there", Tokens="10", X_System="be brief").tags["Needed"] == "15"
    it.answer()
    assert only(it.answers()).tags["Top-P"] == "0.9"


def test_a_long_system_text_can_be_sent_ahead_too():
    it = HerdStory()
    long = "be brief " * 1000
    it.send(ALICE, HERDER, "Prompt", long, Label="s")
    it.send(ALICE, HERDER, "Prompt", "what now", Label="p")
    it.pay(ALICE, 10_000, prompt=None, X_Prompt_Ref="p", X_System_Ref="s")
    job = only(it.jobs())
    assert job.data == long + "\n\nwhat now" and job.tags["System-Bytes"] == "9000"
    assert it.herd("next(herd.prompts)") is None and it.herd("herd.texts") == 0


@pytest.mark.parametrize("tags", [{"X_System_Ref": "none"}, {"prompt": "<|user|>\nhi", "X_System": "be brief"},
                                  {"X_Top_P": "0"}, {"X_Top_P": "1.1"}, {"X_Top_P": "x"}])  # fmt: skip
def test_system_texts_and_shares_that_make_no_sense_are_refunded(tags):
    it = HerdStory()
    it.pay(ALICE, 100, **tags)
    assert only(it.errors()).tags["Code"] == "bad-request" and it.balance(ALICE) == MONEY


def test_a_blank_system_text_is_none():
    it = HerdStory()
    it.pay(ALICE, NEEDED, X_System="  ")
    assert only(it.jobs()).data == "hi there"


# What the owner may do


def test_a_paused_herd_refunds_new_requests_and_keeps_those_that_wait():
    it = HerdStory()
    it.pay(ALICE, NEEDED, prompt="running now")
    it.pay(ALICE, NEEDED, prompt="waits here")
    assert it.ask(OPERATOR, HERDER, "Pause").tags["Queue-Length"] == "1"
    it.pay(BOB, NEEDED)
    assert only(it.errors(BOB)).tags["Code"] == "paused" and it.balance(BOB) == MONEY
    assert "paused" in it.ask(BOB, HERDER, "Quote", "hi", Tokens="1").tags["Error"]
    assert it.ask(BOB, HERDER, "Info").tags["Paused"] == "true"
    it.answer()
    assert it.given() == ["running now"] and len(it.answers()) == 1
    assert it.ask(OPERATOR, HERDER, "Resume").action == "Resumed"
    assert it.given() == ["running now", "waits here"] and "Paused" not in it.ask(BOB, HERDER, "Info").tags
    it.answer()
    assert len(it.answers()) == 2


def test_what_waits_in_a_paused_herd_is_refunded_at_its_deadline():
    it = HerdStory()
    it.send(OPERATOR, HERDER, "Pause")
    it.send(OPERATOR, HERDER, "Resume")
    it.pay(BOB, NEEDED)
    it.pay(ALICE, NEEDED)
    it.send(OPERATOR, HERDER, "Pause")
    it.answer()
    it.later(60)
    assert only(it.errors(ALICE)).tags["Code"] == "deadline" and it.balance(ALICE) == MONEY


def test_new_prices_hold_for_jobs_to_come_and_held_ones_keep_theirs():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.pay(ALICE, NEEDED, X_Reference="waits")
    told = it.ask(OPERATOR, HERDER, "Set-Price", Base_Fee="100", Token_Fee="7").tags
    assert (told["Action"], told["Base-Fee"], told["Token-Fee"]) == ("Price-Set", "100", "7")
    it.answer(Tokens_Used="5")
    answer = only(it.answers()).tags
    assert (answer["Fee"], answer["Base-Fee"], answer["Token-Fee"]) == ("8", "1", "1")
    it.pay(BOB, 183)
    assert only(it.errors(BOB)).tags["Needed"] == "184"
    it.pay(ALICE, 184, X_Reference="dearer")
    it.send(ALICE, HERDER, "Cancel", X_Reference="dearer")
    it.check_books()
    assert it.errors()[-1].tags["Refund"] == "84"
    it.answer()
    assert it.answers()[-1].tags["Base-Fee"] == "1"


def test_a_job_that_is_cancelled_costs_the_base_fee_of_when_it_was_paid():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.pay(ALICE, NEEDED, X_Reference="waits")
    it.send(OPERATOR, HERDER, "Set-Price", Base_Fee="1000")
    it.send(ALICE, HERDER, "Cancel", X_Reference="waits")
    it.check_books()
    assert only(it.errors()).tags["Refund"] == "12" and it.ledger()["earned"] == 1


def test_a_free_herd_gives_everything_back():
    it = HerdStory()
    it.send(OPERATOR, HERDER, "Set-Price", Base_Fee="0", Token_Fee="0")
    assert it.ask(BOB, HERDER, "Quote", "hi there", Tokens="10").tags["Price"] == "1"
    it.pay(ALICE, 5)
    it.pay(BOB, 5, X_Reference="b")
    it.send(BOB, HERDER, "Cancel", X_Reference="b")
    it.answer()
    assert it.balance(ALICE) == MONEY == it.balance(BOB) and it.ledger()["earned"] == 0


@pytest.mark.parametrize("tags", [{}, {"Base-Fee": "-1"}, {"Token-Fee": "x"}, {"Base-Fee": "1.5"},
                                  {"Token-Fee": str(10**12 + 1)}, {"Base-Fee": "0x10"}])  # fmt: skip
def test_prices_that_are_none_are_refused_and_change_nothing(tags):
    it = HerdStory()
    assert it.ask(OPERATOR, HERDER, "Set-Price", **tags).action == "Price-Error"
    assert it.ask(BOB, HERDER, "Info").tags["Base-Fee"] == "1"


def test_limits_are_set_by_spawn_tags_and_by_the_owner():
    it = HerdStory(limits={"Max-Tokens": "20", "Max-Queue": "nonsense"})
    info = it.ask(BOB, HERDER, "Info").tags
    assert (info["Max-Tokens"], info["Max-Queue"], info["Max-Queued-Per-Payer"]) == ("20", "500", "250")
    it.pay(ALICE, 100, tokens="21")
    assert only(it.errors()).tags["Error"] == "X-Tokens must be a whole number from 1 to 20"
    told = it.ask(OPERATOR, HERDER, "Set-Limits", **{"Max-Tokens": "600", "Max-Wait": "120000"}).tags
    assert (told["Action"], told["Max-Tokens"], told["Max-Wait"]) == ("Limits-Set", "600", "120000")
    it.pay(ALICE, 1000, tokens="600")
    it.pay(ALICE, 1000)
    it.later(2)
    assert it.errors()[-1].tags["Code"] == "deadline" and len(it.jobs()) == 1


@pytest.mark.parametrize("tag", ["Max-Queue", "Max-Queued-Per-Payer", "Max-Tokens", "Max-Prompt", "Max-Prompt-Data",
                                 "Max-Wait"])  # fmt: skip
@pytest.mark.parametrize("value", ["0", "-5", "", "x", "9" * 14, "1e3"])
def test_limits_out_of_bounds_are_refused_and_none_is_changed(tag, value):
    it = HerdStory()
    before = it.ask(BOB, HERDER, "Info").tags
    other = "Max-Tokens" if tag != "Max-Tokens" else "Max-Queue"
    told = it.ask(OPERATOR, HERDER, "Set-Limits", **{other: "100", tag: value}).tags
    assert told["Action"] == "Limits-Error" and told["Error"].startswith(tag)
    after = it.ask(BOB, HERDER, "Info").tags
    assert (after[tag], after[other]) == (before[tag], before[other])


OWNERS = {"Register-Worker": "Register-Error", "Retire-Worker": "Retire-Error", "Pause": "Pause-Error",
          "Resume": "Resume-Error", "Set-Price": "Price-Error", "Set-Limits": "Limits-Error",
          "Withdraw": "Withdraw-Error"}  # fmt: skip


@pytest.mark.parametrize("action, refusal", OWNERS.items())
def test_strangers_are_refused_what_is_the_owners_with_an_answer(action, refusal):
    it = HerdStory()
    before = it.image()
    for stranger in (ALICE, named_id("PROGRAM")):
        tags = {"Worker": worker_id(0), "Base-Fee": "9", "Max-Tokens": "9", "Quantity": "1"}
        told = it.ask(stranger, HERDER, action, **tags)
        assert told.action == refusal and "Only the owner" in told.tags["Error"]
    assert it.image() == before


@pytest.mark.parametrize("worker", [None, "", "not an id", "x" * 129, HERDER, TOKEN])
def test_what_is_no_worker_is_not_registered(worker):
    it = HerdStory(workers=0)
    tags = {} if worker is None else {"Worker": worker}
    assert it.ask(OPERATOR, HERDER, "Register-Worker", **tags).action == "Register-Error"
    assert it.herd("next(herd.workers)") is None


def test_two_hundred_calls_of_one_payer_on_four_workers_all_finish_each_paid_once():
    it = HerdStory(workers=4)
    for n in range(200):
        it.pay(ALICE, NEEDED, prompt="hi there", X_Reference=f"call-{n}")
    while it.herd("next(herd.jobs)"):
        for number in range(4):
            if it.worker_state(number) == "busy":
                it.answer(number, Tokens_Used="4")
    assert not it.errors()
    assert sorted(answer.tags["X-Reference"] for answer in it.answers()) == sorted(f"call-{n}" for n in range(200))
    assert it.balance(ALICE) == MONEY - 200 * 7 and it.ledger()["earned"] == 200 * 7
    queue = json.loads(it.ask(BOB, HERDER, "Queue").data)
    assert sum(worker["answered"] for worker in queue["workers"]) == 200
    assert sum(int(worker["earned"]) for worker in queue["workers"]) == 200 * 7


def test_a_reference_used_twice_names_two_requests_and_each_is_answered():
    it = HerdStory(workers=1)
    it.pay(ALICE, NEEDED, prompt="first one", X_Reference="same")
    it.pay(ALICE, NEEDED, prompt="second one", X_Reference="same")
    assert it.ask(ALICE, HERDER, "Status", X_Reference="same").tags["Job"] == "job-1"
    it.answer(text="one")
    assert it.ask(ALICE, HERDER, "Status", X_Reference="same").tags["Job"] == "job-2"
    it.answer(text="two")
    assert [(a.tags["Job"], a.data) for a in it.answers()] == [("job-1", "one"), ("job-2", "two")]


def test_a_model_that_disappears_gives_everybody_their_money_back():
    it = HerdStory(workers=1)
    it.register(1, model="OTHER", Model_Name="other")
    it.pay(ALICE, NEEDED, X_Model="other", prompt="running now")
    it.pay(ALICE, NEEDED, X_Model="other", prompt="waits here")
    it.send(OPERATOR, HERDER, "Retire-Worker", Worker=worker_id(1))
    assert only(it.errors()).tags["Error"] == "No worker for this model is left"
    it.fail(1, error="the model is not on this node")
    assert len(it.errors()) == 2 and it.balance(ALICE) == MONEY
    it.pay(ALICE, NEEDED, X_Model="other")
    assert it.errors()[-1].tags["Error"] == "No worker offers the model other" and it.balance(ALICE) == MONEY


def test_a_silent_worker_is_asked_again_every_ten_minutes_and_is_never_lost():
    it = HerdStory(workers=1)
    it.pay(ALICE, NEEDED)
    for _ in range(4):
        it.later(10)
    assert it.worker_state() == "quarantined" and len(it.received(worker_id(0), "Ping")) == 4
    it.speak(worker_id(0), HERDER, "Worker-Heartbeat")
    assert it.worker_state() == "busy" and len(it.jobs()) == 2


# Order and time


def test_a_minute_of_waiting_counts_as_much_as_paying_the_price_once_more():
    it = HerdStory(workers=1)
    it.pay(BOB, NEEDED, prompt="busy now")
    it.pay(ALICE, NEEDED, prompt="patient one")
    it.later(2)
    it.pay(BOB, 3 * NEEDED - 1, prompt="rich one")
    it.pay(BOB, 3 * NEEDED, prompt="as good")
    it.pay(BOB, 3 * NEEDED + 1, prompt="richer one")
    for _ in range(5):
        it.answer()
    assert it.given() == ["busy now", "richer one", "patient one", "as good", "rich one"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(13, 700), st.integers(0, 400_000), st.sampled_from([0, 1, 10**9])), max_size=14))
def test_the_queue_is_ordered_by_what_was_paid_and_how_long_it_waits(requests):
    """Exactly: paid/needed, at most 30, plus the minutes waited. Who came 30 minutes earlier is before all others."""
    it = HerdStory(limits={"Max-Wait": str(24 * 60 * 60_000), "Max-Tokens": "512"}, money={ALICE: 10**15, BOB: MONEY})
    it.pay(BOB, 10**6, tokens="512")
    keys = {}
    for n, (units, gap, extra) in enumerate(requests, start=2):
        it.clock.pass_ms(gap)
        it.send(OPERATOR, HERDER, "Set-Price", Base_Fee=str(1 + extra))
        needed = 13 + extra
        it.pay(ALICE, units * needed // 13)
        lead = min(Fraction(units * needed // 13, needed), 30)
        keys[f"job-{n}"] = (-(lead - Fraction(it.clock.now_ms, 60_000)), n)
        it.processes[HERDER].lua.execute(
            "for _, w in pairs(Herd.workers) do Herd.jobs[w.job].due = math.maxinteger end"
        )
    queue = [it.herd(f"herd.queue[{place}]") for place in range(1, len(requests) + 1)]
    assert queue == sorted(keys, key=keys.get)


def test_a_patient_job_is_served_though_richer_ones_keep_coming():
    it = HerdStory(workers=1)
    it.pay(BOB, NEEDED, prompt="busy now")
    it.pay(ALICE, NEEDED, prompt="patient one")
    passed_by = 0
    while it.given()[-1] != "patient one":
        it.pay(BOB, 10**6, prompt="rich one")
        it.answer()
        it.later(1)
        passed_by += 1
    assert passed_by <= 31  # LEAD_MAX minutes, whatever is paid
    it.answer()


def test_59_the_higher_multiplier_runs_first_and_equals_in_the_order_they_came():
    it = HerdStory()
    it.pay(BOB, NEEDED, prompt="busy now")
    it.pay(ALICE, NEEDED, prompt="first one")
    it.pay(ALICE, NEEDED, prompt="second one")
    it.pay(ALICE, 3 * NEEDED, prompt="three times")
    for _ in range(4):
        it.answer()
    assert it.given() == ["busy now", "three times", "first one", "second one"]


def test_multipliers_are_compared_as_exact_fractions():
    it = HerdStory(money={ALICE: 10**30}, token_fee=10**12, base_fee=1)
    it.pay(ALICE, 10**15)
    it.pay(ALICE, 2 * (12 * 10**12 + 1), prompt="a b", tokens=10)
    it.pay(ALICE, 2 * (13 * 10**12 + 1) + 1, prompt="a b c", tokens=10)  # larger by one part in 10^13
    it.answer()
    assert it.given()[-1] == "a b c"
    it.answer()
    it.answer()


def test_a_deadline_that_passes_in_the_queue_refunds():
    it = HerdStory()
    it.pay(BOB, NEEDED)
    it.pay(ALICE, NEEDED, X_Deadline=str(it.clock.now_ms + 60_000))
    it.later(0.5)
    assert not it.errors()
    it.later(0.5)
    assert only(it.errors()).tags["Code"] == "deadline" and it.balance(ALICE) == MONEY


def test_a_deadline_that_had_passed_on_arrival_refunds():
    it = HerdStory()
    it.pay(ALICE, NEEDED, X_Deadline="1000")
    assert only(it.errors()).tags["Code"] == "deadline" and not it.jobs()


def test_nobody_waits_for_ever_even_without_a_deadline():
    it = HerdStory()
    it.pay(BOB, NEEDED)
    it.pay(ALICE, NEEDED)
    it.later(59)  # the worker is in quarantine since minute ten
    assert not it.errors(ALICE)
    it.later(1)
    assert only(it.errors(ALICE)).tags["Code"] == "deadline" and only(it.errors(BOB))


def test_a_job_waits_for_a_worker_of_its_model_while_others_pass():
    it = HerdStory()
    it.register(1, model="OTHER", Model_Name="other")
    it.pay(ALICE, NEEDED, prompt="busy now")
    it.pay(ALICE, 5 * NEEDED, prompt="waits here")
    it.pay(BOB, NEEDED, prompt="for other", X_Model="other")
    assert it.given() == ["busy now", "for other"] and it.jobs(1)[-1].data == "for other"
    it.answer(0)
    assert it.given()[-1] == "waits here"


# Money that asks for nothing, and faults of our own


def test_a_refund_that_comes_back_is_kept_so_that_two_programs_cannot_play_ball():
    it = HerdStory()
    it.pay(ALICE, 50, prompt=None, tokens=None, X_Reason="Insufficient payment")
    assert not it.errors() and it.ledger()["earned"] == 50


def test_a_fault_of_ours_while_admitting_still_refunds_the_payer():
    it = HerdStory()
    it.processes[HERDER].lua.execute("Herd.quote = nil")
    it.pay(ALICE, NEEDED)
    assert only(it.errors()).tags["Code"] == "herder-failed" and it.balance(ALICE) == MONEY


def test_a_rule_that_fails_changes_nothing_and_says_nothing():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    before = it.ledger()
    it.processes[HERDER].lua.execute("Herd.ledger.earned = '1'")
    evaluation = it.send(BOB, HERDER, "Info")
    assert (
        not evaluation.sent and "changed nothing" in evaluation.printed and "credits must equal" in evaluation.printed
    )
    it.processes[HERDER].lua.execute("Herd.ledger.earned = '0'")
    assert it.ledger() == before


def test_queue_shows_counts_ledger_and_workers():
    it = HerdStory(workers=2)
    it.pay(ALICE, NEEDED)
    queue = it.ask(BOB, HERDER, "Queue")
    assert (queue.tags["Running"], queue.tags["Queue-Length"], queue.tags["Held"]) == ("1", "0", "13")
    states = {worker["id"]: worker["state"] for worker in json.loads(queue.data)["workers"]}
    assert states == {worker_id(0): "busy", worker_id(1): "idle"}


def test_an_answer_that_is_not_text_reaches_the_payer_as_text():
    it = HerdStory()
    it.pay(ALICE, NEEDED)
    it.speak(worker_id(0), HERDER, "Inference-Response", '{"a":1}', Job="job-1", Content_Type="application/json")
    assert json.loads(only(it.answers()).data) == {"a": 1}


CHAT = '[{"role":"user","content":"one two"},{"role":"assistant","content":"three"}]'


def test_a_conversation_and_its_options_reach_the_worker_as_they_were_paid_for():
    it = counting()
    quote = it.ask(ALICE, HERDER, "Quote", CHAT, Tokens="10", X_Model="fake", X_Format="chat").tags
    assert (quote["Format"], quote["Prompt-Count"]) == ("chat", "8")  # 5 of the form, 3 words
    it.pay(ALICE, 19, prompt=CHAT, X_Model=MODEL, X_Format="chat", X_Top_P="0.9")
    job = only(it.jobs())
    assert (job.data, job.tags["Format"], job.tags["Top-P"]) == (CHAT, "chat", "0.9")


@pytest.mark.parametrize(
    "prompt, tags, why",
    [
        ("hi", {"X_Format": "chat"}, "JSON array"),
        ("{}", {"X_Format": "chat"}, "JSON array"),
        ("[]", {"X_Format": "chat"}, "JSON array"),
        ("[1]", {"X_Format": "chat"}, "role and a content"),
        ('[{"role":"user"}]', {"X_Format": "chat"}, "role and a content"),
        ('[{"role":"user","content":1}]', {"X_Format": "chat"}, "role and a content"),
        ("hi", {"X_Format": "html"}, "chat or text"),
        ("hi", {"X_Top_P": "0"}, "X-Top-P"),
        ("hi", {"X_Top_P": "1.1"}, "X-Top-P"),
        ("hi", {"X_Top_P": "-1"}, "X-Top-P"),
        ("hi", {"X_Top_P": "nan"}, "X-Top-P"),
        ("hi", {"X_Top_P": "1e-1"}, "X-Top-P"),
    ],
)
def test_a_format_or_top_p_that_is_none_is_refunded_with_the_reason(prompt, tags, why):
    it = HerdStory()
    it.pay(ALICE, NEEDED, prompt=prompt, **tags)
    assert why in only(it.errors()).tags["Error"] and it.balance(ALICE) == MONEY


# Several jobs at once


def broken(code: str = "worker-failed", error: str = "it broke") -> dict[str, str]:
    return {"Action": "Inference-Error", "Code": code, "Error": error, "Data": error}


def busy_herd(batch: int | None = 8, **herd) -> HerdStory:
    """A herd with one worker, which is at a job of Bob's; job-2 is the next."""
    it = HerdStory(workers=0, **herd)
    it.register(0, **({"Batch": str(batch)} if batch else {}))
    it.pay(BOB, NEEDED, prompt="busy now")
    return it


def a_batch_of_three(workers: int = 1) -> HerdStory:
    """A herd whose worker 0 is at job-2, job-3 and job-4 of Alice; others are idle."""
    it = busy_herd()
    for prompt in ("one", "two", "three"):
        it.pay(ALICE, NEEDED, prompt=prompt, X_Reference=prompt)
    it.answer()
    for number in range(1, workers):
        it.register(number, Batch="8")
    assert it.given()[-1] == ["one", "two", "three"]
    return it


def three_busy(answering_after_ms: int = 0) -> HerdStory:
    """A herd of three workers of its model, each at its second job; one of another model is idle and cannot help."""
    it = HerdStory(workers=0)
    for number in range(3):
        it.register(number, Batch="8")
    it.register(3, model="OTHER", Batch="8")
    for number in range(3):
        it.pay(BOB, NEEDED, prompt=f"busy {number}")
    it.clock.pass_ms(answering_after_ms)
    for number in range(3):
        it.answer(number)
    it.clock.pass_ms(1000)
    for number in range(3):
        it.clock.pass_ms(101)  # so that none of them waits for another
        it.pay(BOB, NEEDED, prompt=f"again {number}")
    it.clock.pass_ms(101)
    assert len(it.given()) == 6
    return it


def all_free(it: HerdStory, workers: int) -> None:
    """All workers answer before the queue goes on."""
    it.send(OPERATOR, HERDER, "Pause")
    for number in range(workers):
        it.answer(number)
    it.send(OPERATOR, HERDER, "Resume")


def shown(it: HerdStory, number: int = 0) -> dict:
    """What Queue tells of a worker."""
    return next(
        each for each in json.loads(it.ask(BOB, HERDER, "Queue").data)["workers"] if each["id"] == worker_id(number)
    )


def test_jobs_that_wait_go_together_when_a_worker_is_free_in_the_order_of_the_queue():
    it = busy_herd()
    it.pay(ALICE, NEEDED, prompt="patient one")
    it.pay(ALICE, 2 * NEEDED, prompt="richer one", X_Reference="mine", X_Seed="7", X_System="be brief")
    it.pay(BOB, NEEDED, prompt="patient too")
    it.answer()
    assert it.given() == ["busy now", ["be brief\n\nricher one", "patient one", "patient too"]]
    batch = only(it.received(worker_id(0), "Inference-Batch"))
    assert "Job" not in batch.tags and "Tokens" not in batch.tags
    first = it.batches()[0][0]
    assert first == {
        "Job": "job-3", "Tokens": "10", "Data": "be brief\n\nricher one", "System-Bytes": "8", "Seed": "7",
        "Client": ALICE, "X-Reference": "mine",
    }  # fmt: skip


def test_a_batch_is_no_larger_than_its_worker_takes():
    it = busy_herd(batch=3)
    for prompt in "abcdefg":
        it.pay(ALICE, NEEDED, prompt=prompt)
    it.answer()
    it.answer_batch()
    it.answer_batch()
    assert it.given() == ["busy now", ["a", "b", "c"], ["d", "e", "f"], "g"]


def test_one_job_that_waits_goes_as_ever():
    it = busy_herd()
    it.pay(ALICE, NEEDED, prompt="alone")
    it.answer()
    assert it.given() == ["busy now", "alone"] and not it.batches()


def test_idle_workers_share_the_queue_evenly():
    it = three_busy(answering_after_ms=101)
    for prompt in "abcdefg":
        it.pay(ALICE, NEEDED, prompt=prompt)
    all_free(it, 3)
    assert it.given()[6:] == [["a", "b", "c"], ["d", "e"], ["f", "g"]]


@pytest.mark.parametrize(
    "waiting, shares", [("abcdefg", ["abcdefg"]), ("abcdefgh", ["abcd", "efgh"]), ("abcdefghijk", ["abcdef", "ghijk"])]
)
def test_quick_ones_share_it_too_but_none_gets_less_than_company(waiting, shares):
    it = three_busy()
    for prompt in waiting:
        it.pay(ALICE, NEEDED, prompt=prompt)
    all_free(it, 3)
    assert it.given()[6:] == [list(share) for share in shares]


def test_one_that_asks_for_more_tokens_than_the_first_waits_for_another_worker():
    it = busy_herd()
    it.pay(ALICE, 3 * NEEDED, prompt="first")
    it.pay(ALICE, NEEDED * 4, prompt="longer", tokens="11")
    it.pay(ALICE, 2 * NEEDED, prompt="first too", tokens="12")
    it.pay(ALICE, NEEDED, prompt="same")
    it.pay(ALICE, NEEDED, prompt="shorter", tokens="4")
    it.answer()
    assert it.given()[1:] == [["longer", "first", "shorter", "same"]]
    it.answer_batch()
    assert it.given()[-1] == "first too"


@pytest.mark.parametrize("tags", [{"X_Model": "other"}, {"X_Stream": "4"}])
def test_another_model_and_an_answer_in_pieces_do_not_go_with_others(tags):
    it = busy_herd()
    it.register(1, model="OTHER", Model_Name="other", Batch="8")
    it.pay(BOB, NEEDED, prompt="busy there", X_Model="other")
    it.pay(ALICE, NEEDED, prompt="one")
    it.pay(ALICE, NEEDED, prompt="apart", **tags)
    it.pay(ALICE, NEEDED, prompt="two")
    it.answer(0)
    assert it.given()[2:] == [["one", "two"]]
    it.answer_batch(0)
    it.answer(1)
    assert it.given()[3:] == ["apart"]


def test_an_answer_in_pieces_that_is_first_goes_alone():
    it = busy_herd()
    it.pay(ALICE, 2 * NEEDED, prompt="apart", X_Stream="4")
    it.pay(ALICE, NEEDED, prompt="one")
    it.pay(ALICE, NEEDED, prompt="two")
    it.answer()
    it.answer()
    assert it.given()[1:] == ["apart", ["one", "two"]]


def test_a_job_tried_before_goes_alone():
    it = busy_herd()
    for prompt in ("one", "two"):
        it.pay(ALICE, NEEDED, prompt=prompt)
    it.fail()
    it.pay(ALICE, NEEDED, prompt="late one")
    it.pay(ALICE, 3 * NEEDED, prompt="rich one")
    it.answer_batch()
    assert it.given() == ["busy now", ["one", "two"], ["rich one", "late one"]]
    it.pay(ALICE, NEEDED, prompt="last one")
    it.answer_batch()
    assert it.given()[3:] == ["busy now"]
    it.answer()
    assert it.given()[4:] == ["last one"]


def test_all_answers_of_a_batch_are_limited_in_tokens():
    it = busy_herd()
    for n in range(6):
        it.pay(ALICE, 600, prompt=f"p{n}", tokens="512")
    it.answer()
    it.answer_batch()
    assert it.given()[1:] == [["p0", "p1", "p2", "p3"], ["p4", "p5"]]


def test_all_prompts_of_a_batch_are_limited_in_bytes():
    it = busy_herd()
    sizes = {"a": 16_000, "b": 16_769, "c": 16_768, "d": 1}
    for name, size in sizes.items():
        it.send(ALICE, HERDER, "Prompt", name * size, Label=name)
        it.pay(ALICE, NEEDED, prompt=None, X_Prompt_Ref=name)
    it.answer()
    assert [[len(prompt) for prompt in batch] for batch in it.given()[1:]] == [[16_000, 16_768]]
    it.answer_batch()
    assert [len(prompt) for prompt in it.given()[-1]] == [16_769, 1]


def test_a_prompt_over_the_limit_of_bytes_still_goes_alone():
    it = busy_herd(limits={"Max-Prompt-Data": "50000"})
    it.send(ALICE, HERDER, "Prompt", "x" * 40_000, Label="long")
    it.pay(ALICE, NEEDED, prompt=None, X_Prompt_Ref="long")
    it.pay(ALICE, NEEDED, prompt="one")
    it.answer()
    assert len(it.given()[-1]) == 40_000


def test_far_behind_in_the_queue_nobody_is_looked_for():
    it = busy_herd()
    it.pay(ALICE, 100 * NEEDED, prompt="first")
    for n in range(32):
        it.pay(ALICE, 10 * NEEDED, prompt=f"longer {n}", tokens="11")
    it.pay(ALICE, NEEDED, prompt="far")
    it.answer()
    assert it.given()[-1] == "first"


@pytest.mark.parametrize("batch", [None, 1])
def test_a_worker_that_takes_no_batches_gets_one_job_at_a_time(batch):
    it = busy_herd(batch=batch)
    for prompt in ("one", "two", "three"):
        it.pay(ALICE, NEEDED, prompt=prompt)
    for _ in range(4):
        it.answer()
    assert it.given() == ["busy now", "one", "two", "three"] and not it.batches()


@pytest.mark.parametrize("batch", ["0", "9", "-1", "", "x", "1.5", "08", "0x2", "9" * 40])
def test_a_batch_size_that_is_none_is_refused_and_changes_nothing(batch):
    it = busy_herd(batch=2)
    before = it.image()
    told = it.ask(OPERATOR, HERDER, "Register-Worker", Worker=worker_id(0), Batch=batch)
    assert (told.action, told.tags["Error"]) == ("Register-Error", "Batch must be a whole number from 1 to 8")
    assert it.image() == before
    assert it.ask(OPERATOR, HERDER, "Register-Worker", Worker=worker_id(5), Batch=batch).action == "Register-Error"
    assert it.herd(f'herd.workers["{worker_id(5)}"]') is None


def test_registering_again_keeps_the_batch_size_or_changes_it():
    it = busy_herd(batch=2)
    for prompt in "abcdefg":
        it.pay(ALICE, NEEDED, prompt=prompt)
    it.register(0)
    it.answer()
    it.register(0, Batch="4")
    it.answer_batch()
    it.register(0, Batch="1")
    it.answer_batch()
    assert it.given() == ["busy now", ["a", "b"], ["c", "d", "e", "f"], "g"]


def test_a_sign_of_life_tells_the_batch_size_where_the_owner_did_not():
    it = busy_herd(batch=None)
    for prompt in "abcdefg":
        it.pay(ALICE, NEEDED, prompt=prompt)
    it.speak(worker_id(0), HERDER, "Worker-Heartbeat", Batch="9")
    assert "batch" not in shown(it)
    it.speak(worker_id(0), HERDER, "Worker-Heartbeat", Batch="3")
    it.answer()
    assert (it.given()[-1], shown(it)["batch"]) == (["a", "b", "c"], 3)
    it.register(0, Batch="2")
    it.speak(worker_id(0), HERDER, "Worker-Heartbeat", Batch="8")
    it.answer_batch()
    assert (it.given()[-1], shown(it)["batch"]) == (["d", "e"], 2)


def test_each_job_of_a_batch_is_settled_by_its_own_tokens():
    it = a_batch_of_three()
    it.clock.pass_ms(1500)
    told = {"Prompt-Tokens": "9", "Model": MODEL, "Arithmetic": "canonical-1", "Inference": "the-message",
            "Prompt-Ids": "AQID", "Token-Ids": "BAU"}  # fmt: skip
    it.answer_batch(job_2={"Tokens-Used": "4", "Finish": "stop"} | told, job_3={"Tokens-Used": "0", "Data": ""})
    answers = it.answers()
    assert [answer.tags["X-Reference"] for answer in answers] == ["one", "two", "three"]
    assert [(answer.tags["Fee"], answer.tags["Refund"]) for answer in answers] == [("6", "7"), ("2", "11"), ("13", "0")]
    backs = [(back.tags["X-Reference"], back.tags["Quantity"]) for back in it.received(ALICE, "Credit-Notice")[1:]]
    assert backs == [("one", "7"), ("two", "11")] and it.balance(ALICE) == MONEY - 21
    assert [answer.data for answer in answers] == ["an answer to one", "", "an answer to three"]
    wanted = told | {"Finish": "stop", "Job": "job-2", "Duration": "1500", "Worker": worker_id(0), "Tokens-Used": "4"}
    assert {name: answers[0].tags.get(name) for name in wanted} == wanted
    assert len({answer.tags["Payment"] for answer in answers}) == 3
    assert (shown(it)["answered"], shown(it)["earned"], it.worker_state()) == (4, str(13 + 21), "idle")


@pytest.mark.parametrize("code", ["bad-request", "context-full"])
def test_an_error_that_is_the_requests_own_refunds_that_one_alone(code):
    it = a_batch_of_three(workers=2)
    it.answer_batch(job_3=broken(code, "context full: 1000 tokens"))
    error = only(it.errors())
    assert (error.tags["Code"], error.tags["X-Reference"], error.tags["Refund"]) == ("bad-request", "two", "13")
    assert error.tags["Error"] == "context full: 1000 tokens"
    assert [answer.tags["Job"] for answer in it.answers()] == ["job-2", "job-4"] and not it.jobs(1)
    assert it.herd(f'herd.workers["{worker_id(0)}"].failures') == 0 and it.balance(ALICE) == MONEY - 2 * NEEDED


def test_a_worker_failure_of_one_is_tried_again_elsewhere_alone_and_is_one_failure():
    it = a_batch_of_three(workers=2)
    it.answer_batch(job_2=broken(), job_4=broken())
    assert [answer.tags["Job"] for answer in it.answers()] == ["job-3"]
    assert [job.data for job in it.jobs(1)] == ["one"]
    assert it.worker_state(0) == "idle" and it.herd(f'herd.workers["{worker_id(0)}"].failures') == 1
    it.answer(1)
    assert [job.data for job in it.jobs(1)] == ["one", "three"]
    it.fail(1)
    assert only(it.errors()).tags["X-Reference"] == "three" and it.balance(ALICE) == MONEY - 2 * NEEDED


def all_broken(it: HerdStory) -> dict[str, dict]:
    return {job["Job"].replace("-", "_"): broken() for job in it.batches()[-1]}


def test_a_batch_that_fails_is_one_of_the_three_failures_in_a_row_that_retire_a_worker():
    it = a_batch_of_three()
    it.answer_batch(**all_broken(it))
    assert it.worker_state() == "busy" and it.jobs()[-1].data == "one"
    it.fail()
    it.fail()
    assert it.worker_state() == "retired" and [error.tags["X-Reference"] for error in it.errors()] == [
        "one", "two", "three",
    ]  # fmt: skip
    assert it.balance(ALICE) == MONEY


def test_a_batch_without_a_failure_clears_those_before():
    it = busy_herd()
    for prompt in ("one", "two"):
        it.pay(ALICE, NEEDED, prompt=prompt)
    it.fail()
    assert it.given()[1:] == [["one", "two"]] and it.herd(f'herd.workers["{worker_id(0)}"].failures') == 1
    it.answer_batch(job_3=broken("bad-request"))
    assert it.herd(f'herd.workers["{worker_id(0)}"].failures') == 0


@pytest.mark.parametrize("left_out", ["job_2", "job_3", "job_4"])
def test_a_job_left_out_is_tried_again(left_out):
    it = a_batch_of_three(workers=2)
    it.answer_batch(**{left_out: None})
    assert len(it.answers()) == 2 and it.herd(f'herd.workers["{worker_id(0)}"].failures') == 1
    assert only(it.jobs(1)).tags["Job"] == left_out.replace("_", "-") and it.worker_state(0) == "idle"
    it.answer(1)
    assert len(it.answers()) == 3 and not it.errors()


def test_a_job_left_out_twice_is_refunded_with_the_reason():
    it = a_batch_of_three()
    it.answer_batch(job_3=None)
    it.fail(error="")
    assert only(it.errors()).tags["Error"] == "The worker failed"
    it = a_batch_of_three()
    it.send(OPERATOR, HERDER, "Retire-Worker", Worker=worker_id(0))
    it.answer_batch(job_3=None)
    assert only(it.errors()).tags["Error"] == "The worker left it out" and it.worker_state() == "retired"


@pytest.mark.parametrize("data", [None, 7, {"a": 1}, [1, None, 2]])
def test_an_answer_without_a_text_is_none_and_is_tried_again(data):
    it = a_batch_of_three(workers=2)
    it.answer_batch(job_3={"Data": data})
    assert only(it.jobs(1)).tags["Job"] == "job-3" and [a.tags["Job"] for a in it.answers()] == ["job-2", "job-4"]


def test_of_a_job_answered_twice_in_a_batch_the_first_counts():
    it = a_batch_of_three()
    batch = it.batches()[-1]
    said = [answer_to(job) | {"Data": f"{turn} {job['Data']}"} for turn in ("first", "second") for job in batch]
    it.say_batch(0, json.dumps(said))
    assert [answer.data for answer in it.answers()] == ["first one", "first two", "first three"]


def test_answers_to_jobs_of_others_and_to_none_are_left_aside():
    it = a_batch_of_three(workers=2)
    it.pay(BOB, NEEDED, prompt="elsewhere")
    stolen = [answer_to({"Job": job, "Tokens": "10", "Data": "x"}) for job in ("job-5", "job-1", "job-99", "no job")]
    own = [answer_to(job) for job in it.batches()[-1]]
    it.say_batch(0, json.dumps([None, *own]))
    assert not it.answers() and it.worker_state() == "busy"  # a list ends where nothing is
    it.say_batch(0, json.dumps([7, "x", [], {}, *stolen, {"Job": 7}, *own]))
    assert len(it.answers()) == 3 and len(it.answers(BOB)) == 1
    it.answer(1)
    assert it.answers(BOB)[-1].data == "an answer"


@pytest.mark.parametrize(
    "data", ["", " ", "no JSON", "{}", "7", "[]", "null", "[[[]]]", '[{"Job":null}]', '{"Job":"job-2"}']
)
def test_a_batch_answer_that_says_nothing_of_the_batch_leaves_it_running_until_it_is_overdue(data):
    it = a_batch_of_three()
    it.say_batch(0, data)
    assert it.worker_state() == "busy" and not it.answers() and not it.errors()
    it.answer_batch()
    assert len(it.answers()) == 3


def test_a_batch_answer_that_says_it_is_json_is_understood():
    it = a_batch_of_three()
    said = json.dumps([answer_to(job) for job in it.batches()[-1]])
    it.say_batch(0, said, Content_Type="application/json")
    assert len(it.answers()) == 3


@pytest.mark.parametrize("action", ["Inference-Response", "Inference-Error", "Inference-Part"])
@pytest.mark.parametrize("tags", [{}, {"Job": "job-2"}, {"Job": "job-3"}])
def test_the_answer_to_one_job_does_not_end_a_batch(action, tags):
    it = a_batch_of_three()
    before = it.ledger()
    it.speak(worker_id(0), HERDER, action, "alone", Code="bad-request", **tags)
    assert it.worker_state() == "busy" and it.ledger() == before and not it.received(ALICE, action)
    it.answer_batch()
    assert len(it.answers()) == 3


def test_a_batch_answer_does_not_end_one_job():
    it = busy_herd()
    it.say_batch(0, json.dumps([answer_to({"Job": "job-1", "Tokens": "10", "Data": "x"})]))
    assert it.worker_state() == "busy" and not it.answers(BOB)


def test_a_batch_answer_from_a_stranger_is_dropped():
    it = a_batch_of_three()
    said = json.dumps([answer_to(job) for job in it.batches()[-1]])
    it.speak(named_id("STRANGER"), HERDER, "Inference-Batch-Response", said)
    it.send(BOB, HERDER, "Inference-Batch-Response", said)
    assert "not from a worker" in it.log[-1].printed and not it.answers() and it.worker_state() == "busy"


def test_all_of_a_batch_that_is_overdue_are_tried_again_elsewhere_each_alone():
    it = a_batch_of_three(workers=2)
    it.later(10)
    assert it.worker_state(0) == "quarantined" and len(it.received(worker_id(0), "Ping")) == 1
    assert it.herd(f'herd.workers["{worker_id(0)}"].failures') == 1
    for _ in range(3):
        it.answer(1)
    assert it.given()[2:] == ["one", "two", "three"] and len(it.answers()) == 3 and not it.errors()


def test_a_batch_has_the_time_of_its_longest_job():
    it = busy_herd()
    for tokens in (450, 300, 4):
        it.pay(ALICE, 1 + 2 + tokens, tokens=tokens)
    it.answer()
    assert [job["Tokens"] for job in it.batches()[-1]] == ["450", "300", "4"]
    it.later(2 + 450 * 2 / 60 - 0.5)
    assert it.worker_state() == "busy"
    it.later(0.5)
    assert it.worker_state() == "quarantined"


def test_a_late_batch_answer_changes_nothing_and_brings_the_worker_back():
    it = a_batch_of_three(workers=2)
    late = json.dumps([answer_to(job) for job in it.batches(0)[-1]])
    it.later(10)
    it.pay(BOB, NEEDED, prompt="waits here")
    before = it.ledger()
    it.say_batch(0, late)
    assert it.ledger() == before and not it.answers()
    assert it.worker_state(0) == "busy" and it.jobs(0)[-1].data == "waits here"  # what failed here is not tried here
    it.say_batch(0, late)
    assert it.ledger() == before and not it.answers() and it.worker_state(0) == "busy"


def test_a_batch_answer_that_comes_twice_counts_once():
    it = a_batch_of_three()
    said = json.dumps([answer_to(job) for job in it.batches()[-1]])
    it.say_batch(0, said)
    for prompt in ("four", "five", "six"):
        it.pay(ALICE, NEEDED, prompt=prompt)
    it.answer()
    assert it.given()[-1] == ["five", "six"]
    it.say_batch(0, said)
    assert len(it.answers()) == 4 and it.worker_state() == "busy"
    it.answer_batch()
    assert [answer.data for answer in it.answers()][-2:] == ["an answer to five", "an answer to six"]


def test_a_worker_that_is_retired_ends_its_batch_first():
    it = a_batch_of_three()
    it.send(OPERATOR, HERDER, "Retire-Worker", Worker=worker_id(0))
    assert it.worker_state() == "busy"
    it.answer_batch()
    assert len(it.answers()) == 3 and it.worker_state() == "retired"


def test_queue_tells_how_many_jobs_a_worker_is_at():
    it = a_batch_of_three(workers=2)
    queue = it.ask(BOB, HERDER, "Queue").tags
    assert (queue["Running"], queue["Queue-Length"], queue["Held"]) == ("3", "0", "39")
    assert (shown(it, 0)["jobs"], shown(it, 0)["job"], shown(it, 0)["tokens"]) == (3, "job-2", 10)
    assert (shown(it, 1)["jobs"], shown(it, 1)["state"]) == (0, "idle")
    assert it.ask(ALICE, HERDER, "Status", X_Reference="three").tags["Worker"] == worker_id(0)


def test_a_job_that_runs_in_a_batch_is_not_cancelled():
    it = a_batch_of_three()
    for reference in ("one", "two", "three"):
        assert it.ask(ALICE, HERDER, "Cancel", X_Reference=reference).tags["Error"] == "The job runs already"
    it.answer_batch()
    assert len(it.answers()) == 3


def test_speed_is_learned_from_the_longest_of_a_batch():
    it = a_batch_of_three()
    before = it.herd("herd.us_per_token")
    it.clock.pass_ms(800)
    it.answer_batch(job_2={"Tokens-Used": "4"}, job_3={"Tokens-Used": "8"}, job_4=broken("bad-request"))
    assert it.herd("herd.us_per_token") == (7 * before + 100_000) // 8


def test_a_batch_in_which_nothing_was_made_teaches_no_speed():
    it = a_batch_of_three()
    before = it.herd("herd.us_per_token")
    it.clock.pass_ms(800)
    it.answer_batch(job_2={"Tokens-Used": "0"}, job_3=broken("bad-request"), job_4={"Tokens-Used": "x"})
    assert it.herd("herd.us_per_token") == before


# Company: where answers come at once, a job waits for a worker at work rather than go to an idle one alone


def quick_herd(batch: str | None = "8", took_ms: int = 5) -> HerdStory:
    """A herd of two workers that have answered once. Worker 0 is at a job of Bob's again; the other is idle."""
    it = HerdStory(workers=0)
    for number in range(2):
        it.register(number, **({"Batch": batch} if batch else {}))
    for _ in range(2):
        it.pay(BOB, NEEDED, prompt="busy now")
    it.clock.pass_ms(took_ms)
    for number in range(2):
        it.answer(number)
    it.pay(BOB, NEEDED, prompt="busy again")
    assert (it.worker_state(0), it.worker_state(1)) == ("busy", "idle")
    return it


def test_a_job_waits_for_a_quick_worker_at_work_and_goes_with_those_that_come_meanwhile():
    it = quick_herd()
    for prompt in ("one", "two", "three"):
        it.pay(ALICE, NEEDED, prompt=prompt)
    assert it.given()[3:] == [] and it.worker_state(1) == "idle"
    it.answer()
    assert it.given()[3:] == [["one", "two", "three"]] and it.worker_state(0) == "idle"


def test_as_soon_as_they_are_company_enough_another_worker_gets_them():
    it = quick_herd()
    for prompt in ("one", "two", "three", "four", "five"):
        it.pay(ALICE, NEEDED, prompt=prompt)
    assert it.given()[3:] == [["one", "two", "three", "four"]] and len(it.batches(1)) == 1
    it.answer()  # the fifth waits for the other one now
    assert it.given()[4:] == [] and it.worker_state(0) == "idle"
    it.answer_batch(1)
    assert it.given()[4:] == ["five"]


def test_it_does_not_wait_for_one_that_takes_longer_than_it_should():
    it = quick_herd()
    it.pay(ALICE, NEEDED, prompt="one")
    it.clock.pass_ms(101)
    assert it.given()[3:] == []  # nobody has told the herder yet
    it.pay(ALICE, NEEDED, prompt="two")
    assert it.given()[3:] == [["one", "two"]] and it.batches(1)


@pytest.mark.parametrize("action", ["Status", "Cron", "Quote", "Noise", "Worker-Heartbeat"])
def test_any_message_that_the_herder_handles_lets_it_look_again(action):
    it = quick_herd()
    it.pay(ALICE, NEEDED, prompt="one")
    it.clock.pass_ms(101)
    it.send(BOB, HERDER, action)
    assert it.given()[3:] == ([] if action == "Noise" else ["one"])


@pytest.mark.parametrize(
    "why, herd, tags",
    [("it is slow", {"took_ms": 101}, {}), ("it takes one at a time", {"batch": "1"}, {}),
     ("it does not say that it takes more", {"batch": None}, {}), ("the job is told in pieces", {}, {"X_Stream": "4"})],
)  # fmt: skip
def test_a_job_goes_to_the_idle_worker_at_once_where_company_brings_nothing(why, herd, tags):
    it = quick_herd(**herd)
    it.pay(ALICE, NEEDED, prompt="one", **tags)
    assert it.given()[3:] == ["one"] and it.worker_state(1) == "busy", why


def test_nor_does_it_wait_for_a_worker_of_another_model():
    it = quick_herd()
    it.register(2, model="OTHER", Model_Name="other", Batch="8")
    it.pay(ALICE, NEEDED, prompt="there", X_Model="other")
    assert it.given()[3:] == ["there"]


def test_a_job_tried_before_goes_to_the_idle_worker_at_once():
    it = quick_herd()
    for prompt in ("one", "two", "three", "four"):
        it.pay(ALICE, NEEDED, prompt=prompt)
    it.register(2, Batch="8")
    it.answer_batch(1, job_4=broken(), job_5=broken(), job_6=broken())
    assert it.worker_state(0) == "busy" and it.given()[4:] == ["one"] and only(it.jobs(2)).data == "one"


def test_how_soon_a_worker_answers_is_learned_from_each_of_its_answers():
    it = HerdStory(workers=0)
    it.register(0, Batch="8")
    usual = []
    for took_ms in (200, 40, 40, 40):
        it.pay(BOB, NEEDED)
        it.clock.pass_ms(took_ms)
        it.answer()
        usual.append(it.herd(f'herd.workers["{worker_id(0)}"].usual_ms'))
    assert usual == [200, 160, 130, 107]
    it.pay(BOB, NEEDED)
    it.clock.pass_ms(900)
    it.fail()
    it.answer(Tokens_Used="0")
    assert it.herd(f'herd.workers["{worker_id(0)}"].usual_ms') == 107


# What a turn pays back goes to the token together


def paid_back(it: HerdStory) -> list[list[str]]:
    """The references of all that the herder ever paid back, as they went to the token."""
    sends = [entry for e in it.log if e.process == HERDER for entry in e.sent if entry.target == TOKEN]
    return [
        [each.get("X-Reference") for each in ([entry.tags] if entry.action == "Transfer" else json.loads(entry.data))]
        for entry in sends
        if entry.action in ("Transfer", "Transfer-Batch")
    ]


def came_back(it: HerdStory) -> list:
    return [notice for notice in it.received(ALICE, "Credit-Notice") if notice.tags["Sender"] == HERDER]


def questions(it: HerdStory) -> int:
    """How often the herder asked its token what it can do."""
    sends = [entry for e in it.log if e.process == HERDER for entry in e.sent if entry.target == TOKEN]
    return sum(entry.action == "Info" for entry in sends)


def refund_together(it: HerdStory, *references: str) -> None:
    """Several payers of jobs that nobody runs in time get their money back in one turn."""
    for reference in references:
        it.pay(ALICE, NEEDED, X_Reference=reference, X_Deadline=str(it.clock.now_ms + 60_000))
    it.later(2)


def test_what_goes_back_in_one_turn_goes_in_one_message_once_the_token_says_that_it_takes_it():
    it = busy_herd()
    refund_together(it, "a", "b")
    assert (paid_back(it), questions(it)) == ([["a"], ["b"]], 1)
    refund_together(it, "c", "d", "e")
    refund_together(it, "f")
    assert (paid_back(it)[2:], questions(it)) == ([["c", "d", "e"], ["f"]], 1)
    notices = came_back(it)
    assert [notice.tags["X-Reference"] for notice in notices] == list("abcdef")
    assert {(notice.tags["Quantity"], notice.tags["X-Code"]) for notice in notices} == {("13", "deadline")}
    assert it.balance(ALICE) == MONEY and not it.received(HERDER, "Debit-Notice") and not it.errors(HERDER)


def test_an_answer_to_several_pays_back_what_is_left_of_each_in_one_message():
    it = a_batch_of_three()
    it.herd("(function() herd.transfers = 50 end)()")
    it.answer_batch(job_2={"Tokens-Used": "4"}, job_3={"Tokens-Used": "10"}, job_4={"Tokens-Used": "1"})
    assert paid_back(it) == [["one", "three"]]
    notices = came_back(it)
    assert [(n.tags["X-Reference"], n.tags["Quantity"], n.tags["X-Code"]) for n in notices] == [
        ("one", "7", "settled"), ("three", "10", "settled"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "said, most",
    [("2", 2), ("50", 50), ("51", 50), ("9" * 15, 50), ("1", None), ("0", None), ("-3", None), ("x", None),
     ("1e1", None), ("9" * 40, None), (None, None)],
)  # fmt: skip
def test_what_a_token_says_it_takes_is_a_whole_number_within_bounds_or_nothing(said, most):
    it = busy_herd()
    it.speak(TOKEN, HERDER, "Info-Response", **({"Transfer_Batch": said} if said else {}))
    assert it.herd("herd.transfers") == most


def test_what_a_stranger_says_of_the_token_is_nothing():
    it = busy_herd()
    it.speak(worker_id(0), HERDER, "Info-Response", Transfer_Batch="50")
    it.send(BOB, HERDER, "Info-Response", Transfer_Batch="50")
    assert it.herd("herd.transfers") is None


def test_more_than_the_token_takes_at_once_goes_in_parts():
    it = busy_herd()
    it.speak(TOKEN, HERDER, "Info-Response", Transfer_Batch="3")
    refund_together(it, *"abcdefg")
    assert paid_back(it) == [list("abc"), list("def"), ["g"]] and it.balance(ALICE) == MONEY


def test_a_token_that_does_not_take_them_is_asked_once_a_day():
    """A published token answers Info and says nothing of the kind."""
    it = busy_herd()
    it.processes[TOKEN].lua.execute("Handlers.remove('Info')")
    for times in (1, 2):
        refund_together(it, "a", "b")
        refund_together(it, "c", "d")
        assert questions(it) == times
        it.later(24 * 60)
    assert [each for each in paid_back(it) if each[0] in "abcd"] == [[each] for each in "abcdabcd"]
    assert it.balance(ALICE) == MONEY


def test_a_withdrawal_goes_by_itself_because_its_end_is_waited_for():
    it = busy_herd()
    it.herd("(function() herd.transfers = 50 end)()")
    it.answer()
    for reference in "ab":
        it.pay(ALICE, NEEDED, X_Reference=reference, X_Deadline=str(it.clock.now_ms + 60_000))
    it.pay(ALICE, NEEDED, X_Reference="c", X_Deadline=str(it.clock.now_ms + 60_000))
    it.clock.pass_ms(120_000)
    it.send(OPERATOR, HERDER, "Withdraw")
    assert sorted(paid_back(it)) == [["b", "c"], ["withdraw-1"]]
    assert it.herd("next(herd.withdrawals)") is None and it.ledger()["withdrawn"] == 13


def test_a_turn_that_fails_leaves_the_token_unasked():
    it = busy_herd()
    for reference in "ab":
        it.pay(ALICE, NEEDED, X_Reference=reference, X_Deadline=str(it.clock.now_ms + 60_000))
    it.processes[HERDER].lua.execute("Herd.ledger.credits = '999'")
    before = it.image()
    it.clock.pass_ms(120_000)
    it.send(OPERATOR, HERDER, "Cron")
    assert it.image() == before and questions(it) == 0


def test_two_hundred_calls_in_batches_all_finish_each_paid_once():
    it = HerdStory(workers=0)
    for number in range(3):
        it.register(number, Batch=str(number * 3 + 2))
    for n in range(200):
        it.pay(ALICE, NEEDED, prompt=f"call {n}", tokens=str(4 + n % 7), X_Reference=f"call-{n}")
    while it.herd("next(herd.jobs)"):
        for number in range(3):
            at = shown(it, number)["jobs"]
            if at:
                it.answer(number) if at == 1 else it.answer_batch(number)
    assert sorted(answer.tags["X-Reference"] for answer in it.answers()) == sorted(f"call-{n}" for n in range(200))
    assert not it.errors() and it.ledger()["held"] == 0
    assert max(len(batch) for number in range(3) for batch in it.batches(number)) == 8


def test_an_answer_that_says_it_is_json_and_cannot_be_read_is_a_failure_of_its_worker():
    herd = HerdStory(workers=2)
    herd.pay(ALICE, 13)
    herd.answer(0, "[1, null, 2]", Content_Type="application/json")
    assert herd.received(ALICE, "Inference-Response") == [] and len(herd.jobs(1)) == 1
    herd.answer(1, "[1, 2]", Content_Type="application/json")
    (told,) = herd.received(ALICE, "Inference-Response")
    assert json.loads(told.data) == [1, 2] and told.tags["Worker"] == worker_id(1)
