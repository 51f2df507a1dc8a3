"""What each freeze plan leaves of the graph: counted by really building it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from core.config import ConfigError
from core.config.plans import FreezePlan
from core.explaining.graph import Recorded, count, described, following, matched, walk
from core.explaining.specimen import Specimen
from core.records.layers import frozen_parameters
from core.records.walkthrough import Graph, GraphNode, PlanCount

FEW = 2
"""Pictures that a graph is built with where only its shape counts: the smallest batch that batch normalisation takes everywhere."""


@dataclass(frozen=True)
class _Plan:
    name: str
    about: str
    frozen: frozenset[str]
    chosen: bool = False


@dataclass(frozen=True)
class Looked:
    """A specimen's graph as data. `own_ids`: the ids of the nodes that its own plan records, in the order of that graph's own walk."""

    graph: Graph
    own_ids: tuple[int, ...]


def look(specimen: Specimen) -> Looked:
    """Build the graph of the specimen's first step with everything learning, and under each plan."""
    with specimen.borrowed() as model, specimen.seeded():
        specimen.prepare(model, frozenset())
        with following(model) as tracer:
            loss, _ = specimen.loss_of(model(specimen.inputs))
        full = walk(loss)
        nodes, edges = described(full, tracer.module_of, model)
        found = []
        own_ids: tuple[int, ...] = ()
        for plan in _plans(specimen):
            graph = _graph(specimen, model, plan.frozen) if plan.frozen else full
            ids = matched(full, graph)
            kept = tuple(sorted(ids.values()))
            found.append(PlanCount(plan.name, plan.about, kept, _why(specimen, plan, nodes, kept), plan.chosen, count(graph.nodes)))
            if plan.chosen:
                own_ids = tuple(ids.get(node, -1) for node in graph.nodes)
    return Looked(Graph(nodes, edges, tuple(found)), own_ids)


def _plans(specimen: Specimen) -> list[_Plan]:
    parameters = specimen.description.parameters
    everything = frozenset(parameter.name for parameter in parameters)
    plans = [_Plan("train everything", "Every parameter learns.", frozenset())]
    for name, about in (
        ("last stage", "The last stage of the network and the head learn; everything before is frozen."),
        ("head only", "Only the head learns, as in the usual first step of fine-tuning."),
    ):
        try:
            plans.append(_Plan(name, about, frozen_parameters(FreezePlan(rules=(name,)), parameters)))
        except ConfigError:
            continue  # a model without such a part
    head = [parameter for parameter in parameters if parameter.role == "head"]
    first = parameters[0]
    ends = [parameter for parameter in parameters if parameter.module == first.module or parameter.role == "head"]
    if head and first.role != "head":
        heads = dict.fromkeys(parameter.module for parameter in head)
        names = [first.module or first.name, *heads]
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        about = (
            f"The very first layer ({names[0]}) and the head learn: nearly everything is frozen, and yet the gradient has to cross the whole network."
        )
        plans.append(_Plan(listed, about, everything - {parameter.name for parameter in ends}))
    unique: list[_Plan] = []
    for plan in plans:
        if all(plan.frozen != other.frozen for other in unique):
            unique.append(plan)
    if any(plan.frozen == specimen.frozen for plan in unique):
        return [_Plan(plan.name, plan.about, plan.frozen, plan.frozen == specimen.frozen) for plan in unique]
    config = specimen.example.config
    name = str(config.freeze) if config is not None else "this example"
    return [*unique, _Plan(name, "The plan that was chosen for this example.", specimen.frozen, chosen=True)]


def _graph(specimen: Specimen, model: nn.Module, frozen: frozenset[str]) -> Recorded:
    specimen.prepare(model, frozen)
    return walk(specimen.loss_of_some(model, FEW))


def _why(specimen: Specimen, plan: _Plan, nodes: Sequence[GraphNode], ids: Sequence[int]) -> str:
    """One or two sentences that explain the count, with its own numbers."""
    kept = set(ids)
    behind = [node for node in nodes if node.id != 0]
    leaves = [node for node in behind if node.kind == "AccumulateGrad"]
    operations = [node for node in behind if node.kind != "AccumulateGrad"]
    own_leaves = [node for node in leaves if node.id in kept]
    own_operations = [node for node in operations if node.id in kept]
    total, whole = len(own_leaves) + len(own_operations), len(behind)
    parts = f"{len(own_operations):,} operations and {len(own_leaves):,} leaves, one for each parameter that learns"
    made_of = f"{total:,} nodes behind the loss's own: {parts}"
    if not plan.frozen:
        return f"{made_of}. Every operation between the pictures and the loss has a parameter before it, so every one is recorded."
    gone_leaves, gone_operations = len(leaves) - len(own_leaves), len(operations) - len(own_operations)
    learning = [parameter.name for parameter in specimen.description.parameters if parameter.name not in plan.frozen]
    deepest = max(own_operations, key=lambda node: node.id).module if own_operations else ""
    if 4 * gone_operations < len(operations):
        crossed = f"{learning[0].rpartition('.')[0] or learning[0]} learns and comes first, so the gradient has to cross every layer behind it"
        few = f"{gone_operations:,} {'operation' if gone_operations == 1 else 'operations'}"
        small = f", and {few} into which nothing goes that learns" if gone_operations else ""
        return f"{made_of}. {crossed}: of {whole:,} only the {gone_leaves:,} leaves of frozen parameters are gone{small}."
    end = f"The first layer that learns is {deepest}; what comes before it needs no gradient" if deepest else "What comes before needs no gradient"
    return f"{made_of}. {end}, so {whole - total:,} of {whole:,} nodes are never made: {gone_operations:,} operations and {gone_leaves:,} leaves."
