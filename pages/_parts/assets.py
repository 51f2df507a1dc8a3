"""Files that browser components load from `/assets`: named one by one, each with an address that changes with its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

_PARTS = Path(__file__).parent

FILES: Mapping[str, Path] = {
    "plotly.min.js": Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js"))),
    "live_chart.js": _PARTS / "live_chart" / "live_chart.js",
    "freeze_tree.js": _PARTS / "freeze_tree" / "freeze_tree.js",
}
"""What `/assets/NAME` serves. Nothing else is served."""


@cache
def address(name: str) -> str:
    """The URL path of an asset, with a digest of its content so that browsers may keep it for ever. KeyError for an unknown name."""
    digest = hashlib.sha256(FILES[name].read_bytes()).hexdigest()[:12]
    return f"/assets/{name}?v={digest}"


def loader(name: str) -> str:
    """A component's inline script: it loads the real one from `/assets` once. Inline scripts travel again with every update."""
    return f"""
const module = import(new URL({address(name)!r}, location.origin)); // this script itself has no address to start from
export default function (component) {{
  let unmount = null;
  let gone = false;
  module.then(({{ mount }}) => {{ if (!gone) unmount = mount(component); }});
  return () => {{ gone = true; unmount?.(); }};
}}
"""
