"""What goes between the server's end and the helper's: what answers are, and which fields of a config a question takes. No torch."""

from __future__ import annotations

from pydantic import TypeAdapter

from core.machine.hardware import Machine
from core.records.batches import BatchSeen, Variants
from core.records.cost import Cost
from core.records.how_much import Separation
from core.records.layers import ModelDescription
from core.records.loading import Loading
from core.records.modes import Modes
from core.records.normalising import Seen
from core.records.rate_curve import RateCurve
from core.records.sources import ModelSource
from core.records.starting_weights import WeightsFit
from core.records.walkthrough import Check, Example, NodeStory, Walkthrough

DESCRIPTION = TypeAdapter(ModelDescription)
SOURCE = TypeAdapter(ModelSource)
SEEN = TypeAdapter(Seen)
SEPARATION = TypeAdapter(Separation)
VARIANTS = TypeAdapter(Variants)
BATCH = TypeAdapter(BatchSeen)
MACHINE = TypeAdapter(Machine)
COST = TypeAdapter(Cost)
LOADING = TypeAdapter(Loading)
EXAMPLE = TypeAdapter(Example)
WALKTHROUGH = TypeAdapter(Walkthrough)
MODES = TypeAdapter(Modes)
NODE = TypeAdapter(NodeStory)
CHECKS = TypeAdapter(tuple[Check, ...])
WEIGHTS = TypeAdapter(WeightsFit)
RATES = TypeAdapter(RateCurve)

SEEN_BY = (
    "dataset", "model", "image_size", "fit", "starting_weights", "head_dropout", "head_hidden", "seed", "validation_share", "batch_size", "doubles",
)  # fmt: skip
"""The fields of a config that `Lab.seen` and `Lab.separation` depend on."""

CHANGED_BY = ("dataset", "model", "image_size", "fit", "seed", "augmentation")
"""Those that `Lab.variants` depends on."""

LOADED_BY = (*CHANGED_BY, "validation_share", "batch_size", "accumulate", "fixed_views", "device", "memory_format")
"""Those that `Lab.batch_seen` depends on."""
