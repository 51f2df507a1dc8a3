"""What is remembered: the only SQL (`run_store`, `rows`, `migrations`), rows after a cursor (`stream`), and the weights that a run kept.

`saving` writes those and imports torch; the web process uses all the others.
"""

from core.store.run_store import Run, RunStore, StoreError

__all__ = ["Run", "RunStore", "StoreError"]
