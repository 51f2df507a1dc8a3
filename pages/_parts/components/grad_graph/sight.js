// The window onto the picture of a graph: how large it is shown, what of it is in sight, and how it is moved. What is out of sight is not drawn.

const LEAST = 0.25, MOST = 2;
const FITTING = 0.6; // a picture is not made smaller than that to fit
const STILL = 4; // px that a pointer may move in a click
const ARROW = '<defs><marker id="thaw-arrow" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L6 3L0 6z"/></marker></defs>';
export const ZOOM_STEP = 1.25;

export class Sight {
  // `drawn` is called when something was drawn anew, `zoomed` with the share of its full size that the picture has.
  constructor(frame, svg, { drawn, zoomed }) {
    Object.assign(this, { frame, svg, onDrawn: drawn, onZoomed: zoomed });
    this.zoom = 1;
    this.picture = null;
    frame.addEventListener("wheel", (event) => { if (event.ctrlKey || event.metaKey) { event.preventDefault(); this.zoomBy(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP); } }, { passive: false });
    frame.onpointerdown = (event) => this.drag(event);
    frame.onscroll = () => this.draw();
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(frame);
  }

  // Another picture, see layGraph; the place in it stays.
  show(picture) {
    this.picture = picture;
    this.done = null;
    this.svg.setAttribute("viewBox", `0 0 ${Math.ceil(picture.width)} ${Math.ceil(picture.height)}`);
    this.zoomBy(1);
  }

  // Draw what is in sight, and as much again on each side; nothing where that is drawn already.
  draw() {
    if (!this.picture) return;
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.frame, left = scrollLeft / this.zoom, top = scrollTop / this.zoom;
    const across = clientWidth / this.zoom, down = clientHeight / this.zoom, { done } = this;
    if (done && (this.picture.whole || (done.left <= left && done.right >= left + across && done.top <= top && done.bottom >= top + down))) return;
    this.done = { left: left - across, right: left + 2 * across, top: top - down, bottom: top + 2 * down };
    this.svg.innerHTML = ARROW + this.picture.draw(this.done);
    this.onDrawn();
  }

  zoomBy(factor) {
    const { frame, zoom: before } = this, middle = { x: frame.scrollLeft + frame.clientWidth / 2, y: frame.scrollTop + frame.clientHeight / 2 };
    this.zoom = Math.min(MOST, Math.max(LEAST, before * factor));
    this.svg.setAttribute("width", Math.round(this.picture.width * this.zoom));
    this.svg.setAttribute("height", Math.round(this.picture.height * this.zoom));
    this.onZoomed(this.zoom);
    if (factor !== 1) this.scroll((middle.x * this.zoom) / before - frame.clientWidth / 2, (middle.y * this.zoom) / before - frame.clientHeight / 2);
    else this.draw();
  }

  fit() {
    const { frame, picture } = this, room = Math.min(frame.clientWidth / picture.width, frame.clientHeight / picture.height);
    this.zoomBy(Math.min(1, Math.max(FITTING, room || 1)) / this.zoom);
    this.scroll((picture.width * this.zoom - frame.clientWidth) / 2, 0);
  }

  center(key) {
    const box = this.picture.boxes.get(key), { clientWidth, clientHeight } = this.frame;
    if (box) this.scroll((box.x + box.width / 2) * this.zoom - clientWidth / 2, (box.y + Math.min(box.height, 120) / 2) * this.zoom - clientHeight / 2);
  }

  // Bring a box into sight, where it is not.
  bring(key) {
    const box = this.picture.boxes.get(key), { scrollLeft, scrollTop, clientWidth, clientHeight } = this.frame;
    if (!box) return;
    const left = box.x * this.zoom, top = box.y * this.zoom;
    if (left < scrollLeft || top < scrollTop || left + box.width * this.zoom > scrollLeft + clientWidth || top + Math.min(box.height, 60) * this.zoom > scrollTop + clientHeight) this.center(key);
  }

  // What was at `before`, a box, and is at `after` now stays under the pointer.
  keep(before, after) {
    if (before && after) this.scroll(this.frame.scrollLeft + (after.x + after.width / 2 - before.x - before.width / 2) * this.zoom, this.frame.scrollTop + (after.y - before.y) * this.zoom);
  }

  scroll(left, top) {
    this.frame.scrollLeft = left;
    this.frame.scrollTop = top;
    this.draw(); // the event comes a moment later
  }

  // The picture follows the pointer. A click is what moved less than a few pixels.
  drag(event) {
    this.dragged = false;
    if (event.button !== 0 || event.pointerType === "touch") return;
    const start = { x: event.clientX, y: event.clientY, left: this.frame.scrollLeft, top: this.frame.scrollTop };
    const move = ({ clientX, clientY }) => {
      if (Math.abs(clientX - start.x) + Math.abs(clientY - start.y) > STILL) this.dragged = true;
      this.frame.scrollLeft = start.left - clientX + start.x;
      this.frame.scrollTop = start.top - clientY + start.y;
    };
    const end = () => { window.removeEventListener("pointermove", move); window.removeEventListener("pointerup", end); };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
  }

  leave() { this.watch.disconnect(); }
}
