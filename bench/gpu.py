"""`bench/gpu.sh`: device tests, a plain loop, and Thaw beside others, within 8 minutes; one JSON and one Markdown file come out.

Each part is a process of its own that prints a line of JSON for each thing that is done: one that crashes, hangs or lacks a package costs its
own rows and no others. Only the standard library is imported here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.gpu_packages import NOT_NEEDED, missing

ROOT = Path(__file__).resolve().parent.parent

SECONDS = 460.0
"""For all parts together: what is not done by then is left out, and a few seconds remain to write."""

PARTS: dict[str, tuple[str, float]] = {"checks": ("bench.gpu_checks", 0.5), "plain": ("bench.gpu_plain", 0.5), "peers": ("bench.gpu_peers", 1.0)}
"""The parts in their order: the module, and the share of the time that is left which it may take."""

Line = dict[str, Any]


def main(words: Sequence[str] | None = None) -> int:
    """Exit status 0: nothing failed; 1: a test failed, or not one thing could be done; 2: it could not begin."""
    parser = argparse.ArgumentParser(prog="bench/gpu.sh", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("folder", nargs="?", default=os.environ.get("OUT") or "gpu-results", help="where gpu.json and gpu.md go (default: $OUT)")
    parser.add_argument("--cpu", action="store_true", help="on the processor, with smaller sizes: to see that all of it works")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all of it (default: %(default)s)")
    arguments = parser.parse_args(words)
    folder = Path(arguments.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"The folder {folder} cannot be made ({error.strerror}); name another", file=sys.stderr)
        return 2
    began = time.monotonic()
    lacking = missing()
    for package in lacking:
        print(f"missing: {package.name} ({package.without})", file=sys.stderr)
    facts = machine()
    if not arguments.cpu and not facts.get("gpu"):
        print(
            f"torch finds no CUDA device ({facts.get('torch_error', 'none is there')}); bench/gpu.sh --cpu tries all on the processor",
            file=sys.stderr,
        )
        return 2
    device = "cpu" if arguments.cpu else "cuda:0"
    found: dict[str, Any] = {"device": device, **facts, "missing": {package.name: package.without for package in lacking}}
    for name, (module, share) in PARTS.items():
        left = arguments.seconds - (time.monotonic() - began)
        found[name] = part(module, device, share * left)
    found["seconds"] = round(time.monotonic() - began, 1)
    (folder / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "gpu.md").write_text("\n".join(report(found)) + "\n")
    print("\n".join(report(found)))
    print(f"\n{folder / 'gpu.json'} and {folder / 'gpu.md'} have it too.", file=sys.stderr)
    done = [line for name in PARTS for line in found[name]]
    return int(any(line["state"] == "failed" for line in done) or not any(line["state"] == "passed" for line in done))


def machine() -> Line:
    """What this runs on, as another process sees it: torch is not imported here."""
    ask = (
        "import json, torch\nfound = {'torch': torch.__version__, 'cuda': torch.version.cuda, 'threads': torch.get_num_threads()}\n"
        "try:\n found['gpu'] = torch.cuda.get_device_name() if torch.cuda.is_available() else ''\n"
        "except Exception as error: found['torch_error'] = str(error)\nprint(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
    facts: Line = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()}
    try:
        return {**facts, **json.loads(done.stdout.strip().splitlines()[-1])}
    except (ValueError, IndexError):
        return {**facts, "torch": "", "torch_error": (done.stderr.strip().splitlines() or ["torch cannot be imported"])[-1]}


def part(module: str, device: str, seconds: float) -> list[Line]:
    """What a part printed, a line for each thing; the last says what kept it from the rest, if anything did."""
    if seconds < 5:
        return [line_of(module, "not run", "the time was over")]
    print(f"{time.strftime('%H:%M:%S')} {module}, at most {seconds:.0f} s", file=sys.stderr, flush=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    environment |= {"OMP_WAIT_POLICY": "PASSIVE", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="thaw-gpu-") as scratch:
        environment |= {"THAW_HOME": str(Path(scratch) / "home")}
        errors = Path(scratch) / "errors.txt"
        with errors.open("w") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "--device", device, "--folder", scratch],
                cwd=scratch, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sink, text=True, start_new_session=True,
            )  # fmt: skip
            late = threading.Event()

            def end() -> None:
                late.set()
                os.killpg(process.pid, signal.SIGKILL)

            timer = threading.Timer(seconds, end)
            timer.start()
            assert process.stdout is not None
            for text in process.stdout:
                try:
                    lines.append(json.loads(text))
                except ValueError:  # a library that talks
                    continue
                print(f"{time.strftime('%H:%M:%S')}   {lines[-1]['name']}: {lines[-1]['state']}, {lines[-1]['text']}", file=sys.stderr, flush=True)
            status = process.wait()
            timer.cancel()
        said = errors.read_text(errors="replace").strip().splitlines()
    if late.is_set():
        lines.append(line_of(f"the rest of {module}", "not run", f"{seconds:.0f} s were over"))
    elif status != 0:
        state = "not run" if said and "ModuleNotFoundError" in said[-1] else "failed"
        lines.append(line_of(f"the rest of {module}", state, said[-1] if said else f"ended with status {status}"))
        print("\n".join(said[-25:]), file=sys.stderr)
    return lines


def line_of(name: str, state: str, text: str, seconds: float = 0.0, **further: Any) -> Line:
    """One thing that was done: `state` is passed, failed or not run."""
    return {"name": name, "state": state, "text": text, "seconds": round(seconds, 2), **further}


def report(found: Line) -> list[str]:
    """All of it in Markdown."""
    where = found.get("gpu") if found["device"] != "cpu" else f"the processor, {found['cores']} cores"
    versions = f"torch {found['torch'] or 'is missing'}, CUDA {found.get('cuda') or 'none'}, Python {found['python']}"
    lines = [f"# Thaw on {where}", "", f"{versions}, {found['system']}, {found['seconds']} s."]
    if found["device"] == "cpu":
        lines += ["", "**No GPU was used: a try with small sizes on the processor, whose times mean nothing.**"]
    lacking = {name: without for name, without in found["missing"].items() if name not in NOT_NEEDED}
    if lacking:
        lines += ["", "Missing here: " + "; ".join(f"{name} ({without})" for name, without in lacking.items()) + "."]
    lines += ["", "## Device tests", "", *_table(["test", "", "what was compared", "seconds"], found["checks"])]
    lines += ["", "## A plain PyTorch loop", "", *_table(["loop", "", "figures", "seconds"], found["plain"])]
    lines += ["", "## Beside others"]
    for line in found["peers"]:
        lines += ["", f"### {line['name']}: {line['state']}", "", line["text"], "", *line.get("table", [])]
    return lines


def _table(heads: Sequence[str], lines: Sequence[Line]) -> list[str]:
    rows = [[line["name"], line["state"], line["text"].replace("|", "/"), f"{line['seconds']:.1f}"] for line in lines]
    return ["| " + " | ".join(cells) + " |" for cells in (heads, ["---", "---", "---", "---:"], *rows)]


if __name__ == "__main__":
    sys.exit(main())
