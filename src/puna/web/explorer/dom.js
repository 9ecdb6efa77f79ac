// Elements made from values. Text is always a text node: nothing that somebody wrote ever becomes markup.

// h("a.id", { href, onclick }, child, [children], null) -> element. Strings and numbers become text.
export function h(what, ...rest) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const part of rest) {
    if (part && typeof part === "object" && !(part instanceof Node) && !Array.isArray(part)) set(element, part);
    else add(element, part);
  }
  return element;
}

function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
}

// Put `parts` after what is in `element`.
export function put(element, ...parts) {
  add(element, parts);
  return element;
}

function add(element, part) {
  if (part === null || part === undefined || part === false) return;
  if (Array.isArray(part)) part.forEach((each) => add(element, each));
  else element.append(part instanceof Node ? part : document.createTextNode(String(part)));
}

// Put `parts` in the place of all that is in `element`.
export function fill(element, ...parts) {
  element.replaceChildren();
  add(element, parts);
  return element;
}

// Links to addresses that came from somebody: only those of the web.
export const webLink = (url) => (/^https?:\/\//.test(url) ? url : null);
