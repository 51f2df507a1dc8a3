"""How this process's answers leave: at once."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

_OPEN_FILES = Path("/dev/fd")
"""Where Linux and macOS list a process's open files by number."""


def send_at_once() -> int:
    """Have every connection that this process will accept send its answers without delay. Returns how many listening sockets there are.

    Otherwise the second part of an answer waits until the browser has confirmed the first, which it does 40 ms later (Nagle's algorithm, RFC
    896, and delayed acknowledgements, RFC 1122). asyncio prevents that only for sockets that were made with TCP's number as protocol; Streamlit
    1.67 makes its own without. An accepted connection takes the option over from the socket that listens.
    """
    found = 0
    names = [path.name for path in _OPEN_FILES.iterdir()] if _OPEN_FILES.is_dir() else []
    for name in names:
        with suppress(OSError):  # closed meanwhile: it was the list's own
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    found += 1
    return found
