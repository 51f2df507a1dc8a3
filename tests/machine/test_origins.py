"""Who may ask the server: names, pages of other addresses, proxies; and that one rule stands in front of every route."""

from __future__ import annotations

import asyncio
import http.client
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from core.machine.handles import Shortage
from core.machine.origins import Callers, Place
from pages._parts.shared.door import Door
from tests.support import PATIENCE, Server

NOBODY = Callers.named([])
HUB = Callers.named(["hub.example.com", "*.lab.example.com", "other.example.com:8443", "https://only-tls.example.com", "", "no host/at all"])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("localhost:8501", Place("localhost", 8501)),
        ("LocalHost.", Place("localhost", None)),
        ("[::1]:8501", Place("::1", 8501)),
        ("hub.example.com", Place("hub.example.com", None)),
        ("", None),
        (":8501", None),
        ("a b", None),
        ("a/b", None),
        ("a?b", None),
        ("a#b", None),
        ("user@localhost", None),
        ("localhost:port", None),
        ("localhost:", None),
        ("localhost:99999", None),
        ("[::1", None),
    ],
)
def test_a_host_is_read_as_a_browser_writes_it(text: str, place: Place | None) -> None:
    assert Place.parse(text) == place


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501", "192.168.1.7:8501", "LOCALHOST:8501", "localhost"])
def test_this_machine_and_addresses_need_no_naming(host: str) -> None:
    assert NOBODY.refusal([host], []) is None


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "127.0.0.1.elsewhere.example:8501", "localhost.elsewhere.example", "elsewhere.example:80", "", "a b"]
)
def test_a_foreign_name_is_refused_even_where_the_page_has_the_same(host: str) -> None:
    """DNS rebinding: the page's name points at this machine, so its origin and the host are the same."""
    for origins in ([], [f"http://{host}"]):
        refusal = NOBODY.refusal([host], origins)
        assert refusal is not None
        assert refusal.status == 400


def test_no_host_or_two_of_them_are_refused() -> None:
    for hosts in ([], ["localhost:8501", "localhost:8501"]):
        refusal = NOBODY.refusal(hosts, [])
        assert refusal is not None
        assert refusal.status == 400


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8501", "http://localhost:8501"),
        ("127.0.0.1:8501", "http://127.0.0.1:8501"),
        ("[::1]:8501", "http://[::1]:8501"),
        ("localhost:8501", "HTTP://LOCALHOST:8501"),
        ("localhost", "http://localhost"),
        ("localhost", "https://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost:443", "https://localhost"),
    ],
)
def test_the_servers_own_pages_may_ask(host: str, origin: str) -> None:
    assert NOBODY.refusal([host], [origin]) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:9999",  # another program on this machine
        "http://127.0.0.1:8501",  # the same machine by another name: another site to a browser
        "http://localhost",
        "https://localhost",
        "http://elsewhere.example",
        "http://elsewhere.example:8501",
        "http://localhost:8501.elsewhere.example",
        "http://localhost:8501@elsewhere.example",
        "null",
        "",
        "file://",
        "chrome-extension://abc",
        "localhost:8501",
    ],
)
def test_pages_of_others_may_not(origin: str) -> None:
    refusal = NOBODY.refusal(["localhost:8501"], [origin])
    assert refusal is not None
    assert refusal.status == 403


def test_two_origins_are_refused() -> None:
    assert NOBODY.refusal(["localhost:8501"], ["http://localhost:8501"] * 2) is not None


@pytest.mark.parametrize(
    ("host", "origin", "forwarded"),
    [
        ("hub.example.com", "https://hub.example.com", ""),  # a proxy that passes the host on
        ("a.lab.example.com:8000", "http://a.lab.example.com:8000", ""),
        ("127.0.0.1:8501", "https://hub.example.com", ""),  # one that does not: nginx's usual setting
        ("127.0.0.1:8501", "https://other.example.com:8443", ""),
        ("127.0.0.1:8501", "https://only-tls.example.com", ""),
        ("127.0.0.1:8501", "https://hub.example.com:8000", "hub.example.com:8000"),
        ("127.0.0.1:8501", "https://hub.example.com:8000", "first.example, hub.example.com:8000"),
        ("127.0.0.1:8501", "http://192.168.1.7:8000", "192.168.1.7:8000"),
    ],
)
def test_proxies_that_are_named_may_ask(host: str, origin: str, forwarded: str) -> None:
    assert HUB.refusal([host], [origin], [forwarded] if forwarded else []) is None


@pytest.mark.parametrize(
    ("host", "origin", "forwarded"),
    [
        ("127.0.0.1:8501", "https://hub.example.com:8000", ""),  # another program on the hub
        ("127.0.0.1:8501", "http://only-tls.example.com", ""),
        ("127.0.0.1:8501", "https://other.example.com", ""),
        ("127.0.0.1:8501", "https://lab.example.com", ""),
        ("127.0.0.1:8501", "https://elsewhere.example", "elsewhere.example"),  # nobody named it
        ("elsewhere.example", "https://elsewhere.example", "hub.example.com"),
        ("lab.example.com", "https://lab.example.com", ""),
    ],
)
def test_what_was_not_named_is_refused_behind_a_proxy_too(host: str, origin: str, forwarded: str) -> None:
    assert HUB.refusal([host], [origin], [forwarded] if forwarded else []) is not None


def test_a_star_answers_to_every_name_but_to_no_foreign_page() -> None:
    anybody = Callers.named(["*"])
    assert anybody.refusal(["elsewhere.example"], ["http://elsewhere.example"]) is None
    assert anybody.refusal(["elsewhere.example"], ["http://another.example"]) is not None


def test_a_refusal_says_what_to_do_and_repeats_no_endless_name() -> None:
    refusal = NOBODY.refusal(["gpu-box.example:8501"], [])
    assert refusal is not None
    assert "THAW_HOSTS=gpu-box.example" in refusal.reason
    long = NOBODY.refusal(["a" * 50_000], [])
    assert long is not None
    assert len(long.reason) < 400


# In front of the routes


def through_the_door(headers: dict[str, str], kind: str = "http") -> tuple[list[Message], list[Scope]]:
    """What comes back for a request with these headers, and what the application behind the door was asked."""
    asked: list[Scope] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"page"})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": kind, "method": "GET", "path": "/", "scheme": "ws" if kind == "websocket" else "http"}
    scope["headers"] = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    asyncio.run(Door(app, HUB, Shortage(lambda: 0))(scope, receive, send))
    return sent, asked


def test_an_origin_that_may_ask_is_told_as_the_hosts_own_so_that_nothing_is_looked_up() -> None:
    _, asked = through_the_door({"Host": "127.0.0.1:8501", "Origin": "https://hub.example.com", "Cookie": "a=b"}, "websocket")
    assert dict(asked[0]["headers"]) == {b"host": b"127.0.0.1:8501", b"cookie": b"a=b", b"origin": b"http://127.0.0.1:8501"}
    _, asked = through_the_door({"Host": "127.0.0.1:8501"}, "websocket")
    assert dict(asked[0]["headers"]) == {b"host": b"127.0.0.1:8501"}


def test_what_is_refused_never_reaches_a_route() -> None:
    for kind in ("http", "websocket"):
        for headers in ({"Host": "elsewhere.example"}, {"Host": "localhost", "Origin": "http://localhost:1"}, {}):
            sent, asked = through_the_door(headers, kind)
            assert not asked
            assert sent[0]["type"] == ("websocket.close" if kind == "websocket" else "http.response.start")


def test_every_answer_says_that_others_may_not_frame_it() -> None:
    for headers in ({"Host": "localhost"}, {"Host": "elsewhere.example"}):
        sent, _ = through_the_door(headers)
        said = dict(sent[0]["headers"])
        assert said[b"x-frame-options"] == b"SAMEORIGIN"
        assert b"frame-ancestors 'self'" in said[b"content-security-policy"]


def answer(server: Server, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", path, headers=headers)
    found = connection.getresponse()
    found.read()
    connection.close()
    return found


@pytest.mark.parametrize(
    "path", ["/", "/train?run=none", "/assets/outbox.js", "/assets/none.js", "/static/none.js", "/_stcore/health", "/media/none"]
)
def test_the_rule_stands_in_front_of_all_routes(server: Server, path: str) -> None:
    good = answer(server, path)
    assert good.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "frame-ancestors 'self'" in str(good.headers["Content-Security-Policy"])
    assert answer(server, path, Host="elsewhere.example").status == 400
    assert answer(server, path, Origin=f"http://localhost:{server.port + 1}").status == 403
    assert answer(server, path, Origin=server.address).status == good.status


def test_both_sockets_refuse_pages_of_other_ports_and_look_nothing_up(server: Server) -> None:
    other_port = f"http://127.0.0.1:{server.port + 1}"
    for path in ("/_stcore/stream", "/live?run=none"):
        for origin in (other_port, f"http://localhost:{server.port}", "http://elsewhere.example", "null"):
            with pytest.raises(InvalidStatus) as refusal:
                connect(f"ws://127.0.0.1:{server.port}{path}", origin=origin)  # type: ignore[arg-type]
            assert refusal.value.response.status_code == 403
        with connect(f"ws://127.0.0.1:{server.port}{path}", origin=server.address):  # type: ignore[arg-type]
            pass
    assert "external IP" not in server.log_tail(1000), "Streamlit has asked the network for this machine's address"
