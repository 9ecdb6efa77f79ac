// A deposit to the bridge's vault as a program written with arweave js makes it. Prints what it saw, as one JSON object.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
const Arweave = require("arweave");
const [, , url, walletPath, recipient] = process.argv;
const { hostname, port, protocol } = new URL(url);
const arweave = Arweave.init({ host: hostname, port, protocol: protocol.slice(0, -1) });
const wallet = JSON.parse(readFileSync(walletPath));
const get = (path) => fetch(url + path).then((reply) => reply.json());

const address = await arweave.wallets.jwkToAddress(wallet);
await fetch(`${url}/mint/${address}/${arweave.ar.arToWinston("10")}`);
const { arLocker } = await get("/bridge/info");

const tx = await arweave.createTransaction({ target: arLocker, quantity: arweave.ar.arToWinston("1.25") }, wallet);
tx.addTag("Type", "Transfer");
tx.addTag("Recipient", recipient);
await arweave.transactions.sign(tx, wallet);
const seen = { address, id: tx.id, posted: (await arweave.transactions.post(tx)).status, statuses: [] };
for (;;) {
  const entry = await get(`/bridge/tx/${tx.id}`);
  if (entry.status !== seen.statuses.at(-1)) seen.statuses.push(entry.status);
  seen.entry = entry;
  if (["success", "failed", "notOnChain"].includes(entry.status)) break;
  await fetch(url + "/mine");
}
console.log(JSON.stringify(seen));
