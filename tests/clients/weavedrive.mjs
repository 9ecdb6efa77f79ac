// @permaweb/weavedrive in the reference loader, told to evaluate messages on a published module. Called by
// test_weavedrive.py: weavedrive.mjs JOB-JSON; prints the results, and each request that the drive made.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--experimental-wasm-memory64"); // before anything of the module is compiled
const require = createRequire(process.cwd() + "/");
const job = JSON.parse(process.argv[2]);
const drive = require("@permaweb/weavedrive");
const load = require(job.loader);

const requests = [];
const plainFetch = globalThis.fetch;
globalThis.fetch = async (url, options = {}) => {
  const response = await plainFetch(url, options);
  const { pathname } = new URL(url);
  requests.push([options.method ?? "GET", pathname, options.headers?.Range ?? null, response.status]);
  return response;
};

// The loader awaits nothing of a drive that refuses a file: the rejection has no owner, the evaluation no end.
let halt;
const halted = new Promise((resolve) => (halt = resolve));
process.on("unhandledRejection", (error) => halt({ halted: String(error.message ?? error) }));

const { Process, Module } = job.environment;
const party = ({ Id, Owner, Tags }) => ({ id: Id, owner: Owner, tags: Tags });
const evaluate = await load(readFileSync(job.module), {
  format: job.format, inputEncoding: "JSON-1", outputEncoding: "JSON-1", memoryLimit: "2-gb", computeLimit: job.gas,
  extensions: ["WeaveDrive"], spawn: party(Process), module: party(Module), WeaveDrive: drive, ARWEAVE: job.gateway,
  UNSAFE_MEMORY: true,
});
const results = [];
for (const message of job.messages) {
  const answer = evaluate(null, message, job.environment).then(({ Memory, ...result }) => result);
  const result = await Promise.race([answer, halted]);
  results.push(result);
  if (result.halted) break; // the instance stands still in the middle of a call
}
process.stdout.write(JSON.stringify({ results, requests }) + "\n", () => process.exit(0));
