// A wallet: what it has, what it sent, what it was sent, the processes it owns.
import { h, put } from "../dom.js";
import { balance, coins, items, nameOf, network, tagsOf, token } from "../node.js";
import { knownWallet } from "../purse.js";
import { actionBadge, amount, copyable, facts, failure, idLink, later, partyLink } from "../show.js";

export async function page(place, id) {
  const told = await network();
  const mine = (await knownWallet())?.address === id;
  const coin = (process) => [nameOf(process)?.name ?? "Coin", later(Promise.all([balance(process, id), token(process)]),
    ([units, about]) => h("span.coin", `${coins(units, about?.denomination ?? 0)} ${about?.ticker ?? ""}`), "…")];
  put(place,
    h("h1", h("span.kind", "Wallet "), nameOf(id)?.name ?? (mine ? "of this browser" : "")),
    h("section.card", facts(["Address", copyable(id)], coin(told.token), told.land?.coin && coin(told.land.coin),
      ["AR", later(fetch(`/wallet/${id}/balance`).then((reply) => reply.text()), (units) => h("span.coin", /^\d+$/.test(units) ? `${coins(units, 12)} AR` : units), "…")])),
    h("div.columns",
      h("div", list("Sent", { owners: [id], tags: [{ name: "Type", values: ["Message"] }] }, "It has sent nothing."),
        list("Its processes", { owners: [id], tags: [{ name: "Type", values: ["Process"] }] }, "It has none.")),
      h("div", list("Received", { recipients: [id] }, "It was sent nothing."))));
}

function list(title, filter, nothing) {
  const rows = h("ul.feed");
  const more = h("button", { type: "button" }, "More");
  let after = null;
  async function look() {
    more.disabled = true;
    try {
      const page = await items(filter, after, 25);
      for (const { cursor, node } of page.edges) {
        after = cursor;
        rows.append(rowOf(node));
      }
      if (!rows.children.length) rows.append(h("li.alone", h("span.soft", nothing)));
      more.hidden = !page.pageInfo.hasNextPage;
    } catch (error) {
      rows.append(h("li", failure(error)));
    }
    more.disabled = false;
  }
  more.addEventListener("click", look);
  look();
  return h("section.card", h("h2", title), rows, h("p", more));
}

export function rowOf(node) {
  const tags = tagsOf(node.tags);
  const message = { type: tags.Type, action: tags.Action ?? "", name: tags.Name ?? "" };
  const isMessage = tags.Type === "Message" || tags.Type === "Process";
  const parties = [tags["From-Process"], node.recipient].filter(Boolean);
  const coinsOf = tags.Action === "Transfer" ? parties.reverse() : parties;
  return h("li", h("span.when", node.block ? h("a", { href: `#/block/${node.block.height}` }, `block ${node.block.height}`) : "waiting"),
    h("span", isMessage ? h("a", { href: `#/message/${node.id}` }, actionBadge(message)) : h("span", h("span.badge", tags.Type ?? "Data"), " ", idLink("item", node.id)),
      " ", tags.Type === "Process" ? idLink("process", node.id) : [partyLink(tags["From-Process"] ?? node.owner.address, tags["From-Process"] ? true : null), node.recipient && [h("span.soft", " → "), partyLink(node.recipient)]]),
    /^\d+$/.test(tags.Quantity ?? "") ? amount(coinsOf, tags.Quantity) : h("span"));
}
