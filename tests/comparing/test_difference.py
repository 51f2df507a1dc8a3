"""How far layers moved, ranked; from files of anywhere, and of runs that never had the same model."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.commands.cli import main
from core.comparing.difference import compare, of_files, of_runs
from core.config import ConfigError
from core.machine.home import Home
from core.records.weight_difference import in_words
from core.store import RunStore
from core.store.checkpoint import checkpoint_path
from tests.comparing.compare_cases import MadeRun

START = {"conv.weight": torch.ones(4), "conv.running_mean": torch.zeros(4), "fc.weight": torch.tensor([3.0, 4.0])}


def moved(**by_name: Tensor) -> dict[str, Tensor]:
    return {name: by_name.get(name.replace(".", "_"), tensor).clone() for name, tensor in START.items()}


def test_distances_and_directions_from_one_start() -> None:
    a = moved(fc_weight=torch.tensor([3.0, 5.0]))
    b = moved(fc_weight=torch.tensor([3.0, 2.0]), conv_running_mean=torch.full((4,), 0.5))
    found = compare(a, b, ("a", "b"), (START, START), "start", (("conv.weight",), ("conv.weight",)))
    rows = {row.name: row for row in found.rows}
    fc = rows["fc.weight"]
    assert (fc.a.relative, fc.b.relative, fc.cosine, fc.largest) == pytest.approx((0.2, 0.4, -1.0, 3.0))  # type: ignore[union-attr]
    assert fc.between.relative == pytest.approx(3 / math.sqrt(34))
    assert rows["conv.weight"].same
    assert rows["conv.weight"].frozen == "both"
    assert rows["conv.running_mean"].between.relative is None, "it began at 0"
    assert found.rows[0].name == "fc.weight"
    said = " ".join(in_words(found))
    assert "1 of 2 parameter tensors (4 of 6 values) are the same to the bit." in said
    assert "running statistics differ in 1 layer whose own weights are the same (conv)" in said


def test_a_frozen_tensor_that_moved_comes_first() -> None:
    a = moved(conv_weight=torch.ones(4) * 1.0001, fc_weight=torch.tensor([30.0, 4.0]))
    found = compare(a, moved(), ("this", "that"), (START, START), "start", (("conv.weight",), ()))
    assert found.rows[0].name == "conv.weight"
    assert found.rows[0].broken == ("a",)
    assert "this: frozen, and yet not what they were at the start: conv.weight." in in_words(found)


def test_other_classes_and_other_models_are_said_and_the_rest_is_compared() -> None:
    a = {"body.weight": torch.ones(2), "head.weight": torch.ones(3, 2)}
    b = {"body.weight": torch.ones(2), "head.weight": torch.ones(5, 2), "extra": torch.ones(1)}
    found = compare(a, b, ("a", "b"))
    assert found.other_shape == (("head.weight", (3, 2), (5, 2)),)
    assert found.only_b == ("extra",)
    assert "Of another shape, so not compared: head.weight (3 x 2 and 5 x 2)." in in_words(found)
    assert "nothing can be compared" in in_words(compare({"x": torch.ones(1)}, {"y": torch.ones(1)}, ("a", "b")))[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_compared_all_the_same(value: float) -> None:
    broken = torch.tensor([value, 1.0])
    assert compare({"w": broken}, {"w": broken.clone()}, ("a", "b")).rows[0].same
    found = compare({"w": broken}, {"w": torch.ones(2)}, ("a", "b")).rows[0]
    assert not found.same


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_two_files_from_anywhere_are_compared_whatever_they_lie_in(tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Home) -> None:
    last = nn.Linear(4, 2)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), last)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        last.weight += 1
    a = saved(tmp_path / "a.pth", {"state_dict": {f"module.{name}": tensor for name, tensor in before.items()}, "epoch": 3})
    b = saved(tmp_path / 'b "quoted" <b>.pth', model.state_dict())
    found = of_files(a, b)
    assert [row.name for row in found.rows if not row.same] == ["2.weight"]
    assert len(found.rows) == 9
    assert main(["diff", str(a), str(b), "--home", str(home.path)]) == 0
    assert "5 of 6 parameter tensors" in capsys.readouterr().out
    assert main(["diff", str(a), str(b), "--start", str(a), "--json", "--home", str(home.path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"][0]["name"] == "2.weight"
    assert told["rows"][0]["a"]["distance"] == 0


@pytest.mark.parametrize(("content", "said"), [(b"", "b: "), (b"not weights at all", "b: "), (None, "there is no file")])
def test_a_file_that_is_none_is_refused_with_its_field(tmp_path: Path, content: bytes | None, said: str) -> None:
    a = saved(tmp_path / "a.pth", {"w": torch.ones(2)})
    b = tmp_path / "b.pth"
    if content is not None:
        b.write_bytes(content)
    with pytest.raises(ConfigError, match="^b: ") as error:
        of_files(a, b)
    assert said in str(error.value)


def weights(home: Home, run: MadeRun, epoch: int, state: dict[str, Tensor]) -> None:
    path = checkpoint_path(home.run_folder(run.id), epoch, 10 * epoch)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)


def test_of_two_runs_a_freeze_that_did_nothing_is_found(home: Home, store: RunStore) -> None:
    runs = [MadeRun(store, seed=seed) for seed in range(2)]
    for run in runs:
        run.train(10)
        weights(home, run, 0, START)
    weights(home, runs[0], 1, moved(conv_weight=torch.full((4,), 1.5)))
    weights(home, runs[1], 1, moved(fc_weight=torch.tensor([4.0, 4.0])))
    found = of_runs(home, store, runs[0].id, runs[1].id)
    assert found.start == "the weights that both began with"
    assert (found.rows[0].name, found.rows[0].frozen, found.rows[0].broken) == ("conv.weight", "both", ("a",))
    runs[0].thaw()
    assert of_runs(home, store, runs[0].id, runs[1].id).rows[0].broken == (), "it was to learn later on"


def test_runs_with_other_starts_or_none_say_so(home: Home, store: RunStore) -> None:
    runs = [MadeRun(store, seed=seed) for seed in range(3)]
    for place, run in enumerate(runs):
        if place < 2:
            weights(home, run, 0, moved(fc_weight=torch.full((2,), float(place))))
        weights(home, run, 1, moved())
        run.end()
    found = of_runs(home, store, runs[0].id, runs[1].id)
    assert "They began with other weights" in " ".join(found.notes)
    assert all(row.cosine is None for row in found.rows)
    found = of_runs(home, store, runs[0].id, runs[2].id)
    assert f"not kept any more of {runs[2].id}" in " ".join(found.notes)
    assert all(row.a is None for row in found.rows)
    bare = MadeRun(store, seed=9)
    with pytest.raises(ConfigError, match="has kept no weights yet"):
        of_runs(home, store, runs[0].id, bare.id)
