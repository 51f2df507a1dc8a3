"""`python -m core queue` and `work`, as a person types them."""

from __future__ import annotations

import json

import pytest

from core.config import RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from tests.commands.test_cli import QUICK, thaw, train

pytestmark = pytest.mark.usefixtures("one_thread")


def waiting(home: Home) -> list[str]:
    return [run.id for run in RunStore(home.database).waiting_runs()]


def test_train_with_queue_prints_the_id_of_a_run_that_waits(home: Home) -> None:
    done = thaw(home, "train", *QUICK, "--queue")
    assert done.returncode == 0
    assert waiting(home) == [done.stdout.strip()]
    assert json.loads(thaw(home, "train", *QUICK, "--queue", "--json").stdout) == {"run_id": waiting(home)[1], "status": "queued"}
    assert thaw(home, "train", "--model", "resnet81", "--queue").returncode == 2
    assert len(waiting(home)) == 2


def test_queue_lists_orders_and_cancels(home: Home) -> None:
    first, second, third = (thaw(home, "train", *QUICK, "--queue", "--seed", seed).stdout.strip() for seed in "123")
    said = thaw(home, "queue").stdout
    assert said.index(first) < said.index(second) < said.index(third)
    assert "after 2 others" in said
    assert thaw(home, "queue", "--next", third).returncode == 0
    assert waiting(home) == [third, first, second]
    assert thaw(home, "queue", "--move", second, "--before", first).returncode == 0
    assert waiting(home) == [third, second, first]
    listed = json.loads(thaw(home, "queue", "--cancel", third, "--json").stdout)
    assert [each["run_id"] for each in listed["waiting"]] == [second, first]
    assert listed["waiting"][1]["ahead"] == 1
    assert thaw(home, "queue", "--restore", third).returncode == 0
    assert waiting(home) == [third, second, first]
    assert "begins on" in thaw(home, "show", third).stdout
    assert thaw(home, "stop", third).returncode == 0
    assert RunStore(home.database).run(third).status is RunStatus.STOPPED


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--move", "ENDED"], "before: --move and --before belong together"),
        (["--before", "ENDED"], "before: --move and --before belong together"),
        (["--next", "ENDED"], "does not wait in the queue (finished)"),
        (["--move", "WAITS", "--before", "ENDED"], "ENDED does not wait in the queue (finished)"),
        (["--cancel", "ENDED"], "does not wait in the queue (finished)"),
        (["--restore", "ENDED"], "was not cancelled (finished)"),
        (["--now", "nobody"], "There is no run 'nobody'"),
        (["--slots", "0"], "slots: must be 1 to 64, got '0'"),
        (["--slots", "many"], "slots: must be a whole number, got 'many'"),
    ],
)
def test_what_cannot_be_done_is_said(home: Home, arguments: list[str], said: str) -> None:
    store = RunStore(home.database)
    names = {"WAITS": store.create_run(RunConfig()), "ENDED": store.create_run(RunConfig())}
    store.end(names["ENDED"], RunStatus.FINISHED)
    done = thaw(home, "queue", *(names.get(argument, argument) for argument in arguments))
    assert done.returncode == 2
    for name, run_id in names.items():
        said = said.replace(name, run_id)
    assert said in done.stderr


@pytest.mark.parametrize(
    "text", ["no JSON", "[1]", '{"slots": 1.5}', '{"slots": true}', '{"resume_lost": 1}', '{"slot": 1}', "\x00", '{"slots": 65}']
)
def test_settings_that_cannot_be_used_name_file_field_value_and_remedy(home: Home, text: str) -> None:
    (home.path / "settings.json").write_text(text)
    done = thaw(home, "queue")
    assert done.returncode == 2
    assert "settings.json" in done.stderr
    assert any(remedy in done.stderr for remedy in ("try 1", "try false", "write for example", "there are slots, resume_lost"))


def test_slots_are_kept_and_another_setting_stays(home: Home) -> None:
    (home.path / "settings.json").write_text('{"resume_lost": true}')
    assert json.loads(thaw(home, "queue", "--slots", "3", "--json").stdout)["slots"] == 3
    assert json.loads((home.path / "settings.json").read_text()) == {"slots": 3, "resume_lost": True}


@pytest.mark.usefixtures("all_forked")
def test_work_once_serves_the_queue_to_its_end(home: Home) -> None:
    ids = [thaw(home, "train", *QUICK, "--queue", "--seed", seed, "--threads", "1").stdout.strip() for seed in "12"]
    done = thaw(home, "work", "--once")
    assert done.returncode == 0, done.stderr
    assert [str(RunStore(home.database).run(run_id).status) for run_id in ids] == ["finished"] * 2
    assert f"{ids[0]} begins" in done.stderr
    assert f"{ids[1]} finished" in done.stderr


def test_a_run_in_the_foreground_begins_at_once_whatever_waits(home: Home) -> None:
    queued = thaw(home, "train", *QUICK, "--queue").stdout.strip()
    assert train(home, *QUICK)["status"] == "finished"
    assert waiting(home) == [queued]


def test_commands_for_a_run_that_goes_on_say_of_a_waiting_one_that_it_waits(home: Home) -> None:
    run_id = thaw(home, "train", *QUICK, "--queue").stdout.strip()
    for command in (["pause", run_id], ["resume", run_id], ["change", run_id, "!stage3"]):
        done = thaw(home, *command)
        assert done.returncode == 2
        assert f"{run_id} has not begun, it begins on" in done.stderr
        assert f"queue --now {run_id}" in done.stderr
