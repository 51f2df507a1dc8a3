"""A branch without a change ends as its parent, to the bit; with one as a run whose timeline had the change; what cannot be is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.events import CommandKind, RunStatus
from core.records.forks import Fork
from core.store import RunStore, recovery
from core.store.continued import ResumeRequest
from core.store.fork_tables import NOT_BEGUN
from core.store.resume_files import resume_points
from core.worker import forking
from core.worker.checkpoints import EARLIER, crowded
from core.worker.worker import Worker
from tests.crash import changes, epochs, same

pytestmark = pytest.mark.usefixtures("one_thread", "checkpoint_often")

SMALL: dict[str, Any] = {
    "dataset": "digits_5_9", "validation_share": 0.5, "model": "small_cnn", "image_size": 8, "batch_size": 90,
    "epochs": 3, "threads": 1, "watch_budget": 1.0, "watch_every": 3,
}  # fmt: skip
STEPS = 4
"""Steps of an epoch of `SMALL`."""


def whole(home: Home, store: RunStore, **settings: Any) -> str:
    run_id = store.create_run(RunConfig(**{**SMALL, **settings}))
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED, store.run(run_id).error
    return run_id


def branch(home: Home, store: RunStore, parent: str, step: int, **values: Any) -> str:
    run_id = forking.make(home, store, forking.plan(home, store, parent, step, values))
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED, store.run(run_id).error
    return run_id


@pytest.mark.parametrize("settings", [{}, {"augmentation": "flip", "head_dropout": 0.5, "schedule": "CosineAnnealingLR", "timeline": "2: stage1"}])
def test_without_a_change_it_ends_as_its_parent(home: Home, store: RunStore, settings: dict[str, Any]) -> None:
    parent = whole(home, store, **settings)
    other = branch(home, store, parent, 7)
    assert 0 < (store.run(other).fork or pytest.fail("no fork")).step <= 7
    same(home, store, parent, other)
    assert "to the bit" in store.continued(other)[0]


def test_with_other_freezing_and_rate_it_ends_as_a_run_with_that_timeline(home: Home, store: RunStore) -> None:
    parent = whole(home, store)
    other = branch(home, store, parent, 6, freeze="head only", learning_rate=0.01, learning_rate_multipliers="head=2")
    begun = store.run(other)
    assert begun.fork is not None
    assert str(begun.config.timeline) == f"step {begun.fork.step + 1}: head only, learning_rate=0.01, head=2"
    assert [field for field, *_ in begun.fork.changed] == ["freeze", "learning_rate", "learning_rate_multipliers"]
    again = whole(home, store, **{**begun.config.changes(), "timeline": str(begun.config.timeline)})
    same(home, store, other, again, findings=False)


def test_a_plan_that_the_timeline_is_about_to_change_can_be_kept(home: Home, store: RunStore) -> None:
    parent = whole(home, store, freeze="head only", timeline="2: train everything")
    fork = forking.plan(home, store, parent, STEPS, {"freeze": "head only"})
    assert str(fork.config.timeline) == f"2: train everything; step {STEPS + 1}: head only"
    assert fork.fork.changed == (("freeze", "train everything", "head only"),)
    assert forking.plan(home, store, parent, STEPS, {}).fork.changed == ()


def test_a_branch_stands_when_its_parent_is_gone(home: Home, store: RunStore) -> None:
    parent = whole(home, store)
    past = [row for row in epochs(store, parent) if row[1] <= 8]
    run_id = forking.make(home, store, forking.plan(home, store, parent, 8, {"learning_rate": 0.1}))
    assert store.branches(parent) == [(run_id, store.fork(run_id).step)]  # type: ignore[union-attr]
    store.delete_run(parent)
    for file in sorted(home.run_folder(parent).rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED
    assert epochs(store, run_id)[: len(past)] == past
    assert store.last_step(run_id) == 3 * STEPS
    store.delete_run(run_id)  # and its folder tells all of it again
    (lying,) = [each for each in recovery.found(home, store) if each.id == run_id]
    assert recovery.take_in(store, lying).steps == 3 * STEPS
    assert store.run(run_id).fork is not None


def test_a_branch_of_a_branch_and_one_that_is_continued(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = whole(home, store)
    one = branch(home, store, parent, 4, learning_rate=0.02)
    two = branch(home, store, one, 10)
    same(home, store, one, two)
    three = forking.make(home, store, forking.plan(home, store, parent, 4, {"optimizer": "SGD", "learning_rate": 0.05}))
    stopping = Worker(home, store, three)
    ask = RunStore(home.database)
    monkeypatch.setattr("core.worker.worker.COMMAND_SECONDS", 0.0)
    append = stopping.store.append

    def stop_soon(*arguments: Any) -> None:
        append(*arguments)
        ask.request(three, CommandKind.STOP)

    monkeypatch.setattr(stopping.store, "append", stop_soon)
    assert stopping.run() is RunStatus.STOPPED
    store.ask_to_resume(three, ResumeRequest())
    assert Worker(home, store, three).run() is RunStatus.FINISHED, store.run(three).error
    same(home, store, three, branch(home, store, parent, 4, optimizer="SGD", learning_rate=0.05), findings=False)


def test_another_optimizer_begins_anew_and_other_pictures_with_a_whole_epoch(home: Home, store: RunStore) -> None:
    parent = whole(home, store, schedule="CosineAnnealingLR", freeze="head only")
    other = branch(home, store, parent, 8, optimizer="SGD", momentum=0.9)
    assert "optimizer begins anew" in store.continued(other)[0]
    rates = [store.steps_after(run_id, 0, 0).learning_rate for run_id in (parent, other)]
    assert rates[0].tolist() == rates[1].tolist(), "the schedule goes on"
    new = branch(home, store, whole(home, store), 6, augmentation="flip", batch_size=45, freeze="head only")
    run = store.run(new)
    assert run.fork is not None
    assert run.plan is not None
    assert run.plan.total_steps == run.step == run.fork.step + (3 - run.fork.epochs) * 2 * STEPS
    assert [(step, text) for step, _, text, *_ in changes(store, new)] == [(run.fork.step + 1, "head only")]


REFUSED: dict[str, tuple[int, dict[str, Any], str, str]] = {
    "before the first checkpoint": (1, {}, "step", "comes before the first checkpoint"),
    "a step that was never made": (13, {}, "step", "which has made 12"),
    "nothing left": (12, {}, "step", "all 3 epochs are over"),
    "another model": (8, {"model": "mlp"}, "model", "the parent's model"),
    "no such field": (8, {"<b>\"x'": 1}, "set", "is no field of a config"),
    "a value out of its range": (8, {"learning_rate": -1}, "learning_rate", "above 0"),
    "a past that was otherwise": (8, {"timeline": "2: head only"}, "timeline", "has happened already"),
    "other classes": (8, {"dataset": "digits"}, "dataset", "has 10 classes"),
    "fewer epochs": (8, {"epochs": 1}, "epochs", "are over"),
    "another length for its schedule": (8, {"epochs": 9}, "epochs", "follows the number of epochs"),
    "a layer that is none": (8, {"freeze": "layer9"}, "timeline", "matches no layer"),
}


def test_what_cannot_be_is_refused_by_name(home: Home, store: RunStore) -> None:
    parent = whole(home, store, schedule="CosineAnnealingLR")
    for name, (step, values, field, message) in REFUSED.items():
        with pytest.raises(ConfigError, match=message) as refused:
            branch(home, store, parent, step, **values)
        assert refused.value.field == field, name
    assert len([run for run in store.runs() if run.fork is None]) == 1


def test_checkpoints_that_are_gone(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = whole(home, store)
    planned = forking.plan(home, store, parent, 8, {})
    planned.point.path.unlink()
    with pytest.raises(ConfigError, match="not there any more"):
        forking.make(home, store, planned)
    assert store.ids() == {parent}
    assert [path.name for path in home.runs.iterdir()] == [parent]

    def full(source: Path, to: Path) -> None:
        raise OSError(28, "No space left on device")

    planned = forking.plan(home, store, parent, 8, {})
    monkeypatch.setattr("core.worker.forking.os.link", full)
    monkeypatch.setattr("core.worker.forking.shutil.copyfile", full)
    with pytest.raises(ConfigError, match="No space left"):
        forking.make(home, store, planned)
    assert store.ids() == {parent}
    for point in resume_points(home.run_folder(parent)):
        point.path.unlink()
    with pytest.raises(ConfigError, match="has no checkpoint to branch off from"):
        forking.plan(home, store, parent, 8, {})


def test_pictures_that_are_others_are_said_and_the_branch_can_be_tried_again(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = whole(home, store)
    run_id = forking.make(home, store, forking.plan(home, store, parent, 8, {"learning_rate": 0.1}))
    listed = home.run_folder(run_id) / "pictures.csv"
    text = listed.read_bytes()
    listed.unlink()  # a second name of the parent's
    listed.write_bytes(text.replace(b"train", b"test", 1))
    with pytest.raises(ConfigError, match="pictures are others"):
        Worker(home, store, run_id).run()
    assert store.run(run_id).status is RunStatus.FAILED
    assert (home.run_folder(parent) / "pictures.csv").read_bytes() == text
    listed.write_bytes(text)
    store.ask_to_resume(run_id, store.resume_request(run_id) or pytest.fail("none"))
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED


def test_one_that_was_never_put_together_says_so(home: Home, store: RunStore) -> None:
    parent = whole(home, store, epochs=2)
    run_id = store.create_fork(RunConfig(**SMALL), forking.plan(home, store, parent, 4, {}).fork)
    assert (store.run(run_id).status, store.run(run_id).error) == (RunStatus.FAILED, NOT_BEGUN)
    with pytest.raises(KeyError):
        store.create_fork(RunConfig(**SMALL), Fork("nothing", 4, 4))
    assert json.loads(store.columns(run_id)["fork"])["parent"] == parent


def test_checkpoints_to_branch_off_from_stay_spread(home: Home, store: RunStore) -> None:
    run_id = whole(home, store, epochs=9)
    steps = [point.step for point in resume_points(home.run_folder(run_id))]
    assert steps[0] == 9 * STEPS
    assert EARLIER <= len(steps) <= EARLIER + 2
    assert steps[-1] <= 2 * STEPS, "one of the beginning is among them"
    assert max(later - earlier for later, earlier in itertools.pairwise(steps)) <= 3 * STEPS


@pytest.mark.parametrize(("steps", "place"), [([9, 8, 5, 1], 1), ([9, 6, 5, 1], 1), ([4], 0), ([4, 2], 0), ([10, 6, 5, 4, 0], 2)])
def test_the_one_that_is_dropped_lies_closest(steps: list[int], place: int) -> None:
    assert crowded(steps) == place
