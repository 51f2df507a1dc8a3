"""The line that a person types after `python -m core`.

Exit status: 0 done, 1 the run failed, 2 a value that cannot be used (one clear line on stderr).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from core.commands import COMMANDS, Parsers, module_of
from core.config.errors import ConfigError
from core.config.limits import cut, quoted
from core.machine.home import Home
from core.machine.paths import pasted


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = sys.argv[1:] if argv is None else argv
    arguments = _parser(given[0] if given else "").parse_args(given)
    try:
        return module_of(arguments.command).run(_home(arguments.home), arguments)
    except ConfigError as error:
        print(f"thaw: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"thaw: {error}", file=sys.stderr)
        return 2 if _is_of_the_store(error) else 1
    except KeyError as error:
        print(f"thaw: {cut(str(error.args[0]))}", file=sys.stderr)
        return 2


class _Parser(argparse.ArgumentParser):
    """One that does not write out everything that it was given, however long."""

    def error(self, message: str) -> NoReturn:
        """See `ArgumentParser`."""
        super().error(cut(message))


class _List(argparse.HelpFormatter):
    """Each command with what it does in one line: argparse forgets the indent of the longest, whose words it would put below."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = max(map(len, COMMANDS)) + 4


def _parser(command: str) -> argparse.ArgumentParser:
    """What reads a line that begins with `command`: of all the others it knows the names alone."""
    parser = _Parser(prog="python -m core", description="Fine-tuning that you can see through, without the browser.", formatter_class=_List)
    parsers = Parsers(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--home", metavar="DIR", help="where everything is kept (default: $THAW_HOME or .thaw)")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON on stdout")
    meant = COMMANDS.get(command, ("", ""))[0]
    for name, (module, _) in COMMANDS.items():
        if module != meant:
            parsers.add_parser(name)
        elif name == command:
            module_of(name).add(parsers, shared, as_json)
    return parser


def _home(path: str | None) -> Home:
    try:
        return Home.from_environment(str(pasted(path, "home")) if path else None)
    except OSError as error:
        remedy = "give another folder with --home or THAW_HOME"
        raise ConfigError("home", f"{quoted(error.filename)} cannot be made ({error.strerror}); {remedy}") from None


def _is_of_the_store(error: OSError) -> bool:
    from core.store.trouble import StoreError  # whoever raises it has imported it

    return isinstance(error, StoreError)
