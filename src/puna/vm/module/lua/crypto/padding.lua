-- How MD4, MD5, SHA-1 and SHA-2 fill a text up to whole blocks (RFC 1320, FIPS 180-4).

local pack, packsize, rep = string.pack, string.packsize, string.rep

-- `text` filled up to whole blocks: a one bit, zeros, and the length in bits in the form `length_form`.
return function(text, block, length_form)
  local room = packsize(length_form)
  local zeros = (block - (#text + 1 + room) % block) % block
  local length = room == 16 and pack(length_form, 0, #text * 8) or pack(length_form, #text * 8)
  return text .. "\x80" .. rep("\0", zeros) .. length
end
