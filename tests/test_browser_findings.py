"""What the doctor found, on the run's page and where runs are broken on purpose, in a real Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from core.config import RunConfig
from core.doctor import RULES
from core.events import CommandKind, Diagnosis, Finding, Remedy, RunStatus
from tests.support import Server, wait_until
from tests.test_browser import store_of
from tests.test_browser_watch import written

pytestmark = pytest.mark.browser

RUN = RunConfig(model="resnet18", image_size=32, freeze="head only", learning_rate=0.01)


def finding(rule: str, severity: str = "warning", **changes: object) -> Finding:
    """A finding of a rule, as the doctor would have it."""
    values = {
        "rule": rule, "severity": severity, "title": RULES[rule].title, "cause": f"The cause of {rule}: 12.5 times as much.",
        "false_alarm": RULES[rule].false_alarm, "chart": "loss", "first_step": 5, "last_step": 25, "layers": (), "remedy": Remedy("Wait."),
        "since_step": 25,
    }  # fmt: skip
    return Finding(**{**values, **changes})  # type: ignore[arg-type]


def test_preset_is_started_found_explained_and_mended_from_the_page(server: Server, page: Page) -> None:
    store = store_of(server)
    page.goto(f"{server.address}/autograd")
    card = page.locator(".st-key-fault_vanishing-gradients")
    expect(card).to_contain_text("What to look for: The gradient norms in the waterfall")
    card.get_by_role("button", name="Break it").click()
    page.wait_for_url(re.compile(r"/train\?run="), timeout=60_000)
    run_id = page.url.rpartition("=")[2]
    assert store.run(run_id).config.model.startswith("deep-sigmoid: ")
    expect(page.get_by_text("Broken on purpose: Vanishing gradients")).to_be_visible()
    found = page.locator(".st-key-finding_vanishing_gradients")
    expect(found).to_contain_text(re.compile(r"A value of linear1.weight and linear2.weight gets [\d.e-]+ times the gradient"))
    wait_until(lambda: not store.run(run_id).status.active, 60, "the end of the run")
    expect(page.get_by_text(re.compile(rf"Findings: 1 serious.*\({len(RULES)} rules looked at, after step 180\)"))).to_be_visible()
    found.get_by_text("Where to see it, and when it is a false alarm").click()
    expect(found.get_by_text(re.compile(r"Gradient norm \(L2\), steps \d+ to 180 .*from [\d.e-]+ to [\d.e-]+"))).to_be_visible()
    expect(found.locator(".js-plotly-plot")).to_be_visible()
    expect(found.get_by_text("A false alarm?")).to_be_visible()
    found.get_by_role("button", name="Use these settings").press("Enter")
    page.wait_for_url(re.compile(r"new=1&model=deep-sigmoid.*norm%2C\+relu"), timeout=60_000)
    assert "fault" not in page.url


def test_findings_come_and_go_while_a_run_goes_on_and_a_remedy_is_asked_for(server: Server, page: Page) -> None:
    run = written(server, page, RUN, 40)
    names = tuple(RULES)
    run.store.set_findings(run.id, Diagnosis(10, False, names, ()))
    expect(page.get_by_text(f"No findings: {len(names)} rules looked at, at step 40")).to_be_visible()
    page.get_by_text("What the doctor looks at").click()
    expect(page.get_by_text(RULES["leakage"].about)).to_be_visible()

    high = finding("learning rate too high", "serious", remedy=Remedy("Lower it.", "learning_rate=0.001", {"learning_rate": 0.001}))
    note = finding("plateau", "note", chart="accuracy", remedy=Remedy("Wait *a* little.", "", {"batch_size": 0}))  # cannot be used: no button
    run.store.set_findings(run.id, Diagnosis(30, False, names, (high, note)))
    expect(page.get_by_text("Findings: 1 serious, 1 note")).to_be_visible()
    expect(page.get_by_text(RULES["leakage"].about)).to_be_visible()  # what was open stays open
    boxes = page.locator("[class*=st-key-finding_]")
    expect(boxes).to_have_count(2)
    expect(boxes.nth(0)).to_contain_text("The learning rate is too high · since step 25")
    expect(boxes.nth(1)).to_contain_text("Wait *a* little.")
    expect(boxes.nth(1).get_by_role("button", name="Use these settings")).to_have_count(0)
    boxes.nth(0).get_by_role("button", name="Do it now: learning rate 0.001").click()
    (command,) = wait_until(lambda: run.store.commands(run.id), 20, "the request")
    assert (command.kind, command.payload) == (CommandKind.CHANGE, "learning_rate=0.001")
    boxes.nth(0).get_by_text("Where to see it").click()
    expect(boxes.nth(0).get_by_text(re.compile("Loss, steps 5 to 25"))).to_be_visible()

    resolved = finding("learning rate too high", "serious", resolved_step=39)
    run.store.set_findings(run.id, Diagnosis(40, False, names, (note, resolved)))
    expect(page.get_by_text("Findings: 1 note")).to_be_visible()
    expect(boxes).to_have_count(1)
    page.get_by_text("Resolved findings").click()
    expect(page.get_by_text("The learning rate is too high (serious, steps 25 to 39)")).to_be_visible()
    run.finish(RunStatus.STOPPED)
    expect(page.get_by_role("button", name="Do it now")).to_have_count(0)
