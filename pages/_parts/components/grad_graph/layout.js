// Where boxes go: layers from the loss downwards, boxes of a layer beside each other, few crossings (Sugiyama, Tagawa and Toda 1981).
// An open group is a box whose inside is laid out the same way. Positions are in pixels; (x, y) is a box's upper left corner.

export const GAP = { across: 18, lanes: 6, down: 26, inside: 12, head: 26 };
const BENDS = 4; // bends of long edges, for each box, at most: where everything hangs on everything, lanes would take more room than boxes
const SWEEPS = 4, SETTLINGS = 8;

// boxes: [{ key, width, height }]; edges: [[key, key]] from upper to lower. Returns { width, height, at: key to {x, y}, bends: "a b" to [{x, y}] }.
export function layered(boxes, edges) {
  const index = new Map(boxes.map(({ key }, place) => [key, place]));
  const unique = new Map(edges.map(([from, to]) => [`${from} ${to}`, [index.get(from), index.get(to)]]));
  const links = withoutCycles(boxes.length, [...unique.values()].filter(([from, to]) => from !== to));
  const layer = longestPaths(boxes.length, links);
  const items = boxes.map((box, place) => ({ ...box, layer: layer[place], up: [], down: [] }));
  const bends = new Map();
  const long = links.reduce((sum, [from, to]) => sum + layer[to] - layer[from] - 1, 0) <= BENDS * boxes.length;
  for (const [from, to] of links) {
    const own = long ? Array.from({ length: layer[to] - layer[from] - 1 }, (_, step) => ({ key: null, width: 8, height: 0, layer: layer[from] + step + 1, up: [], down: [] })) : [];
    items.push(...own);
    const path = [items[from], ...own, items[to]];
    if (own.length || layer[to] - layer[from] === 1) path.slice(1).forEach((item, step) => { item.up.push(path[step]); path[step].down.push(item); });
    if (own.length) bends.set(`${boxes[from].key} ${boxes[to].key}`, own);
  }
  const rows = [];
  for (const item of items) (rows[item.layer] ??= []).push(item);
  order(rows);
  settle(rows);
  const left = Math.min(0, ...items.map((item) => item.x));
  let y = 0;
  for (const row of rows) {
    const tall = Math.max(...row.map(({ height }) => height));
    for (const item of row) { item.x -= left; item.y = y + (item.key === null ? tall / 2 : (tall - item.height) / 2); }
    y += tall + GAP.down;
  }
  const width = Math.max(0, ...items.map((item) => item.x + item.width));
  return {
    width, height: Math.max(0, y - GAP.down), at: new Map(items.filter(({ key }) => key !== null).map(({ key, x, y: top }) => [key, { x, y: top }])),
    bends: new Map([...bends].map(([name, own]) => [name, own.map(({ x, y: top, width: wide }) => ({ x: x + wide / 2, y: top }))])),
  };
}

// Edges that would close a circle are turned round.
function withoutCycles(size, links) {
  const next = Array.from({ length: size }, () => []), state = new Uint8Array(size), kept = [];
  links.forEach(([from, to]) => next[from].push(to));
  const visit = (start) => {
    const stack = [[start, 0]];
    state[start] = 1;
    while (stack.length) {
      const top = stack.at(-1), [node, at] = top;
      if (at >= next[node].length) { state[node] = 2; stack.pop(); continue; }
      top[1] += 1;
      const to = next[node][at];
      if (state[to] === 1) kept.push([to, node]); else kept.push([node, to]);
      if (!state[to]) { state[to] = 1; stack.push([to, 0]); }
    }
  };
  for (let node = 0; node < size; node++) if (!state[node]) visit(node);
  return kept;
}

function longestPaths(size, links) {
  const layer = new Array(size).fill(0), waiting = new Array(size).fill(0), next = Array.from({ length: size }, () => []);
  for (const [from, to] of links) { next[from].push(to); waiting[to] += 1; }
  const ready = waiting.flatMap((count, node) => (count ? [] : [node]));
  while (ready.length) {
    const node = ready.pop();
    for (const to of next[node]) {
      layer[to] = Math.max(layer[to], layer[node] + 1);
      if (!--waiting[to]) ready.push(to);
    }
  }
  return layer;
}

function order(rows) {
  const place = () => { for (const row of rows) row.forEach((item, at) => { item.place = at; }); };
  place();
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const down = sweep % 2 === 0, side = down ? "up" : "down";
    for (const row of down ? rows : [...rows].reverse()) {
      for (const item of row) item.wish = item[side].length ? item[side].reduce((sum, other) => sum + other.place, 0) / item[side].length : item.place;
      row.sort((a, b) => a.wish - b.wish);
      row.forEach((item, at) => { item.place = at; });
    }
  }
}

// Each box above and below its neighbours as far as the boxes beside it allow: the mean of pushing right and pushing left.
function settle(rows) {
  const apart = (one, other) => (one.key === null && other.key === null ? GAP.lanes : GAP.across);
  for (const row of rows) { let x = 0; for (const item of row) { item.x = x; x += item.width + GAP.across; } }
  const middle = (item) => item.x + item.width / 2;
  for (let turn = 0; turn < SETTLINGS; turn++) {
    const down = turn % 2 === 0, side = down ? "up" : "down";
    for (const row of down ? rows : [...rows].reverse()) {
      for (const item of row) {
        const near = item[side].length ? item[side] : item[side === "up" ? "down" : "up"];
        item.wish = near.length ? near.reduce((sum, other) => sum + middle(other), 0) / near.length - item.width / 2 : item.x;
      }
      const right = [], left = [];
      row.forEach((item, at) => { right[at] = at ? Math.max(item.wish, right[at - 1] + row[at - 1].width + apart(row[at - 1], item)) : item.wish; });
      for (let at = row.length - 1; at >= 0; at--) left[at] = at < row.length - 1 ? Math.min(row[at].wish, left[at + 1] - row[at].width - apart(row[at], row[at + 1])) : row[at].wish;
      row.forEach((item, at) => { item.x = (right[at] + left[at]) / 2; });
    }
  }
}
