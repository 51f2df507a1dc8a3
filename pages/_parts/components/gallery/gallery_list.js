// The pictures of a version as columns, and which of them a filter leaves. 60,000 rows are gone through in a few milliseconds.

export const SPLITS = ["train", "validation", "test", ""];
export const SIZES = [ // by the shorter side, px
  ["", "Any size", 0, Infinity],
  ["tiny", "below 64 px", 0, 64],
  ["small", "64 to 223 px", 64, 224],
  ["medium", "224 to 511 px", 224, 512],
  ["large", "512 px and more", 512, Infinity],
];
export const ORDERS = [["", "As it is stored"], ["name", "By name"], ["class", "By class"], ["small", "Smallest first"], ["large", "Largest first"]];

export class PictureList {
  constructor({ sha, endings, ending, names, labels, splits, widths, heights, groups }) {
    Object.assign(this, { sha, endings, ending, names, labels, splits, widths, heights, groups });
    this.length = names.length;
    this.lower = null; // names in small letters, made when somebody looks for one
  }

  address(place) {
    return `${this.sha.slice(64 * place, 64 * place + 64)}${this.endings[this.ending[place]]}`;
  }

  /** Places that a filter leaves, in its order. `only`: a Set of places, or null. */
  filtered({ label = "", split = "any", size = "", text = "", order = "" }, classes, only) {
    const wanted = label === "" ? -1 : classes.indexOf(label);
    const at = SPLITS.indexOf(split);
    const [, , low, high] = SIZES.find(([name]) => name === size) ?? SIZES[0];
    const needle = text.trim().toLowerCase();
    if (needle && !this.lower) this.lower = this.names.map((name) => name.toLowerCase());
    const found = [];
    for (let place = 0; place < this.length; place += 1) {
      if (wanted >= 0 && this.labels[place] !== wanted) continue;
      if (at >= 0 && this.splits[place] !== at) continue;
      const side = Math.min(this.widths[place], this.heights[place]);
      if (side < low || side >= high) continue;
      if (needle && !this.lower[place].includes(needle)) continue;
      if (only && !only.has(place)) continue;
      found.push(place);
    }
    return this.ordered(found, order);
  }

  ordered(places, order) {
    const area = (place) => this.widths[place] * this.heights[place];
    const people = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
    const by = {
      name: (a, b) => people.compare(this.names[a], this.names[b]),
      class: (a, b) => this.labels[a] - this.labels[b] || a - b,
      small: (a, b) => area(a) - area(b) || a - b,
      large: (a, b) => area(b) - area(a) || a - b,
    }[order];
    return by ? places.sort(by) : places;
  }

  counts(classes) {
    const found = new Array(classes.length).fill(0);
    for (const label of this.labels) found[label] += 1;
    return found;
  }
}
