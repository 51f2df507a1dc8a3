"""Tables, event files and reports by the way that everybody takes: `core.export.export`."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import ConfigError
from core.export.export import export
from core.export.formats import FORMATS
from core.machine.home import Home
from core.records.events import RunStatus
from tests.export.report_cases import empty, recorded

NAMES = [
    pytest.param(name, marks=pytest.mark.skipif(bool(FORMATS[name].missing), reason=f"{name} needs an optional extra: {FORMATS[name].install}"))
    for name in ("csv", "parquet", "tensorboard", "report")
]


@pytest.mark.parametrize("name", NAMES)
def test_every_record_of_a_run_can_be_taken_away(home: Home, tmp_path: Path, name: str) -> None:
    """Whole, without a receipt, in the run's folder or elsewhere, over another only if that is asked for, and of a run that has no step as well."""
    run_id = recorded(home)
    made = export(home, run_id, name)
    assert made.path.exists()
    assert made.path.parent == home.run_folder(run_id) / "exports"
    assert made.bytes > 0
    assert made.receipt is None
    assert made.beside == ()
    with pytest.raises(ConfigError, match="is there already"):
        export(home, run_id, name)
    assert export(home, run_id, name, force=True).bytes == pytest.approx(made.bytes, rel=0.01)
    place = tmp_path / f"elsewhere{FORMATS[name].suffix}"
    assert export(home, recorded(home, RunStatus.FAILED), name, output=place).path == place
    assert export(home, empty(home), name, output=tmp_path / f"empty{FORMATS[name].suffix}").told
