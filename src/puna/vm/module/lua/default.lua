-- `_default`: what no handler wanted goes to the inbox, and a line says so.

local json = require(".json")

local INBOX_MAX = 10000 -- past it the oldest message is forgotten
local SHOWN_MAX = 20 -- bytes of an action or of data

local function short(address)
  address = tostring(address)
  return string.sub(address, 1, 3) .. "..." .. string.sub(address, -3)
end

-- The beginning of `text`, never half a character.
local function head(text)
  local part = string.sub(text, 1, SHOWN_MAX)
  local _, bad = utf8.len(part)
  if bad and bad > SHOWN_MAX - 3 then
    part = string.sub(part, 1, bad - 1)
  end
  return part
end

local function subject(msg)
  if msg.Action then
    return "Action = ", msg.Action
  elseif type(msg.Data) == "table" then
    return "Data = ", json.encode(msg.Data)
  end
  return "Data = ", msg.Data or ""
end

return function(msg)
  Inbox[#Inbox + 1] = msg
  while #Inbox > INBOX_MAX do
    table.remove(Inbox, 1)
  end
  local what, text = subject(msg)
  print(Colors.gray .. "New Message From " .. Colors.green .. short(msg.From) .. Colors.gray .. ": " .. what
    .. Colors.blue .. head(tostring(text)) .. Colors.reset)
end
