"""torch.compile in a run whose plan changes: translated to the end, or said that it is not. With a backend that translates to nothing, quickly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from core.commands.cli import main
from core.config import RunConfig
from core.config.plans import Change
from core.machine.home import Home
from core.records import telling
from core.records.events import Reuse
from core.reuse import compiling
from core.store import RunStore
from core.worker.assembly import assemble
from core.worker.process import work

SMALL: dict[str, Any] = {
    "dataset": "digits", "model": "small_cnn", "image_size": 16, "freeze": "head only", "batch_size": 300, "epochs": 6, "compile_model": True,
    "timeline": "2: !stage3; 3: !stage2; 4: !stage1; 5: stage1; 6: train everything", "watch_budget": 1.0, "threads": 1,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_thread", "_translated_to_nothing")


@pytest.fixture
def _translated_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    monkeypatch.setattr(compiling, "BACKEND", "eager")


@pytest.mark.parametrize("feature_cache", ["off", "exact"])
def test_after_five_changes_every_pass_still_runs_translated_code(home: Home, feature_cache: str) -> None:
    trainer = assemble(RunConfig(**SMALL, feature_cache=feature_cache), home).trainer
    for _ in trainer.run():
        pass
    told = trainer.partition.tell()
    batches = len(trainer.train) + len(trainer.validation or ())
    assert told.passes == 6 * batches + len(trainer.test)
    assert told.untranslated == 0
    assert telling.given_up(told) == ""


def test_what_is_translated_is_kept_where_nothing_else_learns(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = assemble(RunConfig(**SMALL, feature_cache="off"), home).trainer
    forgotten: list[int] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: forgotten.append(trainer.step))
    trainer.change(Change.parse("learning_rate=0.01, head=2"))
    assert forgotten == []
    trainer.change(Change.parse("!stage3"))
    assert forgotten == [0]


def test_giving_up_is_said_by_show(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 1)  # validating is other code than training: one too many
    store = RunStore(home.database)
    run_id = store.create_run(RunConfig(**{**SMALL, "epochs": 1, "timeline": "", "feature_cache": "off"}))
    work(home, run_id)
    reuse = store.reuse(run_id)
    assert reuse is not None
    assert 0 < reuse.untranslated < reuse.passes
    said = f"torch.compile gave up: {reuse.untranslated:,} of {reuse.passes:,} passes of a batch ran as they would without it."
    capsys.readouterr()
    assert main(["show", run_id, "--home", str(home.path)]) == 0
    assert said in capsys.readouterr().out


def test_a_run_of_an_older_thaw_says_nothing_of_it() -> None:
    assert telling.given_up(None) == telling.given_up(Reuse("off")) == ""
    assert "1 of 2 passes" in telling.given_up(replace(Reuse("off"), passes=2, untranslated=1))
