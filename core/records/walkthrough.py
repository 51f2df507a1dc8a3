"""One training step as data: what the Autograd screen shows and `python -m core explain` prints. No torch: page and lab share it.

An `Example` says what is looked at, a `Walkthrough` is everything about two training steps of it in a row, a `NodeStory` is one node of
its graph looked at closely. `core.explaining.explain` makes them from a real model, with real gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.config import RunConfig

ExampleKind = Literal["classic", "fine-tuning", "own"]


@dataclass(frozen=True)
class Example:
    """What is looked at.

    `classic`: resnet18, torch.rand(1, 3, 64, 64), labels torch.rand(1, 1000), loss = (prediction - labels).sum(), SGD with learning rate
    1e-2 and momentum 0.9. `fine-tuning`: everything of resnet18 frozen, then model.fc = nn.Linear(512, 10), the optimizer over all
    parameters. `own`: what `config` says (model, head, freeze plan, loss, optimizer, learning rate), on `samples` pictures of its dataset.
    Without `zero_grad` the second step's gradients are added to the first's.
    """

    kind: ExampleKind
    config: RunConfig | None = None
    zero_grad: bool = True
    samples: int = 4


@dataclass(frozen=True)
class Figures:
    """A tensor in a few figures. `first` are its first values (8 at most), in memory order; `finite` False: it has NaN or infinite values."""

    shape: tuple[int, ...]
    dtype: str
    device: str
    norm: float
    mean: float
    minimum: float
    maximum: float
    first: tuple[float, ...]
    finite: bool = True


@dataclass(frozen=True)
class Picture:
    """A picture of the batch: `source` is a PNG as a data URI, `label` its class or what stands for it."""

    source: str
    label: str


@dataclass(frozen=True)
class LayerCall:
    """A module without others inside, called in the forward pass: the `number`-th call, from 0.

    `state`: whether its parameters learn ("none": it has none, "mixed": some do). `picture`: its output as a PNG data URI (up to 8 channels of
    the first sample as tiles), empty where it has no picture or where the model has many layers: ask `Lab.activation` then.
    """

    number: int
    module: str
    kind: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    device: str
    mode: Literal["train", "eval"]
    state: Literal["learns", "frozen", "mixed", "none"]
    parameters: tuple[str, ...]
    figures: Figures
    node: int | None
    """The graph node that its output hangs on; None: nothing was recorded (frozen, and nothing before it learns)."""
    picture: str = ""
    about: str = ""
    """What such a layer does, in one sentence."""


@dataclass(frozen=True)
class Arrival:
    """A gradient that reaches its parameter in the backward pass, the `order`-th, from 0. `before` None: `.grad` was None.

    `contribution` is what this backward pass brings, `after` what `.grad` is then: contribution, or before + contribution.
    """

    order: int
    parameter: str
    node: int
    before: Figures | None
    contribution: Figures
    after: Figures


@dataclass(frozen=True)
class Update:
    """What `optimizer.step()` does to one parameter, followed at one of its values: that at `index`, where the gradient is largest.

    `state` has the optimizer's entries for it (momentum_buffer, exp_avg ...): name, before, after at that value; before None: there was none.
    `formula`: the rule in symbols; `filled`: the same lines with real numbers. `still`: why it did not move ("" if it did).
    """

    parameter: str
    in_optimizer: bool
    index: tuple[int, ...]
    gradient: float | None
    weight_before: float
    weight_after: float
    norm_before: float
    norm_after: float
    update_norm: float
    state: tuple[tuple[str, float | None, float], ...]
    formula: tuple[str, ...]
    filled: tuple[str, ...]
    still: str = ""


@dataclass(frozen=True)
class Grad:
    """The state of a parameter's `.grad` at a moment: None, or its figures."""

    parameter: str
    figures: Figures | None


@dataclass(frozen=True)
class StepStory:
    """One training step, in the order in which it happens. `cleared`: `optimizer.zero_grad()` was called, and set `.grad` to None.

    `grads_at_start` before that call, `grads_at_end` after the step. `loss_lines`: how the loss comes about, with real numbers.
    """

    number: int
    cleared: bool
    grads_at_start: tuple[Grad, ...]
    calls: tuple[LayerCall, ...]
    output: Figures
    loss: float
    loss_lines: tuple[str, ...]
    arrivals: tuple[Arrival, ...]
    updates: tuple[Update, ...]
    grads_at_end: tuple[Grad, ...]


@dataclass(frozen=True)
class Saved:
    """A tensor that a graph node keeps for the backward pass: `name` as autograd calls it, `bytes` its size, `what` it is, in words."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    what: str = ""


@dataclass(frozen=True)
class GraphNode:
    """A node of the `grad_fn` graph as it is when everything learns. Node 0 is the loss's; ids follow the backward pass.

    `module` is the innermost module in whose forward it was recorded: "" for the loss, and the model's class name ("ResNet") for what the model
    itself does between its modules. `parameter` names the leaf of an AccumulateGrad. `saved_bytes` leaves out what belongs to the model anyway.
    """

    id: int
    kind: str
    module: str
    parameter: str
    shape: tuple[int, ...]
    """Shape of what it stands for: the tensor whose `grad_fn` it is, or the leaf."""
    saved: tuple[Saved, ...]
    saved_bytes: int


@dataclass(frozen=True)
class GraphEdge:
    """Gradients flow from `source` (nearer to the loss) to `target`, from input `slot` of the operation that source belongs to."""

    source: int
    target: int
    slot: int


@dataclass(frozen=True)
class PlanCount:
    """What is left of the graph under one freeze plan: ids of the nodes that are recorded, and why the others are not.

    `kept` are the ids of all recorded nodes, the loss's own (0) included. `count` is the number to show: the nodes behind the loss's own, which
    a walk from `loss.grad_fn` through `next_functions` comes to.
    """

    name: str
    about: str
    kept: tuple[int, ...]
    why: str
    chosen: bool = False
    """Whether it is the plan of the example itself."""
    count: int = 0


@dataclass(frozen=True)
class Graph:
    """The graph when everything learns, and what each plan leaves of it."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    plans: tuple[PlanCount, ...]


@dataclass(frozen=True)
class ParameterLook:
    """One parameter tensor, in `named_parameters` order."""

    name: str
    shape: tuple[int, ...]
    count: int
    learns: bool
    in_optimizer: bool
    module: str


@dataclass(frozen=True)
class LabelsTried:
    """The first step with the loss `(prediction - labels).sum()`, and the same with other labels: `same` of `gradients` are equal bit for bit.

    `labels`, `gradient` (of `parameter`) and their others are first values. `same_with_cross_entropy`: how many are equal for two labels there.
    """

    labels: tuple[float, ...]
    other_labels: tuple[float, ...]
    loss: float
    other_loss: float
    parameter: str
    gradient: tuple[float, ...]
    other_gradient: tuple[float, ...]
    gradients: int
    same: int
    same_with_cross_entropy: int

    @property
    def found(self) -> str:
        """What was found, in words."""
        return (
            f"With other labels {self.same:,} of {self.gradients:,} gradients are the same, bit for bit. With cross entropy, a loss for learning, "
            f"{self.same_with_cross_entropy:,} of {self.gradients:,} are the same for another class."
        )


@dataclass(frozen=True)
class Walkthrough:
    """Two training steps of an example. `code` is plain PyTorch that does the same, and runs as it stands. `seconds`: how long looking took."""

    title: str
    about: str
    model: str
    device: str
    optimizer: str
    code: str
    pictures: tuple[Picture, ...]
    parameters: tuple[ParameterLook, ...]
    steps: tuple[StepStory, ...]
    graph: Graph
    notes: tuple[str, ...]
    seconds: float
    labels_tried: LabelsTried | None = None
    """For a loss on whose gradients the labels have no influence: what shows that."""


@dataclass(frozen=True)
class Check:
    """The chain rule tried out at one place: the loss's slope along a random direction, measured and as the gradient predicts it.

    `place`: "output", or "input 0" ...; `measured` = (loss(x + e v) - loss(x - e v)) / 2e in float64, `predicted` = sum(gradient * v).
    `agrees` None: it could not be tried, `note` says why.
    """

    place: str
    measured: float | None
    predicted: float | None
    relative_difference: float | None
    step: float
    agrees: bool | None
    note: str = ""


@dataclass(frozen=True)
class Flow:
    """A gradient at a node: `of` says in words what it is the gradient of, `node` where it goes to or comes from (None: nowhere)."""

    of: str
    node: int | None
    figures: Figures | None


@dataclass(frozen=True)
class NodeStory:
    """One node of the graph, closely: `formula` for the operation, `derivative` for what it does to a gradient, `about` both in words."""

    id: int
    kind: str
    title: str
    about: str
    formula: tuple[str, ...]
    derivative: tuple[str, ...]
    incoming: tuple[Flow, ...]
    outgoing: tuple[Flow, ...]
    checks: tuple[Check, ...]
    """Empty where there is no such node under the example's plan, and where the chain rule was not tried out yet."""
    removed: str = ""
    """Why there is no such node under the example's plan ("" if there is one)."""
