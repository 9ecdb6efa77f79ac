// A process: what it is, its state by dry-run, its schedule with results, balances of a coin, checkpoints, gas.
import { fill, h, put } from "../dom.js";
import { answerOf, coins, dryRun, gas, item, items, nameOf, newest, result, schedule, tagsOf, token } from "../node.js";
import { listen } from "../live.js";
import { chart } from "../charts.js";
import { actionBadge, bytesText, clock, copyable, facts, failure, gasText, idLink, later, number, partyLink, resultView, tagTable, when } from "../show.js";

const PAGE = 25;
const HOLDERS_MAX = 200;

export async function page(place, id) {
  const found = await item(id);
  if (!found) throw new Error(`There is no process ${id} here. Check the id.`);
  const tags = tagsOf(found.tags);
  if (tags.Type !== "Process") throw new Error(`${id} is no process.`);
  const standing = nameOf(id);
  const head = h("dd", "–");
  put(place,
    h("h1", h("span.kind", "Process "), h(standing?.standing ? "span.named" : "span.claimed", standing?.name ?? tags.Name ?? "without a name")),
    h("section.card",
      facts(
        ["Id", copyable(id)],
        ["Owner", tags["From-Process"] ? partyLink(tags["From-Process"], true) : idLink("wallet", found.owner.address)],
        ["Module", idLink("item", tags.Module)], ["Scheduler", idLink("wallet", tags.Scheduler)],
        tags.Authority && ["Trusts", partyLink(tags.Authority)],
        tags.Extension && ["May use", tags.Extension],
      ),
      h("details", h("summary", "All tags"), tagTable(found.tags)),
      found.data.size > 1 && h("details", h("summary", `Its program, ${bytesText(found.data.size)}`), programOf(id))),
    h("dl.stats", h("div", h("dt", "Newest nonce"), head)),
  );
  const left = h("div"), right = h("div");
  put(place, h("div.columns", left, right));
  left.append(scheduleCard(id, head));
  right.append(stateCard(id), balancesCard(id), gasCard(id), checkpointsCard(id));
  const table = left.firstChild;
  let timer = 0;
  const stop = listen((event) => {
    if (event.process !== id || event.kind !== "evaluated") return;
    clearTimeout(timer);
    timer = setTimeout(() => table.refresh(), 120);
  });
  return () => {
    stop();
    clearTimeout(timer);
  };
}

function programOf(id) {
  const place = h("div");
  return h("div", later(fetch(`/raw/${id}`, { headers: { Range: "bytes=0-65535" } }).then((reply) => reply.text()), (text) => h("pre", text)), place);
}

// The schedule, newest first; a page of older entries at a press.
function scheduleCard(id, head) {
  const body = h("tbody");
  const older = h("button", { type: "button" }, "Older");
  const card = h("section.card", h("h2", "Schedule"),
    h("div.scroll", h("table", { id: "schedule" },
      h("thead", h("tr", ["Nonce", "Time", "Message", "From"].map((name) => h("th", { scope: "col" }, name)))), body)), h("p", older));
  const rows = new Map();
  let lowest = Infinity;

  function show(edges) {
    for (const { node } of edges) {
      const tags = tagsOf(node.assignment.tags);
      const nonce = Number(tags.Nonce);
      if (rows.has(nonce)) continue;
      const message = node.message;
      const told = message ? tagsOf(message.tags) : {};
      const from = told["From-Process"];
      const messageId = message?.id ?? tags.Message;
      const row = h("tr", h("td.tight", `#${nonce}`), h("td.tight", clock(Number(tags.Timestamp))),
        h("td", h("a", { href: `#/message/${messageId}` }, actionBadge({ type: told.Type, action: told.Action ?? "", name: told.Name ?? "" }))),
        h("td", message ? (from ? partyLink(from, true) : idLink("wallet", message.owner.address)) : "layer 1"));
      rows.set(nonce, row);
      const next = [...rows.keys()].filter((other) => other < nonce).sort((a, b) => b - a)[0];
      body.insertBefore(row, next === undefined ? null : rows.get(next));
      lowest = Math.min(lowest, nonce);
    }
    older.hidden = lowest <= 0;
  }

  card.refresh = async () => {
    try {
      const latest = Number(tagsOf((await newest(id)).assignment.tags).Nonce);
      head.textContent = number(latest);
      show((await schedule(id, Math.max(latest - PAGE + 1, 0), latest)).edges);
    } catch (error) {
      fill(body, h("tr", h("td", { colSpan: 4 }, failure(error))));
    }
  };
  older.addEventListener("click", async () => {
    older.disabled = true;
    try {
      show((await schedule(id, Math.max(lowest - PAGE, 0), lowest - 1)).edges);
    } catch (error) {
      card.append(failure(error));
    }
    older.disabled = false;
  });
  card.refresh();
  return card;
}

// Ask the process something without sending it: what it would answer now.
function stateCard(id) {
  const action = h("input", { name: "action", value: "Info", required: true });
  const tags = h("textarea", { name: "tags", rows: 2, placeholder: "Recipient=…\nQuantity=…" });
  const data = h("textarea", { name: "data", rows: 2 });
  const out = h("div", { id: "state" });
  const form = h("form", { id: "read" },
    h("div.row", h("label", "Action", action), h("button.main", { type: "submit" }, "Read")),
    h("details", h("summary", "Further tags and data"), h("label", "Tags, one a line, Name=Value", tags), h("label", "Data", data)), out);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(out, h("p.empty", "Asking…"));
    try {
      fill(out, resultView(await dryRun(id, [{ name: "Action", value: action.value }, ...linesOf(tags.value)], data.value)));
    } catch (error) {
      fill(out, failure(error));
    }
  });
  return h("section.card", h("h2", "Read its state"), h("p.small.soft", "A dry run: nothing is sent and nothing changes."), form);
}

function linesOf(text) {
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`"${line.slice(0, 40)}" is no tag. Write Name=Value.`);
    return { name: line.slice(0, at).trim(), value: line.slice(at + 1) };
  });
}

function balancesCard(id) {
  const place = h("div");
  token(id).then(async (coin) => {
    if (!coin) return;
    const told = await dryRun(id, { Action: "Balances" });
    const list = answerOf(told, "Balances-Response")?.data ?? told.Messages?.[0]?.Data ?? "{}";
    const holders = Object.entries(JSON.parse(list)).filter(([, units]) => /^\d+$/.test(units))
      .sort((a, b) => (BigInt(b[1]) > BigInt(a[1]) ? 1 : -1));
    put(place, h("section.card", { id: "balances" }, h("h2", `Balances of ${coin.ticker.slice(0, 20)}`),
      holders.length ? h("div.scroll", h("table", h("tbody", holders.slice(0, HOLDERS_MAX).map(([holder, units]) =>
        h("tr", h("td", partyLink(holder)), h("td.number", h("span.coin", coins(units, coin.denomination)))))))) : h("p.empty", "Nobody has any."),
      holders.length > HOLDERS_MAX && h("p.soft", `and ${holders.length - HOLDERS_MAX} more`)));
  }).catch(() => {});
  return place;
}

const gasCard = (id) => later(gas(id), (points) => chart({
  title: "Gas of each evaluation", unit: "gas", bars: points.length < 60,
  points: points.filter((point) => !point.cron).map((point) => [point.nonce, point.gas]),
}));

function checkpointsCard(id) {
  const tags = [{ name: "Type", values: ["Checkpoint"] }, { name: "Process", values: [id] }];
  return h("section.card", h("h2", "Checkpoints"), later(items({ tags }, null, 20), ({ edges }) => edges.length
    ? h("div.scroll", h("table", h("thead", h("tr", ["After", "Kind", "Size", "State root"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", edges.map(({ node }) => {
        const told = tagsOf(node.tags);
        return h("tr", h("td.tight", `#${told.Nonce}`), h("td", told["Snapshot-Format"] === "puna-increment-1" ? "increment" : "whole"),
          h("td.tight", bytesText(node.data.size)), h("td", idLink("item", node.id), " ", h("span.id.soft", (told["State-Root"] ?? "").slice(0, 12))));
      }))))
    : h("p.empty", "None yet: what came so far is quickly replayed.")));
}
