-- The global `ao`: who this process is, whom it trusts, and its outbox. Loading this file again keeps id,
-- authorities, reference counter and outbox.

local Handlers = require(".handlers")
local json = require(".json")
local message = require(".message")
local assignment = require(".assignment")

local encode = json.encode
local concat, format, gmatch, match, sort = table.concat, string.format, string.gmatch, string.match, table.sort
local assert, getmetatable, ipairs, next, rawget = assert, getmetatable, ipairs, next, rawget
local setmetatable, tostring, type = setmetatable, tostring, type

local old = type(rawget(_G, "ao")) == "table" and _G.ao or {}

local ao = {
  _version = "0.0.6",
  id = old.id or "",
  _module = old._module or "",
  authorities = old.authorities or {},
  reference = old.reference or 0,
  outbox = old.outbox or { Output = {}, Messages = {}, Spawns = {}, Assignments = {} },
  env = old.env,
  assignables = old.assignables or {},
  Nonce = old.Nonce,
  nonExtractableTags = message.NON_EXTRACTABLE,
  nonForwardableTags = {
    "Data-Protocol", "Variant", "From-Process", "From-Module", "Type", "From", "Owner", "Anchor", "Target", "Tags",
    "TagArray", "Hash-Chain", "Timestamp", "Nonce", "Epoch", "Signature", "Forwarded-By", "Pushed-For", "Read-Only",
    "Cron", "Block-Height", "Reference", "Id", "Reply-To",
  },
}

-- Copies ------------------------------------------------------------------------------------------------------------

local function clone(value, known)
  if type(value) ~= "table" then
    return value
  end
  if known[value] then
    return known[value]
  end
  local copy = {}
  known[value] = copy
  for key, inner in next, value do
    copy[clone(key, known)] = clone(inner, known)
  end
  return setmetatable(copy, getmetatable(value))
end

-- Deep copy; cycles and metatables are kept.
function ao.clone(value)
  return clone(value, {})
end

-- A copy of `msg` without what belongs to its own delivery.
function ao.sanitize(msg)
  local copy = ao.clone(msg)
  for _, key in ipairs(ao.nonForwardableTags) do
    copy[key] = nil
  end
  return copy
end

-- Copies the tags of `msg` (still a list) to its root, but for those that belong to the node.
function ao.normalize(msg)
  message.extract(msg, msg.TagArray or msg.Tags)
  return msg
end

-- Identity and trust ------------------------------------------------------------------------------------------------

local function contains(list, value)
  for _, candidate in ipairs(list) do
    if candidate == value then
      return true
    end
  end
  return false
end

-- Called with the environment of each message. `env.Process.Tags` may be a list or already a map.
function ao.init(env)
  local process = env.Process
  message.prepare_process(process)
  if ao.id == "" then
    ao.id = process.Id
  end
  for _, tag in ipairs(process.TagArray) do
    if tag.name == "Authority" then
      for address in gmatch(tag.value, "[^,]+") do
        if not contains(ao.authorities, address) then
          ao.authorities[#ao.authorities + 1] = address
        end
      end
    end
  end
  if ao._module == "" and process.Tags.Module then
    ao._module = process.Tags.Module
  end
  ao.env = env
  ao.clearOutbox()
end

function ao.isTrusted(msg)
  for _, authority in ipairs(ao.authorities) do
    if authority == msg.From or authority == msg.Owner then
      return true
    end
  end
  return false
end

-- Routing hints belong to another line of nodes; programs may call this all the same.
function ao.registerHint() end

assignment.init(ao)

-- The outbox --------------------------------------------------------------------------------------------------------

-- What has been printed so far, read as a process would read its own output.
local PRINTED = {
  __index = function(_, key)
    if key == "data" then
      return concat(HANDLER_PRINT_LOGS or {}, "\n")
    elseif key == "prompt" then
      return Prompt()
    elseif key == "print" then
      return true
    end
  end,
}

function ao.clearOutbox()
  ao.outbox = { Output = setmetatable({}, PRINTED), Messages = {}, Spawns = {}, Assignments = {} }
end

-- Adds an entry to the outbox's output, which a program may read; what a node shows is what was printed.
function ao.log(text)
  local output = ao.outbox.Output
  if type(output) == "string" then
    ao.outbox.Output = output .. "\n" .. tostring(text)
  else
    output[#output + 1] = text
  end
end

-- What a message leads to: `result.Output`, and the outbox. With an error in either: that alone.
function ao.result(result)
  local outbox = ao.outbox
  local failure = result.Error or outbox.Error
  if failure then
    return { Error = failure }
  end
  return {
    Output = result.Output or outbox.Output,
    Messages = outbox.Messages,
    Spawns = outbox.Spawns,
    Assignments = outbox.Assignments,
  }
end

-- Sending -----------------------------------------------------------------------------------------------------------

local RESERVED = { Target = true, Data = true, Anchor = true, Tags = true, From = true }
local RESERVED_JSON = { Target = true, Data = true, Anchor = true, Tags = true, From = true, ["Content-Type"] = true }
local NONE = {}

local function by_text(a, b)
  return tostring(a) < tostring(b)
end

-- The keys of `object` in an order that is the same on every node and in every replay, and how many. Functions are
-- no tag values and left out.
local function sorted_keys(object, skip)
  local keys, n, all_text = {}, 0, true
  for key, value in next, object do
    if not skip[key] and type(value) ~= "function" then
      n = n + 1
      keys[n] = key
      all_text = all_text and type(key) == "string"
    end
  end
  if n > 1 then
    sort(keys, not all_text and by_text or nil)
  end
  return keys, n
end

-- Appends to the list `tags` of `n` entries the content type of data that was made JSON, the root fields of `msg`, and
-- then its `Tags` (list or map).
local function append_tags(tags, n, msg, as_json)
  if as_json then
    n = n + 1
    tags[n] = { name = "Content-Type", value = "application/json" }
  end
  local keys, count = sorted_keys(msg, as_json and RESERVED_JSON or RESERVED)
  for index = 1, count do
    n = n + 1
    tags[n] = { name = keys[index], value = msg[keys[index]] }
  end
  local given = msg.Tags
  if given == nil then
    return n
  end
  assert(type(given) == "table", "Tags should be a table")
  if given[1] ~= nil then
    for _, tag in ipairs(given) do
      n = n + 1
      tags[n] = { name = tag.name, value = tag.value }
    end
    return n
  end
  keys, count = sorted_keys(given, NONE)
  for index = 1, count do
    n = n + 1
    tags[n] = { name = keys[index], value = given[keys[index]] }
  end
  return n
end

-- The text of `data`, and whether it was made JSON here.
local function data_text(data)
  if type(data) ~= "table" then
    return data, false
  end
  local meta = getmetatable(data)
  if meta and meta.__tostring then
    return tostring(data), false
  end
  return encode(data), true
end

local function is_node(address)
  return address == ao.id or contains(ao.authorities, address)
end

local function reference_of(entry)
  return match(entry.Anchor, "^0*(%d+)$")
end

-- The patterns that recognise the answer to an outbox entry.
local function answers(entry, from)
  return { From = from or entry.Target, ["X-Reference"] = reference_of(entry) }
end

local function spawned(entry)
  -- The node itself tells of a spawn: in its own name, or in that of this process.
  return { Action = "Spawned", From = is_node, Reference = reference_of(entry) }
end

-- Outbox entries know `onReply([from,] resolver)` and `receive([from])`. The functions are made when first
-- asked for, because most messages wait for nothing.
local function waiting(pattern_of)
  return {
    __index = function(entry, key)
      if key == "onReply" or key == "after" then
        return function(from, resolver)
          if resolver == nil then
            from, resolver = nil, from
          end
          Handlers.once(pattern_of(entry, from), resolver)
        end
      elseif key == "receive" then
        return function(from)
          return Handlers.receive(pattern_of(entry, from))
        end
      end
    end,
  }
end

local SENT, SPAWNED = waiting(answers), waiting(spawned)

local function next_reference()
  ao.reference = ao.reference + 1
  return format("%d", ao.reference)
end

-- Puts a message into the outbox and returns it. Every other root field of `msg` becomes a tag.
function ao.send(msg)
  assert(type(msg) == "table", "msg should be a table")
  local reference = next_reference()
  local data, as_json = data_text(msg.Data)
  local tags = {
    { name = "Data-Protocol", value = "ao" },
    { name = "Variant", value = "ao.TN.1" },
    { name = "Type", value = "Message" },
    { name = "Reference", value = reference },
  }
  append_tags(tags, 4, msg, as_json)
  local entry = setmetatable({
    Target = msg.Target,
    Data = data,
    Anchor = format("%032d", ao.reference),
    Tags = tags,
  }, SENT)
  local messages = ao.outbox.Messages
  messages[#messages + 1] = entry
  return entry
end

-- Asks for a new process of `module` (an item id) and returns the outbox entry.
function ao.spawn(module, msg)
  assert(type(module) == "string", "Module source id is required!")
  assert(type(msg) == "table", "Message must be a table")
  local reference = next_reference()
  local data, as_json = data_text(msg.Data)
  local tags = {
    { name = "Data-Protocol", value = "ao" },
    { name = "Variant", value = "ao.TN.1" },
    { name = "Type", value = "Process" },
    { name = "From-Process", value = ao.id },
    { name = "From-Module", value = ao._module },
    { name = "Module", value = module },
    { name = "Reference", value = reference },
  }
  append_tags(tags, 7, msg, as_json)
  local entry = setmetatable({
    Data = data == nil and "NODATA" or data,
    Anchor = format("%032d", ao.reference),
    Tags = tags,
  }, SPAWNED)
  local spawns = ao.outbox.Spawns
  spawns[#spawns + 1] = entry
  return entry
end

-- `{Processes = {ids}, Message = id}`: schedules an existing item onto other processes.
function ao.assign(request)
  assert(type(request) == "table", "assignment should be a table")
  assert(type(request.Processes) == "table", "Processes should be a table")
  assert(type(request.Message) == "string", "Message should be a string")
  local assignments = ao.outbox.Assignments
  assignments[#assignments + 1] = request
end

package.loaded["ao"], package.loaded[".ao"] = ao, ao

return ao
