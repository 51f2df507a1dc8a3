// Pictures whose label is doubted, one large and the others in a row: keys confirm or correct, and nothing waits for the server.

const walls = new WeakMap();

export function mount({ data, parentElement, setTriggerValue }, elements, { Outbox }) {
  const root = parentElement.querySelector(".thaw-doubts");
  let wall = walls.get(root);
  if (!wall) { wall = new DoubtWall(root, elements, new Outbox()); walls.set(root, wall); }
  wall.outbox.send = (edits) => setTriggerValue("edited", edits);
  wall.receive(elements.read(data));
  return () => {};
}

class DoubtWall {
  constructor(root, elements, outbox) {
    Object.assign(this, { root, ...elements, outbox, at: 0 });
    const { make } = elements;
    this.bar = make("progress", { max: 1, value: 0, aria: { label: "Doubted labels that were looked at" } });
    this.told = make("p", { className: "thaw-doubts-told", role: "status" });
    this.large = make("img", { alt: "" });
    this.title = make("h4");
    this.about = make("p");
    this.keys = make("div", { className: "thaw-doubts-keys", role: "group", aria: { label: "Which class is it?" } });
    this.strip = make("div", { className: "thaw-doubts-strip", role: "listbox", aria: { label: "Doubted labels", orientation: "horizontal" } });
    this.stage = make("section", { className: "thaw-doubts-stage", tabIndex: 0, role: "application", aria: { label: "Doubted labels. 1 to 9 give a class, Space keeps the label, arrows move, Backspace takes back." } },
      make("div", { className: "thaw-doubts-picture" }, this.large), make("div", {}, this.title, this.about, this.keys));
    this.stage.onkeydown = (event) => this.press(event);
    root.replaceChildren(this.bar, this.told, this.stage, this.strip, make("p", { className: "thaw-doubts-help", textContent: "Keys: 1 to 9 give the class beside the number, Space keeps the label, arrows move, Backspace takes back what was said." }));
  }

  receive(shown) {
    this.outbox.acknowledge(shown.acknowledged);
    const key = `${shown.number} ${shown.doubts.map((doubt) => doubt.place)}`;
    const anew = key !== this.key;
    this.key = key;
    this.shown = shown;
    for (const [, , place, label] of this.outbox.pending.map(([number, ...edit]) => [number, ...edit])) {
      const doubt = shown.doubts.find((each) => each.place === place);
      if (doubt) doubt.said = label;
    }
    if (anew) {
      const first = shown.doubts.findIndex((doubt) => doubt.said === null);
      this.at = Math.max(0, first);
    }
    this.draw();
  }

  get doubt() { return this.shown.doubts[this.at]; }

  // What keys give which class, in the order in which they are shown: classes that are called by a digit by that very key, up to nine classes in
  // their order, and of more the likeliest of this picture.
  choices() {
    const { classes } = this.shown;
    if (classes.length <= 10 && classes.every((name) => /^[0-9]$/.test(name))) return classes.map((name, label) => [name, label]);
    const likeliest = classes.length <= 9 ? classes.map((_, label) => label) : this.doubt.guesses.map(([label]) => label);
    return likeliest.map((label, at) => [String(at + 1), label]);
  }

  say(label) {
    if (!this.shown.editable) return;
    const { doubt } = this;
    doubt.said = label;
    this.outbox.add("say", this.shown.number, doubt.place, label);
    if (label !== null) {
      const { doubts } = this.shown;
      const next = [...doubts.keys()].map((step) => (this.at + 1 + step) % doubts.length).find((at) => doubts[at].said === null);
      if (next !== undefined) this.at = next;
    }
    this.draw();
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.doubt) return;
    const meant = this.choices().find(([key]) => key === event.key), last = this.shown.doubts.length - 1;
    const to = { ArrowRight: this.at + 1, ArrowDown: this.at + 1, ArrowLeft: this.at - 1, ArrowUp: this.at - 1, Home: 0, End: last }[event.key];
    if (to !== undefined) { this.at = Math.max(0, Math.min(last, to)); this.draw(); }
    else if (event.key === " " && event.target === this.stage) this.say(this.doubt.label);
    else if (event.key === "Backspace") this.say(null);
    else if (meant) this.say(meant[1]);
    else return;
    event.preventDefault();
  }

  draw() {
    const { make, count, percent, short } = this, { doubts, classes, dataset } = this.shown;
    const looked = doubts.filter((doubt) => doubt.said !== null), changed = looked.filter((doubt) => doubt.said !== doubt.label);
    this.bar.max = doubts.length || 1;
    this.bar.value = looked.length;
    this.told.textContent = `${count(looked.length)} of ${count(doubts.length)} looked at: ${count(changed.length)} corrected, ${count(looked.length - changed.length)} confirmed.`;
    this.stage.hidden = !doubts.length;
    if (!doubts.length) { this.strip.replaceChildren(); return; }
    const { doubt } = this, source = (each, large) => new URL(`picture/${encodeURIComponent(dataset)}/${each.address}${large ? "?side=large" : ""}`, document.baseURI).href;
    if (this.large.src !== source(doubt, true)) this.large.src = source(doubt, true);
    this.large.dataset.few = doubt.few;
    this.large.alt = doubt.name;
    this.title.textContent = `Labelled ${short(classes[doubt.label], 40)}`;
    this.about.textContent = `${short(doubt.name, 60)} · this label is given ${percent(doubt.probability)}${this.shown.rounds > 1 ? ` · doubted in ${doubt.rounds} of ${this.shown.rounds} rounds` : ""}`;
    const known = new Map(doubt.guesses);
    const choice = (key, label, text) => {
      const button = make("button", { type: "button", disabled: !this.shown.editable, aria: { pressed: doubt.said === label }, data: { own: label === doubt.label } }, make("kbd", { textContent: key }), make("span", { textContent: text }), make("i", { textContent: known.has(label) ? percent(known.get(label)) : "" }));
      button.onclick = () => { this.say(label); this.stage.focus({ preventScroll: true }); };
      return button;
    };
    const back = make("button", { type: "button", hidden: doubt.said === null, data: { back: true } }, make("kbd", { textContent: "⌫" }), make("span", { textContent: "Take back" }), make("i"));
    back.onclick = () => { this.say(null); this.stage.focus({ preventScroll: true }); };
    this.keys.replaceChildren(choice("Space", doubt.label, `Keep ${short(classes[doubt.label], 30)}`), ...this.choices().flatMap(([key, label]) => (label === doubt.label ? [] : [choice(key, label, short(classes[label], 34))])), back);
    const near = Math.max(0, Math.min(this.at - 4, doubts.length - 14));
    this.strip.replaceChildren(...doubts.slice(near, near + 14).map((each, step) => {
      const mark = each.said === null ? "" : each.said === each.label ? "kept" : short(classes[each.said], 14);
      const tile = make("button", { type: "button", role: "option", tabIndex: -1, title: each.name, data: { place: each.place }, aria: { selected: near + step === this.at, label: `${classes[each.label]}${mark ? `, ${mark}` : ""}` } }, make("img", { alt: "", src: source(each), data: { few: each.few } }), make("span", { textContent: mark || short(classes[each.label], 14), data: { mark: each.said === null ? "" : each.said === each.label ? "kept" : "new" } }));
      tile.onclick = () => { this.at = near + step; this.draw(); this.stage.focus({ preventScroll: true }); };
      return tile;
    }));
    for (const each of doubts.slice(this.at + 1, this.at + 4)) new Image().src = source(each, true); // ready when it is asked about
    this.root.dataset.at = doubt.place;
  }
}
