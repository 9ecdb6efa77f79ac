-- NORX 64-4-1 (Aumasson, Jovanovic and Neves, version 3), encryption with a tag that proves the text whole.

local bytes = require(".crypto.bytes")

local assert, concat, ipairs, move = assert, table.concat, ipairs, table.move
local pack, rep, sub, unpack = string.pack, string.rep, string.sub, string.unpack
local unpack_table = table.unpack

local norx = { variant = "NORX 64-4-1", key_size = 32, nonce_size = 32 }

local RATE, TAG = 96, 32 -- bytes
local ROUNDS = 4
local HEADER, PAYLOAD, TRAILER, END = 1, 2, 4, 8 -- what the state is about to take in
local TURNS = { 8, 19, 40, 63 }
local WORDS = rep("i8", 16)
-- The columns and then the diagonals of the 4 x 4 words.
local MIXED = {
  { 1, 5, 9, 13 }, { 2, 6, 10, 14 }, { 3, 7, 11, 15 }, { 4, 8, 12, 16 },
  { 1, 6, 11, 16 }, { 2, 7, 12, 13 }, { 3, 8, 9, 14 }, { 4, 5, 10, 15 },
}

local function joined(x, y)
  return x ~ y ~ (x & y) << 1
end

local function turned(word, count)
  return word >> count | word << (64 - count)
end

local function permute(s, rounds)
  for _ = 1, rounds do
    for _, places in ipairs(MIXED) do
      local a, b, c, d = places[1], places[2], places[3], places[4]
      for half = 1, 3, 2 do
        s[a] = joined(s[a], s[b])
        s[d] = turned(s[d] ~ s[a], TURNS[half])
        s[c] = joined(s[c], s[d])
        s[b] = turned(s[b] ~ s[c], TURNS[half + 1])
      end
    end
  end
end

local START = {}
for index = 1, 16 do
  START[index] = index - 1
end
permute(START, 2)

local function add_key(s, key)
  for index = 1, 4 do
    s[12 + index] = s[12 + index] ~ key[index]
  end
end

local function begin(key, nonce)
  assert(#key == 32, "key must be 32 bytes")
  assert(#nonce == 32, "nonce must be 32 bytes")
  local k = { unpack("<i8i8i8i8", key) }
  local s = move(START, 9, 16, 9, move(k, 1, 4, 5, { unpack("<i8i8i8i8", nonce) }))
  s[17] = nil
  for index, parameter in ipairs({ 64, ROUNDS, 1, 8 * TAG }) do
    s[12 + index] = s[12 + index] ~ parameter
  end
  permute(s, ROUNDS)
  add_key(s, k)
  return s, k
end

local function enter(s, part)
  s[16] = s[16] ~ part
  permute(s, ROUNDS)
end

-- A part of a block filled up: a mark after the text, and one at the end.
local function filled(text)
  local size = #text
  if size == RATE - 1 then
    return text .. "\x81"
  end
  return text .. "\x01" .. rep("\0", RATE - size - 2) .. "\x80"
end

local function rate_of(s)
  return sub(pack("<" .. WORDS, unpack_table(s)), 1, RATE)
end

local function add(s, block)
  for index = 1, RATE // 8 do
    s[index] = s[index] ~ unpack("<i8", block, 8 * index - 7)
  end
end

local function absorb(s, text, part)
  if text == "" then
    return
  end
  for start = 1, #text + 1, RATE do
    local block = sub(text, start, start + RATE - 1)
    enter(s, part)
    add(s, #block < RATE and filled(block) or block)
  end
end

-- What goes in at one side comes out hidden, or plain again, at the other; the state takes in the plain text.
local function run(s, text, is_plain)
  local out = {}
  if text == "" then
    return ""
  end
  for start = 1, #text + 1, RATE do
    local block = sub(text, start, start + RATE - 1)
    enter(s, PAYLOAD)
    local other = bytes.exclusive_or(block, rate_of(s))
    out[#out + 1] = other
    local plain = is_plain and block or other
    add(s, #plain < RATE and filled(plain) or plain)
  end
  return concat(out)
end

local function tag_of(s, k)
  enter(s, END)
  add_key(s, k)
  permute(s, ROUNDS)
  add_key(s, k)
  return pack("<i8i8i8i8", s[13], s[14], s[15], s[16])
end

-- encrypt(key, nonce, plain [, header [, trailer]]): key and nonce 32 bytes each; header and trailer are proved with the
-- text, and not part of the result.
function norx.encrypt(key, nonce, plain, header, trailer)
  local s, k = begin(bytes.text(key), bytes.text(nonce))
  absorb(s, header or "", HEADER)
  local hidden = run(s, bytes.text(plain), true)
  absorb(s, trailer or "", TRAILER)
  return bytes.shown(hidden .. tag_of(s, k))
end

-- The text, or nil and "auth failure" when anything is not as it was.
function norx.decrypt(key, nonce, crypted, header, trailer)
  crypted = bytes.text(crypted)
  if #crypted < TAG then
    return nil, "auth failure"
  end
  local s, k = begin(bytes.text(key), bytes.text(nonce))
  absorb(s, header or "", HEADER)
  local plain = run(s, sub(crypted, 1, -TAG - 1), false)
  absorb(s, trailer or "", TRAILER)
  if tag_of(s, k) ~= sub(crypted, -TAG) then
    return nil, "auth failure"
  end
  return plain
end

return norx
