// Bytes and their spellings: UTF-8, base64url, the varints of token ids.
import { fromBase64url } from "../dataitem.js";

export { fromBase64url, joined as concat, toBase64url } from "../dataitem.js";

export const utf8 = (text) => new TextEncoder().encode(text);
export const text = (bytes) => new TextDecoder("utf-8", { fatal: false }).decode(bytes);

// Token ids as tags of an answer carry them: base64url of unsigned LEB128 varints. Throws when they are none.
export function tokenIds(encoded) {
  const ids = [];
  let value = 0, scale = 1;
  for (const byte of fromBase64url(encoded)) {
    value += (byte & 127) * scale;
    if (value > 0x7fffffff) throw new Error("a token id is too large");
    if (byte & 128) scale *= 128;
    else {
      ids.push(value);
      value = 0;
      scale = 1;
    }
  }
  if (scale !== 1) throw new Error("the last token id is cut off");
  return ids;
}
