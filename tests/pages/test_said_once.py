"""Words beside the figures: in the right number, once on a screen, and none about what is not there."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from core.config import RunConfig
from core.records.evaluation import Difference
from core.records.modes import COLUMNS, Effect, Modes, cells, told
from core.store import Run, RunStore
from pages._parts.autograd import modes_view
from pages._parts.evaluate import choosing
from pages._parts.evaluate import words as evaluation_words
from pages._parts.shared import history
from pages._parts.shared.naming import Told


def effect(setting: Any, moved: int, grads: int) -> Effect:
    return Effect(setting, grads, "", "AddmmBackward0", 2_000, moved, True, None, "")


ONE = Modes(
    "mine", 1, 3, 2, "all but the head", 1, {}, True,
    (effect("train", 1, 3), effect("frozen", 1, 1), effect("eval", 0, 1), effect("no_grad", 1, 0),
     effect("inference_mode", 1, 0), effect("at rest", 0, 1)),
)  # fmt: skip


@pytest.mark.parametrize(("epochs", "done", "said"), [(1, 1, "1 epoch"), (1, 0, "0 of 1 epoch"), (3, 3, "3 epochs"), (3, 1, "1 of 3 epochs")])
def test_a_run_in_the_list_counts_its_epochs(store: RunStore, epochs: int, done: int, said: str) -> None:
    run: Run = replace(store.run(store.create_run(RunConfig(epochs=epochs))), epoch=done)
    assert history._line(run, Told("digits with resnet18")).split(" · ") == ["train everything", said]


def test_of_one_picture_a_comparison_says_picture() -> None:
    assert evaluation_words.verdict(Difference((1,), (), 300, 5, 1.0), "A", "B").startswith("On 1 picture only one of them is right: A on 1, B")
    assert evaluation_words.verdict(Difference((1, 2), (3,), 300, 5, 1.0), "A", "B").startswith("On 3 pictures only one of them is right: A on 2,")


def test_of_one_tensor_and_one_layer_the_panel_says_so() -> None:
    said = " ".join(told(ONE))
    assert "gradients come to 1 tensor." in said
    assert "leaves 1 tensor with a gradient" in said
    assert "Running statistics moved in 1 layer all the same" in said


def test_other_company_is_a_column_only_where_there_is_company() -> None:
    assert modes_view.columns(ONE) == [name for name in COLUMNS if name != "Other company"]
    assert modes_view.columns(replace(ONE, pictures=8)) == list(COLUMNS)
    assert set(modes_view.ABOUT_COLUMNS) < set(COLUMNS), "a column is told about that there is not"
    for shown in (modes_view.columns(ONE), list(COLUMNS)):
        lines = modes_view._table(ONE, shown).splitlines()
        assert {line.count("|") for line in lines} == {len(shown) + 1}
        assert len(lines) == 2 + len(ONE.effects)
    assert cells(ONE, ONE.effects[0])[COLUMNS.index("Logits later on")] in modes_view._table(ONE, modes_view.columns(ONE))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    captions: list[str] = []
    monkeypatch.setattr("streamlit.caption", captions.append)
    monkeypatch.setattr(choosing, "validated", lambda shared, subject: 0.5)
    monkeypatch.setattr(choosing, "said_of_looks", lambda shared, run: "Looked at twice.")
    return captions


@pytest.mark.parametrize(("kept", "times"), [((0,), 1), ((0, 1), 0)])
def test_what_spoils_a_choice_is_said_once_on_the_screen(said: list[str], kept: tuple[int, ...], times: int) -> None:
    subject: Any = SimpleNamespace(kept=kept, run=None)
    choosing.of_two(SimpleNamespace(), subject, subject)  # type: ignore[arg-type]
    assert "go by validation accuracy** (A 50.0\N{NO-BREAK SPACE}%, B 50.0\N{NO-BREAK SPACE}%), not by these test figures." in said[0]
    assert " ".join(said).count("Looked at twice") == times, "with several weights it stands above, below their slider"
