"""Slurm on the form and on a run's page, by AppTest, with a cluster that says what the test tells it to."""

from __future__ import annotations

import pytest

from core.records.events import RunStatus
from core.slurm.words import Seen
from core.store.job_tables import JobRow
from core.store.report_lines import line
from core.worker import on_slurm
from core.worker.supervisor import Supervisor
from pages._parts.run import job_view
from pages._parts.setup import target_fields
from pages._parts.setup.looking import Looks
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, errors, healthy, open_page, press, shown, widget
from tests.store.test_store import PLAN
from tests.worker.test_on_slurm import SLURM, Fake, tells

ASKED = {"target": "slurm", "partition": "debug", "time_limit": "30", "sbatch": "mem=4G"}


START = Supervisor.start
"""Which other tests of pages put another in the place of."""


@pytest.fixture
def fake(shared_services: Services, monkeypatch: pytest.MonkeyPatch) -> Fake:
    found = Fake()
    monkeypatch.setattr(shared_services.supervisor, "_cluster", found)
    monkeypatch.setattr(Supervisor, "start", START)
    monkeypatch.setattr(target_fields, "_looks", Looks(at_most=30.0))
    for pause in ("SOON_SECONDS", "LAST_SECONDS"):
        monkeypatch.setattr(on_slurm, pause, 0.0)
    return found


def test_the_form_asks_slurm_for_its_partitions_and_submits_what_it_says(shared_services: Services, fake: Fake) -> None:
    app = open_page("train.py", new="1", **SMALL, **ASKED)
    assert not app.warning, "a refresh loses nothing: each field of the link is taken"
    assert not errors(app)
    assert widget(app, "Partition").options == ["debug"]
    assert "debug: at most 60 min, the usual one" in [each.value for each in app.caption]
    assert "mem=4G" in widget(app, "Further options for Slurm").value
    press(app, "Start training")
    (run,) = shared_services.store.runs()
    assert (run.config.target, run.config.partition, run.config.time_limit, run.config.sbatch) == ("slurm", "debug", 30, "mem=4G")
    assert len(fake.submitted) == 1


def test_where_machines_meet_can_be_set_by_a_link_too(shared_services: Services) -> None:
    """Like the fields of Slurm it means nothing without another one."""
    app = open_page("train.py", new="1", **SMALL, nodes="2", rendezvous="127.0.0.1:29500")
    assert not app.warning
    assert not errors(app)
    assert widget(app, "Where machines meet").value == "127.0.0.1:29500"


def test_what_the_cluster_cannot_do_is_said_beside_its_field(shared_services: Services, fake: Fake) -> None:
    app = open_page("train.py", new="1", **SMALL, **{**ASKED, "partition": "nowhere"})
    assert widget(app, "Partition").value == "nowhere"
    press(app, "Start training")
    assert "is no partition of this cluster" in errors(app)
    assert shared_services.store.runs() == []


def test_back_to_this_machine_nothing_of_slurm_is_left(shared_services: Services, fake: Fake) -> None:
    app = open_page("train.py", new="1", **SMALL, **ASKED)
    healthy(widget(app, "Computed").set_value("here").run())
    assert not errors(app)
    assert widget(app, "Partition").value is None
    assert widget(app, "Partition").disabled
    assert not set(ASKED) & set(app.query_params)


def test_the_page_of_a_job_says_where_it_is_and_cancels_it(shared_services: Services, fake: Fake) -> None:
    run_id = shared_services.supervisor.start(SLURM)
    shared_services.supervisor.reconcile()
    app = open_page("train.py", run=run_id)
    assert "Waits in Slurm's queue until enough processors, memory or GPUs are free (Resources), as job 11 in debug" in shown(app)
    assert "time limit 30 min" in shown(app)
    press(app, "Cancel the job")
    assert fake.cancelled == ["11"]
    fake.jobs["11"] = Seen("CANCELLED")
    for _ in range(2):
        shared_services.supervisor.reconcile()
    healthy(app.run())
    assert "cancelled before it began" in shown(app).lower()
    assert not [button for button in app.button if "the job" in button.label]


def test_a_lost_job_shows_why_and_can_be_continued(shared_services: Services, fake: Fake) -> None:
    run_id = shared_services.supervisor.start(SLURM)
    tells(shared_services.supervisor, run_id, line("begin", (PLAN,)))
    fake.jobs["11"] = Seen("NODE_FAIL", "", "<b>node</b>")
    for _ in range(3):
        shared_services.supervisor.reconcile()
    assert shared_services.store.run(run_id).status is RunStatus.LOST
    app = open_page("train.py", run=run_id)
    assert "was lost with its node" in errors(app)
    press(app, "Begin anew")
    assert len(fake.submitted) == 2


@pytest.mark.parametrize(("count", "words"), [(1, None), (2, "2nd job"), (3, "3rd job"), (11, "11th job"), (21, "21st job")])
def test_the_line_of_a_job(shared_services: Services, count: int, words: str | None) -> None:
    run = shared_services.store.run(shared_services.store.create_run(SLURM))
    job = JobRow(run.id, count, "slurm", "7", "RUNNING", "None", "n*1*", 0.0, 0.0, 1, 2, "", None, None)
    text = job_view.line(job, run, count)
    assert "n\\*1\\*" in text
    assert "2 lines that it told were cut short" in text
    assert words is None or words in text
