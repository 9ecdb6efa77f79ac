"""The arena, played: players with wallets, an entry fee in a token, a clock that only messages bring.

The game in these stories is a small one: whoever strikes a player down eliminates it.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.blueprint_story import do, load
from services.story import ALICE, BOB, OPERATOR, Story, named_id, token_story

ARENA, TOKEN, CAROL, DAVE = (named_id(name) for name in ("ARENA", "TOKEN", "CAROL", "DAVE"))
PEOPLE = (ALICE, BOB, CAROL, DAVE)
FEE = 100
MONEY = 1000
MINUTE = 60_000

GAME = """
PlayerInitState = function() return { health = 100 } end
Ticks = 0
function onTick() Ticks = Ticks + 1 end
Handlers.add("Strike", "Strike", function(msg)
  if GameMode == "Playing" and Players[msg.From] then eliminatePlayer(msg.Victim, msg.From) end
end)
"""


def arena_story() -> Story:
    it, _ = token_story()
    for address in PEOPLE:
        it.send(OPERATOR, TOKEN, "Mint", Recipient=address, Quantity=str(MONEY))
    it.spawn("ARENA", "", owner=OPERATOR)
    do(it, ARENA, f'PaymentToken, PaymentQty = "{TOKEN}", "{FEE}"', OPERATOR)
    load(it, ARENA, "arena", OPERATOR)
    do(it, ARENA, GAME, OPERATOR)
    return it


@pytest.fixture
def it():
    return arena_story()


def balance(it, address: str) -> int:
    return int(it.processes[TOKEN].eval(f'Balances["{address}"]') or 0)


def value(it, expression: str):
    return it.processes[ARENA].eval(expression)


def check_books(it) -> None:
    """What the arena owns is the pot, what it gives away, and the stakes; and no coin was made or lost."""
    stakes = sum(int(units) for units in dict(value(it, "Stakes")).values())
    assert balance(it, ARENA) == int(value(it, "BonusQty")) + int(value(it, "GrantQty")) + stakes
    assert sum(balance(it, address) for address in (*PEOPLE, ARENA)) == len(PEOPLE) * MONEY
    assert value(it, "next(Payouts)") is None


def register(it, *people: str) -> None:
    for address in people:
        it.send(address, ARENA, "Register")


def pay(it, *people: str, units: int | str = FEE, **tags: str) -> None:
    for address in people:
        it.send(address, TOKEN, "Transfer", Recipient=ARENA, Quantity=str(units), **tags)
    check_books(it)


def later(it, minutes: float) -> None:
    """Time passes, and the cron brings a message."""
    it.clock.pass_ms(int(minutes * MINUTE))
    it.send(OPERATOR, ARENA, "Tick")
    check_books(it)


def strike(it, by: str, victim: str) -> None:
    it.send(by, ARENA, "Strike", Victim=victim)
    check_books(it)


def state(it, asker: str = ALICE) -> dict:
    answer = it.ask(asker, ARENA, "GetGameState")
    assert answer.action == "GameState"
    return json.loads(answer.data)


def events(it, address: str) -> list[str]:
    return [each.tags["Event"] for each in it.received(address, "Announcement")]


def playing(it, *people: str) -> None:
    register(it, *people)
    pay(it, *people)
    later(it, 3)
    assert state(it)["GameMode"] == "Playing"


def test_a_whole_round_from_registration_to_the_prize(it):
    assert it.ask(ALICE, ARENA, "Register").action in ("Announcement", "Registered")
    register(it, BOB, CAROL)
    assert [len(it.received(each, "Registered")) for each in (ALICE, BOB, CAROL)] == [1, 1, 1]
    pay(it, ALICE, BOB)
    assert it.received(ALICE, "Payment-Received")[0].tags["Quantity"] == str(FEE)
    assert state(it)["GameMode"] == "Waiting" and 0 < state(it)["TimeRemaining"] <= 2 * MINUTE
    later(it, 2)
    # Carol did not pay: she is sent away. The others play.
    assert it.received(CAROL, "Ejected")[0].tags["Reason"] == "Did-Not-Pay"
    assert state(it)["Players"] == {ALICE: {"health": 100}, BOB: {"health": 100}}
    strike(it, ALICE, BOB)
    assert it.received(BOB, "Eliminated")[0].tags["Eliminator"] == ALICE
    assert (balance(it, ALICE), balance(it, BOB), balance(it, CAROL)) == (MONEY + FEE, MONEY - FEE, MONEY)
    wanted = ["Started-Waiting-Period", "Player-Ready", "Started-Game", "Player-Eliminated", "Game-Ended"]
    heard = [event for event in events(it, ALICE) if event in wanted]
    assert heard == ["Player-Ready", "Player-Ready", "Started-Game", "Player-Eliminated", "Game-Ended",
                     "Started-Waiting-Period"]  # fmt: skip
    assert "New Player Registered" in events(it, ALICE) and state(it)["GameMode"] == "Waiting"


def test_too_few_who_paid_wait_for_another_and_keep_their_place(it):
    register(it, ALICE, BOB)
    pay(it, ALICE)
    later(it, 2)
    assert "Not-Enough-Players" in events(it, ALICE) and state(it)["GameMode"] == "Waiting"
    pay(it, BOB)
    later(it, 2)
    assert set(state(it)["Players"]) == {ALICE, BOB}


def test_when_the_time_is_over_the_pot_is_shared_among_those_left(it):
    pay(it, DAVE, units=101, X_Reason="AddBet")
    playing(it, ALICE, BOB, CAROL)
    strike(it, ALICE, CAROL)
    later(it, 19)
    assert state(it)["GameMode"] == "Playing"
    later(it, 1)
    assert state(it)["GameMode"] == "Waiting" and "Game-Ended" in events(it, BOB)
    assert (balance(it, ALICE), balance(it, BOB), balance(it, CAROL)) == (MONEY + FEE + 50, MONEY + 50, MONEY - FEE)
    assert value(it, "BonusQty") == "1"  # what does not divide stays for the next round


def test_a_bet_is_announced(it):
    register(it, ALICE)
    pay(it, BOB, units=7, X_Reason="AddBet")
    assert "Bet-Added" in events(it, ALICE) and value(it, "BonusQty") == "7"


@pytest.mark.parametrize("units, back, reason", [(99, 99, "Not-The-Entry-Fee"), (130, 30, "Too-Much")])
def test_what_is_not_the_fee_is_given_back(it, units, back, reason):
    pay(it, ALICE, units=units)
    refund = [each for each in it.received(ALICE, "Credit-Notice") if each.tags.get("X-Reason") == reason]
    assert refund[0].tags["Quantity"] == str(back)
    assert balance(it, ALICE) == MONEY - units + back


def test_a_second_fee_is_given_back_before_and_during_the_round(it):
    playing(it, ALICE, BOB)
    pay(it, ALICE)
    assert balance(it, ALICE) == MONEY - FEE
    assert it.received(ALICE, "Credit-Notice")[-1].tags["X-Reason"] == "Already-Paid"


def test_a_fee_during_the_round_is_for_the_next_one(it):
    playing(it, ALICE, BOB)
    pay(it, CAROL)
    assert CAROL not in state(it)["Players"] and it.received(CAROL, "Payment-Received")
    strike(it, ALICE, BOB)
    pay(it, ALICE)
    later(it, 2)
    assert set(state(it)["Players"]) == {ALICE, CAROL}


def test_who_leaves_before_the_round_gets_the_fee_back(it):
    register(it, ALICE)
    pay(it, ALICE)
    it.send(ALICE, ARENA, "Unregister")
    assert it.received(ALICE, "Unregistered") and balance(it, ALICE) == MONEY
    check_books(it)
    heard = len(events(it, ALICE))
    register(it, BOB)
    assert len(events(it, ALICE)) == heard


def test_money_of_another_token_is_no_fee(it):
    it.speak(named_id("FAKE"), ARENA, "Credit-Notice", Sender=ALICE, Quantity=str(FEE))
    it.send(ALICE, ARENA, "Credit-Notice", Sender=ALICE, Quantity=str(FEE))
    assert value(it, "next(Stakes)") is None and not it.received(ALICE, "Payment-Received")


def test_only_the_clock_and_the_owner_make_it_tick(it):
    it.send(ALICE, ARENA, "Tick")
    assert value(it, "Ticks") == 0
    it.send(OPERATOR, ARENA, "Tick")
    assert value(it, "Ticks") == 1
    register(it, ALICE)
    it.send(OPERATOR, ARENA, "Tick")
    assert "Tick" in events(it, ALICE)


def test_tokens_are_given_once_out_of_what_is_meant_for_it(it):
    it.send(ALICE, ARENA, "RequestTokens")
    assert "nothing left" in it.received(ALICE, "RequestTokens-Error")[0].tags["Error"]
    pay(it, DAVE, units=300, X_Reason="Grant")
    pay(it, DAVE, units=300, X_Reason="AddBet")
    it.send(ALICE, ARENA, "RequestTokens")
    it.send(ALICE, ARENA, "RequestTokens")
    assert balance(it, ALICE) == MONEY + FEE
    assert it.received(ALICE, "RequestTokens-Error")[-1].tags["Error"] == "Tokens are given once"
    check_books(it)
    assert value(it, "BonusQty") == "300"


def test_a_payout_that_the_token_refuses_lies_in_the_pot_again(it):
    playing(it, ALICE, BOB)
    # Somebody with the keys has emptied the arena's account.
    do(
        it,
        ARENA,
        f'Send{{ Target = "{TOKEN}", Action = "Transfer", Recipient = "{DAVE}", Quantity = "200" }}',
        OPERATOR,
    )
    it.send(ALICE, ARENA, "Strike", Victim=BOB)
    assert value(it, "BonusQty") == "200" and value(it, "next(Payouts)") is None


def test_a_full_arena_refuses_and_gives_the_fee_back(it):
    do(it, ARENA, "for n = 1, 200 do Listeners[n] = 'listener' .. n end", OPERATOR)
    it.send(ALICE, ARENA, "Register")
    assert it.received(ALICE, "Register-Error")[0].tags["Error"] == "The arena is full"
    pay(it, ALICE)
    assert balance(it, ALICE) == MONEY


def test_players_may_have_a_table_as_their_first_state_each_its_own(it):
    do(it, ARENA, "PlayerInitState = { bag = { 1 } }", OPERATOR)
    playing(it, ALICE, BOB)
    do(it, ARENA, f'table.insert(Players["{ALICE}"].bag, 2)', OPERATOR)
    assert state(it)["Players"] == {ALICE: {"bag": [1, 2]}, BOB: {"bag": [1]}}


PLAYER = st.sampled_from(PEOPLE)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("register"), PLAYER),
        st.tuples(st.just("pay"), PLAYER, st.sampled_from([50, 100, 150])),
        st.tuples(st.just("bet"), PLAYER, st.integers(1, 30)),
        st.tuples(st.just("leave"), PLAYER),
        st.tuples(st.just("strike"), PLAYER, PLAYER),
        st.tuples(st.just("later"), st.sampled_from([0.5, 2, 20])),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(MOVES)
def test_whatever_people_do_no_coin_is_made_or_lost(moves):
    it = arena_story()
    for move, *rest in moves:
        if move == "register":
            register(it, rest[0])
        elif move in ("pay", "bet"):
            tags = {"X_Reason": "AddBet"} if move == "bet" else {}
            pay(it, rest[0], units=rest[1], **tags)
        elif move == "leave":
            it.send(rest[0], ARENA, "Unregister")
        elif move == "strike":
            strike(it, *rest)
        else:
            later(it, rest[0])
        check_books(it)


def test_the_arena_may_be_its_own_token():
    it = Story()
    it.spawn("ARENA", "", owner=OPERATOR)
    do(it, ARENA, f'Balances = {{ ["{ALICE}"] = "150", ["{BOB}"] = "150" }} PaymentQty = "{FEE}"', OPERATOR)
    for name in ("token", "arena"):
        load(it, ARENA, name, OPERATOR)
    do(it, ARENA, GAME, OPERATOR)
    for address in (ALICE, BOB):
        it.send(address, ARENA, "Transfer", Recipient=ARENA, Quantity=str(FEE + 20))
    it.clock.pass_ms(3 * MINUTE)
    it.send(OPERATOR, ARENA, "Tick")
    it.send(ALICE, ARENA, "Strike", Victim=BOB)
    assert dict(value(it, "Balances")) == {ALICE: "250", BOB: "50"}
    assert value(it, "next(Payouts)") is None and value(it, "next(Stakes)") is None
