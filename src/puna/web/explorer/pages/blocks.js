// The newest blocks.
import { h, put } from "../dom.js";
import { graphql, info } from "../node.js";
import { later, short, when } from "../show.js";

export async function page(place) {
  const list = h("div");
  put(place, h("h1", "Blocks"), h("section.card", list));
  let known = -1;
  async function look() {
    const { height } = await info();
    if (height === known) return;
    known = height;
    const { blocks } = await graphql("{ blocks(first: 30) { edges { node { id height timestamp } } } }");
    list.replaceChildren(h("div.scroll", h("table", h("thead", h("tr", ["Height", "Time", "Hash"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", blocks.edges.map(({ node }) => h("tr", h("td", h("a", { href: `#/block/${node.height}` }, `Block ${node.height}`)),
        h("td.tight", when(1000 * node.timestamp)), h("td", h("span.id", short(node.id)))))))));
  }
  await look();
  const timer = setInterval(() => document.hidden || look().catch(() => {}), 2000);
  return () => clearInterval(timer);
}
