--[[ The worker process: runs one model for one herder.

Who talks to it: its herder (Inference, Ping), its owner (Init). Spawn tags: Herder, Model (the data item id of the
weights), Extension=Llama. It answers each Inference with exactly one message, Inference-Response or Inference-Error:
whatever goes wrong inside is caught, because an evaluation that raises sends nothing and the herder would wait.
]]

local json = require("json")

local spawn_tags = ao.env.Process.Tags

Worker = Worker or {
  herder = spawn_tags.Herder,
  model = spawn_tags.Model,
  loaded = nil, -- the model id the library holds now
}

--- The library with our model in it. Raises the library's own text when the model cannot be had.
local function engine()
  local llama = require("llama")
  if Worker.loaded ~= Worker.model then
    llama.load("/data/" .. tostring(Worker.model))
    Worker.loaded = Worker.model
  end
  return llama
end

--- A program that writes role markers itself, as the published ones do, has already laid out the conversation.
local function is_laid_out(prompt) return prompt:match("^%s*<|[%w_]+|>") ~= nil end

--- Stop strings: one plain text, or a JSON array of texts.
local function stop_texts(termination)
  if not termination or termination == "" then return {} end
  if termination:sub(1, 1) ~= "[" then return { termination } end
  local ok, list = pcall(json.decode, termination)
  return ok and type(list) == "table" and list or { termination }
end

--- The job a message asks for, or a sentence saying what is wrong with it.
local function job_of(msg)
  local tokens = tostring(msg.Tokens or ""):match("^[1-9]%d*$") and math.tointeger(tonumber(msg.Tokens))
  if not tokens then return nil, "Tokens must be a whole number of at least 1" end
  if type(msg.Data) ~= "string" or not msg.Data:match("%S") then return nil, "the prompt is empty" end
  return {
    id = msg.Job, prompt = msg.Data, tokens = tokens, stop = stop_texts(msg.Termination),
    temperature = tonumber(msg.Temperature) or 0, seed = math.tointeger(tonumber(msg.Seed or "0")) or 0,
  }
end

--- Run the job; returns what the engine said. Raises on any trouble.
local function infer(job)
  local llama = engine()
  llama.setTemp(job.temperature)
  llama.setSeed(job.seed)
  local tokens = is_laid_out(job.prompt) and llama.tokenize(job.prompt, { special = true })
    or llama.chat({ user = job.prompt })
  local completion = llama.generate(tokens, job.tokens, { stop = job.stop })
  return { prompt_tokens = #tokens, completion = completion, model = llama.describe() }
end

--- The same text on every node, without the position that Lua puts in front of a raised text.
local function plain(trouble) return (tostring(trouble):gsub("^.-:%d+: ", "")) end

local function code_of(trouble)
  return trouble:match("^context full") and "context-full" or "worker-failed"
end

local function failure(job_id, code, text)
  return { Action = "Inference-Error", Job = job_id, Code = code, Error = text, Model = Worker.model, Data = text }
end

--- One Inference message to one answer; never raises.
local function answer(msg)
  local job, fault = job_of(msg)
  if not job then return failure(msg.Job, "bad-request", fault) end
  local ok, outcome = pcall(infer, job)
  if not ok then
    Worker.loaded = nil
    return failure(job.id, code_of(plain(outcome)), plain(outcome))
  end
  return {
    Action = "Inference-Response", Job = job.id, Model = Worker.model,
    ["Model-Name"] = outcome.model.name, Arithmetic = outcome.model.arithmetic,
    ["Tokens-Used"] = tostring(#outcome.completion.tokens), ["Prompt-Tokens"] = tostring(outcome.prompt_tokens),
    Finish = outcome.completion.finish, Data = outcome.completion.text,
  }
end

local function say(target, message)
  message.Target = target
  ao.send(message)
end

Handlers.add("Inference", function(msg)
  if msg.From ~= Worker.herder then return print("Inference request from non-router. From: " .. msg.From) end
  say(Worker.herder, answer(msg))
end)

Handlers.add("Ping", function(msg)
  if msg.From ~= Worker.herder then return print("Ping from non-router. From: " .. msg.From) end
  say(Worker.herder, { Action = "Worker-Heartbeat", Model = Worker.model })
end)

-- Only the owner may change the model: upstream lets anybody.
Handlers.add("Init", function(msg)
  if msg.From ~= Owner then return print("Init from a stranger. From: " .. msg.From) end
  Worker.model = msg["Model-ID"] or Worker.model
  Worker.loaded = nil
  local ok, trouble = pcall(engine)
  msg.reply(ok and { Action = "Worker-Initialized", Model = Worker.model }
    or failure(nil, "worker-failed", plain(trouble)))
end)

Handlers.prepend("Short-Inbox", function() return "continue" end, function() Inbox = {} end)
