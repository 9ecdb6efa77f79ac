-- Arrays of bytes: tables of numbers from 0 to 255.

local bytes = require(".crypto.bytes")

local find, gmatch, tonumber = string.find, string.gmatch, tonumber
local assert, ipairs, min, move, type = assert, ipairs, math.min, table.move, type

local array = {}

function array.size(values) return #values end

function array.fromString(text) return bytes.to_array(text) end

-- What is no pair of hexadecimal digits is left out.
function array.fromHex(hex)
  assert(type(hex) == "string", "hex should be a string")
  local values = {}
  for pair in gmatch(hex, "..") do
    if not find(pair, "%X") then
      values[#values + 1] = tonumber(pair, 16)
    end
  end
  return values
end

function array.fromStream(stream) return bytes.to_array(bytes.of_stream(stream)) end

function array.readFromQueue(queue, size)
  local values = {}
  for index = 1, size do
    values[index] = queue.pop()
  end
  return values
end

function array.writeToQueue(queue, values)
  for _, value in ipairs(values) do
    queue.push(value)
  end
end

function array.toString(values) return bytes.of_array(values) end

function array.toHex(values) return bytes.to_upper_hex(bytes.of_array(values)) end

function array.toStream(values) return bytes.to_stream(bytes.of_array(values)) end

function array.concat(first, second)
  return move(second, 1, #second, #first + 1, move(first, 1, #first, 1, {}))
end

function array.slice(values, first, last)
  return move(values, first or 1, last or #values, 1, {})
end

function array.truncate(values, size)
  return move(values, 1, min(size, #values), 1, {})
end

function array.copy(values)
  return move(values, 1, #values, 1, {})
end

function array.XOR(first, second)
  assert(#first <= #second, "the second array should not be shorter")
  local out = {}
  for index, value in ipairs(first) do
    out[index] = value ~ second[index]
  end
  return out
end

-- Each byte replaced by what `box` has for it.
function array.substitute(values, box)
  local out = {}
  for index, value in ipairs(values) do
    out[index] = box[value]
  end
  return out
end

-- The bytes at the places that `places` lists, in its order.
function array.permute(values, places)
  local out = {}
  for index, place in ipairs(places) do
    out[index] = values[place]
  end
  return out
end

return array
