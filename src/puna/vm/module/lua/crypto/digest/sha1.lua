-- SHA-1 (FIPS 180-4).

local bytes = require(".crypto.bytes")
local padded = require(".crypto.padding")

local pack, unpack = string.pack, string.unpack

local function left32(word, count)
  return (word << count | word >> (32 - count)) & 0xFFFFFFFF
end

local function sha1_step(i, b, c, d)
  if i <= 20 then
    return b & c | ~b & d, 0x5A827999
  elseif i <= 40 then
    return b ~ c ~ d, 0x6ED9EBA1
  elseif i <= 60 then
    return b & c | b & d | c & d, 0x8F1BBCDC
  end
  return b ~ c ~ d, 0xCA62C1D6
end

local function sha1(text)
  local data = padded(text, 64, ">I8")
  local h1, h2, h3, h4, h5 = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0
  for start = 1, #data, 64 do
    local words = { unpack(">I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4", data, start) }
    for i = 17, 80 do
      words[i] = left32(words[i - 3] ~ words[i - 8] ~ words[i - 14] ~ words[i - 16], 1)
    end
    local a, b, c, d, e = h1, h2, h3, h4, h5
    for i = 1, 80 do
      local mixed, constant = sha1_step(i, b, c, d)
      local sum = left32(a, 5) + (mixed & 0xFFFFFFFF) + e + constant + words[i]
      a, b, c, d, e = sum & 0xFFFFFFFF, a, left32(b, 30), c, d
    end
    h1, h2, h3 = (h1 + a) & 0xFFFFFFFF, (h2 + b) & 0xFFFFFFFF, (h3 + c) & 0xFFFFFFFF
    h4, h5 = (h4 + d) & 0xFFFFFFFF, (h5 + e) & 0xFFFFFFFF
  end
  return pack(">I4I4I4I4I4", h1, h2, h3, h4, h5)
end

return {
  sha1 = function(data)
    return bytes.shown(sha1(bytes.text(data)))
  end,
}
