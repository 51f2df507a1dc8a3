"""Which weights, which run: chosen by the validation set, with a count of how often the test set was looked at."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.evaluation import telling
from core.evaluation.looks import best_by_validation, looks
from core.evaluation.predictions import kept
from core.records.events import EpochRow
from core.store import Run
from core.store.checkpoint import checkpoints
from pages._parts.evaluate import state as evaluation_state
from pages._parts.evaluate.subject import MOST_RUNS, NEWEST, Subject
from pages._parts.shared import words
from pages._parts.shared.services import Services


def offer(shared: Services, subject: Subject, row: DeltaGenerator) -> None:
    """Below the choice of weights: a button that takes those which the validation set chooses. It stands there whatever is chosen."""
    found = best(shared, subject) if len(subject.kept) > 1 else None
    if found is None:
        return
    place = place_of(subject, found)
    row.button(
        f"Take epoch {found.epoch:,}",
        key="evaluate_best",
        type="tertiary",
        icon=":material/balance:",
        disabled=place == subject.chosen,
        help="The kept weights with the highest validation accuracy. Of equals, those with the lowest validation loss.",
        on_click=_take,
        args=(place,),
    )


def told(shared: Services, subject: Subject) -> None:
    """Below the part that is looked at: what the validation set says, and how often the test set was looked at."""
    if len(subject.kept) > 1:
        said = f"{telling.best(best(shared, subject))} {telling.SPOILS} {said_of_looks(shared, subject.run)}"
        st.caption(f":material/balance: {words.plain(said)}")


def said_of_looks(shared: Services, run: Run) -> str:
    """How often the test set of a run was looked at."""
    counted = looks(shared.home, run, shared.store.runs(limit=MOST_RUNS))
    samples = run.plan.test_samples if run.plan else 0
    return telling.looked_at(counted, samples, accuracy_of(shared, run))


def accuracy_of(shared: Services, run: Run) -> float | None:
    """A test accuracy of the run, where one was measured: that of its end, else of the latest weights that were evaluated."""
    if run.result is not None and run.result.test_accuracy is not None:
        return run.result.test_accuracy
    for checkpoint in reversed(checkpoints(shared.home, run)):
        found = kept(shared.home, run.id, checkpoint)
        if found is not None:
            return found.evaluation.accuracy.value
    return None


def best(shared: Services, subject: Subject) -> EpochRow | None:
    """The epoch that the validation set chooses among the kept ones."""
    rows = shared.store.epochs_after(subject.run.id)
    return best_by_validation(rows, [row.epoch for row in rows if _offered(subject, row)])


def validated(shared: Services, subject: Subject) -> float | None:
    """The validation accuracy of the weights that are looked at; None where it was not measured."""
    rows = {place_of(subject, row): row for row in shared.store.epochs_after(subject.run.id) if _offered(subject, row)}
    return rows[subject.chosen].validation_accuracy if subject.chosen in rows else None


def place_of(subject: Subject, row: EpochRow) -> int:
    """Where the weights of an epoch stand among the kept ones."""
    return NEWEST if row.step == subject.last.step else row.epoch


def _offered(subject: Subject, row: EpochRow) -> bool:
    return place_of(subject, row) in subject.kept


def of_two(shared: Services, first: Subject, second: Subject) -> None:
    """Below a comparison: what the validation set says of both, and that test figures are not for choosing."""
    figures = [(name, validated(shared, each)) for name, each in (("A", first), ("B", second))]
    told = ", ".join(f"{name} {words.percent(share)}" for name, share in figures)
    # Where A has several weights, `told` says the rest below.
    why = "" if len(first.kept) > 1 else f" {telling.SPOILS} {said_of_looks(shared, first.run)}"
    rest = words.plain(f"({told}), not by these test figures.{why}")
    st.caption(f":material/balance: **To choose between them, go by validation accuracy** {rest}")
    st.caption(
        ":material/casino: The intervals and McNemar's test cover chance in the choice of the test pictures only, for these very weights: other "
        "seeds of the same settings would train others."
    )


def _take(place: int) -> None:
    evaluation_state.choose(epoch=None if place == NEWEST else place)
