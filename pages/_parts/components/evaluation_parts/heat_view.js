// One picture seen by two checkpoints: the heat of Grad-CAM over each, as strong as the slider says.

let strength = 100; // kept while a person looks at one picture after the other

export function mount({ data, parentElement }, { make, read, isNew }) {
  const root = parentElement.querySelector(".thaw-heat");
  const shown = read(data);
  if (isNew(root, shown)) draw(root, shown, make);
  return () => {};
}

function draw(root, { views }, make) {
  const figures = views.map(({ title, picture, overlay, text, value, alternative }) => make("figure", {},
    make("figcaption", {}, make("b", { textContent: title }), make("span", { textContent: value })),
    make("div", { role: "img", aria: { label: alternative } },
      make("img", { src: picture, alt: "", draggable: false }), make("img", { src: overlay, alt: "", draggable: false, className: "thaw-heat-over" })),
    make("p", { textContent: text })));
  const held = root.querySelector("input") === document.activeElement;
  const slider = make("input", { type: "range", min: 0, max: 100, step: 5, value: strength, aria: { label: "How strongly the heat is shown, in percent" } });
  const output = make("output");
  const apply = () => {
    strength = Number(slider.value);
    output.textContent = `${strength} %`;
    root.style.setProperty("--thaw-heat-strength", strength / 100);
  };
  slider.oninput = apply;
  root.replaceChildren(
    make("div", { className: "thaw-heat-pair" }, ...figures),
    make("label", { className: "thaw-heat-strength" }, make("span", { textContent: "Heat" }), slider, output),
    make("p", { className: "thaw-heat-key", aria: { hidden: true } }, make("span", { textContent: "no evidence" }), make("i"), make("span", { textContent: "most evidence" })),
  );
  apply();
  if (held) slider.focus();
}
