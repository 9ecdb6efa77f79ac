-- Small functions over tables and the two matchers every handler pattern goes through. Global `Utils`.

local Utils = { _version = "0.0.5" }

local find, gsub, lower, match = string.find, string.gsub, string.lower, string.match
local sub, upper = string.sub, string.upper
local getinfo, move, unpack = debug.getinfo, table.move, table.unpack
local assert, ipairs, next, pairs, select, tostring, type = assert, ipairs, next, pairs, select, tostring, type

-- Names ------------------------------------------------------------------------------------------------------------

local NAMES_MAX = 1024 -- remembered names; past it we forget them all and start again
local names, names_count = {}, 0

-- The spelling tags and fields are stored under: `foo_bar` and `FOO-BAR` both become `Foo-Bar`.
function Utils.normalize(name)
  local known = names[name]
  if known then
    return known
  end
  name = tostring(name)
  local text = lower(gsub(name, "_", "-"))
  text = gsub(upper(sub(text, 1, 1)) .. sub(text, 2), "%-(%l)", function(letter)
    return "-" .. upper(letter)
  end)
  if #name <= 64 then
    if names_count >= NAMES_MAX then
      names, names_count = {}, 0
    end
    names[name], names_count = text, names_count + 1
  end
  return text
end

-- The first letter large, all others small.
function Utils.capitalize(text)
  return upper(sub(text, 1, 1)) .. lower(sub(text, 2))
end

-- Matching ---------------------------------------------------------------------------------------------------------

-- Whether one field's `value` fits `pattern`: "_" for anything, a function of (value, msg), Lua pattern text,
-- plain text (case ignored), a boolean, or a list of alternatives.
function Utils.matchesPattern(pattern, value, msg)
  if not pattern then
    return pattern == value and value == false
  end
  local kind = type(pattern)
  if pattern == "_" then
    return true
  elseif kind == "function" then
    return pattern(value, msg) and true or false
  elseif kind == "table" then
    for _, alternative in pairs(pattern) do
      if Utils.matchesPattern(alternative, value, msg) then
        return true
      end
    end
    return false
  elseif kind == "boolean" or type(value) == "boolean" then
    return pattern == value
  elseif kind ~= "string" and kind ~= "number" or type(value) ~= "string" and type(value) ~= "number" then
    return false
  elseif pattern == value then
    return true
  end
  local wanted, given = lower(tostring(pattern)), lower(tostring(value))
  if kind == "string" and find(pattern, "[%^%$%(%)%%%.%[%]%*%+%?]") then
    return match(given, wanted) ~= nil
  end
  return wanted == given
end

-- What a handler's pattern says of `msg`: a function's own answer, exact `Action` for a string, and for a
-- table true when every named field is there and fits.
function Utils.matchesSpec(msg, spec)
  local kind = type(spec)
  if kind == "function" then
    return spec(msg)
  elseif kind == "string" then
    return msg.Action == spec
  elseif kind == "table" then
    for key, pattern in pairs(spec) do
      local value = msg[key]
      if value == nil or value == false and pattern ~= false then
        return false
      end
      if not Utils.matchesPattern(pattern, value, msg) then
        return false
      end
    end
    return true
  end
  return false
end

-- Tables -----------------------------------------------------------------------------------------------------------

local function is_array(value)
  if type(value) ~= "table" then
    return false
  end
  local count = 0
  for _ in pairs(value) do
    count = count + 1
  end
  return count == #value
end

-- `curry(fn, n)` lets `fn` be called with its n arguments one or a few at a time.
function Utils.curry(fn, arity)
  assert(type(fn) == "function", "first argument should be a function")
  arity = arity or getinfo(fn, "u").nparams
  if arity < 2 then
    return fn
  end
  local function take(taken, count)
    return function(...)
      local more = select("#", ...)
      local all = { unpack(taken, 1, count) }
      for index = 1, more do
        all[count + index] = (select(index, ...))
      end
      if count + more >= arity then
        return fn(unpack(all, 1, count + more))
      end
      return take(all, count + more)
    end
  end
  return take({}, 0)
end

local function array_argument(value, place)
  assert(is_array(value), place .. " argument should be a table that is an array")
end

local function function_argument(value)
  assert(type(value) == "function", "first argument should be a function")
end

Utils.concat = Utils.curry(function(first, second)
  array_argument(first, "first")
  array_argument(second, "second")
  local all = move(first, 1, #first, 1, {})
  return move(second, 1, #second, #all + 1, all)
end, 2)

Utils.reduce = Utils.curry(function(fn, initial, array)
  function_argument(fn)
  array_argument(array, "third")
  local result = initial
  for index, value in ipairs(array) do
    if result == nil then
      result = value
    else
      result = fn(result, value, index)
    end
  end
  return result
end, 3)

Utils.map = Utils.curry(function(fn, array)
  function_argument(fn)
  array_argument(array, "second")
  local out = {}
  for index, value in ipairs(array) do
    out[index] = fn(value, index)
  end
  return out
end, 2)

Utils.filter = Utils.curry(function(fn, array)
  function_argument(fn)
  array_argument(array, "second")
  local out = {}
  for _, value in ipairs(array) do
    if fn(value) then
      out[#out + 1] = value
    end
  end
  return out
end, 2)

Utils.find = Utils.curry(function(fn, array)
  function_argument(fn)
  array_argument(array, "second")
  for _, value in ipairs(array) do
    if fn(value) then
      return value
    end
  end
end, 2)

Utils.propEq = Utils.curry(function(name, value, object)
  assert(type(name) == "string", "first argument should be a string")
  assert(type(object) == "table", "third argument should be a table")
  return object[name] == value
end, 3)

Utils.prop = Utils.curry(function(name, object)
  return object[name]
end, 2)

Utils.includes = Utils.curry(function(value, array)
  array_argument(array, "second")
  for _, candidate in ipairs(array) do
    if candidate == value then
      return true
    end
  end
  return false
end, 2)

function Utils.reverse(array)
  array_argument(array, "first")
  local out, count = {}, #array
  for index = 1, count do
    out[index] = array[count + 1 - index]
  end
  return out
end

-- `compose(f, g)(x)` is `f(g(x))`.
function Utils.compose(...)
  local functions = { ... }
  return function(value)
    for index = #functions, 1, -1 do
      value = functions[index](value)
    end
    return value
  end
end

function Utils.keys(object)
  assert(type(object) == "table", "argument needs to be a table")
  local out = {}
  for key in next, object do
    out[#out + 1] = key
  end
  return out
end

function Utils.values(object)
  assert(type(object) == "table", "argument needs to be a table")
  local out = {}
  for _, value in next, object do
    out[#out + 1] = value
  end
  return out
end

return Utils
