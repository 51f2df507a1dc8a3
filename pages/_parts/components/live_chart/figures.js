// The figures with lines: what a chart holds in, [traces, layout] out.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const { count, ending, escaped, faded, note, number } = await beside("looks");

export function drawLoss(chart) {
  const { colours, history } = chart;
  const { steps, epochs, notFinite } = history;
  const weight = Number(chart.slider.value);
  const banded = chart.cursor && steps.low.some((low, i) => low !== steps.high[i]);
  const traces = [];
  if (banded) {
    const band = { x: steps.step, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
    traces.push({ ...band, y: steps.low, name: "lowest" });
    traces.push({ ...band, y: steps.high, name: "lowest to highest", fill: "tonexty", fillcolor: faded(colours.training, 0.14), showlegend: true });
  }
  traces.push({
    x: steps.step, y: steps.loss, name: banded ? "training, mean" : "training, each step", mode: "lines",
    line: { color: faded(colours.training, weight > 0 ? 0.35 : 1), width: weight > 0 ? 1 : 2 }, hovertemplate: "%{y:.4g}",
  });
  if (weight > 0) traces.push({
    x: steps.step, y: smoothed(steps.loss, weight), name: "training, smoothed", mode: "lines",
    line: { color: colours.training, width: 2.2 }, hovertemplate: "%{y:.4g}",
  });
  if (epochs.validation_loss.some((value) => value !== null)) traces.push({
    x: epochs.step, y: epochs.validation_loss, customdata: epochs.epoch, name: "validation", mode: marked(epochs), cliponaxis: false,
    line: { color: colours.validation, width: 2, dash: "dot" }, marker: { size: 7, symbol: "diamond" }, hovertemplate: "%{y:.4g} after epoch %{customdata}",
  });
  const shapes = [];
  if (notFinite.length) {
    const finite = steps.loss.filter((loss) => loss !== null);
    const height = finite.length ? Math.max(...finite) : 1;
    const broken = new Set(notFinite);
    traces.push({
      x: steps.step, y: steps.step.map((step) => (broken.has(step) ? height : null)), name: "not finite", mode: "lines+markers",
      line: { color: faded(colours.bad, 0.4), width: 6 }, marker: { symbol: "x", size: 7, color: colours.bad }, hovertemplate: "loss is NaN or infinite",
    });
    shapes.push({ type: "line", x0: notFinite[0], x1: notFinite[0], yref: "paper", y0: 0, y1: 1, line: { color: colours.bad, width: 1.5, dash: "dash" } });
  }
  return [traces, { shapes, yaxis: { title: { text: "loss" }, ...heightOf(chart.heights.loss) } }];
}

const heightOf = (range) => (range ? { range: [...range] } : {}); // Plotly writes into it

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
  const annotations = epochs.epoch.length ? [] : [note(chart, "The first point comes after the first epoch")];
  const height = epochs.epoch.length ? heightOf(chart.heights.accuracy) : { range: [0, 100] };
  return [traces, { annotations, yaxis: { title: { text: "accuracy, %" }, ticksuffix: " %", ...height } }];
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
    return { x: steps.step, y, name, mode: "lines", connectgaps: false, line: { color, width: 2, shape: "hv", dash }, hovertemplate: "%{y:.4g}" };
  });
  const values = traces.flatMap(({ y }) => y.filter((value) => value > 0));
  const [low, high] = values.length ? values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, 0]) : [1, 1];
  const log = factors.length > 1 && factors[0] / factors.at(-1) >= 10; // beside a line ten times as high, one on a linear axis would seem to be 0
  const linear = { type: "linear", nticks: 4, ...(values.length ? { range: [0, high * 1.12] } : {}) };
  const axis = log ? { type: "log", range: [Math.log10(low) - 0.15, Math.log10(high) + 0.15], dtick: 1 } : linear;
  return [traces, {
    showlegend: !only, height: only ? 150 : 190, margin: { t: only ? 8 : 26, b: 10 }, xaxis: { automargin: true }, legend: { font: { size: 10 } },
    yaxis: { title: { text: "" }, exponentformat: "e", automargin: false, ...axis },
  }];
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
