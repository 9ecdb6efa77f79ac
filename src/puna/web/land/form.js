// Forms out of what a process says it takes (the Schema messages of the Reality protocol).
//
// A process describes a flat object of tags as JSON Schema. `const` values are sent as they are and not shown; a number
// is multiplied by the whole number in its `$comment`; long texts get a text area. Every value is sent as a tag.

const AREA_LETTERS = 100;
const TEXT_MAX = 2000;

const whole = (text) => BigInt(String(text).match(/^\d+/)?.[0] ?? "1");

/** What is shown of a schema: [{name, property, isRequired}]. */
export function fieldsOf(schema) {
  const properties = schema?.Tags?.properties ?? {};
  const required = new Set(Array.isArray(schema?.Tags?.required) ? schema.Tags.required : []);
  return Object.entries(properties).filter(([, property]) => property.const === undefined)
    .map(([name, property]) => ({ name, property, isRequired: required.has(name) }));
}

/** The tags that are sent whatever is typed. */
export function constantsOf(schema) {
  const properties = schema?.Tags?.properties ?? {};
  return Object.fromEntries(Object.entries(properties).filter(([, property]) => property.const !== undefined)
    .map(([name, property]) => [name, String(property.const)]));
}

/** One field as elements: {element, input}. Whatever a process wrote is text here, never markup. */
export function drawField({ name, property, isRequired }, value = "") {
  const label = document.createElement("label");
  const title = document.createElement("span");
  title.textContent = String(property.title ?? name);
  label.append(title);
  const most = Math.min(Number(property.maxLength) || TEXT_MAX, TEXT_MAX);
  let input;
  if (Array.isArray(property.enum)) {
    input = document.createElement("select");
    for (const choice of property.enum) input.append(new Option(String(choice), String(choice)));
  } else if (property.type === "string" && most >= AREA_LETTERS) {
    input = document.createElement("textarea");
    input.rows = 4;
  } else {
    input = document.createElement("input");
    input.type = property.type === "number" || property.type === "integer" ? "number" : "text";
    input.autocomplete = "off";
  }
  input.name = name;
  input.required = isRequired;
  input.value = value || (property.default ?? input.value);
  if (property.type === "string") {
    input.maxLength = most;
    if (property.minLength) input.minLength = property.minLength;
    if (input.localName !== "select") {
      const counter = document.createElement("span");
      counter.className = "counter";
      const count = () => (counter.textContent = `${new TextEncoder().encode(input.value).length} / ${most}`);
      input.addEventListener("input", count);
      count();
      title.append(" ", counter);
    }
  } else if (input.type === "number") {
    for (const [from, to] of [["minimum", "min"], ["maximum", "max"]]) if (property[from] !== undefined) input[to] = property[from];
    input.step = property.type === "integer" || property.multipleOf === undefined ? property.multipleOf ?? "any" : property.multipleOf;
  }
  label.append(input);
  return { element: label, input };
}

/** What a field's text is as a tag. Throws an Error in plain words. */
export function tagValue({ name, property }, text) {
  const title = String(property.title ?? name);
  if (property.type === "number" || property.type === "integer") {
    const factor = whole(property.$comment ?? 1);
    const [, sign, units, part = ""] = String(text).trim().match(/^(-?)(\d+)(?:\.(\d+))?$/) ?? [];
    if (units === undefined) throw new Error(`${title}: please give a number.`);
    const scale = 10n ** BigInt(part.length);
    const product = BigInt(units + part) * factor;
    if (product % scale !== 0n) throw new Error(`${title}: that many decimals cannot be paid.`);
    return `${sign}${product / scale}`;
  }
  const bytes = new TextEncoder().encode(text).length;
  if (property.maxLength && bytes > property.maxLength)
    throw new Error(`${title}: at most ${property.maxLength} bytes; this has ${bytes}.`);
  if (property.minLength && bytes < property.minLength)
    throw new Error(`${title}: at least ${property.minLength} letters, please.`);
  return text;
}
