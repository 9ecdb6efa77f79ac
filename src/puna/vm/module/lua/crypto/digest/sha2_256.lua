-- SHA-256 (FIPS 180-4).

local bytes = require(".crypto.bytes")
local padded = require(".crypto.padding")
local constants = require(".crypto.digest.sha2_constants")

local ipairs, pack, unpack, unpack_table = ipairs, string.pack, string.unpack, table.unpack
local ROOTS, START = constants.roots, constants.start

local function right32(word, count)
  return (word >> count | word << (32 - count)) & 0xFFFFFFFF
end

local function sha2_256(text)
  local data, h = padded(text, 64, ">I8"), {}
  for i = 1, 8 do
    h[i] = START[i] >> 32
  end
  for start = 1, #data, 64 do
    local words = { unpack(">I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4", data, start) }
    for i = 17, 64 do
      local x, y = words[i - 15], words[i - 2]
      local low = right32(x, 7) ~ right32(x, 18) ~ x >> 3
      local high = right32(y, 17) ~ right32(y, 19) ~ y >> 10
      words[i] = (words[i - 16] + low + words[i - 7] + high) & 0xFFFFFFFF
    end
    local a, b, c, d, e, f, g, k = unpack_table(h)
    for i = 1, 64 do
      local first = k + (right32(e, 6) ~ right32(e, 11) ~ right32(e, 25)) + (e & f ~ ~e & g)
      first = first + (ROOTS[i] >> 32) + words[i]
      local second = (right32(a, 2) ~ right32(a, 13) ~ right32(a, 22)) + (a & b ~ a & c ~ b & c)
      k, g, f, e, d, c, b, a = g, f, e, (d + first) & 0xFFFFFFFF, c, b, a, (first + second) & 0xFFFFFFFF
    end
    for i, word in ipairs({ a, b, c, d, e, f, g, k }) do
      h[i] = (h[i] + word) & 0xFFFFFFFF
    end
  end
  return pack(">I4I4I4I4I4I4I4I4", unpack_table(h))
end

return {
  sha2_256 = function(data)
    return bytes.shown(sha2_256(bytes.text(data)))
  end,
}
