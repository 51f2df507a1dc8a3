"""Fixtures. Tests use the real thing: SQLite in a folder of their own, a real worker, a real server, a real browser."""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import Any, ClassVar

# Before torch is imported, and for every process that a test starts: where tests run side by side, each keeps to its share of the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
side_by_side = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if side_by_side > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // side_by_side)))

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import local_script_runner

from core.machine import children
from core.machine.home import Home
from core.machine.jobs import JOBS, Child
from core.records.events import RunStatus
from core.store import RunStore, database, migrations
from tests.browser import arguments, find
from tests.javascript import Modules
from tests.support import PATIENCE, ROOT, Server, end_processes_of, nursery
from tests.tabs import ONE_PROCESS, profile, tab

settings.register_profile("thaw", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test is about time
settings.load_profile("thaw")

SHARED = Path(os.environ.get("THAW_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_real_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing that a test forgets to point elsewhere may land in a person's own `.thaw`."""
    os.environ["THAW_HOME"] = str(tmp_path_factory.mktemp("forgotten-home"))
    os.environ["TORCH_HOME"] = str(tmp_path_factory.mktemp("no-downloaded-weights"))  # what a form offers goes by what is there
    os.environ[children.SHARED] = "off"  # whoever wants a nursery takes the one of `tests.support`: each of its own would import torch


@pytest.fixture(scope="session", autouse=True)
def _components_are_looked_for_once() -> Iterator[None]:
    """Streamlit reads what each installed package says of itself to find components in it, a quarter of a second for each page that a test opens."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(manifest_scanner, "scan_component_manifests", lambda max_workers=None: list(found))
        yield


class _CompiledOnce(ScriptCache):
    """Scripts of pages as they lie on disk, compiled once for all runs of them."""

    compiled: ClassVar[dict[tuple[str, int, int], Any]] = {}

    def get_bytecode(self, script_path: str) -> Any:
        about = Path(script_path).stat()
        key = (script_path, about.st_mtime_ns, about.st_size)
        if key not in self.compiled:
            self.compiled[key] = super().get_bytecode(script_path)
        return self.compiled[key]


@pytest.fixture(scope="session", autouse=True)
def _runs_of_pages_are_waited_for_in_peace() -> Iterator[None]:
    """`AppTest` asks each millisecond whether the page's thread is done, looking through all that it has said so far, and compiles it each time."""
    asks = local_script_runner.require_widgets_deltas

    def waits(runner: local_script_runner.LocalScriptRunner, timeout: float = 3) -> None:
        assert runner._script_thread is not None
        runner._script_thread.join(timeout)
        asks(runner, timeout if runner.script_stopped() else 0)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(local_script_runner, "require_widgets_deltas", waits)
        patched.setattr(local_script_runner, "ScriptCache", _CompiledOnce)
        yield


@pytest.fixture(scope="session", autouse=True)
def _pictures_that_ship_are_made_once() -> Iterator[None]:
    """Each run on digits reads their table, a tenth of a second, and each on shapes draws 2,400 of them, two seconds: always the same ones."""
    embedded = sys.modules.get("core.data.embedded")  # not imported for this: whoever tests no data needs no torch
    if embedded is None:
        yield
        return
    table, drawn = cache(embedded._digits_table), embedded.drawn
    kept: dict[tuple[object, ...], tuple[Any, Any]] = {}

    @wraps(drawn)  # so that `inspect.unwrap` finds the real one
    def drawn_once(shapes: Sequence[str], each: int, progress: Callable[[str, float | None], None]) -> tuple[Any, Any]:
        key = (*shapes, each)
        if key not in kept:
            kept[key] = drawn(shapes, each, progress)
        images, labels = kept[key]
        return images.copy(), labels.copy()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(embedded, "_digits_table", lambda: table().copy())
        patched.setattr(embedded, "drawn", drawn_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _new_stores_get_the_schema_of_today_at_once() -> Iterator[None]:
    """The migrations, one after the other, are six of the ten milliseconds that a new store takes, and nearly every test has one."""
    with sqlite3.connect(":memory:", isolation_level=None) as made:
        migrations.migrate(made, Path(":memory:"))
        schema = [sql for (sql,) in made.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")]
    made.close()

    def migrate(connection: sqlite3.Connection, file: Path) -> None:
        if migrations._version(connection, file) == 0:
            connection.execute("BEGIN IMMEDIATE")
            if migrations._version(connection, file) == 0:
                for statement in (*schema, f"PRAGMA user_version = {len(migrations.MIGRATIONS)}"):
                    connection.execute(statement)
            connection.execute("COMMIT")
        migrations.migrate(connection, file)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "migrate", migrate)
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small networks are not quicker on two threads, and up to thirty times slower where another process wants the second core."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty home. Processes that still work in it when the test ends are killed."""
    home = Home.from_environment(str(tmp_path / "home"))
    yield home
    end_processes_of(home.path)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a screen starts is forked from the nursery of all tests."""
    monkeypatch.setenv(children.SHARED, str(nursery().address))


@pytest.fixture
def all_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what would get an interpreter of its own, for three seconds of importing torch, is forked from the nursery of all tests."""
    interpreters, ours = children.Interpreters.start, nursery()

    def start(self: children.Interpreters, module: str, *arguments: Any, **options: Any) -> Child:
        if module not in JOBS or self is ours._interpreters:
            return interpreters(self, module, *arguments, **options)
        return ours.start(module, *arguments, **{**options, "patient": True})

    monkeypatch.setattr(children.Interpreters, "start", start)


@pytest.fixture
def store(home: Home) -> RunStore:
    """A store on a real database file, with nothing in it."""
    return RunStore(home.database)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the clone, for tests marked `shared`."""
    return SHARED


@pytest.fixture(scope="session")
def long_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of `server`: starting one costs as much as two tests."""
    yield from _serve(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def server(long_server: Server) -> Iterator[Server]:
    """A running server with a home of its own, shared by many tests. Runs that still go on when a module is over are ended.

    One that a test has made up belongs to this process: it would hold its device's place, for which runs of the next module wait.
    """
    yield long_server
    store = RunStore(long_server.home / "thaw.db")
    runs = store.runs(active=True)
    end_processes_of(long_server.home, {run.pid for run in runs})
    for run in runs:
        if run.pid == os.getpid():
            store.end(run.id, RunStatus.STOPPED)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A running server for one test alone: one that kills it, or needs an empty home."""
    yield from _serve(tmp_path)


def _serve(folder: Path) -> Iterator[Server]:
    server = Server(folder / "home", folder / "server.log")
    try:
        server.start()
        yield server
    finally:
        server.close()


# Playwright's loop counts as running in this thread until it is stopped, so it must not outlive the module that needs it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    with sync_playwright() as playwright:
        path = find(playwright)
        assert path is not None, "no Chromium works here; `make browser` finds or installs one"
        browser = playwright.chromium.launch(executable_path=path, args=[*arguments(), ONE_PROCESS])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A profile of the browser for all tests of a file; see `tests.tabs`."""
    expect.set_options(timeout=1000 * PATIENCE)
    with profile(browser) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """An empty tab of 1280 x 900 pixels that knows nothing of other tests. An exception in the page's own script fails the test."""
    with tab(context) as page:
        yield page


@pytest.fixture(scope="module")
def blank(browser: Browser) -> Iterator[Modules]:
    """A blank page for `modules`, one for all tests of a file: the scripts are loaded once."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield Modules(context.new_page())
    context.close()


@pytest.fixture
def modules(blank: Modules) -> Iterator[Modules]:
    """Our JavaScript modules in a page of their own. An exception in it, or a request to anywhere else, fails the test."""
    yield blank
    blank.page.wait_for_timeout(0)  # what is on its way comes in
    found, blank.errors, blank.elsewhere = [*blank.errors, *blank.elsewhere], [], []
    blank.empty()
    assert not found, f"the page's script raised, or asked elsewhere: {found}"


def pytest_configure() -> None:
    """Thousands of tests, torch and pages are millions of objects that stay: to look through them again and again took a quarter of the time."""
    gc.set_threshold(20_000, 20, 50)


def pytest_collection_finish() -> None:
    """What is there now stays to the end, and need not be looked through."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `shared`, saying why, where the folder is not there."""
    if item.get_closest_marker("shared") and not SHARED.exists():
        pytest.skip(f"the real data in {SHARED} is not on this machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add a screenshot and the server's log to the report of a browser test that failed."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Server):
                report.sections.append((f"{name}: log", value.log_tail()))
            elif isinstance(value, Page) and call.when == "call":
                picture = item.config.rootpath / ".pytest_cache" / "screenshots" / f"{item.name}.png"
                try:
                    value.screenshot(path=picture, timeout=10_000)
                    said = str(picture)
                except PlaywrightError as error:  # what this raises would end the whole session
                    said = f"none could be taken: {error.message.partition(chr(10))[0]}"
                report.sections.append((f"{name}: screenshot", f"{said}\naddress: {value.url}"))
    return report
