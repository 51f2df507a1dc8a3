// The freeze lane: a row for each block of the model that says over the steps whether it was frozen, learned, or both in part.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ count, ending, escaped, number }, { hatch }] = await Promise.all(["looks", "canvas_panel"].map(beside));

const WORDS = { learns: "learns", frozen: "frozen", "in part": "in part" };

export const laneHeight = (history) => (history.blocks.length > 16 ? 15 : 21) * Math.max(1, history.blocks.length);

export function layoutLane(chart) {
  const { history, colours } = chart;
  const height = laneHeight(history);
  const row = height / Math.max(1, history.blocks.length);
  return {
    height: height + 50, hovermode: false, showlegend: false, margin: { t: 6, b: 44 }, xaxis: { showgrid: false, automargin: false },
    yaxis: {
      range: [height, 0], fixedrange: true, showgrid: false, zeroline: false, automargin: false, title: { text: "" },
      tickfont: { size: history.blocks.length > 16 ? 10 : 11, family: colours.mono }, tickmode: "array",
      tickvals: history.blocks.map((_, place) => (place + 0.5) * row), ticktext: history.blocks.map((block) => escaped(ending(block.name, chart.labelLength))),
    },
  };
}

export function paintLane(chart, context, { width, height, across }) {
  const { history, colours } = chart;
  if (!history.blocks.length) return;
  const row = height / history.blocks.length;
  const frozen = hatch(context, colours.frozen, colours.frozenLine), part = hatch(context, chart.partFill, colours.frozenLine, 9);
  const fills = { learns: chart.learnsFill, frozen, "in part": part };
  const end = Math.max(history.lastStep, history.now.step) + 0.5;
  context.font = `${Math.min(11, row - 4)}px ${colours.font}`;
  context.textBaseline = "middle";
  history.blocks.forEach((block, place) => {
    const top = Math.round(place * row) + 1, bottom = Math.round((place + 1) * row) - 1;
    for (const { from, to, state, frozen } of history.stretches(block)) {
      const left = Math.max(0, Math.round(across(from - 0.5))), right = Math.min(width, Math.round(across(to === null ? end : to + 0.5)));
      if (right <= left) continue;
      context.fillStyle = fills[state];
      context.fillRect(left, top, right - left, bottom - top);
      const words = state === "in part" ? `${count(block.rows.length - frozen)} of ${count(block.rows.length)} learn` : WORDS[state];
      const size = context.measureText(words).width;
      if (size + 14 > right - left) continue;
      context.fillStyle = colours.background;
      context.globalAlpha = 0.82;
      context.fillRect(left + 3, top + 2, size + 8, bottom - top - 4);
      context.globalAlpha = 1;
      context.fillStyle = colours.text;
      context.fillText(words, left + 7, (top + bottom) / 2 + 0.5);
    }
  });
}

export function tellLane(chart, step, y) {
  const { history } = chart;
  const block = history.blocks[Math.floor((y / laneHeight(history)) * history.blocks.length)];
  const at = Math.max(1, Math.round(step));
  if (!block || at > Math.max(history.lastStep, history.now.step)) return null;
  const stretch = history.stretches(block).findLast(({ from }) => from <= at);
  if (!stretch) return null;
  const until = stretch.to === null ? "until now" : `to ${count(stretch.to)}`;
  const lines = [block.name, `steps ${count(stretch.from)} ${until}: ${stateInWords(block, stretch)}`];
  const rates = ratesInWords(history, history.planAt(at), block, rateAt(history, at));
  if (rates) lines.push(rates);
  return lines;
}

function stateInWords(block, { state, frozen }) {
  const all = block.rows.length;
  if (state === "in part") return `${count(all - frozen)} of ${count(all)} parameter tensors learn, ${count(frozen)} are frozen`;
  return `${all === 1 ? "its parameter tensor" : `all ${count(all)} parameter tensors`} ${state === "frozen" ? "frozen" : all === 1 ? "learns" : "learn"}`;
}

function rateAt(history, step) {
  const { step: steps, learning_rate: rates } = history.steps;
  let low = 0, high = steps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] < step) low = middle + 1; else high = middle;
  }
  return rates[low] ?? null;
}

function ratesInWords(history, plan, block, rate) {
  if (rate === null) return "";
  const rates = history.multipliers(plan, block.rows).map((factor) => (factor === 1 ? number(rate) : `${number(rate * factor)} (x ${number(factor)})`));
  return rates.length ? `learning rate ${rates.join(", ")}` : "";
}

// The lane as data: block to its stretches, [first, last or null, state].
export function laneAsData(history) {
  return Object.fromEntries(history.blocks.map((block) => [block.name, history.stretches(block).map(({ from, to, state }) => [from, to, state])]));
}

// The lane in words, for a screen reader.
export function laneInWords(history) {
  const now = { learns: [], frozen: [], "in part": [] };
  for (const block of history.blocks) now[history.stretches(block).at(-1).state].push(block.name);
  const parts = Object.entries(now).filter(([, names]) => names.length).map(([state, names]) => `${state}: ${names.join(", ")}`);
  return `Freeze lane of ${count(history.blocks.length)} blocks over steps. Now ${parts.join("; ")}.`;
}
