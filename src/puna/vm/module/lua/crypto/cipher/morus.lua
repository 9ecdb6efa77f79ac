-- MORUS-1280 (Wu and Huang, version 2), encryption with a tag that proves the text whole.

local bytes = require(".crypto.bytes")

local assert, concat, pack, rep, sub, unpack = assert, table.concat, string.pack, string.rep, string.sub, string.unpack

local morus = { variant = "Morus-1280", key_size = 32, nonce_size = 16 }

local BLOCK, TAG = 32, 16
local START = "\x00\x01\x01\x02\x03\x05\x08\x0d\x15\x22\x37\x59\x90\xe9\x79\x62"
  .. "\xdb\x3d\x18\x55\x6d\xc2\x2f\xf1\x20\x11\x31\x42\x73\xb5\x28\xdd"
-- By how many bits the words of each part turn, and by how many words another part turns.
local BITS, WORDS = { 13, 46, 38, 7, 4 }, { 1, 2, 3, 2, 1 }

local function words_of(block)
  local a, b, c, d = unpack("<i8i8i8i8", block)
  return { a, b, c, d }
end

local function turned(part, words)
  local out = {}
  for index = 0, 3 do
    out[(index + words) % 4 + 1] = part[index + 1]
  end
  return out
end

-- The state, five parts of four words, takes in the four words of `m`.
local function update(state, m)
  for step = 1, 5 do
    local target, left, right = state[step], state[step % 5 + 1], state[(step + 1) % 5 + 1]
    local other, bits = state[(step + 2) % 5 + 1], BITS[step]
    for index = 1, 4 do
      local word = target[index] ~ left[index] & right[index] ~ other[index]
      if step > 1 then
        word = word ~ m[index]
      end
      target[index] = word << bits | word >> (64 - bits)
    end
    state[(step + 2) % 5 + 1] = turned(other, WORDS[step])
  end
end

local ZERO = { 0, 0, 0, 0 }

local function begin(key, nonce)
  assert(#key == 16 or #key == 32, "key must be 16 or 32 bytes")
  assert(#nonce == 16, "iv must be 16 bytes")
  local key_words = words_of(#key == 16 and key .. key or key)
  local state = {
    words_of(nonce .. rep("\0", 16)), words_of(#key == 16 and key .. key or key), { -1, -1, -1, -1 }, { 0, 0, 0, 0 },
    words_of(START),
  }
  for _ = 1, 16 do
    update(state, ZERO)
  end
  for index = 1, 4 do
    state[2][index] = state[2][index] ~ key_words[index]
  end
  return state
end

-- The block that hides the next one.
local function pad_of(state)
  local moved = turned(state[2], 3)
  local out = {}
  for index = 1, 4 do
    out[index] = state[1][index] ~ moved[index] ~ state[3][index] & state[4][index]
  end
  return pack("<i8i8i8i8", out[1], out[2], out[3], out[4])
end

local function absorb(state, text)
  for start = 1, #text, BLOCK do
    local block = sub(text, start, start + BLOCK - 1)
    update(state, words_of(block .. rep("\0", BLOCK - #block)))
  end
end

local function tag_of(state, extra_size, text_size)
  for index = 1, 4 do
    state[5][index] = state[5][index] ~ state[1][index]
  end
  for _ = 1, 10 do
    update(state, { extra_size * 8, text_size * 8, 0, 0 })
  end
  return sub(pad_of(state), 1, TAG)
end

-- What goes in at one side comes out hidden, or plain again, at the other; the state takes in the plain text.
local function run(state, text, is_plain)
  local out = {}
  for start = 1, #text, BLOCK do
    local block = sub(text, start, start + BLOCK - 1)
    local other = bytes.exclusive_or(block, pad_of(state))
    out[#out + 1] = other
    absorb(state, is_plain and block or other)
  end
  return concat(out)
end

morus.state_update = update

-- encrypt(key, nonce, message [, extra]): the key 16 or 32 bytes, the nonce 16; `extra` is proved with the message and
-- stands in front of it unhidden.
function morus.encrypt(key, nonce, message, extra)
  extra = extra or ""
  local state = begin(bytes.text(key), bytes.text(nonce))
  absorb(state, extra)
  local hidden = run(state, bytes.text(message), true)
  return bytes.shown(extra .. hidden .. tag_of(state, #extra, #message))
end

-- The message, or nil and "decrypt error" when anything of it is not as it was. `extra_size` is in bytes.
function morus.decrypt(key, nonce, encrypted, extra_size)
  extra_size = extra_size or 0
  encrypted = bytes.text(encrypted)
  if #encrypted < extra_size + TAG then
    return nil, "decrypt error"
  end
  local state = begin(bytes.text(key), bytes.text(nonce))
  local extra = sub(encrypted, 1, extra_size)
  absorb(state, extra)
  local plain = run(state, sub(encrypted, extra_size + 1, -TAG - 1), false)
  if tag_of(state, extra_size, #plain) ~= sub(encrypted, -TAG) then
    return nil, "decrypt error"
  end
  return plain
end

return morus
