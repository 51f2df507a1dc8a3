"""The weights of a run on disk: saved while it goes on, at its end whatever that is, and tried again where the disk does not take them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path

from core.records.events import RunStatus
from core.store.patience import PatientStore
from core.store.saving import Checkpoints, cannot_save, log, save_weights
from core.training.state import may_learn
from core.training.trainer import Trainer


class KeptWeights:
    """`weights.pth` in a run's folder, and beside it the weights of some `epochs`."""

    def __init__(self, store: PatientStore, run_id: str, folder: Path) -> None:
        self.path = folder / "weights.pth"
        self.epochs = Checkpoints(folder)
        self._store = store
        self._run_id = run_id
        self._unsaved = False

    def begin(self, trainer: Trainer) -> None:
        """Keep the weights before training. Call `epochs.settle` before something that is frozen may move."""
        moving = may_learn(trainer)
        self.epochs.begin(trainer.model, [parameter for name, parameter in trainer.model.named_parameters() if name not in moving])

    def save_at_the_end(self, trainer: Trainer, status: RunStatus, last: tuple[int, int], give_up: Callable[[], bool]) -> list[str]:
        """Save the weights at hand, be the run well or not, and try again for a while where the disk does not take them; what went wrong.

        Args:
            last: the number of epochs that are over, and of steps.
            give_up: asked between two tries.
        """
        end = time.monotonic() + self._store.limits.last
        while True:
            try:
                save_weights(trainer.model, self.path)
                break
            except OSError as error:
                self._not_saved(error)
                if time.monotonic() > end or give_up():
                    return [f"The weights could not be saved: {cannot_save(error, self.path)}"]
                self._store.retry()
                time.sleep(min(0.5, self._store.limits.retry))
            except Exception as error:  # noqa: BLE001 - a device that is gone, too little memory: the run's record says it
                return [f"The weights could not be saved. {unexpected(error)}"]
        # Early stopping brings back an earlier epoch; a run that was stopped, or failed, ends in the middle of one.
        brought_back = trainer.epoch if status == RunStatus.FINISHED else None
        self.epochs.finish(*((brought_back.epoch, brought_back.step) if brought_back else last), self.path)
        return []

    def save_meanwhile(self, trainer: Trainer) -> None:
        """Save the weights while the run goes on; a disk that does not take them now may do so later."""
        try:
            save_weights(trainer.model, self.path)
        except OSError as error:
            self._not_saved(error)
        else:
            if self._unsaved:
                self._unsaved = False
                self._store.set_status(self._run_id, RunStatus.RUNNING)

    def _not_saved(self, error: OSError) -> None:
        if not self._unsaved:
            log(f"The weights could not be saved, and will be tried again: {error}")
        self._unsaved = True
        self._store.set_status(self._run_id, RunStatus.RUNNING, f"the weights cannot be saved just now ({error.strerror or error}); trying again")


def unexpected(error: Exception) -> str:
    """An error that nobody foresaw, for the store, with its traceback; the log has it too."""
    text = "".join(traceback.format_exception(error))
    log(text)
    return f"{type(error).__name__}: {error}\n\n{text}"
