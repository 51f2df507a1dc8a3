"""The table against peers: that all contestants train the same thing, and that its figures are worked out right."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench import arena, photos
from bench.__main__ import main
from bench.arena import Options, Row, difference
from bench.cases import USUAL, all_cases, chosen
from bench.contestants import compete
from bench.peers import case_table, ratio, ratio_table
from bench.task import Found, Order, begin
from core.config import RunConfig
from core.data import intake
from core.machine.home import Home
from tests.test_setup import clone, surroundings

__all__ = ["clone"]


@pytest.fixture(autouse=True)
def _determinism_as_it_was() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def tiny(**changes: object) -> RunConfig:
    """Ten steps of a model with BatchNorm, and dropout in its head: whoever draws one random number too many shows it."""
    fixed = {"model": "small_cnn", "image_size": 16, "freeze": "head only", "head_dropout": 0.5, "epochs": 2, "validation_share": 0.9}
    return RunConfig(**{**fixed, "device": "cpu", **changes})


def final_weights(name: str, config: RunConfig, folder: Path) -> tuple[Found, dict[str, Tensor]]:
    """What a contestant found and where its weights ended; each has a home of its own."""
    scratch = folder / name
    scratch.mkdir()
    return compete(name, config, Home.from_environment(str(scratch / "home")), scratch, workers=2)


def test_thaw_and_the_bare_loop_with_frozen_norms_end_with_the_same_weights_and_the_tutorial_does_not(tmp_path: Path) -> None:
    reference, weights = final_weights("frozen", tiny(), tmp_path)
    found, ours = final_weights("thaw", tiny(), tmp_path)
    assert difference(ours, weights) == 0
    assert found.samples == reference.samples == 2 * 144
    assert min(found.seconds, found.cpu_seconds, found.setup_seconds, found.memory) > 0
    _, theirs = final_weights("tutorial", tiny(), tmp_path)
    assert difference(theirs, weights) > 0  # its frozen BatchNorm goes on counting


def test_where_everything_learns_the_tutorial_ends_with_the_same_weights_too(tmp_path: Path) -> None:
    config = tiny(freeze="train everything")
    _, weights = final_weights("frozen", config, tmp_path)
    for name in ("tutorial", "thaw"):
        assert difference(final_weights(name, config, tmp_path)[1], weights) == 0


def test_from_jpeg_files_peers_and_thaw_see_the_same_pixels_and_end_with_the_same_weights(tmp_path: Path) -> None:
    folder = photos.make(tmp_path / "photos", train=12, test=2)
    config = tiny(dataset=f"folder:{folder}", image_size=208, validation_share=0.0, batch_size=4)
    _, weights = final_weights("frozen", config, tmp_path)
    found, ours = final_weights("thaw", config, tmp_path)
    assert found.samples == 2 * 12
    assert difference(ours, weights) == 0


def test_the_photos_are_the_same_each_time_square_and_small_enough_for_no_decoder_to_take_a_short_cut(tmp_path: Path) -> None:
    first, second = (photos.make(tmp_path / name, train=6, test=2) for name in ("first", "second"))
    files = sorted(path.relative_to(first) for path in first.rglob("*.jpg"))
    assert len(files) == 8
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()
        with Image.open(first / file) as image:
            assert image.width == image.height < 2 * 2 * 224
            plain = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        assert np.array_equal(intake.decode(first / file, 224), plain)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_peers_loader_gives_the_batches_of_each_epoch_in_the_order_of_thaw(workers: int, tmp_path: Path) -> None:
    folder = photos.make(tmp_path / "photos", train=9, test=4)
    config = tiny(dataset=f"folder:{folder}", validation_share=0.0, batch_size=4, image_size=8)
    home = Home.from_environment(str(tmp_path / "home"))
    given = begin(config, home, tmp_path, workers)
    loader = given.loader()
    labels = [[batch[1].tolist() for batch in loader] for _ in range(3)]
    from core.worker.assembly import assemble

    ours = assemble(config, home).trainer.train
    assert labels == [[batch.labels.tolist() for batch in ours.batches(epoch)] for epoch in (1, 2, 3)]
    assert len(loader) == len(labels[0])
    assert labels[0] != labels[1]


def test_an_epoch_of_the_order_begins_when_it_is_read_not_when_it_is_made() -> None:
    order = Order(64, tiny())
    iter(order)
    assert list(order) == list(Order(64, tiny()))


def found(seconds: float, cpu: float = 1.0, **changes: float) -> Found:
    values = {"seconds": seconds, "cpu_seconds": cpu, "setup_seconds": 1.0, "samples": 1000, "memory": 500.0}
    return Found(**{**values, **changes})  # type: ignore[arg-type]


ROWS = {
    "frozen": Row((found(10, 8), found(12, 9), found(50, 10)), 0.0),
    "fastai": Row((), note="fastai is not installed: no such torch"),
    "thaw": Row((found(3, 1), found(2, 2), found(1, 3)), 2e-7),
}


def test_the_table_shows_medians_ratios_and_why_a_row_is_empty() -> None:
    head, _, reference, missing, ours = case_table(ROWS, Options(chosen("all"), list(ROWS)), "cpu")
    cells = [cell.strip() for cell in ours.strip("|").split("|")]
    assert dict(zip([name.strip() for name in head.strip("|").split("|")], cells, strict=True)) == {
        "": "Thaw, exact",
        "seconds": "2.00",
        "CPU seconds": "2.00",
        "samples/s": "500",
        "ratio": "6.00x",
        "memory, MB": "500",
        "difference": "2e-07",
        "set-up, s": "1.0",
    }
    assert "| 1.00x |" in reference
    assert "no such torch" in missing
    assert missing.count("|") == head.count("|")


def test_on_one_thread_the_seconds_of_the_processor_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cases = chosen("")
    assert ratio(ROWS["thaw"], ROWS["frozen"], Options(cases, list(ROWS))) == 12 / 2
    assert ratio(ROWS["thaw"], ROWS["frozen"], Options(cases, list(ROWS), threads=1)) == 9 / 2
    assert math.isnan(ratio(ROWS["fastai"], ROWS["frozen"], Options(cases, list(ROWS))))


def test_the_share_of_a_gpus_peak_is_the_bare_loops_work_in_the_contestants_time() -> None:
    counted = {"frozen": Row((found(10, flop=4e12, peak=1e12),), 0.0), "thaw": Row((found(5, device_memory=900),), 0.0)}
    lines = case_table(counted, Options(chosen(""), list(counted)), "cuda:0")
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["40.0%", "80.0%"]
    assert "| 900 |" in lines[3]


def test_all_cases_stand_side_by_side_with_a_gap_where_a_contestant_did_not_run() -> None:
    lines = ratio_table({"one": ROWS, "two": {**ROWS, "thaw": Row((found(1),))}}, Options(chosen(""), list(ROWS)))
    assert lines[0] == "|  | one | two |"
    assert lines[-1] == "| Thaw, exact | 6.00x | 12.0x |"
    assert [line for line in lines if line.startswith("| fastai")] == ["| fastai |  |  |"]


def test_the_difference_is_the_largest_of_any_number_and_never_hides_one_that_is_no_number() -> None:
    weights = {"a": torch.tensor([1.0, 2.0]), "count": torch.tensor(3)}
    assert difference(weights, weights) == 0
    assert difference({**weights, "a": torch.tensor([1.0, 2.5])}, weights) == 0.5
    assert difference({**weights, "count": torch.tensor(4)}, weights) == 0  # how often a norm has looked is no weight
    assert difference({**weights, "a": torch.tensor([1.0, math.nan])}, weights) == math.inf
    assert difference({"a": weights["a"]}, weights) == math.inf
    assert math.isnan(difference(None, weights))


def test_cases_are_chosen_by_name_or_by_part_of_a_name() -> None:
    assert [case.name for case in chosen("")] == list(USUAL)
    assert len(chosen("all")) == len(all_cases()) == 26
    assert [case.name for case in chosen("digits-resnet18-head-5")] == ["digits-resnet18-head-5"]  # and not -50
    assert [case.name for case in chosen("photos-resnet18, resnet18-all")] == [
        *(f"photos-resnet18-{plan}-{epochs}" for plan in ("head", "stage", "all") for epochs in (5, 20)),
        *(f"digits-resnet18-all-{epochs}" for epochs in (5, 20)),
    ]
    with pytest.raises(ValueError, match="there is no case 'vgg'; there are digits-resnet18-head-5"):
        chosen("digits, vgg")


def test_every_case_is_a_run_that_can_be_begun(tmp_path: Path) -> None:
    from core.worker.assembly import check

    home = Home.from_environment(str(tmp_path / "home"))
    folder = photos.make(tmp_path / "photos", train=4, test=2)
    for case in all_cases().values():
        config = check(case.config(folder, "cpu"), home)
        assert config.schedule == "constant"
        assert config.validation_share == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--contestants", "keras"], "there is no contestant keras; there are tutorial, frozen"),
        (["--cases", "vgg16"], "there is no case 'vgg16'"),
        (["--threads", "-1"], "--threads -1 cannot be; give 1 or more"),
        (["--rounds", "0"], "--rounds 0 measures nothing; give 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    arguments: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "peers", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_peer_that_cannot_be_installed_is_left_out_with_what_pip_said(clone: Path) -> None:
    def environment(wanted: str) -> str:
        command = [sys.executable, str(clone / ".ci" / "environment.py"), wanted]
        return subprocess.run(command, env=surroundings(clone), capture_output=True, text=True, check=True).stdout.strip()

    cache = clone.parent / "cache" / "thaw"
    (clone / "bench" / "requirements.txt").write_text("# a comment\npip  # is there already\n./no-such-peer\n")
    folder = Path(environment("peers"))
    assert folder.parent == cache
    assert (folder / ".installed-pip").exists()
    (note,) = (folder / "not-installed").iterdir()
    assert "no-such-peer" in arena._reason(note.read_text())

    (product,) = cache.glob("venv-*/")
    seen = subprocess.run([folder / "bin" / "python", "-c", "import sys; print(sys.path)"], capture_output=True, text=True, check=True).stdout
    assert 0 < seen.index(str(folder)) < seen.index(str(product))  # its own packages first
    environment("clean")
    assert folder.exists()
    (clone / "bench" / "requirements.txt").write_text("# changed\n")
    environment("clean")
    assert not folder.exists()
    assert product.exists()
