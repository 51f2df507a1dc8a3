"""Another machine's end of a run that several machines share: it asks to be let in, begins its ranks, and ends with the run.

It keeps a log of each of its ranks (`logs/joined-RUN-N` of its home, N being 2 on the second machine) and what frozen layers computed, nothing
else: the run is the first machine's.
"""

from __future__ import annotations

import platform
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config import ConfigError, RunConfig
from core.machine import devices
from core.machine.children import can_fork
from core.machine.home import Home
from core.ranks import likeness, signs
from core.ranks.signs import Sign
from core.ranks.talk import Talk, TalkError
from core.records.events import RunStatus
from core.records.forks import Fork
from core.worker import together
from core.worker.assembly import check
from core.worker.meeting import ALIVE_SECONDS, ANSWER_SECONDS, interface_of
from core.worker.rank import Share

Say = Callable[[str], None]

_WELL = (RunStatus.FINISHED, RunStatus.STOPPED, RunStatus.INTERRUPTED)
"""How a run ends that nothing went wrong with; else the machine that leads says what did."""


def join(home: Home, talk: Talk, run_id: str, host: str, changes: Mapping[str, str], say: Say, node_rank: int | None = None) -> str:
    """Share run `run_id`, which the machine at the other end of `talk` leads, until it is over.

    Args:
        changes: where this machine has the pictures and weights, if elsewhere: fields of the config.
        say: told in words what happens.
        node_rank: which machine of the run this one is to be, from 1; None: any.

    Returns:
        How the run ended; empty where it ended well.

    Raises:
        ConfigError: this machine was not let in, or the run never began.
        OSError: its ranks could not be begun.
    """
    try:
        leader = _Leader(home, talk, run_id, changes, node_rank)
        say(f"joined {run_id} of {leader.name}")
        go = leader.wait(say)
    except (TalkError, LookupError, TypeError) as error:
        why = error if isinstance(error, TalkError) else "it does not speak as this Thaw does; bring both to one commit"
        talk.close()
        raise ConfigError("run", f"{run_id} could not be joined: {why}; see its page on the machine that leads, and try again") from None
    except BaseException:
        talk.close()
        raise
    folder = home.logs / f"joined-{run_id}-{go['machine'] + 1}"  # several machines of a run may have one home, on a network
    shutil.rmtree(folder, ignore_errors=True)  # it may have joined the run before
    share = Share(
        home=str(home.path), run_id=run_id, folder=str(folder), host=host, port=go["port"], places=leader.places, first=go["first"],
        ranks=go["ranks"], machines=go["machines"], machine=go["machine"], interface=interface_of(talk.own_address),
        config=leader.config.to_json(), fork=leader.fork,
    )  # fmt: skip
    say(f"machine {go['machine'] + 1} of {go['machines']}, with {_ranks(share)} of {go['ranks']}; their logs are in {folder}")
    watcher = together.Watcher(folder, share.ranks, leader.config, share.own, leader)
    try:
        with watcher.hears_signals():
            problem = _have_done(share, watcher, leader, say)
        if not problem:
            leader.over_here(signs.read(folder))
    finally:
        leader.close()
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return problem or ("" if leader.ended in _WELL else leader.ended)


def _have_done(share: Share, watcher: together.Watcher, leader: _Leader, say: Say) -> str:
    """This machine's share, again after a failure as often as the first one says. What went wrong, in words; empty: nothing did."""
    while True:
        signs.make(Path(share.folder), share.ranks, share.attempt)
        problem = together.have_done(share, watcher, restarts=0, forks=can_fork())
        if not problem or watcher.asked() or not (go := leader.again()):
            return problem
        say(f"begins again ({go['attempt']} of at most {leader.config.restarts}): {problem.splitlines()[0]}")
        share, watcher = replace(share, port=go["port"], attempt=go["attempt"]), watcher.again()


def _ranks(share: Share) -> str:
    own = share.own
    return f"rank {own.start}" if len(own) == 1 else f"ranks {own.start} to {own.stop - 1}"


class _Leader:
    """The machine that leads, as this one hears it.

    Raises:
        ConfigError: this machine was not let in.
        TalkError: the other one is gone.
    """

    def __init__(self, home: Home, talk: Talk, run_id: str, changes: Mapping[str, str], node_rank: int | None) -> None:
        self._talk = talk
        offer = talk.hear(ANSWER_SECONDS)
        self.name = str(offer["leader"])[:100]
        self.config, problem, given = RunConfig(), "", ""
        self.places: tuple[str, ...] = ("cpu",)
        try:
            self.config = RunConfig.from_json(offer["config"])
            given = likeness.told(self.config)
            self.config = check(self.config.replace(**changes), home)
            self.places = devices.places(self.config)
        except ConfigError as error:
            problem = str(error) if given else ""  # settings that cannot be read here are of other code, which is compared first
        talk.say({"name": platform.node(), "like": likeness.mine(given, self.places), "problem": problem, "node_rank": node_rank})
        answer = talk.hear(ANSWER_SECONDS)
        if refused := answer.get("refused"):
            raise ConfigError("run", f"{run_id} cannot be joined: {refused}")
        self.fork = Fork(**{**offer["fork"], "changed": ()}) if offer["fork"] else None
        self.ended = ""
        """How the run ended, in words; empty: it goes on."""
        self._lost = ""
        self._waiting = ""
        self._go: dict[str, int] = {}
        self._again = 0
        self._last = 0.0
        self._silence = self.config.silence_seconds
        self._over = threading.Event()
        self._hears(answer)
        self._thread = threading.Thread(target=self._hear, name="hears the machine that leads", daemon=True)
        self._thread.start()

    def wait(self, say: Say) -> Mapping[str, int]:
        """Until all machines are here: what this one is to do. Raises TalkError, and ConfigError where the run ended before."""
        said = ""
        while not self._go:
            if self._over.is_set():
                raise ConfigError("run", f"it ended before it began: {self.ended or self._lost}")
            self._say({"alive": True})
            if self._waiting not in ("", said):
                said = self._waiting
                say(said)
            time.sleep(0.05)
        return self._go

    def again(self) -> Mapping[str, int]:
        """This machine's ranks have ended with a failure: what it is to do once all begin again; empty: the run is over for it."""
        attempt, ready = self._go["attempt"], False
        while attempt < self.config.restarts and not self._over.is_set():
            if self._again > attempt and not ready:
                ready, self._go = True, {}
                with suppress(TalkError):
                    self._talk.say({"ready": self._again})
            if ready and self._go:
                return self._go
            self._say({"alive": True})
            time.sleep(0.05)
        return {}

    def look(self, rows: Sequence[Sign]) -> str:
        """Say how this machine's ranks are. Why the run is over for them, in words; empty: it goes on, or ends well."""
        self._say(self._signs(rows))
        if self._again > self._go["attempt"]:
            return "The group broke on another machine."
        return self._lost or ("" if self.ended in ("", *_WELL) else f"The run has ended: {self.ended}")

    def tell(self, problem: str) -> None:
        """Say what is wrong with a rank of this machine."""
        with suppress(TalkError):
            self._talk.say({"gone": problem})

    def over_here(self, rows: Sequence[Sign]) -> None:
        """This machine's ranks have ended well: wait for the end of the run, which the first one has things to save at."""
        with suppress(TalkError):
            self._talk.say({**self._signs(rows), "over": True})
        while not self._over.wait(ALIVE_SECONDS / 5):
            pass
        if self._lost and not self.ended:
            self.ended = self._lost

    def close(self) -> None:
        """Leave."""
        self._talk.close()

    def _signs(self, rows: Sequence[Sign]) -> dict[str, Any]:
        own = rows[self._go["first"] :][: len(self.places)]
        return {"rows": [signs.numbers(row) for row in own], "now": time.time()}

    def _say(self, words: Mapping[str, Any]) -> None:
        if time.monotonic() - self._last < ALIVE_SECONDS:
            return
        self._last = time.monotonic()
        with suppress(TalkError):  # whoever hears notices that it is gone
            self._talk.say(words)

    def _hears(self, words: Mapping[str, Any]) -> None:
        self._waiting = str(words.get("waiting") or self._waiting)
        if go := words.get("go"):
            self._go = {name: int(go[name]) for name in ("port", "first", "ranks", "machine", "machines", "attempt")}
        self._again = int(words.get("again") or self._again)
        self.ended = str(words.get("over") or "")

    def _hear(self) -> None:
        try:
            while not self.ended:
                self._hears(self._talk.hear(self._silence))
        except (TalkError, ValueError, TypeError, LookupError) as error:
            self._lost = f"The machine that leads the run ({self.name}) is gone: {error}."
        self._over.set()
