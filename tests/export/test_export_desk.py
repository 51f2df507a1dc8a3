"""The server's end of exports: asked for, followed, given up; in a process of its own, without torch in this one's way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.config import ConfigError
from core.export.desk import Export, ExportDesk
from core.export.export import exports_folder
from core.machine.home import Home
from core.store import Run
from tests.export.export_cases import trained
from tests.support import nursery, wait_until


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home.from_environment(str(tmp_path_factory.mktemp("export-desk") / "home"))


@pytest.fixture(scope="module")
def run(home: Home) -> Run:
    return trained(home, epochs=1, validation_share=0.8)


@pytest.fixture(scope="module")
def desk(home: Home) -> Iterator[ExportDesk]:
    made = ExportDesk(home, nursery())
    yield made
    made.close()


def ended(desk: ExportDesk, run: Run) -> Export:
    def over() -> Export | None:
        found = desk.state(run.id)
        return found if found is not None and found.work.state != "working" else None

    found = wait_until(over, timeout=120, what="the end of the export")
    assert found is not None
    return found


def test_an_export_is_followed_to_its_end_and_its_failure_is_told(desk: ExportDesk, home: Home, run: Run) -> None:
    assert desk.state(run.id) is None
    desk.begin(run.id, "pth")
    state = desk.state(run.id)
    assert state is not None
    assert (state.format, state.epoch) == ("pth", None)
    with pytest.raises(ConfigError, match="is being exported as pth"):
        desk.begin(run.id, "safetensors")
    found = ended(desk, run)
    assert found.work.state == "done", found.work.message
    assert found.made is not None
    assert found.made.receipt is not None
    assert found.made.receipt.same
    assert found.made.path.is_file()
    desk.begin(run.id, "pth")
    again = ended(desk, run)
    assert again.work.state == "failed"
    assert "there already" in again.work.message
    desk.dismiss(run.id)
    assert desk.state(run.id) is None


def test_what_cannot_be_exported_is_said_at_once(desk: ExportDesk, run: Run) -> None:
    for arguments, field in (((run.id, "onx"), "format"), ((run.id, "pth", 9), "epoch"), (("nobody", "pth"), "run")):
        with pytest.raises(ConfigError) as raised:
            desk.begin(*arguments)  # type: ignore[arg-type]
        assert raised.value.field == field
    assert desk.state(run.id) is None


def test_an_export_that_is_given_up_is_forgotten_and_leaves_nothing(desk: ExportDesk, home: Home, run: Run) -> None:
    before = {path.name for path in exports_folder(home, run.id).iterdir()}
    desk.begin(run.id, "safetensors", force=True)
    desk.cancel(run.id)
    assert desk.state(run.id) is None
    desk.begin(run.id, "script")  # after the one that was given up
    assert ended(desk, run).work.state == "done"
    now = {path.name for path in exports_folder(home, run.id).iterdir() if not path.name.startswith(".")}
    assert now - before == {"run.py"}
