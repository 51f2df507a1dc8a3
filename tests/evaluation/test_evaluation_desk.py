"""What the Evaluate screen asks: worked out in the background, one thing after the other."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from core.config import ConfigError
from core.evaluation import desk as evaluation_desk
from core.evaluation import evaluate, predictions
from core.evaluation.desk import EvaluationDesk
from core.evaluation.helper import Answers
from core.evaluation.pictures import keep
from core.evaluation.predictions import open_predictions
from core.helpers.helper import LabError
from core.lab.lab import Lab
from core.machine.home import Home
from core.records.evaluation import Work
from tests.evaluation.evaluate_cases import TINY, edit_config, made_run, run, trained  # noqa: F401
from tests.support import nursery, wait_until

pytestmark = pytest.mark.usefixtures("one_thread_each")


# The lab


@pytest.fixture(scope="module")
def lab(trained: tuple[Home, str, str]) -> Iterator[Lab]:
    lab = Lab(trained[0], nursery())
    yield lab
    lab.close()


def settled(ask: Any) -> tuple[Work, Any]:
    def done() -> Any:
        work, found = ask()
        return (work, found) if work.state != "working" else None

    result: tuple[Work, Any] = wait_until(done)
    return result


def test_the_lab_works_in_the_background_and_answers_clicks_meanwhile(trained: tuple[Home, str, str], lab: Lab) -> None:
    home, run_id, other = trained
    for file in home.runs.glob("*/evaluations/*"):
        file.unlink()
    assert lab.evaluation(run_id, 0) == (Work("working", None, "waiting for its turn"), None)
    assert lab.embedding(run_id, 0, None)[0].state == "working"
    # A process of its own has these.
    assert len(lab.samples(run_id, None, range(5))) == 5
    assert lab.cam_layers(run_id)[-1] == "relu2"
    assert lab.cam(run_id, 0, 3, "relu2", 4).target == 4
    black = io.BytesIO()
    Image.new("RGB", (20, 20)).save(black, "PNG")
    path = keep(home, black.getvalue(), "black.png")
    assert len(lab.predict(run_id, str(path)).guesses) == 5
    with pytest.raises(ConfigError, match="use 0 to 358"):
        lab.predict(run_id, 359)
    done, made = settled(lambda: lab.evaluation(run_id, 0))
    assert done == Work("done", 1.0)
    assert made == evaluate.evaluate(home, run_id, 0).evaluation
    done, drawn = settled(lambda: lab.embedding(run_id, 0, None))
    assert done.state == "done"
    assert (drawn.before_epoch, drawn.after_epoch, len(drawn.points), drawn.layer) == (0, 2, 359, "head")
    assert lab.embedding(run_id, 0, None)[1] is lab.embedding(run_id, 0, None)[1], "remembered"
    # What fails says why, stays so, and is tried again when that is asked for.
    edit_config(home, other, model="resnet81")
    failed, nothing = settled(lambda: lab.evaluation(other, None))
    assert (failed.state, nothing) == ("failed", None)
    assert "resnet81" in failed.message
    assert lab.evaluation(other, None)[0] == failed
    edit_config(home, other, model="small_cnn")
    done, made = settled(lambda: lab.evaluation(other, None, retry=True))
    assert done.state == "done"
    assert lab._evaluating._long._process is not None
    assert psutil.Process(lab._evaluating._long._process.pid).nice() > psutil.Process().nice()


class Slow:
    """In place of a helper process: answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = threading.Semaphore(0)
        self.cancelled: set[int] = set()
        self.closed = False
        self.error: Exception | None = None

    def ask(self, line: str, number: int, progress: Any) -> Any:
        question = json.loads(line)
        self.asked.append(f"{question['question']} {question['epoch']}")
        progress("on the way", 0.5)
        while not self.go.acquire(timeout=0.02):
            if self.closed:
                raise LabError("The server is closing")
            if number in self.cancelled:
                return None
        if self.error is not None:
            raise self.error
        return True

    def tell(self, cancel: int) -> None:
        self.cancelled.add(cancel)

    def start(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def desk(trained: tuple[Home, str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[EvaluationDesk, Slow]]:
    desk, slow = EvaluationDesk(trained[0]), Slow()
    monkeypatch.setattr(desk, "_long", slow)
    monkeypatch.setattr(desk, "_quick", Slow())
    monkeypatch.setattr(predictions, "kept", lambda home, run, checkpoint: None)
    yield desk, slow
    desk.close()
    assert desk._thread is None or not desk._thread.is_alive()


def test_what_was_asked_about_last_is_done_next(trained: tuple[Home, str, str], desk: tuple[EvaluationDesk, Slow]) -> None:
    ask, slow = (lambda epoch: desk[0].evaluation(trained[1], epoch)[0]), desk[1]
    assert ask(0).message == "waiting for its turn"
    wait_until(lambda: ask(0) == Work("working", 0.5, "on the way"))
    for epoch in (1, 2):
        assert ask(epoch).message == "waiting for its turn"
    slow.go.release(3)
    wait_until(lambda: len(slow.asked) == 3)
    assert slow.asked == ["evaluation 0", "evaluation None", "evaluation 1"], "epoch 2 is what the run ended with"


def test_work_that_nobody_asks_about_makes_way_for_other_work(
    trained: tuple[Home, str, str], desk: tuple[EvaluationDesk, Slow], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, slow = (lambda epoch: desk[0].evaluation(trained[1], epoch)[0]), desk[1]
    ask(0)
    wait_until(lambda: slow.asked == ["evaluation 0"])
    monkeypatch.setattr(evaluation_desk, "WANTED_SECONDS", 0.3)
    threading.Event().wait(0.4)
    assert ask(0).state == "working", "whoever comes back in time finds it still at work"
    threading.Event().wait(0.4)
    ask(1)
    wait_until(lambda: ask(1) == Work("working", 0.5, "on the way"))
    assert slow.cancelled == {1}
    assert slow.asked == ["evaluation 0", "evaluation 1"]


def test_a_failure_stands_until_it_is_tried_again(
    trained: tuple[Home, str, str], desk: tuple[EvaluationDesk, Slow], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, slow = (lambda **options: desk[0].evaluation(trained[1], 1, **options)[0]), desk[1]
    slow.error = LabError("it was killed")
    slow.go.release()
    ask()
    wait_until(lambda: ask() == Work("failed", message="it was killed"))
    assert [ask().state for _ in range(3)] == ["failed"] * 3
    assert len(slow.asked) == 1
    assert ask(retry=True).state == "working"
    wait_until(lambda: len(slow.asked) == 2)
    slow.go.release()
    wait_until(lambda: ask().state == "failed")
    monkeypatch.setattr(evaluation_desk, "FAILURE_SECONDS", 0.0)
    assert ask().state == "working", "some time later it is tried again by itself"


def test_what_was_kept_of_a_dataset_that_has_changed_since_is_dropped(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (20, 20), (20 * number, 9, 9)).save(folder / name / f"{number}.png")
    run_id = made_run(home, TINY.replace(dataset=f"folder:{folder}", batch_size=4), classes=2)
    evaluate.evaluate(home, run_id)
    question = {"question": "samples", "run": run_id, "epoch": None, "indices": [0, 1], "size": 16}
    assert len(Answers(home).to(question, lambda: False, lambda text, share: None)) == 2
    assert open_predictions(home, run_id, None) is not None
    (folder / "cat" / "0.png").unlink()
    assert len(Answers(home).to(question, lambda: False, lambda text, share: None)) == 2
    assert open_predictions(home, run_id, None) is None
