"""Scripts of runs, run in folders of their own where Thaw cannot be imported: they end with the weights, and answer with the logits, of the run."""

from __future__ import annotations

import contextlib
import hashlib
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core import catalog
from core.code import Recorded, about_run, phases, pytorch_code, recorded, repeated
from core.code.evaluation import evaluation_code
from core.commands.cli import main
from core.config import RunConfig
from core.evaluation.evaluate import evaluate, load
from core.evaluation.pictures import open_picture
from core.machine.bits import same
from core.machine.home import Home
from core.model import anatomy
from core.records.events import CommandKind, RunStatus
from core.records.layers import frozen_parameters, head_options, multipliers_by_parameter
from core.store import Run, RunStore
from core.training.trainer import StepReport
from core.worker.worker import Worker

pytestmark = pytest.mark.timeout(600)  # one fixture makes all runs and runs all their scripts

CLASSES = ("bird", "cat", "dog")

ALONE = """
import importlib.util, os, runpy, sys
assert importlib.util.find_spec("core") is None, "Thaw can be imported here"
for folder in sys.argv[1:]:
    os.chdir(folder)
    print("in", folder, flush=True)
    names = runpy.run_path("script.py")
    import torch
    kept = {name: names[name] for name in ("logits", "labels", "f1") if name in names}
    if "opened" in names:
        kept["opened"] = names["opened"](os.environ["PICTURE"])
    torch.save(kept, "answers.pth")
"""


def draw(folder: Path, images: int, seed: int) -> None:
    """Class folders with noisy pictures that are no squares, some turned by EXIF, with alpha or of 16 bits, and two files that are no pictures."""
    chance = np.random.default_rng(seed)
    for label, name in enumerate(CLASSES):
        home = folder / name
        home.mkdir(parents=True)
        for number in range(images):
            pixels = chance.integers(0, 255, (30 + 2 * number, 44, 3)).astype(np.uint8)
            pixels[..., label] //= 4
            image = Image.fromarray(pixels)
            if number % 4 == 0:
                turned = Image.Exif()
                turned[0x0112] = 6
                image.save(home / f"{number}.jpg", exif=turned)
            elif number % 4 == 1:
                image.putalpha(int(chance.integers(40, 255)))
                image.save(home / f"{number}.png")
            else:
                image.save(home / f"{number}.png")
        (home / "no picture.jpg").write_bytes(b"nothing")
        (home / ".hidden.png").write_bytes(b"nothing")


class Steered(Worker):
    """A worker to which somebody says something after some steps: `script` is step to a change, or to None, which stops it."""

    def __init__(self, home: Home, store: RunStore, run_id: str, script: dict[int, str | None]) -> None:
        super().__init__(home, store, run_id)
        self.script = script

    def _look(self, report: StepReport, *others: Any) -> None:
        super()._look(report, *others)
        said = self.script.get(report.step, "")
        if said is None:
            self.stop_soon()
        elif said:
            self.store.request(self.run_id, CommandKind.CHANGE, said)
            self._last_look = 0.0


@dataclass(frozen=True)
class Case:
    """A run, and whether its script is made from its record (`listed`) or as for a run that is yet to start."""

    changes: dict[str, Any]
    said: dict[int, str | None]
    status: RunStatus = RunStatus.FINISHED
    listed: bool = True


FLAT, SPLIT = {"dataset": "flat"}, {"dataset": "split", "epochs": 3}
ODD = {"learning_rate_multipliers": "head=3, stage1=0.3", "clip_norm": 0.5, "accumulate": 2, "batch_size": 4, "schedule": "WarmupCosine"}
MANY = {"validation_share": 0.8, "image_size": 16}  # thousands of pictures
CASES = {
    "flat folder": Case(FLAT, {}),
    "flat folder, before it runs": Case(FLAT, {}, listed=False),
    "folder with train and val": Case({**SPLIT, "fit": "pad"}, {}),
    "folder with train and val, before it runs": Case({**SPLIT, "fit": "squash", "augmentation": "crop and flip"}, {}, listed=False),
    "timeline": Case({**SPLIT, **ODD, "freeze": "head only", "timeline": "2: !stage3; step 7: !stage2, learning_rate=0.0007"}, {}),
    "live changes": Case({**SPLIT, "freeze": "head only", "timeline": "3: stage3"}, {3: "!stage3, stage3=0.1", 6: "learning_rate=0.0003"}),
    "stopped": Case(SPLIT, {6: None}, RunStatus.STOPPED),
    "stopped after a live change": Case({**SPLIT, "freeze": "stage1", "early_stopping": 1}, {2: "!stage1", 8: None}, RunStatus.STOPPED),
    "early stopped": Case({**FLAT, "early_stopping": 1, "epochs": 12, "learning_rate": 0.05}, {}),
    "class weights": Case({**FLAT, "class_weights": "balanced", "fault": "imbalanced classes"}, {}),
    "doubles left out": Case({"dataset": "doubles", "doubles": "leave out", "class_weights": "balanced"}, {}),
    "doubles left out, before it runs": Case({"dataset": "doubles", "doubles": "leave out"}, {}, listed=False),
    "dropout": Case({**FLAT, "head_hidden": 16, "head_dropout": 0.4, "augmentation": "crop, flip and colour"}, {}),
    "fixed views": Case({**FLAT, "augmentation": "RandomResizedCrop(scale=[0.3, 1.0]), RandomRotation", "fixed_views": 2}, {}),
    "fixed views, before it runs": Case({**SPLIT, "augmentation": "shift", "fixed_views": 2}, {}, listed=False),
    "shuffled labels": Case({**FLAT, "fault": "shuffled labels"}, {}),
    "a frozen body": Case({**MANY, "dataset": "digits_0_4", "model": "resnet18", "freeze": "head only", "batch_size": 64}, {}),
    "weights that ship": Case(
        {**MANY, "dataset": "digits_5_9", "starting_weights": "pretrained", "freeze": "head only", "timeline": "2: !stage3", "image_size": 32}, {}
    ),
    "drawn shapes": Case({**MANY, "dataset": "shapes", "augmentation": "RandomHorizontalFlip, GaussianBlur", "batch_size": 256, "epochs": 1}, {}),
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """A run that is over, the weights that it and its script ended with, and what the script printed."""

    run: Run
    real: dict[str, Tensor]
    shown: dict[str, Tensor]
    answers: dict[str, Tensor]
    script: str
    home: Home


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder / "flat", 12, 0)
    draw(folder / "split" / "train", 12, 1)
    draw(folder / "split" / "val", 5, 2)
    draw(folder / "doubles", 12, 3)
    for name in CLASSES:
        for number in range(6):
            (folder / "doubles" / name / f"again {number}.jpg").write_bytes((folder / "doubles" / name / f"{number % 3 * 4}.jpg").read_bytes())
    return folder


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[dict[str, Told]]:
    """All cases: the runs in this process, then their scripts, one after the other, in another one that knows nothing of Thaw."""
    before = torch.get_num_threads()
    base = tmp_path_factory.mktemp("scripts")
    home = Home.from_environment(str(base / "home"))
    store = RunStore(home.database)
    runs: dict[str, Run] = {}
    for name, case in CASES.items():
        runs[name] = carried_out(home, store, case, pictures)
        for kind, text in (("train", script_of(home, store, runs[name], case)), ("evaluate", evaluation_of(home, runs[name], case))):
            folder = base / name / kind
            folder.mkdir(parents=True)
            (folder / "script.py").write_text(text)
    picture = str(pictures / "flat" / "cat" / "4.jpg")
    folders = [str(base / name / kind) for name in CASES for kind in ("train", "evaluate")]
    alone = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *folders], cwd=base, capture_output=True, text=True, check=False, timeout=300, env={"PICTURE": picture}
    )
    assert alone.returncode == 0, f"{alone.stdout[-500:]}\n{alone.stderr[-3000:]}"
    yield {
        name: Told(
            run,
            torch.load(home.run_folder(run.id) / "weights.pth"),
            torch.load(base / name / "train" / "weights.pth"),
            {**torch.load(base / name / "evaluate" / "answers.pth"), **answers_of(home, run, Path(picture))},
            (base / name / "train" / "script.py").read_text(),
            home,
        )
        for name, run in runs.items()
    }
    torch.set_num_threads(before)


def carried_out(home: Home, store: RunStore, case: Case, pictures: Path) -> Run:
    """The run of a case, over."""
    given: dict[str, Any] = {
        "image_size": 32,
        "batch_size": 8,
        "epochs": 2,
        "learning_rate": 0.003,
        "device": "cpu",
        "threads": 1,
        "model": "small_cnn",
    }
    given |= case.changes
    if (pictures / given["dataset"]).is_dir():
        given["dataset"] = f"folder:{pictures / given['dataset']}"
    run_id = store.create_run(catalog.check(RunConfig(**given)))
    assert Steered(home, store, run_id, case.said).run() == case.status, store.run(run_id).error
    return store.run(run_id)


def script_of(home: Home, store: RunStore, run: Run, case: Case) -> str:
    """The script as the run's page makes it, or, where nothing is listed, as the form does."""
    assert run.plan is not None
    config = repeated(run.config, store.changes_after(run.id))
    parameters = anatomy.describe(config.model, len(run.plan.classes), config.image_size, head_options(config)).parameters
    frozen = frozen_parameters(config.freeze, parameters)
    layers = [(parameter.name, parameter.name in frozen) for parameter in parameters]
    multipliers = multipliers_by_parameter(config.learning_rate_multipliers, parameters)
    record = recorded(home, run) if case.listed else Recorded()
    return pytorch_code(config, len(run.plan.classes), layers, multipliers, phases(config, parameters), record)


def evaluation_of(home: Home, run: Run, case: Case) -> str:
    """The script of the Evaluate screen."""
    assert run.plan is not None
    record = recorded(home, run) if case.listed else Recorded()
    return evaluation_code(run.config, run.plan.classes, str(home.run_folder(run.id) / "weights.pth"), record)


def answers_of(home: Home, run: Run, picture: Path) -> dict[str, Tensor]:
    """What Thaw itself says: of the test set, and how it sees a picture."""
    found = evaluate(home, run.id)
    loaded = load(home, run.id)
    files = run.config.dataset.startswith("folder:")
    seen = torch.from_numpy(open_picture(picture, run.config.image_size, files, run.config.fit).pixels)[None]
    from core.data.loader import resize

    f1 = torch.tensor([float("nan") if score.f1.value is None else score.f1.value for score in found.evaluation.per_class])
    return {
        "thaw logits": torch.from_numpy(found.logits), "thaw labels": torch.from_numpy(found.labels), "thaw f1": f1,
        "thaw opened": loaded.inputs(resize(seen, run.config.image_size)),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(CASES))
def test_the_script_of_a_run_ends_with_its_weights_without_thaw(name: str, told: dict[str, Told]) -> None:
    found = told[name]
    assert [key for key in found.real if not same(found.shown[key], found.real[key])] == []


@pytest.mark.parametrize("name", list(CASES))
def test_the_evaluation_script_answers_as_thaw_does_picture_by_picture(name: str, told: dict[str, Told]) -> None:
    answers = told[name].answers
    for what in ("labels", "logits", "opened"):
        assert same(answers[what], answers[f"thaw {what}"]), what
    torch.testing.assert_close(answers["f1"].double(), answers["thaw f1"].double(), equal_nan=True, rtol=0, atol=1e-6)


def test_the_cases_do_what_they_are_called(told: dict[str, Told]) -> None:
    stopped, early = told["stopped"].run, told["early stopped"].run
    assert stopped.step == 6
    assert stopped.plan is not None
    assert "if step == 6:  # here the run was stopped by hand" in told["stopped"].script
    assert early.result is not None
    assert early.result.epochs < 12
    assert "if step == 4:\n            FACTORS += " in told["live changes"].script
    assert "if step == 7:\n            set_learning_rate(0.0003)" in told["live changes"].script
    doubles = told["doubles left out"].run
    assert doubles.plan is not None
    assert any(note.startswith("Left out of the") for note in doubles.plan.notes)
    assert "pictures.csv" in told["flat folder"].script
    assert "pictures.csv" not in told["flat folder, before it runs"].script


def test_no_script_speaks_of_thaws_own_modules(told: dict[str, Told]) -> None:
    for found in told.values():
        assert "from core" not in found.script
        assert "import core" not in found.script


@pytest.mark.parametrize("name", ["live changes", "stopped", "flat folder"])
def test_the_command_line_prints_the_script_of_a_run(name: str, told: dict[str, Told], capsys: pytest.CaptureFixture[str]) -> None:
    run, home = told[name].run, told[name].home
    assert main(["code", run.id, "--home", str(home.path)]) == 0
    said = capsys.readouterr()
    assert said.out == told[name].script
    assert "it ends with the same weights, bit for bit" in said.err
    assert ("It stops after step 6, as the run was stopped there." in said.err) == (name == "stopped")
    assert main(["code", run.id, "--evaluate", "--home", str(home.path)]) == 0
    assert capsys.readouterr().out == evaluation_of(home, run, CASES[name])


def test_a_script_of_a_run_stops_at_a_picture_that_is_gone_and_names_one_that_is_another_now(told: dict[str, Told], tmp_path: Path) -> None:
    text = told["flat folder"].script
    names: dict[str, Any] = {"hashlib": hashlib}
    exec(text[text.index("def check(") : text.index("def read(")], names)
    file = tmp_path / "a.png"
    file.write_bytes(b"a picture")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        names["check"](file, hashlib.sha256(b"a picture").hexdigest())
        assert not said.getvalue()
        names["check"](file, hashlib.sha256(b"another").hexdigest())
    assert said.getvalue() == f"changed since the run: {file}\n"
    with pytest.raises(SystemExit, match="is gone; bring it back"):
        names["check"](tmp_path / "b.png", "")
    for found in told.values():
        assert ("check(file, row" in found.script) == ("LIST = Path" in found.script)


def test_the_command_line_refuses_what_has_no_script(told: dict[str, Told], capsys: pytest.CaptureFixture[str]) -> None:
    run, place = told["stopped"].run, str(told["stopped"].home.path)
    for arguments, said in (
        (["code", "--evaluate"], "evaluate: needs a run"),
        (["code", run.id, "--epochs", "3"], "has its settings already"),
        (["code", "--dataset", "folder:/no/such/folder"], "there is no folder /no/such/folder"),
        (["code", "nobody"], "nobody"),
    ):
        assert main([*arguments, "--home", place]) != 0
        assert said in " ".join(capsys.readouterr().err.split())


def test_a_run_without_a_list_says_that_the_folder_is_read_as_it_is_now(told: dict[str, Told], tmp_path: Path) -> None:
    run = told["flat folder"].run
    old = recorded(Home.from_environment(str(tmp_path)), run)
    assert any("kept no list of its pictures" in line for line in about_run(run, old))
    assert not about_run(run, recorded(told["flat folder"].home, run))
    assert "The run goes on" in about_run(replace(run, status=RunStatus.RUNNING), recorded(told["flat folder"].home, run))[0]
    assert "the script goes on to the last epoch" in about_run(replace(run, status=RunStatus.LOST), recorded(told["flat folder"].home, run))[0]


def test_a_stopped_run_is_told_apart_from_one_that_was_not(told: dict[str, Told], tmp_path: Path) -> None:
    run = told["stopped"].run
    home = Home.from_environment(str(tmp_path))
    assert recorded(home, run) == Recorded(old=True, stopped_after=6)
    assert recorded(home, replace(run, status=RunStatus.LOST)) == Recorded(old=True)


def test_the_folder_of_a_run_of_before_lists_is_read_as_it_was_then(pictures: Path) -> None:
    config = RunConfig(dataset=f"folder:{pictures / 'split'}", model="small_cnn", image_size=32)
    for old, test in ((True, "'test': ['val']"), (False, "'validation': ['val']")):
        record = Recorded(old=old)
        assert test in evaluation_code(config, CLASSES, "weights.pth", record)
        assert ('test_set = read(plain, "test")' in evaluation_code(config, CLASSES, "weights.pth", record)) == old
        assert test in pytorch_code(config, 3, [("head.weight", False)], {}, (), record)
