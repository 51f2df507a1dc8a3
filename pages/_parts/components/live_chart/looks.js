// How the live charts look and what they call things: colours of the theme, the layout that all figures share, numbers in words.

// Codes among norms, see core/store/stream.py; the rest are hundredths of log10.
export const FROZEN = -32768, ZERO = -32767, NONE = -32766, NOT_MEASURED = -32765, NOT_FINITE = 32767;
export const plain = (code) => code > NOT_MEASURED && code < NOT_FINITE; // true for a value, false for a code (and for none at all)

export const ENDED = ["finished", "stopped", "failed", "lost", "interrupted"]; // see RunStatus of core/records/events.py

export const GUIDE = { low: -4, middle: -3, high: -2 }; // log10 of the update ratio: the band around the rule of thumb of 1e-3
export const GUIDE_SOURCE = "Karpathy, CS231n notes, “Ratio of weights:updates”";

export function readColours(root) {
  const style = getComputedStyle(root);
  const variable = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  const series = variable("--st-chart-categorical-colors", "#0072b2,#d55e00,#007a59,#aa4499").split(",");
  const background = variable("--st-background-color", "#ffffff");
  const blue = variable("--st-blue-color", "#0072b2"), grey = variable("--st-gray-color", "#777777"), red = variable("--st-red-color", "#cc0000");
  return {
    series, training: series[0], validation: series[1], rate: series[2],
    sequential: variable("--st-chart-sequential-colors", "#1d1147,#b73779,#fcfdbf").split(","),
    diverging: variable("--st-chart-diverging-colors", "#053061,#d1e5f0,#fddbc7,#67001f").split(","),
    text: variable("--st-text-color", "#222222"), background, grid: variable("--st-border-color", "#dddddd"), muted: grey, bad: red,
    learns: variable("--st-orange-color", "#c85200"), blue,
    frozen: mixed(blue, background, 0.16), frozenLine: mixed(blue, background, 0.5),
    zero: mixed(grey, background, 0.3), zeroLine: mixed(grey, background, 0.95), none: mixed(grey, background, 0.12), noneLine: mixed(grey, background, 0.6),
    broken: mixed(red, background, 0.45), brokenLine: red,
    font: variable("--st-font", "sans-serif"), mono: variable("--st-code-font", "monospace"),
  };
}

export const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)); // of "#rrggbb"
export const faded = (colour, share) => `rgba(${channels(colour).join(",")},${share})`;
export function mixed(colour, ground, share) {
  const [above, below] = [channels(colour), channels(ground)];
  return `#${above.map((value, i) => Math.round(share * value + (1 - share) * below[i]).toString(16).padStart(2, "0")).join("")}`;
}

// The colour at `share` (0 to 1) of a scale of evenly spaced colours.
export function colourAt(scale, share) {
  const place = Math.min(1, Math.max(0, share)) * (scale.length - 1);
  const below = Math.min(scale.length - 2, Math.floor(place));
  return mixed(scale[below + 1], scale[below], place - below);
}

// The width of a figure's place, which Plotly would ask for only when the window changes; nothing where it is not shown.
export function widthOf(plot) {
  const width = Math.floor(plot.getBoundingClientRect().width);
  return width > 0 ? { width } : {};
}

let revisions = 0; // arrays grow in place, so Plotly must be told that they are not what they were

export function baseLayout(chart) {
  const { colours } = chart;
  const axis = {
    gridcolor: colours.grid, linecolor: colours.grid, zerolinecolor: colours.grid, ticks: "", automargin: true, title: { font: { size: 12 } },
    ticklabeloverflow: "allow", // otherwise every label is measured at every tick, which costs more than all the rest
  };
  const revision = `${chart.run}-${chart.revision ?? 0}`; // constant, so that what a person zoomed stays zoomed
  return {
    height: 300, margin: { l: 10, r: 10, t: 30, b: 10 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: colours.font, size: 12, color: colours.text }, uirevision: revision, datarevision: (revisions += 1), hovermode: "x unified", dragmode: "zoom",
    hoverlabel: { bgcolor: colours.background, bordercolor: colours.grid, font: { color: colours.text, family: colours.font } },
    legend: { uirevision: chart.run, orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 }, traceorder: "normal" }, showlegend: true,
    xaxis: { ...axis, title: { text: "step", font: { size: 12 } }, tickformat: ",d", zeroline: false,
      uirevision: revisions, // always new: the range of steps is ours to keep, since all figures share it
      range: chart.range() },
    yaxis: { ...axis, uirevision: revision },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.muted, activecolor: colours.text },
  };
}

export function merge(base, extra) {
  const merged = { ...base };
  for (const [key, value] of Object.entries(extra)) {
    const both = value && typeof value === "object" && !Array.isArray(value) && base[key];
    merged[key] = both ? merge(base[key], value) : value;
  }
  return merged;
}

export function note(chart, text) {
  return { text, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5, font: { color: chart.colours.muted, size: 12 } };
}

// Words

export const number = (value) => (value === undefined || value === null ? "none" : String(Number(Number(value).toPrecision(4))));
export const percent = (share) => (share === undefined || share === null ? "none" : `${(share * 100).toFixed(1)} %`);
export const count = (value) => Number(value).toLocaleString("en");

// A norm or a ratio in two significant digits: 0.034, 3.2e-5.
export function short(value) {
  if (value === 0) return "0";
  return Math.abs(value) >= 0.001 && Math.abs(value) < 10_000 ? String(Number(value.toPrecision(2))) : value.toExponential(1).replace("e+", "e");
}

// A code of core/store/stream.py in words; `absent` says what a frozen one has none of.
export function said(code, absent = "none: frozen") {
  if (code === undefined || code === null) return "not measured yet";
  if (code === FROZEN) return absent;
  if (code === ZERO) return "exactly 0";
  if (code === NONE) return "none: the loss does not reach it";
  if (code === NOT_MEASURED) return "not measured at this step";
  if (code === NOT_FINITE) return "not finite";
  return short(10 ** (code / 100));
}

// A power of ten for an axis or a legend.
export function tenTo(exponent) {
  const digits = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  return `10${[...String(exponent)].map((digit) => digits[digit]).join("")}`;
}

const PRESETS = ["train everything", "head only", "last stage", "all but stem", "norms only"];

// A change as core/config/run_config.py writes it ("!layer4, learning_rate=0.0005, fc=10") in plain words.
export function inWords(text, most = Infinity) {
  const rules = text.split(",").map((part) => part.trim());
  const words = rules.slice(0, most).map((rule) => {
    const [name, factor] = rule.split("=");
    if (name === "learning_rate") return `learning rate ${number(factor)}`;
    if (factor !== undefined) return `${name} learns at x ${number(factor)}`;
    if (rule.startsWith("!")) return `${rule.slice(1)} learns`;
    return PRESETS.includes(rule) ? `preset “${rule}”` : `${rule} frozen`;
  });
  return words.join(", ") + (rules.length > most ? ` and ${count(rules.length - most)} more` : "");
}

export const cut = (text, length) => (text.length <= length ? text : `${text.slice(0, length - 1)}…`);
export function ending(text, length) { return text.length <= length ? text : `…${text.slice(text.length - length + 1)}`; }

// Text for HTML, in an attribute too, and for Plotly, which reads tags in every label but knows few entities by name.
export const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
