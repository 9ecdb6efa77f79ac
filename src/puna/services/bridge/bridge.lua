--[[ The bridge's rules in the wAR process: deposits of AR become wAR, burned wAR becomes a debt of AR.

Loaded into the token process by its owner (an Eval), beside token.lua, whose ledger it changes and whose Mint it takes
over. Who talks to it: the operator (Mint with the proof of a deposit, Payout-Settled), holders (Burn), the owner
(Set-Bridge), anyone by dry-run (Bridge-Info, Bridge-State, Bridge-Record, Bridge-Records).

A deposit is known by the id of its layer-1 transaction, a burn by the id of its message; each has one record, for ever.
Supply falls by what a burn pays out, and by the network fee of the transaction that will pay it; so at every moment

    supply + owed = AR in the vault - deposits that are mined and not yet minted + payouts that are mined and still open

Amounts are decimal text of winston, as in token.lua. Bad input is answered, never raised, and changes nothing.
]]

local bint = require(".bint")(256)
local json = require("json")
local normalize = require(".utils").normalize

local QUANTITY_DIGITS_MAX = 39
local WHOLE_DIGITS_MAX = 15 -- heights, confirmations, seconds: exact as Lua integers
local PAGE_MAX = 100
local DAY_MS = 24 * 60 * 60 * 1000
local CHAIN = "arweave"
local AR = ("A"):rep(43) -- AR's own token id

local DEFAULTS = {
  confirmations = 10,
  burn_minimum = "500000000000", -- 0.5
  burn_fee = "300000000000", -- 0.3
  network_fee = "2000000000", -- of a burn's fee, what the layer-1 transaction of its payout costs
  burn_cap = "5000000000000000",
  burn_cap_day = "20000000000000000",
  mint_cap = "2000000000000000",
  payout_delay = 0, -- seconds between a burn and its payout
  close_mint = false,
  close_burn = false,
}

Bridge = Bridge or { records = {}, log = {}, open = {}, owed = "0", minted = "0", granted = "0", day = 0, burned_day = "0" }
for name, value in pairs(DEFAULTS) do
  if Bridge[name] == nil then Bridge[name] = value end
end
Bridge.operator = Bridge.operator or Minter
Bridge.fee_recipient = Bridge.fee_recipient or Owner

-- Values ---------------------------------------------------------------------

local function now(msg) return math.tointeger(tonumber(msg.Timestamp)) end
local function plus(a, b) return tostring(bint(a) + bint(b)) end
local function minus(a, b) return tostring(bint(a) - bint(b)) end
local function less(a, b) return bint(a) < bint(b) end

local function is_quantity(text)
  return type(text) == "string" and #text <= QUANTITY_DIGITS_MAX and text:match("^[1-9][0-9]*$") ~= nil
end

--- A whole number of 0 or more from plain digits; nil for anything else.
local function whole(text)
  if type(text) == "string" and #text <= WHOLE_DIGITS_MAX and text:match("^[0-9]+$") then
    return math.tointeger(tonumber(text))
  end
end

--- 32 bytes as base64url: the last of 43 characters stands for four bits, so its two low ones are zero.
local function is_arweave_id(text)
  return type(text) == "string" and #text == 43 and text:match("^[%w_-]*[AEIMQUYcgkosw048]$") ~= nil
end

--- Who can hold wAR: a wallet or process, or an address of Ethereum's kind.
local function is_address(text)
  return is_arweave_id(text) or type(text) == "string" and #text == 42 and text:match("^0x%x+$") ~= nil
end

--- A set of tag names, in the one spelling that a message's list of tags has.
local function named(names)
  local set = {}
  for _, name in ipairs(names) do set[normalize(name)] = true end
  return set
end

--- The name of a tag that `msg` has more than once, of those in `names`: which of two amounts is meant is not guessed.
local function doubled(msg, names)
  local seen = {}
  for _, tag in ipairs(msg.TagArray or {}) do
    if names[tag.name] and seen[tag.name] then return tag.name end
    seen[tag.name] = true
  end
end

-- The ledger -----------------------------------------------------------------

local function balance_of(address) return Balances[address] or "0" end

local function add_balance(address, units)
  local sum = plus(balance_of(address), units)
  Balances[address] = sum ~= "0" and sum or nil
end

local function take_balance(address, units)
  local rest = minus(balance_of(address), units)
  Balances[address] = rest ~= "0" and rest or nil
end

-- Records --------------------------------------------------------------------

local function keep(record)
  record.number = #Bridge.log + 1
  Bridge.log[record.number] = record.id
  Bridge.records[record.id] = record
  if record.state == "open" then
    table.insert(Bridge.open, record.id)
    Bridge.owed = plus(Bridge.owed, plus(record.quantity, record.network_fee))
  end
  return record
end

local function close(record)
  for place, id in ipairs(Bridge.open) do
    if id == record.id then table.remove(Bridge.open, place) break end
  end
  Bridge.owed = minus(Bridge.owed, plus(record.quantity, record.network_fee))
end

local function refuse(msg, action, code, fault)
  msg.reply({ Action = action, ["Message-Id"] = msg.Id, Code = code, Error = fault, Data = fault })
end

-- Deposits -------------------------------------------------------------------

local MINT_TAGS = named({ "Recipient", "Quantity", "SourceChainType", "SourceTokenId", "X-MintTxHash", "Deposit-Height",
  "Deposit-Sender", "Confirmations" })

--- Why a Mint is refused: code and sentence; nil when it is sound.
local function mint_fault(msg)
  if msg.From ~= Bridge.operator then
    return "err_unauthorized", "Only the minter can mint new " .. Ticker .. " tokens!"
  end
  if not Bridge.vault then return "err_closed", "The bridge is not open yet" end
  if Bridge.close_mint then return "err_closed", "The bridge takes no deposits for now" end
  local twice = doubled(msg, MINT_TAGS)
  if twice then return "err_bad_proof", twice .. " is given twice" end
  local id = msg["X-MintTxHash"]
  if not is_arweave_id(id) then return "err_bad_proof", "X-MintTxHash must be the id of the deposit's transaction" end
  if Bridge.records[id] then return "err_repeat_mint", "ErrRepeatMint: the deposit " .. id .. " was minted before" end
  if msg.SourceChainType ~= CHAIN then return "err_bad_proof", "SourceChainType must be " .. CHAIN end
  if msg.SourceTokenId ~= AR then return "err_bad_proof", "SourceTokenId must be that of AR: 43 times the letter A" end
  if not is_quantity(msg.Quantity) then
    return "err_incorrect_quantity", "Quantity must be a whole number of winston above 0, in plain digits"
  end
  if not is_arweave_id(msg["Deposit-Sender"]) then return "err_bad_proof", "Deposit-Sender must be an Arweave address" end
  if not is_address(msg.Recipient) then return "err_bad_proof", "Recipient must be an address" end
  local height, confirmations = whole(msg["Deposit-Height"]), whole(msg.Confirmations)
  if not height then return "err_bad_proof", "Deposit-Height must be the height of the deposit's block" end
  if not confirmations then return "err_bad_proof", "Confirmations must be a whole number" end
  -- The operator's count is not enough: the scheduler says how high the weave was when this message got its place.
  local depth = (math.tointeger(tonumber(msg["Block-Height"])) or 0) - height + 1
  if confirmations < Bridge.confirmations or depth < Bridge.confirmations then
    return "err_unconfirmed", "A deposit needs " .. Bridge.confirmations .. " confirmations, this one has "
      .. math.max(math.min(confirmations, depth), 0)
  end
  if #plus(TotalSupply, msg.Quantity) > QUANTITY_DIGITS_MAX then
    return "err_incorrect_quantity", "The supply must have at most " .. QUANTITY_DIGITS_MAX .. " digits"
  end
end

local function proof_of(msg)
  return {
    id = msg["X-MintTxHash"], sender = msg["Deposit-Sender"], at = now(msg), message = msg.Id,
    height = whole(msg["Deposit-Height"]), confirmations = whole(msg.Confirmations),
  }
end

local function mint(msg)
  local record = proof_of(msg)
  record.kind, record.state, record.recipient, record.quantity = "mint", "minted", msg.Recipient, msg.Quantity
  add_balance(record.recipient, record.quantity)
  TotalSupply = plus(TotalSupply, record.quantity)
  Bridge.minted = plus(Bridge.minted, record.quantity)
  return keep(record)
end

--- A deposit beyond the cap goes back to its sender, less what its transaction costs.
local function send_back(msg)
  local record = proof_of(msg)
  record.kind, record.state, record.recipient = "refund", "open", record.sender
  record.network_fee, record.due = Bridge.network_fee, now(msg)
  record.quantity = minus(msg.Quantity, record.network_fee)
  record.reason = "A deposit is at most " .. Bridge.mint_cap .. " winston"
  return keep(record)
end

--- wAR that the owner gives without a deposit, as to the characters of a land. The node endows the vault for it.
local function grant(msg)
  local recipient = msg.Recipient or msg.From
  local fault = not Bridge.vault and "The bridge is not open yet"
    or not is_quantity(msg.Quantity) and "Quantity must be a whole number of winston above 0, in plain digits"
    or not is_address(recipient) and "Recipient must be an address"
    or doubled(msg, MINT_TAGS) and "A tag is given twice"
    or #plus(TotalSupply, msg.Quantity) > QUANTITY_DIGITS_MAX and "The supply must have at most 39 digits"
  if fault then return refuse(msg, "Mint-Error", "err_bad_request", fault) end
  add_balance(recipient, msg.Quantity)
  TotalSupply, Bridge.granted = plus(TotalSupply, msg.Quantity), plus(Bridge.granted, msg.Quantity)
  msg.reply({ Action = "Mint-Notice", Recipient = recipient, Quantity = msg.Quantity, Supply = TotalSupply })
  if recipient == msg.From then return end
  ao.send({ Target = recipient, Action = "Credit-Notice", Sender = msg.From, Quantity = msg.Quantity,
    Data = "You received " .. msg.Quantity .. " from " .. msg.From })
end

local PROOF = { "X-MintTxHash", "SourceChainType", "SourceTokenId", "Deposit-Height", "Deposit-Sender", "Confirmations" }

--- Whether a Mint has no part of a proof: half a proof is a fault, and no grant.
local function is_plain(msg)
  for _, name in ipairs(PROOF) do
    if msg[name] ~= nil then return false end
  end
  return true
end

Handlers.add("Mint", function(msg)
  if is_plain(msg) and msg.From == Owner then return grant(msg) end
  local code, fault = mint_fault(msg)
  if fault then return refuse(msg, "Mint-Error", code, fault) end
  if less(Bridge.mint_cap, msg.Quantity) then
    local record = send_back(msg)
    return msg.reply({ Action = "Mint-Refused", ["X-MintTxHash"] = record.id, Error = record.reason,
      Recipient = record.recipient, Quantity = record.quantity })
  end
  local record = mint(msg)
  local notice = {
    Action = "Mint-Notice", Recipient = record.recipient, Quantity = record.quantity, Ticker = Ticker,
    ["X-MintTxHash"] = record.id, ["Deposit-Sender"] = record.sender, ["Deposit-Height"] = tostring(record.height),
    SourceChainType = CHAIN, SourceTokenId = AR, Supply = TotalSupply,
  }
  msg.reply(notice)
  if record.recipient == msg.From then return end
  notice.Target = record.recipient
  ao.send(notice)
  -- A program knows money by its Credit-Notice; refunds of it go to who made the deposit.
  ao.send({
    Target = record.recipient, Action = "Credit-Notice", Sender = record.sender, Quantity = record.quantity,
    ["X-MintTxHash"] = record.id, Data = "You received " .. record.quantity .. " from the bridge",
  })
end)

-- Burns ----------------------------------------------------------------------

local BURN_TAGS = named({ "Quantity", "Recipient", "X-Recipient", "TargetTokenId" })

--- Who gets the AR of a burn, or nil and why nobody can.
local function burn_recipient(msg)
  local named, other = msg.Recipient, msg["X-Recipient"]
  if named and other and named ~= other then return nil, "Recipient and X-Recipient name two addresses" end
  named = named or other
  if not named and msg.From ~= msg.Owner then
    return nil, "Recipient is required when a process burns: nobody can spend AR that is sent to a process"
  end
  named = named or msg.From
  if not is_arweave_id(named) then
    return nil, "Recipient must be an Arweave address: 43 letters, digits, - and _"
  end
  if named == Bridge.vault or named == ao.id then
    return nil, "Recipient must not be the bridge itself"
  end
  return named
end

local function today(msg)
  local day = now(msg) // DAY_MS
  return day, day == Bridge.day and Bridge.burned_day or "0"
end

--- Who gets the AR; or nil, code and sentence. Nothing is changed.
local function check_burn(msg)
  if not Bridge.vault then return nil, "err_closed", "The bridge is not open yet" end
  if Bridge.close_burn then return nil, "err_closed", "The bridge takes no burns for now" end
  if Bridge.records[msg.Id] then return nil, "err_bad_request", "This very message burned before" end
  local twice = doubled(msg, BURN_TAGS)
  if twice then return nil, "err_bad_request", twice .. " is given twice" end
  if not is_quantity(msg.Quantity) then
    return nil, "err_incorrect_quantity", "Quantity must be a whole number of winston above 0, in plain digits"
  end
  if msg.TargetTokenId and msg.TargetTokenId ~= AR then
    return nil, "err_bad_request", "TargetTokenId must be that of AR: 43 times the letter A"
  end
  local recipient, fault = burn_recipient(msg)
  if not recipient then return nil, "err_invalid_recipient", fault end
  if less(msg.Quantity, Bridge.burn_minimum) then
    return nil, "err_incorrect_quantity", "A burn is at least " .. Bridge.burn_minimum .. " winston"
  end
  if less(Bridge.burn_cap, msg.Quantity) then
    return nil, "err_over_cap", "A burn is at most " .. Bridge.burn_cap .. " winston"
  end
  local _, burned = today(msg)
  if less(Bridge.burn_cap_day, plus(burned, msg.Quantity)) then
    return nil, "err_over_cap_day", "All burns of a day are at most " .. Bridge.burn_cap_day .. " winston, and "
      .. burned .. " were burned today; the day ends at midnight UTC"
  end
  if less(balance_of(msg.From), msg.Quantity) then return nil, "err_insufficient_balance", "Insufficient Balance!" end
  return recipient
end

Handlers.add("Burn", function(msg)
  local recipient, code, fault = check_burn(msg)
  if not recipient then return refuse(msg, "Burn-Error", code, fault) end

  local credited = minus(Bridge.burn_fee, Bridge.network_fee)
  local record = {
    id = msg.Id, kind = "burn", state = "open", sender = msg.From, recipient = recipient, at = now(msg),
    quantity = minus(msg.Quantity, Bridge.burn_fee), fee = Bridge.burn_fee, fee_recipient = Bridge.fee_recipient,
    network_fee = Bridge.network_fee, due = now(msg) + Bridge.payout_delay * 1000,
  }
  local day, burned = today(msg)
  Bridge.day, Bridge.burned_day = day, plus(burned, msg.Quantity)
  take_balance(msg.From, msg.Quantity)
  if credited ~= "0" then add_balance(Bridge.fee_recipient, credited) end
  TotalSupply = minus(TotalSupply, plus(record.quantity, record.network_fee))
  keep(record)

  local notice = {
    Action = "Burn-Notice", Sender = record.sender, ["X-Recipient"] = recipient, Quantity = record.quantity,
    Ticker = Ticker, WrappedTokenId = ao.id, Fee = record.fee, FeeRecipient = record.fee_recipient,
    TargetChainType = CHAIN, TargetTokenId = AR, BurnTxHash = msg.Id, Supply = TotalSupply,
  }
  msg.reply(notice)
  if msg.From == Bridge.operator then return end
  notice.Target = Bridge.operator
  ao.send(notice)
end)

--- The operator tells that a payout's transaction is confirmed.
Handlers.add("Payout-Settled", function(msg)
  local record = Bridge.records[msg["Burn-Tx"] or ""]
  local fault, code = nil, "err_bad_request"
  if msg.From ~= Bridge.operator then
    code, fault = "err_unauthorized", "Only the bridge's operator can settle a payout"
  elseif not record or not record.network_fee then
    fault = "There is no payout Burn-Tx"
  elseif not is_arweave_id(msg["X-PayoutTxHash"]) then
    fault = "X-PayoutTxHash must be the id of the payout's transaction"
  elseif not whole(msg["Payout-Height"]) then
    fault = "Payout-Height must be the height of its block"
  elseif record.state == "paid" and record.payout ~= msg["X-PayoutTxHash"] then
    fault = "The payout was settled by the transaction " .. record.payout
  end
  if fault then return refuse(msg, "Payout-Error", code, fault) end
  if record.state ~= "paid" then
    close(record)
    record.state, record.payout, record.payout_height = "paid", msg["X-PayoutTxHash"], whole(msg["Payout-Height"])
    ao.send({
      Target = record.sender, Action = "Payout-Notice", BurnTxHash = record.id, ["X-PayoutTxHash"] = record.payout,
      ["X-Recipient"] = record.recipient, Quantity = record.quantity,
    })
  end
  msg.reply({ Action = "Payout-Settled-Notice", BurnTxHash = record.id, ["X-PayoutTxHash"] = record.payout })
end)

-- Settings -------------------------------------------------------------------

local function quantity(text) return is_quantity(text) and text or nil end
local function address(text) return is_address(text) and text or nil end
local function truth(text)
  if text == "true" then return true end
  if text == "false" then return false end
end

--- Tag, name in Bridge, how it is read (nil: it is wrong), what it must be.
local SETTINGS = {
  { "Vault", "vault", function(text) return is_arweave_id(text) and text or nil end, "an Arweave address" },
  { "Operator", "operator", address, "an address" },
  { "Confirmations", "confirmations", whole, "a whole number" },
  { "Burn-Minimum", "burn_minimum", quantity, "a whole number of winston above 0" },
  { "Burn-Fee", "burn_fee", quantity, "a whole number of winston above 0" },
  { "Network-Fee", "network_fee", quantity, "a whole number of winston above 0" },
  { "Fee-Recipient", "fee_recipient", address, "an address" },
  { "Burn-Cap", "burn_cap", quantity, "a whole number of winston above 0" },
  { "Burn-Cap-Day", "burn_cap_day", quantity, "a whole number of winston above 0" },
  { "Mint-Cap", "mint_cap", quantity, "a whole number of winston above 0" },
  { "Payout-Delay", "payout_delay", whole, "a whole number of seconds" },
  { "Close-Mint", "close_mint", truth, "true or false" },
  { "Close-Burn", "close_burn", truth, "true or false" },
}

local SETTING_TAGS = {}
for _, row in ipairs(SETTINGS) do SETTING_TAGS[row[1]] = true end

local function settings()
  local told = {}
  for _, row in ipairs(SETTINGS) do told[row[2]] = Bridge[row[2]] end
  return told
end

--- What settings would contradict each other; nil when they agree.
local function settings_fault(new)
  if Bridge.vault and new.vault ~= Bridge.vault then return "The vault is fixed once the bridge is open" end
  if new.confirmations < 1 then return "Confirmations must be 1 or more" end
  if less(new.burn_fee, new.network_fee) then return "Burn-Fee must not be less than Network-Fee" end
  if not less(new.burn_fee, new.burn_minimum) then return "Burn-Minimum must be more than Burn-Fee" end
  if less(new.burn_cap, new.burn_minimum) then return "Burn-Cap must not be less than Burn-Minimum" end
  if less(new.burn_cap_day, new.burn_minimum) then return "Burn-Cap-Day must not be less than Burn-Minimum" end
  if less(new.mint_cap, new.network_fee) then return "Mint-Cap must not be less than Network-Fee" end
end

Handlers.add("Set-Bridge", function(msg)
  if msg.From ~= Owner then return refuse(msg, "Bridge-Error", "err_unauthorized", "Only the owner sets the bridge") end
  local new, given = settings(), 0
  for _, row in ipairs(SETTINGS) do
    local tag, name, read, what = row[1], row[2], row[3], row[4]
    if msg.Tags[tag] ~= nil then
      local value = read(msg.Tags[tag])
      if value == nil then return refuse(msg, "Bridge-Error", "err_bad_request", tag .. " must be " .. what) end
      new[name], given = value, given + 1
    end
  end
  local twice = doubled(msg, SETTING_TAGS)
  local fault = given == 0 and "Name at least one setting" or twice and twice .. " is given twice"
  fault = fault or settings_fault(new)
  if fault then return refuse(msg, "Bridge-Error", "err_bad_request", fault) end
  for name, value in pairs(new) do Bridge[name] = value end
  msg.reply({ Action = "Bridge-Set", Data = json.encode(settings()) })
end)

-- Questions ------------------------------------------------------------------

--- An empty Lua table is a JSON list already; one with holes is no list.
local function records_of(ids)
  local found = {}
  for place, id in ipairs(ids) do found[place] = Bridge.records[id] end
  return found
end

local function holders()
  local count = 0
  for _ in pairs(Balances) do count = count + 1 end
  return count
end

local function state_of()
  local told = settings()
  told.token, told.name, told.ticker, told.denomination = ao.id, Name, Ticker, Denomination
  told.supply, told.owed, told.minted, told.records = TotalSupply, Bridge.owed, Bridge.minted, #Bridge.log
  told.granted = Bridge.granted
  told.day, told.burned_day, told.open_count = Bridge.day, Bridge.burned_day, #Bridge.open
  return told
end

Handlers.add("Bridge-Info", function(msg)
  local told = state_of()
  told.holders = holders()
  msg.reply({ Action = "Bridge-Info-Response", Data = json.encode(told) })
end)

--- The state, and the payouts that are open, those after number `After` first.
Handlers.add("Bridge-State", function(msg)
  local told, after, ids = state_of(), whole(msg.After) or 0, {}
  for _, id in ipairs(Bridge.open) do
    if Bridge.records[id].number > after and #ids < PAGE_MAX then table.insert(ids, id) end
  end
  told.open = records_of(ids)
  msg.reply({ Action = "Bridge-State-Response", Data = json.encode(told) })
end)

Handlers.add("Bridge-Record", function(msg)
  local record = Bridge.records[msg["Record-Id"] or ""]
  if not record then return refuse(msg, "Bridge-Error", "err_not_found", "There is no such deposit or burn") end
  msg.reply({ Action = "Bridge-Record-Response", Data = json.encode(record) })
end)

--- The newest records of an address, or of all, below the number `Cursor`.
Handlers.add("Bridge-Records", function(msg)
  local count, cursor = math.min(whole(msg.Count) or PAGE_MAX, PAGE_MAX), whole(msg.Cursor)
  local account, ids, number = msg.Address, {}, math.min((cursor or #Bridge.log + 1) - 1, #Bridge.log)
  while number > 0 and #ids < count do
    local record = Bridge.records[Bridge.log[number]]
    if not account or record.sender == account or record.recipient == account then table.insert(ids, record.id) end
    number = number - 1
  end
  msg.reply({ Action = "Bridge-Records-Response",
    Data = json.encode({ records = records_of(ids), cursor = number > 0 and number + 1 or 0 }) })
end)
