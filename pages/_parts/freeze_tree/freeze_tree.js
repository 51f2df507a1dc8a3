// A model's layers as a tree with a freeze switch each. The server knows the truth; expanding, collapsing and moving about stay here.
// A toggle paints at once and tells the server { path, freeze }. Keys: arrows, Home and End move, Space or Enter toggles.

const trees = new WeakMap();

export function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".thaw-tree");
  let tree = trees.get(root);
  if (!tree) { tree = new FreezeTree(root); trees.set(root, tree); }
  tree.send = (path, freeze) => setTriggerValue("toggled", { path, freeze });
  tree.show(data);
  return () => {};
}

class FreezeTree {
  constructor(root) {
    this.root = root;
    this.expanded = new Set();
    root.setAttribute("role", "tree");
    root.setAttribute("aria-label", "Layers");
    root.onclick = (event) => this.click(event);
    root.onkeydown = (event) => this.key(event);
  }

  show({ model, rows }) {
    this.rows = rows.map(([path, name, level, group, kind, shape, count, frozen]) => ({ path, name, level, group, kind, shape, count, frozen }));
    if (model !== this.model) {
      this.model = model;
      this.expanded.clear();
      this.current = this.rows[0]?.path;
      this.unfoldShortTops();
    }
    this.render();
  }

  // A model whose top is one or two big groups says nothing when folded.
  unfoldShortTops() {
    for (let level = 1; level < 4; level++) {
      if (this.visible().length > 4) return;
      for (const row of this.rows) if (row.group && row.level === level) this.expanded.add(row.path);
    }
  }

  visible() {
    return this.rows.filter(({ path }) => {
      for (let at = path.lastIndexOf("."); at > 0; at = path.lastIndexOf(".", at - 1)) if (!this.expanded.has(path.slice(0, at))) return false;
      return true;
    });
  }

  render() {
    const largest = Math.max(1, ...this.rows.filter((row) => !row.group).map((row) => row.count));
    const hadFocus = this.root.contains(document.activeElement);
    this.root.replaceChildren(...this.visible().map((row) => this.line(row, largest)));
    if (hadFocus) this.item(this.current)?.focus({ preventScroll: true });
  }

  line({ path, name, level, group, kind, shape, count, frozen }, largest) {
    const item = document.createElement("div");
    item.className = "thaw-layer";
    item.dataset.path = path;
    item.dataset.frozen = frozen;
    item.setAttribute("role", "treeitem");
    item.setAttribute("aria-level", level);
    item.setAttribute("aria-label", `${path}, ${kind}, ${count.toLocaleString("en")} parameters, ${WORDS[frozen]}`);
    if (group) item.setAttribute("aria-expanded", this.expanded.has(path));
    item.tabIndex = path === this.current ? 0 : -1;
    item.style.setProperty("--level", level - 1);
    // Square root: the head of a large model would be invisible beside its body.
    const width = Math.min(1, Math.sqrt(count / largest)) * 100;
    item.innerHTML = `<span class="thaw-fold" aria-hidden="true">${group ? "" : "·"}</span>
      <span class="thaw-name"></span><span class="thaw-kind"></span>
      <span class="thaw-size" aria-hidden="true"><i style="width:${width.toFixed(1)}%"></i></span>
      <span class="thaw-count">${short(count)}</span><span class="thaw-state">${WORDS[frozen]}</span>
      <button type="button" role="switch" tabindex="-1" aria-checked="${frozen}"><i></i></button>`;
    item.querySelector(".thaw-name").textContent = name;
    item.querySelector(".thaw-kind").textContent = kind;
    item.title = `${path}: ${kind}, ${count.toLocaleString("en")} parameters${shape ? `, returns ${shape}` : ""}`;
    item.querySelector("button").setAttribute("aria-label", `freeze ${path}`);
    return item;
  }

  item(path) { return this.root.querySelector(`[data-path="${CSS.escape(path ?? "")}"]`); }
  row(path) { return this.rows.find((row) => row.path === path); }

  click(event) {
    const item = event.target.closest(".thaw-layer");
    if (!item) return;
    this.current = item.dataset.path;
    if (event.target.closest("button")) this.toggle(item.dataset.path);
    else this.fold(item.dataset.path);
  }

  fold(path, open = !this.expanded.has(path)) {
    if (this.row(path).group) this.expanded[open ? "add" : "delete"](path);
    this.render();
    this.item(path)?.focus({ preventScroll: true });
  }

  toggle(path) {
    const freeze = this.row(path).frozen !== "true";
    for (const row of this.rows) if (row.path === path || row.path.startsWith(path + ".")) row.frozen = String(freeze);
    for (let at = path.lastIndexOf("."); at > 0; at = path.lastIndexOf(".", at - 1)) {
      const above = path.slice(0, at);
      const below = this.rows.filter((row) => row.path.startsWith(above + ".") && row.level === above.split(".").length + 1);
      const states = new Set(below.map((row) => row.frozen));
      this.row(above).frozen = states.size === 1 ? [...states][0] : "mixed";
    }
    this.render();
    this.send(path, freeze);
  }

  key(event) {
    const shown = this.visible();
    const at = shown.findIndex((row) => row.path === this.current);
    const row = shown[at];
    if (!row) return;
    const go = (to) => {
      if (!to) return;
      this.item(this.current).tabIndex = -1;
      this.current = to.path;
      const item = this.item(to.path);
      item.tabIndex = 0;
      item.focus();
    };
    const parent = this.row(row.path.slice(0, Math.max(0, row.path.lastIndexOf("."))));
    const moves = {
      ArrowDown: () => go(shown[at + 1]),
      ArrowUp: () => go(shown[at - 1]),
      Home: () => go(shown[0]),
      End: () => go(shown.at(-1)),
      ArrowRight: () => (row.group && !this.expanded.has(row.path) ? this.fold(row.path, true) : row.group && go(shown[at + 1])),
      ArrowLeft: () => (this.expanded.has(row.path) ? this.fold(row.path, false) : go(parent)),
      " ": () => this.toggle(row.path),
      Enter: () => this.toggle(row.path),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  }
}

const WORDS = { true: "frozen", false: "learns", mixed: "in part" };

function short(count) {
  if (count >= 1e6) return `${(count / 1e6).toFixed(count >= 1e7 ? 0 : 1)} M`;
  if (count >= 1e3) return `${(count / 1e3).toFixed(count >= 1e4 ? 0 : 1)} k`;
  return String(count);
}
