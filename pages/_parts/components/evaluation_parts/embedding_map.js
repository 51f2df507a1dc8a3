// The test set as the layer before the last sees it, before training and after: one point a picture, which glides from its place before to
// its place after. Pointing at one (or moving to one with the arrows) shows its picture, pressing it (or Enter) opens it.

const maps = new WeakMap();

export function mount({ data, parentElement, setTriggerValue }, elements) {
  const root = parentElement.querySelector(".thaw-map");
  let map = maps.get(root);
  if (!map) { map = new EmbeddingMap(root, elements); maps.set(root, map); }
  map.ask = (index) => setTriggerValue("asked", { index, at: Date.now() });
  map.open = (index) => setTriggerValue("opened", { index, at: Date.now() });
  map.receive(elements.read(data));
  const watcher = new ResizeObserver(() => map.paint());
  watcher.observe(map.canvas);
  return () => watcher.disconnect();
}

const GLIDE = 900; // ms from before to after
const PAUSE = 90; // ms that the pointer rests on a point before its picture is asked for
const REACH = 12; // px from the pointer to a point that counts as pointed at
const RADIUS = 3.6, MARGIN = 18;
const MANY = 20; // classes above which there is a box to find one
export const SHAPES = ["circle", "square", "diamond", "triangle"]; // every ten classes another: no class is told by its colour alone

class EmbeddingMap {
  constructor(root, elements) {
    Object.assign(this, { root, ...elements, pictures: new Map(), hidden: new Set(), at: 1, zoom: 1, shift: [0, 0], held: null });
    const { make } = elements;
    this.canvas = make("canvas", { tabIndex: 0, role: "application" });
    this.hint = make("div", { className: "thaw-map-hint", hidden: true }, make("img", { alt: "" }), make("span"));
    this.said = make("p", { className: "thaw-map-said", role: "status" });
    this.switches = ["before", "after"].map((side, at) => {
      const button = make("button", { type: "button", data: { side }, aria: { pressed: at === 1 } });
      button.onclick = () => this.glide(at);
      return button;
    });
    this.again = make("button", { type: "button", textContent: "Play", title: "Let the points glide from before to after" });
    this.again.onclick = () => { this.at = 0; this.paint(); setTimeout(() => this.glide(1), 350); };
    const zooms = [["+", 1.5, "Closer"], ["−", 1 / 1.5, "Further away"], ["Whole map", 0, "Show all points"]].map(([textContent, factor, title]) => {
      const button = make("button", { type: "button", textContent, title, aria: { label: title } });
      button.onclick = () => this.closer(factor);
      return button;
    });
    this.find = make("input", { type: "search", placeholder: "Find a class", aria: { label: "Find a class among those below" } });
    this.find.oninput = () => this.search();
    this.key = make("div", { className: "thaw-map-key", role: "toolbar", aria: { label: "Classes: press one to show it alone" } });
    this.key.onkeydown = (event) => this.walk(event);
    root.replaceChildren(
      make("div", { className: "thaw-map-bar" }, make("div", { role: "group", aria: { label: "Which map is shown" } }, ...this.switches), this.again, make("div", { role: "group", aria: { label: "Zoom" } }, ...zooms)),
      make("div", { className: "thaw-map-place" }, this.canvas, this.hint), this.find, this.key, this.said,
    );
    this.canvas.onpointermove = (event) => this.point(event);
    this.canvas.onpointerleave = () => { if (!this.dragged) this.hold(null); };
    this.canvas.onpointerdown = (event) => { this.canvas.setPointerCapture(event.pointerId); this.dragged = { x: event.clientX, y: event.clientY, shift: [...this.shift], far: false }; };
    this.canvas.onpointerup = (event) => this.release(event);
    this.canvas.onkeydown = (event) => this.press(event);
    this.canvas.onblur = () => this.hold(null);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTimeout(() => this.paint(), 300));
  }

  receive(shown) {
    for (const { index, picture, text } of shown.pictures) this.pictures.set(index, { picture, text });
    const text = JSON.stringify([shown.points, shown.titles, shown.classes]);
    if (text !== this.text) {
      this.text = text;
      this.shown = shown;
      this.lay();
    }
    this.say();
  }

  lay() {
    const { make } = this, { points, titles, classes, label } = this.shown;
    this.canvas.setAttribute("aria-label", `${label}. Arrow keys move from picture to picture, Enter opens one.`);
    this.switches.forEach((button, at) => { button.textContent = titles[at]; });
    this.ends = [1, 2].map((side) => centred(points.map((point) => point.slice(2 * side, 2 * side + 2))));
    this.wide = [0, 1].map((axis) => Math.max(1e-9, ...this.ends.flat().map((point) => 2 * Math.abs(point[axis]))));
    const used = [...new Set(points.map((point) => point[1]))].sort((one, other) => one - other);
    const tones = this.colours(this.root);
    this.look = (label) => ({ tone: tones[label % tones.length], shape: SHAPES[Math.floor(label / tones.length) % SHAPES.length] });
    this.key.replaceChildren(...used.map((label) => {
      const button = make("button", {
        type: "button", title: classes[label], data: { label, shape: this.look(label).shape }, aria: { pressed: false, label: classes[label] },
      }, make("i", { style: { background: this.look(label).tone } }), this.short(classes[label], 32));
      button.onclick = () => this.choose(label, used);
      return button;
    }));
    this.find.hidden = used.length <= MANY;
    this.search();
    this.hidden.clear();
    this.paint();
  }

  search() {
    const sought = this.find.hidden ? "" : this.find.value.trim().toLowerCase();
    for (const button of this.key.children) button.hidden = !button.title.toLowerCase().includes(sought);
    this.reach();
  }

  // One stop for Tab, however many classes there are: arrows lead from one to the next.
  reach(wanted = null) {
    const shown = [...this.key.children].filter((button) => !button.hidden);
    const held = wanted ?? shown.find((button) => button.tabIndex === 0) ?? shown[0];
    for (const button of this.key.children) button.tabIndex = button === held ? 0 : -1;
    return shown;
  }

  walk(event) {
    const shown = this.reach(), at = shown.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    const next = shown[Math.max(0, Math.min(shown.length - 1, to))];
    this.reach(next);
    next.focus();
    event.preventDefault();
  }

  // One class alone, more with further presses; all again once none is left.
  choose(label, used) {
    const chosen = new Set(this.hidden.size ? used.filter((each) => !this.hidden.has(each)) : []);
    if (!chosen.delete(label)) chosen.add(label);
    this.hidden = new Set(chosen.size && chosen.size < used.length ? used.filter((each) => !chosen.has(each)) : []);
    for (const button of this.key.children) button.setAttribute("aria-pressed", this.hidden.size > 0 && !this.hidden.has(Number(button.dataset.label)));
    this.paint();
  }

  glide(to) {
    cancelAnimationFrame(this.frame);
    this.switches.forEach((button, at) => button.setAttribute("aria-pressed", at === to));
    const from = this.at, began = performance.now();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const step = (now) => {
      const share = still ? 1 : Math.min(1, (now - began) / GLIDE);
      this.at = from + (to - from) * (share < 0.5 ? 2 * share * share : 1 - 2 * (1 - share) ** 2);
      this.paint();
      if (share < 1) this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  closer(factor) {
    if (factor === 0) { this.zoom = 1; this.shift = [0, 0]; } else {
      const next = Math.max(1, Math.min(20, this.zoom * factor));
      this.shift = this.shift.map((value) => (value * next) / this.zoom);
      this.zoom = next;
    }
    this.paint();
  }

  place(number) {
    const [before, after] = this.ends;
    const [width, height] = this.extent;
    const side = [0, 1].map((axis) => before[number][axis] * (1 - this.at) + after[number][axis] * this.at);
    const scale = Math.min((width - 2 * MARGIN) / this.wide[0], (height - 2 * MARGIN) / this.wide[1]) * this.zoom; // one for both axes
    return [width / 2 + side[0] * scale + this.shift[0], height / 2 - side[1] * scale + this.shift[1]];
  }

  paint() {
    if (!this.shown) return;
    const { canvas } = this, style = getComputedStyle(this.root);
    const width = canvas.clientWidth, height = canvas.clientHeight, ratio = devicePixelRatio || 1;
    if (!width) return;
    this.extent = [width, height];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) { canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); }
    const brush = canvas.getContext("2d");
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.clearRect(0, 0, width, height);
    this.places = this.shown.points.map((_, number) => this.place(number));
    brush.globalAlpha = 0.75;
    this.shown.points.forEach(([, label], number) => {
      if (this.hidden.has(label)) return;
      const { tone, shape } = this.look(label);
      brush.fillStyle = tone;
      brush.beginPath();
      outline(brush, shape, ...this.places[number], RADIUS);
      brush.fill();
    });
    brush.globalAlpha = 1;
    if (this.held !== null) {
      brush.beginPath();
      brush.arc(...this.places[this.held], RADIUS + 4, 0, 2 * Math.PI);
      brush.lineWidth = 2;
      brush.strokeStyle = style.getPropertyValue("--st-text-color");
      brush.stroke();
      this.put();
    }
    this.root.dataset.at = this.at.toFixed(2);
    this.root.dataset.points = this.places.length;
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    if (this.dragged) {
      const [x, y] = [event.clientX - this.dragged.x, event.clientY - this.dragged.y];
      this.dragged.far ||= Math.hypot(x, y) > 4;
      if (this.dragged.far) { this.shift = [this.dragged.shift[0] + x, this.dragged.shift[1] + y]; this.held = null; this.hint.hidden = true; this.paint(); }
      return;
    }
    this.hold(this.nearest(event.clientX - box.left, event.clientY - box.top, REACH));
  }

  release() {
    const clicked = this.dragged && !this.dragged.far;
    this.dragged = null;
    if (clicked && this.held !== null) this.open(this.shown.points[this.held][0]);
  }

  nearest(x, y, reach) {
    let best = null, least = reach;
    this.places.forEach(([px, py], number) => {
      if (this.hidden.has(this.shown.points[number][1])) return;
      const far = Math.hypot(px - x, py - y);
      if (far < least) { least = far; best = number; }
    });
    return best;
  }

  press(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Enter" && this.held !== null) this.open(this.shown.points[this.held][0]);
    else if (event.key === "Escape") this.hold(null);
    else if (event.key === "+" || event.key === "-") this.closer(event.key === "+" ? 1.5 : 1 / 1.5);
    else if (ways[event.key]) this.step(...ways[event.key]);
    else return;
    event.preventDefault();
  }

  // The nearest point in a direction: what lies off to the side counts as further away.
  step(right, down) {
    const [x, y] = this.held === null ? [this.extent[0] / 2, this.extent[1] / 2] : this.places[this.held];
    let best = null, least = Infinity;
    this.places.forEach(([px, py], number) => {
      if (number === this.held || this.hidden.has(this.shown.points[number][1])) return;
      const along = (px - x) * right + (py - y) * down, aside = Math.abs((px - x) * down) + Math.abs((py - y) * right);
      if (along <= 0 || along + 2 * aside >= least) return;
      least = along + 2 * aside;
      best = number;
    });
    if (best === null && this.held === null) best = this.nearest(x, y, Infinity);
    if (best !== null) this.hold(best);
  }

  hold(number) {
    if (number === this.held) return;
    this.held = number;
    clearTimeout(this.timer);
    this.paint();
    this.say();
    if (number === null) return;
    const index = this.shown.points[number][0];
    if (!this.pictures.has(index)) this.timer = setTimeout(() => this.ask(index), PAUSE);
  }

  say() {
    this.hint.hidden = this.held === null;
    if (this.held === null) return;
    const [index, label] = this.shown.points[this.held];
    const known = this.pictures.get(index);
    const words = known?.text ?? `test picture ${index}: ${this.shown.classes[label]}`;
    const [image, span] = this.hint.children;
    image.style.visibility = known ? "visible" : "hidden";
    if (known) image.src = known.picture;
    span.textContent = words;
    this.said.textContent = words;
    this.put();
  }

  put() {
    const [x, y] = this.places[this.held], [width, height] = this.extent;
    this.hint.style.left = `${Math.max(0, x > width / 2 ? x - 150 : x + 14)}px`;
    this.hint.style.top = `${Math.max(0, Math.min(height - 130, y - 60))}px`;
  }
}

// Around the middle, and so large that the longer side is 1: how far apart points lie says something within a map only.
function centred(points) {
  const sides = [0, 1].map((axis) => points.map((point) => point[axis]));
  const middle = sides.map((values) => (values.reduce((low, value) => Math.min(low, value), Infinity) + values.reduce((high, value) => Math.max(high, value), -Infinity)) / 2);
  const reach = Math.max(1e-9, ...points.flatMap((point) => point.map((value, axis) => Math.abs(value - middle[axis]))));
  return points.map((point) => point.map((value, axis) => (value - middle[axis]) / (2 * reach)));
}

export function outline(brush, shape, x, y, radius) {
  const r = radius * 1.1;
  if (shape === "circle") brush.arc(x, y, radius, 0, 2 * Math.PI);
  else if (shape === "square") brush.rect(x - radius, y - radius, 2 * radius, 2 * radius);
  else if (shape === "diamond") { brush.moveTo(x, y - r * 1.2); brush.lineTo(x + r * 1.2, y); brush.lineTo(x, y + r * 1.2); brush.lineTo(x - r * 1.2, y); }
  else { brush.moveTo(x, y - r * 1.2); brush.lineTo(x + r * 1.15, y + r); brush.lineTo(x - r * 1.15, y + r); }
}
