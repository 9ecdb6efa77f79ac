// Bytes and their spellings: base64url, hexadecimal, UTF-8, little-endian numbers, the varints of token ids.

export const utf8 = (text) => new TextEncoder().encode(text);
export const text = (bytes) => new TextDecoder("utf-8", { fatal: false }).decode(bytes);

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function toBase64url(bytes) {
  let letters = "";
  for (let at = 0; at < bytes.length; at += 8192) letters += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// Throws what `atob` throws when `encoded` is no base64url.
export function fromBase64url(encoded) {
  const letters = atob(encoded.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export const equal = (a, b) => a.length === b.length && a.every((value, at) => value === b[at]);

export function littleEndian(number, size) {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at++) {
    bytes[at] = number % 256;
    number = Math.floor(number / 256);
  }
  return bytes;
}

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
