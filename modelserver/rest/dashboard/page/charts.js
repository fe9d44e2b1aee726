// The charts: uPlot draws them, with the colours of the page's style sheet.

const HEIGHT = 170;
const KEPT = 300;
const NAMES = { rate: ["requests/s"], times: ["p50", "p95", "p99"] };
const dark = matchMedia("(prefers-color-scheme: dark)");

/** A chart that fills an element; `points` are [time, rate, p50, p95, p99]. */
export class Chart {
  constructor(element, kind) {
    this.element = element;
    this.kind = kind;
    this.points = [];
    this.plot = null;
    this.redraw = () => this.draw(true);
    dark.addEventListener("change", this.redraw);
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(element);
  }

  /** Show other points. */
  set(points) {
    this.points = points;
    this.draw(false);
  }

  /** Add points, and forget those that are too old. */
  add(points) {
    const all = this.points.concat(points);
    const oldest = all.length ? all[all.length - 1][0] - KEPT : 0;
    this.set(all.filter((point) => point[0] >= oldest));
  }

  /** Be no more. */
  close() {
    dark.removeEventListener("change", this.redraw);
    this.sizes.disconnect();
    this.plot?.destroy();
  }

  resize() {
    const width = this.element.clientWidth;
    if (width && this.plot && this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
    else if (width && !this.plot) this.draw(true);
  }

  draw(anew) {
    const data = this.data();
    if (this.plot && !anew) {
      this.plot.setData(data);
      return;
    }
    this.plot?.destroy();
    this.plot = null;
    if (this.element.clientWidth) this.plot = new uPlot(this.options(), data, this.element);
  }

  data() {
    const columns = this.kind === "rate" ? [1] : [2, 3, 4];
    const scale = this.kind === "rate" ? 1 : 1000;
    const shown = (value) => (value === null ? null : value * scale);
    return [this.points.map((point) => point[0]), ...columns.map((at) => this.points.map((point) => shown(point[at])))];
  }

  options() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const times = (plot, splits, axis, space, step) =>
      splits.map((at) => new Date(at * 1000).toTimeString().slice(0, step < 60 ? 8 : 5));
    const dashes = [[], [6, 3], [2, 3]];
    return {
      width: this.element.clientWidth,
      height: HEIGHT,
      cursor: { drag: { x: false, y: false } },
      legend: { live: false },
      scales: {
        x: { range: (plot, oldest, newest) => [newest - KEPT, newest] },
        y: { range: (plot, least, most) => [0, most ? most * 1.1 : 1] },
      },
      axes: [{ ...axis, values: times, space: 80 }, { ...axis, size: 55 }],
      series: [
        {},
        ...NAMES[this.kind].map((label, at) => ({
          label, stroke: colour(`--s${at + 1}`), width: 2, dash: dashes[at], spanGaps: false, points: { size: 4 },
        })),
      ],
    };
  }
}
