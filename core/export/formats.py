"""What a run can be taken away as. One `ExportEntry` a format; adding one is adding it here, with the function that writes it. No torch."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from core.config import ConfigError
from core.config.entry import Entry, by_name, find
from core.export.subject import Subject

Progress = Callable[[str, float | None], None]
Cancelled = Callable[[], bool]

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements-export.txt"
"""What the optional extra has."""


class Writer(Protocol):
    """The function that writes a format."""

    def __call__(self, subject: Subject, target: Path, progress: Progress, cancelled: Cancelled) -> tuple[str, ...]:
        """Write `subject` to `target`, in a folder that is its own: what else is left in that folder goes along, and lies beside it.

        `target` is not there yet; it becomes a file, or (for a format with an empty `suffix`, or a name without it) a folder.

        Args:
            progress: told what is being done, and the share of it that is done (0 to 1), None where that is not known.
            cancelled: asked now and then; where it says True, the writer raises `core.config.errors.Cancelled`.

        Returns:
            Sentences that the person has to know.

        Raises:
            ConfigError: it cannot be had, with the reason in a line.
            OSError: the disk is full or cannot be written.
        """


@dataclass(frozen=True)
class ExportEntry(Entry):
    """A format. `name`, `label`, `about` as of any `Entry`.

    Args:
        suffix: how the file's name ends; "" for a folder.
        module: dotted name of the module that writes it, imported only then; `function` is its `Writer`.
        weights: it holds the weights of one epoch, and cannot be had of a run that has kept none.
        runtime: what runs the exported model for its receipt (a name of `core.export.runner`); "" where there is no receipt.
        packages: importable names of the optional extra that it needs.
        stem: the file's name without its suffix, where it has one of its own.
        files: the names, or patterns of names, of what a folder of this format holds: one with anything else in it is never replaced.
    """

    suffix: str = ""
    module: str = ""
    function: str = "write"
    weights: bool = False
    runtime: str = ""
    packages: tuple[str, ...] = ()
    stem: str = ""
    files: tuple[str, ...] = ()

    @property
    def receipt(self) -> bool:
        """True where the export comes with a receipt."""
        return bool(self.runtime)

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that it needs and that are not installed."""
        return tuple(name for name in self.packages if find_spec(name) is None)

    @property
    def install(self) -> str:
        """The command that brings what is missing; "" where nothing is."""
        return f"{shlex.quote(sys.executable)} -m pip install -r {shlex.quote(str(REQUIREMENTS))}" if self.missing else ""

    def check_installed(self) -> None:
        """Raises ConfigError on `format` where a package of the extra is missing, with the command that brings it."""
        if missing := self.missing:
            what = f"{self.label} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
            raise ConfigError("format", f"{what}; install what exports need with: {self.install}")

    def is_one(self, folder: Path) -> bool:
        """Whether a folder holds nothing but what one of this format does; an empty one is."""
        files = (file for file in folder.rglob("*") if not file.is_dir())
        return all(any(fnmatch(file.name, pattern) for pattern in self.files) for file in files)

    @property
    def writer(self) -> Writer:
        """The function that writes it; torch is imported with some."""
        return cast(Writer, getattr(import_module(self.module), self.function))


FORMATS = by_name(
    [
        ExportEntry(
            "pth",
            "PyTorch weights",
            "The weights alone, a state_dict that torch.load(weights_only=True) reads and the model built by hand takes.",
            suffix=".pth", module="core.export.pth", weights=True, runtime="torch",
        ),
        ExportEntry(
            "safetensors",
            "safetensors",
            "The weights without pickle, with class names, normalisation, size and how a picture is fitted in the file's metadata.",
            suffix=".safetensors", module="core.export.safetensors_file", weights=True, runtime="safetensors",
        ),
        ExportEntry(
            "onnx",
            "ONNX",
            "One file for ONNX Runtime and others: takes uint8 RGB pictures of the model's size, any number at once, and normalises them itself.",
            suffix=".onnx", module="core.export.onnx_file", weights=True, runtime="onnxruntime", packages=("onnx", "onnxscript", "onnxruntime"),
        ),
        ExportEntry(
            "torch-export",
            "torch.export",
            "The model's graph and weights for PyTorch without its source: takes uint8 RGB pictures of the model's size, any number at once.",
            suffix=".pt2", module="core.export.torch_export", weights=True, runtime="torch.export",
        ),
        ExportEntry(
            "script",
            "PyTorch script",
            "The run as one readable file without Thaw, and the list of its pictures beside it: it trains to the same weights.",
            suffix=".py", module="core.export.script", stem="run",
        ),
        ExportEntry(
            "tensorboard",
            "TensorBoard",
            "Event files with scalars, norms of layers, histograms that were asked for and settings, for TensorBoard and what reads its files.",
            module="core.export.tensorboard", packages=("tensorboard",), files=("events.out.tfevents.*",),
        ),
        ExportEntry(
            "csv",
            "CSV",
            "Steps, layers and epochs as long tables, in a zip; not measured, frozen, zero and not-a-number stay apart.",
            suffix=".csv.zip", module="core.export.tables", function="write_csv",
        ),
        ExportEntry(
            "parquet",
            "Parquet",
            "The same tables for pandas, Polars, DuckDB and others.",
            suffix=".parquet.zip", module="core.export.tables", function="write_parquet",
        ),
        ExportEntry(
            "report",
            "Report",
            "One HTML file without network, to print and mail: curves, gradients, audit, findings, measures, worst mistakes, settings, script.",
            suffix=".html", module="core.export.report",
        ),
        ExportEntry(
            "bundle",
            "Bundle",
            "A zip with the weights, a short predict.py without Thaw, settings, class names and a model card: all that another machine needs.",
            suffix=".zip", module="core.export.bundle", weights=True, runtime="bundle",
            files=("weights.pth", "predict.py", "config.json", "classes.json", "README.md"),
        ),
    ]
)  # fmt: skip
"""Every format by its name."""


def find_format(name: str) -> ExportEntry:
    """The format that `name` means. Raises ConfigError on `format`, naming what there is."""
    return find(FORMATS, "format", name)
