// Plotly's own script, loaded once a page by whoever draws with it first.

const HOME = new URL("..", import.meta.url);

let plotly = null;
/** A promise of `window.Plotly`, from the script at `address`. What could not be loaded is tried again by the next call. */
export function loadPlotly(address) {
  plotly ??= new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    const script = document.createElement("script");
    script.src = new URL(address, HOME);
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { plotly = null; reject(new Error("plotly.min.js could not be loaded")); };
    document.head.append(script);
  });
  return plotly;
}
