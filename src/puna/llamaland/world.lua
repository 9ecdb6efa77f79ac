--[[ A world: who stands where, and what is said. It speaks the Reality protocol and its chat.

Who talks to it: players and characters (the Reality.* and Chat* actions below), its owner (Reality.Settle). Spawn it
with any Name; Reality.Settle, or three globals as in published worlds, say what it is like.

    Reality.Info, Reality.Parameters, Reality.EntitiesStatic      JSON of the globals
    Reality.EntitiesDynamic {Timestamp, Initial}                  JSON id -> {Position, Type, Metadata, StateCode, At}
    Reality.EntityCreate {Type, Position, Metadata}               Result=OK or Result=Error, Error; MsgRef
    Reality.EntityUpdatePosition {Position} or {Path = {position, ...}}      likewise
    Reality.EntityHide, Reality.EntityFix, tag EntityId           likewise
    Reality.Session, tags Session-Key, Expires                    likewise
    Reality.Count                                                 tags Players, Entities, Lines
    ChatMessage, ChatCount, ChatHistory

Positions are {x, y} in tiles. A change that carries the tag Cast is answered only when it is refused: a player who
walks asks for four changes a second and needs none of the answers.

Nothing grows without end: entities that do nothing are forgotten, of the chat the last lines are kept. What a player
typed is cleaned before it is kept: no markup, no control characters, and nobody bears a character's name.
]]

local json = require("json")

local METADATA_BYTES_MAX = 4096
local NAME_BYTES_MAX = 20
local TEXT_BYTES_MAX = 512 -- of one text inside metadata
local ENTITIES_MAX = 1000
local FIXED_MAX = 200 -- entities that stand for ever without the owner's doing
local IDLE_MS = 30 * 60000 -- then an entity is forgotten
local HIDDEN_MS = 10 * 60000 -- clients that look every few seconds have seen by then that it is gone
local SWEEP_MS = 60000
local SPEED = 8 -- tiles a second
local STRIDE = 40 -- tiles that may be saved up, five seconds' way: of many moves only some may come here
local PATH_MAX = 64
local SESSION_MS_MAX = 7 * 24 * 3600000
local SESSIONS_MAX = 5000
local LINES_MAX = 500
local LINE_BYTES_MAX = 1000
local HISTORY_MAX = 100
local CHAT_BURST, CHAT_MS = 5, 1000 -- so many lines at once, then one per so many milliseconds
local SPEAKERS_MAX = 5000
local REFERENCE_BYTES_MAX = 128

RealityInfo = RealityInfo or {
  Parent = "", Name = Name, Dimensions = 2, ["Render-With"] = "2D-Tile-0", Spawn = { 0, 0 },
}
RealityParameters = RealityParameters or {}
RealityEntitiesStatic = RealityEntitiesStatic or {}
RealityNames = RealityNames or {} -- names that belong to somebody: as spelled -> the id that bears it
RealityMasters = RealityMasters or {} -- ids that may hide and fix anybody, and make warps
RealityGreeter = RealityGreeter or nil -- the process that is told of arrivals

World = World or {
  entities = {}, -- id -> entity
  count = 0, -- of entities
  fixed = 0, -- of those with state 1
  sessions = {}, -- key -> { owner, expires }
  session_count = 0,
  lines = {}, -- of chat, by number, the last LINES_MAX
  lines_ever = 0,
  speakers = {}, -- id -> { left, at }: how many lines it may still say at once
  speaker_count = 0,
  swept = 0,
}

-- Texts ------------------------------------------------------------------------------

--- Letters that are drawn like Latin ones: a name spelled with them is the Latin name to a reader.
local LOOK_ALIKE = {
  ["а"] = "a", ["в"] = "b", ["е"] = "e", ["ё"] = "e", ["к"] = "k", ["м"] = "m", ["н"] = "h", ["о"] = "o", ["р"] = "p",
  ["с"] = "c", ["т"] = "t", ["у"] = "y", ["х"] = "x", ["і"] = "i", ["ј"] = "j", ["ѕ"] = "s", ["ԁ"] = "d", ["ӏ"] = "l",
  ["А"] = "a", ["В"] = "b", ["Е"] = "e", ["К"] = "k", ["М"] = "m", ["Н"] = "h", ["О"] = "o", ["Р"] = "p", ["С"] = "c",
  ["Т"] = "t", ["У"] = "y", ["Х"] = "x", ["І"] = "i", ["Ј"] = "j", ["Ѕ"] = "s",
  ["α"] = "a", ["ο"] = "o", ["ρ"] = "p", ["ι"] = "i", ["κ"] = "k", ["ν"] = "v", ["υ"] = "u",
  ["Α"] = "a", ["Β"] = "b", ["Ε"] = "e", ["Ι"] = "i", ["Κ"] = "k", ["Μ"] = "m", ["Ν"] = "n", ["Ο"] = "o", ["Ρ"] = "p",
  ["Τ"] = "t", ["Χ"] = "x", ["ı"] = "i", ["ɡ"] = "g", ["ɩ"] = "i",
}
-- Letters for another shape of the same sign: full width, mathematical. They have no business in a name.
local function is_name_code(code)
  return code < 0x2000 and code ~= 0x00AD and code ~= 0x034F and not (code >= 0x0300 and code <= 0x036F)
    and code ~= 0x061C and not (code >= 0x115F and code <= 0x1160) and not (code >= 0x17B4 and code <= 0x17B5)
    and not (code >= 0x180B and code <= 0x180F)
    or code >= 0x2E80 and code < 0xD800
end

--- Whether a code is a letter or sign, and none of the marks that turn the direction of what follows or show nothing.
local function is_shown(code)
  return code > 0x9F and not (code == 0x00AD or code == 0x061C or code >= 0x200B and code <= 0x200F or code >= 0x2028 and code <= 0x202E
    or code >= 0x2060 and code <= 0x206F or code == 0xFEFF or code >= 0xFFF9 and code <= 0xFFFB
    or code >= 0xE0000 and code <= 0xE007F)
end

--- At most `bytes` of a text, never half a letter.
local function cut(text, bytes)
  if #text <= bytes then return text end
  while bytes > 0 and text:byte(bytes + 1) & 0xC0 == 0x80 do bytes = bytes - 1 end
  return text:sub(1, bytes)
end

--- One line without control characters, hidden marks and markup; nil when it is no text.
local function clean(text, is_wanted)
  is_wanted = is_wanted or is_shown
  if type(text) ~= "string" or not utf8.len(text) then return nil end
  if text:find("[\x80-\xFF]") then
    local kept = {}
    for _, code in utf8.codes(text) do
      if code < 0x80 or is_wanted(code) then
        kept[#kept + 1] = utf8.char(code)
      end
    end
    text = table.concat(kept)
  end
  return (text:gsub("[%c<>]", " "):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

--- A name as people may bear it: 1 to 20 bytes, or nil.
local function clean_name(text)
  if type(text) ~= "string" or #text > 200 then return nil end
  local name = clean(text, is_name_code)
  name = name and cut(name:gsub("[&\"`\\]", ""), NAME_BYTES_MAX):gsub(" $", "")
  return name and name:find("[%w\x80-\xFF]") and name or nil
end

--- What a name looks like at a glance: `Llama King`, `llamaking` and one with Cyrillic letters look the same.
local function look_of(name)
  local letters = {}
  for _, code in utf8.codes(name) do
    local letter = utf8.char(code)
    letters[#letters + 1] = LOOK_ALIKE[letter] or letter
  end
  return (table.concat(letters):lower():gsub("0", "o"):gsub("[1|]", "l"):gsub("i", "l"):gsub("[%s%p]", ""))
end

local function name_bearer(name)
  local look = look_of(name)
  for reserved, id in pairs(RealityNames) do
    if look_of(reserved) == look then return id end
  end
end

local function is_address(text)
  return type(text) == "string" and #text >= 20 and #text <= 64 and text:match("^[%w_-]+$") ~= nil
end

-- Who it is -----------------------------------------------------------------------------

--- Whose entity a message is about: the sender's, or that of the wallet which gave the sender its session.
local function actor(msg)
  local session = World.sessions[msg.From]
  if session and session.expires > msg.Timestamp then return session.owner end
  return msg.From
end

local function is_master(id)
  return id == Owner or RealityMasters[id] == true
end

-- Answers ---------------------------------------------------------------------------------

local function accept(msg, data)
  if msg.Cast then return end
  msg.reply({ Action = msg.Action .. "-Response", MsgRef = msg.Id, Result = "OK", Data = data })
end

local function refuse(msg, fault, data)
  msg.reply({
    Action = msg.Action .. "-Response", MsgRef = msg.Id, Result = "Error", Error = fault, Data = data or fault,
  })
end

--- The JSON object a message brings, or nil.
local function object_of(msg)
  local data = msg.Data
  if type(data) == "string" then
    if #data > 4 * METADATA_BYTES_MAX then return nil end
    if not data:find("%S") then return {} end
    local ok, value = pcall(json.decode, data)
    data = ok and value
  end
  return type(data) == "table" and data or nil
end

-- Entities ---------------------------------------------------------------------------------

local function set_state(entity, state)
  if entity.StateCode == 1 then World.fixed = World.fixed - 1 end
  if state == 1 then World.fixed = World.fixed + 1 end
  entity.StateCode = state
end

local function forget(id)
  set_state(World.entities[id], 2)
  World.entities[id], World.count = nil, World.count - 1
end

--- Forget whoever did nothing for `idle_ms`.
local function forget_idle(now, idle_ms)
  for id, entity in pairs(World.entities) do
    local patience = entity.StateCode == 0 and math.min(HIDDEN_MS, idle_ms) or idle_ms
    if entity.StateCode ~= 1 and entity.at + patience < now then forget(id) end
  end
end

--- Once a minute, let go of what nobody will ask for.
local function sweep(now)
  if now - World.swept < SWEEP_MS then return end
  World.swept = now
  forget_idle(now, IDLE_MS)
  for key, session in pairs(World.sessions) do
    if session.expires <= now then
      World.sessions[key], World.session_count = nil, World.session_count - 1
    end
  end
  for id, speaker in pairs(World.speakers) do
    if speaker.at + CHAT_BURST * CHAT_MS <= now then
      World.speakers[id], World.speaker_count = nil, World.speaker_count - 1
    end
  end
end

--- A number of thousandths as JSON. Lua's own way of writing a float costs several times as much.
local function thousandths(number)
  local sign = number < 0 and "-" or ""
  number = math.abs(number)
  local rest = number % 1000
  return sign .. number // 1000 .. (rest > 0 and ("." .. tostring(1000 + rest):sub(2)) or "")
end

--- A position as JSON. It is made when somebody moves, for it is read far more often.
local function position_text(position)
  local texts = {}
  for axis = 1, #position do texts[axis] = thousandths(math.floor(position[axis] * 1000 + 0.5)) end
  return "[" .. table.concat(texts, ",") .. "]"
end

--- A position as this world keeps it, or nil and what is wrong.
local function position_of(value)
  if value == nil then return nil, "Position not found" end
  if type(value) ~= "table" then return nil, "Invalid Position value" end
  local dimensions = RealityInfo.Dimensions
  if #value ~= dimensions then return nil, "Invalid Position length" end
  local bounds, position = RealityParameters.Bounds, {}
  for axis = 1, dimensions do
    local number = value[axis]
    if type(number) ~= "number" or number - number ~= 0 then return nil, "Invalid Position value" end
    if bounds and (number < bounds.Lower[axis] or number > bounds.Upper[axis]) then
      return nil, "Position outside the world"
    end
    position[axis] = math.floor(number * 1000 + 0.5) / 1000
  end
  return position
end

local function distance(a, b)
  local sum = 0
  for axis = 1, #a do sum = sum + (a[axis] - b[axis]) ^ 2 end
  return sum ^ 0.5
end

local TYPES = { Avatar = true, Hidden = true, Unknown = true }
local SKIN_MAX = 9

--- A copy of what a player says about itself that is safe to show; counts on the size having been checked.
local function safe(value, depth)
  local kind = type(value)
  if kind == "string" then
    local text = clean(value)
    return text and cut(text, TEXT_BYTES_MAX)
  elseif kind == "number" then
    return value - value == 0 and value or nil
  elseif kind == "boolean" then
    return value
  elseif kind == "table" and depth > 0 then
    local copy = {}
    for key, inner in pairs(value) do
      local name = type(key) == "string" and clean(key) or math.type(key) == "integer" and key or nil
      if name ~= nil and name ~= "" then copy[name] = safe(inner, depth - 1) end
    end
    return copy
  end
end

local INTERACTIONS = { Default = true, SchemaForm = true, SchemaExternalForm = true }

--- Metadata as it is shown, and what is wrong with it.
local function metadata_of(value, id)
  if value == nil then value = {} end
  if type(value) ~= "table" or type(next(value)) == "number" then return nil, "Invalid Metadata: names with values are wanted" end
  local ok, text = pcall(json.encode, value)
  if not ok or #text > METADATA_BYTES_MAX then
    return nil, "Metadata must be JSON of at most " .. METADATA_BYTES_MAX .. " bytes"
  end
  local metadata = safe(value, 4)
  if value.DisplayName ~= nil then
    local name = clean_name(value.DisplayName)
    if not name then return nil, "Invalid DisplayName: 1 to " .. NAME_BYTES_MAX .. " bytes, with a letter or digit" end
    local bearer = name_bearer(name)
    if bearer and bearer ~= id then return nil, "This name belongs to somebody else: " .. name end
    metadata.DisplayName = name
  end
  local skin = value.SkinNumber
  if skin ~= nil and not (math.type(skin) and math.tointeger(skin) and skin >= 0 and skin <= SKIN_MAX) then
    return nil, "SkinNumber must be a whole number from 0 to " .. SKIN_MAX
  end
  local interaction = metadata.Interaction
  if interaction ~= nil then
    local wanted = type(interaction) == "table" and interaction.Type
    if not INTERACTIONS[wanted or ""] and not (wanted == "Warp" and is_master(id)) then
      return nil, "Interaction must be of Type Default, SchemaForm or SchemaExternalForm"
    end
  end
  metadata._ = false -- an empty Lua table would be a JSON list
  return metadata
end

--- Make an entity anew or change one that is there; nil and the fault when it may not be.
local function create(id, wanted, now)
  local metadata, fault = metadata_of(wanted.Metadata, id)
  if fault then return nil, fault end
  local kind = wanted.Type or "Avatar"
  if not TYPES[kind] then return nil, "Invalid Type" end
  local entity = World.entities[id]
  if entity then
    entity.Type, entity.Metadata, entity.metadata_json, entity.at = kind, metadata, json.encode(metadata), now
    if entity.StateCode == 0 then
      set_state(entity, 2)
      entity.free_step = true -- it comes from another world, through whichever door
    end
    return entity
  end
  local position
  if wanted.Position ~= nil then
    position, fault = position_of(wanted.Position)
    if not position then return nil, fault end
  else
    position = position_of(RealityInfo.Spawn) or {}
    for axis = #position + 1, RealityInfo.Dimensions do position[axis] = 0 end
  end
  if World.count >= ENTITIES_MAX then forget_idle(now, HIDDEN_MS) end
  if World.count >= ENTITIES_MAX then return nil, "This world is full; come back in a while" end
  entity = {
    Position = position, Type = kind, Metadata = metadata, metadata_json = json.encode(metadata), StateCode = 2,
    position_json = position_text(position), at = now, reach = STRIDE, moved = now,
  }
  World.entities[id], World.count = entity, World.count + 1
  return entity, nil, true
end

--- Whether an entity may be at `position` now, having come from where it is. Spends the way from what it may walk.
local function spend(entity, way, now)
  local reach = math.min(STRIDE, entity.reach + (now - entity.moved) * SPEED / 1000)
  entity.moved = now
  entity.reach = reach
  if entity.free_step then
    entity.free_step = nil
    return true
  end
  if way > reach then return false end
  entity.reach = reach - way
  return true
end

--- The last position of a move and the length of its way; or nil and what is wrong.
local function way_of(entity, wanted)
  if wanted.Path == nil then
    local position, fault = position_of(wanted.Position)
    if not position then return nil, fault end
    return position, distance(entity.Position, position)
  end
  local path = wanted.Path
  if type(path) ~= "table" or #path == 0 then return nil, "Position not found" end
  if #path > PATH_MAX then return nil, "A Path has at most " .. PATH_MAX .. " positions" end
  local at, way = entity.Position, 0
  for step = 1, #path do
    local position, fault = position_of(path[step])
    if not position then return nil, fault end
    way, at = way + distance(at, position), position
  end
  return at, way
end

local function describe(entity)
  return '{"Position":' .. entity.position_json .. ',"Type":"' .. entity.Type .. '","Metadata":'
    .. entity.metadata_json .. ',"StateCode":' .. entity.StateCode .. ',"At":' .. entity.at .. "}"
end

--- The same under its id, as answers to changes have it.
local function describe_one(id, entity) return '{"' .. id .. '":' .. describe(entity) .. "}" end

-- Changes ------------------------------------------------------------------------------------

Handlers.add("Reality.EntityCreate", function(msg)
  local now, id, wanted = msg.Timestamp, actor(msg), object_of(msg)
  sweep(now)
  if not wanted then return refuse(msg, "Invalid Data") end
  local entity, fault, is_new = create(id, wanted, now)
  if not entity then return refuse(msg, fault) end
  accept(msg, describe_one(id, entity))
  if is_new and RealityGreeter then
    ao.send({ Target = RealityGreeter, Action = "Reality.Arrived", Account = id, World = RealityInfo.Name })
  end
end)

-- First of all handlers: four times a second for each who walks.
Handlers.prepend("Reality.EntityUpdatePosition", function(msg)
  local now, id, wanted = msg.Timestamp, actor(msg), object_of(msg)
  sweep(now)
  local entity = World.entities[id]
  if not entity then return refuse(msg, "Entity not found") end
  if not wanted then return refuse(msg, "Invalid Data") end
  local position, way = way_of(entity, wanted)
  if not position then return refuse(msg, way) end
  -- Where it really is goes with the refusal, so that its client can put it back.
  if not spend(entity, way, now) then return refuse(msg, "Too fast", describe_one(id, entity)) end
  entity.Position, entity.position_json, entity.at = position, position_text(position), now
  if entity.StateCode == 0 then set_state(entity, 2) end
  if not msg.Cast then accept(msg, describe_one(id, entity)) end
end)

--- Hide and fix, for oneself or as master.
local function state_rule(state)
  return function(msg)
    local who = actor(msg)
    local id = msg.Tags.EntityId or who
    sweep(msg.Timestamp)
    local entity = World.entities[id]
    if not entity then return refuse(msg, "Entity not found") end
    if id ~= who and not is_master(msg.From) then
      return refuse(msg, "Only the entity itself, the owner of the world and a warp-master may do this")
    end
    if state == 1 and entity.StateCode ~= 1 and World.fixed >= FIXED_MAX and not is_master(msg.From) then
      return refuse(msg, "Too many entities stand here for ever already")
    end
    set_state(entity, state)
    entity.at = msg.Timestamp
    accept(msg)
  end
end

Handlers.add("Reality.EntityHide", state_rule(0))
Handlers.add("Reality.EntityFix", state_rule(1))

local function end_session(key)
  if World.sessions[key] then
    World.sessions[key], World.session_count = nil, World.session_count - 1
  end
end

--- A wallet lets another key move and chat for it; without Session-Key it takes all that back.
Handlers.add("Reality.Session", function(msg)
  local owner, key, now = msg.From, msg.Tags["Session-Key"], msg.Timestamp
  sweep(now)
  end_session(owner) -- whoever asks for a session is a wallet, whatever another wallet said about it
  for other, session in pairs(World.sessions) do
    if session.owner == owner and other ~= key then end_session(other) end
  end
  if key == nil then return accept(msg) end
  local expires = math.tointeger(tonumber(msg.Tags.Expires or now + SESSION_MS_MAX))
  local fault = (not is_address(key) or key == owner) and "Session-Key must be the address of another key"
    or not expires and "Expires must be a time in milliseconds since 1970"
    or expires <= now and "Expires is in the past"
    or RealityEntitiesStatic[key] and "Session-Key is a character's"
  local known = World.sessions[key]
  if not fault and (World.entities[key] or known and known.owner ~= owner and known.expires > now) then
    fault = "Session-Key is in use already"
  end
  if not fault and not known and World.session_count >= SESSIONS_MAX then
    fault = "Too many sessions are open; play with the wallet itself"
  end
  if fault then return refuse(msg, fault) end
  if not known then World.session_count = World.session_count + 1 end
  World.sessions[key] = { owner = owner, expires = math.min(expires, now + SESSION_MS_MAX) }
  accept(msg)
end)

--- The owner says what this world is like; what is not said stays.
Handlers.add("Reality.Settle", function(msg)
  local wanted = object_of(msg) or msg.From == Owner and type(msg.Data) == "string" and json.decode(msg.Data)
  if msg.From ~= Owner then return refuse(msg, "Only the owner of the world may do this") end
  if not wanted then return refuse(msg, "Invalid Data") end
  RealityInfo = wanted.Info or RealityInfo
  RealityParameters = wanted.Parameters or RealityParameters
  RealityEntitiesStatic = wanted.EntitiesStatic or RealityEntitiesStatic
  RealityNames = wanted.Names or RealityNames
  RealityGreeter = wanted.Greeter or RealityGreeter
  for _, id in ipairs(wanted.Masters or {}) do RealityMasters[id] = true end
  accept(msg)
end)

-- Reading --------------------------------------------------------------------------------------

local function tell(action, value)
  Handlers.add(action, function(msg)
    local found = value()
    msg.reply({ Action = action .. "-Response", Data = next(found) and json.encode(found) or "{}" })
  end)
end

tell("Reality.Info", function() return RealityInfo end)
tell("Reality.Parameters", function() return RealityParameters end)
tell("Reality.EntitiesStatic", function() return RealityEntitiesStatic end)

Handlers.add("Reality.EntitiesDynamic", function(msg)
  local wanted = object_of(msg)
  if not wanted then return refuse(msg, "Invalid Data") end
  local since, initial = wanted.Timestamp, wanted.Initial == true
  if type(since) ~= "number" then return refuse(msg, "Invalid Timestamp") end
  local own, told, n = actor(msg), {}, 0
  for id, entity in pairs(World.entities) do
    local recent = entity.at > since and (not initial or entity.StateCode == 2)
    if id == own or recent or initial and entity.StateCode == 1 then
      n = n + 1
      told[n] = '"' .. id .. '":' .. describe(entity)
    end
  end
  msg.reply({ Action = "Reality.EntitiesDynamic-Response", Data = "{" .. table.concat(told, ",") .. "}" })
end)

--- How many there are, and how many of them did something in the last five minutes.
Handlers.add("Reality.Count", function(msg)
  local players = 0
  for _, entity in pairs(World.entities) do
    if entity.StateCode == 2 and entity.at + 5 * 60000 >= msg.Timestamp then players = players + 1 end
  end
  msg.reply({
    Action = "Reality.Count-Response", Name = RealityInfo.Name, Players = tostring(players),
    Entities = tostring(World.count), Lines = tostring(World.lines_ever),
  })
end)

-- Chat ------------------------------------------------------------------------------------------

--- Whether `id` may say one more line now.
local function may_speak(id, now)
  if RealityEntitiesStatic[id] or is_master(id) then return true end
  local speaker = World.speakers[id]
  if not speaker then
    if World.speaker_count >= SPEAKERS_MAX then return false end
    speaker = { left = CHAT_BURST, at = now }
    World.speakers[id], World.speaker_count = speaker, World.speaker_count + 1
  end
  speaker.left = math.min(CHAT_BURST, speaker.left + (now - speaker.at) / CHAT_MS)
  speaker.at = now
  if speaker.left < 1 then return false end
  speaker.left = speaker.left - 1
  return true
end

--- The name a line is said under, or nil and what is wrong.
local function author_name(msg, id)
  local entity = World.entities[id]
  local spoken = msg.Tags["Author-Name"] or entity and entity.Metadata.DisplayName
  local name = spoken and #spoken <= 4 * NAME_BYTES_MAX and clean_name(spoken)
  if not name then return nil, "Invalid Author Name" end
  local bearer = name_bearer(name)
  if bearer and bearer ~= id then return nil, "This name belongs to somebody else: " .. name end
  return name
end

--- A short label of the sender's, as it is, or nil.
local function label(text)
  return type(text) == "string" and #text <= REFERENCE_BYTES_MAX and text:match("^[%w_.:-]+$") and text or nil
end

Handlers.add("ChatMessage", function(msg)
  local id, now = actor(msg), msg.Timestamp
  sweep(now)
  local name, fault = author_name(msg, id)
  local text = type(msg.Data) == "string" and #msg.Data <= LINE_BYTES_MAX and clean(msg.Data)
  if not fault and (not text or text == "") then fault = "Invalid Content" end
  local recipient = msg.Tags.Recipient
  if not fault and recipient ~= nil and not is_address(recipient) then fault = "Invalid Recipient" end
  if not fault and not may_speak(id, now) then fault = "You speak too fast; wait a moment" end
  if fault then
    print(fault)
    return refuse(msg, fault)
  end
  World.lines_ever = World.lines_ever + 1
  World.lines[World.lines_ever] = {
    Id = World.lines_ever, MessageId = msg.Id, Timestamp = now, AuthorId = id, AuthorName = name,
    Recipient = recipient, Private = recipient and true or nil, Content = text,
    -- A line may belong to an inference: `Root` begins the events in which its tokens are told as they come.
    Kind = label(msg.Tags.Kind), Root = label(msg.Tags.Root), Inference = label(msg.Tags.Inference),
  }
  World.lines[World.lines_ever - LINES_MAX] = nil
  print("Message saved")
end)

Handlers.add("ChatCount", function(msg)
  msg.reply({ Action = "ChatCountResponse", Data = tostring(World.lines_ever) })
end)

--- A whole number in a tag: nil when absent, false when it is none.
local function number_in(msg, name)
  local text = msg.Tags[name]
  if text == nil then return nil end
  return #tostring(text) <= 15 and math.tointeger(tonumber(text)) or false
end

Handlers.add("ChatHistory", function(msg)
  local after, before = number_in(msg, "Id-After"), number_in(msg, "Id-Before")
  local from, to, limit = number_in(msg, "Timestamp-Start"), number_in(msg, "Timestamp-End"), number_in(msg, "Limit")
  if limit == nil then limit = HISTORY_MAX end
  if after == false or before == false or from == false or to == false or not limit or limit < 1
    or limit > HISTORY_MAX then
    print("Invalid ChatHistory")
    return refuse(msg, "Id-After, Id-Before, Timestamp-Start and Timestamp-End must be whole numbers, Limit from 1 to "
      .. HISTORY_MAX)
  end
  local found = {}
  local newest = math.min(before and before - 1 or World.lines_ever, World.lines_ever)
  local oldest = math.max((after or 0) + 1, World.lines_ever - LINES_MAX + 1)
  for number = newest, oldest, -1 do
    local line = World.lines[number]
    if #found >= limit or from and line.Timestamp < from then break end
    if not to or line.Timestamp <= to then found[#found + 1] = line end
  end
  msg.reply({ Action = "ChatHistoryResponse", Data = json.encode(found) })
end)

-- Strangers may send anything; the inbox keeps the last message only, so that nobody can fill the memory.
Handlers.append("Short-Inbox", function(msg) return "continue" end, function() Inbox = {} end)

return "A world: " .. tostring(RealityInfo.Name)
