-- JSON text to Lua values and back. Every message and every result passes through here once, so it is
-- written for speed: one pattern match per simple string, one output buffer per text.
--
-- Semantics programs rely on: an empty table is `[]`; functions are left out; numbers keep 14 significant
-- digits (amounts travel as text); `null` becomes nil; a trailing comma is accepted in arrays and objects.

local json = { _version = "0.2.0" }

local byte, char, find, format = string.byte, string.char, string.find, string.format
local gsub, match, sub = string.gsub, string.match, string.sub
local concat, math_type, utf8_char, huge = table.concat, math.type, utf8.char, math.huge
local error, ipairs, next, pairs, rawget = error, ipairs, next, pairs, rawget
local tonumber, tostring, type = tonumber, tostring, type

-- Encoding ---------------------------------------------------------------------------------------------------------

local ESCAPES = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}

for code = 0, 31 do
  local character = char(code)
  if not ESCAPES[character] then
    ESCAPES[character] = format("\\u%04x", code)
  end
end

local function quote(text)
  if find(text, '[\0-\31"\\]') then
    text = gsub(text, '[\0-\31"\\]', ESCAPES)
  end
  return '"' .. text .. '"'
end

-- The keys of every outbox entry, quoted once.
local KEYS = {}
for _, key in ipairs({ "name", "value", "Target", "Data", "Anchor", "Tags", "Output", "Messages", "Spawns",
  "Assignments", "data", "prompt", "print", "test", "ok", "response", "Error" }) do
  KEYS[key] = quote(key) .. ":"
end

local encode_value

local function encode_array(array, out, n, open)
  local count = 0
  for key in pairs(array) do
    if type(key) ~= "number" then
      error("invalid table: mixed or invalid key types")
    end
    count = count + 1
  end
  if count ~= #array then
    error("invalid table: sparse array")
  end
  n = n + 1
  out[n] = "["
  local first = n
  for index = 1, count do
    local value = array[index]
    if type(value) ~= "function" then
      if n > first then
        n = n + 1
        out[n] = ","
      end
      n = encode_value(value, out, n, open)
    end
  end
  n = n + 1
  out[n] = "]"
  return n
end

local function encode_object(object, out, n, open)
  n = n + 1
  out[n] = "{"
  local first = n
  for key, value in pairs(object) do
    if type(key) ~= "string" then
      error("invalid table: mixed or invalid key types")
    end
    if type(value) ~= "function" then
      if n > first then
        n = n + 1
        out[n] = ","
      end
      n = n + 1
      out[n] = KEYS[key] or quote(key) .. ":"
      n = encode_value(value, out, n, open)
    end
  end
  n = n + 1
  out[n] = "}"
  return n
end

-- Appends the pieces of `value` to `out` after index `n`; returns the new last index. `open` holds the
-- tables we are inside of.
function encode_value(value, out, n, open)
  local kind = type(value)
  if kind == "string" then
    n = n + 1
    out[n] = quote(value)
    return n
  elseif kind == "table" then
    if open[value] then
      error("circular reference")
    end
    open[value] = true
    if rawget(value, 1) ~= nil or next(value) == nil then
      n = encode_array(value, out, n, open)
    else
      n = encode_object(value, out, n, open)
    end
    open[value] = nil
    return n
  elseif kind == "number" then
    n = n + 1
    if math_type(value) == "integer" and value > -100000000000000 and value < 100000000000000 then
      out[n] = value
    elseif value ~= value or value == huge or value == -huge then
      error("unexpected number value '" .. tostring(value) .. "'")
    else
      out[n] = format("%.14g", value)
    end
    return n
  elseif kind == "boolean" then
    n = n + 1
    out[n] = value and "true" or "false"
    return n
  elseif kind == "nil" then
    n = n + 1
    out[n] = "null"
    return n
  end
  error("unexpected type '" .. kind .. "'")
end

-- Returns the JSON text of `value`; raises on cycles, holes, mixed keys, NaN and infinity.
function json.encode(value)
  local out = {}
  local n = encode_value(value, out, 0, {})
  return concat(out, "", 1, n)
end

-- Decoding ---------------------------------------------------------------------------------------------------------

local function fail(text, position, reason)
  local line, column = 1, 1
  for index = 1, position - 1 do
    column = column + 1
    if byte(text, index) == 10 then
      line, column = line + 1, 1
    end
  end
  error(format("%s at line %d col %d", reason, line, column))
end

local UNESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

-- The bytes of the `\uXXXX` escape (or surrogate pair) whose backslash is at `i`, and the index after it.
local function decode_unicode(text, i)
  local digits = match(text, "^%x%x%x%x", i + 2)
  if not digits then
    fail(text, i, "invalid unicode escape in string")
  end
  local code = tonumber(digits, 16)
  if code >= 0xD800 and code < 0xDC00 then
    local low = match(text, "^\\u([dD][c-fC-F]%x%x)", i + 6)
    if low then
      return utf8_char(0x10000 + ((code - 0xD800) << 10) + tonumber(low, 16) - 0xDC00), i + 12
    end
  end
  if code >= 0xD800 and code < 0xE000 then
    return "\u{FFFD}", i + 6 -- half a pair has no text of its own
  end
  return utf8_char(code), i + 6
end

-- The string whose opening quote is at `start`, for strings holding escapes.
local function decode_escaped(text, start)
  local parts, n, i = {}, 0, start + 1
  while true do
    local stop = find(text, '["\\\0-\31]', i)
    if not stop then
      fail(text, start, "expected closing quote for string")
    end
    if stop > i then
      n = n + 1
      parts[n] = sub(text, i, stop - 1)
    end
    local code = byte(text, stop)
    if code == 34 then
      return concat(parts, "", 1, n), stop + 1
    elseif code ~= 92 then
      fail(text, stop, "control character in string")
    end
    local letter = sub(text, stop + 1, stop + 1)
    n = n + 1
    if letter == "u" then
      parts[n], i = decode_unicode(text, stop)
    else
      local plain = UNESCAPES[letter]
      if not plain then
        fail(text, stop, "invalid escape char '" .. letter .. "' in string")
      end
      parts[n], i = plain, stop + 2
    end
  end
end

local decode_value

local function decode_array(text, i)
  local array, count = {}, 0
  i = i + 1
  while true do
    i = find(text, "[^ \n\r\t]", i) or #text + 1
    if byte(text, i) == 93 then
      return array, i + 1
    end
    count = count + 1
    array[count], i = decode_value(text, i)
    i = find(text, "[^ \n\r\t]", i) or #text + 1
    local code = byte(text, i)
    if code == 93 then
      return array, i + 1
    elseif code ~= 44 then
      fail(text, i + 1, "expected ']' or ','")
    end
    i = i + 1
  end
end

local function decode_object(text, i)
  local object = {}
  i = i + 1
  while true do
    local _, stop, key = find(text, '^[ \n\r\t]*"([^"\\\0-\31]*)"[ \n\r\t]*:', i)
    if stop then
      object[key], i = decode_value(text, stop + 1)
    else
      i = find(text, "[^ \n\r\t]", i) or #text + 1
      local code = byte(text, i)
      if code == 125 then
        return object, i + 1
      elseif code ~= 34 then
        fail(text, i, "expected string for key")
      end
      key, i = decode_escaped(text, i)
      i = find(text, "[^ \n\r\t]", i) or #text + 1
      if byte(text, i) ~= 58 then
        fail(text, i, "expected ':' after key")
      end
      object[key], i = decode_value(text, i + 1)
    end
    i = find(text, "[^ \n\r\t]", i) or #text + 1
    local code = byte(text, i)
    if code == 125 then
      return object, i + 1
    elseif code ~= 44 then
      fail(text, i + 1, "expected '}' or ','")
    end
    i = i + 1
  end
end

local LITERALS = { ["true"] = true, ["false"] = false }

local function decode_word(text, i)
  local _, stop, word = find(text, "^([^ \n\r\t,%]}]+)", i)
  if not stop then
    fail(text, i, i > #text and "unexpected end of text" or "unexpected character '" .. sub(text, i, i) .. "'")
  end
  if word == "null" then
    return nil, stop + 1
  end
  local literal = LITERALS[word]
  if literal ~= nil then
    return literal, stop + 1
  end
  if not find(word, "^[-0-9]") then
    fail(text, i, find(word, "^[tfn]") and "invalid literal '" .. word .. "'"
      or "unexpected character '" .. sub(word, 1, 1) .. "'")
  end
  local number = tonumber(word)
  if not number then
    fail(text, i, "invalid number '" .. word .. "'")
  end
  return number, stop + 1
end

-- The value that begins at or after `i` (blanks skipped), and the index after it.
function decode_value(text, i)
  local code = byte(text, i)
  if code == 32 or code == 10 or code == 13 or code == 9 then
    i = find(text, "[^ \n\r\t]", i) or #text + 1
    code = byte(text, i)
  end
  if code == 34 then
    local _, stop, plain = find(text, '^"([^"\\\0-\31]*)"', i)
    if stop then
      return plain, stop + 1
    end
    return decode_escaped(text, i)
  elseif code == 123 then
    return decode_object(text, i)
  elseif code == 91 then
    return decode_array(text, i)
  end
  return decode_word(text, i)
end

-- Returns the Lua value of a JSON text; raises `<reason> at line L col C` on anything else.
function json.decode(text)
  if type(text) ~= "string" then
    error("expected argument of type string, got " .. type(text))
  end
  local value, i = decode_value(text, 1)
  i = find(text, "[^ \n\r\t]", i)
  if i then
    fail(text, i, "trailing garbage")
  end
  return value
end

-- `require` finds this module under two names; both must give one table.
package.loaded["json"], package.loaded[".json"] = json, json

return json
