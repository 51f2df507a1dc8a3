// One layer in full: its gradient norm and update ratio over the steps, its share of all learning, and how its values are spread.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ ENDED, ZERO, NONE, NOT_FINITE, GUIDE, GUIDE_SOURCE, baseLayout, count, faded, merge, number, percent, plain, said, short,
  tenTo, widthOf }, { markers }, { arrive }] =
  await Promise.all(["looks", "markers", "evidence"].map(beside));

const PAGE = `
  <header><h3 tabindex="-1"></h3><button type="button" class="thaw-button" data-act="close">Close</button></header>
  <dl class="thaw-facts"></dl>
  <div class="thaw-plot" data-part="course" role="img"></div>
  <p class="thaw-about">The shaded guide band of the update ratio reaches from ${tenTo(GUIDE.low)} to ${tenTo(GUIDE.high)}, a factor of ten around the rule of
    thumb of ${tenTo(GUIDE.middle)} (${GUIDE_SOURCE}).</p>
  <div class="thaw-inspect"><button type="button" class="thaw-button" data-act="inspect">Take histograms</button><span role="status"></span></div>
  <div class="thaw-histograms"><figure><figcaption></figcaption><div class="thaw-plot" data-part="weight" role="img"></div></figure>
    <figure><figcaption></figcaption><div class="thaw-plot" data-part="gradient" role="img"></div></figure></div>`;


export class OneLayer {
  constructor(chart, root, row, { onClose, onInspect }) {
    Object.assign(this, { chart, root, row, name: chart.history.layers[row].name });
    this.asked = null; // the id of the newest inspection when a new one was asked for
    root.hidden = false;
    root.innerHTML = PAGE;
    root.querySelector("h3").textContent = this.name;
    root.setAttribute("aria-label", `Layer ${this.name}`);
    this.part("close").onclick = onClose;
    this.part("inspect").onclick = () => { this.asked = this.taken().at(-1)?.id ?? 0; onInspect(this.name); this.state(); };
    root.onkeydown = (event) => { if (event.key === "Escape") onClose(); };
    this.draw();
  }

  arrive() { arrive(this.root, "nearest"); }

  part(act) { return this.root.querySelector(`[data-act=${act}]`); }
  plot(part) { return this.root.querySelector(`[data-part=${part}]`); }

  // Inspections of this layer, oldest first.
  taken() { return this.chart.history.inspections.filter(({ name }) => name === this.name); }

  close() {
    for (const plot of this.root.querySelectorAll(".thaw-plot")) this.chart.Plotly?.purge(plot);
    this.root.replaceChildren();
    this.root.hidden = true;
  }

  draw() {
    const { chart } = this;
    this.row = chart.history.layers.findIndex(({ name }) => name === this.name);
    if (this.row < 0 || !chart.Plotly) return;
    this.facts();
    this.course();
    this.state();
    const newest = this.taken().slice(-2);
    const shown = newest.map(({ id }) => id).join();
    if (shown === this.shown && chart.colours.background === this.shownOn) return; // histograms stand still
    [this.shown, this.shownOn] = [shown, chart.colours.background];
    this.histograms(newest.at(-1), newest.length > 1 ? newest[0] : null);
  }

  facts() {
    const { history } = this.chart;
    const layer = history.layers[this.row];
    const facts = {
      Block: layer.block || layer.name, Values: count(layer.count), "State now": history.now.frozen[this.row] ? "frozen" : "learns",
      "Gradient norm": said(history.norms.newest(this.row)), "Update ratio": said(history.ratios.newest(this.row)),
      "Share of all learning": history.share(this.row) === null ? "not measured yet" : small(history.share(this.row)),
      Multiplier: `x ${number(history.now.multipliers[this.row])}`,
    };
    this.root.querySelector("dl").innerHTML = Object.entries(facts).map(([term, value]) => `<div><dt>${term}</dt><dd></dd></div>`).join("");
    [...this.root.querySelectorAll("dd")].forEach((cell, at) => { cell.textContent = Object.values(facts)[at]; });
  }

  course() {
    const { chart } = this;
    const { colours, history } = chart;
    const plot = this.plot("course");
    const line = (columns, name, axis, color) => ({
      x: columns.step, y: columns.codes.map((codes) => (plain(codes[this.row]) ? 10 ** (codes[this.row] / 100) : null)), name, yaxis: axis,
      mode: columns.length < 40 ? "lines+markers" : "lines", marker: { size: 4 }, line: { color, width: 2 }, connectgaps: false, hovertemplate: "%{y:.2e}",
    });
    const traces = [line(history.norms, "gradient norm", "y", colours.training), line(history.ratios, "update ratio", "y2", colours.validation)];
    // A log axis has no place for zero and for what is not finite: they stand at its lower edge, each with a sign of its own.
    const signs = [
      [ZERO, "exactly 0", "circle-open", colours.muted], [NONE, "none at all", "line-ns-open", colours.muted], [NOT_FINITE, "not finite", "x", colours.bad],
    ];
    for (const [columns, axis] of [[history.norms, "y"], [history.ratios, "y2"]]) {
      for (const [code, name, symbol, color] of signs) {
        if (!columns.codes.some((codes) => codes[this.row] === code)) continue;
        const floor = 10 ** (axis === "y" ? this.floor(columns) : GUIDE.middle - 2.2);
        traces.push({
          x: columns.step, y: columns.codes.map((codes) => (codes[this.row] === code ? floor : null)), yaxis: axis,
          name: `${axis === "y" ? "gradient" : "update"} ${name}`, mode: "markers", marker: { symbol, size: 6, color }, hovertemplate: name,
        });
      }
    }
    const { shapes, annotations } = markers(chart, plot.clientWidth - 80);
    const evidence = chart.evidence.marks("layer", plot.clientWidth - 80);
    const frozen = frozenStretches(history, this.row).map(([from, to]) => ({
      type: "rect", xref: "x", x0: from - 0.5, x1: to + 0.5, yref: "paper", y0: 0, y1: 1, layer: "below",
      fillcolor: faded(colours.blue, 0.12), line: { width: 0 },
      label: { text: "frozen", textposition: "top left", font: { size: 11, color: colours.muted } },
    }));
    const across = { xref: "paper", x0: 0, x1: 1, yref: "y2", layer: "below" };
    const guide = { ...across, type: "rect", y0: 10 ** GUIDE.low, y1: 10 ** GUIDE.high, fillcolor: faded(colours.rate, 0.14), line: { width: 0 } };
    const thumb = { ...across, type: "line", y0: 10 ** GUIDE.middle, y1: 10 ** GUIDE.middle, line: { color: colours.rate, width: 1, dash: "dash" } };
    const log = { type: "log", exponentformat: "e", dtick: 1, gridcolor: colours.grid, linecolor: colours.grid, ticks: "", automargin: true };
    const title = (text) => ({ text, font: { size: 12 } });
    const span = (columns, least) => {
      const values = columns.codes.map((codes) => codes[this.row]).filter(plain);
      return values.length ? [Math.min(...values) / 100 - 0.3, Math.max(...values) / 100 + 0.3] : least;
    };
    const ratios = span(history.ratios, [GUIDE.low, GUIDE.high]);
    const layout = merge(baseLayout(chart), {
      height: 380, ...widthOf(plot), margin: { t: annotations.length ? 46 : 30 }, shapes: [guide, thumb, ...frozen, ...evidence.shapes, ...shapes],
      annotations: [...evidence.annotations, ...annotations],
      legend: { yref: "container", y: 0.995, yanchor: "top" }, xaxis: { anchor: "y2" },
      yaxis: { ...log, domain: [0.56, 1], title: title("gradient norm"), range: span(history.norms, [-4, 1]) },
      yaxis2: {
        ...log, domain: [0, 0.46], title: title("update ratio"), range: [Math.min(ratios[0], GUIDE.low - 0.5), Math.max(ratios[1], GUIDE.high + 0.5)],
      },
    });
    plot.style.height = `${layout.height}px`;
    const first = !plot.classList.contains("js-plotly-plot");
    chart.Plotly.react(plot, traces, layout, chart.config("layer"));
    if (first) plot.on("plotly_relayout", (event) => chart.follow("layer", event));
    plot.setAttribute("aria-label", `Gradient norm and update ratio of ${this.name} over steps, log scale. Newest gradient norm `
      + `${said(history.norms.newest(this.row))}, update ratio ${said(history.ratios.newest(this.row))}. Guide band of the update ratio 1e-4 to 1e-2.`);
  }

  floor(columns) {
    const values = columns.codes.map((codes) => codes[this.row]).filter(plain);
    return values.length ? Math.min(...values) / 100 - 0.25 : -4;
  }

  // Whether histograms can be taken now, and why not.
  state() {
    const { about } = this.chart;
    const button = this.part("inspect");
    const status = this.root.querySelector(".thaw-inspect [role=status]");
    const last = this.taken().at(-1);
    const ended = ENDED.includes(about?.status);
    const waiting = this.asked !== null && (last?.id ?? 0) <= this.asked;
    if (!waiting) this.asked = null;
    button.disabled = ended || waiting;
    const when = last ? `taken at step ${count(last.step)}` : "";
    let words = last ? `These were ${when}.` : "None were taken yet.";
    if (ended) words = `The run has ended, so no more can be taken. ${last ? `The last ones were ${when}.` : "None were taken while it trained."}`;
    else if (waiting) words = `Asked for; the run ${about?.status === "paused" ? "is paused and " : ""}takes them at its next step.`;
    if (status.textContent !== words) status.textContent = words;
  }

  histograms(last, before) {
    const box = this.root.querySelector(".thaw-histograms");
    box.hidden = !last;
    if (!last) return;
    this.histogram("weight", "Weights", last.step, last.weight, before?.weight, before?.step);
    this.histogram("gradient", "Gradient", last.step, last.gradient, before?.gradient, before?.step);
  }

  histogram(part, title, step, found, before, stepBefore) {
    const { chart } = this;
    const { colours } = chart;
    const plot = this.plot(part);
    const caption = plot.parentElement.querySelector("figcaption");
    if (!found) {
      chart.Plotly.purge(plot);
      plot.style.height = "0";
      caption.textContent = `${title} at step ${count(step)}: there was none, since the layer was frozen.`;
      return;
    }
    const total = found.counts.reduce((sum, value) => sum + value, 0);
    const lost = `${count(found.not_finite)} ${found.not_finite === 1 ? "value is" : "values are"} not finite (NaN or infinite) and in no bar.`;
    const broken = found.not_finite ? ` ${lost}` : "";
    caption.textContent = `${title} at step ${count(step)}: ${count(total)} values from ${short(found.low)} to ${short(found.high)}.${broken}`;
    caption.dataset.broken = found.not_finite;
    const color = part === "weight" ? colours.training : colours.validation;
    const width = (found.high - found.low) / found.counts.length || 1;
    const centres = found.counts.map((_, bin) => found.low + (bin + 0.5) * width);
    const traces = [{
      type: "bar", x: centres, y: found.counts, width, name: `step ${count(step)}`, marker: { color: faded(color, 0.75), line: { width: 0 } },
      customdata: centres.map((centre) => [short(centre - width / 2), short(centre + width / 2)]),
      hovertemplate: "%{customdata[0]} to %{customdata[1]}: %{y:,} values<extra></extra>",
    }];
    if (before) {
      const old = (before.high - before.low) / before.counts.length || 1;
      const scale = width / old; // the same height means the same density
      traces.push({
        x: before.counts.flatMap((_, bin) => [before.low + bin * old, before.low + (bin + 1) * old]),
        y: before.counts.flatMap((value) => [value * scale, value * scale]),
        type: "scatter", mode: "lines", name: `step ${count(stepBefore)}`, line: { color: colours.text, width: 1.2, dash: "dot" }, hoverinfo: "skip",
      });
    }
    const layout = merge(baseLayout(chart), {
      height: 220, ...widthOf(plot), margin: { t: before ? 24 : 8, b: 34 }, hovermode: "closest", bargap: 0, showlegend: Boolean(before),
      xaxis: {
        title: { text: part }, range: [Math.min(found.low, before?.low ?? found.low), Math.max(found.high, before?.high ?? found.high)],
        tickformat: "", exponentformat: "e", nticks: 6,
      },
      yaxis: { title: { text: "values" }, rangemode: "tozero" },
    });
    plot.style.height = `${layout.height}px`;
    chart.Plotly.react(plot, traces, layout, chart.config(`${this.name}-${part}`));
    plot.setAttribute("aria-label", `Histogram of the ${part === "weight" ? "weights" : "gradient"} of ${this.name}. ${caption.textContent}`);
  }
}

const small = (share) => (share > 0 && share < 0.0005 ? "less than 0.1 %" : percent(share));

function frozenStretches(history, row) {
  const found = [];
  history.plans.forEach((plan, at) => {
    const to = history.plans[at + 1] ? history.plans[at + 1].step - 1 : Math.max(history.lastStep, plan.step);
    if (!plan.frozen[row] || to < plan.step) return;
    if (found.length && found.at(-1)[1] === plan.step - 1) found.at(-1)[1] = to;
    else found.push([plan.step, to]);
  });
  return found;
}
