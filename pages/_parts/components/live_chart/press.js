// Whether a pointer is pressed on a chart: what somebody selects must stay where it was when the pointer went down.

// The ways in which a press ends. A context menu keeps the pointer's end for itself, another window or tab may do so.
const RELEASES = ["pointerup", "pointercancel", "contextmenu", "blur"];

export class Press {
  // `release` is called once a press is over.
  constructor(root, release) {
    this.root = root;
    this.now = false;
    this.onDown = (event) => { this.now = event.isPrimary && event.button === 0 && Boolean(event.target.closest?.(".thaw-plot")); };
    this.onUp = (event) => {
      if (!this.now || (event.type === "blur" && event.target !== window)) return; // the focus leaves some field because of the press
      this.now = false;
      setTimeout(release); // after Plotly's own answer to it
    };
    // A pointer that comes back without a button was let go somewhere else.
    this.onMove = (event) => { if (this.now && event.isPrimary && !event.buttons) this.onUp(event); };
    root.addEventListener("pointerdown", this.onDown, true);
    window.addEventListener("pointermove", this.onMove, true);
    for (const name of RELEASES) window.addEventListener(name, this.onUp, true);
  }

  close() {
    this.root.removeEventListener("pointerdown", this.onDown, true);
    window.removeEventListener("pointermove", this.onMove, true);
    for (const name of RELEASES) window.removeEventListener(name, this.onUp, true);
  }
}
