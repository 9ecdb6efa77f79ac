-- A value as quoted Lua text. Global `Dump`; `Output.test` of an Eval is one.

local concat, find, format, rep, sort = table.concat, string.find, string.format, string.rep, table.sort
local ipairs, next, tostring, type = ipairs, next, tostring, type

local INDENT = 4

local WORDS = {}
for word in string.gmatch("and break do else elseif end false for function goto if in local nil not or repeat return "
  .. "then true until while", "%a+") do
  WORDS[word] = true
end

local dump

local function key_text(key, margin, open)
  local kind = type(key)
  if kind == "string" and find(key, "^[%a_][%w_]*$") and not WORDS[key] then
    return key
  elseif kind == "number" or kind == "boolean" then
    return "[" .. tostring(key) .. "]"
  end
  return "[" .. dump(key, margin, open) .. "]"
end

local RANK = { number = 1, string = 2 }

local function sorted_keys(value)
  local keys = {}
  for key in next, value do
    keys[#keys + 1] = key
  end
  sort(keys, function(a, b)
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

-- `open` holds the tables we are inside of.
function dump(value, margin, open)
  local kind = type(value)
  if kind == "number" or kind == "boolean" then
    return tostring(value)
  elseif kind ~= "table" then
    return format("%q", tostring(value))
  elseif open[value] then
    return '"<circular reference>"'
  end
  local inner, lines = margin .. rep(" ", INDENT), {}
  open[value] = true
  for index, key in ipairs(sorted_keys(value)) do
    lines[index] = inner .. key_text(key, inner, open) .. " = " .. dump(value[key], inner, open)
  end
  open[value] = nil
  if #lines == 0 then
    return "{}"
  end
  return "{\n" .. concat(lines, ",\n") .. "\n" .. margin .. "}"
end

-- A table as a constructor, one entry to a line; anything else as a quoted string.
return function(value)
  return type(value) == "table" and dump(value, "", {}) or format("%q", tostring(value))
end
