// Receipts of answers: where they come from, and the button that repeats one in this browser.
import { dataOf, get, graphql, item, tagsOf } from "./node.js";
import { fill, h } from "./dom.js";
import { verifyReceipt } from "../verify/verify.js";
import { text, tokenIds } from "../verify/bytes.js";

const ANSWER_BYTES_MAX = 1 << 20;

// The receipt for an answer: the node's signed one, else what the answer itself says. Throws when that is too little.
export async function receiptOf(response) {
  try {
    return await get(`/receipts/${response}`);
  } catch {
    return fromAnswer(await item(response));
  }
}

async function fromAnswer(answer) {
  if (!answer) throw new Error("There is no such answer here.");
  const tags = tagsOf(answer.tags);
  if (!tags["Prompt-Ids"] || !tags["Token-Ids"]) {
    throw new Error("This answer does not say which tokens it was made of, and the node has no receipt for it.");
  }
  return {
    model: { id: tags.Model, name: tags["Model-Name"] }, arithmetic: tags.Arithmetic,
    prompt_ids: tokenIds(tags["Prompt-Ids"]), output_ids: tokenIds(tags["Token-Ids"]),
    text: text(await dataOf(answer.id, ANSWER_BYTES_MAX)), finish: tags.Finish,
    parameters: { temperature: tags.Temperature ?? 0, seed: tags.Seed ?? 0, tokens: tags.Tokens, top_p: tags["Top-P"] },
  };
}

// A button that gets a receipt from `getReceipt()` and verifies it below itself.
export function verifyButton(getReceipt) {
  const button = h("button", { type: "button", className: "verify" }, "Verify in this browser");
  const place = h("div");
  button.addEventListener("click", async () => {
    button.disabled = true;
    await showVerification(place, getReceipt);
    button.disabled = false;
  });
  return h("div", h("p", button), place);
}

export async function showVerification(place, getReceipt) {
  const said = h("span");
  const bar = h("progress", { max: 1, value: 0, ariaLabel: "Verifying" });
  const heard = h("div.answer.soft");
  fill(place, h("p.small", { role: "status" }, said), bar, heard);
  try {
    const receipt = await getReceipt();
    const verdict = await verifyReceipt(receipt, {
      onProgress({ step, done, of, text: sofar }) {
        said.textContent = of ? `${step}: ${Math.round((100 * done) / of)} %` : step;
        if (of) bar.value = done / of;
        else bar.removeAttribute("value");
        if (sofar !== undefined) heard.textContent = sofar;
      },
    });
    fill(place, verdictView(verdict, receipt));
  } catch (error) {
    fill(place, h("div.verdict.no", { role: "alert" }, h("strong", "It could not be verified. "), error.message));
  }
}

function verdictView(verdict, receipt) {
  const speed = verdict.seconds > 0 ? ` (${(verdict.tokens / verdict.seconds).toFixed(0)} tokens a second)` : "";
  return h(verdict.agrees ? "div.verdict.yes" : "div.verdict.no", { role: "status" },
    h("strong", verdict.agrees ? "✓ This browser gets the same answer, bit for bit." : "✗ This browser gets another answer."),
    h("ul",
      verdict.checks.map((check) => h("li", h(check.agrees ? "span.good" : "span.bad", check.agrees ? "✓ " : "✗ "), `${check.name}: ${check.why}`)),
      h("li", verdict.model === "signed" ? "The model is the one its publisher signed." : `The model's signature: ${verdict.model}.`),
      h("li", `${verdict.tokens} tokens were made in ${verdict.seconds.toFixed(1)} s${speed} by the kernel in WebAssembly.`)),
    h("details", h("summary", "What the model was told"), h("pre", verdict.promptText),
      typeof receipt.prompt === "string" && receipt.prompt && !verdict.promptText.includes(receipt.prompt.trim()) &&
        h("p.small", "The receipt's prompt is not in it word for word: a program may have laid it out.")),
    !verdict.agrees && h("details", { open: true }, h("summary", "What this browser gets"), h("pre", verdict.text)));
}
