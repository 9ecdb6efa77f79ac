--[[ The worker process: runs one model for one herder.

Who talks to it: its herder (Inference, Inference-Batch, Ping), its owner (Init). Spawn tags: Herder, Model (the data
item id of the weights), Extension=Llama. It answers each Inference with exactly one message, Inference-Response or
Inference-Error: whatever goes wrong inside is caught, because an evaluation that raises sends nothing and the herder
would wait.

With the tag Stream, a number of tokens, it works in pieces of that size and sends each as Inference-Part before the
answer; between two pieces it tells itself to go on. The answer is the pieces put together, and at temperature 0 the one
it would have given at once. With stop texts there is one piece: a text may end in two.

An Inference-Batch brings several jobs, as a JSON array: each an object with the tags and the data of an Inference, all
of them texts, without pieces. They are computed together and answered by one Inference-Batch-Response, an array in the
same order: of each job the tags and the data of the answer that it would have got by itself.
]]

local spawn_tags = ao.env.Process.Tags
local BATCH_MAX = 8 -- jobs that may come at once
local is_renewed = Worker ~= nil -- loaded into a worker that an earlier version of this program ran

Worker = Worker or {
  herder = spawn_tags.Herder,
  model = spawn_tags.Model,
  loaded = nil, -- the model id the library holds now
  streamed = nil, -- the job under way in pieces
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

--- Stop strings: one plain text, or a JSON array of texts.
local function stop_texts(termination)
  if not termination or termination == "" then return {} end
  if termination:sub(1, 1) ~= "[" then return { termination } end
  local ok, list = pcall(json.decode, termination)
  return ok and type(list) == "table" and list or { termination }
end

--- A system text and the prompt: the herder puts them one after the other, with a blank line between them, and says how
-- long the first is. Nil and everything where it says nothing of the kind.
local function parted(text, system_bytes)
  local bytes = tostring(system_bytes or ""):match("^[1-9]%d*$") and math.tointeger(tonumber(system_bytes))
  if not bytes or bytes + 2 >= #text then return nil, text end
  return text:sub(1, bytes), text:sub(bytes + 3)
end

--- A number in a tag. What has too many digits for one is none: it could not be told to the engine.
local function finite(text)
  local number = tonumber(text)
  return number and math.abs(number) < math.huge and number or nil
end

--- The job a message asks for, or a sentence saying what is wrong with it.
local function job_of(msg)
  local tokens = tostring(msg.Tokens or ""):match("^[1-9]%d*$") and math.tointeger(tonumber(msg.Tokens))
  if not tokens then return nil, "Tokens must be a whole number of at least 1" end
  if type(msg.Data) ~= "string" or not msg.Data:match("%S") then return nil, "the prompt is empty" end
  local stop = stop_texts(msg.Termination)
  local piece = tostring(msg.Stream or ""):match("^[1-9]%d*$") and math.tointeger(tonumber(msg.Stream))
  local system, prompt = parted(msg.Data, msg["System-Bytes"])
  return {
    id = msg.Job, message = msg.Id, system = system, prompt = prompt, format = msg.Format,
    tokens = tokens, stop = stop, piece = #stop == 0 and piece or tokens,
    generated = 0, text = "", parts = 0,
    temperature = finite(msg.Temperature) or 0, top_p = finite(msg["Top-P"]) or 1,
    seed = math.tointeger(tonumber(msg.Seed or "0")) or 0,
  }
end

--- Put the prompt of a job before the engine. Raises on any trouble.
local function begin(job)
  local llama = engine()
  llama.special = false
  llama.setTemperature(job.temperature)
  llama.setSeed(job.seed)
  llama.setTopP(job.top_p)
  llama.setStop(job.stop)
  lay_out(llama, job.system, job.prompt, job.format)
  job.prompt_ids = llama.tokens()
end

--- Run jobs together, each to its end; what goes wrong with one alone is told as its `fault`. Raises on other trouble.
local function run_together(jobs)
  local llama, wishes, asked = engine(), {}, {}
  for _, job in ipairs(jobs) do
    local ok, trouble = pcall(begin, job)
    if ok then
      table.insert(asked, job)
      table.insert(wishes, {
        tokens = job.prompt_ids, count = job.tokens, temperature = job.temperature, seed = job.seed, topP = job.top_p,
        stop = job.stop,
      })
    else
      job.fault = trouble
    end
  end
  llama.stop()
  for place, answer in ipairs(#wishes > 0 and llama.runAll(wishes) or {}) do
    local job = asked[place]
    job.fault, job.token_ids, job.text, job.finish = answer.error, answer.tokens, answer.text, answer.finish
    job.prompt_tokens, job.generated, job.model = #job.prompt_ids, #(answer.tokens or {}), llama.model()
  end
end

--- Run the next piece of a job; true when it was the last. Raises on any trouble.
local function go_on(job)
  local llama = engine()
  llama.run(math.min(job.piece, job.tokens - job.generated))
  local said = llama.last
  job.prompt_tokens = job.prompt_tokens or said.prompt
  job.generated, job.text, job.said = job.generated + said.generated, job.text .. said.text, said.text
  job.finish, job.model = said.finish, llama.model()
  local ended = said.finish ~= "length" or said.generated == 0 or job.generated >= job.tokens
  if ended then
    local tokens = llama.tokens()
    job.token_ids = table.move(tokens, #job.prompt_ids + 1, #tokens, 1, {})
    llama.stop()
  end
  return ended
end

local ERROR_BYTES_MAX = 500 -- of a text in a tag: nothing is told with one that an item has no room for

--- What went wrong, without the position that Lua and the name that the library put in front.
local function plain(trouble)
  local text = tostring(trouble):gsub("^%[string .-%]:%d+: ", ""):gsub("^Llama: ", "")
  local bytes = math.min(#text, ERROR_BYTES_MAX)
  while bytes < #text and bytes > 0 and (text:byte(bytes + 1) & 0xC0) == 0x80 do bytes = bytes - 1 end
  return text:sub(1, bytes)
end

local function code_of(trouble)
  if trouble:match("^context full") then return "context-full" end
  return trouble:match("^The model's chat template refuses") and "bad-request" or "worker-failed"
end

local function failure(job_id, code, text)
  return { Action = "Inference-Error", Job = job_id, Code = code, Error = text, Model = Worker.model, Data = text }
end

local BASE64_URL = {} -- 0 to 63 -> its character
string.gsub("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "()(.)", function(place, character)
  BASE64_URL[place - 1] = character
end)
local IDS_BYTES_MAX = 1500 -- of a tag with token numbers
local ALL_IDS_BYTES_MAX = 2600 -- of both: an item has room for 4096 bytes of tags

--- Token numbers as text: each an unsigned LEB128, all together base64url without padding.
-- Nil when there are none, or too many.
local function written(ids, room)
  local bytes, count = {}, 0
  for _, id in ipairs(ids) do
    while id >= 128 do
      count = count + 1
      bytes[count], id = id % 128 + 128, id // 128
    end
    count = count + 1
    bytes[count] = id
  end
  if #bytes == 0 or (#bytes * 4 + 2) // 3 > math.min(room, IDS_BYTES_MAX) then return nil end
  local text, length = {}, 0
  for at = 1, #bytes, 3 do
    local a, b, c = bytes[at], bytes[at + 1], bytes[at + 2]
    local whole = a << 16 | (b or 0) << 8 | (c or 0)
    for digit = 0, c and 3 or b and 2 or 1 do
      length = length + 1
      text[length] = BASE64_URL[whole >> (18 - 6 * digit) & 63]
    end
  end
  return table.concat(text)
end

local function success(job)
  local token_ids = written(job.token_ids, ALL_IDS_BYTES_MAX)
  local prompt_ids = written(job.prompt_ids, ALL_IDS_BYTES_MAX - #(token_ids or ""))
  return {
    Action = "Inference-Response", Job = job.id, Model = Worker.model, ["Model-Name"] = job.model.name,
    Arithmetic = job.model.arithmetic, ["Tokens-Used"] = tostring(job.generated),
    ["Prompt-Tokens"] = tostring(job.prompt_tokens), Finish = job.finish, Data = job.text,
    Inference = job.message, ["Prompt-Ids"] = prompt_ids, ["Token-Ids"] = token_ids,
  }
end

--- The next piece of a job, and what it leads to: messages to the herder and to ourselves. Never raises.
local function work(job, is_first)
  Worker.streamed = nil
  local ok, ended = pcall(function()
    if is_first then begin(job) end
    return go_on(job)
  end)
  if not ok then
    Worker.loaded = nil -- look at the model again next time: it may have come
    return { failure(job.id, code_of(plain(ended)), plain(ended)) }
  end
  if ended then return { success(job) } end
  Worker.streamed = job
  local messages = { { Target = ao.id, Action = "Inference-Continue", Job = job.id } }
  if job.said ~= "" then
    job.parts = job.parts + 1
    table.insert(messages, 1, {
      Action = "Inference-Part", Job = job.id, Index = tostring(job.parts), Data = job.said,
    })
  end
  return messages
end

--- The jobs that the data of an Inference-Batch holds, as messages: what is no text could be no tag of one.
local function orders_in(data)
  local ok, list = pcall(json.decode, data)
  local orders = {}
  for place, told in ipairs(ok and type(list) == "table" and list or {}) do
    orders[place] = {}
    for name, text in pairs(type(told) == "table" and told or {}) do
      orders[place][name] = type(text) == "string" and text or nil
    end
  end
  return orders
end

--- The answers to an Inference-Batch, in its order. Never raises.
local function work_together(orders, message)
  Worker.streamed = nil
  local answers, jobs = {}, {}
  for place, order in ipairs(orders) do
    local job, fault = job_of(order)
    if job then
      job.place, job.message = place, message
      table.insert(jobs, job)
    else
      answers[place] = failure(order.Job, "bad-request", fault)
    end
  end
  local ok, trouble = pcall(run_together, jobs)
  for _, job in ipairs(jobs) do
    local fault = job.fault or not ok and trouble
    answers[job.place] = fault and failure(job.id, code_of(plain(fault)), plain(fault)) or success(job)
    if fault then Worker.loaded = nil end -- look at the model again next time: it may have come
  end
  return answers
end

local function say(target, message)
  message.Target = message.Target or target
  ao.send(message)
end

Handlers.add("Inference", function(msg)
  if msg.From ~= Worker.herder then return print("Inference request from non-router. From: " .. msg.From) end
  local job, fault = job_of(msg)
  local messages = job and work(job, true) or { failure(msg.Job, "bad-request", fault) }
  for _, message in ipairs(messages) do say(Worker.herder, message) end
end)

Handlers.add("Inference-Batch", function(msg)
  if msg.From ~= Worker.herder then return print("Inference request from non-router. From: " .. msg.From) end
  local answers = work_together(orders_in(msg.Data), msg.Id)
  say(Worker.herder, { Action = "Inference-Batch-Response", Inference = msg.Id, Data = json.encode(answers) })
end)

Handlers.add("Inference-Continue", function(msg)
  local job = Worker.streamed
  -- The herder may have given us other work meanwhile.
  if msg.From ~= ao.id or not job or job.id ~= msg.Job then return print("Nothing to continue. From: " .. msg.From) end
  for _, message in ipairs(work(job, false)) do say(Worker.herder, message) end
end)

local function sign_of_life()
  return { Action = "Worker-Heartbeat", Model = Worker.model, Batch = tostring(BATCH_MAX) }
end

Handlers.add("Ping", function(msg)
  if msg.From ~= Worker.herder then return print("Ping from non-router. From: " .. msg.From) end
  say(Worker.herder, sign_of_life())
end)

-- Only the owner may change the model: upstream lets anybody.
Handlers.add("Init", function(msg)
  if msg.From ~= Owner then return print("Init from a stranger. From: " .. msg.From) end
  Worker.model = msg["Model-ID"] or Worker.model
  Worker.loaded, Worker.streamed = nil, nil
  local ok, trouble = pcall(engine)
  msg.reply(ok and { Action = "Worker-Initialized", Model = Worker.model }
    or failure(nil, "worker-failed", plain(trouble)))
end)

Handlers.prepend("Short-Inbox", function() return "continue" end, function() Inbox = {} end)

-- The herder may not know yet how many jobs a worker of this version takes.
if is_renewed then say(Worker.herder, sign_of_life()) end
