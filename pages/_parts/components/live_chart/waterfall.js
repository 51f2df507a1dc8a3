// The waterfall: layers in forward order from the top down, steps from left to right, colour for the gradient norm or the update ratio.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [looks, { pixel }, { MARGIN }] = await Promise.all(["looks", "canvas_panel", "panels"].map(beside));
const { FROZEN, ZERO, NONE, NOT_MEASURED, NOT_FINITE, GUIDE, GUIDE_SOURCE, colourAt, count, ending, escaped, note, plain, said, short, tenTo } = looks;

// What can be shown: each as its columns of codes, its limits of colour, and its words.
export const VIEWS = {
  norm: {
    title: "Gradient norms", columns: (history) => history.norms, scale: "sequential", limits: (columns) => columns.limits() ?? [-4, 1],
    value: (code) => `gradient norm ${said(code)}`, absent: "no gradient: frozen", zero: "gradient exactly 0",
    none: "no gradient: it should learn, but the loss does not reach it", broken: "gradient not finite: NaN or infinite",
    about: "How strongly the loss pulls at each layer: the norm of its gradient. Drag over steps and layers to zoom in, click on a layer to see it in full.",
    first: "The first column comes with the first step",
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

// Where each row lies, in pixels of a picture that is `height` high. Rows that ever learn are tall; those that are frozen from first to last
// are thin, since nothing happens in them. The picture stays as high as it is when a row begins to learn.
export function arrange(history, height) {
  const { layers, everLearns } = history;
  const learning = everLearns.filter(Boolean).length, still = layers.length - learning;
  const tall = learning ? Math.min(20, Math.max(learning > 300 ? 1.5 : learning > 60 ? 3 : 7, 420 / learning)) : 1;
  const thin = learning && still ? Math.min(tall, Math.max(1.5, 170 / still)) : tall;
  const scale = height / Math.max(1, learning * tall + still * thin);
  const edges = [0];
  layers.forEach((_, row) => edges.push(edges.at(-1) + scale * (everLearns[row] ? tall : thin)));
  return { edges, height, total: edges.at(-1) };
}

// Rows that get a label, as [row, words]: those that fit, first of rows that learn, then of frozen ones in the room that is left. Where far
// more rows are in sight than labels fit, blocks get them instead: any other choice would be one by chance.
function labelled(history, { edges }, [from, to], height) {
  const scale = height / (to - from);
  const inSight = history.layers.map((_, row) => row).filter((row) => edges[row + 1] > from && edges[row] < to);
  if (inSight.length > height / 4) return labelledBlocks(history, { edges }, [from, to], scale);
  const centre = (row) => ((edges[row] + edges[row + 1]) / 2) * scale;
  const rows = [];
  for (const learns of [true, false]) for (const row of inSight) {
    if (history.everLearns[row] === learns && rows.every((other) => Math.abs(centre(other) - centre(row)) >= 11)) rows.push(row);
  }
  return rows.map((row) => [centre(row) / scale, history.layers[row].name]);
}

function labelledBlocks(history, { edges }, [from, to], scale) {
  const found = [];
  for (const { name, rows } of history.blocks) {
    const middle = (Math.max(from, edges[rows[0]]) + Math.min(to, edges[rows.at(-1) + 1])) / 2;
    if (middle < from || middle > to || (found.length && (middle - found.at(-1)[0]) * scale < 12)) continue;
    found.push([middle, name]);
  }
  return found;
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
    annotations, hovermode: false, showlegend: false, margin: { t: MARGIN.t, b: MARGIN.b, autoexpand: false }, xaxis: { showgrid: false, automargin: false, title: { standoff: 4 } },
    yaxis: {
      range, showgrid: false, zeroline: false, automargin: false, title: { text: "" }, tickfont: { size: 10, family: colours.mono },
      tickmode: "array", tickvals: shown.map(([middle]) => middle), ticktext: shown.map(([, name]) => escaped(ending(name, chart.labelLength))),
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

// Of the codes of layers that share a pixel, the one that it shows: what is wrong before what is large before what is still.
const weight = (code) => (code === NONE ? NOT_FINITE - 0.5 : code === NOT_MEASURED ? -Infinity : code);
const graver = (one, other) => (weight(one) >= weight(other) ? one : other);

// The first and the last row whose middle lies from `top` to `bottom`; where there is none, the row that lies there.
function rowsBetween(rows, top, bottom) {
  const { edges } = rows, last = edges.length - 2;
  const middle = (row) => (edges[row] + edges[row + 1]) / 2;
  const at = Math.min(last, rowAt(rows, (top + bottom) / 2));
  let [from, to] = [Math.min(last, rowAt(rows, top)), Math.min(last, rowAt(rows, bottom))];
  while (from < to && middle(from) < top) from++;
  while (to > from && middle(to) >= bottom) to--;
  return middle(from) >= top && middle(from) < bottom ? [from, to] : [at, at];
}

// Pixel by pixel into one image: half a million plain stores, whatever the number of columns. Rows thinner than a pixel share one.
export function paintWaterfall(chart, rows, context, { width, height, x0, x1, y0 = 0, y1 = rows.total }) {
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
  const grain = (y1 - y0) / height;
  let drawn = "", special = false;
  for (let y = 0; y < height; y++) {
    if (y0 + (y + 0.5) * grain > rows.total) break;
    const [first, last] = rowsBetween(rows, y0 + y * grain, y0 + (y + 1) * grain);
    if (drawn !== `${first} ${last}`) {
      drawn = `${first} ${last}`;
      special = false;
      for (let x = 0; x < width; x++) {
        if (places[x] < 0) { line[x] = 0; codes[x] = 0; continue; }
        const column = columns.codes[places[x]];
        let code = column[first];
        for (let row = first + 1; row <= last; row++) code = graver(code, column[row]);
        codes[x] = code;
        line[x] = pixels[code & 0xffff];
        special ||= !plain(code);
      }
    }
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
  context.putImageData(image, 0, 0);
}

// What is said of a place. `grain` is how much of y a pixel covers: layers within it are told together.
export function tellWaterfall(chart, rows, step, y, grain = 0) {
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
  const [top, bottom] = rowsBetween(rows, y - grain / 2, y + grain / 2);
  if (top === bottom) return [history.layers[row].name, `${when}: ${words}`, "click to see this layer in full"];
  const codes = Array.from({ length: bottom - top + 1 }, (_, at) => columns.codes[column][top + at]);
  const values = codes.filter(plain);
  const all = values.length ? [`largest ${view.value(values.reduce((high, value) => Math.max(high, value)))}`] : [];
  for (const [kind, said] of [[NOT_FINITE, "not finite"], [NONE, "without a gradient"], [ZERO, "exactly 0"], [FROZEN, "frozen"]]) {
    const many = codes.filter((each) => each === kind).length;
    if (many) all.push(`${count(many)} ${said}`);
  }
  return [`${history.layers[top].name} to ${history.layers[bottom].name}`, `${when}, ${count(codes.length)} layers: ${all.join(", ") || "not measured"}`,
    "drag down to see each of them"];
}

// What a view shows, below it. The texts of all views lie on each other, so that it is as high for each.
export function tellAbout(panel, rows, shown) {
  const about = panel.querySelector(".thaw-about");
  const shared = rows > 400 ? " Each pixel is shared by several layers and shows what is wrong among them, else the largest value." : "";
  const html = Object.entries(VIEWS).map(([name, { about }]) => `<p data-view="${name}">${about}${shared}</p>`).join("");
  if (about.dataset.shared !== shared) { about.innerHTML = html; about.dataset.shared = shared; }
  for (const text of about.children) text.dataset.shown = text.dataset.view === shown;
}

// What stands around the picture: its title, the key to its colours, its text.
export function tellView(chart, panel) {
  const title = panel.querySelector("h3"), key = panel.querySelector(".thaw-key"), html = keyOf(chart);
  if (title.textContent !== VIEWS[chart.view].title) title.textContent = VIEWS[chart.view].title;
  if (key.dataset.html !== html) { key.innerHTML = html; key.dataset.html = html; }
  tellAbout(panel, chart.history.layers.length, chart.view);
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
