"""One blank page that imports our JavaScript modules as they lie on disk and feeds them: no server, no Streamlit, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Request, Route

from pages._parts.shared.assets import FILES

HOME = "http://localhost/"
"""Nothing listens there: every request of the page is answered here."""

_STYLES = "\n".join(path.read_text() for path in sorted(Path(FILES["outbox.js"]).parents[1].rglob("*.css")))
_THEME = ":root { --st-chart-categorical-colors: #0072b2,#d55e00,#007a59,#aa4499; --st-text-color: #222222; --st-background-color: #ffffff; }"
_BLANK = f"<!doctype html><meta charset=utf-8><title>modules</title><style>{_THEME}\n{_STYLES}</style><body></body>"


class Modules:
    """The page. Whatever it asks for elsewhere is refused and noted in `elsewhere`, whatever its scripts raise in `errors`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        page.on("request", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.route("**/*", self._answer)
        page.goto(HOME)

    def run(self, names: str, body: str, **given: object) -> Any:
        """What the `body` of an async function returns, in which the modules `names` and what is `given` have their names."""
        script = f"""async ([names, given]) => {{
            const [{names.replace(" ", ",")}] = await Promise.all(names.map((name) => import(`/assets/${{name}}.js?v=1`)));
            const {{ {", ".join(given)} }} = given;
            {{ {body} }}
        }}"""
        return self.page.evaluate(script, [names.split(), given])

    def empty(self) -> None:
        """Take away what a test has put into the page, its address included."""
        self.page.evaluate("() => { document.body.replaceChildren(); history.replaceState(null, '', '/'); }")

    def _note(self, request: Request) -> None:
        if not request.url.startswith((HOME, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def _answer(self, route: Route) -> None:
        url = route.request.url
        name = url.partition("?")[0].rpartition("/")[2]
        if url == HOME:
            route.fulfill(body=_BLANK, content_type="text/html")
        elif url.startswith(f"{HOME}assets/") and name in FILES:
            route.fulfill(path=FILES[name], content_type="text/javascript")
        elif url == f"{HOME}favicon.ico":
            route.fulfill(status=204)
        else:
            self.elsewhere.append(url)
            route.abort()
