// Live charts of one run: the connection, what is redrawn when, and the zoom that all figures share. `mount` is called when Streamlit
// shows the component and again whenever its data or the theme changes; what belongs to one place on the page is kept in `charts`,
// so a second call only redraws. What has arrived is kept by run_history.js; the other modules draw it.

const SLOW_REDRAW_AFTER = 1000; // milliseconds: all but loss and accuracy are drawn less often than messages come
const QUICK = ["loss", "accuracy"];

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`); // all modules carry one digest, see assets.py
const [{ RunHistory }, { ENDED, mixed, readColours }, { drawLines, drawPicture }, { CanvasPanel }, waterfall, lane] =
  await Promise.all(["run_history", "looks", "drawing", "canvas_panel", "waterfall", "freeze_lane"].map(beside));
const [{ fitNames, layerRows, layerTable }, { OneLayer }, spoken, { Evidence }, { PANELS, PAGE, heightOf }, { Press }] =
  await Promise.all(["layer_table", "one_layer", "spoken", "evidence", "panels", "press"].map(beside));
const [{ Connection, line }, { Scales }, { Large }, { Branching }, { Pace }, { loadPlotly }] =
  await Promise.all(["connection", "scales", "large", "branching", "pace", "plotly_loader"].map(beside));
export { line };

const charts = new WeakMap();

export function mount({ data, parentElement, setTriggerValue }) {
  loadPlotly(data.plotly);
  begin(data.run, parentElement);
  if (!data.run) return () => {};
  const root = parentElement.querySelector(".thaw-live");
  let chart = charts.get(root);
  if (chart && chart.run !== data.run) { chart.close(); chart = null; }
  if (!chart) { chart = new LiveChart(root, data); charts.set(root, chart); }
  else chart.expect(data);
  chart.send = setTriggerValue;
  return () => { chart.close(); charts.delete(root); };
}

let begun = null; // the run whose page is shown
/** The page of another run begins at its top: a form, or a list of runs, that was scrolled would leave its curves out of sight. */
function begin(run, element) {
  if (run && run !== begun) element.closest("[data-testid=stMain]")?.scrollTo({ top: 0, behavior: "instant" });
  begun = run;
}

let mounted = 0; // radio buttons of one chart need a name that no other chart has

class LiveChart {
  constructor(root, { run, plotly: address, ...expected }) {
    Object.assign(this, { root, run, expected });
    this.history = new RunHistory();
    this.cursor = null;
    this.zoom = null; // range of steps that all figures show; null: everything
    this.heights = {}; // what loss and accuracy show of their values, see figures.js
    this.rowRange = null; // rows that the waterfall shows, in its pixels from the bottom to the top; null: all
    this.view = "norm"; // what the waterfall shows, see waterfall.js
    this.dirty = new Set();
    this.quick = new Pace(() => this.flush());
    this.slow = new Pace(() => this.flush(), SLOW_REDRAW_AFTER);
    this.layer = null;
    this.scales = new Scales(run);
    this.hidden = { loss: new Set(), accuracy: new Set(), rate: new Set(), forgetting: new Set() }; // lines that somebody has hidden
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
    for (const name of ["loss", "rate"]) this.logButton(name).onclick = () => this.setLog(name, this.logButton(name).ariaPressed !== "true");
    this.large = new Large(this);
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
    this.branching = new Branching(this);
    this.reserve();
    this.wide = this.width();
    this.sizes = new ResizeObserver(() => this.resized());
    for (const element of [root, this.large.dialog]) this.sizes.observe(element);
    this.connection = new Connection({
      query: () => this.query(), receive: (message) => this.receive(message), status: () => this.about?.status,
      say: (state, word, sentence) => spoken.say(this, state, word, sentence),
    });
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
        tell: (step, y, grain) => waterfall.tellWaterfall(this, rows(), step, y, grain),
        open: (_, y) => { this.large.close(); this.openLayer(waterfall.rowAt(rows(), y)); },
      }),
      lane: new CanvasPanel(this, "lane", {
        paint: (context, frame) => lane.paintLane(this, context, frame), tell: (step, y) => lane.tellLane(this, step, y),
      }),
    };
  }

  close() {
    this.closed = true;
    for (const pace of [this.quick, this.slow]) pace.close();
    this.connection.close();
    this.sizes.disconnect();
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

  // What is asked of the server: all of the run, or what came after what is here.
  query() {
    const numbers = Object.entries(this.cursor ?? {}).filter(([, value]) => typeof value === "number");
    return `run=${encodeURIComponent(this.run)}${numbers.map(([name, value]) => `&${name === "step" ? "after" : name}=${value}`).join("")}`;
  }

  receive(message) {
    this.cursor = message.cursor ?? this.cursor;
    this.about = message.run;
    const fresh = this.history.take(message);
    const redraw = {
      everything: [...Object.keys(PANELS), "table", "layer"], steps: ["loss", "rate", "lane"], epochs: ["loss", "accuracy"], norms: ["heat", "table", "layer"],
      updates: ["heat", "table", "layer"], changes: [...Object.keys(PANELS), "table", "layer"], inspections: ["layer"],
      forgetting: ["forgetting"],
    };
    for (const what of fresh) for (const name of redraw[what]) this.dirty.add(name);
    if (fresh.has("epochs") || fresh.has("everything")) spoken.listEpochs(this);
    if (fresh.has("changes") || fresh.has("everything")) spoken.listChanges(this);
    if (fresh.has("inspections")) this.slow.hasten(); // somebody waits for it
    const ended = ENDED.includes(message.run.status);
    if (fresh.has("everything")) {
      this.reserve();
      this.root.querySelector(".thaw-changes ol").hidden = ended && !this.history.changes.length; // none will come
    }
    if (ended) spoken.say(this, "ended", "Complete");
    else if (message.run.status === "paused") spoken.say(this, "paused", "Paused");
    else if (message.run.status === "queued") spoken.say(this, "paused", "Waiting");
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
      forgetting: history.forgetting.step.length,
      branched: this.about?.fork?.step ?? "",
      level: this.cursor?.level ?? 0,
      notFinite: history.notFinite.length,
      view: this.view,
      layer: this.layer?.name ?? "",
      lane: JSON.stringify(lane.laneAsData(history)),
    });
  }

  // What is drawn

  dirtyAll() { for (const name of [...Object.keys(PANELS), "table", "layer"]) this.dirty.add(name); }
  drawAll() {
    this.colours = this.readColours();
    this.dirtyAll();
    this.drawNow();
  }

  // What somebody has just asked for is not kept waiting.
  drawNow() {
    this.quick.hasten();
    this.slow.hasten();
    this.flush();
  }

  flush() {
    // A hidden tab keeps what arrives and draws it once it is looked at. So does a chart that somebody drags a zoom over: what is
    // selected stays where it was when the pointer went down.
    if (!this.Plotly || document.hidden || this.closed || this.press.now) return;
    const dirty = [...this.dirty], quick = dirty.filter((name) => QUICK.includes(name)), slow = dirty.filter((name) => !QUICK.includes(name));
    for (const [pace, names] of [[this.quick, quick], [this.slow, slow]]) if (names.length && pace.now()) pace.draw(() => this.drawThese(names));
    if (!this.dirty.size) this.root.dataset.whole = this.history.lastStep; // everything that is drawn is of this step
  }

  drawThese(names) {
    for (const name of names) {
      this.dirty.delete(name);
      this.draw(name);
    }
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
      displaylogo: false, displayModeBar: "hover", modeBarButtons: [["zoom2d", "pan2d", "toImage"]], doubleClick: "autosize",
      toImageButtonOptions: { filename: `${this.run}-${name}`, scale: 2 },
    };
  }

  draw(name) {
    if (!this.Plotly || (name === "forgetting" && this.panel(name).hidden)) return;
    if (name === "table") {
      fitNames(this.table, this.history);
      return this.table.show(layerRows(this.history));
    }
    if (name === "layer") return this.layer?.draw();
    if (name === "heat" || name === "lane") drawPicture(this, name);
    else drawLines(this, name);
    this.root.dataset.drawn = this.history.lastStep;
  }

  height(name) {
    const { layers, blocks } = this.history;
    return heightOf(name, layers.length || this.expected.rows, blocks.length || this.expected.blocks);
  }

  // What the page knows of the model before the first message has come.
  expect({ rows, blocks, forgetting }) {
    this.expected = { rows, blocks, forgetting };
    this.reserve();
    this.drawAll();
  }

  // Take the room that all figures will need, before there is anything to draw. What lies below the waterfall is shown once the model is known.
  reserve() {
    this.panel("forgetting").hidden = !this.expected.forgetting;
    for (const name of Object.keys(PANELS)) if (this.large.name !== name) this.plot(name).style.height = `${this.height(name)}px`;
    const rows = this.history.layers.length || this.expected.rows || 0;
    this.table.reserve(rows);
    this.root.dataset.known = rows > 0;
    waterfall.tellAbout(this.panel("heat"), rows, this.view);
  }

  width() {
    const { name, dialog } = this.large;
    return [this.root.clientWidth, ...(name ? [dialog.clientWidth, dialog.clientHeight] : [])].join();
  }

  // Figures follow the room that they have, whatever takes it from them: the window, a drawer beside them, a dialog.
  resized() {
    const wide = this.width();
    if (wide === this.wide) return;
    this.wide = wide;
    this.drawAll();
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
    this.drawNow();
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
    this.drawNow();
    this.publish();
    spoken.summarise(this);
  }

  logButton(name) { return this.panel(name).querySelector("[data-act=log]"); }

  setLog(name, log) {
    this.scales.choose(name, log);
    this.draw(name);
    spoken.write(this.root.querySelector(".thaw-unseen"), `${PANELS[name].title}: ${log ? "log" : "linear"} scale.`);
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
