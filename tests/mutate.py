"""`make mutate`: do the tests notice when `core` is changed? A seeded sample of small changes, each against the tests that cover it.

    python -m tests.mutate [--sample N] [--seed N] [--jobs N] [--seconds N] [--again]

What is known is kept in `.thaw/mutate/`, so that a call goes on where the last one ended; `--again` tries those that survived once more.
A line that runs when its file is loaded is covered by no test of its own: every test that runs anything in the file stands for it. Browser tests
are left out, and so is what only a process sees that a test starts: both make survivors of mutants that something would catch.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from coverage import CoverageData

from tests.house import ROOT
from tests.mutants import Mutant, sample

FOLDER = ROOT / ".thaw" / "mutate"
EQUIVALENTS = ROOT / "tests" / "equivalent_mutants.json"
"""Survivors that no test can catch, with the reason: {"file": ..., "was": ..., "is_now": ..., "reason": ...} each."""

MOST_TESTS = 100
"""Tests that a mutant is tried on: those of its room first, and of these, those that cover the least: they say the most about it."""

FAILED, NOT_STARTED = (1, 2, 3), 4
"""pytest's exit statuses: a test failed, or a file of tests cannot be loaded any more; nor can what all tests need, or a test is not found."""

SUITE = ("-q", "-p", "no:cacheprovider", "--ignore-glob=*/test_browser*", "--ignore=tests/test_setup.py", "--ignore=tests/test_bench.py")


def main() -> int:
    """Exit status 0 where at least 85 % of the mutants that are no equivalents are caught."""
    parser = argparse.ArgumentParser(prog="make mutate ARGS=...", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=150, metavar="N", help="mutants to draw (default: 150)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default: 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants tried side by side (default: one a core)")
    parser.add_argument("--seconds", type=float, default=90.0, help="after this long a mutant counts as caught: it hangs (default: 90)")
    parser.add_argument("--again", action="store_true", help="try the survivors once more, after their tests were mended")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    session = FOLDER / f"sample-{arguments.sample}-seed-{arguments.seed}.json"
    known: dict[str, dict[str, str]] = json.loads(session.read_text()) if session.exists() else {}
    drawn = sample(arguments.sample, arguments.seed)
    waiting = [mutant for mutant in drawn if _key(mutant) not in known or (arguments.again and known[_key(mutant)]["outcome"] == "survived")]
    tests = _covering(waiting, renew=arguments.again)
    lock, began = threading.Lock(), time.monotonic()
    places: list[Path] = []

    def judge(mutant: Mutant) -> None:
        with lock:
            place = places.pop()
        outcome, why = _tried(mutant, tests.get((mutant.file, mutant.line), ()), place, arguments.seconds)
        with lock:
            places.append(place)
            known[_key(mutant)] = {"outcome": outcome, "why": why}
            session.write_text(json.dumps(known, indent=1))
            print(
                f"{time.monotonic() - began:6.0f} s  {outcome:8} {mutant.name}: {mutant.was[:60]!r} -> {mutant.is_now[:60]!r}  {why[:80]}", flush=True
            )

    with tempfile.TemporaryDirectory(prefix="thaw-mutate-") as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        places += [_copy(Path(folder) / str(number)) for number in range(arguments.jobs)]
        list(pool.map(judge, waiting))
    return _report(drawn, known)


def _key(mutant: Mutant) -> str:
    return json.dumps([mutant.file, mutant.was, mutant.is_now, mutant.occurrence])


def _covering(mutants: Sequence[Mutant], renew: bool) -> dict[tuple[str, int], tuple[str, ...]]:
    """The tests that run each mutant's line, the most particular first."""
    data = FOLDER / "coverage"
    if mutants and (renew or not data.exists()):
        print("Running the suite once, to see which test covers which line.", flush=True)
        data.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", *SUITE, "-n", "auto", "--dist", "worksteal", "--cov=core", "--cov-context=test", "--cov-report="]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "COVERAGE_FILE": str(data)}, check=False)
    if not mutants:
        return {}
    read = CoverageData(str(data))
    read.read()
    by_line = {file: _tests_by_line(read, file) for file in {mutant.file for mutant in mutants}}
    size = Counter(test for lines in by_line.values() for tests in lines.values() for test in tests)
    return {(mutant.file, mutant.line): _best_first(mutant, by_line[mutant.file], size) for mutant in mutants}


def _tests_by_line(read: CoverageData, file: str) -> dict[int, set[str]]:
    lines = read.contexts_by_lineno(str(ROOT / file)).items()
    return {line: {context.rpartition("|")[0] for context in contexts if "::" in context} for line, contexts in lines}  # pytest-cov: name|phase


def _best_first(mutant: Mutant, by_line: dict[int, set[str]], size: Counter[str]) -> tuple[str, ...]:
    """Tests of the mutant's room first; of these each once before any with a second set of parameters; then those that cover the least."""
    found = sorted(by_line.get(mutant.line) or set().union(*by_line.values()), key=lambda test: (size[test], test))
    seen: Counter[str] = Counter()
    turn = {}
    for test in found:
        function = test.partition("[")[0]
        turn[test] = seen[function]
        seen[function] += 1
    return tuple(sorted(found, key=lambda test: (not test.startswith(f"tests/{mutant.room}/"), turn[test], size[test], test)))


def _copy(folder: Path) -> Path:
    """The project's files as they are now, in a folder where one of them can be changed."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def _tried(mutant: Mutant, tests: Sequence[str], place: Path, seconds: float) -> tuple[str, str]:
    """(`caught` or `survived`, by what or why)."""
    if not tests:
        return "survived", "no test runs this file in its own process"
    tests = tests[:MOST_TESTS]
    file = place / mutant.file
    original = file.read_text(encoding="utf-8")
    while True:
        file.write_text(mutant.source(place), encoding="utf-8")
        try:
            outcome = _run(tests, place, seconds)
        finally:
            file.write_text(original, encoding="utf-8")
        if outcome is not None:
            return outcome
        if len(tests) < 2 or _run(tests, place, seconds) is not None:
            return "caught", f"no end after {seconds:.0f} s"
        tests = tests[: len(tests) // 2]  # too many for a machine as busy as this one


def _run(tests: Sequence[str], place: Path, seconds: float) -> tuple[str, str] | None:
    """What a mutant's tests say of it; None if they did not end."""
    command = [sys.executable, "-m", "pytest", "-x", *SUITE, "--no-header", "--tb=no", "--durations=0", *tests]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # else a file of equal size and age is taken for the one before
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        failed = [line for line in output.read().splitlines() if line.startswith(("FAILED", "ERROR"))]
    not_found = any("not found:" in line for line in failed)
    if not_found and any("[" in test for test in tests):  # some parameters are not found by the names that pytest gives them
        return _run(tuple(dict.fromkeys(test.partition("[")[0] for test in tests)), place, seconds)
    if status in FAILED or (status == NOT_STARTED and not not_found):
        return "caught", failed[0] if failed else f"pytest ended with {status}"
    return "survived", f"{len(tests)} tests passed" if status == 0 else f"pytest ended with {status}"


def _report(drawn: Sequence[Mutant], known: dict[str, dict[str, str]]) -> int:
    """Prints the table by room and the survivors."""
    equivalents = (
        {(one["file"], one["was"], one["is_now"]): one["reason"] for one in json.loads(EQUIVALENTS.read_text())} if EQUIVALENTS.exists() else {}
    )
    lines = list(_table(drawn, known, equivalents))
    print("\n".join(lines))
    left = [mutant for mutant in drawn if (mutant.file, mutant.was, mutant.is_now) not in equivalents]
    caught = sum(known[_key(mutant)]["outcome"] == "caught" for mutant in left)
    (FOLDER / "report.json").write_text(json.dumps([{**asdict(mutant), **known[_key(mutant)]} for mutant in drawn], indent=1))
    return 0 if caught >= 0.85 * len(left) else 1


def _table(drawn: Sequence[Mutant], known: dict[str, dict[str, str]], equivalents: dict[tuple[str, str, str], str]) -> Iterator[str]:
    yield f"{'room':12} drawn  caught  survived  equivalent"
    rooms: dict[str, Counter[str]] = {}
    for mutant in drawn:
        same = (mutant.file, mutant.was, mutant.is_now) in equivalents
        outcome = known[_key(mutant)]["outcome"]
        rooms.setdefault(mutant.room, Counter())["equivalent" if same and outcome == "survived" else outcome] += 1
    total: Counter[str] = sum(rooms.values(), Counter())
    for room, counts in [*rooms.items(), ("all", total)]:
        yield f"{room:12} {counts.total():5}  {counts['caught']:6}  {counts['survived']:8}  {counts['equivalent']:10}"
    possible = total.total() - total["equivalent"]
    yield f"caught: {total['caught']} of {possible} that are no equivalents, {100 * total['caught'] / max(1, possible):.0f} %"
    for mutant in drawn:
        if known[_key(mutant)]["outcome"] == "survived":
            reason = equivalents.get((mutant.file, mutant.was, mutant.is_now))
            yield f"survived: {mutant.name}: {mutant.was!r} -> {mutant.is_now!r}" + (f" (equivalent: {reason})" if reason else "")


if __name__ == "__main__":
    sys.exit(main())
