// Pictures that are there more than once, those of a group side by side, and what can be done about each group.

const AT_ONCE = 20; // groups that are drawn before somebody asks for more

export function mount({ data, parentElement, setTriggerValue }, elements, { Outbox }) {
  const root = parentElement.querySelector(".thaw-doubles");
  const outbox = (root.thawOutbox ??= new Outbox());
  outbox.send = (edits) => setTriggerValue("edited", edits);
  const shown = elements.read(data);
  outbox.acknowledge(shown.acknowledged);
  delete shown.acknowledged;
  if (elements.isNew(root, shown)) draw(root, shown, outbox, elements, AT_ONCE);
  return () => {};
}

function draw(root, shown, outbox, elements, most) {
  const { make, count } = elements;
  const groups = shown.groups.slice(0, most).map((group) => row(root, shown, group, outbox, elements));
  const left = shown.groups.length - groups.length;
  const more = make("button", { type: "button", textContent: `Show ${count(Math.min(left, 5 * AT_ONCE))} more`, hidden: left <= 0 });
  more.onclick = () => {
    draw(root, shown, outbox, elements, most + 5 * AT_ONCE);
    root.querySelectorAll("li.thaw-doubles-group")[most]?.querySelector("button")?.focus();
  };
  root.replaceChildren(make("ol", { aria: { label: shown.label } }, ...groups), more);
}

function row(root, shown, group, outbox, { make, short }) {
  const pictures = group.pictures.map(({ address, name, label, about, few }) => {
    const image = make("img", { alt: "", src: new URL(address, document.baseURI).href, loading: "lazy", data: few ? { few: "true" } : {} });
    image.onerror = () => image.replaceWith(make("i", { textContent: "no preview" }));
    return make("li", { title: `${name}\n${label}, ${about}` }, image, make("b", { textContent: short(label, 24) }), make("span", { textContent: about }), make("span", { textContent: short(name, 34) }));
  });
  const hidden = group.more ? make("li", { className: "thaw-doubles-more", textContent: `and ${group.more.toLocaleString("en")} more` }) : null;
  const buttons = group.does.map(([what, label, about]) => {
    const button = make("button", { type: "button", textContent: label, title: about });
    button.onclick = () => {
      for (const each of root.querySelectorAll("button")) each.disabled = true; // the next version has other groups
      button.textContent = "Making a new version …";
      outbox.add("mend", shown.number, what, group.at);
    };
    return button;
  });
  return make("li", { className: "thaw-doubles-group" },
    make("p", {}, make("strong", { textContent: group.title }), make("span", { textContent: ` ${group.sameness}` })),
    make("ul", {}, ...pictures, hidden),
    make("div", { role: "group", aria: { label: `What to do about: ${group.title}` } }, ...buttons));
}
