// The table of models, and the list of what hurts.

import { bytes, compareTexts, count, duration, find, make, number, setText } from "./dom.js";

const BAD = 2;
const WARN = 1;
const LEVELS = ["", "warn", "bad"];
const FULL = 0.8;
const MOST_TROUBLES = 12;

/** Return [level, why] of a version: the worst that is the matter with it, else [0, ""]. */
export function troubleOf(model) {
  const ready = readyOf(model);
  const failed = model.workers.filter((worker) => worker.failure && worker.state !== "ready");
  const reason = failed.length ? ` Last failure: ${failed[failed.length - 1].failure}` : "";
  if (model.minimum > 0 && ready === 0 && failed.length) return [BAD, `no worker is ready.${reason}`];
  if (failed.length) return [BAD, `${failed.length} of ${model.workers.length} workers are down.${reason}`];
  const refusals = refusalsOf(model);
  if (model.limit && model.waiting >= model.limit * FULL) {
    return [BAD, `its queue is full, or nearly: ${count(model.waiting)} of ${count(model.limit)} requests wait. ${refusals}`.trim()];
  }
  if (refusals) return [WARN, refusals];
  const crashed = model.workers.filter((worker) => worker.failure);
  if (crashed.length) {
    const often = model.restarts > 1 ? ` (${count(model.restarts)} restarts in all)` : "";
    return [WARN, `a worker was started again${often}. It had ended: ${crashed[crashed.length - 1].failure}`];
  }
  return [0, ""];
}

function refusalsOf(model) {
  if (!model.refusals) return "";
  const causes = Object.entries(model.refused).map(([cause, refused]) => `${cause} ${count(refused)}`).join(", ");
  return `${count(model.refusals)} requests were refused in the last minutes (in all: ${causes}).`;
}

export const readyOf = (model) => model.workers.filter((worker) => worker.state === "ready").length;

const memoryOf = (model) => model.workers.reduce((sum, worker) => sum + worker.memory, 0);
const label = (model) => `${model.name} ${model.version}`;

const versionOf = (model) =>
  `${model.version}${model.is_default ? " (default)" : ""}${model.workflow ? `, of workflow ${model.workflow}` : ""}`;

const COLUMNS = [
  { title: "Model", key: (model) => model.name },
  { title: "Version", key: (model) => model.version, show: versionOf },
  { title: "Workers", key: readyOf, show: (model) => `${readyOf(model)} of ${model.minimum}`, number: true },
  { title: "Waiting", key: (model) => model.waiting, show: (model) => `${count(model.waiting)} of ${count(model.limit)}`, number: true },
  { title: "In flight", key: (model) => model.in_flight, show: (model) => count(model.in_flight), number: true },
  { title: "Req/s", key: (model) => model.rate, show: (model) => number(model.rate), number: true },
  { title: "p50", key: (model) => model.p50, show: (model) => duration(model.p50), number: true },
  { title: "p95", key: (model) => model.p95, show: (model) => duration(model.p95), number: true },
  { title: "p99", key: (model) => model.p99, show: (model) => duration(model.p99), number: true },
  { title: "Batch", key: (model) => model.batch, show: (model) => `${number(model.batch)} of ${model.batch_size}`, number: true },
  { title: "Answered", key: (model) => model.finished, show: (model) => count(model.finished), number: true },
  { title: "Refused", key: (model) => sum(model.refused), show: (model) => count(sum(model.refused)), number: true },
  { title: "Restarts", key: (model) => model.restarts, show: (model) => count(model.restarts), number: true },
  { title: "Memory", key: memoryOf, show: (model) => bytes(memoryOf(model) || null), number: true },
];

const sum = (counts) => Object.values(counts).reduce((all, one) => all + one, 0);

/** Shows all versions; a row is made once, and only cells whose text is another one are touched. */
export class ModelTable {
  constructor(onOpen) {
    this.onOpen = onOpen;
    this.rows = new Map();
    this.sortedBy = null;
    this.isDown = false;
    this.table = find("models");
    this.table.classList.add("cards");
    this.heads = COLUMNS.map((column, at) => {
      const button = make("button", { type: "button", onclick: () => this.sortBy(at) }, column.title);
      return make("th", { scope: "col", class: column.number ? "number" : null }, button);
    });
    this.table.tHead.append(make("tr", {}, ...this.heads));
    find("filter").addEventListener("input", () => this.filter());
  }

  /** Show these versions; `changed` are the keys whose values are new, or null: all. */
  show(models, changed) {
    for (const [key, row] of this.rows) {
      if (!models.has(key)) {
        row.element.remove();
        this.rows.delete(key);
      }
    }
    let isNew = false;
    const added = document.createDocumentFragment();
    for (const key of changed ?? models.keys()) {
      if (!this.rows.has(key)) {
        const row = this.makeRow(key, models.get(key));
        this.rows.set(key, row);
        added.append(row.element);
        isNew = true;
      }
      this.fill(this.rows.get(key), models.get(key));
    }
    this.table.tBodies[0].append(added);
    if (isNew || this.sortedBy !== null) this.sort();
    this.filter();
  }

  makeRow(key, model) {
    const open = make("button", { type: "button", class: "link", onclick: () => this.onOpen(key) }, model.name);
    const cells = COLUMNS.slice(1).map((column) =>
      make("td", { class: column.number ? "number" : null, "data-title": column.title }));
    const element = make("tr", {}, make("th", { scope: "row" }, open), ...cells);
    return { key, element, cells, model, label: label(model) };
  }

  fill(row, model) {
    row.model = model;
    row.cells.forEach((cell, at) => setText(cell, COLUMNS[at + 1].show(model)));
    const level = LEVELS[troubleOf(model)[0]];
    if (row.element.className !== level) row.element.className = level;
  }

  sortBy(at) {
    this.isDown = this.sortedBy === at ? !this.isDown : Boolean(COLUMNS[at].number);
    this.sortedBy = at;
    this.heads.forEach((head, each) => {
      if (each === at) head.setAttribute("aria-sort", this.isDown ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.sort();
  }

  sort() {
    const rows = [...this.rows.values()];
    const byName = (one, other) => compareTexts(one.label, other.label);
    const by = this.sortedBy === null ? null : COLUMNS[this.sortedBy].key;
    const side = this.isDown ? -1 : 1;
    rows.sort((one, other) => (by ? side * compare(by(one.model), by(other.model)) : 0) || byName(one, other));
    const body = this.table.tBodies[0];
    rows.forEach((row, at) => {
      if (body.children[at] !== row.element) body.insertBefore(row.element, body.children[at] ?? null);
    });
  }

  filter() {
    const wanted = find("filter").value.toLowerCase();
    let shown = 0;
    for (const row of this.rows.values()) {
      const isHidden = Boolean(wanted) && !row.model.name.toLowerCase().includes(wanted);
      if (row.element.hidden !== isHidden) row.element.hidden = isHidden;
      shown += isHidden ? 0 : 1;
    }
    setText(find("models-count"), `${shown} of ${this.rows.size} versions`);
  }
}

function compare(one, other) {
  const [left, right] = [one ?? -1, other ?? -1];
  if (typeof left === "string") return compareTexts(left, right);
  return left - right;
}

/** Show what hurts, the worst first; nothing is touched while it is the same as before. */
export function showTrouble(models, server, onOpen) {
  const found = [];
  for (const [key, model] of models) {
    const [level, why] = troubleOf(model);
    if (level) found.push({ level, key, text: label(model), why });
  }
  found.sort((one, other) => other.level - one.level || compareTexts(one.text, other.text));
  const list = find("trouble");
  const signature = JSON.stringify(found);
  if (list.dataset.shown === signature) return;
  list.dataset.shown = signature;
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  list.replaceChildren(...found.slice(0, MOST_TROUBLES).map(({ level, key, text, why }) => {
    const open = make("button", { type: "button", class: "link", "data-key": key, onclick: () => onOpen(key) }, text);
    return make("li", { class: LEVELS[level] }, open, `: ${why}`);
  }));
  if (found.length > MOST_TROUBLES) list.append(make("li", {}, `and ${found.length - MOST_TROUBLES} more versions`));
  if (!found.length) list.append(make("li", { class: "good" }, "Nothing: all workers that are wanted are there, and nothing was refused."));
  if (focused) [...list.querySelectorAll("button")].find((button) => button.dataset.key === focused)?.focus();
}
