--[[ A client of chat rooms.

    List()                  ask the router which rooms there are
    Join(room, nickname)    a room from the list, or the id of any room
    Say(text, room)         without a room: the one joined last
    Replay(count, room)     hear the last lines again
    Leave(room)
    Tip(address, quantity)  pay somebody, in units of the token `Chat.token`

`Chat.router` is the process that knows the rooms; set it to that of your own network. Rooms of the public network
answer Broadcasted, those of the chatroom blueprint Broadcast-Notice; both are printed.
]]

local ROOMS_MAX = 200
local TEXT_BYTES_MAX = 8192

Chat = Chat or {
  router = "8MGp9kOU4JYxAlPT1AyL7O3cedd97y-w8X4ciBsf_Xo",
  token = nil,
  rooms = {}, -- name in lower case -> {name, id}
  joined = {}, -- id -> nickname
  last = nil, -- id of the room that Say means
}

local function is_id(text) return type(text) == "string" and #text == 43 and not text:find("[^%w_-]") end

--- The id of a room given by name or id. Names are compared without case: tags lose theirs on the way.
local function room_id(room)
  if room == nil then return Chat.last or error("Join a room first, or say which: Join(\"Name\", \"nickname\")", 0) end
  local known = Chat.rooms[tostring(room):lower()]
  if known then return known.id end
  if is_id(room) then return room end
  error("There is no room " .. tostring(room) .. " in the list. Ask for it with List(), or give the room's id", 0)
end

local function room_name(id)
  for _, room in pairs(Chat.rooms) do
    if room.id == id then return room.name end
  end
  return id:sub(1, 6)
end

local function joined_room(room)
  local id = room_id(room)
  return Chat.joined[id] and id or error("You are not in the room " .. room_name(id) .. ". Join it first", 0)
end

function List()
  ao.send({ Target = Chat.router, Action = "Get-List" })
  return Colors.gray .. "Asking for the rooms ..." .. Colors.reset
end

function Join(room, nickname)
  local id = room_id(room)
  local name = tostring(nickname or Chat.joined[id] or ao.id:sub(1, 6))
  Chat.joined[id], Chat.last = name, id
  ao.send({ Target = id, Action = "Register", Nickname = name })
  return Colors.gray .. "Joining " .. Colors.blue .. room_name(id) .. Colors.gray .. " as " .. name .. Colors.reset
end

function Say(text, room)
  text = tostring(text)
  if text == "" or #text > TEXT_BYTES_MAX then error("Say something, at most " .. TEXT_BYTES_MAX .. " bytes", 0) end
  local id = joined_room(room)
  ao.send({ Target = id, Action = "Broadcast", Nickname = Chat.joined[id], Data = text })
  return Colors.gray .. "Saying it in " .. Colors.blue .. room_name(id) .. Colors.reset
end

function Replay(count, room)
  local depth = math.tointeger(tonumber(count or 3))
  if not depth or depth < 1 then error("Replay takes a whole number of lines, like Replay(3)", 0) end
  ao.send({ Target = joined_room(room), Action = "Replay", Depth = tostring(depth) })
  return Colors.gray .. "Asking for the last lines ..." .. Colors.reset
end

function Leave(room)
  local id = joined_room(room)
  Chat.joined[id] = nil
  if Chat.last == id then Chat.last = nil end
  ao.send({ Target = id, Action = "Unregister" })
  return Colors.gray .. "Leaving " .. Colors.blue .. room_name(id) .. Colors.reset
end

function Tip(address, quantity)
  if not Chat.token then error("Say which token pays tips: Chat.token = \"<process id>\"", 0) end
  if not is_id(address) then error("A tip goes to an address of 43 characters", 0) end
  quantity = tostring(quantity or 1)
  if not quantity:match("^[1-9]%d*$") then error("A tip is a whole number of units, at least 1", 0) end
  ao.send({ Target = Chat.token, Action = "Transfer", Recipient = address, Quantity = quantity })
  return Colors.gray .. "Tipping " .. quantity .. " units" .. Colors.reset
end

Handlers.add("Chat.Room-List", function(msg)
  return msg.Action == "Room-List" and msg.From == Chat.router
end, function(msg)
  local rooms, count = {}, 0
  for _, tag in ipairs(msg.TagArray) do
    local name = tag.name:match("^Room%-(.+)$")
    if name and is_id(tag.value) and count < ROOMS_MAX then
      rooms[name:lower()], count = { name = name, id = tag.value }, count + 1
      print(Colors.blue .. name .. Colors.gray .. "  " .. tag.value .. Colors.reset)
    end
  end
  Chat.rooms = rooms
  if count == 0 then print("There are no rooms") end
end)

local function heard(action)
  return function(msg) return msg.Action == action and Chat.joined[msg.From] ~= nil end
end

local function show(msg)
  local who = tostring(msg.Nickname or msg.Broadcaster or "somebody")
  print(Colors.gray .. "[" .. Colors.green .. who .. Colors.gray .. "@" .. Colors.blue .. room_name(msg.From)
    .. Colors.gray .. "]> " .. Colors.reset .. tostring(msg.Data))
end

Handlers.add("Chat.Broadcasted", heard("Broadcasted"), show)
Handlers.add("Chat.Broadcast-Notice", heard("Broadcast-Notice"), show)

return "Chat ready: List(), Join(room, nickname), Say(text), Replay(count), Leave(room)"
