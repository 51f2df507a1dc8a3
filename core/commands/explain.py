"""`python -m core explain`: one training step in slow motion, in words."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pydantic import TypeAdapter

from core.commands import Parsers, settings
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.telling import size
from core.records.walkthrough import Example, Figures, Flow, NodeStory, StepStory, Walkthrough

NAMES: Sequence[str] = ("explain",)

MOVED_SHOWN = 2
"""Parameters whose update is printed with its numbers."""


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """The parser of `explain`."""
    parser = commands.add_parser("explain", parents=[shared, as_json, settings.flags()])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--classic", action="store_true", help="resnet18, one random picture, loss = (prediction - labels).sum()")
    which.add_argument("--fine-tuning", action="store_true", help="resnet18 frozen whole, then a new model.fc: only that learns")
    parser.add_argument("--no-zero-grad", action="store_true", help="leave out optimizer.zero_grad(): gradients add up from step to step")
    parser.add_argument("--samples", metavar="N", help="pictures in a step of your own model (default: 4)")
    parser.add_argument(
        "--node", metavar="NUMBER", help="print one node of the graph closely: formula, gradients, and the chain rule tried out there"
    )


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Print the step, or one node of its graph. Raises ConfigError for what cannot be used."""
    example = _example(home, arguments)
    number = settings.whole_number("node", arguments.node, 0, 10**9, 4) if arguments.node is not None else None
    # Not at the top: hearing of a misspelt name must not take the two seconds that torch needs.
    from core import catalog
    from core.explaining import explain

    if example.config is not None:
        catalog.check(example.config)
    if number is not None:
        story = explain.node_story(example, number, home)
        print(TypeAdapter(NodeStory).dump_json(story).decode() if arguments.json else "\n".join(_node_lines(story)))
        return 0
    walk = explain.walkthrough(example, home)
    print(TypeAdapter(Walkthrough).dump_json(walk).decode() if arguments.json else "\n".join(_lines(walk)))
    return 0


def _example(home: Home, arguments: argparse.Namespace) -> Example:
    zero_grad = not arguments.no_zero_grad
    given = [name for name in RunConfig.model_fields if getattr(arguments, name) is not None]
    given += [name for name in ("config", "samples") if getattr(arguments, name) is not None]
    given += [name for name in ("unfreeze_at", "lr_multiplier") if getattr(arguments, name)]
    if arguments.classic or arguments.fine_tuning or not given:
        kind = "fine-tuning" if arguments.fine_tuning else "classic"
        if given:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ConfigError(kind, f"is always the same example and takes no settings; leave out {flags}, or leave out --{kind}")
        return Example(kind, zero_grad=zero_grad)  # type: ignore[arg-type]  # one of the two
    samples = settings.whole_number("samples", arguments.samples, 1, 64, 4) if arguments.samples is not None else Example("own").samples
    return Example("own", settings.config(arguments, home), zero_grad, samples)


# In words


def _lines(walk: Walkthrough) -> list[str]:
    learning = [parameter for parameter in walk.parameters if parameter.learns]
    lines = [
        walk.title,
        walk.about,
        "",
        f"{walk.model} on {walk.device}; {walk.optimizer}",
        f"{len(learning)} of {len(walk.parameters)} parameter tensors learn ({sum(look.count for look in learning):,} values)",
    ]
    for step in walk.steps:
        lines += ["", f"Step {step.number}", *_step_lines(step)]
    lines += ["", "The graph that the forward pass leaves behind, by freeze plan"]
    for plan in walk.graph.plans:
        lines.append(f"  {'*' if plan.chosen else ' '} {plan.name}: {plan.why}")
    kept = sum(node.saved_bytes for node in walk.graph.nodes)
    lines.append(f"    * this example's plan. With everything learning its nodes keep {size(kept)} for the backward pass.")
    if walk.labels_tried is not None:
        lines += ["", walk.labels_tried.found]
    lines += [f"\n{note}" for note in walk.notes]
    return lines


def _step_lines(step: StepStory) -> list[str]:
    filled = sum(grad.figures is not None for grad in step.grads_at_start)
    before = f"{filled} of {len(step.grads_at_start)} parameters have a .grad from before" if filled else "every .grad is None"
    lines = [
        f"  zero_grad   {before}" + ("; cleared: every .grad is None" if step.cleared and filled else "" if step.cleared else "; nothing is cleared")
    ]
    lines.append(f"  forward     {len(step.calls)} layers")
    lines += [
        f"    {call.number:>4}  {call.module:32} {call.kind:20} {_shape(call.output):>18}  {call.state:7} {_figures(call.figures)}"
        for call in step.calls
    ]
    lines.append("  loss")
    lines += [f"    {line}" for line in step.loss_lines]
    lines.append(f"  backward    {len(step.arrivals)} gradients arrive, in this order")
    for arrival in step.arrivals:
        came = "" if arrival.before is None else f", added to {_figures(arrival.before)}: {_figures(arrival.after)}"
        lines.append(f"    {arrival.order + 1:>4}  {arrival.parameter:40} {_figures(arrival.contribution)}{came}")
    moved = [update for update in step.updates if not update.still]
    lines.append(f"  step        {len(moved)} of {len(step.updates)} parameters move")
    for update in moved[-MOVED_SHOWN:]:
        place = ", ".join(str(number) for number in update.index)
        lines.append(f"    {update.parameter}[{place}], where the gradient is largest: {update.gradient:.7g}")
        lines += [f"      {formula:32} {filled}" for formula, filled in zip(update.formula, update.filled, strict=True)]
        lines.append(f"      so it moved from {update.weight_before:.7g} to {update.weight_after:.7g}")
    reasons: dict[str, list[str]] = {}
    for update in step.updates:
        if update.still:
            reasons.setdefault(update.still, []).append(update.parameter)
    for reason, names in reasons.items():
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        lines.append(f"    still: {shown}. {reason}")
    return lines


def _node_lines(story: NodeStory) -> list[str]:
    lines = [f"node {story.id}, {story.kind}: {story.title}", story.about, ""]
    lines += [f"  {line}" for line in (*story.formula, *story.derivative)]
    if story.removed:
        return [*lines, "", story.removed]
    for name, flows in (("comes in", story.incoming), ("goes on", story.outgoing)):
        lines += ["", f"The gradient that {name}" + ("" if flows else ": none, the path ends here")]
        lines += [f"  {_flow(flow)}" for flow in flows]
    lines += ["", "The chain rule tried out here, in float64"]
    for check in story.checks:
        if check.agrees is None or check.measured is None:
            lines.append(f"  {check.place}: not tried. {check.note}")
            continue
        verdict = "agrees" if check.agrees else "does not agree"
        lines.append(f"  {check.place}: the loss's slope is {check.measured:.9g}, the gradient says {check.predicted:.9g}: {verdict}")
        lines += [f"    {check.note}"] if check.note else []
    return lines


def _flow(flow: Flow) -> str:
    where = "" if flow.node is None else f" (node {flow.node})"
    return f"{flow.of}{where}: {'not needed' if flow.figures is None else _figures(flow.figures)}"


def _figures(figures: Figures) -> str:
    if not figures.finite:
        return "norm not finite"
    return f"norm {figures.norm:.4g}"


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"
