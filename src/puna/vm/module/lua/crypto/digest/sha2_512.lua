-- SHA-512 (FIPS 180-4).

local bytes = require(".crypto.bytes")
local padded = require(".crypto.padding")
local constants = require(".crypto.digest.sha2_constants")

local ipairs, move, pack, unpack, unpack_table = ipairs, table.move, string.pack, string.unpack, table.unpack
local ROOTS, START = constants.roots, constants.start

local function right64(word, count)
  return word >> count | word << (64 - count)
end

local function sha2_512(text)
  local data, h = padded(text, 128, ">I8I8"), move(START, 1, 8, 1, {})
  for start = 1, #data, 128 do
    local words = { unpack(">i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8", data, start) }
    for i = 17, 80 do
      local x, y = words[i - 15], words[i - 2]
      local low = right64(x, 1) ~ right64(x, 8) ~ x >> 7
      local high = right64(y, 19) ~ right64(y, 61) ~ y >> 6
      words[i] = words[i - 16] + low + words[i - 7] + high
    end
    local a, b, c, d, e, f, g, k = unpack_table(h)
    for i = 1, 80 do
      local first = k + (right64(e, 14) ~ right64(e, 18) ~ right64(e, 41)) + (e & f ~ ~e & g) + ROOTS[i] + words[i]
      local second = (right64(a, 28) ~ right64(a, 34) ~ right64(a, 39)) + (a & b ~ a & c ~ b & c)
      k, g, f, e, d, c, b, a = g, f, e, d + first, c, b, a, first + second
    end
    for i, word in ipairs({ a, b, c, d, e, f, g, k }) do
      h[i] = h[i] + word
    end
  end
  return pack(">i8i8i8i8i8i8i8i8", unpack_table(h))
end

return function(data)
  return bytes.shown(sha2_512(bytes.text(data)))
end
