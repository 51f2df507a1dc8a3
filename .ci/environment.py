"""Make the virtual environment that `make` works in, once, and print its folder.

    python3 .ci/environment.py run     what Thaw needs to run
    python3 .ci/environment.py test    the same, and the tools that test it
    python3 .ci/environment.py peers   an environment beside it with the libraries that Thaw is measured against
    python3 .ci/environment.py mutate  another one beside it, with what `make mutate` needs
    python3 .ci/environment.py clean   remove environments that belong to other requirements

An environment is several gigabytes, so all clones with equal requirements share one, outside the clone:
`$XDG_CACHE_HOME/thaw/venv-KEY`, where KEY is a hash of the requirements files and the Python version. Those
beside it, `peers-KEY` and `mutate-KEY`, take torch and all else that Thaw needs from Thaw's environment, into which nothing of it is written.
Only the standard library is used: this runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = {
    "run": ("requirements.txt",),
    "test": ("requirements.txt", "requirements-dev.txt", "requirements-export.txt", "requirements-sweep.txt", "requirements-slurm.txt"),
}
BESIDE = {"peers": "bench/requirements.txt", "mutate": "tests/requirements-mutate.txt"}
"""Environments that lie beside Thaw's: their name, and what they have that Thaw's has not."""


def main(wanted: str) -> int:
    """Carry out one of the four words above. Returns the exit status; progress goes to stderr, the folder to stdout."""
    if wanted == "clean":
        return clean()
    try:
        print(prepare_beside(wanted) if wanted in BESIDE else prepare(wanted))
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


class SetupError(Exception):
    """The environment could not be made; the message says why and what to do."""


def prepare(wanted: str) -> Path:
    """The folder of an environment that holds everything of `wanted` ("run" or "test"), made or completed where needed.

    Raises:
        SetupError: where the environment cannot be made; what was half made is removed by the next call.
    """
    folder = cache() / f"venv-{key()}"
    with locked(folder.with_suffix(".lock")):
        # The mark stands while pip works: an environment that still carries it was interrupted and may hold half a package.
        unfinished = folder / ".unfinished"
        if unfinished.exists() or not starts(folder):
            shutil.rmtree(folder, ignore_errors=True)
        if all((folder / f".installed-{name}").exists() for name in REQUIREMENTS[wanted]):
            return folder
        say(f"Setting up Thaw's environment in {folder}. This happens once, takes a few minutes and several gigabytes.")
        create(folder)
        unfinished.touch()
        install(folder, REQUIREMENTS[wanted])
        for name in REQUIREMENTS[wanted]:
            (folder / f".installed-{name}").touch()
        unfinished.unlink()
    hint_about_others(folder)
    return folder


def prepare_beside(name: str) -> Path:
    """The folder of an environment beside Thaw's, made or completed where needed, and Thaw's own before it.

    A library that cannot be installed beside Thaw's torch is left out: `not-installed/NAME.txt` has what pip said. It is tried again by each call.

    Raises:
        SetupError: where one of the two environments cannot be made.
    """
    product = prepare("test")
    folder = cache() / f"{name}-{key(BESIDE[name])}"
    with locked(folder.with_suffix(".lock")):
        unfinished, refused = folder / ".unfinished", folder / "not-installed"
        if unfinished.exists() or not starts(folder):
            shutil.rmtree(folder, ignore_errors=True)
        packages = [line.partition("#")[0].strip() for line in (ROOT / BESIDE[name]).read_text().splitlines()]
        missing = [package for package in packages if package and not (folder / f".installed-{_name(package)}").exists()]
        if not missing:
            return folder
        say(f"Setting up an environment for {name} in {folder}: {', '.join(map(_name, missing))}.")
        create(folder)
        unfinished.touch()
        refused.mkdir(exist_ok=True)
        constraints = _see(product, folder)
        for package in missing:
            note = refused / f"{_name(package)}.txt"
            done = subprocess.run([*pip(folder), package, "--constraint", constraints], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                (folder / f".installed-{_name(package)}").touch()
                note.unlink(missing_ok=True)
            else:
                note.write_text(done.stdout + done.stderr)
                say(f"{package} could not be installed; {note} has what pip said.")
        unfinished.unlink()
    return folder


def _see(product: Path, folder: Path) -> Path:
    """Have the environment at `folder` find the packages of that at `product` after its own; returns a file with their versions, as constraints.

    pip sees them as installed, takes them as they are, and never changes what lies outside of its own environment.
    """
    ask = ("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    Path(_python(folder, *ask).strip(), "thaw.pth").write_text(_python(product, *ask))
    constraints = folder / "constraints.txt"
    constraints.write_text(_python(product, "-m", "pip", "--disable-pip-version-check", "freeze"))
    return constraints


def _python(folder: Path, *arguments: str) -> str:
    """What the Python of an environment prints."""
    done = subprocess.run([str(folder / "bin" / "python"), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(f"The Python in {folder} does not work:\n{done.stderr.strip()}\nRemove that folder and give the same command again.")
    return done.stdout


def _name(requirement: str) -> str:
    """The package that a line of a requirements file is about."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def key(*further: str) -> str:
    """Twelve hexadecimal digits that change with the requirements (and `further` files), the Python version and the kind of machine."""
    digest = hashlib.sha256()
    for name in (*REQUIREMENTS["test"], *further):
        digest.update((ROOT / name).read_bytes())
    digest.update(f"{sys.implementation.cache_tag} {sys.platform} {platform.machine()}".encode())
    return digest.hexdigest()[:12]


def cache() -> Path:
    """Where environments are kept; made if it is not there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "thaw"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"The folder {folder} cannot be made ({error.strerror}). Name another: XDG_CACHE_HOME=/some/folder make run") from None
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` while the block runs, so that two `make` do not fill one environment. The lock dies with its process."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another make is setting up the same environment; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def starts(folder: Path) -> bool:
    """True if the environment's Python can be started: it cannot after the system's Python was removed or moved."""
    python = folder / "bin" / "python"
    return python.exists() and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def create(folder: Path) -> None:
    """Make an empty virtual environment at `folder`, unless there is one."""
    if (folder / "bin" / "pip").exists():
        return
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", folder], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"{sys.executable} cannot make a virtual environment:\n{(done.stderr or done.stdout).strip()}\n"
            f"On Debian and Ubuntu install its venv module (apt-get install {name}-venv), or name another Python: make PYTHON=/path/to/python3."
        )


def install(folder: Path, files: tuple[str, ...]) -> None:
    """Install the requirements files with pip, its output on stderr."""
    command = pip(folder)
    for name in files:
        command += ["-r", str(ROOT / name)]
    # Standard output is for the folder's name alone.
    if subprocess.run(command, stdout=sys.stderr, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        free = shutil.disk_usage(folder).free / 1e9
        raise SetupError(
            f"pip could not install {' and '.join(files)}; the lines above say why.\n"
            f"The usual reasons are a missing network connection and a full disk ({free:.1f} GB are free; about 7 GB are needed on Linux).\n"
            "Give the same command again when that is mended."
        )


def pip(folder: Path) -> list[str]:
    """The command that installs into `folder`, without what is to be installed."""
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if not sys.stderr.isatty():  # a person watches pip's bars, a log does not need them
        command += ["--quiet", "--progress-bar", "off"]
    return command


def others(folder: Path) -> list[Path]:
    """Environments beside `folder` that belong to other requirements or another Python."""
    kept = {folder, *(folder.with_name(f"{name}-{key(file)}") for name, file in BESIDE.items())}
    return sorted(path for kind in ("venv", *BESIDE) for path in folder.parent.glob(f"{kind}-*") if path.is_dir() and path not in kept)


def hint_about_others(folder: Path) -> None:
    """Say that older environments take room, if there are any."""
    if count := len(others(folder)):
        say(f"Beside it lie {count} of other requirements, some gigabytes each. `make clean-envs` removes all that this clone does not use.")


def clean() -> int:
    """Remove every environment but those that belong to this clone and this Python."""
    folder = cache() / f"venv-{key()}"
    for other in others(folder):
        with locked(other.with_suffix(".lock")):
            say(f"Removing {other}")
            shutil.rmtree(other)
        other.with_suffix(".lock").unlink(missing_ok=True)
    say(f"Kept {folder}" if folder.exists() else "This clone has no environment yet.")
    return 0


def say(text: str) -> None:
    """Print to stderr, at once."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in (*REQUIREMENTS, *BESIDE, "clean"):
        sys.exit(f"usage: {sys.argv[0]} run|test|peers|mutate|clean")
    sys.exit(main(sys.argv[1]))
