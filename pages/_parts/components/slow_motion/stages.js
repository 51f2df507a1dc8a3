// What each stage of a step shows: five panels, each drawn once a step and then only changed from moment to moment.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ Ladder, logScale, topGroups }, { bytes, code, count, elements, escaped, fact, facts, num, place, plural, shape, sizeOf }] = await Promise.all([beside("ladder"), beside("step_words")]);

export const MODES = { learns: "learns", frozen: "frozen", mixed: "learns in part", none: "no parameters" };
const REEL = 3; // pictures before and after the one that is looked at
const FIRST = 4; // values of a tensor that are written out

// A panel: `words(moment)` is what happens in plain sentences, `show(moment)` draws. `view` is the slow motion that it belongs to.
class Panel {
  constructor(root, view) {
    Object.assign(this, { root, view });
    this.build();
  }

  get walk() { return this.view.walk; }
  story(moment) { return this.walk.steps[moment.step]; }
  part(name) { return this.root.querySelector(`[data-part="${name}"]`); }

  ladder(name, options) { return new Ladder(this.part(name), { readColours: this.view.readColours, ...options }); }
}

export class ZeroGrad extends Panel {
  build() {
    this.root.innerHTML = `<div class="thaw-card" data-part="plan"></div><div class="thaw-pair" data-part="pair"><figure><figcaption>.grad before this line</figcaption><div data-part="before"></div></figure>
      <figure><figcaption>.grad after it</figcaption><div data-part="after"></div></figure></div><p class="thaw-note" data-part="sum"></p>`;
    const name = (grads) => (at) => `${grads()[at].parameter}: ${gradWords(grads()[at].figures, this.view.look(grads()[at].parameter))}`;
    this.before = this.ladder("before", { name: name(() => this.grads) });
    this.after = this.ladder("after", { name: name(() => this.left) });
  }

  words(moment) {
    const { cleared, grads_at_start: grads, number } = this.story(moment), full = grads.filter(({ figures }) => figures);
    if (!cleared) {
      return full.length
        ? `This line is left out. The ${plural(full.length, "gradient")} of step ${number - 1} stay where they are, and the next backward pass will be <b>added</b> to them.`
        : "This line is left out. That makes no difference yet: before the first step every .grad is None.";
    }
    if (!full.length) return "Before the first step every .grad is None: there is nothing to drop yet.";
    return `Sets the .grad of every parameter back to None, so that the next backward pass starts from nothing. Without this line its gradients would be added to the old ones.`;
  }

  show(moment) {
    const { cleared, grads_at_start: grads } = this.story(moment), full = grads.filter(({ figures }) => figures);
    this.part("pair").hidden = !full.length;
    this.part("plan").hidden = full.length > 0;
    this.part("plan").innerHTML = this.overview(moment);
    this.grads = grads;
    this.left = cleared ? grads.map(({ parameter }) => ({ parameter, figures: null })) : grads;
    const scale = logScale(full.map(({ figures }) => figures.norm)), groups = topGroups(grads.map(({ parameter }) => parameter));
    const bars = (some) => some.map(({ parameter, figures }) => gradBar(figures, this.view.look(parameter), scale));
    this.before.show(bars(grads), groups, `Gradients before: ${full.length} of ${grads.length} are tensors, the others are None.`);
    this.after.show(bars(this.left), groups, cleared ? `Gradients after: all ${grads.length} are None.` : `Gradients after: unchanged.`);
    const memory = full.reduce((sum, { figures }) => sum + sizeOf(figures), 0);
    this.part("sum").innerHTML = !full.length ? `All ${count(grads.length)} parameters have <code>.grad</code> None.`
      : cleared ? `<b>${plural(full.length, "gradient")}</b> dropped, ${bytes(memory)} of memory given back.` : `<b>${plural(full.length, "gradient")}</b> kept, ${bytes(memory)}.`;
  }

  // What is to come: where there is nothing to drop yet there is nothing else to show.
  overview(moment) {
    const { cleared, calls, arrivals, updates } = this.story(moment), moved = updates.filter(({ still }) => !still).length, all = updates.length;
    const lines = [
      ["zero_grad", cleared ? "drops the gradients of the step before" : "would drop the gradients of the step before, and is left out"],
      ["forward", `passes the batch through ${plural(calls.length, "layer call")} and records what the derivatives will need`],
      ["loss", this.walk.labels_tried ? "adds up prediction - labels: one number, to look at gradients with" : "compares the prediction with the labels: one number"],
      ["backward", `brings ${plural(arrivals.length, "gradient")}, the last layers first${arrivals.length < all ? `; ${plural(all - arrivals.length, "parameter")} of ${count(all)} get none` : ""}`],
      ["step", `moves ${plural(moved, "parameter")}, each by its own .grad and by what the optimizer keeps for it`],
    ];
    return `<header><h4>What will happen in this step</h4></header><dl class="thaw-overview">${lines.map(([name, what]) => `<dt>${code(name)}</dt><dd>${what}</dd>`).join("")}</dl>
      <p class="thaw-note">Go on with the forward button or the right arrow key, or let it play.</p>`;
  }
}

export class Forward extends Panel {
  build() {
    this.root.innerHTML = `<figure class="thaw-wide"><figcaption>Layers in the order in which they are called; height: values in the output, log scale</figcaption><div data-part="film"></div></figure>
      <div class="thaw-reel" data-part="reel" aria-hidden="true"></div><div class="thaw-card" data-part="layer"></div>`;
    this.film = this.ladder("film", { height: 46, name: (at) => layerWords(this.calls[at], this.calls.length), pick: (at) => this.view.inStage(at) });
    this.part("reel").onclick = (event) => {
      const frame = event.target.closest("[data-at]");
      if (frame) this.view.inStage(Number(frame.dataset.at));
    };
  }

  words(moment) {
    const { calls } = this.story(moment), { pictures } = this.walk;
    if (moment.at < 0) {
      return `The batch goes in: ${plural(pictures.length, "picture")}${pictures.length ? "" : " of it can be shown"}. It passes ${plural(calls.length, "layer call")}, one after the other. `
        + "For each operation whose result depends on something that learns, autograd records a node, and keeps what its derivative will need.";
    }
    const call = calls[moment.at];
    const node = call.node === null || call.node === undefined
      ? `Nothing was recorded for it: it ${call.state === "none" ? "has no parameters" : "is frozen"}, and nothing before it learns.` : "";
    const mode = call.kind.includes("BatchNorm") ? ` In ${call.mode} mode it normalises with ${call.mode === "train" ? "the statistics of this batch, and updates its running ones" : "its running statistics"}.` : "";
    return `${escaped(call.about)}${mode} ${node}`;
  }

  show(moment) {
    this.calls = this.story(moment).calls;
    const scale = logScale(this.calls.map(({ output }) => elements(output)));
    const colours = { learns: undefined, mixed: undefined };
    this.film.show(this.calls.map((call, at) => ({
      kind: call.figures.finite === false ? "broken" : call.state === "frozen" ? "frozen" : "value", share: scale.share(elements(call.output)),
      waiting: at > moment.at, now: at === moment.at, colour: call.state in colours ? colours[call.state] : call.state === "none" ? "#8a98a4" : undefined,
    })), topGroups(this.calls.map(({ module }) => module)), `${plural(this.calls.length, "layer call")}, ${moment.at + 1} of them done.`);
    this.reel(moment);
    const card = this.part("layer");
    if (moment.at < 0) {
      card.innerHTML = `<div class="thaw-batch">${this.walk.pictures.map(({ source, label }) => `<figure><img src="${escaped(source)}" alt="A picture of the batch: ${escaped(label)}"><figcaption>${escaped(label)}</figcaption></figure>`).join("")}</div>`
        + `<dl class="thaw-figures">${this.calls.length ? fact("Into the model", shape(this.calls[0].inputs[0] ?? []), "batch × channels × height × width") : ""}${fact("Device", escaped(this.walk.device))}</dl>`;
      return;
    }
    const call = this.calls[moment.at];
    card.innerHTML = `<header><h4>${code(call.module)}</h4><span>${escaped(call.kind)}</span></header>
      <p class="thaw-shapes"><span>${call.inputs.map(shape).join(" and ") || "nothing"}</span><i aria-label="becomes"></i><span>${shape(call.output)}</span></p>
      <p class="thaw-chips"><span data-state="${call.state}">${MODES[call.state]}</span><span>${call.mode} mode</span><span>on ${escaped(call.device)}</span>
        ${call.parameters.map((name) => `<span>${code(name.slice(call.module.length + 1) || name)} ${shape(this.view.look(name)?.shape ?? [])}</span>`).join("")}</p>
      ${facts(call.figures)}`;
  }

  // The outputs around the one that is looked at, as pictures: what is still to come is an empty frame.
  reel(moment) {
    const reel = this.part("reel");
    reel.hidden = moment.at < 0;
    if (reel.hidden) return;
    const frames = [];
    for (let at = moment.at - REEL; at <= moment.at + REEL; at++) {
      const call = this.calls[at];
      if (!call) { frames.push("<figure data-none></figure>"); continue; }
      const done = at <= moment.at, source = done ? this.view.pictureOf(moment.step, at) : "";
      frames.push(`<figure data-at="${at}" ${at === moment.at ? "data-now" : ""} ${done ? "" : "data-waiting"}>`
        + (source ? `<div style="${tiles(source)}"></div>` : `<div>${done ? this.withoutPicture(call, at === moment.at) : ""}</div>`) + `<figcaption>${escaped(call.module)}</figcaption></figure>`);
    }
    reel.innerHTML = frames.join("");
  }

  withoutPicture(call, now) {
    if (call.output.length >= 4 && this.view.asks) return now ? "fetching" : "";
    return `<svg viewBox="0 0 64 32" preserveAspectRatio="none">${firstBars(call.figures.first)}</svg>`;
  }
}

export class Loss extends Panel {
  build() { this.root.innerHTML = '<div class="thaw-loss" data-part="lines"></div><div class="thaw-card" data-part="output"></div>'; }

  words() {
    const what = this.walk.labels_tried
      ? "All differences are added up to one number. The labels only shift it, and no gradient depends on them: this is a loss for looking at gradients, not for learning."
      : "The prediction is compared with the labels and becomes one number.";
    return `${what} The backward pass asks of every parameter: how would this number change if you changed a little?`;
  }

  show(moment) {
    const { loss, loss_lines: lines, output } = this.story(moment);
    this.part("lines").innerHTML = `<pre>${lines.map(escaped).join("\n")}</pre><p><span>loss</span><b>${num(loss, 6)}</b></p>`;
    this.part("output").innerHTML = `<header><h4><code>prediction</code></h4><span>${shape(output.shape)}, ${escaped(output.dtype)}</span></header>${facts(output)}
      <p class="thaw-note">Its first values: <code>${output.first.map((value) => num(value, 3)).join("  ")}${elements(output.shape) > output.first.length ? " …" : ""}</code></p>`;
  }
}

export class Backward extends Panel {
  build() {
    this.root.innerHTML = `<figure class="thaw-wide"><figcaption data-part="caption"></figcaption><div data-part="bars"></div></figure><div class="thaw-card" data-part="arrival"></div>`;
    this.bars = this.ladder("bars", { height: 96, name: (at) => this.barWords(at), pick: (at) => this.view.inStage(at) });
  }

  barWords(at) {
    const { parameter, contribution } = this.arrivals[at];
    return `${at + 1}. ${parameter}: norm ${num(contribution.norm)}`;
  }

  words(moment) {
    const { arrivals } = this.story(moment), frozen = this.walk.parameters.filter(({ learns }) => !learns).length;
    if (!arrivals.length) return "No parameter gets a gradient: nothing that learns lies on the way to the loss.";
    if (moment.at < 0) {
      return `The chain rule is applied node by node, from the loss back to the first layer that learns. ${plural(arrivals.length, "gradient")} will arrive, those of the last layers first.`
        + (frozen ? ` ${plural(frozen, "frozen parameter")} will keep None: no node leads to them.` : "");
    }
    const { parameter, before } = arrivals[moment.at], order = `${moment.at + 1} of ${arrivals.length}`;
    return before
      ? `Gradient ${order} reaches ${code(parameter)}. Its .grad was not empty, so autograd adds: before + contribution = after.`
      : `Gradient ${order} reaches ${code(parameter)}. Its .grad was None and is a tensor from now on, of the parameter's own shape.`;
  }

  show(moment) {
    const { arrivals } = this.story(moment), scale = logScale(arrivals.map(({ contribution }) => contribution.norm));
    this.arrivals = arrivals;
    this.part("caption").textContent = arrivals.length ? `Gradients in the order in which they arrive; height: norm, log scale from ${num(scale.bottom, 2)} to ${num(scale.top, 2)}` : "";
    this.bars.show(arrivals.map(({ contribution }, at) => ({ ...valueBar(contribution, scale), waiting: at > moment.at, now: at === moment.at })), [],
      `${moment.at + 1} of ${plural(arrivals.length, "gradient")} have arrived.`);
    const card = this.part("arrival");
    if (moment.at < 0) {
      card.innerHTML = `<header><h4>Nothing has arrived yet</h4></header><p class="thaw-note">Go on with the forward button or the right arrow key, gradient by gradient.</p>`;
      card.hidden = !arrivals.length;
      return;
    }
    card.hidden = false;
    const { parameter, before, contribution, after } = arrivals[moment.at], look = this.view.look(parameter);
    const row = (sign, name, figures) => `<tr><th scope="row"><i>${sign}</i>${name}</th><td>${figures ? num(figures.norm) : "None"}</td>`
      + Array.from({ length: Math.min(FIRST, contribution.first.length) }, (_, at) => `<td>${figures ? num(figures.first[at], 4) : ""}</td>`).join("") + "</tr>";
    card.innerHTML = `<header><h4>${code(`${parameter}.grad`)}</h4><span>${shape(contribution.shape)}${look ? `, ${plural(look.count, "value")}` : ""}</span></header>
      <div class="thaw-scroll"><table class="thaw-sum"><caption>${before ? "before + contribution = after" : "None becomes a tensor"}</caption>
      <thead><tr><th scope="col"></th><th scope="col">norm</th>${Array.from({ length: Math.min(FIRST, contribution.first.length) }, (_, at) => `<th scope="col">value ${at + 1}</th>`).join("")}</tr></thead>
      <tbody>${row("", "before", before)}${row("+", "contribution", contribution)}${row("=", "after", after)}</tbody></table></div>${facts(after)}
      ${this.view.nodeButton(arrivals[moment.at].node)}`;
  }
}

export class Step extends Panel {
  build() {
    this.root.innerHTML = `<figure class="thaw-wide"><figcaption>How far each parameter moves: norm of its update over its own norm, log scale</figcaption><div data-part="moves"></div></figure>
      <div class="thaw-card"><header><label for="thaw-followed">Followed parameter</label><select id="thaw-followed" data-part="pick"></select></header><div data-part="update" aria-live="polite"></div></div>`;
    this.moves = this.ladder("moves", { height: 60, name: (at) => this.moveWords(at), pick: (at) => this.follow(this.updates[at].parameter) });
    this.picker = this.part("pick");
    this.picker.innerHTML = this.walk.parameters.map(({ name, learns, count: values }) => `<option value="${escaped(name)}">${escaped(name)}${learns ? "" : " (frozen)"}, ${plural(values, "value")}</option>`).join("");
    this.picker.onchange = () => this.follow(this.picker.value);
  }

  follow(parameter) { this.view.followed = parameter; this.show(this.view.moment); }

  words(moment) {
    const { updates } = this.story(moment), moved = updates.filter(({ still }) => !still).length;
    return `The optimizer (${escaped(this.walk.optimizer)}) reads each .grad and changes the weight that it belongs to. ${plural(moved, "parameter")} of ${count(updates.length)} ${moved === 1 ? "moves" : "move"} now.`
      + (moved < updates.length ? " The others stay to the bit." : "");
  }

  moveWords(at) {
    const { parameter, still, update_norm: update, norm_before: norm } = this.updates[at];
    return still ? `${parameter} stays: ${still}` : `${parameter}: moves by ${num(update)}, ${norm ? `${num((100 * update) / norm, 3)} % of its norm` : "its norm was 0"}`;
  }

  show(moment) {
    const { updates } = this.story(moment), ratio = ({ update_norm: update, norm_before: norm }) => (norm > 0 ? update / norm : update), scale = logScale(updates.map(ratio));
    this.updates = updates;
    this.moves.show(updates.map((update) => ({
      kind: update.still ? (this.view.look(update.parameter)?.learns ? "none" : "frozen") : update.update_norm === null ? "broken" : update.update_norm > 0 ? "value" : "zero",
      share: update.still ? 0 : scale.share(ratio(update)), now: update.parameter === this.view.followed,
    })), topGroups(updates.map(({ parameter }) => parameter)), this.words(moment).replace(/<[^>]*>/g, ""));
    const update = updates.find(({ parameter }) => parameter === this.view.followed) ?? updates[0];
    this.picker.value = update?.parameter;
    this.part("update").innerHTML = update ? this.card(update) : "";
  }

  card({ parameter, index, gradient, weight_before: before, weight_after: after, norm_before: normBefore, norm_after: normAfter, update_norm: norm, state, formula, filled, still, in_optimizer: known }) {
    const rows = [["weight", before, after], ...state].map(([name, was, is]) => `<tr><th scope="row">${escaped(name)}</th><td>${was === null && name !== "weight" ? "none yet" : num(was, 8)}</td><td>${num(is, 8)}</td></tr>`).join("");
    const lines = formula.map((line, at) => `<div><pre>${escaped(line)}</pre><pre>${escaped(filled[at] ?? "")}</pre></div>`).join("")
      + filled.slice(formula.length).map((line) => `<div><pre></pre><pre>${escaped(line)}</pre></div>`).join("");
    return `${still ? `<p class="thaw-still">It does not move. ${escaped(still)}</p>` : ""}${known ? "" : '<p class="thaw-note">The optimizer does not know it.</p>'}
      ${lines ? `<div class="thaw-rule" role="group" aria-label="The update, in symbols and with real numbers"><div class="thaw-rule-head"><span>the rule</span><span>with the numbers of ${code(parameter + place(index))}</span></div>${lines}</div>` : ""}
      <div class="thaw-scroll"><table class="thaw-sum thaw-states"><caption>One value, followed: ${code(parameter + place(index))}${gradient === null ? ", its .grad is None" : `, its gradient is ${num(gradient, 6)}`}</caption>
      <thead><tr><th scope="col"></th><th scope="col">before</th><th scope="col">after</th></tr></thead><tbody>${rows}</tbody></table></div>
      <dl class="thaw-figures">${fact("norm of the tensor before", num(normBefore, 6))}${fact("after", num(normAfter, 6))}${fact("norm of the update", num(norm, 4))}</dl>`;
  }
}

// A picture of channels side by side, as the background of a box that is twice as wide as high: a long row of them is broken into two.
function tiles(source) {
  const head = atob(source.slice(source.indexOf(",") + 1, source.indexOf(",") + 33)), size = (at) => [0, 1, 2, 3].reduce((sum, byte) => sum * 256 + head.charCodeAt(at + byte), 0);
  const url = `url(${source})`;
  if (size(16) / size(20) < 5) return `background:${url} center / contain no-repeat`;
  return `background:${url} left top / 200% 50% no-repeat, ${url} right bottom / 200% 50% no-repeat`;
}

// Bars for tensors: what is None, zero, not finite or frozen is told apart by more than its colour.
export function gradBar(figures, look, scale) {
  if (figures) return valueBar(figures, scale);
  return { kind: look && !look.learns ? "frozen" : "none" };
}

export function valueBar(figures, scale) {
  if (figures.finite === false || figures.norm === null) return { kind: "broken", share: 1 };
  return figures.norm === 0 ? { kind: "zero" } : { kind: "value", share: scale.share(figures.norm) };
}

export function gradWords(figures, look) {
  if (figures) return figures.finite === false ? "not finite" : figures.norm === 0 ? "all zero" : `norm ${num(figures.norm)}`;
  return look && !look.learns ? "None (frozen)" : "None";
}

export function layerWords(call, all) { return `${call.number + 1} of ${all}: ${call.module}, ${call.kind}, to ${shape(call.output)}`; }

function firstBars(values) {
  const known = values.map((value) => value ?? 0), most = Math.max(1e-30, ...known.map(Math.abs)), wide = 64 / Math.max(1, known.length);
  return known.map((value, at) => `<rect x="${(at * wide + 1).toFixed(1)}" width="${(wide - 2).toFixed(1)}" y="${(value > 0 ? 16 - (15 * value) / most : 16).toFixed(1)}" height="${Math.max(0.6, (15 * Math.abs(value)) / most).toFixed(1)}"/>`).join("");
}
