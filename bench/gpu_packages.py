"""What `bench/gpu.sh` needs besides torch, and how missing packages come from a folder of wheels. Only the standard library is used."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """A package that is imported as `module`, and what does without it."""

    name: str
    module: str
    without: str


PACKAGES = (
    Package("torch", "torch", "nothing can be measured"),
    Package("torchvision", "torchvision", "no model is there: all device tests and peers are left out"),
    Package("numpy", "numpy", "all device tests and peers are left out"),
    Package("pandas", "pandas", "all device tests and peers are left out"),
    Package("pillow", "PIL", "all device tests and peers are left out"),
    Package("scipy", "scipy", "all device tests and peers are left out"),
    Package("scikit-learn", "sklearn", "there are no pictures: all device tests and peers are left out"),
    Package("safetensors", "safetensors", "all device tests and peers are left out"),
    Package("psutil", "psutil", "all device tests and peers are left out"),
    Package("pydantic", "pydantic", "no run can be described: all device tests and peers are left out, the plain loop is measured"),
    Package("tqdm", "tqdm", "all device tests and peers are left out"),
    Package("streamlit", "streamlit", "nothing here needs it"),
    Package("plotly", "plotly", "nothing here needs it"),
    Package("lightning", "lightning", "the table has no row for it"),
)

NOT_NEEDED = ("streamlit", "plotly")


def missing() -> list[Package]:
    """What cannot be imported, in the order of `PACKAGES`. Nothing is imported to find out."""
    return [package for package in PACKAGES if not _is_there(package.module)]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # somebody keeps it from being found
        return False


def install(package: Package, wheels: Path, target: Path) -> str:
    """Put a package and what it needs into `target`, from wheels alone; '' or, in a line, why that did not work.

    What the image has already is left out: pip resolves into a folder of its own first, and only modules that cannot be imported move on.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet", "--no-index"]
        command += ["--find-links", str(wheels), "--target", scratch, package.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:  # what it needs may lie in the image instead
            done = subprocess.run([*command, "--no-deps"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        for part in Path(scratch).iterdir():
            module = part.name.removesuffix(".py")
            if not (target / part.name).exists() and (part.name.endswith(".dist-info") or not _is_there(module)):
                part.rename(target / part.name)
    return ""


def main() -> int:
    """`python -m bench.gpu_packages WHEELS TARGET`: installs what is missing and says what came of it, on standard error."""
    wheels, target = Path(sys.argv[1]), Path(sys.argv[2])
    for package in missing():
        if package.name in ("torch", *NOT_NEEDED):
            continue
        problem = install(package, wheels, target)
        print(f"{package.name}: {f'not installed ({problem})' if problem else f'taken from {wheels}'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
