"""Processes that a nursery forks: the same as those that an interpreter starts for itself, whatever becomes of the nursery."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from core.config import RunConfig
from core.helpers.helper import Helper, LabError
from core.machine import children
from core.machine.children import Forked, Nursery
from core.machine.home import Home, child_environment
from core.machine.jobs import Child
from core.store import RunStore
from core.store.checkpoint import weights_of
from core.worker.supervisor import Supervisor
from tests.support import nursery, wait_until

JOB = "tests.nursery.job"

pytestmark = pytest.mark.skipif(not children.can_fork(), reason="only Linux has nurseries")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nursery]:
    """A nursery that is there in a moment, with one job that imports no torch."""
    monkeypatch.setattr(children, "NURSERY", "tests.nursery.small")
    monkeypatch.setattr(children, "JOBS", (JOB,))
    made = Nursery(tmp_path / "nursery.log")
    ready(made)
    yield made
    made.close()


def ready(nursery: Nursery) -> None:
    wait_until(lambda: nursery.ready, what="the nursery")


def ended(child: Child) -> int:
    return child.wait(60)


def about(child: Child) -> dict[str, Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    told = json.loads(child.stdout.readline())
    child.stdout.close()
    assert isinstance(told, dict)
    return told


def test_a_forked_process_is_what_an_interpreter_would_be(small: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THAW_SAID", "after the nursery began")
    forked = about(small.start(JOB, ["--home", "a b"], tmp_path / "log", talk=True))
    again = about(small.start(JOB, ["--home", "a b"], tmp_path / "log", talk=True))
    assert forked["arguments"][1:] == ["--home", "a b"]
    asked = child_environment()
    assert {name: value for name, value in forked["environment"].items() if name in asked or name not in _SET_AT_IMPORT} == asked
    assert forked["environment"]["THAW_SAID"] == "after the nursery began"
    assert (forked["directory"], forked["session"], forked["threads"], forked["interrupt"]) == (str(Path.cwd()), True, 1, True)
    assert all(one != other for one, other in zip(forked["draws"], again["draws"], strict=True)), "all children draw the same numbers"
    # Its three streams, and what it has opened to look at them: nothing that is the nursery's.
    assert [name for name in forked["descriptors"] if not name.startswith(("pipe:", "/proc/", str(tmp_path / "log")))] == []


_SET_AT_IMPORT = ("CUBLAS_WORKSPACE_CONFIG", "OMP_WAIT_POLICY", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")


def test_it_is_talked_with_ends_with_its_status_and_its_errors_are_in_its_log(small: Nursery, tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = small.start(JOB, [], log, talk=True)
    assert isinstance(child, Forked)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    child.stdin.write("a word\n")
    child.stdin.flush()
    assert child.stdout.readline() == "heard a word\n"
    assert child.poll() is None
    child.stdin.close()
    assert ended(child) == 0
    assert ended(small.start(JOB, ["status", "7"], log)) == 7
    assert ended(small.start(JOB, ["raise"], log)) == 1
    assert "RuntimeError: as it was asked to" in log.read_text()
    assert ended(small.start(JOB, ["end"], log)) == 0
    assert log.read_text().endswith("thread done\nat exit\n"), "threads are waited for, and what was put off to the end is done"


def test_a_process_that_is_killed_says_so_and_leaves_nothing(small: Nursery, tmp_path: Path) -> None:
    child = small.start(JOB, ["sleep"], tmp_path / "log")
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.05)
    child.kill()
    assert ended(child) == -signal.SIGKILL
    child.kill()  # once more harms nobody
    assert small.pid is not None
    assert psutil.Process(small.pid).children() == [], "no zombie stays"


def test_children_outlive_a_nursery_that_was_killed_and_another_one_takes_its_place(small: Nursery, tmp_path: Path) -> None:
    child = small.start(JOB, ["sleep"], tmp_path / "log")
    first = small.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: small.pid is None, what="the end of the nursery")
    assert child.poll() is None
    child.kill()
    assert ended(child) == children.UNKNOWN_STATUS
    small.look_after()
    assert small.pid not in (None, first), "it need not be asked for a process"
    assert ended(small.start(JOB, ["status", "7"], tmp_path / "log", patient=True)) == 7


def test_whoever_cannot_wait_for_a_nursery_gets_an_interpreter(small: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[list[str]] = []

    def start(self: children.Interpreters, module: str, arguments: list[str], log: Path, talk: bool = False, patient: bool = False) -> Child:
        launched.append(arguments)
        return subprocess.Popen(["true"], text=True)

    monkeypatch.setattr(children.Interpreters, "start", start)
    monkeypatch.setattr(children, "ANSWER_SECONDS", 0.3)
    pid = small.pid
    assert pid is not None

    # It hangs: it is replaced, and forks nothing later for those who have given up.
    os.kill(pid, signal.SIGSTOP)
    small.start(JOB, ["hanging"], tmp_path / "log").wait()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    ready(small)

    # Its socket was removed: so it is as if it were not ready yet, until it should long have been.
    assert small.address is not None
    small.address.unlink()
    small.start(JOB, ["no socket"], tmp_path / "log").wait()
    assert small.pid is not None
    small._begun_at -= children.IMPORT_SECONDS
    small.look_after()
    ready(small)

    # The project was changed since, or torch's libraries would read something else.
    monkeypatch.setenv("OMP_DYNAMIC", "TRUE")
    small.start(JOB, ["other environment"], tmp_path / "log").wait()
    monkeypatch.delenv("OMP_DYNAMIC")
    found = children.likeness
    monkeypatch.setattr(children, "likeness", lambda environment: f"newer than {found(environment)}")
    small.start(JOB, ["other code"], tmp_path / "log").wait()
    assert "other files, or another environment" in (tmp_path / "nursery.log").read_text()
    monkeypatch.setattr(children, "likeness", found)

    assert launched == [["hanging"], ["no socket"], ["other environment"], ["other code"]]
    assert ended(small.start(JOB, ["status", "0"], tmp_path / "log")) == 0
    assert len(launched) == 4, "the nursery serves the others as before"


def test_a_machine_that_cannot_fork_just_now_is_no_reason_to_lose_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "JOBS", (JOB,))
    monkeypatch.setattr(children.Interpreters, "start", lambda *_, **__: subprocess.Popen(["true"], text=True))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        address = Path(f"/tmp/thaw-{os.getpid()}-refuses")
        door.bind(str(address))
        door.listen()

        def refuse() -> None:
            connection, _ = door.accept()
            connection.recv(1 << 17)
            connection.send(b"refused")
            connection.close()

        refusing = threading.Thread(target=refuse)
        refusing.start()
        try:
            child = Nursery(tmp_path / "nursery.log", shared=str(address)).start(JOB, [], tmp_path / "log", talk=True)
        finally:
            refusing.join()
            address.unlink()
    assert ended(child) == 0


def test_a_nursery_that_is_short_of_memory_for_a_fork_says_so_and_forks_again_once_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path / "short of memory"
    monkeypatch.setenv("THAW_TEST_SHORT", str(short))
    monkeypatch.setattr(children, "NURSERY", "tests.nursery.small")
    monkeypatch.setattr(children, "JOBS", (JOB,))
    monkeypatch.setattr(children.Interpreters, "start", lambda *_, **__: subprocess.Popen(["true"], text=True))
    made = Nursery(tmp_path / "nursery.log")
    try:
        ready(made)
        pid = made.pid
        short.touch()
        child = made.start(JOB, ["status", "7"], tmp_path / "log", talk=True)
        assert not isinstance(child, Forked), "an interpreter is tried in its place"
        assert ended(child) == 0
        assert "not forked: OSError: [Errno 12] Cannot allocate memory" in (tmp_path / "nursery.log").read_text()
        short.unlink()
        assert ended(made.start(JOB, ["status", "7"], tmp_path / "log")) == 7
        assert made.pid == pid, "it is the same one"
    finally:
        made.close()


def test_where_no_process_can_be_started_at_all_a_run_waits_and_a_question_says_why(
    home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> Child:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(subprocess, "Popen", none)
    supervisor = Supervisor(home, store, children.Interpreters())
    with pytest.raises(OSError, match=r"No process could be started for .*Cannot allocate memory.*waits in the queue.*tried again"):
        supervisor.start(RunConfig(dataset="digits", model="small_cnn", image_size=16))
    (run,) = store.runs()
    assert run.waits, "nothing is lost: it begins once there is memory"
    with pytest.raises(LabError, match=r"could not be started.*Cannot allocate memory"):
        Helper(home.logs / "helper.log").ask("{}")


def test_twenty_starts_at_once_are_twenty_processes(small: Nursery, tmp_path: Path) -> None:
    started: list[Child] = []
    threads = [threading.Thread(target=lambda: started.append(small.start(JOB, ["sleep"], tmp_path / "log"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({child.pid for child in started}) == 20
    assert all(isinstance(child, Forked) for child in started)
    for child in started:
        child.kill()
    assert [ended(child) for child in started] == [-signal.SIGKILL] * 20


def test_it_leaves_with_its_server_and_takes_its_socket_away(small: Nursery, tmp_path: Path) -> None:
    pid, address, child = small.pid, small.address, small.start(JOB, ["sleep"], tmp_path / "log")
    assert small._process is not None
    assert small._process.stdin is not None
    assert address is not None
    small._process.stdin.close()  # as the server's end does, however it comes
    wait_until(lambda: not address.parent.exists(), what="the socket's end")
    assert child.poll() is None, "runs go on"
    child.kill()
    small.close()
    with pytest.raises(OSError, match="closing"):
        small.start(JOB, [], tmp_path / "log")
    assert not psutil.pid_exists(pid or 0) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_it_does_the_jobs_of_a_fixed_set_only(small: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="does not run 'antigravity'"):
        small.start("antigravity", [], tmp_path / "log")
    monkeypatch.setattr(children, "JOBS", ("antigravity",))  # a client that asks all the same
    monkeypatch.setattr(children.Interpreters, "start", lambda *_, **__: subprocess.Popen(["true"], text=True))
    assert not isinstance(small.start("antigravity", [], tmp_path / "log"), Forked)
    assert "no job is called 'antigravity'" in (tmp_path / "nursery.log").read_text()


def test_where_forking_is_not_safe_or_not_wanted_each_process_gets_an_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(children.starter(tmp_path / "log", {"THAW_NURSERY": "off"}), children.Interpreters)
    monkeypatch.setattr("core.machine.children.sys.platform", "darwin")
    assert isinstance(children.starter(tmp_path / "log", {}), children.Interpreters)
    assert not children.Interpreters().quick


# The real one


def test_a_run_that_was_forked_ends_with_the_bits_of_a_fresh_process(home: Home, store: RunStore) -> None:
    """Two threads, dropout, BatchNorm, AdamW, convolutions: whatever a pool of threads or a generator could change."""
    config = RunConfig(
        dataset="digits", model="small_cnn", image_size=16, epochs=1, batch_size=256, device="cpu", threads=2, head_dropout=0.3, optimizer="AdamW"
    )
    ready(nursery())
    weights, losses = [], []
    for starter in (None, nursery()):
        supervisor = Supervisor(home, store, starter)
        run_id = supervisor.start(config)
        wait_until(lambda run_id=run_id: not store.run(run_id).status.active, what="the run's end")  # type: ignore[misc]
        assert store.run(run_id).status.value == "finished", store.run(run_id).error
        assert isinstance(supervisor._children[0], Forked) == (starter is not None)
        weights.append(torch.load(str(weights_of(home, store.run(run_id))), weights_only=True))
        losses.append(store.steps_after(run_id, 0, 0).loss)
    assert (losses[0] == losses[1]).all()
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_it_has_computed_nothing_and_holds_no_thread_but_those_of_openblas() -> None:
    """Threads of torch would be missing in its children, and their locks might be held for ever."""
    ready(nursery())
    pid = nursery().pid
    assert pid is not None
    loaded = {Path(part.path).name.split("-")[0] for part in psutil.Process(pid).memory_maps() if "openblas" in part.path}
    cores = len(os.sched_getaffinity(0))
    assert psutil.Process(pid).num_threads() <= 1 + len(loaded) * (cores - 1)
    held = {name.path for name in psutil.Process(pid).open_files()}
    assert not [path for path in held if path.endswith((".db", ".db-wal"))]
    assert not [link for link in _links(pid) if "nvidia" in link], "no GPU is open"


def _links(pid: int) -> list[str]:
    return [str(name.readlink()) for name in Path(f"/proc/{pid}/fd").iterdir()]
