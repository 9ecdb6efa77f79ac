// The ask box: a prompt, its price, the answer as it comes, its receipt, and whether this browser can repeat it.
import { fill, h } from "./dom.js";
import { answerOf, balance, coins, dataOf, dryRun, gift, item as itemOf, network, result, submit, tagsOf } from "./node.js";
import { listen } from "./live.js";
import { facts, failure, idLink } from "./show.js";
import { text } from "../verify/bytes.js";

// What signs and what verifies is fetched when it is wanted: the page is there sooner.
const purse = () => import("./purse.js");
const receipts = () => import("./receipts.js");

const WAR_DECIMALS = 12;
const QUOTE_AFTER_MS = 300;
const ORDERS_BYTES_MAX = 1 << 20; // of one message to a worker; herders give less

export function askBox() {
  const prompt = h("textarea", { rows: 3, name: "prompt", required: true, placeholder: "What is a llama?", maxLength: 20000 });
  const tokens = h("input", { type: "number", min: 1, max: 4096, value: 60, name: "tokens", required: true });
  const temperature = h("input", { type: "number", min: 0, max: 2, step: 0.1, value: 0, name: "temperature" });
  const model = h("select", { name: "model" }, h("option", { value: "" }, "Any model"));
  const wallet = h("select", { name: "wallet" }, h("option", { value: "browser" }, "A key in this browser"));
  // Extensions put their object into a page some time after it was loaded.
  const offerExtension = () => {
    if (window.arweaveWallet && wallet.options.length < 2) wallet.append(h("option", { value: "extension" }, "My wallet's extension"));
  };
  addEventListener("arweaveWalletLoaded", offerExtension);
  offerExtension();
  const button = h("button.main", { type: "submit" }, "Ask");
  const price = h("span.soft.small", { role: "status" });
  const outcome = h("div", { id: "outcome" });
  const form = h("form", { id: "ask" }, h("label", "Ask the herd", prompt),
    h("div.row", h("label", "Tokens", tokens), h("label", "Temperature", temperature), h("label", "Model", model), h("label", "Paid by", wallet)),
    h("p.row", button, price));
  const element = h("section.card", form, outcome);
  network().then((told) => model.append(...told.models.map((each) => h("option", { value: each.id }, each.name))), () => {});

  let timer = 0;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => quote().catch((error) => (price.textContent = error.message)), QUOTE_AFTER_MS);
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      form.requestSubmit();
    }
  });

  async function quote() {
    price.textContent = "";
    if (!prompt.value.trim()) return null;
    const asked = { Action: "Quote", Tokens: tokens.value, ...(model.value ? { "X-Model": model.value } : {}) };
    const told = answerOf(await dryRun((await network()).herder, asked, prompt.value), "Quote-Response");
    if (!told) throw new Error("The herd does not answer.");
    if (told.tags.Error) throw new Error(told.tags.Error);
    const ahead = Number(told.tags.Ahead ?? 0);
    price.textContent = `at most ${told.tags.Price} winston${ahead ? `, ${ahead} ahead of you` : ""}`;
    return told.tags.Price;
  }

  let running = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    running = asking(outcome);
    try {
      const cost = await quote();
      if (cost === null) throw new Error("The prompt is empty. Say what you want to know.");
      await running.ask({
        cost, prompt: prompt.value, tokens: tokens.value, temperature: temperature.value, model: model.value,
        wallet: await (await purse())[wallet.value === "extension" ? "extendedWallet" : "ownWallet"](),
      });
    } catch (error) {
      running.failed(error);
    } finally {
      button.disabled = false;
    }
  });
  return {
    element,
    end() {
      removeEventListener("arweaveWalletLoaded", offerExtension);
      running?.end();
    },
  };
}

// One question under way, shown in `place`.
function asking(place) {
  const step = h("p.soft.small", { role: "status" });
  const answer = h("div.answer", { ariaLive: "polite", id: "answer" });
  const receipt = h("div");
  fill(place, step, answer, receipt);
  let stop = () => {};

  async function ask({ cost, prompt, tokens, temperature, model, wallet }) {
    const told = await network();
    await afford(told.token, wallet, cost, step);
    const reference = "web-" + Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const tags = {
      "Data-Protocol": "ao", Variant: "ao.TN.1", Type: "Message", Action: "Transfer", Recipient: told.herder, Quantity: cost,
      "Debit-Notice": "no", "X-Prompt": prompt, "X-Tokens": tokens, "X-Reference": reference,
      ...(Number(temperature) ? { "X-Temperature": String(Number(temperature)), "X-Seed": String(crypto.getRandomValues(new Uint32Array(1))[0]) } : {}),
      ...(model ? { "X-Model": model } : {}),
    };
    const item = await wallet.sign({ target: told.token, data: " ", tags: Object.entries(tags).map(([name, value]) => ({ name, value })) });
    const started = performance.now();
    // Listening comes first: an answer may be quicker than the reply to the payment.
    const answered = follow({ told, wallet, reference, payment: item.id, answer, step });
    step.textContent = "Paying…";
    await submit(item.raw);
    // The token may refuse the payment; then nothing else will come.
    const refused = refusal(told, item.id).then((words) => words ? Promise.reject(new Error(words)) : new Promise(() => {}));
    step.replaceChildren("Paid. ", h("a", { href: `#/message/${item.id}` }, "See what it causes"));
    answer.classList.add("streaming");
    const response = await Promise.race([answered, refused]);
    answer.classList.remove("streaming");
    answer.textContent = response.data;
    step.textContent = `Answered in ${((performance.now() - started) / 1000).toFixed(1)} s.`;
    fill(receipt, receiptView(response, item.id, await receipts()));
  }

  // Resolves with the herd's answer; rejects with its refusal.
  function follow({ told, wallet, reference, payment, answer, step }) {
    return new Promise((resolve, reject) => {
      const places = new Map(); // of our question among those that a message has a worker answer; of none, -1
      let isOver = false;
      stop = listen(async (event) => {
        if (event.kind === "token") {
          const isOurs = isAlone(event) || (await placeIn(event)) === (event.place ?? 0);
          if (isOurs && !isOver) answer.append(event.text);
        }
        if (event.kind === "failed" && event.root === payment && event.message === payment) reject(new Error(event.error));
        if (event.kind !== "stored" || event.target !== wallet.address) return;
        if (event.process !== told.herder && event.process !== told.token) return; // anybody may write to a wallet
        const tags = tagsOf(event.item.message?.tags ?? event.item.tags);
        if (tags["X-Reference"] !== reference && tags.Reference !== reference) return;
        if (tags.Action === "Inference-Response") {
          isOver = true;
          resolve({ id: event.message, tags, data: await wholeData(event) });
        }
        if (tags.Action === "Inference-Error" || tags["X-Reason"] && tags["X-Code"] !== "settled") {
          reject(new Error(`${tags.Error ?? tags["X-Reason"]}. What was paid came back.`));
        }
      });
      const isAlone = (event) => event.root === payment && event.place === undefined;
      // A question that had to wait is answered in somebody else's journey, perhaps together with others: what the herder
      // told the worker names payer and reference of each.
      function placeIn({ message, place }) {
        if (!places.has(message)) places.set(message, findPlace(message, place !== undefined).catch(() => -1));
        return places.get(message);
      }
      async function findPlace(message, isOfSeveral) {
        const [found, data] = await Promise.all([itemOf(message), isOfSeveral && dataOf(message, ORDERS_BYTES_MAX)]);
        const tags = tagsOf(found?.tags);
        const orders = isOfSeveral ? JSON.parse(text(data)) : [tags];
        const isOurs = (order) => order.Client === wallet.address && order["X-Reference"] === reference;
        return tags["From-Process"] === told.herder ? orders.findIndex(isOurs) : -1;
      }
    }).finally(() => stop());
  }

  return {
    ask,
    failed(error) {
      stop();
      answer.classList.remove("streaming");
      step.textContent = "";
      fill(receipt, failure(error));
    },
    end: () => stop(),
  };
}

async function wholeData(event) {
  const told = event.item.message ?? event.item;
  if (!event.cut) return told.data ?? "";
  return (await fetch(`/raw/${event.message}`)).text();
}

async function refusal(told, payment) {
  const found = await result(told.token, payment);
  const refused = answerOf(found, "Transfer-Error");
  if (refused) return `The coin refused the payment: ${refused.tags.Error ?? "no reason given"}.`;
  return found.Error === undefined ? "" : `The coin failed on the payment: ${found.Error}`;
}

// See that the wallet can pay; a new one of this browser gets a little from the node's own wallet.
async function afford(token, wallet, cost, step) {
  const has = BigInt(await balance(token, wallet.address));
  if (has >= BigInt(cost)) return;
  if (wallet.kind !== "browser") {
    throw new Error(`Your wallet has ${coins(has, WAR_DECIMALS)} wAR, less than the price. Send it some: puna wallet send.`);
  }
  step.textContent = "This browser's wallet is empty: the node gives it a little wAR to begin with…";
  await gift(wallet.address);
}

function receiptView(response, payment, { receiptOf, verifyButton }) {
  const { tags } = response;
  const winston = (units) => (units === undefined ? "not said" : `${units} winston`);
  return h("div", { id: "receipt" },
    facts(
      ["Fee", winston(tags.Fee)], tags.Refund && ["Came back", winston(tags.Refund)],
      ["Tokens", `${tags["Prompt-Tokens"] ?? "?"} read, ${tags["Tokens-Used"] ?? "?"} written, ended by ${tags.Finish === "length" ? "the limit" : "the model"}`],
      ["Model", h("span", `${tags["Model-Name"] ?? ""} `, h("span.soft", tags.Arithmetic ?? ""))],
      ["Worker", idLink("process", tags.Worker)],
      ["Payment", idLink("message", payment)], ["Answer", idLink("message", response.id)],
    ),
    verifyButton(() => receiptOf(response.id)));
}
