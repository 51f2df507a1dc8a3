// The freeze audit, a row for each tensor. Python sends the rows in order, faults first; sorting and filtering stay here.

const tables = new WeakMap();

const VERDICTS = {
  leaking: ["✗", "leaking: frozen, but changed"], drifting: ["~", "drifting statistics"], "no optimizer": ["∅", "in no optimizer"],
  idle: ["-", "idle"], verified: ["✓", "frozen and verified"], learning: ["↗", "learning"],
};
const GRADIENTS = { none: "none", zero: "zero everywhere", flows: "flows", stale: "stale, left over" };

export function mount({ data, parentElement }, { VirtualTable }) {
  const root = parentElement.querySelector(".thaw-audit");
  let table = tables.get(root);
  if (!table) { table = build(VirtualTable, root); tables.set(root, table); }
  const rows = JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data)).map(
    ([name, count, verdict, requiresGrad, inOptimizer, gradient, moved, statistics, mode, since, before, after], place) =>
      ({ name, count, verdict, requiresGrad, inOptimizer, gradient, moved, statistics, mode, since, before, after, place }));
  table.widen(0, `${(Math.max(8, ...rows.map(({ name }) => Math.min(38, name.length))) * 0.5 + 1.4).toFixed(1)}rem`);
  table.show(rows);
  root.dataset.rows = rows.length;
  return () => {};
}

function build(VirtualTable, root) {
  const table = new VirtualTable(root, {
    label: "Freeze audit, tensor by tensor", placeholder: "Filter by name or verdict", empty: "No tensor matches.", least: "86rem",
    key: ({ name }) => name, text: (row) => `${row.name} ${row.verdict} ${verdictOf(row)[2]}`,
    columns: [
      { label: "Tensor", width: "16rem", sort: ({ name }) => name, cell: ({ name }) => named(name) },
      { label: "Verdict", width: "13.5rem", sort: ({ place }) => place, cell: verdict, title: "Sorted: faults first" },
      {
        label: "Values", width: "6rem", number: true, sort: ({ count }) => count, cell: ({ count }) => count.toLocaleString("en"),
        title: "Number of values in this tensor; 0: a normalisation layer that has only statistics",
      },
      {
        label: "requires_grad", width: "7rem", sort: ({ requiresGrad }) => requiresGrad, cell: ({ requiresGrad }) => (requiresGrad ? "True" : "False"),
        title: "What the tensor itself says: autograd computes a gradient for it, if the loss depends on it",
      },
      {
        label: "In optimizer", width: "6.6rem", sort: ({ inOptimizer }) => inOptimizer, cell: ({ inOptimizer }) => (inOptimizer ? "yes" : "no"),
        title: "Whether a parameter group of the optimizer holds it",
      },
      {
        label: "Gradient", width: "7.6rem", sort: ({ gradient }) => gradient, cell: ({ gradient }) => GRADIENTS[gradient],
        title: "Its .grad after the backward pass, at the last look",
      },
      {
        label: "Value moved", width: "8.2rem", sort: ({ moved }) => moved, cell: ({ moved, count }) => (count ? compared(moved) : "has none"),
        title: "Whether its value is another than when it was frozen (for one that learns: than at the first step)",
      },
      {
        label: "Statistics moved", width: "8.2rem", sort: ({ statistics }) => statistics,
        cell: ({ statistics, count }) => (statistics === null && count ? "none" : compared(statistics)),
        title: "The same of its layer's running mean and variance; none: it has none, or nobody has compared them yet",
      },
      { label: "Mode", width: "4.6rem", sort: ({ mode }) => mode, cell: ({ mode }) => mode, title: "Of its module while training" },
      {
        label: "Frozen since", width: "7.4rem", number: true, sort: ({ since }) => since,
        cell: ({ since }) => (since === null ? "learns" : since === 0 ? "the start" : `step ${since.toLocaleString("en")}`),
        title: "Number of steps done when it was frozen",
      },
      {
        label: "Digest before", width: "8rem", sort: ({ before }) => before, cell: ({ name, before }) => digest(before, `digest of ${name} before`),
        title: "SHA-256 of its value when it was frozen, or at the start; click to copy all of it",
      },
      {
        label: "Digest after", width: "8rem", sort: ({ after }) => after, cell: ({ name, after }) => digest(after, `digest of ${name} after`),
        title: "SHA-256 of its value at the last comparison; click to copy all of it",
      },
    ],
  });
  table.body.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-digest]");
    if (!button) return;
    let words = "copied";
    try { await navigator.clipboard.writeText(button.dataset.digest); } catch { words = "not allowed"; }
    const before = button.textContent;
    button.textContent = words;
    setTimeout(() => { button.textContent = before; }, 1200);
  });
  return table;
}

// What nobody has compared yet is not called verified.
function verdictOf({ verdict, moved, count }) {
  return verdict === "verified" && moved === null && count ? ["waiting", "…", "frozen, not compared yet"] : [verdict, ...VERDICTS[verdict]];
}

function verdict(row) {
  const [kind, sign, words] = verdictOf(row);
  return `<span class="thaw-verdict" data-verdict="${kind}"><b aria-hidden="true">${sign}</b>${words}</span>`;
}

function digest(value, label) {
  if (!value) return '<span class="thaw-none">not yet</span>';
  const about = `title="${value}" aria-label="Copy the ${safe(label)}"`;
  return `<button type="button" class="thaw-digest" data-own data-digest="${value}" ${about}>${value.slice(0, 10)}</button>`;
}

const compared = (moved) => (moved === null ? '<span class="thaw-none">not compared yet</span>' : moved ? "yes" : "no");
const named = (name) => `<code title="${safe(name)}" aria-label="${safe(name)}">${safe(ending(name, 38))}</code>`;
const ending = (text, length) => (text.length <= length ? text : `…${text.slice(text.length - length + 1)}`);

function safe(text) {
  const span = document.createElement("span");
  span.textContent = text;
  return span.innerHTML.replaceAll('"', "&quot;");
}
