// Whose wallet the explorer signs with: one that an extension puts into the page (window.arweaveWallet), or a key made
// in this browser and kept in its local storage. A page of another site cannot read it; who uses this browser can.
import { addressOf, newSecret, publicKey, signItem } from "../verify/item.js";
import { fromBase64url, toBase64url } from "../verify/bytes.js";

const KEY = "puna-wallet";

// The key of this browser, made when it is first wanted: {kind, address, sign}.
export function ownWallet() {
  let secret;
  try {
    secret = fromBase64url(JSON.parse(localStorage.getItem(KEY)).secret);
    if (secret.length !== 32) throw new Error("too short");
  } catch {
    secret = newSecret();
    localStorage.setItem(KEY, JSON.stringify({ secret: toBase64url(secret) }));
  }
  const address = addressOf(publicKey(secret));
  return { kind: "browser", address, sign: async (item) => signItem(secret, item) };
}

export const hasExtension = () => typeof window.arweaveWallet?.signDataItem === "function";

// The wallet of an extension. Rejects when its owner refuses.
export async function extensionWallet() {
  const wallet = window.arweaveWallet;
  try {
    await wallet.connect(["ACCESS_ADDRESS", "SIGN_TRANSACTION"]);
    const address = await wallet.getActiveAddress();
    return {
      kind: "extension", address,
      async sign(item) {
        const raw = new Uint8Array(await wallet.signDataItem(item));
        // An RSA signature of 512 bytes, or one of 64 or 65, follows the kind.
        const size = { 1: 512, 2: 64, 3: 65, 4: 64, 7: 65 }[raw[0] + 256 * raw[1]];
        if (!size) throw new Error("The wallet signed in a way that is not known here.");
        return { raw, id: addressOf(raw.subarray(2, 2 + size)) }; // an id is made of a signature as an address of a key
      },
    };
  } catch (error) {
    throw new Error(`The wallet refused: ${error?.message ?? error}. Nothing was sent.`);
  }
}
