--[[ The arena: a game in rounds, with an entry fee. What is played is for another program to say.

GameMode goes Not-Started -> Waiting (WaitTime) -> Playing (GameTime) -> Waiting. The clock is that of the messages, so
a cron must bring some. Between rounds players register and pay; who has not paid when the round begins is ejected.

    Register, Unregister   answered with Registered, Unregistered
    Credit-Notice          of PaymentToken: the entry fee, answered with Payment-Received; with X-Reason=AddBet it goes
                           into the pot, with X-Reason=Grant into what is given away
    GetGameState           answered with GameState: JSON of GameMode, TimeRemaining, Players
    Tick                   from a cron or the owner: calls onTick()
    RequestTokens          one entry fee out of what is given away, once per address

Everybody registered hears Announcement messages (Event, data). A program that extends the arena sets PlayerInitState
(a table or a function; playerInitState() does too) and may set onTick; it calls
eliminatePlayer(eliminated, eliminator) and may call announce(event, text).

The money: credits = BonusQty (the pot) + GrantQty (to give away) + Stakes + what was paid out. A stake is one entry
fee. An eliminated player's goes to the eliminator; at the end each one left gets its own back and an equal part of the
pot. Too much, too little or a second fee is given back.
]]

local bint = require(".bint")(256)
local json = require("json")

local LISTENERS_MAX = 200 -- each of them costs one message per announcement
local GRANTED_MAX = 10000
local QUANTITY_DIGITS_MAX = 39

PaymentToken = PaymentToken or ao.id
PaymentQty = PaymentQty or "1" -- units
WaitTime = WaitTime or 2 * 60 * 1000 -- milliseconds
GameTime = GameTime or 20 * 60 * 1000
MinimumPlayers = MinimumPlayers or 2
GameMode = GameMode or "Not-Started"
StateChangeTime = StateChangeTime or 0 -- when the mode ends
Now = Now or 0
Listeners = Listeners or {} -- addresses, in the order in which they came
Waiting = Waiting or {} -- address -> true when it has paid for the next round
Players = Players or {} -- address -> state, in this round
Stakes = Stakes or {} -- address -> units
BonusQty = BonusQty or "0" -- units in the pot
GrantQty = GrantQty or "0" -- units to give away
Payouts = Payouts or {} -- reference of a transfer under way -> units
Granted, GrantedCount = Granted or {}, GrantedCount or 0

-- Speaking --------------------------------------------------------------------------------------------------------

--- Tell everybody registered.
function announce(event, text)
  for _, address in ipairs(Listeners) do
    ao.send({ Target = address, Action = "Announcement", Event = event, Data = text })
  end
  print("Announcement: " .. event .. " " .. tostring(text))
end

-- Money -----------------------------------------------------------------------------------------------------------

local function plus(a, b) return tostring(bint(a) + bint(b)) end
local function minus(a, b) return tostring(bint(a) - bint(b)) end
local function less(a, b) return bint(a) < bint(b) end

local function is_quantity(text)
  return type(text) == "string" and #text <= QUANTITY_DIGITS_MAX and text:match("^[1-9][0-9]*$") ~= nil
end

--- Pay units that are nobody's stake and not in the pot any more.
function sendReward(recipient, units, reason)
  if units == "0" then return end
  ao.send({
    Target = PaymentToken, Action = "Transfer", Recipient = recipient, Quantity = units, ["X-Reason"] = reason,
  })
  Payouts[tostring(ao.reference)] = units
end

local function take_stake(address)
  local units = Stakes[address] or "0"
  Stakes[address] = nil
  return units
end

-- Players ---------------------------------------------------------------------------------------------------------

local function sorted(map)
  local keys = {}
  for key in pairs(map) do table.insert(keys, key) end
  table.sort(keys)
  return keys
end

local function place_of(address)
  for place, listener in ipairs(Listeners) do
    if listener == address then return place end
  end
end

function removeListener(address)
  local place = place_of(address)
  if place then table.remove(Listeners, place) end
end

local function new_state()
  local init = PlayerInitState or playerInitState
  if type(init) == "function" then return init() end
  return ao.clone(type(init) == "table" and init or {})
end

-- Rounds ----------------------------------------------------------------------------------------------------------

function startWaitingPeriod()
  GameMode, StateChangeTime = "Waiting", Now + WaitTime
  announce("Started-Waiting-Period", "The next round begins in " .. WaitTime // 1000 .. " seconds. Entry: "
    .. PaymentQty .. " units of " .. PaymentToken)
end

local function eject_unpaid()
  for _, address in ipairs(ao.clone(Listeners)) do
    if not Waiting[address] then
      removeListener(address)
      ao.send({ Target = address, Action = "Ejected", Reason = "Did-Not-Pay" })
    end
  end
end

function startGamePeriod()
  local paid = sorted(Waiting)
  if #paid < MinimumPlayers then
    announce("Not-Enough-Players", #paid .. " have paid, " .. MinimumPlayers .. " are needed.")
    return startWaitingPeriod()
  end
  GameMode, StateChangeTime, Players = "Playing", Now + GameTime, {}
  for _, address in ipairs(paid) do Players[address] = new_state() end
  eject_unpaid()
  Waiting = {}
  announce("Started-Game", "The round has begun with " .. #paid .. " players.")
end

function endGame()
  local left = sorted(Players)
  local share = #left > 0 and tostring(bint(BonusQty) // bint(#left)) or "0"
  for _, address in ipairs(left) do
    BonusQty = minus(BonusQty, share)
    sendReward(address, plus(take_stake(address), share), "Win")
  end
  Players = {}
  announce("Game-Ended", "The round has ended. Players left: " .. #left .. ".")
  startWaitingPeriod()
end

--- Take a player out of the round; its stake goes to `eliminator`, or into the pot when that is no player.
function eliminatePlayer(eliminated, eliminator)
  if not Players[eliminated] then return end
  Players[eliminated] = nil
  local stake = take_stake(eliminated)
  if Players[eliminator] then
    sendReward(eliminator, stake, "Eliminated-Player")
  else
    BonusQty = plus(BonusQty, stake)
  end
  ao.send({ Target = eliminated, Action = "Eliminated", Eliminator = eliminator })
  announce("Player-Eliminated", eliminated .. " was eliminated by " .. tostring(eliminator) .. ".")
  if #sorted(Players) < MinimumPlayers then endGame() end
end

--- Move on to where the clock says the game is.
function gameTick(now)
  Now = math.max(Now, now)
  if GameMode == "Not-Started" then
    startWaitingPeriod()
  elseif Now >= StateChangeTime then
    if GameMode == "Waiting" then startGamePeriod() else endGame() end
  end
end

Handlers.prepend("Game-State-Timers", function() return "continue" end, function(msg)
  gameTick(math.tointeger(tonumber(msg.Timestamp)) or Now)
end)

-- Coming and going --------------------------------------------------------------------------------------------------

--- Whether the address is registered now.
local function listen(address)
  if place_of(address) then return true end
  if #Listeners >= LISTENERS_MAX then return false end
  table.insert(Listeners, address)
  announce("New Player Registered", address .. " has come.")
  return true
end

Handlers.add("Register", "Register", function(msg)
  if not listen(msg.From) then
    return msg.reply({ Action = "Register-Error", Error = "The arena is full", Data = "The arena is full" })
  end
  msg.reply({ Action = "Registered", Data = "Registered. Entry: " .. PaymentQty .. " units of " .. PaymentToken })
end)

Handlers.add("Unregister", "Unregister", function(msg)
  removeListener(msg.From)
  if Waiting[msg.From] then
    Waiting[msg.From] = nil
    sendReward(msg.From, take_stake(msg.From), "Unregistered")
  end
  msg.reply({ Action = "Unregistered", Data = "Unregistered" })
end)

-- Credits -----------------------------------------------------------------------------------------------------------

--- Why a fee cannot be taken; nil when it can.
local function fee_fault(address, units)
  if Stakes[address] then return "Already-Paid" end
  if less(units, PaymentQty) then return "Not-The-Entry-Fee" end
  if not listen(address) then return "Arena-Full" end
end

local function take_fee(msg)
  local player, units = msg.Sender, msg.Quantity
  local fault = fee_fault(player, units)
  if fault then return sendReward(player, units, fault) end
  Stakes[player], Waiting[player] = PaymentQty, true
  sendReward(player, minus(units, PaymentQty), "Too-Much")
  ao.send({ Target = player, Action = "Payment-Received", Quantity = PaymentQty })
  announce("Player-Ready", player .. " is ready to play.")
end

local function is_credit(msg)
  return msg.Action == "Credit-Notice" and msg.From == PaymentToken and is_quantity(msg.Quantity)
    and type(msg.Sender) == "string" and msg.Sender ~= ao.id
end

Handlers.add("Arena.Credit-Notice", is_credit, function(msg)
  local reason = msg["X-Reason"] or msg.Reason
  if reason == "Grant" then
    GrantQty = plus(GrantQty, msg.Quantity)
    return
  end
  if reason ~= "AddBet" then return take_fee(msg) end
  BonusQty = plus(BonusQty, msg.Quantity)
  announce("Bet-Added", msg.Sender .. " has added " .. msg.Quantity .. " to the pot: " .. BonusQty .. ".")
end)

--- A transfer of ours has been made, or refused: what could not be paid lies in the pot again.
local function about_payout(action)
  return function(msg)
    return msg.Action == action and msg.From == PaymentToken and Payouts[msg["X-Reference"] or ""] ~= nil
  end
end

Handlers.add("Arena.Debit-Notice", about_payout("Debit-Notice"), function(msg)
  Payouts[msg["X-Reference"]] = nil
end)

Handlers.add("Arena.Transfer-Error", about_payout("Transfer-Error"), function(msg)
  BonusQty = plus(BonusQty, Payouts[msg["X-Reference"]])
  Payouts[msg["X-Reference"]] = nil
end)

-- Questions ---------------------------------------------------------------------------------------------------------

Handlers.add("GetGameState", "GetGameState", function(msg)
  msg.reply({
    Action = "GameState",
    Data = json.encode({
      GameMode = GameMode, TimeRemaining = math.max(0, StateChangeTime - Now),
      Players = Players,
    }),
  })
end)

Handlers.add("Tick", function(msg)
  return msg.Action == "Tick" and (msg.Cron == true or msg.From == Owner or msg.From == ao.id)
end, function()
  if onTick then onTick() end
  announce("Tick", "The clock has moved.")
end)

local function grant_fault(address)
  if Granted[address] then return "Tokens are given once" end
  if GrantedCount >= GRANTED_MAX then return "No more tokens are given" end
  if less(GrantQty, PaymentQty) then return "There is nothing left to give" end
end

Handlers.add("RequestTokens", "RequestTokens", function(msg)
  local fault = grant_fault(msg.From)
  if fault then return msg.reply({ Action = "RequestTokens-Error", Error = fault, Data = fault }) end
  Granted[msg.From], GrantedCount, GrantQty = true, GrantedCount + 1, minus(GrantQty, PaymentQty)
  sendReward(msg.From, PaymentQty, "Granted")
end)

return "Arena ready: " .. GameMode
