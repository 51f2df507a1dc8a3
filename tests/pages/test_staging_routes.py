"""What the server does with a browser that goes away: nothing is kept, and nothing is said of it as if it were a fault."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from starlette.applications import Starlette

from core.machine.home import Home
from core.staging import staging
from pages._parts.data import staging_routes


async def _gone_away(home: Home, here: str, length: int, parts: list[bytes]) -> list[dict[str, Any]]:
    """What is answered to a browser that says that it brings so many bytes, brings some, and is gone."""
    told: list[dict[str, Any]] = []
    arriving = iter([*({"type": "http.request", "body": part, "more_body": True} for part in parts), {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(arriving)

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http", "method": "PUT", "path": f"/staging/{here}/file", "raw_path": b"", "query_string": b"name=half.zip", "root_path": "",
        "headers": [(b"x-thaw", b"1"), (b"content-length", str(length).encode())], "http_version": "1.1", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "asgi": {"version": "3.0"},
    }  # fmt: skip
    await Starlette(routes=staging_routes.routes(""))(scope, receive, send)
    return told


@pytest.mark.parametrize(("length", "parts"), [(10_000, []), (10_000, [b"x" * 100]), (9_000_000, [b"x" * 2_000_000]), (0, [b"x" * 100])])
def test_a_browser_that_goes_away_while_it_brings_a_file_is_no_fault(
    home: Home, monkeypatch: pytest.MonkeyPatch, length: int, parts: list[bytes]
) -> None:
    monkeypatch.setattr(staging_routes, "_home", lambda: home)
    here = staging.begin(home)
    told = anyio.run(_gone_away, home, here, length, parts)
    assert told[0]["status"] == 499
    assert [path.name for path in staging.folder(home, here).rglob("*") if path.is_file()] == []
