-- Base 64 (RFC 4648): `encode(text)`, `decode(text)`, and tables for other alphabets.

local base64 = { _version = "1.5.3" }

local byte, char, concat, gsub = string.byte, string.char, table.concat, string.gsub

local LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

local function alphabet(letter_62, letter_63)
  return LETTERS .. (letter_62 or "+") .. (letter_63 or "/")
end

-- Code of a 6-bit value to the byte of its letter; 64 is the padding.
function base64.makeencoder(letter_62, letter_63, padding)
  local encoder, letters = {}, alphabet(letter_62, letter_63)
  for value = 0, 63 do
    encoder[value] = byte(letters, value + 1)
  end
  encoder[64] = byte(padding or "=")
  return encoder
end

-- Byte of a letter to its 6-bit value.
function base64.makedecoder(letter_62, letter_63)
  local decoder, letters = {}, alphabet(letter_62, letter_63)
  for value = 0, 63 do
    decoder[byte(letters, value + 1)] = value
  end
  return decoder
end

local STANDARD_ENCODER = base64.makeencoder()
local STANDARD_DECODER = base64.makedecoder()

function base64.encode(text, encoder)
  encoder = encoder or STANDARD_ENCODER
  local parts, n, length = {}, 0, #text
  for index = 1, length - 2, 3 do
    local a, b, c = byte(text, index, index + 2)
    local bits = a << 16 | b << 8 | c
    n = n + 1
    parts[n] = char(encoder[bits >> 18], encoder[bits >> 12 & 63], encoder[bits >> 6 & 63], encoder[bits & 63])
  end
  local left = length % 3
  if left == 1 then
    local bits = byte(text, length) << 16
    parts[n + 1] = char(encoder[bits >> 18], encoder[bits >> 12 & 63], encoder[64], encoder[64])
  elseif left == 2 then
    local a, b = byte(text, length - 1, length)
    local bits = a << 16 | b << 8
    parts[n + 1] = char(encoder[bits >> 18], encoder[bits >> 12 & 63], encoder[bits >> 6 & 63], encoder[64])
  end
  return concat(parts)
end

-- Letters outside the alphabet (line ends, padding) are passed over.
function base64.decode(text, decoder)
  decoder = decoder or STANDARD_DECODER
  local clean
  if decoder == STANDARD_DECODER then
    clean = gsub(text, "[^%w%+/]", "")
  else
    clean = gsub(text, ".", function(letter)
      return decoder[byte(letter)] and letter or ""
    end)
  end
  local parts, n, length = {}, 0, #clean
  for index = 1, length - 3, 4 do
    local a, b, c, d = byte(clean, index, index + 3)
    local bits = decoder[a] << 18 | decoder[b] << 12 | decoder[c] << 6 | decoder[d]
    n = n + 1
    parts[n] = char(bits >> 16, bits >> 8 & 255, bits & 255)
  end
  local left = length % 4
  if left == 2 then
    local a, b = byte(clean, length - 1, length)
    parts[n + 1] = char((decoder[a] << 2 | decoder[b] >> 4) & 255)
  elseif left == 3 then
    local a, b, c = byte(clean, length - 2, length)
    local bits = decoder[a] << 12 | decoder[b] << 6 | decoder[c]
    parts[n + 1] = char(bits >> 10, bits >> 2 & 255)
  end
  return concat(parts)
end

package.loaded[".base64"] = base64

return base64
