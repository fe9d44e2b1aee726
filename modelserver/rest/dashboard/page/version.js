// The dialog with everything about one version.

import { Chart } from "./charts.js";
import { age, bytes, count, duration, find, make, number, setText, setTiles, time } from "./dom.js";
import { get, ofVersion } from "./server.js";

const REFRESH = 5000;

/** One version, live from the stream; what is too much for the stream is asked for while the dialog is open. */
export class VersionDialog {
  constructor(board, actions) {
    this.board = board;
    this.actions = actions;
    this.dialog = find("version");
    this.key = null;
    this.charts = [];
    this.timer = null;
    find("version-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.forget());
  }

  open(key) {
    const model = this.board.models.get(key);
    if (!model) return;
    this.forget();
    this.key = key;
    setText(find("version-title"), `${model.name} ${model.version}`);
    this.build();
    this.update();
    if (!this.dialog.open) this.dialog.showModal();
    this.charts = [new Chart(this.parts.rate, "rate"), new Chart(this.parts.times, "times")];
    this.load();
  }

  forget() {
    clearTimeout(this.timer);
    this.charts.forEach((chart) => chart.close());
    this.charts = [];
    this.key = null;
  }

  build() {
    const part = (name, attributes) => make(name, attributes);
    this.parts = {
      why: part("p", { class: "bad-text" }),
      buttons: part("div", { class: "buttons" }),
      tiles: part("dl", { class: "tiles" }),
      rate: part("div", { class: "chart" }),
      times: part("div", { class: "chart" }),
      workers: part("tbody"),
      failures: part("div"),
      batches: part("p"),
      settings: part("dl", { class: "tiles facts" }),
      message: part("p", { class: "bad-text", role: "alert" }),
    };
    const heads = ["Worker", "State", "Process", "Memory", "GPU", "Since", "Restarts", "Node", "Last failure"];
    const table = make("table", { class: "cards" },
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), this.parts.workers);
    find("version-body").replaceChildren(
      this.parts.why, this.parts.buttons, this.parts.message, this.parts.tiles,
      make("div", { class: "charts" },
        make("figure", {}, make("figcaption", {}, "Requests per second"), this.parts.rate),
        make("figure", {}, make("figcaption", {}, "Milliseconds from arrival to answer"), this.parts.times)),
      make("h3", {}, "Workers"), make("div", { class: "scroll", role: "region", "aria-label": "Workers", tabindex: "0" }, table),
      this.parts.failures,
      make("h3", {}, "Batches"), this.parts.batches,
      make("h3", {}, "Settings"), this.parts.settings);
    const { traits } = this.board;
    const button = (text, action) =>
      make("button", { type: "button", onclick: () => this.actions[action](this.board.models.get(this.key)) }, text);
    this.parts.buttons.append(button("Try a prediction", "tryOut"), button("Scale", "scale"));
    if (traits.has_versions) this.parts.buttons.append(button("Set as default", "setDefault"));
    const isNode = Boolean(this.board.models.get(this.key).workflow);
    if (traits.controls_models && !isNode) this.parts.buttons.append(button("Unregister", "unregister"));
  }

  /** Show what the stream has told. */
  update() {
    if (this.key === null) return;
    const model = this.board.models.get(this.key);
    if (!model) {
      setText(this.parts.message, "This version is not registered any more.");
      this.parts.buttons.hidden = true;
      return;
    }
    if (this.parts.buttons.hidden) {
      this.parts.buttons.hidden = false;
      this.load();
    }
    const [, why] = this.board.troubleOf(model);
    setText(this.parts.why, why);
    const refused = Object.entries(model.refused).map(([cause, refusals]) => `${cause} ${count(refusals)}`).join(", ");
    setTiles(this.parts.tiles, [
      ["Requests/s", number(model.rate)],
      ["p50 / p95 / p99", [model.p50, model.p95, model.p99].map(duration).join(" / "), "of the last five minutes"],
      ["In flight", count(model.in_flight)],
      ["Waiting", count(model.waiting), `of ${count(model.limit)} that may`],
      ["Answered", count(model.finished)],
      ["Refused (all versions)", count(Object.values(model.refused).reduce((a, b) => a + b, 0)), refused],
      ["Workers wanted", `${model.minimum} to ${model.maximum}`],
      ["Restarts / retries", `${count(model.restarts)} / ${count(model.retries)}`],
    ]);
    this.showWorkers(model);
  }

  showWorkers(model) {
    const body = this.parts.workers;
    while (body.rows.length > model.workers.length) body.lastElementChild.remove();
    model.workers.forEach((worker, at) => {
      const titles = ["State", "Process", "Memory", "GPU", "Since", "Restarts", "Node", "Last failure"];
      const row = body.rows[at] ?? body.appendChild(make("tr", {}, make("th", { scope: "row" }),
        ...titles.map((title) => make("td", { "data-title": title }))));
      const since = worker.since ? `${time(worker.since)} (${age(this.board.at - worker.since)})` : "–";
      const failure = worker.failure ? `${time(worker.failed_at)}: ${worker.failure}` : "";
      [worker.id, worker.state, worker.pid ?? "–", bytes(worker.memory || null), onGpu(worker), since, worker.restarts, worker.node || (worker.placed ? "no place" : "–"), failure]
        .forEach((text, each) => setText(row.cells[each], text));
      row.cells[7].title = worker.placed;
    });
    const failed = model.workers.map((worker) => worker.failed_at).join();
    if (this.failed !== undefined && this.failed !== failed && this.charts.length) this.load();
    this.failed = failed;
  }

  /** Ask for the rest now, and again while the dialog is open. */
  async load() {
    clearTimeout(this.timer);
    const key = this.key;
    const model = this.board.models.get(key);
    if (!model) return;
    try {
      const details = await get(ofVersion("versions", model));
      if (this.key !== key) return;
      setText(this.parts.message, "");
      this.charts.forEach((chart) => chart.set(details.chart));
      this.showDetails(details);
    } catch (error) {
      if (this.key === key) setText(this.parts.message, error.message);
    }
    if (this.key === key) this.timer = setTimeout(() => this.load(), REFRESH);
  }

  showDetails(details) {
    this.showFailures(Object.entries(details.failures));
    const sizes = [...details.sizes.map((size) => `up to ${size}`), "more"];
    const told = details.batches.map((batches, at) => [batches, sizes[at]]).filter(([batches]) => batches)
      .map(([batches, size]) => `${count(batches)} with ${size}`);
    setText(this.parts.batches, told.length ? `By how many requests they had: ${told.join(", ")}.` : "None yet.");
    const settings = [["Archive", details.url || "–"], ["Handler", details.handler], ["Mode", details.mode],
      ["Waiting bytes", bytes(details.waiting_bytes)]];
    for (const [group, values] of Object.entries(details.settings)) {
      for (const [name, value] of Object.entries(values)) settings.push([`${group}: ${name.replaceAll("_", " ")}`, String(value)]);
    }
    setTiles(this.parts.settings, settings);
  }

  showFailures(failures) {
    const signature = JSON.stringify(failures);
    if (this.parts.failures.dataset.shown === signature) return;
    this.parts.failures.dataset.shown = signature;
    this.parts.failures.replaceChildren(...failures.flatMap(([worker, failure]) => {
      const lines = (title, text) => (text.length
        ? [make("h4", {}, title), make("pre", { tabindex: "0", "aria-label": `${title} of worker ${worker}` }, text.join("\n"))] : []);
      return [
        make("h3", {}, `Last failure of worker ${worker}`),
        make("p", {}, `${time(failure.at)}: ${failure.text}${failure.permanent ? ". It is not started again by itself." : ""}`),
        ...lines("Traceback", failure.traceback), ...lines("Last lines of stderr", failure.stderr),
      ];
    }));
  }
}

/** Which GPU a worker has, and how much of its memory. */
function onGpu(worker) {
  const held = worker.gpu_memory ? ` (${bytes(worker.gpu_memory)})` : "";
  return `${worker.gpu ?? "–"}${held}`;
}
