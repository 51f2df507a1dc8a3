// Numbers, shapes and text of a walkthrough as a person reads them, and small pieces of HTML. null is a number that JSON cannot hold.

export const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
export const count = (number) => number.toLocaleString("en");
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function num(value, digits = 4) {
  if (value === null || value === undefined) return "not finite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e5) return String(Number(value.toPrecision(digits)));
  return value.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("e+", "e");
}

export function bytes(number) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (number >= size) return `${Number((number / size).toPrecision(3))} ${unit}`;
  return `${number} B`;
}

export const shape = (sizes) => (sizes.length ? sizes.join(" × ") : "a single number");
export const elements = (sizes) => sizes.reduce((product, size) => product * size, 1);

// The square brackets of a place in a tensor: [3, 0, 1].
export const place = (index) => (index.length ? `[${index.join(", ")}]` : "");

export const code = (text) => `<code>${escaped(text)}</code>`;
export const fact = (name, value, title = "") => `<div${title ? ` title="${escaped(title)}"` : ""}><dt>${escaped(name)}</dt><dd>${value}</dd></div>`;

// Figures of a tensor as a list of facts; what is not finite is said, never drawn as a number.
export function facts(figures) {
  const broken = figures.finite === false ? `<div class="thaw-bad"><dt>values</dt><dd>some are not finite</dd></div>` : "";
  return `<dl class="thaw-figures">${fact("norm", num(figures.norm), "The square root of the sum of squares")}${fact("mean", num(figures.mean))}`
    + `${fact("smallest", num(figures.minimum))}${fact("largest", num(figures.maximum))}${broken}</dl>`;
}

export const dtypeBytes = (dtype) => ({ float64: 8, int64: 8, float32: 4, int32: 4, float16: 2, bfloat16: 2 }[dtype.replace("torch.", "")] ?? 4);
export const sizeOf = (figures) => elements(figures.shape) * dtypeBytes(figures.dtype);
