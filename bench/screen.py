"""A server with a home of its own, and a real browser before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser import arguments, find
from tests.support import Server


@contextmanager
def screen(folder: Path) -> Iterator[tuple[Server, Browser]]:
    """The server, which has started and keeps everything in `folder`/home, and the browser; both end with the context."""
    server = Server(folder / "home", folder / "server.log", shares_nursery=False)  # the nursery of all tests needs their home
    with sync_playwright() as playwright:
        path = find(playwright)
        assert path is not None, "no Chromium works here; `make browser` finds or installs one"
        browser = playwright.chromium.launch(executable_path=path, args=arguments())
        try:
            server.start()
            yield server, browser
        finally:
            browser.close()
            server.close()
