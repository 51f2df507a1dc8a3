"""`python -m core`, as a person types it."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from PIL import Image

from core.commands.cli import main
from core.config import RunConfig
from core.machine.home import Home, child_environment
from core.networks import models
from core.records.events import RunStatus, Verdict
from core.store import RunStore
from core.worker.supervisor import Supervisor
from tests.support import nursery, wait_until

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = ["--dataset", "digits", "--model", "small_cnn", "--image-size", "16", "--epochs", "1"]


def thaw(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in this process: another one would spend seconds on importing torch, for each of these."""
    output, errors = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, THAW_HOME=str(home.path)), redirect_stdout(output), redirect_stderr(errors):
        try:
            status = main(arguments)
        except SystemExit as leaving:  # argparse: --help
            status = int(leaving.code or 0)
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())


def thaw_as_typed(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**child_environment(), "THAW_HOME": str(home.path)}
    command = [sys.executable, "-m", "core", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def train(home: Home, *arguments: str) -> dict[str, Any]:
    done = thaw(home, "train", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_train_prints_one_json_object_last_and_progress_on_stderr(home: Home) -> None:
    done = thaw_as_typed(home, "train", *QUICK, "--freeze", "head only", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result) == {
        "run_id", "status", "epochs", "steps", "train_loss", "validation_accuracy", "test_accuracy", "seconds", "samples_per_second", "weights",
        "notes", "data", "name", "note", "tags", "starred",
    }  # fmt: skip
    assert (result["status"], result["epochs"]) == ("finished", 1)
    assert Path(result["weights"]).is_file()
    assert "epoch 1 of 1" in done.stderr
    assert RunStore(home.database).run(result["run_id"]).result is not None


def test_same_seed_gives_the_same_figures_twice(home: Home) -> None:
    first, second = train(home, *QUICK), train(home, *QUICK)
    assert [first[name] for name in ("train_loss", "test_accuracy")] == [second[name] for name in ("train_loss", "test_accuracy")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--learning-rate", "0"], ["learning_rate", "above 0"]),
        (["--model", "resnet81"], ["model", "resnet81", "resnet18"]),
        (["--dataset", "digit"], ["dataset", "digits"]),
        (["--device", "cuda:9"], ["device", "cuda:9", "cpu ("]),
        (["--optimizer-options", "{"], ["optimizer_options", "JSON"]),
        (["--optimizer-options", '{"neterov": true}', "--optimizer", "SGD"], ["optimizer_options", "nesterov"]),
        (["--config", "no-such-file.json"], ["config", "no-such-file.json"]),
        (["--freeze", "half of it"], ["freeze", "half of it"]),
        (["--freeze", "layer9.*"], ["freeze", "layer9.*"]),
        (["--freeze", "*"], ["freeze", "nothing would learn", "head only"]),
        (["--unfreeze-at", "stage3"], ["unfreeze_at", "stage3", "3:layer4"]),
        (["--unfreeze-at", "9:stage3"], ["timeline", "9: !stage3", "last epoch"]),
        (["--unfreeze-at", "1:stage9"], ["timeline", "stage9", "stage1"]),
        (["--lr-multiplier", "stage3"], ["learning_rate_multipliers", "stage3", "layer4=0.3"]),
        (["--lr-multiplier", "stage9=2"], ["learning_rate_multipliers", "stage9", "last stage"]),
        (["--head-dropout", "1"], ["head_dropout", "below 1"]),
        (["--dataset", "folder:/no/such/place"], ["dataset", "/no/such/place"]),
        (["--dataset", "folder:~no-such-user/photos"], ["dataset", "no such user"]),
        (["--dataset", "folder: "], ["dataset", "there is none called ' '"]),
        (["--clip-norm", "0"], ["clip_norm", "above 0", "1.0"]),
        (["--accumulate", "1.5"], ["accumulate", "whole number", "1.5"]),
        (["--watch-budget", "3"], ["watch_budget", "1 or less", "0.02"]),
        (["--speed", "automatic", "--precision", "bfloat16"], ["precision", "bfloat16", "automatic", "exact"]),
        (["--fused-optimizer", "maybe"], ["fused_optimizer", "true or false", "maybe"]),
        (["--fused-optimizer", "true", "--optimizer", "RMSprop"], ["fused_optimizer", "RMSprop", "AdamW"]),
        (["--fold-norms", "true", "--feature-cache", "off"], ["fold_norms", "feature_cache"]),
        (["--fixed-views", "4"], ["fixed_views", "augmentation", "shift"]),
        (["--threads", "1000"], ["threads", "1000", "cores"]),
    ],
)
def test_bad_value_is_one_clear_line_and_status_2(home: Home, arguments: list[str], words: list[str]) -> None:
    done = thaw(home, "train", *QUICK[:-2], *arguments)
    assert done.returncode == 2
    said = done.stderr
    assert len(said.strip().splitlines()) == 1, said
    assert all(word in said for word in words), said
    assert RunStore(home.database).runs() == []


def test_what_is_no_file_of_weights_is_refused_before_a_run_is_made(home: Home, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    done = thaw(home, "train", *QUICK, "--starting-weights", str(weights))
    assert done.returncode == 2
    assert "it is a pointer of Git LFS" in done.stderr.strip().splitlines()[-1]
    assert RunStore(home.database).runs() == []


def test_weights_that_do_not_fit_are_status_2_and_a_failed_run(home: Home, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    torch.save({"of another model": torch.zeros(1)}, weights)
    done = thaw(home, "train", *QUICK, "--starting-weights", str(weights))
    assert done.returncode == 2
    assert "starting_weights" in done.stderr.strip().splitlines()[-1]
    assert [run.status for run in RunStore(home.database).runs()] == ["failed"]


def test_how_a_file_of_weights_was_understood_is_told_with_the_run(home: Home, tmp_path: Path) -> None:
    state = models.build("small_cnn", 10, 16).state_dict()
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}, "args": argparse.Namespace(lr=1)}, tmp_path / "last.ckpt")
    result = train(home, *QUICK, "--starting-weights", str(tmp_path / "last.ckpt"))
    taken = "last.ckpt is a file of torch.save. 20 of the model's 20 tensors were taken from it, under names that begin with 'state_dict.model.'."
    assert f"Starting weights: {taken}" in result["notes"]
    assert taken in thaw(home, "show", result["run_id"]).stdout


def test_config_file_is_read_and_flags_win_over_it(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(RunConfig(model="mlp", epochs=3, image_size=8).to_json())
    run_id = train(home, "--config", str(file), "--epochs", "1")["run_id"]
    config = RunStore(home.database).run(run_id).config
    assert (config.model, config.epochs, config.image_size) == ("mlp", 1, 8)


def test_layers_are_unfrozen_at_their_epoch_with_their_own_rate_and_the_audit_proves_the_rest(home: Home) -> None:
    options = [
        "--freeze",
        "head only",
        "--unfreeze-at",
        "2:stage3",
        "--unfreeze-at",
        "3:all",
        "--lr-multiplier",
        "stage3=0.1",
        "--lr-multiplier",
        "head=3",
    ]
    run_id = train(home, *QUICK[:-1], "3", *options)["run_id"]
    store = RunStore(home.database)
    config = store.run(run_id).config
    assert str(config.timeline) == "2: !stage3; 3: train everything"
    assert str(config.learning_rate_multipliers) == "stage3=0.1, head=3"
    assert [int(change.frozen.sum()) for change in store.changes_after(run_id)] == [6, 0]
    shown = thaw(home, "audit", run_id)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.endswith("0 of 0 frozen values changed, after step 108 (every tensor compared)\n")
    assert "learning" in shown.stdout
    rows = json.loads(thaw(home, "audit", run_id, "--json").stdout)["rows"]
    assert {row["verdict"] for row in rows} == {"learning"}
    assert len(rows) == 11


def test_model_prints_what_learns_and_what_it_costs(home: Home) -> None:
    options = ["--dataset", "digits", "--model", "small_cnn", "--image-size", "16", "--freeze", "head only", "--lr-multiplier", "head=3"]
    shown = thaw(home, "model", *options)
    assert shown.returncode == 0, shown.stderr
    assert [line.split() for line in shown.stdout.splitlines() if line.endswith("head.weight")] == [
        ["learns", "3", "1,280", "10", "x", "128", "head.weight"]
    ]
    assert "1,290 of 94,762 parameters learn" in shown.stdout
    told = json.loads(thaw(home, "model", *options, "--json").stdout)
    assert sum(layer["frozen"] for layer in told["layers"]) == 9
    assert told["cost"]["optimizer_bytes"] >= 2 * 4 * 1290
    assert thaw(home, "model", "--freeze", "*").returncode == 2


def test_model_prints_its_own_source_and_the_lines_that_make_and_call_a_layer(home: Home) -> None:
    shown = thaw(home, "model", "small_cnn", "--source", "stage1")
    assert shown.returncode == 0, shown.stderr
    assert "made by SmallCNN (core.networks.own_models)" in shown.stdout
    assert "self.stage1 = _stage(3, 32)" in shown.stdout
    assert "x = self.stage1(x)" in shown.stdout
    assert "stage1: Sequential (torch.nn.modules.container, line" in shown.stdout
    assert "inside: stage1.0, stage1.1, stage1.2, stage1.3" in shown.stdout
    told = json.loads(thaw(home, "model", "small_cnn", "--source", "--json").stdout)
    assert told["class"]["text"].startswith("class SmallCNN(nn.Module):")
    wrong = thaw(home, "model", "small_cnn", "--source", "stage9")
    assert wrong.returncode == 2
    assert "has no layer 'stage9'" in wrong.stderr
    assert "stage1" in wrong.stderr


def test_model_prints_what_normalising_does(home: Home) -> None:
    options = ["--dataset", "digits", "--image-size", "16", "--normalised"]
    shown = thaw(home, "model", "small_cnn", *options)
    assert shown.returncode == 0, shown.stderr
    assert "as its weights expect" in shown.stdout
    assert "takes off 0.485 0.456 0.406, divides by 0.229 0.224 0.225" in shown.stdout
    assert thaw(home, "model", "small_cnn", "--model", "mlp").returncode == 2


def test_the_catalog_says_on_what_terms_pictures_and_weights_can_be_used(home: Home) -> None:
    lines = {line.split()[0]: line for line in thaw(home, "catalog").stdout.splitlines() if line.startswith("  ")}
    assert "Licence of the pictures: CC BY-SA 4.0. Source: https://www.robots.ox.ac.uk" in lines["OxfordIIITPet"]
    assert "Licence of the weights: CC BY-NC 4.0" in lines["regnet_y_128gf"]
    assert "Licence of the weights: none stated" in lines["resnet18"]


def test_network_of_ones_own_is_saved_trained_deleted_and_brought_back(home: Home) -> None:
    assert "No networks yet" in thaw(home, "networks").stdout
    saved = thaw(home, "networks", "--save", "tiny: conv 8, norm, relu, global pool")
    assert saved.returncode == 0, saved.stderr
    text = saved.stdout.strip()
    assert text.startswith("tiny: conv 8")
    assert json.loads(thaw(home, "networks", "--json").stdout) == {"tiny": text}
    taken = thaw(home, "networks", "--save", "tiny: conv 16, global pool")
    assert taken.returncode == 2
    assert "choose another name" in taken.stderr
    assert "class Tiny(nn.Module):" in thaw(home, "networks", "--code", "tiny").stdout
    run_id = train(home, "--dataset", "digits", "--model", "tiny", "--image-size", "8", "--epochs", "1", "--batch-size", "256")["run_id"]
    assert RunStore(home.database).run(run_id).config.model == text
    assert thaw(home, "networks", "--delete", "tiny").returncode == 0
    assert "No networks yet" in thaw(home, "networks").stdout
    assert thaw(home, "networks", "--restore", "tiny").stdout.strip() == text
    wrong = thaw(
        home,
        "train",
        "--dataset",
        "digits",
        "--model",
        f"big: {', '.join(['pool'] * 11)}",
        "--image-size",
        "8",
    )
    assert wrong.returncode == 2
    assert "model" in wrong.stderr
    assert "pool" in wrong.stderr


def test_audit_of_a_leak_has_status_1_and_names_it_first(home: Home) -> None:
    run_id = train(home, *QUICK, "--freeze", "head only")["run_id"]
    store = RunStore(home.database)
    report = store.audit(run_id)
    assert report is not None
    rows = [replace(row, moved=True, verdict=Verdict.LEAKING) if row.name == "stage2.0.weight" else row for row in report.rows]
    store.set_audit(run_id, replace(report, rows=tuple(rows)))
    shown = thaw(home, "audit", run_id)
    assert shown.returncode == 1
    assert shown.stdout.splitlines()[1].split()[0] == "leaking"
    assert "18,432 of 93,472 frozen values changed" in shown.stdout


def test_change_is_made_while_a_run_trains_and_refused_before_and_after(home: Home) -> None:
    store = RunStore(home.database)
    supervisor = Supervisor(home, store, nursery())
    run_id = supervisor.start(RunConfig(dataset="digits", model="small_cnn", image_size=16, epochs=5000, freeze="head only"))
    wait_until(lambda: store.run(run_id).step, what="the first step")
    done = thaw(home, "change", run_id, "!stage3, learning_rate=0.01")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("'!stage3, learning_rate=0.01' holds from step ")
    for change, word in (("stage9", "matches no layer"), ("head, stage3", "nothing would learn"), ("", "is empty")):
        done = thaw(home, "change", run_id, change)
        assert (done.returncode, word in done.stderr) == (2, True), done.stderr
    assert thaw(home, "stop", run_id).returncode == 0
    wait_until(lambda: not store.run(run_id).status.active, what="the end of the run")
    done = thaw(home, "change", run_id, "!stage2")
    assert done.returncode == 2
    assert "has already ended (stopped)" in done.stderr


def test_runs_and_show_list_what_was_trained(home: Home) -> None:
    assert "No runs yet" in thaw(home, "runs").stdout
    run_id = train(home, *QUICK, "--doubles", "leave out", "--class-weights", "balanced")["run_id"]
    assert run_id in thaw(home, "runs").stdout
    shown = thaw(home, "show", run_id)
    assert "epoch    1" in shown.stdout
    note = "No training picture is in the validation or the test set too, so none was left out."
    assert f"\n{note}\n" in shown.stdout
    as_json = json.loads(thaw(home, "show", run_id, "--json").stdout)
    assert (as_json["config"]["model"], as_json["config"]["class_weights"], as_json["notes"][0]) == ("small_cnn", "balanced", note)
    assert [run["run_id"] for run in json.loads(thaw(home, "runs", "--json").stdout)] == [run_id]


def test_how_a_folder_is_read_and_what_is_left_out_is_said_before_training_and_everywhere_after(home: Home, tmp_path: Path) -> None:
    for name, colour in (("ants", (200, 30, 30)), ("bees", (30, 30, 200))):
        for part, count in (("train", 20), ("val", 5)):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for number in range(count):
                ending = "jfif" if number % 2 else "jpg"
                Image.new("RGB", (8, 8), colour).save(tmp_path / "photos" / part / name / f"{number}.{ending}", format="JPEG")
    (tmp_path / "photos" / "train" / "ants" / "broken.jpg").write_text("<html>404</html>")
    (tmp_path / "photos" / "train" / "bees" / "phone.heic").write_bytes(b"x")
    dataset = f"'file://{tmp_path}/photos'"
    done = thaw(home, "train", "--dataset", dataset, "--model", "small_cnn", "--image-size", "8", "--batch-size", "4", "--epochs", "1", "--json")
    assert done.returncode == 0, done.stderr
    unread = "Pictures of formats that are not read were left out: 1 (.heic 1); convert them to JPEG or PNG."
    broken = "1 of 51 files could not be read as images and were left out: ants/broken.jpg (not an image)."
    layout = "train/ trains 2 classes (ants, bees; 41 images); val/ measures progress (10 images); a fifth of train/ is set aside as the test set"
    before, _, after = done.stderr.partition("epoch 1 of 1")
    assert layout in before
    assert unread in before
    assert broken in after
    assert done.stderr.count(layout) == done.stderr.count(unread) == 1
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["data"] == {"classes": ["ants", "bees"], "images": {"train": 32, "validation": 10, "test": 8}}
    assert result["notes"][0].startswith(layout)
    assert {unread, broken} <= set(result["notes"])
    shown = thaw(home, "show", result["run_id"]).stdout
    assert "data: 2 classes, 32 training, 10 validation and 8 test images\n" in shown
    assert json.loads(thaw(home, "show", result["run_id"], "--json").stdout)["notes"] == result["notes"]
    evaluated = thaw(home, "evaluate", result["run_id"]).stdout
    for said in (layout, unread, broken):
        assert said in shown
        assert f"data: {said}" in evaluated
    assert json.loads(thaw(home, "evaluate", result["run_id"], "--json").stdout)["data_notes"] == result["notes"]


def test_run_that_diverged_is_shown_and_its_json_is_json(home: Home) -> None:
    options = ["--dataset", "digits", "--model", "mlp", "--image-size", "8", "--epochs", "1", "--optimizer", "SGD", "--loss", "MSELoss"]
    result = train(home, *options, "--learning-rate", "1000")
    assert result["train_loss"] is None
    assert "nan" in thaw(home, "show", result["run_id"]).stdout
    shown = thaw(home, "show", result["run_id"], "--json").stdout
    assert "NaN" not in shown
    assert json.loads(shown)["history"][0]["train_loss"] is None


def test_home_that_cannot_be_made_is_one_clear_line_and_status_2(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = thaw_as_typed(home, "runs", "--home", str(tmp_path / "file" / "home"))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--home" in done.stderr


def test_unknown_run_is_status_2_with_the_remedy(home: Home) -> None:
    done = thaw(home, "show", "nothing")
    assert done.returncode == 2
    assert "python -m core runs" in done.stderr


@pytest.mark.parametrize("what", ["audit", "profile", "findings"])
def test_what_a_run_does_not_have_is_status_2_with_the_remedy(home: Home, what: str) -> None:
    store = RunStore(home.database)
    run_id = store.create_run(RunConfig())
    waiting = thaw(home, what, run_id)
    assert waiting.returncode == 2
    assert waiting.stderr == f"thaw: run: {run_id} has no {what} (queued); ask again once it trains\n"
    store.end(run_id, RunStatus.STOPPED)
    ended = thaw(home, what, run_id)
    assert ended.returncode == 2
    assert ended.stderr == f"thaw: run: {run_id} has no {what} (stopped); it was over too soon, or was made before Thaw had any; train again\n"


def test_every_config_field_is_a_documented_flag(home: Home) -> None:
    text = thaw(home, "train", "--help").stdout
    for name in RunConfig.model_fields:
        assert f"--{name.replace('_', '-')}" in text
