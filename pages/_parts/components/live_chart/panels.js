// What stands where in the live charts: their panels and the HTML around them.

export const PANELS = {
  loss: { title: "Loss", note: "lower is better" },
  accuracy: { title: "Accuracy", note: "training: mean over the epoch; validation: after it" },
  heat: { title: "Gradient norms", note: "" },
  lane: { title: "Freeze lane", note: "which blocks learned, and when" },
  rate: { title: "Learning rate", note: "" },
};

const panel = (name, before = "", after = "") => `
  <section class="thaw-panel" data-panel="${name}">
    <header><h3 tabindex="-1">${PANELS[name].title}</h3><small>${PANELS[name].note}</small>${before}<span class="thaw-key"></span></header>
    <div class="thaw-field"><div class="thaw-plot" role="img" aria-label="${PANELS[name].title} chart"></div></div>${after}
  </section>`;

export const PAGE = `
  <div class="thaw-bar">
    <span class="thaw-link" data-state="connecting"><i aria-hidden="true"></i><span>Connecting</span></span>
    <p class="thaw-summary"></p>
    <span class="thaw-watching" tabindex="0" hidden></span>
    <label class="thaw-smoothing">Smoothing <input type="range" min="0" max="0.98" step="0.02" value="0.6"><output>0.60</output></label>
    <span class="thaw-zoom"><span class="thaw-marked" hidden></span>
      <button type="button" class="thaw-button" data-act="back" hidden>Back to the finding</button>
      <button type="button" class="thaw-button" data-act="reset">Reset zoom</button></span>
  </div>
  <div class="thaw-panels">
    ${panel("loss")}${panel("accuracy")}
    ${panel("heat", `<fieldset class="thaw-view"><legend>What the waterfall shows</legend>
      <label><input type="radio" value="norm" checked><span>Gradient norm</span></label>
      <label><input type="radio" value="ratio"><span>Update ratio</span></label></fieldset>`,
      '<p class="thaw-about" hidden></p>')}
    ${panel("lane", "", '<details class="thaw-changes" hidden open><summary></summary><ol></ol></details>')}
    ${panel("rate")}
    <section class="thaw-panel" data-panel="table">
      <header><h3>Layers</h3><small>choose one to see it in full</small></header><div class="thaw-layer-table"></div>
    </section>
    <section class="thaw-panel" data-panel="layer" hidden></section>
  </div>
  <details class="thaw-epochs"><summary>Numbers of every epoch</summary>
    <div class="thaw-epoch-list"><table><thead><tr><th scope="col">Epoch</th><th scope="col">Training loss</th><th scope="col">Validation loss</th>
    <th scope="col">Training accuracy</th><th scope="col">Validation accuracy</th></tr></thead><tbody></tbody></table></div>
  </details>
  <p class="thaw-unseen" role="status" aria-live="polite"></p>
  <div class="thaw-hint" aria-hidden="true" hidden></div>`;
