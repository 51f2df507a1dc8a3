"""Runs of a sweep in one process: each with the bits that it has alone, whatever becomes of those before it."""

from __future__ import annotations

import pytest
import torch

from core.config import RunConfig
from core.machine.home import Home
from core.records.events import EpochRow, RunStatus
from core.store import RunStore
from core.store.checkpoint import weights_of
from core.sweeps import engine
from core.sweeps.plan import make
from core.sweeps.vary import parse_all
from core.worker import in_turn, process
from core.worker.supervisor import Supervisor
from tests.support import nursery, processes_of, wait_until
from tests.sweeps.sweep_cases import finished

TINY = RunConfig(
    dataset="digits", model="small_cnn", image_size=8, epochs=2, freeze="head only", batch_size=128, threads=1, device="cpu", watch_every=1
)


def weights(home: Home, store: RunStore, run_id: str) -> dict[str, torch.Tensor]:
    file = weights_of(home, store.run(run_id))
    assert file is not None
    found: dict[str, torch.Tensor] = torch.load(file, weights_only=True)
    return found


def test_each_run_has_its_own_row_folder_log_and_bits_and_a_failed_one_ends_no_other(home: Home, store: RunStore) -> None:
    plan = make(TINY, parse_all(["learning_rate=0.1|0.01", "optimizer=SGD|AdamW"]), at_once=1)
    configs = [TINY.replace(optimizer="SGD", learning_rate=0.1), TINY.replace(dataset="folder:/nowhere"), TINY.replace(head_dropout=0.5)]
    draws = [(number, {"learning_rate": config.learning_rate}, config.to_json()) for number, config in enumerate(configs)]
    sweep_id = store.create_sweep(plan.to_json(), 1, draws, len(draws))
    ids = [member.run_id for member in store.members(sweep_id)]
    supervisor = Supervisor(home, store, nursery())
    wait_until(lambda: nursery().ready, what="the nursery")
    supervisor.look_after()
    wait_until(lambda: not store.open_members(sweep_id), what="the end of all three")
    assert [store.run(run_id).status for run_id in ids] == [RunStatus.FINISHED, RunStatus.FAILED, RunStatus.FINISHED]
    assert "/nowhere" in str(store.run(ids[1]).error)
    assert len(supervisor._children) == 1, "one process did all of them"
    wait_until(lambda: not processes_of(home.path), what="its end")
    assert "/nowhere" in (home.run_folder(ids[1]) / "worker.log").read_text()
    assert "/nowhere" not in (home.run_folder(ids[2]) / "worker.log").read_text()
    alone = [supervisor.start(configs[2])]
    wait_until(lambda: not store.run(alone[0]).status.active, what="the run alone")
    mine, other = (weights(home, store, run_id) for run_id in (ids[2], alone[0]))
    assert all(torch.equal(tensor, other[name]) for name, tensor in mine.items())
    steps = [store.steps_after(run_id, 0, 0) for run_id in (ids[2], alone[0])]
    assert len(steps[0].loss) > 10
    assert steps[0].loss.tolist() == steps[1].loss.tolist()


def test_a_run_that_measured_or_translated_has_a_process_of_its_own() -> None:
    assert in_turn.may_share(TINY)
    assert not in_turn.may_share(TINY.replace(compile_model=True))
    assert not in_turn.may_share(RunConfig(speed="automatic"))


def test_a_run_of_no_sweep_and_a_store_that_cannot_be_read_end_the_process(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = store.create_run(TINY)
    store.end(run_id, RunStatus.FINISHED)
    assert in_turn.next_run(home, run_id) is None
    home.database.write_bytes(b"this is no database, whatever its name says" * 100)
    assert in_turn.next_run(home, run_id) is None


@pytest.mark.skipif(bool(engine.missing()), reason="optuna is an optional extra: requirements-sweep.txt")
def test_a_run_is_given_up_early_where_the_sweep_says_so_and_keeps_its_weights(home: Home, store: RunStore, one_thread: None) -> None:
    plan = make(TINY.replace(epochs=6), parse_all(["learning_rate=1e-9..1 log"]), runs=6, pruner="median", at_once=1)
    given = [0.1, 0.05, 0.03, 0.02, 0.04, 1e-9]
    draws = [(number, {"learning_rate": rate}, TINY.replace(epochs=6, learning_rate=rate).to_json()) for number, rate in enumerate(given)]
    sweep_id = store.create_sweep(plan.to_json(), 1, draws, len(draws))
    ids = [member.run_id for member in store.members(sweep_id)]
    for run_id in ids[:5]:
        for epoch in range(1, 7):
            store.append_epoch(run_id, EpochRow(epoch, epoch, float(epoch), 0.5, 0.9, 0.5, 0.9))
        finished(store, run_id, 0.9)
    store.claim_this(ids[5], "a 1")
    assert process.work(home, ids[5]) is RunStatus.STOPPED
    member = store.members(sweep_id)[5]
    assert member.pruned == 1
    assert store.run(ids[5]).epoch == 1
    assert weights(home, store, ids[5])
