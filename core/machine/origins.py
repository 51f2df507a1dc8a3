"""Who may ask this server: one rule about the names that it is called by and the pages that call it. Pure, and nothing is looked up anywhere.

A page of another site can have a browser send requests here, and a name of its own can point at this machine (DNS rebinding). Both are told
by what the browser says, which no page can change: `Host`, the address that it called, and `Origin`, the page that made it call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

_USUAL_PORT = {"http": 80, "https": 443}
_QUOTED = 100
"""Characters of somebody else's text that a refusal repeats at most."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered: the HTTP status and a sentence that says what to do."""

    status: int
    reason: str


@dataclass(frozen=True)
class Place:
    """A host as a browser writes it, in lower case, and its port where one is named."""

    name: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """`localhost:8501`, `[::1]`, `hub.example.com`; None for what is no host."""
        try:
            parts = urlsplit(f"//{text}")
            name, port = parts.hostname, parts.port
        except ValueError:
            return None
        if not name or parts.netloc != text or "@" in text or text.endswith(":") or any(character.isspace() for character in text):
            return None
        return cls(name.rstrip("."), port)

    @property
    def is_address(self) -> bool:
        """True for an IP address: who calls it has asked no name server, so nobody can have pointed a name here."""
        try:
            ip_address(self.name)
        except ValueError:
            return False
        return True


@dataclass(frozen=True)
class Callers:
    """Names under which the server may be called (`*`: any, `*.example.com`: any below it), and pages of other addresses that may call it.

    IP addresses and localhost need no naming.
    """

    names: frozenset[str]
    pages: frozenset[tuple[str, int]]

    @classmethod
    def named(cls, entries: Iterable[str]) -> Callers:
        """From a person's list: `hub.example.com`, `hub.example.com:8443`, `https://hub.example.com`, `*.example.com`, `*`.

        A name is one that the server is called by. Where a proxy changes `Host`, pages of that name at its port (80 and 443 where none is
        named) may call too. Entries that are no host are left out.
        """
        names: set[str] = set()
        pages: set[tuple[str, int]] = set()
        for entry in (each.strip() for each in entries):
            scheme, separator, rest = entry.partition("://")
            place = Place.parse(rest.rstrip("/") if separator else entry)
            if place is None:
                continue
            names.add(place.name)
            ports = [place.port] if place.port else [_USUAL_PORT[scheme]] if scheme in _USUAL_PORT else list(_USUAL_PORT.values())
            pages |= {(place.name, port) for port in ports if "*" not in place.name}
        return cls(frozenset(names), frozenset(pages))

    def refusal(self, hosts: Sequence[str], origins: Sequence[str], forwarded: Sequence[str] = ()) -> Refusal | None:
        """Why a request with these headers (all values of each) is refused; None if it is answered.

        Args:
            forwarded: `X-Forwarded-Host`, with which a proxy says what the browser called. It counts as `Host` does, since no page can have a
                browser send it to another address.
        """
        host = Place.parse(hosts[0]) if len(hosts) == 1 else None
        if host is None:
            return Refusal(400, "The request does not say which host it is for.")
        if not self._is_ours(host):
            return Refusal(
                400, f"Thaw does not answer to the name {_quoted(host.name)!r}. If it is yours, start Thaw with THAW_HOSTS={_quoted(host.name)}"
            )
        if not origins:
            return None  # no browser, or a person who opens the page
        called = [host, *(place for each in ",".join(forwarded).split(",") if (place := Place.parse(each.strip())) and self._is_ours(place))]
        if len(origins) == 1 and self._is_same(origins[0], called):
            return None
        page = _quoted(origins[0])
        return Refusal(403, f"Thaw answers to its own pages only, not to those of {page!r}. If that is a proxy before Thaw, name it in THAW_HOSTS.")

    def _is_ours(self, place: Place) -> bool:
        if place.is_address or place.name == "localhost" or {place.name, "*"} & self.names:
            return True
        return any(name.startswith("*.") and place.name.endswith(name[1:]) for name in self.names)

    def _is_same(self, origin: str, called: Iterable[Place]) -> bool:
        scheme, separator, rest = origin.partition("://")
        usual, page = _USUAL_PORT.get(scheme.lower()), Place.parse(rest)
        if not separator or usual is None or page is None:
            return False  # `null`: a file, or a frame that was denied an origin of its own
        at = (page.name, page.port or usual)
        return at in self.pages or any(at == (place.name, place.port or usual) for place in called)


def _quoted(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."
