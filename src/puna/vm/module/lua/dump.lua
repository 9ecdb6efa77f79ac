-- A value as Lua text that makes it again, strings quoted. Global `Dump`; `Output.test` of an Eval is one.

local WORDS = {}
for word in string.gmatch("and break do else elseif end false for function goto if in local nil not or repeat return "
  .. "then true until while", "%a+") do
  WORDS[word] = true
end

local function key_text(key)
  if type(key) == "string" and string.find(key, "^[%a_][%w_]*$") and not WORDS[key] then
    return key
  elseif type(key) == "string" then
    return "[" .. string.format("%q", key) .. "]"
  end
  return "[" .. tostring(key) .. "]"
end

local function scalar(value)
  if type(value) == "string" then
    return string.format("%q", value)
  end
  return tostring(value)
end

local RANK = { number = 1, string = 2 }

local function sorted_keys(value, after)
  local keys = {}
  for key in next, value do
    if math.type(key) ~= "integer" or key < 1 or key > after then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys, function(a, b)
    local rank_a, rank_b = RANK[type(a)] or 3, RANK[type(b)] or 3
    if rank_a ~= rank_b then
      return rank_a < rank_b
    elseif rank_a < 3 then
      return a < b
    end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function dump(value, margin, open)
  if type(value) ~= "table" then
    return scalar(value)
  end
  if open[value] then
    return "<circular reference>"
  end
  open[value] = true
  local inner, lines, count = margin .. "  ", {}, #value
  for index = 1, count do
    lines[index] = inner .. dump(value[index], inner, open)
  end
  for _, key in ipairs(sorted_keys(value, count)) do
    lines[#lines + 1] = inner .. key_text(key) .. " = " .. dump(value[key], inner, open)
  end
  open[value] = nil
  if #lines == 0 then
    return "{}"
  end
  return "{\n" .. table.concat(lines, ",\n") .. "\n" .. margin .. "}"
end

return function(value)
  return dump(value, "", {})
end
