// A figure that is a picture: Plotly draws axes, zoom and markers, a canvas behind it draws what lies between them. A heatmap of
// Plotly's own costs ten times as much per tick, since it looks at every cell again in several passes.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const { channels } = await beside("looks");

const DOUBLE_CLICK = 280; // milliseconds in which a second click makes it a double one
const NOTHING = { x: [null], y: [null], type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false };

export class CanvasPanel {
  // `paint(context, { width, height, across, down })` draws; `tell(step, y, grain)` is the text for a point (lines; null: nothing to say there);
  // `open(step, y)`, where given, is called for a click. A double click shows the whole run again.
  constructor(chart, name, { paint, tell, open }) {
    Object.assign(this, { chart, name, paint, tell });
    this.plot = chart.plot(name);
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.plot.before(this.canvas);
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", () => chart.tip(null));
    // Plotly keeps clicks to itself where it listens for a drag: a click is a pointer that comes up where it went down.
    let down = null, waiting = null;
    this.plot.addEventListener("pointerdown", (event) => {
      down = event.button || event.target.closest(".modebar, .annotation-text-g") ? null : [event.clientX, event.clientY];
    }, true);
    window.addEventListener("pointerup", this.up = (event) => {
      const still = down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 4;
      down = null;
      const place = still && this.placeOf(event);
      if (!place) return;
      if (waiting) { clearTimeout(waiting); waiting = null; chart.wholeRun(); return; }
      waiting = setTimeout(() => { waiting = null; open?.(...place); }, DOUBLE_CLICK);
    }, true);
  }

  close() { window.removeEventListener("pointerup", this.up, true); }

  draw(layout, config) {
    const { Plotly } = this.chart;
    const first = !this.plot.classList.contains("js-plotly-plot");
    const { range } = layout.xaxis;
    // Mostly nothing but the range of steps is new: then only that axis is drawn again, which costs a fifth.
    const [xaxis, yaxis] = [{ ...layout.xaxis, range: 0, uirevision: 0 }, { ...layout.yaxis, uirevision: 0 }];
    const rest = JSON.stringify({ ...layout, datarevision: 0, xaxis, yaxis });
    if (first || rest !== this.rest) {
      this.rest = rest;
      this.plot.style.height = `${layout.height}px`; // Plotly forgets its height when the window changes
      const camera = { name: "camera", title: "Download picture", icon: Plotly.Icons.camera, click: () => this.download() };
      Plotly.react(this.plot, [NOTHING], layout, { ...config, modeBarButtons: [["zoom2d", "pan2d", camera]] });
    } else if (range.some((end, at) => end !== this.plot.layout.xaxis.range[at])) Plotly.relayout(this.plot, { "xaxis.range": [...range] });
    if (first) for (const event of ["plotly_relayouting", "plotly_relayout"]) this.plot.on(event, () => this.repaint());
    this.repaint();
    return first;
  }

  // Steps and heights between the edges, and the pixels that they take.
  frame() {
    const layout = this.plot._fullLayout;
    if (!layout?._size) return null;
    const { l, t, w, h } = layout._size;
    const [x0, x1] = layout.xaxis.range.map(Number), [y1, y0] = layout.yaxis.range.map(Number);
    return { left: l, top: t, width: Math.max(1, Math.round(w)), height: Math.max(1, Math.round(h)), x0, x1, y0, y1 };
  }

  repaint() {
    const frame = this.frame();
    if (!frame || this.chart.closed) return;
    const { canvas } = this;
    const { left, top, width, height, x0, x1, y0, y1 } = frame;
    Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    this.paint(context, {
      width, height, x0, x1, y0, y1,
      across: (step) => ((step - x0) / (x1 - x0)) * width,
      down: (y) => ((y - y0) / (y1 - y0)) * height,
    });
  }

  // [step, y, grain] under the pointer, null outside of the picture; `grain` is how much of y a pixel covers.
  placeOf(event) {
    const frame = this.frame();
    if (!frame) return null;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1)) return null;
    return [frame.x0 + x * (frame.x1 - frame.x0), frame.y0 + y * (frame.y1 - frame.y0), (frame.y1 - frame.y0) / frame.height];
  }

  point(event) {
    const place = event.buttons ? null : this.placeOf(event);
    this.chart.tip(place && this.tell(...place), event);
  }

  // A picture of the panel with the canvas in it.
  async download() {
    const { Plotly, run } = this.chart;
    const { layout } = this.plot;
    const image = { source: this.canvas.toDataURL(), xref: "paper", yref: "paper", x: 0, y: 1, sizex: 1, sizey: 1, sizing: "stretch", layer: "below" };
    const whole = { ...layout, images: [image], paper_bgcolor: this.chart.colours.background };
    const size = { width: this.plot.clientWidth, height: layout.height };
    await Plotly.downloadImage({ data: [NOTHING], layout: { ...whole, ...size } }, { format: "png", scale: 2, filename: `${run}-${this.name}`, ...size });
  }
}

// "#rrggbb" as a pixel of ImageData seen as Uint32Array (little endian: alpha, blue, green, red).
export function pixel(colour) {
  const [red, green, blue] = channels(colour);
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

// Diagonal lines, for what must be told apart without colour.
export function hatch(context, ground, line, gap = 7) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = gap;
  const brush = tile.getContext("2d");
  brush.fillStyle = ground;
  brush.fillRect(0, 0, gap, gap);
  brush.strokeStyle = line;
  brush.lineWidth = 1;
  brush.beginPath();
  for (const shift of [-gap, 0, gap]) { brush.moveTo(shift, gap); brush.lineTo(shift + gap, 0); }
  brush.stroke();
  return context.createPattern(tile, "repeat");
}
