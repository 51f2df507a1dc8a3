"""What the supervisor does with processes that ended, and with what they printed. The workers here are small programs in their place."""

from __future__ import annotations

import subprocess
from typing import Any

import psutil
import pytest

from core.config import RunConfig
from core.machine.home import Home
from core.store import RunStore
from core.worker.supervisor import Supervisor
from tests.support import wait_until


def test_workers_that_ended_are_gone_whether_they_had_a_run_or_waited_for_one(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = subprocess.Popen
    until = f"\nimport os, time\nwhile not os.path.exists({str(home.path / 'over')!r}): time.sleep(0.01)"

    def quick(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        waits = "--standby" in command
        return launched(
            [command[0], "-c", "import sys; print('ready', file=sys.stderr, flush=True)" + ("; sys.stdin.read()" if waits else "") + until], **options
        )

    monkeypatch.setattr(subprocess, "Popen", quick)
    supervisor = Supervisor(home, store)
    supervisor.keep_standby()
    wait_until(lambda: supervisor.standby_ready, what="standby")
    assert supervisor._standby is not None
    standby = supervisor._standby.process.pid
    first, second = (supervisor.start(RunConfig(threads=threads)) for threads in (1, 2))
    assert supervisor.start_now(second), "there is one place"
    pids = {store.run(first).pid, store.run(second).pid}
    assert pids == {standby, *(child.pid for child in supervisor._children)}
    (home.path / "over").touch()
    for pid in pids:
        assert pid is not None
        worker = psutil.Process(pid)
        wait_until(lambda worker=worker: worker.status() == psutil.STATUS_ZOMBIE, what="the end of the worker")  # type: ignore[misc]
    supervisor.reconcile()
    assert [pid for pid in pids if pid is not None and psutil.pid_exists(pid)] == []
    assert supervisor._children == []
    supervisor.close()


@pytest.mark.parametrize("lines", [3, 5000])
def test_of_a_long_log_the_end_is_kept(home: Home, store: RunStore, lines: int) -> None:
    log = home.run_folder("a") / "worker.log"
    log.parent.mkdir(parents=True)
    written = [f"line {number} of what was printed" for number in range(4000)]  # over 64,000 bytes
    log.write_text("\n".join(written))
    tail = Supervisor(home, store).log_tail("a", lines).splitlines()
    assert tail[1:] == written[-len(tail) + 1 :]
    assert tail[0] in written[-len(tail)]  # where it begins in the middle, a part of a line
    assert len(tail) == 3 if lines == 3 else 1500 < len(tail) < 4000
