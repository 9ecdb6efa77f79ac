-- What a process stands on: globals that programs may replace, but not do away with, or no later message could be
-- handled. `.process` asks after each message.

local ipairs, rawget, type, _G = ipairs, rawget, type, _G

local standing = {}

local function is(kind)
  return function(value)
    return type(value) == kind
  end
end

local function is_name(value)
  return type(value) == "string" or type(value) == "number"
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
    has("list", "table", "coroutines", "table", "evaluate", "function", "append", "function", "prepend", "function",
      "once", "function"),
    "the table of the library `.handlers`, whole",
  },
  { "Inbox", is("table"), "a table" },
  { "Errors", is("table"), "a table" },
  { "HANDLER_PRINT_LOGS", is("table"), "a table" },
  { "Colors", has("red", "string", "green", "string", "blue", "string", "gray", "string", "reset", "string"),
    "a table with the colors red, green, blue, gray and reset" },
  { "print", is("function"), "a function" },
  { "Prompt", is("function"), "a function" },
  { "Dump", is("function"), "a function" },
  { "Name", is_name, "text" },
}

-- Nil, or what is said of the first global that is not what it has to be.
function standing.missing()
  for _, needed in ipairs(NEEDED) do
    local name, fits, words = needed[1], needed[2], needed[3]
    local value = rawget(_G, name)
    if not fits(value) then
      return "the global " .. name .. " must stay " .. words .. ", and this message left it "
        .. (type(value) == "table" and "without a part of it" or type(value) == "nil" and "nil" or "a " .. type(value))
    end
  end
end

return standing
