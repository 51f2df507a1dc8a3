// The reliability diagram: how often predictions of a confidence are right, against the diagonal on which the two are equal. Below, how many
// predictions have that confidence. The same figures stand in a table for those who want them.

export function mount({ data, parentElement }, tools) {
  const root = parentElement.querySelector(".thaw-reliability");
  const shown = tools.read(data);
  if (tools.isNew(root, shown)) draw(root, shown, tools);
  return () => {};
}

const SIDE = 300, LOW = 60, LEFT = 46, TOP = 26, GAP = 26;

function draw(root, { label, bins }, { make, drawn, count, percent }) {
  const open = root.querySelector("details")?.open ?? false;
  const x = (share) => LEFT + SIDE * share;
  const y = (share) => TOP + SIDE * (1 - share);
  const floor = TOP + SIDE + GAP + LOW;
  const most = Math.max(1, ...bins.map((bin) => bin.samples));
  const marks = [0, 0.25, 0.5, 0.75, 1];
  const chart = drawn("svg", { viewBox: `0 0 ${LEFT + SIDE + 14} ${floor + 40}`, role: "img", "aria-label": label });
  for (const mark of marks) {
    chart.append(drawn("line", { x1: x(0), x2: x(1), y1: y(mark), y2: y(mark), class: "thaw-reliability-line" }));
    chart.append(text(drawn, LEFT - 6, y(mark) + 4, `${100 * mark} %`, "end"), text(drawn, x(mark), floor + 16, `${100 * mark} %`, "middle"));
  }
  for (const bin of bins) {
    if (!bin.samples) continue;
    const { value, low, high } = bin.accuracy;
    const middle = x((bin.low + bin.high) / 2), width = x(bin.high) - x(bin.low) - 2;
    const group = drawn("g");
    const range = low === null ? "" : `, 95 % interval ${percent(low)} to ${percent(high)}`;
    group.append(Object.assign(drawn("title"), {
      textContent: `Confidence ${percent(bin.low)} to ${percent(bin.high)}: ${count(bin.samples)} pictures, ${percent(value)} right${range}; on average ${percent(bin.confidence)} confident`,
    }));
    group.append(drawn("rect", { x: x(bin.low) + 1, width, y: y(value), height: Math.max(1, y(0) - y(value)), class: "thaw-reliability-bar" }));
    if (low !== null) group.append(drawn("path", { d: `M${middle} ${y(low)}V${y(high)}M${middle - 4} ${y(low)}h8M${middle - 4} ${y(high)}h8`, class: "thaw-reliability-whisker" }));
    group.append(drawn("circle", { cx: x(bin.confidence), cy: y(value), r: 3.2, class: "thaw-reliability-dot" }));
    const tall = Math.max(1, (LOW * bin.samples) / most);
    group.append(drawn("rect", { x: x(bin.low) + 1, width, y: floor - tall, height: tall, class: "thaw-reliability-count" }));
    chart.append(group);
  }
  chart.append(drawn("line", { x1: x(0), y1: y(0), x2: x(1), y2: y(1), class: "thaw-reliability-equal" }));
  chart.append(drawn("line", { x1: x(0), y1: floor, x2: x(1), y2: floor, class: "thaw-reliability-line" }));
  chart.append(text(drawn, LEFT - 6, floor - LOW + 8, count(most), "end"), text(drawn, LEFT - 6, floor, "0", "end"));
  chart.append(text(drawn, x(0.5), floor + 34, "confidence of the prediction", "middle"));
  chart.append(text(drawn, x(0), TOP + SIDE + GAP - 6, "pictures with that confidence", "start"));
  chart.append(text(drawn, x(0), TOP - 10, "share that is right", "start"));
  const cells = (tag, values) => make("tr", {}, ...values.map((value) => make(tag, { textContent: value })));
  const table = make("table", {}, make("thead", {}, cells("th", ["Confidence", "Pictures", "Mean confidence", "Right", "95 % interval"])),
    make("tbody", {}, ...bins.filter((bin) => bin.samples).map((bin) => cells("td", [
      `${percent(bin.low)} to ${percent(bin.high)}`, count(bin.samples), percent(bin.confidence), percent(bin.accuracy.value),
      bin.accuracy.low === null ? "" : `${percent(bin.accuracy.low)} to ${percent(bin.accuracy.high)}`,
    ]))));
  root.replaceChildren(chart, make("details", { open }, make("summary", { textContent: "These figures as a table" }), make("div", {}, table)));
}

const text = (drawn, x, y, words, anchor) => Object.assign(drawn("text", { x, y, "text-anchor": anchor }), { textContent: words });
