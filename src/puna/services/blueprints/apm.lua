-- Brings the package client of the network's registry into this process. Genesis puts before this text a local
-- NETWORK with the registry's id. Only that registry's answer to this very question is run.

local registry = NETWORK.registry

apm = apm or {}
apm.ID = registry
local asked

Handlers.once("APM.UpdateResponse", function(msg)
  return msg.Action == "APM.UpdateResponse" and msg.From == registry and msg["X-Reference"] == asked
end, function(msg)
  local source = msg.Data:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end)
  assert(load(source, "=@apm/apm", "t", _G))()
end)

print("📦 Loading APM...")
ao.send({ Target = registry, Action = "APM.Update" })
asked = tostring(ao.reference)
