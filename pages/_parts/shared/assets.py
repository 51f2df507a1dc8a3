"""Files that browser components load from `assets/`: each with an address that changes with its content.

No address begins with a slash. The server may lie below a path (`server.baseUrlPath`), or behind a proxy that puts one in front and
takes it away again, of which the server knows nothing: every address is relative to the page's, as those of Streamlit's own page are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PARTS = Path(__file__).parent.parent
_STREAMLIT = Path(str(distribution("streamlit").locate_file("streamlit/static")))

AHEAD: Mapping[str, Sequence[str]] = {
    "/autograd": ("slow_motion", "grad_graph", "virtual_table.js", "looks.js", "server_gone.js"),
    "/compare": ("compare_chart", "looks.js", "scales.js", "plotly_loader.js", "plotly.min.js"),
    "/runs": ("runs_table", "virtual_table.js", "looks.js"),
}
"""Pages whose scripts are named to the browser together with the page: folders of components, and single files."""

_PLAIN = ("plotly.min.js",)
"""Scripts that are no modules."""

FILES: Mapping[str, Path] = {
    "plotly.min.js": Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js"))),
    **{path.name: path for path in sorted(_PARTS.rglob("*.js"))},
}
"""What `assets/NAME` serves: Plotly and the scripts of our own components, whose names all differ. Nothing else is served."""


def base_path(option: str | None) -> str:
    """Streamlit's option `server.baseUrlPath` as what stands before the path of every route: '' or '/lab/thaw'."""
    return f"/{option.strip('/')}" if option and option.strip("/") else ""


@cache
def address(name: str) -> str:
    """The address of an asset beside a page, with a digest of its content so that browsers may keep it for ever. KeyError for an unknown name.

    Scripts in one folder import each other under the same digest, so it is that of them all.
    """
    own = FILES[name]
    beside = sorted(path for path in FILES.values() if path.parent == own.parent)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in beside)).hexdigest()[:12]
    return f"assets/{name}?v={digest}"


def loader(name: str, *needs: str, mount: str = "mount") -> str:
    """A component's inline script: it loads the real one from `assets/` once. Inline scripts travel again with every update.

    The script's function `mount` is called with Streamlit's component and then with the modules that it `needs`, in their order. A script that
    cannot be had, since the server is gone, is asked for again each second, for a minute and a half: the page finds the next server by itself.
    """
    addresses = json.dumps([address(each) for each in (name, *needs)])
    return f"""
const load = async (path, tries = 90) => {{
  try {{
    return await import(new URL(path, document.baseURI)); // this script itself has no address to start from
  }} catch (error) {{
    if (!tries || !/dynamically imported|module script/i.test(error.message)) throw error; // as browsers say that they could not fetch it
    await new Promise((done) => setTimeout(done, 1000));
    return load(path, tries - 1);
  }}
}};
const modules = Promise.all({addresses}.map((path) => load(path)));
export default function (component) {{
  let unmount = null;
  let gone = false;
  modules.then(([own, ...needs]) => {{ if (!gone) unmount = own.{mount}(component, ...needs); }});
  return () => {{ gone = true; unmount?.(); }};
}}
"""


class Ahead:
    """Answers a request for a page of `AHEAD` with a `Link` header that names its scripts.

    Otherwise a browser hears of them one after the other, each time after another script has run: four round trips, at the end of the load.
    """

    def __init__(self, app: ASGIApp, base: str = "") -> None:
        """`base` as `base_path` has it."""
        self._app = app
        self._base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        page = scope["path"].removeprefix(self._base) if scope["type"] == "http" else ""

        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                message["headers"] = [*message.get("headers", []), (b"link", ahead(page).encode())]
            await send(message)

        await self._app(scope, receive, with_header if page in AHEAD else send)


@cache
def ahead(page: str) -> str:
    """The `Link` header of a page of `AHEAD`: its scripts, and the part of Streamlit that mounts components. KeyError for another page."""
    names = [path.name for each in AHEAD[page] for path in _scripts(each)]
    modules = [f"<{each}>; rel=modulepreload" for each in [*_mounting(), *(address(name) for name in names if name not in _PLAIN)]]
    return ", ".join([*modules, *(f"<{address(name)}>; rel=preload; as=script" for name in names if name in _PLAIN)])


def _scripts(name: str) -> list[Path]:
    return [FILES[name]] if name in FILES else [path for path in FILES.values() if path.parent.name == name]


def _mounting() -> list[str]:
    """The scripts of Streamlit's that mount a component, and that its page does not name itself. None where another version has other names."""
    folder = _STREAMLIT / "static" / "js"
    page = (_STREAMLIT / "index.html").read_text()
    found: list[str] = []
    waiting = [path.name for path in folder.glob("BidiComponent.*.js")]
    while waiting:
        name = waiting.pop()
        if name in found or name in page or not (folder / name).is_file():
            continue
        found.append(name)
        waiting += re.findall(r'from"\./([\w.-]+\.js)"', (folder / name).read_text())
    return [f"static/js/{name}" for name in found]
