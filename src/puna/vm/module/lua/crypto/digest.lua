-- Hash functions, straight from their standards: MD5 (RFC 1321), SHA-1 and SHA-2 (FIPS 180-4), Keccak and SHA-3
-- (FIPS 202). Each takes text, or a stream as older programs give, and returns {asBytes, asHex, asString}, functions.

local codec = require(".crypto.codec")

local digest = {}

local pack, unpack, rep = string.pack, string.unpack, string.rep

-- `text` filled up to whole blocks: a one bit, zeros, and the length in bits in the form `length_form`.
local function padded(text, block, length_form)
  local room = string.packsize(length_form)
  local zeros = (block - (#text + 1 + room) % block) % block
  local length = room == 16 and pack(length_form, 0, #text * 8) or pack(length_form, #text * 8)
  return text .. "\x80" .. rep("\0", zeros) .. length
end

-- MD5 ---------------------------------------------------------------------------------------------------------------

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

-- SHA-1 -------------------------------------------------------------------------------------------------------------

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

-- SHA-2 -------------------------------------------------------------------------------------------------------------

-- Fractions of the cube roots of the first 80 primes; SHA-256 uses the upper halves of the first 64. Then those of the
-- square roots of the first 8.
local ROOTS = {
  0x428A2F98D728AE22, 0x7137449123EF65CD, 0xB5C0FBCFEC4D3B2F, 0xE9B5DBA58189DBBC, 0x3956C25BF348B538,
  0x59F111F1B605D019, 0x923F82A4AF194F9B, 0xAB1C5ED5DA6D8118, 0xD807AA98A3030242, 0x12835B0145706FBE,
  0x243185BE4EE4B28C, 0x550C7DC3D5FFB4E2, 0x72BE5D74F27B896F, 0x80DEB1FE3B1696B1, 0x9BDC06A725C71235,
  0xC19BF174CF692694, 0xE49B69C19EF14AD2, 0xEFBE4786384F25E3, 0x0FC19DC68B8CD5B5, 0x240CA1CC77AC9C65,
  0x2DE92C6F592B0275, 0x4A7484AA6EA6E483, 0x5CB0A9DCBD41FBD4, 0x76F988DA831153B5, 0x983E5152EE66DFAB,
  0xA831C66D2DB43210, 0xB00327C898FB213F, 0xBF597FC7BEEF0EE4, 0xC6E00BF33DA88FC2, 0xD5A79147930AA725,
  0x06CA6351E003826F, 0x142929670A0E6E70, 0x27B70A8546D22FFC, 0x2E1B21385C26C926, 0x4D2C6DFC5AC42AED,
  0x53380D139D95B3DF, 0x650A73548BAF63DE, 0x766A0ABB3C77B2A8, 0x81C2C92E47EDAEE6, 0x92722C851482353B,
  0xA2BFE8A14CF10364, 0xA81A664BBC423001, 0xC24B8B70D0F89791, 0xC76C51A30654BE30, 0xD192E819D6EF5218,
  0xD69906245565A910, 0xF40E35855771202A, 0x106AA07032BBD1B8, 0x19A4C116B8D2D0C8, 0x1E376C085141AB53,
  0x2748774CDF8EEB99, 0x34B0BCB5E19B48A8, 0x391C0CB3C5C95A63, 0x4ED8AA4AE3418ACB, 0x5B9CCA4F7763E373,
  0x682E6FF3D6B2B8A3, 0x748F82EE5DEFB2FC, 0x78A5636F43172F60, 0x84C87814A1F0AB72, 0x8CC702081A6439EC,
  0x90BEFFFA23631E28, 0xA4506CEBDE82BDE9, 0xBEF9A3F7B2C67915, 0xC67178F2E372532B, 0xCA273ECEEA26619C,
  0xD186B8C721C0C207, 0xEADA7DD6CDE0EB1E, 0xF57D4F7FEE6ED178, 0x06F067AA72176FBA, 0x0A637DC5A2C898A6,
  0x113F9804BEF90DAE, 0x1B710B35131C471B, 0x28DB77F523047D84, 0x32CAAB7B40C72493, 0x3C9EBE0A15C9BEBC,
  0x431D67C49C100D4C, 0x4CC5D4BECB3E42B6, 0x597F299CFC657E2A, 0x5FCB6FAB3AD6FAEC, 0x6C44198C4A475817,
}
local START = {
  0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
  0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
}

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
    local a, b, c, d, e, f, g, k = table.unpack(h)
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
  return pack(">I4I4I4I4I4I4I4I4", table.unpack(h))
end

local function right64(word, count)
  return word >> count | word << (64 - count)
end

local function sha2_512(text)
  local data, h = padded(text, 128, ">I8I8"), table.move(START, 1, 8, 1, {})
  for start = 1, #data, 128 do
    local words = { unpack(">i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8i8", data, start) }
    for i = 17, 80 do
      local x, y = words[i - 15], words[i - 2]
      local low = right64(x, 1) ~ right64(x, 8) ~ x >> 7
      local high = right64(y, 19) ~ right64(y, 61) ~ y >> 6
      words[i] = words[i - 16] + low + words[i - 7] + high
    end
    local a, b, c, d, e, f, g, k = table.unpack(h)
    for i = 1, 80 do
      local first = k + (right64(e, 14) ~ right64(e, 18) ~ right64(e, 41)) + (e & f ~ ~e & g) + ROOTS[i] + words[i]
      local second = (right64(a, 28) ~ right64(a, 34) ~ right64(a, 39)) + (a & b ~ a & c ~ b & c)
      k, g, f, e, d, c, b, a = g, f, e, d + first, c, b, a, first + second
    end
    for i, word in ipairs({ a, b, c, d, e, f, g, k }) do
      h[i] = h[i] + word
    end
  end
  return pack(">i8i8i8i8i8i8i8i8", table.unpack(h))
end

-- Keccak ------------------------------------------------------------------------------------------------------------

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
  local data = text .. (fill == 1 and string.char(mark | 0x80) or string.char(mark) .. rep("\0", fill - 2) .. "\x80")
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
  return table.concat(out)
end

-- The functions programs call ---------------------------------------------------------------------------------------

-- Text in, raw digest out; block size in bytes. For HMAC and key derivation.
digest.raw = {
  md5 = { hash = md5, block = 64 },
  sha1 = { hash = sha1, block = 64 },
  sha256 = { hash = sha2_256, block = 64 },
  sha512 = { hash = sha2_512, block = 128 },
}

local function shown(hash)
  return function(data)
    return codec.shown(hash(codec.text(data)))
  end
end

digest.md5 = shown(md5)
digest.sha1 = shown(sha1)
digest.sha2_256 = shown(sha2_256)
digest.sha2_512 = shown(sha2_512)
digest.sha3_256 = shown(function(text) return keccak(text, 32, 0x06) end)
digest.sha3_512 = shown(function(text) return keccak(text, 64, 0x06) end)
digest.keccak256 = shown(function(text) return keccak(text, 32, 0x01) end)
digest.keccak512 = shown(function(text) return keccak(text, 64, 0x01) end)

return digest
