// Precision, recall and F1 of each class with their intervals, as a table that can be sorted by each of its columns.

const orders = new WeakMap(); // place on the page to the column and the direction that a person has chosen

export function mount({ data, parentElement }, { make, read, isNew, count, percent, short }) {
  const root = parentElement.querySelector(".thaw-classes");
  const shown = read(data);
  if (isNew(root, shown)) draw(root, shown, { make, count, percent, short });
  return () => {};
}

const COLUMNS = [
  ["name", "Class", "The class, in the order of the dataset"], ["samples", "Test pictures", "Pictures of this class in the test set"],
  ["predicted", "Taken for it", "Pictures that the model took for this class, rightly or not"],
  ["precision", "Precision", "Of the pictures taken for this class, the share that is of it"],
  ["recall", "Recall", "Of the pictures of this class, the share that was found"], ["f1", "F1", "Harmonic mean of precision and recall"],
];

function draw(root, { caption, rows }, tools) {
  const { make } = tools;
  const order = orders.get(root) ?? { column: null, down: false };
  orders.set(root, order);
  const body = make("tbody");
  const heads = COLUMNS.map(([column, title, about]) => {
    const button = make("button", { type: "button", textContent: title, title: `${about}. Press to sort.` });
    button.onclick = () => {
      // Numbers begin with the lowest: those are the classes to look at. Pressed a third time, the order of the dataset is back.
      if (order.column !== column) Object.assign(order, { column, down: false });
      else if (!order.down) order.down = true;
      else Object.assign(order, { column: null, down: false });
      sort();
    };
    return make("th", { scope: "col", data: { column } }, button);
  });
  const lines = new Map(rows.map((row) => [row, line(row, tools)]));
  const sort = () => {
    const value = (row) => (Array.isArray(row[order.column]) ? row[order.column][0] : row[order.column]);
    const sorted = [...rows];
    if (order.column) {
      sorted.sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        if (a === null || b === null) return (a === null) - (b === null); // what is not defined comes last, whichever way
        return (typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b) * (order.down ? -1 : 1);
      });
    }
    body.replaceChildren(...sorted.map((row) => lines.get(row)));
    heads.forEach((head) => head.setAttribute("aria-sort", head.dataset.column === order.column ? (order.down ? "descending" : "ascending") : "none"));
  };
  sort();
  root.dataset.long = rows.some((row) => row.name.length > 24);
  root.replaceChildren(make("div", { tabIndex: 0, role: "group", aria: { label: caption } },
    make("table", {}, make("caption", { textContent: caption }), make("thead", {}, make("tr", {}, ...heads)), body)));
}

function line(row, { make, count, percent, short }) {
  const cells = ["precision", "recall", "f1"].map((measure) => {
    const [value, low, high] = row[measure];
    if (value === null) return make("td", { className: "thaw-classes-none", textContent: measure === "precision" ? "never predicted" : "no test pictures" });
    const strip = make("span", { aria: { hidden: true } });
    if (low !== null) strip.append(make("i", { style: { left: `${100 * low}%`, width: `${100 * Math.max(0.01, high - low)}%` } }));
    strip.append(make("b", { style: { left: `${100 * value}%` } }));
    const range = low === null ? "" : `${(100 * low).toFixed(0)} to ${(100 * high).toFixed(0)}\u00a0%`;
    return make("td", {}, make("div", {}, make("output", { textContent: percent(value) }), strip, make("small", { textContent: range })));
  });
  return make("tr", {}, make("th", { scope: "row", textContent: short(row.name, 40), title: row.name }),
    make("td", { className: "thaw-classes-count", textContent: count(row.samples) }), make("td", { className: "thaw-classes-count", textContent: count(row.predicted) }), ...cells);
}
