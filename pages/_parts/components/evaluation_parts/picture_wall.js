// Pictures of the test set as a wall of buttons. Python sends the pictures and all words; pressing one sends its index back.

export function mount({ data, parentElement, setTriggerValue }, { make, read, isNew, short }) {
  const root = parentElement.querySelector(".thaw-wall");
  const shown = read(data);
  root.thawSend = (index) => setTriggerValue("pressed", { index, at: Date.now() }); // the time, so that the same picture can be pressed twice
  if (isNew(root, shown)) draw(root, shown, make, short);
  return () => {};
}

function draw(root, { label, action, large, pictures }, make, short) {
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.index : null;
  const items = pictures.map(({ index, picture, title, about, verdict, chosen }) => {
    const image = make("img", { src: picture, alt: "", draggable: false, loading: "lazy" });
    const words = [make("b", { textContent: short(title, 28) }), make("span", { textContent: about })];
    const button = make("button", { type: "button", title: `${title}. ${action}`, data: { index }, aria: { label: `${title}, ${about}. ${action}`, pressed: chosen } }, image, ...words);
    button.onclick = () => root.thawSend(index);
    return make("li", { data: { verdict } }, button);
  });
  root.replaceChildren(make("ul", { aria: { label }, data: { large } }, ...items));
  if (focused !== null) root.querySelector(`button[data-index="${focused}"]`)?.focus();
}
