-- A result as JSON text, in one fixed order of fields. `.process` calls it once per message. It knows what outbox
-- entries look like, and so is several times as fast as `.json`, which it asks about everything else.

local json = require(".json")

local find, concat, math_type = string.find, table.concat, math.type
local error, pcall, rawget, tostring, type = error, pcall, rawget, tostring, type
local encode = json.encode

local result = {}

local NAMES_MAX = 512 -- remembered tag names; past it we forget them all and start again
local openings, openings_count = {}, 0

-- `{"name":"<name>","value":` for a tag name.
local function opening(name)
  local known = openings[name]
  if known then
    return known
  end
  local text = '{"name":' .. encode(name) .. ',"value":'
  if #name <= 64 then
    if openings_count >= NAMES_MAX then
      openings, openings_count = {}, 0
    end
    openings[name], openings_count = text, openings_count + 1
  end
  return text
end

-- Appends the JSON of `value` to `out` after index `n`; returns the new last index. What JSON cannot say becomes null:
-- the node drops such an entry, and its siblings live.
local function put(value, out, n)
  local kind = type(value)
  if kind == "string" and not find(value, '[%c"\\]') then
    out[n + 1], out[n + 2], out[n + 3] = '"', value, '"'
    return n + 3
  elseif kind == "string" or math_type(value) == "float" and value - value == 0 then
    out[n + 1] = encode(value)
  elseif math_type(value) == "integer" then
    out[n + 1] = value -- all digits: it may be an amount
  else
    local ok, text = pcall(encode, value)
    out[n + 1] = ok and text or "null"
  end
  return n + 1
end

-- Programs may write into the outbox themselves.
local function check_table(value, what)
  if type(value) ~= "table" then
    error(what .. " should be a table, not a " .. type(value), 0)
  end
  return value
end

local function put_tags(tags, out, n)
  n = n + 1
  out[n] = "["
  for index = 1, #tags do
    local tag = check_table(tags[index], "a tag in the outbox")
    local name = tag.name
    n = n + 1
    out[n] = index > 1 and "," or ""
    n = n + 1
    out[n] = opening(type(name) == "string" and name or tostring(name))
    n = put(tag.value, out, n)
    n = n + 1
    out[n] = "}"
  end
  n = n + 1
  out[n] = "]"
  return n
end

local FIELDS = { '"Target":', '"Data":', '"Anchor":' }
local KEYS = { "Target", "Data", "Anchor" }

local function put_entry(entry, out, n)
  n = n + 1
  out[n] = "{"
  for index = 1, 3 do
    local value = rawget(entry, KEYS[index])
    if value ~= nil and type(value) ~= "function" then
      n = n + 1
      out[n] = FIELDS[index]
      n = put(value, out, n) + 1
      out[n] = ","
    end
  end
  n = n + 1
  out[n] = '"Tags":'
  n = put_tags(check_table(entry.Tags or {}, "Tags in the outbox"), out, n) + 1
  out[n] = "}"
  return n
end

local function put_entries(entries, out, n)
  check_table(entries, "each part of the outbox")
  n = n + 1
  out[n] = "["
  for index = 1, #entries do
    if index > 1 then
      n = n + 1
      out[n] = ","
    end
    n = put_entry(check_table(entries[index], "an entry of the outbox"), out, n)
  end
  n = n + 1
  out[n] = "]"
  return n
end

local prompt, prompt_text = "", '""' -- prompts are full of escapes and seldom change

local function output_text(output)
  if output.prompt ~= prompt then
    prompt, prompt_text = output.prompt, encode(output.prompt)
  end
  local rest = output.print and ',"print":true}' or "}"
  if output.test then
    rest = ',"test":' .. encode(output.test) .. rest
  end
  return '{"data":' .. encode(output.data) .. ',"prompt":' .. prompt_text .. rest
end

-- The text of `{"ok": true, "response": response}` for what `process.handle` returned.
function result.encode(response)
  if response.Error ~= nil then
    return '{"ok":true,"response":{"Error":' .. encode(response.Error) .. "}}"
  end
  local out = { '{"ok":true,"response":{"Output":', output_text(response.Output), ',"Messages":' }
  local n = put_entries(response.Messages, out, 3) + 1
  out[n] = ',"Spawns":'
  n = put_entries(response.Spawns, out, n) + 1
  out[n] = ',"Assignments":'
  n = n + 1
  out[n] = encode(check_table(response.Assignments, "each part of the outbox"))
  n = n + 1
  out[n] = "}}"
  return concat(out, "", 1, n)
end

return result
