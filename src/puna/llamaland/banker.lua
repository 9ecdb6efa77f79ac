--[[ The Banker takes petitions for the King, 1 LLAMA each, and pays what the King's grade is worth.

Who talks to him: payers through the coin, the King (Grade-Petition, Petition-Failed), the Giver (Allowance), anyone
(Record, Ledger). He alone may have the coin grant LLAMA, and he grants what llamaland.emission allows, whatever
grade he is told: a grade of 5 is the most there is, an account is paid for one petition a day, an hour has its budget.

Every grant carries the petition it is for and the inferences that graded it; `Record` tells the same for the last 500.
]]

local json = require("json")
local character = require("llamaland.character")
local emission = require("llamaland.emission")

local PRICE = 1
local RECORDS_MAX = 500
local UNITS = "000000" -- behind the millionths that the emission counts, in the coin's units

Emission = Emission or emission.new()
Records = Records or {} -- petition id -> record
Order = Order or {} -- ids of records, the oldest first
CitizensOnly = ao.env.Process.Tags["Citizens-Only"] == "yes"
Citizens = Citizens or {} -- id -> true, where only citizens may petition

local function keep(record)
  Records[record.Petition] = record
  table.insert(Order, record.Petition)
  if #Order > RECORDS_MAX then Records[table.remove(Order, 1)] = nil end
end

local function units(millionths) return millionths > 0 and millionths .. UNITS or "0" end

local function amount(millionths) return character.amount(units(millionths)) end

local function grant(recipient, millionths, tags)
  tags.Target, tags.Action, tags.Recipient, tags.Quantity = Land.coin, "Grant", recipient, units(millionths)
  ao.send(tags)
end

character.takes(PRICE, function(job, msg)
  local text = character.text_of(msg["X-Petition"], 2, 250)
  if not text then return "A petition has 2 to 250 letters." end
  if not character.text_of(msg["X-Sender-Name"], 1, 20) then return "Say your name, of 1 to 20 letters." end
  if CitizensOnly and not Citizens[job.account] then return "Only citizens may petition. See the Citizenship Llama." end
  if not emission.petition(Emission, job.account, job.at) then
    return "The King has heard you today. Each may speak once a day."
  end
  character.hold(job)
  job.on_refund = "unheard"
  keep({ Petition = job.id, Root = job.root, Account = job.account, Name = job.name, Text = text, At = job.at,
    State = "waiting" })
  character.say("Your petition is on its way to the King.", { to = job.account, kind = "notice", root = job.root })
  ao.send({
    Target = Land.king, Action = "Petition", ["Original-Sender"] = job.account, ["Original-Sender-Name"] = job.name,
    ["Original-Message"] = job.id, Data = text,
  })
end, function(msg) return msg.Sender == Land.giver end)

--- The job and the record that a message of the King is about; nil when it is late, doubled or not from him.
local function petition_of(msg)
  if msg.From ~= Land.king then return print(msg.Action .. " ignored: not from the King. From: " .. msg.From) end
  local id = tostring(msg["Original-Message"])
  local job, record = Jobs[id], Records[id]
  if not job or not record or record.State ~= "waiting" then
    return print(msg.Action .. " ignored: nobody waits for it")
  end
  return job, record
end

Handlers.add("Grade-Petition", function(msg)
  local job, record = petition_of(msg)
  if not job then return end
  local grade = tostring(msg.Grade):match("^[0-5]$") and math.tointeger(tonumber(msg.Grade)) or 1
  local mood = emission.mood(job.height or 0, job.id)
  local paid, asked = emission.payout(Emission, job.account, grade, mood, msg.Timestamp)
  character.done(job)
  record.State, record.Grade, record.Mood, record.Words = "graded", grade, mood, msg.Data
  record.Paid, record.Asked, record.Verdict = units(paid), units(asked), msg.Id
  record.Inferences = { msg["First-Inference"], msg["Second-Inference"] }
  record.Grades = { msg["First-Grade"], msg["Second-Grade"] }
  if paid > 0 then
    grant(job.account, paid, {
      ["X-Petition"] = job.id, ["X-Grade"] = tostring(grade), ["X-Mood"] = tostring(mood), ["X-Verdict"] = msg.Id,
      ["X-First-Inference"] = msg["First-Inference"], ["X-Second-Inference"] = msg["Second-Inference"],
    })
  end
  local told = paid == 0 and job.name .. " gets nothing for a grade of " .. grade .. "."
    or "A grade of " .. grade .. ", and the King's mood is " .. mood .. " of 10: " .. amount(paid) .. " LLAMA for "
      .. job.name .. "."
  if paid < asked then told = told .. " (A fuller treasury would pay " .. amount(asked) .. ".)" end
  character.say(told, { kind = "payout", root = job.root })
  character.pay(Land.coin, Land.giver, job.quantity, "An offering to the King")
  ao.send({ Target = Land.giver, Action = "Quest-Done", Quest = "petition-the-king", Account = job.account })
end)

Handlers.add("Petition-Failed", function(msg)
  local job = petition_of(msg)
  if job then character.refund(job, "I am sorry: the King could not hear you now.") end
end)

Handlers.add("Allowance", function(msg)
  if msg.From ~= Land.giver then return print("Allowance ignored: not from the Giver. From: " .. msg.From) end
  local wanted = tostring(msg.Quantity):match("^[1-9]%d*$") and #msg.Quantity <= 6 and tonumber(msg.Quantity) or 0
  local given = emission.allowance(Emission, math.tointeger(wanted) * emission.LLAMA, msg.Timestamp)
  if given > 0 then grant(Land.giver, given, { ["X-Reason"] = "Allowance" }) end
end)

Handlers.add("Granted", function(msg)
  local record = msg.From == Land.coin and Records[msg["X-Petition"] or ""]
  if record then record.State, record.Grant = "paid", msg["Message-Id"] end
end)

-- The coin refused: then nothing was issued.
Handlers.add("Grant-Error", function(msg)
  if msg.From ~= Land.coin then return end
  print("The coin refused a grant: " .. tostring(msg.Error))
  local millionths = tostring(msg.Quantity):match("^([1-9]%d*)" .. UNITS .. "$")
  if millionths then emission.undo(Emission, math.tointeger(tonumber(millionths))) end
  local record = Records[msg["X-Petition"] or ""]
  if record then record.State = "unpaid" end
end)

Handlers.add("Authorise", function(msg)
  if msg.From ~= Land.citizenship then return print("Authorise ignored. From: " .. msg.From) end
  if CitizensOnly then Citizens[tostring(msg.Tags.WalletId)] = true end
end)

--- A petition by its id, or by the message that began it.
Handlers.add("Record", function(msg)
  local record = Records[msg.Petition or ""]
  for index = #Order, 1, -1 do
    if record or not msg.Root then break end
    if Records[Order[index]].Root == msg.Root then record = Records[Order[index]] end
  end
  msg.reply({ Action = "Record-Response", State = record and record.State or "unknown",
    Data = record and json.encode(record) or "{}" })
end)

Handlers.add("Ledger", function(msg)
  emission.pass_time(Emission, msg.Timestamp)
  msg.reply({ Action = "Ledger-Response", Data = json.encode({
    Issued = units(Emission.issued), Remaining = units(emission.MAX - Emission.issued),
    HourBudget = units(Emission.hour_budget), HourLeft = units(Emission.hour_budget - Emission.hour_spent),
    PetitionsToday = Emission.petitions, BestGradeToday = Emission.best_grade, Halvings = emission.halvings(Emission),
  }) })
end)

character.on_refund.unheard = function(job)
  emission.unheard(Emission, job.account)
  if Records[job.id] then Records[job.id].State = "refunded" end
end

character.offers(function()
  return { Bank = {
    Title = "The Banker", Description = "I pay what the King grants. " .. amount(emission.MAX - Emission.issued)
      .. " LLAMA are still in the treasury. Lay your petition before the King.",
  } }
end)
