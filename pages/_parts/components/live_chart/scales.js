// Log scales: which charts have one, remembered for a run while its tab is open, and what stands where such an axis has no place for a value.

// What somebody chose for each chart of a run: true for log, false for linear, nothing where nobody chose.
export class Scales {
  constructor(run) {
    this.key = `thaw-scales-${run}`;
    this.chosen = {};
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.key) ?? "{}");
      for (const name of ["loss", "rate"]) if (typeof kept?.[name] === "boolean") this.chosen[name] = kept[name];
    } catch { /* a browser that keeps nothing, or somebody else's words: nobody chose */ }
  }

  // Whether a chart is on a log scale; `otherwise` where nobody chose.
  log(name, otherwise = false) { return this.chosen[name] ?? otherwise; }

  choose(name, log) {
    this.chosen[name] = log;
    try { sessionStorage.setItem(this.key, JSON.stringify(this.chosen)); } catch { /* it holds until the page is left */ }
  }
}

// A log axis for `values` (null: none there): {axis, floor, edge} with the value at its lower and at its upper edge.
export function logAxis(values) {
  let low = Infinity, high = 0;
  for (const value of values) if (value > 0 && value < Infinity) { low = Math.min(low, value); high = Math.max(high, value); }
  if (!high) [low, high] = [0.1, 1];
  const [from, to] = [Math.log10(low), Math.log10(high)];
  const room = Math.max(0.04, 0.08 * (to - from));
  const range = [from - room, to + room];
  return { axis: { type: "log", range, tickmode: "array", ...ticks(range) }, floor: 10 ** range[0], edge: 10 ** range[1] };
}

const MOST_TICKS = 5;

// Where a log axis over `range` (powers of ten) has its numbers, each written in full: 1, 2 and 5 of each decade, the tens alone where these are
// many, and where a range lies between them its two ends. Plotly writes the numbers between two powers as single digits.
function ticks(range) {
  const decades = Array.from({ length: Math.floor(range[1]) - Math.floor(range[0]) + 1 }, (_, at) => Math.floor(range[0]) + at);
  const inside = (digits) => decades.flatMap((power) => digits.map((digit) => digit * 10 ** power)).filter((value) => Math.log10(value) >= range[0] && Math.log10(value) <= range[1]);
  let vals = [[1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1]].map(inside).find((found, at) => found.length <= MOST_TICKS || at === 2);
  if (vals.length < 2) vals = range.map((power) => 10 ** power);
  const apart = Math.ceil(vals.length / (MOST_TICKS + 2));
  const tickvals = vals.filter((_, at) => at % apart === 0);
  return { tickvals, ticktext: tickvals.map((value) => (value >= 0.001 && value < 1e4 ? String(Number(value.toPrecision(2))) : value.toExponential(0))) };
}

// What a log axis has no place for: true for 0 and below.
export const offLog = (value) => typeof value === "number" && value <= 0;
