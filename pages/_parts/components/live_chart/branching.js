// Where a run branched off from its parent, and choosing a step from which another one is to branch off: a press on a curve marks it, and a
// button in the bar goes on from there. Nothing leads away from a chart that was pressed by mistake.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ count, escaped, faded }, { write }] = await Promise.all(["looks", "spoken"].map(beside));

const PANELS = ["loss", "accuracy", "forgetting"]; // those with curves that can be pressed

export class Branching {
  constructor(chart) {
    this.chart = chart;
    this.step = null; // the step that somebody chose
    const { root } = chart;
    this.place = root.querySelector(".thaw-branch");
    this.button = root.querySelector("[data-act=branch]");
    this.button.onclick = () => { if (this.step !== null) chart.send?.("branch", { step: this.step }); };
    root.querySelector("[data-act=no-branch]").onclick = () => this.choose(null);
  }

  // A press at `x` of the axis of steps; null: no step any more.
  choose(x) {
    const { chart } = this;
    const last = chart.history.lastStep;
    if (x !== null && !(Number.isFinite(x) && last > 0)) return;
    this.step = x === null ? null : Math.max(1, Math.min(Math.round(x), last));
    this.place.hidden = this.step === null;
    this.button.textContent = this.step === null ? "" : `Branch off from step ${count(this.step)} …`;
    chart.root.dataset.chosen = this.step ?? "";
    write(chart.root.querySelector(".thaw-unseen"), this.step === null ? "No step is chosen." : `Step ${count(this.step)} is chosen. The button at the top branches off from there.`);
    for (const name of PANELS) chart.dirty.add(name);
    chart.drawNow();
  }

  // The shared past, a line where the branch begins, and one at the step that was chosen.
  marks(name) {
    const { colours, about } = this.chart;
    const shapes = [], annotations = [];
    const across = { xref: "x", yref: "paper", y0: 0, y1: 1 };
    const fork = about?.fork;
    if (fork) {
      shapes.push({ type: "rect", ...across, x0: 0, x1: fork.step + 0.5, layer: "below", line: { width: 0 }, fillcolor: faded(colours.muted, 0.1), name: "past" });
      shapes.push({ type: "line", ...across, x0: fork.step + 0.5, x1: fork.step + 0.5, line: { color: colours.muted, width: 1.5 }, name: "fork" });
      if (PANELS.includes(name)) annotations.push({
        x: fork.step + 0.5, xref: "x", y: 1, yref: "paper", yanchor: "top", xanchor: "left", xshift: 3, yshift: -2, showarrow: false, text: "branched off", name: "fork",
        font: { size: 10, color: colours.muted, family: colours.font }, bgcolor: faded(colours.background, 0.8),
        hovertext: escaped(`branched off from ${fork.parent} behind step ${count(fork.step)}; what lies before it is its parent's`), captureevents: true,
      });
    }
    if (this.step !== null && PANELS.includes(name)) {
      shapes.push({ type: "line", ...across, x0: this.step, x1: this.step, line: { color: colours.training, width: 1.5, dash: "dashdot" }, name: "chosen" });
    }
    return { shapes, annotations };
  }
}
