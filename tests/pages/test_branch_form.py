"""Branching off on the screens, by AppTest: the form of a branch, what it refuses, what it starts, and what a run's page tells of branches."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.records.events import EpochRow, RunStatus, StepRow
from core.records.labels import LabelChange
from core.store.labelling import relabel
from core.store.resume_files import resume_path
from core.worker.supervisor import Supervisor
from pages._parts.shared.services import Services
from tests.pages.pages_cases import errors, healthy, open_page, opened, press, shown, widget
from tests.pages.test_run_page import begun

NASTY = 'a "b" <b>*x*</b>'


@pytest.fixture(autouse=True)
def nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Supervisor, "look_after", lambda self: None)


@pytest.fixture
def parent(shared_services: Services) -> str:
    """A finished run of three epochs with checkpoints behind the first two and the last; the files are empty: nothing reads them here."""
    shared = shared_services
    run_id = begun(shared, epochs=3)
    plan = shared.store.run(run_id).plan
    assert plan is not None
    norms = np.zeros(len(plan.layers), np.float32)
    last = shared.store.last_step(run_id)
    shared.store.append(run_id, [StepRow(step, 1, 0.0, 1.0, 0.001, 1.0, norms) for step in range(last + 1, 109)])
    for step in (36, 72, 108):
        if step // 36 not in [row.epoch for row in shared.store.epochs_after(run_id)]:
            shared.store.append_epoch(run_id, EpochRow(step // 36, step, 0.0, 1.0, 0.5, 1.0, 0.5))
        path = resume_path(shared.home.run_folder(run_id), step)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"checkpoint")
    shared.store.end(run_id, RunStatus.FINISHED)
    relabel(shared.store, shared.home.run_folder(run_id), run_id, LabelChange(name=NASTY))
    return run_id


def form(run_id: str, step: int) -> AppTest:
    """The form as the run's page opens it."""
    app = opened(open_page("train.py", run=run_id), f"branches_{run_id}")
    widget(app, "Step").set_value(step).run()
    return press(app, "Set the branch up")


def test_the_form_has_what_the_parent_has_and_says_where_the_branch_begins(shared_services: Services, parent: str) -> None:
    app = form(parent, 80)
    run = shared_services.store.run(parent)
    assert "Fork from step 72 of" in app.title[0].value
    assert "<b>" not in app.title[0].value.replace("\\<b>", ""), "a name is no markup"
    assert "behind step 72, the nearest checkpoint before step 80, which was asked for" in shown(app)
    assert "Nothing is changed yet" in shown(app)
    assert widget(app, "Learning rate").value == run.config.learning_rate
    assert widget(app, "Batch size").value == run.config.batch_size
    widget(app, "Learning rate").set_value(0.0007).run()
    assert "From step 73 on it changes: Learning rate." in shown(app)
    app = press(app, "Start the branch")
    (branch,) = shared_services.store.branches(parent)
    made = shared_services.store.run(branch[0])
    assert (made.status, branch[1]) == (RunStatus.QUEUED, 72)
    assert str(made.config.timeline).endswith("step 73: learning_rate=0.0007")
    assert app.query_params["run"] in (branch[0], [branch[0]])


def test_what_a_branch_cannot_change_is_refused_beside_its_field_and_put_back_at_one_press(shared_services: Services, parent: str) -> None:
    app = form(parent, 72)
    held = [
        label
        for label in ("Model", "Image size", "Seed", "Loss", "Device", "Learning rate", "Batch size", "Optimizer")
        if widget(app, label).disabled
    ]
    assert held == ["Model", "Image size", "Seed", "Loss", "Device"]
    app.session_state["setup_seed"] = 5.0  # as a link has it
    app.run()
    assert not widget(app, "Seed").disabled, "what has to be mended can be"
    assert "the batches go on in the parent's order" in errors(app)
    press(app, "Start the branch")
    assert "Nothing was started" in errors(app)
    assert shared_services.store.branches(parent) == []
    app = press(app, "Put back what it cannot change")
    assert not errors(app)
    assert widget(app, "Seed").value == shared_services.store.run(parent).config.seed
    app = press(app, "Set up a run of its own instead")
    assert app.title[0].value == "Set up a run"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense <b>", "does not name a run and a step"),
        ("20260101-000000-0000@5", "not there any more"),
        ("PARENT@7", "before the first checkpoint"),
    ],
)
def test_an_address_that_cannot_be_followed_is_said(shared_services: Services, parent: str, address: str, said: str) -> None:
    app = open_page("train.py", new="1", fork=address.replace("PARENT", parent))
    assert said in shown(app)
    assert app.title[0].value == "Set up a run"


def test_the_model_screen_of_a_branch_holds_what_it_cannot_change_and_starts_it(shared_services: Services, parent: str) -> None:
    app = form(parent, 72)
    links = [link.proto.query_string for link in app.get("page_link") if link.proto.label == "Model screen"]
    assert links == [f"new=1&fork={parent}%4072"]
    app = open_page("model.py", new="1", fork=f"{parent}@72")
    assert "Fork from step 72 of" in app.subheader[0].value
    labels = ("Model", "Image size", "Starting weights", "Head dropout", "Hidden layer")
    assert [label for label in labels if widget(app, label).disabled] == list(labels)
    app.session_state["setup_head_dropout"] = 0.5  # as another tab's form, or a link, has it
    app = healthy(app.run())
    assert "the model was built with the parent's head" in errors(app)
    assert not widget(app, "Head dropout").disabled, "what has to be mended can be"
    app = press(app, "Put back what it cannot change")
    assert not errors(app)
    app = press(app, "Start the branch")
    ((branch, step),) = shared_services.store.branches(parent)
    assert step == 72
    assert app.query_params["run"] in (branch, [branch])


def test_pages_of_parent_and_branch_lead_to_each_other(shared_services: Services, parent: str) -> None:
    form(parent, 72)
    app = open_page("train.py", new="1", fork=f"{parent}@72")
    press(app, "Start the branch")
    ((branch, _),) = shared_services.store.branches(parent)
    page = open_page("train.py", run=parent)
    assert [each.label for each in page.expander if each.label.startswith("Branch off (1")]
    page = open_page("train.py", run=branch)
    assert "does the same as its parent" in shown(page)
    assert [link.proto.page for link in page.get("page_link") if parent in link.proto.label]
    shared_services.store.delete_run(parent)
    assert "which was deleted" in shown(open_page("train.py", run=branch))


def test_a_run_without_checkpoints_offers_nothing(shared_services: Services) -> None:
    run_id = begun(shared_services, epochs=3)
    assert not [each for each in open_page("train.py", run=run_id).expander if each.label.startswith("Branch off")]


def test_forgetting_is_asked_for_and_refused_for_random_weights(shared_services: Services) -> None:
    app = open_page("train.py", new="1", model="small_cnn", image_size="16", forgetting="True")
    (box,) = [each for each in app.checkbox if each.label == "Measure forgetting"]
    assert box.value is True
    assert "random weights know nothing that could be forgotten" in errors(app)
    healthy(widget(app, "Starting weights").set_value("pretrained").run())
    assert "random weights" not in errors(app)
