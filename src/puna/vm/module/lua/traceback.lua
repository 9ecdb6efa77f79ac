-- Where a program failed, as its author reads it: the frames of the coroutine that failed, without those of this runtime
-- below the program's own.

local find, gmatch = string.find, string.gmatch
local concat, setmetatable, traceback_of = table.concat, setmetatable, debug.traceback

local traceback = {}

-- A coroutine that waited for a message and failed when it came -> its traceback. The error goes on in the coroutine
-- that delivered the message, whose own frames say nothing about the program.
local noted = setmetatable({}, { __mode = "k" })

-- Remember that `waiting` failed under `running`.
function traceback.note(running, waiting)
  noted[running] = noted[waiting] or traceback_of(waiting)
end

-- The traceback of the failed coroutine `co`.
function traceback.of(co)
  local lines = {}
  for line in gmatch(noted[co] or traceback_of(co), "[^\n]+") do
    lines[#lines + 1] = line
  end
  while #lines > 1 and (find(lines[#lines], '[string ".handlers"]', 1, true)
    or find(lines[#lines], '[string ".eval"]', 1, true)
    or find(lines[#lines], "(...tail calls...)", 1, true)) do
    lines[#lines] = nil
  end
  noted[co] = nil
  return concat(lines, "\n")
end

return traceback
