-- Message authentication by a digest (RFC 2104).

local bytes = require(".crypto.bytes")

local byte, char, gsub, rep = string.byte, string.char, string.gsub, string.rep
local error, tostring = error, tostring

local hmac = {}

-- A digest from text to text, and its block's size in bytes.
local function kind(digest, block)
  return {
    raw = function(text) return digest(text).asString() end,
    block = block,
  }
end

local KINDS = {
  md5 = kind(require(".crypto.digest.md5"), 64),
  sha1 = kind(require(".crypto.digest.sha1").sha1, 64),
  sha256 = kind(require(".crypto.digest.sha2_256").sha2_256, 64),
  sha512 = kind(require(".crypto.digest.sha2_512"), 128),
}

-- The digest of that name, SHA-1 unless said: {raw, block}.
function hmac.kind(name)
  return KINDS[name or "sha1"] or error("Unsupported algorithm: " .. tostring(name))
end

local function masked(key, value)
  return (gsub(key, ".", function(character)
    return char(byte(character) ~ value)
  end))
end

-- The code of `text` under `key`, both text; raw.
function hmac.raw(text, key, kind)
  if #key > kind.block then
    key = kind.raw(key)
  end
  key = key .. rep("\0", kind.block - #key)
  return kind.raw(masked(key, 0x5C) .. kind.raw(masked(key, 0x36) .. text))
end

-- hmac(data, key [, "sha1" | "sha256" | "md5" | "sha512"]): data and key in any form.
function hmac.hmac(data, key, name)
  return bytes.shown(hmac.raw(bytes.text(data), bytes.text(key), hmac.kind(name)))
end

return hmac
