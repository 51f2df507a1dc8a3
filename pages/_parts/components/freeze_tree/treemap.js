// The layers of a model as nested areas by their parameters (squarified: Bruls, Huizing & van Wijk, 2000). Pointing says what an
// area is, a click toggles it. It is a picture: everything it does, the tree beside it does for keyboard and screen reader too.

const HEADER = 15; // px of a group's name above its areas
const ROOM_FOR_HEADER = [44, 40]; // px of width and height from which a group shows its name
const ROOM_FOR_NAME = [34, 15];
const CHECKED = ["false", "true", "mixed"];
const WORDS = ["learns", "frozen", "frozen in part"];

export class Treemap {
  constructor(element, { toggle, point }) {
    this.element = element;
    this.rows = [];
    element.setAttribute("role", "img");
    this.tip = document.createElement("div");
    this.tip.className = "thaw-tip";
    this.tip.hidden = true;
    element.onclick = (event) => { const path = pathOf(event); if (path) { toggle(path); this.explain(event); } };
    element.onpointermove = (event) => { point(pathOf(event)); this.explain(event); };
    element.onpointerleave = () => { point(undefined); this.tip.hidden = true; };
    new ResizeObserver(() => this.lay()).observe(element);
  }

  describe(text) { this.element.setAttribute("aria-label", text); }

  show(rows) {
    this.rows = rows;
    this.size = "";
    this.total = rows.reduce((sum, row) => sum + (row.group ? 0 : row.count), 0);
    this.lay();
  }

  lay() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (this.size === `${width} ${height}` || !width || !height) return;
    this.size = `${width} ${height}`;
    this.areas = new Map();
    this.element.replaceChildren(...this.nest(this.rows.filter((row) => row.level === 1), { x: 0, y: 0, width, height }), this.tip);
    this.paint();
  }

  // Areas of rows within a box, and within each group those of what is inside it.
  nest(rows, box) {
    const made = [];
    for (const [row, area] of squarified(rows.filter((row) => row.count), box)) {
      if (area.width < 0.5 || area.height < 0.5) continue;
      const named = area.width >= ROOM_FOR_HEADER[0] && area.height >= ROOM_FOR_HEADER[1];
      made.push(this.area(row, area, named));
      if (!row.group) continue;
      const edge = Math.min(area.width, area.height) > 12 ? 2 : 0;
      const top = named ? HEADER : edge;
      const inner = { x: area.x + edge, y: area.y + top, width: area.width - 2 * edge, height: area.height - top - edge };
      made.push(...this.nest(this.rows.filter((other) => other.level === row.level + 1 && other.path.startsWith(row.path + ".")), inner));
    }
    return made;
  }

  area(row, { x, y, width, height }, named) {
    const area = document.createElement("div");
    area.className = row.group ? "thaw-area thaw-area-group" : "thaw-area";
    area.dataset.path = row.path;
    area.style.cssText = `left:${x.toFixed(1)}px;top:${y.toFixed(1)}px;width:${width.toFixed(1)}px;height:${height.toFixed(1)}px`;
    if (row.group ? named : width >= ROOM_FOR_NAME[0] && height >= ROOM_FOR_NAME[1]) {
      const name = document.createElement("span");
      name.textContent = row.name;
      area.append(name);
    }
    this.areas.set(row, area);
    return area;
  }

  paint() {
    for (const [row, area] of this.areas ?? []) {
      const state = CHECKED[row.state];
      if (area.dataset.frozen !== state) area.dataset.frozen = state;
    }
  }

  mark(path) {
    this.marked?.classList.remove("thaw-pointed");
    this.marked = path === undefined ? undefined : this.areas && [...this.areas].find(([row]) => row.path === path)?.[1];
    this.marked?.classList.add("thaw-pointed");
  }

  explain(event) {
    const row = this.rows.find((row) => row.path === pathOf(event));
    this.tip.hidden = !row;
    if (!row) return;
    const part = Number(((100 * row.count) / this.total).toPrecision(2));
    this.tip.innerHTML = `<b></b><br><span></span><br>${row.count.toLocaleString("en")} parameters (${part} %)<br>${WORDS[row.state]}; click to ${row.state === 1 ? "thaw" : "freeze"}`;
    this.tip.querySelector("b").textContent = row.path;
    this.tip.querySelector("span").textContent = row.kind;
    const box = this.element.getBoundingClientRect();
    const [x, y] = [event.clientX - box.x, event.clientY - box.y];
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    this.tip.style.left = `${Math.max(0, Math.min(x + 14, box.width - width))}px`;
    this.tip.style.top = `${y + 18 + height > box.height ? Math.max(0, y - height - 10) : y + 18}px`;
  }
}

function pathOf(event) { return event.target.closest(".thaw-area")?.dataset.path; }

// Pairs of row and area; areas are as near to squares as rows of areas along the shorter side allow.
function squarified(rows, { x, y, width, height }) {
  const found = [];
  const total = rows.reduce((sum, row) => sum + row.count, 0);
  const scale = (width * height) / total;
  const waiting = [...rows].sort((a, b) => b.count - a.count).map((row) => [row, row.count * scale]);
  while (waiting.length && width > 0 && height > 0) {
    const side = Math.min(width, height);
    let strip = [], sum = 0, worst = Infinity;
    while (waiting.length) {
      const next = sum + waiting[0][1];
      const sizes = [...strip.map(([, size]) => size), waiting[0][1]];
      const now = Math.max(...sizes.map((size) => Math.max((side * side * size) / (next * next), (next * next) / (side * side * size))));
      if (now > worst) break;
      strip.push(waiting.shift());
      sum = next;
      worst = now;
    }
    const depth = sum / side;
    let along = 0;
    for (const [row, size] of strip) {
      const length = size / depth;
      found.push([row, width >= height ? { x, y: y + along, width: depth, height: length } : { x: x + along, y, width: length, height: depth }]);
      along += length;
    }
    if (width >= height) { x += depth; width -= depth; } else { y += depth; height -= depth; }
  }
  return found;
}
