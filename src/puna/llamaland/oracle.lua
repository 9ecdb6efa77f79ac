--[[ The Oracle: 2 LLAMA and a question (X-Question) buy an answer of the herd's, said to the asker.

Before it answers it asks around for what is true now: the coin, the Banker, the Citizenship Llama, the worlds and the
herd. Those facts that the question is about go into the prompt; all of them, the prompt and the seed are kept with the
answer, so that anybody can have the same inference made again. There is no betting here.
]]

local json = require("json")
local character = require("llamaland.character")

local PRICE, TOKENS, QUESTION_MIN, QUESTION_MAX = 2, 60, 5, 200
local ANSWERS_MAX = 100
local FACTS_MS = 20000 -- as long are facts true enough

Answers = Answers or {} -- the last ones, the newest last
Facts = Facts or { at = 0, known = {}, missing = 0 }
Waiting = Waiting or {} -- ids of jobs that wait for facts

-- Facts ---------------------------------------------------------------------------------------

-- How a fact is called in the prompt, and words of a question that make it worth telling.
local FACTS = {
  { "LLAMA supply", { "supply", "llama coin", "how many llama", "coins" } },
  { "LLAMA remaining", { "remain", "left", "treasury" } },
  { "Prayers today", { "prayer", "petition" } },
  { "Best grade today", { "grade" } },
  { "Citizens", { "citizen" } },
  { "Worlds", { "world" } },
  { "Players now", { "player", "people", "who is here", "online", "alone" } },
  { "Queue", { "queue", "herd", "busy", "wait" } },
  { "Price multiplier", { "multiplier", "price", "expensive" } },
  { "Block height", { "block", "chain", "height" } },
}

local function whole(units) return (tostring(units or "0"):sub(1, -13):gsub("^$", "0")) end

--- What each source tells: its id -> how to read facts out of its answer.
local SOURCES = {
  coin = { ask = "Info", read = function(msg, known) known["LLAMA supply"] = whole(msg.Supply) end },
  banker = { ask = "Ledger", read = function(msg, known)
    local ledger = json.decode(msg.Data)
    known["LLAMA remaining"] = whole(ledger.Remaining)
    known["Prayers today"], known["Best grade today"] = tostring(ledger.PetitionsToday), ledger.BestGradeToday
  end },
  citizenship = { ask = "Citizens", read = function(msg, known) known["Citizens"] = msg.Count end },
  herder = { ask = "Info", read = function(msg, known)
    known["Queue"], known["Price multiplier"] = msg["Queue-Length"], msg["Last-Multiplier"]
  end },
}

local function read_world(msg, known)
  known["Players now"] = tostring((tonumber(known["Players now"]) or 0) + (tonumber(msg.Players) or 0))
end

--- Ask everybody; `Facts.missing` counts those who have not answered.
local function gather(now)
  Facts = { at = now, known = {}, missing = 0, label = "facts-" .. now, world_count = 0 }
  local function ask(target, action)
    if not target then return end
    Facts.missing = Facts.missing + 1
    ao.send({ Target = target, Action = action, ["X-Reference"] = Facts.label })
  end
  for name, source in pairs(SOURCES) do ask(name == "herder" and LlamaHerder.herder or Land[name], source.ask) end
  for _, id in pairs(Land.worlds or {}) do
    Facts.world_count = Facts.world_count + 1
    ask(id, "Reality.Count")
  end
  Facts.known["Worlds"] = tostring(Facts.world_count)
end

--- The facts a question is about, as lines of the prompt.
local function facts_for(question, height)
  local lines, asked = {}, question:lower()
  Facts.known["Block height"] = tostring(height)
  for _, fact in ipairs(FACTS) do
    local value = Facts.known[fact[1]]
    for _, word in ipairs(value and fact[2] or {}) do
      if asked:find(word, 1, true) then
        table.insert(lines, fact[1] .. ": " .. value .. ".")
        break
      end
    end
  end
  return lines
end

-- Answers --------------------------------------------------------------------------------------------

local function tell(job, prompt, facts, answer, msg)
  local text = character.line(answer)
  if text == "" then return character.refund(job, "I am sorry: the mist did not lift.") end
  character.done(job)
  table.insert(Answers, {
    Job = job.id, Root = job.root, Account = job.account, Question = job.question, Answer = text, Prompt = prompt,
    Tokens = TOKENS, Temperature = "0.3", Seed = job.seed, Model = msg.Model, Arithmetic = msg.Arithmetic,
    Facts = Facts.known, Inference = msg.Id,
  })
  if #Answers > ANSWERS_MAX then table.remove(Answers, 1) end
  -- A small model reads numbers badly: what was true is said beside what it made of it.
  local truth = #facts > 0 and " (True now: " .. table.concat(facts, " ") .. ")" or ""
  character.say(text .. truth, { to = job.account, kind = "answer", root = job.root, inference = msg["X-Reference"] })
  character.pay(Land.coin, Land.giver, job.quantity, "A question was answered")
  ao.send({ Target = Land.giver, Action = "Quest-Done", Quest = "ask-the-oracle", Account = job.account })
end

local function answer(job)
  local facts = facts_for(job.question, job.height)
  local prompt = "<|system|>\nYou are the Oracle of Llama Land. Answer briefly.\n"
    .. (#facts > 0 and "Facts:\n" .. table.concat(facts, "\n") or "") .. "<|end|>\n"
    .. "<|user|>\n" .. job.question .. "<|end|>\n<|assistant|>\n"
  local options = { Temperature = "0.3", Seed = job.seed }
  local label = character.ask_for(job, prompt, TOKENS, options, function(text, msg)
    tell(job, prompt, facts, text, msg)
  end)
  character.say("Hush. I look into the mist ...",
    { to = job.account, kind = "thinking", root = job.root, inference = label })
end

local function answer_waiting()
  local waiting = Waiting
  Waiting = {}
  for _, id in ipairs(waiting) do
    if Jobs[id] then answer(Jobs[id]) end
  end
end

local function is_fact(msg)
  return Facts.label ~= nil and msg["X-Reference"] == Facts.label and Facts.missing > 0
end

-- Before the client of the herd, which keeps the herder's answers to itself.
Handlers.prepend("Oracle.Fact", function(msg) return is_fact(msg) and "continue" or false end, function(msg)
  for name, source in pairs(SOURCES) do
    if msg.From == (name == "herder" and LlamaHerder.herder or Land[name]) then pcall(source.read, msg, Facts.known) end
  end
  for _, id in pairs(Land.worlds or {}) do
    if msg.From == id then read_world(msg, Facts.known) end
  end
  Facts.missing = Facts.missing - 1
  if Facts.missing == 0 then answer_waiting() end
end)

character.takes(PRICE, function(job, msg)
  job.question = character.text_of(msg["X-Question"], QUESTION_MIN, QUESTION_MAX)
  if not job.question then return "A question has " .. QUESTION_MIN .. " to " .. QUESTION_MAX .. " letters." end
  character.hold(job)
  job.seed = character.seed_of(job.id, job.height)
  if Facts.missing == 0 and job.at - Facts.at < FACTS_MS then return answer(job) end
  local is_stale = job.at - Facts.at >= FACTS_MS
  if Facts.missing > 0 and is_stale then answer_waiting() end -- somebody does not answer: then without its facts
  table.insert(Waiting, job.id)
  if Facts.missing == 0 or is_stale then gather(job.at) end
end)

character.offers(function()
  return { AskOracleLlama = {
    Target = Land.coin, Title = "Ask, seeker",
    Description = "For " .. PRICE .. " LLAMA the Oracle answers one question.",
    Schema = character.payment_form(ao.id, PRICE, { { "X-Question", "Your question", QUESTION_MIN, QUESTION_MAX } }),
  } }
end)

--- What was answered, the newest first; `Job` or `Root` names one.
Handlers.add("Answers", function(msg)
  local found = {}
  for index = #Answers, 1, -1 do
    local entry = Answers[index]
    if #found < 20 and (not msg.Job or msg.Job == entry.Job) and (not msg.Root or msg.Root == entry.Root) then
      table.insert(found, entry)
    end
  end
  msg.reply({ Action = "Answers-Response", Data = json.encode(found) })
end)

--- Forget the answers; the owner's only lever.
Handlers.add("AdminAction", function(msg)
  if msg.From ~= Owner then return msg.reply({ Action = "AdminAction-Error", Error = "Only the owner may do this" }) end
  Answers = {}
  msg.reply({ Action = "AdminAction-Done" })
end)
