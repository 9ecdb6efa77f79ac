--[[ Staking over the ledger of the token blueprint, which must be loaded first.

    Stake (Quantity)      moves units from the sender's balance into its stake
    Unstake (Quantity)    takes units out of the stake; they come back after `UnstakeDelay` blocks
    Stakers               the stakes as JSON

`Stakers[address]` is {amount, unstake_at}; `Unstaking[address]` a list of {amount, release_at}, oldest first. Amounts
are decimal text. Balances, stakes and what is on its way back add up to the supply after every message. Bad requests
are answered with Stake-Error or Unstake-Error and change nothing.
]]

if type(Balances) ~= "table" then error("Load the blueprint token first: staking needs its Balances", 0) end

local bint = require(".bint")(256)
local json = require("json")

local QUANTITY_DIGITS_MAX = 39
local PENDING_MAX = 32 -- releases that one address may wait for

UnstakeDelay = UnstakeDelay or 670 -- blocks, about a day
Stakers = Stakers or {}
Unstaking = Unstaking or {}
NextRelease = NextRelease or math.huge -- the lowest height in `Unstaking`

local function plus(a, b) return tostring(bint(a) + bint(b)) end
local function minus(a, b) return tostring(bint(a) - bint(b)) end
local function less(a, b) return bint(a) < bint(b) end

local function quantity_fault(quantity)
  if type(quantity) ~= "string" or quantity == "" then return "Quantity is required!" end
  if quantity:match("^0+$") or quantity:match("^%-") then return "Quantity must be greater than 0" end
  if not quantity:match("^[1-9][0-9]*$") or #quantity > QUANTITY_DIGITS_MAX then
    return "Quantity must be a whole number of units in plain digits, at most " .. QUANTITY_DIGITS_MAX
  end
end

local function set_balance(address, units) Balances[address] = units ~= "0" and units or nil end

local function staked(address) return Stakers[address] and Stakers[address].amount or "0" end

local function refuse(msg, action, fault)
  msg.reply({ Action = action, ["Message-Id"] = msg.Id, Error = fault, Data = fault })
end

local function height_of(msg) return math.tointeger(tonumber(msg["Block-Height"])) end

--- Give back what has matured at `height`.
local function release(height)
  local soonest = math.huge
  for address, entries in pairs(Unstaking) do
    while entries[1] and entries[1].release_at <= height do
      set_balance(address, plus(Balances[address] or "0", table.remove(entries, 1).amount))
    end
    if entries[1] then soonest = math.min(soonest, entries[1].release_at) else Unstaking[address] = nil end
  end
  NextRelease = soonest
end

Handlers.prepend("staking.finalize", function(msg)
  local height = height_of(msg)
  return height and height >= NextRelease and "continue" or false
end, function(msg) release(height_of(msg)) end)

Handlers.add("Stake", "Stake", function(msg)
  local quantity = msg.Quantity
  local fault = quantity_fault(quantity)
  if not fault and less(Balances[msg.From] or "0", quantity) then fault = "Insufficient balance to stake" end
  if fault then return refuse(msg, "Stake-Error", fault) end
  set_balance(msg.From, minus(Balances[msg.From], quantity))
  Stakers[msg.From] = { amount = plus(staked(msg.From), quantity), unstake_at = height_of(msg) + UnstakeDelay }
  msg.reply({ Action = "Stake-Notice", Quantity = quantity, Data = "Successfully Staked " .. quantity })
end)

Handlers.add("Unstake", "Unstake", function(msg)
  local quantity, waiting = msg.Quantity, Unstaking[msg.From] or {}
  local fault = quantity_fault(quantity)
  if not fault and less(staked(msg.From), quantity) then fault = "Insufficient staked amount" end
  if not fault and #waiting >= PENDING_MAX then
    fault = "At most " .. PENDING_MAX .. " releases may wait; ask again when the first has come"
  end
  if fault then return refuse(msg, "Unstake-Error", fault) end
  local left, release_at = minus(staked(msg.From), quantity), height_of(msg) + UnstakeDelay
  if left == "0" then Stakers[msg.From] = nil else Stakers[msg.From].amount = left end
  -- A delay that was shortened meanwhile must not put a later entry before an earlier one.
  if #waiting > 0 then release_at = math.max(release_at, waiting[#waiting].release_at) end
  table.insert(waiting, { amount = quantity, release_at = release_at })
  Unstaking[msg.From], NextRelease = waiting, math.min(NextRelease, release_at)
  msg.reply({
    Action = "Unstake-Notice", Quantity = quantity, ["Release-At"] = tostring(release_at),
    Data = "Successfully unstaked " .. quantity,
  })
end)

Handlers.add("Stakers", "Stakers", function(msg)
  msg.reply({ Action = "Stakers-Response", Data = next(Stakers) and json.encode(Stakers) or "{}" })
end)

return "Staking ready. What is taken out comes back after " .. UnstakeDelay .. " blocks"
