"""Two commits side by side: their figures are set against each other rightly, and what cannot be compared is refused in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import against
from bench.__main__ import main
from bench.against import HERE, Refused, cells, compared, measure, python_for, resolved

HEADS = "| what | a step, ms | of a step | note |\n| --- | ---: | ---: | ---: |\n"

BENCH = """
import argparse, sys
BENCHES, PEERS = {names}, "peers"
if __name__ == "__main__":
    parser = argparse.ArgumentParser(); parser.add_argument("names", nargs="+"); parser.add_argument("--rounds", type=int)
    arguments = parser.parse_args()
    assert arguments.rounds == 1
    if {fails}: sys.exit("the model does not fit")
    print("| what | ms |\\n| --- | ---: |\\n| a row | {value} |")
"""


def commit(root: Path, value: float, names: str = "{'loop': 1}", fails: bool = False) -> str:
    """Make the bench print `value`, commit it, and return the commit."""
    (root / "bench").mkdir(exist_ok=True)
    (root / "bench" / "__init__.py").touch()
    (root / "bench" / "__main__.py").write_text(BENCH.format(names=names, fails=fails, value=value))
    (root / "requirements.txt").write_text("torch\n")

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
        return subprocess.run(["git", "-C", root, *who, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    if not (root / ".git").exists():
        git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "A bench")
    return git("rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, in which `against` works."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.setattr(against, "ROOT", root)
    return root


def worktrees(root: Path) -> int:
    return len(subprocess.run(["git", "-C", root, "worktree", "list"], capture_output=True, text=True, check=True).stdout.splitlines())


def test_both_commits_are_measured_and_nothing_of_the_other_is_left(project: Path) -> None:
    old = commit(project, 8.0)
    commit(project, 2.0)
    lines = list(measure(old, ["loop"], rounds=2))
    assert "| a row: ms | 8 | 2 | 0.250 |" in lines
    assert any(f"loop: {old[:7]} and {HERE}, 2 rounds in turn" in line for line in lines)
    assert worktrees(project) == 1


def test_what_is_here_is_measured_as_it_lies_here_committed_or_not(project: Path) -> None:
    commit(project, 8.0)
    file = project / "bench" / "__main__.py"
    file.write_text(file.read_text().replace("| 8.0 |", "| 4.0 |"))
    lines = list(measure("HEAD", ["loop"], rounds=1))
    assert "| a row: ms | 8 | 4 | 0.500 |" in lines
    assert any("HEAD (" in line for line in lines)


def test_a_bench_that_the_other_commit_lacks_or_that_fails_is_refused_and_nothing_is_left(project: Path) -> None:
    old = commit(project, 8.0, names="{'start': 1}")
    broken = commit(project, 8.0, fails=True)
    commit(project, 2.0)
    with pytest.raises(Refused, match=f"{old[:7]} has no bench loop; it has start, peers"):
        list(measure(old, ["loop"], rounds=1))
    with pytest.raises(Refused, match="ended with status 1:\nthe model does not fit"):
        list(measure(broken, ["loop"], rounds=1))
    assert worktrees(project) == 1


def test_a_commit_without_benches_is_refused(project: Path) -> None:
    commit(project, 1.0)
    file = project / "bench" / "__main__.py"
    before = file.read_text()
    file.write_text("")
    commit_here = subprocess.run(
        ["git", "-C", project, "-c", "user.name=S", "-c", "user.email=s@example.org", "commit", "--all", "--quiet", "--message", "None"], check=True
    )
    assert commit_here.returncode == 0
    file.write_text(before)
    with pytest.raises(Refused, match="has no benches that could be asked for .*ImportError.*; choose a newer commit"):
        list(measure("HEAD", ["loop"], rounds=1))


@pytest.mark.parametrize("revision", ["nowhere", "--output=x", "0000000000", "HEAD~99", ""])
def test_a_commit_that_is_none_is_refused(revision: str, project: Path) -> None:
    commit(project, 1.0)
    with pytest.raises(Refused, match="name a commit|name one that"):
        resolved(revision)


def test_a_commit_with_other_packages_has_an_environment_of_its_own(tmp_path: Path, project: Path) -> None:
    (project / "requirements.txt").write_text("torch\n")
    other = tmp_path / "other"
    (other / ".ci").mkdir(parents=True)
    (other / "requirements.txt").write_text("torch\n")
    assert python_for(other) == Path(sys.executable)
    (other / "requirements.txt").write_text("torch>=99\n")
    with pytest.raises(Refused, match="no .ci/environment.py"):
        python_for(other)
    maker = other / ".ci" / "environment.py"
    maker.write_text("import sys; print('making', file=sys.stderr); print('/some/where')")
    assert python_for(other) == Path("/some/where/bin/python")
    maker.write_text("import sys; sys.exit('no network')")
    with pytest.raises(Refused, match="could not be installed"):
        python_for(other)


def test_the_command_line_says_what_is_wrong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for words, said in (
        (["against"], "against needs a commit and what is to be measured"),
        (["against", "HEAD"], "against needs a commit and what is to be measured"),
        (["against", "HEAD", "speed"], "there is no measurement speed; there are "),
        (["against", "HEAD", "loop", "--rounds", "0"], "--rounds 0 measures nothing"),
    ):
        monkeypatch.setattr(sys, "argv", ["bench", *words])
        with pytest.raises(SystemExit):
            main()
        assert said in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["bench", "against", "nowhere", "loop"])
    assert main() == 1
    assert "git knows no commit nowhere" in capsys.readouterr().err


def test_cells_are_the_figures_of_all_tables_by_row_and_column() -> None:
    text = f"2 cores\n\n{HEADS}| head | 1,234.5 (1,000 to 2,000) | 4.40 % | exact |\n| head | **7** | | 2 threads |\n\n{HEADS}| all | 3 | no | 9 |\n"
    found = {place: value for place, (value, _) in cells(text).items()}
    assert found == {
        ("head", "a step, ms"): 1234.5,
        ("head", "of a step"): 4.4,
        ("head (2)", "a step, ms"): 7.0,
        ("head (2)", "note"): 2.0,
        ("all", "a step, ms"): 3.0,
        ("all", "note"): 9.0,
    }


def test_figures_are_medians_and_what_only_one_side_has_is_named() -> None:
    before = [{("a", "ms"): (value, "")} for value in (1.0, 9.0, 2.0)]
    now = [{("a", "ms"): (value, ""), ("b", "ms"): (1.0, "")} for value in (1.0, 1.0, 5.0)]
    lines = compared(before, now, "abc1234")
    assert lines[2] == "| a: ms | 2 | 1 | 0.500 |"
    assert lines[-1] == "Only in one of the two: b: ms (here)."
    assert compared([{}], [{}], "abc1234") == ["No figure is in the tables of both."]
