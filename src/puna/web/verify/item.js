// Is what a node gave us what its signer signed? Plain JavaScript where a browser keeps its own cryptography to itself, as
// it does but on https and localhost.
import * as ed25519 from "../vendor/noble/ed25519.js";
import { sha256, sha384, sha512 } from "../vendor/noble/sha2.js";
import { deepHash, encodeTags } from "../dataitem.js";
import { concat, fromBase64url, toBase64url, utf8 } from "./bytes.js";

ed25519.hashes.sha512 ??= (message) => sha512(message);

const RSA = 1, ED25519 = 2;
const OWNER_BYTES = { 512: RSA, 32: ED25519 };

// Whether an item is what its signer signed: {ok, why}, ok null where this browser cannot tell. `told` is the
// transaction that GraphQL tells of, `data` its bytes.
export async function checkItem(told, data) {
  const signature = fromBase64url(told.signature);
  if (toBase64url(sha256(signature)) !== told.id) return { ok: false, why: "the signature is not the one of this id" };
  const owner = fromBase64url(told.owner.key);
  const type = OWNER_BYTES[owner.length];
  if (!type) return { ok: null, why: "its kind of signature is not checked in the browser" };
  const optional = (text) => (text ? fromBase64url(text) : new Uint8Array());
  const message = signedHash(
    [utf8("dataitem"), utf8("1"), utf8(String(type)), owner, optional(told.recipient), optional(told.anchor), encodeTags(told.tags)],
    data.length, await digestOf(data),
  );
  const right = type === ED25519 ? ed25519.verify(signature, message, owner) : await verifyRsa(signature, message, owner);
  if (right === null) return { ok: null, why: "browsers check RSA on https and localhost only" };
  return right ? { ok: true, why: "" } : { ok: false, why: "the signature does not cover these bytes" };
}

// The deep hash of a list of blobs, the last of which is known by its length and SHA-384.
function signedHash(blobs, length, digest) {
  let sum = sha384(utf8("list" + (blobs.length + 1)));
  for (const blob of blobs) sum = sha384(concat(sum, deepHash(blob)));
  return sha384(concat(sum, sha384(concat(sha384(utf8("blob" + length)), digest))));
}

// The browser's own SHA-384 is many times as fast, where it lends it: a model has hundreds of megabytes.
async function digestOf(data) {
  return globalThis.crypto?.subtle ? new Uint8Array(await crypto.subtle.digest("SHA-384", data)) : sha384(data);
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
