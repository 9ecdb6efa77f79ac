--[[ Votes weighed by stake. Needs the staking blueprint.

    Vote (tag Target: what is voted on, Side: yay or nay, Deadline: blocks from now)

The first vote on a target sets its deadline. Each staker has one vote, which may be changed until then. At the
deadline every vote weighs what its voter has staked at that moment, so units that moved on in between cannot count
twice. When yay leads, `Handle Vote` is printed and `VotePassed(target, tally)` is called if the process has it.

`Votes[target]` is {deadline, voters = {address = side}}. Bad votes are answered with Vote-Error.
]]

if type(Stakers) ~= "table" then error("Load the blueprint staking first: votes weigh by its Stakers", 0) end

local bint = require(".bint")(256)

local TARGET_BYTES_MAX = 128
local DEADLINE_MAX = 1000000 -- blocks, some four years
local VOTES_MAX = 100 -- under way

Votes = Votes or {}

local function height_of(msg) return math.tointeger(tonumber(msg["Block-Height"])) end

--- Both sides' weights as decimal text.
local function tally_of(vote)
  local sides = { yay = bint(0), nay = bint(0) }
  for address, side in pairs(vote.voters) do
    local stake = Stakers[address]
    if stake then sides[side] = sides[side] + bint(stake.amount) end
  end
  return { yay = tostring(sides.yay), nay = tostring(sides.nay) }
end

local function count(map)
  local n = 0
  for _ in pairs(map) do n = n + 1 end
  return n
end

local function vote_fault(from, target, side, blocks)
  if type(target) ~= "string" or target == "" or #target > TARGET_BYTES_MAX then
    return "Target must be text of at most " .. TARGET_BYTES_MAX .. " bytes"
  end
  if side ~= "yay" and side ~= "nay" then return "Side must be yay or nay" end
  if not Stakers[from] then return "Only stakers vote: stake something first" end
  if Votes[target] then return nil end
  if not blocks or blocks < 1 or blocks > DEADLINE_MAX then
    return "Deadline must be a whole number of blocks from 1 to " .. DEADLINE_MAX
  end
  if count(Votes) >= VOTES_MAX then return "At most " .. VOTES_MAX .. " votes may be under way" end
end

Handlers.add("Vote", "Vote", function(msg)
  local target, side = msg.Tags.Target, msg.Side
  local blocks = math.tointeger(tonumber(msg.Deadline))
  local vote = Votes[target or ""]
  if vote and vote.deadline <= height_of(msg) then
    return msg.reply({ Action = "Vote-Error", ["Message-Id"] = msg.Id, Error = "This vote has ended" })
  end
  local fault = vote_fault(msg.From, target, side, blocks)
  if fault then return msg.reply({ Action = "Vote-Error", ["Message-Id"] = msg.Id, Error = fault, Data = fault }) end
  vote = vote or { deadline = height_of(msg) + blocks, voters = {} }
  vote.voters[msg.From], Votes[target] = side, vote
  local tally = tally_of(vote)
  msg.reply({
    Action = "Vote-Notice", Side = side, Yay = tally.yay, Nay = tally.nay, Deadline = tostring(vote.deadline),
    Data = "Voted " .. side .. " on " .. target,
  })
end)

local function ended(height)
  local targets = {}
  for target, vote in pairs(Votes) do
    if vote.deadline <= height then table.insert(targets, target) end
  end
  table.sort(targets)
  return targets
end

Handlers.add("voting.finalize", function(msg)
  local height = height_of(msg)
  return height and #ended(height) > 0 and "continue" or false
end, function(msg)
  for _, target in ipairs(ended(height_of(msg))) do
    local tally = tally_of(Votes[target])
    Votes[target] = nil
    if bint(tally.yay) > bint(tally.nay) then
      print("Handle Vote " .. target .. ": " .. tally.yay .. " yay, " .. tally.nay .. " nay")
      local ok, fault = pcall(VotePassed or function() end, target, tally)
      if not ok then print("VotePassed failed: " .. tostring(fault)) end
    end
  end
end)

return "Voting ready"
