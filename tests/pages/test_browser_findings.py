"""What the doctor found, on the run's page and where runs are broken on purpose, in a real Chromium."""

from __future__ import annotations

import re
from functools import partial

import pytest
from playwright.sync_api import Locator, Page, expect

from core.config import RunConfig
from core.doctor import RULES
from core.records.events import CommandKind, RunStatus
from core.records.findings import Diagnosis, Finding, Remedy
from tests.pages.browser_watch_cases import section, written
from tests.pages.test_browser import badge, chart, plot, store_of, visible_range, wait_for_steps
from tests.support import Server, becomes, wait_until, waiting

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


def chips(page: Page) -> Locator:
    """The chips of findings that are open, in their order."""
    return page.locator(".st-key-run_findings [class*=st-key-chip_]")


def open_chip(page: Page, name: str) -> Locator:
    """Press a chip; returns what opens over the page."""
    chips(page).get_by_role("button", name=name).click()
    box = page.locator("[class*=st-key-finding_]")
    expect(box).to_be_visible()
    return box


def shows(page: Page, panel: str) -> bool:
    """True where a figure shows the window of steps 20 to 40, marked."""
    return (visible_range(page, panel), marked(page, panel)) == ([14.25, 45.75], [[20, 40]])


def test_preset_is_started_found_explained_and_mended_from_the_page(server: Server, page: Page) -> None:
    store = store_of(server)
    page.goto(f"{server.address}/autograd")
    card = page.locator(".st-key-fault_vanishing-gradients")
    expect(card).to_contain_text("What to look for: The gradient norms in the waterfall")
    card.get_by_role("button", name="Break it").click()
    page.wait_for_url(re.compile(r"/train\?run="))
    run_id = page.url.rpartition("=")[2]
    assert store.run(run_id).config.model.startswith("deep-sigmoid: ")
    expect(page.get_by_text("Broken on purpose: Vanishing gradients")).to_be_visible()
    found = open_chip(page, "Vanishing gradients")
    expect(found).to_contain_text(re.compile(r"A value of linear1.weight and linear2.weight gets [\d.e-]+ times the gradient"))
    wait_until(lambda: not store.run(run_id).status.active, what="the end of the run")
    expect(page.get_by_text(re.compile("Findings: 1 serious"))).to_be_visible()
    found.get_by_text("Where to see it, and when it is a false alarm").click()
    expect(found.get_by_text(re.compile(r"Gradient norm \(L2\), steps \d+ to 180 .*from [\d.e-]+ to [\d.e-]+"))).to_be_visible()
    expect(found.locator(".js-plotly-plot")).to_be_visible()
    expect(found.get_by_text("A false alarm?")).to_be_visible()
    found.get_by_role("button", name="Use these settings").press("Enter")
    page.wait_for_url(re.compile(r"new=1&model=deep-sigmoid.*norm%2C\+relu"))
    assert "fault" not in page.url


def test_findings_come_and_go_while_a_run_goes_on_and_a_remedy_is_asked_for(server: Server, page: Page) -> None:
    run = written(server, page, RUN, 40)
    names = tuple(RULES)
    run.store.set_findings(run.id, Diagnosis(10, False, names, ()))
    expect(page.get_by_text(f"No findings: {len(names)} rules looked at, after step 10 of 40 so far")).to_be_visible()
    page.get_by_text("What the doctor looks at").click()
    expect(page.get_by_text(RULES["leakage"].about)).to_be_visible()

    high = finding("learning rate too high", "serious", remedy=Remedy("Lower it.", "learning_rate=0.001", {"learning_rate": 0.001}))
    note = finding("plateau", "note", chart="accuracy", remedy=Remedy("Wait *a* little.", "", {"batch_size": 0}))  # cannot be used: no button
    run.store.set_findings(run.id, Diagnosis(30, False, names, (high, note)))
    expect(page.get_by_text("Findings: 1 serious, 1 note", exact=True)).to_be_visible()
    expect(page.get_by_text(RULES["leakage"].about)).to_be_visible()  # what was open stays open
    expect(page.get_by_text(f"Findings: 1 serious, 1 note ({len(names)} rules looked at, after step 30 of 40 so far)")).to_be_visible()
    expect(chips(page)).to_have_text([re.compile("Learning rate too high"), re.compile("Plateau")])
    box = open_chip(page, "Plateau")
    expect(box).to_contain_text("Wait *a* little.")
    expect(box.get_by_role("button", name="Use these settings")).to_have_count(0)
    box = open_chip(page, "Learning rate too high")
    expect(page.get_by_test_id("stPopoverBody")).to_have_count(1)  # one at a time
    expect(box).to_contain_text("The learning rate is too high · since step 25")
    box.get_by_role("button", name="Do it now: learning rate 0.001").click()
    (command,) = wait_until(lambda: run.store.commands(run.id), what="the request")
    assert (command.kind, command.payload) == (CommandKind.CHANGE, "learning_rate=0.001")
    box.get_by_text("Where to see it").click()
    expect(box.get_by_text(re.compile("Loss, steps 5 to 25"))).to_be_visible()

    resolved = finding("learning rate too high", "serious", resolved_step=39)
    run.store.set_findings(run.id, Diagnosis(40, False, names, (note, resolved)))
    expect(page.get_by_text("Findings: 1 note")).to_be_visible()
    expect(chips(page)).to_have_count(1)
    page.get_by_role("button", name="Resolved findings").click()
    expect(page.get_by_text("The learning rate is too high (serious, steps 25 to 39)")).to_be_visible()
    run.finish(RunStatus.STOPPED)
    expect(page.get_by_role("button", name="Do it now")).to_have_count(0)


def marked(page: Page, panel: str) -> list[list[float]]:
    """The windows that a figure has marked, [first step, last step] of each."""
    script = """element => (element.layout?.shapes ?? []).filter(({ name, yref }) => name === 'evidence' && yref === 'paper')
      .map(({ x0, x1 }) => [x0 + 0.5, x1 - 0.5])"""
    found: list[list[float]] = plot(page, panel).evaluate(script)
    return found


def test_a_finding_leads_to_its_window_on_the_charts_of_a_run_that_goes_on_and_a_refresh_shows_it_again(server: Server, page: Page) -> None:
    run = written(server, page, RUN, 60)
    high = finding("learning rate too high", "serious", first_step=20, last_step=40)
    ratio = finding("update ratio", chart="update ratio", first_step=10, last_step=30, layers=("fc.weight",))
    run.store.set_findings(run.id, Diagnosis(60, False, tuple(RULES), (high, ratio, finding("small batch", "note", chart="settings"))))
    open_chip(page, "Small batch")
    link = page.get_by_role("link", name="Show on the chart")
    expect(link).to_have_count(0)  # what lies in the settings is on no chart
    open_chip(page, "Learning rate too high")
    page.get_by_role("link", name="Show on the chart: The learning rate is too high, steps 20 to 40").press("Enter")
    expect(page.get_by_test_id("stPopoverBody")).to_have_count(0)  # it lay over what it shows
    expect(section(page, "loss").get_by_role("heading")).to_be_focused()
    expect(section(page, "loss")).to_be_in_viewport()
    said = page.locator(".thaw-live [role=status]").last
    expect(said).to_have_text(re.compile("Marked: learning rate too high, steps 20 to 40. The charts show steps 14 to 46 now."))
    for panel in ("loss", "accuracy", "heat", "lane", "rate"):
        waiting(page, partial(shows, page, panel), f"the window in {panel}")
    label = plot(page, "loss").evaluate("element => element.layout.annotations.map(({ text }) => text)")
    assert label == ["learning rate too high, steps 20 to 40"]
    # Where somebody looks afterwards is their own affair, whatever the run and the page do.
    area = plot(page, "loss").locator(".nsewdrag").first
    box = area.bounding_box()
    assert box is not None
    area.hover(position={"x": 0.3 * box["width"], "y": 0.6 * box["height"]})
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=5)
    page.mouse.up()
    waiting(page, lambda: visible_range(page, "loss") != [14.25, 45.75], "a zoom into the zoom")
    zoomed = visible_range(page, "loss")
    waiting(page, lambda: visible_range(page, "heat") == zoomed, "the same steps in the other charts")
    run.train(20)
    run.store.set_findings(run.id, Diagnosis(80, False, tuple(RULES), (high, ratio)))
    wait_for_steps(page, 80)
    expect(page.get_by_text("Findings: 1 serious, 1 warning")).to_be_visible()
    becomes(page, lambda: (visible_range(page, "loss"), visible_range(page, "rate"), marked(page, "loss")), (zoomed, zoomed, [[20, 40]]))
    page.get_by_role("button", name="Back to the finding").press("Enter")
    expect(chips(page).first.get_by_role("button")).to_be_focused()
    expect(link).to_be_visible()  # told again
    page.keyboard.press("Escape")

    # A press whose end is lost holds the charts still until the pointer is seen without a button. Another button than the first holds nothing.
    press = "(element, button) => element.dispatchEvent(new PointerEvent('pointerdown', { bubbles: true, isPrimary: true, button, buttons: 1 }))"
    plot(page, "loss").evaluate(press, 2)
    run.train(5)
    wait_for_steps(page, 85)
    plot(page, "loss").evaluate(press, 0)
    run.train(5)
    waiting(page, lambda: chart(page)["step"] == 90, "steps that come while the pointer is pressed")
    assert chart(page)["drawn"] == 85
    page.mouse.move(5, 5)
    page.mouse.move(9, 9)
    wait_for_steps(page, 90)

    # One layer of one chart: the view that it is about, and the layer itself.
    open_chip(page, "Update ratio")
    link.click()
    layer = section(page, "layer").get_by_role("heading", name="fc.weight")
    expect(layer).to_be_focused()
    expect(page.get_by_role("radio", name="Update ratio")).to_be_checked()
    page.wait_for_url(re.compile(re.escape("chart=update+ratio&steps=10-30&layers=fc.weight&finding=update+ratio")))
    page.reload()
    expect(layer).to_be_focused()
    course = section(page, "layer").locator("[data-part=course]")
    becomes(page, lambda: course.evaluate("element => element._fullLayout?.xaxis.range.map(Number)"), [4.25, 35.75])
    waiting(page, lambda: marked(page, "heat") == [[10, 30]], "the window after a refresh")
    run.finish(RunStatus.STOPPED)
    expect(badge(page, "Stopped")).to_be_visible()  # the whole page was drawn anew
    becomes(page, lambda: (marked(page, "heat"), visible_range(page, "heat")), ([[10, 30]], [4.25, 35.75]))
    page.get_by_role("button", name="Reset zoom").click()
    waiting(page, lambda: marked(page, "heat") == marked(page, "loss") == [], "no window")
    becomes(page, lambda: visible_range(page, "loss"), [0, 90.5])
    waiting(page, lambda: "steps=" not in page.url, "the address without a window")


def test_the_record_of_a_run_shows_resolved_findings_on_its_charts_and_a_bad_address_is_said(server: Server, page: Page) -> None:
    run = written(server, page, RUN, 60)
    gone = finding("exploding gradients", chart="gradient norms", first_step=50, last_step=60, layers=("fc.weight", "fc.bias"), resolved_step=59)
    run.store.set_findings(run.id, Diagnosis(60, True, tuple(RULES), (gone,)))
    run.finish(RunStatus.STOPPED)
    expect(page.locator(".thaw-link")).to_have_text("Complete")
    page.get_by_role("button", name="Resolved findings").click()
    page.get_by_role("link", name="Show on the chart: Gradients explode, steps 50 to 60").press("Enter")
    expect(section(page, "heat").get_by_role("heading", name="Gradient norms")).to_be_focused()
    waiting(page, lambda: visible_range(page, "heat") == [46.75, 60.5], "the window, and no step that never was")
    rows = "element => element.layout.shapes.filter(({ name, yref }) => name === 'evidence' && yref === 'y').length"
    becomes(page, lambda: plot(page, "heat").evaluate(rows), 2)

    page.goto(f"{server.address}/train?run={run.id}&steps=many")
    expect(page.locator(".thaw-marked")).to_have_text("The address asks for steps=many, which is no range of steps. Write it like steps=120-180.")
    for asked, answer in (
        ("steps=9-5", "The address asks for steps=9-5, which is no range of steps."),
        ("steps=5-9&chart=pie", "The address asks for chart=pie, which is no chart. Choose one of loss, accuracy, gradient norms, update ratio."),
        ("steps=1000-1100", "The address asks for steps 1,000 to 1,100, but this run has 60 steps."),
    ):
        page.evaluate("detail => window.dispatchEvent(new CustomEvent('thaw-show-evidence', { detail }))", f"?run={run.id}&{asked}")
        expect(page.locator(".thaw-marked")).to_contain_text(answer)
    assert marked(page, "loss") == []
