"""CSV and Parquet: every state of a figure comes back as what it was, whatever the length of the run."""

from __future__ import annotations

import ast
import csv
import math
import re
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from bench.synthetic import LAYERS as WIDE
from bench.synthetic import SyntheticRun
from core.config.errors import Cancelled
from core.export import tables
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from tests.export.report_cases import LAYERS, empty, never, quiet, recorded, subject, target

LAYER_ROWS = [
    (1, "stem.weight", "gradient_norm", None, "frozen"),
    (1, "body.weight", "gradient_norm", 0.5, "measured"),
    (1, "body.bias", "gradient_norm", 0.0, "measured"),
    (2, "stem.weight", "gradient_norm", None, "frozen"),
    (2, "body.weight", "gradient_norm", None, "not measured"),
    (2, "body.bias", "gradient_norm", None, "not measured"),
    (2, "stem.weight", "update_norm", None, "frozen"),
    (2, "body.weight", "update_norm", 0.01, "measured"),
    (2, "body.bias", "update_norm", 0.0, "measured"),
    (2, "stem.weight", "weight_norm", None, "frozen"),
    (2, "body.weight", "weight_norm", 4.0, "measured"),
    (2, "body.bias", "weight_norm", 1.0, "measured"),
    (3, "stem.weight", "gradient_norm", None, "frozen"),
    (3, "body.weight", "gradient_norm", math.nan, "not finite"),
    (3, "body.bias", "gradient_norm", math.inf, "not finite"),
    (4, "stem.weight", "gradient_norm", 0.25, "measured"),
    (4, "body.weight", "gradient_norm", 2.0, "measured"),
    (4, "body.bias", "gradient_norm", None, "no gradient"),
]
"""What `layers` has to hold, in this order."""

EPOCH_ROWS = [
    (1, 2, 1.0, "training", 1.75, 0.5, "measured"),
    (1, 2, 1.0, "validation", None, None, "not measured"),
    (2, 4, 2.0, "training", math.nan, 0.25, "not finite"),
    (2, 4, 2.0, "validation", math.nan, 0.125, "not finite"),
    (2, 4, 2.0, "test", math.nan, 0.375, "not finite"),
]


def same(found: Any, wanted: Any) -> bool:
    """Equal, where a NaN equals a NaN and a null nothing but a null."""
    if isinstance(wanted, float) and isinstance(found, float):
        return math.isclose(found, wanted, rel_tol=1e-6) or (math.isnan(found) and math.isnan(wanted))
    return found is None if wanted is None else bool(found == wanted)


def assert_rows(table: pa.Table, wanted: list[tuple[Any, ...]]) -> None:
    found = [tuple(row.values()) for row in table.to_pylist()]
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert all(map(same, one, other)), (one, other)


def assert_tables(read: dict[str, pa.Table]) -> None:
    assert_rows(read["layers"], LAYER_ROWS)
    assert_rows(read["epochs"], EPOCH_ROWS)
    steps = read["steps"].to_pylist()
    assert [row["loss"] for row in steps[:2]] == [2.0, 1.5]
    assert math.isnan(steps[2]["loss"])
    assert steps[3]["loss"] == 0.0
    assert [row["state"] for row in steps] == ["measured", "measured", "not finite", "measured"]
    assert [row["pictures_per_second"] for row in steps] == [None, 640.0, 640.0, 640.0]
    assert [(row["step"], row["epoch"], row["seconds"]) for row in steps] == [(1, 1, 0.5), (2, 1, 1.0), (3, 2, 1.5), (4, 2, 2.0)]


def test_parquet_keeps_null_nan_zero_and_infinity_apart(home: Home, tmp_path: Path) -> None:
    folder = target(tmp_path, "run-parquet")
    assert tables.write_parquet(subject(home, recorded(home)), folder, quiet, never) == ()
    assert_tables({name: pq.read_table(folder / f"{name}.parquet") for name in tables.SCHEMAS})


def test_csv_says_nothing_nan_zero_and_inf_as_four_different_things(home: Home, tmp_path: Path) -> None:
    file = target(tmp_path, "run.csv.zip")
    tables.write_csv(subject(home, recorded(home)), file, quiet, never)
    read = {}
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["README.txt", "steps.csv", "layers.csv", "epochs.csv"]
        texts = {name: archive.read(f"{name}.csv").decode() for name in tables.SCHEMAS}
    values = [row["value"] for row in csv.DictReader(texts["layers"].splitlines())]
    assert [values[place] for place in (0, 2, 13, 14)] == ["", "0", "nan", "inf"]
    options = pa.csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
    for name, text in texts.items():
        read[name] = pa.csv.read_csv(pa.BufferReader(text.encode()), convert_options=options)
    assert_tables(read)


def test_a_name_like_that_of_a_file_is_said_to_be_a_folder(home: Home, tmp_path: Path) -> None:
    said = tables.write_csv(subject(home, recorded(home)), folder := target(tmp_path, "out.csv"), quiet, never)
    assert said[0] == "out.csv is a folder with steps.csv, layers.csv, epochs.csv and README.txt; a name that ends in .zip gives one file."
    assert (folder / "steps.csv").is_file()


def test_the_readme_tells_of_every_column_and_state(home: Home, tmp_path: Path) -> None:
    folder = target(tmp_path, "tables")
    tables.write_csv(subject(home, run_id := recorded(home)), folder, quiet, never)
    about = (folder / "README.txt").read_text()
    names = {field.name for schema in tables.SCHEMAS.values() for field in schema} | set(tables.STATES) | set(tables.WHAT) | {run_id}
    assert not {name for name in names if name not in about}


def test_pandas_keeps_them_apart_when_it_is_asked_as_the_readme_says(home: Home, tmp_path: Path) -> None:
    each = subject(home, recorded(home))
    for write, name in ((tables.write_csv, "csv"), (tables.write_parquet, "parquet")):
        folder = target(tmp_path, name)
        write(each, folder, quiet, never)
        (line,) = re.findall(rf"^  pandas\.read_{name}\(file, (.*)\)$", (folder / "README.txt").read_text(), re.MULTILINE)
        options = {word.arg: ast.literal_eval(word.value) for word in ast.parse(f"f({line})", mode="eval").body.keywords}  # type: ignore[attr-defined]
        frame = getattr(pd, f"read_{name}")(folder / f"layers.{name}", **options)
        assert_rows(pa.Table.from_pandas(frame, preserve_index=False), LAYER_ROWS)
        usual = getattr(pd, f"read_{name}")(folder / f"layers.{name}")
        assert usual["value"].isna().sum() == sum(row[3] is None or math.isnan(row[3]) for row in LAYER_ROWS)  # one and the same


def test_blocks_come_to_the_same_rows_as_one_read(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS", 1)  # a step a block
    folder = target(tmp_path, "tables")
    tables.write_parquet(subject(home, recorded(home)), folder, quiet, never)
    assert_rows(pq.read_table(folder / "layers.parquet"), LAYER_ROWS)


@pytest.mark.parametrize("status", [None, RunStatus.FAILED])
def test_a_run_without_a_result_has_no_test_and_one_that_goes_on_says_where_its_tables_end(
    home: Home, tmp_path: Path, status: RunStatus | None
) -> None:
    folder = target(tmp_path, "tables")
    told = tables.write_parquet(subject(home, recorded(home, status)), folder, quiet, never)
    assert told == (() if status else ("The run still goes on: the tables end with step 4.",))
    assert_rows(pq.read_table(folder / "epochs.parquet"), EPOCH_ROWS[:-1])


@pytest.mark.parametrize("write", [tables.write_csv, tables.write_parquet])
def test_a_run_that_failed_before_its_first_step_gives_empty_tables_and_says_so(home: Home, tmp_path: Path, write: Any) -> None:
    folder = target(tmp_path, "tables")
    (told,) = write(subject(home, empty(home)), folder, quiet, never)
    assert "no step" in told
    for name, schema in tables.SCHEMAS.items():
        if write is tables.write_parquet:
            assert pq.read_table(folder / f"{name}.parquet").schema.names == schema.names
        else:
            assert next(csv.reader([(folder / f"{name}.csv").read_text()])) == schema.names


def test_who_cancels_gets_nothing(home: Home, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        tables.write_csv(subject(home, recorded(home)), target(tmp_path, "tables"), quiet, lambda: True)


def test_a_long_run_takes_no_more_memory_than_a_block(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own memory, numpy's included, while a run of 6,000 steps is written in blocks of 200; all of it at once would be ten times that."""
    monkeypatch.setattr(tables, "ROWS", 200 * 3 * WIDE)
    run = SyntheticRun(RunStore(home.database), 6_000)
    each = subject(home, run.id)
    tracemalloc.start()
    try:
        tables.write_parquet(each, target(tmp_path, "tables"), quiet, never)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    whole = 6_000 * WIDE * (8 + 4 + 8 + 8 + 8)  # steps, values, places, what, states
    assert peak < whole / 4
    assert pq.ParquetFile(target(tmp_path, "tables") / "layers.parquet").metadata.num_rows == 6_000 * WIDE


def test_tensors_are_those_of_the_plan(home: Home, tmp_path: Path) -> None:
    folder = target(tmp_path, "tables")
    tables.write_parquet(subject(home, recorded(home)), folder, quiet, never)
    assert pq.read_table(folder / "layers.parquet")["tensor"].unique().to_pylist() == [layer.name for layer in LAYERS]
