--[[ The token process: wAR, or any other coin spawned from the same source.

Who talks to it: payers (Transfer, Transfer-Batch), anyone (Info, Balance, Balances, Total-Supply), the minter (Mint).
Spawn tags: Ticker, Denomination, Logo, Minter; the coin's name is the process's Name. The blueprint `token` is this
program behind defaults of its own.

Quantities are decimal text of indivisible units (wAR: winston, 10^12 to one wAR) and are never floats.
Bad input is answered with Transfer-Error or Mint-Error, not raised: a raised error would leave the sender without
any message at all. A quantity has at most 39 digits, so no sum can come near the 2^256 where the big integers wrap.
Each handler decides on the ledger first and speaks last.
]]

local bint = require(".bint")(256)
local json = require("json")

local QUANTITY_DIGITS_MAX = 39 -- 2^128 has 39 digits; supply and balances stay below 10^39 too
local ADDRESS_BYTES_MAX = 128
local ORDERS_MAX = 50 -- of one Transfer-Batch
local TAG_NAME_BYTES_MAX, TAG_VALUE_BYTES_MAX = 1024, 3072
local X_TAGS_MAX = 64
local X_TAG_BYTES_MAX = 3500 -- an item's tags fit in 4096 bytes; a notice needs about 500 for its own

local spawn_tags = ao.env.Process.Tags

Ticker = Ticker or spawn_tags.Ticker or "wAR"
Denomination = Denomination or tonumber(spawn_tags.Denomination) or 12
Logo = Logo or spawn_tags.Logo or ""
Minter = Minter or spawn_tags.Minter or Owner
Balances = Balances or {} -- address -> decimal text; an address without units has no entry
TotalSupply = TotalSupply or "0"

-- Quantities -----------------------------------------------------------------

local SMALL_MAX = 1000000000000000000 -- two of them add up within 64 bits

--- The number that a text is when it is a plain one, as nearly all are: big ones take fifty times as long. Else nil.
local function small(text)
  local number = math.tointeger(tonumber(text))
  return number and number >= 0 and number < SMALL_MAX and tostring(number) == text and number or nil
end

local function plus(a, b)
  local x, y = small(a), small(b)
  return tostring(x and y and x + y or bint(a) + bint(b))
end

local function minus(a, b)
  local x, y = small(a), small(b)
  return tostring(x and y and x - y or bint(a) - bint(b))
end

local function less(a, b)
  local x, y = small(a), small(b)
  if x and y then return x < y end
  return bint(a) < bint(b)
end

--- What is wrong with a quantity, as a sentence; nil when it is a canonical positive whole number.
local function quantity_fault(quantity)
  if type(quantity) ~= "string" or quantity == "" then return "Quantity is required!" end
  if quantity:match("^0+$") or quantity:match("^%-") then return "Quantity must be greater than 0" end
  if not quantity:match("^[1-9][0-9]*$") then
    return "Quantity must be a whole number of units in plain digits, without sign, point or leading zero"
  end
  if #quantity > QUANTITY_DIGITS_MAX then
    return "Quantity must have at most " .. QUANTITY_DIGITS_MAX .. " digits"
  end
end

local function recipient_fault(recipient)
  if type(recipient) ~= "string" or recipient == "" then return "Recipient is required!" end
  if #recipient > ADDRESS_BYTES_MAX or not recipient:match("^[%w_-]+$") then
    return "Recipient must be an address: letters, digits, - and _, at most " .. ADDRESS_BYTES_MAX
  end
end

-- The ledger -----------------------------------------------------------------

local function balance_of(address) return Balances[address] or "0" end

local function set_balance(address, units)
  Balances[address] = units ~= "0" and units or nil
end

--- Move units that `from` is known to own. Conservation is asserted over the two balances that change.
local function move(from, to, quantity)
  if from == to then return end
  local before = plus(balance_of(from), balance_of(to))
  set_balance(from, minus(balance_of(from), quantity))
  set_balance(to, plus(balance_of(to), quantity))
  assert(plus(balance_of(from), balance_of(to)) == before, "a transfer must conserve units")
end

--- The X- tags of a message, sorted by name so that every node sends them in the same order.
local function x_tags(msg)
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

--- A notice that fits into no item would be dropped on the way, and the money would arrive without a word.
local function x_tags_fault(found, bytes)
  for _, tag in ipairs(found) do -- of an order in a batch: what came as a tag is one
    if #tag.name > TAG_NAME_BYTES_MAX or #tag.value > TAG_VALUE_BYTES_MAX then
      return "An X- tag must have a name of at most " .. TAG_NAME_BYTES_MAX .. " bytes and a value of at most "
        .. TAG_VALUE_BYTES_MAX
    end
  end
  if #found > X_TAGS_MAX or bytes > X_TAG_BYTES_MAX then
    return "The X- tags are too long for the notices: at most " .. X_TAGS_MAX .. " tags and "
      .. X_TAG_BYTES_MAX .. " bytes in all"
  end
end

--- The X- tags less those that a reply carries by itself.
local function for_reply(tags)
  local kept = {}
  for _, tag in ipairs(tags) do
    if tag.name ~= "X-Reference" and tag.name ~= "X-Origin" then table.insert(kept, tag) end
  end
  return kept
end

local function refusal(message, action, fault)
  return { Action = action, ["Message-Id"] = message, Error = fault, Data = fault }
end

-- What it answers ------------------------------------------------------------

Handlers.add("Info", function(msg)
  msg.reply({
    Action = "Info-Response", Name = Name, Ticker = Ticker, Logo = Logo,
    Denomination = tostring(Denomination), Supply = TotalSupply, Minter = Minter,
    ["Transfer-Batch"] = tostring(ORDERS_MAX),
  })
end)

Handlers.add("Balance", function(msg)
  local account = msg.Tags.Recipient or msg.Tags.Target or msg.From
  local units = balance_of(account)
  msg.reply({ Action = "Balance-Response", Balance = units, Ticker = Ticker, Account = account, Data = units })
end)

Handlers.add("Balances", function(msg)
  -- An empty Lua table would be sent as a JSON list.
  msg.reply({ Action = "Balances-Response", Ticker = Ticker, Data = next(Balances) and json.encode(Balances) or "{}" })
end)

Handlers.add("Total-Supply", function(msg)
  -- The answer has the action of the question: a process that asked itself would never stop.
  assert(msg.From ~= ao.id, "Cannot call Total-Supply from the same process!")
  msg.reply({ Action = "Total-Supply", Ticker = Ticker, Data = TotalSupply })
end)

--- Move what one order says and tell both sides, or tell its sender what is wrong with it.
-- `order` has the tags of a Transfer, `message` is the id of what brought it, `reply` answers the sender.
local function transfer(from, order, message, reply)
  local recipient, quantity = order.Recipient, order.Quantity
  local notes, note_bytes = x_tags(order)
  local fault = recipient_fault(recipient) or quantity_fault(quantity) or x_tags_fault(notes, note_bytes)
  if not fault and less(balance_of(from), quantity) then fault = "Insufficient Balance!" end
  if fault then return reply(refusal(message, "Transfer-Error", fault)) end

  move(from, recipient, quantity)
  if order.Cast then return end
  if order["Debit-Notice"] ~= "no" then -- a process that pays much need not be told each time what it did itself
    reply({
      Action = "Debit-Notice", Recipient = recipient, Quantity = quantity,
      Data = "You transferred " .. quantity .. " to " .. recipient,
      Tags = for_reply(notes),
    })
  end
  ao.send({
    Target = recipient, Action = "Credit-Notice", Sender = from, Quantity = quantity,
    Data = "You received " .. quantity .. " from " .. from,
    Tags = notes,
  })
end

Handlers.add("Transfer", function(msg) transfer(msg.From, msg, msg.Id, msg.reply) end)

--- Whether a value is a JSON array of objects, at least one, without a null among them.
local function is_list(value)
  if type(value) ~= "table" then return false end
  local count = 0
  for _, element in pairs(value) do
    count = count + 1
    if type(element) ~= "table" or type(value[count]) ~= "table" then return false end
  end
  return count > 0
end

--- The orders in the data of a Transfer-Batch, or nil and what is wrong with them.
local function orders_in(data)
  local ok, orders = true, data
  if type(data) == "string" then ok, orders = pcall(json.decode, data) end
  if not ok or not is_list(orders) then
    return nil, "Data must be a JSON array of transfers, each an object with Recipient and Quantity"
  end
  if #orders > ORDERS_MAX then return nil, "At most " .. ORDERS_MAX .. " transfers go in one message" end
  return orders
end

--- The fields of an order that are text: what is none could be no tag of a Transfer.
local function tags_of(order)
  local tags = {}
  for name, value in pairs(order) do tags[name] = type(value) == "string" and value or nil end
  return tags
end

-- Many transfers in one message, for whoever pays many at once: each is done or refused as if it had come by itself.
Handlers.add("Transfer-Batch", function(msg)
  local orders, fault = orders_in(msg.Data)
  if fault then return msg.reply(refusal(msg.Id, "Transfer-Error", fault)) end
  for _, told in ipairs(orders) do
    local order = tags_of(told)
    transfer(msg.From, order, msg.Id, function(answer) -- as msg.reply would, of a message with these tags
      answer.Target = order["Reply-To"] or msg.From
      answer["X-Reference"], answer["X-Origin"] = order["X-Reference"] or order.Reference, order["X-Origin"]
      ao.send(answer)
    end)
  end
end)

Handlers.add("Mint", function(msg)
  local recipient, quantity = msg.Recipient or msg.From, msg.Quantity
  local fault = recipient_fault(recipient) or quantity_fault(quantity)
  if msg.From ~= Minter then
    local who = Minter == ao.id and "Process Id" or "minter"
    fault = "Only the " .. who .. " can mint new " .. Ticker .. " tokens!"
  end
  if not fault and #plus(TotalSupply, quantity) > QUANTITY_DIGITS_MAX then
    fault = "The supply must have at most " .. QUANTITY_DIGITS_MAX .. " digits"
  end
  if fault then return msg.reply(refusal(msg.Id, "Mint-Error", fault)) end

  set_balance(recipient, plus(balance_of(recipient), quantity))
  TotalSupply = plus(TotalSupply, quantity)
  msg.reply({ Action = "Mint-Notice", Recipient = recipient, Quantity = quantity, Supply = TotalSupply })
  if recipient ~= msg.From then
    ao.send({
      Target = recipient, Action = "Credit-Notice", Sender = msg.From, Quantity = quantity,
      Data = "You received " .. quantity .. " from " .. msg.From,
    })
  end
end)

-- Strangers may send anything, and nobody reads the inbox of a standing token: it keeps the last message only, so that
-- nobody can fill the memory. In the blueprint, which says KEEP_INBOX before this text, the inbox is a person's.
if not KEEP_INBOX then
  Handlers.prepend("Short-Inbox", function() return "continue" end, function() Inbox = {} end)
end
