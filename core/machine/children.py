"""How a server starts the processes that need torch: with a fresh interpreter each, or forked from a nursery that has imported torch already.

Importing torch, torchvision and this engine takes 3 to 4 s of a core and 400 MB of memory for each process that does it for itself. The
nursery (`core.nursery.process`) does it once; what it forks begins in a tenth of a second and shares its memory pages. `Interpreters` is
the way that works everywhere; `Nursery` takes it too where forking is not safe, not yet possible, or would not give the process asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from core.machine.home import child_environment
from core.machine.jobs import JOBS, Child, Starter

NURSERY = "core.nursery.process"

IMPORT_SECONDS = 60.0
"""A nursery that is still importing is waited for no longer than this, by those who would have to import for themselves otherwise."""

ANSWER_SECONDS = 5.0
"""A nursery that has not forked after this long is taken to be stuck, and replaced."""

UNKNOWN_STATUS = 255
"""The exit status of a process whose nursery died before it."""

SHARED = "THAW_NURSERY"
"""Names the socket of a nursery that several servers of one person share."""

LARGEST_PACKET = 1 << 17
"""Bytes of a request: the environment is most of it."""

CANNOT = 3
"""Exit status of a nursery that found itself unfit to fork: another try would find the same."""

_READ_BY_LIBRARIES = (
    "CUDA", "CUBLAS", "DNNL", "GOMP_", "HIP", "KMP_", "LD_", "MALLOC", "MKL_", "NUMEXPR", "NVIDIA", "OMP_", "ONEDNN", "OPENBLAS",
    "PYTHON", "PYTORCH", "TORCH", "TZ",
)  # fmt: skip
"""How the names of variables begin that Python and torch's libraries read when they are loaded, and never again."""

_SOURCE = Path(__file__).resolve().parents[1]


class Interpreters:
    """Starts a fresh interpreter for each process."""

    quick = False

    def start(self, module: str, arguments: Sequence[str], log: Path, talk: bool = False, patient: bool = False) -> Child:
        """See `Starter.start`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        # To a file: a pipe that nobody reads fills up and stops its writer.
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=child_environment(),
                stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talk else output,
                stderr=output,
                text=True,
                start_new_session=True,
            )

    def look_after(self) -> None:
        """See `Starter.look_after`: there is nothing to look after."""

    def close(self) -> None:
        """See `Starter.close`: there is nothing to close."""


class Nursery:
    """The server's end of a nursery. Thread-safe; the process begins with this object, and again when it has died or is stuck.

    A process is not forked, but given an interpreter, while the nursery still imports (unless `patient`), and whenever the nursery would
    give another process than that: after the source has changed, or in another environment of torch's libraries.

    Args:
        log: where the nursery's own messages go.
        shared: the socket of a nursery that somebody else looks after, in place of an own one.
    """

    def __init__(self, log: Path, shared: str = "") -> None:
        self._log = log
        self._interpreters = Interpreters()
        self._lock = threading.Lock()  # around the process of the nursery
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._begun_at = 0.0
        self._shared = Path(shared) if shared else None
        self._closed = False
        with self._lock:
            self._begin()

    @property
    def quick(self) -> bool:
        """See `Starter.quick`."""
        return True

    @property
    def ready(self) -> bool:
        """True once it has imported torch."""
        address = self.address
        return address is not None and address.exists() and (self._shared is not None or self.pid is not None)

    @property
    def pid(self) -> int | None:
        """The nursery's process, where it is this object's own and lives."""
        with self._lock:
            return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, module: str, arguments: Sequence[str], log: Path, talk: bool = False, patient: bool = False) -> Child:
        """See `Starter.start`."""
        if module not in JOBS:
            raise ValueError(f"a nursery does not run {module!r}, only {', '.join(JOBS)}")
        if self._closed:
            raise OSError("no process is started any more: the server is closing")
        if self._wait(IMPORT_SECONDS if patient else 0.0):
            log.parent.mkdir(parents=True, exist_ok=True)
            with suppress(_NotForked):
                return self._fork(module, arguments, log, talk)
        return self._interpreters.start(module, arguments, log, talk)

    def look_after(self) -> None:
        """See `Starter.look_after`."""
        self._wait(0.0)

    def close(self) -> None:
        """Send the nursery away. What it has forked goes on."""
        with self._lock:
            self._closed = True
            self._end()

    @property
    def address(self) -> Path | None:
        """Where its socket is or will be; None: there is no nursery."""
        return self._shared or (self._folder / "nursery" if self._folder is not None else None)

    def _wait(self, seconds: float) -> bool:
        """True if the nursery can fork. Waits for one that still imports for `seconds` at most; begins a new one where there is none."""
        end = time.monotonic() + seconds
        while not self.ready:
            with self._lock:
                if self._closed or not (self._shared.parent.exists() if self._shared is not None else self._begun()):
                    return False
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)
        return True

    def _begun(self) -> bool:
        """Begin another nursery if there is none that lives, or none that can be reached. False: there cannot be one here."""
        if self._process is not None and self._process.poll() is None and time.monotonic() - self._begun_at < IMPORT_SECONDS:
            return True
        if self._process is not None and self._process.returncode == CANNOT:
            return False
        self._end()
        self._begin()
        return self._process is not None

    def _fork(self, module: str, arguments: Sequence[str], log: Path, talk: bool) -> Child:
        address = self.address
        if address is None:
            raise _NotForked
        environment = child_environment()
        request = {"module": module, "arguments": list(arguments), "directory": str(Path.cwd()), "environment": environment}
        packet = json.dumps({**request, "like": likeness(environment)}).encode()
        with ExitStack() as on_failure, ExitStack() as always:
            ours: list[IO[str]] = []
            appended = always.enter_context(log.open("ab")).fileno()
            if talk:
                ends = [*os.pipe(), *os.pipe()]
                ours = [on_failure.enter_context(os.fdopen(ends[1], "w")), on_failure.enter_context(os.fdopen(ends[2]))]
                theirs = [always.enter_context(os.fdopen(end, mode)).fileno() for end, mode in ((ends[0], "rb"), (ends[3], "wb"))]
            else:
                theirs = [always.enter_context(Path(os.devnull).open("rb")).fileno(), appended]
            connection = on_failure.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            connection.settimeout(ANSWER_SECONDS)
            try:
                connection.connect(str(address))
                socket.send_fds(connection, [packet], [*theirs, appended])
                answer, handles, _, _ = socket.recv_fds(connection, LARGEST_PACKET, 1)
            except OSError as error:  # gone, or stuck
                self._replace(address)
                raise _NotForked from error
            if not handles:  # refused: it has become another than is wanted, or the machine cannot fork just now
                raise _NotForked
            on_failure.pop_all()
        return Forked(int(answer), handles[0], connection, *ours)

    def _replace(self, address: Path) -> None:
        """Begin another nursery in place of one that does not answer, unless somebody has done so meanwhile."""
        with self._lock:
            if self._shared is None and not self._closed and address == self.address:
                self._end()
                self._begin()

    def _begin(self) -> None:
        if self._shared is not None or self._closed:
            return
        self._begun_at = time.monotonic()
        self._folder = Path(tempfile.mkdtemp(prefix="thaw-"))  # of this person alone; a path in a home may be too long for a socket
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            # Its standard input is the leash: it reads the end of it when this process ends, however that comes.
            self._process = subprocess.Popen(
                [sys.executable, "-m", NURSERY, str(self._folder / "nursery")],
                env=child_environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self) -> None:
        process, self._process = self._process, None
        folder, self._folder = self._folder, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


class _NotForked(Exception):
    """The nursery did not fork: a fresh interpreter does it."""


class Forked:
    """A process that a nursery forked: `Child`. The nursery is its parent and tells how it ended.

    Args:
        handle: its pidfd, which means this process even after its pid has become another's.
        connection: where the nursery tells the exit status.
    """

    def __init__(self, pid: int, handle: int, connection: socket.socket, stdin: IO[str] | None = None, stdout: IO[str] | None = None) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin, self.stdout = stdin, stdout
        self._lock = threading.Lock()
        self._handle: int | None = handle
        self._connection: socket.socket | None = connection
        connection.setblocking(False)

    def poll(self) -> int | None:
        """See `Child.poll`."""
        with self._lock:
            if self.returncode is None:
                self._hear()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """See `Child.wait`."""
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while (status := self.poll()) is None:
            if end is not None and time.monotonic() >= end:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return status

    def kill(self) -> None:
        """See `Child.kill`."""
        with self._lock:
            if self.returncode is None and self._handle is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def _hear(self) -> None:
        if self._connection is not None:
            try:
                told = self._connection.recv(64)
            except BlockingIOError:
                return  # it lives
            except OSError:
                told = b""
            self._connection.close()
            self._connection = None
            if told:
                self._ended(int(told))
                return
        # The nursery is gone: its children are watched by this process alone.
        if self._handle is None or polls(self._handle, select.POLLIN):  # a pidfd can be read once its process has ended
            self._ended(UNKNOWN_STATUS)

    def _ended(self, status: int) -> None:
        self.returncode = status
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __del__(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._handle is not None:
            os.close(self._handle)


class NotAnswered(Exception):
    """A program could not be asked: the text says why."""


def answer_of(command: Sequence[str], seconds: float) -> tuple[int, str, str]:
    """The exit status of a program that answers a question and ends, and what it wrote to its output and to its errors.

    Raises:
        NotAnswered: it could not be started, or had not ended after so many seconds and was ended.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds, check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        raise NotAnswered(f"no answer within {seconds:g} s") from None
    except OSError as error:
        raise NotAnswered(error.strerror or str(error)) from None
    return done.returncode, done.stdout, done.stderr


def polls(descriptor: int, event: int) -> bool:
    """Whether `event` (`select.POLLIN`, ...) holds for a descriptor at this moment. poll(2), since select(2) takes none above 1,023."""
    waiting = select.poll()
    waiting.register(descriptor, event)
    return bool(waiting.poll(0))


def can_fork() -> bool:
    """Whether this system is one where a process that has imported torch may be forked: Linux, with pidfds (5.3 and newer)."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def starter(log: Path, environment: Mapping[str, str] = os.environ) -> Starter:
    """The one place where the way of starting processes is chosen: a nursery where it can be had, else an interpreter for each.

    Args:
        log: where a nursery's own messages go.
        environment: `THAW_NURSERY` names the socket of one that is shared; `off` asks for none.
    """
    shared = environment.get(SHARED, "")
    if not can_fork() or shared == "off":
        return Interpreters()
    return Nursery(log, shared)


def likeness(environment: Mapping[str, str]) -> str:
    """What must be the same here and in a nursery for its children to be what a fresh interpreter would be.

    The interpreter, the engine's files as they are now (names, sizes, times), and those variables of `environment` that libraries read when
    they are loaded.
    """
    told = hashlib.sha256(sys.executable.encode())
    for entry in sorted(_sources(str(_SOURCE)), key=lambda entry: entry.path):
        with suppress(FileNotFoundError):
            stat = entry.stat()
            told.update(f"{entry.path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    for name in sorted(environment):
        if name.startswith(_READ_BY_LIBRARIES):
            told.update(f"{name}={environment[name]}\n".encode())
    return told.hexdigest()


def _sources(folder: str) -> Iterator[os.DirEntry[str]]:
    """The Python files in a folder and in those below it. Looked through at each start: pathlib takes three times as long."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from _sources(entry.path)
            elif entry.name.endswith(".py"):
                yield entry
