"""The law of emission, as the Lua that runs on chain keeps it: cap, hour, halving and day, whatever is graded."""

import os
import random

import lupa.lua53 as lupa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puna.llamaland import cast

PETITIONS = int(os.environ.get("PUNA_PETITIONS", 1_000_000))
LLAMA = 10**6
HOUR_MS, DAY_MS = 3_600_000, 86_400_000

# Petitions of many accounts at all times, with grades and moods that no King would give; the books are kept here, apart
# from the rule's own, and compared after each petition.
STORM = """
local emission, count, seed, issued, step_ms, accounts = ...
math.randomseed(seed)
local state = emission.new()
state.issued = issued
local now, hour, day = 0, -1, -1
local spent, budget, paid, heard = 0, 0, {}, {}
local told = { paid = 0, petitions = 0, refused = 0, hours = 0, hour_most = 0, day_most = 0 }
for number = 1, count do
  now = now + math.random(0, step_ms)
  if now // 3600000 > hour then
    hour, spent, budget = now // 3600000, 0, (emission.MAX - issued) // 100000
    told.hours = told.hours + 1
  end
  if now // 86400000 > day then day, paid, heard = now // 86400000, {}, {} end
  local account = "account-" .. math.random(1, accounts)
  local amount
  if math.random(1, 50) == 1 then
    amount = emission.allowance(state, math.random(1, 1000) * emission.LLAMA, now)
  elseif emission.petition(state, account, now) then
    assert(not heard[account], "heard twice in a day")
    heard[account] = true
    local grade, mood = math.random(-3, 99), math.random(1, 10)
    amount = emission.payout(state, account, grade, mood, now)
    if math.random(1, 20) == 1 then amount = amount + emission.payout(state, account, 5, 10, now) end -- graded twice
    paid[account] = (paid[account] or 0) + amount
    told.petitions = told.petitions + 1
    told.day_most = math.max(told.day_most, paid[account])
  else
    assert(heard[account], "not heard though it came first")
    told.refused, amount = told.refused + 1, 0
  end
  assert(math.type(amount) == "integer" and amount >= 0, "an amount is a whole number")
  issued, spent = issued + amount, spent + amount
  told.paid = told.paid + amount
  told.hour_most = math.max(told.hour_most, budget > 0 and spent / budget or spent)
  assert(spent <= budget, "more than the hour has")
  assert(issued <= emission.MAX and issued == state.issued, "more than the cap, or books that differ")
  assert((paid[account] or 0) <= emission.DAY_MAX, "more than a day's")
end
return told
"""


def load():
    lua = lupa.LuaRuntime(unpack_returned_tuples=True)
    return lua, lua.execute((cast.WORLD.with_name("emission.lua")).read_text())


def storm(count: int, seed: int = 1, issued: int = 0, step_ms: int = 20_000, accounts: int = 5000) -> dict:
    lua, emission = load()
    return dict(lua.execute(STORM, emission, count, seed, issued, step_ms, accounts))


def test_a_million_petitions_keep_to_cap_hour_and_day():
    told = storm(PETITIONS, accounts=20_000)
    assert told["petitions"] > PETITIONS // 2 and told["refused"] > 0
    assert told["hour_most"] > 0.9, "the hour's limit was never near: this proves nothing about it"


@pytest.mark.parametrize("left", [0, 1, 99_999, 100_000, LLAMA, 1000 * LLAMA, 200_000 * LLAMA])
def test_near_the_cap_nothing_goes_over_it(left):
    _, emission = load()
    told = storm(20_000, seed=left % 97, issued=emission.MAX - left, step_ms=600_000)
    assert told["paid"] <= left


def test_few_accounts_that_come_all_day_get_at_most_their_day():
    assert storm(100_000, accounts=3, step_ms=400_000)["day_most"] <= 100 * LLAMA


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 11_111_111 * LLAMA), st.integers(0, 3 * DAY_MS), st.integers(1, 400))
def test_the_law_holds_from_any_state_at_any_pace(seed, issued, step_ms, accounts):
    storm(300, seed, issued, step_ms, accounts)


def test_what_a_grade_is_worth_halves_when_what_remains_has_halved():
    lua, emission = load()
    asked = []
    for part in (1, 2, 4, 8):
        state = emission.new()
        state.issued = emission.MAX - emission.MAX // part
        asked.append((emission.halvings(state), emission.asked(state, 5, 10)))
    assert asked == [(0, 60 * LLAMA), (1, 30 * LLAMA), (2, 15 * LLAMA), (3, 7_500_000)]


def test_a_better_grade_is_worth_more_at_the_same_moment_and_none_is_worth_nothing():
    _, emission = load()
    for spent in (0, 30, 60, 100, 110):
        paid = []
        for grade in range(6):
            state = emission.new()
            emission.pass_time(state, DAY_MS)
            state.hour_spent = spent * LLAMA
            paid.append(emission.payout(state, "ann", grade, 6, DAY_MS)[0])
        assert paid[0] == 0 and paid == sorted(paid) and (spent > 100 or len(set(paid)) == 6), (spent, paid)


def test_an_hour_never_runs_dry_by_petitions_alone():
    _, emission = load()
    state = emission.new()
    amounts = [emission.payout(state, f"account {number}", 5, 10, DAY_MS)[0] for number in range(20)]
    assert all(amounts) and amounts == sorted(amounts, reverse=True) and sum(amounts) <= state.hour_budget


def test_the_giver_has_at_most_half_of_an_hour():
    _, emission = load()
    state = emission.new()
    given = sum(emission.allowance(state, 40 * LLAMA, DAY_MS + n) for n in range(9))
    assert given == state.hour_budget // 2 and emission.payout(state, "ann", 5, 10, DAY_MS)[0] > 0


def test_time_that_runs_backwards_opens_no_new_hour_and_no_new_day():
    _, emission = load()
    state = emission.new()
    assert emission.petition(state, "ann", 5 * DAY_MS)
    emission.payout(state, "ann", 5, 10, 5 * DAY_MS)
    spent = state.hour_spent
    assert not emission.petition(state, "ann", 4 * DAY_MS)
    emission.payout(state, "bob", 5, 10, 4 * DAY_MS)
    assert state.hour_spent > spent and state.day == 5


def test_a_petition_that_was_not_heard_may_be_brought_again():
    _, emission = load()
    state = emission.new()
    assert emission.petition(state, "ann", DAY_MS) and state.petitions == 1
    emission.unheard(state, "ann")
    assert state.petitions == 0 and emission.petition(state, "ann", DAY_MS)


def test_moods_are_all_there_and_follow_from_block_and_petition():
    _, emission = load()
    draw = random.Random(5)
    ids = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz0123456789-_", k=43)) for _ in range(3000)]
    moods = [emission.mood(7, id) for id in ids]
    counts = {mood: moods.count(mood) for mood in set(moods)}
    assert set(counts) == {1, 5, 6, 7, 8, 10} and min(counts.values()) > 350, counts
    assert moods == [emission.mood(7, id) for id in ids] != [emission.mood(8, id) for id in ids]
