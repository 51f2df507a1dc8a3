"""Answers leave at once."""

from __future__ import annotations

import socket

from core.machine.sockets import send_at_once


def delays(connection: socket.socket) -> bool:
    return not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def accepted(listening: socket.socket) -> socket.socket:
    with socket.create_connection(listening.getsockname()):
        return listening.accept()[0]


def test_connections_that_are_accepted_later_send_small_answers_at_once() -> None:
    with socket.socket(socket.AF_INET) as listening, socket.socket(socket.AF_UNIX) as other:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with accepted(listening) as before:
            assert delays(before), "a socket that was made like Streamlit's, or the rest shows nothing"
        assert send_at_once() >= 1
        with accepted(listening) as after:
            assert not delays(after)
        assert other.fileno() > 0
        assert listening.fileno() > 0, "the process keeps its sockets"
