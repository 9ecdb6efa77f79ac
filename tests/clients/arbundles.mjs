// What a program written with arbundles does: items of each signer, a bundle in a transaction, bundles read back.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
const Arweave = require("arweave");
const { ArweaveSigner, EthereumSigner, SolanaSigner, createData, bundleAndSignData, unbundleData, DataItem } =
  require("@dha-team/arbundles");
const [, , url, walletPath] = process.argv;
const { hostname, port, protocol } = new URL(url);
const arweave = Arweave.init({ host: hostname, port, protocol: protocol.slice(0, -1) });
const wallet = JSON.parse(readFileSync(walletPath));
const rsa = new ArweaveSigner(wallet);
const seen = { items: [] };
const post = (item, path) =>
  fetch(url + path, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: item.getRaw() });
const text = async (id) => (await fetch(`${url}/${id}`)).text();

const tags = [{ name: "App", value: "test" }, { name: "App", value: "twice" }, { name: "Ünicode", value: "ä" }];
const options = { tags, target: "B".repeat(42) + "A", anchor: "an anchor of thirty-two letters." };
for (const [signer, path] of [[rsa, "/tx"], [new EthereumSigner("11".repeat(32)), "/tx/arweave"]]) {
  for (const given of [options, {}]) {
    const item = createData("data of " + path, signer, given);
    await item.sign(signer);
    const reply = await post(item, path);
    const receipt = await reply.json();
    seen.items.push([reply.status, receipt.id === item.id, (await text(item.id)) === "data of " + path]);
  }
}
const broken = createData("broken", rsa);
await broken.sign(rsa);
broken.getRaw()[broken.getRaw().length - 1] ^= 1;
seen.broken = await post(broken, "/tx").then(async (r) => [r.status, await r.text()]);

// A bundle of theirs in a transaction, with a bundle within it.
const leaf = createData("leaf", rsa);
const inner = await bundleAndSignData([leaf], rsa);
const nested = createData(inner.getRaw(), rsa, { tags: [
  { name: "Bundle-Format", value: "binary" }, { name: "Bundle-Version", value: "2.0.0" } ] });
const bundle = await bundleAndSignData([createData("first", rsa), nested], rsa);
const tx = await bundle.toTransaction({}, arweave, wallet);
await arweave.transactions.sign(tx, wallet);
seen.bundlePosted = (await arweave.transactions.post(tx)).status;
await fetch(url + "/mine");
seen.first = await text(bundle.get(0).id);
seen.leaf = await text(leaf.id);
const asked = await arweave.api.post("/graphql", { query: `{ transactions(ids: ["${leaf.id}"]) {
  edges { node { bundledIn { id } parent { id } block { height } } } } }` });
seen.leafNode = asked.data.data.transactions.edges[0].node;
seen.nestedId = nested.id;

// A bundle of the node's own, read by arbundles.
const ours = (await (await fetch(url + "/block/current")).json()).txs.filter((id) => id !== tx.id)[0];
const read = await unbundleData(Buffer.from(await (await fetch(`${url}/${ours}`)).arrayBuffer()));
seen.ours = [read.getIds().length, await read.verify(), (await Promise.all(
  read.items.map((item) => DataItem.verify(item.getRaw())))).every(Boolean)];
seen.oursVerifies = await arweave.transactions.verify(await arweave.transactions.get(ours));
console.log(JSON.stringify(seen));
