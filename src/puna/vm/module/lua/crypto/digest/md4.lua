-- MD4 (RFC 1320).

local bytes = require(".crypto.bytes")
local padded = require(".crypto.padding")

local pack, unpack = string.pack, string.unpack

local function left32(word, count)
  return (word << count | word >> (32 - count)) & 0xFFFFFFFF
end

local TURNS = { { 3, 7, 11, 19 }, { 3, 5, 9, 13 }, { 3, 9, 11, 15 } }
local ADDED = { 0, 0x5A827999, 0x6ED9EBA1 }
local ORDER = {
  { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
  { 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15 },
  { 0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15 },
}

local function mix(round, b, c, d)
  if round == 1 then
    return b & c | ~b & d
  elseif round == 2 then
    return b & c | b & d | c & d
  end
  return b ~ c ~ d
end

local function md4(text)
  local data = padded(text, 64, "<I8")
  local h1, h2, h3, h4 = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476
  for start = 1, #data, 64 do
    local words = { unpack("<I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4", data, start) }
    local a, b, c, d = h1, h2, h3, h4
    for round = 1, 3 do
      for i = 1, 16 do
        local sum = a + mix(round, b, c, d) + words[ORDER[round][i] + 1] + ADDED[round] & 0xFFFFFFFF
        a, d, c, b = d, c, b, left32(sum, TURNS[round][(i - 1) % 4 + 1])
      end
    end
    h1, h2, h3, h4 = (h1 + a) & 0xFFFFFFFF, (h2 + b) & 0xFFFFFFFF, (h3 + c) & 0xFFFFFFFF, (h4 + d) & 0xFFFFFFFF
  end
  return pack("<I4I4I4I4", h1, h2, h3, h4)
end

return function(data)
  return bytes.shown(md4(bytes.text(data)))
end
