-- A plain indented listing of a table, without colours: `require(".pretty").tprint(t)`.

local pretty = { _version = "0.0.1" }

local function lines_of(value, margin, open, lines)
  local keys = {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) == "number" and type(b) == "number" then
      return a < b
    end
    return tostring(a) < tostring(b)
  end)
  for _, key in ipairs(keys) do
    local item = value[key]
    if type(item) ~= "table" then
      lines[#lines + 1] = margin .. tostring(key) .. ": " .. tostring(item)
    elseif open[item] then
      lines[#lines + 1] = margin .. tostring(key) .. ": <circular reference>"
    else
      open[item] = true
      lines[#lines + 1] = margin .. tostring(key) .. ": "
      lines_of(item, margin .. " ", open, lines)
      open[item] = nil
    end
  end
end

-- `indent` counts blanks before each line.
function pretty.tprint(value, indent)
  if type(value) ~= "table" then
    return tostring(value)
  end
  local lines = {}
  lines_of(value, string.rep(" ", indent or 0), { [value] = true }, lines)
  lines[#lines + 1] = ""
  return table.concat(lines, "\n")
end

return pretty
