"""A model's layers as data, and which of them a `FreezePlan` freezes. No torch: the web process can ask, a worker can apply."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from core.config import ConfigError, RunConfig
from core.config.limits import quoted
from core.config.plans import PRESETS, ROLES, FreezePlan, Multipliers, Role


@dataclass(frozen=True)
class ParameterInfo:
    """One parameter tensor. `module` is the path of the module that owns it ('' for the root), `kind` that module's class name."""

    name: str
    shape: tuple[int, ...]
    count: int
    module: str
    kind: str
    role: Role
    is_norm: bool
    aliases: tuple[str, ...] = ()
    """Further names of the same tensor, where two modules share it (tied weights). A rule about either name is about both."""

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the tensor, the one of `named_parameters` first."""
        return (self.name, *self.aliases)


@dataclass(frozen=True)
class HeadOptions:
    """How the new head is built: a single layer as in the original, or with dropout and a hidden layer (`core.networks.head`)."""

    dropout: float = 0.0
    hidden: int | None = None


PLAIN_HEAD = HeadOptions()
"""A single layer, as in the original."""


def head_options(config: RunConfig) -> HeadOptions:
    """The head that `config` asks for."""
    return HeadOptions(config.head_dropout, config.head_hidden)


@dataclass(frozen=True)
class HeadInfo:
    """What the head at `path` was before (`old`, for ImageNet's 1,000 classes; '' where there was none) and is now (`new`), as PyTorch writes it.

    `in_features` is the width of what goes into it; `options` says whether dropout and a hidden layer can be had there.
    """

    path: str
    old: str
    new: str
    in_features: int
    options: bool = True


@dataclass(frozen=True)
class ModelDescription:
    """A model as the freeze editor and the plan resolver see it: every parameter tensor, in `named_parameters` order.

    `kinds` maps every module path that holds parameters (groups too) to its class name; `output_shapes` maps leaf modules to
    the shape of what they return for one image, batch dimension left out. `flops` maps leaf modules to the floating-point
    operations of one image's forward pass, where they have any: those of matrix products and convolutions, a multiplication and
    an addition being two. `order` lists leaf modules in the order of their first call, auxiliary classifiers last. Both also
    hold the few modules that compute by themselves though there are others inside, such as attention in windows. `head` says
    what the new head replaces: one entry, and one for each auxiliary classifier.
    """

    model: str
    classes: int
    image_size: int
    parameters: tuple[ParameterInfo, ...]
    kinds: dict[str, str]
    output_shapes: dict[str, tuple[int, ...]]
    flops: dict[str, int] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    head: tuple[HeadInfo, ...] = ()

    @property
    def count(self) -> int:
        """Number of parameters (elements, not tensors)."""
        return sum(parameter.count for parameter in self.parameters)


def frozen_parameters(plan: FreezePlan, parameters: Iterable[ParameterInfo]) -> frozenset[str]:
    """Names of the parameter tensors that `plan` freezes.

    Raises:
        ConfigError: for a pattern that matches no parameter, and for a plan that leaves nothing to train.
    """
    found = _Found(tuple(parameters))
    frozen = found.frozen(plan)
    return frozenset(parameter.name for place, parameter in enumerate(found.parameters) if frozen >> place & 1)


class _Found:
    """Which of a model's tensors each rule is about, looked up once a rule: a timeline has the same rules again and again.

    A set of tensors is a number whose bit i stands for tensor i.
    """

    def __init__(self, parameters: tuple[ParameterInfo, ...]) -> None:
        self.parameters = parameters
        self._found: dict[str, int] = {}

    def frozen(self, plan: FreezePlan) -> int:
        """What `plan` freezes. Raises ConfigError as `frozen_parameters`."""
        if plan.preset not in self._found:
            self._found[plan.preset] = self._those(lambda parameter: _preset_freezes(plan.preset, parameter))
        frozen = self._found[plan.preset]
        for pattern, freezes in plan.patterns:
            matched = self.matched(pattern)
            if not matched:
                raise ConfigError("freeze", _matches_nothing(pattern, self.parameters))
            frozen = frozen | matched if freezes else frozen & ~matched
        if frozen == (1 << len(self.parameters)) - 1:
            remedy = "leave at least one trainable, for example with 'head only'"
            raise ConfigError("freeze", f"{quoted(str(plan))} freezes every layer, so nothing would learn; {remedy}")
        return frozen

    def matched(self, pattern: str) -> int:
        """What `pattern` is about."""
        if pattern not in self._found:
            self._found[pattern] = self._those(lambda parameter: any(matches(pattern, name) for name in parameter.names))
        return self._found[pattern]

    def _those(self, are: Callable[[ParameterInfo], bool]) -> int:
        return sum(1 << place for place, parameter in enumerate(self.parameters) if are(parameter))


def multipliers_by_parameter(multipliers: Multipliers, parameters: Iterable[ParameterInfo]) -> dict[str, float]:
    """What the learning rate of each parameter tensor is multiplied by, name to factor, in their order.

    Raises:
        ConfigError: for a rule that matches no parameter.
    """
    parameters = tuple(parameters)
    found = dict.fromkeys((parameter.name for parameter in parameters), 1.0)
    for pattern, factor in multipliers.patterns:
        matched = [parameter.name for parameter in parameters if parameter.role == pattern or any(matches(pattern, name) for name in parameter.names)]
        if not matched and pattern not in ROLES:
            raise ConfigError("learning_rate_multipliers", _no_multiplier(pattern, parameters))
        found.update(dict.fromkeys(matched, factor))
    return found


def check_timeline(config: RunConfig, parameters: Iterable[ParameterInfo]) -> None:
    """See that each change of the timeline can be made, in the order in which they come.

    Raises:
        ConfigError: on `timeline`, for a pattern that matches nothing and for a change that would leave nothing to train.
    """
    found = _Found(tuple(parameters))
    plan = config.freeze
    # Epochs and steps cannot be put in one order before the data is read: each kind by itself.
    for timed in sorted(config.timeline.changes, key=lambda timed: (timed.unit, timed.at)):
        plan = plan.then(timed.change)
        try:
            found.frozen(plan)
            for pattern, _ in timed.change.multipliers:
                if pattern not in ROLES and not found.matched(pattern):
                    raise ConfigError("learning_rate_multipliers", _no_multiplier(pattern, found.parameters))
        except ConfigError as error:
            raise ConfigError("timeline", f"'{timed}': {error.message}") from None


def first_learning(description: ModelDescription, frozen: Collection[str]) -> str:
    """The first module in forward order of which something learns: the backward pass crosses all from there on. '' if nothing does."""
    uses = _uses(description, frozen)
    return description.order[min(uses)[0]] if uses else ""


def crossed_share(description: ModelDescription, frozen: Collection[str]) -> float:
    """How much of the network the backward pass has to cross, 0 to 1, by FLOPs: all from the first layer that learns to the end."""
    uses = _uses(description, frozen)
    operations = [description.flops.get(path, 0) for path in description.order]
    return sum(operations[min(uses)[0] :]) / sum(operations) if uses and any(operations) else 0.0


def backward_share(description: ModelDescription, frozen: Collection[str]) -> float:
    """About how much of a full backward pass is left, 0 to 1, by FLOPs; 1 when everything learns.

    A layer has two gradients to compute, each as much work as its forward pass: that of its weights, if they learn, and that of
    its input, if anything before it learns. Layers are taken to follow one another as in `order`, without branches.
    """
    full = _backward_flops(description, ())
    return _backward_flops(description, frozen) / full if full else 1.0


def _backward_flops(description: ModelDescription, frozen: Collection[str]) -> int:
    weights = {place for place, weight in _uses(description, ()) if weight}
    uses = _uses(description, frozen)
    first = min((place for place, _ in uses), default=len(description.order))
    total = 0
    for place, path in enumerate(description.order):
        inputs = 1 if place in weights else 2  # two inputs multiplied with each other, as in attention
        gradients = (inputs if place > first else 0) + ((place, True) in uses)
        total += gradients * description.flops.get(path, 0)
    return total


def _uses(description: ModelDescription, frozen: Collection[str]) -> set[tuple[int, bool]]:
    """Where in `order` something learns, and whether it is weights: the gradient of a bias or of a norm costs next to nothing."""
    places = {path: place for place, path in enumerate(description.order)}
    first_inside: dict[str, int] = {}
    for path, place in places.items():
        for above in _above(path):
            first_inside.setdefault(above, place)
    uses = set()
    for parameter in description.parameters if places else ():
        for name in parameter.names if parameter.name not in frozen else ():
            # The layer itself, or the attention around it, which reads the layers inside; else, as position embeddings are, it is
            # added before the first layer.
            reader = next((places[path] for path in _above(name) if path in places), None)
            adder = next((first_inside[path] for path in _above(name) if path in first_inside), 0)
            uses.add((adder, False) if reader is None else (reader, len(parameter.shape) > 1))
    return uses


def _above(path: str) -> tuple[str, ...]:
    """The modules that `path` lies in, from the innermost to the root ('')."""
    parts = path.split(".")
    return tuple(".".join(parts[:end]) for end in range(len(parts) - 1, -1, -1))


def blocks(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Parameter names grouped into the model's blocks: module path to names, in the model's order.

    A model's outermost modules are its blocks; one that holds more than half of all tensors is opened (the one `features` of
    a VGG would say nothing), as long as there are at most 32.
    """
    names = tuple(names)
    groups = _children("", names)
    while True:
        largest = max(groups, key=lambda path: len(groups[path]))
        inside = _children(largest, groups[largest])
        if 2 * len(groups[largest]) <= len(names) or len(groups) - 1 + len(inside) > MANY_BLOCKS or not _has_modules(inside):
            return groups
        groups = {key: members for path in groups for key, members in (inside.items() if path == largest else [(path, groups[path])])}


MANY_BLOCKS = 32


def _children(path: str, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    depth = path.count(".") + 1 if path else 0
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(".".join(name.split(".")[: depth + 1]), []).append(name)
    return {key: tuple(members) for key, members in groups.items()}


def _has_modules(groups: dict[str, tuple[str, ...]]) -> bool:
    """True where something lies inside the groups: a layer's own weight and bias are no blocks."""
    return any(name != path for path, members in groups.items() for name in members)


def _no_multiplier(pattern: str, parameters: tuple[ParameterInfo, ...]) -> str:
    return f"{_matches_nothing(pattern, parameters)}, its roles are {', '.join(ROLES)}"


def _matches_nothing(pattern: str, parameters: tuple[ParameterInfo, ...]) -> str:
    known = dict.fromkeys(parameter.name.split(".")[0] for parameter in parameters)
    return f"the pattern {quoted(pattern)} matches no layer of this model; its layers start with {', '.join(sorted(known))}"


def matches(pattern: str, name: str) -> bool:
    """True if `pattern` names the parameter itself, a module above it, or matches its whole name as `fnmatch` does."""
    return name == pattern or name.startswith(pattern + ".") or fnmatchcase(name, pattern)


def _preset_freezes(preset: str, parameter: ParameterInfo) -> bool:
    match preset:
        case "train everything":
            return False
        case "head only":
            return parameter.role != "head"
        case "last stage":
            return parameter.role not in ("head", "last stage")
        case "all but stem":
            return parameter.role == "stem"
        case "norms only":
            return not (parameter.is_norm or parameter.role == "head")
        case _:
            raise ConfigError("freeze", f"{quoted(preset)} is not a preset; use one of {', '.join(PRESETS)}")
