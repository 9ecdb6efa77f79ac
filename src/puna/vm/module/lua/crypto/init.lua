-- `require(".crypto")`: digests, message authentication, key derivation, and the byte forms they take. Ciphers of the
-- published library (AES, ISAAC, Morus, NORX), MD2, MD4 and BLAKE2b are not in here.

local codec = require(".crypto.codec")
local digest = require(".crypto.digest")

local crypto = { _version = "0.0.1" }

local function keyed(key, kind)
  if #key > kind.block then
    key = kind.hash(key)
  end
  return key .. string.rep("\0", kind.block - #key)
end

local function masked(key, value)
  return (string.gsub(key, ".", function(character)
    return string.char(string.byte(character) ~ value)
  end))
end

-- HMAC (RFC 2104) of text under a key of text, raw.
local function hmac(text, key, kind)
  local full = keyed(key, kind)
  return kind.hash(masked(full, 0x5C) .. kind.hash(masked(full, 0x36) .. text))
end

local function kind_of(name)
  return assert(digest.raw[name or "sha1"], "digest should be one of md5, sha1, sha256, sha512")
end

local function exclusive_or(a, b)
  local out = {}
  for index = 1, #a do
    out[index] = string.char(string.byte(a, index) ~ string.byte(b, index))
  end
  return table.concat(out)
end

-- PBKDF2 (RFC 8018) over HMAC, raw.
local function pbkdf2(password, salt, iterations, length, kind)
  local blocks, size = {}, 0
  while size < length do
    local block = hmac(salt .. string.pack(">I4", #blocks + 1), password, kind)
    local sum = block
    for _ = 2, iterations do
      block = hmac(block, password, kind)
      sum = exclusive_or(sum, block)
    end
    blocks[#blocks + 1], size = sum, size + #sum
  end
  return string.sub(table.concat(blocks), 1, length)
end

crypto.digest = {
  md5 = digest.md5,
  sha1 = digest.sha1,
  sha2_256 = digest.sha2_256,
  sha2_512 = digest.sha2_512,
  sha3_256 = digest.sha3_256,
  sha3_512 = digest.sha3_512,
  keccak256 = digest.keccak256,
  keccak512 = digest.keccak512,
}

crypto.mac = {
  -- createHmac(data, key, "sha1" | "sha256" | ...): data and key in any form.
  createHmac = function(data, key, name)
    return codec.shown(hmac(codec.text(data), codec.text(key), kind_of(name)))
  end,
}

crypto.kdf = {
  pbkdf2 = function(password, salt, iterations, length, name)
    return codec.shown(pbkdf2(codec.text(password), codec.text(salt), iterations, length, kind_of(name)))
  end,
}

crypto.utils = { array = codec.array, stream = codec.stream, queue = codec.queue, hex = codec.hex, bit = bit32 }

-- The process's own chance: known to everybody beforehand, no source of secrets.
function crypto.random(low, high)
  return math.random(low, high)
end

return crypto
