// Pictures on their way in. What lies in the staging is asked of the server, so a refresh finds it; what was pressed shows before it answers.

import { UploadQueue, answer, chosen, dropped, mark } from "./upload_queue.js";
import { webcam } from "./webcam.js";

const SHOWN = 24; // pictures of a class that are in sight at first: the newest
const DRAW = 100; // ms between looks at how far it is
const LOOK = 2000; // ms between looks at what lies there while files arrive: each has new pictures made small, by the server that takes them in

const make = (tag, fields = {}, ...children) => {
  const { aria = {}, data = {}, role, ...rest } = fields;
  const element = Object.assign(document.createElement(tag), rest);
  if (role) element.setAttribute("role", role);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  Object.assign(element.dataset, data);
  element.append(...children.filter((child) => child !== null));
  return element;
};
const icon = (name) => make("span", { className: "thaw-icon", textContent: name, translate: false, aria: { hidden: "true" } });
const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

export function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".thaw-intake");
  if (root.thawIntake?.staging !== data.staging || root.thawIntake.way !== data.way) {
    root.thawIntake?.close();
    root.thawIntake = new Intake(root, data);
  }
  root.thawIntake.tell = () => setTriggerValue("changed", { at: Date.now() });
  return () => {};
}

class Intake {
  constructor(root, { staging, way }) {
    [this.root, this.staging, this.way] = [root, staging, way];
    this.address = `staging/${staging}`;
    this.state = { classes: [], files: 0, first: "", bytes: 0, undo: "" };
    this.all = new Set(); // classes of which everything is shown
    this.cards = new Map();
    this.queue = new UploadQueue(this.address, (settled) => this.moved(settled));
    this.frame();
    this.look();
    this.leaving = (event) => { if (this.queue.busy) event.preventDefault(); };
    addEventListener("beforeunload", this.leaving);
  }

  close() {
    this.camera?.end();
    this.queue.cancel();
    removeEventListener("beforeunload", this.leaving);
  }

  // What stands there always

  frame() {
    this.progress = make("div", { className: "thaw-intake-progress", hidden: true });
    this.problems = make("div", { className: "thaw-intake-problems", role: "alert", hidden: true });
    this.status = make("p", { className: "thaw-intake-status", role: "status" });
    this.undo = make("button", { type: "button", hidden: true, onclick: () => this.act({ do: "undo" }) }, icon("undo"), make("span"));
    const foot = make("div", { className: "thaw-intake-row" }, this.status, this.undo);
    if (this.way === "files") {
      this.root.replaceChildren(this.zone(), this.progress, this.problems, foot);
      return;
    }
    this.list = make("div", { className: "thaw-intake-classes" });
    this.name = make("input", { type: "text", maxLength: 100, placeholder: "Name of a class, for example daisy", aria: { label: "Name of a new class" } });
    this.adding = make("form", { className: "thaw-intake-row" }, this.name, make("button", { type: "submit" }, icon("add"), "Add class"));
    this.adding.onsubmit = async (event) => {
      event.preventDefault();
      if (await this.act({ do: "add", class: this.name.value })) this.name.value = "";
      this.name.focus();
    };
    this.root.replaceChildren(this.adding, this.progress, this.problems, this.list, foot);
  }

  zone() {
    const files = make("input", { type: "file", multiple: true, hidden: true, data: { which: "files" } });
    const folder = make("input", { type: "file", multiple: true, hidden: true, webkitdirectory: true, data: { which: "folder" } });
    const zone = make(
      "div", { className: "thaw-intake-zone", role: "group", aria: { label: "Drop an archive, a folder, or a table with its pictures" } },
      icon("upload_file"), make("b", { textContent: "Drop a zip or tar, a folder of folders, a CSV with its pictures, or Parquet files of pictures here" }),
      make("span", { textContent: "It stays on the machine that Thaw runs on." }),
      make("div", { className: "thaw-intake-row" }, this.opener("Choose files", files), this.opener("Choose a folder", folder)), files, folder,
    );
    for (const input of [files, folder]) input.onchange = () => { this.queue.add(chosen(input)); input.value = ""; };
    this.droppable(zone, (found) => this.queue.add(found));
    return zone;
  }

  opener(text, input) {
    return make("button", { type: "button", onclick: () => input.click() }, icon("folder_open"), text);
  }

  droppable(zone, take) {
    let depth = 0;
    const over = (by) => { depth = Math.max(0, depth + by); zone.dataset.over = String(depth > 0); };
    zone.ondragenter = (event) => { event.preventDefault(); over(1); };
    zone.ondragover = (event) => { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; };
    zone.ondragleave = () => over(-1);
    zone.ondrop = async (event) => {
      event.preventDefault();
      depth = 0;
      over(0);
      take(await dropped(event.dataTransfer));
    };
  }

  // What happens

  async look() {
    try {
      this.state = await answer(await fetch(new URL(this.address, document.baseURI)));
      this.draw();
    } catch (error) {
      this.say(error.message);
    }
  }

  async act(what) {
    try {
      const response = await fetch(new URL(this.address, document.baseURI), { method: "POST", headers: { "Content-Type": "application/json", ...mark }, body: JSON.stringify(what) });
      this.state = await answer(response);
      this.say("");
      this.draw();
      this.tell();
      return true;
    } catch (error) {
      this.say(error.message);
      return false;
    }
  }

  moved(settled = false) {
    const now = Date.now();
    if (settled || now > (this.drawn ?? 0) + DRAW) {
      this.drawn = now;
      this.drawProgress();
    }
    if (settled || now > (this.looked ?? 0) + LOOK) {
      this.looked = now;
      this.look();
    }
    if (settled) {
      if (this.queue.failed.length) this.drawFailed();
      this.tell();
    }
  }

  say(text) {
    this.problems.hidden = !text;
    this.problems.replaceChildren(...(text ? [icon("error"), make("span", { textContent: text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".") })] : []));
  }

  drawFailed() {
    const failed = this.queue.failed;
    const rows = failed.slice(0, 8).map(({ name, problem }) => make("li", { textContent: `${name}: ${problem}` }));
    if (failed.length > rows.length) rows.push(make("li", { textContent: `and ${failed.length - rows.length} more` }));
    const again = make("button", { type: "button", onclick: () => { this.say(""); this.queue.add(failed.map(({ file }) => file)); } }, icon("refresh"), "Try again");
    this.problems.hidden = false;
    this.problems.replaceChildren(icon("error"), make("div", {}, make("b", { textContent: `${count(failed.length, "file")} did not arrive.` }), make("ul", {}, ...rows), again));
  }

  drawProgress() {
    const { queue } = this;
    this.progress.hidden = !queue.busy;
    if (!queue.busy) return;
    const share = Math.min(1, queue.share);
    if (!this.bar) {
      this.bar = make("div", { className: "thaw-intake-bar", role: "progressbar", aria: { label: "Upload", valuemin: 0, valuemax: 100 } }, make("i"));
      this.told = make("span");
      this.progress.replaceChildren(this.bar, this.told, make("button", { type: "button", onclick: () => this.queue.cancel() }, icon("close"), "Cancel"));
    }
    this.bar.setAttribute("aria-valuenow", Math.round(100 * share));
    this.bar.firstChild.style.width = `${100 * share}%`;
    this.told.textContent = `${queue.done.toLocaleString("en")} of ${count(queue.files, "file")} · ${size(queue.gone)} of ${size(queue.bytes)}`;
  }

  draw() {
    const { classes, files, first, bytes, undo } = this.state;
    this.undo.hidden = !undo;
    this.undo.lastChild.textContent = `Bring back ${undo}`;
    const pictures = classes.reduce((sum, each) => sum + each.files.length, 0);
    const said = this.way === "files"
      ? (files ? `${files === 1 ? first : `${count(files, "file")}, the first is ${first}`} · ${size(bytes)}` : "Nothing is here yet.")
      : (classes.length ? `${count(classes.length, "class", "classes")} · ${count(pictures, "picture")} · ${size(bytes)}` : "No class yet. Name two or more; then drag pictures into each.");
    if (this.status.textContent !== said) this.status.textContent = said;
    if (this.way === "classes") this.drawClasses(classes);
  }

  drawClasses(classes) {
    const names = new Set(classes.map(({ name }) => name));
    for (const [name, card] of this.cards) if (!names.has(name)) { if (card.camera) card.camera.end(); card.box.remove(); this.cards.delete(name); }
    for (const each of classes) {
      if (!this.cards.has(each.name)) {
        const card = this.card(each.name);
        this.cards.set(each.name, card);
        this.list.append(card.box);
      }
      this.fill(this.cards.get(each.name), each);
    }
  }

  card(name) {
    const files = make("input", { type: "file", multiple: true, hidden: true, accept: "image/*,.heic,.heif,.tif,.tiff,.webp,.bmp,.pgm,.ppm" });
    files.onchange = () => { this.into(name, chosen(files)); files.value = ""; };
    const title = make("input", { type: "text", className: "thaw-intake-name", value: name, maxLength: 100, aria: { label: `Name of the class ${name}` } });
    title.onchange = async () => { if (!(await this.act({ do: "rename", class: name, to: title.value }))) title.value = name; };
    title.onkeydown = (event) => { if (event.key === "Enter") title.blur(); if (event.key === "Escape") { title.value = name; title.blur(); } };
    const counted = make("span", { className: "thaw-intake-count" });
    const drop = make("button", { type: "button", className: "thaw-intake-quiet", title: `Remove the class ${name}`, aria: { label: `Remove the class ${name}` }, onclick: () => this.act({ do: "take out", class: name }) }, icon("delete"));
    const pictures = make("ul", { aria: { label: `Pictures of ${name}` } });
    const more = make("button", { type: "button", className: "thaw-intake-more", hidden: true, onclick: () => { this.all.add(name); this.look(); } });
    const cam = make("button", { type: "button", aria: { label: `Webcam for ${name}` } }, icon("photo_camera"), "Webcam");
    const place = make("div");
    const upload = this.opener("Add pictures", files);
    upload.setAttribute("aria-label", `Add pictures to ${name}`);
    const box = make(
      "section", { className: "thaw-intake-card", aria: { label: `Class ${name}` } },
      make("div", { className: "thaw-intake-row" }, title, counted, drop),
      make("div", { className: "thaw-intake-row" }, upload, cam, make("span", { className: "thaw-intake-hint", textContent: "or drag them here" })), files, place, pictures, more,
    );
    const card = { box, counted, pictures, more, shown: "", camera: null };
    cam.onclick = () => {
      if (card.camera) { card.camera.end(); return; }
      this.camera?.end(); // one camera, one class at a time
      card.camera = this.camera = webcam(make, name, (file) => this.into(name, [file]), () => { card.camera = this.camera = null; cam.focus(); });
      place.append(card.camera.box);
    };
    this.droppable(box, (found) => this.into(name, found));
    return card;
  }

  into(name, found) {
    this.queue.add(found.map(({ blob, name: file }) => ({ blob, name: file.split("/").pop(), class: name })));
  }

  fill(card, { name, files }) {
    card.counted.textContent = count(files.length, "picture");
    const inSight = this.all.has(name) ? [...files].reverse() : files.slice(-SHOWN).reverse();
    card.more.hidden = inSight.length === files.length;
    card.more.textContent = `Show all ${files.length.toLocaleString("en")}`;
    const shown = inSight.join("\n");
    const waits = this.queue.busy && card.pictures.childElementCount > 0; // small pictures would take the connections that files arrive by
    if (card.shown === shown || waits) return;
    card.shown = shown;
    const there = new Map([...card.pictures.children].map((item) => [item.dataset.name, item]));
    card.pictures.replaceChildren(...inSight.map((file) => there.get(file) ?? this.tile(name, file)));
    card.pictures.dataset.all = String(this.all.has(name));
  }

  tile(name, file) {
    const where = new URLSearchParams({ class: name, name: file });
    const image = make("img", { loading: "lazy", alt: "", src: new URL(`${this.address}/picture?${where}`, document.baseURI).href });
    image.onerror = () => { image.replaceWith(make("span", { className: "thaw-intake-none", textContent: file.split(".").pop().toUpperCase(), title: `${file} has no preview; the import says whether it can be used` })); };
    const remove = make("button", { type: "button", title: `Take out ${file}`, aria: { label: `Take out ${file}` } }, icon("close"));
    remove.onclick = async () => {
      const beside = remove.closest("li").nextElementSibling ?? remove.closest("li").previousElementSibling;
      await this.act({ do: "take out", class: name, files: [file] });
      beside?.querySelector("button")?.focus();
    };
    return make("li", { data: { name: file }, title: file }, image, remove);
  }
}
