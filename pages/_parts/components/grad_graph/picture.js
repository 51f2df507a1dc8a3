// The graph as a picture: boxes for groups and nodes, curves for the ways that gradients take. Only what is open is laid out, and of a large
// graph only what is in sight is drawn.

const beside = (name) => import(`./${name}.js${new URL(import.meta.url).search}`);
const [{ Group }, { GAP, layered }] = await Promise.all([beside("groups"), beside("layout")]);

const LETTER = 6.9, SMALL = 5.9; // px a letter, of the name and of what stands below it
const NODE = 28, CLOSED = 44, PAD = 14;
const ALL = 900; // pieces up to which all are drawn, in sight or not
const BOW = 240; // px that a curve reaches beyond its ends, at most

// state: { tree, graph, open: Set of keys, kept: Set of ids, colourOf(child), words(child) -> { name, about } }.
// Returns { width, height, boxes: key to { x, y, width, height }, whole, draw(sight) }: `draw` gives the SVG of what lies in a rectangle
// { left, top, right, bottom }, or of everything where `whole`.
export function layGraph(state) {
  const laid = lay(state.tree.root, state, crossings(state));
  const boxes = new Map(), bends = [];
  place(laid, PAD, PAD, boxes, bends);
  const parts = { groups: [], edges: edges(state, boxes, bends), boxes: [] }; // each a list of { left, top, right, bottom, svg() }
  pieces(laid, state, boxes, parts);
  const whole = parts.groups.length + parts.edges.length + parts.boxes.length <= ALL;
  const within = (sight) => ({ left, top, right, bottom }) => whole || (left < sight.right && right > sight.left && top < sight.bottom && bottom > sight.top);
  const layer = (name, sight) => `<g class="thaw-${name}">${parts[name].filter(within(sight)).map(({ svg }) => svg()).join("")}</g>`;
  return { width: laid.width + 2 * PAD, height: laid.height + 2 * PAD, boxes, whole, draw: (sight) => ["groups", "edges", "boxes"].map((name) => layer(name, sight)).join("") };
}

export const keyOf = (child) => (child instanceof Group ? child.key : `node ${child}`);

// The edges between the children of each group: those whose ends lie in two of them.
function crossings({ tree, graph }) {
  const chains = new Map(graph.nodes.map(({ id }) => [id, [...tree.chain(id), id]])), found = new Map();
  for (const { source, target } of graph.edges) {
    const [a, b] = [chains.get(source), chains.get(target)];
    let deep = 0;
    while (a[deep] === b[deep]) deep += 1;
    const group = a[deep - 1];
    if (!found.has(group)) found.set(group, []);
    found.get(group).push([keyOf(a[deep]), keyOf(b[deep])]);
  }
  return found;
}

function lay(group, state, links) {
  const children = group.children.map((child) => {
    const inside = child instanceof Group && state.open.has(child.key) ? lay(child, state, links) : null;
    // Wide enough for its name to the left of what comes in from above.
    if (inside) return { child, key: child.key, inside, width: Math.max(inside.width + 2 * GAP.inside, Math.min(2 * (LETTER * child.name.length + 32), 200)), height: inside.height + GAP.head + GAP.inside };
    const { name, about } = state.words(child);
    return { child, key: keyOf(child), inside, width: Math.max(64, LETTER * name.length + 24, SMALL * about.length + 24), height: child instanceof Group ? CLOSED : NODE };
  });
  const { width, height, at, bends } = layered(children, links.get(group) ?? []);
  return { group, width, height, bends, children: children.map((child) => ({ ...child, ...at.get(child.key) })) };
}

function place(laid, left, top, boxes, bends) {
  for (const [ends, points] of laid.bends) bends.push([laid.group.key, ends, points.map(({ x, y }) => ({ x: x + left, y: y + top }))]);
  for (const { key, inside, x, y, width, height } of laid.children) {
    boxes.set(key, { x: left + x, y: top + y, width, height });
    if (inside) place(inside, left + x + (width - inside.width) / 2, top + y + GAP.head, boxes, bends);
  }
}

// One curve between any two boxes that are laid out.
function edges({ tree, graph, open, kept }, boxes, bends) {
  const routes = new Map(bends.map(([group, ends, points]) => [`${group}|${ends}`, points]));
  const seen = new Map();
  for (const { source, target } of graph.edges) {
    const [a, b] = [source, target].map((id) => [...tree.chain(id), id]);
    let deep = 0;
    while (a[deep] === b[deep]) deep += 1;
    const [from, to] = [a, b].map((chain) => keyOf(chain.find((part, at) => !(part instanceof Group) || (at > 0 && !open.has(part.key)))));
    if (from === to || !boxes.has(from) || !boxes.has(to)) continue;
    const name = `${from} ${to}`, alive = kept.has(source) && kept.has(target);
    if (seen.has(name)) { seen.get(name).alive ||= alive; continue; }
    seen.set(name, { from, to, alive, points: routes.get(`${a[deep - 1].key}|${keyOf(a[deep])} ${keyOf(b[deep])}`) ?? [] });
  }
  return [...seen.values()].map(({ from, to, alive, points }) => {
    const [upper, lower] = [boxes.get(from), boxes.get(to)], across = [upper.x, upper.x + upper.width, lower.x, lower.x + lower.width, ...points.map(({ x }) => x)];
    const down = [upper.y, lower.y, ...points.map(({ y }) => y)];
    return {
      left: Math.min(...across) - BOW, right: Math.max(...across) + BOW, top: Math.min(...down), bottom: Math.max(...down) + upper.height,
      svg: () => `<path d="${curve(upper, points, lower)}" ${alive ? "" : "data-gone"} data-from="${attribute(from)}" data-to="${attribute(to)}"/>`,
    };
  });
}

function curve(from, points, to) {
  const start = { x: from.x + from.width / 2, y: from.y + from.height }, end = { x: to.x + to.width / 2, y: to.y - 4 };
  if (!points.length && end.y - start.y > 160 && Math.abs(end.x - start.x) < 40) { // straight down through other boxes: a bow beside them
    const out = start.x + Math.min(220, 60 + (end.y - start.y) * 0.08);
    return `M${start.x} ${start.y}C${out} ${start.y + 30} ${out} ${end.y - 30} ${end.x} ${end.y}`;
  }
  let path = `M${start.x} ${start.y}`, at = start;
  for (const point of [...points, end]) {
    const bend = (point.y - at.y) / 2;
    path += `C${at.x} ${at.y + bend} ${point.x} ${point.y - bend} ${point.x} ${point.y}`;
    at = point;
  }
  return path;
}

function pieces(laid, state, boxes, parts) {
  for (const { child, key, inside } of laid.children) {
    const { x, y, width, height } = boxes.get(key), reach = { left: x - 4, top: y - 8, right: x + width + 8, bottom: y + height + 4 };
    if (inside) {
      parts.groups.push({ ...reach, svg: () => `<g ${look(child, key, state)} data-open><rect x="${x}" y="${y}" width="${width}" height="${height}" rx="9"/></g>` });
      parts.boxes.push({ ...reach, svg: () => headOf(child, key, state, boxes.get(key)) });
      pieces(inside, state, boxes, parts);
    } else {
      parts.boxes.push({ ...reach, svg: () => boxOf(child, key, state, boxes.get(key)) });
    }
  }
}

const look = (child, key, state) => `data-key="${attribute(key)}" ${state.words(child).gone ? "data-gone" : ""} style="--own:${state.colourOf(child)}"`;

function headOf(child, key, state, { x, y, width }) {
  const { name, title } = state.words(child);
  return `<g ${look(child, key, state)} data-head><title>${attribute(title)}</title><rect x="${x}" y="${y}" width="${width}" height="${GAP.head - 4}" rx="9"/><text x="${x + 10}" y="${y + 15}">▾ ${attribute(name)}</text></g>`;
}

function boxOf(child, key, state, { x, y, width, height }) {
  const group = child instanceof Group, middle = x + width / 2, { name, about, leaf, title } = state.words(child);
  return `<g ${look(child, key, state)} ${group ? "data-group" : "data-node"} ${leaf ? "data-leaf" : ""}><title>${attribute(title)}</title>`
    + (group ? `<rect class="thaw-behind" x="${x + 4}" y="${y - 4}" width="${width}" height="${height}" rx="8"/>` : "")
    + `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="${leaf ? height / 2 : group ? 8 : 5}"/>`
    + `<text x="${middle}" y="${y + (group ? 18 : height / 2 + 4)}" text-anchor="middle">${attribute(name)}</text>`
    + (group ? `<text class="thaw-small" x="${middle}" y="${y + 34}" text-anchor="middle">${attribute(about)}</text>` : "") + "</g>";
}

const attribute = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
