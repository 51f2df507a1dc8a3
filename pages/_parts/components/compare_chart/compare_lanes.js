// Freeze plans side by side: a lane for each run, a row for each block, over the steps of the longest run.

const WORDS = { learns: "learns", frozen: "frozen", "in part": "in part" };
const ROW = 13; // px

// Draw the lanes of `runs` [{name, curves, colour}] into `root`. Rows of neighbours with the same story are drawn as one.
export function drawLanes(root, runs, { escaped, cut, count }) {
  const there = runs.filter(({ curves }) => curves.lanes.length);
  const until = Math.max(1, ...there.map(({ curves }) => Math.max(curves.about.total ?? 0, curves.lastStep)));
  const html = there.map(({ name, colour, curves }) => {
    const rows = merged(curves.lanes);
    const end = Math.max(curves.about.total ?? 0, curves.lastStep, 1);
    const said = rows.map(({ label, stretches }) => `${label}: ${stretches.map(([from, state]) => `${state} from step ${count(from)}`).join(", ")}`).join("; ");
    const bars = rows.map(({ stretches, names, label }) => {
      const parts = stretches.map(([from, state], at) => {
        const to = stretches[at + 1]?.[0] ?? end + 1;
        const [left, width] = [(from - 1) / until, (Math.min(to, end + 1) - from) / until].map((share) => 100 * share);
        return `<i data-state="${state}" style="left:${left.toFixed(3)}%;width:${Math.max(0.4, width).toFixed(3)}%" title="${escaped(label)}: ${WORDS[state]}, steps ${count(from)} to ${count(to - 1)}"></i>`;
      });
      return `<div class="thaw-cmp-row" style="height:${Math.min(3, names) * ROW}px"><span title="${escaped(label)}">${escaped(cut(label, 26))}</span><b>${parts.join("")}</b></div>`;
    });
    return `<figure role="img" aria-label="${escaped(`Freeze plan of ${name}. ${said}`)}"><figcaption><u style="background:${colour}"></u>${escaped(name)}</figcaption>${bars.join("")}</figure>`;
  }).join("");
  if (root.dataset.html === html) return;
  root.dataset.html = html;
  root.innerHTML = html || '<p class="thaw-cmp-empty">What is frozen is shown here once the runs know their layers.</p>';
}

// Neighbouring blocks with the same stretches, as one row: [{label, names, stretches}].
export function merged(lanes) {
  const found = [];
  for (const [name, , stretches] of lanes) {
    const last = found.at(-1);
    if (last && JSON.stringify(last.stretches) === JSON.stringify(stretches)) { last.to = name; last.names += 1; }
    else found.push({ from: name, to: name, names: 1, stretches });
  }
  return found.map(({ from, to, names, stretches }) => ({ label: names === 1 ? from : `${from} to ${to}`, names, stretches }));
}
