"""Thaw's web server: `streamlit run dashboard.py`.

The composition root. It opens what the pages share, serves the pages, and adds routes to Streamlit's own, below `server.baseUrlPath`: `/live`, the
WebSocket that feeds the charts, and `/curves`, that of several runs; `/assets`, the scripts of our browser components; `/pictures` and `/picture`,
which the gallery asks; and `/staging`, the only one that changes anything: it takes pictures in.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import socket as network
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.to_thread
import streamlit as st
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from streamlit import config, runtime

from core.machine import handles
from core.machine.home import Home
from core.machine.memory import give_back
from core.machine.origins import Callers
from core.machine.sockets import send_at_once
from core.records.events import RunStatus
from core.store import RunStore, StoreError, UnreadableRun
from core.store.stream import Cursor, message
from pages._parts.compare import curve_routes
from pages._parts.data import picture_routes, staging_routes
from pages._parts.shared import assets, clicks, closed_sessions
from pages._parts.shared.door import Door
from pages._parts.shared.services import Services, services

FIRST_TICK, TICK, IDLE_TICK = 0.1, 0.5, 2.0  # seconds between looks at the store: before the first step, while a run goes on, after its end
BRING_IN = 0.5  # seconds between looks for what jobs of a cluster have told
HOUSEKEEPING = 2.0  # seconds between looks for runs whose process is gone
LAB_DELAY = 3.0  # seconds that the standby worker gets to import torch before the lab does the same on the other core

LOG = logging.getLogger("thaw")

READERS = anyio.CapacityLimiter(8)
"""Threads that read for live charts at a time: each has a connection to the store, which is three open files."""

NO_SUCH_RUN, BAD_CURSOR, UNREADABLE = 4404, 4400, 4422  # close codes of /live, read by live_chart.js


async def live(socket: WebSocket) -> None:
    """Send what is new about `?run=ID` after the cursor, whose parts are `_cursor`'s, until the browser hangs up."""
    await socket.accept()
    try:
        cursor = _cursor(socket)
    except ValueError:
        return await socket.close(BAD_CURSOR)
    store, run_id = services().store, socket.query_params.get("run", "")
    # Reading is how a closed tab is noticed; nothing that arrives means anything.
    hang_up = asyncio.create_task(_read_to_the_end(socket))
    try:
        while not hang_up.done():
            try:
                body, at = await anyio.to_thread.run_sync(message, store, run_id, cursor, limiter=READERS)
            except KeyError:
                return await socket.close(NO_SUCH_RUN)
            except UnreadableRun:
                return await socket.close(UNREADABLE)
            except StoreError:  # the page says so; once it is mended, the chart goes on where it was
                await asyncio.wait({hang_up}, timeout=IDLE_TICK)
                continue
            cursor, tick = at, IDLE_TICK
            if body is not None:
                await socket.send_text(json.dumps(body, separators=(",", ":")))
                ended = not RunStatus(body["run"]["status"]).active
                tick = IDLE_TICK if ended else TICK
            elif at.step == 0:
                tick = FIRST_TICK
            await asyncio.wait({hang_up}, timeout=tick)
    finally:
        hang_up.cancel()


def _cursor(socket: WebSocket) -> Cursor | None:
    """The cursor that the browser gives back, or None if it has nothing yet. ValueError for anything but whole numbers."""
    if "after" not in socket.query_params:
        return None
    names = ("level", "after", "heat", "epoch", "change", "inspection", "forgetting")  # in the order of Cursor's fields; `after` is its step
    return Cursor(*(int(socket.query_params.get(name, 0)) for name in names))  # type: ignore[arg-type]  # the status is left out


async def _read_to_the_end(socket: WebSocket) -> None:
    async for _ in socket.iter_bytes():
        pass


async def asset(request: Request) -> FileResponse:
    """One of the named files. Its address changes with its content, so a browser may keep it for ever."""
    path = assets.FILES.get(request.path_params["name"])
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, media_type="text/javascript", headers={"Cache-Control": "public, max-age=31536000, immutable"})


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Open the services, look after them while the server runs, and send their helper processes away at the end. Runs go on."""
    handles.take_all()
    send_at_once()
    asyncio.get_running_loop().set_exception_handler(shortage)
    closed_sessions.install(runtime.get_instance(), sessions)
    clicks.install()
    shared = services()
    with suppress(OSError):  # locked just now: every page says so, and the next look comes soon
        shared.supervisor.go_on_where_lost()
        shared.supervisor.look_after()
    shared.supervisor.keep_standby()
    import pandas  # noqa: F401  the first table would wait 0.3 s for it

    gc.collect()
    gc.freeze()  # what start-up made stays, so that no later collection walks through it again
    keeper = asyncio.create_task(_keep_house(shared))
    listener = asyncio.create_task(_bring_in(shared))
    try:
        yield
    finally:
        for task in (keeper, listener):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        shared.starter.close()
        shared.supervisor.close()
        shared.lab.close()


async def _keep_house(shared: Services) -> None:
    await asyncio.sleep(LAB_DELAY)
    shared.lab.warm()
    said = ""
    while True:
        sessions.tidy()
        try:
            await anyio.to_thread.run_sync(shared.supervisor.look_after)
            await anyio.to_thread.run_sync(shared.supervisor.keep_standby)
            if await anyio.to_thread.run_sync(shared.lab.rest):
                await anyio.to_thread.run_sync(give_back)  # nobody asks anything: what the answers took need not stay here either
            said = ""
        except OSError as error:  # no handle left, a full disk: it may be better next time
            if str(error) != said:
                said = str(error)
                LOG.warning("Thaw could not look after its runs (%s). It tries again every %g s.", error, HOUSEKEEPING)
        await asyncio.sleep(HOUSEKEEPING)


async def _bring_in(shared: Services) -> None:
    """What jobs of a cluster tell comes into the store twice a second, for whoever looks at their runs."""
    while True:
        there = False
        with suppress(OSError):  # housekeeping says so
            there = await anyio.to_thread.run_sync(shared.supervisor.bring_in)
        await asyncio.sleep(BRING_IN if there else HOUSEKEEPING)


def callers() -> Callers:
    """Names under which this server may be called beside `localhost` and IP addresses, and pages of other addresses that may call it.

    Those in `THAW_HOSTS` (comma separated; `*` for every name), this machine's own name, and what Streamlit's options name.
    """
    own = network.gethostname()
    entries = [*os.environ.get("THAW_HOSTS", "").split(","), st.get_option("server.address") or "", *st.get_option("server.corsAllowedOrigins")]
    if config.is_manually_set("browser.serverAddress"):
        entries.append(f"{st.get_option('browser.serverAddress')}:{st.get_option('browser.serverPort')}")
    found = Callers.named(entries)
    # The machine's own name is one to be called by; what else answers at it, at the usual ports, is not this server.
    return Callers(found.names | {own.lower(), f"{own.lower()}.local", *st.get_option("server.allowedHosts")}, found.pages)


def end_without_home() -> None:
    """End the server with one clear line, before it begins, if it could not keep anything, or cannot use what it kept."""
    try:
        home = Home.from_environment()
        tempfile.TemporaryFile(dir=home.path).close()
    except OSError as error:
        sys.exit(f"Thaw cannot keep anything in its folder ({error}). Make it writable, or name another one in THAW_HOME.")
    try:
        RunStore(home.database).close()
    except StoreError as error:
        sys.stderr.write(f"thaw: {error}\n")
        sys.exit(2)


end_without_home()
base = assets.base_path(st.get_option("server.baseUrlPath"))
sessions = closed_sessions.ClosedSessions(st.get_option("server.disconnectedSessionTTL"))
shortage = handles.Shortage(sessions.let_go)
app = st.App(
    "pages/_app.py",
    lifespan=lifespan,
    routes=[
        WebSocketRoute(f"{base}/live", live),
        Route(f"{base}/assets/{{name}}", asset),
        *curve_routes.routes(base, READERS),
        *picture_routes.routes(base),
        *staging_routes.routes(base),
    ],
    middleware=[Middleware(Door, callers=callers(), shortage=shortage), Middleware(assets.Ahead, base=base)],
)
