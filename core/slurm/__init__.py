"""A cluster that works on runs: what Slurm is asked (`programs`), what its answers mean (`words`), and how a job gets there (`submitting`).

No torch, and submitit, an optional extra, only where a job is submitted. What a job tells is not read here: that is the store's
(`core.store.report_import`), and what is done with runs that are jobs the worker's (`core.worker.on_slurm`).
"""
