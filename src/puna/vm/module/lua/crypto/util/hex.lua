-- Text as pairs of hexadecimal digits and back.

local bytes = require(".crypto.bytes")

return { stringToHex = bytes.to_hex, hexToString = bytes.of_hex }
