"""Thaw below a path: named to the server (`server.baseUrlPath`), or known to a proxy alone that takes it away (JupyterHub, nginx)."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocket, expect

from pages._parts.shared import assets
from tests.pages.browser_watch_cases import FEW, WrittenRun
from tests.pages.test_browser import SHORT, chart, start_run, store_of, wait_for_steps
from tests.support import PATIENCE, Server, waiting

pytestmark = pytest.mark.browser


@pytest.fixture
def below_a_path(tmp_path: Path) -> Iterator[Server]:
    """A server that lies below a path of two parts, and answers nothing outside of it."""
    server = Server(tmp_path / "home", tmp_path / "server.log", base="/lab/thaw")
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def behind_a_proxy(server: Server) -> Iterator[str]:
    """The address below which a proxy passes on what the shared server answers, which has not heard of the path. Without a slash at the end."""
    ready: queue.Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def proxy() -> None:
        serving, end = await asyncio.start_server(lambda reader, writer: _pass_on(reader, writer, server.port), "127.0.0.1", 0), asyncio.Event()
        ready.put((serving.sockets[0].getsockname()[1], asyncio.get_running_loop(), end))
        await end.wait()
        serving.close()

    # A thread of its own: Playwright's loop runs in this one.
    thread = threading.Thread(target=asyncio.run, args=(proxy(),))
    thread.start()
    port, loop, end = ready.get(timeout=PATIENCE)
    yield f"http://127.0.0.1:{port}/user/me"
    loop.call_soon_threadsafe(end.set)
    thread.join()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """One request, a WebSocket's included, with `/user/me` taken from its path: what a `location /user/me/` of nginx does."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, path, rest = head.split(" ", 2)
    if not path.startswith("/user/me/"):
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        return
    if "websocket" not in rest.lower():
        rest = re.sub(r"(?i)\r\nconnection:[^\r]*", "\r\nConnection: close", rest)
    from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
    to_server.write(f"{method} {path.removeprefix('/user/me')} {rest}".encode("latin-1"))
    await asyncio.gather(_pump(reader, to_server), _pump(from_server, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
    except OSError:
        pass  # the other side hung up
    finally:
        writer.close()


class Traffic:
    """What a page asked for: addresses that were refused, and WebSockets."""

    def __init__(self, page: Page) -> None:
        self.refused: list[str] = []
        self.lines: list[WebSocket] = []
        page.on("response", lambda answer: self.refused.append(answer.url) if answer.status >= 400 else None)
        page.on("websocket", lambda line: self.lines.append(line))

    def check(self, address: str) -> None:
        """Nothing of ours was refused, and the live line is below `address`. Streamlit finds its own base by trying health checks."""
        assert [url for url in self.refused if "_stcore" not in url] == []
        live = [line.url for line in self.lines if "/live?" in line.url]
        assert live
        assert all(url.startswith(address.replace("http", "ws") + "/live?run=") for url in live), live


def test_below_a_path_every_screen_has_its_charts_and_a_run_its_live_line(below_a_path: Server, page: Page) -> None:
    traffic = Traffic(page)
    run_id = start_run(page, below_a_path, SHORT)
    waiting(page, lambda: page.locator(".thaw-live").count() and chart(page).get("points", 0) > 10, "the live chart's points")
    expect(page.locator(".thaw-live .plot-container").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download weights").click()
    assert Path(download.value.path()).stat().st_size > 1_000_000
    page.get_by_role("link", name="Evaluate this run").click()
    page.wait_for_url(f"{below_a_path.address}/evaluate?**")
    page.get_by_role("link", name="Home").click()
    page.locator(f"a[href*='{run_id}']").first.click()
    page.wait_for_url(f"{below_a_path.address}/train?run={run_id}")
    page.locator(".thaw-live .plot-container").first.wait_for()
    with page.expect_response(f"{below_a_path.address}/autograd") as response:
        page.goto(f"{below_a_path.address}/autograd")
    assert "assets/slow_motion.js" in response.value.all_headers()["link"]
    page.locator(".thaw-motion [role=status]").wait_for()
    traffic.check(below_a_path.address)


def test_behind_a_proxy_that_takes_the_path_away_a_run_is_followed(server: Server, behind_a_proxy: str, page: Page) -> None:
    run = WrittenRun(store_of(server), FEW)
    run.train(40)
    traffic = Traffic(page)
    page.goto(f"{behind_a_proxy}/train?run={run.id}")
    wait_for_steps(page, 40)
    run.train(20)
    wait_for_steps(page, 60)
    expect(page.locator(".thaw-live .plot-container").first).to_be_visible()
    run.finish()
    traffic.check(behind_a_proxy)


def test_the_live_line_is_encrypted_where_the_page_is(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/")
    address = page.evaluate(
        "async ([script, home]) => (await import(new URL(script, document.baseURI))).line('run=1', home)",
        [assets.address("live_chart.js"), "https://hub.example:8443/lab/thaw/"],
    )
    assert address == "wss://hub.example:8443/lab/thaw/live?run=1"


@pytest.mark.parametrize(("option", "path"), [("", ""), (None, ""), ("/", ""), ("thaw", "/thaw"), ("/lab/thaw/", "/lab/thaw")])
def test_a_base_path_is_written_in_any_way(option: str | None, path: str) -> None:
    assert assets.base_path(option) == path
