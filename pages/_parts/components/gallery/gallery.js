// A wall of pictures that scrolls. Tiles exist for what is in sight alone; filters and the selection live here, edits go to the server.

import { ORDERS, PictureList, SIZES, SPLITS } from "./gallery_list.js";

const TILE = 112, CAPTION = 38, GAP = 8; // px
const ROW = TILE + CAPTION + GAP;
const SPARE = 2; // rows above and below what is in sight
const NAMES = { f_class: "label", f_split: "split", f_size: "size", f_text: "text", f_order: "order" }; // in the URL

const make = (tag, fields = {}, ...children) => {
  const { aria = {}, data = {}, role, ...rest } = fields;
  const element = Object.assign(document.createElement(tag), rest);
  if (role) element.setAttribute("role", role);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  Object.assign(element.dataset, data);
  element.append(...children.filter((child) => child !== null));
  return element;
};
const count = (number) => number.toLocaleString("en");
const pictures = (number) => `${count(number)} ${number === 1 ? "picture" : "pictures"}`;
const option = (value, textContent) => make("option", { value, textContent });

export function mount({ data, parentElement, setTriggerValue }, { Outbox }) {
  const root = parentElement.querySelector(".thaw-gallery");
  const shown = JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data));
  root.thawGallery ??= new Gallery(root, new Outbox(), shown);
  root.thawGallery.outbox.send = (edits) => setTriggerValue("edited", edits);
  root.thawGallery.update(shown);
  return () => {};
}

class Gallery {
  constructor(root, outbox, shown) {
    [this.root, this.outbox] = [root, outbox];
    this.filter = { label: "", split: "any", size: "", text: "", order: "" };
    if (shown.ownUrl) this.readUrl();
    this.selected = new Set();
    this.tiles = new Map();
    [this.places, this.active, this.anchor, this.list, this.key] = [[], -1, 0, null, ""];
    this.frame(shown);
  }

  readUrl() {
    const url = new URL(location.href).searchParams;
    for (const [name, field] of Object.entries(NAMES)) if (url.has(name)) this.filter[field] = url.get(name);
  }

  writeUrl() {
    if (!this.shown.ownUrl) return;
    const url = new URL(location.href);
    for (const [name, field] of Object.entries(NAMES)) {
      const value = this.filter[field];
      if (value && !(field === "split" && value === "any")) url.searchParams.set(name, value);
      else url.searchParams.delete(name);
    }
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  }

  // What stands there always

  frame() {
    const change = (field) => (event) => { this.filter[field] = event.target.value; this.apply(); };
    const select = (field, label) => make("select", { aria: { label }, onchange: change(field) });
    this.asks = { label: select("label", "Class"), split: select("split", "Split"), size: select("size", "Size"), order: select("order", "Order") };
    this.text = make("input", { type: "search", placeholder: "Text in the name", aria: { label: "Text in the name" }, oninput: change("text") });
    this.asks.split.append(...[["any", "Any split"], ["train", "train"], ["validation", "validation"], ["test", "test"], ["", "no split yet"]].map((each) => option(...each)));
    this.asks.size.append(...SIZES.map(([value, text]) => option(value, text)));
    this.asks.order.append(...ORDERS.map(([value, text]) => option(value, text)));
    this.clear = make("button", { type: "button", textContent: "Show all", hidden: true, onclick: () => this.showAll() });
    this.told = make("p", { className: "thaw-gallery-told", role: "status" });
    this.actions = make("div", { className: "thaw-gallery-row thaw-gallery-actions", role: "toolbar", aria: { label: "What is selected" } });
    this.space = make("div", { className: "thaw-gallery-space" });
    this.view = make("div", { className: "thaw-gallery-view", tabIndex: 0, role: "listbox", aria: { label: "Pictures", multiselectable: true } }, this.space);
    this.view.onscroll = () => this.soon();
    this.view.onkeydown = (event) => this.pressed(event);
    this.view.onclick = (event) => this.clicked(event);
    this.view.ondblclick = (event) => { const at = this.at(event); if (at >= 0) this.open(at); };
    const filters = make("div", { className: "thaw-gallery-row", role: "search", aria: { label: "Filter" } }, this.asks.label, this.asks.split, this.asks.size, this.text, this.asks.order, this.clear);
    this.dialog = make("dialog", { className: "thaw-gallery-dialog", aria: { label: "One picture" } });
    this.dialog.onclick = (event) => { if (event.target === this.dialog) this.dialog.close(); };
    const help = make("p", { className: "thaw-gallery-help", textContent: "Click selects, Shift a range, Ctrl one more. Keys: arrows, Space, Shift with arrows, Ctrl A, Esc, Enter to look closely, Delete to leave out." });
    this.root.replaceChildren(filters, this.told, this.actions, this.view, help, this.dialog);
    new ResizeObserver(() => this.laid()).observe(this.view);
  }

  update(shown) {
    const before = this.shown;
    this.shown = shown;
    this.outbox.acknowledge(shown.acknowledged);
    const key = `${shown.list} ${JSON.stringify(shown.classes)}`;
    if (key === this.key) shown.only ??= this.handed; // what a map on the same page handed over is gone with the version that it spoke of
    else this.handed = null;
    this.only = shown.only ? new Set(shown.only.places) : null;
    if (key === this.key) {
      if (JSON.stringify(before?.only) !== JSON.stringify(shown.only)) this.apply();
      else this.drawActions();
      return;
    }
    this.key = key;
    this.load(shown, key);
  }

  async load(shown, key) {
    if (!this.list) this.told.textContent = "Looking through the pictures …";
    try {
      const response = await fetch(new URL(shown.list, document.baseURI));
      if (!response.ok) throw new Error((await response.json().catch(() => null))?.message ?? `the server answers ${response.status}`);
      const found = await response.json();
      if (key !== this.key) return;
      this.list = new PictureList(found);
    } catch (error) {
      if (key === this.key) [this.told.textContent, this.key] = [`The pictures cannot be shown: ${error.message}`, ""];
      return;
    }
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
    this.selected.clear();
    const counts = this.list.counts(shown.classes);
    this.asks.label.replaceChildren(option("", "All classes"), ...shown.classes.map((name, at) => option(name, `${name} (${count(counts[at])})`)));
    if (!shown.classes.includes(this.filter.label)) this.filter.label = "";
    this.apply();
  }

  // What something else on the page has chosen, at once: {told, places}, or null for all.
  hand(only) {
    this.handed = only;
    this.shown.only = only;
    this.only = only ? new Set(only.places) : null;
    this.view.scrollTop = 0;
    this.apply();
  }

  showAll() {
    this.filter = { label: "", split: "any", size: "", text: "", order: this.filter.order };
    this.apply();
  }

  apply() {
    if (!this.list) return;
    for (const [field, ask] of Object.entries(this.asks)) ask.value = this.filter[field];
    if (this.text.value !== this.filter.text) this.text.value = this.filter.text;
    this.places = this.list.filtered(this.filter, this.shown.classes, this.only);
    if (this.selected.size) {
      const there = new Set(this.places);
      for (const place of this.selected) if (!there.has(place)) this.selected.delete(place);
    }
    this.active = Math.min(this.active, this.places.length - 1);
    const { label, split, size, text } = this.filter;
    this.clear.hidden = !(label || split !== "any" || size || text);
    const all = this.only ? `${pictures(this.only.size)} (${this.shown.only.told})` : pictures(this.list.length);
    this.told.textContent = this.places.length === (this.only?.size ?? this.list.length) ? all : `${count(this.places.length)} of ${all}`;
    this.writeUrl();
    this.laid();
    this.drawActions();
  }

  // Where tiles are

  laid() {
    const width = this.space.clientWidth; // within the padding of what scrolls
    if (!width || !this.list) return;
    this.columns = Math.max(1, Math.floor((width + GAP) / (TILE + GAP)));
    this.step = (width + GAP) / this.columns;
    this.space.style.height = `${Math.ceil(this.places.length / this.columns) * ROW}px`;
    this.draw();
  }

  soon() {
    this.frameAsked ??= requestAnimationFrame(() => { this.frameAsked = null; this.draw(); });
  }

  draw() {
    const first = Math.max(0, Math.floor(this.view.scrollTop / ROW) - SPARE) * this.columns;
    const last = Math.min(this.places.length, (Math.ceil((this.view.scrollTop + this.view.clientHeight) / ROW) + SPARE) * this.columns);
    const wanted = new Set(this.places.slice(first, last));
    for (const [place, tile] of this.tiles) if (!wanted.has(place)) { tile.querySelector("img")?.removeAttribute("src"); tile.remove(); this.tiles.delete(place); }
    for (let at = first; at < last; at += 1) {
      const place = this.places[at];
      if (!this.tiles.has(place)) {
        const tile = this.tile(place);
        this.tiles.set(place, tile);
        this.space.append(tile);
      }
      this.put(this.tiles.get(place), at, place);
    }
  }

  put(tile, at, place) {
    tile.style.transform = `translate(${Math.round((at % this.columns) * this.step)}px, ${Math.floor(at / this.columns) * ROW}px)`;
    tile.dataset.at = at;
    tile.setAttribute("aria-posinset", at + 1);
    tile.setAttribute("aria-setsize", this.places.length);
    tile.setAttribute("aria-selected", this.selected.has(place));
    tile.dataset.active = String(at === this.active);
    if (at === this.active) this.view.setAttribute("aria-activedescendant", tile.id);
  }

  tile(place) {
    const { list } = this;
    const name = list.names[place], label = this.shown.classes[list.labels[place]], split = SPLITS[list.splits[place]];
    const image = make("img", { alt: "", draggable: false, src: this.small(place), decoding: "async" });
    if (Math.max(list.widths[place], list.heights[place]) <= 64) image.dataset.few = "true";
    image.onerror = () => image.replaceWith(make("span", { className: "thaw-gallery-none", textContent: "no preview" }));
    const about = `${list.widths[place]} x ${list.heights[place]}${split ? ` · ${split}` : ""}`;
    return make(
      "div", { className: "thaw-gallery-tile", role: "option", id: `thaw-gallery-${this.shown.dataset}-${place}`.replace(/\s/g, "_"), title: `${name}\n${label} · ${about}`, aria: { label: `${label}, ${name}, ${about}` } },
      image, make("b", { textContent: label }), make("span", { textContent: about }),
    );
  }

  small(place) {
    return new URL(`picture/${encodeURIComponent(this.shown.dataset)}/${this.list.address(place)}`, document.baseURI).href;
  }

  // Selecting

  at(event) {
    const tile = event.target.closest(".thaw-gallery-tile");
    return tile ? Number(tile.dataset.at) : -1;
  }

  clicked(event) {
    const at = this.at(event);
    if (at < 0) return;
    const place = this.places[at];
    if (event.shiftKey) this.range(at);
    else if (event.ctrlKey || event.metaKey) this.toggle(place);
    else if (this.selected.size === 1 && this.selected.has(place)) this.selected.clear();
    else this.selected = new Set([place]);
    if (!event.shiftKey) this.anchor = at;
    this.active = at;
    this.chose();
  }

  toggle(place) {
    if (!this.selected.delete(place)) this.selected.add(place);
  }

  range(to) {
    const [low, high] = [Math.min(this.anchor, to), Math.max(this.anchor, to)];
    this.selected = new Set(this.places.slice(low, high + 1));
  }

  chose() {
    this.draw();
    this.drawActions();
  }

  pressed(event) {
    const page = Math.max(1, Math.floor(this.view.clientHeight / ROW)) * this.columns;
    const last = this.places.length - 1;
    const to = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (to !== undefined && last >= 0) {
      const begins = this.active < 0 && Number.isFinite(to); // an arrow leads to the first picture then
      this.active = Math.max(0, Math.min(last, begins ? 0 : this.active + to));
      if (event.shiftKey) this.range(this.active);
      else this.anchor = this.active;
      this.scrollTo(this.active);
    } else if (event.key === " " && this.active >= 0) {
      this.toggle(this.places[this.active]);
      this.anchor = this.active;
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) this.selected = new Set(this.places);
    else if (event.key === "Escape") this.selected.clear();
    else if (event.key === "Enter" && this.active >= 0) this.open(this.active);
    else if (event.key === "Delete" && this.selected.size && this.shown.editable) this.edit("leave out");
    else return;
    event.preventDefault();
    this.chose();
  }

  scrollTo(at) {
    const top = Math.floor(at / this.columns) * ROW;
    if (top < this.view.scrollTop) this.view.scrollTop = top;
    else if (top + ROW > this.view.scrollTop + this.view.clientHeight) this.view.scrollTop = top + ROW - this.view.clientHeight;
  }

  // What is done with them

  drawActions() {
    const many = this.selected.size, waits = this.outbox.pending.length > 0;
    const key = `${many} ${waits} ${this.shown.editable} ${this.key} ${this.places.length}`;
    if (this.actionsKey === key) return;
    this.actionsKey = key;
    const focused = this.actions.contains(document.activeElement) ? document.activeElement.dataset.what : null;
    const all = make("button", { type: "button", textContent: `Select all ${count(this.places.length)}`, data: { what: "all" }, disabled: !this.places.length, onclick: () => { this.selected = new Set(this.places); this.chose(); } });
    if (waits) { this.actions.replaceChildren(make("span", { textContent: "Making a new version …" })); return; }
    if (!many) { this.actions.replaceChildren(make("span", { textContent: "Nothing is selected." }), all); return; }
    const told = make("span", { textContent: `${count(many)} selected` });
    const none = make("button", { type: "button", textContent: "Select nothing", data: { what: "none" }, onclick: () => { this.selected.clear(); this.chose(); } });
    const does = this.shown.editable ? [this.ask("relabel", "Give the class …", this.shown.classes), this.ask("move", "Move to …", SPLITS.slice(0, 3)), make("button", { type: "button", textContent: "Leave out", data: { what: "leave" }, onclick: () => this.edit("leave out") })] : [make("span", { textContent: "An older version: restore it to change it." })];
    this.actions.replaceChildren(told, ...does, all, none);
    if (focused) this.actions.querySelector(`[data-what="${focused}"]`)?.focus();
  }

  ask(what, label, values) {
    const chooser = make("select", { aria: { label: label.replace(" …", "") }, data: { what } }, make("option", { value: "", textContent: label, disabled: true, selected: true }), ...values.map((value) => option(value, value)));
    chooser.onchange = () => this.edit(what, chooser.value);
    return chooser;
  }

  edit(what, ...rest) {
    this.outbox.add(what, this.shown.number, [...this.selected].sort((a, b) => a - b), ...rest);
    this.drawActions();
    this.view.focus({ preventScroll: true });
  }

  open(at) {
    const place = this.places[at], { list } = this;
    const image = make("img", { alt: list.names[place], src: `${this.small(place)}?side=large` });
    const close = make("button", { type: "button", textContent: "Close", onclick: () => this.dialog.close() });
    const facts = [`Class ${this.shown.classes[list.labels[place]]}`, SPLITS[list.splits[place]] || "no split yet", `${list.widths[place]} x ${list.heights[place]} px`];
    if (list.groups[place]) facts.push(`group ${list.groups[place]}`);
    this.dialog.replaceChildren(image, make("b", { textContent: list.names[place] }), make("span", { textContent: facts.join(" · ") }), close);
    this.dialog.onkeydown = (event) => {
      const to = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (to && this.places[at + to] !== undefined) { this.active = at + to; this.scrollTo(at + to); this.chose(); this.open(at + to); }
    };
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.onclose = () => this.view.focus({ preventScroll: true });
  }
}
