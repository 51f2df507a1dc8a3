// The window of the charts in which a finding can be seen. A finding's link or the page's own address asks for it; then all charts show
// these steps, with a dashed box around them, until somebody takes it away. The address is the place: a refresh shows it again.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ ENDED, cut, count, escaped, faded }, { heightsIn }] = await Promise.all(["looks", "figures"].map(beside));

export const ASKED = "thaw-show-evidence"; // event on `window`: its detail is an address as `evidence_link` of __init__.py writes it
const NAMES = ["chart", "steps", "layers", "finding"]; // what the address says of it
const PANEL = { loss: "loss", accuracy: "accuracy", "gradient norms": "heat", "update ratio": "heat" };
const VIEW = { "gradient norms": "norm", "update ratio": "ratio" }; // what the waterfall must show for it
const LABELLED = ["loss", "accuracy", "heat", "layer"]; // in the low ones a label would cover what it is about
const LABEL = 22; // pixels that a label is high
const AROUND = 0.25; // how much is shown before and after the window, as a share of it
const FEWEST = 8; // points of a long run's summary that a zoom has at least

// What an address asks for: {chart, first, last, layers, finding}, {wrong} where it cannot be read, null where it asks for nothing.
export function evidenceIn(address) {
  const names = new URL(address, location.href).searchParams;
  const steps = names.get("steps"), chart = names.get("chart") ?? "loss";
  if (steps === null) return null;
  const found = /^\s*(\d{1,12})(?:\s*[-–]\s*(\d{1,12}))?\s*$/.exec(steps);
  const [first, last] = found ? [Number(found[1]), Number(found[2] ?? found[1])] : [1, 0];
  if (first > last) return { wrong: `The address asks for steps=${cut(steps, 30)}, which is no range of steps. Write it like steps=120-180.` };
  if (!Object.hasOwn(PANEL, chart)) {
    return { wrong: `The address asks for chart=${cut(chart, 30)}, which is no chart. Choose one of ${Object.keys(PANEL).join(", ")}.` };
  }
  const layers = (names.get("layers") ?? "").split(",").filter(Boolean);
  return { chart, first: Math.max(1, first), last: Math.max(1, last), layers, finding: cut(names.get("finding") ?? "", 60) };
}

const runIn = (address) => new URL(address, location.href).searchParams.get("run");

// Listens for links, and holds what is asked for until the chart has something to show.
export class Evidence {
  constructor(chart) {
    this.chart = chart;
    this.marked = null; // the window that is marked
    this.wanted = runIn(location.href) === chart.run ? evidenceIn(location.href) : null;
    this.onAsked = (event) => {
      if (runIn(event.detail) !== chart.run) return;
      event.preventDefault(); // the link need not lead anywhere
      this.wanted = evidenceIn(event.detail);
      remember(new URL(event.detail, location.href).searchParams);
      this.show();
    };
    window.addEventListener(ASKED, this.onAsked);
  }

  close() { window.removeEventListener(ASKED, this.onAsked); }

  // Show what is wanted, once run and Plotly are there.
  show() {
    const { chart, wanted } = this;
    if (!wanted || !chart.Plotly || !chart.about) return;
    this.wanted = null;
    const { history, about } = chart;
    const ended = ENDED.includes(about.status);
    const { chart: name, first, last } = wanted;
    let { wrong } = wanted;
    if (!wrong && first > history.lastStep) {
      const length = history.lastStep ? count(history.lastStep) : "no";
      wrong = `The address asks for ${stepsInWords(wanted)}, but this run has ${length} ${length === "1" ? "step" : "steps"}${ended ? "" : " so far"}.`;
    }
    if (wrong) {
      this.marked = null;
      chart.drawAll();
      return this.say(wrong, true);
    }
    this.marked = { ...wanted, rows: wanted.layers.map((layer) => history.layers.findIndex((each) => each.name === layer)).filter((row) => row >= 0) };
    const around = Math.max(AROUND * (last - first + 1), (FEWEST * 2 ** (chart.cursor?.level ?? 0) - (last - first + 1)) / 2);
    const end = ended ? history.lastStep : Math.max(history.lastStep, about.total_steps ?? 0);
    const range = [Math.max(0, first - 0.5 - around), Math.min(end + 0.5, last + 0.5 + around)];
    chart.zoomTo(range, heightsIn(history, range));
    if (VIEW[name]) chart.show(VIEW[name]);
    const { rows } = this.marked;
    if (rows.length === 1) chart.openLayer(rows[0], { arrive: false });
    chart.drawAll();
    const missing = wanted.layers.length > rows.length ? " Not all of its layers are in this run." : "";
    this.say(`Marked: ${inWords(this.marked)}.${missing}`);
    // One layer has its own chart of norm and ratio, in which more can be seen than in its row.
    arrive(chart.panel(rows.length === 1 && VIEW[name] ? "layer" : PANEL[name]));
  }

  // Take the mark away.
  forget() {
    this.marked = this.wanted = null;
    this.say("");
    remember(new URLSearchParams());
  }

  // Back to where the finding is told, with the keyboard's focus.
  back() {
    const links = [...document.querySelectorAll(".thaw-evidence-link")];
    const link = links.find(({ href }) => runIn(href) === this.chart.run && evidenceIn(href)?.finding === this.marked.finding);
    const place = link?.checkVisibility() ? link : chipOf(this.marked.finding);
    if (place && place !== link) setTimeout(() => place.click()); // it opens over the page, once the press that leads here is over: that would close it
    if (place) toward(place, "center", place);
    else this.say(`Marked: ${inWords(this.marked)}. Its finding is not on this page any more.`);
  }

  say(text, wrong = false) {
    const { root } = this.chart;
    root.querySelector("[data-act=back]").hidden = wrong || !this.marked?.finding;
    const line = root.querySelector(".thaw-marked");
    line.hidden = !text;
    line.parentElement.dataset.marked = Boolean(text);
    line.textContent = line.title = text;
    line.dataset.wrong = wrong;
    const [from, to] = this.chart.range().map(Math.round);
    const layer = this.marked?.rows.length === 1 && this.chart.layer ? ` Layer ${this.chart.layer.name} is open.` : "";
    const more = wrong || !text ? "" : ` The charts show steps ${count(Math.max(1, from))} to ${count(to)} now.${layer} Reset zoom takes the mark away.`;
    root.querySelector(".thaw-unseen").textContent = text ? text + more : "The charts show the whole run.";
  }

  // Shapes and annotations for a figure that is `width` pixels wide, and the `room` above it that they need (pixels).
  marks(figure, width) {
    const { marked, chart } = this;
    if (!marked) return { shapes: [], annotations: [], room: 0 };
    const { colours } = chart;
    const [from, to] = [marked.first - 0.5, marked.last + 0.5];
    const picture = figure === "heat" || figure === "lane"; // a shade would change the colours that it is about
    const box = (more) => ({ type: "rect", name: "evidence", xref: "x", x0: from, x1: to, yref: "paper", y0: 0, y1: 1, layer: picture ? "above" : "below", ...more });
    const line = { color: colours.text, width: 1.5, dash: "dash" };
    const shapes = [box({ line, fillcolor: picture ? "rgba(0,0,0,0)" : faded(colours.text, 0.07) })];
    if (figure === "heat" && chart.rows) for (const row of marked.rows) {
      shapes.push(box({ yref: "y", y0: chart.rows.edges[row], y1: chart.rows.edges[row + 1], line: { ...line, dash: "solid" } }));
    }
    // A light line below the dark one (in the dark theme the other way round): one of them is seen on any colour.
    if (picture) shapes.unshift(...shapes.map((shape) => ({ ...shape, name: "ground", line: { color: faded(colours.background, 0.75), width: 4 } })));
    const [left, right] = chart.range();
    const [seenFrom, seenTo] = [Math.max(left, from), Math.min(right, to)];
    if (!LABELLED.includes(figure) || seenFrom >= seenTo) return { shapes, annotations: [], room: 0 };
    const middle = (seenFrom + seenTo) / 2, place = (middle - left) / (right - left);
    const [x, xanchor] = place < 1 / 3 ? [seenFrom, "left"] : place > 2 / 3 ? [seenTo, "right"] : [middle, "center"]; // an edge would cut it off
    // Above the waterfall, over the flags of changes: inside it a label would cover a layer. Its rows make the room.
    const above = figure === "heat" ? { yanchor: "bottom", yshift: 14 } : { yanchor: "top" };
    return {
      shapes, room: figure === "heat" ? LABEL : 0,
      annotations: [{
        name: "evidence", text: escaped(width > 420 ? inWords(marked) : stepsInWords(marked)), showarrow: false,
        x, xanchor, xref: "x", y: 1, yref: "paper", ...above,
        bgcolor: colours.background, bordercolor: colours.text, borderwidth: 1, borderpad: 3, font: { size: 11, color: colours.text, family: colours.font },
      }],
    };
  }
}

// The chip above the charts in which a finding is told (findings_view.py); that of all resolved ones, where it has none of its own.
function chipOf(finding) {
  const own = `[class*="st-key-chip_"][class*="_${CSS.escape(finding.replaceAll(" ", "_"))}_"] button`;
  return document.querySelector(own) ?? document.querySelector('[class*="st-key-resolved_"] button');
}

const stepsInWords = ({ first, last }) => (first === last ? `step ${count(first)}` : `steps ${count(first)} to ${count(last)}`);
const inWords = (marked) => `${marked.finding ? `${marked.finding}, ` : ""}${stepsInWords(marked)}`;

// Bring a panel into sight, and the focus with it.
export const arrive = (panel, block = "start") => toward(panel, block, panel.querySelector("h3"));

function toward(element, block, focused) {
  focused.focus({ preventScroll: true });
  element.scrollIntoView({ block, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

// Write into the address what is marked, or that nothing is.
function remember(wanted) {
  const address = new URL(location.href);
  for (const name of NAMES) address.searchParams.delete(name);
  for (const name of NAMES) if (wanted.has(name)) address.searchParams.set(name, wanted.get(name));
  if (address.href !== location.href) history.replaceState(history.state, "", address);
}
