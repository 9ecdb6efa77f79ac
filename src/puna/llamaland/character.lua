--[[ What all characters of Llama Land have in common: they speak in their world, take Llama Coin for what they do, ask
the herd, and give every coin back that they do not earn.

A character is a process with the client of the herd and this file before its own. It knows the rest of the land once
its owner has introduced it (Introduce; data: JSON of ids), until its owner renounces it (Renounce).

A *job* is one paid request under way: { id, account, quantity, at, root, name }. It ends once, with `done` or `refund`.
Whoever sends coins for anything else, or too much, too little or too often, gets them back with the reason.
]]

local json = require("json")

local character = {}

local COIN = ("0"):rep(12) -- behind a number of whole LLAMA
local JOBS_MAX = 20 -- of one character, as many as the herd lets one payer queue; past it we refund
local JOBS_PER_ACCOUNT_MAX = 2
local JOB_MS = 15 * 60000
local LINE_BYTES_MAX = 1000
local TOLD_MS, TOLD_MAX, ACCOUNTS_MAX = 10000, 3, 500 -- words about refusals, for one account
local REQUEST_TAGS = { "X-Petition", "X-Joketopic", "X-Question" } -- of what is paid in Llama Coin

Land = Land or {} -- coin, king, banker, joker, oracle, giver, citizenship, worlds, names
Jobs = Jobs or {} -- id -> job
JobsCount = JobsCount or 0
Told = Told or {} -- account -> { at, count }: how often it was told lately that something cannot be
ToldCount = ToldCount or 0

-- Texts --------------------------------------------------------------------------------------

--- At most `bytes` of a text, never half a letter.
function character.cut(text, bytes)
  if #text <= bytes then return text end
  while bytes > 0 and text:byte(bytes + 1) & 0xC0 == 0x80 do bytes = bytes - 1 end
  return text:sub(1, bytes)
end

--- One line that may stand in a prompt: no control characters and none of the marks that set roles apart, in this
-- model's way of writing or another's. nil when it is no text.
function character.plain(text)
  if type(text) ~= "string" or not utf8.len(text) then return nil end
  text = text:gsub("<|.-|>", " "):gsub("[<>|{}%c]", " "):gsub("%[/?INST%]", " ")
  return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

--- What a model said, as one line of at most `bytes`.
function character.line(text, bytes)
  local first = tostring(text or ""):match("^%s*([^\r\n]*)")
  return character.cut(character.plain(first:gsub("<|end|>.*$", "")) or "", bytes or 300)
end

--- Plain text of `least` to `most` bytes out of a tag, or nil.
function character.text_of(value, least, most)
  if type(value) ~= "string" or #value > most then return nil end
  local text = character.plain(value)
  return text and #text >= least and text or nil
end

--- Whole units of LLAMA as text for people: "1500000000000" -> "1.5".
function character.amount(units)
  units = ("0"):rep(13 - #units) .. units
  local rest = units:sub(-12):gsub("0+$", "")
  return units:sub(1, -13) .. (rest ~= "" and "." .. rest or "")
end

--- So many whole LLAMA in the coin's units, as text.
function character.coins(count) return count == 0 and "0" or count .. COIN end

-- Speaking ------------------------------------------------------------------------------------

--- Whether an account is to be told once more why something cannot be. Who asks in floods gets its coins, not words:
-- they would push everybody else's lines out of the chat.
local function may_tell(account, now)
  local told = Told[account]
  if not told then
    if ToldCount >= ACCOUNTS_MAX then Told, ToldCount = {}, 0 end
    told = { at = now, count = 0 }
    Told[account], ToldCount = told, ToldCount + 1
  elseif told.at + TOLD_MS <= now then
    told.at, told.count = now, 0
  end
  told.count = told.count + 1
  return told.count <= TOLD_MAX
end

--- Say a line in our world. `about` may have: to (an account, which alone is shown it), kind, root, inference; was_held
-- when it is about a job that had begun, whose end is always told.
function character.say(text, about)
  about = about or {}
  local world = Land.worlds and Land.worlds[ao.env.Process.Tags.World or "town"]
  text = character.cut(text, LINE_BYTES_MAX)
  if not world or not text:find("%S") then return end
  local is_refusal = about.to and (about.kind or "refund") == "refund" and not about.was_held
  if is_refusal and not may_tell(about.to, os.time()) then return end
  ao.send({
    Target = world, Action = "ChatMessage", ["Author-Name"] = Name, Recipient = about.to, Kind = about.kind,
    Root = about.root, Inference = about.inference, Data = text,
  })
end

--- The name a payer goes by in our lines; nobody goes by a character's.
function character.name_of(text)
  local name = character.text_of(text, 1, 20)
  local look = name and name:lower():gsub("[%s%p]", "")
  for reserved in pairs(Land.names or {}) do
    if look == reserved:lower():gsub("[%s%p]", "") then return "a stranger" end
  end
  return name or "a stranger"
end

-- What we offer ------------------------------------------------------------------------------------

--- Answer Schema and SchemaExternal with what `offer(account, msg)` returns: action id -> what a form needs.
function character.offers(offer)
  for _, action in ipairs({ "Schema", "SchemaExternal" }) do
    Handlers.add(action, function(msg)
      -- Clients look for the tag Type in the result; on the way the messenger takes it off.
      ao.send({ Target = msg.From, Action = action .. "-Response", Tags = { Type = action },
        Data = json.encode(offer(msg.From, msg)) })
    end)
  end
end

--- A form that pays `price` whole LLAMA to `recipient`, with text fields: { {tag, title, least, most}, ... }.
function character.payment_form(recipient, price, fields)
  local properties = {
    Action = { type = "string", const = "Transfer" },
    Recipient = { type = "string", const = recipient },
    Quantity = { type = "string", const = character.coins(price) },
  }
  local required = { "Action", "Recipient", "Quantity" }
  for _, field in ipairs(fields) do
    properties[field[1]] = { type = "string", title = field[2], minLength = field[3], maxLength = field[4] }
    if field[3] > 0 then table.insert(required, field[1]) end
  end
  return { Tags = { type = "object", required = required, properties = properties } }
end

--- A form that only sends an action to us.
function character.action_form(action)
  return { Tags = { type = "object", required = { "Action" },
    properties = { Action = { type = "string", const = action } } } }
end

-- Money ----------------------------------------------------------------------------------------------

local function is_quantity(text)
  return type(text) == "string" and #text <= 39 and text:match("^[1-9][0-9]*$") ~= nil
end

--- Pay from what we hold. A payment with a reason is never taken for a request by another character.
function character.pay(token, recipient, quantity, reason, tags)
  tags = tags or {}
  tags.Target, tags.Action, tags.Recipient, tags.Quantity = token, "Transfer", recipient, quantity
  tags["X-Reason"] = reason
  ao.send(tags)
end

function character.done(job)
  if Jobs[job.id] then Jobs[job.id], JobsCount = nil, JobsCount - 1 end
end

character.on_refund = {} -- name -> what else is to be done when a job with that `on_refund` is given back

--- End a job by giving its coins back, and say why to its payer alone.
function character.refund(job, reason)
  local was_held = Jobs[job.id] ~= nil
  character.done(job)
  if character.on_refund[job.on_refund or ""] then character.on_refund[job.on_refund](job) end
  character.pay(Land.coin, job.account, job.quantity, reason, { ["X-Job"] = job.id })
  character.say(reason .. " Your " .. character.amount(job.quantity) .. " LLAMA came back to you.",
    { to = job.account, kind = "refund", root = job.root, was_held = was_held })
end

local function jobs_of(account)
  local count = 0
  for _, job in pairs(Jobs) do
    if job.account == account then count = count + 1 end
  end
  return count
end

local function job_of(msg)
  return {
    id = msg.Id, account = msg.Sender, quantity = msg.Quantity, at = msg.Timestamp, root = msg["Pushed-For"],
    height = msg["Block-Height"], name = character.name_of(msg["X-Sender-Name"]),
  }
end

--- Take jobs. `price` is in whole LLAMA. `begin(job, msg)` starts one and returns nothing, or returns why not.
-- `gift(msg)` may take coins that are no request. Without a price everything comes back.
function character.takes(price, begin, gift)
  Handlers.add("Character.Credit", function(msg)
    return msg.Action == "Credit-Notice" and msg.From == Land.coin and "continue" or false
  end, function(msg)
    if not is_quantity(msg.Quantity) or msg["X-Reason"] or msg.Sender == ao.id then
      if gift then gift(msg) end
      return
    end
    if gift and gift(msg) then return end
    local job = job_of(msg)
    local fault = not begin and "I take no coins."
      or msg.Quantity ~= character.coins(price) and "This costs exactly " .. price .. " LLAMA."
      or jobs_of(job.account) >= JOBS_PER_ACCOUNT_MAX and "One after the other, friend: I am busy for you already."
      or JobsCount >= JOBS_MAX and "Too many wait for me. Come back in a while."
    if not fault then
      local ok, why = pcall(begin, job, msg)
      if not ok then print("Failed: " .. tostring(why)) end
      fault = not ok and "Something went wrong on my side." or why
    end
    if fault then return character.refund(job, fault) end
  end)
end

--- Note a job as begun. To be called by `begin` when nothing speaks against it any more.
function character.hold(job)
  Jobs[job.id], JobsCount = job, JobsCount + 1
end

-- wAR that came with a request was meant for a character's price in LLAMA: it goes back. Other wAR is for the herd.
Handlers.add("Character.Wrong-Token", function(msg)
  if msg.Action ~= "Credit-Notice" or msg.From ~= LlamaHerder.token or msg["X-Reason"] then return false end
  for _, name in ipairs(REQUEST_TAGS) do
    if msg[name] then return "continue" end
  end
  return false
end, function(msg)
  if is_quantity(msg.Quantity) then
    character.pay(LlamaHerder.token, msg.Sender, msg.Quantity, "I am paid in LLAMA, not in wAR.")
    character.say("I am paid in LLAMA, not in wAR. It came back to you.", { to = msg.Sender, kind = "refund" })
  end
end)

-- Asking the herd ---------------------------------------------------------------------------------------

--- Ask the herd for at most `tokens` tokens after `prompt`; returns a label under which the inference can be followed.
-- `answered(text, msg)` runs when they have come; `failed(reason)` otherwise. `options` as Llama.run takes them.
function character.ask(prompt, tokens, options, answered, failed)
  options.Deadline = tostring(os.time() + JOB_MS)
  local label, fault = LlamaHerder.run(prompt, tokens, function(text, msg, reason)
    local ok, trouble = true, nil
    if text then ok, trouble = pcall(answered, text, msg) end
    if not text or not ok then
      print("Not answered: " .. tostring(reason or trouble))
      failed(tostring(reason or trouble))
    end
  end, nil, nil, options)
  if not label then failed(fault) end
  return label
end

--- Ask for a job: on failure its payer is refunded with an apology, and an answer that comes too late is dropped.
function character.ask_for(job, prompt, tokens, options, answered)
  local function is_open() return Jobs[job.id] ~= nil end
  return character.ask(prompt, tokens, options, function(text, msg)
    if is_open() then answered(text, msg) end
  end, function()
    if is_open() then character.refund(job, "I am sorry: no words came to me.") end
  end)
end

--- A seed that follows from a message and cannot be chosen by its sender.
function character.seed_of(id, height)
  local seed = height or 0
  for index = 1, #id do seed = (seed * 31 + id:byte(index)) % 1000003 end
  return tostring(seed)
end

-- Time, introduction, renouncement ---------------------------------------------------------------------------

--- Jobs that nobody answered in time go back to their payers. Runs before every message.
Handlers.prepend("Character.Time", function()
  return next(Jobs) and "continue" or false
end, function(msg)
  for id, job in pairs(ao.clone(Jobs)) do
    if job.at + JOB_MS <= msg.Timestamp and Jobs[id] then
      character.refund(Jobs[id], "I am sorry: I found no answer in a quarter of an hour.")
    end
  end
end)

Handlers.add("Introduce", function(msg)
  if msg.From ~= Owner then return print("Introduce ignored: not from the owner. From: " .. msg.From) end
  Land = type(msg.Data) == "table" and msg.Data or json.decode(msg.Data)
  msg.reply({ Action = "Introduced" })
end)

--- From now on nobody can change what this process does, not even whoever made it.
Handlers.add("Renounce", function(msg)
  if msg.From ~= Owner then return print("Renounce ignored: not from the owner. From: " .. msg.From) end
  msg.reply({ Action = "Renounced" })
  Owner = ""
end)

-- A message that makes time pass, for those who wait for a refund where nobody else writes.
Handlers.add("Poke", function(msg) msg.reply({ Action = "Poked", Jobs = tostring(JobsCount) }) end)

Handlers.append("Short-Inbox", function() return "continue" end, function() Inbox = {} end)

package.loaded["llamaland.character"] = character

return character
