-- The `Llama` library: a language model as a program sees it. The context is a list of token numbers in this
-- process's memory; each question to the node carries all of it, so an answer depends on nothing the node keeps.
-- Needs the spawn tag `Extension=Llama`.
--
--   Llama = require("llama")
--   Llama.load("/data/<model id>")
--   Llama.setPrompt("Once upon a time"); print(Llama.run(20))
--   print(Llama.chat{ system = "You are terse.", user = msg.Data, tokens = 40 })
--   Llama.runAll{ { tokens = one, count = 20 }, { tokens = other, count = 20 } } -- several answers, computed together

local json = require(".json")

local Llama = {
  special = false, -- true: the end of an answer is delivered as the text `<|end|>`
  temperature = 0, -- 0 takes the likeliest token each time
  seed = 1234,
  topP = 1,
  stopTexts = {},
  last = nil, -- of the last call to the model: {prompt, generated, total, finish, text}, tokens counted

  logLevels = { [2] = "error", [3] = "warn", [4] = "info", [5] = "debug" },
  logLevel = 5,
  logToStderr = true,
  log = {},
}

local END = "<|end|>"
local ROLE_MARKERS = { "<|system|>", "<|user|>", "<|assistant|>" }
local SEED_MASK = 0xFFFFFFFFFFF -- 44 bits: what travels as a JSON number without losing digits

local model -- {id, name, context, ...} as the node described it
local context = { tokens = {}, generated = 0, finished = false }
local saved

-- Logging -----------------------------------------------------------------------------------------------------------

-- Called with each log line; programs may replace it.
function Llama.onLog() end

-- Called with the share of a model that is loaded, 0 to 1; models here are there at once.
function Llama.onProgress() end

local function note(level, text)
  if level > Llama.logLevel then
    return
  end
  local name = Llama.logLevels[level]
  Llama.log[name] = Llama.log[name] or {}
  table.insert(Llama.log[name], text)
  Llama.onLog(level, text)
end

-- Asking the node ---------------------------------------------------------------------------------------------------

local function ask(request)
  if type(_host) ~= "function" then
    error("Llama: this module runs on a host without extensions (no _host)", 3)
  end
  local answer, failure = _host("Llama", json.encode(request))
  if not answer then
    note(2, tostring(failure))
    error("Llama: " .. tostring(failure), 3)
  end
  return json.decode(answer)
end

local function loaded()
  if not model then
    error("Llama: no model is loaded; call Llama.load(\"/data/<id>\") first", 3)
  end
  return model.id
end

local function begins_with_role(text)
  for _, marker in ipairs(ROLE_MARKERS) do
    if string.sub(text, 1, #marker) == marker then
      return true
    end
  end
  return false
end

-- A prompt that a program wrote in the model's own form begins with a role marker, and then markers are the model's
-- control tokens. In any other text they are ordinary characters, whoever wrote it.
local function tokenize(text, bos)
  assert(type(text) == "string", "text should be a string")
  return ask({ op = "tokenize", model = loaded(), text = text, bos = bos, special = begins_with_role(text) }).tokens
end

local function start(tokens)
  context = { tokens = tokens, generated = 0, finished = false }
end

-- Model -------------------------------------------------------------------------------------------------------------

-- Opens a model: `/data/<item id>`, or the id alone. Raises when the node does not have it.
function Llama.load(path)
  assert(type(path) == "string", "path should be a string")
  local id = string.match(path, "([^/]+)$") or path
  local described = ask({ op = "info", model = id })
  described.id = id
  model = described
  start({})
  Llama.onProgress(1)
  note(4, "loaded " .. tostring(described.name or id))
end

-- What this is, and of which model when one is loaded.
function Llama.info()
  if not model then
    return "Puna: language models inside AO processes, every answer checkable."
  end
  return string.format("Puna: %s, %s tokens of context, arithmetic %s.", model.name or model.id, model.context or "?",
    model.arithmetic or "?")
end

-- The node's description of the loaded model: {id, name, context, vocab, arithmetic, eos, template}; nil before load.
function Llama.model()
  return model
end

-- Context -----------------------------------------------------------------------------------------------------------

-- Begins a new context with `text`.
function Llama.setPrompt(text)
  start(tokenize(text, true))
end

-- Appends `text` to the context; an ended answer may go on after it.
function Llama.add(text)
  local more = tokenize(text, #context.tokens == 0)
  table.move(more, 1, #more, #context.tokens + 1, context.tokens)
  context.finished, context.held = false, nil
end

-- Forgets the context.
function Llama.stop()
  start({})
end

-- True once the model has ended its answer.
function Llama.finished()
  return context.finished
end

-- The context as token numbers (a copy).
function Llama.tokens()
  return table.move(context.tokens, 1, #context.tokens, 1, {})
end

local function copy(state)
  return {
    tokens = table.move(state.tokens, 1, #state.tokens, 1, {}),
    generated = state.generated,
    finished = state.finished,
    held = state.held,
  }
end

function Llama.saveState()
  saved = copy(context)
end

-- Back to the saved context; without one nothing changes.
function Llama.loadState()
  if saved then
    context = copy(saved)
  end
end

function Llama.clearState()
  saved = nil
end

-- Sampling ----------------------------------------------------------------------------------------------------------

function Llama.setTemperature(temperature)
  Llama.temperature = assert(tonumber(temperature), "temperature should be a number")
end

Llama.setTemp = Llama.setTemperature

function Llama.setSeed(seed)
  Llama.seed = assert(math.tointeger(tonumber(seed)), "seed should be an integer")
end

function Llama.setTopP(share)
  Llama.topP = assert(tonumber(share), "top_p should be a number")
end

local function list_of(texts)
  if texts == nil or texts == "" then
    return {}
  elseif type(texts) == "string" then
    return { texts }
  end
  assert(type(texts) == "table", "stop should be a string or a list of strings")
  return texts
end

-- One text or a list of texts at which an answer ends, when it appears within one `run`; nil for none.
function Llama.setStop(texts)
  Llama.stopTexts = list_of(texts)
end

-- The node counts the steps of one call from zero. Calls that continue an answer get a seed of their own, or each would
-- draw the same chance again.
local function seed_of(step)
  return (Llama.seed + step * 0x9E3779B97F4A7C15) & SEED_MASK
end

-- Generating --------------------------------------------------------------------------------------------------------

-- A character may take several tokens. Its first ones have no text of their own: what was generated since `from` is
-- then held back, and the next call asks for it again together with what follows.
local HELD_CALLS_MAX = 4 -- no character is longer; past it the model really means the replacement character
local REPLACEMENT = "\u{FFFD}"

local function ends_open(text)
  return string.sub(text, -#REPLACEMENT) == REPLACEMENT
end

-- Asks for `count` tokens after the first `from` tokens of the context, of which the last are there already.
local function generate(from, count)
  local known = #context.tokens - from
  return ask({
    op = "generate",
    model = model.id,
    tokens = table.move(context.tokens, 1, from, 1, {}),
    limit = known + count,
    temperature = Llama.temperature,
    seed = seed_of(context.generated - known),
    top_p = Llama.topP,
    stop = Llama.stopTexts,
  })
end

-- What of `text`, generated since `from`, may be told now; the rest stays held.
local function release(text, from)
  local held = context.held or { told = 0, calls = 0 }
  local sure = #text
  context.held = nil
  if not context.finished and ends_open(text) and held.calls < HELD_CALLS_MAX then
    sure = sure - #REPLACEMENT
    context.held = { from = from, told = sure, calls = sure > held.told and 1 or held.calls + 1 }
  end
  return string.sub(text, held.told + 1, sure)
end

-- Up to `count` more tokens, as text. Ends early with the answer; "" after that.
function Llama.run(count)
  count = assert(math.tointeger(tonumber(count)), "count should be an integer")
  loaded()
  if context.finished or count < 1 then
    return ""
  end
  if #context.tokens == 0 then
    error("Llama: the context is empty; call Llama.setPrompt(text) first", 2)
  end
  local before, from = #context.tokens, context.held and context.held.from or #context.tokens
  local answer = generate(from, count)
  for index = #context.tokens, from + 1, -1 do
    context.tokens[index] = nil
  end
  table.move(answer.tokens, 1, #answer.tokens, from + 1, context.tokens)
  local generated = #context.tokens - before
  context.generated = context.generated + generated
  context.finished = answer.finish == "stop"
  local text = release(answer.text, from)
  if context.finished and Llama.special and #Llama.stopTexts == 0 then
    text = text .. END
  end
  Llama.last = {
    prompt = before,
    generated = generated,
    total = context.generated,
    finish = answer.finish,
    text = text,
  }
  return text
end

-- Answers to several contexts at once, each what a first `run` would make of it; a model takes less time for all of
-- them than for one after the other. At most 16 wishes, each {tokens, count, temperature, seed, topP, stop}: token
-- numbers as `tokens` tells them, and for what is not named what `run` would take. An answer is {tokens, text, finish},
-- tokens being the new ones, or {error} when this one cannot be given. The context and `last` stay as they are.
function Llama.runAll(wishes)
  assert(type(wishes) == "table", "wishes should be a list")
  local wanted = {}
  for place, wish in ipairs(wishes) do
    wanted[place] = {
      tokens = wish.tokens,
      limit = assert(math.tointeger(tonumber(wish.count)), "count should be an integer"),
      temperature = wish.temperature or Llama.temperature,
      seed = assert(math.tointeger(tonumber(wish.seed or Llama.seed)), "seed should be an integer") & SEED_MASK,
      top_p = wish.topP or Llama.topP,
      stop = list_of(wish.stop or Llama.stopTexts),
    }
  end
  local answers = ask({ op = "generate_all", model = loaded(), wanted = wanted }).answers
  for place, answer in ipairs(answers) do
    if answer.finish == "length" and ends_open(answer.text) then
      answer.text = string.sub(answer.text, 1, -#REPLACEMENT - 1) -- the first bytes of a character
    elseif answer.finish == "stop" and Llama.special and #wanted[place].stop == 0 then
      answer.text = answer.text .. END
    end
  end
  return answers
end

-- One more token, as text; "" at and after the end.
function Llama.next()
  return Llama.run(1)
end

local CHAT_ROLES = { "system", "user", "assistant" }

local function messages_of(chat)
  local messages = {}
  if chat[1] ~= nil then
    for index, message in ipairs(chat) do
      messages[index] = { role = message.role, content = message.content }
    end
    return messages
  end
  for _, role in ipairs(CHAT_ROLES) do
    if chat[role] ~= nil then
      messages[#messages + 1] = { role = role, content = tostring(chat[role]) }
    end
  end
  return messages
end

-- Begins a new context from a conversation, in the model's own chat form: `{system=, user=}` or a list of
-- `{role=, content=}`. No text in it can pass for a role marker. With `tokens = n` it also runs and returns the
-- answer.
function Llama.chat(chat)
  assert(type(chat) == "table", "chat should be a table")
  start(ask({ op = "chat", model = loaded(), messages = messages_of(chat) }).tokens)
  if chat.tokens then
    return Llama.run(chat.tokens)
  end
end

-- The answer to one question, at most `count` tokens long.
function Llama.ask(question, count)
  return Llama.chat({ user = question, tokens = count or 64 })
end

-- The names programs know this library under, and the global it has always set.
for _, name in ipairs({ "llama", ".llama", "Llama", ".Llama" }) do
  package.loaded[name] = Llama
end
_G.Llama = Llama

return Llama
