--[[ The package registry: who owns which name, and every version that was ever published.

Who talks to it: package clients in processes (APM.Download, APM.Update), anyone (APM.Search, APM.Info, APM.Popular,
APM.VendorOrAddressPackages), publishers (APM.RegisterVendor, APM.Publish, APM.Transfer).
Spawn tag: Vendors, a comma-separated list of vendors that belong to the registry's owner from the start.

A version is never changed: its PkgID is the id of the message that published it, which lies on the weave, and its Hash
is SHA-256 over the source. Publishers are told by `From`: a process publishes in its own name, not in its carrier's.
Errors are answered with the text as data and the tag Result=error; nothing is changed then. Each handler decides
first, changes the records next and speaks last. Whatever comes in lists is sorted, and everything has a largest size.
]]

local json = require("json")
local base64 = require(".base64")
local crypto = require(".crypto")

local NAME_BYTES_MAX = 64
local VERSION_DIGITS_MAX = 9 -- of each part
local ADDRESS_BYTES_MAX = 128
local TEXT_BYTES_MAX = { Description = 1024, License = 64, Repository = 256 }
-- These two travel in tags of a download, and all tags of an item fit in 4096 bytes.
local JSON_BYTES_MAX = { Keywords = 512, Authors = 512, Dependencies = 1536, Warnings = 1024 }
local DEPENDENCIES_MAX = 32
local SOURCE_BYTES_MAX = 512 * 1024
local README_BYTES_MAX = 64 * 1024
local VENDORS_OF_OWNER_MAX = 16
local BYTES_OF_OWNER_MAX = 8 * 1024 * 1024 -- sources and readmes
local VENDORS_MAX, PACKAGES_MAX, VERSIONS_MAX = 20000, 20000, 500
local BYTES_MAX = 128 * 1024 * 1024
local QUERY_BYTES_MAX = 128
local LISTED_MAX = 50

local VENDOR_DEFAULT = "@apm"
local CLIENT = "@apm/apm"

Registry = Registry or {
  vendors = {}, -- "@vendor" -> owner
  vendor_count = 0,
  packages = {}, -- "@vendor/name" -> package
  names = {}, -- the keys of `packages`, sorted
  owned = {}, -- address -> {vendors, bytes}
  bytes = 0,
}

-- Names --------------------------------------------------------------------------------------------------------------

local function is_vendor(text)
  return type(text) == "string" and #text <= NAME_BYTES_MAX and text:find("^@[a-z0-9-]+$") ~= nil
end

local function is_name(text)
  return type(text) == "string" and #text <= NAME_BYTES_MAX and text:find("^[a-zA-Z0-9_-]+$") ~= nil
end

local function is_address(text)
  return type(text) == "string" and #text <= ADDRESS_BYTES_MAX and text:find("^[%w_-]+$") ~= nil
end

local function is_id(text) return #text == 43 and is_address(text) end

--- The three parts of x.y.z as numbers; nil when it is none.
local function release(text)
  if type(text) ~= "string" then return nil end
  local parts = { text:match("^(%d+)%.(%d+)%.(%d+)$") }
  for index, part in ipairs(parts) do
    if #part > VERSION_DIGITS_MAX then return nil end
    parts[index] = tonumber(part)
  end
  return #parts == 3 and parts or nil
end

local function newer(a, b)
  for part = 1, 3 do
    if a[part] ~= b[part] then return a[part] > b[part] end
  end
  return false
end

--- `[@vendor/]name[@version]` as "@vendor/name" and the version or nil; or nil, nil and what is wrong.
local function parse(reference)
  if type(reference) ~= "string" then return nil, nil, "Invalid package name" end
  local vendor, rest = reference:match("^(@[^/]*)/(.*)$")
  vendor, rest = vendor or VENDOR_DEFAULT, rest or reference
  local name, version = rest:match("^([^@]*)@(.*)$")
  name = name or rest
  if not is_vendor(vendor) then return nil, nil, "Invalid vendor name" end
  if not is_name(name) then return nil, nil, "Invalid package name" end
  if version and not release(version) and not is_id(version) then return nil, nil, "Invalid version" end
  return vendor .. "/" .. name, version
end

-- Bytes --------------------------------------------------------------------------------------------------------------

local HEX = {}
for byte = 0, 255 do HEX[string.char(byte)] = ("%02x"):format(byte) end

local function to_hex(text) return (text:gsub(".", HEX)) end

--- SHA-256 in base64url: 43 characters, like an id.
local function hash_of(source)
  local hex = crypto.digest.sha2_256(crypto.utils.stream.fromString(source)).asHex()
  local raw = hex:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end)
  return (base64.encode(raw):gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" }))
end

-- The records ---------------------------------------------------------------------------------------------------------

local function owned_by(address)
  return Registry.owned[address] or { vendors = 0, bytes = 0 }
end

local function count_owned(address, vendors, bytes)
  local owned = owned_by(address)
  owned.vendors, owned.bytes = owned.vendors + vendors, owned.bytes + bytes
  Registry.owned[address] = (owned.vendors > 0 or owned.bytes > 0) and owned or nil
end

local function add_vendor(vendor, owner)
  Registry.vendors[vendor] = owner
  Registry.vendor_count = Registry.vendor_count + 1
  count_owned(owner, 1, 0)
end

--- Put `name` into the sorted list of names.
local function add_name(name)
  local low, high = 1, #Registry.names + 1
  while low < high do
    local middle = (low + high) // 2
    if Registry.names[middle] < name then low = middle + 1 else high = middle end
  end
  table.insert(Registry.names, low, name)
end

local function newest(package) return package.versions[#package.versions] end

--- The version that `wanted` means: nil the newest, x.y.z that one, 43 characters the one with that id or hash.
local function find_version(package, wanted)
  if not wanted then return newest(package) end
  for index = #package.versions, 1, -1 do
    local version = package.versions[index]
    if version.Version == wanted or version.PkgID == wanted or version.Hash == wanted then return version end
  end
end

local function total_installs(package)
  local sum = 0
  for _, version in ipairs(package.versions) do sum = sum + version.Installs end
  return sum
end

--- One line of a list.
local function summary(package)
  local last = newest(package)
  return {
    Vendor = package.vendor, Name = package.name, Description = last.Description, Version = last.Version,
    PkgID = last.PkgID, Hash = last.Hash, Owner = package.owner, Installs = last.Installs,
    TotalInstalls = total_installs(package), Keywords = json.decode(last.Keywords), Timestamp = last.Timestamp,
  }
end

local OF_VERSION = { "Version", "PkgID", "Hash", "Description", "Timestamp", "Installs", "License", "Repository" }

--- Everything about one version, its package's history with it.
local function description(package, version)
  local told = summary(package)
  for _, name in ipairs(OF_VERSION) do told[name] = version[name] end
  for _, name in ipairs({ "Keywords", "Authors" }) do told[name] = json.decode(version[name]) end
  told.Dependencies, told.Warnings, told.Readme = version.Dependencies, version.Warnings, version.readme
  told.Versions = {}
  for index = #package.versions, 1, -1 do
    local each = package.versions[index]
    table.insert(told.Versions, {
      Version = each.Version, PkgID = each.PkgID, Hash = each.Hash, Installs = each.Installs,
      Timestamp = each.Timestamp,
    })
  end
  return told
end

-- Speaking ------------------------------------------------------------------------------------------------------------

local function fail(msg, text) msg.reply({ Data = text, Result = "error" }) end

local function succeed(msg, text) msg.reply({ Data = "🎉 " .. text, Result = "success" }) end

local function answer(msg, action, value)
  msg.reply({ Action = action, Result = "success", Data = json.encode(value) })
end

-- Publishing ----------------------------------------------------------------------------------------------------------

local function vendor_fault(vendor, from)
  if not is_vendor(vendor) then return "Invalid vendor name" end
  if Registry.vendors[vendor] then return "Vendor already exists" end
  if owned_by(from).vendors >= VENDORS_OF_OWNER_MAX then
    return "An address may have at most " .. VENDORS_OF_OWNER_MAX .. " vendors"
  end
  if Registry.vendor_count >= VENDORS_MAX then return "The registry has room for no more vendors" end
end

Handlers.add("APM.RegisterVendor", function(msg)
  local vendor = msg.Data
  local fault = vendor_fault(vendor, msg.From)
  if fault then return fail(msg, fault) end
  add_vendor(vendor, msg.From)
  succeed(msg, "Vendor " .. vendor .. " registered")
end)

local function texts_fault(tags)
  for _, name in ipairs({ "Description", "License", "Repository" }) do
    local text = tags[name]
    if text ~= nil and (type(text) ~= "string" or #text > TEXT_BYTES_MAX[name] or not utf8.len(text)) then
      return name .. " must be text of at most " .. TEXT_BYTES_MAX[name] .. " bytes"
    end
  end
end

--- The JSON value in a tag, or nil and what is wrong. `empty` stands for no tag.
local function read_json(tags, name, empty)
  local text = tags[name]
  if text == nil or text == "" then text = empty end
  if type(text) ~= "string" or #text > JSON_BYTES_MAX[name] then
    return nil, name .. " must be JSON text of at most " .. JSON_BYTES_MAX[name] .. " bytes"
  end
  local ok, value = pcall(json.decode, text)
  if not ok or type(value) ~= "table" then return nil, name .. " must be JSON: " .. empty .. " is the shortest" end
  return value, nil, text
end

local function list_fault(name, list)
  for key, value in pairs(list) do
    if type(key) ~= "number" or type(value) ~= "string" then return name .. " must be a JSON list of texts" end
  end
end

local function dependencies_fault(dependencies)
  local references = {}
  for reference in pairs(dependencies) do table.insert(references, tostring(reference)) end
  table.sort(references)
  for _, reference in ipairs(references) do
    local wanted = dependencies[reference]
    local version = type(wanted) == "table" and wanted.version
    local name, _, fault = parse(reference)
    local known = type(version) == "string" and (release(version) or is_id(version))
    if name and not known then fault = "Invalid version" end
    if fault then
      return 'Dependencies must be like {"@vendor/name": {"version": "1.0.0"}}: ' .. fault .. " in "
        .. reference:sub(1, 2 * NAME_BYTES_MAX)
    end
  end
  if #references > DEPENDENCIES_MAX then return "A package may depend on at most " .. DEPENDENCIES_MAX .. " others" end
end

local function warnings_fault(warnings)
  local message, changes = warnings.installMessage, warnings.modifiesGlobalState
  if message ~= nil and type(message) ~= "string" or changes ~= nil and type(changes) ~= "boolean" then
    return 'Warnings must be like {"modifiesGlobalState": true, "installMessage": "text"}'
  end
end

local CHECKS = {
  { "Keywords", "[]", function(value) return list_fault("Keywords", value) end },
  { "Authors", "[]", function(value) return list_fault("Authors", value) end },
  { "Dependencies", "{}", dependencies_fault },
  { "Warnings", "{}", warnings_fault },
}

--- What the tags say about a version, or nil and what is wrong with them.
local function read_tags(tags)
  local fault = texts_fault(tags)
  if fault then return nil, fault end
  local read = {}
  for name in pairs(TEXT_BYTES_MAX) do read[name] = tags[name] or "" end
  for _, check in ipairs(CHECKS) do
    local name, empty, fault_of = table.unpack(check)
    local value, trouble, text = read_json(tags, name, empty)
    trouble = trouble or fault_of(value)
    if trouble then return nil, trouble end
    read[name] = next(value) == nil and empty or text
  end
  return read
end

--- Source and readme out of a message's data, or nil, nil and what is wrong.
local function read_data(data)
  local ok, value = true, data
  if type(data) ~= "table" then ok, value = pcall(json.decode, data) end
  if not ok or type(value) ~= "table" then return nil, nil, 'Data must be JSON: {"source": "...", "readme": "..."}' end
  local source, readme = value.source, value.readme or ""
  if type(source) ~= "string" or source == "" then return nil, nil, "Source is required" end
  if #source > SOURCE_BYTES_MAX then
    return nil, nil, "The source has " .. #source .. " bytes, at most " .. SOURCE_BYTES_MAX
  end
  if type(readme) ~= "string" or #readme > README_BYTES_MAX then
    return nil, nil, "The readme must be text of at most " .. README_BYTES_MAX .. " bytes"
  end
  local chunk, trouble = load(source, "=source", "t", {})
  if not chunk then return nil, nil, "The source does not compile: " .. trouble end
  return source, readme
end

--- Why `from` may not publish `version` of `vendor`/`name`; nil when it may.
local function right_fault(vendor, name, version, from)
  if not is_vendor(vendor) then return "Invalid vendor name" end
  if not is_name(name) then return "Invalid package name" end
  if not release(version) then return "Invalid version" end
  local package = Registry.packages[vendor .. "/" .. name]
  if not package then
    if Registry.vendors[vendor] ~= from then return "You are not the owner of this vendor" end
    return #Registry.names >= PACKAGES_MAX and "The registry has room for no more packages" or nil
  end
  -- A vendor's own packages are its owner's; one that was given away belongs to whom it was given.
  if package.owner ~= from then return "You are not the owner of this package" end
  if not newer(release(version), release(newest(package).Version)) then
    return "Version should be greater than the existing one"
  end
  if #package.versions >= VERSIONS_MAX then return "A package may have at most " .. VERSIONS_MAX .. " versions" end
end

local function room_fault(from, bytes)
  if owned_by(from).bytes + bytes > BYTES_OF_OWNER_MAX then
    return "Your packages would have more than " .. BYTES_OF_OWNER_MAX .. " bytes"
  end
  if Registry.bytes + bytes > BYTES_MAX then return "The registry is full" end
end

Handlers.add("APM.Publish", function(msg)
  local tags = msg.Tags
  local vendor, name, version = tags.Vendor or VENDOR_DEFAULT, tags.Name, tags.Version
  local fault = right_fault(vendor, name, version, msg.From)
  if fault then return fail(msg, fault) end
  local read, tag_fault = read_tags(tags)
  if not read then return fail(msg, tag_fault) end
  local source, readme, data_fault = read_data(msg.Data)
  if not source then return fail(msg, data_fault) end
  local bytes = #source + #readme
  fault = room_fault(msg.From, bytes)
  if fault then return fail(msg, fault) end

  read.Version, read.PkgID, read.Hash, read.Timestamp = version, msg.Id, hash_of(source), msg.Timestamp
  read.Installs, read.source, read.readme = 0, source, readme
  local full = vendor .. "/" .. name
  if not Registry.packages[full] then
    Registry.packages[full] = { vendor = vendor, name = name, owner = msg.From, versions = {} }
    add_name(full)
  end
  table.insert(Registry.packages[full].versions, read)
  Registry.bytes = Registry.bytes + bytes
  count_owned(msg.From, 0, bytes)
  succeed(msg, full .. "@" .. version .. " published")
end)

Handlers.add("APM.Transfer", function(msg)
  local vendor, name, recipient = msg.Tags.Vendor or VENDOR_DEFAULT, msg.Tags.Name, msg.Tags.Recipient
  if not is_vendor(vendor) then return fail(msg, "Invalid vendor name") end
  if not is_name(name) then return fail(msg, "Invalid package name") end
  local package = Registry.packages[vendor .. "/" .. name]
  if not package then return fail(msg, "Package not found") end
  if package.owner ~= msg.From then return fail(msg, "You are not the owner of this package") end
  if not is_address(recipient) then return fail(msg, "Recipient must be an address") end

  package.owner = recipient -- its bytes stay with who published them: nobody can use up another's room
  succeed(msg, vendor .. "/" .. name .. " now belongs to " .. recipient)
end)

-- Reading -------------------------------------------------------------------------------------------------------------

--- Package and version that a reference means; or nil, nil and what is wrong.
local function resolve(reference)
  local full, wanted, fault = parse(reference)
  if not full then return nil, nil, fault end
  local package = Registry.packages[full]
  local version = package and find_version(package, wanted)
  if not version then return nil, nil, "Package not found" end
  return package, version
end

local function client_version()
  local package = Registry.packages[CLIENT]
  return package and newest(package).Version or "0.0.0"
end

Handlers.add("APM.Download", function(msg)
  local package, version, fault = resolve(msg.Data)
  if fault then return fail(msg, fault) end
  version.Installs = version.Installs + 1
  msg.reply({
    Action = "APM.DownloadResponse", Result = "success", Name = package.vendor .. "/" .. package.name,
    Version = version.Version, PkgID = version.PkgID, Hash = version.Hash,
    Dependencies = version.Dependencies, Warnings = version.Warnings,
    LatestClientVersion = client_version(), ["Latest-Client-Version"] = client_version(),
    Data = to_hex(version.source),
  })
end)

Handlers.add("APM.Update", function(msg)
  local package = Registry.packages[CLIENT]
  if not package then return fail(msg, "Package not found") end
  local version = newest(package)
  msg.reply({
    Action = "APM.UpdateResponse", Result = "success", Name = CLIENT, Version = version.Version, PkgID = version.PkgID,
    Hash = version.Hash, Data = to_hex(version.source),
  })
end)

Handlers.add("APM.Info", function(msg)
  local package, version, fault = resolve(msg.Data)
  if fault then return fail(msg, fault) end
  answer(msg, "APM.InfoResponse", description(package, version))
end)

--- The summaries of the first packages, by name, for which `wanted(package)` holds.
local function list(wanted)
  local found = {}
  for _, name in ipairs(Registry.names) do
    local package = Registry.packages[name]
    if wanted(package) then
      table.insert(found, summary(package))
      if #found == LISTED_MAX then break end
    end
  end
  return found
end

Handlers.add("APM.Search", function(msg)
  local query = msg.Data
  if type(query) ~= "string" or #query > QUERY_BYTES_MAX then
    return fail(msg, "A query is text of at most " .. QUERY_BYTES_MAX .. " bytes")
  end
  query = query:lower():match("^%s*(.-)%s*$")
  answer(msg, "APM.SearchResponse", list(function(package)
    if is_vendor(query) then return package.vendor == query end
    local full = package.vendor .. "/" .. package.name .. "\n" .. newest(package).Description
    return full:lower():find(query, 1, true) ~= nil
  end))
end)

Handlers.add("APM.Popular", function(msg)
  local ranked = {}
  for _, name in ipairs(Registry.names) do
    table.insert(ranked, { name = name, installs = total_installs(Registry.packages[name]) })
  end
  table.sort(ranked, function(a, b)
    if a.installs ~= b.installs then return a.installs > b.installs end
    return a.name < b.name
  end)
  local found = {}
  for index = 1, math.min(LISTED_MAX, #ranked) do
    found[index] = summary(Registry.packages[ranked[index].name])
  end
  answer(msg, "APM.PopularResponse", found)
end)

Handlers.add("APM.VendorOrAddressPackages", function(msg)
  local ok, wanted = true, msg.Data
  if type(wanted) ~= "table" then ok, wanted = pcall(json.decode, wanted) end
  if not ok or type(wanted) ~= "table" then wanted = {} end
  local vendor, address = wanted.vendor or wanted.Vendor, wanted.address or wanted.Address
  if not vendor and not address then
    return fail(msg, 'Data must be JSON: {"vendor": "@vendor"} or {"address": "an address"}')
  end
  answer(msg, "APM.VendorPackagesResponse", list(function(package)
    return package.vendor == vendor or package.owner == address
  end))
end)

-- What the owner has from the start ----------------------------------------------------------------------------------

for vendor in (VENDOR_DEFAULT .. "," .. (ao.env.Process.Tags.Vendors or "")):gmatch("[^,%s]+") do
  if is_vendor(vendor) and not Registry.vendors[vendor] then add_vendor(vendor, Owner) end
end

-- Strangers may send anything; the inbox keeps the last message only, so that nobody can fill the memory.
Handlers.prepend("Short-Inbox", function() return "continue" end, function() Inbox = {} end)
