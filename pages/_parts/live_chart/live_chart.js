// Live charts of one run. `mount` is called when Streamlit shows the component and again whenever its data or the theme changes;
// what belongs to one place on the page is kept in `charts`, so a second call only redraws. Messages: see core/stream.py.

const RECONNECT_AFTER = 1000; // milliseconds
const HEAT_REDRAW_AFTER = 900; // milliseconds: the heatmap is the expensive figure, so it is drawn less often than lines
const NO_SUCH_RUN = 4404; // close code of the /live route
const FROZEN = -32768, ZERO = -32767, NOT_FINITE = 32767; // codes among gradient norms, see core/stream.py

const charts = new WeakMap();

export function mount({ data, parentElement }) {
  loadPlotly(data.plotly);
  if (!data.run) return () => {};
  const root = parentElement.querySelector(".thaw-live");
  let chart = charts.get(root);
  if (chart && chart.run !== data.run) { chart.close(); chart = null; }
  if (!chart) { chart = new LiveChart(root, data); charts.set(root, chart); }
  else chart.drawAll();
  return () => { chart.close(); charts.delete(root); };
}

let plotly = null;
function loadPlotly(address) {
  plotly ??= new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { plotly = null; reject(new Error("plotly.min.js could not be loaded")); };
    document.head.append(script);
  });
  return plotly;
}

const PANELS = {
  loss: { title: "Loss", note: "lower is better" },
  accuracy: { title: "Accuracy", note: "measured after each epoch" },
  heat: { title: "Gradient norms", note: "one row a layer, log scale" },
  rate: { title: "Learning rate", note: "" },
};

const PAGE = `
  <div class="thaw-bar">
    <span class="thaw-link" data-state="connecting"><i aria-hidden="true"></i><span>Connecting</span></span>
    <p class="thaw-summary"></p>
    <label class="thaw-smoothing">Smoothing <input type="range" min="0" max="0.98" step="0.02" value="0.6"><output>0.60</output></label>
    <button type="button" class="thaw-reset">Reset zoom</button>
  </div>
  <div class="thaw-panels">${Object.entries(PANELS).map(([name, { title, note }]) => `
    <section class="thaw-panel" data-panel="${name}">
      <header><h3>${title}</h3><small>${note}</small><span class="thaw-key"></span></header>
      <div class="thaw-plot" role="img" aria-label="${title} chart"></div>
    </section>`).join("")}
  </div>
  <details class="thaw-epochs"><summary>Numbers of every epoch</summary>
    <div class="thaw-scroll"><table><thead><tr><th scope="col">Epoch</th><th scope="col">Training loss</th><th scope="col">Validation loss</th>
    <th scope="col">Training accuracy</th><th scope="col">Validation accuracy</th></tr></thead><tbody></tbody></table></div>
  </details>
  <p class="thaw-unseen" role="status" aria-live="polite"></p>`;

class LiveChart {
  constructor(root, { run, plotly: address }) {
    this.root = root;
    this.run = run;
    this.cursor = null;
    this.zoom = null; // range of steps that all figures show; null: everything
    this.dirty = new Set();
    this.heatDrawn = 0;
    this.forget();
    root.innerHTML = PAGE;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Live charts of this run");
    this.slider = root.querySelector("input");
    this.slider.oninput = () => {
      root.querySelector("output").textContent = Number(this.slider.value).toFixed(2);
      this.draw("loss");
    };
    root.querySelector(".thaw-reset").onclick = () => this.resetZoom();
    this.onVisible = () => { if (!document.hidden) this.flush(); };
    document.addEventListener("visibilitychange", this.onVisible);
    this.connect();
    loadPlotly(address).then((Plotly) => { if (!this.closed) { this.Plotly = Plotly; this.drawAll(); } }, (error) => this.say("lost", error.message));
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.heatTimer);
    this.socket?.close();
    document.removeEventListener("visibilitychange", this.onVisible);
    for (const plot of this.root.querySelectorAll(".thaw-plot")) this.Plotly?.purge(plot);
    this.root.replaceChildren();
  }

  plot(name) { return this.root.querySelector(`[data-panel=${name}] .thaw-plot`); }

  // What has arrived

  forget() {
    this.steps = { step: [], loss: [], low: [], high: [], learning_rate: [] };
    this.epochs = { epoch: [], step: [], train_loss: [], train_accuracy: [], validation_loss: [], validation_accuracy: [] };
    this.heat = { step: [], columns: [] };
    this.notFinite = [];
    this.layers = [];
  }

  connect() {
    const at = this.cursor ? `&after=${this.cursor.step}&level=${this.cursor.level}&heat=${this.cursor.heat}&epoch=${this.cursor.epoch}` : "";
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/live?run=${encodeURIComponent(this.run)}${at}`);
    this.socket = socket;
    socket.onopen = () => this.say("live", "Live");
    socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (this.closed) return;
      if (code === NO_SUCH_RUN) return this.say("lost", "This run is gone");
      this.say("lost", "Reconnecting");
      this.retry = setTimeout(() => this.connect(), RECONNECT_AFTER);
    };
  }

  receive(message) {
    this.cursor = message.cursor ?? this.cursor;
    this.about = message.run;
    if (message.reset) { this.forget(); this.dirtyAll(); }
    if (message.layers) this.layers = message.layers;
    if (message.steps) {
      append(this.steps, message.steps);
      this.dirty.add("loss").add("rate");
    }
    if (message.not_finite) { this.notFinite.push(...message.not_finite); this.dirty.add("loss"); }
    if (message.epochs) {
      append(this.epochs, message.epochs);
      this.dirty.add("loss").add("accuracy");
      this.listEpochs();
    }
    if (message.heat) {
      const size = this.layers.length;
      const codes = decode(message.heat.values);
      message.heat.step.forEach((step, column) => {
        this.heat.step.push(step);
        this.heat.columns.push(codes.subarray(column * size, (column + 1) * size));
      });
      this.dirty.add("heat");
    }
    if (["finished", "stopped", "failed", "lost"].includes(message.run.status)) this.say("ended", "Complete");
    else if (message.run.status === "paused") this.say("paused", "Paused");
    else this.say("live", "Live");
    this.publish();
    this.summarise();
    this.flush();
  }

  // Figures for tests and for other scripts on the page.
  publish() {
    Object.assign(this.root.dataset, {
      run: this.run,
      status: this.about?.status ?? "",
      step: this.steps.step.at(-1) ?? 0,
      points: this.steps.step.length,
      epochs: this.epochs.epoch.length,
      columns: this.heat.step.length,
      layers: this.layers.length,
      frozen: this.layers.filter((layer) => layer.frozen).length,
      level: this.cursor?.level ?? 0,
      notFinite: this.notFinite.length,
    });
  }

  // What is drawn

  dirtyAll() { for (const name of Object.keys(PANELS)) this.dirty.add(name); }
  drawAll() { this.dirtyAll(); this.flush(); }

  flush() {
    // A hidden tab keeps what arrives and draws it once it is looked at.
    if (!this.Plotly || document.hidden || this.closed) return;
    this.colours = readColours(this.root);
    for (const name of [...this.dirty]) {
      if (name === "heat" && !this.heatIsDue()) continue;
      this.dirty.delete(name);
      this.draw(name);
    }
  }

  heatIsDue() {
    const wait = this.heatDrawn + HEAT_REDRAW_AFTER - performance.now();
    if (wait <= 0) { this.heatDrawn = performance.now(); return true; }
    this.heatTimer ??= setTimeout(() => { this.heatTimer = null; this.flush(); }, wait);
    return false;
  }

  draw(name) {
    if (!this.Plotly) return;
    this.colours ??= readColours(this.root);
    const plot = this.plot(name);
    const [traces, layout] = { loss: drawLoss, accuracy: drawAccuracy, heat: drawHeat, rate: drawRate }[name](this);
    const first = !plot.classList.contains("js-plotly-plot");
    const whole = merge(baseLayout(this), layout);
    plot.style.height = `${whole.height}px`; // Plotly forgets its height when the window changes
    this.Plotly.react(plot, traces, whole, {
      responsive: true, displaylogo: false, displayModeBar: "hover",
      modeBarButtons: [["zoom2d", "pan2d", "toImage"]], doubleClick: "autosize",
      toImageButtonOptions: { filename: `${this.run}-${name}`, scale: 2 },
    });
    if (first) plot.on("plotly_relayout", (event) => this.follow(name, event));
    this.root.dataset.drawn = this.steps.step.at(-1) ?? 0;
  }

  // All figures share their axis of steps: a zoom in one is a zoom in all.
  follow(name, event) {
    let zoom = this.zoom;
    if (event["xaxis.range[0]"] !== undefined) zoom = [event["xaxis.range[0]"], event["xaxis.range[1]"]];
    else if (event["xaxis.range"]) zoom = [...event["xaxis.range"]];
    else if (event["xaxis.autorange"]) zoom = null;
    if (JSON.stringify(zoom) === JSON.stringify(this.zoom)) return;
    this.zoom = zoom;
    for (const other of Object.keys(PANELS)) if (other !== name) this.dirty.add(other);
    this.heatDrawn = 0;
    this.flush();
  }

  resetZoom() {
    this.zoom = null;
    this.revision = (this.revision ?? 0) + 1;
    this.heatDrawn = 0;
    this.drawAll();
  }

  say(state, text) {
    const link = this.root.querySelector(".thaw-link");
    if (!link) return;
    link.dataset.state = state;
    link.lastElementChild.textContent = text;
  }

  summarise() {
    const { about, steps, epochs } = this;
    const last = (values) => values.findLast((value) => value !== null);
    const parts = [];
    const step = steps.step.at(-1);
    if (!step) parts.push("Waiting for the first step.");
    else {
      parts.push(`Step ${count(step)}${about.total_steps ? ` of ${count(about.total_steps)}` : ""}, epoch ${about.epoch} of ${about.epochs}.`);
      parts.push(`Training loss ${number(last(steps.loss))}.`);
      if (last(epochs.validation_accuracy) !== undefined) parts.push(`Validation accuracy ${percent(last(epochs.validation_accuracy))}.`);
      if (this.notFinite.length) parts.push(`Loss not finite from step ${count(this.notFinite[0])}.`);
    }
    this.root.querySelector(".thaw-summary").textContent = parts.join(" ");
    this.plot("loss").setAttribute("aria-label", `Loss chart. Latest training loss ${number(last(steps.loss))}, validation loss ${number(last(epochs.validation_loss))}.`);
    this.plot("accuracy").setAttribute("aria-label",
      `Accuracy chart. Latest training accuracy ${percent(last(epochs.train_accuracy))}, validation accuracy ${percent(last(epochs.validation_accuracy))}.`);
    this.plot("rate").setAttribute("aria-label", `Learning rate chart. Latest ${number(last(steps.learning_rate))}.`);
    const frozen = this.layers.filter((layer) => layer.frozen).length;
    this.plot("heat").setAttribute("aria-label", `Gradient norm heatmap of ${this.layers.length} layers over steps; ${frozen} of them are frozen.`);
    const learning = this.layers.length - frozen;
    this.root.querySelector("[data-panel=heat] small").textContent = this.layers.length
      ? `${count(learning)} of ${count(this.layers.length)} parameter tensors learn, ${count(frozen)} are frozen · log scale` : PANELS.heat.note;
  }

  listEpochs() {
    const { epochs } = this;
    const body = this.root.querySelector("tbody");
    while (body.rows.length > epochs.epoch.length) body.deleteRow(-1);
    for (let i = body.rows.length; i < epochs.epoch.length; i++) {
      const row = body.insertRow();
      const cells = [epochs.epoch[i], number(epochs.train_loss[i]), number(epochs.validation_loss[i]), percent(epochs.train_accuracy[i]), percent(epochs.validation_accuracy[i])];
      for (const cell of cells) row.insertCell().textContent = cell;
    }
    const i = epochs.epoch.length - 1;
    // Once an epoch, not once a step: a screen reader would never fall silent.
    if (i >= 0) this.root.querySelector(".thaw-unseen").textContent =
      `Epoch ${epochs.epoch[i]} done: training loss ${number(epochs.train_loss[i])}, validation accuracy ${percent(epochs.validation_accuracy[i])}.`;
  }
}

// The four figures: what a chart holds in, [traces, layout] out

function drawLoss(chart) {
  const { steps, epochs, colours, notFinite } = chart;
  const weight = Number(chart.slider.value);
  const banded = chart.cursor && steps.low.some((low, i) => low !== steps.high[i]);
  const traces = [];
  if (banded) {
    const band = { x: steps.step, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false };
    traces.push({ ...band, y: steps.low, name: "lowest" });
    traces.push({ ...band, y: steps.high, name: "lowest to highest", fill: "tonexty", fillcolor: faded(colours.training, 0.14), showlegend: true });
  }
  traces.push({
    x: steps.step, y: steps.loss, name: banded ? "training, mean" : "training, each step", mode: "lines",
    line: { color: faded(colours.training, weight > 0 ? 0.35 : 1), width: weight > 0 ? 1 : 2 }, hovertemplate: "%{y:.4g}",
  });
  if (weight > 0) traces.push({
    x: steps.step, y: smoothed(steps.loss, weight), name: "training, smoothed", mode: "lines",
    line: { color: colours.training, width: 2.2 }, hovertemplate: "%{y:.4g}",
  });
  if (epochs.validation_loss.some((value) => value !== null)) traces.push({
    x: epochs.step, y: epochs.validation_loss, customdata: epochs.epoch, name: "validation", mode: "lines+markers", cliponaxis: false,
    line: { color: colours.validation, width: 2, dash: "dot" }, marker: { size: 7, symbol: "diamond" }, hovertemplate: "%{y:.4g} after epoch %{customdata}",
  });
  const shapes = [];
  if (notFinite.length) {
    const finite = steps.loss.filter((loss) => loss !== null);
    const height = finite.length ? Math.max(...finite) : 1;
    const broken = new Set(notFinite);
    traces.push({
      x: steps.step, y: steps.step.map((step) => (broken.has(step) ? height : null)), name: "not finite", mode: "lines+markers",
      line: { color: faded(colours.bad, 0.4), width: 6 }, marker: { symbol: "x", size: 7, color: colours.bad }, hovertemplate: "loss is NaN or infinite",
    });
    shapes.push({ type: "line", x0: notFinite[0], x1: notFinite[0], yref: "paper", y0: 0, y1: 1, line: { color: colours.bad, width: 1.5, dash: "dash" } });
  }
  return [traces, { shapes, yaxis: { title: { text: "loss" } } }];
}

function drawAccuracy(chart) {
  const { epochs, colours } = chart;
  const line = (key, name, color, symbol, dash) => ({
    x: epochs.step, y: epochs[key].map((share) => (share === null ? null : share * 100)), customdata: epochs.epoch, name, mode: "lines+markers", cliponaxis: false,
    line: { color, width: 2, dash }, marker: { size: 7, symbol }, hovertemplate: "%{y:.1f} % after epoch %{customdata}",
  });
  const traces = [line("train_accuracy", "training", colours.training, "circle", "solid")];
  if (epochs.validation_accuracy.some((value) => value !== null)) traces.push(line("validation_accuracy", "validation", colours.validation, "diamond", "dot"));
  const annotations = epochs.epoch.length ? [] : [note(chart, "The first point comes after the first epoch")];
  return [traces, { annotations, yaxis: { title: { text: "accuracy, %" }, ticksuffix: " %", ...(epochs.epoch.length ? {} : { range: [0, 100] }) } }];
}

function drawRate(chart) {
  const { steps, colours } = chart;
  const rates = steps.learning_rate.filter((rate) => rate !== null);
  return [[{
    x: steps.step, y: steps.learning_rate, name: "learning rate", mode: "lines", line: { color: colours.rate, width: 2, shape: "hv" }, hovertemplate: "%{y:.4g}",
  }], { showlegend: false, height: 150, margin: { t: 8 }, yaxis: { title: { text: "" }, exponentformat: "e", nticks: 4, ...(rates.length ? { range: [0, Math.max(...rates) * 1.12] } : {}) } }];
}

function drawHeat(chart) {
  const { heat, layers, colours } = chart;
  const blank = () => layers.map(() => new Array(heat.step.length).fill(null));
  const norms = blank(), frozen = blank(), broken = blank();
  let anyFrozen = false, anyBroken = false;
  heat.columns.forEach((codes, column) => {
    for (let row = 0; row < layers.length; row++) {
      const code = codes[row];
      if (code === FROZEN) { frozen[row][column] = 0; anyFrozen = true; }
      else if (code === NOT_FINITE) { broken[row][column] = 0; anyBroken = true; }
      else norms[row][column] = code === ZERO ? -12 : code / 100;
    }
  });
  const [low, high] = spread(norms);
  const rows = arrange(layers);
  const names = layers.map((layer) => new Array(heat.step.length).fill(layer.name));
  const field = { type: "heatmap", x: heat.step, y: rows.edges, customdata: names, hoverongaps: false };
  const hover = (words) => `<b>%{customdata}</b><br>step %{x}<br>${words}<extra></extra>`;
  const flat = (z, color, words) => ({ ...field, z, zmin: 0, zmax: 1, showscale: false, colorscale: [[0, color], [1, color]], hovertemplate: hover(words) });
  const traces = [{
    ...field, z: norms, zmin: low, zmax: high, colorscale: colours.scale, hovertemplate: hover("gradient norm 10<sup>%{z:.2f}</sup>"),
    colorbar: { title: { text: "log10 of norm", side: "right", font: { size: 11 } }, thickness: 10, len: 1, outlinewidth: 0, tickfont: { size: 11 }, nticks: 5 },
  }];
  if (anyFrozen) traces.push(flat(frozen, colours.frozen, "frozen: does not learn"));
  if (anyBroken) traces.push(flat(broken, colours.bad, "not finite: NaN or infinite"));

  const key = chart.root.querySelector("[data-panel=heat] .thaw-key");
  key.innerHTML = (anyFrozen ? `<b style="background:${colours.frozen}"></b>frozen` : "") + (anyBroken ? `<b style="background:${colours.bad}"></b>not finite` : "");

  const annotations = heat.step.length ? [] : [note(chart, "The first column comes with the first step")];
  if (anyFrozen) for (const { middle, size } of rows.frozenBlocks) annotations.push({
    text: size === 1 ? "frozen" : `frozen, ${size} rows`, showarrow: false, xref: "paper", x: 0.5, y: middle, font: { size: 12, color: colours.text },
  });
  return [traces, {
    annotations, height: rows.height + HEAT_MARGIN, hovermode: "closest", showlegend: false, margin: { t: 6, b: 44 }, xaxis: { showgrid: false },
    yaxis: {
      range: [rows.height, 0], showgrid: false, zeroline: false, title: { text: "" }, tickfont: { size: 10, family: colours.mono },
      tickmode: "array", tickvals: rows.labelled.map((row) => rows.centres[row]), ticktext: rows.labelled.map((row) => layers[row].name),
    },
  }];
}

const HEAT_MARGIN = 50; // pixels above and below the rows

// Where each row lies, in pixels from the top: rows that learn are tall, frozen ones thin, since nothing happens in them.
function arrange(layers) {
  const learning = layers.filter((layer) => !layer.frozen).length;
  const tall = Math.min(20, Math.max(learning > 60 ? 3 : 7, 420 / learning));
  const thin = learning ? Math.min(tall, Math.max(1.5, 170 / (layers.length - learning))) : tall;
  const edges = [0];
  for (const layer of layers) edges.push(edges.at(-1) + (layer.frozen ? thin : tall));
  const centres = layers.map((_, row) => (edges[row] + edges[row + 1]) / 2);

  // Labels that fit: first of rows that learn, then of frozen ones in the room that is left.
  const labelled = [];
  const fits = (row) => labelled.every((other) => Math.abs(centres[other] - centres[row]) >= 11);
  for (const frozen of [false, true]) layers.forEach((layer, row) => { if (layer.frozen === frozen && fits(row)) labelled.push(row); });

  const frozenBlocks = [];
  for (let row = 0, first = 0; row <= layers.length; row++) {
    if (layers[row]?.frozen) continue;
    if (edges[row] - edges[first] >= 16 && row > first) frozenBlocks.push({ middle: (edges[row] + edges[first]) / 2, size: row - first });
    first = row + 1;
  }
  return { edges, centres, labelled, frozenBlocks, height: Math.max(120, edges.at(-1)) };
}

// Helpers

let revisions = 0; // arrays grow in place, so Plotly must be told that they are not what they were

function baseLayout(chart) {
  const { colours } = chart;
  const axis = { gridcolor: colours.grid, linecolor: colours.grid, zerolinecolor: colours.grid, ticks: "", automargin: true, title: { font: { size: 12 } } };
  const revision = `${chart.run}-${chart.revision ?? 0}`; // constant, so that what a person zoomed stays zoomed
  return {
    height: 300, margin: { l: 10, r: 10, t: 30, b: 10 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: colours.font, size: 12, color: colours.text }, uirevision: revision, datarevision: (revisions += 1), hovermode: "x unified", dragmode: "zoom",
    hoverlabel: { bgcolor: colours.background, bordercolor: colours.grid, font: { color: colours.text, family: colours.font } },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 }, traceorder: "normal" }, showlegend: true,
    xaxis: { ...axis, title: { text: "step", font: { size: 12 } }, tickformat: ",d", zeroline: false,
      uirevision: revisions, // always new: the range of steps is ours to keep, since all figures share it
      range: chart.zoom ?? [0, Math.max(chart.steps.step.at(-1) ?? 0, 10)] },
    yaxis: { ...axis, uirevision: revision },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.muted, activecolor: colours.text },
  };
}

function merge(base, extra) {
  const merged = { ...base };
  for (const [key, value] of Object.entries(extra)) {
    const both = value && typeof value === "object" && !Array.isArray(value) && base[key];
    merged[key] = both ? merge(base[key], value) : value;
  }
  return merged;
}

function readColours(root) {
  const style = getComputedStyle(root);
  const variable = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  const series = variable("--st-chart-categorical-colors", "#0072b2,#d55e00,#007a59,#aa4499").split(",");
  const scale = variable("--st-chart-sequential-colors", "#1d1147,#b73779,#fcfdbf").split(",");
  return {
    training: series[0], validation: series[1], rate: series[2],
    scale: scale.map((colour, i) => [i / (scale.length - 1), colour]),
    text: variable("--st-text-color", "#222"), background: variable("--st-background-color", "#fff"), grid: variable("--st-border-color", "#ddd"),
    muted: variable("--st-gray-color", "#777"), bad: variable("--st-red-color", "#c00"), frozen: mixed(variable("--st-blue-color", "#0072b2"), variable("--st-background-color", "#ffffff"), 0.24),
    font: variable("--st-font", "sans-serif"), mono: variable("--st-code-font", "monospace"),
  };
}

const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)); // of "#rrggbb"
const faded = (colour, share) => `rgba(${channels(colour).join(",")},${share})`;
function mixed(colour, ground, share) {
  const [above, below] = [channels(colour), channels(ground)];
  return `rgb(${above.map((value, i) => Math.round(share * value + (1 - share) * below[i])).join(",")})`;
}

// Exponential moving average without the pull of its start towards zero; a null stays a gap.
function smoothed(values, weight) {
  let mean = 0, total = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return mean / total;
  });
}

// Colour limits: all but the outermost hundredth, so that one odd layer does not wash out the rest.
function spread(rows) {
  const values = rows.flat().filter((value) => value !== null && value > -12).sort((a, b) => a - b);
  if (!values.length) return [-4, 1];
  const low = values[Math.floor(values.length * 0.01)], high = values[Math.ceil(values.length * 0.99) - 1];
  return high - low < 0.5 ? [low - 0.5, high + 0.5] : [low, high];
}

function note(chart, text) {
  return { text, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5, font: { color: chart.colours.muted, size: 12 } };
}

function append(columns, more) {
  for (const [name, values] of Object.entries(more)) columns[name]?.push(...values);
}

function decode(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new Int16Array(bytes.buffer); // little endian, like every machine that runs a browser
}

const number = (value) => (value === undefined || value === null ? "none" : String(Number(Number(value).toPrecision(4))));
const percent = (share) => (share === undefined || share === null ? "none" : `${(share * 100).toFixed(1)} %`);
const count = (value) => Number(value).toLocaleString("en");
