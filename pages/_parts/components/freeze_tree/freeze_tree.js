// A model's layers as a tree with a freeze switch each and, beside it, as a treemap. The server knows the truth; expanding, filtering
// and moving about stay here. A toggle paints at once, in tree and map, and tells the server [path, freeze].
// Keys: arrows, Home and End move, Space or Enter toggles.

const trees = new WeakMap();
const tables = new Map(); // what `take` was given, by key
const waiting = new Set(); // trees whose rows are still on their way

// The rows come by a component of their own, which sends them once for each model; the trees get states only.
export function take({ data }) {
  const { key, rows } = JSON.parse(new TextDecoder().decode(data));
  tables.set(key, rows);
  for (const tree of [...waiting]) tree.arrive();
}

export function mount({ data, parentElement, setTriggerValue }, { Outbox }, { Treemap }) {
  const root = parentElement.querySelector(".thaw-layers");
  let tree = trees.get(root);
  if (!tree) { tree = new FreezeTree(root, new Outbox(), Treemap); trees.set(root, tree); }
  tree.outbox.send = (edits) => setTriggerValue("toggled", edits);
  tree.settled = (number) => setTriggerValue("settled", number);
  tree.receive(data);
  return () => {};
}

const FROZEN = 1, MIXED = 2;
const QUIET = 80; // ms without another toggle
const CHECKED = ["false", "true", "mixed"];
const WORDS = ["learns", "frozen", "in part"];

class FreezeTree {
  constructor(root, outbox, Treemap) {
    this.root = root;
    this.outbox = outbox;
    this.settledAt = 0;
    this.expanded = new Set();
    this.filter = "";
    root.innerHTML = `<div class="thaw-tools">
        <input type="search" class="thaw-filter" placeholder="Filter by name or kind" aria-label="Filter layers by name or kind" spellcheck="false" autocomplete="off">
        <button type="button" data-act="open">Expand all</button><button type="button" data-act="close">Collapse all</button>
        <span class="thaw-learning"></span><span class="thaw-said" role="status"></span>
      </div>
      <div class="thaw-views">
        <div class="thaw-tree">
          <div class="thaw-heads" aria-hidden="true"><span class="thaw-fold"></span><span class="thaw-name">Layer</span><span class="thaw-kind"></span>
            <span class="thaw-shape" title="What the layer returns for one image">Output</span><span class="thaw-size"></span>
            <span class="thaw-count">Parameters</span><span class="thaw-flops" title="Floating-point operations for one image, a multiplication and an addition being two">FLOPs</span>
            <span class="thaw-state">State</span><span class="thaw-freeze">Freeze</span></div>
          <div class="thaw-rows" role="tree" aria-label="Layers"></div>
          <p class="thaw-nothing" hidden>No layer has that in its name.</p>
        </div>
        <figure class="thaw-map-frame"><div class="thaw-treemap"></div>
          <figcaption><i data-frozen="false"></i>learns <i data-frozen="true"></i>frozen <span>Areas by parameters; a click toggles.</span></figcaption></figure>
      </div>`;
    this.list = root.querySelector("[role=tree]");
    this.said = root.querySelector(".thaw-said");
    this.map = new Treemap(root.querySelector(".thaw-treemap"), { toggle: (path) => this.toggle(path), point: (path) => this.point(path) });
    this.list.onclick = (event) => this.click(event);
    this.list.onkeydown = (event) => this.key(event);
    this.list.onpointerover = (event) => this.map.mark(event.target.closest(".thaw-layer")?.dataset.path);
    this.list.onpointerleave = () => this.map.mark(undefined);
    // The code of the layers, where it is shown, follows the line that is stood on, and the tree points to the layer whose code is looked at.
    document.addEventListener("thaw-source", (event) => root.isConnected && this.point(event.detail));
    const filter = root.querySelector(".thaw-filter");
    filter.oninput = () => this.search(filter.value);
    root.querySelector(".thaw-tools").onclick = (event) => this.foldAll(event.target.closest("button")?.dataset.act);
  }

  receive(data) {
    this.data = data;
    this.outbox.acknowledge(data.acknowledged);
    waiting.add(this);
    if (tables.has(data.key)) this.arrive();
  }

  arrive() {
    const { key, states, partly, map } = this.data;
    if (!tables.has(key)) return;
    waiting.delete(this);
    this.given = states;
    this.partly = new Map(partly);
    if (key !== this.shown) this.begin(key, map);
    this.paint();
    this.root.dataset.revision = this.data.revision;
    this.settle();
  }

  // Toggles have been answered: what follows from them can be drawn, unless another comes right away.
  settle() {
    clearTimeout(this.settling);
    if (!this.data.settles || this.outbox.pending.length || this.outbox.sent === this.settledAt) return;
    this.settling = setTimeout(() => { this.settledAt = this.outbox.sent; this.settled(this.outbox.sent); }, QUIET);
  }

  // Rows of another model, all lines anew.
  begin(key, map) {
    this.shown = key;
    this.rows = tables.get(key).map(([path, name, level, group, kind, shape, count, flops]) => ({ path, name, level, group, kind, shape, count, flops }));
    this.byPath = new Map(this.rows.map((row) => [row.path, row]));
    // Rows stand from the top down, so what is below a row are the leaves from `first` up to `end`.
    this.leaves = this.rows.filter((row) => !row.group);
    this.leaves.forEach((row, index) => { row.first = index; row.end = index + 1; });
    for (const row of [...this.rows].reverse().filter((row) => row.group)) {
      const below = this.rows.filter((other) => other.level === row.level + 1 && other.path.startsWith(row.path + "."));
      row.first = below[0].first;
      row.end = below.at(-1).end;
    }
    this.total = this.leaves.reduce((sum, row) => sum + row.count, 0);
    this.largest = Math.max(1, ...this.leaves.map((row) => row.count));
    this.expanded.clear();
    this.current = this.rows[0]?.path;
    this.root.classList.toggle("thaw-with-map", map);
    this.unfoldShortTops(map ? 18 : 0);
    this.lay();
    this.map.show(map ? this.rows : []);
  }

  // A model whose top is one or two big groups says nothing when folded, and a small one needs no folding where there is room.
  unfoldShortTops(room) {
    for (let level = 1; level < 5; level++) {
      const before = [...this.expanded];
      const few = this.visible().length <= 4;
      for (const row of this.rows) if (row.group && row.level === level) this.expanded.add(row.path);
      if (!few && this.visible().length > room) { this.expanded = new Set(before); return; }
    }
  }

  visible() {
    if (!this.filter) return this.rows.filter(({ path }) => above(path).every((place) => this.expanded.has(place)));
    const found = new Set();
    for (const { path, kind } of this.rows) {
      if (`${path} ${kind}`.toLowerCase().includes(this.filter)) for (const place of [path, ...above(path)]) found.add(place);
    }
    return this.rows.filter(({ path }) => found.has(path));
  }

  search(text) {
    this.filter = text.trim().toLowerCase();
    this.lay();
    this.say(this.filter ? `${this.list.children.length} of ${this.rows.length} rows` : "");
  }

  foldAll(act) {
    if (!act) return;
    this.expanded = new Set(act === "open" ? this.rows.filter((row) => row.group).map((row) => row.path) : []);
    this.lay();
  }

  // The lines that are to be seen, made anew. Toggling makes none.
  lay() {
    const shown = this.visible();
    if (!shown.some((row) => row.path === this.current)) this.current = above(this.current).find((path) => shown.some((row) => row.path === path)) ?? shown[0]?.path;
    const hadFocus = this.list.contains(document.activeElement);
    for (const row of this.rows) row.line = null;
    this.list.replaceChildren(...shown.map((row) => this.line(row)));
    this.root.querySelector(".thaw-nothing").hidden = shown.length > 0;
    if (this.states) this.paint();
    if (hadFocus) this.byPath.get(this.current)?.line?.focus({ preventScroll: true });
  }

  line(row) {
    const { path, name, level, group, kind, shape, count, flops } = row;
    const line = document.createElement("div");
    line.className = "thaw-layer";
    line.dataset.path = path;
    line.setAttribute("role", "treeitem");
    line.setAttribute("aria-level", level);
    if (group) line.setAttribute("aria-expanded", this.filter ? true : this.expanded.has(path));
    line.tabIndex = path === this.current ? 0 : -1;
    line.style.setProperty("--level", level - 1);
    // Square root: the head of a large model would be invisible beside its body.
    const width = Math.min(1, Math.sqrt(count / this.largest)) * 100;
    line.innerHTML = `<span class="thaw-fold" aria-hidden="true">${group ? "" : "·"}</span>
      <span class="thaw-name"></span><span class="thaw-kind"></span><span class="thaw-shape">${shape.replaceAll(" x ", "×")}</span>
      <span class="thaw-size" aria-hidden="true"><i style="width:${width.toFixed(1)}%"></i></span>
      <span class="thaw-count">${short(count)}</span><span class="thaw-flops">${flops ? short(flops) : ""}</span>
      <span class="thaw-state"></span><button type="button" role="switch" tabindex="-1"><i></i></button>`;
    line.querySelector(".thaw-name").textContent = name;
    line.querySelector(".thaw-kind").textContent = kind;
    const operations = flops ? `, ${flops.toLocaleString("en")} FLOPs for one image` : "";
    line.title = `${path}: ${kind}, ${count.toLocaleString("en")} parameters${shape ? `, returns ${shape}` : ""}${operations}`;
    line.querySelector("button").setAttribute("aria-label", `freeze ${path}`);
    row.line = line;
    row.painted = undefined;
    return line;
  }

  // What is frozen: what the server said last, and on top of it what it has not answered yet.
  paint() {
    this.states = Uint8Array.from(this.given, Number);
    for (const [, path, freeze] of this.outbox.pending) {
      const row = this.byPath.get(path);
      if (row) this.states.fill(freeze ? FROZEN : 0, row.first, row.end);
    }
    for (const row of this.rows) {
      row.state = this.states[row.first];
      for (let leaf = row.first + 1; leaf < row.end && row.state !== MIXED; leaf++) if (this.states[leaf] !== row.state) row.state = MIXED;
      if (row.line && row.painted !== row.state) this.paintLine(row);
    }
    this.map.paint();
    this.count();
  }

  paintLine(row) {
    const { path, kind, count, state, line } = row;
    row.painted = state;
    line.dataset.frozen = CHECKED[state];
    line.setAttribute("aria-label", `${path}, ${kind}, ${count.toLocaleString("en")} parameters, ${WORDS[state]}`);
    line.querySelector(".thaw-state").textContent = WORDS[state];
    line.querySelector("button").setAttribute("aria-checked", CHECKED[state]);
  }

  count() {
    const toggled = (leaf) => this.states[leaf.first] !== MIXED;
    const frozen = this.leaves.reduce((sum, leaf) => sum + (toggled(leaf) ? this.states[leaf.first] * leaf.count : this.partly.get(leaf.first) ?? 0), 0);
    const learning = this.total - frozen;
    const layers = this.leaves.filter((leaf) => this.states[leaf.first] === FROZEN).length;
    this.root.dataset.learning = learning;
    this.root.querySelector(".thaw-learning").innerHTML = `<b>${learning.toLocaleString("en")}</b> of ${this.total.toLocaleString("en")} parameters learn`
      + ` (${share(learning / this.total)}); ${layers} of ${this.leaves.length} layers frozen`;
    this.map.describe(`Areas of the ${this.leaves.length} layers by parameters: ${share(learning / this.total)} of the parameters learn, ${layers} layers are frozen. `
      + "The tree of layers holds the same, with a switch for each.");
  }

  say(text) { this.said.textContent = text; }

  point(path) {
    for (const line of this.list.querySelectorAll(".thaw-pointed")) line.classList.remove("thaw-pointed");
    const nearest = path && [path, ...above(path)].map((place) => this.byPath.get(place)?.line).find(Boolean);
    nearest?.classList.add("thaw-pointed");
  }

  click(event) {
    const line = event.target.closest(".thaw-layer");
    if (!line) return;
    this.go(this.byPath.get(line.dataset.path));
    if (event.target.closest("button")) this.toggle(line.dataset.path);
    else this.fold(line.dataset.path);
  }

  fold(path, open = !this.expanded.has(path)) {
    if (!this.byPath.get(path).group || this.filter) return;
    this.expanded[open ? "add" : "delete"](path);
    this.lay();
    this.byPath.get(path).line.focus({ preventScroll: true });
  }

  toggle(path) {
    const row = this.byPath.get(path);
    const freeze = row.state !== FROZEN;
    clearTimeout(this.settling);
    this.outbox.add(path, freeze);
    this.paint();
    this.say(`${path} ${freeze ? "is frozen" : "learns"} now.`);
  }

  go(row) {
    if (!row?.line) return;
    const before = this.byPath.get(this.current)?.line;
    if (before) before.tabIndex = -1;
    this.current = row.path;
    row.line.tabIndex = 0;
    row.line.focus();
    document.dispatchEvent(new CustomEvent("thaw-layer", { detail: row.path }));
  }

  key(event) {
    const shown = this.visible();
    const at = shown.findIndex((row) => row.path === this.current);
    const row = shown[at];
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const open = this.filter || this.expanded.has(row.path);
    const parent = this.byPath.get(above(row.path)[0]);
    const moves = {
      ArrowDown: () => this.go(shown[at + 1]),
      ArrowUp: () => this.go(shown[at - 1]),
      Home: () => this.go(shown[0]),
      End: () => this.go(shown.at(-1)),
      ArrowRight: () => row.group && (open ? this.go(shown[at + 1]) : this.fold(row.path, true)),
      ArrowLeft: () => (row.group && open && !this.filter ? this.fold(row.path, false) : this.go(parent)),
      " ": () => this.toggle(row.path),
      Enter: () => this.toggle(row.path),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  }
}

// The modules around a path, the nearest first.
function above(path = "") {
  const parts = path.split(".");
  return parts.slice(1).map((_, index) => parts.slice(0, parts.length - 1 - index).join("."));
}

function share(part) { return `${Number((100 * part).toPrecision(3))} %`; }

export function short(count) {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) if (count >= size) return `${(count / size).toFixed(count >= 10 * size ? 0 : 1)} ${unit}`;
  return String(count);
}
