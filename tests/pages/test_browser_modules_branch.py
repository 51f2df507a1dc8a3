"""What the live charts' modules draw of branches and of forgetting: a branch over its parent, the past, a chosen step, drift."""

from __future__ import annotations

import pytest

from tests.javascript import Modules

pytestmark = pytest.mark.browser

CHART = """
    const root = document.createElement("div");
    root.innerHTML = panels.PAGE;
    const history = new run_history.RunHistory();
    history.take({ reset: true, layers: [{ name: "a.w", block: "a<b>", frozen: false }, { name: "b.w", block: "b", frozen: true }],
      steps: { step: [1, 2, 3], loss: [3, 2, 1], low: [3, 2, 1], high: [3, 2, 1], learning_rate: [1, 1, 1] },
      epochs: { epoch: [1], step: [2], train_loss: [1], train_accuracy: [0.5], validation_loss: [1], validation_accuracy: [0.4] },
      parent: { step: [3, 4], loss: [1.5, 1.4], epochs: { step: [4], validation_loss: [1], validation_accuracy: [0.6] } },
      forgetting: { step: [0, 2], accuracy: [1, 0.25], pictures: [8, 8], drift: [[0, null], [0.5, null]] } });
    const colours = looks.readColours(document.body);
    const sent = [];
    const chart = { root, history, colours, about: { status: "running", fork: { parent: "p<i>", step: 2 } }, cursor: { level: 0 },
      dirty: new Set(), heights: {},
      slider: { value: 0 }, scales: { log: () => false }, drawNow() {}, send: (...told) => sent.push(told),
      evidence: { marks: () => ({ shapes: [], annotations: [] }) },
      panel: (name) => root.querySelector(`[data-panel=${name}]`), plot: (name) => root.querySelector(`[data-panel=${name}] .thaw-plot`) };
"""


def test_a_branch_is_drawn_over_its_parent_and_marks_where_it_began(modules: Modules) -> None:
    found = modules.run(
        "panels run_history looks figures branching",
        CHART
        + """
    const branch = new branching.Branching(chart);
    const names = (draw) => draw(chart)[0].map((trace) => trace.name);
    const kinds = () => branch.marks("loss").shapes.map((shape) => shape.name);
    const before = kinds();
    branch.choose(2.4);
    const label = root.querySelector("[data-act=branch]").textContent, hidden = root.querySelector(".thaw-branch").hidden, chosen = kinds();
    root.querySelector("[data-act=branch]").click();
    branch.choose(99); const last = branch.step;
    branch.choose(NaN); const same = branch.step;
    root.querySelector("[data-act=no-branch]").click();
    return { loss: names(figures.drawLoss), accuracy: names(figures.drawAccuracy), before, label, hidden, chosen, sent, last, same,
      after: kinds(),
      gone: root.querySelector(".thaw-branch").hidden, hover: branch.marks("loss").annotations[0].hovertext,
      quiet: branch.marks("rate").annotations.length };""",
    )
    assert found["loss"][0] == "parent, from there on"
    assert found["accuracy"][0] == "parent, validation"
    assert found["before"] == ["past", "fork"] == found["after"]
    assert found["chosen"] == ["past", "fork", "chosen"]
    assert (found["label"], found["hidden"], found["gone"]) == ("Branch off from step 2 …", False, True)
    assert found["sent"] == [["branch", {"step": 2}]]
    assert (found["last"], found["same"], found["quiet"]) == (3, 3, 0)
    assert "<i>" not in found["hover"]


def test_forgetting_shows_the_old_task_and_each_block_that_knew_something(modules: Modules) -> None:
    found = modules.run(
        "panels run_history looks forgetting",
        CHART
        + """
    const [traces, layout] = forgetting.drawForgetting(chart);
    forgetting.tellForgetting(chart);
    const told = root.querySelector(".thaw-forgotten").textContent, label = chart.plot("forgetting").getAttribute("aria-label");
    history.forget();
    const empty = forgetting.drawForgetting(chart)[1].annotations.length;
    return { lines: traces.map(({ name, y, yaxis }) => ({ name, y, yaxis: yaxis ?? "y" })), told, label, empty };""",
    )
    assert [line["name"] for line in found["lines"]] == ["a&#60;b&#62;", "old task, right"], "the head started at random"
    assert found["lines"][0]["y"] == [0, 50]
    assert found["lines"][1] == {"name": "old task, right", "y": [100, 25], "yaxis": "y"}
    assert (
        found["told"]
        == "8 pictures of the old task: 100.0 % right behind step 0, 25.0 % behind step 2. Furthest from its start: a<b>, by 50 % of its size."
    )
    assert found["told"] in found["label"]
    assert found["empty"] == 1
