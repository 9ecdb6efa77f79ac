-- `_boot`: what a process does with its own spawn item. It is the first message in the inbox, and the tag
-- `On-Boot` may name code to run: `Data` for the item's own, else the id of an item on the weave.

local evaluate = require(".eval")
local files = require(".files")

local error, tostring = error, tostring

local function read_item(id)
  local file, failure = files.open("/data/" .. id, "r")
  if not file then
    error("On-Boot item " .. id .. " cannot be read: " .. tostring(failure), 0)
  end
  return file:read("a")
end

return function(msg)
  Inbox[#Inbox + 1] = msg
  local code = msg.Tags["On-Boot"]
  if not code then
    return
  end
  if code == "Data" then
    evaluate(msg)
  else
    evaluate({ Data = read_item(code) })
  end
end
