// How things look everywhere: ids and names, times, amounts, tags, results, errors.
import { coins, nameOf, token } from "./node.js";
import { fill, h } from "./dom.js";

export const short = (id) => (id.length > 14 ? `${id.slice(0, 6)}…${id.slice(-4)}` : id);

// A link to what an id stands for. A name that the network gives is bold, one that somebody gave himself is in italics.
export function idLink(kind, id, { whole = false } = {}) {
  if (!id) return h("span.soft", "nobody");
  const named = nameOf(id);
  const label = named ? h(named.standing ? "span.named" : "span.claimed", named.name.slice(0, 60)) : h("span.id", whole ? id : short(id));
  return h("a", { href: `#/${kind}/${encodeURIComponent(id)}`, title: id }, label);
}

// Whether an address is a process is known to the node only; the page of what is asked for finds out.
export const partyLink = (id, pushed = null) => idLink(pushed === true ? "process" : pushed === false ? "wallet" : "at", id);

export function copyable(id) {
  const text = h("span.id", id);
  const button = h("button.plain", { type: "button", ariaLabel: `Copy ${id}`, title: "Copy" }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(id);
      button.textContent = "copied";
      setTimeout(() => (button.textContent = "copy"), 1200);
    } catch {
      getSelection().selectAllChildren(text); // browsers lend the clipboard to https and localhost only
    }
  });
  return h("span", text, button);
}

export const number = (value) => Number(value).toLocaleString("en");
export const clock = (ms) => (ms ? new Date(ms).toLocaleTimeString("en-GB") : "");
export const when = (ms) => h("time", { dateTime: new Date(ms).toISOString() }, `${new Date(ms).toLocaleDateString("en-CA")} ${clock(ms)}`);

export function gasText(gas) {
  if (!gas) return "0 gas";
  const unit = gas >= 1e9 ? ["G", 1e9] : gas >= 1e6 ? ["M", 1e6] : gas >= 1e3 ? ["k", 1e3] : ["", 1];
  return `${(gas / unit[1]).toFixed(unit[1] === 1 || gas / unit[1] >= 100 ? 0 : 1)}${unit[0]} gas`;
}

export function bytesText(size) {
  const value = Number(size);
  if (value < 1024) return `${value} B`;
  return value < 1 << 20 ? `${(value / 1024).toFixed(1)} KiB` : `${(value / (1 << 20)).toFixed(1)} MiB`;
}

// An amount of the first of `processes` that is a coin; its decimals come when the coin has told them.
export function amount(processes, units) {
  const place = h("span.coin", `${number(units)} units`);
  (async () => {
    for (const process of processes) {
      const coin = await token(process).catch(() => null); // a wallet, say
      if (coin) return (place.textContent = coinText(coin, units));
    }
  })();
  return place;
}

// Prices of single questions are far below a millionth of a wAR; they are told in winston.
export function coinText(coin, units) {
  if (coin.ticker === "wAR" && units.length <= 6) return `${number(units)} winston`;
  return `${coins(units, coin.denomination)} ${coin.ticker.slice(0, 12)}`;
}

const MONEY = new Set(["Transfer", "Transfer-Batch", "Credit-Notice", "Debit-Notice", "Mint", "Mint-Notice"]);
export function actionBadge(message) {
  const failed = /-Error$/.test(message.action);
  const kind = failed ? ".bad" : MONEY.has(message.action) ? ".coin" : "";
  const said = message.type === "Process" ? `New process${message.name ? " " + message.name : ""}` : message.action || "Message";
  return h("span.badge" + kind, said.slice(0, 60));
}

export const facts = (...pairs) => h("dl.facts", pairs.filter(Boolean).map(([name, value]) => [h("dt", name), h("dd", value)]));

export function tagTable(tags) {
  if (!tags.length) return h("p.empty", "No tags.");
  return h("div.scroll", h("table.tags", h("thead", h("tr", h("th", { scope: "col" }, "Tag"), h("th", { scope: "col" }, "Value"))),
    h("tbody", tags.map(({ name, value }) => h("tr", h("td", String(name)), h("td", String(value)))))));
}

// A result of an evaluation: what was said, what went wrong, what was sent.
export function resultView(result) {
  const output = typeof result.Output === "object" && result.Output ? result.Output.data ?? "" : result.Output ?? "";
  const said = typeof output === "string" ? output : JSON.stringify(output, null, 1);
  const sent = [...(result.Messages ?? []), ...(result.Spawns ?? [])];
  return h("div",
    result.Error !== undefined && h("p.bad", "Error: ", typeof result.Error === "string" ? result.Error : JSON.stringify(result.Error)),
    said && h("pre", plainTerminal(said)),
    sent.map((message) => h("details", { open: sent.length <= 2 },
      h("summary", `To ${short(String(message?.Target ?? "a new process"))}`),
      tagTable((Array.isArray(message?.Tags) ? message.Tags : []).filter((tag) => typeof tag?.name === "string")),
      typeof message?.Data === "string" && message.Data && h("pre", message.Data))),
    !said && !sent.length && result.Error === undefined && h("p.empty", "It said nothing and sent nothing."));
}

// aos colours its output for a terminal.
export const plainTerminal = (text) => text.replace(/\u001b\[[0-9;]*m/g, "");

export const failure = (error) => h("p.bad", { role: "alert" }, error?.message ?? String(error));

// A part of a page that comes when what it shows has come.
export function later(promise, view, waiting = "Looking…") {
  const place = h("div", h("p.empty", waiting));
  promise.then(view).then((shown) => fill(place, shown), (error) => fill(place, failure(error)));
  return place;
}
