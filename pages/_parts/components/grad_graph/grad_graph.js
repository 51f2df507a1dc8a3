// The graph of gradients: a tree (what a keyboard and a screen reader use), the same as a picture, and one node looked at closely.
// What a plan of freezing removes stays, drawn as removed. What is known about a node comes from the server; the rest is here.
// Keys in the tree: arrows move, open and close; Home and End go to the ends; Enter or space looks at a node.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`); // all modules carry one digest, see assets.py
const [{ Group, treeOf }, { keyOf, layGraph }, { Sight, ZOOM_STEP }, { cardOf, kindName, verdictOf }] = await Promise.all(["groups", "picture", "sight", "node_card"].map(beside));

const views = new WeakMap();
const alive = new Set();
const stories = new Map(); // "name id" to { story, checks } (those come later), or { error }
let send = null; // how a question is sent, while there is a way
let number = 0;
const PATIENCE = 8000; // ms without an answer after which a question is sent again: Streamlit may drop one for the sake of a newer one
const ROOMY = 5, MANY = 24; // boxes that a picture has at first, at least and at most
const COLOURS = 9;

export function mount({ data, parentElement }, words) {
  const root = parentElement.querySelector(".thaw-graph");
  let view = views.get(root);
  if (!view) { view = new GradGraph(root, words); views.set(root, view); }
  alive.add(view);
  const text = read(data);
  if (text !== view.text) { view.text = text; view.begin(JSON.parse(text)); }
  return () => { if (!root.isConnected) { view.leave(); alive.delete(view); } };
}

// The way to the server and back: a node is asked about here, and what is known at once comes here.
export function take({ data, setStateValue }) {
  send = (asked) => setStateValue("node", asked);
  if (data) come(data.name ? data : JSON.parse(read(data)));
  for (const view of alive) if (view.graph) view.request(false); // what was asked before there was a way
  return () => { send = null; };
}

// The chain rule was tried out at a node.
export function takeChecks({ data }) {
  const { name, id, checks, error } = data.name ? data : JSON.parse(read(data));
  come({ ...stories.get(`${name} ${id}`), name, id, checks: checks ?? [], unchecked: error });
}

function come(told) {
  stories.set(`${told.name} ${told.id}`, { ...stories.get(`${told.name} ${told.id}`), ...told });
  for (const view of alive) view.arrived(told);
}

const read = (data) => (typeof data === "string" ? data : new TextDecoder().decode(data));
const complete = (told) => Boolean(told && (told.error || (told.story && told.checks)));

class GradGraph {
  constructor(root, words) {
    Object.assign(this, { root, words });
    root.innerHTML = `
      <fieldset class="thaw-plans"><legend>What learns</legend><div></div></fieldset>
      <p class="thaw-why" aria-live="polite"></p>
      <div class="thaw-graph-tools">
        <input type="search" list="thaw-graph-names" placeholder="Go to a parameter or module" aria-label="Go to a parameter or module" spellcheck="false" autocomplete="off"><datalist id="thaw-graph-names"></datalist>
        <button type="button" data-act="open">Open all</button><button type="button" data-act="close">Close all</button>
        <span class="thaw-zoom" role="group" aria-label="Size of the picture"><button type="button" data-act="out" aria-label="Smaller">−</button><output></output><button type="button" data-act="in" aria-label="Larger">+</button><button type="button" data-act="fit">Fit</button></span>
        <p class="thaw-graph-key" aria-hidden="true"><span><b data-kind="node"></b>operation</span><span><b data-kind="leaf"></b>parameter (AccumulateGrad)</span><span><b data-kind="group"></b>module, closed</span><span><b data-kind="gone"></b>removed by freezing</span><span><b data-kind="now"></b>reached now, above</span></p>
      </div>
      <p class="thaw-unseen" role="status"></p>
      <div class="thaw-graph-views">
        <div class="thaw-graph-tree" role="tree" aria-label="Nodes of the graph by module, from the loss to the input"></div>
        <div class="thaw-graph-frame" tabindex="0" role="group" aria-label="Picture of the graph; the arrow keys scroll it"><svg role="img"></svg></div>
        <aside class="thaw-node" tabindex="0" aria-label="The node that is looked at"></aside>
      </div>`;
    this.find = (selector) => root.querySelector(selector);
    [this.tree, this.aside, this.svg] = [".thaw-graph-tree", ".thaw-node", "svg"].map(this.find);
    this.sight = new Sight(this.find(".thaw-graph-frame"), this.svg, {
      drawn: () => { this.mark(); this.trace(this.traced); },
      zoomed: (share) => { this.find(".thaw-zoom output").textContent = `${Math.round(100 * share)} %`; },
    });
    this.plans = this.find(".thaw-plans div");
    this.search = this.find("input[type=search]");
    this.plans.onchange = (event) => this.choosePlan(Number(event.target.value));
    this.search.onchange = () => this.goTo(this.search.value.trim());
    this.search.onkeydown = (event) => { if (event.key === "Enter") { event.preventDefault(); this.goTo(this.search.value.trim()); } };
    this.find(".thaw-graph-tools").onclick = (event) => this.act(event.target.closest("button")?.dataset.act);
    this.svg.onclick = (event) => { if (!this.sight.dragged) this.click(event.target.closest("g[data-key]")?.dataset.key); };
    this.svg.onpointerover = (event) => this.trace(event.target.closest(".thaw-boxes g[data-key]")?.dataset.key);
    this.tree.onclick = (event) => { const row = event.target.closest("[role=treeitem]"); if (row) { this.go(row.dataset.key); this.click(row.dataset.key); } };
    this.tree.onkeydown = (event) => this.key(event);
    this.aside.onclick = (event) => { const button = event.target.closest(".thaw-jump"); if (button) this.show(Number(button.dataset.node), true); };
    this.onMoment = ({ detail }) => this.light(detail.node);
    this.onShow = ({ detail }) => { this.show(detail.node); this.root.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" }); };
    document.addEventListener("thaw-moment", this.onMoment);
    document.addEventListener("thaw-show-node", this.onShow);
  }

  // The graph of another walkthrough. What was open stays open where it has modules of that name, and so does the node.
  begin({ name, parameters, graph }) {
    const before = this.graph, address = new URLSearchParams(location.search), chosen = Math.max(0, graph.plans.findIndex((plan) => plan.chosen));
    const again = before?.nodes.length === graph.nodes.length && before.nodes.every((node, at) => node.kind === graph.nodes[at].kind && node.module === graph.nodes[at].module);
    const samePlans = again && before.plans.every((plan, at) => plan.name === graph.plans[at]?.name && plan.chosen === graph.plans[at].chosen);
    Object.assign(this, { name, graph });
    this.nodes = [];
    for (const node of graph.nodes) this.nodes[node.id] = node;
    this.grouped = treeOf(graph);
    this.learns = new Map(parameters.map((parameter) => [parameter.name, parameter.learns]));
    // Colours by module; one that holds most of the graph gives its own modules a colour each.
    const inside = ({ children }) => children.filter((child) => child instanceof Group), most = ({ nodes }) => nodes.length > graph.nodes.length / 2;
    this.tops = [...new Set(inside(this.grouped.root).flatMap((group) => (most(group) ? [...inside(group), group] : [group])).map(({ path }) => path))];
    if (before && !samePlans) remember("plan", null); // it was chosen for another example
    if (before && !again) remember("node", null);
    const wanted = before ? (samePlans ? this.plan : chosen) : graph.plans.findIndex((plan) => plan.name === address.get("plan"));
    this.plan = wanted >= 0 && wanted < graph.plans.length ? wanted : chosen;
    if (!again) { this.open = new Set(); this.openShortTops(); this.selected = null; }
    const { escaped } = this.words;
    this.plans.innerHTML = graph.plans.map((plan, at) => `<label title="${escaped(plan.about)}"><input type="radio" name="thaw-plan" value="${at}" ${at === this.plan ? "checked" : ""}><span>${escaped(plan.name)} <b>${this.words.count(plan.count ?? plan.kept.length)}</b> nodes${plan.chosen ? " <small>this example</small>" : ""}</span></label>`).join("");
    this.find("datalist").innerHTML = [...new Set([...graph.nodes.flatMap(({ parameter, module }) => [parameter, module])])].filter(Boolean).sort().map((each) => `<option value="${escaped(each)}"></option>`).join("");
    this.current = null;
    this.choosePlan(this.plan, true);
    if (!again) this.sight.fit();
    const asked = Number(address.get("node"));
    if (again && this.selected !== null) this.show(this.selected, false, false);
    else if (!before && address.has("node") && this.nodes[asked]) this.show(asked);
    else this.card();
  }

  // A graph whose top is a few boxes, or one that holds most of it, says nothing when it is closed.
  openShortTops() {
    for (let turn = 0; turn < 6; turn++) {
      const rows = this.rows(), closed = rows.filter(({ child }) => child instanceof Group && !this.open.has(child.key)).sort((a, b) => b.child.nodes.length - a.child.nodes.length)[0];
      if (!closed || rows.length + closed.child.children.length > MANY) return;
      if (rows.length >= ROOMY && closed.child.nodes.length < this.graph.nodes.length / 2) return;
      this.open.add(closed.child.key);
    }
  }

  choosePlan(at, quiet = false) {
    this.plan = at;
    const plan = this.graph.plans[at];
    this.kept = new Set(plan.kept);
    this.find(".thaw-why").textContent = `${plan.about} ${plan.why}`;
    if (!quiet) remember("plan", plan.chosen ? null : plan.name);
    this.draw();
    if (this.selected !== null) this.card();
  }

  // Rows of the tree that are to be seen: { child, level }.
  rows() {
    const rows = [];
    const walk = (group, level) => {
      for (const child of group.children) {
        rows.push({ child, level, key: keyOf(child), parent: group });
        if (child instanceof Group && this.open.has(child.key)) walk(child, level + 1);
      }
    };
    walk(this.grouped.root, 1);
    return rows;
  }

  draw() {
    const state = { tree: this.grouped, graph: this.graph, open: this.open, kept: this.kept, colourOf: (child) => this.colourOf(child), words: (child) => this.describe(child) };
    const picture = layGraph(state);
    this.boxes = picture.boxes;
    const plan = this.graph.plans[this.plan], all = this.graph.nodes.length;
    this.svg.setAttribute("aria-label", `Picture of the graph from the loss at the top to the input: ${this.words.plural(plan.kept.length, "node")} of ${all} are recorded when ${plan.name}. The tree beside it holds the same.`);
    this.sight.show(picture);
    this.drawTree();
    this.mark();
  }

  drawTree() {
    const rows = this.rows(), had = this.tree.contains(document.activeElement), { escaped } = this.words;
    if (!rows.some(({ key }) => key === this.current)) this.current = rows[0]?.key;
    this.tree.innerHTML = rows.map(({ child, level, key }) => {
      const group = child instanceof Group, { name, about, gone, title } = this.describe(child), selected = key === `node ${this.selected}`;
      return `<div role="treeitem" data-key="${escaped(key)}" aria-level="${level}" ${group ? `aria-expanded="${this.open.has(key)}"` : `aria-selected="${selected}"`} tabindex="${key === this.current ? 0 : -1}"
        aria-label="${escaped(title)}" ${gone ? "data-gone" : ""} style="--level:${level - 1};--own:${this.colourOf(child)}"><i></i><span>${escaped(name)}</span><small>${escaped(about)}</small></div>`;
    }).join("");
    if (had) this.rowOf(this.current)?.focus({ preventScroll: true });
  }

  // A child of a group in words.
  describe(child) {
    const { plural, count, bytes, shape } = this.words;
    if (child instanceof Group) {
      const left = child.nodes.reduce((sum, id) => sum + this.kept.has(id), 0), all = child.nodes.length, gone = left === 0;
      const about = left === all ? plural(all, "node") : gone ? `${plural(all, "node")} removed` : `${count(left)} of ${plural(all, "node")}`;
      return { name: child.name, about, gone, title: `${child.path}, ${about}` };
    }
    const node = this.nodes[child], gone = !this.kept.has(child), leaf = Boolean(node.parameter);
    const name = leaf ? node.parameter.split(".").at(-1) : kindName(node.kind), own = `${node.parameter || node.module}`;
    const saved = node.saved_bytes ? `, keeps ${bytes(node.saved_bytes)}` : "", state = gone ? ", removed by freezing" : "";
    return { name, leaf, gone, about: gone ? "removed" : leaf ? shape(node.shape) : node.saved_bytes ? bytes(node.saved_bytes) : "", title: `${node.kind}${own ? ` of ${own}` : ""}, ${shape(node.shape)}${saved}${state}` };
  }

  colourOf(child) {
    const path = child instanceof Group ? child.path : this.nodes[child].module || this.nodes[child].parameter;
    const at = this.tops.findIndex((top) => path === top || path.startsWith(`${top}.`));
    return at < 0 ? "var(--st-gray-color)" : `var(--thaw-graph-${at % COLOURS})`;
  }

  click(key) {
    if (key === undefined) return;
    if (key.startsWith("node ")) { this.show(Number(key.slice(5)), false, false); return; }
    this.fold(key);
  }

  fold(key, open = !this.open.has(key)) {
    const before = this.boxes.get(key);
    this.open[open ? "add" : "delete"](key);
    this.draw();
    this.current = key;
    this.drawTree();
    this.sight.keep(before, this.boxes.get(key));
  }

  act(what) {
    if (!what) return;
    if (what === "open" || what === "close") {
      this.open = new Set(what === "open" ? this.grouped.groups.keys() : []);
      this.draw();
      this.sight.center(keyOf(this.grouped.root.children[0]));
      this.say(what === "open" ? `All groups are open: ${this.words.plural(this.graph.nodes.length, "node")}.` : "All groups are closed.");
    } else if (what === "fit") this.sight.fit();
    else this.sight.zoomBy(what === "in" ? ZOOM_STEP : 1 / ZOOM_STEP);
  }

  goTo(text) {
    if (!text) return;
    const lower = text.toLowerCase();
    const found = this.graph.nodes.find(({ parameter }) => parameter === text) ?? this.graph.nodes.find(({ module }) => module === text)
      ?? this.graph.nodes.find(({ parameter, module, kind }) => `${parameter} ${module} ${kind}`.toLowerCase().includes(lower));
    if (found) this.show(found.id); else this.say(`No node has ${text} in its name.`, true);
  }

  // Look at a node: open what is around it, bring it into sight, and ask what is known about it.
  show(id, focus = false, bring = true) {
    if (!this.nodes[id]) return;
    const closed = this.grouped.chain(id).filter(({ key }) => key && !this.open.has(key)), before = this.selected;
    this.selected = id;
    if (closed.length) {
      for (const { key } of closed) this.open.add(key);
      this.current = `node ${id}`;
      this.draw();
    } else { // a graph that is wide open takes a while to draw
      this.rowOf(`node ${before}`)?.setAttribute("aria-selected", "false");
      this.rowOf(`node ${id}`)?.setAttribute("aria-selected", "true");
      this.setCurrent(`node ${id}`);
      this.mark();
    }
    if (bring) this.bring(id);
    remember("node", String(id));
    this.card();
    if (focus) this.aside.querySelector("h4")?.focus({ preventScroll: true });
    clearTimeout(this.again);
    this.request();
  }

  // Ask about the node that is looked at, unless it was asked about and there is time left for an answer.
  request(anew = true) {
    const { name, selected } = this, asked = `${name} ${selected}`;
    if (selected === null || complete(stories.get(asked)) || !send || (!anew && this.asked === asked)) return;
    clearTimeout(this.again);
    this.asked = asked;
    number += 1;
    send({ name, id: selected, number });
    this.again = setTimeout(() => this.request(), PATIENCE);
  }

  arrived({ name, id }) {
    if (name !== this.name || id !== this.selected) return;
    this.card();
    const told = stories.get(`${name} ${id}`);
    if (!complete(told)) return;
    clearTimeout(this.again);
    if (told.story) this.say(verdictOf(this.nodes[id], told));
  }

  card() {
    if (this.selected === null) {
      this.aside.innerHTML = `<p class="thaw-quiet">Choose a node, in the picture or in the tree: here stands what it computes, what it keeps, the gradients that come in and go out, and whether a real small change agrees with them.</p>`;
      return;
    }
    const node = this.nodes[this.selected], top = this.aside.dataset.node === String(this.selected) ? this.aside.scrollTop : 0;
    const had = this.aside.contains(document.activeElement);
    this.aside.innerHTML = cardOf(node, stories.get(`${this.name} ${this.selected}`) ?? {}, { nodes: this.nodes }, !this.kept.has(node.id), this.words);
    this.aside.dataset.node = this.selected;
    this.aside.scrollTop = top;
    if (had) this.aside.querySelector("h4")?.focus({ preventScroll: true });
  }

  bring(id) {
    this.sight.center(`node ${id}`);
    const row = this.rowOf(`node ${id}`);
    if (row) this.tree.scrollTop = row.offsetTop - this.tree.clientHeight / 2;
  }

  // Where the slow motion above is.
  light(id) { this.lit = id; if (this.boxes) this.mark(); }

  mark() {
    for (const marked of this.svg.querySelectorAll("[data-lit], [data-selected]")) { delete marked.dataset.lit; delete marked.dataset.selected; }
    for (const marked of this.tree.querySelectorAll("[data-lit]")) delete marked.dataset.lit;
    if (this.lit !== null && this.lit !== undefined && this.nodes[this.lit]) {
      const chain = [...this.grouped.chain(this.lit).slice(1), this.lit], shown = chain.find((part) => !(part instanceof Group) || !this.open.has(part.key)), key = keyOf(shown);
      for (const box of this.boxesOf(key)) box.dataset.lit = "";
      const row = this.rowOf(key);
      if (row) row.dataset.lit = "";
    }
    if (this.selected !== null && this.selected !== undefined) for (const box of this.boxesOf(`node ${this.selected}`)) box.dataset.selected = "";
  }

  boxesOf(key) { return this.svg.querySelectorAll(`.thaw-boxes g[data-key="${CSS.escape(key)}"]`); }
  rowOf(key) { return this.tree.querySelector(`[data-key="${CSS.escape(key)}"]`); }

  // The ways into and out of the box under the pointer.
  trace(key) {
    this.traced = key;
    for (const edge of this.svg.querySelectorAll("path[data-traced]")) delete edge.dataset.traced;
    if (key) for (const edge of this.svg.querySelectorAll(`path[data-from="${CSS.escape(key)}"], path[data-to="${CSS.escape(key)}"]`)) edge.dataset.traced = "";
  }

  setCurrent(key) {
    const before = this.rowOf(this.current), row = this.rowOf(key);
    if (!row) return null;
    if (before) before.tabIndex = -1;
    this.current = key;
    row.tabIndex = 0;
    return row;
  }

  // With the focus in the tree the picture shows the same place.
  go(key) {
    this.setCurrent(key)?.focus();
    this.trace(key);
    this.sight.bring(key);
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const own = event.target.closest("[role=treeitem]")?.dataset.key ?? this.current;
    const rows = this.rows(), at = rows.findIndex(({ key }) => key === own), row = rows[at];
    if (!row) return;
    const group = row.child instanceof Group, open = this.open.has(row.key);
    const acts = {
      ArrowDown: () => this.go(rows[at + 1]?.key), ArrowUp: () => this.go(rows[at - 1]?.key), Home: () => this.go(rows[0].key), End: () => this.go(rows.at(-1).key),
      ArrowRight: () => group && (open ? this.go(rows[at + 1]?.key) : this.fold(row.key, true)),
      ArrowLeft: () => (group && open ? this.fold(row.key, false) : row.parent.key && this.go(row.parent.key)),
      Enter: () => this.click(row.key), " ": () => this.click(row.key),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  say(text, seen = false) {
    this.find("[role=status]").textContent = text;
    this.search.setCustomValidity(seen ? text : "");
    if (seen) this.search.reportValidity();
  }

  leave() {
    clearTimeout(this.again);
    this.sight.leave();
    document.removeEventListener("thaw-moment", this.onMoment);
    document.removeEventListener("thaw-show-node", this.onShow);
  }
}

// A value in the page's address, so that a refresh or a link shows the same. null takes it away.
function remember(name, value) {
  const address = new URL(location.href);
  if (address.searchParams.get(name) === value) return;
  if (value === null) address.searchParams.delete(name); else address.searchParams.set(name, value);
  history.replaceState(history.state, "", address);
}
