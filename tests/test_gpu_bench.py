"""`bench/gpu.sh`: its parts lose nothing but their own rows, and its device tests notice what they are for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor

from bench import gpu, gpu_packages
from bench.gpu import line_of, main, part, report
from bench.gpu_checks import Checks, Failed, one
from bench.gpu_packages import PACKAGES, install, missing
from core.machine.home import Home
from core.reuse.features import Table
from core.signals import watch
from tests.support import wait_until

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parent.parent


# The device tests


@pytest.fixture
def checks(tmp_path: Path) -> Checks:
    checks = Checks("cpu", tmp_path)
    checks.fields |= {"image_size": 8, "batch_size": 300, "threads": 1}
    return checks


@pytest.mark.parametrize("name", ["trainer", "freezing", "partition", "audit", "signals", "recorder", "resume"])
def test_a_device_that_does_as_it_should_passes(name: str, checks: Checks) -> None:
    found = one(name, getattr(checks, name))
    assert (found["name"], found["state"]) == (name, "passed"), found["text"]
    assert found["seconds"] > 0


def test_wrong_norms_fail(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    real = watch.gradient_norms
    monkeypatch.setattr(watch, "gradient_norms", lambda parameters: real(parameters) * 1.0001)
    with pytest.raises(Failed, match=r"norms differ from float64 by up to 0\.0001"):
        checks.signals()


def test_a_device_that_computes_otherwise_each_time_fails(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1000))
    real = torch.Tensor.backward

    def backward(self: Tensor, *arguments: Any, **options: Any) -> None:
        real(self * (1 + 1e-6 * next(calls)), *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    with pytest.raises(Failed, match="the same run twice gave other losses, from step"):
        checks.trainer()


def test_features_that_are_read_wrong_fail(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Table.read
    monkeypatch.setattr(Table, "read", lambda self, pictures: [tensor + 1e-3 for tensor in real(self, pictures)])
    found = one("partition", checks.partition)
    assert found["state"] == "failed"


def test_whatever_a_test_raises_is_its_result() -> None:
    def broken() -> str:
        raise RuntimeError("CUDA error: an illegal memory access\nmore of it")

    found = one("trainer", broken)
    assert (found["state"], found["text"]) == ("failed", "RuntimeError: CUDA error: an illegal memory access")


# The parts


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a module of the name `stub` with these lines, and does it as a part."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def do(text: str, seconds: float = 60.0) -> list[gpu.Line]:
        (tmp_path / "stub.py").write_text(text)
        return part("stub", "cpu", seconds)

    return do


LINE = json.dumps(line_of("a test", "passed", "all is well"))


def test_a_part_that_ends_ill_keeps_what_it_had(module: Any) -> None:
    assert module(f"print('chatter'); print('''{LINE}''')")[0]["text"] == "all is well"
    states = [(line["state"], line["text"]) for line in module(f"print('''{LINE}''', flush=True); import os; os.kill(os.getpid(), 11)")]
    assert states == [("passed", "all is well"), ("failed", "ended with status -11")]
    states = [(line["state"], line["text"]) for line in module(f"print('''{LINE}''', flush=True); import no_such_package")]
    assert states == [("passed", "all is well"), ("not run", "ModuleNotFoundError: No module named 'no_such_package'")]


def test_a_part_that_hangs_is_ended_with_all_that_it_started(module: Any, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    hanging = f"import subprocess, sys, time; child = {child}; open({str(pid)!r}, 'w').write(str(child.pid))"
    lines = module(f"{hanging}\nprint('''{LINE}''', flush=True); time.sleep(600)", seconds=6.0)
    assert [line["state"] for line in lines] == ["passed", "not run"]
    assert lines[1]["text"] == "6 s were over"
    wait_until(lambda: _is_gone(int(pid.read_text())))


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_is_past_its_time_is_not_begun() -> None:
    assert part("stub", "cpu", 2.0) == [line_of("stub", "not run", "the time was over")]


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[gpu.Line]]:
    """What the parts are to print, all well at first."""
    found = {module: [line_of(name, "passed", "well")] for name, (module, _) in gpu.PARTS.items()}
    monkeypatch.setattr(gpu, "part", lambda module, device, seconds: found[module])
    monkeypatch.setattr(gpu, "machine", lambda: {"python": "3.12", "system": "Linux", "cores": 2, "torch": "2.10", "cuda": None, "gpu": ""})
    return found


def test_both_files_are_written_and_say_that_no_gpu_was_used(parts: dict[str, list[gpu.Line]], tmp_path: Path) -> None:
    assert main(["--cpu", str(tmp_path / "new" / "folder")]) == 0
    found = json.loads((tmp_path / "new" / "folder" / "gpu.json").read_text())
    assert found["checks"][0]["state"] == "passed"
    assert found["device"] == "cpu"
    assert "No GPU was used" in (tmp_path / "new" / "folder" / "gpu.md").read_text()


def test_a_failed_test_or_nothing_done_at_all_is_the_exit_status(parts: dict[str, list[gpu.Line]], tmp_path: Path) -> None:
    parts["bench.gpu_peers"] = [line_of("peers", "not run", "no pydantic")]
    assert main(["--cpu", str(tmp_path)]) == 0
    parts["bench.gpu_checks"] = [line_of("resume", "failed", "other bits")]
    assert main(["--cpu", str(tmp_path)]) == 1
    for module in parts:
        parts[module] = [line_of(module, "not run", "no torch")]
    assert main(["--cpu", str(tmp_path)]) == 1


def test_what_cannot_begin_says_why(parts: dict[str, list[gpu.Line]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "torch finds no CUDA device (none is there); bench/gpu.sh --cpu" in capsys.readouterr().err
    file = tmp_path / "file"
    file.touch()
    assert main(["--cpu", str(file / "folder")]) == 2
    assert "cannot be made (Not a directory); name another" in capsys.readouterr().err


def test_the_script_refuses_another_python_and_wheels_that_are_none() -> None:
    for variables, said in (
        ({"PYTHON": "/no/such/python"}, "There is no /no/such/python; name one"),
        ({"PYTHON": sys.executable, "WHEELS": "/no/such/folder"}, "WHEELS=/no/such/folder is no folder"),
    ):
        done = subprocess.run([ROOT / "bench" / "gpu.sh"], env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert said in done.stderr


def test_the_report_names_what_is_missing_and_what_does_without() -> None:
    found = {
        "device": "cuda:0", "gpu": "H200", "python": "3.12", "system": "Linux", "cores": 16, "torch": "2.10", "cuda": "13.0", "seconds": 1.0,
        "missing": {"pydantic": "no run can be described", "plotly": "nothing here needs it"},
        "checks": [line_of("a", "passed", "1 | 2")], "plain": [], "peers": [line_of("case", "passed", "about", table=["| x |"])],
    }  # fmt: skip
    text = "\n".join(report(found))
    assert "# Thaw on H200" in text
    assert "Missing here: pydantic (no run can be described)." in text
    assert "| a | passed | 1 / 2 | 0.0 |" in text
    assert "| x |" in text
    assert "No GPU" not in text


# Packages


def test_a_package_that_is_kept_from_being_found_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydantic", "streamlit"):
        monkeypatch.setitem(sys.modules, name, None)
    assert {"pydantic", "streamlit"} <= {package.name for package in missing()}
    assert "torch" not in {package.name for package in missing()}


def test_a_missing_package_comes_from_a_wheel_and_what_is_there_already_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels, target = tmp_path / "wheels", tmp_path / "target"
    wheels.mkdir()
    target.mkdir()
    _wheel(wheels, "nonesuch-thaw", "nonesuch_thaw", needs="numpy-of-thaw")
    _wheel(wheels, "numpy-of-thaw", "numpy")
    package = gpu_packages.Package("nonesuch-thaw", "nonesuch_thaw", "")
    assert install(package, wheels, target) == ""
    assert (target / "nonesuch_thaw.py").exists()
    assert not (target / "numpy.py").exists()
    (wheels / "numpy_of_thaw-1.0-py3-none-any.whl").unlink()
    again = tmp_path / "again"
    again.mkdir()
    assert install(package, wheels, again) == ""  # what it needs may lie in the image
    assert (again / "nonesuch_thaw.py").exists()
    assert "No matching distribution" in install(gpu_packages.Package("nonesuch-thaw-2", "x", ""), wheels, again)
    assert len({package.name for package in PACKAGES}) == len(PACKAGES)


def _wheel(folder: Path, name: str, module: str, needs: str = "") -> None:
    """The smallest wheel that pip takes."""
    stem = name.replace("-", "_")
    with zipfile.ZipFile(folder / f"{stem}-1.0-py3-none-any.whl", "w") as file:
        file.writestr(f"{module}.py", "")
        info = f"{stem}-1.0.dist-info"
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (f"Requires-Dist: {needs}\n" if needs else ""))
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: thaw\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{module}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_the_home_of_a_part_is_its_own(checks: Checks) -> None:
    assert isinstance(checks.home, Home)
    assert checks.home.path.is_relative_to(checks.folder)
