"""Layers of a run in a real browser: the table, one layer, what watching costs, the audit."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from core.config import RunConfig
from core.records.events import (  # fmt: skip
    AuditReport,
    AuditRow,
    CommandKind,
    Verdict,
)
from tests.pages.browser_watch_cases import FEW, WrittenRun, lane, section, written
from tests.pages.test_browser import LONG, badge, chart, ended, start_run, store_of, wait_for_steps
from tests.support import Server, becomes, waiting

pytestmark = pytest.mark.browser


def open_layer(page: Page, name: str) -> Locator:
    """Find a layer in the table, click on it; returns its section."""
    page.get_by_role("searchbox", name="Filter layers by name: Layers of this run").fill(name)
    page.get_by_role("button", name=name, exact=True).click()
    return section(page, "layer")


def press_while_busy(button: Locator) -> None:
    """Click in a browser that had no time for two seconds: the clocks of all fragments, which are late, strike before it sends the press."""
    button.evaluate("""button => {
        const next = new MessageChannel();
        next.port1.onmessage = () => button.click();
        next.port2.postMessage(null);
        const end = performance.now() + 2000;
        while (performance.now() < end);
    }""")


def table_rows(page: Page) -> list[str]:
    """Names of the layers in the table, as many of them as there are in the page, from the top."""
    return page.locator(".thaw-layer-table tbody tr[data-key]").evaluate_all("rows => rows.map((row) => row.dataset.key)")


def test_the_layer_table_sorts_filters_and_opens_a_layer_without_a_mouse(server: Server, page: Page) -> None:
    run = written(server, page, FEW, 60)
    table = page.get_by_role("table", name="Layers of this run")
    head = table.get_by_role("columnheader", name="Share of learning")
    expect(head).to_have_attribute("aria-sort", "none")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    moved = store_of(server).steps_after(run.id, 0, 0).update_norms
    shares = np.where(moved < 0, 0, moved).sum(axis=0) / np.where(moved < 0, 0, moved).sum()
    becomes(page, lambda: table_rows(page)[0], run.names[int(shares.argmax())])
    expect(page.locator(f".thaw-layer-table tr[data-key='{run.names[int(shares.argmax())]}']")).to_contain_text(f"{100 * shares.max():.1f} %")
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")

    page.get_by_role("searchbox", name="Filter layers by name: Layers of this run").fill("layer4 conv")
    expect(page.locator(".thaw-layer-table [role=status]")).to_have_text("4 of 62 rows")
    assert table_rows(page)
    assert all("layer4" in name and "conv" in name for name in table_rows(page))
    page.get_by_role("searchbox", name="Filter layers by name: Layers of this run").fill("fc")
    page.get_by_role("button", name="fc.weight").focus()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("button", name="fc.bias")).to_be_focused()  # it moved less, so it stands first now
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="fc.weight")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="fc.weight")).to_be_visible()
    one = section(page, "layer")
    expect(one).to_contain_text("Share of all learning")
    axes = "element => [element.layout?.yaxis.type, element.layout?.yaxis2.type]"
    becomes(page, lambda: one.locator("[data-part=course]").evaluate(axes), ["log", "log"])
    guide = one.locator("[data-part=course]").evaluate(
        "element => element.layout.shapes.filter(({ yref, type }) => yref === 'y2' && type === 'rect').map(({ y0, y1 }) => [y0, y1])"
    )
    assert guide == [[1e-4, 1e-2]]
    page.get_by_role("button", name="Close").focus()
    page.keyboard.press("Escape")
    expect(one).to_be_hidden()
    expect(page.get_by_role("button", name="fc.weight")).to_be_focused()


def test_of_six_hundred_layers_only_those_in_sight_are_drawn(server: Server, page: Page) -> None:
    written(server, page, RunConfig(model="densenet201", image_size=32, epochs=10), 60)
    assert chart(page)["layers"] == 604
    expect(page.locator(".thaw-layer-table table")).to_have_attribute("aria-rowcount", "605")
    assert len(table_rows(page)) < 60, "only rows in sight exist"
    scroll = page.locator(".thaw-layer-table .thaw-table-scroll")
    scroll.evaluate("element => { element.scrollTop = element.scrollHeight; }")
    waiting(page, lambda: table_rows(page)[-1] == "classifier.bias", "the last layer")
    page.get_by_role("table", name="Layers of this run").get_by_role("columnheader", name="Share of learning").get_by_role("button").click()
    waiting(page, lambda: scroll.evaluate("element => element.scrollTop") == 0 or table_rows(page)[-1] != "classifier.bias", "another order")
    assert len(table_rows(page)) < 60


def test_histograms_come_on_demand_and_are_refused_after_the_end(server: Server, page: Page) -> None:
    run = written(server, page, FEW, 40)
    one = open_layer(page, "fc.weight")
    button = one.get_by_role("button", name="Take histograms")
    expect(one).to_contain_text("None were taken yet.")
    button.click()
    expect(one).to_contain_text("the run takes them at its next step")
    expect(button).to_be_disabled()
    waiting(page, lambda: [(c.kind, c.payload) for c in store_of(server).commands(run.id)] == [(CommandKind.INSPECT, "fc.weight")], "the request")
    run.inspect("fc.weight", not_finite=3)
    run.train(2)
    expect(one.locator("figcaption").first).to_contain_text("Weights at step 40: 36,864 values from")
    expect(one.locator("figcaption").nth(1)).to_contain_text("3 values are not finite (NaN or infinite) and in no bar")
    expect(button).to_be_enabled()
    counted = "element => element.data[0].y.reduce((sum, value) => sum + value, 0)"
    becomes(page, lambda: one.locator("[data-part=weight]").evaluate(counted), 36_864)
    run.finish()
    expect(button).to_be_disabled()
    expect(one).to_contain_text("The run has ended, so no more can be taken. The last ones were taken at step 40.")
    expect(badge(page, "Finished")).to_be_visible()
    page.wait_for_timeout(1000)  # the page is drawn anew, the charts stay as they are
    expect(one.locator("figcaption").first).to_be_visible()


def test_the_overhead_of_watching_is_on_screen(server: Server, page: Page) -> None:
    written(server, page, FEW)
    meter = page.locator(".thaw-watching")
    expect(meter).to_have_text("watching costs 1.2 % of a step")
    expect(meter).to_have_attribute("title", re.compile("weight changes at every 10th step"))


def test_a_request_is_shown_as_requested_then_refused_or_applied_and_taken_back(server: Server, page: Page) -> None:
    run = written(server, page, FEW, 40)
    store = store_of(server)
    page.get_by_role("button", name="Change it while it trains").click()
    page.get_by_role("button", name="x 0.5").click()
    expect(page.get_by_text("learning rate 0.001 · requested at step 40 · waiting for the step at hand")).to_be_visible()
    (asked,) = store.commands(run.id, waiting=True)
    assert asked.payload == "learning_rate=0.001"
    store.acknowledge(asked, 40, "the schedule has come down to 0")
    expect(page.get_by_text("learning rate 0.001 · requested at step 40 · refused: the schedule has come down to 0")).to_be_visible()

    field = page.get_by_label("New learning rate")
    field.fill("fast")
    page.get_by_role("button", name="Apply").first.click()
    expect(page.get_by_role("alert").filter(has_text="'fast' is no number; enter one such as")).to_be_visible()
    assert store.commands(run.id, waiting=True) == [], "what is no number was not asked for"
    field.fill("0.0004")
    page.get_by_role("button", name="Apply").first.click()
    (asked,) = waiting(page, lambda: store.commands(run.id, waiting=True), "a request")
    assert asked.payload == "learning_rate=0.0004"
    run.change(asked.payload, ask=False)
    store.acknowledge(asked, 40)
    run.train(10)
    expect(page.get_by_text("learning rate 0.0004 · requested at step 40 · applied after step 40")).to_be_visible()
    expect(page.get_by_label("New learning rate")).to_have_attribute("placeholder", "0.0004 now")
    page.get_by_role("button", name="Undo").click()
    (asked,) = waiting(page, lambda: store.commands(run.id, waiting=True), "the opposite")
    assert asked.payload == "learning_rate=0.002", "what it was before"

    page.get_by_label("Multiplier", exact=True).fill("0.1")
    page.get_by_role("button", name="Apply").nth(1).click()
    waiting(page, lambda: [c.payload for c in store.commands(run.id, waiting=True)][-1:] == ["conv1=0.1"], "a multiplier")
    run.finish()
    expect(page.get_by_text("conv1 learns at x 0.1 · requested at step 50 · refused: the run had already ended (finished)")).to_be_visible()
    expect(page.get_by_role("button", name="Change it while it trains")).to_be_hidden()


def audit(run: WrittenRun, faults: dict[str, Verdict], complete: bool = False) -> AuditReport:
    """An audit of a written run in which some tensors are faulty."""
    frozen = run.frozen()
    rows = []
    for parameter, still in zip(run.parameters, frozen, strict=True):
        verdict = faults.get(parameter.name, Verdict.VERIFIED if still else Verdict.LEARNING)
        before = hashlib.sha256(parameter.name.encode()).hexdigest()
        moved = verdict == Verdict.LEAKING or not still
        rows.append(
            AuditRow(
                parameter.name, parameter.count, not still, not still and verdict != Verdict.NO_OPTIMIZER, "none" if still else "flows", moved,
                True if verdict == Verdict.DRIFTING else None, "train", 0 if still else None, before,
                hashlib.sha256(before.encode()).hexdigest() if moved else before, verdict,
            )
        )  # fmt: skip
    return AuditReport(run.step, complete, tuple(rows))


def test_the_audit_gives_the_proof_and_a_remedy_for_each_fault(server: Server, page: Page) -> None:
    run = WrittenRun(store_of(server), FEW)
    run.train(20)
    store = store_of(server)
    store.set_audit(run.id, audit(run, {}))
    page.goto(f"{server.address}/train?run={run.id}")
    total = sum(parameter.count for parameter in run.parameters) - 5130
    expect(
        page.get_by_text(f"Freeze audit: 0 of {total:,} frozen values changed, so far, after step 20 · 60 frozen and verified, 2 learning")
    ).to_be_visible()

    faults = {"layer1.0.bn1.weight": Verdict.DRIFTING, "layer1.0.bn1.bias": Verdict.DRIFTING, "conv1.weight": Verdict.LEAKING}
    store.set_audit(run.id, audit(run, faults | {"fc.bias": Verdict.NO_OPTIMIZER}))
    expect(
        page.get_by_text(f"9,408 of {total:,} frozen values changed, so far, after step 20 · 1 leaking, 2 drifting, 1 in no optimizer")
    ).to_be_visible()
    table = page.get_by_role("searchbox", name="Filter by name or verdict")

    def opened() -> bool:  # faults open it by themselves, and may do so just before the click, which closes it then
        if not table.is_visible():
            page.get_by_text("Every tensor of the freeze audit").click()
            page.wait_for_timeout(2000)
        return table.is_visible()

    waiting(page, opened, "the table")
    lines = page.locator(".thaw-audit tbody tr[data-key]")
    worst_first = ["conv1.weight", "layer1.0.bn1.weight", "layer1.0.bn1.bias", "fc.bias"]
    waiting(page, lambda: lines.evaluate_all("rows => rows.slice(0, 4).map((row) => row.dataset.key)") == worst_first, "faults first")
    page.get_by_role("searchbox", name="Filter by name or verdict").fill("drifting")
    expect(page.locator(".thaw-audit [role=status]")).to_have_text("2 of 62 rows")

    page.locator(".st-key-fault_drifting").get_by_role("button", name="Freeze them properly").click()
    (asked,) = waiting(page, lambda: store.commands(run.id, waiting=True), "the remedy")
    assert asked.payload == "layer1.0.bn1", "one rule for both tensors of the layer, and for nothing else"
    page.locator(".st-key-fault_no_optimizer").get_by_role("button", name="Give them to the optimizer").click()
    waiting(page, lambda: [c.payload for c in store.commands(run.id, waiting=True)][1:] == ["!fc.bias"], "the second remedy")

    run.finish()
    store.set_audit(run.id, audit(run, faults, complete=True))
    page.reload()
    expect(page.get_by_text(f"9,408 of {total:,} frozen values changed, complete, after step 20")).to_be_visible()
    page.locator(".st-key-fault_leaking").get_by_role("button", name="Set up a run that does").click()
    page.wait_for_url(re.compile("freeze="))
    expect(page.get_by_role("textbox", name="Rules")).to_have_value("head only, conv1")


def test_settings_can_be_used_again_with_what_was_changed_live(server: Server, page: Page) -> None:
    run = written(server, page, FEW.replace(timeline="2: !layer4"), 30)
    run.change("learning_rate=0.0005, !layer3")
    run.train(10)
    run.finish()
    page.reload()
    page.get_by_text("Settings of this run").click()
    expect(page.get_by_text("2: !layer4; step 31: learning_rate=0.0005, !layer3", exact=True)).to_be_visible()
    page.get_by_role("button", name="Use them with what was changed live").click()
    page.wait_for_url(re.compile("timeline="))
    page.wait_for_url(re.compile(r"step(\+|%20)31"))


def test_a_real_run_is_steered_and_looked_into_while_it_trains(server: Server, page: Page) -> None:
    run_id = start_run(page, server, LONG)
    store = store_of(server)
    wait_for_steps(page, 5)
    becomes(page, lambda: lane(page)["layer4"], [[1, None, "frozen"]])
    page.get_by_role("button", name="Change it while it trains").click()
    page.get_by_role("switch", name="freeze layer4", exact=True).click()
    expect(page.get_by_text(re.compile(r"layer4 learns · requested at step \d+ · applied after step \d+"))).to_be_visible()
    (command,) = store.commands(run_id)
    assert (command.kind, command.payload) == (CommandKind.CHANGE, "!layer4")
    assert command.applied_at_step is not None
    thawed = command.applied_at_step + 1
    waiting(page, lambda: chart(page)["changes"] == 1 and chart(page).get("markers") == 1, "a marker")
    becomes(page, lambda: lane(page)["layer4"], [[1, thawed - 1, "frozen"], [thawed, None, "learns"]])
    assert lane(page)["layer3"] == [[1, None, "frozen"]]

    page.get_by_role("button", name="x 0.1").click()
    expect(page.get_by_text(re.compile(r"learning rate 0.0001 · requested at step \d+ · applied after step \d+"))).to_be_visible()
    waiting(page, lambda: store.steps_after(run_id, 0, store.last_step(run_id) - 1).learning_rate[-1] == pytest.approx(1e-4), "the new rate")
    assert [command.payload for command in store.commands(run_id)] == ["!layer4", "learning_rate=0.0001"]

    press_while_busy(open_layer(page, "layer4.0.conv1.weight").get_by_role("button", name="Take histograms"))
    expect(section(page, "layer").locator("figcaption").first).to_contain_text("1,179,648 values from")
    expect(section(page, "layer").locator("figcaption").nth(1)).to_contain_text("Gradient at step")

    # What is opened while it trains stays open, whatever the next look finds.
    page.get_by_text("Every tensor of the freeze audit").click()
    expect(page.get_by_role("searchbox", name="Filter by name or verdict")).to_be_visible()
    said = page.get_by_text("Freeze audit:").inner_text()
    waiting(page, lambda: page.get_by_text("Freeze audit:").inner_text() != said, "another look")
    expect(page.get_by_role("searchbox", name="Filter by name or verdict")).to_be_visible()

    # Nothing would be left to learn: said at once, nothing is asked of the run, and the switches say what is true again.
    assert [command.kind for command in store.commands(run_id)] == [CommandKind.CHANGE, CommandKind.CHANGE, CommandKind.INSPECT]
    page.locator(".st-key-requests").get_by_role("button", name="Undo").nth(1).click()
    expect(page.get_by_text(re.compile(r"layer4 frozen · requested at step \d+ · applied after step \d+"))).to_be_visible()
    asked = len(store.commands(run_id))
    page.get_by_role("switch", name="freeze fc", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="fc was not frozen: every layer would be frozen, so nothing would learn")).to_be_visible()
    expect(page.get_by_role("switch", name="freeze fc", exact=True)).to_have_attribute("aria-checked", "false")
    assert len(store.commands(run_id)) == asked

    page.get_by_role("button", name="Stop and save").click()
    run = ended(server, run_id)
    assert run.plan is not None
    frozen = sum(layer.count for layer in run.plan.layers if layer.frozen)
    expect(page.get_by_text(f"Freeze audit: 0 of {frozen:,} frozen values changed, complete, after step {run.step:,}")).to_be_visible()
