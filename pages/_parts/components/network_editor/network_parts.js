// What the network editor is made of: elements, buttons with an icon, and rows that can be dragged.

export function html(tag, attributes = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function tool(act, label, path, disabled = false) {
  const button = html("button", { type: "button", class: "net-tool", "data-act": act, ...(label ? { "aria-label": label, title: label } : {}) }, [icon(path)]);
  button.disabled = disabled;
  return button;
}

export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const ICONS = {
  grip: "M6 3v.01M10 3v.01M6 8v.01M10 8v.01M6 13v.01M10 13v.01",
  up: "M8 13V3M3.5 7.5 8 3l4.5 4.5",
  down: "M8 3v10M3.5 8.5 8 13l4.5-4.5",
  remove: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  undo: "M6 3 2.5 6.5 6 10M3 6.5h6.5a3.5 3.5 0 0 1 0 7H6",
  redo: "M10 3l3.5 3.5L10 10M13 6.5H6.5a3.5 3.5 0 0 0 0 7H10",
};

// Dragging a row by its grip, for those who have a mouse.
export class Dragging {
  constructor(editor) {
    const { root } = editor;
    let id = null;
    const clear = () => { for (const item of root.querySelectorAll("[data-drop]")) delete item.dataset.drop; };
    root.addEventListener("dragstart", (event) => {
      const item = event.target.closest?.(".net-grip")?.closest(".net-row");
      if (!item) return;
      id = item.dataset.id;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", editor.row(id).text);
      event.dataTransfer.setDragImage(item, 12, 12);
    });
    root.addEventListener("dragover", (event) => {
      const item = event.target.closest?.(".net-row");
      if (!id || !item) return;
      event.preventDefault();
      clear();
      const { top, height } = item.getBoundingClientRect();
      item.dataset.drop = event.clientY < top + height / 2 ? "before" : "after";
    });
    root.addEventListener("drop", (event) => {
      const item = event.target.closest?.(".net-row");
      if (!id || !item) return;
      event.preventDefault();
      const from = editor.place(id);
      const target = editor.place(item.dataset.id) + (item.dataset.drop === "after" ? 1 : 0);
      editor.moveTo(id, target > from ? target - 1 : target);
    });
    root.addEventListener("dragend", () => { id = null; clear(); });
  }
}

export function facts(item, { shape, words: said, count, error }) {
  const shown = item.querySelector(".net-shape");
  shown.textContent = shape || "–";
  shown.title = said ? `returns ${said}` : "";
  const counted = item.querySelector(".net-count");
  counted.textContent = shape ? brief(count) : "";
  counted.title = shape ? words(count) : "";
  item.querySelector(".net-error").textContent = error;
  item.classList.toggle("net-wrong", Boolean(error));
}

export function pick(from, names) { return Object.fromEntries(names.map((name) => [name, from[name]])); }

export function words(count) { return count ? `${count.toLocaleString("en")} parameters` : "no parameters"; }

function brief(count) { return count ? `${count.toLocaleString("en")} par.` : "–"; }
