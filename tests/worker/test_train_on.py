"""A finished run is trained on: it becomes the run that was begun with as many epochs, or is left as it was, with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.commands.cli import main
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from core.store.checkpoint import listed
from core.store.continued import ResumeRequest
from core.store.resume_files import resume_path, resume_points
from core.training.trainer import EpochReport, Score
from core.worker import checkpoints
from core.worker.checkpoints import RunCheckpoints
from core.worker.supervisor import Supervisor, ask_to_go_on
from core.worker.worker import Worker
from tests.crash import same

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {
    "dataset": "digits_5_9", "validation_share": 0.5, "model": "small_cnn", "image_size": 8, "batch_size": 90,
    "epochs": 2, "threads": 1, "watch_budget": 1.0, "watch_every": 3,
}  # fmt: skip
STEPS = 4
"""Steps of an epoch of `SMALL`."""


def whole(home: Home, store: RunStore, **changes: Any) -> str:
    run_id = store.create_run(RunConfig(**{**SMALL, **changes}))
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED, store.run(run_id).error
    return run_id


def train_on(home: Home, store: RunStore, run_id: str, epochs: int) -> RunStatus:
    ask_to_go_on(home, store, run_id, ResumeRequest(epochs=epochs))
    return Worker(home, store, run_id).run()


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "SGD", "augmentation": "flip", "head_dropout": 0.5, "timeline": "2: stage1; 2: learning_rate=0.002"},
        {"schedule": "StepLR", "schedule_options": {"step_size": 1.5}, "freeze": "head only", "early_stopping": 3},
        {"schedule": "ExponentialLR"},
    ],
)
def test_run_that_is_trained_on_is_the_one_that_was_begun_with_as_many_epochs(home: Home, store: RunStore, settings: dict[str, Any]) -> None:
    one = whole(home, store, **{**settings, "epochs": 4})
    other = whole(home, store, **settings)
    assert train_on(home, store, other, 4) is RunStatus.FINISHED, store.run(other).error
    same(home, store, one, other, findings=False)  # they are looked for as often as the length of a run asks for
    assert [run.config for run in map(store.run, (one, other))] == [RunConfig(**{**SMALL, **settings, "epochs": 4})] * 2
    (line,) = store.continued(other)
    assert f"continued at step {2 * STEPS}:" in line
    assert "trained on to 4 epochs in all" in line
    assert resume_points(home.run_folder(other))[0].step == 4 * STEPS
    kept = [checkpoint.epoch for checkpoint in listed(home.run_folder(other)) if not checkpoint.final]
    assert 2 in kept, "what it ended with before is one of its epochs now"


def refused(home: Home, store: RunStore, run_id: str, epochs: int) -> str:
    """Why it is not trained on; it is as it was, and can still be evaluated."""
    before = store.columns(run_id)
    with pytest.raises(ConfigError) as error:
        train_on(home, store, run_id, epochs)
    after = store.columns(run_id)
    for name in ("status", "config", "result", "ended", "step", "plan"):
        assert after[name] == before[name], name
    assert error.value.field == "epochs"
    return error.value.message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"schedule": "CosineAnnealingLR"}, "T_max would be 16 steps, and was 8"),
        ({"schedule": "OneCycleLR"}, "total_steps would be 16 steps, and was 8"),
        ({"schedule": "LinearLR"}, "total_iters would be 2 steps, and was 1"),
        ({"schedule": "WarmupCosine"}, "follows the number of epochs"),
    ],
)
def test_schedule_that_follows_the_number_of_epochs_is_refused_in_words(home: Home, store: RunStore, settings: dict[str, Any], words: str) -> None:
    run_id = store.create_run(RunConfig(**{**SMALL, **settings}))
    worker = Worker(home, store, run_id)
    worker._train = lambda *arguments: (RunStatus.FINISHED, None)  # type: ignore[method-assign]  # no step is needed to say it
    worker.epochs = 2
    worker.run()
    written(resume_path(home.run_folder(run_id), 8))
    reason = refused(home, store, run_id, 4)
    assert words in reason
    assert "start a new run" in reason


def written(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_what_cannot_be_trained_on_says_why_and_is_left_as_it_was(home: Home, store: RunStore) -> None:
    run_id = whole(home, store, early_stopping=1, learning_rate=0.5, optimizer="SGD", epochs=6)
    assert store.run(run_id).epoch < 6
    assert "early stopping ended it after epoch" in refused(home, store, run_id, 9)
    assert "must be more than the 6" in refused(home, store, run_id, 6)
    other = whole(home, store)
    with pytest.raises(ConfigError, match="100000"):
        train_on(home, store, other, 100_001)
    (point, *earlier) = resume_points(home.run_folder(other))
    for each in earlier:
        each.path.unlink()
    text = point.path.read_bytes()
    point.path.write_bytes(text[:-100])
    with pytest.raises(ConfigError, match="damaged or cut short"):
        train_on(home, store, other, 3)
    run = store.run(other)
    assert (run.status, run.config.epochs) == (RunStatus.FINISHED, 2)
    assert run.result is not None
    point.path.unlink()
    assert "last checkpoint is not there any more" in refused(home, store, other, 3)


def test_early_stopping_that_was_due_at_the_last_epoch_is_refused_by_the_checkpoint(home: Home, store: RunStore) -> None:
    """Its result does not tell it from a run that nothing stopped: all its epochs were trained."""
    run_id = whole(home, store, early_stopping=1, learning_rate=0.5, optimizer="SGD", epochs=6)
    last = store.run(run_id).epoch
    again = whole(home, store, early_stopping=1, learning_rate=0.5, optimizer="SGD", epochs=last)
    assert "early stopping ended it at its last epoch" in refused(home, store, again, last + 1)
    assert "early stopping" in str(store.run(again).error)


def test_one_of_two_who_ask_trains_it_on_and_a_cancelled_one_waits_again(home: Home, store: RunStore) -> None:
    run_id = whole(home, store)
    supervisor = Supervisor(home, store)
    supervisor.dispatch = list  # type: ignore[method-assign,assignment]  # nothing begins
    supervisor.go_on(run_id, ResumeRequest(epochs=3))
    with pytest.raises(ConfigError, match="it is queued"):
        supervisor.go_on(run_id, ResumeRequest(epochs=5))
    assert supervisor.cancel(run_id)
    assert supervisor.restore_cancelled(run_id)
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED
    assert (store.run(run_id).step, store.run(run_id).config.epochs) == (3 * STEPS, 3)


def test_command_trains_on_and_refuses_what_is_no_number(home: Home, store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = whole(home, store)
    for epochs in ("2.5", "0", "many"):
        assert main(["resume", run_id, "--epochs", epochs, "--home", str(home.path)]) == 2
        assert "epochs" in capsys.readouterr().err
    assert main(["resume", run_id, "--epochs", "3", "--json", "--home", str(home.path)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["epochs"] == 3
    assert "trained on to 3 epochs in all" in told.err


# The best checkpoint


def test_best_checkpoint_stays_beside_the_last_two_and_beside_the_last_at_the_end(
    home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunCheckpoints, "worthwhile", property(lambda self: True))
    monkeypatch.setattr(checkpoints, "EARLIER", 0)
    seen: list[list[int]] = []
    losses = iter([3.0, 1.0, 2.0, 2.5, 2.2, 2.1])
    take = RunCheckpoints.take

    def measured(self: RunCheckpoints, trainer: Any, *arguments: Any) -> None:
        trainer.epoch = EpochReport(trainer.epoch.epoch, trainer.step, trainer.epoch.train, Score(next(losses), 0.5))
        take(self, trainer, *arguments)
        self.wait()
        seen.append(sorted(point.step // STEPS for point in resume_points(home.run_folder(run_id))))

    monkeypatch.setattr(RunCheckpoints, "take", measured)
    run_id = store.create_run(RunConfig(**{**SMALL, "epochs": 6}))
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED, store.run(run_id).error
    assert seen == [[1], [1, 2], [2, 3], [2, 3, 4], [2, 4, 5], [2, 5, 6]]
    assert [point.step for point in resume_points(home.run_folder(run_id))] == [6 * STEPS, 2 * STEPS]
