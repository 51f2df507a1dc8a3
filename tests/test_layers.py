"""The rules of the house: who may import what, read from the source, and what a fresh process really loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from core import ROOMS
from pages import _parts
from tests.house import ROOT, arrows, imports, names_of, tree, up

CORE = sorted((ROOT / "core").rglob("*.py"))
WEB = [ROOT / "dashboard.py", *sorted((ROOT / "pages").rglob("*.py"))]
PROJECT = ("core", "pages", "dashboard", "tests", "bench")

# Modules of core that the web process imports. They, and all they import at the top, stay free of torch.
TORCH_FREE = (
    "core.config.limits",
    "core.config.errors",
    "core.config.plans",
    "core.config.devices",
    "core.config",
    "core.records.events",
    "core.records.findings",
    "core.records.speed",
    "core.records.layers",
    "core.catalog.batches",
    "core.machine.home",
    "core.machine.children",
    "core.machine.files",
    "core.machine.handles",
    "core.machine.origins",
    "core.machine.sockets",
    "core.store.rows",
    "core.store",
    "core.store.stream",
    "core.records.summaries",
    "core.records.telling",
    "core.catalog",
    "core.worker.supervisor",
    "core.lab.lab",
    "core.machine.hardware",
    "core.ranks.signs",
    "core.records.cost",
    "core.lab.cost_desk",
    "core.store.checkpoint",
    "core.records.evaluation",
    "core.evaluation.desk",
    "core.evaluation.predictions",
    "core.evaluation.relocation",
    "core.evaluation.metrics",
    "core.evaluation.telling",
    "core.evaluation.learned_from",
    "core.evaluation.pictures",
    "core.evaluation.asked",
    "core.records.export",
    "core.export.formats",
    "core.export.export",
    "core.export.desk",
    "core.curating.desk",
    "core.curating.mending",
    "core.curating.judged",
    "core.records.walkthrough",
    "core.records.modes",
    "core.notions",
    "core.doctor",
    "core.catalog.faults",
    "core.charts",
    "core.networks",
    "core.code",
    "core.versions",
    "core.importing.plan",
    "core.importing.desk",
    "core.importing.keeping",
)


def imports_at_load(path: Path) -> set[str]:
    """Like `imports`, but only what runs when the file is loaded: not inside functions, not for type checkers alone."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree(path)]
    while waiting:
        node = waiting.pop()
        found |= names_of(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def uses(names: Set[str], module: str) -> bool:
    """True if one of `names` is `module` or lies below it."""
    return any(name == module or name.startswith(module + ".") for name in names)


def offenders(files: list[Path], modules: tuple[str, ...], allowed: tuple[str, ...] = ()) -> list[str]:
    """`file imports module` for every file that imports one of `modules`; `allowed` are files and folders, from the root."""
    return [
        f"{relative(path)} imports {module}"
        for path in files
        if not relative(path).startswith(allowed or ("\0",))
        for module in modules
        if uses(imports(path), module)
    ]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_core_knows_no_web_framework() -> None:
    frameworks = ("streamlit", "starlette", "fastapi", "uvicorn", "websockets", "tornado", "aiohttp")
    assert offenders(CORE, frameworks) == []


def test_core_knows_no_page() -> None:
    assert offenders(CORE, ("pages", "dashboard", "tests", "bench")) == []


def test_pages_touch_no_torch_no_sql_and_no_process() -> None:
    assert offenders(WEB, ("torch", "torchvision", "sqlite3", "subprocess", "multiprocessing", "concurrent.futures.process")) == []


def test_pages_do_not_import_what_imports_torch() -> None:
    reached: dict[str, str] = {}
    waiting = [(path, relative(path)) for path in WEB]
    while waiting:
        path, trail = waiting.pop()
        for name in imports_at_load(path):
            assert not uses({name}, "torch"), f"torch is loaded with a page: {trail} -> {name}"
            assert not uses({name}, "torchvision"), f"torchvision is loaded with a page: {trail} -> {name}"
            for file in files_of(name):
                if relative(file) not in reached:
                    reached[relative(file)] = trail
                    waiting.append((file, f"{trail} -> {relative(file)}"))
    assert "core/store/run_store.py" in reached, "the walk did not reach the store, so it proves nothing"


def files_of(name: str) -> Iterator[Path]:
    """Files that run when the project's module `name` is imported: its own and those of the packages above it."""
    parts = name.split(".")
    if parts[0] not in PROJECT:
        return
    for end in range(1, len(parts) + 1):
        stem = ROOT.joinpath(*parts[:end])
        yield from (file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.exists())


def test_plotly_is_only_in_charts_and_in_the_live_chart() -> None:
    # assets.py serves the script file that lies in the package.
    assert (
        offenders([*CORE, *WEB], ("plotly",), allowed=("core/charts/", "pages/_parts/components/live_chart", "pages/_parts/shared/assets.py")) == []
    )


def test_sql_is_only_in_the_store_and_its_migrations() -> None:
    allowed = tuple(
        f"core/store/{name}.py"
        for name in (
            "run_store",
            "signal_tables",
            "queue_tables",
            "bin_tables",
            "label_tables",
            "compare_tables",
            "sweep_tables",
            "fork_tables",
            "forgetting_tables",
            "job_tables",
            "continued",
            "database",
            "migrations",
        )
    )
    assert offenders([*CORE, *WEB], ("sqlite3",), (*allowed, "core/store/trouble.py")) == []  # what SQLite complains of, in words
    sql = re.compile(r"^\s*(SELECT .* FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE|ALTER TABLE|PRAGMA )", re.IGNORECASE | re.DOTALL)
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in [*CORE, *WEB]
        if relative(path) not in allowed
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and sql.match(node.value)
    ]
    assert found == []


def test_processes_are_started_in_one_file() -> None:
    modules = ("subprocess", "multiprocessing", "concurrent.futures.ProcessPoolExecutor", "os.fork", "torch.multiprocessing")
    assert offenders([*CORE, *WEB], modules, allowed=("core/machine/children.py",)) == []


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("core/config/limits.py", ()),
        ("core/config/errors.py", ("core.config.limits",)),
        ("core/records/events.py", ()),
        ("core/records/findings.py", ()),
        ("core/config/plans.py", ("core.config.errors", "core.config.limits")),
        (
            "core/config/run_config.py",
            ("core.config.cluster", "core.config.devices", "core.config.errors", "core.config.examples", "core.config.limits", "core.config.plans"),
        ),
    ],
)
def test_the_contract_modules_import_nothing_of_the_project_but_each_other(name: str, below: tuple[str, ...]) -> None:
    found = imports(ROOT / name)
    assert not [module for module in found if module.split(".")[0] in PROJECT and not module.startswith(below)]


def test_the_trainer_knows_no_store_no_clock_no_disk_and_guesses_no_device() -> None:
    trainer = ROOT / "core/training/trainer.py"
    core = (
        "core.store",
        "core.store.migrations",
        "core.machine.home",
        "core.worker.supervisor",
        "core.worker.process",
        "core.store.stream",
        "core.lab.lab",
        "core.commands.cli",
        "core.model.weights",
        "core.machine.devices",
        "core.machine.hardware",
    )
    library = ("time", "datetime", "sqlite3", "pathlib", "os", "shutil", "tempfile", "io", "logging", "psutil", "tqdm")
    assert offenders([trainer], (*core, *library)) == []
    calls = [node.func for node in ast.walk(tree(trainer)) if isinstance(node, ast.Call)]
    called = {function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "") for function in calls}
    assert called & {"is_available", "device_count", "save", "load", "open", "print"} == set()


def test_a_fresh_process_with_what_screens_use_has_not_loaded_torch(tmp_path: Path) -> None:
    # The screens themselves are scripts that Streamlit runs: the test above reads their imports, and test_browser looks into a real server.
    parts = sorted((ROOT / "pages" / "_parts").rglob("*.py"))
    pages = [relative(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__") for path in parts]
    program = f"""
import importlib, sys
for name in {[*TORCH_FREE, *pages, "dashboard"]!r}:
    importlib.import_module(name)
    heavy = sorted(set(sys.modules) & {{"torch", "torchvision", "sklearn"}})
    assert not heavy, f"importing {{name}} loads {{heavy}}"
print("clean")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "THAW_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("clean\n")


def test_rooms_are_those_that_stand_in_the_order() -> None:
    for folder, rooms in ((ROOT / "core", ROOMS), (ROOT / "pages" / "_parts", _parts.ROOMS)):
        assert sorted(path.parent.name for path in folder.glob("*/__init__.py")) == sorted(rooms)


def test_no_arrow_between_rooms_runs_back_up() -> None:
    found = arrows(ROOT / "core", "core")
    assert ("training", "reuse") in found, "the trainer's own arrow was not seen, so this proves nothing"
    assert up(ROOMS, found) == []
    found = arrows(ROOT / "pages" / "_parts", "pages._parts")
    assert ("run", "components") in found, "the live chart's arrow was not seen, so this proves nothing"
    assert up(_parts.ROOMS, found) == []


def test_an_arrow_that_runs_back_up_is_seen(tmp_path: Path) -> None:
    for room, text in (("above", ""), ("below", "def later():\n    from house.above import door\n"), ("cellar", "import house.below.stairs\n")):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text(text)
    found = arrows(tmp_path, "house")
    assert up(("above", "below", "cellar"), found) == []
    assert up(("cellar", "below", "above"), found) == [
        "below/__init__.py imports house.above",
        "below/__init__.py imports house.above.door",
        "cellar/__init__.py imports house.below.stairs",
    ]


def test_few_files_stand_outside_of_rooms() -> None:
    assert len([path for path in (ROOT / "core").iterdir() if path.is_file()]) <= 6
    assert len([path for path in (ROOT / "pages" / "_parts").iterdir() if path.is_file()]) <= 12


def test_tests_mirror_the_rooms() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/*.py")}
    assert folders <= {*ROOMS, "pages", "claims"}
    assert {"training", "reuse", "store", "pages"} <= folders


def test_every_module_says_what_it_is_for() -> None:
    silent = [relative(path) for path in [*CORE, *WEB] if path.read_text(encoding="utf-8").strip() and not ast.get_docstring(tree(path))]
    assert silent == []


def tracked() -> list[Path]:
    """The text files that git tracks, or would with the next `git add`."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip(f"this is no git checkout, so nothing is tracked: {listed.stderr.decode().strip()}")
    no_text = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".woff2", ".safetensors"}
    return [path for name in listed.stdout.decode().split("\0") if (path := ROOT / name).is_file() and path.suffix not in no_text]


def test_no_tracked_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    # Put together from pieces, so that this file does not find itself.
    hosts = (r"pypi\.", r"files\.pythonhosted\.", r"registry\.npmjs\.", r"anaconda\.")
    registry = re.compile(rf"\b({'|'.join(hosts)})org\b")
    folders = ("work", "root", "farm", r"home/\w+", r"Users/\w+", "opt/(pypi|wheels)")
    folder = re.compile(rf"(?<![\w.$}}~-])/({'|'.join(folders)})/")
    found = [
        f"{relative(path)}:{number}: {line.strip()[:100]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if registry.search(line) or folder.search(line) or f"{ROOT}/" in line
    ]
    assert found == []


def test_no_tracked_file_is_large() -> None:
    assert [f"{relative(path)}: {path.stat().st_size / 1e6:.1f} MB" for path in tracked() if path.stat().st_size > 2_000_000] == []
