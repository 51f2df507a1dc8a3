"""The script's training loop, its evaluation, and what changes in the middle of it."""

from __future__ import annotations

from collections.abc import Sequence

from core.catalog import find_model
from core.code.faults import zero_grad
from core.code.freezing import change_lines
from core.code.learning import Plan, divides_by_weights
from core.code.model import layout
from core.code.phases import Phase
from core.config import RunConfig


def loop_lines(plan: Plan, rests: bool) -> str:
    """From `evaluate` to the saved weights. `rests` says that something is frozen at some time, so that there is a `train_mode`."""
    config = plan.config
    mixed = config.precision != "float32"
    half = config.precision == "float16"
    autocast = f"with torch.autocast(device.type, dtype=torch.{config.precision}):"
    by_epoch = [phase for phase in plan.phases if phase.unit == "epoch"]
    by_step = [phase for phase in plan.phases if phase.unit == "step"]
    lines = ["# Training"]
    if half:
        lines.append("scaler = torch.amp.GradScaler(device.type)  # float16 gradients underflow to zero: the loss is scaled up")
    weighted = divides_by_weights(config)
    # What the mean of a batch was divided by.
    counts = ["        counts = class_weights[labels].sum().item()", "        counted += counts"] if weighted else []
    lines += [
        "",
        "",
        "@torch.inference_mode()",
        "def evaluate(dataset):",
        '    """Mean loss and the share of right answers."""',
        "    model.eval()",
        "    loss, right, counted = 0.0, 0, 0.0" if weighted else "    loss, right = 0.0, 0",
        f"    for images, labels in DataLoader(dataset, batch_size={config.batch_size}):",
        f"        {_to_device(config)}",
        *([f"        {autocast}", "            logits = model(images)"] if mixed else ["        logits = model(images)"]),
        *counts,
        f"        loss += loss_of(logits{'.float()' if mixed else ''}, labels).item() * {'counts' if weighted else 'len(labels)'}",
        "        right += (logits.argmax(dim=1) == labels).sum().item()",
        f"    return loss / {'counted' if weighted else 'len(dataset)'}, right / len(dataset)",
        "",
        "",
    ]
    if config.early_stopping:
        lines.append('lowest, epochs_since, best = float("inf"), 0, copy.deepcopy(model.state_dict())')
    if by_step:
        lines.append("step = 0")
    lines += [f"for epoch in range(1, {config.epochs + 1}):", *_changes("epoch", by_epoch, plan, "    ")]
    if config.fixed_views is not None:
        lines.append(f"    train_set.view = (epoch - 1) % {config.fixed_views}")
    lines += [f"    {'train_mode()' if rests else 'model.train()'}", "    for images, labels in train:"]
    if by_step:
        lines += ["        step += 1", *_changes("step", by_step, plan, "        ", rests)]
    lines += _gradients(config, autocast if mixed else "")
    if config.clip_norm is not None:
        unscaled = ["        scaler.unscale_(optimizer)"] if half else []
        lines += [*unscaled, f"        nn.utils.clip_grad_norm_(model.parameters(), max_norm={config.clip_norm!r})"]
    lines += ["        scaler.step(optimizer)", "        scaler.update()"] if half else ["        optimizer.step()"]
    lines.append(f"        {zero_grad(config)}")
    if plan.clocked:
        lines += ["        clock.step()", "        schedule.step()", "        set_rates()"]
    elif config.schedule != "constant":
        lines.append("        schedule.step()")
    if config.validation_share > 0:
        lines += [
            "    validation_loss, validation_accuracy = evaluate(validation_set)",
            '    print(f"epoch {epoch}: validation loss {validation_loss:.4f}, accuracy {validation_accuracy:.1%}")',
        ]
    else:
        last = "step" if config.accumulate == 1 else "part"
        lines.append(f'    print(f"epoch {{epoch}}: loss of the last {last} {{loss.item():.4f}}")')
    if config.early_stopping:
        lines += [
            "    epochs_since += 1",
            "    if validation_loss < lowest:",
            "        lowest, epochs_since, best = validation_loss, 0, copy.deepcopy(model.state_dict())",
            f"    if epochs_since >= {config.early_stopping}:",
            "        break",
            "model.load_state_dict(best)",
        ]
    lines += [
        "",
        "test_loss, test_accuracy = evaluate(test_set)",
        'print(f"test loss {test_loss:.4f}, accuracy {test_accuracy:.1%}")',
        'torch.save(model.state_dict(), "weights.pth")',
    ]
    return "\n".join(lines)


def _gradients(config: RunConfig, autocast: str) -> list[str]:
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
            f"{indent}whole, parts = {counts}, {parts}",
            f"{indent}for images, labels in zip(images.tensor_split(parts), labels.tensor_split(parts)):",
        ]
        indent += "    "
        share = f" * ({counts} / whole)"
    lines.append(f"{indent}{_to_device(config)}")
    within = indent
    if autocast:
        lines.append(f"{indent}{autocast}")
        within += "    "
    lines += [f"{within}output = model(images)", *(f"{within}{line}" for line in _loss_lines(config.model, bool(autocast)))]
    scaled = f"scaler.scale(loss{share})" if config.precision == "float16" else f"(loss{share})" if share else "loss"
    return [*lines, f"{indent}{scaled}.backward()"]


def _to_device(config: RunConfig) -> str:
    return f"images, labels = images.to(device{layout(config)}), labels.to(device)"


def _changes(unit: str, phases: Sequence[Phase], plan: Plan, indent: str, rests: bool = False) -> list[str]:
    """An `if` for each moment at which something changes. After a change within an epoch, what is frozen must rest at once."""
    lines = []
    for at in sorted({phase.at for phase in phases}):
        found = [line for phase in phases if phase.at == at for line in change_lines(phase, plan.layers, plan.grouped)]
        if found:
            again = [f"{indent}    train_mode()"] if rests and any(line.startswith("set_trainable") for line in found) else []
            lines += [f"{indent}if {unit} == {at}:", *(f"{indent}    {line}" for line in found), *again]
    return lines


def _loss_lines(model: str, mixed: bool) -> list[str]:
    wide = ".float()" if mixed else ""
    if not find_model(model).family.auxiliary:
        return [f"loss = loss_of(output{wide}, labels)"]
    if model == "inception_v3":
        return [f"loss = loss_of(output.logits{wide}, labels) + 0.4 * loss_of(output.aux_logits{wide}, labels)"]
    return [
        f"loss = loss_of(output.logits{wide}, labels)",
        f"loss = loss + 0.3 * (loss_of(output.aux_logits1{wide}, labels) + loss_of(output.aux_logits2{wide}, labels))",
    ]
