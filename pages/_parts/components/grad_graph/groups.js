// A graph's nodes as a tree of modules. A group is what was recorded in one module; what has no modules inside and falls into several
// pieces (a ReLU that is called twice) becomes one group a piece, so that groups follow each other as their nodes do.

export class Group {
  constructor(key, path, parent) { Object.assign(this, { key, path, parent, children: [], nodes: [] }); }
  get name() { return this.parent?.path ? this.path.slice(this.parent.path.length + 1) : this.path; }
}

// { root, groups: key to Group, chain(id): the groups around a node from the root down }
export function treeOf({ nodes, edges }) {
  const modules = new Map(); // path to ids recorded in that very module
  const pathOf = (node) => node.module || node.parameter.split(".").slice(0, -1).join(".");
  for (const node of nodes) {
    const path = pathOf(node);
    if (!modules.has(path)) modules.set(path, []);
    modules.get(path).push(node.id);
  }
  const inner = new Set([...modules.keys()].flatMap((path) => above(path)));
  const root = new Group("", "", null), groups = new Map([["", root]]), parents = new Map();
  const groupOf = (path) => {
    if (groups.has(path)) return groups.get(path);
    const group = new Group(path, path, groupOf(above(path)[0] ?? ""));
    groups.set(path, group);
    group.parent.children.push(group);
    return group;
  };
  const put = (group, ids) => { for (const id of ids) { group.children.push(id); parents.set(id, group); } };
  for (const [path, ids] of modules) {
    if (path === "" || inner.has(path)) { put(groupOf(path), ids); continue; }
    const parent = groupOf(above(path)[0] ?? ""), pieces = piecesOf(ids, edges);
    pieces.forEach((piece, number) => {
      if (piece.length === 1) { put(parent, piece); return; } // a box around one node says nothing
      const group = new Group(number ? `${path}#${number + 1}` : path, path, parent);
      groups.set(group.key, group);
      parent.children.push(group);
      put(group, piece);
    });
  }
  const gather = (group) => {
    group.children.sort((a, b) => first(a) - first(b));
    group.nodes = group.children.flatMap((child) => (child instanceof Group ? child.nodes : [child]));
    return group.nodes;
  };
  const first = (child) => (child instanceof Group ? Math.min(...child.nodes) : child);
  for (const group of [...groups.values()].sort((a, b) => depth(b) - depth(a))) gather(group);
  return { root, groups, chain: (id) => { const found = []; for (let at = parents.get(id); at; at = at.parent) found.unshift(at); return found; } };
}

const depth = (group) => { let deep = 0; for (let at = group.parent; at; at = at.parent) deep += 1; return deep; };

function piecesOf(ids, edges) {
  const leader = new Map(ids.map((id) => [id, id]));
  const find = (id) => { let at = id; while (leader.get(at) !== at) at = leader.get(at); return at; };
  for (const { source, target } of edges) if (leader.has(source) && leader.has(target)) leader.set(find(source), find(target));
  const pieces = new Map();
  for (const id of ids) { const own = find(id); if (!pieces.has(own)) pieces.set(own, []); pieces.get(own).push(id); }
  return [...pieces.values()];
}

// The modules around a path, the nearest first.
export function above(path = "") {
  const parts = path.split(".");
  return parts.slice(1).map((_, index) => parts.slice(0, parts.length - 1 - index).join("."));
}
