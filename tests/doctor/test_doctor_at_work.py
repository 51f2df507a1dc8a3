"""The doctor at work on signals made by hand: opening, resolving, births, faults, the command line."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core import catalog
from core.catalog.faults import PRESETS, find_preset
from core.code import pytorch_code
from core.commands.cli import main
from core.config import FAULTS, ConfigError, RunConfig
from core.data import prepare
from core.data.leakage import overlaps, picture_digests
from core.doctor import RULES, Doctor, Rule, Sign, Signs
from core.machine.home import Home
from core.records.events import ChangeRow, EpochRow, StepBlock, StepRow
from core.records.findings import Diagnosis, Finding, Overlap, Remedy
from core.records.profile import StepTimes
from core.records.summaries import block_of
from core.store import RunStore
from core.store.migrations import MIGRATIONS
from core.training.birth import birth
from core.training.trainer import Trainer
from core.worker.assembly import assemble
from tests.doctor.doctor_cases import FACTS, PLAN, TINY, doctor


def rows(first: int, count: int, loss: float = 1.0, ratio: float = 1e-3) -> StepBlock:
    """Steps of the same loss, with looks at every fifth."""
    ones = np.ones(4, np.float32)
    return block_of(
        [
            StepRow(step, 1, float(step), loss, 0.1, 10.0, ones, *((ratio * ones, ones) if step % 5 == 1 else (None, None)))
            for step in range(first, first + count)
        ]
    )


def test_updates_that_are_far_too_long_are_found_while_the_loss_falls() -> None:
    watched = doctor()
    watched.steps(rows(1, 20, loss=2.0, ratio=0.3))
    watched.steps(rows(21, 180, loss=0.5, ratio=0.3))
    (finding,) = watched.diagnosis().findings
    assert (finding.rule, finding.severity, finding.chart) == ("update ratio", "warning", "update ratio")
    assert "changes the weights by 0.3 of their size" in finding.cause
    assert finding.remedy.change == "learning_rate=0.001"  # a hundredth at most: half-way on a scale of factors, and another look
    assert doctor().diagnosis().findings == ()


def rule_that_sees(loss: float, **changes: Any) -> Rule:
    def look(signs: Signs) -> Sign | None:
        return Sign("warning", f"the loss is {loss:g}", Remedy("Do something.")) if signs.step and signs.recent_loss == loss else None

    return Rule(**{"name": "seen", "title": "Seen", "about": "a loss", "false_alarm": "Never.", "look": look, **changes})


def test_finding_opens_after_it_held_for_a_while_and_is_resolved_after_it_was_gone_for_a_while() -> None:
    watched = doctor(seen=rule_that_sees(7.0, hold=3, clear=2))
    watched.diagnosis()
    watched.steps(rows(1, 10, loss=7.0))
    assert not watched.news  # seen at two looks, after 5 and 10 steps: it may be chance
    watched.steps(rows(11, 89, loss=7.0))
    assert watched.news
    (finding,) = watched.diagnosis().findings
    assert (finding.since_step, finding.open) == (15, True)
    watched.steps(rows(100, 10, loss=1.0))  # most of the last 20 steps still have the old loss
    assert watched.diagnosis().open == (finding,)
    watched.steps(rows(110, 50, loss=1.0))
    assert watched.diagnosis().resolved == (replace(finding, resolved_step=115),)
    watched.steps(rows(160, 100, loss=7.0))
    again = watched.diagnosis()
    assert [each.open for each in again.findings] == [True, False]
    assert again.open[0].since_step > 170


def test_what_happened_once_for_all_stays_open() -> None:
    watched = doctor(seen=rule_that_sees(7.0, hold=1, clear=None))
    watched.steps(rows(1, 100, loss=7.0))
    watched.steps(rows(101, 300, loss=1.0))
    assert [finding.open for finding in watched.finish().findings] == [True]


def test_finding_gives_way_to_what_explains_it() -> None:
    effect = rule_that_sees(7.0, name="effect", hold=1, explained_by=("cause",))
    cause = rule_that_sees(7.0, name="cause", hold=5)
    watched = doctor(effect=effect, cause=cause)
    watched.steps(rows(1, 20, loss=7.0))
    assert [finding.rule for finding in watched.diagnosis().open] == ["effect"]
    watched.steps(rows(21, 40, loss=7.0))
    # Not among the resolved ones: it is as it was, and said by the other.
    assert [(finding.rule, finding.open) for finding in watched.diagnosis().findings] == [("cause", True)]


def test_rule_that_fails_is_left_out_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(signs: Signs) -> Sign | None:
        return None if signs.step < 20 else Sign("note", str(1 / 0), Remedy(""))

    watched = doctor(bad=rule_that_sees(1.0, name="bad", look=fails), seen=rule_that_sees(7.0, hold=1))
    watched.steps(rows(1, 60, loss=7.0))
    diagnosis = watched.finish()
    assert [finding.rule for finding in diagnosis.findings] == ["seen"]
    assert diagnosis.rules == ("seen",)
    assert capsys.readouterr().err.count("ZeroDivisionError") == 1


def test_doctor_leaves_looks_out_where_they_cost_more_than_its_share() -> None:
    seconds = 0.0
    looks = 0

    def slow(signs: Signs) -> Sign | None:
        nonlocal seconds, looks
        seconds, looks = seconds + 0.5, looks + 1
        return None

    watched = Doctor(RunConfig(watch_budget=0.02), PLAN, FACTS, {"slow": rule_that_sees(1.0, look=slow)}, clock=lambda: seconds)
    for first in range(1, 1000, 10):
        seconds += 1.0
        watched.steps(rows(first, 10))
    assert looks == 20  # the first ones are always taken, and then there is nothing left for a long while
    watched.finish()
    assert looks == 21


def test_looks_do_not_depend_on_how_steps_come_in() -> None:
    whole, pieces = doctor(), doctor()
    block = rows(1, 200, loss=2.0, ratio=0.3)
    whole.steps(block)
    for first in range(0, 200, 7):
        pieces.steps(rows(first + 1, min(7, 200 - first), loss=2.0, ratio=0.3))
    assert whole.finish() == pieces.finish()


def test_change_of_the_plan_begins_anew_what_is_measured() -> None:
    watched = doctor()
    watched.steps(rows(1, 100, ratio=0.3))
    watched.change(ChangeRow(0, 101, "live", "layer0", 0.1, np.array([True, False, False, False]), np.ones(4, np.float32)))
    assert not len(watched.signs.ratios)
    assert watched.signs.learns.tolist() == [False, True, True, True]


def test_running_statistics_that_lag_behind_are_told_from_labels_that_do_not_fit() -> None:
    for statistics_steps, severity, said in ((300, "note", "take 300 steps"), (30, "serious", "labels that do not fit the pictures do that")):
        watched = Doctor(RunConfig(), PLAN, replace(FACTS, statistics_steps=statistics_steps), clock=lambda: 0.0)
        for epoch in range(1, 7):
            watched.epoch(EpochRow(epoch, 50 * epoch, 1.0, 1 / epoch, 0.95, 0.7, 0.5))
        watched.steps(rows(1, 300))
        (finding,) = [finding for finding in watched.finish().findings if finding.rule == "no better than chance"]
        assert finding.severity == severity
        assert said in finding.cause


def test_reading_that_held_up_a_moment_is_not_slow_data() -> None:
    for seconds, kept, found in ((0.5, 0.0, False), (3.0, 0.0, True), (3.0, 0.5, False)):
        watched = doctor()
        stages = {"data": seconds, "forward": 0.2, "backward": 0.2, **({"static prefix": kept} if kept else {})}
        watched.steps(rows(1, 60), times=StepTimes(60, stages, 60, stages, False, 1, 10, 0.02))  # type: ignore[arg-type]
        assert bool(watched.finish().findings) == found


# What is looked up in model and data


def test_birth_of_a_bad_number_is_traced_to_weights_output_or_loss_and_leaves_the_model_alone(home: Home) -> None:
    trainer: Trainer = assemble(RunConfig(**{**TINY, "model": "small_cnn"}), home).trainer
    batch = next(iter(trainer.train.batches(1)))
    trainer.freezing.train()
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    chance = torch.random.get_rng_state()
    assert birth(trainer, 3, batch).place == "unknown"
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.model.state_dict().items())
    assert torch.equal(chance, torch.random.get_rng_state())

    named = dict(trainer.model.named_parameters())
    with torch.no_grad():
        named["stage2.0.weight"][0, 0, 0, 0] = float("nan")
    found = birth(trainer, 3, batch)
    assert (found.step, found.place, found.layer) == (3, "weights", "stage2.0")
    with torch.no_grad():
        named["stage2.0.weight"].fill_(1e38)
    found = birth(trainer, 4, batch)
    assert (found.place, found.layer) == ("output", "stage2.0")
    assert found.largest_input is not None
    with torch.no_grad():
        named["stage2.0.weight"].copy_(before["stage2.0.weight"])
        named["head.weight"].fill_(0)
        named["head.bias"].copy_(torch.tensor([3e38] + 9 * [-3e38]))
    assert birth(trainer, 5, batch).place == "loss"


def test_pictures_in_two_sets_are_counted_and_those_with_another_label_told_apart(home: Home) -> None:
    data = prepare(RunConfig(**TINY), home, lambda text, share: None)
    assert [(overlap.measured, overlap.shared) for overlap in overlaps(data)] == [("validation", 0), ("test", 0)]
    assert data.validation is not None
    train, held_out = data.train.images, data.validation.images
    places = train.indices[:3]
    assert isinstance(train.images, torch.Tensor)
    train.images[places] = train.images[held_out.indices[:3]]
    train.labels[places] = held_out.labels[held_out.indices[:3]]
    train.labels[places[0]] = (train.labels[places[0]] + 1) % 10
    assert overlaps(data) == (Overlap("validation", 3, len(held_out), 1), Overlap("test", 0, len(data.test.images)))


def test_digests_are_equal_for_equal_pictures_alone_and_kept_beside_the_decoded_ones(home: Home, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (500, 3, 5, 5), dtype=np.uint8)
    pictures[7] = pictures[3]
    digests = picture_digests(pictures)
    assert digests[7] == digests[3]
    assert len(set(digests.tolist())) == 499
    one_bit = pictures[3].copy()
    one_bit[2, 4, 4] ^= 128
    assert picture_digests(one_bit[None])[0] != digests[3]

    data = prepare(RunConfig(**TINY), home, lambda text, share: None)
    assert data.validation is not None
    for loader in (data.train, data.validation, data.test):
        loader.images.store_key = "key"
    (tmp_path / "decoded").mkdir()
    assert not any(overlap.shared for overlap in overlaps(data, tmp_path))
    kept = np.load(tmp_path / "decoded" / "key.digests.npy")
    assert (kept == picture_digests(data.train.images.images[:].numpy())).all()
    kept[np.concatenate([loader.images.indices[:5] for loader in (data.train, data.validation)])] = 0
    np.save(tmp_path / "decoded" / "key.digests.npy", kept)
    assert not any(overlap.shared for overlap in overlaps(data, tmp_path))  # equal digests alone convince nobody


# Kept, told, asked for


FINDING = Finding(
    "dead units", "serious", "Units are dead", "64 of 64 units.", "Small batches.", "gradient norms", 11, 65, ("linear1.weight",),
    Remedy("Start again.", "learning_rate=0.1", {"learning_rate": 0.1, "model": "a: flatten", "early_stopping": 3, "momentum": None}), 65, None,
)  # fmt: skip


def test_findings_come_back_from_the_store_as_they_were(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    assert store.findings(run_id) is None
    diagnosis = Diagnosis(70, False, tuple(RULES), (FINDING, replace(FINDING, resolved_step=69)))
    store.set_findings(run_id, diagnosis)
    assert store.findings(run_id) == diagnosis
    with pytest.raises(KeyError, match="no run 'nobody'"):
        store.findings("nobody")


def test_store_of_before_findings_is_migrated(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "old.db")
    for script in MIGRATIONS[:3]:
        old.executescript(script)
    old.execute("PRAGMA user_version = 3")
    old.execute("INSERT INTO runs (id, created, config, status) VALUES ('a', 1, ?, 'finished')", (RunConfig().to_json(),))
    old.commit()
    old.close()
    store = RunStore(tmp_path / "old.db")
    assert store.findings("a") is None
    store.set_findings("a", Diagnosis(1, True, (), ()))
    assert store.findings("a") == Diagnosis(1, True, (), ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fault": "drifting BatchNorm"}, "is about frozen layers, and freeze is 'train everything'; set freeze to"),
        ({"fault": "frozen in optimizer"}, "set freeze to 'head only'"),
        ({"fault": "all frozen", "timeline": "2: head only"}, "leave the timeline out"),
        ({"fault": "no zero_grad", "speed": "automatic"}, "set speed to exact, or fault to none"),
        ({"fault": "gremlins"}, "must be one of"),
    ],
)
def test_fault_that_cannot_be_had_is_refused_with_what_to_do(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        RunConfig(**changes)
    assert caught.value.field == "fault"


@pytest.mark.parametrize("fault", FAULTS)
def test_script_shows_what_is_broken_and_says_that_it_is_meant(fault: str) -> None:
    layers = [("stage1.0.weight", True), ("head.weight", False), ("head.bias", False)]
    config = catalog.check(RunConfig(model="small_cnn", freeze="head only", fault=fault))
    code = pytorch_code(config, 10, layers)
    compile(code, fault, "exec")
    assert ("on purpose" in code) == (fault != "none")
    assert ("\n        optimizer.zero_grad()" in code) == (fault not in ("no zero_grad", "frozen in optimizer"))


def test_breaking_from_the_command_line_lists_and_carries_out(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["break", "--home", str(home.path)]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in PRESETS)
    assert main(["break", "imbalanced classes", "--home", str(home.path), "--json"]) == 0
    assert [finding["rule"] for finding in json.loads(capsys.readouterr().out)["findings"]] == ["class imbalance"]
    with pytest.raises(ConfigError, match="no preset 'dead-relu'.*dead-relus"):
        find_preset("dead-relu")
    assert find_preset("Uneven classes").name == "imbalanced-classes"
