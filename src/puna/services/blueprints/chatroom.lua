--[[ A chat room: members hear what anybody broadcasts.

    Register, Unregister    answered with a sentence as data
    Broadcast               every member gets Broadcast-Notice with the data; the sender gets "Broadcasted."

`Members` is a list of addresses, in the order in which they came.
]]

local MEMBERS_MAX = 500 -- each of them costs one message per broadcast

Members = Members or {}

local function place_of(address)
  for place, member in ipairs(Members) do
    if member == address then return place end
  end
end

Handlers.add("Register", "Register", function(msg)
  if place_of(msg.From) then return msg.reply({ Data = "Already registered." }) end
  if #Members >= MEMBERS_MAX then return msg.reply({ Data = "The room is full.", Result = "error" }) end
  table.insert(Members, msg.From)
  msg.reply({ Data = "Registered." })
end)

Handlers.add("Unregister", "Unregister", function(msg)
  local place = place_of(msg.From)
  if not place then return msg.reply({ Data = "Not registered" }) end
  table.remove(Members, place)
  msg.reply({ Data = "Unregistered" })
end)

Handlers.add("Broadcast", "Broadcast", function(msg)
  for _, member in ipairs(Members) do
    ao.send({ Target = member, Action = "Broadcast-Notice", Broadcaster = msg.From, Nickname = msg.Nickname,
      Data = msg.Data })
  end
  msg.reply({ Data = "Broadcasted." })
end)

return "Chat room ready. Members: " .. #Members
