"""What `make` does on a machine that has nothing yet, tried with empty requirements so that it needs no network."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.support import ROOT

_SPEC = importlib.util.spec_from_file_location("environment", ROOT / ".ci" / "environment.py")
assert _SPEC is not None
assert _SPEC.loader is not None
environment = importlib.util.module_from_spec(_SPEC)  # it runs before anything is installed, so it belongs to no package
_SPEC.loader.exec_module(environment)

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with the real Makefile and `.ci`, and requirements files without a line."""
    clone = tmp_path / "clone"
    clone.mkdir()
    shutil.copy(ROOT / "Makefile", clone)
    shutil.copytree(ROOT / ".ci", clone / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-export.txt",
        "requirements-sweep.txt",
        "requirements-slurm.txt",
        "bench/requirements.txt",
        "tests/requirements-mutate.txt",
    ):
        (clone / name).parent.mkdir(exist_ok=True)
        (clone / name).touch()
    return clone


STAND_IN = """
import os, shutil, sys
*asked, folder = sys.argv[1:]
assert asked == ["--clear"], asked
def put(one, other):
    try:
        os.link(one, other)
    except OSError:  # on another disk
        shutil.copy2(one, other)
shutil.copytree({bare!r}, folder, symlinks=True, dirs_exist_ok=True, copy_function=put)
"""
"""In place of the module venv, which takes seconds to put pip's files there: they are those of an environment that was made once."""


@cache
def _stand_in() -> Path:
    """A folder for PYTHONPATH with the module."""
    folder = Path(tempfile.mkdtemp(prefix="thaw-venv-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment.create(folder / "bare")
    (folder / "path" / "venv").mkdir(parents=True)
    (folder / "path" / "venv" / "__main__.py").write_text(STAND_IN.format(bare=str(folder / "bare")))
    return folder / "path"


def surroundings(clone: Path, sets_up: bool = True) -> dict[str, str]:
    """Variables for a clone with an empty cache beside it. `sets_up`: environments are made, as copies of one."""
    # Inside `make test`, the outer make's own flags would be inherited.
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return {**variables, "XDG_CACHE_HOME": str(clone.parent / "cache"), **({"PYTHONPATH": str(_stand_in())} if sets_up else {})}


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`make` as a person types it."""
    command = ["make", "--no-print-directory", *arguments]
    variables = surroundings(clone, sets_up="env" in arguments)
    return subprocess.run(command, cwd=clone, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_an_environment_is_made_once_and_made_again_if_it_was_interrupted(clone: Path) -> None:
    first = make(clone, "env", f"PYTHON={sys.executable}")
    assert first.returncode == 0, first.stderr
    folder = Path(first.stdout.strip())
    assert folder.parent == clone.parent / "cache" / "thaw"
    assert "Setting up" in first.stderr

    (folder / "still-the-same").touch()
    second = make(clone, "env", f"PYTHON={sys.executable}")
    assert second.stdout == first.stdout
    assert "Setting up" not in second.stderr
    assert (folder / "still-the-same").exists()

    (folder / ".unfinished").touch()  # as it stands while pip works
    third = make(clone, "env", f"PYTHON={sys.executable}")
    assert third.stdout == first.stdout
    assert "Setting up" in third.stderr
    assert not (folder / "still-the-same").exists()
    assert subprocess.run([folder / "bin" / "python", "-c", ""], check=False).returncode == 0


def test_other_requirements_get_another_environment(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "ROOT", clone)
    before = environment.key()
    assert environment.key() == before
    (clone / "requirements.txt").write_text("# changed\n")
    assert environment.key() != before


def test_clean_envs_removes_the_environments_of_other_requirements_and_nothing_else(clone: Path) -> None:
    cache = clone.parent / "cache" / "thaw"
    (cache / "venv-0123456789ab" / "bin").mkdir(parents=True)
    (cache / "something-else").mkdir()
    assert make(clone, "clean-envs", f"PYTHON={sys.executable}").returncode == 0
    assert sorted(path.name for path in cache.iterdir()) == ["something-else"]


def test_what_pip_cannot_install_is_said_and_leaves_nothing_that_looks_finished(clone: Path) -> None:
    (clone / "requirements.txt").write_text("./no-such-folder\n")
    done = make(clone, "env", f"PYTHON={sys.executable}")
    assert done.returncode != 0
    assert done.stdout == ""
    assert "pip could not install" in done.stderr
    assert not list((clone.parent / "cache" / "thaw").glob("venv-*/.installed-*"))


def test_a_python_that_is_too_old_is_refused_with_the_remedy(clone: Path) -> None:
    old = clone / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    done = make(clone, "run", f"PYTHON={old}")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert "PYTHON=" in done.stderr


def test_a_python_without_venv_is_refused_with_the_remedy(clone: Path) -> None:
    crippled = clone / "python3"
    crippled.write_text(f'#!/bin/sh\n[ "$2" = venv ] && echo "No module named venv" >&2 && exit 1\nexec {sys.executable} "$@"\n')
    crippled.chmod(0o755)
    # sys.executable is what environment.py starts again, so the cripple has to be told apart by name.
    text = (clone / ".ci" / "environment.py").read_text()
    (clone / ".ci" / "environment.py").write_text(text.replace("[sys.executable,", f'["{crippled}",'))
    done = make(clone, "run", f"PYTHON={crippled}")
    assert done.returncode != 0
    assert "cannot make a virtual environment" in done.stderr
    assert "-venv" in done.stderr
    assert not list((clone.parent / "cache" / "thaw").glob("venv-*/bin"))


def test_the_list_of_targets_says_what_each_is_for(clone: Path) -> None:
    shown = make(clone, "help").stdout
    for target in ("run", "test", "test-all", "lint", "bench", "clean-envs"):
        assert f"make {target} " in shown


def test_a_browser_that_does_not_work_is_a_failure_and_no_skip() -> None:
    command = [sys.executable, "-m", "tests.browser"]
    variables = {**os.environ, "THAW_BROWSER": "/bin/false"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "/bin/false does not work" in done.stderr
    assert "THAW_BROWSER=" in done.stderr
