-- `require(".crypto")`: digests, ciphers, message authentication, key derivation, chance, and the forms bytes take. All of
-- it is written from the standards that its files name. A process has no secrets: whatever it knows, and every key in its
-- code, anybody can read.

local cipher = require(".crypto.cipher.init")

return {
  _version = "0.0.1",
  digest = require(".crypto.digest.init"),
  cipher = cipher,
  mac = require(".crypto.mac.init"),
  kdf = require(".crypto.kdf.init"),
  utils = require(".crypto.util.init"),
  random = cipher.issac.random,
}
