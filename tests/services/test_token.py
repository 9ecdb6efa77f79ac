"""The token: transfers, notices, refusals, conservation. Numbers are those of the conformance checklist."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.story import ALICE, BOB, OPERATOR, named_id, token_story

HUGE = str(2**256 + 5)


@pytest.fixture
def it():
    story, token = token_story()
    story.send(OPERATOR, token, "Mint", Recipient=ALICE, Quantity="1000")
    return story


TOKEN = named_id("TOKEN")


def balances(story) -> dict[str, int]:
    return {who: int(units) for who, units in json.loads(story.ask(BOB, TOKEN, "Balances").data).items()}


def supply(story) -> int:
    return int(story.ask(BOB, TOKEN, "Total-Supply").data)


def test_43_answers_info_balance_balances_and_total_supply(it):
    info = it.ask(BOB, TOKEN, "Info").tags
    assert (info["Name"], info["Ticker"], info["Denomination"], info["Supply"]) == ("TOKEN", "wAR", "12", "1000")
    mine = it.ask(ALICE, TOKEN, "Balance")
    assert (mine.data, mine.tags["Balance"], mine.tags["Ticker"], mine.tags["Account"]) == (
        "1000",
        "1000",
        "wAR",
        ALICE,
    )
    assert it.ask(BOB, TOKEN, "Balance", Recipient=ALICE).data == "1000"
    assert it.ask(ALICE, TOKEN, "Balance", Target=BOB).data == "0"
    assert balances(it) == {ALICE: 1000}
    assert supply(it) == 1000


def test_44_a_transfer_tells_both_sides_with_all_x_tags(it):
    tags = {"X-Prompt": "hi", "x-tokens": "3", "X-Reference": "mine"}
    it.send(ALICE, TOKEN, "Transfer", Recipient=BOB, Quantity="10", Cast_Not="x", **tags)
    (credit,), (debit,) = it.received(BOB, "Credit-Notice"), it.received(ALICE, "Debit-Notice")
    for notice in (credit, debit):
        assert (notice.tags["X-Prompt"], notice.tags["X-Tokens"], notice.tags["X-Reference"]) == ("hi", "3", "mine")
        assert notice.tags["Quantity"] == "10"
    assert credit.tags["Sender"] == ALICE
    assert debit.tags["Recipient"] == BOB


def test_44_cast_suppresses_both_notices(it):
    it.send(ALICE, TOKEN, "Transfer", Recipient=BOB, Quantity="10", Cast="true")
    assert not it.received(BOB, "Credit-Notice") and not it.received(ALICE, "Debit-Notice")
    assert balances(it) == {ALICE: 990, BOB: 10}


def test_a_credit_without_reference_carries_none_but_the_debit_answers_the_message(it):
    it.send(ALICE, TOKEN, "Transfer", Recipient=BOB, Quantity="10", Reference="7")
    assert "X-Reference" not in it.received(BOB, "Credit-Notice")[0].tags
    assert it.received(ALICE, "Debit-Notice")[0].tags["X-Reference"] == "7"


def test_45_spending_too_much_is_told_and_changes_nothing(it):
    evaluation = it.send(ALICE, TOKEN, "Transfer", Recipient=BOB, Quantity="1001", X_Reference="r")
    (error,) = it.received(ALICE, "Transfer-Error")
    assert error.tags["Error"] == "Insufficient Balance!"
    assert error.tags["Message-Id"] == evaluation.message
    assert error.tags["X-Reference"] == "r"
    assert balances(it) == {ALICE: 1000}


@pytest.mark.parametrize(
    "quantity", ["-5", "0", "00", "1.5", "0x10", "+5", "005", "1e3", " 5", "5 ", "", HUGE, "9" * 40]
)
def test_46_refuses_quantities_that_are_no_plain_positive_number(it, quantity):
    it.send(ALICE, TOKEN, "Transfer", Recipient=BOB, Quantity=quantity)
    assert len(it.received(ALICE, "Transfer-Error")) == 1
    assert balances(it) == {ALICE: 1000}


@pytest.mark.parametrize(
    "tags, error",
    [
        ({"Quantity": "5"}, "Recipient is required!"),
        ({"Recipient": BOB}, "Quantity is required!"),
        ({"Recipient": BOB, "Quantity": "-5"}, "Quantity must be greater than 0"),
        ({"Recipient": "b o b", "Quantity": "5"}, "Recipient must be an address"),
        ({"Recipient": BOB, "Quantity": "5", "X-A": "a" * 3000, "X-B": "b" * 600}, "The X- tags are too long"),
    ],
)
def test_every_refusal_names_its_reason(it, tags, error):
    it.send(ALICE, TOKEN, "Transfer", **tags)
    assert it.received(ALICE, "Transfer-Error")[0].tags["Error"].startswith(error)
    assert not it.dropped


def test_the_longest_notices_that_pass_still_fit_into_items(it):
    it.send(ALICE, TOKEN, "Transfer", Recipient=BOB, Quantity="9", X_Prompt="p" * 3000, X_Other="o" * 470)
    assert it.received(BOB, "Credit-Notice") and it.received(ALICE, "Debit-Notice") and not it.dropped


def test_a_transfer_to_oneself_changes_nothing(it):
    it.send(ALICE, TOKEN, "Transfer", Recipient=ALICE, Quantity="1000")
    assert balances(it) == {ALICE: 1000} and it.received(ALICE, "Credit-Notice")


def test_only_the_minter_mints(it):
    it.send(ALICE, TOKEN, "Mint", Recipient=ALICE, Quantity="5")
    assert it.received(ALICE, "Mint-Error")[0].tags["Error"] == "Only the minter can mint new wAR tokens!"
    assert supply(it) == 1000


def test_minting_cannot_make_the_supply_outgrow_its_digits(it):
    it.send(OPERATOR, TOKEN, "Mint", Recipient=BOB, Quantity="9" * 39)
    assert it.received(OPERATOR, "Mint-Error") and supply(it) == 1000


def test_balances_beyond_64_bits_are_exact(it):
    it.send(OPERATOR, TOKEN, "Mint", Recipient=BOB, Quantity="123456789012345678901234567890123456789")
    it.send(BOB, TOKEN, "Transfer", Recipient=ALICE, Quantity="123456789012345678901234567890123456788")
    assert balances(it) == {BOB: 1, ALICE: 123456789012345678901234567890123457788}


def test_a_flood_of_unknown_messages_does_not_grow_the_inbox(it):
    for n in range(5):
        it.send(BOB, TOKEN, "Noise", data="x" * 1000, Number=str(n))
    assert it.processes[TOKEN].eval("#Inbox") == 1


PEOPLE = st.sampled_from([ALICE, BOB, OPERATOR])
QUANTITIES = st.one_of(st.integers(-3, 1500).map(str), st.sampled_from(["1.5", HUGE, "0x10", "+5", ""]))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["Transfer", "Mint"]), PEOPLE, PEOPLE, QUANTITIES), max_size=12))
def test_46_the_sum_of_balances_is_the_supply_after_every_message(steps):
    story, _ = token_story()
    for action, sender, recipient, quantity in steps:
        story.send(sender, TOKEN, action, Recipient=recipient, Quantity=quantity)
        assert sum(balances(story).values()) == supply(story)
        assert all(units > 0 for units in balances(story).values())


WHOLE = re.compile(r"[1-9][0-9]{0,38}\Z", re.ASCII)
ANY_QUANTITY = st.one_of(
    st.integers(-10, 2000).map(str),
    st.sampled_from(
        [HUGE, str(2**256), str(2**255), "9" * 39, "9" * 40, "0x10", "+5", "005", "1e3", "5.0", "1_0", "٣"]
    ),
    st.integers(0, 2**300).map(str),
    st.text(max_size=8),
)
STEP = st.tuples(st.sampled_from(["Transfer", "Transfer", "Mint"]), PEOPLE, PEOPLE, ANY_QUANTITY, st.booleans())


@settings(max_examples=40, deadline=None)
@given(st.lists(STEP, max_size=20))
def test_46_the_token_does_what_a_ledger_of_python_integers_does(steps):
    """Any text is a quantity or refused, nothing wraps, and both sides are told exactly what moved."""
    story, _ = token_story()
    ledger, supply = dict.fromkeys((ALICE, BOB, OPERATOR), 0), 0
    for action, sender, recipient, quantity, cast in steps:
        heard = {who: len(story.wallets.get(who, ())) for who in ledger}
        tags = {"Recipient": recipient, "Quantity": quantity} | ({"Cast": "1"} if cast else {})
        story.send(sender, TOKEN, action, **tags)
        units = int(quantity) if WHOLE.match(quantity) else None
        if action == "Mint":
            done = sender == OPERATOR and units is not None and len(str(supply + units)) <= 39
            supply += units if done else 0
            ledger[recipient] += units if done else 0
        else:
            done = units is not None and ledger[sender] >= units
            ledger[sender] -= units if done else 0
            ledger[recipient] += units if done else 0
            notices = [entry for who, at in heard.items() for entry in story.wallets.get(who, ())[at:]]
            wanted = ["Credit-Notice", "Debit-Notice"] * (not cast) if done else ["Transfer-Error"]
            assert sorted(entry.action for entry in notices) == sorted(wanted)
            assert all(entry.tags["Quantity"] == str(units) for entry in notices if done)
        assert balances(story) == {who: units for who, units in ledger.items() if units}
        assert int(story.ask(BOB, TOKEN, "Total-Supply").data) == supply == sum(ledger.values())


# Many transfers in one message


def orders(*some: tuple[str, str, dict[str, str]]) -> list[dict[str, str]]:
    return [{"Recipient": recipient, "Quantity": quantity} | tags for recipient, quantity, tags in some]


def send_together(story, sender: str, told) -> None:
    story.send(sender, TOKEN, "Transfer-Batch", told if isinstance(told, str) else json.dumps(told))


def heard(story, who: str) -> list[tuple[str, str, dict[str, str]]]:
    """What somebody was told, without the ids and numbers of messages."""
    told = story.wallets.get(who, ())
    return [
        (entry.action, entry.data, {k: v for k, v in entry.tags.items() if k not in ("Message-Id", "Reference")})
        for entry in told
    ]


def test_info_says_how_many_transfers_go_in_one_message(it):
    assert it.ask(BOB, TOKEN, "Info").tags["Transfer-Batch"] == "50"


def test_transfers_in_one_message_are_done_one_after_the_other_and_each_is_told_with_its_own_tags(it):
    send_together(it, ALICE, orders(
        (BOB, "10", {"X-Reference": "a", "X-Reason": "one"}), (OPERATOR, "20", {"Debit-Notice": "no", "X-Code": "7"}),
        (BOB, "5", {"Cast": "true"}),
    ))  # fmt: skip
    assert balances(it) == {ALICE: 965, BOB: 15, OPERATOR: 20}
    (credit,), (debit,) = it.received(BOB, "Credit-Notice"), it.received(ALICE, "Debit-Notice")
    for notice in (credit, debit):
        assert (notice.tags["X-Reference"], notice.tags["X-Reason"], notice.tags["Quantity"]) == ("a", "one", "10")
    assert (credit.tags["Sender"], debit.tags["Recipient"]) == (ALICE, BOB)
    assert "X-Reference" not in it.received(OPERATOR, "Credit-Notice")[0].tags


def test_one_that_is_refused_harms_no_other(it):
    send_together(it, ALICE, orders(
        (BOB, "600", {}), (BOB, "600", {"X-Reference": "too much"}), (BOB, "x", {}), ("b o b", "1", {}),
        (BOB, "400", {}),
    ))  # fmt: skip
    assert balances(it) == {BOB: 1000}
    errors = it.received(ALICE, "Transfer-Error")
    assert [error.tags["Error"].split(" ")[0] for error in errors] == ["Insufficient", "Quantity", "Recipient"]
    assert [error.tags.get("X-Reference") for error in errors] == ["too much", None, None]
    assert {error.tags["Message-Id"] for error in errors} == {it.log[-2].message} and not it.dropped


@pytest.mark.parametrize(
    "data",
    ["", "no JSON", "{", "{}", "7", "null", "[]", "[null]", '["x"]', "[[]]", '{"1":{}}', "[" * 500,
     '{"Recipient":"B","Quantity":"1"}', '[{"Recipient":"BOB","Quantity":"1"},null,{"Recipient":"BOB","Quantity":"1"}]',
     '[{"Recipient":"BOB","Quantity":"1"},7]', json.dumps([{"Recipient": "BOB", "Quantity": "1"}] * 51)],
)  # fmt: skip
def test_what_is_no_list_of_transfers_is_refused_whole(it, data):
    send_together(it, ALICE, data.replace("BOB", BOB))
    (error,) = it.received(ALICE, "Transfer-Error")
    said = "At most 50 transfers" if data.count("BOB") == 51 else "Data must be a JSON array of transfers"
    assert error.tags["Error"].startswith(said) or (data == "[[]]" and error.tags["Error"] == "Recipient is required!")
    assert balances(it) == {ALICE: 1000}


@pytest.mark.parametrize("value", [5, 5.0, None, ["5"], {}, True])
@pytest.mark.parametrize("field", ["Recipient", "Quantity", "X-Reference", "Cast", "Id", "From"])
def test_a_field_of_an_order_that_is_no_text_is_no_tag(it, field, value):
    order = {"Recipient": BOB, "Quantity": "5", "X-Reference": "mine"}
    send_together(it, ALICE, [order | {field: value}, order])
    is_needed = field in ("Recipient", "Quantity")
    assert len(it.received(ALICE, "Transfer-Error")) == is_needed
    assert len(it.received(BOB, "Credit-Notice")) == 2 - is_needed
    assert balances(it) == {ALICE: 995 if is_needed else 990, BOB: 5 if is_needed else 10} and not it.dropped


@pytest.mark.parametrize(
    "tags", [{"X-A": "a" * 3073}, {"X-" + "n" * 1023: "a"}, {"X-A": "a" * 3000, "X-B": "b" * 600},
             {f"X-{n}": "a" for n in range(65)}],
)  # fmt: skip
def test_an_order_whose_notices_would_fit_into_no_item_is_refused(it, tags):
    send_together(it, ALICE, orders((BOB, "5", tags), (BOB, "7", {"X-A": "a" * 3072})))
    assert "X- tag" in it.received(ALICE, "Transfer-Error")[0].tags["Error"]
    assert balances(it) == {ALICE: 993, BOB: 7} and it.received(BOB, "Credit-Notice") and not it.dropped


ORDER = st.tuples(
    PEOPLE, ANY_QUANTITY,
    st.sampled_from(
        [{}, {"X-Reference": "r", "X-Note": "é"}, {"Cast": "1"}, {"Debit-Notice": "no"}, {"Reference": "7"},
         {"X-Origin": BOB, "X-Reference": "r"}, {"Reply-To": OPERATOR}]
    ),
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(PEOPLE, st.lists(ORDER, min_size=1, max_size=50))
def test_many_transfers_in_one_message_do_what_they_do_one_by_one(sender, some):
    apart, together = token_story()[0], token_story()[0]
    for story in (apart, together):
        for who in (ALICE, BOB):
            story.send(OPERATOR, TOKEN, "Mint", Recipient=who, Quantity="1500")
    for order in orders(*some):
        apart.send(sender, TOKEN, "Transfer", **order)
    send_together(together, sender, orders(*some))
    for who in (ALICE, BOB, OPERATOR):
        assert heard(apart, who) == heard(together, who)
    assert balances(apart) == balances(together) and supply(apart) == supply(together) == 3000
