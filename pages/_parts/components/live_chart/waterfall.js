// The waterfall: layers in forward order from the top down, steps from left to right, colour for the gradient norm or the update ratio.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [looks, { pixel }] = await Promise.all(["looks", "canvas_panel"].map(beside));
const { FROZEN, ZERO, NONE, NOT_MEASURED, NOT_FINITE, GUIDE, GUIDE_SOURCE, colourAt, count, ending, escaped, note, plain, said, short, tenTo } = looks;

// What can be shown: each as its columns of codes, its limits of colour, and its words.
export const VIEWS = {
  norm: {
    title: "Gradient norms", columns: (history) => history.norms, scale: "sequential", limits: (columns) => columns.limits() ?? [-4, 1],
    value: (code) => `gradient norm ${said(code)}`, absent: "no gradient: frozen", zero: "gradient exactly 0",
    none: "no gradient: it should learn, but the loss does not reach it", broken: "gradient not finite: NaN or infinite",
    about: "", first: "The first column comes with the first step",
  },
  ratio: {
    title: "Update ratios", columns: (history) => history.ratios, scale: "diverging", limits: () => [GUIDE.middle - 2, GUIDE.middle + 2],
    value: (code) => `update ratio ${said(code)}`, absent: "does not move: frozen", zero: "did not move at all", none: "did not move: no gradient",
    broken: "no ratio: a value that is not finite, or weights that are all 0",
    about: "How far one step moves a layer, as a share of its size: norm of the weight change ÷ norm of the weights. A rule of thumb is 1e-3; far above it "
      + `the learning rate may be too high, far below too low (${GUIDE_SOURCE}). The guide band, 1e-4 to 1e-2, is Thaw's own. Biases that begin at 0 lie above it `
      + "at first, and all layers below it where a schedule has brought the learning rate near 0.",
    first: "The first column comes with the first look at weight changes",
  },
};

export function arrange(history) {
  // Rows that ever learn are tall, rows that are frozen from first to last thin, since nothing happens in them.
  const { layers, everLearns } = history;
  const learning = everLearns.filter(Boolean).length;
  const tall = Math.min(20, Math.max(learning > 300 ? 1.5 : learning > 60 ? 3 : 7, 420 / learning));
  const thin = learning ? Math.min(tall, Math.max(1.5, 170 / (layers.length - learning))) : tall;
  const edges = [0];
  layers.forEach((_, row) => edges.push(edges.at(-1) + (everLearns[row] ? tall : thin)));
  return { edges, height: Math.max(120, edges.at(-1)), total: edges.at(-1) };
}

// Rows that get a label: those that fit, first of rows that learn, then of frozen ones in the room that is left.
function labelled(history, { edges }, [from, to], height) {
  const scale = height / (to - from);
  const centre = (row) => ((edges[row] + edges[row + 1]) / 2) * scale;
  const rows = [];
  for (const learns of [true, false]) history.layers.forEach((_, row) => {
    if (history.everLearns[row] !== learns || edges[row + 1] <= from || edges[row] >= to) return;
    if (rows.every((other) => Math.abs(centre(other) - centre(row)) >= 11)) rows.push(row);
  });
  return rows;
}

// Runs of neighbouring rows that never learn and are high enough for a word.
function restingBlocks({ layers, everLearns }, { edges }) {
  const found = [];
  for (let row = 0, first = 0; row <= layers.length; row++) {
    if (row < layers.length && !everLearns[row]) continue;
    if (edges[row] - edges[first] >= 16 && row > first) found.push({ middle: (edges[row] + edges[first]) / 2, size: row - first });
    first = row + 1;
  }
  return found;
}

export function rowAt({ edges }, y) {
  let low = 0, high = edges.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (edges[middle + 1] <= y) low = middle + 1; else high = middle;
  }
  return low;
}

export function layoutWaterfall(chart, rows) {
  const { history, colours } = chart;
  const view = VIEWS[chart.view];
  const range = chart.rowRange ?? [rows.height, 0];
  const shown = labelled(history, rows, [Math.min(...range), Math.max(...range)], rows.height);
  const annotations = view.columns(history).length ? [] : [note(chart, view.first)];
  for (const { middle, size } of restingBlocks(history, rows)) annotations.push({
    text: size === 1 ? "frozen" : `frozen, ${count(size)} rows`, showarrow: false, xref: "paper", x: 0.5, y: middle, font: { size: 12, color: colours.text },
    bgcolor: colours.background, opacity: 0.86, borderpad: 2,
  });
  return {
    annotations, height: rows.height + 50, hovermode: false, showlegend: false, margin: { t: 6, b: 44 }, xaxis: { showgrid: false, automargin: false },
    yaxis: {
      range, showgrid: false, zeroline: false, automargin: false, title: { text: "" }, tickfont: { size: 10, family: colours.mono },
      tickmode: "array", tickvals: shown.map((row) => (rows.edges[row] + rows.edges[row + 1]) / 2),
      ticktext: shown.map((row) => escaped(ending(history.layers[row].name, chart.labelLength))),
    },
  };
}

// A colour for each possible code. The codes of frozen, zero and not finite get patterns on top, see `paintWaterfall`.
function paletteOf(chart, view) {
  const { colours, history } = chart;
  const [low, high] = view.limits(view.columns(history));
  const key = `${chart.view} ${low} ${high} ${colours.background} ${colours[view.scale].join()}`;
  if (chart.palette?.key === key) return chart.palette;
  const pixels = new Uint32Array(65536);
  const steps = Array.from({ length: 256 }, (_, i) => pixel(colourAt(colours[view.scale], i / 255)));
  for (let code = -32768; code < 32768; code++) {
    const share = (code / 100 - low) / (high - low);
    pixels[code & 0xffff] = steps[Math.round(Math.min(1, Math.max(0, share)) * 255)];
  }
  pixels[FROZEN & 0xffff] = pixel(colours.frozen);
  pixels[ZERO & 0xffff] = pixel(colours.zero);
  pixels[NONE & 0xffff] = pixel(colours.none);
  pixels[NOT_MEASURED & 0xffff] = 0; // as where there is no column at all
  pixels[NOT_FINITE & 0xffff] = pixel(colours.broken);
  const [frozenLine, zeroLine, noneLine, brokenLine] = ["frozen", "zero", "none", "broken"].map((name) => pixel(colours[`${name}Line`]));
  return (chart.palette = { key, pixels, frozenLine, zeroLine, noneLine, brokenLine });
}

// Pixel by pixel into one image: half a million plain stores, whatever the number of rows and columns.
export function paintWaterfall(chart, rows, context, { width, height, x0, x1, down }) {
  const view = VIEWS[chart.view];
  const columns = view.columns(chart.history);
  if (!columns.length || !chart.history.layers.length) return;
  const { pixels, frozenLine, zeroLine, noneLine, brokenLine } = paletteOf(chart, view);
  const image = context.createImageData(width, height);
  const target = new Uint32Array(image.data.buffer);
  const places = new Int32Array(width);
  for (let x = 0; x < width; x++) places[x] = columns.at(x0 + ((x + 0.5) / width) * (x1 - x0) - 0.5); // a step's cell reaches half a step to either side
  const line = new Uint32Array(width);
  const codes = new Int16Array(width);
  for (let row = 0; row < chart.history.layers.length; row++) {
    const top = Math.max(0, Math.round(down(rows.edges[row]))), bottom = Math.min(height, Math.round(down(rows.edges[row + 1])));
    if (bottom <= top) continue;
    let special = false;
    for (let x = 0; x < width; x++) {
      if (places[x] < 0) { line[x] = 0; codes[x] = 0; continue; }
      const code = columns.codes[places[x]][row];
      codes[x] = code;
      line[x] = pixels[code & 0xffff];
      special ||= !plain(code);
    }
    for (let y = top; y < bottom; y++) {
      const start = y * width;
      target.set(line, start);
      if (!special) continue;
      for (let x = 0; x < width; x++) {
        const code = codes[x];
        if (code === FROZEN) { if ((x + y) % 7 === 0) target[start + x] = frozenLine; }
        else if (code === ZERO) { if (x % 4 === 1 && y % 3 === 1) target[start + x] = zeroLine; }
        else if (code === NONE) { if (x % 5 === 2) target[start + x] = noneLine; }
        else if (code === NOT_FINITE && ((x + y) % 5 === 0 || (x - y + 5000) % 5 === 0)) target[start + x] = brokenLine;
      }
    }
  }
  context.putImageData(image, 0, 0);
}

export function tellWaterfall(chart, rows, step, y) {
  const { history } = chart;
  const view = VIEWS[chart.view];
  const columns = view.columns(history);
  const column = columns.at(step - 0.5);
  const row = rowAt(rows, y);
  if (column < 0 || !history.layers[row] || y > rows.total) return null;
  const code = columns.codes[column][row];
  const words = { [FROZEN]: view.absent, [ZERO]: view.zero, [NONE]: view.none, [NOT_FINITE]: view.broken, [NOT_MEASURED]: "not measured" }[code] ?? view.value(code);
  const [first, last] = [columns.from[column] + 1, columns.step[column]];
  // A ratio was measured at one step of those that it stands for. A gradient norm is the mean of them, or of those that were measured.
  const width = 2 ** (chart.cursor?.level ?? 0);
  const few = chart.view === "norm" && last - first + 1 > width;
  const steps = `steps ${count(first)} to ${count(last)}`;
  const when = chart.view === "ratio" || first === last ? `step ${count(last)}`
    : few && width === 1 ? `${steps}, measured at step ${count(last)}` : few ? `${steps}, as far as they were measured` : steps;
  return [history.layers[row].name, `${when}: ${words}`, "click to see this layer in full"];
}

// The key to the colours: the scale, and a patterned swatch for each special state that occurs.
export function keyOf(chart) {
  const { colours, history } = chart;
  const view = VIEWS[chart.view];
  const columns = view.columns(history);
  const [low, high] = view.limits(columns);
  const band = chart.view === "ratio" ? `<i style="left:25%;width:50%" title="guide band: ${tenTo(GUIDE.low)} to ${tenTo(GUIDE.high)}"></i>` : "";
  const end = (exponent) => (chart.view === "ratio" ? tenTo(exponent) : short(10 ** exponent));
  const strip = `<span class="thaw-strip"><b style="background:linear-gradient(to right, ${colours[view.scale].join(", ")})"></b>${band}</span>`;
  const swatch = (kind, words) => `<span class="thaw-swatch"><b data-kind="${kind}"></b>${words}</span>`;
  return (columns.length ? `<span class="thaw-ends">${end(low)}${strip}${end(high)}</span>` : "")
    + (columns.has(FROZEN) ? swatch("frozen", "frozen") : "")
    + (columns.has(ZERO) ? swatch("zero", chart.view === "ratio" ? "did not move" : "exactly 0") : "")
    + (columns.has(NONE) ? swatch("none", "no gradient") : "")
    + (columns.has(NOT_FINITE) ? swatch("broken", "not finite") : "");
}
