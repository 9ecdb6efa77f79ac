-- The handler list, and the walk of one message along it. Global `Handlers`. Loading this file again keeps the
-- list and the coroutines that wait for a message.

local Utils = require(".utils")
local traceback = require(".traceback")

local error, resume, running, yield = error, coroutine.resume, coroutine.running, coroutine.yield
local insert, remove = table.insert, table.remove
local assert, ipairs, pairs, rawget, select, type = assert, ipairs, pairs, rawget, select, type

local old = type(rawget(_G, "Handlers")) == "table" and _G.Handlers or {}

local Handlers = {
  _version = "0.0.5",
  list = old.list or {},
  coroutines = old.coroutines or {},
  onceNonce = old.onceNonce or 0,
  utils = require(".handlers-utils"),
}

local own_matches = Utils.matchesSpec
local NAME_MUST_BE_TEXT = "Handler name MUST be a string"

-- Changing the list -------------------------------------------------------------------------------------------------

local function position(name)
  for index, handler in ipairs(Handlers.list) do
    if handler.name == name then
      return index
    end
  end
end

local function is_pattern(pattern)
  local kind = type(pattern)
  return kind == "function" or kind == "table" or kind == "string"
end

-- The entry that `add(name, handle)` or `add(name, pattern, handle [, maxRuns])` describes.
local function entry(name, pattern, handle, max_runs)
  if handle == nil then
    pattern, handle = name, pattern
  end
  local good = type(name) == "string" and is_pattern(pattern)
    and (type(handle) == "function" or type(handle) == "table")
    and (max_runs == nil or type(max_runs) == "number" or max_runs == "inf")
  if not good then
    error("Invalid arguments given. Expected: \n"
      .. "\tname : string, \n\tpattern : action : string | MsgMatch : table,\n"
      .. "\t\tfunction(msg: Message) : {-1 = break, 0 = skip, 1 = continue}, \n"
      .. "\thandle(msg : Message) : void | resolvers : table, \n\tmaxRuns? : number | \"inf\"")
  end
  return {
    name = name,
    pattern = pattern,
    handle = Handlers.generateResolver(handle),
    maxRuns = max_runs,
  }
end

-- A known name keeps its place (and its table); a new one goes to `place`. Returns how many handlers there are.
local function put(new, place)
  local index = position(new.name)
  if index then
    local kept = Handlers.list[index]
    kept.pattern, kept.handle, kept.maxRuns = new.pattern, new.handle, new.maxRuns
  else
    insert(Handlers.list, place or #Handlers.list + 1, new)
  end
  return #Handlers.list
end

function Handlers.add(name, pattern, handle, max_runs)
  return put(entry(name, pattern, handle, max_runs))
end

function Handlers.append(name, pattern, handle, max_runs)
  put(entry(name, pattern, handle, max_runs))
end

function Handlers.prepend(name, pattern, handle, max_runs)
  put(entry(name, pattern, handle, max_runs), 1)
end

-- once([name,] pattern, handle): asked first, and only until it has run.
function Handlers.once(...)
  local name, pattern, handle = ...
  if select("#", ...) < 3 then
    pattern, handle = ...
    name = "_once_" .. Handlers.onceNonce
    Handlers.onceNonce = Handlers.onceNonce + 1
  end
  Handlers.prepend(name, pattern, handle, 1)
end

local function beside(name, offset)
  return {
    add = function(...)
      local new, index = entry(...), position(name)
      if index then
        insert(Handlers.list, index + offset, new)
      end
    end,
  }
end

function Handlers.before(name)
  assert(type(name) == "string", NAME_MUST_BE_TEXT)
  return beside(name, 0)
end

function Handlers.after(name)
  assert(type(name) == "string", NAME_MUST_BE_TEXT)
  return beside(name, 1)
end

function Handlers.remove(name)
  assert(type(name) == "string", "name MUST be string")
  local index = position(name)
  if index then
    remove(Handlers.list, index)
  end
end

-- Running -----------------------------------------------------------------------------------------------------------

-- A function from a function, or from a table of pattern to function of which the first that matches runs.
function Handlers.generateResolver(resolver)
  if type(resolver) == "function" then
    return resolver
  end
  return function(msg)
    for pattern, handle in pairs(resolver) do
      local match = Utils.matchesSpec(msg, pattern)
      if match and match ~= 0 and match ~= "skip" then
        return handle(msg)
      end
    end
  end
end

-- Stops the running handler until a message fits `pattern`, and returns that message. What follows belongs to
-- the later message: its prints, its outbox, its errors.
function Handlers.receive(pattern)
  local waiting = running()
  Handlers.once(pattern, function(msg)
    local ok, failure = resume(waiting, msg)
    if not ok then
      traceback.note(running(), waiting)
      error(failure, 0)
    end
  end)
  return yield()
end

-- "run" and whether to stop after, from what a pattern answered.
local function decide(match)
  local kind = type(match)
  if kind == "boolean" then
    return match, true
  elseif kind == "number" then
    return match ~= 0, match < 0
  elseif kind == "string" then
    return match == "continue" or match == "break", match == "break"
  end
  error("Pattern result is not valid, it MUST be string, number, or boolean")
end

local function run(handler, msg, env)
  handler.handle(msg, env)
  if not handler.maxRuns or handler.maxRuns == "inf" then
    return
  end
  handler.maxRuns = handler.maxRuns - 1
  if handler.maxRuns <= 0 then
    for index, candidate in ipairs(Handlers.list) do
      if candidate == handler then
        remove(Handlers.list, index)
        return
      end
    end
  end
end

-- Where the walk stands after `handler`, once at `index`, ran and may have changed the list: `following` was
-- its neighbour.
local function resume_at(handler, index, following)
  local list = Handlers.list
  if list[index] == handler then
    return index + 1
  end
  for place, candidate in ipairs(list) do
    if candidate == handler then
      return place + 1
    end
  end
  for place, candidate in ipairs(list) do
    if candidate == following then
      return place
    end
  end
  return index
end

-- Walks `msg` along the list. Unless a handler stops the walk, `_default` has the last word.
function Handlers.evaluate(msg, env)
  assert(type(msg) == "table", "msg is not valid")
  assert(type(env) == "table", "env is not valid")
  local matches, index, default = Utils.matchesSpec or own_matches, 1, nil
  local handler = Handlers.list[1]
  while handler do
    if handler.name == "_default" then
      default = handler
      index = index + 1
    else
      local pattern = handler.pattern
      local wanted, stop
      if type(pattern) == "string" then
        wanted, stop = msg.Action == pattern, true
      else
        wanted, stop = decide(matches(msg, pattern))
      end
      if wanted then
        local following = Handlers.list[index + 1]
        run(handler, msg, env)
        if stop then
          return
        end
        index = resume_at(handler, index, following)
      else
        index = index + 1
      end
    end
    handler = Handlers.list[index]
  end
  if default then
    return default.handle(msg, env)
  end
end

return Handlers
