"""What a command imports: those that only list, print or ask import neither torch nor anything else that takes long."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

from core.commands import COMMANDS, module_of
from core.commands.cli import main
from core.config import RunConfig
from core.machine.home import Home, child_environment
from core.records.events import RunStatus
from core.store import RunStore
from tests.support import ROOT

HEAVY = ("torch", "torchvision", "sklearn", "scipy", "pandas", "streamlit", "plotly", "matplotlib", "lightning")


LINES: dict[str, list[list[str]]] = {
    "runs": [[], ["--json"], ["--status", "stopped", "--sort", "best"]],
    "compare": [["RUN", "nothing"]],
    "curves": [[], ["--json"], ["--remove", "curves-000000000000"]],
    "diff": [["--help"]],
    "show": [["RUN"], ["RUN", "--json"]],
    "audit": [["RUN"]],
    "pause": [["RUN"]],
    "stop": [["RUN"]],
    "change": [["RUN", "all"]],
    "networks": [[], ["--save", "mine: conv 8, relu, global pool"], ["--json"], ["--code", "mine"], ["--delete", "mine"], ["--restore", "mine"]],
    "catalog": [[], ["--json"]],
    "code": [["RUN"]],
    "sweep": [["--list"], ["--list", "--json"], ["--show", "nothing"], ["--stop", "nothing"], ["--vary", "nothing"]],
    "train": [["--queue", "--dataset", "digits", "--model", "small_cnn"], ["--model", "resnet81"]],
    "evaluate": [["nothing"]],
    "moved": [["nothing", "/"]],
    "export": [["nothing", "--format", "csv"]],
    "findings": [["RUN"]],
    "break": [[]],
    "profile": [["RUN"]],
    "recover": [[], ["--json"]],
    "notions": [[], ["backprop"]],
    "slurm": [[], ["RUN"], ["nothing"]],
    "queue": [[], ["--json"], ["--slots", "2"]],
    "work": [],
    "resume": [["nothing"]],
    "find-rate": [["--model", "resnet81"], ["--from", "nothing"], ["--steps", "1"]],
    "join": [["nothing"], ["RUN@127.0.0.1:1", "--token", "0"]],
    "fork": [["RUN", "--step", "1"], ["nothing", "--step", "1", "--set", "model=resnet34"]],
    "label": [["RUN", "--name", "a name"], ["RUN"]],
    "disk": [[], ["--json"], ["--free", "epochs"]],
    "delete": [["RUN"]],
    "bin": [[], ["--json"]],
    "restore": [["RUN"]],
    "forget": [["RUN"]],
    "check": [["own:nothing"]],
    "doubts": [["own:nothing"]],
    "import": [["nothing", "--name", "mine"], ["/", "--look", "--reading", "table=no.csv"]],
    "datasets": [[], ["--json"], ["nothing"], ["--delete", "nothing"]],
}
"""What is tried of each command. RUN is a run that has ended. `explain`, `modes`, `model` and `predict` compute whatever they are given, `code` too
where it is given settings in place of a run."""

WALK = """
import sys
from core.commands.cli import main

assert not [name for name in sys.modules if name.startswith(("numpy", "pydantic", "core.store", "core.catalog"))], "for a line of help"
for line in {lines!r}:
    try:
        status = main(line)
    except SystemExit as leaving:
        status = leaving.code
    heavy = sorted(set({heavy!r}) & set(sys.modules))
    assert not heavy, f"{{line}} imports {{heavy}}"
    print("ended", line, status, file=sys.stderr)
"""


def lines(run_id: str) -> list[list[str]]:
    """`--help`, the help of each command, and then `LINES`."""
    helps = [["--help"], *([name, "--help"] for name in COMMANDS)]
    tried = [[name, *(run_id if word == "RUN" else word for word in words)] for name, lists in LINES.items() for words in lists]
    return [*helps, *tried]


def test_commands_that_list_or_ask_import_no_torch(home: Home) -> None:
    store = RunStore(home.database)
    run_id = store.create_run(RunConfig(dataset="digits", model="small_cnn", image_size=16))
    store.end(run_id, RunStatus.STOPPED)
    walked = lines(run_id)
    program = WALK.format(lines=walked, heavy=HEAVY)
    environment = {**child_environment(), "THAW_HOME": str(home.path)}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    ended = [line.rpartition(" ") for line in done.stderr.splitlines() if line.startswith("ended ")]
    assert len(ended) == len(walked), done.stderr
    status = {line.removeprefix("ended "): int(number) for line, _, number in ended}
    assert {status[str(line)] for line in walked if "--help" in line} == {0}
    assert status[str(["show", run_id])] == 0
    assert status[str(["delete", run_id])] == 0
    assert status[str(["restore", run_id])] == 0


def test_a_command_leaves_no_log_of_sqlite_beside_the_store(home: Home) -> None:
    """Whoever copies `thaw.db` between two commands has all of it."""
    environment = {**child_environment(), "THAW_HOME": str(home.path)}
    line = [sys.executable, "-m", "core", "train", "--queue", "--dataset", "digits", "--model", "small_cnn"]
    subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=120)
    assert sorted(path.name for path in home.path.glob("thaw.db*")) == ["thaw.db"]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_stands_in_the_module_that_the_list_names_and_in_no_other(name: str) -> None:
    assert name in module_of(name).NAMES
    assert {other for other in COMMANDS if COMMANDS[other][0] == COMMANDS[name][0]} == set(module_of(name).NAMES)


def test_the_list_of_commands_says_what_each_does_and_so_does_its_own_help() -> None:
    text = _help("--help")
    for name, (_, about) in COMMANDS.items():
        assert f"\n    {name} " in text
        assert " ".join(about.split()) in " ".join(text.split())
    assert "with 95 % intervals" in " ".join(_help("evaluate", "--help").split())
    assert "95 %%" not in text


def test_every_module_of_commands_is_named_in_the_list() -> None:
    folder = ROOT / "core" / "commands"
    own = {path.stem for path in folder.glob("*.py") if "\nNAMES" in path.read_text()}
    assert own == {module for module, _ in COMMANDS.values()}


def _help(*line: str) -> str:
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(io.StringIO()), pytest.raises(SystemExit):
        main(line)
    return output.getvalue()
