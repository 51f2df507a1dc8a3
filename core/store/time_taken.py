"""How long a run will take, by what runs like it took on this machine; nothing where none was like it."""

from __future__ import annotations

from core.config import RunConfig
from core.records.events import RunStatus
from core.store.run_store import Run, RunStore

LOOKED_AT = 100
"""The newest runs that are looked at."""

NO_MATTER = (
    "epochs", "seed", "starting_weights", "learning_rate", "learning_rate_multipliers", "momentum", "weight_decay", "schedule", "schedule_options",
    "class_weights", "clip_norm", "early_stopping", "checkpoint_minutes", "rendezvous", "restarts", "silence_seconds", "forgetting", "old_task",
    "time_limit", "sbatch",
)  # fmt: skip
"""The fields that change nothing about a run's time, and the number of epochs, which is reckoned with."""


def time_taken(store: RunStore, config: RunConfig, images: int | None) -> float | None:
    """Seconds that a run of `config` on `images` training pictures will take, from its first step on; None where nothing is known.

    Of the newest finished run with the same settings: its own time, with as many epochs; else its time and that of the epochs between the two,
    at the pace of its last ones. Where a timeline says what learns when, only runs with as many epochs count. Raises StoreError.
    """
    wanted = config.model_dump(exclude=set(NO_MATTER))
    for run in store.runs(LOOKED_AT, active=False):
        same = run.status == RunStatus.FINISHED and (run.config.model, run.config.dataset) == (config.model, config.dataset)
        if same and run.config.model_dump(exclude=set(NO_MATTER)) == wanted:
            seconds = _seconds(run, config, images)
            if seconds is not None:
                return seconds
    return None


def _seconds(run: Run, config: RunConfig, images: int | None) -> float | None:
    plan, result = run.plan, run.result
    if plan is None or result is None or result.epochs < 1 or (images is not None and plan.train_samples != images):
        return None
    if result.epochs == config.epochs:
        return result.seconds
    if config.timeline.changes or run.stages is None or run.stages.pace is None:
        return None
    an_epoch = run.stages.pace * plan.steps_per_epoch + run.stages.between
    return max(result.seconds + (config.epochs - result.epochs) * an_epoch, config.epochs * an_epoch)
