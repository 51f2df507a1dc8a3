"""The script's training loop, its evaluation, and what changes in the middle of it."""

from __future__ import annotations

from collections.abc import Sequence

from core.catalog import find_model
from core.code import ranks
from core.code.faults import zero_grad
from core.code.freezing import change_lines
from core.code.learning import Plan, divides_by_weights
from core.code.phases import Phase
from core.config import RunConfig
from core.config.devices import shared

_BETTER = """    epochs_since += 1
    if validation_loss < lowest:
        lowest, epochs_since, best = validation_loss, 0, copy.deepcopy(model.state_dict())
    if epochs_since >= {patience}:
        break"""

_END = """
test_loss, test_accuracy = evaluate(test_set)
print(f"test loss {{test_loss:.4f}}, accuracy {{test_accuracy:.1%}}")
torch.save(model.state_dict(), {weights})"""

_SHARED_END = """
test_loss, test_accuracy = evaluate(test_set)
if rank == 0:
    print(f"test loss {{test_loss:.4f}}, accuracy {{test_accuracy:.1%}}")
    torch.save(model.state_dict(), {weights})
dist.destroy_process_group()"""


def loop_lines(plan: Plan, rests: bool, stopped_after: int | None = None, as_file: bool = False) -> str:
    """From `evaluate` to the saved weights.

    Args:
        rests: something is frozen at some time, so that there is a `train_mode`.
        stopped_after: the step after which the run was stopped by hand.
        as_file: the script is a file that leaves its weights beside itself, not in the current folder.
    """
    config = plan.config
    lines = ["# Training"]
    if config.precision == "float16":
        lines.append("scaler = torch.amp.GradScaler(device.type)  # small gradients are 0 in float16: the loss is scaled up")
    lines += ["", "", *_evaluate(config), "", ""]
    if config.early_stopping:
        lines.append('lowest, epochs_since, best = float("inf"), 0, None')
    by_step = [phase for phase in plan.phases if phase.unit == "step"]
    several = shared(config)
    counted = bool(by_step) or stopped_after is not None or several
    if counted:
        lines.append("step = 0")
    lines += [
        f"for epoch in range(1, {config.epochs + 1}):",
        *_changes("epoch", [phase for phase in plan.phases if phase.unit == "epoch"], plan, "    "),
        f"    {'train_mode()' if rests else 'model.train()'}",
        f"    for {'places, (images, labels) in zip(order(epoch), batches(epoch))' if several else 'images, labels in batches(epoch)'}:",
        *(["        step += 1"] if counted else []),
        *_changes("step", by_step, plan, "        ", rests),
        *(_shared_gradients(plan) if several else _gradients(config)),
        *_update(plan),
        *_stop(stopped_after),
        *_after_epoch(config),
        *([_BETTER.format(patience=config.early_stopping)] if config.early_stopping else []),
        *_brought_back(config, stopped_after),
        (_SHARED_END if several else _END).format(weights='Path(__file__).resolve().with_name("weights.pth")' if as_file else '"weights.pth"'),
    ]
    return "\n".join(lines)


def _evaluate(config: RunConfig) -> list[str]:
    """The function that measures; sums are made of the numbers that the run makes them of, so that they are equal to the last bit."""
    weighted, several = divides_by_weights(config), shared(config)
    loaded = "batch_sampler=mine" if several else f"batch_size={config.batch_size}"
    inside, wide = ("    ", ".float()") if config.precision != "float32" else ("", "")
    return [
        "@torch.inference_mode()",
        "def evaluate(dataset):",
        '    """Mean loss and the share of right answers."""',
        "    model.eval()",
        "    loss, right, counted = 0.0, 0, 0.0",
        *(_measured(config) if several else ()),
        f"    for images, labels in DataLoader(dataset, {loaded}, generator=torch.Generator()):",
        "        labels = labels.to(device)",
        f"        counts = {'class_weights[labels].sum()' if weighted else 'len(labels)'}"
        + ("  # what the mean of the batch was divided by" if weighted else ""),
        *([_autocast(config, "        ")] if inside else []),
        f"        {inside}logits = model(normalise(images)){wide}",
        f"        {inside}loss += (loss_of(logits, labels) * counts).item()",
        "        right += (logits.argmax(dim=1) == labels).sum().item()",
        f"        counted += {'counts.item()' if weighted else 'counts'}",
        *(_SUMMED if several else ()),
        "    return loss / max(counted, 1e-12), right / max(len(dataset), 1)",
    ]


def _measured(config: RunConfig) -> list[str]:
    """How ranks share what is measured."""
    piece = "own" if config.accumulate == 1 else "piece_of"
    return [
        f"    whole = [range(len(dataset))[start : start + {config.batch_size}] for start in range(0, len(dataset), {config.batch_size})]",
        f"    mine = [{piece}(places) for places in whole if len(places) >= ranks or rank == 0]  # what nobody shares counts once",
    ]


_SUMMED = (
    "    sums = torch.tensor([loss, right, counted], dtype=torch.float64)",
    "    dist.all_reduce(sums)",
    "    loss, right, counted = sums.tolist()",
)


def _shared_gradients(plan: Plan) -> list[str]:
    """As `_gradients`, of a rank's share of a step."""
    config = plan.config
    weighted = divides_by_weights(config)
    counts = "class_weights[labels].sum()" if weighted else "len(labels)"
    whole = "class_weights[train_set.labels[places].tolist()].sum()" if weighted else "len(places)"
    mixed = config.precision != "float32"
    return ranks.gradient_lines(plan, counts, whole, _loss_lines(config.model, mixed), _autocast(config, "") if mixed else "")


def _update(plan: Plan) -> list[str]:
    """The lines of a step behind its gradients."""
    config = plan.config
    half = config.precision == "float16"
    lines = []
    if config.clip_norm is not None:
        lines += ["        scaler.unscale_(optimizer)"] if half else []
        lines.append(f"        nn.utils.clip_grad_norm_(model.parameters(), max_norm={config.clip_norm!r})")
    lines += ["        scaler.step(optimizer)", "        scaler.update()"] if half else ["        optimizer.step()"]
    lines.append(f"        {zero_grad(config)}")
    if plan.clocked:
        lines += ["        clock.step()", "        schedule.step()", "        set_rates()"]
    elif config.schedule != "constant":
        lines.append("        schedule.step()")
    return lines


def _stop(after: int | None) -> list[str]:
    """The end of a run that somebody stopped: within an epoch, whose validation then did not come."""
    if after is None:
        return []
    return [f"        if step == {after}:  # here the run was stopped by hand", "            break", f"    if step == {after}:", "        break"]


def _after_epoch(config: RunConfig) -> list[str]:
    once = ["    if rank == 0:"] if shared(config) else []
    indent = "        " if once else "    "
    if config.validation_share > 0:
        return [
            "    validation_loss, validation_accuracy = evaluate(validation_set)",
            *once,
            f'{indent}print(f"epoch {{epoch}}: validation loss {{validation_loss:.4f}}, accuracy {{validation_accuracy:.1%}}")',
        ]
    last = "step" if config.accumulate == 1 else "part"
    return [*once, f'{indent}print(f"epoch {{epoch}}: loss of {"rank 0 in " if once else ""}the last {last} {{loss.item():.4f}}")']


def _brought_back(config: RunConfig, stopped_after: int | None) -> list[str]:
    """Early stopping ends with its best weights; a run that somebody stopped ends with those that it had."""
    if not config.early_stopping or stopped_after is not None:
        return []
    return ["if best is not None:", "    model.load_state_dict(best)"]


def _gradients(config: RunConfig) -> list[str]:
    """The lines that fill `.grad` from one batch: in one go, or in parts whose gradients add up."""
    indent = " " * 8
    lines = []
    share = ""
    if config.accumulate > 1:
        most = config.batch_size
        parts = f"-(-len(labels) // {most})" if most == 1 else f"max(1, min(-(-len(labels) // {most}), len(labels) // 2))"
        # A mean counts as much as what it was divided by.
        counts = "class_weights[labels].sum()" if divides_by_weights(config) else "len(labels)"
        lines += [
            f"{indent}# As few parts of at most {most} images as will do, none of a single image. Their gradients add up.",
            f"{indent}labels = labels.to(device)",
            f"{indent}whole, parts = {counts}, {parts}",
            f"{indent}for images, labels in zip(images.tensor_split(parts), labels.tensor_split(parts)):",
        ]
        indent += "    "
        share = f" * ({counts} / whole)"
    lines.append(f"{indent}images, labels = normalise(images), labels.to(device)")
    within = indent
    if config.precision != "float32":
        lines.append(_autocast(config, indent))
        within += "    "
    lines += [f"{within}output = model(images)", *(f"{within}{line}" for line in _loss_lines(config.model, within != indent))]
    scaled = f"scaler.scale(loss{share})" if config.precision == "float16" else f"(loss{share})" if share else "loss"
    return [*lines, f"{indent}{scaled}.backward()"]


def _autocast(config: RunConfig, indent: str) -> str:
    return f"{indent}with torch.autocast(device.type, dtype=torch.{config.precision}):"


def _changes(unit: str, phases: Sequence[Phase], plan: Plan, indent: str, rests: bool = False) -> list[str]:
    """An `if` for each moment at which something changes. After a change within an epoch, what is frozen must rest at once."""
    lines = []
    for at in sorted({phase.at for phase in phases}):
        found = [line for phase in phases if phase.at == at for line in change_lines(phase, plan.layers, plan.grouped)]
        if found:
            again = [f"{indent}    train_mode()"] if rests and any(line.startswith("set_trainable") for line in found) else []
            if shared(plan.config) and any(line.startswith("set_trainable") for line in found):
                found.append("shared = wrapped()")
            lines += [f"{indent}if {unit} == {at}:", *(f"{indent}    {line}" for line in found), *again]
    return lines


def _loss_lines(model: str, mixed: bool) -> list[str]:
    wide = ".float()" if mixed else ""
    if not find_model(model).family.auxiliary:
        return [f"loss = loss_of(output{wide}, labels)"]
    if model == "inception_v3":
        return [f"loss = loss_of(output.logits{wide}, labels) + 0.4 * loss_of(output.aux_logits{wide}, labels)"]
    return [
        f"loss = loss_of(output.logits{wide}, labels) + 0.3 * loss_of(output.aux_logits1{wide}, labels)",
        f"loss = loss + 0.3 * loss_of(output.aux_logits2{wide}, labels)",
    ]
