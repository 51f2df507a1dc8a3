"""Steps, layers and epochs of a run as long tables, in blocks, so that a long run takes no more memory than a short one. No torch.

Not measured, frozen, zero and not-a-number stay apart in each table: `state` says which it is, and the value is a null (an empty field) only
where there is none. `ABOUT` says it to whoever opens the tables; it goes along as `README.txt`.
"""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv, parquet

from core.config.errors import Cancelled
from core.export.subject import Subject
from core.records.events import FROZEN, NO_GRADIENT, NOT_MEASURED, EpochRow, RunResult
from core.store.rows import StepRecord

ROWS = 200_000
"""Rows of a block, about: what lies in memory at once."""

STATES = ("measured", "frozen", "no gradient", "not measured", "not finite")
WHAT = ("gradient_norm", "update_norm", "weight_norm")
_NAMES = pa.dictionary(pa.int32(), pa.string())

STEPS = pa.schema(
    [
        ("step", pa.int64()), ("epoch", pa.int64()), ("seconds", pa.float64()), ("loss", pa.float64()), ("state", _NAMES),
        ("learning_rate", pa.float64()), ("pictures_per_second", pa.float64()),
    ]
)  # fmt: skip
LAYERS = pa.schema([("step", pa.int64()), ("tensor", _NAMES), ("what", _NAMES), ("value", pa.float32()), ("state", _NAMES)])
EPOCHS = pa.schema(
    [
        ("epoch", pa.int64()), ("step", pa.int64()), ("seconds", pa.float64()), ("part", _NAMES),
        ("loss", pa.float64()), ("accuracy", pa.float64()), ("state", _NAMES),
    ]
)  # fmt: skip
SCHEMAS: Mapping[str, pa.Schema] = {"steps": STEPS, "layers": LAYERS, "epochs": EPOCHS}
"""The tables, by the name of their file without its ending."""

ABOUT = """\
What a run of Thaw recorded, as three long tables: a row an observation, a column a variable.

Run {run}, {steps} steps recorded, {tensors} parameter tensors.

steps    a row a training step
  step                 from 1
  epoch                from 1
  seconds              since the first step, pauses left out
  loss                 mean of the step's pictures
  state                measured, or not finite (the loss is then nan or inf)
  learning_rate        of a layer whose multiplier is 1
  pictures_per_second  nothing: not measured

layers   a row for each step, parameter tensor and figure
  what     gradient_norm  L2 norm of the gradient, before clipping; a row for every step
           update_norm    L2 norm of what the optimizer changed; rows only for steps at which it was looked at
           weight_norm    L2 norm of the tensor after the step; the same steps
  value    a number, 0 where it was exactly 0
  state    measured      value is a number
           frozen        nothing in value: the tensor did not learn at this step
           no gradient   nothing in value: it was to learn, and the loss did not reach it
           not measured  nothing in value: norms were not measured at this step, to keep watching cheap
           not finite    value is nan or inf

epochs   a row for each epoch and part of the data
  step, seconds   when the epoch was over
  part            training (measured while training), validation, test (once, after the last epoch; with the epoch whose weights were tested)
  loss, accuracy  means over pictures; accuracy from 0 to 1
  state           measured; not measured (nothing in loss and accuracy); not finite (the loss is nan or inf)

Nothing: an empty field in CSV, a null in Parquet. Not a number: nan in CSV, NaN in Parquet. pandas makes one of the two, unless it is asked so:
  pandas.read_csv(file, engine="pyarrow", dtype_backend="pyarrow", na_values=[""], keep_default_na=False)
  pandas.read_parquet(file, dtype_backend="pyarrow")
Where in doubt go by state.
"""


class TableFile(Protocol):
    """A table that is being written."""

    def write_table(self, table: pa.Table) -> None:
        """Add rows."""

    def close(self) -> None:
        """Nothing follows."""


Opener = Callable[[IO[bytes], pa.Schema], TableFile]
Progress = Callable[[str, float | None], None]


def write_csv(subject: Subject, target: Path, progress: Progress, cancelled: Callable[[], bool]) -> tuple[str, ...]:
    """`steps.csv`, `layers.csv`, `epochs.csv` (RFC 4180, UTF-8) and `README.txt`; the rest as `write_tables` says."""
    return write_tables(subject, target, ".csv", _Csv, zipfile.ZIP_DEFLATED, progress, cancelled)


def write_parquet(subject: Subject, target: Path, progress: Progress, cancelled: Callable[[], bool]) -> tuple[str, ...]:
    """`steps.parquet`, `layers.parquet`, `epochs.parquet` and `README.txt`; the rest as `write_tables` says."""
    return write_tables(subject, target, ".parquet", _parquet, zipfile.ZIP_STORED, progress, cancelled)  # compressed already


class _Csv:
    """A table as CSV."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        # Arrow writes no dictionaries as CSV: names come as they are.
        self._schema = pa.schema([(field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type) for field in schema])
        self._writer = csv.CSVWriter(pa.PythonFile(file, mode="w"), self._schema, write_options=csv.WriteOptions(quoting_style="needed"))

    def write_table(self, table: pa.Table) -> None:
        self._writer.write_table(table.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


def _parquet(file: IO[bytes], schema: pa.Schema) -> TableFile:
    writer: TableFile = parquet.ParquetWriter(pa.PythonFile(file, mode="w"), schema, compression="zstd")
    return writer


def write_tables(
    subject: Subject, target: Path, ending: str, opener: Opener, compression: int, progress: Progress, cancelled: Callable[[], bool]
) -> tuple[str, ...]:
    """The three tables and `README.txt` in `target`: a zip if its name ends in `.zip`, else a folder.

    Args:
        ending: of the tables' files, with its dot.
        opener: begins a table in an open file.
        compression: of the zip, as `zipfile` has it.

    Returns:
        Sentences that the person has to know.

    Raises:
        Cancelled: `cancelled` was.
        ConfigError: rows of the run are damaged.
        OSError: the disk is full or cannot be written.
    """
    run, store = subject.run, subject.store
    last = store.last_step(run.id)
    tensors = tuple(layer.name for layer in run.plan.layers) if run.plan else ()

    def go_on(text: str, share: float | None) -> None:
        if cancelled():
            raise Cancelled
        progress(text, share)

    with _container(target, compression) as opened:
        with opened("README.txt") as file:
            file.write(ABOUT.format(run=run.id, steps=f"{last:,}", tensors=f"{len(tensors):,}").encode())
        for name, tables in (
            ("steps", _gathered(steps_table(record) for record in _records(subject, last, tensors, "steps", 0.0, 0.1, go_on))),
            ("layers", (layers_table(record, tensors) for record in _records(subject, last, tensors, "layers", 0.1, 0.9, go_on))),
            ("epochs", iter([epochs_table(store.epochs_after(run.id), run.result)])),
        ):
            with opened(name + ending) as file, contextlib.closing(opener(file, SCHEMAS[name])) as table:
                for rows in tables:
                    table.write_table(rows)
    return (*_named_like_a_file(target, ending), *_told(subject, last))


def _named_like_a_file(target: Path, ending: str) -> tuple[str, ...]:
    """That a name with an ending that is no `.zip` has become a folder."""
    if target.name.endswith(".zip") or not target.suffix:
        return ()
    return (f"{target.name} is a folder with steps{ending}, layers{ending}, epochs{ending} and README.txt; a name that ends in .zip gives one file.",)


def steps_table(record: StepRecord) -> pa.Table:
    """Rows of `steps`."""
    finite = np.isfinite(record.loss)
    speed = record.samples_per_second
    return pa.table(
        [
            pa.array(record.step),
            pa.array(record.epoch),
            pa.array(record.time),
            pa.array(record.loss),  # from numpy, so NaN stays NaN: a step always has a loss
            _named(np.where(finite, 0, 4), STATES),
            pa.array(record.learning_rate),
            pa.array(speed, mask=np.isnan(speed)),
        ],
        schema=STEPS,
    )


def layers_table(record: StepRecord, tensors: tuple[str, ...]) -> pa.Table:
    """Rows of `layers`, by step, then by figure, then in the model's order."""
    signals = ((record.step, record.gradient_norms), (record.updated, record.update_norms), (record.updated, record.weight_norms))
    count = len(tensors)
    steps = np.concatenate([np.repeat(step, count) for step, _ in signals])
    values = np.concatenate([norms.reshape(-1) for _, norms in signals]).astype(np.float32)
    what = np.repeat(np.arange(3), [len(step) * count for step, _ in signals])
    places = np.concatenate([np.tile(np.arange(count), len(step)) for step, _ in signals])
    order = np.argsort(steps, kind="stable")
    values = values[order]
    states = states_of(values)
    return pa.table(
        [
            pa.array(steps[order]),
            _named(places[order], tensors),
            _named(what[order], WHAT),
            pa.array(values, mask=(states > 0) & (states < 4)),
            _named(states, STATES),
        ],
        schema=LAYERS,
    )


def epochs_table(rows: list[EpochRow], result: RunResult | None) -> pa.Table:
    """Rows of `epochs`: two an epoch, and one of the test after the last."""
    found: list[tuple[Any, ...]] = []
    for row in rows:
        found.append((row.epoch, row.step, row.time, "training", row.train_loss, row.train_accuracy))
        found.append((row.epoch, row.step, row.time, "validation", row.validation_loss, row.validation_accuracy))
    if result is not None:
        found.append((result.epochs, result.steps, result.seconds, "test", result.test_loss, result.test_accuracy))
    columns = list(zip(*(_with_state(row) for row in found), strict=True)) or [()] * len(EPOCHS)
    arrays = [pa.array(column, type=pa.string()) if kind == _NAMES else pa.array(column, type=kind) for column, kind in _typed(columns)]
    return pa.table([array.dictionary_encode() if pa.types.is_string(array.type) else array for array in arrays], schema=EPOCHS)


def states_of(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each recorded figure its place in `STATES`. Same shape."""
    states = np.where(np.isfinite(values), 0, 4)
    for code, state in ((FROZEN, 1), (NO_GRADIENT, 2), (NOT_MEASURED, 3)):
        states[values == code] = state
    return states


def _with_state(row: tuple[Any, ...]) -> tuple[Any, ...]:
    *rest, loss, accuracy = row
    if accuracy is None:
        return (*rest, None, None, STATES[3])
    # What was measured has an accuracy: a loss that is missing beside it was not a number, which JSON and SQLite cannot hold.
    loss = math.nan if loss is None else loss
    return (*rest, loss, accuracy, STATES[0 if math.isfinite(loss) else 4])


def _typed(columns: list[Any]) -> Iterator[tuple[Any, pa.DataType]]:
    return zip(columns, EPOCHS.types, strict=True)


def _named(places: NDArray[np.int64], names: tuple[str, ...]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32)), pa.array(names, type=pa.string()))


def _records(subject: Subject, last: int, tensors: tuple[str, ...], what: str, begin: float, share: float, go_on: Progress) -> Iterator[StepRecord]:
    """All steps up to `last`, which a run that goes on has passed before long; at a time those that make about `ROWS` rows of `layers`."""
    limit = max(1, ROWS // max(3 * len(tensors), 1))
    after = 0
    while after < last:
        go_on(f"{what}: step {after:,} of {last:,}", begin + share * after / last)
        record = subject.store.record_after(subject.run.id, after, limit=min(limit, last - after))
        if not len(record):
            return
        after = int(record.step[-1])
        yield record


def _gathered(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of at least `ROWS` rows but for the last: steps of a model of many tensors come few at a time."""
    waiting: list[pa.Table] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


@contextmanager
def _container(target: Path, compression: int) -> Iterator[Callable[[str], Any]]:
    """What opens a file of a name to write to, in the zip or the folder `target`."""
    if target.name.endswith(".zip"):
        with zipfile.ZipFile(target, "w", compression, compresslevel=1) as archive:
            yield lambda name: archive.open(name, "w", force_zip64=True)
    else:
        target.mkdir()
        yield lambda name: (target / name).open("wb")


def _told(subject: Subject, last: int) -> Iterator[str]:
    run = subject.run
    if not last:
        yield "The run has recorded no step, so the tables of steps and layers have no rows."
    elif run.status.active:
        yield f"The run still goes on: the tables end with step {last:,}."
