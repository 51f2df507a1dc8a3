// Blocks x epochs as a grid: what is frozen when, edited by pointing. A click is from that epoch on, a drag just those epochs. At the
// left of each row a field for the block's learning-rate multiplier. An edit paints at once and tells the server what was painted.
// Keys in the grid: arrows, Home and End move, with Shift they extend, Space is from here on, Enter is just this.

const editors = new WeakMap();

export function mount({ data, parentElement, setTriggerValue }, { Outbox }) {
  const root = parentElement.querySelector(".thaw-timeline");
  let editor = editors.get(root);
  if (!editor) { editor = new TimelineEditor(root, new Outbox()); editors.set(root, editor); }
  editor.outbox.send = (edits) => setTriggerValue("edited", edits);
  editor.receive(data);
  return () => {};
}

const LEARNS = "0", FROZEN = "1";
const WORDS = { 0: "learns", 1: "frozen", 2: "in part" };
const STATES = { 0: "false", 1: "true", 2: "mixed" };

class TimelineEditor {
  constructor(root, outbox) {
    this.root = root;
    this.outbox = outbox;
    root.innerHTML = `<div class="thaw-grid-scroll"><div class="thaw-grid" role="grid" aria-label="What is frozen in which epoch" aria-multiselectable="true"></div></div>
      <p class="thaw-legend"><i data-frozen="false"></i>learns <i data-frozen="true"></i>frozen <i data-frozen="mixed"></i>in part
        <span class="thaw-how">Click: from that epoch on. Drag, or Shift and click: just those epochs. Keys: arrows, Shift extends, Space from here on, Enter just this.</span></p>
      <span class="thaw-said" role="status"></span>`;
    this.grid = root.querySelector(".thaw-grid");
    this.said = root.querySelector(".thaw-said");
    this.anchor = this.focus = { row: 0, column: 0 };
    this.grid.onpointerdown = (event) => this.press(event);
    this.grid.onpointermove = (event) => this.drag(event);
    this.grid.onpointerup = (event) => this.release(event);
    this.grid.onpointercancel = () => this.forget();
    this.grid.onkeydown = (event) => this.key(event);
    this.grid.addEventListener("focusin", (event) => this.follow(event)); // there is no onfocusin
    this.grid.onchange = (event) => this.factor(event.target);
  }

  receive(data) {
    this.outbox.acknowledge(data.acknowledged);
    this.data = data;
    const shape = JSON.stringify([data.columns, data.rows.map((row) => row.path)]);
    if (shape !== this.shape) {
      this.shape = shape;
      this.anchor = this.focus = { row: Math.min(this.focus.row, data.rows.length - 1), column: Math.min(this.focus.column, data.columns.length - 1) };
      this.lay();
    }
    this.paint();
  }

  lay() {
    const { rows, columns } = this.data;
    const wide = columns.some(([first, last]) => last > first);
    this.grid.style.setProperty("--columns", columns.length);
    this.grid.setAttribute("aria-colcount", columns.length + 2);
    this.grid.replaceChildren();
    const head = element("div", { role: "row", className: "thaw-line thaw-line-head" });
    head.append(
      element("span", { role: "columnheader", className: "thaw-block", textContent: "Block" }),
      element("span", { role: "columnheader", className: "thaw-rate", textContent: "Learning rate ×" }),
      ...columns.map(([first, last], index) => {
        const cell = element("span", { role: "columnheader", className: "thaw-epoch", title: epochs([first, last]) });
        cell.setAttribute("aria-label", epochs([first, last]));
        // Every number where there is room, else every fifth column.
        cell.textContent = columns.length <= 20 || index === 0 || (index + 1) % 5 === 0 ? first : "";
        return cell;
      }),
    );
    this.grid.append(head);
    this.lines = rows.map((row, at) => {
      const line = element("div", { role: "row", className: "thaw-line" });
      const name = element("span", { role: "rowheader", className: "thaw-block", title: `${row.path}: ${row.count.toLocaleString("en")} parameters` });
      name.innerHTML = "<b></b> <small></small>";
      name.querySelector("b").textContent = row.path;
      name.querySelector("small").textContent = short(row.count);
      const rate = element("span", { role: "gridcell", className: "thaw-rate" });
      const input = element("input", { type: "text", inputMode: "decimal", autocomplete: "off", spellcheck: false });
      input.setAttribute("aria-label", `learning-rate multiplier of ${row.path}, empty is 1`);
      input.dataset.row = at;
      const result = element("output", {});
      rate.append(input, result);
      const cells = columns.map((_, column) => {
        const cell = element("span", { role: "gridcell", className: "thaw-cell", tabIndex: -1 });
        cell.dataset.row = at;
        cell.dataset.column = column;
        return cell;
      });
      line.append(name, rate, ...cells);
      this.grid.append(line);
      return { input, result, cells, shown: [] };
    });
    this.root.dataset.wide = wide;
    this.reach();
  }

  // What the server said last and, on top of it, what it has not answered yet.
  paint() {
    const { rows, columns, rate } = this.data;
    const now = rows.map((row) => [...row.cells]);
    const factors = rows.map((row) => row.factors);
    for (const [, kind, ...edit] of this.outbox.pending) {
      if (kind === "factor") {
        const at = rows.findIndex((row) => row.path === edit[0]);
        if (at >= 0) factors[at] = [edit[1] ?? 1];
        continue;
      }
      const [paths, first, last, frozen] = edit;
      rows.forEach((row, at) => {
        if (!paths.includes(row.path)) return;
        columns.forEach(([begin, end], column) => {
          if (first <= begin && (last === null || end <= last)) now[at][column] = frozen ? FROZEN : LEARNS;
        });
      });
    }
    this.now = now;
    this.lines.forEach((line, at) => {
      line.cells.forEach((cell, column) => {
        const state = now[at][column];
        if (line.shown[column] === state) return;
        line.shown[column] = state;
        cell.dataset.frozen = STATES[state];
        cell.title = `${rows[at].path}, ${epochs(columns[column])}: ${WORDS[state]}`;
        cell.setAttribute("aria-label", cell.title);
      });
      const [low, high] = [factors[at][0], factors[at].at(-1)];
      if (document.activeElement !== line.input || line.input.value === line.input.dataset.given) line.input.value = low === high && low !== 1 ? plain(low) : "";
      line.input.dataset.given = line.input.value;
      line.input.placeholder = low === high ? "1" : "varied";
      line.input.removeAttribute("aria-invalid");
      line.result.textContent = rate === null ? "" : low === high ? plain(rate * low) : `${plain(rate * low)} to ${plain(rate * high)}`;
    });
    this.select();
  }

  // The cells between anchor and focus.
  range() {
    const [rows, places] = [[this.anchor.row, this.focus.row], [this.anchor.column, this.focus.column]];
    return { top: Math.min(...rows), bottom: Math.max(...rows), left: Math.min(...places), right: Math.max(...places) };
  }

  select() {
    const { top, bottom, left, right } = this.range();
    const several = top !== bottom || left !== right;
    this.lines.forEach((line, row) => line.cells.forEach((cell, column) => {
      const inside = several && row >= top && row <= bottom && column >= left && column <= right;
      if ((cell.getAttribute("aria-selected") === "true") !== inside) cell.setAttribute("aria-selected", inside);
    }));
  }

  // One cell, and one field, can be reached with Tab.
  reach() {
    this.lines.forEach((line, row) => {
      line.input.tabIndex = row === this.focus.row ? 0 : -1;
      line.cells.forEach((cell, column) => { cell.tabIndex = row === this.focus.row && column === this.focus.column ? 0 : -1; });
    });
  }

  // Freeze or thaw what is selected: all of it as its anchor was not.
  edit(onwards) {
    const { rows, columns } = this.data;
    const { top, bottom, left, right } = this.range();
    const freeze = this.now[this.anchor.row][this.anchor.column] !== FROZEN;
    const paths = rows.slice(top, bottom + 1).map((row) => row.path);
    const toEnd = onwards || right === columns.length - 1;
    this.outbox.add("paint", paths, columns[left][0], toEnd ? null : columns[right][1], freeze);
    this.paint();
    const when = toEnd ? `from epoch ${columns[left][0]} on` : `in ${epochs([columns[left][0], columns[right][1]])}`;
    this.said.textContent = `${paths.join(", ")}: ${freeze ? "frozen" : "learns"} ${when}.`;
  }

  place(target) {
    const cell = target?.closest?.(".thaw-cell");
    return cell && this.grid.contains(cell) ? { row: Number(cell.dataset.row), column: Number(cell.dataset.column) } : null;
  }

  press(event) {
    const place = this.place(event.target);
    if (!place || event.button !== 0) return;
    event.preventDefault();
    this.lines[place.row].cells[place.column].focus({ preventScroll: true });
    this.anchor = this.focus = place;
    this.pressed = { just: event.shiftKey };
    this.grid.setPointerCapture(event.pointerId);
    this.reach();
    this.select();
  }

  drag(event) {
    if (!this.pressed) return;
    const place = this.place(document.elementFromPoint(event.clientX, event.clientY));
    if (!place) return;
    this.focus = place;
    this.select();
  }

  release() {
    if (!this.pressed) return;
    const single = this.anchor.row === this.focus.row && this.anchor.column === this.focus.column;
    const onwards = single && !this.pressed.just;
    this.pressed = null;
    this.edit(onwards);
    this.forget();
  }

  forget() {
    this.pressed = null;
    this.anchor = this.focus;
    this.reach();
    this.select();
  }

  go(row, column, extend) {
    this.focus = { row: clamp(row, this.lines.length), column: clamp(column, this.data.columns.length) };
    if (!extend) this.anchor = this.focus;
    this.reach();
    this.select();
    this.lines[this.focus.row].cells[this.focus.column].focus();
  }

  // Where the focus went by itself: a click into a field, or Tab.
  follow(event) {
    const place = this.place(event.target) ?? (event.target.dataset.row !== undefined && { row: Number(event.target.dataset.row), column: this.focus.column });
    if (!place || this.pressed || (place.row === this.focus.row && place.column === this.focus.column)) return;
    this.anchor = this.focus = place;
    this.reach();
    this.select();
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.tagName === "INPUT") return this.keyInField(event);
    const { row, column } = this.focus;
    const last = this.data.columns.length - 1;
    const moves = {
      ArrowRight: () => this.go(row, column + 1, event.shiftKey),
      ArrowLeft: () => (column === 0 && !event.shiftKey ? this.lines[row].input.focus() : this.go(row, column - 1, event.shiftKey)),
      ArrowDown: () => this.go(row + 1, column, event.shiftKey),
      ArrowUp: () => this.go(row - 1, column, event.shiftKey),
      Home: () => this.go(row, 0, event.shiftKey),
      End: () => this.go(row, last, event.shiftKey),
      " ": () => { this.edit(true); this.forget(); },
      Enter: () => { this.edit(false); this.forget(); },
      Escape: () => this.forget(),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  }

  keyInField(event) {
    const row = Number(event.target.dataset.row);
    const to = { ArrowDown: row + 1, ArrowUp: row - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); this.lines[clamp(to, this.lines.length)].input.focus(); }
    if (event.key === "Enter") this.factor(event.target);
    if (event.key === "Escape") event.target.value = event.target.dataset.given;
    if (event.key === "ArrowRight" && event.target.selectionStart === event.target.value.length) { event.preventDefault(); this.go(row, 0, false); }
  }

  factor(input) {
    const text = input.value.trim().replace(",", ".");
    if (text === input.dataset.given) return;
    const value = text === "" ? null : Number(text);
    if (value !== null && !(value > 0 && value <= 1000)) {
      input.setAttribute("aria-invalid", "true");
      this.said.textContent = `${input.value} cannot be used: give a number above 0 and up to 1000, or nothing for 1. To stop a block, freeze it.`;
      input.title = this.said.textContent;
      return;
    }
    input.title = "";
    input.dataset.given = text;
    this.outbox.add("factor", this.data.rows[input.dataset.row].path, value);
    this.paint();
  }
}

function element(name, properties) {
  const made = document.createElement(name);
  const { role, ...rest } = properties;
  if (role) made.setAttribute("role", role);
  return Object.assign(made, rest);
}

function epochs([first, last]) { return first === last ? `epoch ${first}` : `epochs ${first} to ${last}`; }

function clamp(index, length) { return Math.max(0, Math.min(index, length - 1)); }

function plain(number) { return String(Number(number.toPrecision(3))); }

function short(count) {
  for (const [unit, size] of [["M", 1e6], ["k", 1e3]]) if (count >= size) return `${(count / size).toFixed(count >= 10 * size ? 0 : 1)} ${unit}`;
  return String(count);
}
