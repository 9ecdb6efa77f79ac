-- The package client: globals `apm` and `APM`. It asks a registry process for packages and loads what that registry
-- sent, and nothing that anybody else sent. The registry hands this very file out as the newest client; loading it
-- again keeps what is installed and what is under way.
--
-- A package is Lua that returns its table. `require("@vendor/name")` finds it afterwards; for the vendor @apm the
-- bare name does. What it depends on is loaded first.

local Handlers = require(".handlers")
local json = require("json")
local base64 = require(".base64")

local coroutine, ipairs, next, pairs, pcall, rawget, string, table, tostring, type =
  coroutine, ipairs, next, pairs, pcall, rawget, string, table, tostring, type

local VENDOR_DEFAULT = "@apm"
local SELF = "@apm/apm"
local REGISTRY_TAG = "Apm-Registry" -- of the process: who its registry is
local PENDING_MAX = 64 -- questions without an answer; past it the oldest is forgotten
local HELD_MAX = 64 -- packages that wait for what they depend on
local SOURCE_BYTES_MAX = 1 << 20
local DEPENDENCIES_MAX = 32

-- What an earlier client kept. Only what it has itself: what stands in for this one would come here to look.
local function kept(field)
  return type(apm) == "table" and rawget(apm, field) or nil
end

local client = {
  _version = "2.1.0",
  installed = kept("installed") or {}, -- "@vendor/name" -> version
  pending = kept("pending") or {}, -- reference of a question -> {kind, name, version, force}
  held = kept("held") or {}, -- "@vendor/name" -> a downloaded package and what it waits for
}

-- The registry: what was set by hand or by the blueprint, else what the process was spawned with.
client.ID = kept("ID")
setmetatable(client, {
  __index = function(_, key)
    if key == "ID" then
      local process = type(ao) == "table" and ao.env and ao.env.Process
      return process and process.Tags and process.Tags[REGISTRY_TAG]
    end
  end,
})

-- Names and versions ------------------------------------------------------------------------------------------------

local function is_id(text)
  return #text == 43 and not string.find(text, "[^%w_-]")
end

local function release(text)
  local major, minor, patch = string.match(text or "", "^(%d+)%.(%d+)%.(%d+)$")
  return major and { tonumber(major), tonumber(minor), tonumber(patch) }
end

-- Whether version `a` is older than `b`, part by part as numbers.
local function older(a, b)
  local left, right = release(a), release(b)
  for part = 1, left and right and 3 or 0 do
    if left[part] ~= right[part] then
      return left[part] < right[part]
    end
  end
  return false
end

-- `[@vendor/]name[@version]` -> "@vendor/name", version or nil. Raises what is wrong with it.
local function parse(reference)
  if type(reference) ~= "string" then
    error("A package is named by text, like @vendor/name", 0)
  end
  local vendor, rest = string.match(reference, "^(@[^/]*)/(.*)$")
  vendor, rest = vendor or VENDOR_DEFAULT, rest or reference
  local name, version = string.match(rest, "^([^@]*)@(.*)$")
  name = name or rest
  if not string.find(vendor, "^@[a-z0-9-]+$") then
    error("Invalid vendor name: " .. vendor, 0)
  elseif not string.find(name, "^[a-zA-Z0-9_-]+$") then
    error("Invalid package name: " .. name, 0)
  elseif version and not release(version) and not is_id(version) then
    error("Invalid version: " .. version .. ". It is x.y.z, or the 43 characters of an id or hash", 0)
  end
  return vendor .. "/" .. name, version
end

local function join(name, version)
  return version and name .. "@" .. version or name
end

-- Under which name `require` finds a package.
local function require_name(name)
  return string.match(name, "^" .. VENDOR_DEFAULT .. "/(.*)$") or name
end

-- Bytes -------------------------------------------------------------------------------------------------------------

local function from_hex(text)
  if type(text) ~= "string" or #text % 2 == 1 or #text > 2 * SOURCE_BYTES_MAX or string.find(text, "%X") then
    return nil
  end
  return (string.gsub(text, "..", function(pair) return string.char(tonumber(pair, 16)) end))
end

-- SHA-256 in base64url, 43 characters: looks like an id and is used like one.
local function hash_of(source)
  local crypto = require(".crypto")
  local hex = crypto.digest.sha2_256(crypto.utils.stream.fromString(source)).asHex()
  return (string.gsub(base64.encode(from_hex(hex)), "[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" }))
end

-- Running foreign code ----------------------------------------------------------------------------------------------

local function copy(from)
  local to = {}
  for key, value in next, from do
    to[key] = value
  end
  return to
end

local function put_back(now, before)
  for key in next, copy(now) do
    if before[key] == nil then
      now[key] = nil
    end
  end
  for key, value in next, before do
    now[key] = value
  end
end

local OUTBOX_LISTS = { "Messages", "Spawns", "Assignments" }

-- Runs `action`; when it fails, globals, loaded modules, handlers and outbox are as they were. It must not wait for a
-- message: what would be put back then, much later, would be other people's work.
local function attempt(action)
  local globals, loaded, list = copy(_G), copy(package.loaded), copy(Handlers.list)
  local outbox = {}
  for _, name in ipairs(OUTBOX_LISTS) do
    outbox[name] = copy(ao.outbox[name])
  end
  local handlers = {}
  for index, handler in ipairs(list) do
    handlers[index] = copy(handler)
  end
  local running = coroutine.create(action)
  local ok, value = coroutine.resume(running)
  if ok and coroutine.status(running) == "suspended" then
    ok, value = false, "it waits for a message while it is being loaded"
  end
  if not ok then
    put_back(_G, globals)
    put_back(package.loaded, loaded)
    put_back(Handlers.list, list)
    for index, handler in ipairs(list) do
      put_back(handler, handlers[index])
    end
    for _, name in ipairs(OUTBOX_LISTS) do
      put_back(ao.outbox[name], outbox[name])
    end
  end
  return ok, value
end

local function run_text(name, source)
  local chunk, fault = load(source, "=" .. name, "t", _G)
  if not chunk then
    error(fault, 0)
  end
  return chunk()
end

-- A package may say what to do when it goes: with `successor`, the version that takes its place, or nil for good.
local function take_down(name, successor)
  local value = package.loaded[require_name(name)]
  if type(value) == "table" and type(value.uninstall) == "function" then
    value.uninstall(successor)
  end
  package.loaded[require_name(name)] = nil
end

-- Questions ---------------------------------------------------------------------------------------------------------

local function forget_oldest(questions, most)
  local references = {}
  for reference in pairs(questions) do
    references[#references + 1] = reference
  end
  table.sort(references, function(a, b) return (tonumber(a) or 0) < (tonumber(b) or 0) end)
  for index = 1, #references - most do
    questions[references[index]] = nil
  end
end

-- The registry answers errors and plain successes without an action. This handler exists from the first question on.
local function listen()
  Handlers.prepend("APM.Answer", function(msg)
    return not msg.Action and msg.From == client.ID and client.pending[msg["X-Reference"] or ""] ~= nil
  end, function(msg) client.answered(msg) end)
end

local function ask(kind, action, data, tags, about)
  local registry = client.ID
  if not registry then
    error("This process knows no package registry. Say which with apm.ID = \"<process id>\"; the gateway's /network "
      .. "tells the id. Or load the blueprint apm.", 0)
  end
  listen()
  ao.send({ Target = registry, Action = action, Data = data, Tags = tags })
  about = about or {}
  about.kind = kind
  client.pending[tostring(ao.reference)] = about
  forget_oldest(client.pending, PENDING_MAX)
end

-- What was asked, when `msg` is the registry's answer to it. An answer counts once.
local function question_of(msg, kind)
  local reference = msg["X-Reference"] or ""
  local asked = msg.From == client.ID and client.pending[reference]
  if asked and asked.kind == kind then
    client.pending[reference] = nil
    return asked
  end
  print("📦 Refused " .. tostring(msg.Action) .. " from " .. tostring(msg.From) .. ": this process did not ask it")
end

-- Packages under way ------------------------------------------------------------------------------------------------

local function sorted_names(set)
  local names = {}
  for name in pairs(set) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function is_under_way(name)
  for _, asked in pairs(client.pending) do
    if asked.kind == "download" and asked.name == name then
      return true
    end
  end
  return client.held[name] ~= nil
end

-- Whether the held package `from` waits for `name`, at any remove.
local function waits_for(from, name, seen)
  seen = seen or {}
  local parcel = client.held[from]
  if not parcel or seen[from] then
    return false
  end
  seen[from] = true
  for needed in pairs(parcel.needs) do
    if needed == name or waits_for(needed, name, seen) then
      return true
    end
  end
  return false
end

local function ask_download(name, version, force)
  ask("download", "APM.Download", join(name, version), nil, { name = name, version = version, force = force })
end

-- Ends the way of a package and of all that need it.
local function fail(name, version, fault)
  print("❌ " .. join(name, version) .. " was not installed: " .. fault)
  client.held[name] = nil
  for _, waiting in ipairs(sorted_names(client.held)) do
    local parcel = client.held[waiting]
    if parcel and parcel.needs[name] then
      fail(waiting, parcel.version, "it needs " .. name)
    end
  end
end

local function say_warnings(parcel)
  if parcel.warnings.modifiesGlobalState then
    print("⚠️ " .. parcel.name .. " changes globals of this process")
  end
  if type(parcel.warnings.installMessage) == "string" then
    print("ℹ️ " .. parcel.warnings.installMessage)
  end
end

local function load_parcel(parcel)
  return attempt(function()
    take_down(parcel.name, parcel.version)
    local value = run_text(parcel.name, parcel.source)
    package.loaded[require_name(parcel.name)] = value == nil and true or value
  end)
end

local finish

-- `name` is loaded: whoever waited for nothing else is next.
local function let_go(name)
  for _, waiting in ipairs(sorted_names(client.held)) do
    local parcel = client.held[waiting]
    if parcel and parcel.needs[name] then
      parcel.needs[name] = nil
      if next(parcel.needs) == nil then
        finish(parcel)
      end
    end
  end
end

-- Loads a package that waits for nothing, and then those that waited for it.
function finish(parcel)
  client.held[parcel.name] = nil
  local ok, fault = load_parcel(parcel)
  if not ok then
    return fail(parcel.name, parcel.version, "it did not load: " .. tostring(fault))
  end
  client.installed[parcel.name] = parcel.version
  say_warnings(parcel)
  print("✅ Downloaded " .. join(parcel.name, parcel.version))
  let_go(parcel.name)
end

-- A list of {name, version} from `{"@vendor/name": {"version": "x.y.z"}}`. Raises when it is something else.
local function read_dependencies(text)
  local found = {}
  local given = text and text ~= "" and json.decode(text) or {}
  if type(given) ~= "table" then
    error("its dependencies are no JSON object", 0)
  end
  for _, reference in ipairs(sorted_names(given)) do
    local name, version = parse(reference)
    local wanted = given[reference]
    wanted = type(wanted) == "table" and wanted.version or wanted
    if type(wanted) == "string" then
      name, version = parse(name .. "@" .. wanted)
    end
    found[#found + 1] = { name = name, version = version }
  end
  if #found > DEPENDENCIES_MAX then
    error("it depends on " .. #found .. " packages, at most " .. DEPENDENCIES_MAX, 0)
  end
  return found
end

local function read_warnings(text)
  local ok, warnings = pcall(json.decode, text or "{}")
  return ok and type(warnings) == "table" and warnings or {}
end

-- The package in a response; raises what is wrong with it. It must be what was asked for, to the byte.
local function open_parcel(msg, asked)
  if msg.Name ~= asked.name then
    error("the registry sent " .. tostring(msg.Name) .. " instead", 0)
  end
  local version = msg.Version
  if type(version) ~= "string" or not release(version) then
    error("the registry named no version", 0)
  end
  local source = from_hex(msg.Data)
  if not source then
    error("its source is not hexadecimal text of at most " .. SOURCE_BYTES_MAX .. " bytes", 0)
  end
  local hash = hash_of(source)
  if msg.Hash and msg.Hash ~= hash then
    error("its hash is " .. hash .. ", but the registry promised " .. msg.Hash, 0)
  end
  local wanted = asked.version
  if wanted and release(wanted) and wanted ~= version then
    error("the registry sent version " .. version .. " instead", 0)
  elseif wanted and not release(wanted) and wanted ~= hash and wanted ~= msg.Pkgid then
    error("its hash is " .. hash .. ", which is not what was asked for", 0)
  end
  return {
    name = asked.name, version = version, source = source, needs = {},
    dependencies = read_dependencies(msg.Dependencies), warnings = read_warnings(msg.Warnings),
  }
end

local function is_satisfied(dependency)
  local have = client.installed[dependency.name]
  return have and (not dependency.version or have == dependency.version or older(dependency.version, have))
end

local function receive_parcel(msg, asked)
  local opened, parcel = pcall(open_parcel, msg, asked)
  if not opened then
    return fail(asked.name, asked.version, tostring(parcel))
  end
  if not asked.force and client.installed[parcel.name] == parcel.version then
    print("✅ Package " .. join(parcel.name, parcel.version) .. " already installed")
    return let_go(parcel.name)
  end
  if #sorted_names(client.held) >= HELD_MAX then
    return fail(parcel.name, parcel.version, HELD_MAX .. " packages wait for others already")
  end
  client.held[parcel.name] = parcel
  for _, dependency in ipairs(parcel.dependencies) do
    -- What waits for this very package will not be waited for: so cycles end, with the newcomer loaded first.
    local itself = dependency.name == parcel.name
    if not itself and not is_satisfied(dependency) and not waits_for(dependency.name, parcel.name) then
      parcel.needs[dependency.name] = true
      if not is_under_way(dependency.name) then
        ask_download(dependency.name, dependency.version)
      end
    end
  end
  if next(parcel.needs) == nil then
    finish(parcel)
  end
  local newest = msg["Latest-Client-Version"]
  if type(newest) == "string" and older(client._version, newest) then
    print("ℹ️ APM " .. newest .. " is out. Get it with: apm.update()")
  end
end

-- Answers -----------------------------------------------------------------------------------------------------------

function client.answered(msg)
  local reference = msg["X-Reference"]
  local asked = client.pending[reference]
  client.pending[reference] = nil
  local text = tostring(msg.Data)
  if msg.Tags.Result ~= "error" then
    print(text)
  elseif asked.kind == "download" then
    fail(asked.name, asked.version, text)
  else
    print("❌ " .. text)
  end
end

Handlers.add("APM.DownloadResponse", "APM.DownloadResponse", function(msg)
  local asked = question_of(msg, "download")
  if asked then
    receive_parcel(msg, asked)
  end
end)

-- A decoded answer, or nil with a line printed.
local function read_answer(msg, kind)
  if not question_of(msg, kind) then
    return nil
  end
  local ok, value = true, msg.Data
  if type(value) ~= "table" then
    ok, value = pcall(json.decode, value)
  end
  if not ok or type(value) ~= "table" then
    print("❌ The registry's answer is no JSON")
    return nil
  end
  return value
end

local function title(entry)
  return tostring(entry.Vendor) .. "/" .. tostring(entry.Name) .. "@" .. tostring(entry.Version)
end

local function print_packages(entries)
  if #entries == 0 then
    return print("📦 No packages found")
  end
  for _, entry in ipairs(entries) do
    print("📦 " .. title(entry) .. "  " .. tostring(entry.Description or ""))
  end
end

Handlers.add("APM.SearchResponse", "APM.SearchResponse", function(msg)
  local entries = read_answer(msg, "search")
  if entries then
    print_packages(entries)
  end
end)

local SHOWN = {
  "Description", "Owner", "PkgID", "Hash", "Authors", "License", "Repository", "Keywords", "Dependencies", "Warnings",
  "TotalInstalls",
}

Handlers.add("APM.InfoResponse", "APM.InfoResponse", function(msg)
  local entry = read_answer(msg, "info")
  if not entry then
    return
  end
  print("📦 " .. title(entry))
  for _, name in ipairs(SHOWN) do
    local value = entry[name]
    if value ~= nil and value ~= "" then
      print("   " .. name .. ": " .. (type(value) == "table" and json.encode(value) or tostring(value)))
    end
  end
  local versions = {}
  for _, version in ipairs(type(entry.Versions) == "table" and entry.Versions or {}) do
    versions[#versions + 1] = tostring(type(version) == "table" and version.Version or version)
  end
  print("   Versions: " .. table.concat(versions, ", "))
end)

Handlers.add("APM.UpdateResponse", "APM.UpdateResponse", function(msg)
  if not question_of(msg, "update") then
    return
  end
  local source = from_hex(msg.Data)
  local fault = not source and "the client is not hexadecimal text"
    or msg.Hash and msg.Hash ~= hash_of(source) and "its hash is not what the registry promised"
  if not fault then
    local ok, trouble = attempt(function() run_text(SELF, source) end)
    fault = not ok and "the client did not load: " .. tostring(trouble)
  end
  print(fault and "❌ APM was not updated: " .. fault or "✅ Updated APM to v:" .. tostring(msg.Version))
end)

-- What people call --------------------------------------------------------------------------------------------------

--- Get a package and load it: `[@vendor/]name[@version]`, the version x.y.z or the package's id or hash.
function client.install(reference)
  local name, version = parse(reference)
  local have = client.installed[name]
  if have and (not version or version == have) then
    return "✅ Package " .. join(name, have) .. " already installed"
  end
  ask_download(name, version)
  return "📦 Download requested for " .. join(name, version)
end

--- Without a name: the newest client. With one: the newest version of that package, or the one named.
function client.update(reference)
  if reference == nil then
    ask("update", "APM.Update")
    return "📦 Update requested"
  end
  local name, version = parse(reference)
  ask_download(name, version, true)
  return "📦 Download requested for " .. join(name, version)
end

function client.uninstall(reference)
  local name = parse(reference)
  if not client.installed[name] then
    return "📦 " .. name .. " is not installed"
  end
  local ok, fault = attempt(function() take_down(name) end)
  if not ok then
    print("⚠️ " .. name .. " failed to clean up after itself: " .. tostring(fault))
    package.loaded[require_name(name)] = nil
  end
  client.installed[name] = nil
  return "🗑️ Uninstalled " .. name
end

function client.search(query)
  ask("search", "APM.Search", tostring(query or ""))
  return "🔍 Search requested for " .. tostring(query or "")
end

function client.info(reference)
  parse(reference)
  ask("info", "APM.Info", reference)
  return "📦 Info requested for " .. reference
end

--- What is installed, as lines `@vendor/name@version`.
function client.list()
  local lines = {}
  for _, name in ipairs(sorted_names(client.installed)) do
    lines[#lines + 1] = join(name, client.installed[name])
  end
  return #lines > 0 and table.concat(lines, "\n") or "📦 Nothing is installed"
end

--- Make `@vendor` this process's own.
function client.registerVendor(vendor)
  ask("plain", "APM.RegisterVendor", tostring(vendor))
  return "📦 Registration requested for " .. tostring(vendor)
end

-- The text of a tag that holds JSON; `empty` for a table without entries, which could be a list or an object.
local function json_tag(value, empty)
  if type(value) ~= "table" then
    return value
  end
  return next(value) == nil and empty or json.encode(value)
end

--- Publish a version of a package: Name ("@vendor/name"), Version and Source (Lua text); optional Description, Readme,
-- Keywords, Authors (lists), Dependencies ({["@vendor/name"] = {version = "1.0.0"}}), Warnings, License, Repository.
function client.publish(given)
  local function field(name) return given[name] == nil and given[string.lower(name)] or given[name] end
  local vendor, name = string.match((parse(field("Name"))), "^(.-)/(.*)$")
  local source, version = field("Source"), field("Version")
  if type(source) ~= "string" then
    error("A package to publish needs its Source, as text", 0)
  end
  local tags = {
    Name = name, Vendor = vendor, Version = version, Description = field("Description"),
    Keywords = json_tag(field("Keywords"), "[]"), Authors = json_tag(field("Authors"), "[]"),
    Dependencies = json_tag(field("Dependencies"), "{}"), Warnings = json_tag(field("Warnings"), "{}"),
    License = field("License"), Repository = field("Repository"),
  }
  ask("plain", "APM.Publish", json.encode({ source = source, readme = field("Readme") }), tags)
  return "📦 Publication requested for " .. join(vendor .. "/" .. name, version)
end

--- Give a package away.
function client.transfer(reference, recipient)
  local vendor, name = string.match((parse(reference)), "^(.-)/(.*)$")
  ask("plain", "APM.Transfer", nil, { Name = name, Vendor = vendor, Recipient = recipient })
  return "📦 Transfer requested for " .. vendor .. "/" .. name
end

apm, APM = client, client
package.loaded[".apm"] = client

return client
