// Verify any receipt in this browser: from an id, a file, or pasted text.
import { fill, h, put } from "../dom.js";
import { receiptOf, showVerification } from "../receipts.js";
import { failure } from "../show.js";
import { parseExactly } from "../../verify/receipt.js";

const RECEIPT_BYTES_MAX = 4 << 20;

export async function page(place, id) {
  const input = h("textarea", { id: "receipt-text", rows: 8, spellcheck: false, placeholder: "A receipt's JSON, or the id of an answer or a payment" });
  const file = h("input", { type: "file", accept: ".json,application/json" });
  const button = h("button.main", { type: "submit" }, "Verify");
  const out = h("div", { id: "verdict" });
  const form = h("form", h("label", "Receipt", input), h("p.row", button, h("label", h("span.hidden", "Read from a file"), file)));
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    if (chosen.size > RECEIPT_BYTES_MAX) return fill(out, failure(new Error("That file is too large for a receipt.")));
    input.value = await chosen.text();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    await showVerification(out, () => receiptFrom(input.value));
    button.disabled = false;
  });
  put(place, h("h1", "Verify an answer in this browser"),
    h("section.card", h("p", "An answer of a model here is a pure function of the model, the prompt's tokens and a few parameters. This page fetches the model, ",
      "checks its publisher's signature, and computes the answer again with the same kernel, compiled to WebAssembly. The node is not asked whether it was right."), form, out),
    h("section.card", h("h2", "What is checked, and what is not"), h("ul",
      h("li", "Every token, the text and the reason for the end, at temperature 0 and sampled with a seed."),
      h("li", "Not how the prompt's text became the tokens in the receipt: compare them under “What the model was told”."),
      h("li", "Only canonical arithmetic, models of the llama family below 4 GiB, and answers not sampled in pieces."),
      h("li", "Not the payment: “puna verify” checks that, and the whole schedule."))));
  if (id) {
    input.value = id;
    form.requestSubmit();
  }
}

async function receiptFrom(text) {
  const given = text.trim();
  if (/^[A-Za-z0-9_-]{43}$/.test(given)) return receiptOf(given);
  try {
    return parseExactly(given);
  } catch {
    throw new Error("This is no receipt: give its JSON, or an id of 43 characters.");
  }
}
