"""`python -m core label`, and the commands that show what it sets."""

from __future__ import annotations

import json

from core.config import RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore
from tests.commands.test_cli import thaw


def test_a_run_is_named_tagged_and_starred_and_listed_with_it(home: Home) -> None:
    store = RunStore(home.database)
    run_id = store.create_run(RunConfig())
    store.end(run_id, RunStatus.FINISHED)
    assert "has no name, note, tags or star" in thaw(home, "label", run_id).stdout
    done = thaw(home, "label", run_id, "--name", "first", "--note", "one\ntwo", "--tag", "a", "--tag", "b", "--star", "--json")
    wanted = {"run_id": run_id, "name": "first", "note": "one\ntwo", "tags": ["a", "b"], "starred": True}
    assert json.loads(done.stdout) == wanted
    assert "* “first” #a #b · " in thaw(home, "runs").stdout
    (listed,) = json.loads(thaw(home, "runs", "--json").stdout)
    assert listed | wanted == listed
    shown = thaw(home, "show", run_id).stdout
    assert "name                 first" in shown
    assert "tags                 a, b" in shown
    assert thaw(home, "label", run_id, "--name", "", "--untag", "A", "--no-star").returncode == 0
    assert store.labels(run_id).tags == ("b",)
    assert (store.labels(run_id).name, store.labels(run_id).note, store.labels(run_id).starred) == ("", "one\ntwo", False)


def test_what_cannot_be_a_name_is_refused_in_one_line(home: Home) -> None:
    run_id = RunStore(home.database).create_run(RunConfig())
    for options, said in (
        (("--name", "x" * 300), "thaw: name: 'xxx"),
        (("--name", "  "), "nothing but spaces"),
        (("--tag", "a\nb"), "thaw: tag: 'a\\nb' has more than one line"),
    ):
        done = thaw(home, "label", run_id, *options)
        assert (done.returncode, said in done.stderr, done.stderr.count("\n")) == (2, True, 1)
    done = thaw(home, "label", "nobody", "--star")
    assert (done.returncode, "There is no run 'nobody'" in done.stderr) == (2, True)
