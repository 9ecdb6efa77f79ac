// A message: what it said, what came of it, and the tree of all that was caused by the click that began it.
import { h, put } from "../dom.js";
import { dataOf, item, messageSummary, result, tagsOf, tree } from "../node.js";
import { listen } from "../live.js";
import { text } from "../../verify/bytes.js";
import { actionBadge, amount, bytesText, copyable, facts, gasText, idLink, later, partyLink, resultView, tagTable, when } from "../show.js";
import { receiptOf, verifyButton } from "../receipts.js";

const DATA_BYTES_MAX = 16 * 1024;
const AGAIN_MS = 200;

export async function page(place, id) {
  const [found, summary] = await Promise.all([item(id), messageSummary(id)]);
  if (!found || !summary) throw new Error(`There is no message ${id} here. Check the id.`);
  const tags = tagsOf(found.tags);
  const causes = treeCard(id);
  const process = summary.nonce === null ? null : summary.to;
  put(place,
    h("h1", h("span.kind", summary.type === "Process" ? "Birth of a process " : "Message "), actionBadge(summary)),
    h("div.columns.telling",
      h("div",
        h("section.card",
          facts(
            ["Id", copyable(id)],
            ["From", partyLink(summary.from, summary.pushed || null)], ["To", summary.to ? partyLink(summary.to) : "nobody"],
            summary.quantity && /^\d+$/.test(summary.quantity) && ["Amount", amount(coinsOf(summary), summary.quantity)],
            summary.nonce !== null && ["Place", `#${summary.nonce}, at height ${summary.height}`],
            summary.timestamp && ["Time", when(summary.timestamp)],
            summary.hash_chain && ["Hash chain", h("span.id", summary.hash_chain)],
            ["Block", found.block ? h("a", { href: `#/block/${found.block.height}` }, `Block ${found.block.height}`) : "not in a block yet"],
          ),
          h("details", { open: found.tags.length <= 8 }, h("summary", `${found.tags.length} tags`), tagTable(found.tags))),
        dataCard(id, found),
        process && resultCard(process, id),
        tags.Action === "Inference-Response" && h("section.card", h("h2", "Is this answer true?"),
          h("p.small.soft", "A model's answer is a pure function: this browser can compute it again and compare."), verifyButton(() => receiptOf(id)))),
      h("div", causes),
    ),
  );
  return causes.end;
}

function dataCard(id, found) {
  const size = Number(found.data.size);
  if (size <= 1) return null;
  return h("section.card", h("h2", "Data", h("a.small", { href: `/${id}`, target: "_blank", rel: "noopener" }, bytesText(size))),
    later(dataOf(id, DATA_BYTES_MAX), (bytes) => h("pre", text(bytes), size > DATA_BYTES_MAX && "\n…")));
}

const resultCard = (process, id) => h("section.card", h("h2", "Result"), later(result(process, id), (told) => h("div", { id: "result" },
  told.GasUsed !== undefined && h("p.soft.small", gasText(told.GasUsed)), resultView(told))));

// The tree grows while it is looked at: something that happens in one of its journeys has it asked for again.
function treeCard(id) {
  const body = h("div", h("p.empty", "Looking…"));
  const card = h("section.card", h("h2", "What caused what"), body);
  let roots = new Set([id]);
  let timer = 0;
  async function look() {
    timer = 0;
    try {
      const told = await tree(id);
      roots = new Set([told.root, ...told.nodes.map((node) => node.later).filter(Boolean)]);
      body.replaceChildren(treeView(told, id));
    } catch (error) {
      body.replaceChildren(h("p.bad", error.message));
    }
  }
  const stop = listen((event) => {
    if (event.kind !== "token" && !timer && roots.has(event.root)) timer = setTimeout(look, AGAIN_MS);
  });
  look();
  card.end = () => {
    stop();
    clearTimeout(timer);
  };
  return card;
}

function treeView({ root, nodes, cut }, here) {
  const children = new Map();
  for (const node of nodes) {
    if (!children.has(node.parent)) children.set(node.parent, []);
    children.get(node.parent).push(node);
  }
  // Where one message causes just one other, they stand below each other: trees are deep, and screens are not wide.
  const branch = (node) => {
    const views = [nodeView(node, here)];
    let last = node;
    for (let next; (next = children.get(last.id))?.length === 1; last = next[0]) views.push(nodeView(next[0], here));
    return h("li", views, children.has(last.id) && h("ul", children.get(last.id).map(branch)));
  };
  return h("div",
    h("p.small.soft", `${nodes.length} messages from one `, h("a", { href: `#/message/${root}` }, "beginning"), cut && ", of more that are not shown"),
    h("ul.tree", { id: "tree" }, (children.get(null) ?? []).map(branch)));
}

// Whose coin an amount may be of: a payment is sent to the coin, a notice comes from it.
const coinsOf = ({ action, from, to }) => (action === "Transfer" ? [to, from] : [from, to]);

function nodeView(node, here) {
  const errors = node.results.filter((each) => each.error !== null);
  const gas = node.results.reduce((sum, each) => sum + (each.gas ?? 0), 0);
  const excerpt = errors[0]?.error ?? node.data.trim();
  return h("div.node" + (node.id === here ? ".here" : ""), { "aria-current": node.id === here ? "true" : null, "data-id": node.id, "data-parent": node.parent, "data-action": node.action },
    h("a", { href: `#/message/${node.id}` }, actionBadge(node)),
    h("span", partyLink(node.from, node.pushed || null), h("span.soft", " → "), partyLink(node.to)),
    /^\d+$/.test(node.quantity) && amount(coinsOf(node), node.quantity),
    gas > 0 && h("span.soft.small", gasText(gas)),
    errors.length > 0 && h("span.badge.bad", "error"),
    node.later && node.later !== node.id && h("span.badge", { title: `In the journey of ${node.later}` }, "came later"),
    excerpt && h(errors.length ? "span.excerpt.bad" : "span.excerpt", excerpt));
}
