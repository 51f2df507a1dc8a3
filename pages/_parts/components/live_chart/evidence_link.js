// The link from a finding to the window of the charts in which it can be seen. The charts are told at once; where none listens, or where
// another tab is wanted, it is a link like any other.

const ASKED = "thaw-show-evidence"; // see evidence.js

export function mountLink({ data, parentElement }) {
  const link = parentElement.querySelector("a");
  link.href = data.address;
  link.title = data.help;
  link.setAttribute("aria-label", data.label);
  link.querySelector("small").textContent = data.steps;
  link.onclick = (event) => {
    // Told in a box that lies over the charts: it closes first, and leaves the focus to the chart.
    const close = link.closest("[data-st-overlay-root]") && (() => document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" })));
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    close?.();
    if (!window.dispatchEvent(new CustomEvent(ASKED, { detail: link.href, cancelable: true }))) event.preventDefault();
  };
}
