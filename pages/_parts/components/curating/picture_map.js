// All pictures of a version as points: what is near is alike. A line drawn around some of them (or keys) chooses them, and the gallery on the same page
// shows these alone, at once: nothing of it waits for the server. Pointing at one shows it.

const maps = new WeakMap();

export function mount({ data, parentElement }, elements, marks) {
  const root = parentElement.querySelector(".thaw-picture-map");
  let map = maps.get(root);
  if (!map) { map = new PictureMap(root, elements, marks); maps.set(root, map); }
  map.receive(elements.read(data));
  const watcher = new ResizeObserver(() => map.paint());
  watcher.observe(map.canvas);
  return () => watcher.disconnect();
}

const REACH = 14; // px from the pointer to a point that counts as pointed at
const MARGIN = 14, FULL = 32767;
const CROWD = 4000; // points from which on they are small squares, which are quick to draw
const LAYERS = 16;
const FEW = 20; // classes up to which each has a button
const NEAR = 24; // pictures that the key N chooses around the one that is held

class PictureMap {
  constructor(root, elements, marks) {
    Object.assign(this, { root, ...elements, ...marks, zoom: 1, shift: [0, 0], held: null, chosen: null, alone: null, line: null, choice: 0 });
    const { make } = elements;
    this.canvas = make("canvas", { tabIndex: 0, role: "application" });
    this.hint = make("div", { className: "thaw-picture-map-hint", hidden: true }, make("img", { alt: "" }), make("b"), make("span"));
    this.said = make("p", { className: "thaw-picture-map-said", role: "status" });
    const button = (textContent, title, onclick) => make("button", { type: "button", textContent, title, aria: { label: title }, onclick });
    this.clear = button("Choose nothing", "Choose nothing: the gallery shows all pictures again", () => this.choose(null));
    this.key = make("div", { className: "thaw-picture-map-key", role: "group", aria: { label: "Classes: press one to see it alone" } });
    root.replaceChildren(
      make("div", { className: "thaw-picture-map-bar" },
        make("div", { role: "group", aria: { label: "Zoom" } }, button("+", "Closer", () => this.closer(1.5)), button("−", "Further away", () => this.closer(1 / 1.5)), button("Whole map", "Show all points", () => this.closer(0))),
        this.clear),
      make("div", { className: "thaw-picture-map-place" }, this.canvas, this.hint), this.key, this.said,
      make("p", { className: "thaw-picture-map-help", textContent: "Draw around pictures to choose them; with Shift the map is moved. Keys: arrows go from picture to picture, Space chooses one more, N the nearest to it, + and − zoom, Esc chooses nothing." }),
    );
    this.canvas.onpointerdown = (event) => this.begin(event);
    this.canvas.onpointermove = (event) => this.move(event);
    this.canvas.onpointerup = (event) => this.end(event);
    this.canvas.onpointerleave = () => { if (!this.line && !this.dragged) this.hold(null); };
    this.canvas.onkeydown = (event) => this.press(event);
    this.canvas.onblur = () => this.hold(null);
    this.canvas.addEventListener("wheel", (event) => { if (!event.ctrlKey && !event.metaKey) return; event.preventDefault(); this.closer(event.deltaY < 0 ? 1.2 : 1 / 1.2, this.at(event)); }, { passive: false });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTimeout(() => this.paint(), 300));
  }

  receive(shown) {
    const text = `${shown.list} ${shown.across.length} ${shown.across.slice(0, 400)} ${shown.label}`;
    if (text === this.text) return;
    this.text = text;
    this.shown = shown;
    delete this.root.dataset.points; // until they are drawn
    this.xs = numbers(shown.across);
    this.ys = numbers(shown.up);
    this.gone = new Set(shown.missing);
    this.canvas.setAttribute("aria-label", shown.label);
    [this.list, this.chosen, this.held, this.alone] = [null, null, null, null];
    this.load(text);
  }

  async load(text) {
    this.said.textContent = "Looking through the pictures …";
    try {
      const response = await fetch(new URL(this.shown.list, document.baseURI));
      if (!response.ok) throw new Error(`the server answers ${response.status}`);
      const found = await response.json();
      if (text !== this.text) return;
      this.list = found;
    } catch (error) {
      this.said.textContent = `The map cannot be shown: ${error.message}`;
      this.text = "";
      return;
    }
    this.legend();
    this.paint();
    this.say();
  }

  legend() {
    const { make } = this, { classes } = this.shown;
    const tones = this.colours(this.root);
    this.look = classes.map((_, label) => ({ tone: tones[label % tones.length], shape: this.SHAPES[Math.floor(label / tones.length) % this.SHAPES.length] }));
    const alone = (label) => { this.alone = this.alone === label ? null : label; this.legend(); this.paint(); };
    if (classes.length > FEW) {
      const chooser = make("select", { aria: { label: "Class that is shown alone" } }, make("option", { value: "", textContent: `All ${this.count(classes.length)} classes` }), ...classes.map((name, label) => make("option", { value: label, textContent: this.short(name, 60) })));
      chooser.value = this.alone ?? "";
      chooser.onchange = () => { this.alone = chooser.value === "" ? null : Number(chooser.value); this.paint(); };
      this.key.replaceChildren(chooser);
      return;
    }
    const focused = [...this.key.children].indexOf(document.activeElement);
    this.key.replaceChildren(...classes.map((name, label) => make("button", { type: "button", title: name, data: { shape: this.look[label].shape }, aria: { pressed: this.alone === label }, onclick: () => alone(label) }, make("i", { style: { background: this.look[label].tone } }), this.short(name, 28))));
    this.key.children[focused]?.focus();
  }

  shownAt(place) { return !this.gone.has(place) && (this.alone === null || this.list.labels[place] === this.alone); }

  // The points are drawn once into a layer of their own: what follows the pointer is drawn on top of it.
  paint() {
    const { canvas } = this, width = canvas.clientWidth, height = canvas.clientHeight, ratio = devicePixelRatio || 1;
    if (!this.list || !width) return;
    const text = getComputedStyle(this.root).getPropertyValue("--st-text-color");
    for (const each of [canvas, (this.layer ??= document.createElement("canvas"))]) {
      if (each.width !== Math.round(width * ratio) || each.height !== Math.round(height * ratio)) { each.width = Math.round(width * ratio); each.height = Math.round(height * ratio); this.drawn = ""; }
    }
    const drawn = [width, height, this.zoom, ...this.shift, this.alone, this.choice, this.text, text].join(" ");
    if (drawn !== this.drawn) { this.drawn = drawn; this.points(width, height, ratio); }
    const brush = canvas.getContext("2d"), radius = this.radius();
    brush.setTransform(1, 0, 0, 1, 0, 0);
    brush.clearRect(0, 0, canvas.width, canvas.height);
    brush.drawImage(this.layer, 0, 0);
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.strokeStyle = text;
    brush.lineWidth = 1.6;
    if (this.held !== null) { brush.beginPath(); brush.arc(this.px[this.held], this.py[this.held], radius + 5, 0, 2 * Math.PI); brush.stroke(); }
    if (this.line) {
      brush.setLineDash([5, 4]);
      brush.beginPath();
      this.line.forEach(([x, y], at) => (at ? brush.lineTo(x, y) : brush.moveTo(x, y)));
      brush.closePath();
      brush.stroke();
      brush.setLineDash([]);
    }
  }

  radius() { return this.xs.length > CROWD ? Math.min(3, 1.1 + 0.25 * this.zoom) : Math.min(6, 3 + 0.4 * this.zoom); }

  points(width, height, ratio) {
    const brush = this.layer.getContext("2d"), count = this.xs.length, crowd = count > CROWD, radius = this.radius();
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.clearRect(0, 0, width, height);
    const scale = ((Math.min(width, height) / 2 - MARGIN) / FULL) * this.zoom, wide = Math.min(2, Math.max(1, width / height));
    if (this.px?.length !== count) [this.px, this.py] = [new Float32Array(count), new Float32Array(count)];
    const byClass = new Map();
    for (let place = 0; place < count; place += 1) {
      const x = (this.px[place] = width / 2 + this.xs[place] * scale * wide + this.shift[0]);
      const y = (this.py[place] = height / 2 - this.ys[place] * scale + this.shift[1]);
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9 || !this.shownAt(place)) continue;
      const label = this.list.labels[place];
      if (!byClass.has(label)) byClass.set(label, []);
      byClass.get(label).push(place);
    }
    for (const faint of this.chosen ? [true, false] : [false]) {
      brush.globalAlpha = faint ? 0.13 : 0.78;
      for (const [label, places, layer] of layers(byClass)) {
        brush.fillStyle = this.look[label].tone;
        for (let at = layer; at < places.length; at += LAYERS) {
          const place = places[at];
          if (this.chosen && this.chosen.has(place) === faint) continue;
          if (crowd) brush.fillRect(this.px[place] - radius, this.py[place] - radius, 2 * radius, 2 * radius);
          else { brush.beginPath(); this.outline(brush, this.look[label].shape, this.px[place], this.py[place], radius); brush.fill(); }
        }
      }
    }
    this.root.dataset.points = count;
  }

  // Choosing

  at(event) { const box = this.canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; }

  begin(event) {
    if (!this.list || event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.at(event);
    if (event.shiftKey) this.dragged = { from: at, shift: [...this.shift] };
    else this.line = [at];
  }

  move(event) {
    if (!this.list) return;
    const [x, y] = this.at(event);
    if (this.dragged) {
      this.shift = [this.dragged.shift[0] + x - this.dragged.from[0], this.dragged.shift[1] + y - this.dragged.from[1]];
      this.hold(null);
      this.soon();
    } else if (this.line) {
      const [lastX, lastY] = this.line.at(-1);
      if (Math.hypot(x - lastX, y - lastY) < 3) return;
      this.line.push([x, y]);
      this.hold(null);
      this.soon();
    } else this.hold(this.nearest(x, y, REACH));
  }

  end(event) {
    this.dragged = null;
    const line = this.line;
    this.line = null;
    if (!line) return;
    if (line.length > 4) this.choose(this.inside(line), event.ctrlKey || event.metaKey);
    else {
      const [x, y] = this.at(event), found = this.nearest(x, y, REACH);
      if (found !== null) this.choose([found], event.ctrlKey || event.metaKey);
      else this.paint();
    }
  }

  inside(line) {
    const xs = line.map(([x]) => x), ys = line.map(([, y]) => y);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const found = [];
    for (let place = 0; place < this.px.length; place += 1) {
      const x = this.px[place], y = this.py[place];
      if (x < left || x > right || y < top || y > bottom || !this.shownAt(place)) continue;
      let within = false;
      for (let at = 0, before = line.length - 1; at < line.length; before = at, at += 1) {
        if (ys[at] > y !== ys[before] > y && x < ((xs[before] - xs[at]) * (y - ys[at])) / (ys[before] - ys[at]) + xs[at]) within = !within;
      }
      if (within) found.push(place);
    }
    return found;
  }

  choose(places, more = false) {
    const all = places === null ? null : more && this.chosen ? [...new Set([...this.chosen, ...places])].sort((a, b) => a - b) : places;
    this.chosen = all && all.length ? new Set(all) : null;
    this.choice += 1;
    const gallery = document.querySelector(this.shown.gallery)?.querySelector(".thaw-gallery")?.thawGallery;
    gallery?.hand(this.chosen ? { told: "chosen on the map", places: all } : null);
    this.root.dataset.chosen = this.chosen?.size ?? 0;
    this.say();
    this.soon();
  }

  nearest(x, y, reach) {
    let best = null, least = reach * reach;
    for (let place = 0; place < this.px.length; place += 1) {
      const far = (this.px[place] - x) ** 2 + (this.py[place] - y) ** 2;
      if (far < least && this.shownAt(place)) { least = far; best = place; }
    }
    return best;
  }

  around(middle, most) {
    const far = (place) => (this.px[place] - this.px[middle]) ** 2 + (this.py[place] - this.py[middle]) ** 2;
    return [...this.px.keys()].filter((place) => this.shownAt(place)).sort((a, b) => far(a) - far(b)).slice(0, most);
  }

  press(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!this.list) return;
    if (ways[event.key]) this.step(...ways[event.key]);
    else if ((event.key === " " || event.key === "Enter") && this.held !== null) this.choose([this.held], true);
    else if (event.key.toLowerCase() === "n" && this.held !== null) this.choose(this.around(this.held, NEAR), event.shiftKey);
    else if (event.key === "Escape") this.choose(null);
    else if (event.key === "+" || event.key === "-") this.closer(event.key === "+" ? 1.5 : 1 / 1.5);
    else return;
    event.preventDefault();
  }

  step(right, down) {
    const { width, height } = this.canvas.getBoundingClientRect();
    const [x, y] = this.held === null ? [width / 2, height / 2] : [this.px[this.held], this.py[this.held]];
    let best = null, least = Infinity;
    for (let place = 0; place < this.px.length; place += 1) {
      if (place === this.held || !this.shownAt(place)) continue;
      const along = (this.px[place] - x) * right + (this.py[place] - y) * down, aside = Math.abs((this.px[place] - x) * down) + Math.abs((this.py[place] - y) * right);
      if (along > 0 && along + 2 * aside < least) { least = along + 2 * aside; best = place; }
    }
    this.hold(best ?? (this.held === null ? this.nearest(x, y, Infinity) : this.held));
  }

  closer(factor, [x, y] = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]) {
    const next = factor === 0 ? 1 : Math.max(1, Math.min(40, this.zoom * factor)), { clientWidth: width, clientHeight: height } = this.canvas;
    this.shift = next === 1 ? [0, 0] : [x - width / 2 - ((x - width / 2 - this.shift[0]) * next) / this.zoom, y - height / 2 - ((y - height / 2 - this.shift[1]) * next) / this.zoom];
    this.zoom = next;
    this.hold(null);
    this.paint();
  }

  // Saying

  soon() { this.frame ??= requestAnimationFrame(() => { this.frame = null; this.paint(); }); }

  hold(place) {
    if (place === this.held) return;
    this.held = place;
    this.paint();
    this.say();
  }

  say() {
    this.clear.disabled = !this.chosen;
    this.hint.hidden = this.held === null;
    const many = this.chosen?.size ?? 0;
    const pictures = `${this.count(many)} ${many === 1 ? "picture is" : "pictures are"} chosen; the gallery below shows ${many === 1 ? "it" : "them"} alone.`;
    this.said.textContent = many ? pictures : `${this.count(this.xs.length - this.gone.size)} pictures. Nothing is chosen.`;
    if (this.held === null) return;
    const { list, shown } = this, [image, title, about] = this.hint.children, place = this.held;
    const address = `${list.sha.slice(64 * place, 64 * place + 64)}${list.endings[list.ending[place]]}`;
    const source = new URL(`picture/${encodeURIComponent(shown.dataset)}/${address}`, document.baseURI).href;
    if (image.src !== source) image.src = source;
    title.textContent = this.short(shown.classes[list.labels[place]], 30);
    about.textContent = this.short(list.names[place], 40);
    const [x, y] = [this.px[place], this.py[place]], { clientWidth: width, clientHeight: height } = this.canvas;
    this.hint.style.left = `${Math.max(0, x > width / 2 ? x - 165 : x + 16)}px`;
    this.hint.style.top = `${Math.max(0, Math.min(height - 180, y - 80))}px`;
    this.canvas.setAttribute("aria-label", `${shown.label} Held: ${title.textContent}, ${about.textContent}`);
  }
}

// Each class in turn, some of its points at a time: none lies on top of all others.
function* layers(byClass) {
  for (let layer = 0; layer < LAYERS; layer += 1) for (const [label, places] of byClass) yield [label, places, layer];
}

// int16, little-endian, in base64
function numbers(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Int16Array(bytes.buffer);
}
