"""`python -m core join RUN@HOST:PORT --token TOKEN`: this machine shares a run that another one leads."""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from pathlib import Path

from core.commands import Parsers
from core.config import ConfigError
from core.config.limits import quoted
from core.machine.home import Home
from core.ranks.talk import Refused, Talk, TalkError, ask_in

NAMES = ("join",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    join = commands.add_parser("join", parents=[shared])
    join.add_argument("place", metavar="RUN@HOST:PORT", help="as the page of the run says it on the machine that leads")
    join.add_argument("--token", metavar="TOKEN", help="good for one machine; without it, it is asked for")
    join.add_argument("--node-rank", metavar="N", type=int, help="which machine of the run this one is, from 1; without it, as they come")
    join.add_argument("--dataset", metavar="NAME", help="where this machine has the pictures of the run, if elsewhere: folder:PATH")
    join.add_argument("--starting-weights", metavar="FILE", help="where this machine has the weights that the run starts from, if elsewhere")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Join, and stay until the run is over."""
    run_id, host, port = place(arguments.place)
    if arguments.node_rank is not None and arguments.node_rank < 1:
        raise ConfigError("node_rank", f"must be 1 or more, got {arguments.node_rank}; the machine that leads is 0")
    token = (arguments.token or _asked()).strip()
    talk = _let_in(host, port, run_id, token)
    from core.worker.joined import join  # torch is imported once somebody is there who leads

    changes = {"dataset": arguments.dataset, "starting_weights": arguments.starting_weights}
    problem = join(home, talk, run_id, host, {field: _value(field, value) for field, value in changes.items() if value}, _say, arguments.node_rank)
    _say(problem or f"{run_id} is over")
    return 1 if problem else 0


def place(text: str) -> tuple[str, str, int]:
    """Run, host and port of `RUN@HOST:PORT`. Raises ConfigError on `run`."""
    match = re.fullmatch(r"([\w.-]{1,100})@([\w.-]{1,150}):(\d{1,5})", text.strip(), re.ASCII)
    if match is None or not 1 <= int(match[3]) <= 65535:
        raise ConfigError("run", f"must be RUN@HOST:PORT, got {quoted(text)}; copy the line that the run's page shows on the machine that leads")
    return match[1], match[2], int(match[3])


def _let_in(host: str, port: int, run_id: str, token: str) -> Talk:
    try:
        return ask_in(host, port, run_id, token)
    except Refused as error:
        raise ConfigError("token", f"the token {error}; copy the line that the run's page shows now on the machine that leads") from None
    except TalkError as error:
        raise ConfigError("run", f"{run_id} cannot be joined: {error}; see that it waits, and that its address can be reached from here") from None


def _value(field: str, text: str) -> str:
    """A path as it is meant from here."""
    if field == "dataset" and text.startswith("folder:"):
        return f"folder:{Path(text.removeprefix('folder:')).expanduser().absolute()}"
    return text


def _asked() -> str:
    if not sys.stdin.isatty():
        raise ConfigError("token", "is missing; copy the line that the run's page shows on the machine that leads")
    return getpass.getpass("Token of the run: ")


def _say(text: str) -> None:
    print(f"thaw: {text}", file=sys.stderr, flush=True)
