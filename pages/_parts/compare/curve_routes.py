"""`/curves`: the WebSocket that feeds the chart of several runs, with what is new of each after its cursor, until the browser hangs up."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import anyio
import anyio.to_thread
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from core.comparing.stream import MOST_RUNS, Cursor, active, message, read_cursor
from core.config.limits import LONGEST_NAME
from core.store import StoreError
from pages._parts.shared.services import services

TICK, IDLE_TICK = 0.5, 2.0
"""Seconds between looks at the store: while one of the runs goes on, and after the end of all."""

BAD_QUESTION = 4400
LONGEST_CURSOR, MOST_MORE = 20_000, 12


def routes(base: str, readers: anyio.CapacityLimiter) -> list[BaseRoute]:
    """The route below the path `base`; `readers` are the threads that may read for charts at a time."""

    async def curves(socket: WebSocket) -> None:
        await socket.accept()
        try:
            ids, layer, more, cursor = _question(socket)
        except ValueError:
            return await socket.close(BAD_QUESTION)
        hang_up = asyncio.create_task(_read_to_the_end(socket))  # nothing that arrives means anything
        try:
            while not hang_up.done():
                tick = IDLE_TICK
                with suppress(StoreError):  # the page says so; once it is mended, the chart goes on where it was
                    shared = services()
                    body, cursor = await anyio.to_thread.run_sync(message, shared.home, shared.store, ids, cursor, layer, more, limiter=readers)
                    if body is not None:
                        await socket.send_text(json.dumps(body, separators=(",", ":")))
                    tick = TICK if active(cursor) else IDLE_TICK
                await asyncio.wait({hang_up}, timeout=tick)
        finally:
            hang_up.cancel()

    return [WebSocketRoute(f"{base}/curves", curves)]


def _question(socket: WebSocket) -> tuple[list[str], str, list[str], Cursor]:
    """What is asked for. ValueError for anything that our own chart would not ask."""
    given = socket.query_params
    ids = list(dict.fromkeys(filter(None, given.get("runs", "").split(","))))
    more = json.loads(given.get("more", "[]"))
    text = given.get("cursor", "{}")
    if not ids or len(ids) > MOST_RUNS or not isinstance(more, list) or len(more) > MOST_MORE or len(text) > LONGEST_CURSOR:
        raise ValueError("too many runs, or none")
    return ids, given.get("layer", "")[: 2 * LONGEST_NAME], [str(each) for each in more], read_cursor(json.loads(text))


async def _read_to_the_end(socket: WebSocket) -> None:
    async for _ in socket.iter_bytes():
        pass
