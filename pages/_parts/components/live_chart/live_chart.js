// Live charts of one run: the connection, what is redrawn when, and the zoom that all figures share. `mount` is called when Streamlit
// shows the component and again whenever its data or the theme changes; what belongs to one place on the page is kept in `charts`,
// so a second call only redraws. What has arrived is kept by run_history.js; the other modules draw it.

const RECONNECT_AFTER = 1000; // milliseconds
const SLOW_REDRAW_AFTER = 1000; // milliseconds: all but loss and accuracy are drawn less often than messages come
const NO_SUCH_RUN = 4404, UNREADABLE = 4422; // close codes of the /live route
const SLOW = ["heat", "lane", "rate", "table", "layer"];

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`); // all modules carry one digest, see assets.py
const [{ RunHistory }, { baseLayout, merge, mixed, readColours }, { drawLoss, drawAccuracy, drawRate }, { CanvasPanel }, waterfall, lane] =
  await Promise.all(["run_history", "looks", "figures", "canvas_panel", "waterfall", "freeze_lane"].map(beside));
const [{ markers }, { fitNames, layerRows, layerTable }, { OneLayer }, spoken, { Evidence }, { PANELS, PAGE }, { Press }] =
  await Promise.all(["markers", "layer_table", "one_layer", "spoken", "evidence", "panels", "press"].map(beside));

// Thaw may lie below a path that only a proxy knows of, and the page's address may have changed since: this script lies in its assets/.
const HOME = new URL("..", import.meta.url);

/** The address of the live line with this query, beside the assets of a Thaw at `home`: ws:// for http://, wss:// for https://. */
export function line(query, home = HOME) {
  const address = new URL(`live?${query}`, home);
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}

const charts = new WeakMap();

export function mount({ data, parentElement, setTriggerValue }) {
  loadPlotly(data.plotly);
  if (!data.run) return () => {};
  const root = parentElement.querySelector(".thaw-live");
  let chart = charts.get(root);
  if (chart && chart.run !== data.run) { chart.close(); chart = null; }
  if (!chart) { chart = new LiveChart(root, data); charts.set(root, chart); }
  else chart.drawAll();
  chart.send = setTriggerValue;
  return () => { chart.close(); charts.delete(root); };
}

let plotly = null;
function loadPlotly(address) {
  plotly ??= new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    const script = document.createElement("script");
    script.src = new URL(address, HOME);
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { plotly = null; reject(new Error("plotly.min.js could not be loaded")); };
    document.head.append(script);
  });
  return plotly;
}

let mounted = 0; // radio buttons of one chart need a name that no other chart has

class LiveChart {
  constructor(root, { run, plotly: address }) {
    this.root = root;
    this.run = run;
    this.history = new RunHistory();
    this.cursor = null;
    this.zoom = null; // range of steps that all figures show; null: everything
    this.heights = {}; // what loss and accuracy show of their values, see figures.js
    this.rowRange = null; // rows that the waterfall shows, in its pixels from the bottom to the top; null: all
    this.view = "norm"; // what the waterfall shows, see waterfall.js
    this.dirty = new Set();
    this.slowDrawn = 0;
    this.layer = null;
    root.innerHTML = PAGE;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Live charts of this run");
    this.colours = this.readColours();
    this.slider = root.querySelector(".thaw-smoothing input");
    this.slider.oninput = () => {
      root.querySelector("output").textContent = Number(this.slider.value).toFixed(2);
      this.draw("loss");
    };
    root.querySelector("[data-act=reset]").onclick = () => this.resetZoom();
    root.querySelector("[data-act=back]").onclick = () => this.evidence.back();
    mounted += 1;
    for (const radio of root.querySelectorAll(".thaw-view input")) {
      radio.name = `thaw-view-${mounted}`;
      radio.onchange = () => this.show(radio.value);
    }
    this.table = layerTable(root.querySelector(".thaw-layer-table"), this);
    this.onVisible = () => { if (!document.hidden) this.flush(); };
    document.addEventListener("visibilitychange", this.onVisible);
    this.onWatching = () => spoken.watching(this);
    window.addEventListener(spoken.WATCHING, this.onWatching);
    this.press = new Press(root, () => this.flush());
    this.evidence = new Evidence(this);
    this.connect();
    loadPlotly(address).then(
      (Plotly) => { if (!this.closed) { this.Plotly = Plotly; this.setUp(); this.drawAll(); this.evidence.show(); } },
      (error) => spoken.say(this, "lost", error.message),
    );
  }

  setUp() {
    const rows = () => this.rows;
    this.pictures = {
      heat: new CanvasPanel(this, "heat", {
        paint: (context, frame) => waterfall.paintWaterfall(this, rows(), context, frame),
        tell: (step, y) => waterfall.tellWaterfall(this, rows(), step, y),
        open: (_, y) => { if (y <= rows().total) this.openLayer(waterfall.rowAt(rows(), y)); },
      }),
      lane: new CanvasPanel(this, "lane", {
        paint: (context, frame) => lane.paintLane(this, context, frame), tell: (step, y) => lane.tellLane(this, step, y),
      }),
    };
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.slowTimer);
    this.socket?.close();
    document.removeEventListener("visibilitychange", this.onVisible);
    window.removeEventListener(spoken.WATCHING, this.onWatching);
    this.press.close();
    this.evidence.close();
    for (const picture of Object.values(this.pictures ?? {})) picture.close();
    for (const plot of this.root.querySelectorAll(".thaw-plot")) this.Plotly?.purge(plot);
    this.root.replaceChildren();
  }

  panel(name) { return this.root.querySelector(`[data-panel=${name}]`); }
  plot(name) { return this.root.querySelector(`[data-panel=${name}] .thaw-plot`); }

  // What has arrived

  connect() {
    const numbers = Object.entries(this.cursor ?? {}).filter(([, value]) => typeof value === "number");
    const at = numbers.map(([name, value]) => `&${name === "step" ? "after" : name}=${value}`).join("");
    const socket = new WebSocket(line(`run=${encodeURIComponent(this.run)}${at}`));
    this.socket = socket;
    socket.onopen = () => spoken.say(this, "live", "Live");
    socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (this.closed) return;
      if (code === NO_SUCH_RUN) return spoken.say(this, "lost", "This run is gone");
      if (code === UNREADABLE) return spoken.say(this, "lost", "This run cannot be read");
      spoken.say(this, "lost", "Reconnecting");
      this.retry = setTimeout(() => this.connect(), RECONNECT_AFTER);
    };
  }

  receive(message) {
    this.cursor = message.cursor ?? this.cursor;
    this.about = message.run;
    const fresh = this.history.take(message);
    const redraw = {
      everything: [...Object.keys(PANELS), "table", "layer"], steps: ["loss", "rate", "lane"], epochs: ["loss", "accuracy"], norms: ["heat", "table", "layer"],
      updates: ["heat", "table", "layer"], changes: [...Object.keys(PANELS), "table", "layer"], inspections: ["layer"],
    };
    for (const what of fresh) for (const name of redraw[what]) this.dirty.add(name);
    if (fresh.has("epochs") || fresh.has("everything")) spoken.listEpochs(this);
    if (fresh.has("changes") || fresh.has("everything")) spoken.listChanges(this);
    if (fresh.has("inspections")) this.slowDrawn = 0; // somebody waits for it
    if (["finished", "stopped", "failed", "lost"].includes(message.run.status)) spoken.say(this, "ended", "Complete");
    else if (message.run.status === "paused") spoken.say(this, "paused", "Paused");
    else spoken.say(this, "live", "Live");
    this.layer?.state();
    this.publish();
    spoken.summarise(this);
    this.flush();
    this.evidence.show();
  }

  // Figures for tests and for other scripts on the page.
  publish() {
    const { history } = this;
    Object.assign(this.root.dataset, {
      run: this.run,
      status: this.about?.status ?? "",
      step: history.lastStep,
      points: history.steps.step.length,
      epochs: history.epochs.epoch.length,
      columns: history.norms.length,
      updates: history.ratios.length,
      layers: history.layers.length,
      blocks: history.blocks.length,
      frozen: history.frozenNow,
      changes: history.changes.length,
      inspections: history.inspections.length,
      level: this.cursor?.level ?? 0,
      notFinite: history.notFinite.length,
      view: this.view,
      layer: this.layer?.name ?? "",
      lane: JSON.stringify(lane.laneAsData(history)),
    });
  }

  // What is drawn

  dirtyAll() { for (const name of [...Object.keys(PANELS), "table", "layer"]) this.dirty.add(name); }
  drawAll() { this.dirtyAll(); this.slowDrawn = 0; this.flush(); }

  flush() {
    // A hidden tab keeps what arrives and draws it once it is looked at. So does a chart that somebody drags a zoom over: what is
    // selected stays where it was when the pointer went down.
    if (!this.Plotly || document.hidden || this.closed || this.press.now) return;
    this.colours = this.readColours();
    const slow = SLOW.some((name) => this.dirty.has(name)) && this.slowIsDue();
    for (const name of [...this.dirty]) {
      if (SLOW.includes(name) && !slow) continue;
      this.dirty.delete(name);
      this.draw(name);
    }
  }

  slowIsDue() {
    const wait = this.slowDrawn + SLOW_REDRAW_AFTER - performance.now();
    if (wait <= 0) { this.slowDrawn = performance.now(); return true; }
    this.slowTimer ??= setTimeout(() => { this.slowTimer = null; this.flush(); }, wait);
    return false;
  }

  readColours() {
    const colours = readColours(this.root);
    // As CSS variables, so that keys and tables show the same colours as the canvas.
    for (const name of ["frozen", "zero", "none", "broken"]) {
      this.root.style.setProperty(`--thaw-${name}`, colours[name]);
      this.root.style.setProperty(`--thaw-${name}-line`, colours[`${name}Line`]);
    }
    this.learnsFill = mixed(colours.learns, colours.background, 0.62);
    this.partFill = mixed(colours.learns, colours.background, 0.28);
    return colours;
  }

  config(name) {
    return {
      responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtons: [["zoom2d", "pan2d", "toImage"]], doubleClick: "autosize",
      toImageButtonOptions: { filename: `${this.run}-${name}`, scale: 2 },
    };
  }

  draw(name) {
    if (!this.Plotly) return;
    if (name === "table") {
      fitNames(this.table, this.history);
      return this.table.show(layerRows(this.history));
    }
    if (name === "layer") return this.layer?.draw();
    if (name === "heat" || name === "lane") this.drawPicture(name);
    else {
      const plot = this.plot(name);
      const [traces, layout] = { loss: drawLoss, accuracy: drawAccuracy, rate: drawRate }[name](this);
      const whole = this.marked(name, merge(baseLayout(this), name === "rate" ? merge(layout, { margin: this.sides() }) : layout), plot);
      const first = !plot.classList.contains("js-plotly-plot");
      plot.style.height = `${whole.height}px`; // Plotly forgets its height when the window changes
      this.Plotly.react(plot, traces, whole, this.config(name));
      if (first) plot.on("plotly_relayout", (event) => this.follow(name, event));
      if (name === "rate") this.panel("rate").querySelector("small").textContent = traces.length > 1 ? "one line for each multiplier" : "";
    }
    this.root.dataset.drawn = this.history.lastStep;
  }

  drawPicture(name) {
    const plot = this.plot(name);
    if (name === "heat") this.rows = waterfall.arrange(this.history);
    this.labelLength = this.root.clientWidth < 760 ? 18 : 30;
    const layout = merge(name === "heat" ? waterfall.layoutWaterfall(this, this.rows) : lane.layoutLane(this), { margin: this.sides() });
    const whole = this.marked(name, merge(baseLayout(this), layout), plot);
    whole.yaxis.uirevision = whole.datarevision; // the rows in sight are ours to keep, as the range of steps is
    const first = this.pictures[name].draw(whole, { ...this.config(name), doubleClick: false });
    if (first) plot.on("plotly_relayout", (event) => this.follow(name, event));
    if (name === "heat") {
      const view = waterfall.VIEWS[this.view];
      this.panel("heat").querySelector("h3").textContent = view.title;
      this.panel("heat").querySelector(".thaw-key").innerHTML = waterfall.keyOf(this);
      const about = this.panel("heat").querySelector(".thaw-about");
      about.textContent = view.about;
      about.hidden = !view.about;
    }
  }

  // The same room left and right of the wide figures, so that a step stands at the same place in all of them.
  sides() {
    const longest = (names, width) => Math.max(0, ...names.map((name) => Math.min(name.length, this.labelLength ?? 30))) * width;
    const { layers, blocks } = this.history;
    return { l: Math.max(56, Math.ceil(Math.max(longest(layers.map(({ name }) => name), 6.05), longest(blocks.map(({ name }) => name), 6.65))) + 10), r: 10 };
  }

  // A figure's layout with the window of a finding, a line and a flag for each change, and room for the flags.
  marked(name, layout, plot) {
    const width = Math.max(100, plot.clientWidth - layout.margin.l - layout.margin.r);
    const whole = this.with(layout, this.evidence.marks(name, width));
    if (!this.history.changes.length) return whole;
    const changes = markers(this, width);
    this.root.dataset.markers = changes.shapes.length;
    const legend = { ...layout.legend, yref: "container", y: 0.995, yanchor: "top" };
    return { ...this.with(whole, { ...changes, room: layout.showlegend ? 16 : 12 }), legend };
  }

  with(layout, { shapes, annotations, room }) {
    return {
      ...layout, height: layout.height + room, margin: { ...layout.margin, t: layout.margin.t + room },
      shapes: [...(layout.shapes ?? []), ...shapes], annotations: [...(layout.annotations ?? []), ...annotations],
    };
  }

  // The range of steps that is shown. A copy: Plotly writes into the one that it is given.
  range() { return this.zoom ? [...this.zoom] : [0, Math.max(this.history.lastStep, 10) + 0.5]; }

  // All figures share their axis of steps: a zoom in one is a zoom in all.
  follow(name, event) {
    let zoom = this.zoom;
    if (event["xaxis.range[0]"] !== undefined) zoom = [event["xaxis.range[0]"], event["xaxis.range[1]"]];
    else if (event["xaxis.range"]) return; // our own, see canvas_panel.js
    else if (event["xaxis.autorange"]) return this.wholeRun();
    if (name === "heat" && event["yaxis.range[0]"] !== undefined) {
      this.rowRange = [Math.min(this.rows.height, event["yaxis.range[0]"]), Math.max(0, event["yaxis.range[1]"])];
      this.dirty.add("heat"); // other labels fit now
    } else if (JSON.stringify(zoom) === JSON.stringify(this.zoom)) return;
    this.zoom = zoom;
    this.heights = { [name]: this.heights[name] }; // those of the others were for other steps
    for (const other of [...Object.keys(PANELS), "layer"]) if (other !== name) this.dirty.add(other);
    this.slowDrawn = 0;
    this.flush();
  }

  // Have all figures show a range of steps (null: the whole run), at `heights` (see figures.js) or all that there are. To be drawn by the caller.
  zoomTo(range, heights = {}) {
    this.zoom = range;
    this.heights = heights;
    this.rowRange = null;
    this.revision = (this.revision ?? 0) + 1;
  }

  // The whole run again. What a finding has marked stays marked until somebody asks for the button.
  wholeRun() {
    this.zoomTo(null);
    this.drawAll();
  }

  resetZoom() {
    this.evidence.forget();
    this.wholeRun();
  }

  // What a person asks for

  show(view) {
    this.view = view;
    this.root.querySelector(`.thaw-view [value=${view}]`).checked = true;
    this.dirty.add("heat");
    this.slowDrawn = 0;
    this.flush();
    this.publish();
    spoken.summarise(this);
  }

  openLayer(row, { arrive = true } = {}) {
    const name = this.history.layers[row]?.name;
    if (!name) return;
    this.layer?.close();
    this.layer = new OneLayer(this, this.panel("layer"), row, {
      onClose: () => this.closeLayer(), onInspect: (name) => this.send?.("inspect", { name }),
    });
    if (arrive) this.layer.arrive();
    this.table.opened = this.table.current = name;
    this.table.render();
    this.publish();
  }

  closeLayer() {
    const name = this.layer?.name;
    this.layer?.close();
    this.layer = null;
    this.table.opened = null;
    this.table.render();
    (this.table.button(name) ?? this.table.scroll).focus({ preventScroll: true });
    this.publish();
  }

  // A few lines beside the pointer; null hides them.
  tip(lines, event) {
    const tip = this.root.querySelector(".thaw-hint");
    if (!tip) return;
    tip.hidden = !lines;
    if (!lines) return;
    tip.replaceChildren(...lines.map((line, at) => Object.assign(document.createElement(at ? "span" : "b"), { textContent: line })));
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${event.clientX + 14 + width > innerWidth - 8 ? Math.max(4, event.clientX - 14 - width) : event.clientX + 14}px`;
    tip.style.top = `${event.clientY + 16 + height > innerHeight - 8 ? event.clientY - 12 - height : event.clientY + 16}px`;
  }
}
