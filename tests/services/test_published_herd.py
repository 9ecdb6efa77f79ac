"""Client and worker that behave as the published ones do, against our token and herder. Written from their messages.

The published texts themselves are not in this repository; what they send and expect is told in docs/services.md.
"""

from services.herd_story import HERDER, TOKEN, HerdStory
from services.story import OPERATOR, named_id

APP = named_id("APP")
QUESTION = "What is the meaning of life?"

WORKER = """
RouterID = ao.env.Process.Tags.Router
Handlers.add("Init", "Init", function(msg)
  Llama = require("llama")
  Llama.logLevel = 4
  Llama.load("/data/" .. (msg["Model-ID"] or ModelID))
  ao.send({ Target = msg.From, Action = "Worker-Initialized" })
end)
Handlers.add("Inference", "Inference", function(msg)
  if msg.From ~= RouterID then return print("Inference request from non-router. From: " .. msg.From) end
  Llama.setPrompt(msg.Data)
  local text = ""
  for _ = 1, tonumber(msg.Tokens) do text = text .. Llama.next() end
  ao.send({ Target = msg.From, Action = "Inference-Response", Data = text })
end)
"""

CLIENT = """
Herd = { base = 0, token = 0, multiplier = 0, queue = 0, bump = 1.005, callbacks = {}, number = 0 }
function Herd.run(prompt, tokens, callback)
  if Herd.base == 0 then
    Herd.then_do = function() Herd.run(prompt, tokens, callback) end
    return ao.send({ Target = HERDER, Action = "Info" })
  end
  local words = select(2, prompt:gsub("%w+", ""))
  local fee = (Herd.base + Herd.token * (tokens + words)) * Herd.multiplier
  if Herd.queue > 0 then fee = fee * Herd.bump end
  Herd.callbacks[tostring(Herd.number)] = callback
  ao.send({
    Target = TOKEN, Action = "Transfer", Recipient = HERDER, Quantity = string.format("%.0f", math.floor(fee)),
    ["X-Reference"] = tostring(Herd.number), ["X-Prompt"] = prompt, ["X-Tokens"] = tostring(tokens),
  })
  Herd.number = Herd.number + 1
end
Handlers.add("Info-Response", { Action = "Info-Response", From = HERDER }, function(msg)
  Herd.base, Herd.token = tonumber(msg["Base-Fee"]), tonumber(msg["Token-Fee"])
  Herd.multiplier, Herd.queue = tonumber(msg["Last-Multiplier"]), tonumber(msg["Queue-Length"])
  Herd.then_do()
end)
Handlers.add("Inference-Response", { Action = "Inference-Response", From = HERDER }, function(msg)
  Herd.callbacks[msg["X-Reference"]](msg.Data)
  Herd.callbacks[msg["X-Reference"]] = nil
end)
"""


def published_story() -> HerdStory:
    it = HerdStory(workers=0)
    worker = it.spawn("WORKER0", WORKER, Router=HERDER, Extension="Llama")
    it.send(OPERATOR, worker, "Init", Model_ID="whatever")
    it.send(OPERATOR, HERDER, "Register-Worker", Worker=worker)  # names no model
    it.spawn("APP", f'HERDER, TOKEN, ANSWERS = "{HERDER}", "{TOKEN}", {{}} {CLIENT}')
    it.send(OPERATOR, TOKEN, "Mint", Recipient=APP, Quantity="1000")
    return it


def test_56_57_a_request_goes_through_published_client_and_worker_and_our_token_and_herder():
    it = published_story()
    assert it.received(OPERATOR, "Worker-Initialized")
    keep = "function(text) table.insert(ANSWERS, text) end"
    it.send(OPERATOR, APP, "Eval", f'Herd.run("{QUESTION}", 20, {keep})')
    assert it.processes[APP].eval("ANSWERS[1]") == "a fine answer"
    # It does not say how many tokens it made, and is taken at what was asked; nothing comes back that nobody expects.
    assert it.balance(APP) == 1000 - 27 and not it.received(APP, "Credit-Notice")
    it.send(OPERATOR, APP, "Eval", f'Herd.run("{QUESTION}", 20, {keep})')
    assert it.processes[APP].eval("#ANSWERS") == 2
    it.check_books()


def test_57_a_settlement_does_not_disturb_a_published_client():
    it = HerdStory()
    it.spawn("APP", f'HERDER, TOKEN, ANSWERS = "{HERDER}", "{TOKEN}", {{}} {CLIENT}')
    it.send(OPERATOR, TOKEN, "Mint", Recipient=APP, Quantity="1000")
    it.send(OPERATOR, APP, "Eval", f'Herd.run("{QUESTION}", 20, function(text) table.insert(ANSWERS, text) end)')
    it.answer(text="42", Tokens_Used="1")
    assert it.processes[APP].eval("ANSWERS[1]") == "42" and it.balance(APP) == 1000 - 8


def test_56_a_published_worker_obeys_its_router_alone():
    it = published_story()
    evaluation = it.send(OPERATOR, named_id("WORKER0"), "Inference", "free", Tokens="5")
    assert "non-router" in evaluation.printed and not evaluation.sent
