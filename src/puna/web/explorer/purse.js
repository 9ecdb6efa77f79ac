// Whose wallet the explorer signs with: the one that this browser keeps, the same as in Llama Land, or an extension's.
import { idOf, toBase64url } from "../dataitem.js";
import { browserWallet, extensionWallet, remember } from "../wallet.js";

// The wallet of this browser, or null: {kind, address, sign}.
export async function knownWallet() {
  const wallet = await browserWallet();
  return wallet && signing(wallet, "browser");
}

// The wallet of this browser; one is made when it is first wanted. Ed25519, for an RSA key takes seconds to make.
export async function ownWallet() {
  const known = await knownWallet();
  if (known) return known;
  await remember("wallet", { secret: toBase64url(crypto.getRandomValues(new Uint8Array(32))) });
  return knownWallet();
}

// The wallet of an extension. Rejects when its owner refuses.
export async function extendedWallet() {
  try {
    return signing(await extensionWallet(), "extension");
  } catch (error) {
    throw refused(error);
  }
}

const refused = (error) => new Error(`The wallet refused: ${error?.message ?? error}. Nothing was sent.`);

function signing(wallet, kind) {
  return {
    kind, address: wallet.address,
    // A signed item {id, raw}. Ed25519 signs equal messages to equal ids: the anchor makes two of them two.
    async sign(item) {
      const anchor = toBase64url(crypto.getRandomValues(new Uint8Array(24)));
      try {
        const raw = new Uint8Array(await wallet.signDataItem({ anchor, ...item }));
        return { raw, id: idOf(raw) };
      } catch (error) {
        throw refused(error);
      }
    },
  };
}
