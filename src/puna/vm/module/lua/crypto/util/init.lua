-- The forms bytes take, `require(".crypto").utils`.

return {
  _version = "0.0.1",
  array = require(".crypto.util.array"),
  stream = require(".crypto.util.stream"),
  queue = require(".crypto.util.queue"),
  hex = require(".crypto.util.hex"),
  bit = bit32,
}
