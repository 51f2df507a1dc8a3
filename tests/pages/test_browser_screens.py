"""Every screen as a person meets it who has long names, a small window, dark eyes or no server: nothing is too wide, hidden, pale or silent."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from core.config import RunConfig
from core.machine.home import Home
from core.worker.supervisor import Supervisor
from tests.pages.test_browser import store_of
from tests.support import PATIENCE, ROOT, Server, nursery, wait_until, waiting

pytestmark = pytest.mark.browser

CLASSES = [f"{number:03d}{'W' * 57}" for number in range(120)]
FOLDER = f'<b>"it\'s" *many* <img src=x onerror=alert(1)>{"N" * 200}'
PARTS = ("try", "metrics", "confusion", "mistakes", "compare", "map")
MENU = ("Home", "Data", "Model", "Build", "Train", "Runs", "Sweeps", "Evaluate", "Autograd", "Notions")

CONTROLS = {
    "/": "Start the demo",
    "/build": "Small CNN",
    "/autograd": "Play",
    "/evaluate": "Another one",
    "/model?model=small_cnn&image_size=16&dataset=digits": "Start training",
}
"""What most people press first on a screen."""

TOO_WIDE = """() => [document.documentElement, document.querySelector('[data-testid="stMain"]')].map((each) => each.scrollWidth - each.clientWidth)"""


@pytest.fixture(scope="module", autouse=True)
def patient() -> None:
    """Tabs in profiles of their own are waited for as long as others."""
    expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture(scope="module")
def run_id(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A run of one epoch on 120 classes, each with a name of 60 letters and no space, in a folder that is called after no one's taste."""
    folder = tmp_path_factory.mktemp("many") / FOLDER
    write_classes(folder)
    store = store_of(server)
    supervisor = Supervisor(Home(server.home), store, nursery())
    config = RunConfig(dataset=f"folder:{folder}", model="small_cnn", image_size=16, epochs=1, batch_size=64, threads=1, device="cpu")
    made = supervisor.start(config)
    wait_until(lambda: not store.run(made).status.active, timeout=120, what="the end of the run")
    assert store.run(made).result is not None, store.run(made).error
    yield made
    supervisor.close()


def write_classes(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for part, count in (("train", 2), ("test", 1)):
        for name in CLASSES:
            (folder / part / name).mkdir(parents=True)
            for each in range(count):
                Image.fromarray(generator.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(folder / part / name / f"{each}.png")


def settled(page: Page) -> None:
    """Wait until nothing is being drawn or worked out any more."""
    expect(page.get_by_role("heading").first).to_be_visible()
    page.wait_for_timeout(300)
    expect(page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]')).to_be_attached()
    for waited in ("stSpinner", "stProgress", "stSkeleton"):
        expect(page.get_by_test_id(waited).filter(has_not_text="parameters learn")).to_have_count(0)  # the form has a bar of what learns


@pytest.mark.parametrize("part", PARTS)
def test_no_part_of_evaluate_is_wider_than_a_small_window(server: Server, page: Page, run_id: str, part: str) -> None:
    page.set_viewport_size({"width": 800, "height": 600})
    more = f"&with={run_id}" if part == "compare" else "&cell=0-1" if part == "confusion" else ""
    page.goto(f"{server.address}/evaluate?run={run_id}&view={part}{more}")
    settled(page)
    drawn = {"try": ".thaw-heat figure", "metrics": ".thaw-classes tr", "confusion": ".thaw-confusion-cell", "mistakes": ".thaw-wall li"}
    page.locator(drawn.get(part, {"compare": ".thaw-square", "map": ".thaw-map canvas"}.get(part, ""))).first.wait_for()
    assert page.evaluate(TOO_WIDE) == [0, 0]


def test_no_screen_is_wider_than_a_small_window(server: Server, page: Page, run_id: str) -> None:
    page.set_viewport_size({"width": 800, "height": 600})
    folder = quote(store_of(server).run(run_id).config.dataset, safe="")
    own = f"model=small_cnn&image_size=16&dataset={folder}"
    for path in ("/", "/build", "/runs", f"/model?{own}", f"/autograd?example=own&{own}", "/autograd?example=fine-tuning"):
        page.goto(f"{server.address}{path}")
        settled(page)
        assert page.evaluate(TOO_WIDE) == [0, 0], path
        if path == "/":
            expect(page.get_by_text(FOLDER[:50], exact=False).first).to_be_visible()  # as it is written: no mark of it means anything
            assert page.locator("main b img, [data-testid=stMain] img[src=x]").count() == 0


def test_in_a_small_window_the_menu_and_the_main_control_of_a_screen_can_be_pressed(server: Server, page: Page, run_id: str) -> None:
    page.set_viewport_size({"width": 800, "height": 600})
    for path, name in CONTROLS.items():
        page.goto(f"{server.address}{path}")
        settled(page)
        control = page.get_by_role("button", name=name).first
        expect(control).to_be_in_viewport(ratio=1)
        control.click(trial=True)  # fails where something lies over it
        for screen in MENU:
            page.get_by_role("navigation", name="App pages").get_by_role("link", name=screen, exact=True).click(trial=True)


def test_start_stays_in_sight_on_the_long_model_screen(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/model?model=small_cnn&image_size=16&dataset=digits")
    settled(page)
    start = page.get_by_role("button", name="Start training")
    page.get_by_text("When it learns, and how fast").scroll_into_view_if_needed()
    page.mouse.move(640, 500)
    page.mouse.wheel(0, 900)
    expect(start).to_be_in_viewport(ratio=1)
    start.click(trial=True)


GROUNDS = {
    name: "rgb({}, {}, {})".format(*bytes.fromhex(colours["backgroundColor"].removeprefix("#")))
    for name, colours in tomllib.loads((ROOT / ".streamlit/config.toml").read_text())["theme"].items()
    if name in ("light", "dark")
}
"""What the page stands on in either theme, as the browser says it."""


class Reader:
    """Looks at all texts in sight in both themes, first in the one that the page has been opened in, which takes turns."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.theme = "light"
        self.script = (ROOT / "tests/pages/contrast.js").read_text()

    def look(self, what: str) -> None:
        """All of it can be read, in both themes."""
        assert self._found(f"{what}, {self.theme}") == []
        self._in("dark" if self.theme == "light" else "light")
        assert self._found(f"{what}, {self.theme}") == []

    def finds(self) -> bool:
        """Whether something cannot be read, in the theme of now."""
        return bool(self.page.evaluate(self.script)["wrong"])

    def _in(self, theme: str) -> None:
        self.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        self.theme = theme
        expect(self.page.get_by_test_id("stApp")).to_have_css("background-color", GROUNDS[theme])
        self.page.wait_for_timeout(500)  # pictures on a canvas are painted anew 300 ms after the theme

    def _found(self, what: str) -> list[str]:
        found = self.page.evaluate(self.script)
        assert found["texts"] > 20, "nothing was looked at"
        return [f"{what}: {each}" for each in found["wrong"]]


@pytest.mark.timeout(300)  # ten screens, each in two themes
def test_every_text_in_sight_can_be_read_in_both_themes(server: Server, page: Page, run_id: str) -> None:
    reader = Reader(page)
    for path in (
        "/",
        "/build",
        f"/evaluate?run={run_id}&view=confusion",
        f"/evaluate?run={run_id}&view=mistakes",
        "/autograd?example=fine-tuning",
        "/train?new=1",
        f"/train?run={run_id}",
        "/runs",
    ):
        page.goto(f"{server.address}{path}")
        settled(page)
        reader.look(path)
    page.get_by_text("Room on disk").click()
    page.get_by_role("button", name=re.compile("^Free ")).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    reader.look("a question")
    page.goto(f"{server.address}/model?model=small_cnn&image_size=16&dataset=digits")
    settled(page)
    page.get_by_role("combobox").first.click()
    expect(page.get_by_role("option").first).to_be_visible()
    reader.look("a list to choose from")
    page.keyboard.press("Escape")
    page.get_by_test_id("stTooltipHoverTarget").first.hover()
    expect(page.get_by_test_id("stTooltipContent")).to_be_visible()
    reader.look("a tooltip")
    page.get_by_role("button", name="Gradual unfreezing").click()
    expect(page.get_by_role("button", name="A block each epoch")).to_be_visible()
    reader.look("a popover")
    page.evaluate(
        "() => { const pale = document.createElement('p'); pale.textContent = 'pale'; pale.style.color = '#777'; "
        "document.querySelector('[data-testid=\"stMain\"] h1').append(pale); }"
    )
    assert reader.finds(), "what is pale is found"


def test_while_the_server_is_gone_every_page_says_that_training_goes_on(own_server: Server, browser: Browser) -> None:
    pages = [browser.new_page() for _ in range(3)]
    try:
        for page, path in zip(pages, ("/", "/build", "/model?model=small_cnn&image_size=16&dataset=digits"), strict=True):
            page.goto(f"{own_server.address}{path}")
            settled(page)
            expect(page.locator(".thaw-server-gone")).to_be_empty()
        places = [page.locator("h1").first.bounding_box() for page in pages]
        own_server.kill()
        for page, place in zip(pages, places, strict=True):
            line = page.locator(".thaw-server-gone")
            expect(line).to_contain_text("The server does not answer. Runs that train go on in their own processes.")
            assert page.locator("h1").first.bounding_box() == place, "nothing moves"
            assert page.evaluate(TOO_WIDE) == [0, 0]
        own_server.start()
        for page in pages:
            expect(page.locator(".thaw-server-gone")).to_be_empty()
    finally:
        for page in pages:
            page.close()


def test_a_network_of_many_layers_can_be_worked_with(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/model?model=densenet201&image_size=64&dataset=digits")
    settled(page)
    tree = page.get_by_role("tree", name="Layers")
    expect(tree.get_by_role("treeitem").first).to_be_visible()
    page.get_by_role("button", name="Expand all").click()
    waiting(page, lambda: tree.get_by_role("treeitem").count() > 5, "the layers")
    height = page.locator(".thaw-tree").bounding_box()
    assert height is not None
    assert height["height"] < 600, "the tree scrolls by itself"
    layers = ", ".join(["conv 8, norm"] * 50)
    page.goto(f"{server.address}/build?network={quote(f'long: {layers}')}&size=16")
    settled(page)
    expect(page.locator(".net-totals")).to_contain_text("100 layers and the head")
    editor = page.locator(".thaw-net").bounding_box()
    assert editor is not None
    assert editor["height"] < 1000, "the list scrolls by itself"
    page.get_by_role("button", name="Save").click(trial=True)
