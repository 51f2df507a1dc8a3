// What has arrived about one run, and what follows from it. No drawing in here. Messages: see core/store/stream.py.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`); // all modules carry one digest, see assets.py
const { FROZEN, ZERO, NONE, NOT_MEASURED, NOT_FINITE, plain } = await beside("looks");

export class RunHistory {
  constructor() { this.forget(); }

  forget() {
    this.steps = { step: [], loss: [], low: [], high: [], learning_rate: [] };
    this.epochs = { epoch: [], step: [], train_loss: [], train_accuracy: [], validation_loss: [], validation_accuracy: [] };
    this.norms = new Columns();
    this.ratios = new Columns();
    this.notFinite = [];
    this.inspections = [];
    this.changes = [];
    this.parent = null; // how the run that this one branched off from went on: {step, loss, epochs}
    this.forgetting = { step: [], accuracy: [], pictures: [], drift: [] }; // a list of blocks in each entry of `drift`
    this.layersAre([]);
  }

  layersAre(layers) {
    this.layers = layers;
    this.travelled = new Float64Array(layers.length); // sum of each layer's update norms
    this.blocks = [];
    const places = new Map();
    layers.forEach((layer, row) => {
      const name = layer.block || layer.name;
      if (!places.has(name)) { places.set(name, this.blocks.length); this.blocks.push({ name, rows: [] }); }
      this.blocks[places.get(name)].rows.push(row);
    });
    this.replan();
  }

  // Take a message over; returns the names of what is new in it.
  take(message) {
    const fresh = new Set();
    if (message.reset) { this.forget(); fresh.add("everything"); }
    if (message.layers) this.layersAre(message.layers);
    if (message.steps) { append(this.steps, message.steps); fresh.add("steps"); }
    if (message.not_finite) { this.notFinite.push(...message.not_finite); fresh.add("steps"); }
    if (message.epochs) { append(this.epochs, message.epochs); fresh.add("epochs"); }
    const width = 2 ** (message.cursor?.level ?? 0);
    if (message.changes) { this.changes.push(...message.changes); this.replan(); fresh.add("changes"); }
    if (message.heat) { this.takeNorms(message.heat, width); fresh.add("norms"); }
    if (message.updates) { this.takeUpdates(message.updates, Math.max(width, message.run.watch_every ?? width)); fresh.add("updates"); }
    if (message.parent) { this.parent = message.parent; fresh.add("steps").add("epochs"); }
    if (message.forgetting) { append(this.forgetting, message.forgetting); fresh.add("forgetting"); }
    if (message.inspections) { this.inspections.push(...message.inspections); fresh.add("inspections"); }
    return fresh;
  }

  // Where watching thins itself, not every column has its steps measured: one stands for those since the last, which `width` cannot tell.
  takeNorms({ step, values }, width) {
    this.norms.add(step, decode(values), this.layers.length, width, this.changes.map((change) => change.step), true);
  }

  takeUpdates({ step, update, weight }, spacing) {
    const [updates, weights] = [decode(update), decode(weight)];
    const size = this.layers.length;
    for (let at = 0; at < updates.length; at++) {
      const code = updates[at];
      if (plain(code)) this.travelled[at % size] += 10 ** (code / 100);
    }
    this.ratios.add(step, updates.map((code, at) => ratio(code, weights[at])), size, spacing, this.changes.map((change) => change.step));
  }

  // Stretches of steps in which the plan stayed as it was: what the run began with, and what each change made of it.
  replan() {
    const begin = {
      step: 1, frozen: this.layers.map((layer) => Number(layer.frozen)), multipliers: this.layers.map((layer) => layer.multiplier ?? 1),
    };
    this.plans = [begin, ...this.changes];
    this.now = this.plans.at(-1);
    this.everLearns = this.layers.map((_, row) => this.plans.some((plan) => !plan.frozen[row]));
  }

  get lastStep() { return this.steps.step.at(-1) ?? 0; }
  get frozenNow() { return this.now.frozen.reduce((sum, frozen) => sum + frozen, 0); }

  // The plan under which `step` was made.
  planAt(step) { return this.plans.findLast((plan) => plan.step <= step) ?? this.plans[0]; }

  // How a block fared: [{from, to, state, frozen}] in order, `to` the last step of the stretch (null: it goes on), `frozen` of its tensors.
  stretches(block) {
    const held = this.plans.filter((plan, at) => this.plans[at + 1]?.step !== plan.step); // of several before one step only the last ever held
    const found = [];
    for (const plan of held) {
      const frozen = block.rows.filter((row) => plan.frozen[row]).length;
      if (found.at(-1)?.frozen === frozen) continue;
      if (found.length) found.at(-1).to = plan.step - 1;
      found.push({ from: plan.step, to: null, state: frozen === 0 ? "learns" : frozen === block.rows.length ? "frozen" : "in part", frozen });
    }
    return found;
  }

  // The distinct multipliers of a block (or of all layers) that learn under `plan`, largest first.
  multipliers(plan, rows = this.layers.keys()) {
    const found = new Set();
    for (const row of rows) if (!plan.frozen[row]) found.add(plan.multipliers[row]);
    return [...found].sort((a, b) => b - a);
  }

  // Share of everything that all weights have travelled so far, 0 to 1; null before the first measurement.
  share(row) {
    const total = this.travelled.reduce((sum, value) => sum + value, 0);
    return total > 0 ? this.travelled[row] / total : null;
  }

  // Share of each layer, in one pass.
  shares() {
    const total = this.travelled.reduce((sum, value) => sum + value, 0);
    return this.layers.map((_, row) => (total > 0 ? this.travelled[row] / total : null));
  }
}

// Codes of all layers at some steps: `codes[column]` is an Int16Array that was measured at `step[column]` (a mean that ends there, once the
// run is long), and stands for the steps above `from[column]` up to `to[column]`.
class Columns {
  constructor() {
    this.step = [];
    this.from = [];
    this.to = [];
    this.codes = [];
    this.tally = new Int32Array(65536); // how often each code came, so that limits of colour need no sorting
  }

  get length() { return this.step.length; }

  // `width` is how many steps lie between two looks. A column that stands for more steps than were measured does not reach across one of
  // `changes`, the first steps of other plans: up to there the one before it goes on. `whole`: a column of `width` steps is a mean of them all.
  add(steps, codes, size, width, changes = [], whole = false) {
    steps.forEach((step, column) => {
      let from = this.to.at(-1) ?? 0;
      const between = whole && step - from <= width ? [] : changes.filter((first) => first - 1 > from && first <= step);
      if (between.length) {
        if (this.length) this.to[this.to.length - 1] = between[0] - 1;
        from = between.at(-1) - 1;
      }
      this.from.push(from);
      this.to.push(step);
      this.step.push(step);
      this.codes.push(codes.subarray(column * size, (column + 1) * size));
    });
    for (const code of codes) this.tally[code + 32768] += 1;
  }

  has(code) { return this.tally[code + 32768] > 0; }

  // log10 limits of all but the outermost hundredth, so that one odd layer does not wash out the rest; null without any value.
  limits() {
    const { tally } = this;
    let total = 0;
    for (let at = 4; at < 65535; at++) total += tally[at]; // the codes at both ends are no values
    if (!total) return null;
    const place = (share) => {
      for (let at = 4, left = Math.max(1, share * total); at < 65535; at++) if ((left -= tally[at]) <= 0) return (at - 32768) / 100;
      return 0;
    };
    const low = place(0.01), high = place(0.99);
    return high - low < 0.5 ? [low - 0.5, high + 0.5] : [low, high];
  }

  // The column that `step` lies in, -1 for none.
  at(step) {
    let low = 0, high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.to[middle] < step) low = middle + 1; else high = middle;
    }
    return low < this.length && this.from[low] < step ? low : -1;
  }

  // The newest code of a layer, undefined before the first.
  newest(row) { return this.codes.at(-1)?.[row]; }
}

// Update norm over weight norm. A weight of exactly zero that moved has no ratio.
function ratio(update, weight) {
  if (update === FROZEN || update === ZERO || update === NONE || update === NOT_MEASURED) return update;
  if (!plain(update) || !plain(weight)) return NOT_FINITE;
  return Math.max(-32000, Math.min(32000, update - weight));
}

function append(columns, more) {
  for (const [name, values] of Object.entries(more)) columns[name]?.push(...values);
}

function decode(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new Int16Array(bytes.buffer); // little endian, like every machine that runs a browser
}
