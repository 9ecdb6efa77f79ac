-- Keccak and SHA-3 (FIPS 202).

local bytes = require(".crypto.bytes")

local char, concat, pack, rep, unpack = string.char, table.concat, string.pack, string.rep, string.unpack

local ROUNDS = {
  0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000,
  0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
  0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
  0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003,
  0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
  0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
}

-- Where the lanes go in one round, and by how many bits they turn.
local LANE_TO, LANE_TURN = {}, {}
do
  local x, y = 1, 0
  for t = 0, 23 do
    LANE_TO[x + 5 * y] = y + 5 * ((2 * x + 3 * y) % 5)
    LANE_TURN[x + 5 * y] = (t + 1) * (t + 2) // 2 % 64
    x, y = y, (2 * x + 3 * y) % 5
  end
  LANE_TO[0], LANE_TURN[0] = 0, 0
end

local function left64(word, count)
  return word << count | word >> (64 - count)
end

-- The permutation of 25 lanes of 64 bits, a[0] to a[24], in place.
local function permute(a)
  local columns, moved = {}, {}
  for round = 1, 24 do
    for x = 0, 4 do
      columns[x] = a[x] ~ a[x + 5] ~ a[x + 10] ~ a[x + 15] ~ a[x + 20]
    end
    for x = 0, 4 do
      local change = columns[(x + 4) % 5] ~ left64(columns[(x + 1) % 5], 1)
      for lane = x, x + 20, 5 do
        moved[LANE_TO[lane]] = left64(a[lane] ~ change, LANE_TURN[lane])
      end
    end
    for row = 0, 20, 5 do
      for x = 0, 4 do
        a[row + x] = moved[row + x] ~ ~moved[row + (x + 1) % 5] & moved[row + (x + 2) % 5]
      end
    end
    a[0] = a[0] ~ ROUNDS[round]
  end
end

-- A sponge that gives `size` bytes; `mark` is the byte that begins the padding.
local function keccak(text, size, mark)
  local rate = 200 - 2 * size
  local fill = rate - #text % rate
  local data = text .. (fill == 1 and char(mark | 0x80) or char(mark) .. rep("\0", fill - 2) .. "\x80")
  local a = {}
  for lane = 0, 24 do
    a[lane] = 0
  end
  for start = 1, #data, rate do
    for lane = 0, rate // 8 - 1 do
      a[lane] = a[lane] ~ unpack("<i8", data, start + 8 * lane)
    end
    permute(a)
  end
  local out = {}
  for lane = 0, size // 8 - 1 do
    out[lane + 1] = pack("<i8", a[lane])
  end
  return concat(out)
end

local function shown(size, mark)
  return function(data)
    return bytes.shown(keccak(bytes.text(data), size, mark))
  end
end

return {
  sha3_256 = shown(32, 0x06),
  sha3_512 = shown(64, 0x06),
  keccak256 = shown(32, 0x01),
  keccak512 = shown(64, 0x01),
}
