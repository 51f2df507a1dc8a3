// What Plotly draws of the lines of one panel: bands, raw lines, smoothed ones, and stars where they are best. Nothing is drawn in here.
// A line is {id, name, members, color, dash, line, found}; how: {name, metric, put, along, runs, smoothing, shown, looks, background, hover}.

const { smoothed } = await import(`./compare_lines.js${new URL(import.meta.url).search}`);

const BAND_OF = 6; // lines up to which lowest and highest of each summary are drawn, and each has a raw line of its own

export function tracesOf(lines, how) {
  const traces = lines.map((entry) => ({ color: entry.color, ...ofLine(entry, how) }));
  const raw = traces.flatMap(({ raw, color }) => (raw ? [{ ...raw, color }] : []));
  // What lies behind first: where lines are many, the raw ones of a colour are one trace, since Plotly takes as long for a trace as for its points.
  return [...traces.flatMap(({ behind }) => behind), ...(how.shown <= BAND_OF ? raw.map(({ color, ...one }) => one) : joined(raw)), ...traces.flatMap(({ before }) => before)];
}

// {behind: its band, raw: its faint line under a smoothed one, before: the line itself}
function ofLine({ id, name: called, members, color, dash, line }, { name, metric, put, along, runs, smoothing, shown, looks, hover }) {
  const base = { x: along(line), type: "scatter", mode: "lines", name: looks.escaped(looks.cut(called, 60)), legendgroup: id, connectgaps: false };
  const behind = [];
  const band = (low, high, share) => {
    const edge = { ...base, hoverinfo: "skip", line: { width: 0 } };
    behind.push({ ...edge, y: put(low) }, { ...edge, y: put(high), fill: "tonexty", fillcolor: looks.faded(color, share) });
  };
  const { steps, curves, unit } = runs[members[0]];
  if (line.low) band(line.low, line.high, 0.18);
  else if (name === "loss" && shown <= BAND_OF && !curves.length && steps.low.some((low, at) => low !== steps.high[at])) band(steps.low, steps.high, 0.08);
  const own = { ...base, line: { color, width: 2, dash }, hovertemplate: hover };
  if (metric.smooth) {
    if (!smoothing) return { behind, raw: null, before: [{ ...own, y: put(line.y) }] };
    const raw = { ...base, y: put(line.y), line: { color: looks.faded(color, 0.28), width: 1 }, hoverinfo: "skip" };
    return { behind, raw, before: [{ ...own, y: put(smoothed(line.step, line.y, smoothing, unit)) }] };
  }
  if (line.x.length > 60) { // of a line that stays where it is, its ends
    const kept = line.y.map((value, at) => value !== line.y[at - 1] || value !== line.y[at + 1]);
    const only = (values) => values.filter((_, at) => kept[at]);
    return { behind, raw: null, before: [{ ...own, x: only(base.x), y: put(only(line.y)) }] };
  }
  return { behind, raw: null, before: [{ ...own, mode: "lines+markers", marker: { size: 4, color }, y: put(line.y) }] };
}

// Lines of one colour as one trace, with a gap between two of them.
function joined(traces) {
  const byColour = new Map();
  for (const { color, ...trace } of traces) {
    const found = byColour.get(color);
    if (!found) byColour.set(color, { ...trace, x: [...trace.x], y: [...trace.y] });
    else {
      for (const [all, more] of [[found.x, trace.x], [found.y, trace.y]]) { all.push(null); for (const value of more) all.push(value); }
    }
  }
  return [...byColour.values()];
}

export function starsOf(lines, { put, along, looks, background, hover }) {
  const at = (values, { best }) => values[best];
  return {
    x: lines.map(({ line, found }) => at(along(line), found)), y: lines.map(({ line, found }) => at(put(line.y), found)),
    text: lines.map(({ name }) => looks.escaped(looks.cut(name, 60))), type: "scatter", mode: "markers", name: "best", cliponaxis: false,
    marker: { symbol: "star", size: 11, color: lines.map(({ color }) => color), line: { color: background, width: 1 } }, hovertemplate: `best of %{text}: ${hover}<extra></extra>`,
  };
}

// The ends of the axis that an event of Plotly's is about; null: all of it again; undefined: it is about something else.
export function rangeOf(changed) {
  if (changed["xaxis.autorange"] === true) return null;
  const ends = changed["xaxis.range"] ?? [changed["xaxis.range[0]"], changed["xaxis.range[1]"]];
  return ends.every((end) => Number.isFinite(end)) ? [...ends] : undefined;
}
