// Signed data items (ANS-104): made here with an Ed25519 key, and checked: is what a node gave us what its signer
// signed? Plain JavaScript throughout, for browsers lend their own cryptography to https and localhost only.
import * as ed25519 from "../vendor/noble/ed25519.js";
import { sha256, sha384, sha512 } from "../vendor/noble/sha2.js";
import { concat, fromBase64url, littleEndian, toBase64url, utf8 } from "./bytes.js";

ed25519.hashes.sha512 = sha512;

const ED25519 = 2;

export const addressOf = (owner) => toBase64url(sha256(owner));
export const newSecret = () => ed25519.utils.randomSecretKey();
export const publicKey = (secret) => ed25519.getPublicKey(secret);

function varint(number) {
  const bytes = [];
  let rest = BigInt(number) << 1n; // zigzag of a number that is not negative
  do {
    bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
    rest >>= 7n;
  } while (rest);
  return Uint8Array.from(bytes);
}

// The Avro block of tags [{name, value}]; none give no bytes.
export function encodeTags(tags) {
  if (!tags.length) return new Uint8Array();
  const parts = [varint(tags.length)];
  for (const { name, value } of tags) {
    for (const part of [utf8(name), utf8(value)]) parts.push(varint(part.length), part);
  }
  return concat(...parts, Uint8Array.of(0));
}

// Arweave's deep hash of a blob, or of a list of them: 48 bytes. A blob may be given as {length, digest}, its SHA-384.
export function deepHash(value) {
  if (value instanceof Uint8Array) value = { length: value.length, digest: sha384(value) };
  if (!Array.isArray(value)) return sha384(concat(sha384(utf8("blob" + value.length)), value.digest));
  let sum = sha384(utf8("list" + value.length));
  for (const part of value) sum = sha384(concat(sum, deepHash(part)));
  return sum;
}

function toSign({ type, owner, target, anchor, tags, data }) {
  return deepHash([utf8("dataitem"), utf8("1"), utf8(String(type)), owner, target, anchor, encodeTags(tags), data]);
}

// A signed item as {id, raw}. `target` is an id or "", `data` text or bytes, `tags` [{name, value}].
export function signItem(secret, { target = "", tags = [], data = "" }) {
  const owner = publicKey(secret);
  const item = {
    type: ED25519, owner, tags,
    target: target ? fromBase64url(target) : new Uint8Array(),
    anchor: utf8(toBase64url(crypto.getRandomValues(new Uint8Array(24)))), // 32 letters: no two items are the same
    data: typeof data === "string" ? utf8(data) : data,
  };
  const signature = ed25519.sign(toSign(item), secret);
  const block = encodeTags(tags);
  const optional = (bytes) => (bytes.length ? concat(Uint8Array.of(1), bytes) : Uint8Array.of(0));
  const raw = concat(
    littleEndian(ED25519, 2), signature, owner, optional(item.target), optional(item.anchor),
    littleEndian(tags.length, 8), littleEndian(block.length, 8), block, item.data,
  );
  return { id: toBase64url(sha256(signature)), raw };
}

// Whether an item is what its signer signed: {ok, why}. `told` is the transaction that GraphQL tells of, `data` its
// bytes, `anchor` the anchor's bytes. RSA is checked by the browser's own cryptography, where it lends that.
export async function checkItem(told, data) {
  const signature = fromBase64url(told.signature);
  if (toBase64url(sha256(signature)) !== told.id) return { ok: false, why: "the signature is not the one of this id" };
  const owner = fromBase64url(told.owner.key);
  if (owner.length !== 32 && owner.length !== 512) {
    return { ok: null, why: "its kind of signature is not checked in the browser" };
  }
  const type = owner.length === 32 ? ED25519 : 1;
  // The browser's own SHA-384 is twenty times as fast, where it lends it: a model has hundreds of megabytes.
  const digest = globalThis.crypto?.subtle ? new Uint8Array(await crypto.subtle.digest("SHA-384", data)) : sha384(data);
  const message = toSign({
    type, owner, data: { length: data.length, digest }, tags: told.tags,
    target: told.recipient ? fromBase64url(told.recipient) : new Uint8Array(),
    anchor: told.anchor ? fromBase64url(told.anchor) : new Uint8Array(),
  });
  const right = type === ED25519 ? ed25519.verify(signature, message, owner) : await verifyRsa(signature, message, owner);
  if (right === null) return { ok: null, why: "browsers check RSA on https and localhost only" };
  return right ? { ok: true, why: "" } : { ok: false, why: "the signature does not cover these bytes" };
}

async function verifyRsa(signature, message, owner) {
  if (!globalThis.crypto?.subtle) return null;
  const rsa = { name: "RSA-PSS", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("jwk", { kty: "RSA", n: toBase64url(owner), e: "AQAB" }, rsa, false, ["verify"]);
  for (const saltLength of [32, 0, 478]) {
    if (await crypto.subtle.verify({ name: "RSA-PSS", saltLength }, key, signature, message)) return true;
  }
  return false;
}
