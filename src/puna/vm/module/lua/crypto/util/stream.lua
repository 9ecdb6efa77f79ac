-- Streams: functions that give one byte per call, then nil.

local bytes = require(".crypto.bytes")
local array = require(".crypto.util.array")

return {
  fromString = bytes.to_stream,
  fromArray = array.toStream,
  fromHex = function(hex) return array.toStream(array.fromHex(hex)) end,
  toString = bytes.of_stream,
  toArray = array.fromStream,
  toHex = function(stream) return bytes.to_upper_hex(bytes.of_stream(stream)) end,
}
