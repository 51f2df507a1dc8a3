// One node of the graph, looked at closely: what it computes, what it does to a gradient, what it keeps, what flows through it, and
// whether a small real change of its values moves the loss as its gradient says.

export function cardOf(node, { story, checks, unchecked, error }, graph, removed, { bytes, code, count, escaped, facts, num, plural, shape }) {
  const where = (id) => {
    const other = graph.nodes[id];
    return `<button type="button" class="thaw-jump" data-node="${id}">${escaped(other.parameter || kindName(other.kind))}${other.module && !other.parameter ? ` <small>${escaped(other.module)}</small>` : ""}</button>`;
  };
  const flow = ({ of, node: id, figures }) => `<li><p>${escaped(of)}${id === null || !graph.nodes[id] ? "" : ` ${where(id)}`}</p>${figures ? `<p class="thaw-small-facts">${shape(figures.shape)}</p>${facts(figures)}` : "<p class=\"thaw-quiet\">no gradient</p>"}</li>`;
  const flows = (title, list) => (list.length ? `<h5>${title}</h5><ul class="thaw-flows">${list.map(flow).join("")}</ul>` : "");
  const lines = (title, list) => (list.length ? `<h5>${title}</h5><pre>${list.map(escaped).join("\n")}</pre>` : "");
  const saved = node.saved.length
    ? `<h5>Kept for the backward pass, ${bytes(node.saved_bytes)}</h5><ul class="thaw-saved">${node.saved.map(({ name, shape: sizes, bytes: size, what }) => `<li>${code(name)} ${shape(sizes)}, ${bytes(size)}${what ? `<small>${escaped(what)}</small>` : ""}</li>`).join("")}</ul>`
    : "<h5>Kept for the backward pass</h5><p class=\"thaw-quiet\">no tensor</p>";
  const head = `<header><h4 tabindex="-1">${escaped(story?.title || kindName(node.kind))}</h4><p>${code(node.kind)}${node.parameter ? ` of ${code(node.parameter)}` : node.module ? ` in ${code(node.module)}` : ""}, ${shape(node.shape)}</p></header>`
    + (removed ? `<p class="thaw-removed">${escaped(story?.removed || "This plan removes it: nothing that learns lies behind it, so autograd records no node.")}</p>` : "");
  if (error) return `${head}<p class="thaw-failed" role="alert">${escaped(error)}</p>${saved}`;
  if (!story) return `${head}<p class="thaw-asking">Following the gradients through it</p>${saved}`;
  return `${head}<p>${escaped(story.about)}</p>${lines("Computes", story.formula)}${lines("Does to a gradient", story.derivative)}
    ${checksOf(removed || story.removed ? [] : checks, unchecked, { escaped, num })}${flows("Comes in", story.incoming)}${flows("Goes out", story.outgoing)}${saved}`;
}

// In one sentence, for a screen reader.
export function verdictOf(node, { story, checks }) {
  const tried = checks.filter(({ agrees }) => agrees !== null), good = tried.filter(({ agrees }) => agrees).length;
  const checked = !tried.length ? "The chain rule could not be tried here." : good === tried.length ? "The chain rule agrees." : `The chain rule agrees at ${good} of ${tried.length} places.`;
  return `${story.title || kindName(node.kind)}. ${checked}`;
}

function checksOf(checks, unchecked, { escaped, num }) {
  const head = "<h5>The chain rule, tried out</h5>";
  if (unchecked) return `${head}<p class="thaw-failed" role="alert">${escaped(unchecked)}</p>`;
  if (!checks) return `${head}<p class="thaw-asking">Moving the values a little, to see how steeply the loss really changes</p>`;
  if (!checks.length) return "";
  const row = ({ place, measured, predicted, relative_difference: difference, step, agrees, note }) => `<tr><th scope="row">${escaped(place)}</th>
    <td>${measured === null ? "" : num(measured, 7)}</td><td>${predicted === null ? "" : num(predicted, 7)}</td><td>${difference === null ? "" : num(difference, 2)}</td>
    <td data-agrees="${agrees}" title="step ${num(step)}">${agrees === null ? "not tried" : agrees ? "agrees" : "differs"}</td></tr>${note ? `<tr class="thaw-check-note"><td colspan="5">${escaped(note)}</td></tr>` : ""}`;
  return `${head}<p class="thaw-quiet">The values are moved a little along a random direction: how steeply the loss really changes, beside what the gradient says.</p>
    <div class="thaw-checks-scroll"><table class="thaw-checks"><thead><tr><th scope="col">at</th><th scope="col">measured</th><th scope="col">predicted</th><th scope="col" title="Difference over size">relative</th><th scope="col">verdict</th></tr></thead><tbody>${checks.map(row).join("")}</tbody></table></div>`;
}

export const kindName = (kind) => kind.replace(/Backward\d*$/, "").replace(/^(.)/, (letter) => letter.toUpperCase());
