"""What a helper answers: the other end of `core.lab.lab`, with torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import RunConfig
from core.config.errors import Cancelled
from core.lab import kinds
from core.machine.home import Home
from core.machine.memory import keep_for_next_step
from core.records.layers import HeadOptions
from core.records.walkthrough import Example

if TYPE_CHECKING:
    from core.measuring.bench import Bench


class Answers:
    """What a helper knows."""

    def __init__(self) -> None:
        self._bench: Bench | None = None

    def to(
        self, question: dict[str, Any], cancelled: Callable[[], bool], progress: Callable[[str, float | None], None] = lambda text, share: None
    ) -> Any:
        """The answer to one question, ready for JSON; None if it was cancelled."""
        from core.machine import devices
        from core.model import anatomy

        match question:
            case {"question": "describe", "head": head, "model": model, "classes": classes, "image_size": image_size}:
                return kinds.DESCRIPTION.dump_python(anatomy.describe(model, classes, image_size, HeadOptions(**head)), mode="json")
            case {"question": "source", "head": head, "model": model, "classes": classes, "image_size": image_size}:
                from core.explaining.source import model_source

                return kinds.SOURCE.dump_python(model_source(model, classes, image_size, HeadOptions(**head)), mode="json")
            case {"question": "machine"}:
                return kinds.MACHINE.dump_python(devices.machine(), mode="json")
            case {"question": "seen", "config": config, "home": home}:
                from core.explaining.normalising import seen

                return kinds.SEEN.dump_python(seen(RunConfig(**config), Home(Path(home))), mode="json")
            case {"question": "separation", "config": config, "home": home}:
                from core.explaining.separation import separation

                return kinds.SEPARATION.dump_python(separation(RunConfig(**config), Home(Path(home))), mode="json")
            case {"question": "loading", "home": home, "about": about}:
                from core.explaining.loading import loading

                return kinds.LOADING.dump_python(loading(Home(Path(home)), **about), mode="json")
            case {"question": "variants", "config": config, "home": home, "number": number}:
                from core.explaining.batch import variants

                return kinds.VARIANTS.dump_python(variants(RunConfig(**config), Home(Path(home)), number), mode="json")
            case {"question": "batch", "config": config, "home": home}:
                from core.explaining.batch import batch_seen

                return kinds.BATCH.dump_python(batch_seen(RunConfig(**config), Home(Path(home))), mode="json")
            case {"question": "walkthrough" | "modes" | "activation" | "node" | "checks", "example": example, "home": home}:
                return _explained(question, kinds.EXAMPLE.validate_python(example), Home(Path(home)), cancelled)
            case {"question": "weights", "config": config, "classes": classes}:
                from core.model.weights_ahead import weights_fit

                return kinds.WEIGHTS.dump_python(weights_fit(RunConfig(**config), classes), mode="json")
            case {"question": "published", "model": model}:
                from core.model.published import place
                from core.networks.models import find_model

                return str(place(find_model(model)))
            case {"question": "rate", "config": config, "home": home, "asked": asked}:
                from core.worker.finding_rate import find_rate

                try:
                    return kinds.RATES.dump_python(
                        find_rate(RunConfig(**config), Home(Path(home)), **asked, cancelled=cancelled, progress=progress), mode="json"
                    )
                except Cancelled:
                    return None
            case {"question": "cost", "config": config, "classes": classes}:
                return self._cost(RunConfig(**config), classes, cancelled)
            case _:
                raise ValueError(f"Unknown question {question!r}")

    def _cost(self, config: RunConfig, classes: int, cancelled: Callable[[], bool]) -> Any:
        from core.measuring import bench as measuring

        keep_for_next_step()  # as the run will that this is asked for
        self._bench = self._bench or measuring.Bench()
        try:
            return kinds.COST.dump_python(self._bench.measure(config, classes, cancelled), mode="json")
        except Cancelled:
            return None


def _explained(question: dict[str, Any], example: Example, home: Home, cancelled: Callable[[], bool]) -> Any:
    from core.explaining import explain

    match question["question"]:
        case "walkthrough" | "modes":
            try:
                if question["question"] == "modes":
                    return kinds.MODES.dump_python(explain.modes(example, home, cancelled), mode="json")
                return kinds.WALKTHROUGH.dump_python(explain.walkthrough(example, home, cancelled), mode="json")
            except Cancelled:
                return None
        case "activation":
            return explain.activation(example, question["step"], question["number"], home)
        case "node":
            return kinds.NODE.dump_python(explain.node_story(example, question["id"], home, checked=False), mode="json")
        case _:
            return kinds.CHECKS.dump_python(explain.checks(example, question["id"], home), mode="json")
