"""One profile of the browser for the tests of a file, and an empty tab of it for each: scripts are compiled once, not once a test.

The browser keeps what it has compiled in the process that draws a site. A profile of its own for each test ends that process: compiling
Streamlit's scripts anew is a fifth of what loading a page costs. So a tab that nobody looks at keeps the process alive, and what a test
leaves in the profile is taken away after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Frame, Page

from tests.support import PATIENCE

ONE_PROCESS = "--renderer-process-limit=1"
"""For Chromium: pages of one site, its port left out, are drawn by one process."""

_KEEPER = "http://127.0.0.1/keeper"  # nothing listens there: the request is answered here


@contextmanager
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile for windows of 1280 x 900 pixels, and the tab in it that keeps the process of 127.0.0.1 alive."""
    # Without animations: drawn in software, they are a quarter of what the browser computes.
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True, reduced_motion="reduce")
    context.set_default_timeout(1000 * PATIENCE)
    keeper = context.new_page()
    keeper.route("**/*", lambda route: route.fulfill(body="<title>keeper</title>", content_type="text/html"))
    keeper.goto(_KEEPER)
    yield context
    context.close()


@contextmanager
def tab(context: BrowserContext) -> Iterator[Page]:
    """An empty tab that finds nothing of the tabs before it. It and those it has opened are closed afterwards, and what they kept is forgotten.

    Raises:
        AssertionError: at the end, if the page's own script raised an exception.
    """
    others = list(context.pages)
    page = context.new_page()
    errors: list[str] = []
    origins: set[str] = set()

    def note(frame: Frame) -> None:
        address = urlsplit(frame.url)
        if address.scheme in ("http", "https"):
            origins.add(f"{address.scheme}://{address.netloc}")

    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("framenavigated", note)
    try:
        yield page
    finally:
        for opened in [each for each in context.pages if each not in others]:
            opened.close()
        _forget(context, others[0], origins)
    assert not errors, f"the page's script raised: {errors}"


def _forget(context: BrowserContext, keeper: Page, origins: set[str]) -> None:
    """Take away what is kept for a next visit. What a tab keeps for itself (`sessionStorage`) went with it; what was fetched stays cached."""
    context.clear_cookies()
    context.clear_permissions()
    session = context.new_cdp_session(keeper)
    for origin in origins:
        session.send(
            "Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "local_storage,indexeddb,cache_storage,service_workers,file_systems"}
        )
    session.detach()
