"""Imports as a server begins them: in processes of their own, followed, cancelled, killed; and on the command line."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from core.commands.cli import main
from core.config import ConfigError
from core.importing import desk
from core.importing.desk import Job
from core.importing.job import take_in
from core.importing.plan import Corrections
from core.machine.home import Home, child_environment
from core.versions import names, read
from tests.importing.importing_cases import classes, folder, zipped
from tests.support import ROOT, wait_until


def large() -> bytes:
    """A picture of one colour: small on the disk, and slow to decode."""
    stream = io.BytesIO()
    Image.new("RGB", (2000, 2000), "red").save(stream, "PNG")
    return stream.getvalue()


SLOW = {f"{name}/{number}.png": content + bytes(number) for content in [large()] for name in ("cat", "dog") for number in range(100)}


def ended(home: Home, job: str) -> Job:
    def over() -> Job | None:
        found = desk.state(home, job)
        return found if found is not None and found.state != "working" else None

    found = wait_until(over, what="the end of an import")
    assert found is not None
    return found


def test_a_source_is_looked_at_and_imported_in_processes_of_their_own(tmp_path: Path, home: Home) -> None:
    source = zipped(tmp_path / "data", {**classes("cat", "dog"), "cat/bad.png": b"text"})
    looking = desk.begin(home, source, what="plan")
    importing = desk.begin(home, source, "mine", Corrections(rename={"cat": "feline"}), note="From a test.")
    looked, done = ended(home, looking), ended(home, importing)
    assert looked.plan is not None
    assert [found["name"] for found in looked.plan["classes"]] == looked.plan["becoming"] == ["cat", "dog"]
    assert (looked.state, done.state, done.name, done.version, done.of) == ("done", "done", "mine", 1, 4)
    assert done.report["skipped"] == [{"file": "cat/bad.png", "reason": "not an image", "remedy": done.report["skipped"][0]["remedy"]}]
    assert (read(home, "mine").classes, read(home, "mine").note) == (("dog", "feline"), "From a test.")
    again = ended(home, desk.begin(home, source, "mine"))
    assert (again.state, again.field) == ("failed", "name")
    assert "is called 'mine' already" in again.message
    assert [job.state for job in desk.jobs(home)].count("done") == 2
    for job in desk.jobs(home):
        desk.forget(home, job.id)
    assert (desk.jobs(home), desk.state(home, importing)) == ([], None)
    with pytest.raises(ConfigError, match="is no import"):
        desk.state(home, "../../etc")


def test_an_import_is_cancelled_and_one_that_is_killed_is_found_out(tmp_path: Path, home: Home) -> None:
    source = folder(tmp_path / "data", SLOW)
    job = desk.begin(home, source, "mine")
    wait_until(lambda: (state := desk.state(home, job)) and state.of > 0, what="the first pictures")
    with pytest.raises(ConfigError, match="another import goes on under the name"):
        take_in(home, source, "mine")
    desk.cancel(home, job)
    assert ended(home, job).state == "cancelled"
    job = desk.begin(home, source, "mine")
    wait_until(lambda: (state := desk.state(home, job)) and state.of > 0, what="the first pictures")
    os.kill(int(desk.read_json(desk.folder_of(home, job) / desk.STATUS)["pid"]), signal.SIGKILL)
    found = ended(home, job)
    assert (found.state, found.message) == ("failed", "its process was ended from outside; nothing was kept. Begin it once more")
    assert names(home) == []


def run(capsys: pytest.CaptureFixture[str], home: Home, *line: str) -> tuple[int, str, str]:
    try:
        status = main([*line, "--home", str(home.path)])
    except SystemExit as leaving:
        status = int(str(leaving.code))
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_command_line_does_all_of_it(tmp_path: Path, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    source = zipped(tmp_path / "data", {**classes("cat", "dog", each=10), "cat/bad.png": b"text"})
    status, out, _ = run(capsys, home, "import", str(source), "--look")
    assert (status, out.splitlines()[0]) == (0, "Each folder in data.zip/ is a class: 21 pictures of 2 classes (cat, dog).")
    status, out, err = run(capsys, home, "import", str(source), "--name", "mine", "--json")
    assert status == 0
    assert json.loads(out.splitlines()[-1]) == {
        "name": "mine", "version": 1, "images": 20, "classes": ["cat", "dog"], "splits": {"none": 20},
        "skipped": [{"file": "cat/bad.png", "reason": "not an image"}],
    }  # fmt: skip
    assert "skipped: cat/bad.png: not an image; replace it" in err
    assert run(capsys, home, "datasets", "mine", "--split", "60,20,20")[0] == 0
    assert read(home, "mine").split_note == "60 % train, 20 % validation, 20 % test, each class alike, seed 0."
    assert {split: sum(counts) for split, counts in read(home, "mine").counts.items()} == {"train": 12, "validation": 4, "test": 4}
    status, out, _ = run(capsys, home, "datasets", "mine", "--compare", "1", "2", "--json")
    assert len(json.loads(out)["moved"]) == 20
    assert run(capsys, home, "datasets", "mine", "--restore", "1")[1].startswith("mine, version 3 (")
    status, out, _ = run(capsys, home, "datasets", "--json")
    assert [(one["dataset"], one["number"], one["images"]) for one in json.loads(out)["datasets"]] == [("mine", 3, 20)]
    status, out, _ = run(capsys, home, "datasets", "mine", "--json")
    assert json.loads(out)["report"]["skipped_in_all"] == 1
    assert run(capsys, home, "datasets", "mine")[1].splitlines()[0].startswith("version 3    ")
    status, _, err = run(capsys, home, "train", "--queue", "--dataset", "own:MINE", "--model", "small_cnn")
    assert status == 0, err
    status, _, err = run(capsys, home, "datasets", "--delete", "mine")
    assert (status, "is used by" in err) == (2, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import nothing.zip --name x", "source: "), ("import SOURCE", "name: the dataset needs a name"),
        ("import SOURCE --name a/b", "name: 'a/b' holds '/'"), ("import SOURCE --name x --add", "name: no dataset is called 'x'"),
        ("import SOURCE --name x --rename cat", "rename: 'cat' is not OLD=NEW"), ("datasets --delete x", "dataset: no dataset of your own"),
        ("datasets --undelete x", "dataset: no dataset called 'x' is in the bin"), ("datasets x", "dataset: no dataset of your own is called 'x'"),
        ("datasets --restore 1", "name: of which dataset?"), ("train --dataset own:x", "dataset: no dataset of your own is called 'x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_ends_in_status_two_and_one_clear_line(
    tmp_path: Path, home: Home, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    source = str(zipped(tmp_path / "data", classes("cat", "dog")))
    status, _, err = run(capsys, home, *(source if word == "SOURCE" else word for word in line.split()))
    assert status == 2
    assert f"thaw: {said}" in err


def test_ctrl_c_gives_an_import_up_and_nothing_is_kept(tmp_path: Path, home: Home) -> None:
    source = folder(tmp_path / "data", SLOW)
    line = [sys.executable, "-m", "core", "import", str(source), "--name", "mine", "--home", str(home.path)]
    process = subprocess.Popen(line, cwd=ROOT, env=child_environment(), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list((home.datasets / ".incoming").glob("mine/pictures/*/*")), what="the first pictures")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "cancelled; nothing was kept" in err) == (1, True)
    assert [path for path in home.datasets.rglob("*") if path.is_file() and ".locks" not in path.parts] == []
