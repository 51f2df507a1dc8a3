"""A sweep in the store: begun whole or not at all, claimed in turn and side by side, stopped, resumed, added to, and what came out of it."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.events import CommandKind, Reuse, RunStatus
from core.store import RunStore, membership, recovery
from core.store.run_folder import RunFolder
from core.sweeps import depths, engine, moving
from core.sweeps.outcome import as_json, best_first, outcome
from core.sweeps.plan import Plan, make
from core.sweeps.vary import parse_all
from core.worker.supervisor import Supervisor
from tests.sweeps.sweep_cases import finished, layers_of

HEADS = RunConfig(model="small_cnn", image_size=16, freeze="head only", device="cpu")
needs_optuna = pytest.mark.skipif(bool(engine.missing()), reason="optuna is an optional extra: requirements-sweep.txt")


def plan(*vary: str, **options: Any) -> Plan:
    return make(options.pop("config", HEADS), parse_all(vary), **options)


def on_cpu(asked: str) -> str:
    return "cpu"


def test_a_sweep_begins_as_queued_runs_with_their_values(store: RunStore) -> None:
    sweep_id, drawn = moving.begin(store, plan("optimizer=SGD|AdamW", "seed=0|1"))
    members = store.members(sweep_id)
    assert [member.given for member in members] == [given for _, given, _ in drawn.runs]
    assert [run.id for run in store.waiting_runs()] == [member.run_id for member in members]
    assert store.run(members[1].run_id).config == HEADS.replace(optimizer="AdamW", seed=0)
    assert store.member(members[0].run_id) == members[0]
    assert store.member("nothing") is None


def test_nothing_begins_where_every_run_is_refused(store: RunStore) -> None:
    with pytest.raises(ConfigError, match="optimizer"):
        moving.begin(store, plan("optimizer=nothing|none of these"))
    assert store.sweeps() == []
    assert store.entries() == []


def test_a_large_sweep_is_queued_in_one_go(store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("seed=0..999", "batch_size=8|16"), checked=lambda config: config)
    assert store.open_members(sweep_id) == len(store.ids()) == 2000


def test_runs_of_a_sweep_share_places_once_one_has_kept_what_they_read_and_nobody_else_is_there(store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("seed=0..5", at_once=3))
    ids = [member.run_id for member in store.members(sweep_id)]
    first = store.claim("a 1", 1, on_cpu)
    assert first == ids[0]
    assert store.claim("b 1", 1, on_cpu) is None, "it fills what the others read"
    store.set_reuse(ids[0], Reuse("filling"))
    assert store.claim("b 1", 1, on_cpu) is None
    store.set_reuse(ids[0], Reuse("serving"))
    assert store.claim("b 1", 1, on_cpu) == ids[1], "all pictures are kept"
    finished(store, ids[0], 0.5)
    assert [store.claim("b 1", 1, on_cpu) for _ in range(3)] == [*ids[2:4], None]
    other = store.create_run(HEADS)
    finished(store, ids[1], 0.5)
    store.run_next(other)
    assert store.claim("b 1", 1, on_cpu) is None, "a run of nobody's waits for a place of its own, and goes first"


def test_a_process_takes_the_next_run_of_its_sweep_and_lets_go_of_the_last(store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("seed=0..2"))
    ids = [member.run_id for member in store.members(sweep_id)]
    assert store.claim("a 1", 1, on_cpu) == ids[0]
    me = (4711, 1.5)
    assert store.take_up(ids[0], *me)
    assert store.claim_next(ids[0], me, 1, on_cpu) is None, "it has not ended"
    finished(store, ids[0], 0.5)
    assert store.claim_next(ids[0], me, 1, on_cpu) == ids[1]
    assert store.run(ids[0]).pid is None
    assert store.run(ids[1]).pid == me[0]
    assert store.take_up(ids[1], *me)
    finished(store, ids[1], 0.5)
    other = store.create_run(HEADS)
    store.run_next(other)
    assert store.claim_next(ids[1], me, 1, on_cpu) is None, "another one's run comes first"
    alone = store.create_run(HEADS)
    finished(store, alone, 0.5)
    assert store.claim_next(alone, me, 1, on_cpu) is None, "it is of no sweep"


def test_a_stopped_sweep_begins_nothing_and_goes_on_where_it_was(store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("seed=0..3"))
    ids = [member.run_id for member in store.members(sweep_id)]
    finished(store, ids[0], 0.9)
    store.claim("a 1", 1, on_cpu)
    store.set_status(ids[1], RunStatus.RUNNING)
    assert moving.stop(store, sweep_id) == 3
    assert store.commands(ids[1])[0].kind == CommandKind.STOP
    store.end(ids[1], RunStatus.STOPPED)
    assert store.waiting_runs() == []
    assert outcome(store, sweep_id).state == "stopped"
    assert moving.resume(store, sweep_id) == 3
    assert {run.id for run in store.waiting_runs()} == set(ids[1:])
    assert outcome(store, sweep_id).state == "going on"


def test_more_runs_by_chance_go_on_with_the_draws_and_a_full_grid_says_why_not(store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("learning_rate=1e-4..1e-1 log", runs=3))
    moving.add_more(store, sweep_id, 2)
    found = store.members(sweep_id)
    assert [member.number for member in found] == [0, 1, 2, 3, 4]
    assert len({member.given["learning_rate"] for member in found}) == 5
    grid, _ = moving.begin(store, plan("seed=0|1"))
    with pytest.raises(ConfigError, match="all 2 combinations of this grid are in it; repeat them with further seeds"):
        moving.add_more(store, grid, 1)
    with pytest.raises(ConfigError, match="add runs to it instead"):
        moving.add_seeds(store, sweep_id, 1)
    with pytest.raises(ConfigError, match="must be 1 to"):
        moving.add_more(store, sweep_id, 0)
    with pytest.raises(KeyError, match="There is no sweep"):
        moving.add_more(store, "sweep-nothing", 1)


def test_a_full_grid_is_repeated_with_further_seeds_and_what_it_has_stays(store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("optimizer=SGD|AdamW", config=HEADS.replace(seed=7)))
    for member in store.members(sweep_id):
        finished(store, member.run_id, 0.5)
    moving.add_seeds(store, sweep_id, 2)
    found = outcome(store, sweep_id)
    assert [(entry.given["seed"], entry.given["optimizer"]) for entry in found.entries] == [(s, o) for s in (7, 8, 9) for o in ("SGD", "AdamW")]
    assert [entry.number for entry in found.entries] == list(range(6))
    assert all(store.run(entry.run_id).config.seed == entry.given["seed"] for entry in found.entries)
    moving.add_seeds(store, sweep_id, 1)
    assert [entry.given["seed"] for entry in outcome(store, sweep_id).entries] == [7, 7, 8, 8, 9, 9, 10, 10]
    with pytest.raises(ConfigError, match="must be 1 to 100 more"):
        moving.add_seeds(store, sweep_id, 0)


def test_of_a_part_of_a_grid_the_rest_can_be_added_and_no_combination_comes_twice(store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("seed=0..2", "optimizer=SGD|AdamW", runs=2))
    moving.add_more(store, sweep_id, 2)
    moving.add_more(store, sweep_id, 50)
    given = [(member.given["seed"], member.given["optimizer"]) for member in store.members(sweep_id)]
    assert len(given) == len(set(given)) == 6
    with pytest.raises(ConfigError, match="all 6 combinations of this grid are in it; begin another"):
        moving.add_more(store, sweep_id, 1)


def test_runs_that_are_taken_in_again_are_the_sweep_that_they_were(home: Home, store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("optimizer=SGD|AdamW", name="""it's <b>"one"</b>"""))
    for member, accuracy in zip(store.members(sweep_id), (0.5, 0.75), strict=True):
        finished(store, member.run_id, accuracy)
        folder = home.run_folder(member.run_id)
        RunFolder(folder).begin()
        RunFolder(folder).renew(lambda run_id=member.run_id: store.columns(run_id), now=True)  # type: ignore[misc]
        membership.keep_beside(store, folder, member.run_id)
    before = as_json(outcome(store, sweep_id))
    store.delete_run(store.members(sweep_id)[0].run_id)
    store.forget_sweep(sweep_id)
    store.delete_run(before["best"]["run_id"])
    for lying in recovery.found(home, store):
        recovery.take_in(store, lying)
    assert as_json(outcome(store, sweep_id)) == before
    damaged = home.run_folder(before["best"]["run_id"]) / membership.NAME
    for text in ("", "[]", '{"sweep": 1}', '{"sweep": {"id": 1, "created": "x"}, "given": {}, "pruned": null}'):
        damaged.write_text(text)
        assert membership.read_beside(damaged.parent) is None


@needs_optuna
def test_a_sweep_that_optuna_leads_is_moved_on_by_whoever_looks_and_by_one_alone(home: Home, store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("learning_rate=1e-4..1e-1 log", method="tpe", runs=3, at_once=1))
    (first,) = store.members(sweep_id)
    assert store.led_sweeps() == [sweep_id]
    assert moving.move_on(store, sweep_id) == [], "the first has not ended"
    finished(store, first.run_id, 0.7)
    row = store.sweep(sweep_id)
    assert len(moving.move_on(RunStore(home.database), sweep_id)) == 1
    assert store.add_to_sweep(sweep_id, [(9, {}, HEADS.to_json())], row.tried, 10) == [], "somebody else has drawn meanwhile"
    finished(store, store.members(sweep_id)[1].run_id, 0.8)
    # What a server that died leaves is led on by the next one's looks.
    supervisor = Supervisor(home, RunStore(home.database))
    for sweep in supervisor.store.led_sweeps():
        moving.move_on(supervisor.store, sweep)
    third = store.members(sweep_id)[2]
    finished(store, third.run_id, 0.6)
    assert store.led_sweeps() == []
    assert outcome(store, sweep_id).state == "done"
    moving.add_more(store, sweep_id, 1)
    assert len(store.members(sweep_id)) == 4


def test_what_came_out_names_the_best_and_what_cannot_be_told_from_it(store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("optimizer=SGD|AdamW|Adam", "learning_rate=0.1|5000", name="<script>alert('x')</script>"))
    ids = [member.run_id for member in store.members(sweep_id)]
    for run_id, accuracy in zip(ids, (0.70, 0.95, 0.94), strict=True):
        finished(store, run_id, accuracy)
    found = outcome(store, sweep_id)
    assert (found.done, found.total, found.state) == (3, 3, "done")
    assert found.best is not None
    assert found.best.run_id == ids[1]
    assert found.sentence.startswith("Best: optimizer AdamW, learning rate 0.1, 95.0 % of the validation pictures right; another run is within")
    told = as_json(found)
    assert told["best"]["values"] == {"optimizer": "AdamW", "learning_rate": 0.1}
    assert [each["values"]["learning_rate"] for each in told["refused"]] == [5000] * 3
    assert {"run_id", "values", "status", "test_accuracy", "validation_accuracy", "seconds"} <= told["runs"][0].keys()
    assert store.put_into_bin(ids[1])
    left = outcome(store, sweep_id)
    assert left.best is not None
    assert left.best.run_id == ids[2]


def test_a_run_whose_row_is_damaged_is_said_to_have_failed_and_spoils_no_other(home: Home, store: RunStore) -> None:
    sweep_id, _ = moving.begin(store, plan("optimizer=SGD|AdamW|Adam"))
    first, second, third = (member.run_id for member in store.members(sweep_id))
    for run_id in (first, second, third):
        finished(store, run_id, 0.5)
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE runs SET config = '{' WHERE id = ?", (first,))
        connection.execute("UPDATE runs SET plan = '[1]', result = '{\"validation_accuracy\": \"x\"}' WHERE id = ?", (second,))
    connection.close()
    found = outcome(store, sweep_id)
    assert [(str(entry.status), entry.learning) for entry in found.entries] == [("failed", 80), ("finished", None), ("finished", 80)]
    assert "damaged" in (found.entries[0].error or "")
    best, rest = best_first(found.entries)
    assert [entry.run_id for entry in (*best, *rest)] == [third, first, second]


def test_the_answer_to_which_layers_claims_no_winner_within_chance(store: RunStore) -> None:
    tried = depths.depths(layers_of())
    assert [depth.freeze for depth in tried] == ["head only", "last stage", "conv1, layer1", "train everything"]
    asked = depths.question(HEADS, tried, seeds=2, epochs=3)
    assert asked.total == 8
    sweep_id, _ = moving.begin(store, asked)
    members = store.members(sweep_id)
    accuracies = {"head only": (0.70, 0.71), "last stage": (0.930, 0.938), "conv1, layer1": (0.932, 0.940), "train everything": (0.90, 0.93)}
    seconds = {"head only": 1.0, "last stage": 4.0, "conv1, layer1": 9.0, "train everything": 12.0}
    for member in members:
        freeze, seed = member.given["freeze"], member.given["seed"]
        finished(store, member.run_id, accuracies[freeze][seed], seconds[freeze], samples=2000)
    said = depths.answer(outcome(store, sweep_id))
    assert said.take is not None
    assert said.depths[said.take].freeze == "last stage"
    assert "'last stage' with 93.4 % cannot be told from it" in said.sentence
    assert [depth.freeze for depth in said.depths] == list(seconds)


def test_the_answer_names_a_winner_that_chance_does_not_explain_and_says_what_one_seed_is_worth(store: RunStore) -> None:
    asked = depths.question(HEADS, depths.depths(layers_of()), seeds=1, epochs=3)
    sweep_id, _ = moving.begin(store, asked)
    assert depths.answer(outcome(store, sweep_id)).sentence == ""
    for member, accuracy in zip(store.members(sweep_id), (0.5, 0.9, 0.6, 0.55), strict=True):
        finished(store, member.run_id, accuracy, samples=1000)
    said = depths.answer(outcome(store, sweep_id))
    assert said.sentence.startswith("'last stage' is best: 90.0 % of the validation pictures right, 30.0 points more than 'all but conv1, layer1'")
    assert "One seed each says little" in said.sentence


def test_depths_share_the_cores_as_far_as_there_is_memory_unless_a_number_of_threads_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = depths.depths(layers_of()), RunConfig(device="cpu", image_size=64)
    for where in ("core.sweeps.depths.cores", "core.sweeps.plan.cores"):
        monkeypatch.setattr(where, lambda: 16)

    def shared(config: RunConfig, seeds: int, free: float) -> tuple[int | None, int]:
        monkeypatch.setattr("core.sweeps.depths.psutil.virtual_memory", lambda: SimpleNamespace(available=free))
        made = depths.question(config, found, seeds, 3)
        return made.config.threads, made.side_by_side

    assert shared(asked, 2, 64e9) == (2, 8)
    assert shared(asked, 9, 64e9) == (1, 16)
    assert shared(asked.replace(image_size=224, batch_size=64), 9, 32e9) == (5, 3)
    assert shared(asked.replace(image_size=224, batch_size=64), 9, 53e9) == (2, 6), "two threads each leave cores, but there is no memory for more"
    assert shared(asked, 2, 1e8) == (16, 1)
    assert shared(asked.replace(threads=3), 9, 64e9) == (3, 5)
    assert shared(asked.replace(device="cuda"), 9, 64e9) == (None, 1)
