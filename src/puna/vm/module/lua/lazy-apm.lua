-- Stands in for the package client until somebody uses it, for few processes ever do: it would take 56 KB of each and
-- a tenth of the time of its birth. At the first use `.apm` takes the places of the globals and of the handlers, which
-- stand before all others from the start.

local Handlers = require(".handlers")

local NAMES = { "APM.DownloadResponse", "APM.SearchResponse", "APM.InfoResponse", "APM.UpdateResponse" }

local stand_in = setmetatable({}, {
  __index = function(_, key) return require(".apm")[key] end,
  __newindex = function(_, key, value) require(".apm")[key] = value end,
  __pairs = function() return pairs(require(".apm")) end,
})

apm, APM = stand_in, stand_in

for _, name in ipairs(NAMES) do
  Handlers.add(name, name, function(msg)
    require(".apm")
    for _, handler in ipairs(Handlers.list) do
      if handler.name == name then
        return handler.handle(msg)
      end
    end
  end)
end
