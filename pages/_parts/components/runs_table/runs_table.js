// The table of all runs. What is sorted, filtered and chosen stays in the browser, over a reload too; the server hears of a run that is to be opened,
// and of runs that are to be compared.

const KEPT = "thaw-runs-table";
const HOME = new URL("..", import.meta.url);
const FIELDS = ["id", "called", "starred", "tags", "note", "status", "dataset", "version", "model", "freeze", "best", "bestEpoch", "last", "lastEpoch", "test", "seconds", "device", "created", "seed", "rate", "sweep"];
const CHOICES = { status: "Status", dataset: "Dataset", model: "Model", sweep: "Sweep", tag: "Tag" };

const tables = new WeakMap();

export function mount({ data, parentElement, setTriggerValue }, { VirtualTable }, looks) {
  const root = parentElement.querySelector(".thaw-runs");
  let view = tables.get(root);
  if (!view) { view = new RunsTable(root, VirtualTable, looks); tables.set(root, view); }
  view.send = (what, ids) => setTriggerValue("asked", { what, ids });
  view.take(typeof data === "string" ? data : new TextDecoder().decode(data));
  return () => {};
}

export class RunsTable {
  constructor(root, VirtualTable, looks) {
    Object.assign(this, { root, looks, text: null, rows: [], most: 40 });
    const { chosen = [], filters = {}, order = null, text = "" } = read();
    this.chosen = new Set(chosen);
    this.filters = filters;
    root.innerHTML = `
      <div class="thaw-runs-bar"><div class="thaw-runs-filters">${Object.entries(CHOICES).map(([name, label]) =>
        `<label>${label} <select data-filter="${name}"><option value="">all</option></select></label>`).join("")}</div>
        <span class="thaw-runs-chosen"><span role="status"></span>
        <button type="button" data-act="none" hidden>Choose none</button>
        <button type="button" data-act="compare" class="thaw-runs-compare" disabled>Compare</button></span></div>
      <div class="thaw-runs-table"></div>`;
    this.table = new VirtualTable(root.querySelector(".thaw-runs-table"), {
      label: "All runs", placeholder: "Filter by any word", empty: "No run matches. Take a filter away.", least: "124rem", height: 420,
      key: ({ id }) => id, open: (row) => { if (row) this.send?.("open", [row.id]); },
      text: (row) => `${row.id} ${row.called} ${row.tags.join(" ")} ${row.note} ${row.status} ${row.dataset} ${row.model} ${row.freeze} ${row.device ?? ""} ${row.sweep}`,
      columns: this.columns(),
    });
    if (order && order.column < this.table.columns.length) {
      this.table.sortBy(order.column);
      if (this.table.order?.down !== order.down) this.table.sortBy(order.column);
    }
    this.table.filter.value = text;
    for (const select of root.querySelectorAll("select")) select.onchange = () => { this.filters[select.dataset.filter] = select.value; this.show(); };
    root.addEventListener("change", (event) => { if (event.target.dataset?.choose) this.choose(event.target.dataset.choose, event.target.checked); });
    root.addEventListener("keydown", (event) => { // a box is pressed by the space bar where its row has the focus
      const line = event.key === " " && event.target.closest?.("tbody th button") && event.target.closest("tr");
      if (line) { event.preventDefault(); this.choose(line.dataset.key, !this.chosen.has(line.dataset.key)); }
    });
    for (const type of ["click", "input"]) root.addEventListener(type, () => this.keep());
    root.querySelector("[data-act=none]").onclick = () => { this.chosen.clear(); this.show(); root.querySelector(".thaw-runs-table input").focus(); };
    root.querySelector("[data-act=compare]").onclick = () => {
      const ids = this.rows.filter(({ id }) => this.chosen.has(id)).map(({ id }) => id).reverse();
      this.chart?.expect(ids);
      this.send?.("compare", ids);
    };
  }

  take(text) {
    if (text === this.text) return;
    this.text = text;
    const { most, ahead, rows } = JSON.parse(text);
    this.most = most;
    this.next = ahead;
    this.rows = rows.map((values) => Object.fromEntries(FIELDS.map((name, at) => [name, values[at]])));
    const there = new Set(this.rows.map(({ id }) => id));
    for (const id of [...this.chosen]) if (!there.has(id)) this.chosen.delete(id);
    this.offer();
    this.show();
  }

  // What the choices offer: what there is.
  offer() {
    for (const select of this.root.querySelectorAll("select")) {
      const name = select.dataset.filter;
      const values = [...new Set(this.rows.flatMap((row) => (name === "tag" ? row.tags : [row[name]])))].filter(Boolean).sort((a, b) => a.localeCompare(b));
      if (this.filters[name] && !values.includes(this.filters[name])) this.filters[name] = "";
      select.replaceChildren(...["", ...values].map((value) => Object.assign(document.createElement("option"), { value, textContent: value || "all" })));
      select.value = this.filters[name] ?? "";
      const tells = values.some((value) => this.rows.some((row) => !has(row, name, value))); // a value that all have leaves no run out
      select.closest("label").hidden = !tells && !this.filters[name];
    }
  }

  show() {
    const wanted = Object.entries(this.filters).filter(([, value]) => value);
    this.table.show(this.rows.filter((row) => wanted.every(([name, value]) => has(row, name, value))));
    this.table.arrange(true);
    this.table.render();
    this.tell();
    this.keep();
  }

  choose(id, on) {
    if (on && this.chosen.size >= this.most) on = false;
    if (on) this.chosen.add(id); else this.chosen.delete(id);
    this.table.render();
    this.tell();
    this.keep();
  }

  tell() {
    const { size } = this.chosen;
    const said = size >= this.most ? `${size} chosen, the most that are compared` : size ? `${size} chosen` : "Choose runs to compare";
    const status = this.root.querySelector(".thaw-runs-chosen [role=status]");
    if (status.textContent !== said) status.textContent = said;
    const button = this.root.querySelector("[data-act=compare]");
    button.disabled = size < 2;
    button.textContent = size < 2 ? "Compare" : `Compare ${size} runs`;
    this.root.querySelector("[data-act=none]").hidden = !size;
    if (size > 1) this.prepare();
    this.root.dataset.rows = this.rows.length;
  }

  // Two runs are chosen, so a comparison may follow: load what draws it while nothing else goes on.
  prepare() {
    if (this.prepared || !this.next) return;
    this.prepared = true;
    (window.requestIdleCallback ?? setTimeout)(async () => {
      try {
        const modules = await Promise.all(this.next.modules.map((path) => import(new URL(path, HOME))));
        this.chart = modules[0];
        await modules.at(-1).loadPlotly(this.next.plotly);
      } catch { this.prepared = false; } // the comparison says what it could not load
    });
  }

  keep() {
    const kept = { chosen: [...this.chosen], filters: this.filters, order: this.table.order, text: this.table.filter.value };
    try { sessionStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* it holds until the page is left */ }
  }

  columns() {
    const { escaped, percent, count } = this.looks;
    const plain = (label, field, width, title = "") => ({ label, width, title, sort: (row) => row[field]?.toLowerCase?.() ?? row[field], cell: (row) => named(row[field]) });
    const named = (value) => (value === null || value === undefined || value === "" ? '<span class="thaw-none">none</span>' : `<span title="${escaped(value)}">${escaped(value)}</span>`);
    const share = (label, field, title) => ({ label, width: "5.4rem", number: true, title, sort: (row) => row[field], cell: (row) => (row[field] === null ? '<span class="thaw-none">none</span>' : percent(row[field])) });
    const whole = (label, field, title) => ({ label, width: "5rem", number: true, title, sort: (row) => row[field], cell: (row) => (row[field] === null ? '<span class="thaw-none">none</span>' : count(row[field])) });
    return [
      {
        label: "Run", width: "17rem", title: "Its name, else what it is about; a press opens it", sort: (row) => row.called.toLowerCase(),
        cell: (row) => `<span title="${escaped(`${row.called} · ${row.id}`)}">${row.starred ? "★ " : ""}${escaped(row.called)}</span>`,
      },
      {
        label: "Compare", width: "5rem", title: "Take it into a comparison (space, where its row has the focus)", sort: (row) => !this.chosen.has(row.id),
        cell: (row) => `<input type="checkbox" data-own data-choose="${escaped(row.id)}" ${this.chosen.has(row.id) ? "checked" : ""} aria-label="Compare ${escaped(`${row.called}, ${row.id}`)}">`,
      },
      plain("Status", "status", "6.4rem"), plain("Freeze plan", "freeze", "10rem"),
      { label: "Rate", width: "5rem", number: true, title: "Learning rate that it began with", sort: (row) => row.rate, cell: (row) => named(typeof row.rate === "number" ? String(Number(row.rate.toPrecision(4))) : null) },
      share("Best", "best", "Best validation accuracy"), whole("at epoch", "bestEpoch", "After which it was best"),
      share("Last", "last", "Validation accuracy after the last epoch"), whole("after", "lastEpoch", "The last epoch that was measured"), share("Test", "test", "Accuracy on the test set"),
      { label: "Time", width: "6rem", number: true, title: "Since the first step, pauses left out", sort: (row) => row.seconds, cell: (row) => duration(row.seconds) },
      {
        label: "Dataset", width: "8.5rem", title: "With the number of its version, where it is one of your own", sort: (row) => row.dataset.toLowerCase(),
        cell: (row) => named(row.version === null ? row.dataset : `${row.dataset}, version ${row.version}`),
      },
      plain("Model", "model", "8.5rem"), whole("Seed", "seed", "Of the order of pictures and of what begins at random"),
      plain("Device", "device", "5rem"), plain("Sweep", "sweep", "9rem", "That tried it among other settings"),
      { label: "Tags", width: "8rem", sort: (row) => row.tags.join(" ").toLowerCase() || null, cell: (row) => named(row.tags.map((tag) => `#${tag}`).join(" ")) },
      plain("Note", "note", "12rem"),
      { label: "Created", width: "9.5rem", number: true, title: "In the time zone of this browser", sort: (row) => row.created, cell: (row) => moment(row.created) },
    ];
  }
}

const has = (row, name, value) => (name === "tag" ? row.tags.includes(value) : row[name] === value);

function read() {
  try { return JSON.parse(sessionStorage.getItem(KEPT) ?? "{}") ?? {}; } catch { return {}; }
}

export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

const two = (number) => String(number).padStart(2, "0");
function moment(seconds) {
  const then = new Date(1000 * seconds);
  return `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())} ${two(then.getHours())}:${two(then.getMinutes())}`;
}
