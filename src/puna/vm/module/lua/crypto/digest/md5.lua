-- MD5 (RFC 1321).

local bytes = require(".crypto.bytes")
local padded = require(".crypto.padding")

local pack, unpack = string.pack, string.unpack

local MD5_SINES = {
  0xD76AA478, 0xE8C7B756, 0x242070DB, 0xC1BDCEEE, 0xF57C0FAF, 0x4787C62A, 0xA8304613, 0xFD469501,
  0x698098D8, 0x8B44F7AF, 0xFFFF5BB1, 0x895CD7BE, 0x6B901122, 0xFD987193, 0xA679438E, 0x49B40821,
  0xF61E2562, 0xC040B340, 0x265E5A51, 0xE9B6C7AA, 0xD62F105D, 0x02441453, 0xD8A1E681, 0xE7D3FBC8,
  0x21E1CDE6, 0xC33707D6, 0xF4D50D87, 0x455A14ED, 0xA9E3E905, 0xFCEFA3F8, 0x676F02D9, 0x8D2A4C8A,
  0xFFFA3942, 0x8771F681, 0x6D9D6122, 0xFDE5380C, 0xA4BEEA44, 0x4BDECFA9, 0xF6BB4B60, 0xBEBFBC70,
  0x289B7EC6, 0xEAA127FA, 0xD4EF3085, 0x04881D05, 0xD9D4D039, 0xE6DB99E5, 0x1FA27CF8, 0xC4AC5665,
  0xF4292244, 0x432AFF97, 0xAB9423A7, 0xFC93A039, 0x655B59C3, 0x8F0CCC92, 0xFFEFF47D, 0x85845DD1,
  0x6FA87E4F, 0xFE2CE6E0, 0xA3014314, 0x4E0811A1, 0xF7537E82, 0xBD3AF235, 0x2AD7D2BB, 0xEB86D391,
}
local MD5_TURNS = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 } }

local function left32(word, count)
  return (word << count | word >> (32 - count)) & 0xFFFFFFFF
end

local function md5_step(round, i, b, c, d)
  if round == 0 then
    return b & c | ~b & d, i
  elseif round == 1 then
    return d & b | ~d & c, (5 * i + 1) % 16
  elseif round == 2 then
    return b ~ c ~ d, (3 * i + 5) % 16
  end
  return c ~ (b | ~d & 0xFFFFFFFF), 7 * i % 16
end

local function md5(text)
  local data = padded(text, 64, "<I8")
  local h1, h2, h3, h4 = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476
  for start = 1, #data, 64 do
    local words = { unpack("<I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4", data, start) }
    local a, b, c, d = h1, h2, h3, h4
    for i = 0, 63 do
      local round = i // 16
      local mixed, word = md5_step(round, i, b, c, d)
      local sum = (a + mixed + MD5_SINES[i + 1] + words[word + 1]) & 0xFFFFFFFF
      a, d, c, b = d, c, b, (b + left32(sum, MD5_TURNS[round + 1][i % 4 + 1])) & 0xFFFFFFFF
    end
    h1, h2, h3, h4 = (h1 + a) & 0xFFFFFFFF, (h2 + b) & 0xFFFFFFFF, (h3 + c) & 0xFFFFFFFF, (h4 + d) & 0xFFFFFFFF
  end
  return pack("<I4I4I4I4", h1, h2, h3, h4)
end

return function(data)
  return bytes.shown(md5(bytes.text(data)))
end
