"""A component's script that cannot be had just now: the page asks again, and says what is wrong with one that it has got."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, Route, expect

from pages._parts.shared import assets

pytestmark = pytest.mark.browser

HOME = "http://thaw.example/"
MOUNTS = "export function mount(component) { document.body.textContent = `mounted ${component}`; return () => {}; }"


def shows(page: Page, *answers: str | None) -> list[str]:
    """A page with a component whose script is answered in turn with these, None being no answer. Returns what was asked for, which grows."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(HOME)
        if not path.startswith("assets/"):
            route.fulfill(body="<p>nothing yet</p>", content_type="text/html")
            return
        asked.append(path)
        body = answers[min(len(asked), len(answers)) - 1]
        if body is None:
            route.abort("connectionrefused")
        else:
            route.fulfill(body=body, content_type="text/javascript")

    page.route(f"{HOME}**", answer)
    page.goto(HOME)
    script = assets.loader("step_time.js").replace("export default function", "window.begin = function")
    page.add_script_tag(content=f"{script}\nwindow.begin({json.dumps('it')});", type="module")
    return asked


def test_it_is_asked_for_again_until_the_server_is_back(page: Page) -> None:
    asked = shows(page, None, None, MOUNTS)
    expect(page.locator("body")).to_have_text("mounted it")
    assert asked == [assets.address("step_time.js")] * 3


def test_one_that_is_wrong_is_not_asked_for_again(page: Page) -> None:
    page.add_init_script("addEventListener('unhandledrejection', (event) => { window.told = event.reason.message; event.preventDefault(); });")
    asked = shows(page, "null.of;")
    told = page.wait_for_function("window.told").json_value()
    assert "of null" in told
    assert len(asked) == 1
