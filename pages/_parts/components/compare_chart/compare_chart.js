// Curves of several runs over each other. The view (axis, smoothing, log scales, repeats) comes from the page, the curves through one line from the
// server, with a cursor for each run; both may change at any time without the other.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ RunCurves, cursorOf }, { METRICS, ends, lineOf, together, unitOf }, { drawLanes }, { rangeOf, starsOf, tracesOf }] =
  await Promise.all(["compare_history", "compare_lines", "compare_lanes", "compare_traces"].map(beside));

const HOME = new URL("..", import.meta.url);
const RECONNECT_AFTER = 1000; // milliseconds
const BAD_QUESTION = 4400; // close code of the /curves route
const REDRAW_AFTER = 700; // milliseconds between two drawings of what grows
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const GONE = { deleted: "deleted", bin: "in the bin", unreadable: "cannot be read" };

const KEPT_FOR = 15_000; // milliseconds that curves wait for the chart that they were asked for ahead of

const charts = new WeakMap();
let early = null; // {address, socket, messages}

// Ask for the curves of these runs before the page that shows them is there: while it is made, they are read.
export function expect(ids) {
  early?.socket.close();
  const address = addressOf(ids, "", [], {});
  const mine = { address, socket: new WebSocket(address), messages: [] };
  mine.socket.onmessage = ({ data }) => mine.messages.push(data);
  early = mine;
  setTimeout(() => { if (early === mine) { early = null; mine.socket.close(); } }, KEPT_FOR);
}

// What was asked for ahead, if it is this and still comes in; it is the caller's then.
function taken(address) {
  if (early?.address !== address || early.socket.readyState > WebSocket.OPEN) return null;
  const mine = early;
  early = null;
  return mine;
}

function addressOf(ids, layer, more, cursor) {
  const query = new URLSearchParams({ runs: ids.join(","), layer, more: JSON.stringify(more) });
  if (Object.keys(cursor).length) query.set("cursor", JSON.stringify(cursor));
  const address = new URL(`curves?${query}`, HOME);
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}

export function mount({ data, parentElement }, looks, scales, { loadPlotly }) {
  const root = parentElement.querySelector(".thaw-cmp");
  let chart = charts.get(root);
  if (!chart) { chart = new CompareChart(root, looks, scales, loadPlotly); charts.set(root, chart); }
  chart.show(data);
  // Also called before each new view, while the chart stays.
  return () => setTimeout(() => { if (!root.isConnected) { chart.close(); charts.delete(root); } }, 500);
}

const PAGE = `
  <div class="thaw-cmp-bar"><span class="thaw-cmp-link" data-state="connecting"><i aria-hidden="true"></i><span role="status">Connecting</span></span><p></p></div>
  <ul class="thaw-cmp-key" aria-label="Runs: press one to hide or show its lines"></ul>
  <div class="thaw-cmp-panels"></div>
  <section class="thaw-cmp-lanes"><h3>Freeze plans</h3><div></div></section>
  <details class="thaw-cmp-ends"><summary>Lowest, highest and last value of every line</summary><div tabindex="0" role="group" aria-label="Table of values"><table>
    <thead><tr><th scope="col">Run</th><th scope="col">Line</th><th scope="col">Lowest</th><th scope="col">at step</th><th scope="col">Highest</th><th scope="col">at step</th><th scope="col">Last</th></tr></thead>
    <tbody></tbody></table></div></details>`;

const inWindow = (element) => {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
};

class CompareChart {
  constructor(root, looks, scales, loadPlotly) {
    Object.assign(this, { root, looks, scales, loadPlotly, asked: null, runs: [], hidden: new Set(), drawn: 0, range: null, zooms: 0 });
    root.innerHTML = PAGE;
    root.chart = this; // for measuring (bench/runs.py)
    this.key = root.querySelector(".thaw-cmp-key");
    this.key.onclick = (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (!this.hidden.delete(button.dataset.id)) this.hidden.add(button.dataset.id);
      this.draw();
    };
    root.querySelector("details").ontoggle = () => this.table();
    this.sizes = new ResizeObserver(() => { if (this.wide !== root.clientWidth) { this.wide = root.clientWidth; this.draw(); } });
    this.sizes.observe(root);
    // Panels out of sight are drawn once somebody scrolls to them: a comparison of twenty runs has thousands of points in each.
    this.inSight = new Set();
    this.stale = new Set();
    this.sight = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const name = target.dataset.metric;
        if (!isIntersecting) this.inSight.delete(name);
        else this.inSight.add(name);
      }
      this.looked = true;
      this.drawPanels();
    }, { rootMargin: "150px" });
    this.onVisible = () => { if (!document.hidden) this.draw(); };
    document.addEventListener("visibilitychange", this.onVisible);
  }

  // What the page wants to see: runs [{id, name, group, imported}], axis, smoothing, log, layer, more, seeds.
  show(data) {
    this.view = data;
    const asked = JSON.stringify([data.runs.map(({ id }) => id), data.layer, data.more]);
    if (asked !== this.asked) {
      this.asked = asked;
      this.runs = data.runs.map(() => new RunCurves());
      this.open();
    }
    this.loadPlotly(data.plotly).then((Plotly) => { this.Plotly = Plotly; this.draw(); }, (error) => this.say("lost", error.message));
  }

  open() {
    this.socket?.close();
    clearTimeout(this.retry);
    const ids = this.view.runs.map(({ id }) => id);
    const cursor = cursorOf(ids, this.runs);
    const address = addressOf(ids, this.view.layer, this.view.more, cursor);
    const { socket, messages } = taken(address) ?? { socket: new WebSocket(address), messages: [] };
    this.socket = socket;
    this.root.toggleAttribute("data-waits", !Object.keys(cursor).length); // there is room for charts before it is known which
    socket.onopen = () => this.say("live", "Live");
    socket.onmessage = ({ data }) => { if (socket === this.socket) this.receive(JSON.parse(data)); };
    socket.onclose = ({ code }) => {
      if (this.closed || socket !== this.socket) return;
      if (code === BAD_QUESTION) return this.say("lost", "The link asks for something that cannot be compared");
      this.say("lost", "Reconnecting");
      this.retry = setTimeout(() => this.open(), RECONNECT_AFTER);
    };
    if (socket.readyState === WebSocket.OPEN) socket.onopen();
    for (const data of messages) this.receive(JSON.parse(data));
  }

  receive({ parts }) {
    for (const part of parts) this.runs[part.run]?.take(part);
    this.root.removeAttribute("data-waits");
    const going = this.runs.filter(({ at }) => ["queued", "preparing", "running", "paused"].includes(at?.[5])).length;
    this.say("live", going ? `Live: ${going} ${going === 1 ? "run goes" : "runs go"} on` : "Complete");
    this.root.dataset.steps = JSON.stringify(this.runs.map(({ lastStep }) => lastStep));
    const wait = this.drawn + REDRAW_AFTER - performance.now();
    if (wait <= 0) this.draw();
    else this.timer ??= setTimeout(() => { this.timer = null; this.draw(); }, wait);
  }

  say(state, words) {
    const link = this.root.querySelector(".thaw-cmp-link");
    link.dataset.state = state;
    const said = link.querySelector("span");
    if (said.textContent !== words) said.textContent = words;
  }

  // All of it anew, as if it had just arrived: for measuring.
  redrawAll() {
    for (const plot of this.root.querySelectorAll(".js-plotly-plot")) this.Plotly.purge(plot);
    this.draw();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.retry);
    this.socket?.close();
    this.sizes.disconnect();
    this.sight.disconnect();
    document.removeEventListener("visibilitychange", this.onVisible);
    for (const plot of this.root.querySelectorAll(".thaw-cmp-plot")) this.Plotly?.purge(plot);
  }

  style(place) {
    const { series } = this.colours;
    return { color: series[place % series.length], dash: DASHES[Math.floor(place / series.length) % DASHES.length] };
  }

  // The entries of the key: single runs, and repeats that are drawn as one. [{id, name, members, colour, dash}]
  entries() {
    const groups = new Map();
    this.view.runs.forEach(({ id, name, group }, place) => {
      const key = this.view.seeds && group ? `group ${group}` : id;
      if (!groups.has(key)) groups.set(key, { id: key, name, members: [], seeds: [] });
      groups.get(key).members.push(place);
    });
    return [...groups.values()].map((entry, place) => ({
      ...entry, ...this.style(place),
      name: entry.members.length > 1 ? `${this.view.runs[entry.members[0]].shared}: mean of ${entry.members.length} seeds` : entry.name,
    }));
  }

  draw() {
    if (!this.Plotly || this.closed || document.hidden || !this.view) return;
    this.colours = this.looks.readColours(this.root);
    const entries = this.entries();
    this.drawKey(entries);
    const shown = entries.filter(({ id }) => !this.hidden.has(id));
    const names = [...Object.keys(METRICS), ...this.view.more].filter((name) => this.any(name));
    this.reserve(names);
    if (names.length) this.drawn = performance.now(); // the first curves wait for nothing
    this.found = new Map(names.map((name) => [name, shown.map((entry) => this.lineFor(name, entry)).filter(Boolean)]));
    this.shown = shown.length;
    this.stale = new Set(names);
    this.below = () => this.drawLanes(entries);
    this.root.querySelector(".thaw-cmp-lanes").hidden = !this.runs.some(({ lanes }) => lanes.length);
    if (!names.length) this.looked = true;
    this.drawPanels();
    const waits = this.root.hasAttribute("data-waits") ? "Curves are on their way." : "Curves appear here once one of the runs has taken its first step.";
    this.root.querySelector(".thaw-cmp-bar p").textContent = names.length ? "" : waits;
    this.table();
    this.root.dataset.panels = names.join();
    this.root.dataset.lines = [...this.found.values()].reduce((sum, lines) => sum + lines.length, 0);
  }

  drawLanes(entries) {
    const { escaped, cut, count } = this.looks;
    const colours = new Map(entries.flatMap(({ members, color }) => members.map((place) => [place, color])));
    const lanes = this.view.runs.map(({ name }, place) => ({ name, curves: this.runs[place], colour: colours.get(place) }));
    drawLanes(this.root.querySelector(".thaw-cmp-lanes > div"), lanes, { escaped, cut, count });
  }

  any(name) { return this.runs.some((run) => lineOf(run, name, "step", this.view.layer)); }

  reserve(names) {
    const root = this.root.querySelector(".thaw-cmp-panels");
    const before = [...root.children].map(({ dataset }) => dataset.metric);
    if (JSON.stringify(before) === JSON.stringify(names)) return;
    const kept = new Map([...root.children].map((panel) => [panel.dataset.metric, panel]));
    root.replaceChildren(...names.map((name) => {
      const known = kept.get(name);
      if (known) return known;
      const panel = document.createElement("section");
      panel.className = "thaw-cmp-panel";
      panel.dataset.metric = name;
      panel.innerHTML = '<header><h3></h3><small></small></header><div class="thaw-cmp-plot" role="img"></div>';
      panel.querySelector("h3").textContent = METRICS[name]?.title ?? name;
      this.sight.observe(panel);
      this.looked = false; // until the browser has said which of them are in sight
      return panel;
    }));
    for (const [name, panel] of kept) if (!names.includes(name)) {
      this.Plotly.purge(panel.querySelector(".thaw-cmp-plot"));
      this.sight.unobserve(panel);
      this.inSight.delete(name);
    }
  }

  drawKey(entries) {
    const { escaped } = this.looks;
    const html = entries.map(({ id, name, color, dash, members }) => {
      const gone = members.map((place) => GONE[this.runs[place].gone]).find(Boolean);
      const array = { solid: "", dash: "6 3", dot: "2 3", dashdot: "6 3 2 3", longdash: "9 4", longdashdot: "9 4 2 4" }[dash];
      return `<li><button type="button" aria-pressed="${!this.hidden.has(id)}" data-id="${escaped(id)}"><svg viewBox="0 0 24 10" aria-hidden="true"><path d="M1 5H23" stroke="${color}" stroke-width="3" stroke-dasharray="${array}"/></svg><span>${escaped(name)}</span></button>${gone ? `<em>${gone}</em>` : ""}</li>`;
    }).join("");
    if (this.key.dataset.html === html) return;
    const focused = this.key.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    this.key.dataset.html = html;
    this.key.innerHTML = html;
    if (focused) this.key.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  // The longest time of any line, for the unit of the axis.
  longest() { return Math.max(0, ...this.runs.flatMap(({ steps, epochs, curves }) => [steps.time.at(-1) ?? 0, epochs.time.at(-1) ?? 0, ...curves.map(({ time }) => time.at(-1) ?? 0)])); }

  // What one entry of the key has in a panel: its line and where that is best; null where it has none.
  lineFor(name, entry) {
    const lines = entry.members.map((place) => lineOf(this.runs[place], name, this.view.axis, this.view.layer));
    const line = entry.members.length > 1 ? together(lines) : lines[0];
    const found = line && ends(line, METRICS[name]?.better ?? "low");
    return found ? { ...entry, line, found, panel: METRICS[name]?.title ?? name, percent: METRICS[name]?.percent ?? false } : null;
  }

  // Draw what is in sight and not as it should be, one panel at a time: in between the page answers to whoever scrolls or types. What is in the
  // window comes first, then what is near it, then the lanes below.
  drawPanels() {
    clearTimeout(this.next);
    if (!this.Plotly || this.closed || !this.found) return;
    const near = [...this.stale].filter((name) => this.inSight.has(name));
    const due = near.filter((name) => inWindow(this.panel(name)));
    const first = due.shift() ?? near[0];
    if (first !== undefined) this.drawPanel(first);
    else if (this.looked) { this.below?.(); this.below = null; }
    this.root.dataset.due = due.length;
    if (near.length || (this.looked && this.below)) this.next = setTimeout(() => this.drawPanels());
  }

  panel(name) { return this.root.querySelector(`[data-metric="${CSS.escape(name)}"]`); }

  drawPanel(name) {
    this.stale.delete(name);
    const { view } = this;
    const metric = METRICS[name] ?? { title: name, note: "from imported curves", better: null, log: true };
    const panel = this.panel(name);
    const [divisor, unit] = view.axis === "time" ? unitOf(this.longest()) : [1, ""];
    const factor = metric.percent ? 100 : 1;
    const log = view.log && metric.log;
    const put = (values) => values.map((value) => (value === null || (log && value <= 0) ? null : value * factor));
    const along = (line) => (divisor === 1 ? line.x : line.x.map((value) => (value === null ? null : value / divisor)));
    const there = this.found.get(name).filter(({ line }) => line.x.some((x) => x !== null));
    const without = this.found.get(name).length - there.length;
    const how = {
      name, metric, put, along, runs: this.runs, smoothing: view.smoothing, shown: this.shown, looks: this.looks, background: this.colours.background,
      hover: `%{y:.4g}${metric.percent ? " %" : ""}`,
    };
    const traces = [...tracesOf(there, how), ...(metric.better ? [starsOf(there, how)] : [])];
    const heading = name === "norm" ? `${metric.title} of ${view.layer}` : metric.title;
    panel.querySelector("h3").textContent = heading;
    const axisWords = { step: "step", epoch: "epoch", time: `time since the first step (${unit})` }[view.axis];
    panel.querySelector("small").textContent = [metric.note, metric.better ? "★ best" : "", without ? `${without} without ${view.axis === "epoch" ? "epochs" : view.axis}` : ""].filter(Boolean).join(" \u00b7 ");
    const plot = panel.querySelector(".thaw-cmp-plot");
    plot.setAttribute("aria-label", `${heading} over ${axisWords}, ${there.length} lines; the table below the charts has their values`);
    const logged = log ? this.scales.logAxis(there.flatMap(({ line }) => put(line.y))) : null;
    const fresh = !plot.on;
    this.Plotly.react(plot, traces, this.layout(name, axisWords, metric, logged, this.shown), {
      displaylogo: false, displayModeBar: "hover", modeBarButtons: [["zoom2d", "pan2d", "autoScale2d", "toImage"]], doubleClick: "autosize",
      toImageButtonOptions: { filename: `compare-${name}`, scale: 2 },
    });
    if (fresh) plot.on("plotly_relayout", (changed) => this.zoomed(name, rangeOf(changed)));
  }

  // Somebody has chosen a part of the axis in one panel: all of them show it.
  zoomed(name, range) {
    if (range === undefined) return;
    this.range = range && { along: this.along, ends: range };
    this.zooms += 1; // otherwise Plotly keeps what was done in a panel before
    for (const other of this.found.keys()) if (other !== name) this.stale.add(other);
    this.drawPanels();
  }

  // What the axis means: a part of one means nothing on another.
  get along() { return `${this.view.axis} ${this.view.logx}`; }

  layout(name, axisWords, metric, log, count) {
    const { view, colours } = this;
    // Without ticklabeloverflow each label is measured, and that is a third of the time that it takes to draw twenty lines.
    const axis = { gridcolor: colours.grid, linecolor: colours.grid, zeroline: false, ticks: "", ticklabeloverflow: "allow" };
    const kind = `${this.along} ${Boolean(log)}`; // a zoom on one kind of axis means nothing on another
    const ends = this.range?.along === this.along ? this.range.ends : null;
    const plot = this.panel(name).querySelector(".thaw-cmp-plot");
    return {
      // Above there is room for half a label at the end of the axis: where Plotly has to make some, it draws all of it twice.
      height: 270, ...this.looks.widthOf(plot), margin: { l: 52, r: 14, t: 18, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: { family: colours.font, size: 12, color: colours.text }, uirevision: kind, hovermode: count > 8 ? "closest" : "x unified", dragmode: "zoom",
      hoverlabel: { bgcolor: colours.background, bordercolor: colours.grid, font: { color: colours.text, family: colours.font }, namelength: 40 },
      xaxis: {
        ...axis, title: { text: axisWords, standoff: 6, font: { size: 12 } }, type: view.logx ? "log" : "linear", ...(view.axis === "step" ? { tickformat: ",d" } : {}),
        ...(ends ? { range: ends, autorange: false } : { autorange: true }), uirevision: `${kind} ${this.zooms}`,
      },
      yaxis: { ...axis, automargin: true, nticks: 6, ...(metric.percent ? { ticksuffix: " %" } : {}), ...(name === "rate" ? { rangemode: "tozero", exponentformat: "e" } : {}), ...(log ? log.axis : {}) },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.muted, activecolor: colours.text },
    };
  }

  table() {
    if (!this.root.querySelector("details").open || !this.found) return;
    const { escaped, count } = this.looks;
    const told = (value, percent) => (percent ? `${(100 * value).toFixed(1)} %` : String(Number(value.toPrecision(4))));
    const rows = [...this.found.values()].flat().map(({ name, panel, line, found, percent }) => {
      const [low, high, last] = ["low", "high", "last"].map((end) => told(line.y[found[end]], percent));
      return `<tr><th scope="row">${escaped(name)}</th><td>${escaped(panel)}</td><td>${low}</td><td>${count(line.step[found.low])}</td><td>${high}</td><td>${count(line.step[found.high])}</td><td>${last}</td></tr>`;
    });
    this.root.querySelector("tbody").innerHTML = rows.join("");
  }
}
