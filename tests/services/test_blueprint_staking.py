"""Staking and voting over the token's ledger, at heights that the story chooses."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.blueprint_story import do, load, printed
from services.story import ALICE, BOB, Story, named_id

COIN = named_id("COIN")
DELAY = 10


def coin_story() -> Story:
    """Alice's coin with staking and voting; Alice and Bob own a thousand units each."""
    story = Story()
    story.spawn("COIN", "", owner=ALICE)
    do(story, COIN, f'Balances = {{ ["{ALICE}"] = "1000", ["{BOB}"] = "1000" }} UnstakeDelay = {DELAY}')
    for name in ("token", "staking", "voting"):
        load(story, COIN, name)
    return story


@pytest.fixture
def it():
    return coin_story()


def balance(it, address: str) -> int:
    return int(it.ask(BOB, COIN, "Balance", Recipient=address).data)


def staked(it) -> dict[str, int]:
    return {who: int(stake["amount"]) for who, stake in json.loads(it.ask(BOB, COIN, "Stakers").data).items()}


def on_its_way(it) -> int:
    return int(it.processes[COIN].lua.execute(
        "local sum = require('.bint')(256)(0) for _, entries in pairs(Unstaking) do for _, entry in ipairs(entries) do "
        "sum = sum + require('.bint')(256)(entry.amount) end end return tostring(sum)"
    ))  # fmt: skip


def check_books(it) -> None:
    units = sum(int(value) for value in json.loads(it.ask(BOB, COIN, "Balances").data).values())
    assert units + sum(staked(it).values()) + on_its_way(it) == 2000


def later(it, blocks: int) -> None:
    """Blocks pass, and any message lets the process notice."""
    it.clock.height += blocks
    it.send(BOB, COIN, "Nothing-Special")


def test_units_go_into_the_stake_and_come_back_after_the_delay(it):
    assert it.ask(ALICE, COIN, "Stake", Quantity="600").data == "Successfully Staked 600"
    assert balance(it, ALICE) == 400 and staked(it) == {ALICE: 600}
    assert it.ask(ALICE, COIN, "Unstake", Quantity="200").data == "Successfully unstaked 200"
    assert balance(it, ALICE) == 400 and staked(it) == {ALICE: 400}
    later(it, DELAY - 1)
    assert balance(it, ALICE) == 400
    later(it, 1)
    assert balance(it, ALICE) == 600
    check_books(it)


def test_a_second_release_does_not_swallow_the_first(it):
    it.send(ALICE, COIN, "Stake", Quantity="600")
    it.send(ALICE, COIN, "Unstake", Quantity="100")
    later(it, 5)
    it.send(ALICE, COIN, "Unstake", Quantity="200")
    later(it, 5)
    assert balance(it, ALICE) == 500
    later(it, 5)
    assert balance(it, ALICE) == 700 and on_its_way(it) == 0
    check_books(it)


@pytest.mark.parametrize("quantity, text", [
    ("-5", "greater than 0"), ("0", "greater than 0"), ("1.5", "whole number"), ("0x10", "whole number"),
    ("+5", "whole number"), (str(2**256 + 5), "whole number"), ("", "Quantity is required!"),
    ("1001", "Insufficient"),
])  # fmt: skip
@pytest.mark.parametrize("action", ["Stake", "Unstake"])
def test_a_bad_quantity_is_answered_and_moves_nothing(it, action, quantity, text):
    it.send(BOB, COIN, "Stake", Quantity="100")
    sent = it.send(BOB, COIN, action, Quantity=quantity)
    (error,) = it.received(BOB, f"{action}-Error")
    assert text in error.tags["Error"] and error.tags["Message-Id"] == sent.message
    assert balance(it, BOB) == 900 and staked(it) == {BOB: 100}


def test_only_what_is_staked_can_be_taken_out(it):
    it.send(BOB, COIN, "Stake", Quantity="100")
    it.send(ALICE, COIN, "Unstake", Quantity="1")
    assert it.received(ALICE, "Unstake-Error")[0].tags["Error"] == "Insufficient staked amount"


def test_so_many_releases_may_wait(it):
    it.send(BOB, COIN, "Stake", Quantity="100")
    for _ in range(33):
        it.send(BOB, COIN, "Unstake", Quantity="1")
    assert "At most 32 releases" in it.received(BOB, "Unstake-Error")[0].tags["Error"]
    check_books(it)


@pytest.mark.parametrize("name, missing", [("staking", "Load the blueprint token first"),
                                           ("voting", "Load the blueprint staking first")])  # fmt: skip
def test_what_a_blueprint_needs_is_said_when_it_is_not_there(name, missing):
    it = Story()
    it.spawn("LONE", "", owner=ALICE)
    with pytest.raises(AssertionError, match=missing):
        load(it, named_id("LONE"), name)


STEPS = st.lists(
    st.tuples(st.sampled_from(["Stake", "Unstake", "Transfer"]), st.sampled_from([ALICE, BOB]),
              st.one_of(st.integers(-3, 700).map(str), st.just(str(2**256 + 1))), st.integers(0, 12)),
    max_size=12,
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(STEPS)
def test_balances_stakes_and_releases_always_add_up_to_the_supply(steps):
    it = coin_story()
    for action, sender, quantity, blocks in steps:
        it.send(sender, COIN, action, Quantity=quantity, Recipient=named_id("CAROL"))
        later(it, blocks)
        check_books(it)


# Voting


def vote(it, who: str, side: str, target: str = "proposal", deadline: str = "5"):
    return it.send(who, COIN, "Vote", Target=target, Side=side, Deadline=deadline)


@pytest.fixture
def stakers(it):
    it.send(ALICE, COIN, "Stake", Quantity="600")
    it.send(BOB, COIN, "Stake", Quantity="400")
    do(it, COIN, "Passed = {} function VotePassed(target, tally) table.insert(Passed, target .. tally.yay) end")
    return it


def passed(it) -> list[str]:
    return list(it.processes[COIN].eval("Passed").values())


def test_a_vote_passes_at_its_deadline_when_yay_leads(stakers):
    vote(stakers, ALICE, "yay")
    vote(stakers, BOB, "nay", deadline="900")
    notice = stakers.received(BOB, "Vote-Notice")[0].tags
    assert (notice["Yay"], notice["Nay"]) == ("600", "400")
    later(stakers, 4)
    assert passed(stakers) == []
    later(stakers, 1)
    assert passed(stakers) == ["proposal600"] and "Handle Vote proposal: 600 yay, 400 nay" in printed(stakers, COIN)
    later(stakers, 1)
    assert len(passed(stakers)) == 1


def test_a_vote_that_nay_leads_or_nobody_is_dropped(stakers):
    vote(stakers, ALICE, "nay")
    vote(stakers, BOB, "yay")
    later(stakers, 5)
    assert passed(stakers) == [] and stakers.processes[COIN].eval("next(Votes)") is None


def test_a_vote_can_be_changed_and_counts_once(stakers):
    for side in ("yay", "yay", "nay"):
        vote(stakers, BOB, side)
    assert stakers.received(BOB, "Vote-Notice")[-1].tags | {"Yay": "0", "Nay": "400"} == (
        stakers.received(BOB, "Vote-Notice")[-1].tags
    )


def test_what_is_no_longer_staked_at_the_deadline_does_not_count(stakers):
    vote(stakers, ALICE, "yay")
    vote(stakers, BOB, "nay")
    stakers.send(ALICE, COIN, "Unstake", Quantity="300")
    later(stakers, 5)
    assert passed(stakers) == []


@pytest.mark.parametrize("tags, text", [
    ({"Target": "", "Side": "yay", "Deadline": "5"}, "Target must be text"),
    ({"Target": "t" * 129, "Side": "yay", "Deadline": "5"}, "Target must be text"),
    ({"Target": "p", "Side": "maybe", "Deadline": "5"}, "Side must be yay or nay"),
    ({"Target": "p", "Side": "yay", "Deadline": "0"}, "Deadline must be a whole number"),
    ({"Target": "p", "Side": "yay", "Deadline": "soon"}, "Deadline must be a whole number"),
    ({"Target": "p", "Side": "yay"}, "Deadline must be a whole number"),
])  # fmt: skip
def test_a_bad_vote_is_answered_and_not_counted(stakers, tags, text):
    stakers.send(ALICE, COIN, "Vote", **tags)
    assert text in stakers.received(ALICE, "Vote-Error")[0].tags["Error"]
    assert stakers.processes[COIN].eval("next(Votes)") is None


def test_only_stakers_vote(it):
    vote(it, ALICE, "yay")
    assert it.received(ALICE, "Vote-Error")[0].tags["Error"].startswith("Only stakers vote")


def test_a_consequence_that_fails_does_not_keep_the_vote_alive(stakers):
    do(stakers, COIN, "function VotePassed() error('oh') end")
    vote(stakers, ALICE, "yay")
    later(stakers, 5)
    assert "VotePassed failed" in printed(stakers, COIN)
    assert stakers.processes[COIN].eval("next(Votes)") is None
