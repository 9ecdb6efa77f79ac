// @permaweb/ao-scheduler-utils, unmodified, against a node. Called by test_scheduler_utils.py with PLACES-JSON and a
// WALLET-FILE; prints what it found as JSON.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { passMs, routerAsked, strays } from "./offline.mjs";

const places = JSON.parse(process.argv[2]);
const wallet = JSON.parse(readFileSync(process.argv[3]));
process.env.GRAPHQL_URL = `${places.gateway}/graphql`;
const require = createRequire(process.cwd() + "/");
const load = (name) => import(pathToFileURL(require.resolve(name).replace(/index\.cjs$/, "index.js")));
const utils = await load("@permaweb/ao-scheduler-utils");
const { createData, ArweaveSigner } = require("@dha-team/arbundles");
const Arweave = require("arweave");

const signer = new ArweaveSigner(wallet);
const address = await Arweave.init({}).wallets.jwkToAddress(wallet);
const upload = async (tags, data = " ") => {
  const named = Object.entries({ "Data-Protocol": "ao", Variant: "ao.TN.1", ...tags });
  const item = createData(data, signer, { tags: named.map(([name, value]) => ({ name, value })) });
  await item.sign(signer);
  const reply = await fetch(`${places.gateway}/tx`, { method: "POST", body: item.getRaw(), headers: { "Content-Type": "application/octet-stream" } });
  if (!reply.ok) throw new Error(await reply.text());
  return item.id;
};
const failure = (promise) => promise.then((found) => found, (error) => error.name);
const seen = { address };

// The node's own scheduler, through the functions of the package itself and through a connection.
seen.own = await utils.locate(places.herder);
seen.ownHinted = await utils.connect({ GRAPHQL_URL: process.env.GRAPHQL_URL }).locate(places.token, places.scheduler);
seen.ownRaw = await utils.raw(places.scheduler);
seen.valid = await utils.validate(places.scheduler);
const getProcess = utils.connect({ GRAPHQL_URL: process.env.GRAPHQL_URL, HB_GRAPHQL_URL: places.gateway }).getProcess;
const shown = await getProcess(places.herder);
seen.shown = { id: shown.id, type: shown.tags.find((tag) => tag.name === "Type").value, size: Number(shown.data.size) };

// A scheduler of another wallet moves: its older record counts until its time to live is over.
const client = utils.connect({ GRAPHQL_URL: process.env.GRAPHQL_URL, followRedirects: false });
const moved = await upload({ Type: "Process", Module: places.module, Scheduler: address });
seen.noRecord = await failure(client.locate(moved));
await upload({ Type: "Scheduler-Location", "Time-To-Live": "60000" });
seen.noUrl = await failure(client.locate(moved));
await upload({ Type: "Scheduler-Location", Url: "http://127.0.0.1:1/old/", "Time-To-Live": "60000" });
seen.before = [await client.locate(moved), await client.raw(address)];
await upload({ Type: "Scheduler-Location", Url: "http://127.0.0.1:2/new", "Time-To-Live": "60000" });
await fetch(`${places.gateway}/mine`);
await passMs(59000);
seen.within = [await client.locate(moved), await client.raw(address)];
await passMs(2000);
seen.stale = [await client.locate(moved), await client.raw(address)]; // it gives what is over a last time
seen.after = [await client.locate(moved), await client.raw(address)];
seen.unknown = await failure(client.locate("A".repeat(43)));

// The record may name a router, which sends on to the scheduler of a process.
const router = createServer((request, response) => {
  response.writeHead(307, { Location: places.su + request.url }).end();
});
await new Promise((resolve) => router.listen(0, "127.0.0.1", resolve));
await upload({ Type: "Scheduler-Location", Url: `http://127.0.0.1:${router.address().port}`, "Time-To-Live": "60000" });
const following = utils.connect({ GRAPHQL_URL: process.env.GRAPHQL_URL, followRedirects: true });
seen.behindRouter = await following.locate(moved);
router.close();

seen.routerAsked = routerAsked;
seen.strays = strays;
console.log(JSON.stringify(seen));
process.exit(0);
