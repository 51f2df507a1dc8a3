// The key to a figure's lines: one line of buttons that hide and show them. It is as high when it is empty as when it is full.

const DASHES = { solid: "", dot: "2 3", dash: "6 3", dashdot: "6 3 2 3", longdash: "9 4", longdashdot: "9 4 2 4" };

// What a line is called in the key, and by what it is hidden: its own name, or that of the line that it belongs to.
const whose = (trace) => trace.meta?.of ?? trace.name;

// Hide what somebody has hidden.
export function shownOf(hidden, traces) {
  return traces.map((trace) => ({ ...trace, visible: !hidden.has(whose(trace)) }));
}

// Draw the key. `hidden` is a set of names; `redraw` is called once it has changed.
export function keyLine(root, traces, hidden, redraw) {
  const told = traces.filter((trace) => !trace.meta?.of || trace.meta.of === trace.name);
  const html = told.map((trace) => `<button type="button" aria-pressed="${!hidden.has(trace.name)}">${sample(trace)}<span>${trace.meta?.words ?? trace.name}</span></button>`).join("");
  if (root.dataset.html === html) return;
  const at = [...root.children].indexOf(document.activeElement);
  root.dataset.html = html;
  root.innerHTML = html;
  [...root.children].forEach((button, place) => {
    const { name } = told[place];
    button.title = told[place].meta?.words ? name : button.textContent; // short words fit beside each other, the whole name is one pointer away
    button.onclick = () => {
      if (!hidden.delete(name)) hidden.add(name);
      redraw();
    };
  });
  if (at >= 0) root.children[Math.min(at, root.children.length - 1)]?.focus({ preventScroll: true });
}

function sample({ fill, fillcolor, mode, line, marker }) {
  const color = line?.color ?? marker?.color;
  const sign = mode === "markers" ? `<circle cx="10" cy="5" r="3.2" fill="none" stroke="${marker.color}" stroke-width="1.6"/>`
    : `<path d="M1 5H19" stroke="${color}" stroke-width="${Math.min(3, line.width)}" stroke-dasharray="${DASHES[line.dash] ?? ""}"/>`;
  return `<svg viewBox="0 0 20 10" aria-hidden="true">${fill ? `<rect width="20" height="10" fill="${fillcolor}"/>` : sign}</svg>`;
}
