-- Ready-made patterns and handles. `Handlers.utils`.

local Utils = require(".utils")

local assert, ipairs, type = assert, ipairs, type

local patterns = { _version = "0.0.2" }

function patterns.hasMatchingTag(name, value)
  assert(type(name) == "string" and type(value) == "string", "invalid arguments: (name : string, value : string)")
  return function(msg)
    return msg.Tags[name] == value
  end
end

function patterns.hasMatchingTagOf(name, values)
  assert(type(name) == "string" and type(values) == "table", "invalid arguments: (name : string, values : string[])")
  return function(msg)
    local given = msg.Tags[name]
    for _, value in ipairs(values) do
      if given == value then
        return true
      end
    end
    return 0
  end
end

function patterns.hasMatchingData(value)
  assert(type(value) == "string", "invalid arguments: (value : string)")
  return function(msg)
    return msg.Data == value
  end
end

-- A handle that answers with `answer`: text becomes the data.
function patterns.reply(answer)
  assert(type(answer) == "table" or type(answer) == "string", "invalid arguments: (input : table or string)")
  return function(msg)
    msg.reply(type(answer) == "table" and answer or { Data = answer })
  end
end

-- The same pattern, but the walk goes on after its handler.
function patterns.continue(pattern)
  return function(msg)
    local match = Utils.matchesSpec(msg, pattern)
    if not match or match == 0 or match == "skip" then
      return match
    end
    return 1
  end
end

return patterns
