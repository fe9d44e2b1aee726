// Makes elements, and shows numbers as people read them. Text is only ever set as text.

export const find = (id) => document.getElementById(id);

/** Return an element with attributes and children; a child that is no element becomes text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") element.addEventListener("click", value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set the text of an element, unless it has it: screen readers are told of changes only. */
export function setText(element, text) {
  const shown = String(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Show a list of [title, value, remark] in a definition list, in the elements that it has. */
export function setTiles(list, tiles) {
  while (list.children.length > tiles.length) list.lastElementChild.remove();
  tiles.forEach(([title, value, remark], at) => {
    let box = list.children[at];
    if (!box) {
      box = make("div", {}, make("dt"), make("dd", {}, make("span"), make("small")));
      list.append(box);
    }
    setText(box.querySelector("dt"), title);
    setText(box.querySelector("dd span"), value);
    setText(box.querySelector("small"), remark ?? "");
  });
}

const NONE = "–";
// Made once: a call of toLocaleString or localeCompare makes one each time, which takes long for 500 rows.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const order = new Intl.Collator("en", { numeric: true });

export const count = (value) => (value === null || value === undefined ? NONE : whole.format(value));
export const compareTexts = order.compare;

export function number(value) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return "0";
  return value >= 100 ? whole.format(value) : String(Number(value.toPrecision(3)));
}

/** Seconds as milliseconds or seconds. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  return seconds < 1 ? `${number(seconds * 1000)} ms` : `${number(seconds)} s`;
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (value >= size) return `${number(value / size)} ${unit}`;
  }
  return `${value} B`;
}

/** Seconds since the epoch as the time of day, with the date where it is not today's. */
export function time(at) {
  if (!at) return NONE;
  const date = new Date(at * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString("en-GB") : date.toLocaleString("en-GB");
}

export function age(seconds) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}
