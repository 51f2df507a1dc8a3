"""The doctor: every preset that breaks a run is found, healthy runs are left alone, and findings open, close, are kept and can be acted on."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core import catalog
from core.catalog.faults import PRESETS, preset_of
from core.commands.cli import main
from core.config import FAULTS, RunConfig
from core.config.plans import Change
from core.data import Normalise
from core.doctor import RULES, Doctor
from core.machine.home import Home
from core.records.events import RunStatus
from core.records.findings import Diagnosis, Finding, Overlap
from core.store import Run, RunStore
from core.worker.assembly import assemble
from tests.doctor.doctor_cases import FACTS, PLAN, TINY, carried_out

TRAINED = "weights of a run before"
"""In place of starting weights: those of another run here, which frozen layers need to be worth anything."""


HEALTHY: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "watched closely": {"watch_budget": 1.0, "watch_every": 2, "epochs": 6},
    "SGD": {"optimizer": "SGD", "learning_rate": 0.05},
    "one cycle": {"schedule": "OneCycleLR", "learning_rate": 0.01, "epochs": 5},
    "cosine down to nothing": {"schedule": "CosineAnnealingLR", "learning_rate": 3e-3, "epochs": 6},
    "a single epoch in few steps": {"epochs": 1, "batch_size": 256},
    "small pictures, convolutions": {"model": "small_cnn", "batch_size": 64},
    "head only, features kept": {"model": "small_cnn", "freeze": "head only", "learning_rate": 0.01, "epochs": 5, "starting_weights": TRAINED},
    "unfrozen later, with multipliers": {
        "model": "small_cnn", "freeze": "head only", "timeline": "2: !stage3; step 60: learning_rate=0.0005", "starting_weights": TRAINED,
        "learning_rate_multipliers": "head=3", "learning_rate": 3e-3,
    },
    "clipped, accumulated, stopped early": {"clip_norm": 0.1, "accumulate": 2, "batch_size": 16, "early_stopping": 2, "augmentation": "shift"},
    "random, thawed whole later": {"model": "small_cnn", "freeze": "head only", "timeline": "2: train everything", "epochs": 5},
    "rate lowered twice": {"learning_rate": 0.005, "timeline": "3: learning_rate=0.0005; 5: learning_rate=0.00005", "epochs": 6},
    "rate raised with care": {"learning_rate": 0.0003, "timeline": "3: learning_rate=0.002", "epochs": 5},
    "warm restarts": {"schedule": "CosineAnnealingWarmRestarts", "learning_rate": 0.005, "epochs": 8},
    "a last batch of one in a hundred": {"batch_size": 142, "learning_rate": 0.005, "epochs": 8, "watch_budget": 1.0},
    "35 steps": {"model": "small_cnn", "batch_size": 164, "learning_rate": 0.003},
    "another loss": {"loss": "MultiMarginLoss"},
    "deep, with normalisation": {"model": "deep: flatten, " + ", ".join(["linear 32, norm, relu"] * 4), "optimizer": "Adam"},
}  # fmt: skip


# What is broken is found


@pytest.mark.parametrize("name", PRESETS)
def test_run_that_is_broken_on_purpose_is_found(broken: dict[str, tuple[Run, Diagnosis]], name: str) -> None:
    run, diagnosis = broken[name]
    found = {finding.rule: finding for finding in diagnosis.findings}
    assert set(PRESETS[name].findings) <= set(found)
    for rule in PRESETS[name].findings:
        finding = found[rule]
        assert finding.alarming or rule == "plateau"
        said = re.search(r"(Lower|Raise) the learning rate to ([\d.e-]+\d)", finding.remedy.advice)
        rate = finding.remedy.settings.get("learning_rate")
        if isinstance(rate, float):  # what the words say is what the settings do, in that direction
            assert said is not None
            assert (float(said[2]), rate < run.config.learning_rate) == (rate, said[1] == "Lower")
        assert finding.open
        assert any(letter.isdigit() for letter in finding.cause)
        assert 0 <= finding.first_step <= finding.last_step <= max(run.step, 1)
    assert diagnosis.final
    assert diagnosis.step == run.step
    assert preset_of(run.config) == PRESETS[name]


def test_presets_do_what_their_words_say(broken: dict[str, tuple[Run, Diagnosis]], store: RunStore) -> None:
    seen = {name: store.steps_after(run.id, 0, 0, limit=2000) for name, (run, _) in broken.items() if run.step}
    epochs = {name: store.epochs_after(run.id) for name, (run, _) in broken.items()}
    guess = math.log(10)

    high = seen["learning-rate-too-high"]
    assert np.nanmax(high.loss) > 20 * high.loss[0]
    assert (high.update_norms[0] / high.weight_norms[0]).min() > 0.01, "far above 0.001 in every layer, at the first look"
    adding = seen["no-zero-grad"]
    totals = np.linalg.norm(adding.gradient_norms, axis=1)
    assert totals.max() > 100 * totals[0]
    lows = adding.loss[:60].min(), adding.loss[60:120].max(), adding.loss[120:].min()
    assert lows[0] < 0.7 * adding.loss[0] < lows[1] > 2 * lows[2]
    faint = np.median(seen["vanishing-gradients"].gradient_norms[:, ::2], axis=0)
    assert (faint[1:] / faint[:-1])[1:].min() > 1.5, "each layer nearer to the picture is fainter than the next"
    dead = seen["dead-relus"]
    assert (dead.gradient_norms[-1] == 0).tolist() == [True] * 7 + [False]
    assert guess - 0.3 < dead.loss[60:].min() < dead.loss[60:].mean() < guess + 0.3
    lost = seen["not-a-number"].loss
    assert np.isfinite(lost[:20]).all()
    assert lost[:20].max() < 10
    assert np.isnan(lost[60:]).all()
    assert np.isnan(seen["not-a-number"].weight_norms[-1]).all()
    exploding = seen["exploding-gradients"].gradient_norms[:, ::2]
    assert (np.median(exploding[5:], axis=0) > 100 * exploding[0]).all()
    low = seen["learning-rate-too-low"]
    assert (low.update_norms / low.weight_norms).max() < 1e-5
    assert abs(low.loss[-20:].mean() - low.loss[:20].mean()) < 0.1
    shrinking = seen["weight-decay"].weight_norms
    assert (shrinking[-1] < shrinking[0]).all()
    raised, before = epochs["rate-raised"][4:], epochs["rate-raised"][3]
    assert all(row.train_accuracy < before.train_accuracy - 0.5 for row in raised)
    shuffled = epochs["shuffled-labels"]
    assert shuffled[-1].train_accuracy > 0.3 > 0.2 > (shuffled[-1].validation_accuracy or 0)
    assert epochs["overfitting"][-1].train_loss < 1e-3
    rare = epochs["imbalanced-classes"][-1]
    assert rare.train_accuracy > 0.85 > 0.7 > (rare.validation_accuracy or 0)


def test_the_dead_relus_were_killed_by_their_weights(home: Home) -> None:
    """The first layer gives 0 for every picture, and would without its biases: what it weighs the pictures with is what is left of them."""
    config = catalog.check(PRESETS["dead-relus"].config)
    trainer = assemble(config, home).trainer
    images = torch.cat([batch.images for batch in trainer.train.batches(1)])
    for _ in trainer.run():
        pass
    first = next(module for module in trainer.model.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        weighed = Normalise(*catalog.find_model(config.model).normalise)(images).flatten(1) @ first.weight.T
    dead = (weighed + first.bias <= 0).all(0)
    assert int(dead.sum()) >= 60
    assert bool((weighed[:, dead] <= 0).all()), "without the bias too"
    assert float(-weighed[:, dead].mean()) > 50 * float(first.bias.detach().abs().mean())


@pytest.fixture(scope="module")
def trained(home: Home, store: RunStore) -> str:
    """The weights file of a run that went well."""
    run, _ = carried_out(home, store, RunConfig(**{**TINY, "model": "small_cnn"}))
    assert run.result is not None
    return str(home.path / str(run.result.weights))


@pytest.mark.parametrize("label", HEALTHY)
def test_healthy_run_has_no_findings(home: Home, store: RunStore, trained: str, label: str) -> None:
    changes = {name: trained if value == TRAINED else value for name, value in HEALTHY[label].items()}
    run, diagnosis = carried_out(home, store, RunConfig(**{**TINY, **changes}))
    assert run.status is RunStatus.FINISHED
    assert [finding.cause for finding in diagnosis.findings] == []
    assert len(diagnosis.rules) == len(RULES)


def test_remedies_can_be_used_as_they_are(broken: dict[str, tuple[Run, Diagnosis]]) -> None:
    used = set()
    for run, diagnosis in broken.values():
        for finding in diagnosis.findings:
            assert finding.remedy.advice.endswith(".")
            if finding.remedy.change:
                Change.parse(finding.remedy.change)
                used.add("change")
            if finding.remedy.settings:
                catalog.check(run.config.replace(**finding.remedy.settings))
                used.add("settings")
    assert used == {"change", "settings"}


def watched_data(config: RunConfig, counts: tuple[int, int], overlaps: tuple[Overlap, ...] = ()) -> tuple[Finding, ...]:
    """What is found of a run with these training pictures of each class."""
    watched = Doctor(config, PLAN, replace(FACTS, class_counts=counts), clock=lambda: 0.0)
    watched.overlap(overlaps)
    return watched.finish().findings


@pytest.mark.parametrize(("counts", "severity"), [((500, 40), "warning"), ((500, 80), "note")])
def test_rare_classes_count_more_at_one_click_and_are_no_finding_then(counts: tuple[int, int], severity: str) -> None:
    config = RunConfig()
    (finding,) = watched_data(config, counts)
    assert (finding.rule, finding.severity, finding.remedy.settings) == ("class imbalance", severity, {"class_weights": "balanced"})
    assert f"one of dog then counts {counts[0] / counts[1]:.0f} times as much as one of cat" in finding.remedy.advice
    assert watched_data(config.replace(**finding.remedy.settings), counts) == ()
    assert watched_data(config.replace(fault="imbalanced classes"), counts)[0].remedy.settings == {"fault": "none"}
    assert watched_data(config.replace(fault="imbalanced classes", class_weights="balanced"), counts) == ()


def test_pictures_in_two_sets_are_left_out_at_one_click() -> None:
    found = (Overlap("validation", 7, 50), Overlap("test", 0, 50))
    (finding,) = watched_data(RunConfig(), (50, 50), found)
    assert (finding.rule, finding.remedy.settings) == ("leakage", {"doubles": "leave out"})
    assert watched_data(RunConfig(fault="leaking split"), (50, 50), found)[0].remedy.settings == {"fault": "none"}


@pytest.mark.parametrize(
    ("name", "rule", "settings"),
    [
        ("vanishing-gradients", "vanishing gradients", {}),
        ("dead-relus", "dead units", {}),
        ("rate-raised", "worse since a change", {}),
        ("frozen-random", "frozen at random", {}),
        ("loss-blown-up", "learning rate too high", {"learning_rate": 0.01}),
        ("imbalanced-classes", "class imbalance", {"class_weights": "balanced"}),
        ("leaking-split", "leakage", {"doubles": "leave out"}),
    ],
)
def test_run_with_the_remedy_does_not_have_the_finding_again(
    home: Home, store: RunStore, broken: dict[str, tuple[Run, Diagnosis]], name: str, rule: str, settings: dict[str, Any]
) -> None:
    run, diagnosis = broken[name]
    (finding,) = [finding for finding in diagnosis.findings if finding.rule == rule]
    # Where something was broken on purpose, also the remedy for those to whom it happened: what was broken stays broken.
    _, mended = carried_out(home, store, run.config.replace(**(settings or finding.remedy.settings)))
    assert rule not in [finding.rule for finding in mended.findings]


def test_layer_in_which_the_numbers_ended_is_named_with_what_went_in(broken: dict[str, tuple[Run, Diagnosis]]) -> None:
    run, diagnosis = broken["not-a-number"]
    (finding,) = [finding for finding in diagnosis.findings if finding.rule == "not a number"]
    assert finding.layers in (("linear1",), ("linear2",), ("head",))
    assert "was the first that is not a finite number, though what went in was (largest value" in finding.cause
    assert "The loss before was" in finding.cause
    assert finding.last_step <= finding.since_step <= run.step


def test_run_that_failed_at_once_has_its_finding(broken: dict[str, tuple[Run, Diagnosis]]) -> None:
    run, diagnosis = broken["all-frozen"]
    assert run.status is RunStatus.FAILED
    assert str(run.error).startswith("RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn")
    assert [finding.rule for finding in diagnosis.findings] == ["nothing learns"]


def test_one_cause_makes_one_finding(broken: dict[str, tuple[Run, Diagnosis]]) -> None:
    # Nothing is learned in these runs, and that is said only where nothing else explains it.
    for name in ("vanishing-gradients", "dead-relus", "not-a-number", "learning-rate-too-low"):
        assert "no better than chance" not in [finding.rule for finding in broken[name][1].open]


def test_presets_and_rules_have_words() -> None:
    for name, rule in RULES.items():
        assert name == rule.name
        assert all((rule.title, rule.about, rule.false_alarm))
        assert set(rule.explained_by) <= set(RULES)
    found = {rule for preset in PRESETS.values() for rule in preset.findings}
    assert found <= set(RULES)
    # The first two have tests of their own, below and in test_doctor_truth; the others are about files, which no lesson has: see test_fit.
    assert set(RULES) - found == {"update ratio", "loss blown up", "much cut away", "flat pictures"}
    for preset in PRESETS.values():
        assert preset.what.endswith(".")
        assert preset.watch_for.endswith(".")
        assert preset.findings
    assert {preset.config.fault for preset in PRESETS.values()} == set(FAULTS)


def test_findings_are_printed_and_their_exit_status_tells_of_more_than_notes(
    home: Home, store: RunStore, broken: dict[str, tuple[Run, Diagnosis]], capsys: pytest.CaptureFixture[str]
) -> None:
    run, diagnosis = broken["dead-relus"]
    assert main(["findings", run.id, "--home", str(home.path)]) == 1
    said = capsys.readouterr().out
    assert "SERIOUS: Units are dead (since step" in said
    assert "--model 'relu-net: flatten, linear 64, leaky relu" in " ".join(said.split())
    assert main(["findings", run.id, "--home", str(home.path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["rule"] == diagnosis.findings[0].rule
    empty = store.create_run(RunConfig())
    store.set_findings(empty, Diagnosis(5, True, tuple(RULES), ()))
    assert main(["findings", empty, "--home", str(home.path)]) == 0
    assert f"No findings: {len(RULES)} rules looked at, after step 5" in capsys.readouterr().out
    assert main(["findings", store.create_run(RunConfig()), "--home", str(home.path)]) == 2
    assert main(["findings", "nobody", "--home", str(home.path)]) == 2
