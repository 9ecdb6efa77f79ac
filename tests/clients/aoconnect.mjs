// Every function of @permaweb/aoconnect in its legacy mode against a node, with an RSA and with an Ethereum signer.
// Called by test_ao_clients.py: aoconnect.mjs PLACES-JSON WALLET-FILE; prints what came back as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { strays } from "./offline.mjs";

const places = JSON.parse(process.argv[2]);
process.env.GRAPHQL_URL = places.gateway + "/graphql"; // where its part that finds schedulers looks, read at import
const require = createRequire(process.cwd() + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)));
const aoconnect = await load("@permaweb/aoconnect");
const arbundles = require("@dha-team/arbundles");

const jwk = JSON.parse(readFileSync(process.argv[3]));
const { connect, createDataItemSigner, serializeCron } = aoconnect;
const ao = connect({
  MODE: "legacy", GATEWAY_URL: places.gateway, GRAPHQL_URL: places.gateway + "/graphql", MU_URL: places.mu, CU_URL: places.cu,
});

function ethereumSigner(key) {
  const signer = new arbundles.EthereumSigner(key);
  return async (create) => {
    const toSign = await create({ type: 3, publicKey: signer.publicKey, alg: "ecdsa" });
    return { signature: await signer.sign(toSign), address: "0x" };
  };
}

async function story(signer, name) {
  const seen = {};
  const cron = serializeCron({ interval: "10-minutes", tags: [{ name: "Action", value: "Cron" }] });
  const process = await ao.spawn({
    module: places.module, scheduler: places.scheduler, signer,
    tags: [{ name: "Name", value: name }, { name: "Authority", value: places.authority }, ...cron],
  });
  seen.process = process;
  const evaluate = async (data) => {
    const message = await ao.message({ process, signer, tags: [{ name: "Action", value: "Eval" }], data });
    return { message, result: await ao.result({ process, message }) };
  };
  seen.boot = await ao.result({ process, message: process });
  const one = await evaluate("N = 1 return 1 + 1");
  seen.one = one.result;
  seen.failed = (await evaluate("error('boom')")).result;
  seen.loud = (await evaluate("Handlers.add('Hi', 'Hi', function(m) m.reply({Data = 'hi ' .. m.From}) end) return N")).result;
  seen.dry = await ao.dryrun({ process, tags: [{ name: "Action", value: "Hi" }], Owner: "somebody" });
  seen.dryPlain = await ao.dryrun({ process, tags: [{ name: "Action", value: "Hi" }] });
  seen.page = await ao.results({ process, limit: 2 });
  seen.next = await ao.results({ process, from: seen.page.edges[1].cursor, sort: "ASC", limit: 10 });
  seen.newest = await ao.results({ process, sort: "DESC", limit: 1 });
  const monitored = await ao.monitor({ process, signer });
  seen.monitored = monitored.length;
  seen.twice = await ao.monitor({ process, signer }).then(() => "accepted", (error) => error.message);
  seen.unmonitored = (await ao.unmonitor({ process, signer })).length;
  const other = await ao.spawn({ module: places.module, scheduler: places.scheduler, signer, tags: [{ name: "Name", value: name + " other" }] });
  const assignment = await ao.assign({ process: other, message: one.message, exclude: ["Data"] });
  seen.assigned = await ao.result({ process: other, message: assignment });
  const signed = await ao.signMessage({ process, signer, tags: [{ name: "Action", value: "Eval" }], data: "return N + 1" });
  const sent = await ao.sendSignedMessage(signed);
  seen.sent = await ao.result({ process, message: sent });
  // The four that look for the scheduler first.
  const { slot } = await ao.message({ process, signer, tags: [{ name: "Action", value: "Eval" }], data: "return N + 2", returnAssignmentSlot: true, returnMessageId: true });
  seen.slot = slot;
  seen.lastSlot = await ao.getLastSlot({ processId: process });
  const feed = await ao.getMessages({ processId: process, from: "0", to: String(Date.now() + 60000), limit: "3" });
  seen.feed = { ids: feed.edges.map((edge) => edge.node.message.id), more: feed.page_info.has_next_page };
  seen.byId = (await ao.getMessageById({ processId: process, messageId: one.message })).message.data;
  seen.firstIds = [process, one.message];
  return seen;
}

const rsa = await story(createDataItemSigner(jwk), "rsa");
const ethereum = await story(ethereumSigner("46".repeat(32)), "ethereum");
const unknown = await ao.message({ process: "A".repeat(43), signer: createDataItemSigner(jwk), data: "x" }).then(() => "accepted", (error) => error.message);
const noModule = await ao.spawn({ module: "A".repeat(43), scheduler: places.scheduler, signer: createDataItemSigner(jwk) }).then(() => "accepted", (error) => error.message);
console.log(JSON.stringify({ rsa, ethereum, unknown, noModule, strays }));
process.exit(0);
