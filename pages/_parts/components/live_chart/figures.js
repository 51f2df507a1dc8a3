// The figures with lines: what a chart holds in, [traces, layout] out.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ ENDED, count, ending, escaped, faded, note, number }, { logAxis, offLog }] = await Promise.all(["looks", "scales"].map(beside));

export function drawLoss(chart) {
  const { colours, history } = chart;
  const { steps, epochs, notFinite } = history;
  const weight = Number(chart.slider.value);
  const banded = chart.cursor && steps.low.some((low, i) => low !== steps.high[i]);
  const log = chart.scales.log("loss") ? logAxis([...steps.low, ...steps.loss, ...steps.high, ...epochs.validation_loss]) : null;
  const onAxis = (values) => (log ? values.map((value) => (offLog(value) ? null : value)) : values);
  const traces = [];
  if (banded) {
    const band = { x: steps.step, mode: "lines", line: { width: 0 }, hoverinfo: "skip", meta: { of: "lowest to highest", words: "range" } };
    const edge = (values) => (log ? values.map((value) => (offLog(value) ? log.floor : value)) : values); // a band without its lower edge would fall to 0
    traces.push({ ...band, y: edge(steps.low), name: "lowest" });
    traces.push({ ...band, y: edge(steps.high), name: "lowest to highest", fill: "tonexty", fillcolor: faded(colours.training, 0.14) });
  }
  traces.push({
    x: steps.step, y: onAxis(steps.loss), name: banded ? "training, mean" : "training, each step", meta: { words: "training" }, ...lonely(steps.loss, faded(colours.training, 1)),
    line: { color: faded(colours.training, weight > 0 ? 0.35 : 1), width: weight > 0 ? 1 : 2 }, hovertemplate: "%{y:.4g}",
  });
  if (weight > 0) traces.push({
    x: steps.step, y: onAxis(smoothed(steps.loss, weight)), name: "training, smoothed", meta: { words: "smoothed" }, mode: "lines",
    line: { color: colours.training, width: 2.2 }, hovertemplate: "%{y:.4g}",
  });
  if (epochs.validation_loss.some((value) => value !== null)) traces.push({
    x: epochs.step, y: onAxis(epochs.validation_loss), customdata: epochs.epoch, name: "validation", mode: marked(epochs), cliponaxis: false,
    line: { color: colours.validation, width: 2, dash: "dot" }, marker: { size: 7, symbol: "diamond" }, hovertemplate: "%{y:.4g} after epoch %{customdata}",
  });
  if (history.parent) traces.unshift({
    x: history.parent.step, y: onAxis(history.parent.loss), name: "parent, from there on", mode: "lines", meta: { words: "its parent, from there on" },
    line: { color: faded(colours.muted, 0.75), width: 1.2, dash: "dash" }, hovertemplate: "%{y:.4g} in its parent",
  });
  if (log) traces.push(...lowEdge(log, [[steps.step, steps.loss], [epochs.step, epochs.validation_loss]], colours));
  const shapes = [], annotations = [];
  if (notFinite.length) {
    const finite = onAxis(steps.loss).filter((loss) => loss !== null);
    const height = finite.length ? finite.reduce((high, loss) => Math.max(high, loss)) : 1;
    if (!finite.length && !steps.loss.some(offLog)) annotations.push(note(chart, `The loss is NaN or infinite from step ${count(notFinite[0])} on: no value to draw`));
    const broken = new Set(notFinite);
    traces.push({
      x: steps.step, y: steps.step.map((step) => (broken.has(step) ? height : null)), name: "not finite", mode: "lines+markers",
      line: { color: faded(colours.bad, 0.4), width: 6 }, marker: { symbol: "x", size: 7, color: colours.bad }, hovertemplate: "loss is NaN or infinite",
    });
    shapes.push({ type: "line", x0: notFinite[0], x1: notFinite[0], yref: "paper", y0: 0, y1: 1, line: { color: colours.bad, width: 1.5, dash: "dash" } });
  }
  const empty = steps.step.length || log ? {} : { range: [0, 4] }; // no loss is below 0
  return [traces, { shapes, annotations, yaxis: { nticks: 6, ...empty, ...(log?.axis ?? {}), ...heightOf(chart.heights.loss, log) } }];
}

// Values that have no place on a log axis, as signs at its lower edge that say how many they are.
function lowEdge(log, lines, colours) {
  const found = lines.flatMap(([x, values]) => values.flatMap((value, at) => (offLog(value) ? [[x[at], value]] : [])));
  if (!found.length) return [];
  return [{
    x: found.map(([step]) => step), y: found.map(() => log.floor), customdata: found.map(([, value]) => value), name: "0 or below", mode: "markers",
    cliponaxis: false, marker: { symbol: "triangle-down-open", size: 8, color: colours.muted }, hovertemplate: "%{customdata:.4g}: no place on a log scale",
    meta: { words: `${count(found.length)} ${found.length === 1 ? "value is" : "values are"} 0 or below` },
  }];
}

// A line and, for each value without a neighbour to draw a line to, a dot.
function lonely(values, color) {
  const alone = values.map((value, at) => value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null);
  return alone.includes(true) ? { mode: "lines+markers", marker: { color, size: alone.map((dot) => (dot ? 6 : 0)) } } : { mode: "lines" };
}

// Plotly writes into what it is given. On a log axis what reaches below 0 ends at the edge.
const heightOf = (range, log = null) => (range ? { range: log ? range.map((value) => Math.log10(Math.max(value, log.floor))) : [...range] } : {});

// What loss and accuracy reach from and to within a range of steps, up to the next point on either side, with some room; null: no value there.
export function heightsIn({ steps, epochs }, [from, to]) {
  const span = (...lines) => {
    let low = Infinity, high = -Infinity;
    for (const [step, values, factor = 1] of lines) values.forEach((value, at) => {
      if (value === null || (step[at + 1] ?? step[at]) < from || (step[at - 1] ?? step[at]) > to) return;
      low = Math.min(low, value * factor);
      high = Math.max(high, value * factor);
    });
    const room = 0.08 * (high - low) || 0.05 * Math.abs(high) || 0.5;
    return high >= low ? [low - room, high + 2 * room] : null; // above it stands the label of what is marked
  };
  return {
    loss: span([steps.step, steps.loss], [steps.step, steps.low], [steps.step, steps.high], [epochs.step, epochs.validation_loss]),
    accuracy: span([epochs.step, epochs.train_accuracy, 100], [epochs.step, epochs.validation_accuracy, 100]),
  };
}

// Signs that would lie on top of each other are left out.
const marked = ({ epoch }) => (epoch.length > 80 ? "lines" : "lines+markers");

export function drawAccuracy(chart) {
  const { colours, history: { epochs } } = chart;
  const line = (key, name, color, symbol, dash) => ({
    x: epochs.step, y: epochs[key].map((share) => (share === null ? null : share * 100)), customdata: epochs.epoch, name, mode: marked(epochs), cliponaxis: false,
    line: { color, width: 2, dash }, marker: { size: 7, symbol }, hovertemplate: `%{y:.1f} % ${name === "training" ? "over" : "after"} epoch %{customdata}`,
  });
  const traces = [line("train_accuracy", "training", colours.training, "circle", "solid")];
  if (epochs.validation_accuracy.some((value) => value !== null)) traces.push(line("validation_accuracy", "validation", colours.validation, "diamond", "dot"));
  const parent = chart.history.parent?.epochs;
  if (parent?.step.length) traces.unshift({
    x: parent.step, y: parent.validation_accuracy.map((share) => (share === null ? null : share * 100)), name: "parent, validation", mode: "lines",
    meta: { words: "its parent's validation" }, line: { color: faded(colours.muted, 0.75), width: 1.2, dash: "dash" }, hovertemplate: "%{y:.1f} % in its parent",
  });
  const ended = ENDED.includes(chart.about?.status);
  const annotations = epochs.epoch.length ? [] : [note(chart, ended ? "No epoch was completed" : "The first point comes after the first epoch")];
  // A single point would be zoomed in on until nothing is left to compare it with.
  const height = epochs.epoch.length > 1 || chart.heights.accuracy ? heightOf(chart.heights.accuracy) : { range: [0, 100] };
  return [traces, { annotations, yaxis: { nticks: 6, ticksuffix: " %", ...height } }];
}

const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"]; // beside the colour, since that alone tells nothing to some

// One line for each multiplier with which something learns, broken off while nothing does.
export function drawRate(chart) {
  const { colours, history } = chart;
  const { steps, plans } = history;
  const factors = [...new Set(plans.flatMap((plan) => history.multipliers(plan)))].sort((a, b) => b - a);
  const learnsAt = (row, factor) => plans.some((plan) => !plan.frozen[row] && plan.multipliers[row] === factor);
  const blocks = (factor) => history.blocks.filter((block) => block.rows.some((row) => learnsAt(row, factor)));
  const only = factors.length <= 1;
  const held = plans.map((plan) => ({ step: plan.step, factors: new Set(history.multipliers(plan)) }));
  const traces = factors.map((factor, place) => {
    const names = blocks(factor).map((block) => block.name);
    const y = new Array(steps.step.length);
    for (let at = 0, plan = 0; at < y.length; at++) {
      while (held[plan + 1] && held[plan + 1].step <= steps.step[at]) plan++;
      const rate = steps.learning_rate[at];
      y[at] = rate !== null && held[plan].factors.has(factor) ? rate * factor : null;
    }
    const who = names.length > 3 ? `${names[0]} to ${names.at(-1)}, ${count(names.length)} blocks` : names.join(", ");
    const name = only ? `learning rate${factor === 1 ? "" : ` x ${number(factor)}`}` : `x ${number(factor)}: ${escaped(ending(who, 44))}`;
    const color = factor === 1 || only ? colours.rate : colours.series[(place + 3) % colours.series.length];
    const dash = only ? "solid" : DASHES[place % DASHES.length];
    return { x: steps.step, y, name, ...lonely(y, color), connectgaps: false, line: { color, width: 2, shape: "hv", dash }, hovertemplate: "%{y:.4g}" };
  });
  const values = traces.flatMap(({ y }) => y.filter((value) => value !== null));
  const high = values.reduce((high, value) => Math.max(high, value), 0);
  if (rateIsLog(chart)) {
    const log = logAxis(values);
    for (const trace of traces) {
      trace.customdata = trace.y;
      trace.y = trace.y.map((value) => (offLog(value) ? log.floor : value)); // a schedule that begins or ends at 0 is a line to the edge
      trace.hovertemplate = "%{customdata:.4g}";
    }
    const meta = { words: values.some(offLog) ? "0 stands at the lower edge" : "" };
    return [traces, { yaxis: log.axis, meta }];
  }
  return [traces, { yaxis: { type: "linear", nticks: 4, exponentformat: "e", ...(high ? { range: [0, high * 1.12] } : {}) } }];
}

// Whether the learning rate is on a log scale: as somebody chose, else where one line is ten times as high as another, which would seem to be 0.
export function rateIsLog({ history, scales }) {
  const factors = history.plans.flatMap((plan) => history.multipliers(plan)).filter((factor) => factor > 0);
  const [low, high] = factors.reduce(([low, high], factor) => [Math.min(low, factor), Math.max(high, factor)], [Infinity, 0]);
  return scales.log("rate", high / low >= 10);
}

// Exponential moving average without the pull of its start towards zero; a null stays a gap.
function smoothed(values, weight) {
  let mean = 0, total = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return mean / total;
  });
}
