// What stands where in the live charts: their panels and the HTML around them, and how high each is. No height follows from what arrives:
// only from the model (rows, blocks), so that nothing that arrives pushes what is there.

export const PANELS = {
  loss: { title: "Loss", note: "lower is better", log: "Log scale of the loss" },
  accuracy: { title: "Accuracy", note: "training: mean over the epoch; validation: after it" },
  heat: { title: "Gradient norms", note: "" },
  lane: { title: "Freeze lane", note: "which blocks learned, and when" },
  rate: { title: "Learning rate", note: "", log: "Log scale of the learning rate" },
  forgetting: { title: "Forgetting", note: "the old task, and how far each block is from where it started" },
};

// Pixels around what a figure shows. Above it is room for the flags of changes from the first paint on.
export const MARGIN = { l: 56, r: 12, t: 17, b: 36 };
const LINES = { loss: 226, accuracy: 226, rate: 150, forgetting: 226 }; // whole figures
const AROUND = MARGIN.t + MARGIN.b; // what heat and lane need beside their rows

// How high the waterfall's rows are together: legible where there are few, bounded where there are many (rows thinner than a pixel share one).
const heatRows = (rows) => Math.max(140, Math.min(20 * rows, 360), Math.min(2.8 * rows, 400));
// The same of the lane's blocks.
export const laneRows = (blocks) => Math.min(300, (blocks > 16 ? 15 : 21) * Math.max(1, blocks));

// How high a figure is, in pixels, for a model of so many parameter tensors and blocks. Nothing known: as for one of middle size.
export function heightOf(name, rows, blocks) {
  if (name === "heat") return Math.round(heatRows(rows || 20)) + AROUND;
  if (name === "lane") return laneRows(blocks || 6) + AROUND;
  return LINES[name];
}

export const rowsHeight = (height) => height - AROUND;

const ARROWS = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M9.5 2.5h4v4M13.2 2.8l-4 4M6.5 13.5h-4v-4M2.8 13.2l4-4"/></svg>';

const tools = (name) => `<span class="thaw-handles">${
  PANELS[name].log ? `<button type="button" class="thaw-button" data-act="log" aria-pressed="false" aria-label="${PANELS[name].log}">Log scale</button>` : ""
}<button type="button" class="thaw-button thaw-enlarge" data-act="large" aria-label="Show ${PANELS[name].title} large" title="Show large">${ARROWS}<span>Close</span></button></span>`;

const panel = (name, { before = "", key = "", after = "" } = {}) => `
  <section class="thaw-panel" data-panel="${name}">
    <header><h3 tabindex="-1">${PANELS[name].title}</h3><small>${PANELS[name].note}</small>${before}${tools(name)}</header>
    ${key}<div class="thaw-field"><div class="thaw-plot" role="img" aria-label="${PANELS[name].title} chart"></div></div>${after}
  </section>`;

const lines = '<div class="thaw-lines" role="group" aria-label="Lines of this chart: press one to hide or show it"></div>';

export const PAGE = `
  <div class="thaw-bar">
    <span class="thaw-link" data-state="connecting"><i aria-hidden="true"></i><span>Connecting</span></span>
    <div class="thaw-told"><p class="thaw-lost" hidden></p>
      <span class="thaw-branch" hidden><button type="button" class="thaw-button" data-act="branch"></button>
        <button type="button" class="thaw-button" data-act="no-branch" aria-label="Choose no step">Cancel</button></span>
      <span class="thaw-evidence"><span class="thaw-marked" hidden></span>
        <button type="button" class="thaw-button" data-act="back" hidden>Back to the finding</button></span>
      <p class="thaw-summary"></p></div>
    <button type="button" class="thaw-button" data-act="reset">Reset zoom</button>
  </div>
  <div class="thaw-panels">
    ${panel("loss", { key: lines, before:
      '<label class="thaw-smoothing">Smoothing <input type="range" min="0" max="0.98" step="0.02" value="0.6"><output>0.60</output></label>' })}
    ${panel("accuracy", { key: lines })}
    ${panel("heat", {
      before: `<fieldset class="thaw-view"><legend>What the waterfall shows</legend>
        <label><input type="radio" value="norm" checked><span>Gradient norm</span></label>
        <label><input type="radio" value="ratio"><span>Update ratio</span></label></fieldset>`,
      key: '<div class="thaw-key"></div>', after: '<div class="thaw-about"></div><p class="thaw-foot"><span class="thaw-watching" tabindex="0" hidden></span></p>' })}
    ${panel("lane", { after: '<details class="thaw-changes" open><summary>No changes while it trained</summary><ol tabindex="0" aria-label="Changes"></ol></details>' })}
    ${panel("rate", { key: lines })}
    ${panel("forgetting", { key: lines, after: '<p class="thaw-foot thaw-forgotten"></p>' })}
    <section class="thaw-panel" data-panel="table">
      <header><h3>Layers</h3><small>choose one to see it in full</small></header><div class="thaw-layer-table"></div>
    </section>
    <section class="thaw-panel" data-panel="layer" hidden></section>
  </div>
  <details class="thaw-epochs"><summary>Numbers of every epoch</summary>
    <div class="thaw-epoch-list"><table><thead><tr><th scope="col">Epoch</th><th scope="col">Training loss</th><th scope="col">Validation loss</th>
    <th scope="col">Training accuracy</th><th scope="col">Validation accuracy</th></tr></thead><tbody></tbody></table></div>
  </details>
  <dialog class="thaw-large"></dialog>
  <p class="thaw-unseen" role="status" aria-live="polite"></p>
  <div class="thaw-hint" aria-hidden="true" hidden></div>`;
