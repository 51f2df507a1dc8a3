"""Messages between the machines of a run: JSON over a socket, of which each proves that it comes from who knows the token, whole and in order.

Who joins and who leads prove to each other that they know the token without sending it (a challenge each, HMAC-SHA256, RFC 2104), and each message
after that carries an HMAC over its direction, its number and its bytes, under a key made from token and challenges. Nothing is secret but the
token: whoever listens along can read, but neither join, nor change, drop, repeat or reorder a message unnoticed.

`multiprocessing.connection` does the first half with HMAC-MD5 in Python 3.11, and waits without end for a message that was sent by half. Here
nothing is unpickled, nothing longer than `LARGEST` is read, and every wait has an end. No torch.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

LARGEST = 1 << 20
"""Bytes of a message at most: a config with a network of one's own takes some thousands."""

HANDSHAKE_SECONDS = 10.0
"""How long both sides may take to prove that they know the token."""

SEND_SECONDS = 10.0
"""How long a message may take to leave."""

TURN_SECONDS = 0.25
"""How long one call of the system may wait; between two the time is looked at."""

_GREETING = b"Thaw ranks 1 "
_LENGTH = struct.Struct(">I")
_MAC = 32
_WRONG, _USED, _WELCOME = b"0", b"1", b"2"


class TalkError(Exception):
    """The other machine cannot be understood any more, in words: it is gone, silent, too slow, or is no Thaw."""


class Refused(TalkError):
    """The token is not one of this run, or was used before."""


def new_token() -> str:
    """128 bits of chance, in letters and digits."""
    return secrets.token_hex(16)


class Talk:
    """One end of a conversation. Thread-safe: one thread may hear while others say.

    Args:
        sock: connected; it is this object's from here on.
        key: of this conversation.
        leads: which end this is.
    """

    def __init__(self, sock: socket.socket, key: bytes, leads: bool) -> None:
        self._socket = sock
        self._key = key
        self._mine, self._theirs = (b"lead", b"join") if leads else (b"join", b"lead")
        self._said = self._heard = 0
        self._lock = threading.Lock()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def own_address(self) -> str:
        """The address of this machine that the other one talks to."""
        return str(self._socket.getsockname()[0])

    def say(self, words: Mapping[str, Any]) -> None:
        """Something that JSON can say. Raises TalkError."""
        content = json.dumps(words).encode()
        if len(content) > LARGEST:
            raise TalkError(f"a message of {len(content):,} bytes is longer than {LARGEST:,}")
        with self._lock:
            mac = self._mac(self._mine, self._said, content)
            self._said += 1
            _send(self._socket, _LENGTH.pack(len(content)) + mac + content, SEND_SECONDS)

    def hear(self, seconds: float) -> dict[str, Any]:
        """The next message.

        Raises:
            TalkError: none came within so many seconds, the other end is gone, or what came was changed on the way.
        """
        end = time.monotonic() + seconds
        head = _receive(self._socket, _LENGTH.size + _MAC, end)
        length = _LENGTH.unpack_from(head)[0]
        if length > LARGEST:
            raise TalkError(f"a message of {length:,} bytes is longer than {LARGEST:,}")
        content = _receive(self._socket, length, end)
        if not hmac.compare_digest(head[_LENGTH.size :], self._mac(self._theirs, self._heard, content)):
            raise TalkError("a message was changed on its way")
        self._heard += 1
        words: dict[str, Any] = json.loads(content)
        return words

    def close(self) -> None:
        """Leave. The other end hears that at once, also where a child of this process has the socket still."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _mac(self, direction: bytes, number: int, content: bytes) -> bytes:
        return hmac.digest(self._key, direction + struct.pack(">Q", number) + content, "sha256")


def ask_in(host: str, port: int, run_id: str, token: str) -> Talk:
    """Join run `run_id` at `host`.

    Raises:
        Refused: the token is wrong, or was used.
        TalkError: nobody is there who leads a run.
    """
    end = time.monotonic() + HANDSHAKE_SECONDS
    try:
        sock = socket.create_connection((host, port), timeout=HANDSHAKE_SECONDS)
    except UnicodeError:  # a..b
        raise TalkError(f"{host} is no name of a machine") from None
    except OSError as error:
        raise TalkError(f"nothing answers at {host}:{port} ({error.strerror or error})") from error
    sock.settimeout(TURN_SECONDS)
    try:
        hello = _receive(sock, len(_GREETING) + 32, end)
        if hello[: len(_GREETING)] != _GREETING:
            raise TalkError(f"what answers at {host}:{port} leads no run of this Thaw")
        theirs, mine = hello[len(_GREETING) :], secrets.token_bytes(32)
        secret, both = token.encode(errors="replace"), _told(run_id) + theirs + mine
        _send(sock, mine + hmac.digest(secret, b"join" + both, "sha256"), HANDSHAKE_SECONDS)
        answer = _receive(sock, 1 + _MAC, end)
        if answer[:1] != _WELCOME:
            raise Refused("was used already: it is good for one machine" if answer[:1] == _USED else "is not one of this run")
        if not hmac.compare_digest(answer[1:], hmac.digest(secret, b"lead" + both, "sha256")):
            raise TalkError(f"what answers at {host}:{port} does not know the token, and so is not the run")
        return Talk(sock, hmac.digest(secret, b"key" + both, "sha256"), leads=False)
    except BaseException:
        sock.close()
        raise


def let_in(sock: socket.socket, run_id: str, tokens: Iterable[str], used: Iterable[str]) -> tuple[Talk, str]:
    """Let whoever asks at `sock` in that knows one of the `tokens`; which one it was. `used`: those that are told to be used up.

    Raises:
        TalkError: whoever asks knows none. The socket is closed then.
    """
    end = time.monotonic() + HANDSHAKE_SECONDS
    mine = secrets.token_bytes(32)
    sock.settimeout(TURN_SECONDS)
    try:
        _send(sock, _GREETING + mine, HANDSHAKE_SECONDS)
        given = _receive(sock, 32 + _MAC, end)
        both, mac = _told(run_id) + mine + given[:32], given[32:]

        def known(among: Iterable[str]) -> str:
            return next((each for each in among if hmac.compare_digest(mac, hmac.digest(each.encode(), b"join" + both, "sha256"))), "")

        token = known(tokens)
        if not token:
            was_used = known(used)
            _send(sock, (_USED if was_used else _WRONG) + bytes(_MAC), HANDSHAKE_SECONDS)
            raise Refused("a token was used twice" if was_used else "a wrong token")
        secret = token.encode()
        _send(sock, _WELCOME + hmac.digest(secret, b"lead" + both, "sha256"), HANDSHAKE_SECONDS)
        return Talk(sock, hmac.digest(secret, b"key" + both, "sha256"), leads=True), token
    except BaseException:
        sock.close()
        raise


def _told(run_id: str) -> bytes:
    return hashlib.sha256(run_id.encode()).digest()


def _send(sock: socket.socket, content: bytes, seconds: float) -> None:
    end, view = time.monotonic() + seconds, memoryview(content)
    while view:
        try:
            view = view[sock.send(view) :]
        except OSError as error:
            if not isinstance(error, TimeoutError) or time.monotonic() > end:
                raise TalkError("the other machine takes no messages any more") from error


def _receive(sock: socket.socket, count: int, end: float) -> bytes:
    """Exactly so many bytes, before `end` (monotonic seconds)."""
    found = bytearray()
    while len(found) < count:
        try:
            piece = sock.recv(min(count - len(found), 1 << 16))
        except TimeoutError as error:
            if time.monotonic() > end:
                raise TalkError("the other machine says nothing") from error
            continue
        except OSError as error:
            raise TalkError("the connection to the other machine has ended") from error
        if not piece:
            raise TalkError("the connection to the other machine has ended")
        if time.monotonic() > end + TURN_SECONDS:  # byte by byte, it would take for ever
            raise TalkError("the other machine is too slow")
        found += piece
    return bytes(found)
