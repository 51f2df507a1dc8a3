// Where something was changed while the run trained: a line in every chart, with a flag that says what, and the list of all changes.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const { count, cut, escaped, inWords, number } = await beside("looks");

const FLAG_WIDTH = 24; // pixels: flags closer than this become one

// The change's place: between the last step before it and the first under it.
const placeOf = (change) => change.step - 0.5;

const WORDS = { live: "live", timeline: "by the timeline" };

export function changeInWords(change, place) {
  return `change ${place + 1}, ${WORDS[change.source] ?? change.source}, from step ${count(change.step)} on: ${inWords(change.text, 6)}`;
}

// Changes whose flags would cover each other, together: [{first, last, step}] as places in the list of changes.
function flagged(changes, [from, to], width) {
  const found = [];
  changes.forEach((change, place) => {
    const step = placeOf(change);
    if (step < from || step > to) return;
    const across = ((step - from) / (to - from)) * width;
    const last = found.at(-1);
    if (last && across - last.across < FLAG_WIDTH) { last.members.push(place); return; }
    found.push({ across, step, members: [place] });
  });
  return found;
}

// Shapes and annotations for one figure, `width` pixels wide. Lines that would lie on one another are drawn once.
export function markers(chart, width) {
  const { history, colours } = chart;
  const range = chart.range();
  const shapes = [];
  let before = -Infinity;
  for (const change of history.changes) {
    const step = placeOf(change);
    const across = ((step - range[0]) / (range[1] - range[0])) * width;
    if (step < range[0] || step > range[1] || across - before < 2) continue;
    before = across;
    shapes.push({
      type: "line", x0: step, x1: step, xref: "x", yref: "paper", y0: 0, y1: 1, name: "change",
      line: { color: colours.text, width: 1, dash: change.source === "live" ? "solid" : "dot" },
    });
  }
  const annotations = flagged(history.changes, range, width).map(({ step, members }) => {
    const first = members[0], last = members.at(-1);
    const lines = members.slice(0, 12).map((place) => escaped(cut(changeInWords(history.changes[place], place), 160)));
    if (members.length > 12) lines.push(`and ${members.length - 12} more, see the list of changes`);
    return {
      x: step, xref: "x", yref: "paper", y: 1, yanchor: "bottom", showarrow: false, borderpad: 1, borderwidth: 1, bordercolor: colours.text,
      bgcolor: colours.background, font: { size: 9, color: colours.text, family: colours.font },
      text: first === last ? `${first + 1}` : `${first + 1}-${last + 1}`, hovertext: lines.join("<br>"), captureevents: true, name: "change",
    };
  });
  return { shapes, annotations };
}

// The list below the lane: what the flags' numbers stand for, for reading and for a screen reader.
export function listChanges(list, history, before) {
  for (let place = before; place < history.changes.length; place++) {
    const change = history.changes[place];
    const item = document.createElement("li");
    item.innerHTML = `<b>${place + 1}</b><span>step ${count(change.step)}</span><span>${WORDS[change.source] ?? escaped(change.source)}</span><span></span>`;
    item.lastElementChild.textContent = inWords(change.text, 24);
    item.title = `${change.text} · learning rate ${number(change.learning_rate)}`;
    list.append(item);
  }
}
