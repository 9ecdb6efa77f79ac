-- ISAAC (Jenkins 1996), a generator of numbers, and what is encrypted with it.

local bytes = require(".crypto.bytes")

local byte, char, find = string.byte, string.char, string.find
local assert, concat, math, tostring, type = assert, table.concat, math, tostring, type

local issac = {}

local SIZE = 256
local GOLDEN = 0x9E3779B9

local memory, results, used = {}, {}, 0 -- state words, numbers made, and how many of these were taken
local a, b, c = 0, 0, 0

local function generate()
  c = c + 1 & 0xFFFFFFFF
  b = b + c & 0xFFFFFFFF
  for index = 0, SIZE - 1 do
    local x, step = memory[index], index % 4
    if step == 0 then
      a = a ~ a << 13
    elseif step == 1 then
      a = a ~ a >> 6
    elseif step == 2 then
      a = a ~ a << 2
    else
      a = a ~ a >> 16
    end
    a = (a & 0xFFFFFFFF) + memory[(index + 128) % SIZE] & 0xFFFFFFFF
    local y = memory[x >> 2 & 255] + a + b & 0xFFFFFFFF
    memory[index] = y
    b = memory[y >> 10 & 255] + x & 0xFFFFFFFF
    results[index] = b
  end
  used = 0
end

-- Each of the eight words changes the next ones; to the left and to the right in turns.
local SHIFTS = { 11, -2, 8, -16, 10, -4, 8, -9 }

local function mix(words)
  for index = 1, 8 do
    local shift, value = SHIFTS[index], words[index % 8 + 1]
    value = shift > 0 and value << shift or value >> -shift
    words[index] = (words[index] ~ value) & 0xFFFFFFFF
    local third, second = (index + 2) % 8 + 1, index % 8 + 1
    words[third] = words[third] + words[index] & 0xFFFFFFFF
    words[second] = words[second] + words[(index + 1) % 8 + 1] & 0xFFFFFFFF
  end
end

local function spread(words, source)
  for start = 0, SIZE - 1, 8 do
    if source then
      for index = 1, 8 do
        words[index] = words[index] + source[start + index - 1] & 0xFFFFFFFF
      end
    end
    mix(words)
    for index = 1, 8 do
      memory[start + index - 1] = words[index]
    end
  end
end

-- Begins the sequence of the text `seed`, its bytes one to a word. Unless `whole`, the seed does not reach the state, only
-- the constants do.
function issac.seedIsaac(seed, whole)
  seed = bytes.text(seed)
  a, b, c = 0, 0, 0
  local words, given = {}, {}
  for index = 1, 8 do
    words[index] = GOLDEN
  end
  for index = 0, SIZE - 1 do
    given[index] = byte(seed, index + 1) or 0
  end
  for _ = 1, 4 do
    mix(words)
  end
  spread(words, whole and given)
  if whole then
    spread(words, memory)
  end
  generate()
end

-- The next 32 random bits, as an integer.
function issac.getRandom()
  if not results[0] then
    issac.seedIsaac("")
  end
  local value = results[used]
  used = used + 1
  if used == SIZE then
    generate()
  end
  return value
end

-- The code of a printable character.
function issac.getRandomChar()
  return issac.getRandom() % 95 + 32
end

-- Each printable character moved on among the 95 that there are, forward or (`sign` -1) back.
local function moved(text, key, sign)
  assert(not find(text, "[^ -~]"), "message should be printable ASCII")
  issac.seedIsaac(key, true)
  local out = {}
  for index = 1, #text do
    out[index] = char((byte(text, index) - 32 + sign * issac.getRandomChar()) % 95 + 32)
  end
  return concat(out)
end

-- `message` is printable ASCII, and so is what comes out.
function issac.encrypt(message, key)
  return bytes.shown(moved(bytes.text(message), key, 1))
end

-- The text again, from what `asString` gave.
function issac.decrypt(message, key)
  return moved(bytes.text(message), key, -1)
end

-- A number in min..max, 0 to 2^31 - 1 unless said: the first of the sequence of `seed`, text. Without one it is drawn
-- from the process's own chance.
function issac.random(min, max, seed)
  min, max = min or 0, max or 2 ^ 31 - 1
  seed = seed == nil and tostring(math.random(2 ^ 31 - 1)) or seed
  assert(type(seed) == "string", "seed should be text")
  issac.seedIsaac(seed, true)
  return min + issac.getRandom() % (max - min + 1)
end

return issac
