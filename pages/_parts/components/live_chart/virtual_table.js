// A table of any length of which only the rows in sight exist: sortable by its headers, filtered by name, moved through with the keyboard.
// It stays a <table> for a screen reader (aria-rowcount, aria-rowindex, aria-sort); the name in each row is a button that opens the row.

const { escaped } = await import(`./looks.js${new URL(import.meta.url).search}`);

const OVERSCAN = 6; // rows kept above and below those in sight, so that scrolling shows no gap

export class VirtualTable {
  // columns: [{ key, label, title, number, width, sort(row), cell(row) -> HTML }], the first of which names the row.
  // `key(row)` tells rows apart, `text(row)` is what the filter looks into, `open(row)`, where given, is called for a click on a row.
  // `least` is the width below which it scrolls sideways.
  constructor(root, { label, columns, key, text, open = null, least = "68rem", rowHeight = 30, height = 380, placeholder, empty }) {
    Object.assign(this, { root, columns, key, text, open, rowHeight, height, empty });
    this.all = [];
    this.rows = [];
    this.order = null; // { column, down }: null is the order in which rows were given
    this.current = null;
    root.classList.add("thaw-table");
    const heads = columns.map(({ label, title = "", number }, place) => `<th scope="col" ${number ? 'data-number=""' : ""} aria-sort="none">
      <button type="button" data-place="${place}" title="${title}">${label}<i aria-hidden="true"></i></button></th>`);
    root.innerHTML = `
      <div class="thaw-table-bar">
        <input type="search" placeholder="${placeholder}" aria-label="${placeholder}: ${label}" spellcheck="false"><span role="status"></span>
      </div>
      <div class="thaw-table-scroll" tabindex="${open ? -1 : 0}"><table aria-label="${label}" style="min-width:${least}">
        <colgroup>${columns.map(({ width }) => `<col style="width:${width}">`).join("")}</colgroup>
        <thead><tr>${heads.join("")}</tr></thead><tbody></tbody>
      </table></div>`;
    this.filter = root.querySelector("input");
    this.scroll = root.querySelector(".thaw-table-scroll");
    this.body = root.querySelector("tbody");
    this.scroll.style.maxHeight = `${height}px`;
    this.filter.oninput = () => { this.arrange(true); this.scroll.scrollTop = 0; this.render(); };
    this.scroll.onscroll = () => this.render();
    root.querySelector("thead").onclick = (event) => {
      const button = event.target.closest("button");
      if (button) this.sortBy(Number(button.dataset.place));
    };
    this.body.onclick = (event) => this.click(event);
    this.scroll.onkeydown = (event) => this.keys(event);
    // A row that the keyboard has reached is framed. Not by :has(): while charts are drawn beside the table that costs milliseconds a change.
    this.body.addEventListener("focusin", ({ target }) => target.closest("tr")?.toggleAttribute("data-reached", target.matches(":focus-visible")));
    this.body.addEventListener("focusout", ({ target }) => target.closest("tr")?.removeAttribute("data-reached"));
  }

  // Show these rows. While somebody points at the table or works in it the order is left as it is: rows must not run away from under a hand.
  show(rows) {
    this.all = rows;
    this.arrange(!this.scroll.matches(":hover, :focus-within") || this.rows.length === 0);
    this.render();
  }

  // Be as high as `rows` rows are, from before they come until a filter leaves none of them.
  reserve(rows) { this.scroll.style.minHeight = `${Math.min(this.height, 32 + this.rowHeight * rows)}px`; }

  // Give a column another width.
  widen(place, width) { this.root.querySelectorAll("col")[place].style.width = width; }

  sortBy(place) {
    const before = this.order;
    const down = Boolean(this.columns[place].number); // of numbers a person wants the largest first
    if (before?.column !== place) this.order = { column: place, down };
    else this.order = before.down === down ? { column: place, down: !down } : null; // the third click gives the first order back
    this.root.querySelectorAll("th").forEach((head, at) =>
      head.setAttribute("aria-sort", this.order?.column === at ? (this.order.down ? "descending" : "ascending") : "none"));
    this.arrange(true);
    this.render();
  }

  arrange(sort) {
    if (!sort) {
      const fresh = new Map(this.all.map((row) => [this.key(row), row]));
      if (fresh.size === this.all.length && this.rows.every((row) => fresh.has(this.key(row)))) {
        this.rows = this.rows.map((row) => fresh.get(this.key(row)));
        return;
      }
    }
    const wanted = this.filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    this.rows = this.all.filter((row) => { const text = this.text(row).toLowerCase(); return wanted.every((word) => text.includes(word)); });
    if (this.order) {
      const { sort: value } = this.columns[this.order.column];
      const sign = this.order.down ? -1 : 1;
      const known = (item) => item !== null && item !== undefined && !Number.isNaN(item);
      const decorated = this.rows.map((row, place) => ({ row, place, item: value(row) }));
      decorated.sort((a, b) => {
        if (!known(a.item) || !known(b.item)) return Number(known(b.item)) - Number(known(a.item)) || a.place - b.place; // what is not known comes last
        return (a.item < b.item ? -sign : a.item > b.item ? sign : 0) || a.place - b.place;
      });
      this.rows = decorated.map(({ row }) => row);
    }
    const status = this.root.querySelector("[role=status]");
    const [some, all] = [this.rows, this.all].map(({ length }) => length.toLocaleString("en"));
    const words = some === all ? `${all} rows` : `${some} of ${all} rows`;
    if (status.textContent !== words) status.textContent = words;
    this.root.querySelector("table").setAttribute("aria-rowcount", this.rows.length + 1);
  }

  window() {
    const head = this.root.querySelector("thead").offsetHeight;
    const first = Math.max(0, Math.floor((this.scroll.scrollTop - head) / this.rowHeight) - OVERSCAN);
    return [first, Math.min(this.rows.length, first + Math.ceil(this.height / this.rowHeight) + 2 * OVERSCAN)];
  }

  render() {
    const [first, last] = this.window();
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.key : null;
    const lines = [spacer(first * this.rowHeight, this.columns.length)];
    const shown = this.rows.slice(first, last).map(this.key);
    const tab = shown.includes(this.current) ? this.current : shown[0]; // the one row that the Tab key stops at
    for (let at = first; at < last; at++) lines.push(this.line(this.rows[at], at, tab));
    if (!this.rows.length) lines.push(`<tr><td class="thaw-table-empty" colspan="${this.columns.length}">${this.empty}</td></tr>`);
    lines.push(spacer((this.rows.length - last) * this.rowHeight, this.columns.length));
    this.body.innerHTML = lines.join("");
    if (focused !== null && focused !== undefined) (this.button(focused) ?? this.scroll).focus({ preventScroll: true });
  }

  line(row, at, tab) {
    const key = this.key(row);
    const cells = this.columns.map(({ cell, number }, place) => {
      const inside = cell(row);
      if (place) return `<td${number ? ' data-number=""' : ""}>${inside}</td>`;
      return `<th scope="row">${this.open ? `<button type="button" tabindex="${key === tab ? 0 : -1}">${inside}</button>` : inside}</th>`;
    });
    const current = this.open && key === this.opened ? 'aria-current="true"' : "";
    return `<tr style="height:${this.rowHeight}px" aria-rowindex="${at + 2}" data-key="${escaped(key)}" ${current}>${cells.join("")}</tr>`;
  }

  button(key) { return this.body.querySelector(`tr[data-key="${CSS.escape(key)}"] th button`); }
  row(key) { return this.rows.find((row) => this.key(row) === key); }

  click(event) {
    const line = event.target.closest("tr[data-key]");
    if (!line || !this.open || event.target.closest("[data-own]")) return;
    this.choose(line.dataset.key);
  }

  choose(key) {
    this.current = this.opened = key;
    this.open(this.row(key));
    this.render();
    this.button(key)?.focus({ preventScroll: true });
  }

  keys(event) {
    if (!this.open || !this.rows.length || event.target.closest("thead")) return;
    const at = Math.max(0, this.rows.findIndex((row) => this.key(row) === (event.target.closest("tr")?.dataset.key ?? this.current)));
    const page = Math.max(1, Math.floor(this.scroll.clientHeight / this.rowHeight) - 2);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.rows.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.focusRow(Math.min(this.rows.length - 1, Math.max(0, to)));
  }

  focusRow(at) {
    const head = this.root.querySelector("thead").offsetHeight;
    const top = at * this.rowHeight, view = this.scroll.clientHeight - head;
    if (top < this.scroll.scrollTop) this.scroll.scrollTop = top;
    else if (top + this.rowHeight > this.scroll.scrollTop + view) this.scroll.scrollTop = top + this.rowHeight - view;
    this.current = this.key(this.rows[at]);
    this.render();
    this.button(this.current)?.focus({ preventScroll: true });
  }
}

function spacer(height, columns) {
  return height > 0 ? `<tr aria-hidden="true"><td class="thaw-table-spacer" colspan="${columns}" style="height:${height}px"></td></tr>` : "";
}
