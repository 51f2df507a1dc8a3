// The code that a model is made of. One layer is looked at: its own class, and the class around it with the lines that make and call it.
// The tree of layers says which one ("thaw-layer"), and is told which one was chosen here ("thaw-source").

const views = new WeakMap();

export function mount({ data, parentElement }) {
  const root = parentElement.querySelector(".thaw-source");
  let view = views.get(root);
  if (!view) { view = new LayerSource(root); views.set(root, view); }
  view.receive(JSON.parse(new TextDecoder().decode(data)));
  const follow = (event) => view.show(event.detail, false);
  document.addEventListener("thaw-layer", follow);
  return () => document.removeEventListener("thaw-layer", follow);
}

const USES = { made: "makes it", called: "calls it", used: "uses it" };

class LayerSource {
  constructor(root) {
    this.root = root;
    root.innerHTML = `<nav class="thaw-trail" aria-label="Where the layer is"></nav>
      <div class="thaw-inside" role="group" aria-label="Layers inside"></div>
      <p class="thaw-source-note" role="status"></p>
      <div class="thaw-codes"><figure data-code="around"></figure><figure data-code="own"></figure></div>`;
    root.onclick = (event) => {
      const chosen = event.target.closest("[data-layer]");
      if (chosen) this.show(chosen.dataset.layer, true);
    };
  }

  receive({ label, classes, layers }) {
    const said = JSON.stringify([label, layers]);
    if (said === this.said) return;
    this.said = said;
    this.label = label;
    this.classes = classes.map(([name, module, first, text]) => ({ name, module, first, lines: text.replace(/\n$/, "").split("\n") }));
    this.layers = new Map(Object.entries(layers).map(([path, [place, mentions, note]]) => [path, { place, mentions, note }]));
    this.show(this.layers.has(this.path) ? this.path : "", false);
  }

  // `chosen`: here, and not in the tree, which is told then. A parameter's own row stands for the layer that it belongs to.
  show(path, chosen) {
    while (path && !this.layers.has(path)) path = path.split(".").slice(0, -1).join(".");
    this.path = path;
    const { place, mentions, note } = this.layers.get(path);
    this.trail(path);
    this.inside(path);
    this.root.querySelector(".thaw-source-note").textContent = note;
    const byPlace = new Map();
    for (const [where, first, last, use] of mentions) byPlace.set(where, [...(byPlace.get(where) ?? []), { first, last, use }]);
    const around = this.root.querySelector("[data-code=around]");
    around.hidden = !byPlace.size;
    around.parentElement.toggleAttribute("data-two", byPlace.size > 0);
    around.replaceChildren(...[...byPlace].map(([where, lines]) => this.code(this.classes[where], lines, `${this.classes[where].name}, which ${uses(lines)}`)));
    this.root.querySelector("[data-code=own]").replaceChildren(this.code(this.classes[place], [], `${path ? "Its own class" : "The model's class"}: ${this.classes[place].name}`));
    for (const scroller of this.root.querySelectorAll("pre")) {
      // The lines that are meant; in a class of its own, what comes behind the long texts with which torch's classes begin.
      const place = scroller.querySelector(".thaw-marked") ?? [...scroller.children].find((line) => /^\s+def (__init__|forward)\(/.test(line.textContent));
      scroller.scrollTop = place ? Math.max(0, place.offsetTop - scroller.clientHeight / 3) : 0;
    }
    if (chosen) {
      document.dispatchEvent(new CustomEvent("thaw-source", { detail: path }));
      this.root.querySelector("[aria-current]").focus({ preventScroll: true });
    }
  }

  trail(path) {
    const parts = path ? path.split(".") : [];
    const steps = [["", this.label], ...parts.map((part, index) => [parts.slice(0, index + 1).join("."), part])];
    this.root.querySelector(".thaw-trail").replaceChildren(...steps.map(([step, name]) => {
      const button = choice(step, name);
      if (step === path) button.setAttribute("aria-current", "true");
      return button;
    }));
  }

  inside(path) {
    const start = path ? `${path}.` : "";
    const below = [...this.layers.keys()].filter((each) => each && each !== path && each.startsWith(start) && !each.slice(start.length).includes("."));
    const group = this.root.querySelector(".thaw-inside");
    group.replaceChildren(...below.map((each) => choice(each, `${each.slice(start.length)} ${this.classes[this.layers.get(each).place].name}`)));
    group.hidden = !below.length;
  }

  code({ module, first, lines }, marks, title) {
    const box = document.createElement("div");
    const head = document.createElement("figcaption");
    head.textContent = `${title} · `;
    const where = document.createElement("code");
    where.textContent = `${module}, line ${first.toLocaleString("en")}`;
    head.append(where);
    const pre = document.createElement("pre");
    pre.tabIndex = 0;
    pre.setAttribute("role", "region");
    pre.setAttribute("aria-label", title);
    pre.append(...lines.map((text, index) => {
      const number = first + index;
      const line = document.createElement("span");
      const found = marks.filter((mark) => mark.first <= number && number <= mark.last);
      line.className = found.length ? "thaw-marked" : "";
      line.dataset.line = number;
      line.textContent = `${text}\n`;
      if (found.length) line.title = [...new Set(found.map(({ use }) => USES[use]))].join(", ");
      return line;
    }));
    box.append(head, pre);
    return box;
  }
}

function choice(path, name) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.layer = path;
  button.textContent = name;
  return button;
}

// "makes it in line 201 and calls it in line 273"
function uses(lines) {
  const parts = Object.entries(USES).map(([use, words]) => {
    const found = lines.filter((line) => line.use === use).map(({ first, last }) => (first === last ? `${first}` : `${first} to ${last}`));
    return found.length ? `${words} in line${found.length > 1 || found[0].includes("to") ? "s" : ""} ${found.join(", ")}` : "";
  });
  return parts.filter(Boolean).join(" and ");
}
