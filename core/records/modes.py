"""What freezing, eval(), no_grad() and inference_mode() do to one model, as data: each tried, and the sentences made of it. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.records.telling import size

Setting = Literal["train", "frozen", "eval", "no_grad", "inference_mode", "at rest", "validation"]

CODE: dict[Setting, str] = {
    "train": "model.train()",
    "frozen": "model.train(); requires_grad = False on what is frozen",
    "eval": "model.eval()",
    "no_grad": "model.train(); with torch.no_grad():",
    "inference_mode": "model.train(); with torch.inference_mode():",
    "at rest": "the same as frozen, and its BatchNorm in eval()",
    "validation": "model.eval(); with torch.no_grad():",
}
"""What is switched, in the order in which the rows stand."""

LABELS: dict[Setting, str] = {
    "train": "train(), all learns",
    "frozen": "requires_grad=False",
    "eval": "eval()",
    "no_grad": "no_grad()",
    "inference_mode": "inference_mode()",
    "at rest": "requires_grad=False, frozen BatchNorm in eval()",
    "validation": "eval() and no_grad()",
}

USES: dict[Setting, str] = {
    "train": "To train everything.",
    "frozen": "Half of freezing: the statistics of a frozen BatchNorm still move.",
    "eval": "By itself seldom what is wanted: nothing is dropped or moved, but the graph is still kept.",
    "no_grad": "For work on tensors that must not be recorded, such as an update by hand. Not for validation: the model is in train mode.",
    "inference_mode": "As no_grad(), where no later loss will have to keep the results: autograd refuses that. "
    "A clone() made outside is a plain tensor.",
    "at rest": "To train the rest while what is frozen stays as it is. A run of Thaw freezes so.",
    "validation": "To validate, test and predict.",
}


@dataclass(frozen=True)
class Effect:
    """What one setting did, with the same pictures each time.

    grads: parameter tensors with a .grad after backward(). refused: what backward() raised instead, "" if nothing. grad_fn: name of the
    logits' node, "" for None. kept_bytes: what the graph kept for the backward pass, without the model's own tensors. moved: layers whose
    running statistics the forward pass moved. same: two passes through one batch gave the same logits. alone: the first picture's logits
    stayed when the others were replaced; None with one picture. later: what a later loss raised that has to keep the logits for
    its backward pass, "" if it took them.
    """

    setting: Setting
    grads: int
    refused: str
    grad_fn: str
    kept_bytes: int
    moved: int
    same: bool
    alone: bool | None
    later: str


@dataclass(frozen=True)
class Modes:
    """All settings on one model; "at rest" is left out without norms, "frozen" too where there is only a head.

    norms: layers with running statistics. random: layers that drop something in train mode, class name to number. frozen: how many of
    `tensors` are frozen in the frozen rows; plan: how they were chosen. eval_differs: eval() gave other logits than train().
    """

    model: str
    pictures: int
    tensors: int
    frozen: int
    plan: str
    norms: int
    random: dict[str, int]
    eval_differs: bool
    effects: tuple[Effect, ...]

    def of(self, setting: Setting) -> Effect:
        """What `setting` did. KeyError if it was not tried."""
        found = {effect.setting: effect for effect in self.effects}
        return found[setting]


COLUMNS: tuple[str, ...] = (
    "Setting", "Tensors with .grad", "Kept for backward", "Statistics moved", "Same batch twice", "Other company", "Logits later on"
)  # fmt: skip


def cells(modes: Modes, effect: Effect) -> tuple[str, ...]:
    """A row of the table, a text for each of `COLUMNS`."""
    return (
        LABELS[effect.setting],
        "none, refused" if effect.refused else f"{effect.grads:,} of {modes.tensors:,}",
        size(effect.kept_bytes) if effect.kept_bytes else "nothing",
        f"{effect.moved:,} of {modes.norms:,}" if modes.norms else "it has none",
        "equal" if effect.same else "differ",
        "one picture only" if effect.alone is None else "same answer" if effect.alone else "another answer",
        "refused" if effect.later else "in the graph" if effect.grad_fn else "a plain tensor",
    )


def told(modes: Modes) -> tuple[str, ...]:
    """What the table says about this model, in a few sentences. Each has its numbers from what was tried."""
    return tuple(sentence for sentence in (_parts(modes), _eval(modes), _freezing(modes), _recording(modes), _inference(modes)) if sentence)


def _layers(number: int, kind: str = "") -> str:
    return f"{number:,} {kind}{' ' if kind else ''}layer{'' if number == 1 else 's'}"


def _tensors(number: int) -> str:
    return f"{number:,} tensor{'' if number == 1 else 's'}"


def _beside(one: str, other: str, two: str, alike: str) -> str:
    """`two` with both figures; `alike` with one of them where they read the same."""
    return alike.format(one) if one == other else two.format(one, other)


def _parts(modes: Modes) -> str:
    """What in the model heeds a mode at all."""
    parts = [_layers(modes.norms, "BatchNorm")] if modes.norms else []
    parts += [_layers(number, kind) for kind, number in modes.random.items()]
    if not parts:
        return f"{modes.model} has nothing that heeds train() and eval(): no BatchNorm, and no dropout above 0."
    return f"{modes.model} heeds train() and eval() in {' and '.join(parts)}."


def _eval(modes: Modes) -> str:
    train, rests = modes.of("train"), modes.of("eval")
    kept = _beside(size(rests.kept_bytes), size(train.kept_bytes), "{}, {} in train mode", "{}, in train mode too")
    graph = f"The graph is kept as before ({kept}), and gradients come to {_tensors(rests.grads)}."
    if not modes.eval_differs:
        return f"eval() changes no answer of this model. Call it for validation all the same: another model will need it. {graph}"
    why = ["BatchNorm uses its running statistics"] if modes.norms else []
    why += ["nothing is dropped"] if modes.random else []
    return f"eval() changes the answers{': ' if why else ''}{', and '.join(why)}. {graph}"


def _freezing(modes: Modes) -> str:
    found = {effect.setting: effect for effect in modes.effects}
    if "frozen" not in found:
        return ""
    frozen, rest = found["frozen"], found.get("at rest")
    text = f"requires_grad=False ({modes.plan}: {modes.frozen:,} of {modes.tensors:,} tensors) leaves {_tensors(frozen.grads)} with a gradient and "
    text += _beside(size(frozen.kept_bytes), size(modes.of("train").kept_bytes), "keeps {} instead of {}.", "keeps {}, as without it.")
    if rest is not None and frozen.moved > rest.moved:
        return f"{text} Running statistics moved in {_layers(frozen.moved)} all the same; with frozen BatchNorm in eval() in {rest.moved:,}."
    return text


def _recording(modes: Modes) -> str:
    effect = modes.of("no_grad")
    text = "no_grad() records nothing and keeps nothing for a backward pass"
    if effect.moved:
        return f"{text}, yet the statistics of {_layers(effect.moved, 'BatchNorm')} moved: it is not eval()."
    return f"{text}, yet two passes differ, since dropping goes on: it is not eval()." if not effect.same else f"{text}."


def _inference(modes: Modes) -> str:
    later = modes.of("inference_mode").later
    text = f"inference_mode() does as no_grad(), and a later loss that has to keep its result for a backward pass is refused: “{later}”."
    return text if later else ""
