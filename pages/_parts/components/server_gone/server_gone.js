// A line at the lower edge while the server does not answer. It lies over the page, so that nothing moves, and goes by itself once the server is
// back. One for the whole browser tab: pages come and go, and where the server is gone no page can be asked for.

const PATIENCE = 1500; // ms without a connection: a page that is loaded, or a blink of the network, is no reason to say anything
const SAYS = "The server does not answer. Runs that train go on in their own processes.";
const THEN = "This page goes on by itself once the server is back.";

let watching = null;

export function mount() {
  watching ??= watch(document.querySelector('[data-testid="stApp"]'), document.body);
  return () => {};
}

// Look after the connection of `app`, Streamlit's outermost element, and say on `place` when there is none.
export function watch(app, place, patience = PATIENCE) {
  const line = document.createElement("div");
  line.className = "thaw-server-gone";
  line.setAttribute("role", "status"); // there from the start, so that a screen reader says what is put into it
  place.append(line);
  let timer = null;
  const say = () => line.replaceChildren(element("b", SAYS), element("span", THEN));
  const look = () => {
    // Streamlit says on its own element alone whether the theme is dark. Dialogs and this line stand beside it, where light-dark() would be light.
    place.ownerDocument.documentElement.style.colorScheme = getComputedStyle(app).colorScheme;
    const there = app.getAttribute("data-test-connection-state") === "CONNECTED";
    if (there) { clearTimeout(timer); timer = null; line.replaceChildren(); } else timer ??= setTimeout(say, patience);
  };
  const observer = new MutationObserver(look);
  observer.observe(app, { attributes: true, attributeFilter: ["data-test-connection-state", "class"] });
  look();
  return () => { observer.disconnect(); clearTimeout(timer); line.remove(); };
}

function element(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}
