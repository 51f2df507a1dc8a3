"""The report of a run: one HTML file that loads nothing, made to be read, printed and mailed.

Names and texts of a run go through Jinja's escaping; drawings are SVGs and PNGs that lie in the file. There is no script in it, and its policy
(`Content-Security-Policy`) allows none, and no network.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.code.of_run import script_of
from core.config import ConfigError
from core.config.errors import Cancelled
from core.export import report_parts as parts
from core.export.report_evaluation import tested
from core.export.subject import Subject
from core.machine.files import written_whole

HERE = Path(__file__).parent

MOST_TENSORS = 2_000
"""Tensors whose audit is listed one by one: a model of more has its blocks."""

Progress = Callable[[str, float | None], None]


def write(subject: Subject, target: Path, progress: Progress, cancelled: Callable[[], bool]) -> tuple[str, ...]:
    """The report at `target`. Weights that were not put to the test yet are, where their pictures can be had.

    Returns:
        Sentences that the person has to know: what the report had to leave out.

    Raises:
        Cancelled: `cancelled` was.
        ConfigError: rows of the run are damaged.
        OSError: the disk is full or cannot be written.
    """
    if cancelled():
        raise Cancelled
    progress("reading the run", None)
    values = _training(subject)
    test = tested(subject, progress, cancelled)
    progress("writing the report", None)
    told, code = _script(subject)
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    text = environment.get_template("report.html.jinja").render(
        **values, test=test, script=code, script_told=told, style=(HERE / "report.css").read_text(encoding="utf-8")
    )
    with written_whole(target) as file:
        file.write(text.encode("utf-8", errors="backslashreplace"))  # a name of a file may have bytes that are no text
    return tuple(filter(None, [test.missing, *values["told"][:1]] if subject.run.status.active else [test.missing]))


def _training(subject: Subject) -> dict[str, Any]:
    run, store = subject.run, subject.store
    changes = store.changes_after(run.id)
    epochs = store.epochs_after(run.id)
    own, others = parts.settings(run.config)
    looked, found = parts.findings(store.findings(run.id))
    return {
        "title": parts.title(run),
        "subtitle": parts.about_what(run.config),
        "run": run,
        "note": run.labels.note,
        "written": time.strftime("%d %B %Y, %H:%M", time.localtime()),
        "began": time.strftime("%d %B %Y, %H:%M", time.localtime(run.started or run.created)),
        "facts": parts.facts(run, epochs[-1] if epochs else None),
        "told": parts.told(subject),
        "curves": parts.curves(subject, changes),
        "gradients": parts.gradients(subject, changes),
        "changes": parts.change_rows(changes),
        "changes_left_out": max(0, len(changes) - parts.MOST_CHANGES),
        "audit": parts.audit(store.audit(run.id), run),
        "most_tensors": MOST_TENSORS,
        "findings": found,
        "findings_told": looked,
        "settings": own,
        "other_settings": others,
        "surroundings": parts.surroundings(run),
    }


def _script(subject: Subject) -> tuple[tuple[str, ...], str]:
    """What the plain PyTorch script does, and the script; "" with the reason where there is none."""
    try:
        told, code = script_of(subject.home, subject.store, subject.run)
    except ConfigError as error:
        return (f"There is no script: {error.message}.",), ""
    return tuple(told), code
