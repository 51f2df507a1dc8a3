"""Runs that have ended without having been trained, and the layers of a model that is not there."""

from __future__ import annotations

from core.config.plans import Role
from core.records.events import Layer, RunPlan, RunResult, RunStatus
from core.records.layers import ModelDescription, ParameterInfo
from core.store import RunStore


def finished(store: RunStore, run_id: str, accuracy: float, seconds: float = 2.0, samples: int = 500) -> None:
    """The run has come to its end with this validation accuracy."""
    frozen = str(store.run(run_id).config.freeze) != "train everything"
    layers = (Layer("conv1.weight", (8, 3, 3, 3), 216, frozen), Layer("fc.weight", (10, 8), 80, False))
    store.begin(run_id, RunPlan(layers, 10, 10, ("a", "b"), 100, samples, 100, "cpu", ()))
    result = RunResult(1, 10, 0.5, accuracy, 0.5, accuracy, 0.5, accuracy - 0.01, seconds, 100.0, None)
    store.end(run_id, RunStatus.FINISHED, result)


def layers_of() -> ModelDescription:
    """Of a network with a stem, three stages and a head."""
    roles: dict[str, Role] = {"conv1": "stem", "layer1": "body", "layer2": "body", "layer3": "last stage", "fc": "head"}
    parameters = tuple(ParameterInfo(f"{path}.weight", (8, 8), 64, path, "Linear", role, False) for path, role in roles.items())
    return description(parameters)


def description(parameters: tuple[ParameterInfo, ...]) -> ModelDescription:
    """All else of it is left empty."""
    return ModelDescription("made_up", 10, 16, parameters, {}, {})
