// The likeliest classes of one picture, each with a bar and its probability.

export function mount({ data, parentElement }, { make, read, isNew, percent, short }) {
  const root = parentElement.querySelector(".thaw-guesses");
  const shown = read(data);
  if (isNew(root, shown)) draw(root, shown, make, percent, short);
  return () => {};
}

function draw(root, { label, guesses }, make, percent, short) {
  let list = root.querySelector("ol");
  if (!list) root.append(list = make("ol"));
  list.setAttribute("aria-label", label);
  while (list.children.length > guesses.length) list.lastChild.remove();
  while (list.children.length < guesses.length) list.append(make("li", {}, make("b"), make("span", { aria: { hidden: true } }, make("i")), make("output")));
  guesses.forEach(({ name, probability, mark }, at) => {
    const [title, strip, value] = list.children[at].children;
    title.textContent = mark ? `${short(name, 28)} ${mark}` : short(name, 28);
    title.title = name;
    strip.firstChild.style.width = `${100 * probability}%`;
    value.textContent = percent(probability);
  });
}
