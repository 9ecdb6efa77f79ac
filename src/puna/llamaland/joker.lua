--[[ The Joker: 5 LLAMA and a topic (X-JokeTopic) buy a joke, said aloud. The coins go to the Giver when it was told.

Greeting the Joker, which is asking what he does, counts as a quest.
]]

local character = require("llamaland.character")

local PRICE, TOKENS, TOPIC_BYTES_MAX = 5, 40, 20

Jokes = Jokes or {} -- the last ones: { Topic, Joke, Account, Quantity, Job, Inference }
local JOKES_MAX = 50

local function tell(job, answer, msg)
  local joke = character.line(answer)
  if joke == "" then return character.refund(job, "I am sorry: I know no joke about " .. job.topic .. ".") end
  character.done(job)
  character.pay(Land.coin, Land.giver, job.quantity, "A joke was told")
  table.insert(Jokes, {
    Topic = job.topic, Joke = joke, Account = job.account, Quantity = job.quantity, Job = job.id, Seed = job.seed,
    Inference = msg.Id,
  })
  if #Jokes > JOKES_MAX then table.remove(Jokes, 1) end
  character.say(joke, { kind = "answer", root = job.root, inference = msg["X-Reference"] })
end

character.takes(PRICE, function(job, msg)
  job.topic = character.text_of(msg["X-JokeTopic"], 1, TOPIC_BYTES_MAX)
  if not job.topic then return "Tell me a topic of 1 to " .. TOPIC_BYTES_MAX .. " letters." end
  character.hold(job)
  job.seed = character.seed_of(job.id, job.height)
  local prompt = "<|system|>\nTell a joke on the given topic, on one line.<|end|>\n"
    .. "<|user|>\nTopic: " .. job.topic .. "<|end|>\n<|assistant|>\n"
  local label = character.ask_for(job, prompt, TOKENS, { Temperature = "0.6", Seed = job.seed }, function(answer, reply)
    tell(job, answer, reply)
  end)
  character.say("A joke about " .. job.topic .. "? Let me think ...",
    { kind = "thinking", root = job.root, inference = label })
end)

character.offers(function(account)
  ao.send({ Target = Land.giver, Action = "Quest-Done", Quest = "greet-the-joker", Account = account })
  return { MakeJoke = {
    Target = Land.coin, Title = "A joke, friend?",
    Description = "For " .. PRICE .. " LLAMA I tell a joke about anything you like.",
    Schema = character.payment_form(ao.id, PRICE, { { "X-JokeTopic", "What about?", 1, TOPIC_BYTES_MAX } }),
  } }
end)

Handlers.add("Jokes", function(msg)
  msg.reply({ Action = "Jokes-Response", Data = require("json").encode(Jokes) })
end)
