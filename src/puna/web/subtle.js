// Hashing where the browser keeps its own cryptography to itself: on http pages that are not of this machine, such as a
// friend's http://192.168.0.7:4000. To be imported before aoconnect, which expects it there. Keys of ours sign without.
import { sha256, sha384, sha512 } from "/web/vendor/noble/sha2.js";

const HASHES = { "SHA-256": sha256, "SHA-384": sha384, "SHA-512": sha512 };
const bytesOf = (data) => (ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data));
const unavailable = async () => {
  throw new Error("this browser signs and encrypts with such keys only on https or localhost");
};

if (globalThis.crypto && !globalThis.crypto.subtle) {
  const subtle = {
    async digest(algorithm, data) {
      const hash = HASHES[(algorithm.name ?? algorithm).toUpperCase()];
      return hash ? hash(bytesOf(data)).buffer : unavailable();
    },
  };
  for (const name of ["sign", "verify", "encrypt", "decrypt", "generateKey", "importKey", "exportKey", "deriveBits", "deriveKey", "wrapKey", "unwrapKey"])
    subtle[name] = unavailable;
  Object.defineProperty(globalThis.crypto, "subtle", { value: subtle });
}
