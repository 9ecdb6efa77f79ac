-- AES (FIPS 197) in the modes ECB, CBC, CFB, OFB and CTR (SP 800-38A).

local bytes = require(".crypto.bytes")

local byte, char, pack, rep, sub, unpack = string.byte, string.char, string.pack, string.rep, string.sub, string.unpack
local assert, concat, error, ipairs = assert, table.concat, error, ipairs
local tostring, unpack_table, upper = tostring, table.unpack, string.upper

local aes = {}

-- Arithmetic ---------------------------------------------------------------------------------------------------------

-- The product with x in the field of 256 elements that AES works in.
local function double(value)
  return (value << 1 ~ (value >> 7) * 0x11B) & 0xFF
end

local function product(a, b)
  local sum = 0
  while b > 0 do
    if b & 1 == 1 then
      sum = sum ~ a
    end
    a, b = double(a), b >> 1
  end
  return sum
end

local BOX, UNBOX = {}, {}
do
  local inverse, value, other = { [0] = 0 }, 1, 1
  for _ = 1, 255 do -- the powers of 3, and of its inverse 0xF6
    inverse[value] = other
    value, other = value ~ double(value), product(other, 0xF6)
  end
  for index = 0, 255 do
    local word = inverse[index] * 0x101 -- twice side by side: shifting it turns it
    local mixed = (word ~ word >> 4 ~ word >> 5 ~ word >> 6 ~ word >> 7 ~ 0x63) & 0xFF
    BOX[index], UNBOX[mixed] = mixed, index
  end
end

local TIMES = {}
for _, factor in ipairs({ 2, 3, 9, 11, 13, 14 }) do
  TIMES[factor] = {}
  for value = 0, 255 do
    TIMES[factor][value] = product(value, factor)
  end
end
local T2, T3, T9, T11, T13, T14 = TIMES[2], TIMES[3], TIMES[9], TIMES[11], TIMES[13], TIMES[14]

-- Blocks -------------------------------------------------------------------------------------------------------------

local function boxed(word)
  return BOX[word >> 24] << 24 | BOX[word >> 16 & 255] << 16 | BOX[word >> 8 & 255] << 8 | BOX[word & 255]
end

-- The round keys, arrays of 16 bytes from index 0, and how many rounds.
local function schedule(key)
  local count = #key // 4
  local rounds, words, constant = count + 6, {}, 1
  for index = 0, 4 * rounds + 3 do
    local word = index < count and unpack(">I4", key, 4 * index + 1) or words[index - 1]
    if index >= count then
      if index % count == 0 then
        word = boxed((word << 8 | word >> 24) & 0xFFFFFFFF) ~ constant << 24
        constant = double(constant)
      elseif count > 6 and index % count == 4 then
        word = boxed(word)
      end
      word = words[index - count] ~ word
    end
    words[index] = word
  end
  local keys = {}
  for round = 0, rounds do
    local at = 4 * round
    keys[round] = { byte(pack(">I4I4I4I4", words[at], words[at + 1], words[at + 2], words[at + 3]), 1, 16) }
  end
  return keys, rounds
end

local function add(state, key)
  for index = 1, 16 do
    state[index] = state[index] ~ key[index]
  end
end

local function encrypt_block(block, keys, rounds)
  local state = { byte(block, 1, 16) }
  add(state, keys[0])
  for round = 1, rounds do
    local moved = {}
    for index = 0, 15 do
      moved[index + 1] = BOX[state[(index + 4 * (index % 4)) % 16 + 1]]
    end
    if round < rounds then
      for column = 1, 13, 4 do
        local a, b, c, d = moved[column], moved[column + 1], moved[column + 2], moved[column + 3]
        moved[column], moved[column + 1] = T2[a] ~ T3[b] ~ c ~ d, a ~ T2[b] ~ T3[c] ~ d
        moved[column + 2], moved[column + 3] = a ~ b ~ T2[c] ~ T3[d], T3[a] ~ b ~ c ~ T2[d]
      end
    end
    state = moved
    add(state, keys[round])
  end
  return char(unpack_table(state))
end

local function decrypt_block(block, keys, rounds)
  local state = { byte(block, 1, 16) }
  for round = rounds, 1, -1 do
    add(state, keys[round])
    if round < rounds then
      for column = 1, 13, 4 do
        local a, b, c, d = state[column], state[column + 1], state[column + 2], state[column + 3]
        state[column] = T14[a] ~ T11[b] ~ T13[c] ~ T9[d]
        state[column + 1] = T9[a] ~ T14[b] ~ T11[c] ~ T13[d]
        state[column + 2] = T13[a] ~ T9[b] ~ T14[c] ~ T11[d]
        state[column + 3] = T11[a] ~ T13[b] ~ T9[c] ~ T14[d]
      end
    end
    local moved = {}
    for index = 0, 15 do
      moved[(index + 4 * (index % 4)) % 16 + 1] = UNBOX[state[index + 1]]
    end
    state = moved
  end
  add(state, keys[0])
  return char(unpack_table(state))
end

-- Modes --------------------------------------------------------------------------------------------------------------

local exclusive_or = bytes.exclusive_or

local function next_counter(counter)
  local high, low = unpack(">i8i8", counter)
  low = low + 1
  return pack(">i8i8", low == 0 and high + 1 or high, low)
end

-- The output of the block cipher is chained, and what it is added to does not matter.
local function output_feedback(block, chain, forth)
  local key = forth(chain)
  return exclusive_or(block, key), key
end

local function counted(block, chain, forth)
  return exclusive_or(block, forth(chain)), next_counter(chain)
end

-- Each takes a block, the chained value, and the two block functions; gives the block's result and the next value.
local MODES = {
  ECB = {
    encrypt = function(block, chain, forth) return forth(block), chain end,
    decrypt = function(block, chain, _, back) return back(block), chain end,
  },
  CBC = {
    encrypt = function(block, chain, forth)
      local out = forth(exclusive_or(block, chain))
      return out, out
    end,
    decrypt = function(block, chain, _, back) return exclusive_or(back(block), chain), block end,
  },
  CFB = {
    encrypt = function(block, chain, forth)
      local out = exclusive_or(block, forth(chain))
      return out, out
    end,
    decrypt = function(block, chain, forth) return exclusive_or(block, forth(chain)), block end,
  },
  OFB = { encrypt = output_feedback, decrypt = output_feedback },
  CTR = { encrypt = counted, decrypt = counted },
}

local function vector(iv)
  if iv == nil or iv == "" then
    return rep("\0", 16)
  end
  iv = bytes.text(iv)
  assert(#iv == 16, "iv should be 16 bytes")
  return iv
end

local function key_of(key, length)
  local size = (length == 192 or length == 256) and length // 8 or 16
  key = bytes.text(key)
  if #key < size then
    error("key should be " .. tostring(size) .. " bytes for AES-" .. tostring(8 * size))
  end
  return sub(key, 1, size)
end

local function run(way, data, key, iv, mode, length)
  local keys, rounds = schedule(key_of(key, length))
  local transform = (MODES[upper(mode or "CBC")] or MODES.CBC)[way]
  local function forth(block) return encrypt_block(block, keys, rounds) end
  local function back(block) return decrypt_block(block, keys, rounds) end
  local chain, out = vector(iv), {}
  data = data .. rep("\0", -#data % 16)
  for start = 1, #data, 16 do
    out[#out + 1], chain = transform(sub(data, start, start + 15), chain, forth, back)
  end
  return bytes.shown_upper(concat(out))
end

-- encrypt(data, key [, iv [, mode [, keyLength]]]): `mode` is CBC unless it is one of the others, `keyLength` 128, 192 or
-- 256 bits, of which a longer key gives its first. Without `iv` it is zero. Data is filled up with zero bytes to whole
-- blocks, in all modes, and stays so after `decrypt`.
function aes.encrypt(data, key, iv, mode, length)
  return run("encrypt", bytes.text(data), key, iv, mode, length)
end

-- The same with `data` in hexadecimal, as `asHex` gave it.
function aes.decrypt(data, key, iv, mode, length)
  return run("decrypt", bytes.of_hex(data), key, iv, mode, length)
end

return aes
