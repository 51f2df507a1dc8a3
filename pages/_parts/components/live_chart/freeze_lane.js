// The freeze lane: a row for each block of the model that says over the steps whether it was frozen, learned, or both in part.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ count, cut, ending, escaped, number }, { hatch }, { MARGIN, laneRows }] = await Promise.all(["looks", "canvas_panel", "panels"].map(beside));

const WORDS = { learns: "learns", frozen: "frozen", "in part": "in part" };

const NAMED = 12; // blocks that are named to a screen reader for each state

export const laneHeight = (history) => laneRows(history.blocks.length);

export function layoutLane(chart) {
  const { history, colours } = chart;
  const height = laneHeight(history);
  const row = height / Math.max(1, history.blocks.length);
  const each = Math.max(1, Math.ceil(11 / row)); // names that would lie on each other are left out
  const named = history.blocks.map((_, place) => place).filter((place) => place % each === 0);
  return {
    hovermode: false, showlegend: false, margin: { t: MARGIN.t, b: MARGIN.b, autoexpand: false }, xaxis: { showgrid: false, automargin: false, title: { standoff: 4 } },
    yaxis: {
      range: [height, 0], fixedrange: true, showgrid: false, zeroline: false, automargin: false, title: { text: "" },
      tickfont: { size: history.blocks.length > 16 ? 10 : 11, family: colours.mono }, tickmode: "array",
      tickvals: named.map((place) => (place + 0.5) * row), ticktext: named.map((place) => escaped(ending(history.blocks[place].name, chart.labelLength))),
    },
  };
}

// What is painted as one: each block, or, where blocks are too thin to be told apart, neighbours with the same history. [{block, from, to}]
function painted(history, row) {
  const found = [];
  let before = null;
  history.blocks.forEach((block, place) => {
    const stretches = history.stretches(block);
    const alike = row < 6 ? JSON.stringify(stretches.map(({ from, state }) => [from, state])) : place;
    if (alike === before) found.at(-1).to = place + 1;
    else found.push({ block, stretches, from: place, to: place + 1 });
    before = alike;
  });
  return found;
}

export function paintLane(chart, context, { width, height, across }) {
  const { history, colours } = chart;
  if (!history.blocks.length) return;
  const row = height / history.blocks.length;
  const frozen = hatch(context, colours.frozen, colours.frozenLine), part = hatch(context, chart.partFill, colours.frozenLine, 9);
  const fills = { learns: chart.learnsFill, frozen, "in part": part };
  const end = Math.max(history.lastStep, history.now.step) + 0.5;
  context.textBaseline = "middle";
  for (const { block, stretches, from: first, to: last } of painted(history, row)) {
    const gap = (last - first) * row < 6 ? 0 : 1;
    const top = Math.round(first * row) + gap, bottom = Math.max(top + 1, Math.round(last * row) - gap);
    context.font = `${Math.min(11, bottom - top - 2)}px ${colours.font}`;
    for (const { from, to, state, frozen } of stretches) {
      const left = Math.max(0, Math.round(across(from - 0.5))), right = Math.min(width, Math.round(across(to === null ? end : to + 0.5)));
      if (right <= left) continue;
      context.fillStyle = fills[state];
      context.fillRect(left, top, right - left, bottom - top);
      if (bottom - top < 9) continue;
      const words = state === "in part" && last - first === 1 ? `${count(block.rows.length - frozen)} of ${count(block.rows.length)} learn` : WORDS[state];
      const size = context.measureText(words).width, middle = (top + bottom) / 2, half = Math.min(8, (bottom - top) / 2 - 2);
      if (size + 14 > right - left) continue;
      context.fillStyle = colours.background;
      context.globalAlpha = 0.82;
      context.fillRect(left + 3, middle - half, size + 8, 2 * half);
      context.globalAlpha = 1;
      context.fillStyle = colours.text;
      context.fillText(words, left + 7, middle + 0.5);
    }
  }
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
  const parts = Object.entries(now).filter(([, names]) => names.length).map(([state, names]) => {
    const more = names.length - NAMED;
    return `${state}: ${names.slice(0, NAMED).map((name) => cut(name, 60)).join(", ")}${more > 0 ? ` and ${count(more)} more` : ""}`;
  });
  return `Freeze lane of ${count(history.blocks.length)} blocks over steps. Now ${parts.join("; ")}.`;
}
