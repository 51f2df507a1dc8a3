// One training step in slow motion: the moments of two steps, which a person goes through with buttons, a slider or the arrow keys.
// All of it is here from the start, so a change of moment asks nobody. Its place stands in the page's address as `at`.
// Keys: left and right go a moment, Page Up and Page Down a stage, Home and End to the first and the last, space plays.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`); // all modules carry one digest, see assets.py
const [{ STAGES, addressOf, gradsAt, linesOf, momentsOf, placeOf }, stages, { Ladder, logScale, topGroups }, { bytes, code, count, escaped, num, plural, shape, sizeOf }] =
  await Promise.all(["moments", "stages", "ladder", "step_words"].map(beside));

const views = new WeakMap();
const alive = new Set();
const pictures = new Map(); // "name step number" to a data URI that was asked for
const waiting = new Set(); // who wants to know when the moments are drawn
let send = null; // how a picture is asked for, while there is a way
const PACES = { slow: 1200, normal: 450, fast: 120 }; // ms a moment
const SETTLED = 150; // ms without a change of moment after which the address says it, and a picture is asked for

export function mount({ data, parentElement }, { VirtualTable }, { readColours }) {
  const root = parentElement.querySelector(".thaw-motion");
  let view = views.get(root);
  if (!view) { view = new SlowMotion(root, VirtualTable, readColours); views.set(root, view); }
  alive.add(view);
  const text = typeof data === "string" ? data : new TextDecoder().decode(data);
  if (text !== view.text) { view.text = text; view.begin(JSON.parse(text)); }
  requestAnimationFrame(() => setTimeout(() => { for (const tell of waiting) tell(); waiting.clear(); })); // once they are to be seen
  return () => { if (!root.isConnected) { view.leave(); alive.delete(view); } };
}

// Tells the server once, unless it knows (`data`), that the moments are drawn.
export function whenDrawn({ data, setStateValue }) {
  if (data) return undefined;
  const tell = () => setStateValue("drawn", true);
  if ([...alive].some(({ walk }) => walk)) tell(); else waiting.add(tell);
  return () => { waiting.delete(tell); };
}

// The way to the server and back: a picture is asked for here, and comes here.
export function take({ data, setStateValue }) {
  send = (asked) => setStateValue("wanted", asked);
  if (data) {
    const { name, step, number, source } = data;
    pictures.set(`${name} ${step} ${number}`, source);
    for (const view of alive) if (view.walk?.name === name) view.redraw();
  }
  for (const view of alive) if (view.moment) view.settle(); // what was wanted before there was a way to ask
  return () => { send = null; };
}

const PANELS = { zero_grad: stages.ZeroGrad, forward: stages.Forward, loss: stages.Loss, backward: stages.Backward, step: stages.Step };
const ICONS = {
  first: "M4 4h2v12H4zM16 4v12L8 10z", back: "M14 4v12L5 10z", play: "M5 3v14l12-7z", pause: "M5 4h4v12H5zM11 4h4v12h-4z", forward: "M6 4v12l9-6z", last: "M14 4h2v12h-2zM4 4v12l8-6z",
};
const icon = (name) => `<svg viewBox="0 0 20 20" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;

class SlowMotion {
  constructor(root, VirtualTable, readColours) {
    Object.assign(this, { root, VirtualTable });
    this.pace = "normal";
    this.coloured = () => readColours(root);
    this.readColours = () => (this.colours ??= this.coloured());
    root.innerHTML = `
      <div class="thaw-transport" role="group" aria-label="Slow motion">
        <div class="thaw-buttons">
          <button type="button" data-go="first" aria-label="Previous stage" title="Previous stage (Page Up)">${icon("first")}</button>
          <button type="button" data-go="back" aria-label="Back" title="Back (left arrow)">${icon("back")}</button>
          <button type="button" data-go="play" class="thaw-play" title="Play (space)">${icon("play")}<span>Play</span></button>
          <button type="button" data-go="forward" aria-label="Forward" title="Forward (right arrow)">${icon("forward")}</button>
          <button type="button" data-go="last" aria-label="Next stage" title="Next stage (Page Down)">${icon("last")}</button>
        </div>
        <label class="thaw-pace">Pace <select>${Object.keys(PACES).map((name) => `<option ${name === this.pace ? "selected" : ""}>${name}</option>`).join("")}</select></label>
        <p class="thaw-where"></p>
      </div>
      <div class="thaw-rail"></div>
      <input type="range" class="thaw-moment" min="0" step="1" aria-label="Moment of the step">
      <p class="thaw-unseen" role="status"></p>
      <div class="thaw-scene">
        <div class="thaw-says"><pre class="thaw-loop" aria-label="The training loop; the line that runs now is marked"></pre><p class="thaw-words"></p></div>
        <div class="thaw-stage"></div>
      </div>
      <section class="thaw-grads" aria-label="Gradients of all parameters at this moment">
        <header><h4>.grad of every parameter, now</h4><p class="thaw-tally"></p>
          <p class="thaw-key" aria-hidden="true"><span><b data-kind="none"></b>None</span><span><b data-kind="value"></b>a tensor (height: norm, log scale)</span><span><b data-kind="zero"></b>all zero</span><span><b data-kind="frozen"></b>None: frozen</span><span><b data-kind="broken"></b>not finite</span></p></header>
        <div class="thaw-strip-of-grads"></div>
        <details><summary>The same as a table</summary><div class="thaw-grad-table"></div></details>
      </section>`;
    this.find = (selector) => root.querySelector(selector);
    this.slider = this.find(".thaw-moment");
    this.slider.oninput = () => { this.stop(); this.go(Number(this.slider.value)); };
    this.find(".thaw-buttons").onclick = (event) => this.press(event.target.closest("button")?.dataset.go);
    this.find(".thaw-pace select").onchange = (event) => { this.pace = event.target.value; if (this.playing) { this.stop(); this.play(); } };
    this.find(".thaw-rail").onclick = (event) => {
      const button = event.target.closest("button");
      if (button) { this.stop(); this.go(placeOf(this.moments, button.dataset.address)); }
    };
    root.onkeydown = (event) => this.key(event);
    this.details = this.find("details");
    this.details.ontoggle = () => this.drawTable();
    this.theme = matchMedia("(prefers-color-scheme: dark)");
    this.onTheme = () => setTimeout(() => this.redraw(), 300); // once Streamlit has followed
    this.theme.addEventListener("change", this.onTheme);
    this.find(".thaw-stage").onclick = (event) => {
      const button = event.target.closest(".thaw-to-node");
      if (button) document.dispatchEvent(new CustomEvent("thaw-show-node", { detail: { node: Number(button.dataset.node) } }));
    };
    this.onPopState = () => { if (this.moments) this.go(placeOf(this.moments, addressed())); };
    window.addEventListener("popstate", this.onPopState);
  }

  // Another walkthrough: the moment stays, as far as it has one of that address.
  begin(walk) {
    this.stop();
    const address = this.moments ? addressOf(this.moment) : addressed();
    this.walk = walk;
    this.looks = new Map(walk.parameters.map((parameter) => [parameter.name, parameter]));
    this.moments = momentsOf(walk);
    this.asks = walk.steps.some(({ calls }) => calls.some(({ picture, output }) => !picture && output.length >= 4));
    this.names = walk.parameters.map(({ name }) => name);
    this.groups = topGroups(this.names);
    this.followed = largest(walk.parameters);
    this.lines = linesOf(walk);
    this.scale = logScale(walk.steps.flatMap(({ grads_at_start: start, grads_at_end: end }) => [...start, ...end]).flatMap(({ figures }) => (figures ? [figures.norm] : [])));
    this.slider.max = this.moments.length - 1;
    this.rail();
    this.find(".thaw-stage").replaceChildren();
    this.panels = {};
    this.strip?.leave();
    const host = document.createElement("div");
    this.find(".thaw-strip-of-grads").replaceChildren(host);
    this.strip = new Ladder(host, { height: 58, readColours: this.readColours, name: (at) => `${this.names[at]}: ${stages.gradWords(this.grads.get(this.names[at]), this.look(this.names[at]))}` });
    this.table = null;
    this.moment = null;
    this.go(placeOf(this.moments, address), true);
  }

  look(parameter) { return this.looks.get(parameter); }
  pictureOf(step, at) { const call = this.walk.steps[step].calls[at]; return call.picture || pictures.get(`${this.walk.name} ${step + 1} ${call.number}`) || ""; }

  // A button that shows a node in the graph below, which listens for this.
  nodeButton(node) { return node === null || node === undefined ? "" : `<p><button type="button" class="thaw-to-node" data-node="${node}">Show it in the graph</button></p>`; }

  rail() {
    const stage = (step, name) => `<li data-stage="${name}"><button type="button" data-address="${step + 1}-${name}"><span>${name}</span><i></i></button></li>`;
    this.find(".thaw-rail").innerHTML = this.walk.steps.map((story, step) =>
      `<div role="group" aria-label="Step ${step + 1}"><b>Step ${step + 1}</b><ol>${STAGES.map((name) => stage(step, name)).join("")}</ol></div>`).join("");
  }

  go(place, first = false) {
    const before = this.moment;
    this.moment = this.moments[Math.min(this.moments.length - 1, Math.max(0, place))];
    if (this.moment === before) return;
    this.draw(!before || before.stage !== this.moment.stage || before.step !== this.moment.step);
    clearTimeout(this.settling);
    if (!first) this.settling = setTimeout(() => this.settle(), SETTLED); else this.settle();
  }

  redraw() { if (this.moment) { this.colours = null; this.draw(true); } }

  // A moment inside the stage that is shown.
  inStage(at) {
    this.stop();
    const { step, stage } = this.moment;
    this.go(this.moments.find((moment) => moment.step === step && moment.stage === stage && moment.at === at).place);
  }

  // What may wait until a person stays somewhere: the address, and a picture that must be asked for.
  settle() {
    const address = new URL(location.href), at = addressOf(this.moment);
    if (address.searchParams.get("at") !== at && !(this.moment.place === 0 && !address.searchParams.has("at"))) {
      address.searchParams.set("at", at);
      history.replaceState(history.state, "", address);
    }
    const { step, stage, at: number } = this.moment;
    if (stage !== "forward" || number < 0 || !this.asks || this.pictureOf(step, number)) return;
    const call = this.walk.steps[step].calls[number];
    if (call.output.length >= 4 && !pictures.has(`${this.walk.name} ${step + 1} ${call.number}`)) send?.({ name: this.walk.name, step: step + 1, number: call.number });
  }

  draw(changed) {
    const { moment } = this, { step, stage, place } = moment;
    this.colours = null; // the theme may have changed
    const words = this.where();
    this.slider.value = place;
    this.slider.style.setProperty("--done", `${(100 * place) / Math.max(1, this.moments.length - 1)}%`);
    this.slider.setAttribute("aria-valuetext", words);
    this.find(".thaw-where").innerHTML = this.whereShort();
    for (const button of this.root.querySelectorAll(".thaw-rail button")) this.railButton(button);
    this.panel(stage).show(moment);
    for (const panel of this.find(".thaw-stage").children) panel.hidden = panel.dataset.stage !== stage;
    const text = this.panels[stage].words(moment);
    this.find(".thaw-words").innerHTML = text;
    if (changed) this.loop(step, stage);
    this.grads = gradsAt(this.walk, moment);
    this.drawGrads();
    if (!this.playing || changed) this.find("[role=status]").textContent = `${words}. ${text.replace(/<[^>]*>/g, "")}`;
    this.find('[data-go="back"]').disabled = this.find('[data-go="first"]').disabled = place === 0;
    this.find('[data-go="forward"]').disabled = this.find('[data-go="last"]').disabled = place === this.moments.length - 1;
    this.root.dataset.at = addressOf(moment);
    const arrival = stage === "backward" && moment.at >= 0 ? this.walk.steps[step].arrivals[moment.at] : null;
    const call = stage === "forward" && moment.at >= 0 ? this.walk.steps[step].calls[moment.at] : null;
    document.dispatchEvent(new CustomEvent("thaw-moment", { detail: { node: arrival?.node ?? call?.node ?? null, stage } }));
  }

  panel(stage) {
    if (!this.panels[stage]) {
      const root = document.createElement("div");
      root.dataset.stage = stage;
      this.find(".thaw-stage").append(root);
      this.panels[stage] = new PANELS[stage](root, this);
    }
    this.panels[stage].root.hidden = false; // a hidden one has no width to draw in
    return this.panels[stage];
  }

  railButton(button) {
    const { step, stage, at } = this.moment, [number, name] = button.dataset.address.split("-");
    const own = Number(number) - 1, order = (own - step) * STAGES.length + STAGES.indexOf(name) - STAGES.indexOf(stage);
    const story = this.walk.steps[own], inside = { forward: story.calls, backward: story.arrivals }[name]?.length ?? 0;
    if (order === 0) button.setAttribute("aria-current", "step"); else button.removeAttribute("aria-current");
    button.dataset.done = order < 0;
    button.querySelector("i").style.width = `${order < 0 ? 100 : order > 0 ? 0 : inside ? (100 * (at + 1)) / inside : 100}%`;
    button.dataset.left = name === "zero_grad" && !story.cleared;
    button.title = name === "zero_grad" && !story.cleared ? "left out" : inside ? plural(inside, name === "forward" ? "layer" : "gradient") : "";
  }

  // The five lines of the loop; what is left out is a comment.
  loop(step, stage) {
    const { cleared } = this.walk.steps[step];
    this.find(".thaw-loop").innerHTML = STAGES.map((name) => {
      const left = name === "zero_grad" && !cleared, line = left ? `# ${this.lines[name]}   left out` : this.lines[name];
      return `<span ${name === stage ? 'data-now aria-current="step"' : ""} ${left ? "data-left" : ""}>${escaped(line)}</span>`;
    }).join("");
  }

  where() {
    const { step, stage, at } = this.moment, story = this.walk.steps[step];
    const inside = at < 0 ? "" : stage === "forward" ? `layer ${stages.layerWords(story.calls[at], story.calls.length)}` : `gradient ${at + 1} of ${story.arrivals.length}: ${story.arrivals[at].parameter}`;
    return `Step ${step + 1} of ${this.walk.steps.length}, ${stage}${inside ? `, ${inside}` : ""}`;
  }

  whereShort() {
    const { step, stage, at } = this.moment, story = this.walk.steps[step], all = { forward: story.calls, backward: story.arrivals }[stage];
    return `Step ${step + 1}, <b>${stage}</b>${at >= 0 ? `, ${stage === "forward" ? "layer" : "gradient"} ${count(at + 1)} of ${count(all.length)}` : ""}`;
  }

  drawGrads() {
    const all = this.walk.parameters.map((look) => ({ look, figures: this.grads.get(look.name) ?? null }));
    const { step, stage, at } = this.moment, now = stage === "backward" && at >= 0 ? this.walk.steps[step].arrivals[at].parameter : null;
    const full = all.filter(({ figures }) => figures), frozen = all.filter(({ look, figures }) => !figures && !look.learns).length;
    const parts = [`${plural(full.length, "gradient")}${full.length ? `, ${bytes(full.reduce((sum, { figures }) => sum + sizeOf(figures), 0))}` : ""}`, ...(all.length > full.length + frozen ? [`${count(all.length - full.length - frozen)} None`] : []), ...(frozen ? [`${count(frozen)} None because frozen`] : [])];
    this.find(".thaw-tally").textContent = `${plural(all.length, "parameter")}: ${parts.join(", ")}.`;
    this.strip.show(all.map(({ look, figures }) => ({ ...stages.gradBar(figures, look, this.scale), now: look.name === now })), this.groups, `${this.find(".thaw-tally").textContent} The table below says it one by one.`);
    this.drawTable();
  }

  drawTable() {
    if (!this.details.open || !this.walk) return;
    this.table ??= new this.VirtualTable(this.find(".thaw-grad-table"), {
      label: "Gradients of all parameters at this moment", placeholder: "Filter by name", empty: "No parameter has that in its name.", key: ({ name }) => name, text: ({ name }) => name, least: "40rem", height: 300,
      columns: [
        { label: "Parameter", width: "38%", sort: ({ name }) => name, cell: ({ name }) => code(name) },
        { label: "Shape", width: "18%", sort: ({ look }) => look.count, cell: ({ look }) => shape(look.shape) },
        { label: "State", width: "12%", sort: ({ look }) => String(look.learns), cell: ({ look }) => (look.learns ? "learns" : "frozen") },
        { label: ".grad", width: "16%", sort: ({ words }) => words, cell: ({ words }) => escaped(words) },
        { label: "Largest", title: "The largest value of the gradient", number: true, width: "16%", sort: ({ figures }) => figures?.maximum, cell: ({ figures }) => (figures ? num(figures.maximum) : "") },
      ],
    });
    this.table.show(this.walk.parameters.map((look) => { const figures = this.grads.get(look.name) ?? null; return { name: look.name, look, figures, words: stages.gradWords(figures, look) }; }));
  }

  press(what) {
    if (!what) return;
    if (what === "play") { if (this.playing) this.stop(); else this.play(); return; }
    this.stop();
    if (what === "back" || what === "forward") this.go(this.moment.place + (what === "back" ? -1 : 1)); else this.goStage(what === "first" ? -1 : 1);
  }

  goStage(way) {
    const { place, step, stage, at } = this.moment, starts = this.moments.filter((moment) => moment.at < 0).map((moment) => moment.place);
    const own = this.moments.find((moment) => moment.step === step && moment.stage === stage).place;
    if (way < 0 && at >= 0) this.go(own);
    else this.go(way < 0 ? Math.max(0, ...starts.filter((start) => start < own)) : (starts.find((start) => start > place) ?? this.moments.length - 1));
  }

  play() {
    if (this.moment.place === this.moments.length - 1) this.go(0);
    this.playing = setInterval(() => {
      if (this.moment.place === this.moments.length - 1) this.stop(); else this.go(this.moment.place + 1);
    }, PACES[this.pace]);
    this.playButton("pause", "Pause");
  }

  stop() {
    if (!this.playing) return;
    clearInterval(this.playing);
    this.playing = null;
    this.playButton("play", "Play");
  }

  playButton(name, words) {
    const button = this.find(".thaw-play");
    button.innerHTML = `${icon(name)}<span>${words}</span>`;
    button.title = `${words} (space)`;
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("select, input:not(.thaw-moment), details")) return;
    const inButton = event.target.closest("button, summary");
    const acts = {
      ArrowRight: () => this.press("forward"), ArrowLeft: () => this.press("back"), PageDown: () => this.press("last"), PageUp: () => this.press("first"),
      Home: () => { this.stop(); this.go(0); }, End: () => { this.stop(); this.go(this.moments.length - 1); }, ...(inButton ? {} : { " ": () => this.press("play") }),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  leave() {
    this.stop();
    clearTimeout(this.settling);
    window.removeEventListener("popstate", this.onPopState);
    this.theme.removeEventListener("change", this.onTheme);
  }
}

const addressed = () => new URLSearchParams(location.search).get("at");
const largest = (parameters) => (parameters.filter(({ learns }) => learns).sort((a, b) => b.count - a.count)[0] ?? parameters[0])?.name;
