"""Runs compared in a real browser: chosen in the table, drawn as they grow, and one of them deleted meanwhile."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from core.records.labels import LabelChange
from tests.comparing.compare_cases import MadeRun
from tests.pages.test_browser import store_of
from tests.support import Server, waiting

pytestmark = pytest.mark.browser


def test_runs_are_chosen_in_the_table_drawn_as_they_grow_and_one_is_deleted(server: Server, page: Page) -> None:
    store = store_of(server)
    made = [MadeRun(store, alive=True, seed=seed, freeze=freeze) for seed, freeze in ((811, "head only"), (812, "all but stem"))]
    for run, name in zip(made, ('needle "one" <b>', "needle two"), strict=True):
        run.train(20)
        store.label(run.id, LabelChange(name))
    made[1].end()
    page.goto(f"{server.address}/runs?find=needle")
    for run in made:
        page.locator(f"[data-choose='{run.id}']").check()
    page.get_by_role("button", name="Compare 2 runs").click()
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
    waiting(page, lambda: all(run.id in page.url for run in made), "the address names both")
    chart = page.locator(".thaw-cmp")
    expect(chart).to_have_attribute("data-steps", "[20,20]")
    expect(chart).to_have_attribute("data-panels", "loss,validation_loss,validation_accuracy,accuracy,rate")
    expect(chart.get_by_role("button", name='needle "one" <b>')).to_be_visible()
    expect(chart.locator(".thaw-cmp-link")).to_contain_text("1 run goes on")
    made[0].train(5)
    expect(chart).to_have_attribute("data-steps", "[25,20]")
    page.get_by_role("radio", name="epoch").or_(page.get_by_role("button", name="epoch", exact=True)).first.click()
    expect(chart.locator("[data-metric=loss] .thaw-cmp-plot")).to_have_attribute("aria-label", re.compile("over epoch"))
    waiting(page, lambda: "x=epoch" in page.url, "the address says over what")
    store.delete_run(made[1].id)
    expect(chart.locator(".thaw-cmp-key")).to_contain_text("deleted")
    expect(chart).to_have_attribute("data-lines", "10")
    page.reload()
    expect(chart).to_have_attribute("data-steps", "[25,0]")
    expect(page.get_by_text("There is no run").first).to_be_visible()
    expect(chart.locator("[data-metric=loss] .thaw-cmp-plot")).to_have_attribute("aria-label", re.compile("over epoch"))
    store.close()
