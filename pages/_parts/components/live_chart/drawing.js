// From what a chart holds to figures of Plotly: each as high as its place (panels.js), as wide as it finds it, with markers and evidence on it.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ baseLayout, merge, widthOf }, { drawLoss, drawAccuracy, drawRate }, { layoutLane }, { markers }, waterfall, { MARGIN, rowsHeight }, { keyLine, shownOf }, { write }, { drawForgetting, tellForgetting }] =
  await Promise.all(["looks", "figures", "freeze_lane", "markers", "waterfall", "panels", "key_line", "spoken", "forgetting"].map(beside));

const FIGURES = { loss: drawLoss, accuracy: drawAccuracy, rate: drawRate, forgetting: drawForgetting };

export function drawLines(chart, name) {
  const plot = chart.plot(name), panel = chart.panel(name);
  const [traces, { yaxis, meta, ...layout }] = FIGURES[name](chart);
  const base = baseLayout(chart);
  const sides = name === "rate" ? sidesOf(chart) : name === "forgetting" ? { r: 56 } : {};
  const whole = marked(chart, name, merge(base, {
    ...layout, ...sizeOf(chart, name), margin: { ...MARGIN, ...sides, autoexpand: false }, xaxis: { automargin: false, title: { standoff: 4 } },
    // A zoom on one kind of scale means nothing on the other.
    yaxis: { ...yaxis, automargin: false, uirevision: `${base.yaxis.uirevision}-${yaxis.type ?? "linear"}` }, showlegend: false,
  }), plot);
  const first = !plot.classList.contains("js-plotly-plot");
  plot.style.height = `${whole.height}px`; // Plotly forgets its height when the window changes
  chart.Plotly.react(plot, shownOf(chart.hidden[name], traces), whole, chart.config(name));
  if (first) {
    plot.on("plotly_relayout", (event) => chart.follow(name, event));
    plot.on("plotly_click", (event) => chart.branching.choose(event.points?.[0]?.x));
  }
  keyLine(panel.querySelector(".thaw-lines"), traces, chart.hidden[name], () => chart.draw(name));
  if (name === "rate") write(panel.querySelector("small"), [traces.length > 1 ? "one line for each multiplier" : "", meta?.words].filter(Boolean).join(" \u00b7 "));
  if (name === "forgetting") tellForgetting(chart);
  chart.logButton(name)?.setAttribute("aria-pressed", yaxis.type === "log");
}

export function drawPicture(chart, name) {
  const plot = chart.plot(name);
  chart.labelLength = chart.root.clientWidth < 760 ? 18 : 30;
  const size = sizeOf(chart, name);
  if (name === "heat") {
    const before = chart.rows?.height;
    chart.rows = waterfall.arrange(chart.history, rowsHeight(size.height));
    if (chart.rowRange && before) chart.rowRange = chart.rowRange.map((edge) => (edge * chart.rows.height) / before); // the same rows, larger or smaller
  }
  const layout = name === "heat" ? waterfall.layoutWaterfall(chart, chart.rows) : layoutLane(chart);
  const whole = marked(chart, name, merge(baseLayout(chart), merge(layout, { ...size, margin: sidesOf(chart) })), plot);
  whole.yaxis.uirevision = whole.datarevision; // the rows in sight are ours to keep, as the range of steps is
  const first = chart.pictures[name].draw(whole, { ...chart.config(name), doubleClick: false });
  if (first) plot.on("plotly_relayout", (event) => chart.follow(name, event));
  if (name === "heat") waterfall.tellView(chart, chart.panel("heat"));
}

const sizeOf = (chart, name) => ({ height: chart.large.room(name) ?? chart.height(name), ...widthOf(chart.plot(name)) });

// The same room left and right of the wide figures, so that a step stands at the same place in all of them.
function sidesOf({ history: { layers, blocks }, labelLength = 30 }) {
  const longest = (names, width) => names.reduce((most, { name }) => Math.max(most, Math.min(name.length, labelLength)), 0) * width;
  return { l: Math.max(MARGIN.l, Math.ceil(Math.max(longest(layers, 6.05), longest(blocks, 6.65))) + 10), r: 10 };
}

// A figure's layout with the window of a finding, and a line and a flag for each change. None of them makes it higher.
function marked(chart, name, layout, plot) {
  const width = Math.max(100, (layout.width ?? plot.clientWidth) - layout.margin.l - layout.margin.r);
  const whole = together(together(layout, chart.evidence.marks(name, width)), chart.branching.marks(name));
  if (!chart.history.changes.length) return whole;
  const changes = markers(chart, width);
  chart.root.dataset.markers = changes.shapes.length;
  return together(whole, changes);
}

function together(layout, { shapes, annotations, room = 0 }) {
  return {
    ...layout, margin: { ...layout.margin, t: layout.margin.t + room },
    shapes: [...(layout.shapes ?? []), ...shapes], annotations: [...(layout.annotations ?? []), ...annotations],
  };
}
