// Anything else that is kept: a module, a model, a page, a picture.
import { h, put } from "../dom.js";
import { dataOf, item, tagsOf } from "../node.js";
import { text } from "../../verify/bytes.js";
import { bytesText, copyable, facts, idLink, later, tagTable } from "../show.js";

export async function page(place, id) {
  const found = await item(id);
  if (!found) throw new Error(`There is nothing called ${id} here. Check the id.`);
  const type = found.data.type ?? "";
  const readable = /^(text\/|application\/json)/.test(type);
  put(place, h("h1", h("span.kind", `${tagsOf(found.tags).Type ?? "Data"} `), tagsOf(found.tags).Name ?? ""),
    h("section.card",
      facts(["Id", copyable(id)], ["Signed by", idLink("wallet", found.owner.address)], found.recipient && ["To", idLink("at", found.recipient)],
        ["Data", h("a", { href: `/${id}`, target: "_blank", rel: "noopener" }, `${bytesText(found.data.size)} ${type}`)],
        ["Block", found.block ? h("a", { href: `#/block/${found.block.height}` }, `Block ${found.block.height}`) : "not in a block yet"],
        found.bundledIn && ["In the bundle", idLink("item", found.bundledIn.id)]), tagTable(found.tags)),
    readable && h("section.card", h("h2", "Data"), later(dataOf(id, 65536), (bytes) => h("pre", text(bytes)))));
}
