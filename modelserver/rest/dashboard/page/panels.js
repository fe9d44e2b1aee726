// The machine, the log and the configuration.

import { age, bytes, find, make, number, setText, setTiles, time } from "./dom.js";
import { get } from "./server.js";

const MOST_LINES = 300;
const RANKS = { error: 2, warn: 1, info: 0 };
const MEBI = 1 << 20;
const GIBI = 2 ** 30;

export function showMachine(machine, traits, now) {
  const { values, gpus } = machine;
  const tiles = [];
  if ("CPUUtilization" in values) tiles.push(["Processor", `${number(values.CPUUtilization)} %`, processors(machine)]);
  else if (machine.processors) tiles.push(["Processors", String(machine.processors), processors(machine)]);
  if ("MemoryUsed" in values) {
    const all = (values.MemoryUsed + values.MemoryAvailable) * MEBI;
    tiles.push(["Memory", `${number(values.MemoryUtilization)} %`, `${bytes(values.MemoryUsed * MEBI)} used, ${bytes(values.MemoryAvailable * MEBI)} of ${bytes(all)} free`]);
  }
  if (machine.group) {
    const share = (100 * machine.group.used) / machine.group.limit;
    tiles.push(["Memory of the control group", `${number(share)} %`, `${bytes(machine.group.used)} of ${bytes(machine.group.limit)}`]);
  }
  if ("DiskUtilization" in values) {
    tiles.push(["Disk /", `${number(values.DiskUtilization)} %`, `${bytes(values.DiskAvailable * GIBI)} free`]);
  }
  for (const [folder, total, free] of machine.disks ?? []) {
    tiles.push([`Disk of ${folder}`, bytes(free), `free of ${bytes(total)}`]);
  }
  for (const [gpu, load] of Object.entries(gpus)) {
    const used = load.GPUMemoryUsed === undefined ? "" : `${bytes(load.GPUMemoryUsed * MEBI)} of memory in use`;
    tiles.push([`GPU ${gpu}`, load.GPUUtilization === undefined ? "–" : `${number(load.GPUUtilization)} %`, used]);
  }
  for (const [gpu, reason] of Object.entries(machine.aside ?? {})) tiles.push([`GPU ${gpu}`, "set aside", reason]);
  if (!Object.keys(gpus).length) tiles.push(["GPUs", "none", "or they report no load"]);
  setTiles(find("machine"), tiles);
  const sampled = machine.sampled
    ? `Sampled ${age(now - machine.sampled)} ago; every ${number(traits.sampled_every)} s (metric_time_interval).`
    : "The load is not sampled (disable_system_metrics).";
  setText(find("machine-note"), sampled);
}

function processors(machine) {
  if (!machine.processors) return "";
  const limit = machine.share === null ? "" : `, of which the control group allows ${number(machine.share)}`;
  return `${machine.processors} processors${limit}`;
}

/** Keeps the last lines, and shows those of a level. */
export class LogPanel {
  constructor() {
    this.lines = [];
    this.level = find("log-level");
    this.level.addEventListener("change", () => this.show(this.lines, true));
  }

  set(lines) {
    this.lines = lines;
    this.show(lines, true);
  }

  add(lines) {
    this.lines = this.lines.concat(lines).slice(-MOST_LINES * RANKS_COUNT);
    this.show(lines, false);
  }

  show(lines, anew) {
    const list = find("log");
    const box = list.parentElement;
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const wanted = RANKS[this.level.value];
    const shown = lines.filter(([, , level]) => RANKS[level] >= wanted).slice(-MOST_LINES).map(lineOf);
    if (anew) list.replaceChildren(...shown);
    else list.append(...shown);
    while (list.children.length > MOST_LINES) list.firstElementChild.remove();
    if (anew || isAtEnd) box.scrollTop = box.scrollHeight;
  }
}

const RANKS_COUNT = Object.keys(RANKS).length;

function lineOf([, at, level, source, text]) {
  const classes = { error: "bad-text", warn: "warn-text" };
  return make("li", { class: classes[level] ?? null }, `${time(at)} ${level.toUpperCase()} ${source ? `[${source}] ` : ""}${text}`);
}

/** Lets the configuration be asked for, once. */
export function offerConfiguration() {
  const button = find("configuration-load");
  button.addEventListener("click", async () => {
    const box = find("configuration-box");
    if (box.hidden) {
      try {
        const { keys } = await get("/dashboard/configuration");
        find("configuration").tBodies[0].replaceChildren(...keys.map(([name, value, origin, meaning]) =>
          make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value || "(unset)"), make("td", {}, origin), make("td", {}, meaning))));
      } catch (error) {
        setText(button, `Show the configuration in force (${error.message})`);
        return;
      }
    }
    box.hidden = !box.hidden;
    button.setAttribute("aria-expanded", String(!box.hidden));
    setText(button, box.hidden ? "Show the configuration in force" : "Hide the configuration");
  });
}
