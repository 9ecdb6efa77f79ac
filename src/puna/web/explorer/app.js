// The explorer: which page is shown, search, theme, and the line that says when the node is away.
import { fill, h } from "./dom.js";
import { find, loadNames, networkNow } from "./node.js";
import { onConnection } from "./live.js";
import { failure, short } from "./show.js";

const PAGES = ["home", "at", "process", "message", "wallet", "block", "blocks", "models", "herd", "verify", "item"];
const LAND_AGAIN_MS = 5000, LAND_TRIES = 60;
const content = document.getElementById("content");
let leave = () => {};
let shown = 0;

async function show() {
  const [name = "", id = ""] = location.hash.replace(/^#\/?/, "").split("/");
  const page = PAGES.includes(name || "home") ? name || "home" : null;
  const turn = ++shown;
  leave();
  leave = () => {};
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!page) return fill(content, h("section.card", h("h1", "There is no such page"), h("p", h("a", { href: "#/" }, "Go to the live page"))));
  try {
    const module = await import(`./pages/${page}.js`);
    await names;
    if (turn !== shown) return;
    const place = h("div");
    fill(content, place);
    const end = await module.page(place, decodeURIComponent(id));
    if (turn !== shown) return end?.();
    leave = end ?? (() => {});
    document.title = `${content.querySelector("h1")?.textContent.trim() ?? ""} · Puna`;
  } catch (error) {
    if (turn === shown) fill(content, h("section.card", h("h1", "This page could not be shown"), failure(error)));
  }
}

const names = loadNames().catch(() => {}); // without names there are ids
addEventListener("hashchange", () => {
  scrollTo(0, 0);
  show().then(() => content.focus({ preventScroll: true })); // who reads by ear begins at the new page
});
show();

// --- search ---

const field = document.getElementById("search-text");
const hits = document.getElementById("search-hits");
let chosen = -1;
let asked = 0;

const KINDS = { models: "model", item: "data" };

async function search() {
  const text = field.value.trim();
  const turn = ++asked;
  const found = text ? await find(text).catch(() => []) : [];
  if (turn !== asked) return found;
  chosen = found.length ? 0 : -1;
  fill(hits, found.map((hit) => h("li", { role: "option", onmousedown: () => open(hit), id: "hit-" + hit.id },
    h("span.badge", KINDS[hit.kind] ?? hit.kind), h("span", (hit.name || "").slice(0, 60)), h("span.id.soft", short(hit.id)))),
  !found.length && text && h("li", { role: "option" }, "Nothing is called that here."));
  hits.hidden = !text;
  field.setAttribute("aria-expanded", String(!hits.hidden));
  mark();
  hits.found = found;
  return found;
}

function mark() {
  [...hits.children].forEach((each, at) => each.setAttribute("aria-selected", String(at === chosen)));
  const at = hits.children[chosen];
  if (at?.id) field.setAttribute("aria-activedescendant", at.id);
  else field.removeAttribute("aria-activedescendant");
}

function open(hit) {
  field.value = "";
  hits.hidden = true;
  field.setAttribute("aria-expanded", "false");
  field.blur();
  location.hash = hit.kind === "models" ? "#/models" : `#/${hit.kind}/${encodeURIComponent(hit.id)}`;
}

field.addEventListener("input", search);
field.addEventListener("blur", () => (hits.hidden = true));
field.addEventListener("keydown", (event) => {
  const count = hits.found?.length ?? 0;
  if (event.key === "ArrowDown" && count) chosen = (chosen + 1) % count;
  else if (event.key === "ArrowUp" && count) chosen = (chosen - 1 + count) % count;
  else if (event.key === "Escape") field.blur();
  else return;
  event.preventDefault();
  mark();
});
document.getElementById("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const before = Math.max(chosen, 0);
  const found = await search();
  if (found.length) open(found[Math.min(before, found.length - 1)]);
});
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "")) {
    event.preventDefault();
    field.focus();
  }
});

// --- light and dark ---

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => (document.documentElement.dataset.theme = localStorage.getItem("puna-theme") ?? (dark.matches ? "dark" : "light"));
dark.addEventListener("change", paint);
document.getElementById("theme").addEventListener("click", () => {
  localStorage.setItem("puna-theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  paint();
});
paint();

// --- the node ---

const line = document.getElementById("connection");
onConnection((up, again) => {
  line.hidden = up;
  line.textContent = up ? "" : "The node does not answer. Trying again…";
  if (again) {
    loadNames().catch(() => {});
    show(); // what happened meanwhile was missed
  }
});

// The way to Llama Land, as soon as there is one: it is raised some time after the rest.
async function seekLand(tries) {
  const told = await networkNow().catch(() => null);
  document.getElementById("to-land").hidden = !told?.land;
  if (told?.land) loadNames().catch(() => {});
  else if (tries > 0) setTimeout(() => seekLand(tries - 1), LAND_AGAIN_MS);
}
seekLand(LAND_TRIES);
