--[[ The client package of the herd: lets any process pay for inference and get the answer in a callback.

    APM.install("@puna/Llama-Herder")
    Llama.run("What is the meaning of life?", 20, function(answer) print(answer) end)

It speaks the published wire protocol and keeps the published names. What is told apart from the published client:
a callback always runs, once. It is called with (answer, message), or with (nil, message, reason) when the payment was
refused or refunded; an error inside it is printed and undoes nothing. Prices are asked again when they are older than
five minutes and after any failure; where a model is named, whose tokenizer counts, the herder is asked for a quote. The
message of an answer has `Paid`, `Fee` and `Refund`: what was paid for tokens that were not made comes back by itself.
Texts too long for a payment are sent ahead of it.

Labels are `herder-<n>`, so that they cannot be taken for the reference numbers with which aos matches replies.

The state is a global that survives loading the package again: callbacks of requests under way are kept.

Whose herd it is: genesis puts `local NETWORK = {herder = ..., token = ...}` before this text when it publishes it.
Without that the ids are those of the public network.
]]

local PRICES_MS_MAX = 5 * 60000
local PROMPT_BYTES_MAX = 3000 -- of a text in a tag
local X_TAG_BYTES_MAX = 3500 -- what the token carries on: the names and values of all X- tags
local TEXT_BYTES_MAX = 32768 -- of a text sent ahead, unless the herder's prices say otherwise
local PIECE_TOKENS = 8 -- of an answer that is heard as it comes

local network = NETWORK or {}

LlamaHerder = LlamaHerder or {
  herder = network.herder or "wh5vB2IbqmIBUqgodOaTvByNFDPr73gbUq1bVOUtCrw",
  token = network.token or "xU9zFkq3X2ZQ6olwNVvr1vUWIjc3kXTWr7xKQD6dh10",
  feeBase = 0, feeToken = 0, lastMultiplier = 0, queueLength = 0, -- prices; unknown while feeBase is 0
  feeBump = 1.005, -- half a percent above the last price while others wait
  pricesAt = nil, -- when the prices came, milliseconds; nil asks again
  infoCallbacks = {}, -- what waits for prices, in order
  inferenceCallbacks = {}, -- label -> callback
  printResponses = true,
  Reference = 0, -- number of the next label
  lastFeePaid = nil,
  temperature = nil, -- text of what `setTemperature` said; nil leaves it to the worker
  seed = nil, -- likewise
  topP = nil, -- likewise
  lastFee = nil, -- what the last answer cost, once what was paid too much is back
}

local M = LlamaHerder
M.pieceCallbacks = M.pieceCallbacks or {} -- label -> what hears the answer's pieces as they come
M.steps = M.steps or {} -- label -> what goes on when the herder has answered, before the payment

local function say(text)
  if M.printResponses then print("LlamaHerder: " .. text) end
end

--- Run somebody else's function: an error in it is theirs, and must not undo the message that brought the answer.
local function call(callback, ...)
  if not callback then return end
  local ok, trouble = pcall(callback, ...)
  if not ok then print("LlamaHerder: error in a callback: " .. tostring(trouble)) end
end

-- Prices -----------------------------------------------------------------------

--- Words as the herder counts them: runs of letters and digits.
local function count_words(text) return select(2, text:gsub("%w+", "")) end

local function prices_known()
  return M.feeBase ~= 0 and M.pricesAt ~= nil and os.time() - M.pricesAt <= PRICES_MS_MAX
end

--- Ask the herder for its prices; `callback(message)` runs when they have come.
function M.getPrices(callback)
  if type(callback) == "function" then table.insert(M.infoCallbacks, callback) end
  ao.send({ Target = M.herder, Action = "Info" })
end

--- Price in units before the multiplier; nil while no prices are known.
function M.calculateFee(prompt, tokens)
  if M.feeBase == 0 then
    print("LlamaHerder: No base fee found. Get prices before calculating.")
    return nil
  end
  return M.feeBase + M.feeToken * (tokens + count_words(prompt))
end

--- What to pay: the last price, a little more when others wait, or what the caller said.
local function fee_for(prompt, tokens, fees)
  local fee = fees.Fee and tonumber(fees.Fee)
  if not fee then
    fee = M.calculateFee(prompt, tokens) * M.lastMultiplier
    if M.queueLength > 0 then fee = fee * M.feeBump end
  end
  return fee * (tonumber(fees.Multiplier) or 1)
end

-- How to choose tokens ------------------------------------------------------------------

--- Temperature of the requests to come, 0 to 2; 0 takes the likeliest token each time, nil leaves it to the worker.
function M.setTemperature(temperature)
  local number = tonumber(temperature)
  if temperature ~= nil and not (number and number >= 0 and number <= 2) then
    error("A temperature is a number from 0 to 2", 0)
  end
  M.temperature = number and tostring(number)
end

--- Seed of the requests to come, a whole number from 0 to 2^32 - 1; nil leaves it to the worker.
function M.setSeed(seed)
  local number = math.tointeger(tonumber(seed))
  if seed ~= nil and not (number and number >= 0 and number < 1 << 32) then
    error("A seed is a whole number from 0 to 4294967295", 0)
  end
  M.seed = number and tostring(number)
end

--- Share of the likelihood from which tokens of the requests to come are chosen, above 0 to 1; nil leaves it to the
-- worker.
function M.setTopP(share)
  local number = tonumber(share)
  if share ~= nil and not (number and number > 0 and number <= 1) then
    error("A top-p is a number above 0 and at most 1", 0)
  end
  M.topP = number and tostring(number)
end

-- Requests -----------------------------------------------------------------------

local function new_label()
  local label = "herder-" .. M.Reference
  M.Reference = M.Reference + 1
  return label
end

local function fault_of(prompt, tokens, options)
  if type(prompt) ~= "string" or not prompt:match("%S") then return "the prompt is empty" end
  if options.System ~= nil and type(options.System) ~= "string" then return "System must be text" end
  local most = M.textBytes or TEXT_BYTES_MAX
  for name, text in pairs({ prompt = prompt, ["system text"] = options.System }) do
    if #text > most then return "the " .. name .. " has " .. #text .. " bytes; at most " .. most .. " are taken" end
  end
  tokens = math.tointeger(tonumber(tokens))
  if not tokens or tokens < 1 then return "tokens must be a whole number of at least 1" end
end

local function print_answer(answer)
  if answer and M.printResponses then print("LlamaHerder response: " .. tostring(answer)) end
end

--- The payment of a request but for its sum.
local function payment_of(request)
  local options = request.options
  return {
    Target = M.token, Action = "Transfer", Recipient = M.herder,
    ["X-Reference"] = request.label, ["X-Prompt"] = request.prompt, ["X-System"] = options.System,
    ["X-Tokens"] = string.format("%d", request.tokens),
    ["X-Termination"] = options.Termination, ["X-Deadline"] = options.Deadline, ["X-Model"] = options.Model,
    ["X-Temperature"] = options.Temperature or M.temperature, ["X-Seed"] = options.Seed or M.seed,
    ["X-Top-P"] = options.TopP or M.topP, ["X-Stream"] = options.Stream and tostring(options.Piece or PIECE_TOKENS),
  }
end

--- Ask the herder something for a request that is not paid yet; `go_on(message)` runs when it has answered.
local function step(label, message, go_on)
  M.steps[label] = go_on
  message.Target, message["X-Reference"] = M.herder, label
  ao.send(message)
end

local function tag_bytes(payment)
  local bytes = 0
  for name, value in pairs(payment) do
    if name:sub(1, 2) == "X-" then bytes = bytes + #name + #value + 4 end
  end
  return bytes
end

--- Send the payment, and before it the texts that it cannot carry, the longest first.
local function send_off(payment, label)
  local longest
  for _, name in ipairs({ "X-Prompt", "X-System" }) do
    if payment[name] and (not longest or #payment[name] > #payment[longest]) then longest = name end
  end
  if not longest or #payment[longest] <= PROMPT_BYTES_MAX and tag_bytes(payment) <= X_TAG_BYTES_MAX then
    return ao.send(payment)
  end
  local text_label = label:sub(1, 100) .. longest:lower()
  local ahead = { Action = "Prompt", Label = text_label, Data = payment[longest] }
  payment[longest .. "-Ref"], payment[longest] = text_label, nil
  step(label, ahead, function() send_off(payment, label) end)
end

local function pay(request, fee)
  M.lastFeePaid = fee
  local payment = payment_of(request)
  payment.Quantity = string.format("%.0f", math.floor(fee))
  send_off(payment, request.label)
end

--- Find out what to pay, and pay it.
local function price(request)
  local fees, system = request.fees, request.options.System
  local text = system and system .. "\n\n" .. request.prompt or request.prompt
  if fees.Fee or not request.options.Model or M.countedWithModel ~= "tokens" then
    return pay(request, fee_for(text, request.tokens, fees))
  end
  step(request.label, {
    Action = "Quote", Tokens = string.format("%d", request.tokens), ["X-Model"] = request.options.Model,
    ["System-Bytes"] = system and tostring(#system), Data = text,
  }, function(msg) pay(request, (tonumber(msg.Price) or 0) * (tonumber(fees.Multiplier) or 1)) end)
end

--- Pay for `tokens` tokens after `prompt`; returns the request's label, or nil and what is wrong.
-- `callback(answer, message)`, or `callback(nil, message, reason)` on failure. `fees.Fee` replaces the calculated fee,
-- `fees.Multiplier` multiplies it. `customReference` replaces the label. `options`: System, Termination, Temperature,
-- Seed, TopP, Deadline, Model, all text; Stream, a function `stream(piece, message)` that hears the answer piece by
-- piece while it is made, before `callback` gets it whole; Piece, how many tokens a piece has. A piece numbered 1 begins
-- the answer anew.
function M.run(prompt, tokens, callback, fees, customReference, options)
  fees, options = fees or {}, options or {}
  local label = customReference and tostring(customReference)
  local fault = fault_of(prompt, tokens, options)
  if label and M.inferenceCallbacks[label] then fault = "a request with the reference " .. label .. " is under way" end
  if options.Stream ~= nil and type(options.Stream) ~= "function" then fault = "Stream must be a function" end
  if fault then
    print("LlamaHerder: not sent: " .. fault)
    return nil, fault
  end
  label = label or new_label()
  M.inferenceCallbacks[label], M.pieceCallbacks[label] = callback or print_answer, options.Stream
  local request = {
    prompt = prompt, tokens = math.tointeger(tonumber(tokens)), fees = fees, label = label, options = options,
  }
  local function go() price(request) end
  if fees.Fee or prices_known() then
    go()
  else
    local asked = #M.infoCallbacks > 0
    table.insert(M.infoCallbacks, go)
    if not asked then M.getPrices() end
  end
  return label
end

-- Answers ----------------------------------------------------------------------------

--- End a request: its callback is taken out first, so that it can run only once whatever it does.
local function finish(label, ...)
  local callback = M.inferenceCallbacks[label]
  M.inferenceCallbacks[label], M.pieceCallbacks[label], M.steps[label] = nil, nil, nil
  call(callback, ...)
end

local function fail(msg, reason)
  M.pricesAt = nil
  say("request " .. msg["X-Reference"] .. " failed: " .. reason)
  finish(msg["X-Reference"], nil, msg, reason)
end

--- A pattern for messages about a request of ours. Others may want to see them too, hence "continue".
local function about_our_request(action, sender)
  return function(msg)
    local ours = msg.Action == action and msg.From == M[sender] and M.inferenceCallbacks[msg["X-Reference"] or ""]
    return ours and "continue" or false
  end
end

Handlers.add("LlamaHerder.Info-Response", function(msg)
  return msg.Action == "Info-Response" and msg.From == M.herder
end, function(msg)
  say("Handling new price info...")
  M.feeBase, M.feeToken = tonumber(msg["Base-Fee"]) or 0, tonumber(msg["Token-Fee"]) or 0
  M.lastMultiplier, M.queueLength = tonumber(msg["Last-Multiplier"]) or 1, tonumber(msg["Queue-Length"]) or 0
  M.textBytes, M.countedWithModel = tonumber(msg["Max-Prompt-Data"]), msg["Counted-With-Model"]
  M.pricesAt = os.time()
  local waiting = M.infoCallbacks
  M.infoCallbacks = {}
  for _, callback in ipairs(waiting) do call(callback, msg) end
end)

Handlers.add("LlamaHerder.Inference-Response", function(msg)
  return msg.Action == "Inference-Response" and msg.From == M.herder
end, function(msg)
  local label = msg["X-Reference"] or ""
  M.lastFee = tonumber(msg.Fee) or M.lastFee
  if M.inferenceCallbacks[label] then return finish(label, msg.Data, msg) end
  print_answer(msg.Data)
end)

Handlers.add("LlamaHerder.Inference-Part", about_our_request("Inference-Part", "herder"), function(msg)
  call(M.pieceCallbacks[msg["X-Reference"]], msg.Data, msg)
end)

Handlers.add("LlamaHerder.Inference-Error", about_our_request("Inference-Error", "herder"), function(msg)
  fail(msg, tostring(msg.Error))
end)

Handlers.add("LlamaHerder.Transfer-Error", about_our_request("Transfer-Error", "token"), function(msg)
  fail(msg, tostring(msg.Error))
end)

--- An answer to a question that a request had before its payment.
local function about_our_step(action)
  local is_about_us = about_our_request(action, "herder")
  return function(msg) return M.steps[msg["X-Reference"] or ""] and is_about_us(msg) or false end
end

for _, action in ipairs({ "Quote-Response", "Prompt-Stored", "Prompt-Error" }) do
  Handlers.add("LlamaHerder." .. action, about_our_step(action), function(msg)
    local label = msg["X-Reference"]
    local go_on = M.steps[label]
    M.steps[label] = nil
    if msg.Error then return fail(msg, tostring(msg.Error)) end
    call(go_on, msg)
  end)
end

-- The published herder says nothing when it refuses; its refund is the only sign.
Handlers.add("LlamaHerder.Refund", function(msg)
  return msg["X-Reason"] and msg["X-Code"] ~= "settled" and about_our_request("Credit-Notice", "token")(msg) or false
end, function(msg)
  fail(msg, tostring(msg["X-Reason"]))
end)

-- Where programs look for it -------------------------------------------------------------------

local NAMES = { "@puna/Llama-Herder", "@sam/Llama-Herder" }
local HANDLERS = {
  "Info-Response", "Inference-Response", "Inference-Part", "Inference-Error", "Transfer-Error", "Refund",
  "Quote-Response", "Prompt-Stored", "Prompt-Error",
}

--- The package client calls this. A newer version of the package takes over what is under way.
function M.uninstall(successor)
  if successor then return end
  for _, name in ipairs(HANDLERS) do Handlers.remove("LlamaHerder." .. name) end
  for _, name in ipairs(NAMES) do package.loaded[name] = nil end
  if Llama == M then Llama = nil end
  LlamaHerder = nil
end

for _, name in ipairs(NAMES) do package.loaded[name] = M end
-- Where a model runs inside the process, that name is the engine's; an older client of the herd gives it up.
if Llama == nil or type(Llama) == "table" and Llama.inferenceCallbacks then Llama = M end

return M
