// Fields of a form in a line. A button leads to its field, in the browser alone: the server has nothing to answer.

const NAMED = 3; // fields that are named where the first is said in full; the others are counted
const LISTED = 8; // and where they are only named

export function mount({ data, parentElement }) {
  const root = parentElement.querySelector(".thaw-go-to");
  const { fields, before } = data;
  const said = JSON.stringify([fields, before]);
  if (root.dataset.said === said) return; // a button that has the focus keeps it
  root.dataset.said = said;
  root.dataset.wrong = String(!before);
  const shown = fields.slice(0, before ? LISTED : NAMED);
  const left = fields.length - shown.length;
  const buttons = shown.map(button);
  const line = document.createElement("p");
  if (before) line.append(text("span", `${before} `), ...listed(buttons));
  else line.append(buttons[0], text("span", `: ${fields[0][2]}`), ...(shown.length > 1 ? [text("span", " Also: "), ...listed(buttons.slice(1))] : []));
  if (left) line.append(text("span", ` and ${left} more`));
  const icon = text("span", before ? "edit_note" : "error");
  icon.className = "thaw-icon";
  icon.setAttribute("aria-hidden", "true");
  icon.translate = false;
  root.replaceChildren(icon, line);
}

function listed(buttons) {
  return buttons.flatMap((each, place) => (place ? [text("span", ", "), each] : [each]));
}

function text(kind, words) {
  const made = document.createElement(kind);
  made.textContent = words;
  return made;
}

function button([field, label, message]) {
  const made = text("button", label);
  made.type = "button";
  made.title = message;
  made.setAttribute("aria-label", `Go to ${label}`);
  made.onclick = () => lead(field);
  return made;
}

/** Scroll to a field and put the cursor into it; an expander around it that was closed is opened. */
export function lead(field) {
  const place = document.querySelector(`.st-key-field_${CSS.escape(field)}`) ?? document.querySelector(".st-key-set_on_model");
  if (!place) return;
  const around = place.closest("details");
  arrive(place);
  if (around) settled(around, () => { // it may just be closing; and while it opens, what is in it moves
    if (!around.open) around.querySelector("summary").click();
    settled(around, () => arrive(place));
  });
}

function arrive(place) {
  place.scrollIntoView({ block: "center" });
  place.querySelector("input:not([type=hidden]), textarea, [role=combobox], a[href], button")?.focus({ preventScroll: true });
}

const STILL = 150; // ms
const PATIENCE = 2000; // ms

/** Call `then` once the height of `box` has stood still for a moment. */
function settled(box, then) {
  let height = -1, since = 0;
  const begun = performance.now();
  const look = (now) => {
    if (!box.isConnected) return;
    if (box.offsetHeight !== height) [height, since] = [box.offsetHeight, now];
    if (now - since < STILL && now - begun < PATIENCE) requestAnimationFrame(look);
    else then();
  };
  requestAnimationFrame(look);
}
