-- The forms bytes take in the crypto library: text, arrays of numbers, streams (functions that give one byte per call),
-- queues, and hexadecimal text.

local codec = {}

local byte, char, concat, format = string.byte, string.char, table.concat, string.format

-- An array of bytes as text. In parts, because a call takes only so many arguments.
local function array_text(bytes)
  local parts = {}
  for first = 1, #bytes, 200 do
    parts[#parts + 1] = char(table.unpack(bytes, first, math.min(first + 199, #bytes)))
  end
  return concat(parts)
end

local function stream_text(stream)
  local bytes, value = {}, stream()
  while value do
    bytes[#bytes + 1] = value
    value = stream()
  end
  return array_text(bytes)
end

-- The text of `data`, whichever form it has.
function codec.text(data)
  if type(data) == "function" then
    return stream_text(data)
  elseif type(data) == "table" then
    return array_text(data)
  end
  assert(type(data) == "string", "data should be a string, an array of bytes or a stream")
  return data
end

local function bytes_of(text)
  local bytes = {}
  for index = 1, #text do
    bytes[index] = byte(text, index)
  end
  return bytes
end

local function to_hex(text)
  return (string.gsub(text, ".", function(character)
    return format("%02x", byte(character))
  end))
end

local function from_hex(hex)
  assert(type(hex) == "string" and #hex % 2 == 0 and not string.find(hex, "%X"), "hex should be pairs of hex digits")
  return (string.gsub(hex, "..", function(pair)
    return char(tonumber(pair, 16))
  end))
end

local function stream_of(text)
  local index = 0
  return function()
    index = index + 1
    return byte(text, index)
  end
end

-- What a digest returns: its bytes in three forms.
function codec.shown(text)
  return {
    asBytes = function() return bytes_of(text) end,
    asHex = function() return to_hex(text) end,
    asString = function() return text end,
  }
end

codec.hex = {
  stringToHex = to_hex,
  hexToString = from_hex,
}

codec.array = {
  size = function(bytes) return #bytes end,
  fromString = bytes_of,
  fromHex = function(hex) return bytes_of(from_hex(hex)) end,
  fromStream = function(stream) return bytes_of(stream_text(stream)) end,
  readFromQueue = function(queue, size)
    local bytes = {}
    for index = 1, size do
      bytes[index] = queue.pop()
    end
    return bytes
  end,
  writeToQueue = function(queue, bytes)
    for _, value in ipairs(bytes) do
      queue.push(value)
    end
  end,
  toString = array_text,
  toHex = function(bytes) return to_hex(array_text(bytes)) end,
  toStream = function(bytes) return stream_of(array_text(bytes)) end,
  concat = function(first, second)
    return table.move(second, 1, #second, #first + 1, table.move(first, 1, #first, 1, {}))
  end,
  slice = function(bytes, first, last)
    return table.move(bytes, first, last, 1, {})
  end,
  truncate = function(bytes, size)
    return table.move(bytes, 1, math.min(size, #bytes), 1, {})
  end,
}

codec.stream = {
  fromString = stream_of,
  fromArray = function(bytes) return stream_of(array_text(bytes)) end,
  fromHex = function(hex) return stream_of(from_hex(hex)) end,
  toString = stream_text,
  toArray = function(stream) return bytes_of(stream_text(stream)) end,
  toHex = function(stream) return to_hex(stream_text(stream)) end,
}

-- First in, first out.
function codec.queue()
  local first, last, values, queue = 1, 0, {}, {}
  function queue.push(value)
    last = last + 1
    values[last] = value
  end
  function queue.pop()
    local value = values[first]
    if value ~= nil then
      values[first], first = nil, first + 1
    end
    return value
  end
  function queue.size()
    return last - first + 1
  end
  function queue.getHead()
    return first
  end
  function queue.getTail()
    return last
  end
  function queue.reset()
    first, last, values = 1, 0, {}
  end
  return queue
end

return codec
