"""The bridge's rules on chain: who mints, once, and how deep; what a burn takes; what is refused. Numbers as in 8."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.bridge_story import (
    BURN_FEE,
    CAP,
    CAP_DAY,
    MINIMUM,
    MINT_CAP,
    NETWORK_FEE,
    START,
    TOKEN,
    VAULT,
    WAR,
    answer,
    balances,
    bridge_story,
    burn,
    record,
    report,
    set_bridge,
    settle,
    state,
    supply,
    tx_id,
)
from services.story import ALICE, BOB, OPERATOR, named_id

HUGE = str(2**256 + 5)
FIRST, SECOND = tx_id("FIRST"), tx_id("SECOND")
WRONG_QUANTITIES = ["", "0", "-5", "1.5", "0x10", "+5", "005", "1e3", " 5", "abc", HUGE, "9" * 40]


@pytest.fixture
def it():
    """ALICE holds all there is."""
    return bridge_story(ALICE)


def untouched(story) -> None:
    assert balances(story) == {ALICE: START} and supply(story) == START and state(story)["owed"] == "0"


# Deposits


def test_a_deposit_is_minted_to_its_sender_and_both_are_told(it):
    report(it, FIRST, BOB, 7 * WAR)
    assert balances(it) == {ALICE: START, BOB: 7 * WAR} and supply(it) == START + 7 * WAR
    (notice,), (credit,) = it.received(BOB, "Mint-Notice"), it.received(BOB, "Credit-Notice")
    assert (notice.tags["X-MintTxHash"], notice.tags["Quantity"]) == (FIRST, str(7 * WAR))
    assert (credit.tags["Sender"], credit.tags["Quantity"]) == (BOB, str(7 * WAR))
    assert it.received(OPERATOR, "Mint-Notice")
    kept = record(it, FIRST)
    assert (kept["height"], kept["sender"], kept["quantity"], kept["confirmations"]) == (98, BOB, str(7 * WAR), 3)


def test_47_the_same_deposit_reported_twice_mints_once(it):
    report(it, FIRST, BOB, 7 * WAR)
    for quantity in (7 * WAR, 8 * WAR):
        again = answer(report(it, FIRST, BOB, quantity), OPERATOR)
        assert (again.action, again.tags["Code"]) == ("Mint-Error", "err_repeat_mint")
        assert again.tags["Error"].startswith("ErrRepeatMint")
    assert balances(it)[BOB] == 7 * WAR and supply(it) == START + 7 * WAR
    report(it, SECOND, BOB, WAR)
    assert balances(it)[BOB] == 8 * WAR


@pytest.mark.parametrize("proof", [
    {"Confirmations": "2"}, {"Confirmations": "0"},
    {"Deposit_Height": "99"}, {"Deposit_Height": "100"}, {"Deposit_Height": "100000"},
])  # fmt: skip
def test_47_a_deposit_below_the_confirmation_depth_mints_nothing(it, proof):
    refused = answer(report(it, FIRST, BOB, WAR, **proof), OPERATOR)
    assert (refused.action, refused.tags["Code"]) == ("Mint-Error", "err_unconfirmed")
    untouched(it)
    it.clock.height = 200_000
    assert answer(report(it, FIRST, BOB, WAR), OPERATOR).action == "Mint-Notice"


def test_strangers_mint_nothing_with_or_without_a_proof(it):
    for by in (ALICE, BOB, VAULT):
        refused = answer(report(it, FIRST, BOB, WAR, by=by), by)
        assert refused.tags["Error"] == "Only the minter can mint new wAR tokens!"
    untouched(it)


def test_the_owner_grants_without_a_deposit_and_it_is_counted(it):
    it.send(OPERATOR, TOKEN, "Mint", Recipient=BOB, Quantity="5")
    assert it.received(BOB, "Credit-Notice") and state(it)["granted"] == "5" and supply(it) == START + 5
    it.send(ALICE, TOKEN, "Mint", Recipient=ALICE, Quantity="5")
    it.send(OPERATOR, TOKEN, "Mint", Recipient=ALICE, Quantity="5", Confirmations="9")
    it.send(OPERATOR, TOKEN, "Mint", Recipient="b o b", Quantity="5")
    assert state(it)["granted"] == "5" and supply(it) == START + 5


REPORTED = ("Recipient", "Quantity", "SourceChainType", "SourceTokenId", "X-MintTxHash", "Deposit-Sender",
            "Deposit-Height", "Confirmations")  # fmt: skip


@pytest.mark.parametrize("name", REPORTED)
@pytest.mark.parametrize("value", [None, "", "-1", "1.5", "abc", "b o b", HUGE, "9" * 200])
def test_every_field_of_a_report_missing_empty_or_wrong_is_refused(it, name, value):
    refused = answer(report(it, FIRST, BOB, WAR, **{name: value}), OPERATOR)
    assert refused.action == "Mint-Error" and refused.tags["Error"]
    untouched(it)


@pytest.mark.parametrize("name", REPORTED)
def test_every_field_of_a_report_given_twice_is_refused(it, name):
    sound = report(bridge_story(ALICE), FIRST, BOB, WAR)
    assert answer(sound, OPERATOR).action == "Mint-Notice"
    tags = {
        "Action": "Mint", "Recipient": BOB, "Quantity": str(WAR), "SourceChainType": "arweave",
        "SourceTokenId": "A" * 43, "X-MintTxHash": FIRST, "Deposit-Sender": BOB, "Deposit-Height": "98",
        "Confirmations": "3",
    }  # fmt: skip
    listed = [{"name": key, "value": value} for key, value in tags.items()]
    refused = answer(it.send_tags(OPERATOR, TOKEN, [*listed, {"name": name, "value": tags[name]}]), OPERATOR)
    assert refused.action == "Mint-Error" and "twice" in refused.tags["Error"]
    untouched(it)


def test_a_deposit_beyond_the_cap_is_owed_to_its_sender(it):
    report(it, FIRST, BOB, MINT_CAP)
    assert balances(it)[BOB] == MINT_CAP
    refused = answer(report(it, SECOND, BOB, MINT_CAP + 1, Recipient=named_id("SHOP")), OPERATOR)
    assert refused.action == "Mint-Refused"
    told = state(it)
    (owed,) = told["open"]
    assert (owed["kind"], owed["recipient"], int(owed["quantity"])) == ("refund", BOB, MINT_CAP + 1 - NETWORK_FEE)
    assert int(told["owed"]) == MINT_CAP + 1 and supply(it) == START + MINT_CAP
    assert answer(report(it, SECOND, BOB, MINT_CAP + 1), OPERATOR).tags["Code"] == "err_repeat_mint"


def test_a_deposit_to_a_process_reaches_it_as_money_of_the_depositor(it):
    shop = it.spawn("SHOP", 'Handlers.add("Credit-Notice", function(msg) Paid = msg.Sender .. msg.Quantity end)')
    report(it, FIRST, BOB, WAR, Recipient=shop)
    assert it.processes[shop].eval("Paid") == BOB + str(WAR)


# Burns


def test_a_burn_owes_quantity_less_fee_and_credits_the_fee(it):
    burned = burn(it, ALICE, 4 * WAR)
    notice = answer(burned, ALICE)
    assert (notice.action, int(notice.tags["Quantity"])) == ("Burn-Notice", 4 * WAR - BURN_FEE)
    assert (notice.tags["X-Recipient"], notice.tags["BurnTxHash"]) == (ALICE, burned.message)
    assert it.received(OPERATOR, "Burn-Notice")
    assert balances(it) == {ALICE: 6 * WAR, OPERATOR: BURN_FEE - NETWORK_FEE}
    told = state(it)
    (owed,) = told["open"]
    assert (owed["id"], int(owed["quantity"]), owed["recipient"]) == (burned.message, 4 * WAR - BURN_FEE, ALICE)
    assert supply(it) + int(told["owed"]) == START


def test_a_settled_payout_is_owed_no_more_and_its_burner_is_told(it):
    burned = burn(it, ALICE, WAR, Recipient=BOB)
    assert settle(it, burned.message, FIRST).action == "Payout-Settled-Notice"
    assert state(it)["owed"] == "0" and state(it)["open"] == []
    (told,) = it.received(ALICE, "Payout-Notice")
    assert (told.tags["X-PayoutTxHash"], told.tags["X-Recipient"]) == (FIRST, BOB)
    assert settle(it, burned.message, FIRST).action == "Payout-Settled-Notice", "told twice is settled once"
    assert settle(it, burned.message, SECOND).action == "Payout-Error"
    assert state(it)["owed"] == "0" and len(it.received(ALICE, "Payout-Notice")) == 1


@pytest.mark.parametrize("tags, by", [
    ({}, ALICE), ({"Burn_Tx": SECOND}, OPERATOR), ({"Burn_Tx": ""}, OPERATOR), ({"X_PayoutTxHash": "x"}, OPERATOR),
    ({"Payout_Height": "-1"}, OPERATOR), ({"Payout_Height": ""}, OPERATOR),
])  # fmt: skip
def test_a_payout_is_settled_only_by_the_operator_and_with_all_fields(it, tags, by):
    burned = burn(it, ALICE, WAR)
    assert settle(it, burned.message, FIRST, by=by, **tags).action == "Payout-Error"
    assert len(state(it)["open"]) == 1


@pytest.mark.parametrize("quantity", WRONG_QUANTITIES)
def test_a_burn_of_no_plain_quantity_is_refused(it, quantity):
    refused = answer(burn(it, ALICE, quantity), ALICE)
    assert (refused.action, refused.tags["Code"]) == ("Burn-Error", "err_incorrect_quantity")
    untouched(it)


@pytest.mark.parametrize("tags, code", [
    ({"Quantity": str(MINIMUM - 1)}, "err_incorrect_quantity"),
    ({"Quantity": str(BURN_FEE)}, "err_incorrect_quantity"),
    ({"Quantity": str(CAP + 1)}, "err_over_cap"),
    ({"Quantity": str(START + 1)}, "err_insufficient_balance"),
    ({"Recipient": "bob"}, "err_invalid_recipient"),
    ({"Recipient": ""}, "err_invalid_recipient"),
    ({"Recipient": "0x" + "a" * 40}, "err_invalid_recipient"),
    ({"Recipient": "B" * 43}, "err_invalid_recipient"),
    ({"Recipient": "B" * 44}, "err_invalid_recipient"),
    ({"Recipient": VAULT}, "err_invalid_recipient"),
    ({"Recipient": TOKEN}, "err_invalid_recipient"),
    ({"Recipient": BOB, "X-Recipient": ALICE}, "err_invalid_recipient"),
    ({"TargetTokenId": "B" * 43}, "err_bad_request"),
])  # fmt: skip
def test_a_burn_out_of_bounds_or_to_nobody_is_refused_and_changes_nothing(it, tags, code):
    refused = answer(it.send(ALICE, TOKEN, "Burn", **({"Quantity": str(WAR)} | tags)), ALICE)
    assert (refused.action, refused.tags["Code"]) == ("Burn-Error", code)
    assert refused.tags["Error"] and refused.tags["Message-Id"]
    untouched(it)


@pytest.mark.parametrize("name", ["Quantity", "Recipient", "X-Recipient", "TargetTokenId"])
def test_a_burn_with_a_field_given_twice_is_refused(it, name):
    values = {"Quantity": str(WAR), "Recipient": BOB, "X-Recipient": BOB, "TargetTokenId": "A" * 43}
    tags = [("Action", "Burn"), *values.items(), (name, values[name])]
    refused = answer(it.send_tags(ALICE, TOKEN, [{"name": key, "value": value} for key, value in tags]), ALICE)
    assert refused.action == "Burn-Error" and "twice" in refused.tags["Error"]
    untouched(it)


def test_the_same_message_given_to_the_process_twice_burns_once(it):
    tags = {"Action": "Burn", "Quantity": str(WAR)}
    message = it._message(TOKEN, ALICE, ALICE, tags, "")
    again = it._message(TOKEN, ALICE, ALICE, tags, "", id=message["Id"])
    assert answer(it._apply(TOKEN, message), ALICE).action == "Burn-Notice"
    assert answer(it._apply(TOKEN, again), ALICE).action == "Burn-Error"
    assert balances(it)[ALICE] == START - WAR and len(state(it)["open"]) == 1


def test_a_process_must_name_who_gets_its_ar(it):
    it.send(ALICE, TOKEN, "Transfer", Recipient=named_id("SHOP"), Quantity=str(2 * WAR))
    it.speak(named_id("SHOP"), TOKEN, "Burn", Quantity=str(WAR))
    (refused,) = it.received(named_id("SHOP"), "Burn-Error")
    assert refused.tags["Code"] == "err_invalid_recipient" and "process" in refused.tags["Error"]
    it.speak(named_id("SHOP"), TOKEN, "Burn", Quantity=str(WAR), Recipient=BOB)
    assert it.received(named_id("SHOP"), "Burn-Notice")[0].tags["X-Recipient"] == BOB


def test_caps_hold_for_one_burn_and_for_a_day_until_midnight(it):
    set_bridge(it, Mint_Cap=str(10**17))
    report(it, FIRST, ALICE, 30_000 * WAR)
    it.clock.now_ms = 20_000 * 86_400_000 - 1
    for _ in range(4):
        assert answer(burn(it, ALICE, CAP), ALICE).action == "Burn-Notice"
    refused = answer(burn(it, ALICE, MINIMUM), ALICE)
    assert refused.tags["Code"] == "err_over_cap_day" and str(CAP_DAY) in refused.tags["Error"]
    before = balances(it)
    it.clock.pass_ms(1)
    assert answer(burn(it, ALICE, MINIMUM), ALICE).action == "Burn-Notice"
    assert balances(it)[ALICE] == before[ALICE] - MINIMUM


# Settings


def test_a_bridge_without_a_vault_neither_mints_nor_burns():
    closed = bridge_story(ALICE, opened=False)
    assert answer(report(closed, FIRST, BOB, WAR), OPERATOR).tags["Code"] == "err_closed"
    assert answer(burn(closed, ALICE, WAR), ALICE).tags["Code"] == "err_closed"
    untouched(closed)


def test_the_owner_pauses_each_way_by_itself(it):
    set_bridge(it, Close_Burn="true")
    assert answer(burn(it, ALICE, WAR), ALICE).tags["Code"] == "err_closed"
    assert answer(report(it, FIRST, BOB, WAR), OPERATOR).action == "Mint-Notice"
    set_bridge(it, Close_Burn="false", Close_Mint="true")
    assert answer(report(it, SECOND, BOB, WAR), OPERATOR).tags["Code"] == "err_closed"
    assert answer(burn(it, ALICE, WAR), ALICE).action == "Burn-Notice"


def test_fees_limits_and_delay_are_the_owners_to_set(it):
    shop = named_id("SHOP")
    told = set_bridge(
        it, Burn_Fee=str(WAR), Burn_Minimum=str(2 * WAR), Network_Fee=str(WAR), Fee_Recipient=shop, Payout_Delay="60"
    )
    assert told.action == "Bridge-Set" and json.loads(told.data)["burn_fee"] == str(WAR)
    assert answer(burn(it, ALICE, 2 * WAR - 1), ALICE).action == "Burn-Error"
    assert answer(burn(it, ALICE, 2 * WAR), ALICE).tags["Quantity"] == str(WAR)
    (owed,) = state(it)["open"]
    assert owed["due"] - owed["at"] == 60_000
    assert supply(it) == START - 2 * WAR and shop not in balances(it), "the whole fee is kept for the network"


@pytest.mark.parametrize("tags", [
    {"Vault": named_id("OTHER")}, {"Vault": "x"}, {"Confirmations": "0"}, {"Confirmations": "-1"},
    {"Confirmations": ""},
    {"Burn_Fee": "1"}, {"Burn_Fee": "abc"}, {"Burn_Fee": HUGE}, {"Burn_Minimum": "5"}, {"Burn_Cap": "5"},
    {"Burn_Cap_Day": "1"}, {"Mint_Cap": "1"}, {"Network_Fee": str(WAR)}, {"Network_Fee": "0"}, {"Payout_Delay": "1.5"},
    {"Close_Mint": "yes"}, {"Close_Burn": ""}, {"Fee_Recipient": "b o b"}, {"Operator": ""}, {},
    {"Confirmations": "5", "Close_Mint": "perhaps"},
])  # fmt: skip
def test_settings_that_are_wrong_or_contradict_each_other_change_nothing(it, tags):
    before = state(it)
    assert set_bridge(it, **tags).action == "Bridge-Error"
    assert state(it) == before


def test_nobody_but_the_owner_sets_anything(it):
    assert set_bridge(it, sender=ALICE, Close_Mint="true").tags["Code"] == "err_unauthorized"


def test_loading_the_rules_again_keeps_records_and_settings(it):
    from puna.services import programs

    report(it, FIRST, BOB, WAR)
    burn(it, ALICE, WAR)
    set_bridge(it, Confirmations="5")
    before = state(it)
    it.send(OPERATOR, TOKEN, "Eval", programs.source(programs.BRIDGE).decode())
    assert state(it) == before
    assert answer(report(it, FIRST, BOB, WAR, Confirmations="9"), OPERATOR).tags["Code"] == "err_repeat_mint"


def test_transfers_balances_and_info_go_on_as_before(it):
    it.send(ALICE, TOKEN, "Transfer", Recipient=BOB, Quantity="5")
    assert balances(it)[BOB] == 5 and it.ask(BOB, TOKEN, "Info").tags["Supply"] == str(START)
    info = json.loads(it.ask(BOB, TOKEN, "Bridge-Info").data)
    assert (info["vault"], info["holders"], info["confirmations"]) == (VAULT, 2, 3)


def test_records_are_told_newest_first_by_address_and_in_pages(it):
    for n in range(5):
        report(it, tx_id(f"TX-{n}"), BOB, WAR)
    burn(it, ALICE, WAR)
    page = json.loads(it.ask(BOB, TOKEN, "Bridge-Records", Address=BOB, Count="3").data)
    assert [each["id"] for each in page["records"]] == [tx_id("TX-4"), tx_id("TX-3"), tx_id("TX-2")]
    rest = json.loads(it.ask(BOB, TOKEN, "Bridge-Records", Address=BOB, Cursor=str(page["cursor"])).data)
    assert [each["id"] for each in rest["records"]] == [tx_id("TX-1"), tx_id("TX-0")] and rest["cursor"] == 0
    assert json.loads(it.ask(BOB, TOKEN, "Bridge-Records", Address="nobody").data)["records"] == []


PEOPLE = st.sampled_from([ALICE, BOB, OPERATOR])
STEPS = st.one_of(
    st.tuples(st.just("mint"), PEOPLE, st.integers(1, 3000 * WAR), st.integers(0, 5)),
    st.tuples(st.just("burn"), PEOPLE, st.integers(-1, 3000 * WAR), st.just(0)),
    st.tuples(st.just("transfer"), PEOPLE, st.integers(0, 20 * WAR), st.just(0)),
    st.tuples(st.just("settle"), PEOPLE, st.integers(0, 5), st.just(0)),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_supply_and_debts_are_what_came_less_what_was_paid(steps):
    story = bridge_story(ALICE)
    came, paid, seen = START, 0, set()
    for kind, who, number, id in steps:
        if kind == "mint":
            report(story, tx_id(f"TX-{id}"), who, number)
            came, seen = came + (0 if id in seen else number), seen | {id}
        elif kind == "burn":
            burn(story, who, number)
        elif kind == "transfer":
            story.send(who, TOKEN, "Transfer", Recipient=BOB, Quantity=str(number))
        elif number < len(open := state(story)["open"]):
            owed = open[number]
            settle(story, owed["id"], tx_id("PAY"))
            paid += int(owed["quantity"]) + int(owed["network_fee"])
        assert sum(balances(story).values()) == supply(story)
        assert supply(story) + int(state(story)["owed"]) == came - paid
