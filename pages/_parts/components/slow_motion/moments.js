// The moments of a walkthrough: two steps of five stages, forward and backward with a moment for each layer and each gradient.
// A moment has an address, "2-backward-17", which the page's URL keeps, so that a refresh or a link leads back to it.

export const STAGES = ["zero_grad", "forward", "loss", "backward", "step"];

// [{ step, stage, at }]: `step` counts from 0; `at` is the layer or the gradient, -1 before the first of them.
export function momentsOf(walk) {
  const moments = [];
  walk.steps.forEach((story, step) => {
    for (const stage of STAGES) {
      moments.push({ step, stage, at: -1 });
      const inside = { forward: story.calls, backward: story.arrivals }[stage] ?? [];
      inside.forEach((_, at) => moments.push({ step, stage, at }));
    }
  });
  moments.forEach((moment, place) => { moment.place = place; });
  return moments;
}

export const addressOf = ({ step, stage, at }) => `${step + 1}-${stage}${at >= 0 ? `-${at + 1}` : ""}`;

// The place of an address among the moments; the nearest one where it is past the end of a stage; 0 for what is none.
export function placeOf(moments, address) {
  const [step, stage, at = "0"] = String(address ?? "").split("-");
  const inStage = moments.filter((moment) => moment.step === Number(step) - 1 && moment.stage === stage);
  if (!inStage.length || !/^\d+$/.test(at)) return 0;
  return (inStage.find((moment) => moment.at === Number(at) - 1) ?? inStage.at(-1)).place;
}

// What every parameter's `.grad` is at a moment: parameter to figures, or null for None.
export function gradsAt(walk, { step, stage, at }) {
  const story = walk.steps[step];
  const grads = new Map(story.grads_at_start.map(({ parameter, figures }) => [parameter, story.cleared ? null : figures]));
  const after = STAGES.indexOf(stage) - STAGES.indexOf("backward");
  if (after < 0) return grads;
  const come = after > 0 ? story.arrivals : story.arrivals.slice(0, at + 1);
  for (const { parameter, after: figures } of come) grads.set(parameter, figures);
  return grads;
}

// The line of the training loop that each stage runs, as the code of this walkthrough has it.
export function linesOf(walk) {
  const lines = walk.code.split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
  const find = (pattern, otherwise) => (lines.find((line) => pattern.test(line) && !/^(def|class|import|from) /.test(line)) ?? otherwise).replace(/\s+#.*$/, "");
  return {
    zero_grad: find(/\.zero_grad\(/, "optimizer.zero_grad()"),
    forward: find(/=\s*model\(/, "prediction = model(images)"),
    loss: find(/^loss\s*=/, "loss = criterion(prediction, labels)"),
    backward: find(/\.backward\(/, "loss.backward()"),
    step: find(/^optim\w*\.step\(/, "optimizer.step()"),
  };
}
