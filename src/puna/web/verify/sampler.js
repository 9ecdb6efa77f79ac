// Choosing the next token, exactly as puna/llm/sampler.py does: additions, multiplications, divisions and roundings in
// double precision, one rounding each, which JavaScript does as every other machine. `Math.exp` is not used: its last
// bit is the browser's own.
import { sha256 } from "../vendor/noble/sha2.js";
import { concat } from "./bytes.js";

const EXPONENT_MIN = -40;
const LN2_HIGH = 0x162e42fee00000 / 0x20000000000000; // 0x1.62e42fee00000p-1
const LN2_LOW = 0x1a39ef35793c76 / 0x20000000000000 / 0x100000000; // 0x1.a39ef35793c76p-33
const INVERSE_LN2 = 0x171547652b82fe / 0x10000000000000; // 0x1.71547652b82fep+0
const TAYLOR = [
  1 / 6227020800, 1 / 479001600, 1 / 39916800, 1 / 3628800, 1 / 362880, 1 / 40320, 1 / 5040, 1 / 720, 1 / 120, 1 / 24,
  1 / 6, 0.5, 1, 1,
];
const HALVES = [1]; // 2^-n, by halving: exact in every browser
for (let n = 1; n < 128; n++) HALVES.push(HALVES[n - 1] / 2);
const ROUND = 6755399441055744; // 1.5 * 2^52: adding and taking it away rounds to the nearest, ties to even

function exponential(value) {
  const halvings = value * INVERSE_LN2 + ROUND - ROUND;
  let rest = value - halvings * LN2_HIGH;
  rest -= halvings * LN2_LOW;
  let result = TAYLOR[0];
  for (const coefficient of TAYLOR.slice(1)) {
    result *= rest;
    result += coefficient;
  }
  return result * HALVES[-halvings]; // exact: nothing here is near the smallest numbers
}

// A number in [0, 1) of 53 bits, fixed by seed and step.
function chance(seed, step) {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt.asUintN(64, BigInt(seed)), true);
  view.setBigUint64(8, BigInt(step), true);
  const digest = sha256(concat(bytes));
  const top = new DataView(digest.buffer, digest.byteOffset).getBigUint64(0, true) >> 11n;
  return Number(top) * HALVES[53];
}

// The token at `step` (from 0) from logits Float32Array. `sampling` is {temperature, seed, top_p, top_k}.
export function sample(logits, sampling, step) {
  let best = 0;
  for (let token = 0; token < logits.length; token++) {
    if (!Number.isFinite(logits[token])) throw new Error("the model's logits are not finite: its weights are broken");
    if (logits[token] > logits[best]) best = token;
  }
  if (!sampling.temperature) return best;
  const exponent = (token) => (logits[token] - logits[best]) / sampling.temperature;
  let order = [];
  for (let token = 0; token < logits.length; token++) if (exponent(token) >= EXPONENT_MIN) order.push(token);
  order.sort((a, b) => logits[b] - logits[a] || a - b);
  if (sampling.top_k) order = order.slice(0, sampling.top_k);
  let cumulative = sums(order.map((token) => exponential(exponent(token))));
  if ((sampling.top_p ?? 1) < 1) {
    const share = sampling.top_p * cumulative.at(-1);
    const kept = cumulative.findIndex((sum) => sum >= share);
    order = order.slice(0, kept + 1);
    cumulative = cumulative.slice(0, kept + 1);
  }
  const target = chance(sampling.seed ?? 0, step) * cumulative.at(-1);
  const chosen = cumulative.findIndex((sum) => sum > target);
  return order[chosen < 0 ? order.length - 1 : chosen];
}

function sums(weights) {
  let sum = 0;
  return weights.map((weight) => (sum += weight));
}
