"""A progress bar for the command line, which follows a run in the store as any screen does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from core.machine.home import Home
from core.store import RunStore


@contextmanager
def progress_bar(home: Home, run_id: str) -> Iterator[None]:
    """A bar on stderr for as long as the `with` block lasts."""
    done = threading.Event()

    def follow() -> None:
        store = RunStore(home.database)
        with tqdm(unit="step", file=sys.stderr, dynamic_ncols=True) as bar:
            shown: tuple[str, int] | None = None
            last = False
            while not last:
                # A terminal shows a moving bar; a log file would only grow.
                last = done.wait(0.25 if sys.stderr.isatty() else 5.0)
                run = store.run(run_id)
                what = run.activity or (f"epoch {run.epoch} of {run.config.epochs}" if run.epoch else str(run.status))
                if (what, run.step) == shown and not last:
                    continue
                shown = (what, run.step)
                bar.total = run.plan.total_steps if run.plan else None
                bar.n = run.step
                bar.set_description(what, refresh=False)
                for epoch in store.epochs_after(run_id)[-1:]:
                    bar.set_postfix(train_loss=f"{epoch.train_loss:.4f}", validation_accuracy=percent(epoch.validation_accuracy), refresh=False)
                bar.refresh()
        store.close()

    thread = threading.Thread(target=follow, name="progress-bar", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def percent(share: float | None) -> str:
    """A share from 0 to 1 as '91.2 %', '-' for None."""
    return "-" if share is None else f"{100 * share:.1f} %"
