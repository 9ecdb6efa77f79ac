-- Values as a person reads them at the prompt: coloured, one entry per line, short arrays on one line.

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
  local kind = type(value)
  if kind == "string" then
    return colors.green .. '"' .. value .. '"' .. colors.reset
  elseif kind == "number" or kind == "boolean" then
    return colors.blue .. tostring(value) .. colors.reset
  end
  return tostring(value)
end

local function by_name(a, b)
  if type(a) == "number" and type(b) == "number" then
    return a < b
  end
  return tostring(a) < tostring(b)
end

local format

local function format_array(array, indent, open)
  local parts = {}
  for index, item in ipairs(array) do
    parts[index] = type(item) == "table" and format(item, indent + 2, open) or scalar(item)
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function format_object(object, indent, open)
  local keys = {}
  for key in pairs(object) do
    keys[#keys + 1] = key
  end
  table.sort(keys, by_name)
  local margin, lines = string.rep(" ", indent + 2), {}
  for index, key in ipairs(keys) do
    local value = object[key]
    lines[index] = margin .. colors.red .. tostring(key) .. colors.reset .. " = "
      .. (type(value) == "table" and format(value, indent + 2, open) or scalar(value))
  end
  return "{\n" .. table.concat(lines, ",\n") .. "\n" .. string.rep(" ", indent) .. "}"
end

-- `open` holds the tables we are inside of: meeting one again would never end.
function format(value, indent, open)
  if open[value] then
    return colors.blue .. "<circular reference>" .. colors.reset
  end
  open[value] = true
  local text
  if is_array(value) then
    text = format_array(value, indent, open)
  else
    text = format_object(value, indent, open)
  end
  open[value] = nil
  return text
end

-- The text of a table. A value with its own `__tostring` keeps it.
function stringify.format(value, indent)
  if type(value) ~= "table" then
    return scalar(value)
  end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then
    return tostring(value)
  end
  return format(value, indent or 0, {})
end

return stringify
