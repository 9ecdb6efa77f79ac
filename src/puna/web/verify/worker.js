// The worker that verifies, so that the page stays alive: fetches kernel and model, replays, and tells how it goes.
// Told {receipt, gateway}; tells {step, done, of, text} while it works and {verdict} or {error} at the end.
import { Speech, replay } from "./answer.js";
import { checkItem } from "./item.js";
import { Kernel } from "./kernel.js";
import { judge, readReceipt } from "./receipt.js";

const tell = (message) => postMessage(message);

onmessage = async ({ data: { receipt, gateway } }) => {
  try {
    tell({ verdict: await verify(readReceipt(receipt), gateway) });
  } catch (error) {
    tell({ error: error.message });
  }
};

async function verify(receipt, gateway) {
  tell({ step: "Fetching the kernel" });
  const module = await bytesOf(gateway + "/web/puna-kernel.wasm");
  tell({ step: "Fetching the model" });
  const file = await bytesOf(`${gateway}/raw/${receipt.model}`, (done, of) => tell({ step: "Fetching the model", done, of }));
  tell({ step: "Checking the model's signature" });
  const signed = await checkItem(await transaction(gateway, receipt.model), file);
  if (signed.ok === false) throw new Error(`What the node gave us is not the model that was signed: ${signed.why}.`);
  tell({ step: "Loading the model" });
  const kernel = await Kernel.load(module, file);
  const speech = new Speech(kernel.gguf);
  const { prompt, output } = receipt;
  if (prompt.concat(output).some((token) => token >= kernel.config.vocab)) throw new Error("The receipt has token ids that this model does not have.");
  if (prompt.length + output.length > kernel.config.context) throw new Error("The receipt has more tokens than this model's context.");
  const limit = Math.min(receipt.limit, kernel.config.context - prompt.length);
  tell({ step: "Replaying", done: 0, of: output.length });
  const started = performance.now();
  const again = replay(kernel, speech, { prompt, limit, sampling: receipt.sampling, stop: receipt.stop }, (count, text) => {
    tell({ step: "Replaying", done: count, of: output.length, text });
    // One differing token settles it: the rest would be an answer to something else.
    return count <= output.length;
  });
  return {
    ...judge(receipt, again),
    promptText: speech.read(prompt), tokens: again.tokens.length, seconds: (performance.now() - started) / 1000,
    model: signed.ok ? "signed" : signed.why,
  };
}

async function bytesOf(url, onProgress = () => {}) {
  const reply = await fetch(url);
  if (!reply.ok) throw new Error(`${new URL(url, location.href).pathname} cannot be had: ${reply.status}.`);
  const packed = reply.headers.get("content-encoding");
  const size = packed ? 0 : Number(reply.headers.get("content-length") ?? 0);
  let whole = new Uint8Array(size || 1 << 20);
  let done = 0;
  for (const reader = reply.body.getReader(); ; ) {
    const { value, done: end } = await reader.read();
    if (end) return whole.subarray(0, done);
    if (done + value.length > whole.length) {
      const larger = new Uint8Array(2 * (done + value.length));
      larger.set(whole.subarray(0, done));
      whole = larger;
    }
    whole.set(value, done);
    done += value.length;
    onProgress(done, size);
  }
}

async function transaction(gateway, id) {
  const query = `query($id: ID!) { transaction(id: $id) { id signature anchor recipient owner { key } tags { name value } } }`;
  const reply = await fetch(gateway + "/graphql", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ query, variables: { id } }),
  });
  const found = (await reply.json()).data?.transaction;
  if (!found) throw new Error(`There is no model ${id} here.`);
  return found;
}
