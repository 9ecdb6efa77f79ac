--[[ What makes a token Llama Coin: it is only ever issued by `Grant`, from processes on a list, up to a maximum.

It comes after services/token/token.lua in the same process, and takes its Mint away. Who talks to it, besides those
who talk to a token: grantors (Grant), the owner until it renounces (Appoint, Renounce).
]]

local bint = require(".bint")(256)

local SUPPLY_MAX = "11111111" .. ("0"):rep(12)

Minter = ""
Grantors = Grantors or {} -- id -> true

local function plus(a, b) return tostring(bint(a) + bint(b)) end

local function grant_error(msg, fault)
  msg.reply({
    Action = "Grant-Error", ["Message-Id"] = msg.Id, Quantity = msg.Quantity, Error = fault, Data = fault,
    ["X-Petition"] = msg["X-Petition"],
  })
end

local function x_tags_of(msg)
  local found, bytes = {}, 0
  for name, value in pairs(msg) do
    if type(name) == "string" and type(value) == "string" and name:sub(1, 2) == "X-" then
      table.insert(found, { name = name, value = value })
      bytes = bytes + #name + #value + 4
    end
  end
  table.sort(found, function(a, b) return a.name < b.name end)
  return found, bytes
end

Handlers.add("Mint", function(msg)
  local fault = Ticker .. " is never minted: it is granted by the Banker"
  msg.reply({ Action = "Mint-Error", ["Message-Id"] = msg.Id, Error = fault, Data = fault })
end)

Handlers.add("Grant", function(msg)
  local recipient, quantity = msg.Recipient, msg.Quantity
  local tags, bytes = x_tags_of(msg)
  local fault = not Grantors[msg.From] and "Only a grantor may grant " .. Ticker
    or (type(recipient) ~= "string" or #recipient > 128 or not recipient:match("^[%w_-]+$"))
      and "Recipient must be an address"
    or (type(quantity) ~= "string" or #quantity > 39 or not quantity:match("^[1-9][0-9]*$"))
      and "Quantity must be a whole number of units in plain digits"
    or bytes > 3500 and "The X- tags are too long for the notice"
    or bint(SUPPLY_MAX) < bint(plus(TotalSupply, quantity)) and "No more than 11111111 " .. Ticker .. " are ever issued"
  if fault then return grant_error(msg, fault) end
  Balances[recipient] = plus(Balances[recipient] or "0", quantity)
  TotalSupply = plus(TotalSupply, quantity)
  ao.send({
    Target = recipient, Action = "Grant-Notice", Sender = msg.From, Quantity = quantity,
    Data = "You were granted " .. quantity .. " by " .. msg.From, Tags = tags,
  })
  msg.reply({ Action = "Granted", ["Message-Id"] = msg.Id, Quantity = quantity, ["X-Petition"] = msg["X-Petition"] })
end)

Handlers.add("Appoint", function(msg)
  if msg.From ~= Owner then return print("Appoint ignored: not from the owner. From: " .. msg.From) end
  Grantors[tostring(msg.Grantor)] = true
  msg.reply({ Action = "Appointed", Grantor = msg.Grantor })
end)

--- From now on nobody can change what this process does, not even whoever made it.
Handlers.add("Renounce", function(msg)
  if msg.From ~= Owner then return print("Renounce ignored: not from the owner. From: " .. msg.From) end
  msg.reply({ Action = "Renounced" })
  Owner = ""
end)
