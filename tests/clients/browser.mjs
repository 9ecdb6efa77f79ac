// What a page does with the browser build of @permaweb/aoconnect: spawn, ask, read and dry-run, with a wallet that an
// extension would inject and with a key made in the page. Called by test_browser.py, which gives PLACES and a JWK.
import { connect, createDataItemSigner } from "/aoconnect.js";

// What a wallet extension puts into every page. The signing is that of arbundles' web build.
function injectedWallet(jwk) {
  const signer = new arbundles.ArweaveSigner(jwk);
  return {
    asked: [],
    async connect(permissions) {
      this.asked.push(...permissions);
    },
    async signDataItem({ data, tags, target, anchor }) {
      const item = arbundles.createData(data ?? "", signer, { tags, target, anchor });
      await item.sign(signer);
      return item.getRaw();
    },
  };
}

// A key made in the page. It is Ethereum's: with an RSA key of its own a page cannot sign, because aoconnect 0.0.98
// checks the finished item with a key that Chromium's WebCrypto refuses ("n" is bytes there, not base64url).
function pageSigner() {
  const secret = Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, "0"));
  const key = new arbundles.EthereumSigner(secret.join(""));
  const signer = async (create) => {
    const toSign = await create({ type: 3, publicKey: key.publicKey, alg: "ecdsa" });
    return { signature: await key.sign(toSign), address: "0x" };
  };
  return { signer, owner: Array.from(key.publicKey) };
}

async function story(ao, places, signer) {
  const process = await ao.spawn({
    module: places.module, scheduler: places.scheduler, signer,
    tags: [{ name: "Authority", value: places.authority }],
  });
  const data = "Handlers.add('Hi', 'Hi', function(m) m.reply({Data = 'hi ' .. m.From}) end) return Owner .. ' ñandú'";
  const message = await ao.message({ process, signer, tags: [{ name: "Action", value: "Eval" }], data });
  return {
    process, message,
    boot: await ao.result({ process, message: process }),
    result: await ao.result({ process, message }),
    results: await ao.results({ process, sort: "DESC", limit: 1 }),
    dry: await ao.dryrun({ process, tags: [{ name: "Action", value: "Hi" }], Owner: "somebody" }),
  };
}

export async function tell(places, jwk) {
  const ao = connect({ MODE: "legacy", GATEWAY_URL: places.gateway, MU_URL: places.mu, CU_URL: places.cu });
  window.arweaveWallet = injectedWallet(jwk);
  const page = pageSigner();
  const unknown = { process: "A".repeat(43), signer: page.signer, data: "x" };
  return {
    injected: await story(ao, places, createDataItemSigner(window.arweaveWallet)),
    asked: window.arweaveWallet.asked,
    page: await story(ao, places, page.signer),
    owner: page.owner,
    unknown: await ao.message(unknown).then(() => "accepted", (error) => error.message),
    network: await (await fetch(places.gateway + "/network")).json(),
    clock: await (await fetch(places.su + "/timestamp")).json(),
  };
}
