"""Thaw's engine, in rooms. `ROOMS` is their order: a room may import what stands above it, never below; `tests/test_layers.py` sees to it.

Each room's `__init__.py` says what it is for and what stands in it.
"""

from core.machine.light_torch import compile_later

compile_later()

ROOMS = (
    "config",
    "machine",
    "records",
    "notions",
    "charts",
    "networks",
    "versions",
    "data",
    "staging",
    "helpers",
    "catalog",
    "store",
    "slurm",
    "sweeps",
    "importing",
    "model",
    "code",
    "signals",
    "reuse",
    "ranks",
    "training",
    "doctor",
    "measuring",
    "evaluation",
    "explaining",
    "curating",
    "comparing",
    "export",
    "worker",
    "lab",
    "nursery",
    "commands",
)
"""The rooms from the ground up."""
