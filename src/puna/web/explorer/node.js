// What the explorer asks of its node and of the node's units. Errors are Errors with the node's own words.

import { parseExactly } from "../verify/receipt.js";

const known = new Map();

async function read(reply) {
  const body = await reply.text();
  let value = null;
  try {
    value = parseExactly(body);
  } catch {
    if (reply.ok) throw new Error("The node's answer was not understood.");
  }
  if (!reply.ok) throw new Error(value?.error ?? (body.slice(0, 300) || `The node answered ${reply.status}.`));
  return value;
}

export const get = async (url) => read(await fetch(url));
export const post = async (url, value) =>
  read(await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) }));

// Something asked for once and then known; what failed is asked for again.
function once(key, ask) {
  if (!known.has(key)) known.set(key, ask().catch((error) => {
    known.delete(key);
    throw error;
  }));
  return known.get(key);
}

export const network = () => once("network", () => get("/network"));
// As it is now: Llama Land is raised some time after the rest.
export const networkNow = () => {
  known.delete("network");
  return network();
};
export const info = () => get("/info");
const unit = async (name) => (await network()).units[name];

// --- names ---

let names = {};
export async function loadNames() {
  names = await get("/web/api/names");
  return names;
}
export const nameOf = (id) => names[id];
// A process that was born meanwhile.
export const learnName = (id, name) => name && !(id in names) && (names[id] = { name, standing: false });

// --- the web room's own ---

export const recent = (limit = 50) => get(`/web/api/recent?limit=${limit}`);
export const tree = (id) => get(`/web/api/tree/${encodeURIComponent(id)}`);
export const gas = (process) => get(`/web/api/gas/${encodeURIComponent(process)}`);
export const find = (text) => get(`/web/api/find?q=${encodeURIComponent(text)}`);
export const answers = () => get("/web/api/herd");
export const gift = (address) => post("/web/api/gift", { address });

const SOON_MS = 15, BUSY_MS = 60;
const WANTED_MAX = 200; // what more is wanted at once is not looked at: it has scrolled away before it could be told
let wanted = [];
let asking = null;
let asked = 0;
// A message's summary and place, null when it is not here. Those asked for within a few milliseconds are asked for
// together, and on a busy network more of them.
export function messageSummary(id) {
  if (wanted.length >= WANTED_MAX) return Promise.resolve(null);
  const found = new Promise((resolve) => wanted.push([id, resolve]));
  asking ??= setTimeout(async () => {
    const batch = wanted;
    wanted = [];
    asking = null;
    asked = performance.now();
    for (let at = 0; at < batch.length; at += 50) {
      const part = batch.slice(at, at + 50);
      const told = await get(`/web/api/messages?ids=${part.map(([id]) => id).join(",")}`).catch(() => []);
      const byId = new Map(told.map((each) => [each.id, each]));
      for (const [id, resolve] of part) resolve(byId.get(id) ?? null);
    }
  }, performance.now() - asked > 2 * BUSY_MS ? SOON_MS : BUSY_MS);
  return found;
}

// --- units ---

export const result = async (process, message) =>
  get(`${await unit("cu")}/result/${encodeURIComponent(message)}?process-id=${encodeURIComponent(process)}`);

// Entries of a schedule from one nonce to another, both included; the scheduler counts from after the first.
export const schedule = async (process, from, to) =>
  get(`${await unit("su")}/${encodeURIComponent(process)}?from-nonce=${from - 1}&to-nonce=${to}&limit=${to - from + 1}`);

export const newest = async (process) => get(`${await unit("su")}/${encodeURIComponent(process)}/latest`);

// What a process would answer now, to `tags` {name: value} or [{name, value}].
export async function dryRun(process, tags, data = "", owner = "") {
  const list = Array.isArray(tags) ? tags : Object.entries(tags).map(([name, value]) => ({ name, value: String(value) }));
  const from = owner || process;
  const message = { Id: "1234", Target: process, Owner: from, From: from, Anchor: "0", Data: data || "1234", Tags: list };
  return post(`${await unit("cu")}/dry-run?process-id=${encodeURIComponent(process)}`, message);
}

// The tags and data of the first answer with that Action in a result; null when there is none.
export function answerOf(result, action) {
  for (const message of result?.Messages ?? []) {
    const tags = tagsOf(message.Tags);
    if (tags.Action === action) return { tags, data: typeof message.Data === "string" ? message.Data : "" };
  }
  return null;
}

export function tagsOf(list) {
  const tags = Object.create(null);
  for (const tag of Array.isArray(list) ? list : []) {
    if (typeof tag?.name === "string" && !(tag.name in tags)) tags[tag.name] = String(tag.value ?? "");
  }
  return tags;
}

export async function submit(raw) {
  const headers = { "Content-Type": "application/octet-stream" };
  return read(await fetch((await unit("mu")) + "/", { method: "POST", headers, body: raw }));
}

// --- the gateway ---

export async function graphql(query, variables = {}) {
  const told = await post("/graphql", { query, variables });
  if (told.errors?.length) throw new Error(told.errors[0].message);
  return told.data;
}

const ITEM = "id anchor recipient owner { address } data { size type } tags { name value } block { height timestamp } bundledIn { id }";
export const item = async (id) => (await graphql(`query($id: ID!) { transaction(id: $id) { ${ITEM} } }`, { id })).transaction;

export async function items(filter, after = null, first = 25) {
  const query = `query($owners: [String!], $recipients: [String!], $tags: [TagFilter!], $block: BlockFilter, $after: String, $first: Int) {
    transactions(owners: $owners, recipients: $recipients, tags: $tags, block: $block, after: $after, first: $first) {
      pageInfo { hasNextPage } edges { cursor node { ${ITEM} } } } }`;
  return (await graphql(query, { ...filter, after, first })).transactions;
}

// Up to `limit` bytes of an item's data, as bytes.
export async function dataOf(id, limit) {
  const reply = await fetch(`/raw/${encodeURIComponent(id)}`, { headers: { Range: `bytes=0-${limit - 1}` } });
  if (reply.status === 416) return new Uint8Array();
  if (!reply.ok) throw new Error(`The data of ${id} cannot be had: ${reply.status}.`);
  return new Uint8Array(await reply.arrayBuffer());
}

// --- coins ---

// A token process's {name, ticker, denomination}; null for what is no token.
export const token = (process) => once("token " + process, async () => {
  for (const message of (await dryRun(process, { Action: "Info" })).Messages ?? []) {
    const tags = Object.fromEntries(Object.entries(tagsOf(message.Tags)).map(([name, value]) => [name.toLowerCase(), value]));
    if (tags.ticker && /^\d{1,2}$/.test(tags.denomination ?? "")) {
      return { name: tags.name ?? "", ticker: tags.ticker, denomination: Number(tags.denomination) };
    }
  }
  return null;
});

export async function balance(process, address) {
  for (const message of (await dryRun(process, { Action: "Balance", Recipient: address }, "", address)).Messages ?? []) {
    const tags = tagsOf(message.Tags);
    const units = tags.Balance ?? tags.balance;
    if (/^\d+$/.test(units ?? "")) return units;
  }
  throw new Error("The token did not answer.");
}

// Units of a coin as decimal text with every digit that matters.
export function coins(units, denomination) {
  const digits = String(units).replace(/^0+(?=\d)/, "").padStart(denomination + 1, "0");
  const whole = digits.slice(0, digits.length - denomination);
  const rest = denomination ? digits.slice(-denomination).replace(/0+$/, "") : "";
  return rest ? `${whole}.${rest}` : whole;
}
