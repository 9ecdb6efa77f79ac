--[[ How much Llama Coin may be given out, and when: the rule the Banker keeps to. No messages, no clock of its own.

All amounts are whole millionths of a LLAMA, which fit into Lua's integers; the coin itself has a million times finer
units. The law, whatever grades and moods say:

    cap       all that was ever issued stays under MAX
    hour      in each hour of the clock at most 1/100000 of what remained under MAX when it began
    halving   what a grade is worth halves each time what remains under MAX has halved
    day       of each account one petition and at most DAY_MAX, in each day of the clock (UTC)

A grade asks for (grade + 1) times the King's mood, so 60 LLAMA at most. Where the hour has less than four times that
left, everybody gets pro rata what it has: its full share of a quarter of what is left. So an hour never runs dry, and a
better grade is always worth more than a worse one at the same moment.
]]

local emission = {}

local LLAMA = 1000000
emission.LLAMA = LLAMA
emission.MAX = 11111111 * LLAMA
emission.HOUR_SHARE = 100000
emission.DAY_MAX = 100 * LLAMA
emission.GRADE_MAX = 5
local ASKED_MAX = 6 * 10 * LLAMA
local HOUR_PARTS = 4 -- no petition takes more than this part of what an hour has left
local ROUND = LLAMA // 100 -- payouts of a LLAMA or more are whole hundredths
local HOUR_MS, DAY_MS = 3600000, 24 * 3600000

-- The King's moods and how often they come, by the last digits of a hash: few days are very good or very bad.
local MOODS = { 1, 5, 6, 7, 8, 10 }

function emission.new()
  return {
    issued = 0, -- ever
    hour = -1, hour_budget = 0, hour_spent = 0, hour_given = 0, -- given: to the Giver, out of what is spent
    day = -1, accounts = {}, -- account -> { petitions, paid } of this day
    petitions = 0, best_grade = nil, -- of this day
  }
end

--- Bring the state to `now`, in milliseconds. Time that runs backwards is the newest time again.
local function pass_time(state, now)
  local hour, day = now // HOUR_MS, now // DAY_MS
  if hour > state.hour then
    state.hour, state.hour_spent, state.hour_given = hour, 0, 0
    state.hour_budget = (emission.MAX - state.issued) // emission.HOUR_SHARE
  end
  if day > state.day then
    state.day, state.accounts, state.petitions, state.best_grade = day, {}, 0, nil
  end
end
emission.pass_time = pass_time

local function account_of(state, account)
  local record = state.accounts[account]
  if not record then
    record = { petitions = 0, paid = 0 }
    state.accounts[account] = record
  end
  return record
end

--- Take an account's petition of this day; false when it had it already.
function emission.petition(state, account, now)
  pass_time(state, now)
  local record = account_of(state, account)
  if record.petitions > 0 then return false end
  record.petitions = 1
  state.petitions = state.petitions + 1
  return true
end

--- The petition was not heard: the account may come again today.
function emission.unheard(state, account)
  local record = state.accounts[account]
  if record and record.petitions > 0 then
    record.petitions, state.petitions = 0, state.petitions - 1
  end
end

--- How often what remains has halved.
function emission.halvings(state)
  local count, remains = 0, math.max(1, emission.MAX - state.issued)
  while remains << (count + 1) <= emission.MAX do count = count + 1 end
  return count
end

local function left_in_hour(state) return state.hour_budget - state.hour_spent end

local function spend(state, amount)
  state.issued, state.hour_spent = state.issued + amount, state.hour_spent + amount
  return amount
end

--- The mood that belongs to a petition, from the block it came in and its id: nobody can choose it.
function emission.mood(height, id)
  local hash = height % 1000003
  for index = 1, #id do hash = (hash * 131 + id:byte(index)) % 1000003 end
  return MOODS[hash % #MOODS + 1]
end

--- What a grade is worth now before any limit.
function emission.asked(state, grade, mood)
  if grade <= 0 then return 0 end
  return (math.min(grade, emission.GRADE_MAX) + 1) * mood * LLAMA >> emission.halvings(state)
end

--- Pay an account for a grade; returns the amount and what was asked before the limits.
function emission.payout(state, account, grade, mood, now)
  pass_time(state, now)
  local asked, left = emission.asked(state, grade, mood), left_in_hour(state)
  local most = ASKED_MAX >> emission.halvings(state)
  local amount = asked
  if left < HOUR_PARTS * most then amount = asked * left // (HOUR_PARTS * most) end
  local record = account_of(state, account)
  amount = math.max(0, math.min(amount, left, emission.DAY_MAX - record.paid))
  if amount >= LLAMA then amount = amount - amount % ROUND end
  record.paid = record.paid + amount
  if not state.best_grade or grade > state.best_grade then state.best_grade = grade end
  return spend(state, amount), asked
end

--- What the Giver may have of this hour: at most `wanted`, and at most half of the budget in all.
function emission.allowance(state, wanted, now)
  pass_time(state, now)
  local amount = math.max(0, math.min(wanted, state.hour_budget // 2 - state.hour_given, left_in_hour(state)))
  state.hour_given = state.hour_given + amount
  return spend(state, amount)
end

--- The coin did not issue an amount after all.
function emission.undo(state, amount)
  state.issued, state.hour_spent = state.issued - amount, math.max(0, state.hour_spent - amount)
end

package.loaded["llamaland.emission"] = emission

return emission
