--[[ The Giver: a first gift for everybody, and a reward for each quest, once per account, out of what he holds.

He holds what players pay Joker, Oracle and King, what anybody gives him, and an allowance of the Banker's, which he
asks for when his purse is light. He gives nothing he does not hold: whoever comes too early is told to come back.
]]

local bint = require(".bint")(256)
local json = require("json")
local character = require("llamaland.character")

local GIFT = 5
local QUESTS = { -- name -> whole LLAMA, and who may say that it is done: a field of Land
  ["greet-the-joker"] = { reward = 2, title = "Greet the Joker", teller = "joker" },
  ["visit-the-meadow"] = { reward = 2, title = "Walk to the meadow", teller = "meadow" },
  ["ask-the-oracle"] = { reward = 2, title = "Ask the Oracle", teller = "oracle" },
  ["petition-the-king"] = { reward = 1, title = "Lay a petition before the King", teller = "banker" },
  ["become-a-citizen"] = { reward = 1, title = "Become a citizen", teller = "citizenship" },
}
local PURSE_LIGHT = 25 -- whole LLAMA; below it he asks the Banker
local PURSE_WANTED = 100
local ASK_MS = 60000
local OWED_MAX = 500

Purse = Purse or "0" -- units we hold
Given = Given or {} -- account -> { gift or quest -> true }: only what was paid, so it grows no faster than coins do
Owed = Owed or {} -- rewards that the purse could not pay: { account, quest }
AskedBanker = AskedBanker or 0

local function holds(units) return not (bint(Purse) < bint(units)) end

local function ask_banker(now)
  if holds(character.coins(PURSE_LIGHT)) or now - AskedBanker < ASK_MS then return end
  AskedBanker = now
  ao.send({ Target = Land.banker, Action = "Allowance", Quantity = tostring(PURSE_WANTED) })
end

--- Pay once. True when it was paid now; false when the purse is too light; nil when it was paid before.
local function give(account, what, count, words)
  local given = Given[account]
  if given and given[what] then return nil end
  local units = character.coins(count)
  if not holds(units) then return false end
  Purse = tostring(bint(Purse) - bint(units))
  if not given then
    given = {}
    Given[account] = given
  end
  given[what] = true
  character.pay(Land.coin, account, units, words, { ["X-Quest"] = what })
  character.say(words .. ": " .. count .. " LLAMA for you.", { to = account, kind = "gift" })
  return true
end

local function is_owed(account, quest)
  for _, debt in ipairs(Owed) do
    if debt.account == account and debt.quest == quest then return true end
  end
end

local function pay_owed()
  while #Owed > 0 do
    local debt = Owed[1]
    if give(debt.account, debt.quest, QUESTS[debt.quest].reward, QUESTS[debt.quest].title) == false then return end
    table.remove(Owed, 1)
  end
end

local function quest_done(account, quest, now)
  local row = QUESTS[quest]
  if give(account, quest, row.reward, row.title) == false and #Owed < OWED_MAX and not is_owed(account, quest) then
    table.insert(Owed, { account = account, quest = quest })
  end
  ask_banker(now)
end

Handlers.add("Quest-Done", function(msg)
  local row, account = QUESTS[msg.Quest or ""], msg.Account
  if not row or msg.From ~= Land[row.teller] or type(account) ~= "string" then
    return print("Quest-Done ignored. From: " .. msg.From)
  end
  quest_done(account, msg.Quest, msg.Timestamp)
end)

Handlers.add("Reality.Arrived", function(msg)
  if msg.From == Land.worlds.meadow and type(msg.Account) == "string" then
    quest_done(msg.Account, "visit-the-meadow", msg.Timestamp)
  end
end)

Handlers.add("GetDonation", function(msg)
  local done = give(msg.From, "gift", GIFT, "A gift to begin with")
  ask_banker(msg.Timestamp)
  local words = done == nil and "I gave you a gift already. Look at the quests."
    or not done and "My purse is empty. Come back in a while."
  if words then character.say(words, { to = msg.From }) end
  msg.reply({ Action = "GetDonation-Response", Result = done and "OK" or "Error", Error = words or nil })
end)

--- More for the purse.
local function receive(msg)
  Purse = tostring(bint(Purse) + bint(msg.Quantity))
  pay_owed()
end

Handlers.add("Grant-Notice", function(msg)
  if msg.From == Land.coin and tostring(msg.Quantity):match("^[1-9]%d*$") then receive(msg) end
end)

-- What came with a request was meant for somebody else, and goes back like a wrong price.
character.takes(nil, nil, function(msg)
  if msg["X-Petition"] or msg["X-JokeTopic"] or msg["X-Question"] then return false end
  receive(msg)
  return true
end)

character.offers(function(account)
  local given = Given[account] or {}
  local open = {}
  for quest, row in pairs(QUESTS) do
    if not given[quest] then table.insert(open, row.title .. " (" .. row.reward .. ")") end
  end
  table.sort(open)
  local quests = #open > 0 and " Quests: " .. table.concat(open, ", ") .. "." or " You did all quests."
  return { GetDonation = {
    Target = ao.id, Title = given.gift and "Good to see you" or "A gift?",
    Description = (given.gift and "You had your gift." or "I give " .. GIFT .. " LLAMA to all who are new.") .. quests,
    Schema = not given.gift and character.action_form("GetDonation") or nil,
  } }
end)

Handlers.add("Quests", function(msg)
  local account, told = msg.Account or msg.From, {}
  for quest, row in pairs(QUESTS) do
    table.insert(told, {
      Quest = quest, Title = row.title, Reward = character.coins(row.reward),
      Done = (Given[account] or {})[quest] == true, Owed = is_owed(account, quest) == true,
    })
  end
  table.sort(told, function(a, b) return a.Quest < b.Quest end)
  msg.reply({ Action = "Quests-Response", Purse = Purse, Data = json.encode(told) })
end)

Handlers.add("Open", function(msg)
  if msg.From ~= Owner then return print("Open ignored: not from the owner. From: " .. msg.From) end
  ask_banker(msg.Timestamp)
  msg.reply({ Action = "Opened" })
end)
