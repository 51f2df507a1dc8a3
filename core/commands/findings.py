"""`python -m core findings RUN` and `python -m core break [NAME]`."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from dataclasses import asdict

from core.commands import Parsers
from core.commands.missing import missing
from core.machine.home import Home
from core.records.findings import Diagnosis
from core.store import RunStore
from core.worker.supervisor import Supervisor, this_process

NAMES = ("findings", "break")


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parsers."""
    findings = commands.add_parser("findings", parents=[shared, as_json])
    findings.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")
    broken = commands.add_parser("break", parents=[shared, as_json])
    broken.add_argument("preset", metavar="NAME", nargs="?", help="what to break; without it, list what can be broken")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry out one of them."""
    if arguments.command == "break":
        return _break(home, arguments.preset, arguments.json)
    return _findings(home, arguments.run, arguments.json)


def _findings(home: Home, run_id: str, as_json: bool) -> int:
    store = RunStore(home.database)
    Supervisor(home, store).reconcile()
    diagnosis = store.findings(run_id) or missing(store.run(run_id), "findings")
    if as_json:
        print(json.dumps(asdict(diagnosis)))
    else:
        _print(diagnosis)
    return 1 if any(finding.alarming for finding in diagnosis.open) else 0


def _print(diagnosis: Diagnosis) -> None:
    when = f"after step {diagnosis.step:,}" + ("" if diagnosis.final else ", so far")
    if not diagnosis.findings:
        print(f"No findings: {len(diagnosis.rules)} rules looked at, {when}")
    for finding in diagnosis.findings:
        state = f"since step {finding.since_step:,}" if finding.open else f"steps {finding.since_step:,} to {finding.resolved_step:,}, resolved"
        print(f"{finding.severity.upper()}: {finding.title} ({state})")
        shown = (
            "in the settings or the data"
            if finding.chart == "settings"
            else f"{finding.chart}, steps {finding.first_step:,} to {finding.last_step:,}"
        )
        lines = [("cause", finding.cause), ("see", shown), ("remedy", finding.remedy.advice)]
        if finding.remedy.change and not diagnosis.final:
            lines.append(("now", f"python -m core change RUN {finding.remedy.change!r}"))
        if finding.remedy.settings:
            lines.append(("next run", " ".join(f"--{name.replace('_', '-')} {value!r}" for name, value in finding.remedy.settings.items())))
        lines.append(("all well if", finding.false_alarm))
        for name, text in lines:
            print(textwrap.fill(text, 120, initial_indent=f"  {name:11} ", subsequent_indent=" " * 14, break_long_words=False))


def _break(home: Home, name: str | None, as_json: bool) -> int:
    from core.catalog.faults import PRESETS, find_preset
    from core.doctor import RULES

    if name is None:
        if as_json:
            print(json.dumps([{**asdict(preset), "config": preset.config.model_dump()} for preset in PRESETS.values()]))
            return 0
        for preset in PRESETS.values():
            print(f"{preset.name:24} {preset.what}")
            print(f"{'':24} found as: {', '.join(RULES[rule].title for rule in preset.findings)}")
        return 0
    preset = find_preset(name)
    # Not at the top: a list must not take the seconds that torch needs.
    from core.commands.progress import progress_bar
    from core.worker.process import work

    store = RunStore(home.database)
    run_id = store.create_run(preset.config, this_process())
    print(f"run {run_id}: {preset.label}. {preset.what}\nwhat to look for: {preset.watch_for}", file=sys.stderr)
    with progress_bar(home, run_id):
        work(home, run_id)
    diagnosis = store.findings(run_id)
    missing = [rule for rule in preset.findings if diagnosis is None or rule not in [finding.rule for finding in diagnosis.findings]]
    if as_json:
        print(json.dumps({"run_id": run_id, "status": store.run(run_id).status, "findings": asdict(diagnosis)["findings"] if diagnosis else []}))
    elif diagnosis is not None:
        _print(diagnosis)
    if missing:
        print(f"thaw: the doctor did not find {', '.join(missing)}; it looked at {len(RULES)} rules", file=sys.stderr)
    return 1 if missing else 0
