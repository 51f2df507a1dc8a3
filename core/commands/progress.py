"""A progress bar for the command line, which follows a run in the store as any screen does."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm

from core.machine.home import Home
from core.ranks import joining
from core.records.telling import duration
from core.store import RunStore, StoreError
from core.store.run_folder import read_notice

FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
"""Without tqdm's own time left, which is the mean over all steps: those that compute what is kept afterwards would count."""


@contextmanager
def progress_bar(home: Home, run_id: str) -> Iterator[None]:
    """A bar on stderr for as long as the `with` block lasts."""
    done = threading.Event()

    def follow() -> None:
        store: RunStore | None = None
        with tqdm(unit="step", file=sys.stderr, dynamic_ncols=True, bar_format=FORMAT) as bar:
            shown: tuple[str, int] | None = None
            last = False
            said = ""
            told: tuple[str, ...] = ()
            while not last:
                # A terminal shows a moving bar; a log file would only grow.
                last = done.wait(0.25 if sys.stderr.isatty() else 5.0)
                notice = read_notice(home.run_folder(run_id))
                try:
                    store = store or RunStore(home.database)
                    run = store.run(run_id)
                    epochs = store.epochs_after(run_id)[-1:]
                except (StoreError, KeyError) as error:  # KeyError: the store was lost, and the worker has not told another of its run yet
                    said = _say(bar, str(notice or error.args[0]), said)
                    continue
                said = _say(bar, str(notice), said) if notice else ""
                machines = joining.read(home.run_folder(run_id))
                if machines and machines.told != told:
                    told = machines.told
                    bar.write("\n".join(f"thaw: {line}" for line in told), file=sys.stderr)
                what = run.activity or (f"epoch {run.epoch} of {run.config.epochs}" if run.epoch else str(run.status))
                if (what, run.step) == shown and not last:
                    continue
                shown = (what, run.step)
                bar.total = run.plan.total_steps if run.plan else None
                bar.n = run.step
                bar.set_description(what, refresh=False)
                figures = {} if run.seconds_left is None else {"left": duration(run.seconds_left)}
                for epoch in epochs:
                    figures |= {"train_loss": f"{epoch.train_loss:.4f}", "validation_accuracy": percent(epoch.validation_accuracy)}
                bar.set_postfix(figures, refresh=False)
                bar.refresh()
        if store is not None:
            store.close()

    thread = threading.Thread(target=follow, name="progress-bar", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def bar() -> Iterator[Callable[[str, float | None], None]]:
    """A bar on stderr for work that tells (text, share done from 0 to 1 or None), where somebody sees it; drawn anew ten times a second at most."""
    drawn = 0.0
    with tqdm(total=100, unit="%", file=sys.stderr, leave=False, disable=not sys.stderr.isatty(), bar_format="{desc} |{bar}|") as shown:

        def progress(text: str, share: float | None) -> None:
            nonlocal drawn
            shown.set_description(text, refresh=False)
            shown.n = round(100 * (share or 0))
            if not share or time.monotonic() - drawn > 0.1:
                drawn = time.monotonic()
                shown.refresh()

        yield progress


def _say(bar: tqdm[NoReturn], text: str, said: str) -> str:
    """Print a line above the bar, but not the same trouble again at every look; returns what tells them apart."""
    what = text.partition(";")[0]
    if what != said:
        bar.write(f"thaw: {text}", file=sys.stderr)
    return what


def percent(share: float | None) -> str:
    """A share from 0 to 1 as '91.2 %', '-' for None."""
    return "-" if share is None else f"{100 * share:.1f} %"
