// How often figures are drawn. What drawing costs depends on the machine, the model and what else goes on; training often wants the same
// cores. So a group of figures rests after each drawing in proportion to what that took, and at least `least` milliseconds from beginning
// to beginning.

const REST = 4; // times as long as the drawing took: a fifth of one core goes into drawing at most

export class Pace {
  constructor(due, least = 0) {
    Object.assign(this, { due, least, next: 0, timer: null }); // `due` is called once figures that had to wait may be drawn
  }

  // Whether the group may be drawn now; if not, `due` will be called when it may.
  now() {
    const wait = this.next - performance.now();
    if (wait <= 0) return true;
    this.timer ??= setTimeout(() => { this.timer = null; this.due(); }, wait);
    return false;
  }

  draw(draw) {
    const began = performance.now();
    draw();
    const ended = performance.now();
    this.next = Math.max(began + this.least, ended + REST * (ended - began));
  }

  // Somebody waits for what is drawn next.
  hasten() { this.next = 0; }

  close() { clearTimeout(this.timer); }
}
