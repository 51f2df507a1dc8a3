"""Files that browser components load from `/assets`: each with an address that changes with its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

_PARTS = Path(__file__).parent

FILES: Mapping[str, Path] = {
    "plotly.min.js": Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js"))),
    **{path.name: path for path in sorted(_PARTS.rglob("*.js"))},
}
"""What `/assets/NAME` serves: Plotly and the scripts of our own components, whose names all differ. Nothing else is served."""


@cache
def address(name: str) -> str:
    """The URL path of an asset, with a digest of its content so that browsers may keep it for ever. KeyError for an unknown name.

    Scripts in one folder import each other under the same digest, so it is that of them all.
    """
    own = FILES[name]
    beside = sorted(path for path in FILES.values() if path.parent == own.parent)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in beside)).hexdigest()[:12]
    return f"/assets/{name}?v={digest}"


def loader(name: str, *needs: str, mount: str = "mount") -> str:
    """A component's inline script: it loads the real one from `/assets` once. Inline scripts travel again with every update.

    The script's function `mount` is called with Streamlit's component and then with the modules that it `needs`, in their order.
    """
    addresses = json.dumps([address(each) for each in (name, *needs)])
    return f"""
const modules = Promise.all({addresses}.map((path) => import(new URL(path, location.origin)))); // this script itself has no address to start from
export default function (component) {{
  let unmount = null;
  let gone = false;
  modules.then(([own, ...needs]) => {{ if (!gone) unmount = own.{mount}(component, ...needs); }});
  return () => {{ gone = true; unmount?.(); }};
}}
"""
