// A block of the weave and what is in it.
import { h, put } from "../dom.js";
import { get, info, items } from "../node.js";
import { copyable, facts, failure, number, when } from "../show.js";
import { rowOf } from "./wallet.js";

export async function page(place, id) {
  if (!/^\d{1,15}$/.test(id)) throw new Error(`${id} is no height of a block.`);
  const height = Number(id);
  const [block, about] = await Promise.all([get(`/block/height/${height}`), info()]);
  const rows = h("ul.feed");
  const more = h("button", { type: "button" }, "More");
  let after = null;
  async function look() {
    try {
      const page = await items({ block: { min: height, max: height } }, after, 50);
      for (const { cursor, node } of page.edges) {
        after = cursor;
        rows.append(rowOf(node));
      }
      if (!rows.children.length) rows.append(h("li.alone", h("span.soft", "It is empty.")));
      more.hidden = !page.pageInfo.hasNextPage;
    } catch (error) {
      rows.append(h("li", failure(error)));
    }
  }
  more.addEventListener("click", look);
  put(place, h("h1", h("span.kind", "Block "), number(height)),
    h("p.row", height > 0 && h("a", { href: `#/block/${height - 1}` }, "← Before"), height < about.height && h("a", { href: `#/block/${height + 1}` }, "After →")),
    h("section.card", facts(["Hash", copyable(block.indep_hash)], ["Time", when(1000 * block.timestamp)],
      block.previous_block && ["Before it", h("span.id", block.previous_block)], ["Transactions", String(block.txs?.length ?? 0)],
      block.weave_size && ["Weave", `${number(block.weave_size)} bytes`])),
    h("section.card", h("h2", "In it"), rows, h("p", more)));
  await look();
}
