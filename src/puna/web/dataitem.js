// Data items (ANS-104): the signed envelope of everything that is sent. Pages sign with keys of their own here; wallet
// extensions bring their own way. Called by wallet.js.
import { sha256, sha384 } from "/web/vendor/noble/sha2.js";

const SIZES = { 1: { owner: 512, signature: 512 }, 2: { owner: 32, signature: 64 } };
const utf8 = new TextEncoder();

export function toBase64url(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function fromBase64url(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}

/** The address of a public key: the hash of its bytes. */
export const addressOf = (owner) => toBase64url(sha256(owner));

export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Arweave's deep hash of bytes or nested arrays of bytes: 48 bytes. */
export function deepHash(value) {
  if (!Array.isArray(value)) return sha384(joined(sha384(utf8.encode(`blob${value.length}`)), sha384(value)));
  let digest = sha384(utf8.encode(`list${value.length}`));
  for (const element of value) digest = sha384(joined(digest, deepHash(element)));
  return digest;
}

/** A number as Avro writes it: zigzag, seven bits to a byte. */
function long(value) {
  const bytes = [];
  let rest = value * 2;
  while (rest > 127) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** The tags [{name, value}] as an Avro array. */
export function encodeTags(tags) {
  if (!tags.length) return new Uint8Array();
  const parts = [long(tags.length)];
  for (const tag of tags) {
    for (const text of [tag.name, tag.value]) {
      const bytes = utf8.encode(String(text));
      parts.push(long(bytes.length), bytes);
    }
  }
  return joined(...parts, Uint8Array.of(0));
}

function little(value, size) {
  const bytes = new Uint8Array(size);
  for (let at = 0, rest = value; rest > 0; at++, rest = Math.floor(rest / 256)) bytes[at] = rest % 256;
  return bytes;
}

/**
 * A signed data item as bytes. `key` has `type` (1 RSA, 2 Ed25519), `owner` (public key) and `sign(bytes)`, which may
 * take its time. `data` is text or bytes, `target` an id or nothing, `anchor` 32 bytes, text of 32 bytes, or nothing.
 */
export async function signItem(key, { data = "", tags = [], target = "", anchor = "" }) {
  const body = typeof data === "string" ? utf8.encode(data) : new Uint8Array(data);
  const to = target ? fromBase64url(target) : new Uint8Array();
  const after = typeof anchor === "string" ? utf8.encode(anchor) : new Uint8Array(anchor ?? 0);
  const block = encodeTags(tags);
  const message = deepHash([
    utf8.encode("dataitem"), utf8.encode("1"), utf8.encode(String(key.type)), key.owner, to, after, block, body,
  ]);
  const signature = new Uint8Array(await key.sign(message));
  const sizes = SIZES[key.type];
  if (signature.length !== sizes.signature || key.owner.length !== sizes.owner)
    throw new Error(`a key of kind ${key.type} has ${sizes.owner} bytes and signs with ${sizes.signature}`);
  const mayBe = (part) => (part.length ? joined(Uint8Array.of(1), part) : Uint8Array.of(0));
  return joined(
    little(key.type, 2), signature, key.owner, mayBe(to), mayBe(after), little(tags.length, 8),
    little(block.length, 8), block, body,
  );
}

/** The id of an item signed by `signItem`. */
export function idOf(item) {
  const size = SIZES[item[0] + item[1] * 256].signature;
  return toBase64url(sha256(item.subarray(2, 2 + size)));
}
