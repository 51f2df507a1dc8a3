"""The helper process that answers what needs torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psutil
import pytest

from core.config import ConfigError, RunConfig
from core.helpers.helper import NICENESS, Helper, LabError
from core.lab.lab import Lab
from core.machine.home import Home
from core.records.cost import CostState
from core.records.layers import HeadOptions
from core.records.walkthrough import Example, Walkthrough
from tests.support import nursery, wait_until

SMALL = RunConfig(model="small_cnn", image_size=16, batch_size=8, device="cpu")


@pytest.fixture
def lab(home: Home) -> Iterator[Lab]:
    lab = Lab(home, nursery())
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """For tests that leave it as it is: starting one takes seconds."""
    lab = Lab(Home(tmp_path_factory.mktemp("lab")), nursery())
    yield lab
    lab.close()


def kill(helper: Helper) -> None:
    assert helper._process is not None
    helper._process.kill()
    helper._process.wait()


def test_lab_describes_a_model_and_remembers_it(lab: Lab) -> None:
    description = lab.describe("resnet18", 10, 64)
    assert len(description.parameters) == 62
    assert description.count == 11_181_642
    assert [parameter.name for parameter in description.parameters if parameter.role == "head"] == ["fc.weight", "fc.bias"]
    lab.close()
    assert lab.describe("resnet18", 10, 64) == description  # without a process: remembered


def test_lab_says_what_this_machine_has(shared_lab: Lab) -> None:
    machine = shared_lab.machine()
    assert machine.devices[0].name == "cpu"
    assert machine.cores >= 1
    assert machine.memory_bytes > 2**28


def test_bad_model_is_a_config_error_and_the_lab_lives_on(shared_lab: Lab) -> None:
    with pytest.raises(ConfigError, match=r"resnet81"):
        shared_lab.describe("resnet81", 10, 64)
    assert shared_lab.machine().cores >= 1


def test_lab_that_was_killed_is_started_again(lab: Lab) -> None:
    lab.machine()
    kill(lab._helper)
    assert lab.describe("mlp", 3, 16).classes == 3


def test_lab_that_dies_at_a_question_names_its_log(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.helpers.helper.sys.executable", "/bin/false")
    with pytest.raises(LabError, match=r"lab\.log"):
        lab.machine()


def test_a_closed_lab_starts_no_process(lab: Lab) -> None:
    lab.close()
    with pytest.raises(LabError, match="closing"):
        lab.machine()
    with pytest.raises(LabError, match="closing"):
        lab.walkthrough("tab", QUICK)
    assert lab._helper._process is None


def test_a_new_head_is_described(shared_lab: Lab) -> None:
    description = shared_lab.describe("small_cnn", 10, 16, HeadOptions(dropout=0.2, hidden=24))
    assert [parameter.name for parameter in description.parameters if parameter.role == "head"][-1] == "head.3.bias"
    assert description.head[0].in_features == 128
    assert description.order[-1] == "head.3"
    assert description.flops["head.3"] == 2 * 24 * 10


# What a step costs


def ask(lab: Lab, config: RunConfig = SMALL, client: str = "tab", train_samples: int | None = 100) -> CostState:
    """The state once it is no longer being measured."""

    def settled() -> CostState | None:
        state = lab.cost(client, config, 10, train_samples)
        return state if state.status != "measuring" else None

    state = wait_until(settled)
    assert state is not None
    return state


def test_cost_is_measured_in_the_background(shared_lab: Lab) -> None:
    assert shared_lab.cost("tab", SMALL, 10, 100).status == "measuring", "it does not wait for the answer"
    state = ask(shared_lab)
    assert state.status == "done"
    assert state.cost is not None
    assert (state.cost.trainable, state.cost.steps_per_epoch, state.cost.device) == (94_762, 13, "cpu")
    assert state.cost.epoch_seconds == 13 * state.cost.step_seconds

    # Remembered, by what matters: more epochs cost no new measurement.
    longer = shared_lab.cost("other tab", SMALL.replace(epochs=50), 10, None)
    assert longer.cost is not None
    assert longer.cost.step_seconds == state.cost.step_seconds
    assert longer.cost.total_seconds is None

    # What cannot be used fails with the error's own words, and the process lives on.
    process = shared_lab._measuring._process
    assert ask(shared_lab, SMALL.replace(device="cuda:7")).message.startswith("device: 'cuda:7' is not on this machine")
    assert ask(shared_lab, SMALL.replace(freeze="layer9")).message.startswith("freeze: the pattern 'layer9' matches no layer")
    assert ask(shared_lab, SMALL.replace(freeze="head only")).status == "done"
    assert shared_lab._measuring._process is process


def test_the_measuring_process_steps_back_and_leaves_with_the_lab(lab: Lab) -> None:
    before = {thread.name for thread in threading.enumerate()}
    assert ask(lab).status == "done"
    assert lab._measuring._process is not None
    assert lab._helper._process is None, "what is quick has a process of its own, which was not asked"
    process = psutil.Process(lab._measuring._process.pid)
    assert process.nice() == min(19, psutil.Process().nice() + NICENESS)
    lab.cost("tab", SMALL.replace(model="resnet50", batch_size=64), 10, 100)
    lab.close()
    assert not process.is_running()
    assert {thread.name for thread in threading.enumerate()} == before


def test_a_measuring_process_that_dies_fails_the_question_and_is_started_again(lab: Lab) -> None:
    slow = SMALL.replace(model="resnet50", image_size=64, batch_size=64)
    lab.cost("tab", slow, 10, 100)
    wait_until(lambda: lab._measuring._process)
    kill(lab._measuring)
    state = ask(lab, slow)
    assert state.status == "failed"
    for word in ("was killed", "batch_size", "measuring.log"):
        assert word in state.message
    assert lab.cost("tab", slow, 10, 100) == state, "a page that asks twice a second starts no process twice a second"
    assert ask(lab).status == "done"


def test_a_new_choice_gives_up_the_measurement_of_the_old_one(shared_lab: Lab) -> None:
    assert ask(shared_lab).status == "done"
    slow = SMALL.replace(model="resnet50", image_size=128, batch_size=512)
    assert shared_lab.cost("tab", slow, 10, None).status == "measuring"
    wait_until(lambda: shared_lab._desk._running is not None)
    process = shared_lab._measuring._process
    head = ask(shared_lab, SMALL.replace(freeze="head only"))
    assert head.cost is not None
    assert head.cost.trainable == 1290
    assert shared_lab._measuring._process is process, "the process was asked to give up, not killed"
    assert shared_lab.cost("another tab", slow, 10, None).status == "measuring", "it was not measured to the end"


# A step in slow motion

QUICK = Example("own", RunConfig(model="mlp", image_size=16, device="cpu", threads=1), samples=2)
LONG = Example("own", RunConfig(model="densenet201", image_size=64, device="cpu", threads=1))


def walk(lab: Lab, example: Example, client: str = "tab") -> Walkthrough:
    found = wait_until(lambda: lab.walkthrough(client, example), timeout=120)
    assert found is not None
    return found


def test_a_long_walkthrough_keeps_no_other_question_waiting_and_makes_way_for_the_next_choice(lab: Lab) -> None:
    lab.machine()  # its process is there
    assert lab.walkthrough("tab", LONG) is None
    assert lab.describe("mlp", 3, 16).classes == 3
    assert lab._walking._running is not None, "the walkthrough still goes on"
    assert walk(lab, QUICK).graph.nodes
    process = lab._explaining._process
    assert process is not None
    assert process.poll() is None, "it was asked to give up, not killed"
    assert lab.node(QUICK, 1).checks == (), "what takes longer comes by itself"
    assert all(check.agrees for check in lab.checks(QUICK, 1))
    assert lab.walkthrough("another tab", LONG) is None, "it was not made to the end"


def test_a_walkthrough_that_cannot_be_made_says_why_and_is_tried_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(line: str, number: int = 0) -> None:
        asked.append(line)
        raise ConfigError("dataset", "is not here")

    monkeypatch.setattr(lab._explaining, "ask", ask)
    for _ in range(2):
        with pytest.raises(ConfigError, match="is not here"):
            walk(lab, QUICK)
    assert len(asked) == 2


def test_modes_are_tried_beside_a_walkthrough_and_remembered(shared_lab: Lab) -> None:
    assert shared_lab.modes("tab", QUICK) is None, "it does not wait for the answer"
    assert walk(shared_lab, QUICK).graph.nodes
    found = wait_until(lambda: shared_lab.modes("tab", QUICK))
    assert found is not None
    assert (found.pictures, found.norms, found.of("train").grads) == (2, 0, 6)
    assert shared_lab.modes("another tab", QUICK) == found
    with pytest.raises(ConfigError, match="resnet81"):
        wait_until(lambda: shared_lab.modes("tab", Example("own", RunConfig(model="resnet81"))))
