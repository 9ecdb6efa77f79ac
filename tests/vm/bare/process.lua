-- The least process there can be, for tests of the machine below: it runs the Lua it is sent.
--
-- A message's Data is a chunk, called with the message and the environment. What it returns becomes the result: a
-- table as it stands, anything else as Output. Globals last from message to message.

local process = {}

local json = require("json")

function process.handle(message, environment)
  local chunk = assert(load(message.Data or "", "=data"))
  local result = chunk(message, environment)
  if type(result) ~= "table" then
    result = { Output = result == nil and "" or tostring(result) }
  end
  return result
end

-- The entry that the C side calls: texts in, text out. An error is the C side's to describe.
function process.handle_json(message, environment)
  message = json.decode(message)
  _set_now(message.Timestamp)
  return json.encode({ ok = true, response = process.handle(message, json.decode(environment)) })
end

return process
