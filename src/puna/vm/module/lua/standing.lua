-- What a process stands on: globals that programs may replace, but not do away with, or no later message could be
-- handled. `.process` asks after each message.

local getmetatable, ipairs, rawget, type, _G = getmetatable, ipairs, rawget, type, _G

local standing = {}

local function is(kind)
  return function(value)
    return type(value) == kind
  end
end

local function is_callable(value)
  if type(value) == "function" then
    return true
  end
  local meta = getmetatable(value)
  return type(meta) == "table" and meta.__call ~= nil
end

local function has(...)
  local fields = { ... }
  return function(value)
    if type(value) ~= "table" then
      return false
    end
    for index = 1, #fields, 2 do
      if type(value[fields[index]]) ~= fields[index + 1] then
        return false
      end
    end
    return true
  end
end

-- Handlers that no walk could pass.
local function is_list(list)
  for _, handler in ipairs(list) do
    if type(handler) ~= "table" or not is_callable(handler.handle) then
      return false
    end
  end
  return true
end

local is_library = has("list", "table", "coroutines", "table", "evaluate", "function", "append", "function", "prepend",
  "function", "once", "function")

local function is_handlers(value)
  return is_library(value) and is_list(value.list)
end

local function is_name(value)
  return type(value) == "string" or type(value) == "number"
end

-- Global, what it has to be, and how one says that.
local NEEDED = {
  {
    "ao",
    has("id", "string", "outbox", "table", "authorities", "table", "reference", "number", "init", "function",
      "send", "function", "result", "function", "clearOutbox", "function", "isTrusted", "function",
      "isAssignment", "function", "isAssignable", "function", "nonForwardableTags", "table"),
    "the table of the library `.ao`, whole",
  },
  {
    "Handlers",
    is_handlers,
    "the table of the library `.handlers`, whole, and its list one of handlers",
  },
  { "Inbox", is("table"), "a table" },
  { "Errors", is("table"), "a table" },
  { "HANDLER_PRINT_LOGS", is("table"), "a table" },
  { "Colors", has("red", "string", "green", "string", "blue", "string", "gray", "string", "reset", "string"),
    "a table with the colors red, green, blue, gray and reset" },
  { "print", is_callable, "a function" },
  { "Prompt", is_callable, "a function" },
  { "Dump", is_callable, "a function" },
  { "Name", is_name, "text" },
}

-- Nil, or what is said of the first global that is not what it has to be.
function standing.missing()
  for _, needed in ipairs(NEEDED) do
    local name, fits, words = needed[1], needed[2], needed[3]
    local value = rawget(_G, name)
    if not fits(value) then
      return "the global " .. name .. " must stay " .. words .. ", and this message left it "
        .. (value == nil and "nil" or type(value) == "table" and "without a part of it" or "a " .. type(value))
    end
  end
end

return standing
