-- How an incoming message looks to a program: names in one spelling, tags as fields, no field of the node
-- ever replaced by a sender's tag. `.process` calls `prepare` on each message and `prepare_process` on each
-- new environment.

local Utils = require(".utils")

local message = {}

local normalize = Utils.normalize
local assert, error, ipairs, next, rawget, setmetatable = assert, error, ipairs, next, rawget, setmetatable
local sort, tostring, type = table.sort, tostring, type

local function set(names)
  local members = {}
  for _, name in ipairs(names) do
    members[name] = true
  end
  return members
end

-- Tags with these names stay in `msg.Tags` and never become fields.
message.NON_EXTRACTABLE = {
  "Data-Protocol", "Variant", "From-Process", "From-Module", "Type", "From", "Owner", "Anchor", "Target", "Data",
  "Tags", "Read-Only",
}
-- Nor do these: the node says them, and cooldowns, ids and deadlines hang on them.
message.NODE_FIELDS = {
  "Id", "Timestamp", "Block-Height", "Nonce", "Epoch", "Hash-Chain", "Cron", "Signature", "Forwarded-By", "TagArray",
}

local NON_EXTRACTABLE = set(message.NON_EXTRACTABLE)
local NODE_FIELDS = set(message.NODE_FIELDS)

-- Reading a key that is not there tries the sender's own spelling of a tag, then the normal spelling.
local function fallback(spelled)
  return {
    __index = function(fields, key)
      if type(key) ~= "string" then
        return nil
      end
      local value = spelled and spelled[key]
      if value ~= nil then
        return value
      end
      local name = normalize(key)
      if name ~= key then
        return rawget(fields, name)
      end
    end,
  }
end

local PLAIN = fallback(nil) -- shared by all messages whose tags came in the normal spelling

local function rename_root(msg)
  local odd
  for key in next, msg do
    if type(key) == "string" and normalize(key) ~= key and key ~= "TagArray" then
      odd = odd or {}
      odd[#odd + 1] = key
    end
  end
  if not odd then
    return
  end
  sort(odd)
  for _, key in ipairs(odd) do
    local name, value = normalize(key), msg[key]
    msg[key] = nil
    if msg[name] == nil then
      msg[name] = value
    end
  end
end

local function tag_list(tags)
  if tags == nil then
    return {}
  end
  assert(type(tags) == "table", "Tags should be a list of tags")
  if tags[1] ~= nil or next(tags) == nil then
    return tags
  end
  local list = {}
  for name, value in next, tags do
    list[#list + 1] = { name = name, value = value }
  end
  sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- Copies each tag of the list `tags` to the root of `msg` under the name it has, the last of a name winning.
function message.extract(msg, tags)
  for index = 1, #tags do
    local name = tags[index].name
    local normal = normalize(name)
    if not NON_EXTRACTABLE[normal] and not NODE_FIELDS[normal] then
      msg[name] = tags[index].value
    end
  end
end

-- A dry run may bring any JSON for a tag.
local function refuse(tag, index)
  if type(tag) ~= "table" then
    error("tag " .. index .. " should have a name and a value, and is a " .. type(tag), 0)
  elseif type(tag.name) ~= "string" then
    error("tag " .. index .. " should have text for a name, not a " .. type(tag.name), 0)
  end
  error("tag " .. index .. " (" .. tag.name .. ") should have text for a value, not a " .. type(tag.value), 0)
end

-- Changes `msg` as the node decoded it into what handlers see: `TagArray` the list with normal names, `Tags`
-- the map (first of a name wins), fields for the extractable tags (last wins).
function message.prepare(msg)
  assert(type(msg) == "table", "a message should be an object")
  rename_root(msg)
  local tags, map = tag_list(msg.Tags), {}
  local spelled_fields, spelled_tags
  for index = 1, #tags do
    local tag = tags[index]
    if type(tag) ~= "table" or type(tag.name) ~= "string" or type(tag.value) == "table" then
      refuse(tag, index)
    end
    local spelling, value = tag.name, tag.value
    local name = normalize(spelling)
    if name ~= spelling then
      if not spelled_tags then
        spelled_fields, spelled_tags = {}, {}
      end
      if spelled_tags[spelling] == nil then
        spelled_tags[spelling] = value
      end
      if not NON_EXTRACTABLE[name] then
        spelled_fields[spelling] = value
      end
      tag.name = name
    end
    if map[name] == nil then
      map[name] = value
    end
    if not NON_EXTRACTABLE[name] and not NODE_FIELDS[name] then
      msg[name] = value
    end
  end
  msg.TagArray = tags
  msg.Tags = setmetatable(map, spelled_tags and fallback(spelled_tags) or PLAIN)
  return setmetatable(msg, spelled_fields and fallback(spelled_fields) or PLAIN)
end

-- Gives `process` (of the environment) its `TagArray` and a map in `Tags`, names as the spawner wrote them;
-- a key in another spelling is found too.
function message.prepare_process(process)
  assert(type(process) == "table", "the environment should have a Process")
  if process.TagArray then
    return
  end
  local tags, map, normal = tag_list(process.Tags), {}, {}
  for index = 1, #tags do
    local name, value = tags[index].name, tags[index].value
    if map[name] == nil then
      map[name] = value
    end
    local spelling = normalize(name)
    if normal[spelling] == nil then
      normal[spelling] = value
    end
  end
  process.TagArray = tags
  process.Tags = setmetatable(map, {
    __index = function(_, key)
      return type(key) == "string" and normal[normalize(key)] or nil
    end,
  })
end

-- Gives `msg` its `reply(answer)` and `forward(target, changes)`.
function message.attach(msg)
  function msg.reply(answer)
    assert(type(answer) == "table", "reply should be a table")
    local out = {}
    for key, value in next, answer do
      out[key] = value
    end
    out.Target = msg["Reply-To"] or answer.Target or msg.From
    out["X-Reference"] = msg["X-Reference"] or msg.Reference
    out["X-Origin"] = msg["X-Origin"]
    return ao.send(out)
  end

  function msg.forward(target, changes)
    local out = {}
    for key, value in next, msg do
      out[key] = value
    end
    for _, key in ipairs(ao.nonForwardableTags) do
      out[key] = nil
    end
    for key, value in next, changes or {} do
      out[key] = value
    end
    out.Target = target
    out["Reply-To"] = msg["Reply-To"] or msg.From
    out["X-Reference"] = msg["X-Reference"] or msg.Reference
    out["X-Origin"] = msg["X-Origin"] or msg.From
    ao.send(out)
  end
  return msg
end

return message
