-- BLAKE2b (RFC 7693).

local bytes = require(".crypto.bytes")
local constants = require(".crypto.digest.sha2_constants")

local assert, move, pack, rep, sub, unpack = assert, table.move, string.pack, string.rep, string.sub, string.unpack

local START = constants.start
local ORDER = {
  { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
  { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
  { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
  { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
  { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
  { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
  { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
  { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
  { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
  { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
}
-- The columns and then the diagonals of the 4 x 4 words.
local MIXED = {
  { 1, 5, 9, 13 }, { 2, 6, 10, 14 }, { 3, 7, 11, 15 }, { 4, 8, 12, 16 },
  { 1, 6, 11, 16 }, { 2, 7, 12, 13 }, { 3, 8, 9, 14 }, { 4, 5, 10, 15 },
}

local function right64(word, count)
  return word >> count | word << (64 - count)
end

local function mix(v, places, x, y)
  local a, b, c, d = places[1], places[2], places[3], places[4]
  v[a] = v[a] + v[b] + x
  v[d] = right64(v[d] ~ v[a], 32)
  v[c] = v[c] + v[d]
  v[b] = right64(v[b] ~ v[c], 24)
  v[a] = v[a] + v[b] + y
  v[d] = right64(v[d] ~ v[a], 16)
  v[c] = v[c] + v[d]
  v[b] = right64(v[b] ~ v[c], 63)
end

-- With this block, `count` bytes have been taken in.
local function compress(h, block, count, is_last)
  local words = { unpack("<i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8", block) }
  local v = move(START, 1, 8, 9, move(h, 1, 8, 1, {}))
  v[13] = v[13] ~ count
  if is_last then
    v[15] = ~v[15]
  end
  for round = 0, 11 do
    local order = ORDER[round % 10 + 1]
    for i = 1, 8 do
      mix(v, MIXED[i], words[order[2 * i - 1] + 1], words[order[2 * i] + 1])
    end
  end
  for i = 1, 8 do
    h[i] = h[i] ~ v[i] ~ v[i + 8]
  end
end

local function blake2b(text, size, key)
  local h = move(START, 1, 8, 1, {})
  h[1] = h[1] ~ 0x01010000 ~ #key << 8 ~ size
  local data = #key > 0 and key .. rep("\0", 128 - #key) .. text or text
  local blocks = #data > 0 and (#data + 127) // 128 or 1
  local filled = data .. rep("\0", blocks * 128 - #data)
  for number = 1, blocks do
    local is_last = number == blocks
    compress(h, sub(filled, number * 128 - 127, number * 128), is_last and #data or number * 128, is_last)
  end
  return sub(pack("<i8i8i8i8i8i8i8i8", h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]), 1, size)
end

-- `size` bytes (1 to 64, 64 unless said) of `data` under `key` (up to 64 bytes, none unless said).
return function(data, size, key)
  size, key = size or 64, bytes.text(key or "")
  assert(size >= 1 and size <= 64 and #key <= 64, "size should be 1 to 64, and the key 64 bytes at most")
  return bytes.shown(blake2b(bytes.text(data), size, key))
end
