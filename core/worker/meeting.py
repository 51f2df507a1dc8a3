"""The first machine's end of a run that several machines share: it waits for the others, lets them in, and hears of them while the run goes on.

Who comes with a token of the run (`core.ranks.talk`) is told the settings, says what it has, and is let in only if that is the same as here
(`core.ranks.likeness`). The connection stays: every half second each end says that it lives, and the other machine how its ranks are. One that
says nothing for `silence_seconds`, or whose connection ends before the run does, is gone, and with it the run, in words.

The meeting listens on the one address that `rendezvous` names; torch's own store (and gloo's or NCCL's connections, which torch opens) know no
token: machines that share a run belong into a network of people that trust each other.
"""

from __future__ import annotations

import errno
import math
import os
import platform
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
from torch._C._distributed_c10d import TCPStore

from core.config import ConfigError, RunConfig
from core.ranks import joining, likeness, signs
from core.ranks.joining import Machines
from core.ranks.signs import Sign
from core.ranks.talk import Refused, Talk, TalkError, let_in, new_token
from core.records.forks import Fork
from core.store.job_files import in_a_job

ALIVE_SECONDS = 0.5
"""How often each machine says that it lives."""

ANSWER_SECONDS = 180.0
"""How long another machine may take to import torch and to say what it has."""

AGAIN_SECONDS = 60.0
"""How long other machines may take to end what is left of a group that broke, before all begin again."""

OVER_SECONDS = 5.0
"""How long the end of other machines is waited for once the run is over."""

MOST_ASKING = 16
"""Connections that are being looked at; more are closed at once."""

ALIVE = signs.COLUMNS.index("alive")

LONGEST_WORD = 20_000
"""Characters that are kept of what another machine says of its trouble: the end of a log."""


OF_THE_NODE = "SLURM_LAUNCH_NODE_IPADDR"
"""In the environment of a job's step: the address of the node that began it, which is the first one."""


def own_address() -> str:
    """The address of this machine by which others reach it. In a job the one that Slurm knows; else that of the way to the rest of the world.

    Nothing is sent.
    """
    known = os.environ.get(OF_THE_NODE, "") if in_a_job() else ""
    if known and interface_of(known):
        return known
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def interface_of(address: str) -> str:
    """The network interface that has an address of this machine; empty where none is known by it."""
    return next((name for name, all_of_it in psutil.net_if_addrs().items() if any(each.address == address for each in all_of_it)), "")


class Guest(threading.Thread):
    """Another machine that was let in: what it says is heard in a thread.

    Args:
        wanted: the number that the machine asked for, from 1; 0: any. The one that leads is number 0.
    """

    def __init__(self, talk: Talk, name: str, silence: float, wanted: int = 0) -> None:
        super().__init__(name=f"hears {name}", daemon=True)
        self.talk = talk
        self.machine = name
        self.wanted = wanted
        self.number = 0
        """Of the machine, once all are here."""
        self.rows: list[list[float]] = []
        self.when = time.time()
        self.problem = ""
        self.over = False
        self.ready = 0
        """The attempt for which its ranks have made way."""
        self._silence = silence

    def run(self) -> None:
        """Hear until all is said."""
        try:
            while not self.over:
                self._hears(self.talk.hear(self._silence))
        except (TalkError, ValueError, TypeError, LookupError) as error:
            self.problem = self.problem or f"is gone: {error}"

    def _hears(self, words: dict[str, Any]) -> None:
        if rows := words.get("rows"):
            now = float(words["now"])
            self.rows = [[float(each) for each in row] for row in rows]
            for row in self.rows:
                row[ALIVE] = time.time() - min(max(now - row[ALIVE], 0.0), 1e9)  # by this machine's clock
        if gone := words.get("gone"):
            self.problem = str(gone)[:LONGEST_WORD]
        self.ready = int(words.get("ready") or self.ready)
        self.over = bool(words.get("over"))


class Meeting:
    """See above.

    Args:
        folder: of the run.
        places: the devices of this machine's ranks: each other machine brings as many.

    Raises:
        ConfigError: on `rendezvous`, nothing can listen there.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, run_id: str, config: RunConfig, places: Sequence[str], fork: Fork | None) -> None:
        self._folder = folder
        self._config = config
        self._fork = fork
        self._each = len(places)
        self._mine = likeness.mine(likeness.told(config), places)
        self._tokens = [new_token() for _ in range(config.nodes - 1)]
        self._used: list[str] = []
        self._refused = ""
        self.turned_away = ""
        """Why a machine that had a token is not here, if one came; empty: none came and is not here."""
        self._guests: list[Guest] = []
        self._lock = threading.Lock()
        self._asking = threading.BoundedSemaphore(MOST_ASKING)
        self._over = threading.Event()
        self._last = 0.0
        self.trouble = ""
        """What was wrong with another machine, or a rank of it, in the attempt before this one; empty: nothing."""
        self.host, self._listening = _listen(config.rendezvous or f"{own_address()}:0")
        self._state = Machines(run_id, f"{self.host}:{self._listening.getsockname()[1]}", each=self._each, job=in_a_job())
        self._untold = True
        """Whether the folder does not have yet what a person is told."""
        self._tell_person()
        if self._untold:
            self._listening.close()
            raise OSError(errno.EIO, f"{folder} cannot be written, which says how other machines join")
        threading.Thread(target=self._let_in, name="lets machines in", daemon=True).start()

    @property
    def names(self) -> tuple[str, ...]:
        """What the machines are called, this one first."""
        return (platform.node(), *(guest.machine for guest in self._guests))

    @property
    def waits(self) -> str:
        """Whom it waits for, in words; empty: all are here."""
        with self._lock:
            return replace(self._state, missing=self._missing).waits

    @property
    def _missing(self) -> int:
        return self._config.nodes - 1 - len(self._guests)

    def greet(self) -> None:
        """Say that this machine lives, and take notice of who has left. For whoever waits: call it often."""
        with self._lock:
            for guest in [each for each in self._guests if each.problem]:
                self._guests.remove(guest)
                guest.talk.close()
                self._tokens.append(new_token())  # the other one was used
                self._refused = self.turned_away = f"{guest.machine} has left again: {guest.problem}"
                self._tell_person()
            if self._untold:
                self._tell_person()
        self._say({"waiting": self.waits})

    def begin(self, attempt: int = 0) -> TCPStore:
        """All are here: open torch's store for them, and send them off, for the first time or again.

        Raises:
            OSError: it cannot listen.
        """
        self._number()
        self._close_door()
        store = store_at(self.host)
        ranks = self._config.nodes * self._each
        for guest in self._guests:
            number = guest.number
            go = {"port": store.port, "first": number * self._each, "ranks": ranks, "machine": number, "machines": self._config.nodes}
            go["attempt"] = attempt
            with suppress(TalkError):  # it is gone: the first look says so
                guest.talk.say({"go": go})
        return store

    def _number(self) -> None:
        """Number the machines: those that asked for a number have it, the others what is left, in the order in which they came."""
        with self._lock:
            wanted = {guest.wanted for guest in self._guests}
            left = iter([number for number in range(1, self._config.nodes) if number not in wanted])
            for guest in self._guests:
                guest.number = guest.wanted or next(left)
            self._guests.sort(key=lambda guest: guest.number)

    def again(self, attempt: int) -> bool:
        """The group broke: have all machines make way for `attempt`. False: one of them has left, or does not answer."""
        for guest in self._guests:
            with suppress(TalkError):
                guest.talk.say({"again": attempt})
        end = time.monotonic() + AGAIN_SECONDS
        while any(guest.ready < attempt for guest in self._guests):
            if time.monotonic() > end or not all(guest.is_alive() for guest in self._guests):
                return False
            self._say({"alive": True})
            time.sleep(0.05)
        self.trouble = self._trouble()
        for guest in self._guests:  # what it said of the attempt before came before this
            guest.problem, guest.rows = "", []
        return True

    def look(self, rows: Sequence[Sign]) -> str:
        """Pass on how the others' ranks are, and say that this machine lives. What is wrong with one of them, in words; empty: nothing is."""
        self._write_signs()
        self._say({"alive": True})
        return self._trouble()

    def _trouble(self) -> str:
        return next((self._told(guest) for guest in self._guests if guest.problem and not guest.over), "")

    def tell(self, problem: str) -> None:
        """See `together.Elsewhere`: the others are told at the end."""

    def close(self, how: str) -> None:
        """The run is over. `how` it ended, in words."""
        self._close_door()
        for guest in self._guests:
            with suppress(TalkError):
                guest.talk.say({"over": how})
        end = time.monotonic() + OVER_SECONDS
        for guest in self._guests:
            guest.join(max(0.0, end - time.monotonic()))
            guest.talk.close()
        self._write_signs()

    def _write_signs(self) -> None:
        for guest in self._guests:
            good = len(guest.rows) == self._each and all(len(row) == len(signs.COLUMNS) and all(map(math.isfinite, row)) for row in guest.rows)
            if good and guest.number:
                with suppress(OSError):
                    signs.put(self._folder, guest.number * self._each, guest.rows)

    def _told(self, guest: Guest) -> str:
        if guest.problem.startswith("Rank "):
            return guest.problem
        first = guest.number * self._each
        which = f"rank {first}" if self._each == 1 else f"ranks {first} to {first + self._each - 1}"
        return f"Machine {guest.number + 1} of {self._config.nodes} ({guest.machine}, {which}) {guest.problem}."

    def _say(self, words: dict[str, Any]) -> None:
        if time.monotonic() - self._last < ALIVE_SECONDS:
            return
        self._last = time.monotonic()
        for guest in self._guests:
            try:
                guest.talk.say(words)
            except TalkError as error:
                guest.problem = guest.problem or f"is gone: {error}"

    # The door

    def _close_door(self) -> None:
        self._over.set()
        self._listening.close()
        with self._lock, suppress(OSError):  # nobody who is being refused just now writes it after this
            joining.keep(self._folder, replace(self._state, tokens=(), names=self.names, missing=0, refused=""))

    def _tell_person(self) -> None:
        if self._over.is_set():
            return
        self._state = replace(self._state, tokens=tuple(self._tokens), names=self.names, missing=self._missing, refused=self._refused)
        self._untold = True
        with suppress(OSError):  # a disk that is full turns no machine away: written at one of the next looks
            joining.keep(self._folder, self._state)
            self._untold = False

    def _let_in(self) -> None:
        while not self._over.is_set():
            try:
                sock, (address, *_) = self._listening.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if not self._asking.acquire(blocking=False):
                sock.close()
                continue
            threading.Thread(target=self._asked, args=(sock, str(address)), name="asks in", daemon=True).start()

    def _asked(self, sock: socket.socket, address: str) -> None:
        try:
            with self._lock:
                tokens, used = tuple(self._tokens), tuple(self._used)
            talk, token = let_in(sock, self._state.run, tokens, used)
            with self._lock:
                if token not in self._tokens:  # another one was quicker
                    talk.close()
                    return
                self._tokens.remove(token)
                self._used.append(token)
            guest, why = None, ""
            try:
                name, wanted, why = self._compared(talk)
                guest = None if why else Guest(talk, name, self._config.silence_seconds, wanted)
            finally:
                why = self._decided(token, guest, why)
            talk.say({"refused": why} if why else {"welcome": True})
            if why:
                talk.close()
        except (TalkError, ValueError, TypeError, LookupError, AttributeError) as error:
            if isinstance(error, Refused):
                with self._lock:
                    self._refused = f"Somebody at {address} was not let in: {error}"
                    self._tell_person()
        finally:
            self._asking.release()

    def _compared(self, talk: Talk) -> tuple[str, int, str]:
        """What the machine that has come is called, the number that it asks for (0: any), and what is another there, in words; empty: nothing is."""
        talk.say({"config": self._config.to_json(), "fork": asdict(self._fork) if self._fork else None, "leader": platform.node()})
        answer = talk.hear(ANSWER_SECONDS)
        name, wanted = str(answer["name"])[:100], int(answer.get("node_rank") or 0)
        problem = str(answer["problem"])[:1000]
        return name, wanted, f"{name} cannot do it: {problem}" if problem else likeness.difference(self._mine, answer["like"], name)

    def _decided(self, token: str, guest: Guest | None, why: str) -> str:
        """Let a machine in, or not: why not, in words."""
        with self._lock:
            why = why or (self._number_problem(guest) if guest is not None else "")
            if guest is None or why:  # it may try again
                self._used.remove(token)
                self._tokens.append(token)
            else:
                self._guests.append(guest)
                guest.start()
            self._refused = f"A machine was not let in: {why}" if why else ""
            self.turned_away = self._refused or self.turned_away
            self._tell_person()
        return why

    def _number_problem(self, guest: Guest) -> str:
        """Why a machine cannot have the number that it asks for, in words; empty: it can."""
        if not 0 <= guest.wanted < self._config.nodes:
            return f"{guest.machine} asks for node rank {guest.wanted}, and they go from 1 to {self._config.nodes - 1} (0 leads)"
        other = next((each for each in self._guests if guest.wanted and each.wanted == guest.wanted), None)
        return f"{guest.machine} asks for node rank {guest.wanted}, which {other.machine} has; give it another, or none" if other else ""


def store_at(host: str) -> TCPStore:
    """Torch's store, which listens on one address alone (its own sockets listen everywhere), on a free port. Raises OSError."""
    listening = socket.create_server((host, 0))
    port = int(listening.getsockname()[1])
    return TCPStore(host, port, is_master=True, wait_for_workers=False, multi_tenant=True, master_listen_fd=listening.detach())


def _listen(place: str) -> tuple[str, socket.socket]:
    """The address of `place` (host:port) and a socket that listens there. Raises ConfigError on `rendezvous`."""
    host, _, port = place.partition(":")
    try:
        address = str(socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
        listening = socket.create_server((address, int(port)))
        if address == "0.0.0.0":
            listening.close()
            raise OSError(errno.EADDRNOTAVAIL, "it stands for all of them")
    except (OSError, UnicodeError) as given:  # UnicodeError: a name that no machine can have, such as a..b
        error = given if isinstance(given, OSError) else OSError(errno.EADDRNOTAVAIL, "it is no name of a machine")
        if error.errno == errno.EADDRINUSE:
            why, remedy = "is in use by another program", "use another port, or leave it empty for a free one"
        elif error.errno == errno.EACCES:
            why, remedy = "cannot be had by this account", "use a port from 1024 on, or leave it empty for a free one"
        else:
            why = f"is no address of this machine ({error.strerror or error})"
            remedy = f"use one that others can reach, such as {own_address()}:{port if int(port) else 29500}, or leave it empty"
        raise ConfigError("rendezvous", f"{place!r} {why}; {remedy}") from None
    listening.settimeout(ALIVE_SECONDS)
    return address, listening
