-- Running Lua text that came in a message: `_eval` and the boot code use it.

local stringify = require(".stringify")

local load, tostring, type, _G = load, tostring, type, _G

local function compile(code)
  local chunk = load("return " .. code, "aos", "t", _G)
  if chunk then
    return chunk
  end
  return load(code, "aos", "t", _G)
end

-- Runs the data of `msg` and adds a truthy result to the log. A compile error or a truthy second result becomes
-- the outbox's error; a runtime error is raised. After a `receive` inside the code the log and the outbox are
-- those of the later message, so both are looked up at the end.
return function(msg)
  if type(msg.Data) ~= "string" then
    ao.outbox.Error = "Eval needs Lua text in Data, got " .. type(msg.Data)
    return
  end
  local chunk, failure = compile(msg.Data)
  if not chunk then
    ao.outbox.Error = failure
    return
  end
  local value
  value, failure = chunk()
  if failure then
    ao.outbox.Error = failure
  elseif value then
    HANDLER_PRINT_LOGS[#HANDLER_PRINT_LOGS + 1] = type(value) == "table" and stringify.format(value) or tostring(value)
  end
end
