"""The token blueprint in a person's own process, played by several wallets. Numbers are those of the checklist."""

import json

import pytest
from services.blueprint_story import load
from services.story import ALICE, BOB, Story, named_id

COIN = named_id("COIN")
START = 10000 * 10**12


@pytest.fixture
def it():
    story = Story()
    story.spawn("COIN", "", owner=ALICE)
    load(story, COIN, "token", owner=ALICE)
    return story


def balances(it) -> dict[str, int]:
    return {who: int(units) for who, units in json.loads(it.ask(BOB, COIN, "Balances").data).items()}


def supply(it) -> int:
    return int(it.ask(BOB, COIN, "Total-Supply").data)


def test_43_the_process_is_the_coin_and_holds_the_first_ten_thousand(it):
    info = it.ask(BOB, COIN, "Info").tags
    assert (info["Name"], info["Ticker"], info["Denomination"]) == ("COIN", "PNTS", "12")
    assert it.ask(BOB, COIN, "Balance", Recipient=COIN).data == str(START)
    assert balances(it) == {COIN: START} and supply(it) == START


def test_44_coins_go_from_hand_to_hand_and_everybody_hears_of_it(it):
    it.send(
        ALICE, COIN, "Eval", f'Send{{ Target = ao.id, Action = "Transfer", Recipient = "{BOB}", Quantity = "1000" }}'
    )
    carol = named_id("CAROL")
    it.send(BOB, COIN, "Transfer", Recipient=carol, Quantity="400", X_Note="for tea")
    assert it.received(BOB, "Credit-Notice")[0].tags["Quantity"] == "1000"
    assert it.received(BOB, "Debit-Notice")[0].tags["X-Note"] == "for tea"
    assert it.received(carol, "Credit-Notice")[0].tags | {"X-Note": "for tea", "Sender": BOB} == (
        it.received(carol, "Credit-Notice")[0].tags
    )
    assert balances(it) == {COIN: START - 1000, BOB: 600, carol: 400}


def test_45_46_bad_transfers_are_answered_and_the_sum_stays_the_supply(it):
    for quantity in ("-5", "0", "1.5", "0x10", "+5", str(2**256 + 5), "1"):
        it.send(BOB, COIN, "Transfer", Recipient=ALICE, Quantity=quantity)
        assert sum(balances(it).values()) == supply(it) == START
    errors = it.received(BOB, "Transfer-Error")
    assert len(errors) == 7 and errors[-1].tags["Error"] == "Insufficient Balance!" and errors[-1].tags["Message-Id"]


def test_only_the_process_itself_mints(it):
    it.send(ALICE, COIN, "Mint", Quantity="5")
    assert it.received(ALICE, "Mint-Error")[0].tags["Error"] == "Only the Process Id can mint new PNTS tokens!"
    it.send(ALICE, COIN, "Eval", 'Send{ Target = ao.id, Action = "Mint", Quantity = "5" }')
    assert supply(it) == START + 5 == sum(balances(it).values())


def test_a_process_that_asks_itself_for_its_supply_is_stopped():
    it = Story()
    it.spawn("COIN", "", owner=ALICE)
    load(it, COIN, "token", owner=ALICE)
    with pytest.raises(AssertionError, match="Cannot call Total-Supply from the same process!"):
        it.send(ALICE, COIN, "Eval", 'Send{ Target = ao.id, Action = "Total-Supply" }')


def test_the_inbox_of_its_owner_is_left_alone(it):
    for n in range(3):
        it.send(BOB, COIN, "Hello", Number=str(n))
    assert it.processes[COIN].eval("#Inbox") == 4  # and the spawn item


def test_loading_it_again_keeps_the_balances(it):
    it.send(ALICE, COIN, "Eval", f'Send{{ Target = ao.id, Action = "Transfer", Recipient = "{BOB}", Quantity = "7" }}')
    load(it, COIN, "token", owner=ALICE)
    assert balances(it) == {COIN: START - 7, BOB: 7} and supply(it) == START


def test_what_was_set_before_is_kept():
    it = Story()
    it.spawn("COIN", "", owner=ALICE)
    it.send(ALICE, COIN, "Eval", f'Ticker, Denomination, Balances = "TEA", 3, {{ ["{BOB}"] = "12", [ao.id] = "30" }}')
    load(it, COIN, "token", owner=ALICE)
    info = it.ask(BOB, COIN, "Info").tags
    assert (info["Ticker"], info["Denomination"], info["Supply"]) == ("TEA", "3", "42")
