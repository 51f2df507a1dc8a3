"""Curves from a CSV file, read by pandas: a column for the step, one for each curve, and where it is a long table one that names the run.

Columns that say where a row stands are known by their names (`step`, `iteration`, `epoch`, `time`, `wall_time`); rows without such a column are
counted. TensorBoard's own download (`Wall time,Step,Value`), Lightning's `metrics.csv` and Thaw's tables are read as they are.
"""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np

from core.comparing.imported import MOST_CURVES, MOST_POINTS, Imported, ImportedCurve, curve_of, steps_of_an_epoch
from core.config import ConfigError
from core.config.limits import LONGEST_NAME, quoted

LARGEST = 500_000_000
"""Bytes."""

_STEP = ("step", "steps", "global_step", "iteration", "iter", "_step")
_EPOCH = ("epoch", "epochs")
_TIME = ("wall_time", "time", "seconds", "_timestamp", "timestamp", "_runtime")
_RUN = ("run", "run_id", "experiment", "name")


def read(path: Path) -> list[Imported]:
    """What lies in a CSV file: one for each run that it names, else one.

    Raises:
        ConfigError: on `curves`, for a file that cannot be read or has no column of numbers.
    """
    import pandas

    if not path.is_file():
        raise ConfigError("curves", f"{quoted(str(path))} is no file; give a CSV file")
    if path.stat().st_size > LARGEST:
        raise ConfigError("curves", f"{quoted(path.name)} has {path.stat().st_size / 1e6:,.0f} MB, and at most {LARGEST / 1e6:,.0f} are read")
    said: list[str] = []
    broken = 0

    def leave_out(_line: list[str]) -> None:
        nonlocal broken
        broken += 1

    try:
        # The engine of Python, which takes any separator and tells of lines that do not fit.
        table = pandas.read_csv(
            path, sep=None, engine="python", on_bad_lines=leave_out, nrows=MOST_POINTS, encoding="utf-8-sig", dtype=str, keep_default_na=False
        )
    except (ValueError, OSError, csv.Error) as error:  # pandas' own errors are ValueErrors
        why = str(error).partition("\n")[0][:200] or type(error).__name__
        raise ConfigError("curves", f"{quoted(path.name)} cannot be read as CSV ({why}); its first line has to name the columns") from None
    if broken:
        said.append(f"{broken:,} {'line has' if broken == 1 else 'lines have'} more columns than the first line names, and were left out.")
    run = _column(table, _RUN)
    if run is not None and pandas.to_numeric(table[run], errors="coerce").notna().mean() > 0.5:
        run = None  # numbers name no runs
    groups = [("", table)] if run is None else [(str(name), rows) for name, rows in table.groupby(run, sort=False)]
    if len(groups) > 200:
        raise ConfigError("curves", f"{quoted(path.name)} names {len(groups):,} runs in its column {quoted(run)}, and at most 200 are read")
    found = [_one(path, name, rows, run, said) for name, rows in groups]
    there = [one for one in found if one.curves]
    if not there:
        raise ConfigError("curves", f"{quoted(path.name)} has no column of numbers beside {', '.join((*_STEP[:1], *_EPOCH[:1], *_TIME[:1]))}")
    return there


def _column(table: Any, names: tuple[str, ...]) -> str | None:
    known = {str(column).strip().lower().replace(" ", "_"): str(column) for column in table.columns}
    return next((known[name] for name in names if name in known), None)


def _one(path: Path, name: str, rows: Any, run: str | None, said: list[str]) -> Imported:
    step_column, epoch_column, time_column = _column(rows, _STEP), _column(rows, _EPOCH), _column(rows, _TIME)
    numbers = {str(column): _numbers(rows[column]) for column in rows.columns if str(column) != run}
    place = step_column or epoch_column
    steps = numbers[place] if place else np.arange(1, len(rows) + 1, dtype=np.float64)
    steps = np.where(np.abs(steps) < 2**53, steps, np.nan)
    times = numbers[time_column] if time_column else np.full(len(rows), np.nan)
    where = {column for column in (step_column, epoch_column, time_column) if column}
    curves: list[ImportedCurve] = []
    lost: list[str] = []
    for column, values in numbers.items():
        if column in where or len(curves) >= MOST_CURVES:
            continue
        there = np.isfinite(steps) & _written(rows[column])
        if not (there & np.isfinite(values)).any():
            continue
        wrong = int((there & np.isnan(values) & (rows[column].str.strip().str.lower() != "nan").to_numpy()).sum())
        if wrong:
            lost.append(f"{wrong:,} of {quoted(column)}")
        called = path.stem if column.strip().lower() == "value" else column
        curves.append(curve_of(called[:LONGEST_NAME], list(zip(steps[there].astype(np.int64).tolist(), values[there], times[there], strict=True))))
    more = [f"Values that are no numbers were left out: {', '.join(lost[:5])}."] if lost else []
    return Imported(
        (name or path.stem)[:LONGEST_NAME],
        str(path.resolve()),
        tuple(curves),
        (*said, *more),
        _per_epoch(numbers, step_column, epoch_column),
        time.time(),
    )


def _numbers(column: Any) -> Any:
    import pandas

    return pandas.to_numeric(column.str.strip(), errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _written(column: Any) -> Any:
    """Where something stands at all."""
    return (column.notna() & (column.str.strip() != "")).to_numpy(bool)


def _per_epoch(numbers: dict[str, Any], step: str | None, epoch: str | None) -> float | None:
    if epoch is None:
        return None
    return 1.0 if step is None else steps_of_an_epoch(numbers[step].tolist(), numbers[epoch].tolist())
