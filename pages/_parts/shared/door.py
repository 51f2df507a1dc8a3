"""In front of every route: who may ask is decided here once, and every answer says that other sites may not frame it."""

from __future__ import annotations

import logging

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.machine.handles import FOR_A_SESSION, FOR_AN_ANSWER, Shortage
from core.machine.origins import Callers, Refusal

LOG = logging.getLogger(__name__)

MOST_LINES = 20
"""Refusals that are written into the log, each once: who can be refused at will could fill a disk."""

HEADERS = (
    (b"x-frame-options", b"SAMEORIGIN"),
    # Pictures only of this server's own: a name that slips through as Markdown still loads nothing from elsewhere.
    (b"content-security-policy", b"frame-ancestors 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; object-src 'none'"),
)
"""Stand on every answer."""

_FULL = Refusal(503, "Thaw has no handles left for another connection. Close some of its tabs, and try again in a few seconds.")

_NOT_ALLOWED, _TRY_LATER = 1008, 1013  # close codes: RFC 6455, and the list that goes with it


class Door:
    """ASGI. Streamlit has a rule of its own for its socket: it lets in pages of any port of this machine, and looks addresses up on the network

    while everything else waits. Nothing that it would have to look up gets there: an origin that may ask is told to it as the host itself.
    """

    def __init__(self, app: ASGIApp, callers: Callers, shortage: Shortage) -> None:
        self._app = app
        self._callers = callers
        self._shortage = shortage
        self._said: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        is_socket = scope["type"] == "websocket"
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        refusal = self._callers.refusal(hosts, origins, headers.getlist("x-forwarded-host"))
        if refusal is not None:
            self._say(refusal)
        elif not self._shortage.has_room(FOR_A_SESSION if is_socket else FOR_AN_ANSWER):
            refusal = _FULL
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
        elif is_socket:
            await self._app(_as_own(scope, hosts[0]) if origins else scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _say(self, refusal: Refusal) -> None:
        if refusal.reason not in self._said and len(self._said) < MOST_LINES:
            self._said.add(refusal.reason)
            LOG.warning("%s", refusal.reason)


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _TRY_LATER if refusal is _FULL else _NOT_ALLOWED})
        return
    answer = PlainTextResponse(f"{refusal.reason}\n", refusal.status, {"X-Content-Type-Options": "nosniff", "Connection": "close"})
    await answer(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *HEADERS]
        await send(message)

    return answer


def _as_own(scope: Scope, host: str) -> Scope:
    """The same request with the host's own address as its origin."""
    scheme = b"https" if scope["scheme"] == "wss" else b"http"
    others = [(name, value) for name, value in scope["headers"] if name != b"origin"]
    return {**scope, "headers": [*others, (b"origin", scheme + b"://" + host.encode("latin-1"))]}
