"""Homes that were moved, folders that have grown, and what starting weights have seen."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch

from core.commands.cli import main
from core.config import RunConfig
from core.data import Data, own_pictures, prepare
from core.data.ancestry import run_of
from core.data.manifest import PICTURES, read_pictures, read_recipe, write_recipe
from core.evaluation import evaluate
from core.evaluation.predictions import find_run
from core.evaluation.test_set import draw_test_set, open_test_set
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from core.store.checkpoint import weights_of
from core.worker.process import work
from tests.evaluation.own_pictures_cases import World, draw, silent, trained, world  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_home_that_was_moved_has_its_weights(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = world.run.result
    assert result is not None
    assert result.weights == f"runs/{world.run_id}/weights.pth"
    world.home.path.rename(tmp_path / "moved home")
    home = Home.from_environment(str(tmp_path / "moved home"))
    assert main(["show", world.run_id, "--json", "--home", str(home.path)]) == 0
    told = Path(json.loads(capsys.readouterr().out)["weights"])
    assert told == home.run_folder(world.run_id) / "weights.pth"
    assert torch.load(told, weights_only=True)
    assert evaluate.evaluate(home, world.run_id).evaluation.accuracy.value == result.test_accuracy
    # A run of before has an absolute path, to where the home was then.
    with sqlite3.connect(home.database) as connection:
        (text,) = connection.execute("SELECT result FROM runs WHERE id = ?", (world.run_id,)).fetchone()
        older = {**json.loads(text), "weights": str(tmp_path / "home" / "runs" / world.run_id / "weights.pth")}
        connection.execute("UPDATE runs SET result = ? WHERE id = ?", (json.dumps(older), world.run_id))
    assert weights_of(home, find_run(home, world.run_id)) == told


# Starting from a run's weights


def continued(world: World, **changes: Any) -> Data:
    weights = weights_of(world.home, world.run)
    return prepare(world.run.config.replace(starting_weights=str(weights), **changes), world.home, silent, listed=True)


def parts_of(data: Data) -> dict[str, set[str]]:
    parts: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for each in data.pictures():
        parts[each.part].add(each.sha256)
    return parts


def test_on_a_grown_folder_the_test_pictures_of_the_run_before_stay_test_pictures(world: World) -> None:
    before = read_pictures(world.home.run_folder(world.run_id)) or ()
    tested, trained = ({each.sha256 for each in before if each.part == part} for part in ("test", "train"))
    for number in range(20):
        draw(world.folder / "ab"[number % 2] / f"0-new{number}.png", 70_000 + number)
    data = continued(world)
    parts = parts_of(data)
    assert tested < parts["test"]
    assert not trained & parts["test"]
    assert len(parts["test"]) == len(tested) + 4, "and a fifth of what is new"
    assert parts["test"] == parts_of(continued(world, seed=5))["test"]
    said = (
        f"The 12 test pictures of run {world.run_id}, whose weights this run starts from, are test pictures here too, and none that it was trained on"
    )
    assert any(note.startswith(said) and "of 20 pictures that are new to it, 4 were set aside" in note for note in data.notes)
    fresh = parts_of(prepare(world.run.config, world.home, silent, listed=True))
    assert trained & fresh["test"], "drawn anew, it would have been tested on what it knows"


def test_on_the_same_folder_nothing_is_drawn_otherwise(world: World) -> None:
    data = continued(world)
    assert data.pictures() == read_pictures(world.home.run_folder(world.run_id))
    assert not [note for note in data.notes if world.run_id in note]
    other = continued(world, seed=9)
    assert parts_of(other)["test"] == parts_of(data)["test"]
    assert any("validation pictures are among those that run" in note for note in other.notes)


def test_a_chain_of_runs_is_followed_and_a_run_without_a_list_named(world: World) -> None:
    store = RunStore(world.home.database)
    draw(world.folder / "a" / "0-new.png", 80_000)
    second = store.create_run(world.run.config.replace(starting_weights=str(weights_of(world.home, world.run)), epochs=1))
    assert work(world.home, second) is RunStatus.FINISHED
    recipe = read_recipe(world.home.run_folder(second))
    assert recipe is not None
    assert recipe.started_from == world.run_id
    (world.home.run_folder(world.run_id) / PICTURES).unlink()
    data = prepare(world.run.config.replace(starting_weights=str(weights_of(world.home, store.run(second)))), world.home, silent)
    assert any(note.startswith(f"No list of pictures is kept of {world.run_id}") for note in data.notes)
    write_recipe(world.home.run_folder(world.run_id), recipe)  # in a circle: it ends all the same
    assert run_of(str(weights_of(world.home, world.run)), world.home.runs) == world.run_id
    assert run_of(str(world.folder / "a" / "00.png"), world.home.runs) is None
    assert continued(world).notes


def test_a_folder_with_a_test_set_of_its_own_says_what_the_weights_have_seen(world: World, tmp_path: Path) -> None:
    before = read_pictures(world.home.run_folder(world.run_id)) or ()
    for each in before:
        part = "train" if each.part == "test" else "test"
        (tmp_path / "split" / part / each.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(world.folder / each.file, tmp_path / "split" / part / each.file)
    notes = continued(world, dataset=f"folder:{tmp_path / 'split'}", batch_size=2, validation_share=0).notes
    trained = sum(each.part == "train" for each in before)
    assert any(note.startswith(f"{trained} of the 48 test pictures are among those that run {world.run_id}") for note in notes)
    assert any(note.startswith(f"12 of the 12 training pictures are test pictures of run {world.run_id}") for note in notes)


def test_two_runs_on_the_same_pictures_can_be_compared_wherever_they_lie(world: World) -> None:
    own = open_test_set(world.home, world.run, silent)
    assert own.key == draw_test_set(world.run.config, world.home, silent).key
    assert own.key != draw_test_set(RunConfig(dataset="digits", image_size=16), world.home, silent).key
    stamp = own_pictures.stamp(world.home, world.run_id, world.run.config.dataset)
    draw(world.folder / world.tested[0].file, 4)
    assert own_pictures.stamp(world.home, world.run_id, world.run.config.dataset) != stamp
