"""What is remembered: the only SQL (`run_store`, its tables in `signal_tables`,
`queue_tables`, `bin_tables`, `label_tables` and `sweep_tables`, `database`, `migrations`), how steps lie in its tables
(`rows`), rows after a cursor (`stream`), and the weights that a run kept (`checkpoint` reads them, `saving` writes them and imports torch).

- A step is one row, its gradient norms one float32 blob. In place of a norm a frozen tensor has -1: a norm is never negative, so frozen,
  zero and not-a-number stay apart. NaN losses are NULL in SQLite and come back as NaN.
- Beside the steps lie power-of-two summaries (mean, min, max), built as a binary counter carries. The chart reads the level at which a run
  makes at most 256 heatmap columns and 1,024 points, whatever its length; when the level grows, the next message starts the chart over.
  Cost: one more row a step.
- `synchronous = FULL`: in WAL mode NORMAL may lose the last commits when the power goes. With four commits a second the price is nothing.
  What a process is about to do (claims, pids, what is being prepared) does not wait for that: after a loss of power there is no process.
- A worker writes through `patience`: what cannot be written waits in memory and is tried again. A run's folder holds enough (`run_folder`)
  to take the run in again (`recovery`). `trouble` says why a store cannot be used, from SQLite's codes, `reading` why a row cannot be read.
  The file is opened by SQLite alone: closing it elsewhere drops its locks.
- What waits for what is said by `waiting`, deleting is `bin`'s, `sizes` tells what lies on disk, and `freeing` gives some of it back.
- What people call a run lies in a table of its own (`label_tables`), which no worker writes, and in `labels.json` of its folder (`labelling`).
- What is read of many runs at once (a table, curves over each other) is read by `compare_tables`.
- Weights are saved at the end, and after an epoch when the last save is over 30 s ago. Of the epochs at most 12 are kept, evenly, in at
  most 3 % of the time, by a thread from a copy; a later epoch's file has only the tensors that differ from before training, so what is
  frozen is on disk once.
"""

from core.store.database import Statement
from core.store.reading import UnreadableRun
from core.store.run_store import Run, RunStore, Working
from core.store.signal_tables import progress_of
from core.store.trouble import StoreError

__all__ = ["Run", "RunStore", "Statement", "StoreError", "UnreadableRun", "Working", "progress_of"]
