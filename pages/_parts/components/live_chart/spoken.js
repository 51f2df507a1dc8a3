// What the live charts say in words: the line at the top, the labels for screen readers, the lists of epochs and changes, the meter.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ count, number, percent }, { laneInWords }, { changeInWords, listChanges: list }] =
  await Promise.all(["looks", "freeze_lane", "markers"].map(beside));

// How the line to the server is: in a word, and in a sentence where somebody must know more. It is told once, not at each try.
export function say({ root }, state, text, sentence = "") {
  const link = root.querySelector(".thaw-link");
  if (!link) return;
  link.dataset.state = state;
  write(link.lastElementChild, text);
  const lost = root.querySelector(".thaw-lost");
  if (lost.textContent === sentence) return;
  lost.textContent = lost.title = sentence;
  lost.hidden = !sentence;
  write(root.querySelector(".thaw-unseen"), sentence || "The server answers again.");
}

export function summarise(chart) {
  const { about, history, root } = chart;
  const { steps, epochs, layers } = history;
  const last = (values) => values.findLast((value) => value !== null);
  const loss = number(last(steps.loss)), accuracy = percent(last(epochs.validation_accuracy));
  const parts = [];
  const step = history.lastStep;
  if (!step) parts.push("Waiting for the first step.");
  else {
    parts.push(`Step ${count(step)}${about.total_steps ? ` of ${count(about.total_steps)}` : ""}, epoch ${about.epoch} of ${about.epochs}.`);
    parts.push(`Training loss ${loss}.`);
    if (last(epochs.validation_accuracy) !== undefined) parts.push(`Validation accuracy ${accuracy}.`);
    if (history.notFinite.length) parts.push(`Loss not finite from step ${count(history.notFinite[0])}.`);
  }
  write(root.querySelector(".thaw-summary"), parts.join(" "));

  const changed = history.changes.length ? ` ${changes(history)} marked.` : "";
  const label = (name, text) => {
    const plot = chart.plot(name);
    if (plot.getAttribute("aria-label") !== text + changed) plot.setAttribute("aria-label", text + changed);
  };
  label("loss", `Loss chart. Latest training loss ${loss}, validation loss ${number(last(epochs.validation_loss))}.`);
  label("accuracy", `Accuracy chart. Latest training accuracy ${percent(last(epochs.train_accuracy))}, validation accuracy ${accuracy}.`);
  const factors = history.multipliers(history.now);
  const groups = factors.length > 1 ? `, multiplied by ${factors.map(number).join(", ")} for groups of layers` : "";
  label("rate", `Learning rate chart. Latest ${number(last(steps.learning_rate))}${groups}.`);
  const frozen = history.frozenNow, learning = layers.length - frozen;
  const what = chart.view === "norm" ? "Gradient norm" : "Update ratio";
  label("heat", `${what} heatmap of ${layers.length} layers over steps; ${frozen} of them are frozen. The table of layers below has the same in numbers.`);
  label("lane", laneInWords(history));
  write(chart.panel("heat").querySelector("small"), layers.length
    ? `${count(learning)} of ${count(layers.length)} parameter tensors learn, ${count(frozen)} ${frozen === 1 ? "is" : "are"} frozen · log scale` : "one row a layer, log scale");
  watching(chart);
}

export const WATCHING = "thaw-watching-told";

// What watching costs, so that nobody has to guess. Where the bar of a step's time is on the page, it is the bar's figure: both are of the last
// seconds, which come to the bar once a second and here sooner.
export function watching({ about, root, run }) {
  if (!about) return;
  const meter = root.querySelector(".thaw-watching");
  const { watching: total, watching_now: now, norms_every: norms, watch_every: every, watch_every_asked: asked, watch_budget: budget } = about;
  const share = typeof now === "number" ? now : total;
  meter.hidden = typeof share !== "number";
  if (meter.hidden) return;
  const costs = (part) => `${part < 0.0005 ? "less than 0.1" : (100 * part).toFixed(1)} %`;
  const within = typeof budget === "number" ? ` (budget ${number(100 * budget)} %)` : "";
  const thin = norms > 1 ? ` · gradient norms at every ${ordinal(norms)} step${within}` : every > asked ? ` · weight changes at every ${ordinal(every)} step${within}` : "";
  const bar = [...document.querySelectorAll(".thaw-step-time[data-watching]")].find((element) => element.dataset.run === run);
  write(meter, `watching costs ${bar?.dataset.watching || costs(share)} of a step${thin}`);
  meter.dataset.every = norms ?? 1;
  const steps = (every) => (every > 1 ? `at every ${ordinal(every)} step` : "at every step");
  const whole = typeof now === "number" && typeof total === "number" ? ` (${costs(total)} since the run began)` : "";
  const why = thin ? " Steps are so quick that measuring each would take more of the time than was allowed, so fewer are measured; the loss is recorded at every step." : "";
  meter.title = `Share of the steps' time that goes into watching them${whole}: gradient norms ${steps(norms)}, weight changes ${steps(every)}, `
    + `the freeze audit, and writing it all down (the parts watching and recording of the bar where a step's time goes).${why} Drawing this page is not in it: that is the browser's own time.`;
  meter.setAttribute("aria-label", `${meter.textContent}. ${meter.title}`);
}

export function listChanges({ history, root }) {
  const box = root.querySelector(".thaw-changes"), items = box.querySelector("ol");
  if (items.children.length > history.changes.length) items.replaceChildren();
  const before = items.children.length;
  list(items, history, before);
  write(box.querySelector("summary"), history.changes.length ? `${changes(history)} while it trained` : "No changes while it trained");
  items.scrollTop = items.scrollHeight;
  if (before && history.changes.length > before) write(root.querySelector(".thaw-unseen"), changeInWords(history.changes.at(-1), history.changes.length - 1));
}

export function listEpochs({ history: { epochs }, root }) {
  const body = root.querySelector(".thaw-epochs tbody");
  while (body.rows.length > epochs.epoch.length) body.deleteRow(-1);
  for (let i = body.rows.length; i < epochs.epoch.length; i++) {
    const row = body.insertRow();
    const losses = [epochs.train_loss[i], epochs.validation_loss[i]].map(number), shares = [epochs.train_accuracy[i], epochs.validation_accuracy[i]].map(percent);
    for (const cell of [epochs.epoch[i], ...losses, ...shares]) row.insertCell().textContent = cell;
  }
  const i = epochs.epoch.length - 1;
  // Once an epoch, not once a step: a screen reader would never fall silent.
  if (i >= 0) write(root.querySelector(".thaw-unseen"),
    `Epoch ${epochs.epoch[i]} done: training loss ${number(epochs.train_loss[i])}, validation accuracy ${percent(epochs.validation_accuracy[i])}.`);
}

// 4th, 22nd, 512th.
function ordinal(value) {
  const ending = value % 100 >= 11 && value % 100 <= 13 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[value % 10] ?? "th";
  return `${count(value)}${ending}`;
}

const changes = (history) => `${count(history.changes.length)} ${history.changes.length === 1 ? "change" : "changes"}`;

// Writing what is there already would make the browser lay the page out again, and a screen reader speak again.
export function write(element, text) { if (element.textContent !== text) element.textContent = text; }
