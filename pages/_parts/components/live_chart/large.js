// One panel alone and large: it moves into a <dialog> above the page and back. It stays the same panel: what arrives is drawn, its zoom is kept.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const { PANELS } = await beside("panels");

export class Large {
  constructor(chart) {
    this.chart = chart;
    this.name = null; // which panel is large
    this.dialog = chart.root.querySelector(".thaw-large");
    this.dialog.onclose = () => this.back(); // Escape closes a dialog by itself
    this.dialog.onclick = (event) => { if (event.target === this.dialog) this.dialog.close(); };
    for (const name of Object.keys(PANELS)) this.button(name).onclick = () => (this.name ? this.dialog.close() : this.show(name));
  }

  voices() { return [".thaw-unseen", ".thaw-hint"].map((each) => this.chart.root.querySelector(each)); }
  button(name) { return this.chart.panel(name).querySelector("[data-act=large]"); }

  show(name) {
    const { chart, dialog } = this;
    const panel = chart.panel(name);
    this.name = name;
    // What it leaves is as large as it was, so that the page does not move.
    this.hole = Object.assign(document.createElement("div"), { className: "thaw-hole" });
    this.hole.style.height = `${panel.getBoundingClientRect().height}px`;
    this.hole.dataset.hole = name;
    panel.replaceWith(this.hole);
    dialog.append(panel, ...this.voices()); // under a dialog nothing is shown and nothing is spoken
    dialog.setAttribute("aria-label", `${panel.querySelector("h3").textContent}, large`);
    dialog.showModal();
    this.say(name, `Close ${PANELS[name].title}`, "Close (Escape)");
    chart.drawAll();
  }

  back() {
    if (!this.name) return;
    const { chart, dialog, name } = this;
    this.name = null;
    this.hole.replaceWith(chart.panel(name));
    chart.root.append(...this.voices());
    chart.tip(null);
    this.say(name, `Show ${PANELS[name].title} large`, "Show large");
    chart.drawAll();
  }

  // The same button opens and closes, and keeps the focus in both places.
  say(name, label, title) {
    const button = this.button(name);
    button.setAttribute("aria-label", label);
    button.title = title;
    button.focus({ preventScroll: true });
  }

  close() { if (this.name) this.dialog.close(); }

  // Pixels that the figure may be high, null where it is not large.
  room(name) { return this.name === name ? Math.max(160, Math.floor(this.chart.panel(name).querySelector(".thaw-field").clientHeight)) : null; }
}
