// The reader's wallet: a key kept by this browser, or a wallet extension. Used by the game and the explorer.
//
// Every wallet here has `kind` ("rsa", "ed25519" or "extension"), `address`, and what @permaweb/aoconnect's
// createDataItemSigner asks of an extension: `connect(permissions)` and `signDataItem(item)`.
import * as ed25519 from "/web/vendor/noble/ed25519.js";
import { sha512 } from "/web/vendor/noble/sha2.js";
import { addressOf, fromBase64url, signItem, toBase64url } from "/web/dataitem.js";

ed25519.hashes.sha512 = (message) => sha512(message);

const DATABASE = "puna";
const PERMISSIONS = ["ACCESS_ADDRESS", "ACCESS_PUBLIC_KEY", "SIGN_TRANSACTION"];
const EXTENSION_WAIT_MS = 1500; // extensions put their object into a page some time after it was loaded
const MODULUS_BITS = 4096;

/** Said no, or closed the question. Nothing was sent. */
export class Refused extends Error {}

// Where keys are kept ---------------------------------------------------------------------------------------------

let opened;
const inMemory = new Map(); // for browsers that keep nothing, such as in private windows

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("keys");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function kept(mode, act) {
  const store = (await database()).transaction("keys", mode).objectStore("keys");
  return new Promise((resolve, reject) => {
    const request = act(store);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export async function recall(name) {
  if (inMemory.has(name)) return inMemory.get(name);
  try {
    return (await kept("readonly", (store) => store.get(name))) ?? null;
  } catch {
    return null;
  }
}

export async function remember(name, value) {
  try {
    await kept("readwrite", (store) => (value === null ? store.delete(name) : store.put(value, name)));
    inMemory.delete(name);
  } catch {
    inMemory.set(name, value);
  }
}

// Keys of this browser --------------------------------------------------------------------------------------------

function walletOf(kind, key, secret) {
  return {
    kind, secret, address: addressOf(key.owner), owner: key.owner, key,
    async connect() {},
    async signDataItem(item) {
      return (await signItem(key, item)).buffer;
    },
  };
}

/** A wallet of an Ed25519 secret of 32 bytes. Works in every browser and on every page. */
export function ed25519Wallet(secret) {
  const owner = ed25519.getPublicKey(secret);
  return walletOf("ed25519", { type: 2, owner, sign: (message) => ed25519.sign(message, secret) }, toBase64url(secret));
}

/** A wallet of an RSA key as Arweave's wallets are. Needs the browser's own cryptography: https or localhost. */
export async function rsaWallet(jwk) {
  const algorithm = { name: "RSA-PSS", hash: "SHA-256" };
  const private_ = { ...jwk, alg: "PS256", ext: true, key_ops: ["sign"] };
  const key = await crypto.subtle.importKey("jwk", private_, algorithm, false, ["sign"]);
  const sign = (message) => crypto.subtle.sign({ name: "RSA-PSS", saltLength: 32 }, key, message);
  return walletOf("rsa", { type: 1, owner: fromBase64url(jwk.n), sign }, jwk);
}

const isSecure = () => globalThis.isSecureContext;

async function newRsaKey() {
  const pair = await crypto.subtle.generateKey(
    { name: "RSA-PSS", modulusLength: MODULUS_BITS, publicExponent: Uint8Array.of(1, 0, 1), hash: "SHA-256" }, true,
    ["sign", "verify"],
  );
  const { kty, n, e, d, p, q, dp, dq, qi } = await crypto.subtle.exportKey("jwk", pair.privateKey);
  return { kty, n, e, d, p, q, dp, dq, qi };
}

async function opened_(saved) {
  if (saved?.jwk) return isSecure() ? rsaWallet(saved.jwk) : null;
  return saved?.secret ? ed25519Wallet(fromBase64url(saved.secret)) : null;
}

/** The key this browser keeps, or null. */
export async function browserWallet() {
  return opened_(await recall("wallet"));
}

/** Make a key and keep it: an RSA one, where the browser has the means; takes seconds. */
export async function makeBrowserWallet() {
  const saved = isSecure()
    ? { jwk: await newRsaKey() }
    : { secret: toBase64url(crypto.getRandomValues(new Uint8Array(32))) };
  await remember("wallet", saved);
  return opened_(saved);
}

/** The text of a key file: a JWK, as every Arweave wallet reads it, or its like for Ed25519. */
export function exported(wallet) {
  const jwk = wallet.kind === "rsa"
    ? wallet.secret
    : { kty: "OKP", crv: "Ed25519", x: toBase64url(wallet.owner), d: wallet.secret };
  return JSON.stringify(jwk);
}

/** Take over the key in the text of a key file and keep it. Throws an Error in plain words. */
export async function importWallet(text) {
  let jwk;
  try {
    jwk = JSON.parse(text);
  } catch {
    throw new Error("This file is no key: it should be JSON, as wallets export it.");
  }
  let saved;
  if (jwk?.kty === "OKP" && jwk.crv === "Ed25519" && typeof jwk.d === "string") saved = { secret: jwk.d };
  else if (jwk?.kty === "RSA" && typeof jwk.n === "string" && typeof jwk.d === "string") {
    const { kty, n, e, d, p, q, dp, dq, qi } = jwk;
    saved = { jwk: { kty, n, e, d, p, q, dp, dq, qi } };
    if (fromBase64url(n).length !== MODULUS_BITS / 8) throw new Error("Arweave's keys have 4096 bits; this one has not.");
  } else throw new Error("This file holds no private key of the kind that Arweave's wallets use.");
  const wallet = await opened_(saved);
  if (!wallet) throw new Error("This browser signs with such a key only on https or localhost.");
  await remember("wallet", saved);
  return wallet;
}

export async function forgetBrowserWallet() {
  await remember("wallet", null);
}

// Extensions ------------------------------------------------------------------------------------------------------

/** What a wallet extension put into this page, waiting a little for it; null when there is none. */
export async function extension(wait_ms = EXTENSION_WAIT_MS) {
  if (!window.arweaveWallet && wait_ms)
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait_ms);
      window.addEventListener("arweaveWalletLoaded", () => (clearTimeout(timer), resolve()), { once: true });
    });
  return window.arweaveWallet ?? null;
}

/** Ask the extension for its address. Raises Refused when its user says no. */
export async function extensionWallet() {
  const injected = await extension(0);
  if (!injected) throw new Error("No wallet extension was found in this browser.");
  const kindly = async (asked) => {
    try {
      return await asked();
    } catch (error) {
      throw new Refused(String(error?.message ?? error));
    }
  };
  // Some extensions return nothing of what was allowed before it is asked for, so it is asked for as a whole.
  const allow = () => kindly(() => injected.connect(PERMISSIONS));
  await allow();
  return {
    kind: "extension",
    address: await kindly(() => injected.getActiveAddress()),
    connect: allow,
    signDataItem: (item) => kindly(() => injected.signDataItem(item)),
  };
}

// Sessions --------------------------------------------------------------------------------------------------------

/** The key that may walk and chat for `address` without asking the wallet each time; made when there is none, or when
 * a new one is wanted. */
export async function sessionWallet(address, isNew = false) {
  const name = `session ${address}`;
  let secret = isNew ? null : await recall(name);
  if (!secret) {
    secret = toBase64url(crypto.getRandomValues(new Uint8Array(32)));
    await remember(name, secret);
  }
  return ed25519Wallet(fromBase64url(secret));
}
