// Transactions of arweave js reach processes: assigned by aoconnect, and read as files by a published aos.
// Called by test_base_layer_clients.py: base-layer.mjs PLACES-JSON MODULE-FILE; prints what it saw as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { strays } from "./offline.mjs";

const places = JSON.parse(process.argv[2]);
const wallet = JSON.parse(readFileSync(places.wallet.path));
const require = createRequire(process.cwd() + "/");
const { connect, createDataItemSigner } = await import(pathToFileURL(require.resolve("@permaweb/aoconnect")));
const { createData, ArweaveSigner } = require("@dha-team/arbundles");
const { hostname, port } = new URL(places.gateway);
const arweave = require("arweave").init({ protocol: "http", host: hostname, port });
const address = await arweave.wallets.jwkToAddress(wallet);
const signer = createDataItemSigner(wallet);
const ao = connect({ MODE: "legacy", GATEWAY_URL: places.gateway, MU_URL: places.mu, CU_URL: places.cu });
const mine = (count) => fetch(`${places.gateway}/mine/${count}`);
const failure = (promise) => promise.then(() => "accepted", (error) => error.message);

async function post(data, tags) {
  const transaction = await arweave.createTransaction({ data }, wallet);
  for (const [name, value] of Object.entries(tags)) transaction.addTag(name, value);
  await arweave.transactions.sign(transaction, wallet);
  const uploader = await arweave.transactions.getUploader(transaction);
  while (!uploader.isComplete) await uploader.uploadChunk();
  return transaction;
}
async function upload(data, tags) {
  const named = Object.entries({ "Data-Protocol": "ao", Variant: "ao.TN.1", ...tags });
  const item = createData(data, new ArweaveSigner(wallet), { tags: named.map(([name, value]) => ({ name, value })) });
  await item.sign(new ArweaveSigner(wallet));
  const headers = { "Content-Type": "application/octet-stream" };
  const reply = await fetch(`${places.gateway}/tx`, { method: "POST", body: item.getRaw(), headers });
  if (!reply.ok) throw new Error(await reply.text());
  return item.id;
}
async function spawn(module, tags) {
  return ao.spawn({ module, scheduler: places.scheduler, signer, tags: Object.entries(tags).map(([name, value]) => ({ name, value })) });
}
async function evaluate(process, data) {
  const message = await ao.message({ process, signer, tags: [{ name: "Action", value: "Eval" }], data });
  const { Output, Error: error } = await ao.result({ process, message });
  return error ?? Output.data;
}

const module = await upload(readFileSync(process.argv[3]), {
  Type: "Module", "Module-Format": "wasm64-unknown-emscripten-draft_2024_02_15", "Input-Encoding": "JSON-1",
  "Output-Encoding": "JSON-1", "Memory-Limit": "1-gb", "Compute-Limit": "9000000000000",
});
const small = await post("Got = 'from layer 1'", { Action: "Eval" });
const bytes = new Uint8Array(600000).map((_, at) => 32 + (at % 90));
const big = await post(bytes, { "Content-Type": "text/plain" });
await upload(" ", { Type: "Attestation", Message: big.id });
const seen = { address, id: small.id, anchor: small.last_tx, signature: small.signature };

const process_ = await spawn(module, { "Settlement-Depth": "60", Extension: "WeaveDrive", Attestor: address });
// An aos process takes assignments only where it said so.
await evaluate(process_, "ao.addAssignable('any', function() return true end) Kept = {}");
await evaluate(process_, "Handlers.prepend('Keep', function() return 'continue' end, function(m) Kept[m.Id] = m end)");
const assign = (message, options) => ao.assign({ process: process_, message, ...options });
await mine(1);
seen.fresh = await failure(assign(small.id, { baseLayer: true }));
await mine(60); // more blocks than the node makes by itself meanwhile
const assignment = await assign(small.id, { baseLayer: true });
seen.result = await ao.result({ process: process_, message: assignment });
const fields = "Id From Owner Target Anchor Signature Data".split(" ").map((name) => `m.${name}`).join(", ");
const told = await evaluate(process_, `local m = Kept['${small.id}'] return require('json').encode({ ${fields} })`);
if (!told.startsWith("[")) throw new Error(told);
seen.told = JSON.parse(told);
seen.ran = await evaluate(process_, "return Got"); // its owner is the process's, so the process did what it says
await assign(big.id, { baseLayer: true, exclude: ["Data"] });
seen.excluded = await evaluate(process_, `local m = Kept['${big.id}'] return m.Id .. ' ' .. type(m.Data)`);
seen.bigId = big.id;
const file = (path) => `local f = io.open('${path}') local n = f:seek('end') local s = f:read(n) f:close() `;
seen.size = await evaluate(process_, file(`/data/${big.id}`) + "return #s .. s:sub(-5)");
seen.expectedSize = "600000" + Buffer.from(bytes.slice(-5)).toString();
seen.json = JSON.parse(await evaluate(process_, file(`/tx/${small.id}`) + "return s"));
seen.strays = strays;
console.log(JSON.stringify(seen));
process.exit(0);
