// Everything that the aos command line (2.0.16, --legacy) sends, in its order, sent by the aoconnect that it stands on.
// Called by test_aos_sequence.py: aos.mjs PLACES-JSON WALLET-FILE MODULE-FILE. Source: protocol reference 7.1 to 7.3.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { strays } from "./offline.mjs";

const places = JSON.parse(process.argv[2]);
const wallet = JSON.parse(readFileSync(process.argv[3]));
process.env.GRAPHQL_URL = places.gateway + "/graphql";
const require = createRequire(process.cwd() + "/");
const { connect, createDataItemSigner } = await import(pathToFileURL(require.resolve("@permaweb/aoconnect")));
const { createData, ArweaveSigner } = require("@dha-team/arbundles");
const address = await require("arweave").init({}).wallets.jwkToAddress(wallet);

const signer = createDataItemSigner(wallet);
const ao = connect({ MODE: "legacy", GATEWAY_URL: places.gateway, MU_URL: places.mu, CU_URL: places.cu });
const AUTHORITY = "fcoN_xJeisVsPXA-trzVAuIiqO3ydLQxM-L4XbrQKzY"; // of the public network; aos always names it
const POLLS_MAX = 400; // a live feed that stays silent for this many looks is a failure
const seen = { runs: [] };

async function ask(query, variables) {
  const reply = await fetch(process.env.GRAPHQL_URL, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await reply.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data.transactions.edges.map((edge) => edge.node);
}

const named = (name) => ask(`query ($owners: [String!]!) {
  transactions(
    first: 10
    owners: $owners,
    tags: [
      { name: "Data-Protocol", values: ["ao"] },
      { name: "Type", values: ["Process"]},
      { name: "Name", values: ["${name}"]},
    ]
  ) { edges { node { id tags { name value } } } }
}`, { owners: [address, ""] });

const listed = () => ask(`query ($owners: [String!]!) {
  transactions(first: 100, owners: $owners, tags: [
    { name: "Data-Protocol", values: ["ao"] }, { name: "Type", values: ["Process"]} ]
  ) { edges { node { id owner { address } tags { name value } } } } }`, { owners: [address, ""] });

const moduleNamed = (name) => ask(`query FindAoModuleByName {
  transactions(first: 100, sort: HEIGHT_DESC, tags: [
    { name: "Type", values: ["Module"] }, { name: "Name", values: ["${name}"] } ]
  ) { edges { node { id tags { name value } block { timestamp } } } } }`);

// A name becomes a process: the wallet's of that name, or a new one.
async function start(name, { module, tags = [], data }) {
  const known = await named(name);
  if (known.length) return { process: known[0].id, spawned: false };
  const process = await ao.spawn({
    module, scheduler: places.scheduler, signer, data,
    tags: [
      { name: "App-Name", value: "aos" }, { name: "Name", value: name }, { name: "Authority", value: AUTHORITY },
      ...tags, { name: "aos-Version", value: "2.0.16" },
    ],
  });
  return { process, spawned: true };
}

// A line: posted, and its result fetched. aos tries either again on any error, at most 21 times.
async function persistently(attempt) {
  for (let left = 20; ; left -= 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!left) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
async function line(process, data) {
  const message = await persistently(() => ao.message({ process, signer, tags: [{ name: "Action", value: "Eval" }], data }));
  const result = await persistently(() => ao.result({ process, message }));
  if (!result.Output && !result.Error) throw new Error(JSON.stringify(result));
  return result;
}

// --run: no greeting, one evaluation, its text, an exit status.
async function run(name, code, options) {
  const { process, spawned } = await start(name, options);
  const { Output, Error: error } = await line(process, code);
  seen.runs.push({ process, spawned, text: error ?? Output?.data?.output ?? Output?.data, status: error ? 1 : 0 });
  return process;
}

// The live feed: where it is now, then what comes after, printed where the process says so.
class Live {
  async begin(process) {
    this.process = process;
    const { edges } = await ao.results({ process, sort: "DESC", limit: 5 });
    this.cursor = edges[0].cursor;
    return edges.length;
  }
  async next() {
    for (let looks = 0; looks < POLLS_MAX; looks += 1) {
      const { edges } = await ao.results({ process: this.process, from: this.cursor, sort: "ASC", limit: 1000 });
      if (edges.length) this.cursor = edges.at(-1).cursor;
      const ordinate = (edge) => Number(JSON.parse(Buffer.from(edge.cursor, "base64").toString()).ordinate);
      const printed = edges.filter(({ node }) => node.Output?.print === true && node.Output.data)
        .sort((one, other) => ordinate(one) - ordinate(other)).map(({ node }) => node.Output.data);
      if (printed.length) return printed;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error("nothing was printed");
  }
}

async function publish(bytes) {
  const item = createData(bytes, new ArweaveSigner(wallet), { tags: Object.entries({
    "Data-Protocol": "ao", Variant: "ao.TN.1", Type: "Module", Name: "aos-of-the-test",
    "Module-Format": "wasm64-unknown-emscripten-draft_2024_02_15", "Input-Encoding": "JSON-1", "Output-Encoding": "JSON-1",
    "Memory-Limit": "1-gb", "Compute-Limit": "9000000000000", "Content-Type": "application/wasm",
  }).map(([name, value]) => ({ name, value })) });
  await item.sign(new ArweaveSigner(wallet));
  const reply = await fetch(`${places.gateway}/tx`, {
    method: "POST", body: item.getRaw(), headers: { "Content-Type": "application/octet-stream" },
  });
  if (!reply.ok) throw new Error(await reply.text());
  return item.id;
}

async function session(module, name) {
  const told = {};
  const trusted = [{ name: "Authority", value: places.authority }];
  await run(`${name}-run`, "1 + 1", { module });
  await run(`${name}-run`, "error('no')", { module });
  await run(`${name}-run`, "1 + 1", { module });

  const { process, spawned } = await start(name, { module, tags: trusted, data: "Said = 'by the data'" });
  told.spawned = spawned;
  const greeting = await line(process, "require('.process')._version"); // repeated by aos until there is a prompt
  told.version = greeting.Output.data?.output ?? greeting.Output.data;
  told.prompt = greeting.Output.prompt ?? greeting.Output.data?.prompt;
  const live = new Live();
  told.newest = await live.begin(process);

  told.loaded = (await line(process, "function double(n) return 2 * n end")).Error ?? "loaded"; // as .load sends a file
  told.line = (await line(process, "double(21)")).Output.data;
  told.failed = (await line(process, "nobody.here")).Error;
  const dry = await ao.dryrun({ process, Owner: address, tags: [{ name: "Action", value: "Eval" }], data: "double(4)" });
  told.dry = dry.Output.data;

  // Another process speaks: one whose messenger is trusted is printed, one of a process that trusts nobody is not.
  const other = (await start(`${name}-other`, { module, tags: trusted })).process;
  const said = (target) => line(other, `Send({ Target = '${target}', Data = 'good day' })`);
  await said(process);
  told.printed = await live.next();
  const deaf = (await start(`${name}-run`, { module })).process;
  const deafLive = new Live();
  await deafLive.begin(deaf);
  await said(deaf);
  told.untrusted = await deafLive.next();
  told.readById = (await (await fetch(`${places.gateway}/tx/${process}`)).status);
  told.listed = (await listed()).map(({ id }) => id).includes(process);
  return told;
}

const published = await publish(readFileSync(process.argv[4]));
seen.moduleFound = (await moduleNamed("aos-of-the-test"))[0].id === published;
seen.ours = await session(places.module, "ours");
seen.published = await session(published, "published");
// --cron: two tags more at the spawn.
const cron = [{ name: "Cron-Interval", value: "10-minutes" }, { name: "Cron-Tag-Action", value: "Cron" }];
seen.cron = (await line((await start("with-cron", { module: places.module, tags: cron })).process, "#Inbox")).Error ?? "fine";
seen.strays = strays;
console.log(JSON.stringify(seen));
process.exit(0);
