--[[ The King hears petitions and grades them, 0 to 5. He never touches a coin: he tells the Banker the grade.

Who talks to him: the Banker (Petition), players (SchemaExternal). Each petition is looked at twice. First he reads it
and says a few words with a grade; then he is shown his words alone, without the petition, and asked which grade fits
them. The lower grade counts. So a petition that talks its way to a 5 has only his words to speak for it the second
time, and what is no grade counts as 1.
]]

local json = require("json")
local character = require("llamaland.character")

local TOKENS, TOKENS_OF_SECOND_LOOK = 64, 12
local HEARING_MS = 3600000
local GRADE_MAX, WORDS_BYTES_MAX = 5, 240
local CONSOLATION = "Your plea confused me immensely. Take these coins as a consolation."

Hearing = Hearing or {} -- petition id -> what is known of it
Heard = Heard or { day = -1, accounts = {} } -- whose petition came today

local function clamp(text)
  local grade = #text <= 15 and math.tointeger(tonumber(text) // 1)
  return math.min(grade or GRADE_MAX, GRADE_MAX)
end

--- The grade and the words of a verdict: `Grade: 4/5. Well said.` or JSON with the same. nil when it is neither.
local function verdict_of(text)
  local from = tostring(text):find("%S") or 1
  if text:sub(from, from) == "{" then
    local ok, value = pcall(json.decode, text:match("%b{}") or "")
    if not ok or type(value) ~= "table" or type(value.grade) ~= "number" or value.grade < 0 then return nil end
    local grade = string.format("%.0f", math.min(value.grade // 1, GRADE_MAX))
    return clamp(grade), character.line(value.response, WORDS_BYTES_MAX)
  end
  local grade, words = text:match("^%s*[Gg]rade:%s*(%d+)%s*/%s*5[%.,:;!]*%s*([^\r\n]*)")
  if not grade then return nil end
  return clamp(grade), character.line(words, WORDS_BYTES_MAX)
end

--- The grade of a second look: `Grade: 4/5.`, `4/5` or `4`. nil when it is none.
local function grade_of(text)
  local grade = text:match("^%s*[Gg]rade:%s*(%d+)") or text:match("^%s*(%d+)%s*/%s*5")
    or text:match("^%s*(%d+)%s*%.?%s*$")
  return grade and clamp(grade)
end

local function decide(petition, grade, words)
  Hearing[petition.id] = nil
  character.say("Attention " .. petition.name .. ", witness my response to your petition: " .. words,
    { kind = "answer", root = petition.root, inference = petition.label })
  ao.send({
    Target = Land.banker, Action = "Grade-Petition", Grade = tostring(grade),
    ["Original-Message"] = petition.id, ["Original-Sender"] = petition.account,
    ["First-Grade"] = petition.first, ["Second-Grade"] = petition.second,
    -- The messages with which the herd answered: whoever doubts a payout begins there.
    ["First-Inference"] = petition.first_inference, ["Second-Inference"] = petition.second_inference, Data = words,
  })
end

local function fail(petition, reason)
  Hearing[petition.id] = nil
  ao.send({
    Target = Land.banker, Action = "Petition-Failed", ["Original-Message"] = petition.id, Error = reason:sub(1, 200),
  })
end

--- His own words once more, alone.
local function look_again(petition, grade, words)
  local prompt = "<|system|>\nWhich grade from 0 to 5 fits these words of the King?<|end|>\n"
    .. "<|user|>\n" .. words .. "<|end|>\n<|assistant|>\n"
  character.ask(prompt, TOKENS_OF_SECOND_LOOK, { Temperature = "0" }, function(answer, msg)
    local second = grade_of(answer) or 1
    petition.second, petition.second_inference = tostring(second), msg.Id
    decide(petition, math.min(grade, second), words)
  end, function(reason) fail(petition, reason) end)
end

local function hear(petition, text)
  local prompt = "<|system|>\nYou are the Llama King. Grade the petition from 0 to 5. "
    .. "Answer with Grade: and a number of 5, then one sentence.<|end|>\n"
    .. "<|user|>\n" .. text .. "<|end|>\n<|assistant|>\n"
  return character.ask(prompt, TOKENS, { Temperature = "0" }, function(answer, msg)
    local grade, words = verdict_of(answer)
    petition.first, petition.first_inference = tostring(grade or 1), msg.Id
    if not grade or words == "" then return decide(petition, math.min(grade or 1, 1), CONSOLATION) end
    look_again(petition, grade, words)
  end, function(reason) fail(petition, reason) end)
end

local function note_heard(account, now)
  local day = now // (24 * 3600000)
  if Heard.day ~= day then Heard = { day = day, accounts = {} } end
  Heard.accounts[account] = true
end

--- The Banker gave these back long ago.
local function forget_silent(now)
  for id, petition in pairs(Hearing) do
    if petition.at + HEARING_MS < now then Hearing[id] = nil end
  end
end

Handlers.add("Petition", function(msg)
  if msg.From ~= Land.banker then return print("Petition ignored: not from the Banker. From: " .. msg.From) end
  local id, text = tostring(msg["Original-Message"]), character.plain(msg.Data)
  if Hearing[id] then return end
  forget_silent(msg.Timestamp)
  local petition = {
    id = id, account = msg["Original-Sender"], name = character.name_of(msg["Original-Sender-Name"]),
    root = msg["Pushed-For"], at = msg.Timestamp,
  }
  Hearing[id] = petition
  note_heard(petition.account, msg.Timestamp)
  petition.label = hear(petition, text or "")
  if Hearing[id] then
    character.say("I ponder the petition of " .. petition.name .. " ...",
      { kind = "thinking", root = petition.root, inference = petition.label })
  end
end)

character.takes() -- whatever is sent to him goes back: petitions are paid at the Banker

character.offers(function(account, msg)
  if Heard.day == msg.Timestamp // (24 * 3600000) and Heard.accounts[account] then
    return { Petition = {
      Title = "Tomorrow, friend", Description = "I have heard you today. Each of my subjects may speak once a day.",
    } }
  end
  return { Petition = {
    Target = Land.coin, Title = "Speak, subject",
    Description = "Lay your petition before me with 1 LLAMA. I grade it from 0 to 5, and the Banker pays.",
    Schema = character.payment_form(Land.banker, 1, {
      { "X-Petition", "Your petition", 2, 250 }, { "X-Sender-Name", "Your name", 1, 20 },
    }),
  } }
end)
