// An address or id of which only the node knows what it is: goes on to the page that shows it.
import { find } from "../node.js";
import { h, put } from "../dom.js";

export async function page(place, id) {
  const [hit] = await find(id);
  if (!hit) return void put(place, h("section.card", h("h1", "Nothing is called that here"), h("p", "Check the id.")));
  location.replace(hit.kind === "models" ? "#/models" : `#/${hit.kind}/${encodeURIComponent(hit.id)}`);
}
