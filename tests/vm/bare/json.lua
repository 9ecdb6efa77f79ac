-- As much JSON as the tests' messages need: numbers, texts with simple escapes, lists and records of these.

local json = {}

local NAMES = { ["true"] = true, ["false"] = false }
local ESCAPES = { n = "\n", t = "\t", r = "\r", b = "\b", f = "\f" }
local value

local function text(source, at)
  local parts = {}
  while true do
    local stop, mark = assert(source:match('()(["\\])', at))
    parts[#parts + 1] = source:sub(at, stop - 1)
    if mark == '"' then
      return table.concat(parts), stop + 1
    end
    local kind = source:sub(stop + 1, stop + 1)
    if kind == "u" then
      parts[#parts + 1] = utf8.char(tonumber(source:sub(stop + 2, stop + 5), 16))
      at = stop + 6
    else
      parts[#parts + 1] = ESCAPES[kind] or kind
      at = stop + 2
    end
  end
end

local function members(source, at, close, read)
  local into = {}
  at = source:match("^%s*()", at)
  while source:sub(at, at) ~= close do
    at = read(into, at)
    at = source:match("^%s*,?%s*()", at)
  end
  return into, at + 1
end

function value(source, at)
  at = source:match("^%s*()", at)
  local first = source:sub(at, at)
  if first == '"' then
    return text(source, at + 1)
  elseif first == "[" then
    return members(source, at + 1, "]", function(into, start)
      into[#into + 1], start = value(source, start)
      return start
    end)
  elseif first == "{" then
    return members(source, at + 1, "}", function(into, start)
      local key, stop = text(source, start + 1)
      into[key], stop = value(source, source:match("^%s*:()", stop))
      return stop
    end)
  end
  local word, stop = source:match("^([%w%.%+%-]+)()", at)
  return tonumber(word) or NAMES[word], stop
end

function json.decode(source)
  return (value(source, 1))
end

local function quote(part)
  return string.format("\\u%04x", part:byte())
end

function json.encode(node)
  if type(node) == "string" then
    return '"' .. node:gsub('[%c"\\]', quote) .. '"'
  elseif type(node) ~= "table" then
    return tostring(node)
  elseif node[1] ~= nil or next(node) == nil then
    local parts = {}
    for i, each in ipairs(node) do
      parts[i] = json.encode(each)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local parts = {}
  for key, each in pairs(node) do
    parts[#parts + 1] = json.encode(key) .. ":" .. json.encode(each)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

return json
