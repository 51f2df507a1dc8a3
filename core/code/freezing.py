"""The script's freezing: what learns to begin with, and a function that changes it later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.code.names import cover, tuple_of
from core.code.phases import Phase

Layers = Sequence[tuple[str, bool]]
"""(name, frozen) of every parameter tensor, in the model's order."""

TRAIN_MODE = """def train_mode():
    model.train()
    for module in model.modules():
        # Without this a frozen BatchNorm would still move its running statistics.
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and not any(parameter.requires_grad for parameter in module.parameters()):
            module.eval()"""


RESTING = """
        # ... and dropout and stochastic depth would stay on in blocks that are frozen.
        if list(module.parameters()) and not any(parameter.requires_grad for parameter in module.parameters()):
            module.eval()
        for place, part in enumerate(module if isinstance(module, nn.Sequential) else ()):
            following = next((list(later.parameters()) for later in list(module)[place:] if list(later.parameters())), [])
            if following and not any(parameter.requires_grad for parameter in following):
                part.eval()"""


def freezing_lines(layers: Layers, later: Sequence[Phase], randomness: bool = True) -> str:
    """The lines that freeze, and `train_mode`; none where nothing is ever frozen."""
    parts = []
    if any(frozen for _, frozen in layers):
        parts.append("# Freezing\n" + _rule(layers))
    elif not any(phase.frozen for phase in later):
        return ""
    return "\n\n\n".join([*parts, TRAIN_MODE + ("" if randomness else RESTING)])


def _rule(layers: Layers) -> str:
    frozen, learning = _names(layers, True), _names(layers, False)
    still, moving = cover(frozen, learning), cover(learning, frozen)
    by_learning = len(moving) <= len(still)
    return f"""{"LEARNS" if by_learning else "FROZEN"} = {tuple_of(moving if by_learning else still)}
for name, parameter in model.named_parameters():
    parameter.requires_grad_({"name.startswith(LEARNS)" if by_learning else "not name.startswith(FROZEN)"})"""


def _names(layers: Layers, state: bool) -> list[str]:
    return [name for name, frozen in layers if frozen == state]


# Later changes


def set_trainable_lines(grouped: str) -> str:
    """The function `set_trainable`. `grouped` are its last lines, which put what learns into the optimizer's groups."""
    return f'''def set_trainable(learns=(), frozen=()):
    """From here on, parameters whose names begin with one of `learns` learn; others that begin with one of `frozen` do not."""
    for name, parameter in model.named_parameters():
        if name.startswith(learns):
            parameter.requires_grad_(True)
        elif name.startswith(frozen):
            parameter.requires_grad_(False)
            parameter.grad = None  # left over, the first one after thawing would be added to it
            optimizer.state.pop(parameter, None)  # if it learns again, it starts afresh
    # What is new has no state yet; what goes on keeps its own.
{grouped}'''


def change_lines(phase: Phase, layers: Layers, factors: bool) -> list[str]:
    """The lines of the loop that make one change. `factors` says that the script has multipliers."""
    names = [name for name, _ in layers]
    lines = []
    if factors and phase.multipliers:
        lines.append(f"FACTORS += {factor_list(phase.multipliers, names)}")
    arguments = []
    if phase.learns:
        arguments.append(f"learns={_beginnings(phase.learns, names)}")
    if phase.frozen:
        # Every name begins with an empty text; those that learn are not asked.
        rest = phase.learns and len(phase.learns) + len(phase.frozen) == len(names)
        arguments.append('frozen=("",)' if rest else f"frozen={_beginnings(phase.frozen, names)}")
    if arguments or lines:
        lines.append(f"set_trainable({', '.join(arguments)})")
    if phase.learning_rate is not None:
        lines.append(f"set_learning_rate({phase.learning_rate!r})")
    return lines


def factor_list(multipliers: Mapping[str, float], names: Sequence[str]) -> str:
    """Factors by name beginning, as Python writes a list of pairs; nothing in it reaches further than to its own names."""
    pairs = []
    for factor in dict.fromkeys(multipliers.values()):
        own = [name for name in names if multipliers.get(name) == factor]
        pairs += [f'("{start}", {factor!r})' for start in cover(own, (name for name in names if multipliers.get(name) != factor))]
    return f"[{', '.join(pairs)}]"


def _beginnings(wanted: Iterable[str], names: Sequence[str]) -> str:
    wanted = set(wanted)
    if len(wanted) == len(names):
        return '("",)'
    return tuple_of(cover([name for name in names if name in wanted], [name for name in names if name not in wanted]))
