"""Where a run's time goes, what is kept of its frozen layers, and watching that thins itself, in a real Chromium."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core.config import RunConfig
from core.machine.home import Home
from core.records.events import FROZEN, NOT_MEASURED, CommandKind, Reuse, RunStatus, StepRow
from core.records.profile import StepTimes
from core.worker.supervisor import Supervisor
from tests.pages.browser_watch_cases import WrittenRun, written
from tests.pages.test_browser import badge, chart, plot, stop, store_of, wait_for_steps
from tests.support import Server, nursery, wait_until, waiting

pytestmark = pytest.mark.browser

PROFILE = "Profile: blocks, memory and stages of a step"
HEAD = RunConfig(model="resnet18", image_size=32, freeze="head only", learning_rate=0.01)


def test_profile_of_a_running_run_is_asked_for_and_appears(server: Server, page: Page) -> None:
    store = store_of(server)
    supervisor = Supervisor(Home(server.home), store, nursery())
    run_id = supervisor.start(RunConfig(model="small_cnn", image_size=16, freeze="head only", epochs=44_444))
    wait_until(lambda: (reuse := store.reuse(run_id)) and reuse.state == "serving" and store.run(run_id).step > 100, what="kept features")
    page.goto(f"{server.address}/train?run={run_id}")
    wait_for_steps(page, 1)

    bar = page.get_by_role("img", name="Where a step's time goes")
    expect(bar).to_be_visible()
    expect(bar).to_have_attribute("aria-label", re.compile(r"forward: [\d.]+\sms a step, [\d.]+ %; backward: "))
    widths: list[float] = bar.evaluate("element => [...element.children].map((slice) => slice.getBoundingClientRect().width)")
    assert sum(widths) == pytest.approx(bar.bounding_box()["width"], rel=0.02)  # type: ignore[index]
    expect(page.get_by_text("Frozen layers are computed once")).to_be_visible()

    page.get_by_text(PROFILE).click()
    page.get_by_role("button", name="Profile a few steps").click()
    wait_until(lambda: (profile := store.profile(run_id)) and profile.asked, what="the profile")
    expect(page.get_by_text("as asked")).to_be_visible()
    table = page.get_by_role("table", name="Time a step by block")
    expect(table.get_by_role("row").filter(has_text="stage1")).to_contain_text("not computed: kept")
    expect(table.get_by_role("row").filter(has_text="head")).to_contain_text(re.compile(r"[\d.]+\sms.*[\d.]+\sms"))
    memory = page.get_by_role("table", name="Memory by category")
    expect(memory.get_by_role("row").filter(has_text="weights")).to_contain_text(re.compile(r"[\d.]+ (kB|MB)"))
    expect(memory.get_by_role("row").filter(has_text="kept features")).to_be_visible()
    expect(page.get_by_role("table", name="Time a step by stage").get_by_role("row").filter(has_text="backward")).to_be_visible()

    stop(server, run_id)
    expect(page.get_by_role("button", name="Profile a few steps")).to_be_disabled()
    expect(table).to_be_visible()


def test_layers_of_a_block_open_by_keyboard_and_stay_open(server: Server, page: Page) -> None:
    store = store_of(server)
    supervisor = Supervisor(Home(server.home), store, nursery())
    run_id = supervisor.start(RunConfig(model="small_cnn", image_size=16, epochs=44_444))
    wait_until(lambda: store.profile(run_id), what="the profile that a run makes of itself")
    page.goto(f"{server.address}/train?run={run_id}")
    page.get_by_text(PROFILE).click()
    table = page.get_by_role("table", name="Time a step by block")
    block = table.get_by_role("button", name="stage1")
    expect(block).to_have_attribute("aria-expanded", "false")
    expect(table.get_by_text("Conv2d").first).not_to_be_visible()
    block.press("Enter")
    expect(block).to_have_attribute("aria-expanded", "true")
    expect(table.get_by_text("Conv2d").first).to_be_visible()
    asked = supervisor.profile(run_id)
    wait_until(lambda: [each for each in store.commands(run_id) if each.id == asked and each.applied_at_step], what="an answer")
    expect(page.get_by_text("as asked")).to_be_visible()  # all of it was drawn anew
    expect(table.get_by_role("button", name="stage1")).to_have_attribute("aria-expanded", "true")
    stop(server, run_id)


def test_run_that_was_never_profiled_says_what_to_press(server: Server, page: Page) -> None:
    run = written(server, page, HEAD)
    page.get_by_text(PROFILE).click()
    expect(page.get_by_text("No steps were looked into yet")).to_be_visible()
    expect(page.get_by_text("Press the button to see which blocks")).to_be_visible()
    page.get_by_role("button", name="Profile a few steps").click()
    expect(page.get_by_text("Asked for: the run looks into its next steps")).to_be_visible()
    assert [command.kind for command in run.store.commands(run.id)] == [CommandKind.PROFILE]
    expect(page.get_by_role("button", name="Profile a few steps")).to_be_disabled()
    run.finish()
    expect(page.get_by_text("The run ended before any of its steps were looked into.")).to_be_visible()


def test_what_is_kept_is_shown_as_it_grows_and_a_drop_is_an_alert(server: Server, page: Page) -> None:
    run = written(server, page, HEAD)
    kept = Reuse(
        "serving", border=("avgpool",), layers=40, all_layers=41, picture_bytes=2048, pictures=1150, kept=1150, budget_bytes=8 * 10**9, place="disk",
        exact=True, checked=1312, saved_seconds=41.0,
    )  # fmt: skip
    run.store.set_reuse(run.id, replace(kept, state="filling", kept=575))
    expect(page.get_by_text("575 of 1,150 pictures seen so far")).to_be_visible()
    bar = page.get_by_role("progressbar").filter(has_text="")
    waiting(page, lambda: "50" in bar.evaluate_all("bars => bars.map((bar) => bar.getAttribute('aria-valuenow'))"), "half")
    run.store.set_reuse(run.id, kept)
    expect(page.get_by_text("1,150 pictures, 2.4 MB on disk, 1,312 checked bit for bit, 41 s saved so far")).to_be_visible()
    run.store.set_reuse(run.id, Reuse("dropped", "kept features were not what the frozen layers compute now"))
    alert = page.get_by_role("alert").filter(has_text="Kept features were dropped")
    expect(alert).to_contain_text("Kept features were not what the frozen layers compute now. Every step computes the whole model")
    run.finish(RunStatus.STOPPED)
    expect(badge(page, "Stopped")).to_be_visible()
    expect(alert).to_be_visible()


def thinned(run: WrittenRun, count: int, every: int) -> None:
    """Go on with steps of which every `every`-th has norms."""
    learns = ~run.frozen()
    rows = []
    for step in range(run.step + 1, run.step + count + 1):
        norms = np.where(learns, 0.05 if (step - 1) % every == 0 else NOT_MEASURED, FROZEN).astype(np.float32)
        rows.append(StepRow(step, 1, step / 12, 0.5, run.rate, 380.0, norms))
    run.step += count
    times = StepTimes(run.step, {"forward": 1.0, "watching": 0.03}, 100, {"forward": 0.49, "watching": 0.009}, False, every, 320, 0.02)
    run.store.append(run.id, rows, run._summarizer.add(rows), run.step / 12, step_seconds=10.0, watch_seconds=0.3, times=times)


def test_thinned_watching_says_so_and_leaves_no_hole_in_the_waterfall(server: Server, page: Page) -> None:
    run = written(server, page, HEAD, 8)
    thinned(run, 41, 4)
    wait_for_steps(page, 49)
    meter = page.locator(".thaw-watching")
    expect(meter).to_have_text("watching costs 1.8 % of a step · gradient norms at every 4th step (budget 2 %)")
    expect(meter).to_have_attribute("aria-label", re.compile("3.0 % since the run began.*the loss is recorded at every step"))
    held = chart(page)
    assert held["points"] == 49
    assert held["columns"] == 8 + 11
    # The two rows that learn, at the bottom: every step between the first and the last has a colour.
    canvas = page.locator("[data-panel=heat] canvas")
    script = """canvas => {
      const { width, height } = canvas;
      const row = canvas.getContext("2d").getImageData(0, height - 12, Math.floor(width * 0.95), 1).data;
      let blank = 0;
      for (let at = 3; at < row.length; at += 4) blank += row[at] === 0;
      return blank / (row.length / 4);
    }"""
    waiting(page, lambda: canvas.evaluate(script) < 0.05, "a waterfall without holes")  # it is drawn once a second
    place = plot(page, "heat").bounding_box()
    assert place is not None
    plot(page, "heat").scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] - 12)
    expect(page.locator(".thaw-hint")).to_contain_text(re.compile(r"steps \d+ to (\d+), measured at step \1: gradient norm 0.05"))
    # One layer in full draws a line through what was measured.
    page.get_by_role("searchbox", name="Filter layers by name: Layers of this run").fill("fc.weight")
    page.get_by_role("button", name="fc.weight", exact=True).click()
    values = page.locator("[data-part=course]").evaluate("element => element.data[0].y")
    assert len(values) == held["columns"]
    assert None not in values
    run.finish()
