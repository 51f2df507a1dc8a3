// Every layer as a row: what it is, how strongly it is pulled, how far it moves, and how much of all learning happens in it.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [looks, { VirtualTable }] = await Promise.all(["looks", "virtual_table"].map(beside));
const { FROZEN, ZERO, NONE, NOT_MEASURED, NOT_FINITE, GUIDE, count, ending, escaped, number, plain, said } = looks;

const LONGEST = 38; // characters of a name that are shown: its end, which tells layers apart
const WIDE = 92, HIGH = 20, POINTS = 60; // a sparkline in pixels, and how many values it shows at most

export function layerTable(root, chart) {
  const norm = ({ row }) => chart.history.norms.newest(row), ratio = ({ row }) => chart.history.ratios.newest(row);
  return new VirtualTable(root, {
    label: "Layers of this run", placeholder: "Filter layers by name", empty: "No layer has this in its name.",
    key: ({ name }) => name, text: ({ name, block }) => `${name} ${block}`, open: ({ row }) => chart.openLayer(row),
    columns: [
      { label: "Layer", width: "15.5rem", sort: ({ name }) => name, cell: ({ name }) => cut("code", name, LONGEST) },
      { label: "Block", width: "6rem", sort: ({ place }) => place, cell: ({ block }) => cut("span", block, 18), title: "The block of the model that it belongs to" },
      { label: "Values", width: "5.6rem", number: true, sort: (row) => row.count, cell: (row) => count(row.count), title: "Number of values in this tensor" },
      { label: "State", width: "5rem", sort: ({ frozen }) => frozen, cell: ({ frozen }) => state(frozen), title: "Whether it learns at this moment" },
      {
        label: "Gradient norm", width: "11.5rem", number: true, sort: (row) => rank(norm(row)),
        cell: (row) => measured(norm(row), chart.history.norms, row.row), title: "Newest gradient norm, and how it came there (log scale of its own)",
      },
      {
        label: "Update ratio", width: "11.5rem", number: true, sort: (row) => rank(ratio(row)),
        cell: (row) => measured(ratio(row), chart.history.ratios, row.row, GUIDE),
        title: "Newest norm of the weight change ÷ norm of the weights, and how it came there (log scale, 1e-5 to 1e-1, guide band 1e-4 to 1e-2)",
      },
      {
        label: "Share of learning", width: "8.6rem", number: true, sort: ({ share }) => share, cell: ({ share }) => bar(share),
        title: "Its part of the way that all weights have moved so far: the sum of its update norms over the sum of everybody's",
      },
      {
        label: "Multiplier", width: "5.6rem", number: true, sort: ({ multiplier }) => multiplier, cell: ({ multiplier }) => `x ${number(multiplier)}`,
        title: "What its learning rate is multiplied by",
      },
    ],
  });
}

// Make room for the names that this model has.
export function fitNames(table, history) {
  const longest = (names, most) => Math.max(6, ...names.map((name) => Math.min(name.length, most)));
  table.widen(0, `${(longest(history.layers.map(({ name }) => name), LONGEST) * 0.5 + 1.4).toFixed(1)}rem`);
  table.widen(1, `${(longest(history.blocks.map(({ name }) => name), 18) * 0.46 + 1.4).toFixed(1)}rem`);
}

// The rows, from what the chart holds now.
export function layerRows(history) {
  const shares = history.shares();
  const place = new Map(history.blocks.map((block, at) => [block.name, at]));
  return history.layers.map((layer, row) => ({
    row, name: layer.name, block: layer.block || layer.name, place: place.get(layer.block || layer.name), count: layer.count,
    frozen: Boolean(history.now.frozen[row]), multiplier: history.now.multipliers[row], share: shares[row],
  }));
}

// What a code is worth when rows are sorted: what was not measured is not known, zero is less than anything.
function rank(code) {
  if (code === undefined || code === FROZEN || code === NONE || code === NOT_MEASURED) return null;
  return code === NOT_FINITE ? Infinity : code === ZERO ? -Infinity : code;
}

const cut = (tag, name, length) => `<${tag} title="${escaped(name)}" aria-label="${escaped(name)}">${escaped(ending(name, length))}</${tag}>`;
const state = (frozen) => `<span class="thaw-state-now" data-frozen="${frozen}">${frozen ? "frozen" : "learns"}</span>`;

function measured(code, columns, row, guide = null) {
  if (code === undefined) return '<span class="thaw-none">not yet</span>';
  const words = { [FROZEN]: "none", [NONE]: "none", [ZERO]: "0", [NOT_MEASURED]: "not now" }[code] ?? said(code);
  return `${sparkline(columns, row, guide)}<span class="thaw-value">${words}</span>`;
}

function bar(share) {
  if (share === null) return '<span class="thaw-none">not yet</span>';
  const text = share === 0 ? "0 %" : share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
  const width = (100 * share).toFixed(1);
  return `<span class="thaw-share" aria-hidden="true"><i style="width:${width}%"></i></span><span class="thaw-value">${text}</span>`;
}

// The course of one layer as a small line, log scale; with `guide` on the fixed scale of update ratios with its band.
function sparkline(columns, row, guide = null) {
  const stride = Math.max(1, Math.ceil(columns.length / POINTS));
  const codes = [];
  for (let at = (columns.length - 1) % stride; at < columns.length; at += stride) codes.push(columns.codes[at][row]);
  const values = codes.filter(plain);
  if (!values.length) return `<svg class="thaw-spark" width="${WIDE}" height="${HIGH}" aria-hidden="true"></svg>`;
  const least = Math.min(...values);
  const [low, high] = guide ? [100 * (guide.middle - 2), 100 * (guide.middle + 2)] : [least, Math.max(Math.max(...values), least + 50)];
  const y = (code) => (HIGH - 2 - ((Math.min(high, Math.max(low, code)) - low) / (high - low)) * (HIGH - 4)).toFixed(1);
  let path = "", pen = "M";
  codes.forEach((code, at) => {
    if (!plain(code)) { pen = "M"; return; }
    path += `${pen}${((at / Math.max(1, codes.length - 1)) * (WIDE - 4) + 2).toFixed(1)} ${y(code)}`;
    pen = "L";
  });
  const last = codes.at(-1);
  const dot = plain(last) ? `<circle cx="${WIDE - 2}" cy="${y(last)}" r="1.8"/>` : "";
  const [top, bottom] = guide ? [y(100 * guide.high), y(100 * guide.low)] : [];
  const band = guide ? `<rect x="0" width="${WIDE}" y="${top}" height="${(bottom - top).toFixed(1)}"/>` : "";
  return `<svg class="thaw-spark" width="${WIDE}" height="${HIGH}" aria-hidden="true">${band}<path d="${path}"/>${dot}</svg>`;
}
