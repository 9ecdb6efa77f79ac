-- `_default`: what no handler wanted goes to the inbox, and a line says so.

local json = require(".json")

local remove, sub, tostring, type, utf8_len = table.remove, string.sub, tostring, type, utf8.len

local INBOX_MAX = 10000 -- past it the oldest message is forgotten
local SHOWN_MAX = 20 -- bytes of an action or of data

local function short(address)
  return address and sub(tostring(address), 1, 3) .. "..." .. sub(tostring(address), -3) or "unknown"
end

-- The beginning of `text`, never half a character.
local function head(text)
  local part = sub(text, 1, SHOWN_MAX)
  local _, bad = utf8_len(part)
  if bad and bad > SHOWN_MAX - 3 then
    part = sub(part, 1, bad - 1)
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
    remove(Inbox, 1)
  end
  local what, text = subject(msg)
  print(Colors.gray .. "New Message From " .. Colors.green .. short(msg.From) .. Colors.gray .. ": " .. Colors.gray
    .. what .. Colors.blue .. head(tostring(text)) .. Colors.reset)
end
