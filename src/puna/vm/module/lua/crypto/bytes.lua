-- The one form all of the crypto library works on inside: text. What callers give may be text, an array of bytes, or a
-- stream (a function that gives one byte per call); what they get can be had in three forms.

local byte, char, format, gsub = string.byte, string.char, string.format, string.gsub
local assert, concat, min, tonumber, type, unpack = assert, table.concat, math.min, tonumber, type, table.unpack

local bytes = {}

-- An array of bytes as text. In parts, because a call takes only so many arguments.
function bytes.of_array(array)
  local parts = {}
  for first = 1, #array, 200 do
    parts[#parts + 1] = char(unpack(array, first, min(first + 199, #array)))
  end
  return concat(parts)
end

-- All that is left of a stream, as text.
function bytes.of_stream(stream)
  local array, value = {}, stream()
  while value do
    array[#array + 1] = value
    value = stream()
  end
  return bytes.of_array(array)
end

-- The text of `data`, whichever form it has.
function bytes.text(data)
  if type(data) == "function" then
    return bytes.of_stream(data)
  elseif type(data) == "table" then
    return bytes.of_array(data)
  end
  assert(type(data) == "string", "data should be a string, an array of bytes or a stream")
  return data
end

function bytes.to_array(text)
  local array = {}
  for index = 1, #text do
    array[index] = byte(text, index)
  end
  return array
end

function bytes.to_stream(text)
  local index = 0
  return function()
    index = index + 1
    return byte(text, index)
  end
end

function bytes.to_hex(text)
  return (gsub(text, ".", function(character)
    return format("%02x", byte(character))
  end))
end

function bytes.to_upper_hex(text)
  return (gsub(text, ".", function(character)
    return format("%02X", byte(character))
  end))
end

function bytes.of_hex(hex)
  assert(type(hex) == "string" and #hex % 2 == 0, "invalid hex string")
  return (gsub(hex, "%x%x", function(pair)
    return char(tonumber(pair, 16))
  end))
end

-- Two texts of one length, bit by bit unequal.
function bytes.exclusive_or(a, b)
  local parts = {}
  for first = 1, #a, 200 do
    local out = { byte(a, first, min(first + 199, #a)) }
    for index = 1, #out do
      out[index] = out[index] ~ byte(b, first + index - 1)
    end
    parts[#parts + 1] = char(unpack(out))
  end
  return concat(parts)
end

local function shown(text, hex)
  return {
    asBytes = function() return bytes.to_array(text) end,
    asHex = function() return hex(text) end,
    asString = function() return text end,
  }
end

-- What a digest returns: its bytes in three forms.
function bytes.shown(text)
  return shown(text, bytes.to_hex)
end

-- The same, with capital letters in the hexadecimal form: ciphers and key derivation.
function bytes.shown_upper(text)
  return shown(text, bytes.to_upper_hex)
end

return bytes
