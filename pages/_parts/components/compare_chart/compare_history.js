// What has arrived of several runs: one `RunCurves` for each, in the order of the comparison. See core/comparing/stream.py for the messages.

export class RunCurves {
  constructor() {
    this.about = {};
    this.gone = null; // "deleted", "bin" or "unreadable" once it is
    this.forget();
  }

  forget() {
    this.steps = { step: [], loss: [], low: [], high: [], rate: [], time: [], norm: [] };
    this.epochs = { epoch: [], step: [], time: [], train_loss: [], train_accuracy: [], validation_loss: [], validation_accuracy: [] };
    this.lanes = [];
    this.curves = []; // of imported ones: {name, as, step, value, time}
  }

  // Take a part of a message in. Without `reset` it goes on where the last one ended.
  take(part) {
    if (part.gone) { this.gone = part.gone; this.at = part.at; return; } // what is drawn stays
    this.gone = null;
    if (part.reset) this.forget();
    this.at = part.at;
    if (part.about) this.about = part.about;
    if (part.lanes) this.lanes = part.lanes;
    if (part.curves) this.curves = part.curves;
    if (part.steps) {
      const { step, loss, low = loss, high = loss, rate, time, norm = step.map(() => null) } = part.steps;
      append(this.steps, { step, loss, low, high, rate, time, norm });
    }
    if (part.epochs) append(this.epochs, part.epochs);
  }

  get lastStep() { return Math.max(this.steps.step.at(-1) ?? 0, this.epochs.step.at(-1) ?? 0, ...this.curves.map(({ step }) => step.at(-1) ?? 0)); }

  // Steps over which the smoothing weight counts once: the same however long the run has become, so that no value of before is smoothed anew.
  get unit() { return Math.max(1, (this.about.total ?? 0) / 1024); }
}

function append(columns, more) {
  for (const [name, values] of Object.entries(more)) if (columns[name]) for (const value of values) columns[name].push(value);
}

// The cursors of all runs, for a line that is opened again: {id: at}.
export function cursorOf(ids, runs) {
  return Object.fromEntries(ids.flatMap((id, place) => (runs[place].at ? [[id, runs[place].at]] : [])));
}
