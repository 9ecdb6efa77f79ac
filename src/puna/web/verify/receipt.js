// What of a receipt is replayed, and the verdict on it.

const CANONICAL = "canonical-1";

// A receipt's JSON as {model, prompt, output, text, finish, limit, sampling, stop}. Throws an Error that says what is
// missing, or what cannot be replayed here.
export function readReceipt(receipt) {
  if (!receipt || typeof receipt !== "object" || Array.isArray(receipt)) throw new Error("This is no receipt: it is no JSON object.");
  const model = typeof receipt.model === "string" ? receipt.model : receipt.model?.id;
  if (!/^[A-Za-z0-9_-]{43}$/.test(model ?? "")) throw new Error("The receipt names no model.");
  if (receipt.arithmetic !== CANONICAL) {
    throw new Error(`Only ${CANONICAL} arithmetic can be replayed bit by bit; this answer's is ${String(receipt.arithmetic ?? "not said")}.`);
  }
  const ids = (name) => {
    const value = receipt[name];
    const token = (each) => Number.isInteger(each) && each >= 0 && each <= 0x7fffffff;
    if (!Array.isArray(value) || !value.every(token)) throw new Error(`The receipt has no ${name}.`);
    return value;
  };
  const prompt = ids("prompt_ids"), output = ids("output_ids");
  if (!prompt.length) throw new Error("The receipt's prompt is empty.");
  const given = receipt.parameters ?? {};
  const number = (value, otherwise) => {
    const read = value === undefined || value === null || value === "" ? otherwise : Number(value);
    if (!Number.isFinite(read)) throw new Error("A parameter of the receipt is no number.");
    return read;
  };
  const stop = given.stop === undefined || given.stop === null ? [] : [].concat(given.stop);
  if (!stop.every((each) => typeof each === "string" && each)) throw new Error("The receipt's stop texts are no texts.");
  // Without the number that was asked for: one more would have shown itself, unless the limit ended the answer.
  if (number(given.piece, 0) && number(given.temperature, 0)) {
    throw new Error("This answer was sampled in pieces, each with a seed that its worker drew: only a replay of the worker repeats it (puna verify).");
  }
  const limit = number(given.tokens, output.length + (receipt.finish === "length" ? 0 : 1));
  return {
    model, prompt, output, stop,
    text: typeof receipt.text === "string" ? receipt.text : "", finish: receipt.finish,
    said: typeof receipt.prompt === "string" ? receipt.prompt : null,
    limit: Math.max(1, Math.min(Math.trunc(limit), 1 << 20)),
    sampling: {
      temperature: number(given.temperature, 0), seed: readSeed(given.seed),
      top_p: number(given.top_p, 1), top_k: number(given.top_k, 0),
    },
  };
}

// JSON whose seeds are kept as they are written: they have 64 bits, a number of JavaScript 53.
export const parseExactly = (json) => JSON.parse(json, (key, value, context) =>
  key === "seed" && typeof value === "number" && !Number.isSafeInteger(value) && context?.source ? context.source : value);

function readSeed(seed) {
  if (typeof seed === "number" && !Number.isSafeInteger(seed)) throw new Error("The receipt's seed is too large for this browser to read exactly.");
  try {
    return BigInt(seed ?? 0); // 64 bits, more than a JSON number holds exactly
  } catch {
    throw new Error("The receipt's seed is no whole number.");
  }
}

// What of a text a worker commits: half a character at the end of an answer that ran out of tokens stays unsaid, and
// nothing at all is one blank where there were tokens, for an item cannot be without data.
function committed({ text, finish, tokens }) {
  const whole = finish === "stop" ? text : text.replace(/\ufffd$/, "");
  return whole || (tokens.length ? " " : "");
}

// {agrees, checks: [{name, agrees, why}], differsAt}: does what was replayed equal what the receipt says?
export function judge(receipt, again) {
  const length = Math.max(receipt.output.length, again.tokens.length);
  let differsAt = -1;
  for (let at = 0; at < length && differsAt < 0; at++) if (receipt.output[at] !== again.tokens[at]) differsAt = at;
  const text = committed(again);
  const checks = [
    {
      name: "Tokens", agrees: differsAt < 0,
      why: differsAt < 0 ? `all ${length} are the same` : `the first that differs is number ${differsAt + 1}`,
    },
    {
      name: "Text", agrees: receipt.text === text,
      why: receipt.text === text ? "the same, byte for byte" : "the receipt says something else than the model",
    },
  ];
  if (receipt.finish) {
    const agrees = receipt.finish === again.finish;
    checks.push({ name: "End", agrees, why: agrees ? `for the same reason: ${again.finish}` : "the answer does not end like that" });
  }
  return { agrees: checks.every((check) => check.agrees), checks, differsAt, text };
}
