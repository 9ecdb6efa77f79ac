-- The entry of the module: one message and its environment in, one result out. The host calls `handle_json` with
-- texts; `handle` does the same with tables. All state between two messages is in this Lua state and nowhere else.

local process = { _version = "2.0.4" }

local json = require(".json")
local message = require(".message")
local result = require(".result")
local stringify = require(".stringify")
local chance = require(".chance")
local eval = require(".eval")
local boot = require(".boot")
local default = require(".default")
local traceback = require(".traceback")
local standing = require(".standing")

-- A program may take any global away; what handles its messages stands on these.
local decode, encode = json.decode, json.encode
local byte, find, gsub, sub = string.byte, string.find, string.gsub, string.sub
local concat, to_integer, utf8_length = table.concat, math.tointeger, utf8.len
local create, resume, status = coroutine.create, coroutine.resume, coroutine.status
local ipairs, next, pcall, select = ipairs, next, pcall, select
local tonumber, tostring, type, _G, math, os = tonumber, tostring, type, _G, math, os

-- Globals -----------------------------------------------------------------------------------------------------------

-- Later parts call these by their global names, so that a program may load a newer `.ao` or `.handlers`.
Colors = {}
for name, code in next, stringify.colors do
  Colors[name] = code
end
Bell = "\x07"
Utils = require(".utils")
Dump = require(".dump")
Handlers = require(".handlers")
ao = require(".ao")
_G.json = json
base64 = require(".base64")
require(".lazy-apm") -- the package client: globals `apm` and `APM`, and four handlers before all others

function Prompt()
  return Colors.green .. tostring(Name) .. Colors.gray .. "@" .. Colors.blue .. "aos-" .. process._version
    .. Colors.gray .. "[Inbox:" .. Colors.red .. tostring(Inbox and #Inbox or 0) .. Colors.gray .. "]"
    .. Colors.reset .. "> "
end

local PAINT = { number = "green", boolean = "blue", ["nil"] = "red" }

-- Adds one line to the message's output.
function print(value)
  local text
  if type(value) == "table" then
    text = stringify.format(value)
  elseif PAINT[type(value)] then
    text = Colors[PAINT[type(value)]] .. tostring(value) .. Colors.reset
  else
    text = tostring(value)
  end
  if not HANDLER_PRINT_LOGS then
    return text
  end
  HANDLER_PRINT_LOGS[#HANDLER_PRINT_LOGS + 1] = text
end

function Send(msg)
  if not msg.Target then
    print("WARN: No target specified for message. Data will be stored, but no process will receive it.")
  end
  local entry = ao.send(msg)
  return { output = "Message added to outbox", receive = entry.receive, onReply = entry.onReply }
end

-- Spawn([module,] msg): without a module, one like this process.
function Spawn(...)
  local module, msg = ...
  if select("#", ...) == 1 then
    module, msg = ao._module, module
  end
  local entry = ao.spawn(module, msg or {})
  return { output = "Spawn process request added to outbox", after = entry.onReply, receive = entry.receive }
end

function Receive(pattern)
  return Handlers.receive(pattern)
end

function Assign(request)
  ao.assign(request)
  print("Assignment added to outbox.")
  return "Assignment added to outbox."
end

-- The tags of a message as a map, the first of a name winning.
function Tab(msg)
  local map = {}
  for _, tag in ipairs(msg.TagArray or msg.Tags or {}) do
    if map[tag.name] == nil then
      map[tag.name] = tag.value
    end
  end
  return map
end

function Version()
  print("version: " .. process._version)
end

-- Time and chance ---------------------------------------------------------------------------------------------------

local now = 0 -- milliseconds, of the message being handled
local host_date = os.date
local set_host_clock = _set_now or function() end -- moves the clock that C libraries read

local function message_time()
  return now
end

local function message_date(form, seconds)
  return host_date(form or "%c", seconds or now // 1000)
end

-- The message's own moment is the only clock: every replay reads the same.
local function set_clock(msg)
  now = to_integer(tonumber(msg.Timestamp)) or now
  os.time, os.date = message_time, message_date
  set_host_clock(now)
end

local function whole(number)
  return to_integer(tonumber(number)) or 0
end

local function sum_of_bytes(text)
  local sum = 0
  for index = 1, #text do
    sum = sum + byte(text, index)
  end
  return sum
end

-- Replaces `math.random` by the sequence that belongs to this process.
local function seed_chance(msg, module)
  local origin = tostring(msg.Owner or "") .. tostring(module or "") .. tostring(msg.Id or "")
  chance.seed(tonumber(whole(msg["Block-Height"]) .. sum_of_bytes(origin)))
  math.random = chance.random
  math.randomseed = function() end
end

-- Birth -------------------------------------------------------------------------------------------------------------

-- On the first message of all: names, owner, inbox. That message is the spawn item, unless evaluating it failed and
-- the node took everything back; then the environment says who owns the process.
local function initialise(msg, env)
  local spawn = env.Process
  seed_chance(msg, msg.Module or spawn.Tags.Module)
  Errors = Errors or {}
  Inbox = Inbox or {}
  if not Owner then
    Owner = spawn.Tags["From-Process"] or msg.Id == spawn.Id and msg.From or spawn.Owner or msg.From
  end
  Name = Name or spawn.Tags.Name or "aos"
  Seeded = true
end

-- A spawn item that finds a memory in which somebody lived already: this process is a fork, and its spawner's.
local function take_over(msg, env)
  Owner = env.Process.Tags["From-Process"] or msg.From
  Name = env.Process.Tags.Name or Name
end

-- Handling ----------------------------------------------------------------------------------------------------------

local function is_eval(msg)
  return msg.Action == "Eval" and Owner == msg.From
end

local function always()
  return true
end

local function is_boot(msg)
  return msg.Tags.Type == "Process" and Owner == msg.From
end

-- The runtime's own handlers go in by name: one that is there keeps its place.
local function install(name, pattern, handle)
  for _, handler in ipairs(Handlers.list) do
    if handler.name == name then
      handler.pattern, handler.handle, handler.maxRuns = pattern, handle, nil
      return
    end
  end
  Handlers.append(name, pattern, handle)
end

local function install_handlers(msg)
  install("_eval", is_eval, eval)
  if msg.Id == ao.id then
    Handlers.once("_boot", is_boot, boot)
  end
  install("_default", always, default)
end

local function prune_coroutines()
  local waiting = {}
  for _, co in ipairs(Handlers.coroutines) do
    if status(co) ~= "dead" then
      waiting[#waiting + 1] = co
    end
  end
  Handlers.coroutines = waiting
end

-- Runs the handlers in a coroutine of their own, so that any of them may wait for a later message. Returns true; or
-- false, the error, and the traceback, which is nil when it is the process itself that cannot go on.
local function run_handlers(msg, env)
  local co = create(Handlers.evaluate)
  local ok, failure = resume(co, msg, env)
  local missing = standing.missing()
  if missing then
    return false, ok and missing or tostring(failure) .. "\n" .. missing
  elseif not ok then
    return false, failure, traceback.of(co)
  end
  if #Handlers.coroutines > 0 then
    prune_coroutines()
  end
  if status(co) == "suspended" then
    Handlers.coroutines[#Handlers.coroutines + 1] = co
  end
  return true
end

local function log_text()
  return concat(HANDLER_PRINT_LOGS, "\n")
end

local function error_result(failure)
  return ao.result({ Error = log_text() .. "\n\n" .. Colors.red .. "error:\n" .. Colors.reset .. failure })
end

local function output(extra)
  extra.data = log_text()
  extra.prompt = Prompt()
  return { Output = extra }
end

-- The message ends here, for the given reason.
local function refuse(msg, reason)
  print(reason .. " From: " .. tostring(msg.From) .. " - Owner: " .. tostring(msg.Owner))
  return ao.result(output({ print = true }))
end

local function failed(msg, was_eval, failure, trace)
  failure = tostring(failure)
  Errors[#Errors + 1] = failure
  if not was_eval then
    print(Colors.red .. "Error" .. Colors.gray .. " handling message "
      .. (msg.Action and "with Action = " .. tostring(msg.Action) or "") .. Colors.reset)
    print(Colors.green .. failure .. Colors.reset)
    print("\n" .. Colors.gray .. trace .. Colors.reset)
  end
  return error_result(failure)
end

-- Handles one message. `msg` and `env` are as the node's JSON says; `msg` is changed. Returns
-- {Output, Messages, Spawns, Assignments} or {Error}; raises on a message that cannot be read.
function process.handle(msg, env)
  env = type(env) == "table" and (env.Process and env or env.env) or {}
  ao.init(env)
  message.prepare(msg)
  ao.id = env.Process.Id
  HANDLER_PRINT_LOGS = {}
  if not Seeded then
    initialise(msg, env)
  elseif msg.Id == ao.id then
    take_over(msg, env)
  end
  set_clock(msg)
  if msg.Tags["Content-Type"] == "application/json" and type(msg.Data) ~= "table" then
    msg.Data = decode(msg.Data or "{}")
  end

  if msg.From ~= msg.Owner and not ao.isTrusted(msg) then
    return refuse(msg, "Message is not trusted!")
  end
  if ao.isAssignment(msg) and not ao.isAssignable(msg) then
    if msg.From ~= ao.id then
      ao.send({ Target = msg.From, Data = "Assignment is not trusted by this process!" })
    end
    return refuse(msg, "Assignment is not trusted!")
  end

  install_handlers(msg)
  message.attach(msg)
  local was_eval = is_eval(msg)
  local ok, failure, trace = run_handlers(msg, env)
  if not ok then
    return trace and failed(msg, was_eval, failure, trace) or { Error = failure }
  end
  ao.Nonce = msg.Nonce
  if was_eval then
    return ao.result(output({ test = Dump(HANDLER_PRINT_LOGS) }))
  end
  return ao.result(output({ print = true }))
end

-- The host's door ---------------------------------------------------------------------------------------------------

local known_text, known_env -- the environment of a process does not change

local function environment(text)
  if text ~= known_text then
    known_text, known_env = text, decode(text)
  end
  return known_env
end

-- Programs may put any bytes into a result; JSON is text. What is not UTF-8 becomes the replacement character.
local function as_utf8(text)
  local parts, start = {}, 1
  while true do
    local _, bad = utf8_length(text, start)
    if not bad then
      break
    end
    parts[#parts + 1] = sub(text, start, bad - 1)
    parts[#parts + 1] = "\u{FFFD}"
    start = bad + 1
  end
  parts[#parts + 1] = sub(text, start)
  return (gsub(concat(parts), "\xED[\xA0-\xBF][\x80-\xBF]", "\u{FFFD}"))
end

local function answer(message_text, environment_text)
  local response = process.handle(decode(message_text), environment(environment_text))
  return result.encode(response)
end

-- JSON texts of message and environment -> `{"ok": true, "response": result}`, or `{"ok": false, "response": text}`
-- when nothing could be answered.
function process.handle_json(message_text, environment_text)
  local ok, text = pcall(answer, message_text, environment_text)
  if not ok then
    text = encode({ ok = false, response = tostring(text) })
  end
  if not utf8_length(text) or find(text, "\xED[\xA0-\xBF]") then
    text = as_utf8(text)
  end
  return text
end

package.loaded[".process"] = process

return process
