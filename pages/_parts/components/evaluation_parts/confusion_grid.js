// The confusion matrix as a grid: a row for what a picture is, a column for what it was taken for. Only cells in sight exist, so that
// 200 classes stay quick. Click, Enter or Space opens the pictures of a cell; arrows, Home, End, Page Up and Page Down move.

const grids = new WeakMap();

export function mount({ data, parentElement, setTriggerValue }, elements) {
  const root = parentElement.querySelector(".thaw-confusion");
  let grid = grids.get(root);
  if (!grid) { grid = new ConfusionGrid(root, elements); grids.set(root, grid); }
  grid.send = (label, predicted) => setTriggerValue("opened", { label, predicted, at: Date.now() });
  grid.receive(elements.read(data));
  const watcher = new ResizeObserver(() => grid.lay());
  watcher.observe(root);
  return () => watcher.disconnect();
}

const MOST_WHOLE = 32; // classes up to which all cells exist at once
const FEW = 16; // classes up to which no row needs scrolling
const LETTER = 6.3; // px that a letter of a name takes, about

class ConfusionGrid {
  constructor(root, elements) {
    Object.assign(this, { root, ...elements, row: 0, column: 0 });
    const { make } = elements;
    this.inner = make("div", { className: "thaw-confusion-inner" });
    this.box = make("div", { className: "thaw-confusion-box", role: "grid", tabIndex: 0 }, this.inner);
    this.said = make("p", { className: "thaw-confusion-said", role: "status" });
    this.unit = make("span");
    root.replaceChildren(
      make("p", { className: "thaw-confusion-axis", aria: { hidden: true } },
        make("span", { textContent: "↓ what it is" }), make("span", { textContent: "→ what it was taken for" }), this.unit),
      this.box, this.said,
    );
    this.box.onscroll = () => { this.queued ??= requestAnimationFrame(() => { this.queued = null; this.fill(); }); };
    this.box.onkeydown = (event) => this.key(event);
    this.box.onclick = (event) => {
      const cell = event.target.closest("[data-cell]");
      if (cell) { this.go(Number(cell.dataset.row), Number(cell.dataset.column)); this.open(); }
    };
    this.box.onfocus = () => this.focusCell();
    this.box.onpointerover = (event) => {
      const cell = event.target.closest("[data-cell]");
      if (cell) this.said.textContent = cell.getAttribute("aria-label");
    };
    this.box.addEventListener("focusin", (event) => { // there is no onfocusin
      if (event.target.dataset.cell !== undefined) this.said.textContent = event.target.getAttribute("aria-label");
    });
  }

  receive(shown) {
    const text = JSON.stringify(shown);
    if (text === this.text) return;
    const first = !this.text;
    this.text = text;
    this.shown = shown;
    this.counts = shown.rows.map((cells) => new Map(cells));
    this.totals = shown.rows.map((cells) => cells.reduce((sum, [, number]) => sum + number, 0) + 0);
    if (shown.chosen) [this.row, this.column] = shown.chosen;
    this.row = Math.min(this.row, shown.classes.length - 1);
    this.column = Math.min(this.column, shown.classes.length - 1);
    this.unit.textContent = shown.shares ? "in % of the row" : "in pictures";
    this.box.setAttribute("aria-label", shown.label);
    this.box.setAttribute("aria-rowcount", shown.classes.length + 1);
    this.box.setAttribute("aria-colcount", shown.classes.length + 1);
    this.lay(true);
    const sought = shown.of !== null && shown.of !== this.of;
    this.of = shown.of;
    if (sought) this.row = this.column = shown.of;
    if (sought) this.centre();
    else if (first && shown.chosen && shown.classes.length > MOST_WHOLE) this.show();
  }

  // How wide a cell is follows from the room there is.
  lay(anew = false) {
    if (!this.shown) return;
    const classes = this.shown.classes, n = classes.length;
    const room = this.root.clientWidth;
    if (!room || (room === this.room && !anew)) return;
    this.room = room;
    const longest = Math.max(...classes.map((name) => name.length));
    this.head = Math.min(Math.max(40, 8 * longest + 18), Math.min(n > MOST_WHOLE ? 210 : 150, room / 4));
    const least = n <= 12 ? 34 : n <= MOST_WHOLE ? 30 : 24;
    this.size = Math.max(least, Math.min(62, Math.floor((room - this.head - 4) / n)));
    this.tall = Math.max(least, Math.min(42, this.size));
    this.top = n <= 12 && longest * 8 < this.size ? 26 : Math.min(n > MOST_WHOLE ? 140 : 110, 8 * longest + 18);
    this.letters = { row: Math.floor((this.head - 14) / LETTER), column: Math.floor((this.top - 10) / LETTER) };
    this.root.dataset.upright = this.top === 26;
    this.root.dataset.small = this.size < 32;
    this.inner.style.width = `${this.head + n * this.size}px`;
    this.inner.style.height = `${this.top + n * this.tall}px`;
    this.box.style.maxHeight = n <= FEW ? "none" : "";
    this.box.style.maxWidth = `${this.head + n * this.size + 16}px`;
    this.range = null;
    this.fill();
  }

  fill() {
    const n = this.shown.classes.length;
    let range = [0, n, 0, n];
    if (n > MOST_WHOLE) {
      const { scrollTop, scrollLeft, clientHeight, clientWidth } = this.box;
      const clamp = (value) => Math.max(0, Math.min(n, value));
      range = [
        clamp(Math.floor(scrollTop / this.tall) - 4), clamp(Math.ceil((scrollTop + clientHeight) / this.tall) + 4),
        clamp(Math.floor(scrollLeft / this.size) - 4), clamp(Math.ceil((scrollLeft + clientWidth) / this.size) + 4),
      ];
    }
    if (this.range && range.every((value, at) => value === this.range[at])) return;
    this.range = range;
    const held = this.box.contains(document.activeElement);
    const { make, short } = this, { classes, of } = this.shown;
    const [firstRow, lastRow, firstColumn, lastColumn] = range;
    const corner = make("div", { role: "columnheader", className: "thaw-confusion-corner", aria: { colindex: 1, label: "what it is" }, style: { width: `${this.head}px` } });
    const heads = [corner];
    for (let column = firstColumn; column < lastColumn; column++) {
      heads.push(make("div", {
        role: "columnheader", className: "thaw-confusion-column", title: classes[column], data: { sought: column === of }, aria: { colindex: column + 2, label: `taken for ${classes[column]}` },
        style: { left: `${this.head + column * this.size}px`, width: `${this.size}px`, height: `${this.top}px` },
      }, make("span", { textContent: this.root.dataset.upright === "true" ? classes[column] : short(classes[column], this.letters.column) })));
    }
    const lines = [make("div", { role: "row", className: "thaw-confusion-head", aria: { rowindex: 1 }, style: { height: `${this.top}px` } }, ...heads)];
    for (let row = firstRow; row < lastRow; row++) {
      const cells = [make("div", {
        role: "rowheader", className: "thaw-confusion-name", title: classes[row], textContent: short(classes[row], this.letters.row),
        data: { sought: row === of }, aria: { colindex: 1, label: classes[row] }, style: { width: `${this.head}px` },
      })];
      for (let column = firstColumn; column < lastColumn; column++) cells.push(this.cell(row, column));
      lines.push(make("div", {
        role: "row", className: "thaw-confusion-row", aria: { rowindex: row + 2 }, style: { top: `${this.top + row * this.tall}px`, height: `${this.tall}px` },
      }, ...cells));
    }
    this.inner.replaceChildren(...lines);
    if (held) { const cell = this.find(); if (cell) cell.focus({ preventScroll: true }); else this.box.focus({ preventScroll: true }); }
  }

  cell(row, column) {
    const { make, percent, count } = this, { classes, shares, chosen } = this.shown;
    const number = this.counts[row].get(column) ?? 0, total = this.shown.totals[row];
    const share = total ? number / total : 0;
    const small = this.size < 32;
    const text = number === 0 ? "" : shares ? (small ? Math.round(100 * share) || "<1" : `${(100 * share).toFixed(share >= 0.0995 ? 0 : 1)}`) : small && number > 999 ? "1k+" : count(number);
    const what = row === column ? `correctly taken for ${classes[row]}` : `taken for ${classes[column]}`;
    const about = total ? `${count(number)} of ${count(total)} pictures of ${classes[row]} ${what}, ${percent(share)}` : `no test pictures of ${classes[row]}`;
    const cell = make("div", {
      role: "gridcell", className: "thaw-confusion-cell", textContent: text, tabIndex: -1, title: about,
      data: { cell: "", row, column, kind: number === 0 ? "none" : row === column ? "right" : "wrong" },
      aria: { colindex: column + 2, label: about, selected: Boolean(chosen && chosen[0] === row && chosen[1] === column) },
      style: { left: `${this.head + column * this.size}px`, width: `${this.size}px`, "--thaw-share": row === column ? share : Math.min(1, 0.25 + 2.2 * share) },
    });
    if (this.shown.shares && total && number) cell.dataset.unit = small ? "" : "%";
    return cell;
  }

  find() { return this.inner.querySelector(`[data-row="${this.row}"][data-column="${this.column}"]`); }

  go(row, column) {
    const last = this.shown.classes.length - 1;
    this.row = Math.max(0, Math.min(last, row));
    this.column = Math.max(0, Math.min(last, column));
    this.show();
    this.focusCell();
  }

  // Scrolls the box, and only the box, so far that the cell does not lie under the headers.
  show() {
    const { box, size, tall, head, top } = this;
    const left = this.column * size, above = this.row * tall;
    box.scrollLeft = Math.min(left, Math.max(box.scrollLeft, left + head + size - box.clientWidth));
    box.scrollTop = Math.min(above, Math.max(box.scrollTop, above + top + tall - box.clientHeight));
    this.fill();
  }

  // The same, with the cell in the middle.
  centre() {
    const { box, size, tall, head, top } = this;
    box.scrollLeft = this.column * size - (box.clientWidth - head - size) / 2;
    box.scrollTop = this.row * tall - (box.clientHeight - top - tall) / 2;
    this.fill();
    box.scrollIntoView({ block: "nearest" }); // what was looked for shall be in sight, not only in the grid
  }

  focusCell() {
    const cell = this.find();
    if (cell) cell.focus({ preventScroll: true });
    else { this.show(); this.find()?.focus({ preventScroll: true }); }
  }

  key(event) {
    const last = this.shown.classes.length - 1, page = 10;
    const moves = {
      ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], PageUp: [-page, 0], PageDown: [page, 0],
      Home: event.ctrlKey ? [-last, -last] : [0, -last], End: event.ctrlKey ? [last, last] : [0, last],
    };
    if (event.key === "Tab" && event.shiftKey) { this.box.tabIndex = -1; setTimeout(() => { this.box.tabIndex = 0; }); return; } // out, not to the box itself
    if (event.key === "Enter" || event.key === " ") this.open();
    else if (moves[event.key]) this.go(this.row + moves[event.key][0], this.column + moves[event.key][1]);
    else return;
    event.preventDefault();
  }

  open() { this.send(this.row, this.column); }
}
