-- Keys from passwords: PBKDF2 over HMAC (RFC 8018).

local bytes = require(".crypto.bytes")
local hmac = require(".crypto.mac.hmac")

local concat, pack, sub = table.concat, string.pack, string.sub

local function derive(password, salt, iterations, length, kind)
  local blocks, size = {}, 0
  while size < length do
    local block = hmac.raw(salt .. pack(">I4", #blocks + 1), password, kind)
    local sum = block
    for _ = 2, iterations do
      block = hmac.raw(block, password, kind)
      sum = bytes.exclusive_or(sum, block)
    end
    blocks[#blocks + 1], size = sum, size + #sum
  end
  return sub(concat(blocks), 1, length)
end

return {
  -- `length` bytes of key; password and salt in any form; the digest is SHA-1 unless named.
  pbkdf2 = function(password, salt, iterations, length, name)
    return bytes.shown_upper(derive(bytes.text(password), bytes.text(salt), iterations, length, hmac.kind(name)))
  end,
}
