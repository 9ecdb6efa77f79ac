--[[ What makes a token Llama Coin: it is only ever issued by `Grant`, from processes on a list, up to a maximum.

It comes after services/token/token.lua in the same text, uses that program's ledger and rules, and takes its Mint away.
Who talks to it, besides those who talk to a token: grantors (Grant), the owner until it renounces (Appoint, Renounce).
]]

local SUPPLY_MAX = "11111111" .. ("0"):rep(12)

Minter = ""
Grantors = Grantors or {} -- id -> true

local function grant_error(msg, fault)
  msg.reply({
    Action = "Grant-Error", ["Message-Id"] = msg.Id, Quantity = msg.Quantity, Error = fault, Data = fault,
    ["X-Petition"] = msg["X-Petition"],
  })
end

Handlers.add("Mint", function(msg)
  local fault = Ticker .. " is never minted: it is granted by the Banker"
  msg.reply({ Action = "Mint-Error", ["Message-Id"] = msg.Id, Error = fault, Data = fault })
end)

Handlers.add("Grant", function(msg)
  local recipient, quantity = msg.Recipient, msg.Quantity
  local tags, bytes = x_tags(msg)
  local fault = not Grantors[msg.From] and "Only a grantor may grant " .. Ticker
    or recipient_fault(recipient) and "Recipient must be an address"
    or quantity_fault(quantity) and "Quantity must be a whole number of units in plain digits"
    or bytes > X_TAG_BYTES_MAX and "The X- tags are too long for the notice"
    or less(SUPPLY_MAX, plus(TotalSupply, quantity)) and "No more than 11111111 " .. Ticker .. " are ever issued"
  if fault then return grant_error(msg, fault) end
  set_balance(recipient, plus(balance_of(recipient), quantity))
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
