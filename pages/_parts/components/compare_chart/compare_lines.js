// From curves to lines: over which axis, how smooth, and repeats with other seeds as one line with a band. Nothing is drawn in here.

// What can be drawn of a run: `better` says which end is the best; `smooth` that a smoothed line is drawn over a faint one; `log` that a log axis helps.
export const METRICS = {
  loss: { title: "Training loss", note: "lower is better", better: "low", smooth: true, log: true, of: "steps", key: "loss" },
  validation_loss: { title: "Validation loss", note: "lower is better", better: "low", log: true, of: "epochs", key: "validation_loss" },
  validation_accuracy: { title: "Validation accuracy", note: "higher is better", better: "high", percent: true, of: "epochs", key: "validation_accuracy" },
  accuracy: { title: "Training accuracy", note: "mean over each epoch", better: "high", percent: true, of: "epochs", key: "train_accuracy" },
  norm: { title: "Gradient norm", note: "", smooth: true, log: true, of: "steps", key: "norm" },
  rate: { title: "Learning rate", note: "", log: true, of: "steps", key: "rate" },
};

// Exponential moving average that looks back alone: a point that comes later changes none before it, and neither does a coarser summary of the same
// steps, since the weight counts once for each `unit` of the axis. Without the pull of its start towards zero; a null stays a gap.
export function smoothed(steps, values, weight, unit) {
  let mean = 0, total = 0, before = 0;
  return values.map((value, at) => {
    if (value === null) return null;
    const kept = weight ** Math.max(1e-9, (steps[at] - before) / unit);
    before = steps[at];
    mean = kept * mean + (1 - kept) * value;
    total = kept * total + (1 - kept);
    return mean / total;
  });
}

// Values of an axis for steps and seconds: null where the run does not know them.
export function along(axis, { about, epochs }, step, time, epoch = null) {
  if (axis === "time") return time;
  if (axis === "epoch") return epoch ?? (about.per_epoch ? step.map((each) => each / about.per_epoch) : step.map(() => null));
  return step;
}

// The line of one metric of one run: {x, y, step, better}; null where the run has none.
export function lineOf(run, name, axis, layer = "") {
  const metric = METRICS[name] ?? { better: null };
  if (run.curves.length) {
    const curve = run.curves.find((each) => (METRICS[name] ? each.as === name : each.name === name) || (name === "norm" && layer && each.name === `gradient_norm/${layer}`));
    if (!curve || !curve.step.length) return null;
    const y = metric.percent && Math.max(...curve.value.filter((value) => value !== null), 0) > 1.5 ? curve.value.map((value) => value === null ? null : value / 100) : curve.value;
    return { x: along(axis, run, curve.step, curve.time), y, step: curve.step };
  }
  if (!metric.key) return null;
  const columns = run[metric.of];
  if (!columns.step.length || columns[metric.key].every((value) => value === null)) return null;
  return { x: along(axis, run, columns.step, columns.time, metric.of === "epochs" ? columns.epoch : null), y: columns[metric.key], step: columns.step };
}

// Where a line is at its best and its worst, and at its last point: {best, low, high, last}, each as a place in it; null where it has no value.
export function ends({ y }, better) {
  let low = -1, high = -1, last = -1;
  y.forEach((value, at) => {
    if (value === null || !Number.isFinite(value)) return;
    if (low < 0 || value < y[low]) low = at;
    if (high < 0 || value > y[high]) high = at;
    last = at;
  });
  return low < 0 ? null : { low, high, last, best: better === "high" ? high : low };
}

// Several lines as one: at each place of the coarsest of them, mean, lowest and highest of those that have come so far. Of a finer one, the mean of
// what lies between two places counts.
export function together(lines) {
  const there = lines.filter((line) => line && line.step.length);
  if (!there.length) return null;
  const coarsest = there.reduce((one, other) => (spacing(other) > spacing(one) ? other : one));
  const longest = there.reduce((one, other) => (other.step.at(-1) > one.step.at(-1) ? other : one));
  const grid = spacing(longest) < spacing(coarsest) ? coarsest : longest;
  const found = { x: [], y: [], low: [], high: [], step: [], runs: [] };
  const at = there.map(() => 0);
  grid.step.forEach((end, place) => {
    const values = [], places = [];
    there.forEach((line, each) => {
      let sum = 0, count = 0, x = null;
      while (at[each] < line.step.length && line.step[at[each]] <= end) {
        const value = line.y[at[each]];
        if (value !== null) { sum += value; count += 1; }
        x = line.x[at[each]];
        at[each] += 1;
      }
      if (count) { values.push(sum / count); places.push(x); }
    });
    if (!values.length) return;
    const known = places.filter((x) => x !== null);
    found.step.push(end);
    found.x.push(known.length ? known.reduce((sum, x) => sum + x, 0) / known.length : grid.x[place]);
    found.y.push(values.reduce((sum, value) => sum + value, 0) / values.length);
    found.low.push(Math.min(...values));
    found.high.push(Math.max(...values));
    found.runs.push(values.length);
  });
  return found.step.length ? found : null;
}

const spacing = ({ step }) => (step.length > 1 ? (step.at(-1) - step[0]) / (step.length - 1) : 0);

// Seconds as the unit that an axis has: [what to divide by, its name].
export function unitOf(seconds) {
  if (seconds > 2 * 3600) return [3600, "h"];
  return seconds > 180 ? [60, "min"] : [1, "s"];
}
