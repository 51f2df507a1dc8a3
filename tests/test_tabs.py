"""Tests share a profile of the browser, and see nothing of each other in it."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.tabs import tab

pytestmark = pytest.mark.browser

ADDRESS = "http://127.0.0.1:9/left"  # answered by the test
LEAVE = """async () => {
    document.cookie = "left=1; max-age=9999"; localStorage.left = 1; sessionStorage.left = 1;
    await new Promise((done) => { indexedDB.open("left").onsuccess = (event) => { event.target.result.close(); done(); }; });
    await (await caches.open("left")).put("/left", new Response("left"));
}"""
FOUND = """async () => [
    document.cookie, {...localStorage}, {...sessionStorage}, (await indexedDB.databases()).map(({ name }) => name), await caches.keys(), window.name
]"""


def visit(page: Page) -> Page:
    page.route("**/*", lambda route: route.fulfill(body="<title>left</title>", content_type="text/html"))
    page.goto(ADDRESS)
    return page


def test_a_tab_finds_nothing_that_the_tab_before_it_has_kept(context: BrowserContext) -> None:
    nothing = ["", {}, {}, [], [], ""]
    before = len(context.pages)
    with tab(context) as first:
        assert visit(first).evaluate(FOUND) == nothing
        first.evaluate(LEAVE)
        first.evaluate("window.name = 'left'")
        assert visit(first).evaluate(FOUND) == ["left=1", {"left": "1"}, {"left": "1"}, ["left"], ["left"], "left"]
        with context.expect_page():
            first.evaluate("window.open('about:blank'), null")
    assert len(context.pages) == before, "tabs that a test has opened are closed with its own"
    with tab(context) as second:
        assert visit(second).evaluate(FOUND) == nothing


def test_an_exception_in_the_page_fails_its_own_test_and_no_other(context: BrowserContext) -> None:
    def raises() -> None:
        with tab(context) as page, page.expect_event("pageerror"):
            visit(page).evaluate("() => { setTimeout(() => { throw new Error('only here'); }, 0); }")

    with pytest.raises(AssertionError, match="only here"):
        raises()
    with tab(context) as page:
        visit(page)
