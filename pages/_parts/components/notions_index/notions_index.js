// The index of notions. Python sends all entries once; searching, and which entry the page's address names, stay here.

const indexes = new WeakMap();

export function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".thaw-notions");
  let index = indexes.get(root);
  if (!index) { index = new Index(root); indexes.set(root, index); }
  index.follow = (name) => setTriggerValue("follow", name);
  index.show(data);
  return () => {};
}

// Whether an entry has every part of what is looked for, as `core.notions.containing` has it.
export function matches(text, wanted) {
  return wanted.toLowerCase().split(/\s+/).filter(Boolean).every((part) => text.includes(part));
}

export const searched = ({ name, also, says, code }) => [name, ...also, says, code].join("\n").toLowerCase();

class Index {
  constructor(root) {
    this.root = root;
    this.drawn = null;
  }

  show({ themes, setup, asked }) {
    const drawn = JSON.stringify([themes, setup]);
    if (drawn !== this.drawn) { this.drawn = drawn; this.draw(themes, setup); }
    if (asked !== this.asked) {
      this.asked = asked;
      if (asked) this.go(asked); else this.field.focus({ preventScroll: true });
    }
  }

  draw(themes, setup) {
    const wanted = this.field?.value ?? "";
    this.root.replaceChildren(this.bar(), begin(setup), ...themes.map(([name, entries]) => this.theme(name, entries)));
    this.entries = [...this.root.querySelectorAll("article")];
    this.field.value = wanted;
    this.filter();
  }

  bar() {
    this.field = element("input", { type: "search", placeholder: "leaf, backprop, optimizer.step()", spellcheck: false, autocomplete: "off" });
    this.field.addEventListener("input", () => this.filter());
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.entries.find(({ hidden }) => !hidden)?.focus();
      if (event.key === "Escape") { this.field.value = ""; this.filter(); }
    });
    this.count = element("output", { role: "status" });
    return element("div", { className: "thaw-notions-bar" }, element("label", {}, element("span", {}, "Look for"), this.field), this.count);
  }

  theme(name, entries) {
    return element("section", {}, element("h3", {}, name), ...entries.map((entry) => this.entry(entry)));
  }

  entry(entry) {
    const { name, also, says, code, link, address, part } = entry;
    const here = element("a", { className: "thaw-notion-link", href: `?notion=${encodeURIComponent(name)}`, title: "Link to this entry" }, name);
    here.addEventListener("click", (event) => { if (plain(event)) { event.preventDefault(); this.go(name); } });
    const way = link ? element("a", { className: "thaw-notion-way", href: address }, link) : element("span", { className: "thaw-notion-none" }, "Thaw does not show it.");
    if (link) way.addEventListener("click", (event) => { if (plain(event)) { event.preventDefault(); this.follow(name); bring(part, () => !this.root.isConnected); } });
    const article = element("article", { tabIndex: -1 },
      element("header", {}, element("h4", {}, here), element("small", {}, also.join(", "))),
      element("div", {}, element("p", {}, says), element("pre", {}, element("code", {}, code)), element("p", {}, way)));
    article.dataset.name = name;
    article.dataset.text = searched(entry);
    return article;
  }

  filter() {
    let left = 0;
    for (const article of this.entries) {
      article.hidden = !matches(article.dataset.text, this.field.value);
      left += !article.hidden;
    }
    for (const section of this.root.querySelectorAll("section")) section.hidden = !section.querySelector("article:not([hidden])");
    const all = this.entries.length;
    this.count.textContent = left === all ? `${all} notions` : left ? `${left} of ${all}` : "Nothing has this in its name, sentence or code.";
  }

  // To an entry: seen, in focus, and in the page's address.
  go(name) {
    const article = this.entries.find(({ dataset }) => dataset.name === name);
    if (!article) return;
    if (article.hidden) { this.field.value = ""; this.filter(); }
    for (const each of this.entries) each.toggleAttribute("data-asked", each === article);
    const address = new URL(location.href);
    address.searchParams.set("notion", name);
    history.replaceState(history.state, "", address);
    article.scrollIntoView({ block: "center" });
    article.focus({ preventScroll: true });
  }
}

const NAMES = ["h1, h2, h3, h4", "summary p, p, legend, label, button"]; // what a part of a screen is called by: a heading first

// The element of the page whose text is the name of a part, null for none.
export function called(part, within = document) {
  for (const kind of NAMES) {
    const found = [...within.querySelectorAll(kind)].find((each) => each.textContent.trim() === part && each.getClientRects().length);
    if (found) return found;
  }
  return null;
}

// Once `left` is true (the index has gone), scroll to the part as soon as it is there, and again while what stands above it grows; until the person scrolls.
export function bring(part, left, seconds = 60, rest = 6) {
  const signs = ["wheel", "touchmove", "keydown", "mousedown"];
  let first = null, over = false;
  const begin = performance.now();
  const end = () => { over = true; for (const sign of signs) removeEventListener(sign, end, true); };
  const look = () => {
    if (over) return;
    const now = performance.now(), found = left() ? called(part) : null;
    if (found) { first ??= now; found.scrollIntoView({ block: "start" }); }
    if (now - begin > 1000 * seconds || (first !== null && now - first > 1000 * rest)) end();
    else setTimeout(look, 150);
  };
  for (const sign of signs) addEventListener(sign, end, true);
  setTimeout(look, 0);
}

const begin = (setup) => element("details", {}, element("summary", {}, "What all lines of code begin with"), element("pre", {}, element("code", {}, setup)));

// A click that is to stay in this tab.
const plain = ({ button, ctrlKey, metaKey, shiftKey, altKey }) => button === 0 && !(ctrlKey || metaKey || shiftKey || altKey);

function element(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) if (key === "role") made.setAttribute(key, value); else made[key] = value;
  made.append(...children);
  return made;
}
