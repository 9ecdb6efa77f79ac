-- The process's random numbers: a Mersenne Twister (MT19937, Matsumoto and Nishimura 1998), seeded once from the
-- spawn. Everybody can compute them ahead of time: never decide about money with them.

local floor, to_integer = math.floor, math.tointeger
local assert, select = assert, select

local chance = { _version = "0.0.1" }

local SIZE, MIDDLE = 624, 397
local words, used = nil, SIZE

-- Starts the sequence of `seed`, of which the low 32 bits count.
function chance.seed(seed)
  words = { [0] = (to_integer(seed) or floor(seed)) & 0xFFFFFFFF }
  for index = 1, SIZE - 1 do
    local before = words[index - 1]
    words[index] = (0x6C078965 * (before ~ (before >> 30)) + index) & 0xFFFFFFFF
  end
  used = SIZE
end

local function twist()
  for index = 0, SIZE - 1 do
    local joined = (words[index] & 0x80000000) | (words[(index + 1) % SIZE] & 0x7FFFFFFF)
    local word = words[(index + MIDDLE) % SIZE] ~ (joined >> 1)
    if joined & 1 == 1 then
      word = word ~ 0x9908B0DF
    end
    words[index] = word
  end
  used = 0
end

-- The next 32 random bits, as an integer.
function chance.bits()
  if not words then
    chance.seed(5489)
  end
  if used >= SIZE then
    twist()
  end
  local word = words[used]
  used = used + 1
  word = word ~ (word >> 11)
  word = word ~ ((word << 7) & 0x9D2C5680)
  word = word ~ ((word << 15) & 0xEFC60000)
  return word ~ (word >> 18)
end

-- A float in [0, 1).
function chance.float()
  return chance.bits() / 0x100000000
end

-- An integer in low..high.
function chance.integer(low, high)
  assert(high >= low, "max must bigger than min")
  return floor(low + chance.float() * (high - low + 1))
end

-- `math.random` of a process: (), (n), (a, b); more arguments act like none.
function chance.random(...)
  local count = select("#", ...)
  if count == 1 then
    return chance.integer(1, (...))
  elseif count == 2 then
    return chance.integer(...)
  end
  return chance.float()
end

return chance
