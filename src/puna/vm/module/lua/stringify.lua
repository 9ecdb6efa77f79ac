-- Values as a person reads them at the prompt: coloured, one entry per line, arrays of text and numbers on one.

local concat, rep, sort = table.concat, string.rep, table.sort
local getmetatable, ipairs, pairs, tostring, type = getmetatable, ipairs, pairs, tostring, type

local stringify = { _version = "0.0.1" }

local colors = {
  red = "\27[31m",
  green = "\27[32m",
  blue = "\27[34m",
  gray = "\27[90m",
  reset = "\27[0m",
}
stringify.colors = colors

-- True for an array that holds nothing but strings and numbers.
function stringify.isSimpleArray(value)
  local count = 0
  for _, item in pairs(value) do
    count = count + 1
    local kind = type(item)
    if kind ~= "string" and kind ~= "number" then
      return false
    end
  end
  return count == #value
end

local function is_array(value)
  local count = 0
  for _ in pairs(value) do
    count = count + 1
  end
  return count == #value
end

local function scalar(value)
  if type(value) == "string" then
    return colors.green .. '"' .. value .. '"' .. colors.reset
  end
  return colors.blue .. tostring(value) .. colors.reset
end

-- Numbers first, then names, then whatever else may be a key: one order on every node.
local function before(a, b)
  local kind_a, kind_b = type(a), type(b)
  if kind_a ~= kind_b then
    return kind_a == "number" or kind_a == "string" and kind_b ~= "number"
  elseif kind_a == "number" or kind_a == "string" then
    return a < b
  end
  return tostring(a) < tostring(b)
end

local format

local function element(value, indent, open)
  return type(value) == "table" and format(value, indent, open) or scalar(value)
end

-- An array with anything but strings and numbers in it: an element to a line.
local function format_array(array, indent, open)
  local margin, lines = rep(" ", indent + 2), {}
  for index, item in ipairs(array) do
    lines[index] = margin .. element(item, indent + 2, open)
  end
  return "{\n" .. concat(lines, ",\n") .. "\n" .. rep(" ", indent + 1) .. "}"
end

local function format_object(object, indent, open)
  local keys = {}
  for key in pairs(object) do
    keys[#keys + 1] = key
  end
  sort(keys, before)
  local margin, lines = rep(" ", indent + 3), {}
  for index, key in ipairs(keys) do
    lines[index] = margin .. colors.red .. tostring(key) .. colors.reset .. " = "
      .. element(object[key], indent + 2, open)
  end
  return "{\n" .. concat(lines, ",\n") .. "\n" .. rep(" ", indent) .. "}"
end

local function format_simple(array)
  local parts = {}
  for index, item in ipairs(array) do
    parts[index] = scalar(item)
  end
  return "{ " .. concat(parts, ", ") .. " }"
end

-- A value with its own `__tostring` keeps it. `open` holds the tables we are inside of: meeting one again would
-- never end.
function format(value, indent, open)
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then
    return tostring(value)
  elseif open[value] then
    return "<circular reference>"
  end
  open[value] = true
  local text
  if stringify.isSimpleArray(value) then
    text = format_simple(value)
  elseif is_array(value) then
    text = format_array(value, indent, open)
  else
    text = format_object(value, indent, open)
  end
  open[value] = nil
  return text
end

-- The text of a value, as it stands `indent` blanks from the margin.
function stringify.format(value, indent)
  return type(value) == "table" and format(value, indent or 0, {}) or scalar(value)
end

return stringify
