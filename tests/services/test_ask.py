"""The Python client against the real programs: what it returns, what it refuses before paying, what it raises after."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.herd_story import HERDER, TOKEN, HerdStory, worker_id
from services.story import ALICE, BOB, MODEL, OPERATOR, FakeEngine
from services.story_link import Events, StoryLink

from puna.arweave.wallet import new_ed25519_wallet
from puna.errors import Invalid, NotYet
from puna.services import programs
from puna.services.herder import client
from puna.services.herder.client import Ticker, ask, count_words, prices, quote
from puna.services.token.client import balance, format_war, info, transfer

WALLET = new_ed25519_wallet()
RICH = 10**13


class Ids:
    token, herder = TOKEN, HERDER


class Ticks:
    """A clock that moves one second whenever it is read."""

    now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


def network(workers: int = 1, money: int = RICH, real: bool = True, **engine):
    """A story with real workers, the wallet's money in it, and a link to it all."""
    it = HerdStory(workers=0, money={WALLET.address: money, BOB: RICH}, engine=FakeEngine(**engine))
    for number in range(workers):
        if real:
            it.spawn(f"WORKER{number}", programs.source(programs.WORKER), Herder=HERDER, Model=MODEL, Extension="Llama")
        it.register(number)
    it.wallets.setdefault(WALLET.address, [])
    link = StoryLink(it)
    link.seen = len(it.log)
    return it, link


async def test_an_answer_comes_with_its_whole_receipt():
    it, link = network(text="to eat grass")
    heard = []
    answer = await ask(
        link, WALLET, Ids, "What is the meaning of life?", 20, on_text=heard.append, monotonic=Ticks(), reference="life"
    )
    assert answer.text == "to eat grass" and "".join(heard) == answer.text and len(heard) == 3
    assert (answer.tokens, answer.prompt_tokens, answer.finish) == (3, 11, "stop")
    assert (answer.model, answer.model_id, answer.canonical) == ("Fake", MODEL, True)
    # Paid for 20 tokens, 3 were made: base 1, six words, three tokens.
    assert (answer.paid_winston, answer.fee_winston, answer.refund_winston) == (27, 10, 17)
    assert (answer.base_fee, answer.token_fee, answer.prompt_count, answer.counted) == (1, 1, 6, "words")
    assert (answer.prompt_ids, answer.token_ids) == (tuple(range(1, 12)), (10_000, 10_001, 10_002))
    assert answer.reference == "life" and answer.payment.startswith("message-")
    assert (answer.token, answer.herder, answer.worker) == (TOKEN, HERDER, worker_id(0))
    assert answer.transfer == link.submitted[0].id
    assert answer.inference.startswith("message-") and answer.response.startswith("stored-")
    assert 0 < answer.seconds_first_token < answer.seconds_total and answer.seconds_generate > 0
    assert await balance(link, TOKEN, WALLET.address) == RICH - 10
    # What it signed itself the wallet is not told.
    assert [e.action for e in it.wallets[WALLET.address]] == ["Credit-Notice", "Inference-Response", "Credit-Notice"]


def test_what_may_be_half_a_character_waits_and_nothing_follows_a_token_that_was_missed():
    said = []
    ticker = Ticker(said.append)
    for index, text in enumerate(["a", "\ufffd", "b\ufffd"]):
        ticker.hear(index, text)
    assert said == ["a", "\ufffdb"]
    ticker.hear(4, "d")
    ticker.hear(5, "e")
    ticker.settle("a\ufffdb")
    assert said == ["a", "\ufffdb"]
    ticker.settle("a\ufffdbcde")
    assert said[-1] == "cde"


async def test_options_travel_to_the_engine():
    it, link = network(text="one END two")
    answer = await ask(link, WALLET, Ids, "hi", 9, stop=["END"], temperature=0.25, seed=4, model="fake")
    asked = it.engine.requests[-1]
    assert (asked["stop"], asked["temperature"], asked["seed"], asked["limit"]) == (["END"], 0.25, 4, 9)
    assert answer.text == "one "


@pytest.mark.parametrize(
    "prompt, options, ahead",
    [
        ("x" * 3000, {}, 0),
        ("word " * 700, {}, 1),
        ("ä" * 1501, {}, 1),
        ("x" * 3000, {"stop": ["\x01" * 64] * 4}, 1),
        ("word " * 500, {"system": "be brief " * 200}, 1),
        ("word " * 1500, {"system": "be brief " * 400}, 2),
        ("hi", {"system": "be brief " * 400}, 1),
        ("hi", {"system": "be brief", "top_p": 0.5}, 0),
    ],
)
async def test_texts_that_do_not_fit_into_a_payment_are_sent_ahead_of_it(prompt, options, ahead):
    it, link = network(text="fine", context=9000)
    answer = await ask(link, WALLET, Ids, prompt, 5, reference="r" * 128, **options)
    assert (answer.text, len(link.submitted)) == ("fine", 1 + ahead)
    chat = next(asked for asked in it.engine.requests if asked["op"] == "chat")
    roles = {message["role"]: message["content"] for message in chat["messages"]}
    assert roles == {"user": prompt} | ({"system": options["system"]} if "system" in options else {})
    assert it.herd("herd.texts") == 0 and not it.dropped
    assert it.engine.requests[-1]["top_p"] == options.get("top_p", 1)


async def test_a_herder_that_cannot_keep_another_prompt_is_told_before_paying():
    it, link = network()
    it.send(OPERATOR, HERDER, "Set-Limits", **{"Max-Queued-Per-Payer": "1"})
    it.send(WALLET.address, HERDER, "Prompt", "already here", Label="x")
    with pytest.raises(NotYet, match="did not keep the prompt: Too many prompts wait"):
        await ask(link, WALLET, Ids, "word " * 700, 5)
    assert await balance(link, TOKEN, WALLET.address) == RICH


@pytest.mark.parametrize(
    "prompt, tokens, options, what",
    [
        ("", 5, {}, "The prompt is empty"),
        (" \n", 5, {}, "The prompt is empty"),
        ("hi", 0, {}, "0 tokens are no answer"),
        ("hi", -3, {}, "-3 tokens are no answer"),
        ("hi", 513, {}, "513 tokens are too many: the herder takes 1 to 512"),
        ("x" * 32769, 5, {}, "The herder cannot run this: The prompt has 32769 bytes, at most 32768 are taken"),
        ("hi", 5, {"system": "ä" * 16385}, "The system text has 32770 bytes; the herder takes 32768"),
        ("hi", 5, {"top_p": 0}, "top_p 0 is not between"),
        ("hi", 5, {"top_p": 1.5}, "top_p 1.5 is not between"),
        ("hi", 5, {"stop": ["a"] * 5}, "At most 4 stop texts"),
        ("hi", 5, {"temperature": 2.5}, "The temperature 2.5"),
        ("hi", 5, {"seed": -1}, "The seed -1"),
        ("hi", 5, {"reference": "r" * 129}, "A reference has 1 to 128 bytes"),
        ("hi", 5, {"model": "unknown"}, "The herder cannot run this: No worker offers this model"),
    ],
)
async def test_what_would_be_refunded_is_refused_before_paying(prompt, tokens, options, what):
    _, link = network()
    with pytest.raises(Invalid) as caught:
        await ask(link, WALLET, Ids, prompt, tokens, **options)
    assert caught.value.what.startswith(what) and caught.value.todo
    assert not link.submitted


async def test_too_little_war_is_told_with_both_figures_before_paying():
    _, link = network(money=26)
    with pytest.raises(Invalid) as caught:
        await ask(link, WALLET, Ids, "What is the meaning of life?", 20)
    assert "0.000000000027 wAR (27 winston)" in caught.value.what
    assert "0.000000000026 wAR (26 winston)" in caught.value.what
    assert not link.submitted


async def test_an_underpaid_request_says_what_came_back():
    _, link = network()
    with pytest.raises(Invalid) as caught:
        await ask(link, WALLET, Ids, "What is the meaning of life?", 20, fee_winston=26)
    assert caught.value.what == "The payment was too small: 27 winston are needed."
    assert "26 winston) came back" in caught.value.todo
    assert await balance(link, TOKEN, WALLET.address) == RICH


async def test_a_transfer_error_after_the_check_is_recognised():
    it, link = network(money=30)
    it.send(OPERATOR, TOKEN, "Info")
    real = link.preview

    async def flattering(process, message):
        answer = await real(process, message)
        for entry in answer.messages:
            entry["Tags"] = [{**t, "value": "999"} if t["name"] == "Balance" else t for t in entry["Tags"]]
        return answer

    link.preview = flattering
    with pytest.raises(Invalid, match="The token refused the payment: Insufficient Balance!"):
        await ask(link, WALLET, Ids, "hi", 5, fee_winston=500)


async def test_a_full_context_is_refunded_with_the_reason_and_advice():
    _, link = network(context=20)
    with pytest.raises(Invalid) as caught:
        await ask(link, WALLET, Ids, "hi", 30)
    assert caught.value.what == "The request was refunded: context full: 6 + 30 tokens. Shorten the prompt."
    assert await balance(link, TOKEN, WALLET.address) == RICH


async def test_a_broken_worker_is_refunded_as_something_to_try_later():
    _, link = network(workers=2, trouble="the engine is on fire")
    with pytest.raises(NotYet, match="the engine is on fire") as caught:
        await ask(link, WALLET, Ids, "hi", 5)
    assert "came back to you" in caught.value.todo
    assert await balance(link, TOKEN, WALLET.address) == RICH


async def test_a_queued_request_is_answered_in_the_journey_of_somebody_else():
    it, link = network(real=False)
    it.pay(BOB, 1000, prompt="first")
    link.seen = len(it.log)

    def free_the_worker():
        link.root = "R" * 43
        it.answer(0, "for bob")

    def answer_us():
        it.answer(0, "for us")

    link.later.extend([free_the_worker, answer_us])
    answer = await ask(link, WALLET, Ids, "hi", 5)
    assert answer.text == "for us" and answer.worker == worker_id(0)


async def test_a_job_that_lost_its_worker_is_followed_to_the_next_one():
    it, link = network(workers=2, real=False)
    it.pay(BOB, 1000, prompt="first")
    link.seen = len(it.log)
    fetched = []
    results = link.result

    async def counted(process, message):
        fetched.append(process)
        return await results(process, message)

    def our_worker_fails():
        link.publish({"kind": "evaluated", "root": link.root, "process": worker_id(1), "message": "m", "error": None})
        it.fail(1)

    def the_other_is_free():
        link.root = "R" * 43
        it.answer(0, "for bob")

    def it_speaks():
        link.publish({"kind": "token", "process": worker_id(0), "index": 0, "text": "for "})
        link.publish({"kind": "token", "process": worker_id(1), "index": 1, "text": "nobody"})
        it.answer(0, "for us")

    link.result = counted
    link.later.extend([our_worker_fails, the_other_is_free, it_speaks])
    heard = []
    answer = await ask(link, WALLET, Ids, "hi", 5, on_text=heard.append)
    assert (answer.text, answer.worker, heard) == ("for us", worker_id(0), ["for ", "us"])
    assert fetched == [HERDER] * 3  # the payment, the failure, the second lease: the answer is in its event


async def test_who_does_not_listen_reads_no_outbox_and_still_learns_worker_and_times():
    it, link = network(workers=2, real=False)
    it.pay(BOB, 1000, prompt="first")
    link.seen = len(it.log)
    read = []
    link.result = lambda process, message: read.append(message)

    def work(number):
        where = {"root": link.root, "process": worker_id(number), "message": f"m{number}"}
        link.publish({**where, "kind": "assigned"})
        link.publish({**where, "kind": "token", "index": 0, "text": "for"})
        link.publish({**where, "kind": "evaluated", "error": None})

    def ours_is_the_second():
        work(1)
        work(0)
        it.answer(0, "for bob")
        it.answer(1, "for us")

    link.later.append(ours_is_the_second)
    answer = await ask(link, WALLET, Ids, "hi", 5, monotonic=Ticks())
    assert (answer.text, answer.worker, read) == ("for us", worker_id(1), [])
    # The clock ticks once for each: asking, getting the job, the first token, the end of it; then for Bob's, and ours.
    assert (answer.seconds_first_token, answer.seconds_generate, answer.seconds_total) == (2, 2, 7)


async def test_an_answer_too_long_for_an_event_is_read_whole():
    it, link = network(real=False)
    publish = link.publish

    def cut(event):
        if event["kind"] == "stored":
            event = {**event, "cut": True, "item": {**event["item"], "data": event["item"]["data"][:3]}}
        publish(event)

    link.publish = cut
    link.later.append(lambda: it.answer(0, "whole answer"))
    answer = await ask(link, WALLET, Ids, "hi", 5)
    assert answer.text == "whole answer" and answer.response.startswith("stored-")


async def test_the_text_is_said_in_full_even_when_no_token_event_came():
    it, link = network(real=False)
    link.later.append(lambda: it.answer(0, "whole answer"))
    heard = []
    await ask(link, WALLET, Ids, "hi", 5, on_text=heard.append)
    assert heard == ["whole answer"]


async def test_an_answer_of_no_tokens_is_empty():
    it, link = network(real=False)
    link.later.append(lambda: it.answer(0, " ", Tokens_Used="0"))
    assert (await ask(link, WALLET, Ids, "hi", 5)).text == ""


async def test_patience_ends_with_a_clear_word():
    _, link = network(real=False)
    with pytest.raises(NotYet, match="is still with the herder"):
        await ask(link, WALLET, Ids, "hi", 5)


async def test_a_silent_worker_is_noticed_although_nobody_else_writes(monkeypatch):
    monkeypatch.setattr(client, "POKES_S", (0,))
    it, link = network(real=False)
    link.later.extend([lambda: it.clock.pass_ms(10 * 60_000)] + [lambda: None] * 5)
    link.later.extend([lambda: it.clock.pass_ms(50 * 60_000)] + [lambda: None] * 5)
    with pytest.raises(NotYet, match="The deadline passed before a worker was free"):
        await ask(link, WALLET, Ids, "hi", 5)
    assert it.worker_state() == "quarantined" and await balance(link, TOKEN, WALLET.address) == RICH


async def test_a_node_that_stops_before_it_answers_is_told_from_a_defect():
    _, link = network()

    class Ended(Events):
        async def __anext__(self):
            raise StopAsyncIteration

    link.events = lambda root=None: Ended(link)
    with pytest.raises(NotYet, match="stopped telling its news before request life.*not lost"):
        await ask(link, WALLET, Ids, "hi", 5, reference="life")


async def test_prices_and_quotes_are_typed():
    it, link = network()
    published = await prices(link, HERDER)
    assert (published.base_fee, published.token_fee, published.multiplier) == (1, 1, "1")
    assert (published.tokens_max, published.prompt_bytes_max, published.workers_idle) == (512, 3000, 1)
    assert (published.text_bytes_max, published.counted_with_model, published.paused) == (32768, "words", False)
    offered = await quote(link, HERDER, "What is the meaning of life?", 20)
    assert (offered.needed, offered.price, offered.words, offered.model) == (27, 27, 6, MODEL)
    assert (offered.ahead, offered.wait_ms) == (0, 0) and offered.duration_ms > 0
    with pytest.raises(Invalid, match="X-Tokens must be a whole number"):
        await quote(link, HERDER, "hi", 0)


async def test_a_quote_is_the_exact_price_of_what_is_then_paid():
    it, link = network(real=False, workers=1)
    it.pay(BOB, 99, prompt="busy")
    it.pay(BOB, 99, prompt="waits")
    offered = await quote(link, HERDER, "one two", 5)
    assert offered.queue_length == 1 and offered.price == 8 * 4 * 1005 // 1000


async def test_the_token_client_transfers_and_tells():
    it, link = network()
    assert (await info(link, TOKEN)).ticker == "wAR"
    await transfer(link, WALLET, TOKEN, ALICE, 5)
    assert await balance(link, TOKEN, ALICE) == 5
    with pytest.raises(Invalid, match="Insufficient Balance!"):
        await transfer(link, WALLET, TOKEN, ALICE, RICH)
    with pytest.raises(Invalid, match="greater than 0"):
        await transfer(link, WALLET, TOKEN, ALICE, 0)


async def test_a_process_that_does_not_answer_is_named():
    it, link = network()
    with pytest.raises(NotYet, match="does not answer"):
        await prices(link, TOKEN)
    with pytest.raises(NotYet, match="does not answer"):
        await balance(link, HERDER, ALICE)


@pytest.mark.parametrize("prompt, words", [("What is the meaning of life?", 6), ("", 0), ("a_b-c9 ä1", 4), ("日本", 0)])
def test_words_are_counted_as_the_herder_counts_them(prompt, words):
    assert count_words(prompt) == words
    it = HerdStory()
    if prompt:
        assert it.ask(ALICE, HERDER, "Quote", prompt, Tokens="1").tags["Words"] == str(words)


def test_war_is_written_with_every_digit_that_matters():
    assert [format_war(n) for n in (0, 27, 10**12, 999999673, 10**13 + 5 * 10**11)] == [
        "0", "0.000000000027", "1", "0.000999999673", "10.5",
    ]  # fmt: skip


@given(st.lists(st.text("ab", max_size=4), max_size=9), st.integers(0, 9), st.integers(1, 4), st.integers(1, 4))
def test_a_ticker_says_each_piece_once_even_when_the_job_runs_twice(pieces, crash, first, second):
    def told(pieces, together):
        for index in range(0, len(pieces), together):
            some = pieces[index : index + together]
            yield index, "".join(some), len(some)

    said = []
    ticker = Ticker(said.append)
    for index, text, tokens in [*told(pieces[:crash], first), *told(pieces, second)]:
        ticker.hear(index, text, tokens)
        assert "".join(pieces).startswith("".join(said))
    assert "".join(said) == "".join(pieces)
    ticker.settle("".join(pieces) + " end")
    assert "".join(said) == "".join(pieces) + " end"


async def test_while_a_request_is_open_the_herder_is_made_to_look_soon_and_then_now_and_again():
    it, link = network()
    slept, asked = [], []

    class Enough(Exception):
        pass

    async def sleep(seconds):
        slept.append(seconds)
        asked.append(len(it.received(WALLET.address, "Status-Response")))
        if len(slept) == 4:
            raise Enough

    with pytest.raises(Enough):
        await client.poke(link, WALLET, HERDER, "mine", sleep=sleep)
    assert slept == [5, 610, 610, 610] and asked == [0, 1, 2, 3]


async def test_a_herder_that_cannot_be_reached_is_asked_again_later():
    _, link = network()
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            raise TimeoutError

    async def refuse(item):
        raise NotYet("The node is stopping.")

    link.submit = refuse
    with pytest.raises(TimeoutError):
        await client.poke(link, WALLET, HERDER, "mine", sleep=sleep)
    assert slept == [5, 610, 610]
