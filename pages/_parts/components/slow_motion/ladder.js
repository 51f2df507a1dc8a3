// Many values in a row, one thin bar each, on a canvas: as many as a model has layers or parameters. A click goes to what a bar stands for.
// It is a picture of what a list or a table beside it says in words; the words under it name what is pointed at.

const BAR_ROOM = 4, LABEL_ROOM = 17, LEAST = 3, WIDEST = 64; // px

export class Ladder {
  // `pick(place)` is called for a click, where given; `name(place)` says what a bar stands for.
  constructor(root, { height = 74, pick = null, name, readColours }) {
    Object.assign(this, { root, height, pick, name, readColours });
    root.classList.add("thaw-ladder");
    root.innerHTML = '<canvas role="img"></canvas><div class="thaw-ladder-tip" hidden></div>';
    [this.canvas, this.tip] = root.children;
    this.canvas.style.cursor = pick ? "pointer" : "default";
    this.canvas.onpointermove = (event) => this.point(event);
    this.canvas.onpointerleave = () => { this.tip.hidden = true; };
    this.canvas.onclick = (event) => { const at = this.placeOf(event); if (pick && at !== null) pick(at); };
    this.watch = new ResizeObserver(() => this.paint());
    this.watch.observe(root);
  }

  // bars: [{ kind: "value" | "none" | "zero" | "frozen" | "broken", share (0 to 1), waiting, now }]; groups: [{ name, from, to }]
  show(bars, groups = [], label = "") {
    Object.assign(this, { bars, groups });
    this.canvas.setAttribute("aria-label", label);
    this.paint();
  }

  paint() {
    const width = this.root.clientWidth;
    if (!this.bars || !width) return;
    const ratio = window.devicePixelRatio || 1, labels = this.groups.length ? LABEL_ROOM : 0, full = this.height + labels;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(full * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(full * ratio);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${full}px`;
    }
    const draw = this.canvas.getContext("2d"), colours = this.readColours(this.root);
    draw.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw.clearRect(0, 0, width, full);
    const pitch = this.pitch = Math.min(WIDEST, width / Math.max(1, this.bars.length)), gap = pitch > 6 ? 2 : pitch > 3 ? 1 : 0, floor = this.height - 1;
    draw.fillStyle = colours.grid;
    draw.fillRect(0, floor, width, 1);
    this.bars.forEach((bar, at) => this.bar(draw, colours, bar, at * pitch + gap / 2, Math.max(0.75, pitch - gap), floor));
    draw.font = `11px ${colours.font}`;
    draw.textBaseline = "middle";
    for (const { name, from, to } of this.groups) {
      const left = from * pitch, room = (to - from) * pitch;
      draw.fillStyle = colours.grid;
      draw.fillRect(left, floor, 1, LABEL_ROOM);
      draw.fillStyle = colours.muted;
      const fitting = fit(draw, name, room - 8);
      if (fitting) draw.fillText(fitting, left + 4, floor + LABEL_ROOM / 2 + 1);
    }
  }

  bar(draw, colours, { kind, share = 0, waiting, now, colour }, left, width, floor) {
    const high = this.height - 2 * BAR_ROOM;
    if (now) {
      draw.fillStyle = `color-mix(in srgb, ${colours.text} 14%, transparent)`;
      draw.fillRect(left - 2, 0, width + 4, this.height);
    }
    draw.globalAlpha = waiting ? 0.22 : 1;
    const tall = Math.max(LEAST, share * high);
    if (kind === "value") {
      draw.fillStyle = colour ?? colours.learns;
      draw.fillRect(left, floor - tall, width, tall);
    } else if (kind === "broken") {
      draw.fillStyle = colours.bad;
      draw.fillRect(left, floor - high, width, high);
      stripes(draw, colours.background, left, floor - high, width, high);
    } else if (kind === "frozen") {
      const mark = share > 0 ? tall : high * 0.32;
      draw.fillStyle = colours.frozen;
      draw.fillRect(left, floor - mark, width, mark);
      stripes(draw, colours.frozenLine, left, floor - mark, width, mark);
    } else if (kind === "zero") {
      draw.fillStyle = colours.muted;
      draw.fillRect(left, floor - LEAST, width, LEAST);
    } else {
      draw.strokeStyle = colours.noneLine;
      draw.lineWidth = 1;
      if (width > 3) draw.strokeRect(left + 0.5, floor - 8.5, width - 1, 8);
      else { draw.fillStyle = colours.noneLine; draw.fillRect(left, floor - 8, width, 1); }
    }
    draw.globalAlpha = 1;
    if (now) {
      draw.fillStyle = colours.text;
      draw.beginPath();
      draw.moveTo(left + width / 2 - 4, 0);
      draw.lineTo(left + width / 2 + 4, 0);
      draw.lineTo(left + width / 2, 5);
      draw.fill();
    }
  }

  placeOf(event) {
    if (!this.bars?.length) return null;
    const at = Math.floor((event.clientX - this.canvas.getBoundingClientRect().left) / this.pitch);
    return at >= 0 && at < this.bars.length ? at : null;
  }

  point(event) {
    const at = this.placeOf(event);
    this.tip.hidden = at === null;
    if (at === null) return;
    this.tip.textContent = this.name(at);
    const left = (at + 0.5) * this.pitch, half = this.tip.offsetWidth / 2;
    this.tip.style.left = `${Math.min(Math.max(left, half), Math.max(half, this.root.clientWidth - half))}px`;
  }

  leave() { this.watch.disconnect(); }
}

function stripes(draw, colour, left, top, width, height) {
  draw.save();
  draw.beginPath();
  draw.rect(left, top, width, height);
  draw.clip();
  draw.strokeStyle = colour;
  draw.lineWidth = 1;
  for (let at = -height; at < width; at += 4) {
    draw.beginPath();
    draw.moveTo(left + at, top + height);
    draw.lineTo(left + at + height, top);
    draw.stroke();
  }
  draw.restore();
}

function fit(draw, text, room) {
  if (room < 12) return "";
  if (draw.measureText(text).width <= room) return text;
  let short = text;
  while (short.length > 2 && draw.measureText(`${short}…`).width > room) short = short.slice(0, -1);
  return short.length > 2 ? `${short}…` : "";
}

// Shares of [0, 1] for sizes of any magnitude: log10 between the smallest and the largest, over three decades at least.
export function logScale(values) {
  const known = values.filter((value) => value > 0 && Number.isFinite(value)).map(Math.log10);
  const top = known.length ? Math.max(...known) : 0, bottom = Math.min(top - 3, known.length ? Math.min(...known) - 0.3 : top - 3);
  const share = (value) => (value > 0 ? Math.max(0.04, (Math.log10(value) - bottom) / (top - bottom)) : 0);
  return { share, top: 10 ** top, bottom: 10 ** bottom };
}

// Parameters or layers that stand together and share the first part of their name.
export function topGroups(names) {
  const groups = [];
  names.forEach((name, at) => {
    const top = name.split(".")[0];
    if (groups.at(-1)?.name === top) groups.at(-1).to = at + 1;
    else groups.push({ name: top, from: at, to: at + 1 });
  });
  if (groups.length > 2) return groups;
  // A model that lies as a whole in one or two modules: the next part of the name says more.
  const deeper = [];
  names.forEach((name, at) => {
    const parts = name.split("."), top = parts[Math.min(1, Math.max(0, parts.length - 2))];
    if (deeper.at(-1)?.name === top) deeper.at(-1).to = at + 1;
    else deeper.push({ name: top, from: at, to: at + 1 });
  });
  return deeper;
}
