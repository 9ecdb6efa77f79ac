--[[ The Citizenship Llama makes citizens. With the spawn tag Policy=open everybody who asks is one; with Policy=closed
the owner admits whom it likes (Admit). Citizens get a number, and the Banker is told. Being a citizen is a quest.
]]

local character = require("llamaland.character")

local CITIZENS_MAX = 50000

Policy = Policy or ao.env.Process.Tags.Policy or "open"
Citizens = Citizens or {} -- account -> number
CitizensCount = CitizensCount or 0

local function make_citizen(account)
  CitizensCount = CitizensCount + 1
  Citizens[account] = CitizensCount
  ao.send({ Target = Land.banker, Action = "Authorise", WalletId = account })
  ao.send({ Target = Land.giver, Action = "Quest-Done", Quest = "become-a-citizen", Account = account })
  character.say("Welcome! You are citizen number " .. CitizensCount .. " of Llama Land.", { to = account, kind = "gift" })
end

local function answer(msg, fault)
  if fault then character.say(fault, { to = msg.From }) end
  msg.reply({
    Action = msg.Action .. "-Response", Result = fault and "Error" or "OK", Error = fault,
    Number = tostring(Citizens[msg.Tags.WalletId or msg.From] or 0),
  })
end

Handlers.add("Immigrate", function(msg)
  if Citizens[msg.From] then return answer(msg, "You are citizen number " .. Citizens[msg.From] .. " already.") end
  if Policy ~= "open" then return answer(msg, "New citizens are admitted by invitation.") end
  if CitizensCount >= CITIZENS_MAX then return answer(msg, "The book of citizens is full.") end
  make_citizen(msg.From)
  answer(msg)
end)

Handlers.add("Admit", function(msg)
  local account = msg.Tags.WalletId
  if msg.From ~= Owner then return answer(msg, "Only the owner may admit anybody.") end
  if type(account) ~= "string" or #account > 64 or not account:match("^[%w_-]+$") then
    return answer(msg, "WalletId must be an address.")
  end
  if not Citizens[account] then make_citizen(account) end
  answer(msg)
end)

Handlers.add("Citizens", function(msg)
  local number = Citizens[msg.Account or msg.From]
  msg.reply({ Action = "Citizens-Response", Count = tostring(CitizensCount), Number = number and tostring(number) })
end)

character.takes() -- it costs nothing

character.offers(function(account)
  local number = Citizens[account]
  return { Immigrate = {
    Target = ao.id, Title = number and "Citizen number " .. number or "Become a citizen?",
    Description = number and "You belong to Llama Land." or "Everybody is welcome in Llama Land. It costs nothing.",
    Schema = not number and Policy == "open" and character.action_form("Immigrate") or nil,
  } }
end)
