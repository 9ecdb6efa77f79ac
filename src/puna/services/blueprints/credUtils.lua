--[[ `CRED`: a purse for one token, as the first tutorials use it.

    CRED.balance              text; asks anew each time it is read
    CRED.update()             ask for the balance
    CRED.send(target, units)  pay
    CRED.process              the token's id. Set it to a token of your own network
    CRED.decimals             how many of its digits stand behind the point
]]

local kept = type(CRED) == "table" and CRED or {}

CRED = {
  process = kept.process or "Sa0iBLPNyJQrwpTTG-tWLQU-1QeUAJA73DdxGGiKoJc",
  decimals = kept.decimals or 3,
  units = kept.units, -- the last balance heard, decimal text
}

--- Units as coins: 1234 -> "1.234".
local function coins(units)
  local digits = ("0"):rep(CRED.decimals + 1 - #units) .. units
  if CRED.decimals == 0 then return digits end
  return digits:sub(1, -CRED.decimals - 1) .. "." .. digits:sub(-CRED.decimals)
end

local function is_units(text) return type(text) == "string" and #text <= 39 and text:match("^%d+$") ~= nil end

function CRED.update()
  ao.send({ Target = CRED.process, Action = "Balance", Recipient = ao.id })
  return "Balance update requested."
end

function CRED.send(target, units)
  units = math.type(units) == "float" and math.tointeger(units) or units
  local quantity = tostring(units)
  if not is_units(quantity) or quantity:match("^0") then
    error("CRED.send takes a target and a whole number of units: 1000 are " .. coins("1000"), 0)
  end
  ao.send({ Target = CRED.process, Action = "Transfer", Recipient = target, Quantity = quantity })
  return "Sending " .. coins(quantity) .. " to " .. tostring(target)
end

setmetatable(CRED, {
  __index = function(_, key)
    if key ~= "balance" then return nil end
    CRED.update()
    return CRED.units and coins(CRED.units) or "Your balance has not been checked yet. Updating now."
  end,
})

local function from_token(action)
  return function(msg)
    return msg.Action == action and msg.From == CRED.process and is_units(msg.Quantity) and "continue" or false
  end
end

-- The published token answers without an action; what counts is who says it and about whom.
Handlers.add("CRED.Balance", function(msg)
  return msg.From == CRED.process and is_units(msg.Tags.Balance) and msg.Tags.Account == ao.id
end, function(msg)
  CRED.units = msg.Tags.Balance
  print("CRED balance: " .. coins(CRED.units))
end)

Handlers.add("CRED.Credit-Notice", from_token("Credit-Notice"), function(msg)
  print("You received " .. coins(msg.Quantity) .. " from " .. tostring(msg.Sender))
  CRED.units = nil
end)

Handlers.add("CRED.Debit-Notice", from_token("Debit-Notice"), function(msg)
  print("You sent " .. coins(msg.Quantity) .. " to " .. tostring(msg.Recipient))
  CRED.units = nil
end)

return "CRED ready: CRED.balance, CRED.send(target, units)"
