// A network as a list of layers. The list, its undo and the row that is at work live here; the server says what comes out of each
// layer. Every edit paints at once and is sent whole, with a number: an answer to an older edit never overwrites a newer one.
// Keys: Alt with an arrow moves a layer, Delete on one of its buttons removes it, Ctrl+Z and Ctrl+Shift+Z undo and redo.

const { Dragging, ICONS, facts, html, icon, pick, tool, words } = await import("./network_parts.js" + new URL(import.meta.url).search);

const editors = new WeakMap();
const TYPING = 200; // ms without a key after which what was typed is sent
const STEPS = 200; // of undo

export function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".thaw-net");
  let editor = editors.get(root);
  if (!editor) { editor = new NetworkEditor(root); editors.set(root, editor); }
  editor.send = (state) => setTriggerValue("edited", state);
  editor.show(data);
  return () => editor.flush();
}

class NetworkEditor {
  constructor(root) {
    this.root = root;
    this.client = Math.random().toString(36).slice(2);
    this.sent = 0;
    this.rows = null; // { id, kind, options, text, open, name, shape, words, count, error }
    this.past = [];
    this.future = [];
    this.current = null; // id of the row at work: new layers go below it
    this.ids = 0;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Layers of the network");
    root.onclick = (event) => this.click(event);
    root.onkeydown = (event) => this.key(event);
    root.oninput = (event) => this.input(event);
    root.onchange = (event) => this.input(event, true);
    root.addEventListener("focusin", (event) => this.work(event.target.closest(".net-row")?.dataset.id));
    new Dragging(this);
  }

  // What the server says

  show(data) {
    this.data = data;
    this.kinds = new Map(data.kinds.map((kind) => [kind.kind, kind]));
    const [client, number] = data.seen;
    if (this.rows === null || data.origin !== this.origin) {
      if (this.rows !== null) this.remember();
      this.adopt(data.rows);
    } else if (client === this.client && number < this.sent) {
      return; // about an older state; the answer to the newest is on its way
    } else if (client !== this.client && this.sent === 0 && this.changed(data.rows)) {
      this.adopt(data.rows);
    }
    this.origin = data.origin;
    data.rows.forEach((found, place) => Object.assign(this.rows[place] ?? {}, pick(found, ["name", "shape", "words", "count", "error", "text"])));
    this.rows.forEach((row, place) => { row.options = { ...row.options, ...this.settled(row, data.rows[place]) }; });
    this.paint();
    this.say();
  }

  changed(rows) {
    return JSON.stringify(rows.map(({ kind, text }) => [kind, text])) !== JSON.stringify(this.rows.map(({ kind, text }) => [kind, text]));
  }

  adopt(rows) {
    this.rows = rows.map((row) => ({ id: String(++this.ids), open: false, ...row }));
    this.current = this.rows.at(-1)?.id ?? null;
    this.draw();
  }

  // A field that is being typed in keeps what is in it.
  settled(row, found) {
    const field = document.activeElement?.closest?.(".net-row")?.dataset.id === row.id ? document.activeElement.name : null;
    const options = { ...(found?.options ?? {}) };
    if (field) delete options[field];
    return options;
  }

  // What a person does

  edit(change, { typing = false } = {}) {
    const snapshot = this.copy();
    if (!typing || this.typing !== typing) {
      this.past.push(snapshot);
      if (this.past.length > STEPS) this.past.shift();
    }
    this.typing = typing;
    this.future = [];
    change();
    if (typing) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.flush(), TYPING);
      this.waiting = true;
      this.paint();
    } else {
      this.draw();
      this.submit();
    }
  }

  flush() {
    if (this.waiting) this.submit();
  }

  submit() {
    clearTimeout(this.timer);
    this.waiting = false;
    this.root.dataset.sent = this.sent += 1;
    this.send({ client: this.client, number: this.sent, rows: this.rows.map(({ kind, options, text }) => [kind, options, text]) });
  }

  remember() {
    this.past.push(this.copy());
    this.future = [];
    this.typing = false;
  }

  copy() { return { rows: this.rows.map((row) => ({ ...row, options: { ...row.options } })), current: this.current }; }

  travel(from, to, word) {
    if (!from.length) return this.tell(`Nothing to ${word}.`);
    to.push(this.copy());
    ({ rows: this.rows, current: this.current } = from.pop());
    this.typing = false;
    this.draw();
    this.submit();
    this.tell(word === "undo" ? "Undone." : "Done again.");
  }

  undo() { this.travel(this.past, this.future, "undo"); }
  redo() { this.travel(this.future, this.past, "redo"); }

  add(kind) {
    if (this.rows.length >= this.data.most) return this.tell(`A network has at most ${this.data.most} layers.`);
    const { options, word } = this.kinds.get(kind);
    const row = { id: String(++this.ids), kind, text: word, open: false, name: "", shape: "", words: "", count: 0, error: "" };
    row.options = Object.fromEntries(options.map((option) => [option.name, option.default]));
    this.edit(() => {
      this.rows.splice(this.place(this.current) + 1 || this.rows.length, 0, row);
      this.current = row.id;
    });
    this.element(row.id).scrollIntoView({ block: "nearest" });
    this.tell(`${this.kinds.get(kind).label} added as layer ${this.place(row.id) + 1}.`);
  }

  remove(id) {
    const place = this.place(id);
    const { name, text } = this.rows[place];
    this.edit(() => {
      this.rows.splice(place, 1);
      this.current = (this.rows[place] ?? this.rows[place - 1])?.id ?? null;
    });
    (this.element(this.current)?.querySelector("[data-act=remove]") ?? this.root.querySelector("[data-add]"))?.focus();
    this.tell(`${name || text} removed. Ctrl+Z brings it back.`);
  }

  move(id, by, act) {
    this.moveTo(id, this.place(id) + by);
    this.focus(id, `[data-act=${act}]`);
  }

  moveTo(id, to) {
    const from = this.place(id);
    if (to < 0 || to >= this.rows.length || to === from) return;
    const { name, text } = this.rows[from];
    this.edit(() => {
      this.rows.splice(to, 0, ...this.rows.splice(from, 1));
      this.current = id;
    });
    this.tell(`${name || text} is layer ${to + 1} of ${this.rows.length} now.`);
  }

  // Events

  click(event) {
    const button = event.target.closest("button");
    const id = event.target.closest(".net-row")?.dataset.id;
    if (id) this.work(id);
    if (!button || button.disabled) return;
    const { add, act } = button.dataset;
    if (add) return this.add(add);
    const acts = {
      undo: () => this.undo(),
      redo: () => this.redo(),
      up: () => this.move(id, -1, "up"),
      down: () => this.move(id, 1, "down"),
      remove: () => this.remove(id),
      more: () => this.unfold(id),
    };
    acts[act]?.();
  }

  unfold(id) {
    const row = this.row(id);
    row.open = !row.open;
    this.draw();
    this.element(id).querySelector("[data-act=more]").focus();
  }

  input({ target }, settled = false) {
    const row = this.row(target.closest(".net-row")?.dataset.id);
    if (!row || !target.name) return;
    const value = target.type === "checkbox" ? (target.checked ? "yes" : "no") : target.value;
    const typed = target.type === "number";
    if (typed && settled) {
      this.typing = false; // the next key in this field is another step of undo
      return this.flush();
    }
    if (row.options[target.name] === value || (settled && target.type !== "checkbox" && target.tagName !== "SELECT")) return;
    const change = () => { row.options[target.name] = value; };
    if (typed) return this.edit(change, { typing: `${row.id} ${target.name}` });
    this.edit(change); // another choice may bring other fields
    this.element(row.id).querySelector(`[name="${target.name}"]`)?.focus();
  }

  key(event) {
    const { key, altKey, ctrlKey, metaKey, shiftKey, target } = event;
    const id = target.closest(".net-row")?.dataset.id;
    const command = ctrlKey || metaKey;
    let act = null;
    if (command && key.toLowerCase() === "z") act = () => (shiftKey ? this.redo() : this.undo());
    else if (command && key.toLowerCase() === "y") act = () => this.redo();
    else if (id && altKey && (key === "ArrowUp" || key === "ArrowDown")) act = () => this.nudge(id, key === "ArrowUp" ? -1 : 1, target);
    else if (id && key === "Delete" && target.tagName === "BUTTON") act = () => this.remove(id);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  // Moves the layer and leaves the focus on what has it.
  nudge(id, by, target) {
    const name = target.name ? `[name="${target.name}"]` : `[data-act="${target.dataset.act}"]`;
    this.moveTo(id, this.place(id) + by);
    this.focus(id, name);
  }

  // A button that has just been switched off gives the focus to one of its row that is on, so that the next key is not lost.
  focus(id, selector) {
    const item = this.element(id);
    const wanted = item.querySelector(selector);
    (wanted && !wanted.disabled ? wanted : item.querySelector("[data-act]:not(:disabled)")).focus({ preventScroll: true });
  }

  work(id) {
    if (!id || id === this.current) return;
    this.current = id;
    this.mark();
  }

  // Painting: `draw` builds the rows anew, `paint` fills in what the server says without touching what is being typed.

  draw() {
    const active = this.root.contains(document.activeElement) ? document.activeElement : null;
    const was = active && { id: active.closest(".net-row")?.dataset.id, name: active.name, act: active.dataset.act, add: active.dataset.add };
    const list = html("ol", { class: "net-rows" }, this.rows.map((row, place) => this.line(row, place)));
    if (!this.rows.length) list.append(html("li", { class: "net-empty" }, ["No layers yet. Add one below, or start from one of the templates above."]));
    this.root.replaceChildren(this.bar(), this.end("image", "image", "What comes in"), list, this.palette(), this.end("head", "head", "Head for the classes"), this.status());
    this.paint();
    if (was && !this.root.contains(document.activeElement)) {
      const selector = was.name ? `[name="${was.name}"]` : was.act ? `[data-act="${was.act}"]` : `[data-add="${was.add}"]`;
      if (!was.id) this.root.querySelector(selector)?.focus({ preventScroll: true });
      else if (this.element(was.id)) this.focus(was.id, selector);
    }
  }

  bar() {
    return html("div", { class: "net-bar" }, [
      html("span", { class: "net-totals" }),
      tool("undo", "Undo (Ctrl+Z)", ICONS.undo),
      tool("redo", "Redo (Ctrl+Shift+Z)", ICONS.redo),
    ]);
  }

  end(kind, name, label) {
    return html("div", { class: `net-end net-${kind}` }, [
      html("span", { class: "net-title" }, [html("b", {}, [name]), html("span", { class: "net-kind" }, [label])]),
      html("code", { class: "net-call" }),
      html("span", { class: "net-shape" }),
      html("span", { class: "net-count" }),
      html("p", { class: "net-error" }),
    ]);
  }

  line(row, place) {
    const kind = this.kinds.get(row.kind);
    const options = kind ? kind.options.filter(({ only }) => !only || row.options[only[0]] === only[1]) : [];
    const hidden = options.filter((option) => option.further && !row.open && row.options[option.name] === option.default);
    const item = html("li", { class: "net-row", "data-id": row.id }, [
      html("span", { class: "net-grip", draggable: "true", title: "Drag to another place", "aria-hidden": "true" }, [icon(ICONS.grip)]),
      html("span", { class: "net-title" }, [html("b"), html("span", { class: "net-kind" }, [kind ? kind.label : "No layer"])]),
      html("span", { class: "net-fields" }, kind
        ? [...options.filter((option) => !hidden.includes(option)).map((option) => this.field(row, option)), this.more(row, options, hidden)]
        : [html("code", {}, [row.text])]),
      html("span", { class: "net-shape" }),
      html("span", { class: "net-count" }),
      html("span", { class: "net-acts" }, [
        tool("up", "", ICONS.up, place === 0),
        tool("down", "", ICONS.down, place === this.rows.length - 1),
        tool("remove", "", ICONS.remove),
      ]),
      html("p", { class: "net-error", id: `${this.client}-${row.id}` }),
    ]);
    if (kind) item.querySelector(".net-title").title = kind.about;
    return item;
  }

  more(row, options, hidden) {
    if (!options.some((option) => option.further)) return "";
    const button = html("button", { type: "button", class: "net-more", "data-act": "more", "aria-expanded": String(!hidden.length) }, [hidden.length ? "more" : "less"]);
    if (!hidden.length && !row.open) button.hidden = true; // each of them says something already
    return button;
  }

  field(row, { name, label, kind, default: usual, choices, low, high, unit, about }) {
    const value = row.options[name] ?? usual;
    const described = `${this.client}-${row.id}`;
    let field;
    if (kind === "choice") {
      field = html("select", { name }, choices.map((choice) => html("option", { value: choice }, [choice.replaceAll("_", " ")])));
      field.value = value;
    } else if (kind === "bool") {
      field = html("input", { name, type: "checkbox" });
      field.checked = value === "yes";
    } else {
      field = html("input", { name, type: "number", min: low ?? "", max: high ?? "", step: kind === "int" ? 1 : "any", placeholder: usual || "auto" });
      field.value = value;
    }
    field.setAttribute("aria-describedby", described);
    return html("label", { title: about }, [label, field, unit ? html("span", { class: "net-unit" }, [unit]) : ""]);
  }

  palette() {
    const buttons = this.data.kinds.map(({ kind, word, label, about }) =>
      html("button", { type: "button", "data-add": kind, title: about, "aria-label": `Add ${label}` }, [word]));
    return html("div", { class: "net-palette", role: "group", "aria-label": "Add a layer" }, [html("span", { class: "net-where" }), ...buttons]);
  }

  status() {
    this.voice ??= html("div", { class: "net-voice", role: "status", "aria-live": "polite" });
    return this.voice;
  }

  paint() {
    if (!this.root.querySelector(".net-bar")) return;
    this.rows.forEach((row, place) => this.fill(row, place));
    this.root.querySelector(".net-totals").textContent = this.data.totals;
    this.root.querySelector("[data-act=undo]").disabled = !this.past.length;
    this.root.querySelector("[data-act=redo]").disabled = !this.future.length;
    const image = this.root.querySelector(".net-image");
    image.querySelector(".net-shape").textContent = this.data.imageShape;
    image.setAttribute("aria-label", `An image: ${this.data.image}`);
    const head = this.root.querySelector(".net-head");
    facts(head, this.data.head);
    head.querySelector(".net-call").textContent = this.data.head.text;
    this.mark();
    Object.assign(this.root.dataset, { layers: this.rows.length, answered: this.data.seen[1], sent: this.sent, fits: this.data.fits });
  }

  fill(row, place) {
    const item = this.element(row.id);
    if (!item) return;
    const name = row.name || `layer ${place + 1}`;
    item.querySelector("b").textContent = name;
    facts(item, row);
    item.setAttribute("aria-label", `${place + 1}: ${name}, ${row.error ? `error: ${row.error}` : row.words ? `returns ${row.words}, ${words(row.count)}` : "waits for the layers before it"}`);
    for (const [act, text] of [["up", `Move ${name} up (Alt+Up)`], ["down", `Move ${name} down (Alt+Down)`], ["remove", `Remove ${name}`], ["more", `Further options of ${name}`]]) {
      const button = item.querySelector(`[data-act=${act}]`);
      button?.setAttribute("aria-label", text);
      if (button && act !== "more") button.title = text;
    }
    for (const field of item.querySelectorAll("[name]")) {
      const value = row.options[field.name] ?? "";
      if (field.type === "checkbox") field.checked = value === "yes";
      else if (field !== document.activeElement && field.value !== value) field.value = value;
      field.setAttribute("aria-invalid", String(Boolean(row.error)));
      field.setAttribute("aria-label", `${field.closest("label").firstChild.textContent} of ${name}`);
    }
  }

  mark() {
    for (const item of this.root.querySelectorAll(".net-row")) {
      if (item.dataset.id === this.current) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
    }
    const row = this.row(this.current);
    const where = this.root.querySelector(".net-where");
    if (where) where.textContent = !row ? "Add a layer" : `Add below ${row.name || `layer ${this.place(row.id) + 1}`}`;
  }

  // For those who listen: what went wrong, or that all is well.
  say() {
    const wrong = [...this.rows, this.data.head].find((row) => row.error);
    this.tell(wrong ? `${wrong.name || "A layer"}: ${wrong.error}` : this.data.totals, 600);
  }

  tell(text, after = 0) {
    clearTimeout(this.telling);
    this.telling = setTimeout(() => { if (this.voice) this.voice.textContent = text; }, after);
  }

  row(id) { return this.rows?.find((row) => row.id === id); }
  place(id) { return this.rows.findIndex((row) => row.id === id); }
  element(id) { return this.root.querySelector(`.net-row[data-id="${id}"]`); }
}
