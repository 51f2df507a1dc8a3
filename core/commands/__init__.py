"""`python -m core`: without a browser, all that the screens do with one. `cli` reads the line; the commands have their modules.

A module says in `NAMES` which commands are its own, adds their parsers with `add`, and carries them out with `run`. Only the module of the
command at hand is imported, so that a list of runs does not pay for what training needs, nor `--help` for any of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, cast

from core.machine.home import Home

COMMANDS = {
    "train": ("train", "train in the foreground; Ctrl-C stops and saves"),
    "find-rate": ("find_rate", "try rising learning rates on a copy for some steps, and say which one to take, and why"),
    "runs": ("listing", "list the newest runs; filtered and sorted as you like"),
    "compare": ("comparison", "what differs between runs, what each came to, and runs that differ in their seed as mean and spread"),
    "diff": ("weights_difference", "how far each layer of two files of weights, or of two runs, is apart; exit status 1 if a frozen one moved"),
    "curves": ("curves", "import TensorBoard event files or a CSV file of curves, to be compared with runs; list and remove them"),
    "show": ("listing", "print one run"),
    "sweep": ("sweep", "do many runs that differ in what you name, and tell which is best; stop it, resume it, add more"),
    "audit": ("audit", "print what is frozen, what learns, and the proof; exit status 1 if anything is not as it should be"),
    "pause": ("steering", "pause a run after its step"),
    "stop": ("steering", "stop a run and save its weights; one that waits in the queue is cancelled"),
    "change": ("steering", "freeze, unfreeze or learn at another rate while a run trains"),
    "networks": ("own_networks", "list, save and delete networks of your own"),
    "catalog": ("names", "list the names that a config can use"),
    "code": ("code", "print the plain PyTorch script that does what a run did, or what a run with these settings would do; it needs nothing of Thaw"),
    "model": ("model", "print a model's layers, which are frozen, and what training them costs; or its source"),
    "explain": ("explain", "print a training step in slow motion: layers, gradients as they arrive, the update; the classic without any settings"),
    "evaluate": ("evaluate", "put a run's weights through the whole test set and print how good they are, with 95 % intervals"),
    "predict": ("predict", "what a run's weights make of pictures: the five likeliest classes of each, or a table of all probabilities"),
    "export": ("export", "take a run away: weights, ONNX, a script, tables, a report, a bundle"),
    "moved": ("evaluate", "say where the folder of a run's pictures is now"),
    "findings": ("findings", "print what is going wrong with a run, and what to do; exit status 1 for more than notes"),
    "break": ("findings", "train a small run that goes wrong on purpose, and print what is found"),
    "profile": ("profile", "print where the time of a step goes, block by block: of a running run's next few steps, else as it was last measured"),
    "recover": ("recover", "take in again the runs that lie on disk and are not listed; exit status 1 if one cannot be"),
    "forget": ("recover", "take a run off the list, also one that cannot be read; its folder stays"),
    "notions": ("notions", "list what a course on fine-tuning names, or explain one of it: a sentence, the code, where it is seen"),
    "modes": ("modes", "try requires_grad=False, eval(), no_grad() and inference_mode() on a model: gradients, statistics, dropout, memory"),
    "resume": ("resume", "let a paused run go on; continue one that was stopped, interrupted, lost or failed; train a finished one on"),
    "join": ("join", "share a run that another machine leads: its page there says the line; this machine's ranks end with the run"),
    "fork": ("fork", "branch off from a step of a run with another freeze plan, learning rate, optimizer or data, in the same batch order"),
    "slurm": ("slurm", "list the partitions of Slurm and the runs that are its jobs; say where the job of a run is, cancel it, print its log"),
    "queue": ("queue", "list the runs that wait for a place, the next one first, and order them"),
    "work": ("queue", "begin waiting runs as places become free, without a server; Ctrl-C ends it, runs go on"),
    "delete": ("bin", "put runs into the bin; restore brings them back"),
    "restore": ("bin", "bring runs back out of the bin"),
    "bin": ("bin", "list what lies in the bin, which a server empties after some weeks"),
    "disk": ("disk", "list what runs take on disk, by kind, and free kept epochs, checkpoints or features"),
    "check": (
        "check_data",
        "find pictures that a dataset of your own has twice, in two splits or with two labels, and what stands out; mend it",
    ),
    "doubts": ("check_data", "list labels of a dataset of your own that are likely wrong: 3-fold cross-validation of a head on frozen features"),
    "import": ("importing", "import pictures of your own as a dataset: an archive, a folder, or a table beside pictures"),
    "datasets": ("datasets", "list the datasets that were imported, their versions and how these differ; delete one and bring it back"),
    "label": ("label", "give a run a name, a note, tags or a star, whatever it does just now; with none of them print what it has"),
}
"""Each command with the module that it stands in, and what it does, in the order in which they are listed."""


class CommandModule(Protocol):
    """What a module of this package has."""

    NAMES: Sequence[str]

    def add(self, commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
        """Add a parser for each name to `commands`; `shared` and `as_json` are parents with --home and --json."""

    def run(self, home: Home, arguments: argparse.Namespace) -> int:
        """Carry out `arguments.command` and return the exit status. Raises ConfigError, KeyError and OSError: `cli` puts them into words."""


class Parsers:
    """Takes the parsers of commands, and gives each its words from `COMMANDS`.

    Args:
        subparsers: what `ArgumentParser.add_subparsers` returned.
    """

    def __init__(self, subparsers: Any) -> None:
        self._subparsers = subparsers

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """See `add_parser` of argparse's own; `help` is known already."""
        _, about = COMMANDS[name]
        parser: argparse.ArgumentParser = self._subparsers.add_parser(name, **{"help": about.replace("%", "%%"), "description": about, **options})
        return parser


def module_of(name: str) -> CommandModule:
    """The module that `name`, a key of `COMMANDS`, stands in. None of them imports torch before it is run."""
    return cast(CommandModule, import_module(f"core.commands.{COMMANDS[name][0]}"))
