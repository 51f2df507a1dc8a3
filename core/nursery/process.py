"""The nursery as a process: `python -m core.nursery.process SOCKET`.

It imports what workers and helpers import, and then only waits. It computes nothing with torch, opens no database and no GPU, and starts
no thread: a forked process has one thread, and would find locked for ever what another one had locked. So torch's pools of threads
(OpenMP's, autograd's) begin in the child, as they do in a fresh interpreter. OpenBLAS starts its threads when NumPy or SciPy is imported,
and takes care of a fork itself (`pthread_atfork`: driver/others/memory.c).

A request is one packet: JSON, with the three standard streams as descriptors. The answer is the pid with the pidfd, and later, on the
same connection, the exit status.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import selectors
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.machine.children import CANNOT, LARGEST_PACKET, can_fork, likeness, polls
from core.machine.jobs import JOBS
from core.machine.leaving import leave
from core.machine.memory import let_go_of_files

WANTED_LATER = (
    "numpy.ma",
    "numpy.random",
    "torch.utils.serialization.config",
    "torchvision.models",
    "torchvision.transforms.v2",
    "core.explaining.explain",
    "core.explaining.source",
    "core.explaining.normalising",
    "core.explaining.separation",
    "core.measuring.bench",
    "core.model.anatomy",
    "core.machine.devices",
)
"""What jobs import with their first question, or NumPy where it is first asked what is in an array."""


@dataclass
class _Born(BaseException):
    """Raised in a child, so that it leaves all that the nursery was doing, and does its own job as a program of its own would."""

    module: str
    arguments: list[str]


class Nursery:
    """Listens, forks, and tells of its children's ends.

    Args:
        address: where the socket is made, once everything is imported: whoever finds it there need not wait.
    """

    def __init__(self, address: Path) -> None:
        self._address = address
        self._like = likeness(os.environ)
        before = set(os.environ)
        for name in (*JOBS, *WANTED_LATER):
            importlib.import_module(name)
        _look_up()
        self._set_at_import = {name: value for name, value in os.environ.items() if name not in before}
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, tuple[int, socket.socket]] = {}  # handle to pid, and whom to tell
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        new = address.with_name(address.name + ".new")
        self._door.bind(str(new))
        self._door.listen(64)
        # What is there now is shared with the children: their collectors shall not write to it.
        gc.collect()
        gc.freeze()
        let_go_of_files()
        new.rename(address)

    def serve(self) -> None:
        """Fork on request until standard input ends, that is, with the server."""
        self._selector.register(self._door, selectors.EVENT_READ)
        self._selector.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fd == 0:
                    return
                if key.fileobj is self._door:
                    self._let_in()
                elif key.fd in self._children:
                    self._bury(key.fd)
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._answer(key.fileobj)

    def close(self) -> None:
        """Take the socket away, and the folder that was made for it."""
        self._address.unlink(missing_ok=True)
        with suppress(OSError):  # something else is in it
            self._address.parent.rmdir()

    def _let_in(self) -> None:
        connection, _ = self._door.accept()
        # Its own person alone, whatever has become of the folder's rights. unix(7), SO_PEERCRED: pid, uid, gid.
        _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        if uid == os.getuid():
            self._selector.register(connection, selectors.EVENT_READ)
        else:
            connection.close()

    def _answer(self, connection: socket.socket) -> None:
        """Do what a packet asks for, unless nobody waits for it any more."""
        self._selector.unregister(connection)
        streams: list[int] = []
        try:
            packet, streams, _, _ = socket.recv_fds(connection, LARGEST_PACKET, 3)
            if packet and not polls(connection.fileno(), select.POLLHUP):
                self._fork(connection, json.loads(packet), streams)
            else:
                connection.close()
        except (OSError, ValueError, KeyError) as error:
            sys.stderr.write(f"not forked: {type(error).__name__}: {error}\n")
            with suppress(OSError):
                connection.send(b"refused")
            connection.close()
        finally:
            for descriptor in streams:
                os.close(descriptor)

    def _fork(self, connection: socket.socket, request: dict[str, Any], streams: list[int]) -> None:
        if request["module"] not in JOBS:
            raise ValueError(f"no job is called {request['module']!r}")
        if request["like"] != self._like:
            raise ValueError("other files, or another environment, are wanted than were imported here")
        if len(streams) != 3:
            raise ValueError(f"three streams are wanted, not {len(streams)}")
        pid = os.fork()
        if pid == 0:
            self._leave(connection)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            os.environ.clear()
            os.environ.update({**self._set_at_import, **request["environment"]})
            os.chdir(request["directory"])
            raise _Born(request["module"], request["arguments"])
        handle = os.pidfd_open(pid)
        self._children[handle] = (pid, connection)
        self._selector.register(handle, selectors.EVENT_READ)
        with suppress(OSError):  # whoever asked has gone meanwhile; the child finds that out for itself
            socket.send_fds(connection, [str(pid).encode()], [handle])

    def _bury(self, handle: int) -> None:
        pid, connection = self._children.pop(handle)
        self._selector.unregister(handle)
        os.close(handle)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(OSError):  # nobody wants to know
            connection.send(str(status).encode())
        connection.close()

    def _leave(self, connection: socket.socket) -> None:
        """In a child: go into a session of its own, and let go of all that is the nursery's."""
        os.setsid()
        self._selector.close()
        self._door.close()
        connection.close()
        for handle, (_, other) in self._children.items():
            os.close(handle)
            other.close()


def _look_up() -> None:
    """Have torch list its own functions, as the first trace of a model does: 50 ms that each child would spend anew. Computes nothing."""
    if "torch" in sys.modules:
        sys.modules["torch"].overrides.get_overridable_functions()


def _be(born: _Born) -> int | None:
    """In a child: do what `python -m MODULE ARGUMENTS` would do."""
    import numpy as np

    module = sys.modules[born.module]
    sys.argv = [str(module.__file__), *born.arguments]
    with suppress(OSError):  # what `top` and `ps -o comm` show; 15 characters at most
        Path("/proc/self/comm").write_text(f"thaw-{born.module.split('.')[1]}"[:15])
    np.random.seed()  # all children would draw the same otherwise; Python's own generator is seeded anew at a fork
    status: int | None = module.main()
    return status


def main() -> int | None:
    """`python -m core.nursery.process SOCKET`: exit status 3 where this system is none to fork on."""
    if not can_fork():
        return CANNOT
    nursery = Nursery(Path(sys.argv[1]))
    try:
        nursery.serve()
    except _Born as born:
        child = born
    else:
        nursery.close()
        return 0
    return leave(_be(child))


if __name__ == "__main__":
    sys.exit(main())
