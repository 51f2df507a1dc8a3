() => {
  const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (text) => {
    if (!known.has(text)) {
      brush.clearRect(0, 0, 1, 1); brush.fillStyle = "#000"; brush.fillStyle = text; brush.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data; known.set(text, [r, g, b, a / 255]);
    }
    return known.get(text);
  };
  const over = (top, under) => [0, 1, 2].map((at) => top[at] * top[3] + under[at] * (1 - top[3]));
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const found = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  for (let node; (node = walker.nextNode());) {
    const text = node.textContent.trim(), own = node.parentElement;
    if (!text || !own.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (own.closest("script, style, :disabled, [aria-disabled=true], [disabled], canvas, noscript")) continue;
    const range = document.createRange(); range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    const clip = getComputedStyle(own); if (clip.clipPath !== "none") continue;
    const svg = own.closest("svg");
    const paint = svg && own instanceof SVGElement ? clip.fill : clip.color;
    let alpha = 1; const layers = []; let skip = false;
    for (let at = own; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none" && !layers.length) { skip = style.backgroundImage.includes("gradient") && at.matches(".thaw-graph-frame") ? false : true; }
      const ground = rgba(style.backgroundColor);
      if (ground[3] > 0) layers.push([...ground.slice(0, 3), ground[3]]);
      if (ground[3] === 1) break;
      alpha *= Number(style.opacity);
    }
    if (skip || own.closest("[data-testid=stSliderThumbValue]")) continue; // it stands above the thumb that it is part of
    let ground = [255, 255, 255];
    if (!layers.length || layers.at(-1)[3] < 1) { const app = document.querySelector("[data-testid=stApp]"); ground = rgba(getComputedStyle(app).backgroundColor).slice(0, 3); }
    for (const layer of layers.reverse()) ground = over(layer, ground);
    const colour = rgba(paint);
    const seen = over([...colour.slice(0, 3), colour[3] * alpha], ground);
    const [low, high] = [light(seen), light(ground)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    texts += 1;
    if (ratio < 4.495) {
      const name = `${own.tagName.toLowerCase()}.${own.getAttribute("class") ?? ""}`.slice(0, 50) + ` in ${own.closest("[data-testid]")?.dataset.testid}`;
      const key = `${ratio.toFixed(2)} ${name} ${seen.map(Math.round)} on ${ground.map(Math.round)}`;
      if (!found.has(key)) found.set(key, text.slice(0, 40));
    }
  }
  return { texts, wrong: [...found].map(([key, text]) => `${key}: ${text}`) };
}
