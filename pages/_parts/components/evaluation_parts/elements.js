// What the parts of the Evaluate screen share: elements in one call, what Python sent, and numbers as a person reads them.

export const make = (tag, fields = {}, ...children) => {
  const { data = {}, aria = {}, role, style = {}, ...rest } = fields;
  const element = Object.assign(document.createElement(tag), rest);
  if (role) element.setAttribute("role", role);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, value);
  Object.assign(element.dataset, data);
  element.append(...children.filter((child) => child !== null));
  return element;
};

export const drawn = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

export const read = (data) => JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data));

// True if `shown` is not what stands there already: what a person holds the pointer or the focus on must stay.
export const isNew = (root, shown) => {
  const text = JSON.stringify(shown);
  if (root.thawShown === text) return false;
  root.thawShown = text;
  return true;
};

// A long name with its middle left out: long names often differ in their ends alone.
export const short = (name, most) => {
  const letters = [...name];
  if (letters.length <= most) return name;
  const end = Math.ceil((most - 1) * 0.45);
  return `${letters.slice(0, most - 1 - end).join("").trimEnd()}…${letters.slice(-end).join("").trimStart()}`;
};

export const count = (number) => number.toLocaleString("en");
export const percent = (share) => (share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);
export const colours = (root) => getComputedStyle(root).getPropertyValue("--st-chart-categorical-colors").split(",").map((colour) => colour.trim());
