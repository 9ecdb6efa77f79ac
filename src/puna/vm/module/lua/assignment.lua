-- Which items assigned to this process (not addressed to it) it accepts. `init(ao)` adds the functions to `ao`.

local Utils = require(".utils")

local assert, ipairs, remove, select, type = assert, ipairs, table.remove, select, type

local assignment = { _version = "0.1.0" }

local function position(assignables, name)
  for index, entry in ipairs(assignables) do
    if entry.name == name then
      return index
    end
  end
end

function assignment.init(ao)
  ao.assignables = ao.assignables or {}

  -- addAssignable([name,] pattern): a pattern with a known name replaces the old one.
  function ao.addAssignable(...)
    local name, pattern
    if select("#", ...) == 1 then
      pattern = ...
    else
      name, pattern = ...
      assert(type(name) == "string", "MatchSpec name MUST be a string")
    end
    local known = name and position(ao.assignables, name)
    if known then
      ao.assignables[known].pattern = pattern
    else
      ao.assignables[#ao.assignables + 1] = { pattern = pattern, name = name }
    end
  end

  -- removeAssignable(name or index): what is not there is ignored.
  function ao.removeAssignable(which)
    local index
    if type(which) == "string" then
      index = position(ao.assignables, which)
    else
      assert(type(which) == "number", "index MUST be a number")
      index = which
    end
    if index and ao.assignables[index] then
      remove(ao.assignables, index)
    end
  end

  function ao.isAssignment(msg)
    return msg.Target ~= ao.id
  end

  function ao.isAssignable(msg)
    for _, entry in ipairs(ao.assignables) do
      if Utils.matchesSpec(msg, entry.pattern) then
        return true
      end
    end
    return false
  end
end

return assignment
