// The forgetting meter: how well the old task is still done, and how far each block has drifted from where it started.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const { ENDED, count, ending, escaped, faded, note, percent } = await beside("looks");

const NAMED = 5; // blocks with a colour of their own: those that moved most; the others are drawn faint

export function drawForgetting(chart) {
  const { colours, history: { forgetting, blocks } } = chart;
  const { step, accuracy, drift } = forgetting;
  const last = drift.at(-1) ?? [];
  const known = blocks.map((_, at) => at).filter((at) => (last[at] ?? null) !== null);
  const most = [...known].sort((a, b) => last[b] - last[a]).slice(0, NAMED);
  const line = (at) => {
    const place = most.indexOf(at);
    const color = place < 0 ? faded(colours.muted, 0.5) : colours.series[(place + 2) % colours.series.length];
    return {
      x: step, y: drift.map((each) => (each[at] === null ? null : each[at] * 100)), yaxis: "y2", name: escaped(ending(blocks[at].name, 30)), mode: "lines",
      meta: place < 0 ? { of: "other blocks", words: "other blocks" } : {}, line: { color, width: place < 0 ? 1 : 1.6, dash: ["solid", "dash", "dot", "dashdot", "longdash"][Math.max(0, place)] },
      hovertemplate: "%{y:.3g} % from its start",
    };
  };
  const traces = [...known.filter((at) => !most.includes(at)), ...most].map(line);
  const measured = accuracy.some((share) => share !== null);
  if (measured) traces.push({
    x: step, y: accuracy.map((share) => (share === null ? null : share * 100)), name: "old task, right", mode: step.length > 80 ? "lines" : "lines+markers", cliponaxis: false,
    line: { color: colours.validation, width: 2.4 }, marker: { size: 7, symbol: "square" }, hovertemplate: "%{y:.1f} % right",
  });
  const ended = ENDED.includes(chart.about?.status);
  const annotations = step.length ? [] : [note(chart, ended ? "Nothing was measured" : "The first point comes before the first step")];
  const drifted = { title: { text: "drift", standoff: 6 }, overlaying: "y", side: "right", rangemode: "tozero", ticksuffix: " %", nticks: 5, showgrid: false, zeroline: false, automargin: false,
    color: colours.muted, uirevision: "drift", ...(last.some((each) => each > 0) ? {} : { range: [0, 1] }) };
  return [traces, { annotations, yaxis2: drifted, yaxis: { nticks: 5, ticksuffix: " %", range: [0, 104], visible: measured || !step.length } }];
}

// In words, for reading and for a screen reader.
export function tellForgetting(chart) {
  const { history: { forgetting: { step, accuracy, pictures, drift }, blocks } } = chart;
  const place = chart.panel("forgetting").querySelector(".thaw-forgotten");
  const parts = [];
  const first = accuracy.findIndex((share) => share !== null), last = accuracy.findLastIndex((share) => share !== null);
  if (first >= 0) parts.push(`${count(pictures[last])} pictures of the old task: ${percent(accuracy[first])} right behind step ${count(step[first])}, ${percent(accuracy[last])} behind step ${count(step[last])}.`);
  else if (step.length) parts.push("No pictures of the old task are known: only the drift is measured.");
  const now = drift.at(-1) ?? [];
  const moved = blocks.map(({ name }, at) => [name, now[at]]).filter(([, value]) => value > 0).sort((a, b) => b[1] - a[1]);
  if (moved.length) parts.push(`Furthest from its start: ${moved[0][0]}, by ${Number((100 * moved[0][1]).toPrecision(3))} % of its size.`);
  else if (step.length) parts.push("No block that knew something has moved.");
  const text = parts.join(" ");
  if (place.textContent !== text) place.textContent = text;
  chart.plot("forgetting").setAttribute("aria-label", `Forgetting chart. ${text}`);
}
