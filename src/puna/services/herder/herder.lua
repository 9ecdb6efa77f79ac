--[[ The herder process: sells inference by the job, keeps the queue and the workers, and owes every payer an end.

Who talks to it: the token process (Credit-Notice is a paid request), payers (Prompt, Quote, Status, Cancel, Info,
Queue), workers (Inference-Response, Inference-Batch-Response, Inference-Error, Worker-Heartbeat), the owner
(Register-Worker, Retire-Worker, Pause, Resume, Set-Price, Set-Limits, Withdraw). Spawn tags: Token, Base-Fee,
Token-Fee, Model (the default model's id), the limits by the names under which Info tells them, and Extension=Llama,
with which the prompts of requests that name a model are counted by its tokenizer.

How it is built: everything known is one table, `Herd`. A *rule* is a function over a herd that changes only that
table and appends to `sends`; it sends nothing itself. `turn` runs the rule of a message on a draft of the herd, asserts
the ledger, takes the draft over and then sends. A rule that fails therefore changes nothing, and when it was about
money the payer is refunded. A draft copies only what the rule asks for, so a message costs about the same however many
jobs wait.

The ledger, in winston: credits = earned + refunded + held. Every credited unit ends as earned or refunded, once. What
is paid is held until the job ends, and then pays for the tokens that were really made; the rest goes back.
]]

local bint = require(".bint")(256)

-- Every queue has an end; Info-Response publishes the limits that a payer can meet. These may be set by spawn tags of
-- the same names and by Set-Limits: {field, tag, default, least, most}.
local LIMITS = {
  { "queue", "Max-Queue", 500, 1, 10000 }, -- past it the last in the queue is refunded
  { "per_payer", "Max-Queued-Per-Payer", 250, 1, 10000 }, -- of jobs, and of prompts sent ahead
  { "tokens", "Max-Tokens", 512, 1, 4096 },
  { "prompt_bytes", "Max-Prompt", 3000, 1, 3400 }, -- of a prompt in a tag
  { "text_bytes", "Max-Prompt-Data", 32768, 1, 1048576 }, -- of a text sent ahead as data
  { "wait_ms", "Max-Wait", 60 * 60000, 60000, 24 * 60 * 60000 }, -- a job not begun by then is refunded
}
local QUANTITY_DIGITS_MAX = 39 -- what our token keeps to; longer ones could wrap around 2^256
local FEE_MAX = 1000000000000 -- one wAR a token; keeps every price within 64 bits
local TEXTS_MAX = 1000 -- sent ahead
local TEXTS_BYTES_MAX = 16777216
local TEXT_MS = 10 * 60000
local PIECE_TOKENS_MIN = 4 -- of an answer told in pieces: each costs messages
local TRIES_MAX = 2
local FAILURES_MAX = 3
local PING_MS = 10 * 60000 -- a worker in quarantine is asked again
local REFERENCE_BYTES_MAX = 128
local STOP_BYTES_MAX = 64
local STOPS_MAX = 4
local SEED_MAX = 4294967295 -- what survives JSON numbers everywhere
local WORKER_TAG_BYTES_MAX = 64
local REASON_BYTES_MAX = 500
local IDS_BYTES_MAX = 1500 -- of a tag with token numbers
local ALL_IDS_BYTES_MAX = 2600 -- of both such tags: with the others they must fit into an item's 4096
local SHOWN_MAX = 50 -- of the queue

-- Jobs that wait are given to a worker several at a time, if it takes them so: it computes them together, in little
-- more time than the longest of them takes alone, and what goes to it and comes back is one message.
local BATCH_MAX = 8
local BATCH_TOKENS_MAX = 2048 -- of all their answers, and
local BATCH_BYTES_MAX = 32768 -- of all their prompts: together they stay below what one evaluation may cost
local BATCH_LOOK_MAX = 32 -- so many are looked at for those that go together
-- Where a worker answers within this time, what is said about a job costs more than the job. A job that finds such a
-- worker of its model at work waits for it, though another be idle, until so many wait that they are company enough
-- for another. It never waits for one that has been at work for longer than this time.
local QUICK_MS = 100
local COMPANY = 4
local TOKEN_ASKED_MS = 24 * 60 * 60000 -- how soon the token is asked again whether it takes many transfers at once
local TRANSFERS_MAX = 50 -- that go to the token in one message, if it takes as many

local MILLION = 1000000 -- multipliers are integers in millionths, so that every node agrees
local MINUTE_MS = 60000
-- A minute of waiting counts as much as having paid the price once more. Nobody buys more than this many prices' worth
-- of place, so nobody is passed by what comes more than that many minutes after him.
local LEAD_MAX = 30
local MULTIPLIER_MAX = LEAD_MAX * MILLION

-- Quantities are decimal text without sign or leading zeros, and numbers only while they are compared or added: plain
-- ones where they fit, big ones where not.
local SMALL_DIGITS = 18

local function is_small(a, b) return #a <= SMALL_DIGITS and #b <= SMALL_DIGITS end

local function integer(text) return math.tointeger(tonumber(text)) end

local function plus(a, b)
  if is_small(a, b) then return tostring(integer(a) + integer(b)) end
  return tostring(bint(a) + bint(b))
end

local function minus(a, b)
  if is_small(a, b) then return tostring(integer(a) - integer(b)) end
  return tostring(bint(a) - bint(b))
end

local function less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

--- floor(a * b / c), c above 0.
local function share(a, b, c)
  if #a + #b <= SMALL_DIGITS and #c <= SMALL_DIGITS then return tostring(integer(a) * integer(b) // integer(c)) end
  return tostring(bint(a) * bint(b) // bint(c))
end

--- A whole number within bounds written in plain digits, else nil.
local function whole(text, least, most)
  text = tostring(text or "")
  if #text > 15 or not (text == "0" or text:match("^[1-9]%d*$")) then return nil end
  local number = integer(text)
  return number and number >= least and number <= most and number or nil
end

local function is_quantity(text)
  return type(text) == "string" and #text <= QUANTITY_DIGITS_MAX and text:match("^[1-9][0-9]*$") ~= nil
end

--- The first bytes of a text, without the half of a character at the end.
local function cut(text, bytes)
  if #text <= bytes then return text end
  while bytes > 0 and (text:byte(bytes + 1) & 0xC0) == 0x80 do bytes = bytes - 1 end
  return text:sub(1, bytes)
end

local function short(text) return type(text) == "string" and #text <= REFERENCE_BYTES_MAX and text ~= "" end

-- The herd -------------------------------------------------------------------

local function new_herd(tags)
  return {
    token = tags.Token,
    base_fee = integer(tags["Base-Fee"] or "1"),
    token_fee = integer(tags["Token-Fee"] or "1"),
    default_model = tags.Model or "", -- "" is any model: upstream workers name none
    workers = {}, -- id -> worker
    idle = {}, -- worker ids, the longest idle first
    jobs = {}, -- id -> job, queued or running
    queue = {}, -- job ids, the next first
    prompts = {}, -- sender .. " " .. label -> text sent ahead of its payment
    jobs_ever = 0,
    ledger = { credits = "0", earned = "0", refunded = "0", held = "0", withdrawn = "0" },
    withdrawals = {}, -- label -> quantity on its way
    withdrawals_ever = 0,
    transfers = nil, -- so many the token takes in one message, once it has said so
    token_asked = nil, -- when it was asked
    quote = { multiplier = MILLION, at = 0 },
    us_per_token = 50000, -- microseconds; a guess until the first answer
    now = 0, -- time of the newest message, milliseconds
  }
end

--- What a herd of any earlier version of this program lacks is put in, when the program is loaded.
local function complete(herd, tags)
  herd.limits = herd.limits or {}
  for _, limit in ipairs(LIMITS) do
    local field, tag, default, least, most = table.unpack(limit)
    herd.limits[field] = herd.limits[field] or whole(tags[tag], least, most) or default
  end
  for _, job in pairs(herd.jobs) do
    job.length, job.counted = job.length or select(2, job.prompt:gsub("%w+", "")), job.counted or "words"
    job.base_fee, job.token_fee = job.base_fee or herd.base_fee, job.token_fee or herd.token_fee
  end
  herd.waiting, herd.queued_by = {}, {} -- how many are queued for each model, and by each payer
  for _, id in ipairs(herd.queue) do
    local job = herd.jobs[id]
    herd.waiting[job.model] = (herd.waiting[job.model] or 0) + 1
    herd.queued_by[job.payer] = (herd.queued_by[job.payer] or 0) + 1
  end
  herd.texts, herd.text_bytes = 0, 0 -- how many texts wait for their payment, and how long they are
  herd.texts_of = {} -- the same by sender
  for _, text in pairs(herd.prompts) do
    herd.texts, herd.text_bytes = herd.texts + 1, herd.text_bytes + #text.text
    herd.texts_of[text.from] = (herd.texts_of[text.from] or 0) + 1
  end
  -- No deadline of a queued job, and no end of a text sent ahead, is earlier than these.
  herd.next_deadline, herd.next_text_end = 0, 0
  return herd
end

local function count(counts, key, change)
  local number = (counts[key] or 0) + change
  counts[key] = number ~= 0 and number or nil
end

local function assert_ledger(herd)
  local l = herd.ledger
  for _, name in ipairs({ "credits", "earned", "refunded", "held", "withdrawn" }) do
    assert(l[name]:match("^%d+$"), "nothing in the ledger may be negative")
  end
  assert(l.credits == plus(plus(l.earned, l.refunded), l.held), "credits must equal earned + refunded + held")
  assert(not less(l.earned, l.withdrawn), "only what was earned may be withdrawn")
end

-- Drafts ---------------------------------------------------------------------

local GONE = {} -- stands in a draft for what was taken out

--- A copy of a record, in which there are no further tables; of what is no table, itself.
local function copy_of(record)
  if type(record) ~= "table" then return record end
  local copy = {}
  for field, value in next, record do copy[field] = value end
  return copy
end

local function drafted(draft, id)
  local meta = getmetatable(draft)
  local record = meta.own[id]
  if record == nil and meta.records[id] ~= nil then
    record = copy_of(meta.records[id])
    meta.own[id] = record
  end
  if record ~= GONE then return record end
end

local function set_drafted(draft, id, record) getmetatable(draft).own[id] = record == nil and GONE or record end

local function not_by_pairs() error("records of a draft are walked by each") end

--- A draft of a table of records: each is copied when it is asked for; the table itself stays as it is until `keep`.
local function draft_of(records)
  return setmetatable({}, {
    records = records, own = {}, __index = drafted, __newindex = set_drafted, __pairs = not_by_pairs,
  })
end

--- A record to read and not to change: it is not copied.
local function look(draft, id)
  local meta = getmetatable(draft)
  local record = meta.own[id]
  if record == nil then return meta.records[id] end
  if record ~= GONE then return record end
end

--- All records of a draft, to read and not to change, in no order; none may be put in or taken out meanwhile.
local function each(draft)
  local meta = getmetatable(draft)
  local own, among, id, record = meta.own, meta.records, nil, nil
  return function()
    repeat
      id, record = next(among, id)
      if id == nil and among ~= own then
        among = own
        id, record = next(own)
      end
    until id == nil or record ~= GONE and (among == own or own[id] == nil)
    return id, record
  end
end

local DRAFTED = { "workers", "jobs", "prompts", "withdrawals", "queued_by", "texts_of" }
local COPIED = { "ledger", "quote", "limits", "waiting" }
local LISTS = { "idle", "queue" }

local function draft_herd(herd)
  local draft = {}
  for name, value in pairs(herd) do draft[name] = value end
  for _, name in ipairs(DRAFTED) do draft[name] = draft_of(herd[name]) end
  for _, name in ipairs(COPIED) do draft[name] = copy_of(herd[name]) end
  for _, name in ipairs(LISTS) do draft[name] = table.move(herd[name], 1, #herd[name], 1, {}) end
  return draft
end

--- The draft becomes the herd.
local function keep(draft)
  for _, name in ipairs(DRAFTED) do
    local meta = getmetatable(draft[name])
    for id, record in pairs(meta.own) do meta.records[id] = record ~= GONE and record or nil end
    draft[name] = meta.records
  end
  return draft
end

-- Prices ---------------------------------------------------------------------

-- Words that the published price counts: runs of ASCII letters and digits.
local function count_words(text)
  return select(2, text:gsub("%w+", ""))
end

-- Whether this process may ask the node about models at all. A herder spawned without the extension counts words.
local HAS_TOKENIZER = (ao.env.Process.Tags.Extension or ""):find("Llama", 1, true) ~= nil

--- Tokens of a prompt as the worker puts it before the model; nil when this node cannot say.
local function count_tokens(model, system, prompt, format)
  local ok, tokens = pcall(function()
    local llama = require("llama")
    llama.load(model)
    lay_out(llama, system, prompt, format)
    local tokens = #llama.tokens()
    llama.stop()
    return tokens
  end)
  return ok and tokens or nil
end

local function names_model(model) return model ~= nil and model ~= "" end

--- How long a prompt is: its tokens where the request names a model, else the words that published clients count.
-- Returns a count and what was counted.
local function measure(system, prompt, format, model, is_named)
  local tokens = is_named and HAS_TOKENIZER and count_tokens(model, system, prompt, format)
  if tokens then return tokens, "tokens" end
  return count_words(prompt) + (system and count_words(system) or 0), "words"
end

--- Price in winston before any multiplier, as text. `price` has base_fee and token_fee; `length` counts the prompt.
local function needed_for(price, length, tokens)
  return tostring(price.base_fee + (length + tokens) * price.token_fee)
end

--- What of a job's payment was earned when it made so many tokens: floor(paid * used / needed).
local function fee_for(job, tokens_used)
  if job.needed == "0" then return "0" end
  local used = needed_for(job, job.length, tokens_used)
  return used == job.needed and job.paid or share(job.paid, used, job.needed)
end

--- Multiplier in millionths as text with at most six decimals: 2400000 -> "2.4".
local function multiplier_text(millionths)
  local decimals = string.format("%06d", millionths % MILLION):gsub("0+$", "")
  return tostring(millionths // MILLION) .. (decimals ~= "" and "." .. decimals or "")
end

--- Let the quoted multiplier sink towards 1 for the full minutes in which a worker stood idle.
local function cool_quote(herd)
  local quote = herd.quote
  if #herd.idle == 0 then
    quote.at = herd.now
    return
  end
  local minutes = math.max(0, (herd.now - quote.at) // MINUTE_MS)
  quote.at = quote.at + minutes * MINUTE_MS
  while minutes > 0 and quote.multiplier > MILLION do
    local excess = quote.multiplier - MILLION
    quote.multiplier = MILLION + excess - math.max(1, excess // 10)
    minutes = minutes - 1
  end
end

--- The quote follows the dispatched job, at most four times up at once: one rich payer cannot price out all others.
local function heat_quote(herd, job)
  local most = math.min(4 * herd.quote.multiplier, MULTIPLIER_MAX)
  local paid_for = job.needed == "0" and tostring(most) or share(job.paid, tostring(MILLION), job.needed)
  herd.quote.multiplier = math.max(MILLION, less(paid_for, tostring(most)) and integer(paid_for) or most)
  herd.quote.at = herd.now
end

-- Saying things --------------------------------------------------------------

--- An answer that `Send{...}.receive()` and Reply-To find, as msg.reply would make it.
local function answer(msg, message)
  message.Target = msg["Reply-To"] or msg.From
  message["X-Reference"] = msg["X-Reference"] or msg.Reference
  return message
end

local function pay(herd, recipient, quantity, tags)
  tags.Target, tags.Action, tags.Recipient, tags.Quantity = herd.token, "Transfer", recipient, quantity
  return tags
end

--- A payment of which nobody waits to hear that it was made.
local function pay_back(herd, recipient, quantity, tags)
  tags["Debit-Notice"] = "no"
  return pay(herd, recipient, quantity, tags)
end

local function is_refund(message)
  return message.Action == "Transfer" and message["Debit-Notice"] == "no"
end

--- What a turn pays back goes to the token in one message, where it takes several transfers at once. A token that was
--- not asked yet is asked; published ones never say that they do.
local function refund_together(herd, sends)
  local others, refunds = {}, {}
  for _, message in ipairs(sends) do table.insert(is_refund(message) and refunds or others, message) end
  if #refunds < 2 then return sends end
  if not herd.transfers then
    if herd.now >= (herd.token_asked or 0) + TOKEN_ASKED_MS then
      herd.token_asked = herd.now
      table.insert(sends, { Target = herd.token, Action = "Info" })
    end
    return sends
  end
  for first = 1, #refunds, herd.transfers do
    local some = table.move(refunds, first, math.min(first + herd.transfers - 1, #refunds), 1, {})
    table.insert(others, { Target = herd.token, Action = "Transfer-Batch", Data = json.encode(some) })
  end
  return others
end

-- The queue ------------------------------------------------------------------

-- Up to here the product of two prices, a lead and the milliseconds of a minute fits into 64 bits.
local QUICK_DIGITS = 6

--- What a job's place is reckoned from: its price, and what of its payment buys place. Both as text.
local function stakes_of(job)
  local price = job.needed ~= "0" and job.needed or "1"
  local most = tostring(LEAD_MAX * integer(price))
  return price, less(job.paid, most) and job.paid or most
end

--- Whether job a runs before job b: the higher paid/needed + minutes waited first, compared as exact fractions; then
-- first come. Both wait on, so it never changes while they do.
local function runs_before(a, b)
  local later = math.max(-LEAD_MAX * MINUTE_MS, math.min(LEAD_MAX * MINUTE_MS, b.at - a.at))
  local a_price, a_offer = stakes_of(a)
  local b_price, b_offer = stakes_of(b)
  local number = #a_price <= QUICK_DIGITS and #b_price <= QUICK_DIGITS and integer or bint
  a_price, b_price = number(a_price), number(b_price)
  local left = number(a_offer) * b_price * MINUTE_MS + a_price * b_price * later
  local right = number(b_offer) * a_price * MINUTE_MS
  if left == right then return a.number < b.number end
  return right < left
end

--- The place in the queue that a job has, or would have.
local function place_for(herd, job)
  local low, high = 1, #herd.queue + 1
  while low < high do
    local middle = (low + high) // 2
    if runs_before(job, look(herd.jobs, herd.queue[middle])) then high = middle else low = middle + 1 end
  end
  return low
end

local function enqueue(herd, job)
  job.state = "queued"
  table.insert(herd.queue, place_for(herd, job), job.id)
  count(herd.waiting, job.model, 1)
  count(herd.queued_by, job.payer, 1)
  herd.next_deadline = math.min(herd.next_deadline, job.deadline)
end

local function place_of(list, id)
  for place, other in ipairs(list) do
    if other == id then return place end
  end
end

local function remove_from(list, id)
  local place = place_of(list, id)
  if place then table.remove(list, place) end
end

local function leave_queue(herd, job)
  remove_from(herd.queue, job.id)
  count(herd.waiting, job.model, -1)
  count(herd.queued_by, job.payer, -1)
end

-- Ends of a job: earned or refunded, once --------------------------------------

local function drop_job(herd, job)
  if job.state == "queued" then leave_queue(herd, job) end
  herd.jobs[job.id] = nil
  herd.ledger.held = minus(herd.ledger.held, job.paid)
end

local function earn(herd, quantity) herd.ledger.earned = plus(herd.ledger.earned, quantity) end

--- Give money back to whoever sent it, and say why in words of its own as well.
-- `claim` has payer, reference and perhaps id (of a job) and needed.
local function refund(herd, claim, quantity, code, reason, sends)
  herd.ledger.refunded = plus(herd.ledger.refunded, quantity)
  table.insert(sends, pay_back(herd, claim.payer, quantity, {
    ["X-Reason"] = reason, ["X-Code"] = code, ["X-Needed"] = claim.needed, ["X-Reference"] = claim.reference,
  }))
  table.insert(sends, {
    Target = claim.payer, Action = "Inference-Error", ["X-Reference"] = claim.reference, Job = claim.id,
    Code = code, Error = reason, Refund = quantity, Needed = claim.needed, Payment = claim.payment, Data = reason,
  })
end

local function refund_job(herd, job, code, reason, sends)
  drop_job(herd, job)
  refund(herd, job, job.paid, code, reason, sends)
end

-- Workers --------------------------------------------------------------------

local function serves(worker, model)
  local fits = model == "" or worker.model == "" or worker.model == model -- upstream workers name no model
  return fits and worker.state ~= "retired" and not worker.leaving
end

--- Some worker in service for a model, other than `except`; nil when there is none.
local function has_worker(herd, model, except)
  for id, worker in each(herd.workers) do
    if id ~= except and serves(worker, model) then return true end
  end
  return false
end

--- The id of a model asked for by id or by name: nil when nobody offers it.
local function model_offered(herd, wanted)
  if not names_model(wanted) then wanted = herd.default_model end
  if has_worker(herd, wanted) then return wanted end
  local found
  for _, worker in each(herd.workers) do
    -- Names may repeat; the smallest id makes the choice independent of table order.
    if worker.model_name == wanted and serves(worker, worker.model) and (not found or worker.model < found) then
      found = worker.model
    end
  end
  return found
end

local function make_idle(herd, worker)
  worker.job, worker.lost, worker.pinged = nil, nil, nil
  if worker.leaving then
    worker.state = "retired"
  else
    worker.state = "idle"
    table.insert(herd.idle, worker.id)
  end
end

--- The first idle worker for a job, in the order in which they became idle.
-- After a failure another worker is preferred, if there is any other to wait for.
local function worker_for(herd, job)
  local avoid = job.avoid and has_worker(herd, job.model, job.avoid) and job.avoid
  for _, id in ipairs(herd.idle) do
    if id ~= avoid and serves(look(herd.workers, id), job.model) then return id end
  end
end

local function job_time_ms(tokens) return math.max(10 * MINUTE_MS, 2 * MINUTE_MS + 2000 * tokens) end

--- The jobs that a worker runs, in the order in which it got them; each names the one after it as `beside`.
local function jobs_of(herd, worker)
  local jobs, id = {}, worker.job
  while id do
    jobs[#jobs + 1] = herd.jobs[id]
    id = jobs[#jobs].beside
  end
  return jobs
end

local function prompt_bytes(job) return #job.prompt + #(job.system or "") end

--- Whether a job may go along with others. One that cost a worker already goes alone: it might do so again.
local function is_sociable(job) return job.tries == 0 and not job.stream end

--- Whether a worker takes several jobs and usually answers so soon that it pays to wait for it.
local function is_quick(worker) return (worker.batch or 1) > 1 and (worker.usual_ms or math.huge) <= QUICK_MS end

--- How many jobs of a model each of its idle workers gets, when they share evenly what waits for it.
-- A quick one gets company enough, even if others then get nothing.
local function even_share(herd, model, worker)
  local idle, waiting = 0, herd.waiting[model]
  for _, id in ipairs(herd.idle) do
    if serves(look(herd.workers, id), model) then idle = idle + 1 end
  end
  if is_quick(worker) then idle = math.max(1, math.min(idle, waiting // COMPANY)) end
  return (waiting + idle - 1) // idle
end

--- Whether a job is to wait for a busy worker, in company, rather than go to an idle one.
local function waits_for_company(herd, job)
  if not is_sociable(job) or herd.waiting[job.model] >= COMPANY then return false end
  for _, worker in each(herd.workers) do
    if worker.state == "busy" and is_quick(worker) and serves(worker, job.model) then
      if herd.now - look(herd.jobs, worker.job).started <= QUICK_MS then return true end
    end
  end
  return false
end

--- What a worker gets at once: the job at a place in the queue, and of those after it the next that go with it.
-- None of them asks for more tokens than the first, which waits for nobody.
local function together(herd, worker, place)
  local first = herd.jobs[herd.queue[place]]
  local jobs, tokens, bytes = { first }, first.tokens, prompt_bytes(first)
  local most = is_sociable(first) and math.min(worker.batch or 1, even_share(herd, first.model, worker)) or 1
  for other = place + 1, math.min(#herd.queue, place + BATCH_LOOK_MAX) do
    if #jobs >= most then break end
    local job = look(herd.jobs, herd.queue[other])
    local fits = is_sociable(job) and job.model == first.model and job.tokens <= first.tokens
    if fits and tokens + job.tokens <= BATCH_TOKENS_MAX and bytes + prompt_bytes(job) <= BATCH_BYTES_MAX then
      table.insert(jobs, herd.jobs[job.id])
      tokens, bytes = tokens + job.tokens, bytes + prompt_bytes(job)
    end
  end
  return jobs
end

--- What a worker is told of a job.
local function order_of(job)
  return {
    Tokens = tostring(job.tokens), Job = job.id,
    Data = joined(job.system, job.prompt), ["System-Bytes"] = job.system and tostring(#job.system),
    Termination = job.termination, Temperature = job.temperature, Seed = job.seed, ["Top-P"] = job.top_p,
    Stream = job.stream, Format = job.format, Client = job.payer, ["X-Reference"] = job.reference,
  }
end

--- The only place where a worker becomes busy: with the job at a place in the queue, and those that go with it.
local function lease(herd, worker, place, sends)
  local jobs = together(herd, worker, place)
  remove_from(herd.idle, worker.id)
  worker.state, worker.job = "busy", jobs[1].id
  local orders = {}
  for number, job in ipairs(jobs) do
    leave_queue(herd, job)
    job.state, job.worker, job.tries = "running", worker.id, job.tries + 1
    job.started, job.due = herd.now, herd.now + job_time_ms(jobs[1].tokens) -- no other has more to make
    job.beside = jobs[number + 1] and jobs[number + 1].id
    heat_quote(herd, job)
    orders[number] = order_of(job)
  end
  local message = #jobs == 1 and orders[1] or { Data = json.encode(orders) }
  message.Target, message.Action = worker.id, #jobs == 1 and "Inference" or "Inference-Batch"
  table.insert(sends, message)
end

--- Whether some idle worker serves a model that somebody waits for.
local function can_lease(herd)
  for _, id in ipairs(herd.idle) do
    local worker = look(herd.workers, id)
    for model in pairs(herd.waiting) do
      if serves(worker, model) then return true end
    end
  end
  return false
end

--- Lease workers until no queued job finds one that it is to go to.
local function dispatch(herd, sends)
  if herd.paused or not can_lease(herd) then return end
  local place = 1
  while place <= #herd.queue and #herd.idle > 0 do
    local job = look(herd.jobs, herd.queue[place])
    local worker = not waits_for_company(herd, job) and worker_for(herd, job)
    if worker then lease(herd, herd.workers[worker], place, sends) else place = place + 1 end
  end
end

--- Jobs that no worker will ever take are given back rather than kept.
local function refund_orphans(herd, sends)
  local orphaned = false
  for model in pairs(herd.waiting) do orphaned = orphaned or not has_worker(herd, model) end
  if not orphaned then return end
  for place = #herd.queue, 1, -1 do
    local id = herd.queue[place]
    if not has_worker(herd, look(herd.jobs, id).model) then
      refund_job(herd, herd.jobs[id], "worker-failed", "No worker for this model is left", sends)
    end
  end
end

--- A job lost its worker: once more elsewhere, then the money goes back.
local function retry_or_refund(herd, job, reason, sends)
  job.avoid, job.worker, job.started, job.due, job.beside = job.worker, nil, nil, nil, nil
  if job.tries < TRIES_MAX and job.deadline > herd.now and has_worker(herd, job.model) then
    enqueue(herd, job)
  else
    refund_job(herd, job, "worker-failed", reason, sends)
  end
end

local function count_failure(worker)
  worker.failures = worker.failures + 1
  if worker.failures >= FAILURES_MAX then worker.leaving = true end
end

local function ping(herd, worker, sends)
  worker.pinged = herd.now
  table.insert(sends, { Target = worker.id, Action = "Ping" })
end

--- A worker past its deadline gets nothing more until it gives a sign of life. The ping asks for one.
local function quarantine(herd, worker, sends)
  worker.lost, worker.job = worker.job, nil
  count_failure(worker)
  worker.state = worker.leaving and "retired" or "quarantined"
  if worker.state == "quarantined" then ping(herd, worker, sends) end
end

-- Time -------------------------------------------------------------------------

local function by_number(a, b) return a.number < b.number end

--- Jobs whose worker is late, the first of each worker, the oldest first; and workers in quarantine to be asked again,
-- by id.
local function overdue(herd)
  local late, silent = {}, {}
  for id, worker in each(herd.workers) do
    local job = worker.state == "busy" and look(herd.jobs, worker.job)
    if job and job.due <= herd.now then table.insert(late, job) end
    if worker.state == "quarantined" and (worker.pinged or 0) + PING_MS <= herd.now then table.insert(silent, id) end
  end
  table.sort(late, by_number)
  table.sort(silent)
  return late, silent
end

--- Refund what nobody began in time.
local function expire_queued(herd, sends)
  if herd.now < herd.next_deadline then return end
  local expired, soonest = {}, math.maxinteger
  for _, id in ipairs(herd.queue) do
    local job = look(herd.jobs, id)
    if job.deadline <= herd.now then table.insert(expired, job) else soonest = math.min(soonest, job.deadline) end
  end
  herd.next_deadline = soonest
  table.sort(expired, by_number)
  for _, job in ipairs(expired) do
    refund_job(herd, herd.jobs[job.id], "deadline", "The deadline passed before a worker was free", sends)
  end
end

local function forget_text(herd, key)
  local text = look(herd.prompts, key)
  herd.prompts[key] = nil
  herd.texts, herd.text_bytes = herd.texts - 1, herd.text_bytes - #text.text
  count(herd.texts_of, text.from, -1)
end

local function expire_texts(herd)
  if herd.now < herd.next_text_end then return end
  local expired, soonest = {}, math.maxinteger
  for key, text in each(herd.prompts) do
    local ends = text.at + TEXT_MS
    if ends <= herd.now then table.insert(expired, key) else soonest = math.min(soonest, ends) end
  end
  herd.next_text_end = soonest
  for _, key in ipairs(expired) do forget_text(herd, key) end
end

--- Look at every deadline. Runs before the rule of each message.
local function pass_time(herd, sends)
  cool_quote(herd)
  local late, silent = overdue(herd)
  for _, seen in ipairs(late) do
    local worker = herd.workers[seen.worker]
    local jobs = jobs_of(herd, worker)
    quarantine(herd, worker, sends)
    for _, job in ipairs(jobs) do retry_or_refund(herd, job, "The worker did not answer in time", sends) end
  end
  for _, id in ipairs(silent) do ping(herd, herd.workers[id], sends) end
  expire_queued(herd, sends)
  expire_texts(herd)
end

-- What a request must be ---------------------------------------------------------

--- Stop strings as the worker takes them, or nil and what is wrong.
local function termination_fault(text)
  if text == nil or text == "" then return nil end
  local stops = { text }
  if text:sub(1, 1) == "[" then
    local ok, list = pcall(json.decode, text)
    if ok and type(list) == "table" then stops = list end
  end
  if #stops > STOPS_MAX then return "X-Termination has more than " .. STOPS_MAX .. " stop strings" end
  for _, stop in ipairs(stops) do
    if type(stop) ~= "string" or stop == "" or #stop > STOP_BYTES_MAX then
      return "Each stop string of X-Termination must be text of 1 to " .. STOP_BYTES_MAX .. " bytes"
    end
  end
end

local function is_decimal(text, most)
  return #text <= 12 and text:match("^%d%.?%d*$") ~= nil and tonumber(text) <= most
end

local function temperature_fault(text)
  if text and not is_decimal(text, 2) then return "X-Temperature must be a decimal number from 0 to 2" end
end

local function top_p_fault(text)
  if text and not (is_decimal(text, 1) and tonumber(text) > 0) then
    return "X-Top-P must be a decimal number above 0 and at most 1"
  end
end

--- What is wrong with a prompt as that what its format says it is.
local function format_fault(prompt, format)
  if format == nil or format == "text" then return nil end
  if format ~= "chat" then return "X-Format must be chat or text" end
  local ok, messages = pcall(json.decode, prompt)
  if not ok or type(messages) ~= "table" or messages[1] == nil then
    return "A prompt of the format chat must be a JSON array of messages"
  end
  for _, message in ipairs(messages) do
    if type(message) ~= "table" or type(message.role) ~= "string" or type(message.content) ~= "string" then
      return "Each message of a chat must have a role and a content that are text"
    end
  end
end

local function prompt_fault(prompt, bytes_max)
  if type(prompt) ~= "string" or not prompt:match("%S") then return "X-Prompt is required: the prompt is empty" end
  if #prompt > bytes_max then
    return "The prompt has " .. #prompt .. " bytes, at most " .. bytes_max .. " are taken"
  end
end

local function tokens_fault(herd, text)
  if not whole(text, 1, herd.limits.tokens) then
    return "X-Tokens must be a whole number from 1 to " .. herd.limits.tokens
  end
end

local function key_of(sender, label) return sender .. " " .. label end

--- A text of a credit: in its tag, or sent ahead under a label. Nil without either; or nil and what is wrong.
local function text_of(herd, credit, tag, text, label)
  if not label then return text end
  local stored = look(herd.prompts, key_of(credit.payer, label))
  if not stored then return nil, tag .. "-Ref names no text of yours that is still kept" end
  return stored.text
end

--- The prompt and the system text of a credit, or nil, nil and what is wrong.
local function texts_of(herd, credit)
  local prompt, fault = text_of(herd, credit, "X-Prompt", credit.prompt, credit.prompt_label)
  fault = fault or not credit.prompt_label and prompt_fault(prompt, herd.limits.prompt_bytes)
  if fault then return nil, nil, fault end
  local system, system_fault = text_of(herd, credit, "X-System", credit.system, credit.system_label)
  if system_fault then return nil, nil, system_fault end
  if system and not system:match("%S") then system = nil end
  if system and (credit.format == "chat" or is_laid_out(prompt)) then
    return nil, nil, "X-System does not go with a prompt that lays out its roles itself"
  end
  return prompt, system
end

--- Everything wrong with a request that can be said before looking at its money, as a sentence.
local function request_fault(herd, credit)
  return tokens_fault(herd, credit.tokens)
    or termination_fault(credit.termination)
    or temperature_fault(credit.temperature)
    or top_p_fault(credit.top_p)
    or (credit.seed and not whole(credit.seed, 0, SEED_MAX) and "X-Seed must be a whole number from 0 to " .. SEED_MAX)
    or (credit.stream and not whole(credit.stream, PIECE_TOKENS_MIN, herd.limits.tokens)
      and "X-Stream must be a whole number of tokens from " .. PIECE_TOKENS_MIN .. " to " .. herd.limits.tokens)
    or (credit.deadline and not whole(credit.deadline, 0, math.maxinteger)
      and "X-Deadline must be a time in milliseconds since 1970")
    or (credit.long_reference and "X-Reference has more than " .. REFERENCE_BYTES_MAX .. " bytes")
end

--- A Credit-Notice as a record. The reference falls back to the notice's own id.
local function credit_of(msg)
  local reference = msg["X-Reference"]
  return {
    payer = msg.Sender, quantity = msg.Quantity,
    reference = short(reference) and reference or reference and reference ~= "" and cut(reference, REFERENCE_BYTES_MAX) or msg.Id,
    long_reference = reference and #reference > REFERENCE_BYTES_MAX,
    prompt = msg["X-Prompt"], prompt_label = msg["X-Prompt-Ref"], tokens = msg["X-Tokens"],
    system = msg["X-System"], system_label = msg["X-System-Ref"], top_p = msg["X-Top-P"],
    termination = msg["X-Termination"], temperature = msg["X-Temperature"], seed = msg["X-Seed"],
    stream = msg["X-Stream"], deadline = msg["X-Deadline"], model = msg["X-Model"], is_refund = msg["X-Reason"] ~= nil,
    format = msg["X-Format"], payment = msg.Id,
  }
end

-- Rules: one per action --------------------------------------------------------------

local rules = {}

local function new_job(herd, credit, prompt, system, model)
  herd.jobs_ever = herd.jobs_ever + 1
  local deadline, tokens = herd.now + herd.limits.wait_ms, whole(credit.tokens, 1, herd.limits.tokens)
  if credit.deadline then deadline = math.min(deadline, whole(credit.deadline, 0, math.maxinteger)) end
  local length, counted = measure(system, prompt, credit.format, model, names_model(credit.model))
  return {
    id = "job-" .. herd.jobs_ever, number = herd.jobs_ever, payer = credit.payer, reference = credit.reference,
    payment = credit.payment, prompt = prompt, system = system, tokens = tokens, model = model,
    length = length, counted = counted,
    base_fee = herd.base_fee, token_fee = herd.token_fee, needed = needed_for(herd, length, tokens),
    paid = credit.quantity,
    termination = credit.termination, temperature = credit.temperature, seed = credit.seed, top_p = credit.top_p,
    stream = credit.stream, format = credit.format, at = herd.now, deadline = deadline, tries = 0, state = "new",
  }
end

--- Take a job in, and let the last in the queue go when that is one too many.
local function hold(herd, job, sends)
  herd.jobs[job.id] = job
  herd.ledger.held = plus(herd.ledger.held, job.paid)
  enqueue(herd, job)
  dispatch(herd, sends)
  if #herd.queue > herd.limits.queue then
    local last = herd.jobs[herd.queue[#herd.queue]]
    refund_job(herd, last, "queue-full", "The queue is full and others pay more; ask again later", sends)
  end
end

--- A paid request: queued, or refunded with the reason.
local function admit(herd, credit, sends)
  herd.ledger.credits = plus(herd.ledger.credits, credit.quantity)
  -- A refund bounced between two programs would travel for ever, and a credit without a sender has nowhere to go.
  if credit.is_refund or credit.payer == ao.id or type(credit.payer) ~= "string" then
    return earn(herd, credit.quantity)
  end
  local function back(code, reason) refund(herd, credit, credit.quantity, code, reason, sends) end

  if herd.paused then return back("paused", "The herd is paused and takes no new requests; ask again later") end
  local prompt, system, fault = texts_of(herd, credit)
  fault = fault or request_fault(herd, credit) or format_fault(prompt, credit.format)
  if fault then return back("bad-request", fault) end
  local model = model_offered(herd, credit.model)
  if not model then
    return back("bad-request", credit.model and "No worker offers the model " .. cut(credit.model, 64)
      or "No worker is in service")
  end
  local job = new_job(herd, credit, prompt, system, model)
  credit.needed, credit.id = job.needed, job.id
  if less(job.paid, job.needed) then return back("insufficient", "Insufficient payment") end
  if job.deadline <= herd.now then return back("deadline", "The deadline had passed when the payment arrived") end
  if (herd.queued_by[job.payer] or 0) >= herd.limits.per_payer then
    return back("queue-full", "You have " .. herd.limits.per_payer .. " jobs waiting already")
  end
  for _, label in ipairs({ credit.prompt_label or "", credit.system_label }) do
    local key = key_of(job.payer, label)
    if look(herd.prompts, key) then forget_text(herd, key) end
  end
  hold(herd, job, sends)
end

rules["Credit-Notice"] = function(herd, msg, sends)
  if msg.From ~= herd.token then return print("Credit-Notice ignored: not from the token. From: " .. msg.From) end
  if not is_quantity(msg.Quantity) then return print("Credit-Notice ignored: no quantity") end
  admit(herd, credit_of(msg), sends)
end

--- What is left to do with a credit whose rule failed by a fault of ours.
local function give_back(herd, msg, sends)
  herd.ledger.credits = plus(herd.ledger.credits, msg.Quantity)
  refund(herd, credit_of(msg), msg.Quantity, "herder-failed", "The herder could not handle this request", sends)
end

--- The worker that an answer is from; nil for a stranger.
local function worker_answering(herd, msg)
  local worker = herd.workers[msg.From]
  if not worker then print(msg.Action .. " ignored: not from a worker of this herd. From: " .. msg.From) end
  return worker
end

--- An answer that is late or doubled. An upstream worker names no job; what it says while in quarantine can only be
-- about what it lost.
local function drop_answer(herd, worker, msg)
  if worker.state == "quarantined" and (msg.Job or worker.lost) == worker.lost then make_idle(herd, worker) end
  print("Answer dropped: no such job is running. From: " .. msg.From)
end

--- The running job an answer is about; nil when it is late, doubled, or from a stranger.
local function job_answered(herd, msg)
  local worker = worker_answering(herd, msg)
  if not worker then return nil end
  if worker.state == "busy" and (msg.Job or worker.job) == worker.job then
    local job = herd.jobs[worker.job]
    if not job.beside then return job, worker end -- several are answered together
  end
  drop_answer(herd, worker, msg)
end

--- The end of a job that was answered: what it earned, and what goes back. Both as text.
local function settle(herd, job, tokens_used)
  local fee = fee_for(job, tokens_used)
  local rest = minus(job.paid, fee)
  drop_job(herd, job)
  earn(herd, fee)
  herd.ledger.refunded = plus(herd.ledger.refunded, rest)
  return fee, rest
end

local function learn_speed(herd, worker, job, tokens)
  if not tokens or tokens == 0 then return end
  local took_ms = herd.now - job.started
  worker.usual_ms = (3 * (worker.usual_ms or took_ms) + took_ms) // 4
  herd.us_per_token = (7 * herd.us_per_token + took_ms * 1000 // tokens) // 8
end

--- What a worker says about its answer, if it is short text: with one tag too long nothing of it could be sent.
local function said(text)
  return type(text) == "string" and text ~= "" and #text <= WORKER_TAG_BYTES_MAX and text or nil
end

--- The token numbers of prompt and answer as the worker wrote them, as far as there is room for them.
local function ids_of(msg)
  local function fits(ids, room)
    return type(ids) == "string" and #ids <= room and ids:match("^[%w_-]+$") or nil
  end
  local token_ids = fits(msg["Token-Ids"], IDS_BYTES_MAX)
  local room = math.min(IDS_BYTES_MAX, ALL_IDS_BYTES_MAX - #(token_ids or ""))
  return fits(msg["Prompt-Ids"], room), token_ids
end

-- A piece of an answer still under way. It earns nothing and ends nothing.
rules["Inference-Part"] = function(herd, msg, sends)
  local job, worker = job_answered(herd, msg)
  if not job or type(msg.Data) ~= "string" then return end
  table.insert(sends, {
    Target = job.payer, Action = "Inference-Part", ["X-Reference"] = job.reference, Job = job.id,
    Index = said(msg.Index),
    Try = tostring(job.tries), Worker = worker.id, Data = msg.Data,
  })
end

--- The text of an answer: one that says it is JSON was decoded before it came to us. Nil when it has none, as where a
-- null left a hole in a list.
local function text_in(msg)
  if type(msg.Data) == "string" then return msg.Data end
  local ok, text = pcall(json.encode, msg.Data or "")
  return ok and text or nil
end

--- A job was answered: what was made is paid for, the rest goes back. `msg` has the tags and the data of the answer.
local function pay_off(herd, worker, job, msg, sends)
  local tokens_used = whole(msg["Tokens-Used"], 0, job.tokens)
  -- A published worker does not say how many it made: it makes all that were asked.
  local fee, rest = settle(herd, job, tokens_used or job.tokens)
  worker.answered, worker.earned = (worker.answered or 0) + 1, plus(worker.earned or "0", fee)
  local prompt_ids, token_ids = ids_of(msg)
  table.insert(sends, {
    Target = job.payer, Action = "Inference-Response", ["X-Reference"] = job.reference, Job = job.id,
    Worker = worker.id, Model = said(msg.Model) or worker.model,
    ["Model-Name"] = said(msg["Model-Name"]) or worker.model_name, Arithmetic = said(msg.Arithmetic),
    ["Prompt-Tokens"] = said(msg["Prompt-Tokens"]), ["Tokens-Used"] = tokens_used and tostring(tokens_used),
    Finish = said(msg.Finish), Duration = tostring(herd.now - job.started),
    Paid = job.paid, Fee = fee, Refund = rest, ["Base-Fee"] = tostring(job.base_fee),
    ["Token-Fee"] = tostring(job.token_fee), ["Prompt-Count"] = tostring(job.length), Counted = job.counted,
    Temperature = job.temperature or "0", Seed = job.seed or "0", ["Top-P"] = job.top_p,
    Payment = job.payment, Inference = said(msg.Inference), ["Prompt-Ids"] = prompt_ids, ["Token-Ids"] = token_ids,
    Data = text_in(msg),
  })
  if rest ~= "0" then
    table.insert(sends, pay_back(herd, job.payer, rest, {
      ["X-Reason"] = "Fewer tokens were made than paid for", ["X-Code"] = "settled", ["X-Reference"] = job.reference,
    }))
  end
end

-- The request itself cannot be run; another worker would say the same.
local REQUEST_CODES = { ["bad-request"] = true, ["context-full"] = true }

local function is_answer(msg) return msg.Action == "Inference-Response" end

local function is_worker_failure(msg) return not is_answer(msg) and not REQUEST_CODES[msg.Code] end

--- The end of a job: by its answer, or by what its worker says is wrong.
local function end_job(herd, worker, job, msg, sends)
  if is_answer(msg) then return pay_off(herd, worker, job, msg, sends) end
  local is_told = type(msg.Error) == "string" and msg.Error ~= ""
  local reason = is_told and cut(msg.Error, REASON_BYTES_MAX) or "The worker failed"
  if REQUEST_CODES[msg.Code] then return refund_job(herd, job, "bad-request", reason, sends) end
  retry_or_refund(herd, job, reason, sends)
end

--- A worker has ended all it had to do, well or not.
local function free(herd, worker, has_failed)
  if has_failed then count_failure(worker) else worker.failures = 0 end
  make_idle(herd, worker)
end

local function job_ended(herd, msg, sends)
  local job, worker = job_answered(herd, msg)
  if not job then return end
  if is_answer(msg) and not text_in(msg) then msg = { Action = "Inference-Error", Error = "The answer cannot be read" } end
  if is_answer(msg) then learn_speed(herd, worker, job, whole(msg["Tokens-Used"], 0, job.tokens)) end
  free(herd, worker, is_worker_failure(msg))
  end_job(herd, worker, job, msg, sends)
end

rules["Inference-Response"], rules["Inference-Error"] = job_ended, job_ended

--- What a worker says of each of several jobs, by their ids; of a job twice, the first counts. An answer without a
-- text is none.
local function answers_in(msg)
  local ok, list = true, msg.Data
  if type(list) == "string" then ok, list = pcall(json.decode, list) end
  local answers = {}
  for _, answer in ipairs(ok and type(list) == "table" and list or {}) do
    local id = type(answer) == "table" and answer.Job
    local is_whole = type(id) == "string" and (type(answer.Data) == "string" or not is_answer(answer))
    if is_whole and not answers[id] then answers[id] = answer end
  end
  return answers
end

local LEFT_OUT = { Action = "Inference-Error", Error = "The worker left it out" }

--- What is said of each of some jobs, in their order; nil where nothing is said of any.
local function answers_to(jobs, msg)
  local answers, told, is_known = answers_in(msg), {}, false
  for place, job in ipairs(jobs) do
    is_known = is_known or answers[job.id] ~= nil
    told[place] = answers[job.id] or LEFT_OUT
  end
  return is_known and told or nil
end

rules["Inference-Batch-Response"] = function(herd, msg, sends)
  local worker = worker_answering(herd, msg)
  if not worker then return end
  local jobs = worker.state == "busy" and jobs_of(herd, worker) or {}
  -- A job runs together with others once: an answer to one of these is no late one to others.
  local answers = #jobs > 1 and answers_to(jobs, msg)
  if not answers then return drop_answer(herd, worker, msg) end
  local longest, has_failed = 0, false
  for place, job in ipairs(jobs) do
    local told = answers[place]
    has_failed = has_failed or is_worker_failure(told)
    longest = math.max(longest, is_answer(told) and whole(told["Tokens-Used"], 0, job.tokens) or 0)
  end
  learn_speed(herd, worker, jobs[1], longest)
  free(herd, worker, has_failed)
  for place, job in ipairs(jobs) do end_job(herd, worker, job, answers[place], sends) end
end

rules["Worker-Heartbeat"] = function(herd, msg)
  local worker = herd.workers[msg.From]
  if not worker then return end
  worker.batch = worker.batch or whole(msg.Batch, 1, BATCH_MAX) -- what the owner said holds
  if worker.state == "quarantined" then make_idle(herd, worker) end
end

-- A text sent ahead of its payment: too long for a tag. The same label again replaces it.
rules["Prompt"] = function(herd, msg, sends)
  local fault = prompt_fault(msg.Data, herd.limits.text_bytes)
    or (not short(msg.Label) and "Label must be text of 1 to " .. REFERENCE_BYTES_MAX .. " bytes")
  if not fault then
    local key = key_of(msg.From, msg.Label)
    if look(herd.prompts, key) then forget_text(herd, key) end
    local is_full = herd.texts >= TEXTS_MAX or herd.text_bytes + #msg.Data > TEXTS_BYTES_MAX
    if is_full or (herd.texts_of[msg.From] or 0) >= herd.limits.per_payer then
      fault = "Too many prompts wait for their payment"
    end
  end
  if fault then
    local label = short(msg.Label) and msg.Label or nil
    return table.insert(sends, answer(msg, { Action = "Prompt-Error", Label = label, Error = fault }))
  end
  herd.prompts[key_of(msg.From, msg.Label)] = { from = msg.From, text = msg.Data, at = herd.now }
  herd.texts, herd.text_bytes = herd.texts + 1, herd.text_bytes + #msg.Data
  count(herd.texts_of, msg.From, 1)
  herd.next_text_end = math.min(herd.next_text_end, herd.now + TEXT_MS)
  table.insert(sends, answer(msg, { Action = "Prompt-Stored", Label = msg.Label, Bytes = tostring(#msg.Data) }))
end

--- A job by its number, or the oldest with its payer's own reference. To read and not to change.
local function job_named(herd, msg)
  if msg.Job then return look(herd.jobs, msg.Job) end
  local found
  for _, job in each(herd.jobs) do
    local is_it = job.payer == msg.From and job.reference == msg["X-Reference"]
    if is_it and (not found or job.number < found.number) then found = job end
  end
  return found
end

rules["Status"] = function(herd, msg, sends)
  local job = job_named(herd, msg)
  table.insert(sends, answer(msg, {
    Action = "Status-Response", State = job and job.state or "unknown", Job = job and job.id,
    Place = job and job.state == "queued" and tostring(place_of(herd.queue, job.id)) or nil,
    Worker = job and job.worker, ["Queue-Length"] = tostring(#herd.queue),
  }))
end

--- Before it runs, a payer may take a job back; the base fee stays for the trouble.
rules["Cancel"] = function(herd, msg, sends)
  local job = job_named(herd, msg)
  local fault = (not job or job.payer ~= msg.From) and "You have no such job"
    or job.state ~= "queued" and "The job runs already"
  if fault then return table.insert(sends, answer(msg, { Action = "Cancel-Error", Error = fault })) end
  local kept = tostring(job.base_fee)
  job = herd.jobs[job.id]
  drop_job(herd, job)
  earn(herd, kept)
  local rest = minus(job.paid, kept)
  if rest ~= "0" then return refund(herd, job, rest, "cancelled", "Cancelled by its payer", sends) end
  table.insert(sends, {
    Target = job.payer, Action = "Inference-Error", ["X-Reference"] = job.reference, Job = job.id,
    Code = "cancelled", Error = "Cancelled by its payer", Refund = "0",
  })
end

--- What running a prompt now would cost: the price times the quoted multiplier, half a percent more behind a queue.
local function price_now(herd, needed)
  local per_mille = #herd.queue > 0 and 1005 or 1000
  local price = share(needed, tostring(herd.quote.multiplier * per_mille), tostring(MILLION * 1000))
  return price ~= "0" and price or "1" -- the token moves no zero
end

--- How many queued jobs a newcomer would wait for, and the tokens still to be made before its turn.
local function work_ahead(herd, paid, needed)
  local ahead = place_for(herd, { paid = paid, needed = needed, at = herd.now, number = math.maxinteger }) - 1
  local tokens = 0
  for place = 1, ahead do tokens = tokens + look(herd.jobs, herd.queue[place]).tokens end
  for _, worker in each(herd.workers) do
    if worker.state == "busy" then tokens = tokens + look(herd.jobs, worker.job).tokens end
  end
  return ahead, tokens
end

local function in_service(herd)
  local found = 0
  for _, worker in each(herd.workers) do
    if worker.state == "idle" or worker.state == "busy" then found = found + 1 end
  end
  return found
end

--- System text and prompt of a question about prices: the one in a tag, or both in the data, the system text first,
-- with a blank line between them and its length in a tag. A system text that is blank is none.
local function parted(msg)
  local system, prompt = msg["X-System"], msg.Data
  local bytes = type(prompt) == "string" and whole(msg["System-Bytes"], 1, #prompt - 3)
  if bytes then system, prompt = prompt:sub(1, bytes), prompt:sub(bytes + 3) end
  return system and system:match("%S") and system or nil, prompt
end

rules["Quote"] = function(herd, msg, sends)
  local model = model_offered(herd, msg["X-Model"] or msg.Model)
  local system, prompt = parted(msg)
  local format = msg["X-Format"]
  local fault = herd.paused and "The herd is paused and takes no new requests"
    or prompt_fault(prompt, herd.limits.text_bytes) or format_fault(prompt, format)
    or tokens_fault(herd, msg.Tokens) or (not model and "No worker offers this model")
  if fault then
    return table.insert(sends, answer(msg, {
      Action = "Quote-Response", ["Max-Prompt"] = tostring(herd.limits.prompt_bytes),
      ["Max-Prompt-Data"] = tostring(herd.limits.text_bytes), ["Max-Tokens"] = tostring(herd.limits.tokens),
      Error = fault, Data = fault,
    }))
  end
  local tokens = whole(msg.Tokens, 1, herd.limits.tokens)
  local length, counted = measure(system, prompt, format, model, names_model(msg["X-Model"] or msg.Model))
  local needed = needed_for(herd, length, tokens)
  local price = price_now(herd, needed)
  local ahead, work = work_ahead(herd, price, needed)
  if #herd.idle > 0 then work = 0 end
  local wait_us = work * herd.us_per_token // math.max(1, in_service(herd))
  table.insert(sends, answer(msg, {
    Action = "Quote-Response", ["Max-Prompt"] = tostring(herd.limits.prompt_bytes),
    ["Max-Prompt-Data"] = tostring(herd.limits.text_bytes), ["Max-Tokens"] = tostring(herd.limits.tokens),
    Needed = needed, Price = price, Words = tostring(count_words(prompt)),
    ["Prompt-Count"] = tostring(length), Counted = counted, Format = format,
    Tokens = tostring(tokens), Model = model, ["Last-Multiplier"] = multiplier_text(herd.quote.multiplier),
    ["Queue-Length"] = tostring(#herd.queue), Ahead = tostring(ahead),
    ["Expected-Wait"] = tostring(wait_us // 1000),
    ["Expected-Duration"] = tostring(tokens * herd.us_per_token // 1000), Data = price,
  }))
end

rules["Info"] = function(herd, msg, sends)
  local info = answer(msg, {
    Action = "Info-Response", Name = "Llama-Herder", Version = "0.2",
    ["Base-Fee"] = tostring(herd.base_fee), ["Token-Fee"] = tostring(herd.token_fee),
    ["Last-Multiplier"] = multiplier_text(herd.quote.multiplier), ["Queue-Length"] = tostring(#herd.queue),
    ["Max-Multiplier"] = tostring(LEAD_MAX), Paused = herd.paused and "true" or nil,
    Token = herd.token, Model = herd.default_model ~= "" and herd.default_model or nil,
    Counted = "words", ["Counted-With-Model"] = HAS_TOKENIZER and "tokens" or "words",
    ["Workers-Idle"] = tostring(#herd.idle), ["Workers-In-Service"] = tostring(in_service(herd)),
    Data = "A herd of language models. Pay with a Transfer of wAR to this process: X-Prompt, X-Tokens, X-Reference. "
      .. "The price is (Base-Fee + Token-Fee * (words of the prompt + tokens)) * Last-Multiplier, words being runs of "
      .. "ASCII letters and digits, or tokens of the model where X-Model names one; ask Quote for the exact price of a "
      .. "prompt. What was paid for tokens that were not made goes back.",
  })
  for _, limit in ipairs(LIMITS) do info[limit[2]] = tostring(herd.limits[limit[1]]) end
  table.insert(sends, info)
end

rules["Queue"] = function(herd, msg, sends)
  local workers, running = {}, 0
  for id, worker in each(herd.workers) do
    local job, jobs = worker.job and look(herd.jobs, worker.job), 0
    local other = job
    while other do jobs, other = jobs + 1, other.beside and look(herd.jobs, other.beside) end
    running = running + jobs
    table.insert(workers, {
      id = id, state = worker.state, model = worker.model, name = worker.model_name, failures = worker.failures,
      answered = worker.answered or 0, earned = worker.earned or "0",
      batch = worker.batch, jobs = jobs, job = worker.job,
      tokens = job and job.tokens, started = job and job.started, due = job and job.due,
    })
  end
  table.sort(workers, function(a, b) return a.id < b.id end)
  local queue = {}
  for place = 1, math.min(#herd.queue, SHOWN_MAX) do
    local job = look(herd.jobs, herd.queue[place])
    queue[place] = {
      job = job.id, model = job.model, tokens = job.tokens, paid = job.paid, needed = job.needed, at = job.at,
      deadline = job.deadline, tries = job.tries,
    }
  end
  local l = herd.ledger
  table.insert(sends, answer(msg, {
    Action = "Queue-Response", ["Queue-Length"] = tostring(#herd.queue), Running = tostring(running),
    Credits = l.credits, Earned = l.earned, Refunded = l.refunded, Held = l.held, Withdrawn = l.withdrawn,
    Paused = herd.paused and "true" or nil, Data = json.encode({ workers = workers, queue = queue }),
  }))
end

-- Rules for the owner ------------------------------------------------------------------

local function owner_only(refusal, rule)
  return function(herd, msg, sends)
    if msg.From == Owner then return rule(herd, msg, sends) end
    local fault = "Only the owner of this herd may do this"
    table.insert(sends, answer(msg, { Action = refusal, Error = fault, Data = fault }))
  end
end

local function is_id(text) return short(text) and text:match("^[%w_-]+$") ~= nil end

--- A new worker, or one that returns from quarantine or retirement. A working one is left at its work.
rules["Register-Worker"] = owner_only("Register-Error", function(herd, msg, sends)
  local id = msg.Worker
  local fault = (not is_id(id) or id == ao.id or id == herd.token) and "Worker must be the id of a worker process"
    or (msg.Model and not short(msg.Model)) and "Model must be an id, of at most " .. REFERENCE_BYTES_MAX .. " bytes"
    or (msg["Model-Name"] and #msg["Model-Name"] > WORKER_TAG_BYTES_MAX) and "Model-Name is too long"
    or (msg.Batch and not whole(msg.Batch, 1, BATCH_MAX)) and "Batch must be a whole number from 1 to " .. BATCH_MAX
  if fault then return table.insert(sends, answer(msg, { Action = "Register-Error", Error = fault })) end
  local worker = herd.workers[id]
  if not worker then
    worker = { id = id, state = "new", failures = 0 }
    herd.workers[id] = worker
  end
  worker.model, worker.model_name = msg.Model or worker.model or "", msg["Model-Name"] or worker.model_name
  worker.batch = msg.Batch and whole(msg.Batch, 1, BATCH_MAX) or worker.batch
  worker.leaving, worker.failures = nil, 0
  if worker.state ~= "idle" and worker.state ~= "busy" then make_idle(herd, worker) end
  table.insert(sends, answer(msg, {
    Action = "Worker-Registered", Worker = id, Model = worker.model, State = worker.state,
  }))
end)

rules["Retire-Worker"] = owner_only("Retire-Error", function(herd, msg, sends)
  local worker = herd.workers[msg.Worker or ""]
  if not worker then
    return table.insert(sends, answer(msg, { Action = "Retire-Error", Error = "There is no such worker" }))
  end
  worker.leaving = true
  remove_from(herd.idle, worker.id)
  if worker.state ~= "busy" then worker.state = "retired" end -- a busy one finishes first
  refund_orphans(herd, sends)
  table.insert(sends, answer(msg, { Action = "Worker-Retired", Worker = worker.id, State = worker.state }))
end)

rules["Pause"] = owner_only("Pause-Error", function(herd, msg, sends)
  herd.paused = true
  table.insert(sends, answer(msg, { Action = "Paused", ["Queue-Length"] = tostring(#herd.queue) }))
end)

rules["Resume"] = owner_only("Resume-Error", function(herd, msg, sends)
  herd.paused = nil
  table.insert(sends, answer(msg, { Action = "Resumed", ["Queue-Length"] = tostring(#herd.queue) }))
end)

-- The prices of jobs to come: those that are held keep theirs.
rules["Set-Price"] = owner_only("Price-Error", function(herd, msg, sends)
  local base, token = msg["Base-Fee"] or herd.base_fee, msg["Token-Fee"] or herd.token_fee
  base, token = whole(base, 0, FEE_MAX), whole(token, 0, FEE_MAX)
  if not base or not token or not (msg["Base-Fee"] or msg["Token-Fee"]) then
    local fault = "Base-Fee or Token-Fee must be given, in whole winston from 0 to " .. FEE_MAX
    return table.insert(sends, answer(msg, { Action = "Price-Error", Error = fault }))
  end
  herd.base_fee, herd.token_fee = base, token
  table.insert(sends, answer(msg, {
    Action = "Price-Set", ["Base-Fee"] = tostring(base), ["Token-Fee"] = tostring(token),
  }))
end)

-- All limits that are named, or none. What waits already is not sent away by a smaller one.
rules["Set-Limits"] = owner_only("Limits-Error", function(herd, msg, sends)
  local told = answer(msg, { Action = "Limits-Set" })
  for _, limit in ipairs(LIMITS) do
    local field, tag, _, least, most = table.unpack(limit)
    if msg[tag] then
      local number = whole(msg[tag], least, most)
      if not number then
        local fault = tag .. " must be a whole number from " .. least .. " to " .. most
        return table.insert(sends, answer(msg, { Action = "Limits-Error", Error = fault }))
      end
      told[tag] = tostring(number)
    end
  end
  for _, limit in ipairs(LIMITS) do herd.limits[limit[1]] = integer(told[limit[2]] or herd.limits[limit[1]]) end
  table.insert(sends, told)
end)

rules["Withdraw"] = owner_only("Withdraw-Error", function(herd, msg, sends)
  local l = herd.ledger
  local left = minus(l.earned, l.withdrawn)
  local recipient, quantity = msg.Recipient or msg.From, msg.Quantity or left
  if not is_quantity(quantity) or less(left, quantity) then
    local fault = "At most " .. left .. " can be withdrawn"
    return table.insert(sends, answer(msg, { Action = "Withdraw-Error", Error = fault }))
  end
  herd.withdrawals_ever = herd.withdrawals_ever + 1
  local label = "withdraw-" .. herd.withdrawals_ever
  herd.withdrawals[label] = quantity
  l.withdrawn = plus(l.withdrawn, quantity)
  table.insert(sends, pay(herd, recipient, quantity, { ["X-Reference"] = label, ["X-Reason"] = "Withdrawal" }))
  table.insert(sends, answer(msg, {
    Action = "Withdrawal", Quantity = quantity, Recipient = recipient, Label = label,
  }))
end)

rules["Debit-Notice"] = function(herd, msg)
  if msg.From == herd.token then herd.withdrawals[msg["X-Reference"] or ""] = nil end
end

rules["Info-Response"] = function(herd, msg)
  if msg.From ~= herd.token then return end
  local most = whole(msg["Transfer-Batch"], 2, math.maxinteger)
  herd.transfers = most and math.min(most, TRANSFERS_MAX)
end

rules["Transfer-Error"] = function(herd, msg)
  if msg.From ~= herd.token then return end
  local label = msg["X-Reference"] or ""
  local quantity = herd.withdrawals[label]
  if quantity then
    herd.withdrawals[label] = nil
    herd.ledger.withdrawn = minus(herd.ledger.withdrawn, quantity)
  end
  print("The token refused a payment: " .. tostring(msg.Error) .. " (" .. label .. ")")
end

-- A tick changes nothing by itself; time passes before every rule.
rules["Cron"] = function() end

-- The shell ------------------------------------------------------------------------------

Herd = complete(Herd or new_herd(ao.env.Process.Tags), ao.env.Process.Tags)
assert(Herd.token, "a herder needs the tag Token: the id of the token process that pays it")
for _, fee in ipairs({ Herd.base_fee or -1, Herd.token_fee or -1 }) do
  assert(fee >= 0 and fee <= FEE_MAX, "Base-Fee and Token-Fee must be whole numbers of winston, at most " .. FEE_MAX)
end

--- Run a change on a draft of the herd, assert the ledger, then take the draft over and send.
-- Returns true, or false and what failed, in which case nothing has changed and nothing was sent.
local function commit(change)
  local draft, sends = draft_herd(Herd), {}
  local ok, trouble = pcall(function()
    change(draft, sends)
    assert_ledger(draft)
    sends = refund_together(draft, sends)
  end)
  if not ok then return false, trouble end
  Herd = keep(draft)
  for _, message in ipairs(sends) do ao.send(message) end
  return true
end

local function turn(msg, rule)
  local ok, trouble = commit(function(herd, sends)
    herd.now = math.max(herd.now, math.tointeger(tonumber(msg.Timestamp)) or 0)
    pass_time(herd, sends)
    rule(herd, msg, sends)
    refund_orphans(herd, sends)
    dispatch(herd, sends)
  end)
  if ok then return end
  print("Herder: " .. tostring(msg.Action) .. " failed and changed nothing: " .. tostring(trouble))
  if msg.Action == "Credit-Notice" and msg.From == Herd.token and is_quantity(msg.Quantity) then
    commit(function(herd, sends) give_back(herd, msg, sends) end)
  end
end

local actions = {}
for action in pairs(rules) do table.insert(actions, action) end
table.sort(actions)
for _, action in ipairs(actions) do
  Handlers.add(action, function(msg) turn(msg, rules[action]) end)
end

-- Strangers may send anything; the inbox keeps the last message only, so that nobody can fill the memory.
Handlers.prepend("Short-Inbox", function() return "continue" end, function() Inbox = {} end)
