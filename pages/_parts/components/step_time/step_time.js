// Where a step's time goes. Python sends what is to be drawn, words included: a bar of slices with its key, or a table with bars in it.

const WATCHING = "thaw-watching-told"; // see spoken.js
const opened = new WeakMap(); // place on the page to the names of the rows that a person has opened
const COLOURS = 9;

export function mount({ data, parentElement }) {
  const root = parentElement.querySelector(".thaw-step-time");
  const shown = JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data));
  if (!opened.has(root)) opened.set(root, new Set());
  const style = getComputedStyle(root).getPropertyValue("--st-chart-categorical-colors").split(",");
  style.slice(0, COLOURS).forEach((colour, place) => root.style.setProperty(`--thaw-slice-${place}`, colour.trim()));
  const text = JSON.stringify(shown);
  if (root.dataset.shown !== text) { // drawn once a second: what a person holds the pointer or the focus on must stay
    root.dataset.shown = text;
    if (shown.kind === "bar") drawBar(root, shown); else drawTable(root, shown);
  }
  return () => {};
}

const make = (tag, fields = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), fields);
  element.append(...children);
  return element;
};

function drawBar(root, { title, note, slices, run, watching }) {
  let strip = root.querySelector(".thaw-slices");
  if (!strip) {
    root.replaceChildren(
      make("p", { className: "thaw-slices-title" }, make("b"), make("span")), make("div", { className: "thaw-slices" }), make("ul", { className: "thaw-slices-key" }),
    );
    strip = root.querySelector(".thaw-slices");
    strip.setAttribute("role", "img");
  }
  const [head, rest] = root.querySelector(".thaw-slices-title").children;
  head.textContent = title;
  rest.textContent = note;
  strip.setAttribute("aria-label", `${title}. ${slices.map(({ name, value, share }) => `${name}: ${value}, ${percent(share)}`).join("; ")}.`);
  fit(strip, slices.length, () => make("i"));
  const key = root.querySelector(".thaw-slices-key");
  fit(key, slices.length, () => make("li", {}, make("i"), make("span")));
  key.setAttribute("aria-hidden", "true"); // the bar's label says it all
  slices.forEach(({ name, about, share, value, place }, at) => {
    const slice = strip.children[at], item = key.children[at];
    slice.style.width = `${100 * share}%`;
    slice.title = `${name}: ${value}, ${percent(share)} (${about})`;
    slice.dataset.place = item.firstChild.dataset.place = place;
    slice.style.background = item.firstChild.style.background = `var(--thaw-slice-${place})`;
    item.lastChild.textContent = `${name} ${percent(share)}`;
    item.title = slice.title;
  });
  Object.assign(root.dataset, { run, watching });
  window.dispatchEvent(new CustomEvent(WATCHING));
}

function drawTable(root, { caption, columns, lines }) {
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.name : null;
  const open = opened.get(root);
  const body = make("tbody");
  lines.forEach((line) => addRows(root, body, line, open));
  const titles = columns.map((title) => make("th", { scope: "col", textContent: title }));
  root.replaceChildren(make("div", { className: "thaw-bars-scroll", tabIndex: 0 }, make("table", { className: "thaw-bars" },
    make("caption", { textContent: caption }), make("thead", {}, make("tr", {}, ...titles)), body)));
  root.firstChild.setAttribute("role", "group");
  root.firstChild.setAttribute("aria-label", caption);
  if (focused) root.querySelector(`button[data-name="${CSS.escape(focused)}"]`)?.focus();
}

function addRows(root, body, line, open) {
  const row = rowOf(line);
  body.append(row);
  if (!line.inside.length) return;
  const button = make("button", { type: "button", textContent: line.name });
  button.dataset.name = line.name;
  row.firstChild.replaceChildren(button);
  const inner = line.inside.map((part) => rowOf(part));
  inner.forEach((part) => { part.dataset.inside = ""; body.append(part); });
  const state = () => {
    button.setAttribute("aria-expanded", open.has(line.name));
    for (const part of inner) part.hidden = !open.has(line.name);
  };
  button.onclick = () => { if (!open.delete(line.name)) open.add(line.name); state(); };
  state();
}

function rowOf({ name, note, cells }) {
  const row = make("tr", {}, make("th", { scope: "row", textContent: name }));
  cells.forEach(({ share, value }, place) => {
    const strip = make("span", { className: "thaw-bar-strip" });
    strip.setAttribute("aria-hidden", "true");
    if (share !== null) {
      const filled = make("i");
      filled.style.width = `${Math.max(share > 0 ? 0.6 : 0, 100 * share)}%`;
      filled.style.background = `var(--thaw-slice-${place})`;
      strip.append(filled);
    }
    row.append(make("td", { className: share === null ? "thaw-absent" : "" }, make("div", {}, strip, make("span", { textContent: value }))));
  });
  row.append(make("td", { className: "thaw-bar-note", textContent: note }));
  return row;
}

function fit(parent, count, child) {
  while (parent.children.length > count) parent.lastChild.remove();
  while (parent.children.length < count) parent.append(child());
}

const percent = (share) => (share > 0 && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);
