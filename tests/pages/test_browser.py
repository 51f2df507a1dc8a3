"""The main job, done as a person does it: a real server, a real worker, a real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torchvision
from playwright.sync_api import Browser, Locator, Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from core import catalog
from core.catalog.demo import DEMO
from core.config import RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import Run, RunStore
from core.store.checkpoint import weights_of
from core.worker.supervisor import Supervisor
from tests.support import PATIENCE, Server, nursery, wait_until, waiting

pytestmark = pytest.mark.browser

LABELS = (
    "Dataset", "Model", "Device", "Learning rate", "Epochs", "Batch size", "Image size", "Optimizer", "Loss", "Starting weights", "Freeze", "Seed",
)  # fmt: skip

# A run that goes on for minutes, some steps a second: time enough to steer it. By its epochs the nursery knows that it is to rest in between.
LONG = {"model": "resnet18", "freeze": "head only", "epochs": "444", "image_size": "32", "feature_cache": "off", "threads": "1"}
# One that is over in seconds.
SHORT = {"model": "resnet18", "freeze": "head only", "epochs": "1", "image_size": "32"}


def start_run(page: Page, server: Server, fields: dict[str, str]) -> str:
    """Open the form with `fields` filled in, press the button, wait for the run's own screen; returns the run's id."""
    page.goto(f"{server.address}/train?new=1&" + "&".join(f"{name}={value}" for name, value in fields.items()))
    expect(page.get_by_text("Trainable parameters", exact=True)).to_be_visible()
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url(re.compile(r"[?&]run="))
    return page.url.partition("run=")[2].partition("&")[0]


def store_of(server: Server) -> RunStore:
    return RunStore(server.home / "thaw.db")


def chart(page: Page) -> dict[str, Any]:
    """What the live chart says that it holds (`step`, `points`, `epochs`, `columns`, `layers`, `frozen`, ...), numbers as numbers."""
    held: dict[str, str] = page.locator(".thaw-live").last.evaluate("element => ({...element.dataset})")
    return {name: int(value) if value.lstrip("-").isdigit() else value for name, value in held.items()}


def wait_for_steps(page: Page, at_least: int) -> dict[str, Any]:
    """Wait until all charts and the table of layers, which is drawn once a second, have drawn that many steps."""
    page.locator(".thaw-live").last.wait_for(state="attached")

    def drawn() -> dict[str, Any]:
        held = chart(page)
        return held if held.get("whole", 0) >= at_least else {}

    return waiting(page, drawn, f"{at_least} steps on the chart")


def plot(page: Page, panel: str) -> Locator:
    return page.locator(f"[data-panel={panel}] .thaw-plot")


def line(page: Page, panel: str, name: str) -> list[float]:
    """The steps (x) of one line, as Plotly has drawn it."""
    return plot(page, panel).evaluate("(element, name) => Array.from(element.data.find((trace) => trace.name.startsWith(name))?.x ?? [])", name)


def visible_range(page: Page, panel: str) -> list[float]:
    return plot(page, panel).evaluate("element => element._fullLayout.xaxis.range.map(Number)")


def badge(page: Page, word: str) -> Locator:
    """The word for the status of the run that the screen is about: the first badge; those below belong to other runs."""
    return page.locator(".stMarkdownBadge").first.filter(has_text=word)


def metric(page: Page, label: str) -> int:
    text = page.get_by_test_id("stMetric").filter(has_text=label).get_by_test_id("stMetricValue").inner_text()
    return int(text.replace(",", ""))


def metric_is(page: Page, label: str, value: int) -> bool:
    return metric(page, label) == value


def status(server: Server, run_id: str) -> RunStatus:
    return store_of(server).run(run_id).status


def stop(server: Server, run_id: str) -> None:
    """End a run behind the browser's back, so that the next test has the machine to itself."""
    for process in [psutil.Process(run.pid) for run in store_of(server).runs(active=True) if run.id == run_id and run.pid]:
        process.terminate()
    wait_until(lambda: not status(server, run_id).active)


def ended(server: Server, run_id: str, timeout: float = 90) -> Run:
    wait_until(lambda: not status(server, run_id).active, timeout=timeout, what=f"the end of run {run_id}")
    return store_of(server).run(run_id)


@pytest.fixture
def going(server: Server) -> Iterator[str]:
    """The id of a `LONG` run that goes on. Tests share it: it rests where none of them looks at it, and is started anew if one has ended it."""
    store = store_of(server)
    supervisor = Supervisor(Home(server.home), store, nursery())
    config = catalog.check(RunConfig.model_validate({**LONG, "seed": 1}))
    run_id = next((run.id for run in store.runs(active=True) if run.config == config), None) or supervisor.start(config)
    if status(server, run_id) == RunStatus.PAUSED:
        supervisor.resume(run_id)
    wait_until(lambda: status(server, run_id) == RunStatus.RUNNING, what="the run going on")
    yield run_id
    if status(server, run_id).active:
        supervisor.pause(run_id)
        wait_until(lambda: status(server, run_id) == RunStatus.PAUSED, what="the pause")
    supervisor.close()


def test_the_demo_shows_moving_charts_soon_after_one_click(server: Server, page: Page) -> None:
    wait_until(lambda: nursery().ready, what="a nursery that has imported torch")
    page.goto(server.address)
    page.get_by_role("button", name="Start the demo").click()
    wait_for_steps(page, 1)
    run_id = page.url.partition("run=")[2].partition("&")[0]
    wait_until(lambda: status(server, run_id) == RunStatus.FINISHED, timeout=150, what="the demo's end")
    # small_cnn: 11 parameter tensors, all but the head's two frozen, then those of its first two stages, and in the end none.
    held = wait_for_steps(page, DEMO.epochs * 18)
    assert line(page, "loss", "training")[-1] == DEMO.epochs * 18
    assert (held["layers"], held["frozen"], held["columns"] > 0) == (11, 0, True)
    assert [(row.step, row.text, int(row.frozen.sum())) for row in store_of(server).changes_after(run_id)] == [
        (73, "!stage3", 6), (127, "train everything", 0),
    ]  # fmt: skip
    page.goto(server.address)
    expect(page.get_by_text("Once it has run from random weights too")).to_be_visible()


def test_the_form_has_the_promised_labels_and_what_is_being_set_up_survives_a_refresh(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/train?new=1")
    for label in LABELS:
        expect(page.get_by_test_id("stWidgetLabel").get_by_text(label, exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Start training", exact=True)).to_be_enabled()
    field = page.get_by_label("Epochs", exact=True)
    field.fill("17")
    field.press("Enter")
    page.wait_for_url(re.compile("epochs=17"))
    page.reload()
    expect(page.get_by_label("Epochs", exact=True)).to_have_value("17")


def test_a_run_is_started_paused_resumed_and_stopped_and_its_weights_load(server: Server, page: Page, tmp_path: Path) -> None:
    run_id = start_run(page, server, {**LONG, "seed": "7"})
    assert store_of(server).run(run_id).config.seed == 7
    wait_for_steps(page, 5)

    page.get_by_role("button", name="Pause").click()
    expect(badge(page, "Paused")).to_be_visible()
    paused_at = store_of(server).run(run_id).step
    page.wait_for_timeout(1500)
    assert store_of(server).run(run_id).step == paused_at
    assert status(server, run_id) == RunStatus.PAUSED

    page.get_by_role("button", name="Resume").click()
    wait_for_steps(page, paused_at + 5)

    page.get_by_role("button", name="Stop and save").click()
    expect(badge(page, "Stopped")).to_be_visible()
    run = ended(server, run_id)
    assert run.status == RunStatus.STOPPED
    wait_for_steps(page, run.step)
    assert line(page, "loss", "training")[-1] == run.step

    with page.expect_download() as download:
        page.get_by_role("button", name="Download weights").click()
    file = tmp_path / "weights.pth"
    download.value.save_as(file)
    by_hand = torchvision.models.resnet18(num_classes=10)
    by_hand.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert all(torch.isfinite(tensor).all() for tensor in by_hand.state_dict().values() if tensor.is_floating_point())


def test_a_finished_run_says_how_well_it_did_and_its_weights_are_those_it_saved(server: Server, page: Page, tmp_path: Path) -> None:
    run_id = start_run(page, server, SHORT)
    run = ended(server, run_id)
    assert run.status == RunStatus.FINISHED, run.error
    assert run.result is not None
    assert run.result.test_accuracy is not None
    weights = weights_of(Home(server.home), run)
    assert weights is not None
    shown = page.get_by_test_id("stMetric").filter(has_text="Test accuracy").get_by_test_id("stMetricValue")
    expect(shown).to_have_text(f"{100 * run.result.test_accuracy:.1f} %")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download weights").click()
    file = tmp_path / "weights.pth"
    download.value.save_as(file)
    assert file.read_bytes() == weights.read_bytes()
    torchvision.models.resnet18(num_classes=10).load_state_dict(torch.load(file, weights_only=True), strict=True)


def test_a_refresh_and_a_second_tab_show_the_same_run_with_its_whole_history(server: Server, page: Page, browser: Browser, going: str) -> None:
    page.goto(f"{server.address}/train?run={going}")
    wait_for_steps(page, 30)
    page.get_by_role("button", name="Pause").click()
    wait_until(lambda: status(server, going) == RunStatus.PAUSED)
    step = store_of(server).run(going).step
    wait_for_steps(page, step)
    history = line(page, "loss", "training")
    assert history == list(range(1, step + 1)), "every step is on the chart, once"

    page.reload()
    wait_for_steps(page, step)
    assert line(page, "loss", "training") == history
    assert chart(page)["run"] == going

    other = browser.new_context().new_page()  # another profile: nothing is shared with the first tab
    other.goto(f"{server.address}/train")
    wait_for_steps(other, step)
    assert chart(other)["run"] == going, "the screen without an address of its own shows the run that is going on"
    assert line(other, "loss", "training") == history

    other.get_by_role("button", name="Resume").click()
    wait_for_steps(page, step + 5)
    wait_for_steps(other, step + 5)
    assert line(page, "loss", "training")[: len(history)] == history
    other.context.close()


def test_zoom_survives_updates(server: Server, page: Page, going: str) -> None:
    page.goto(f"{server.address}/train?run={going}")
    wait_for_steps(page, 20)
    area = plot(page, "loss").locator(".nsewdrag").first
    box = area.bounding_box()
    assert box is not None
    area.hover(position={"x": 0.2 * box["width"], "y": 0.2 * box["height"]})  # waits until nothing moves under it
    box = area.bounding_box()
    assert box is not None
    page.mouse.down()
    before = visible_range(page, "loss")
    drawn = chart(page)["drawn"]
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=8)
    waiting(page, lambda: chart(page)["step"] > drawn + 10, "steps that come while the pointer is pressed")
    assert (chart(page)["drawn"], visible_range(page, "loss")) == (drawn, before), "nothing moves under a pressed pointer"
    page.mouse.up()
    waiting(page, lambda: visible_range(page, "loss") != before, "zoom")
    zoomed = visible_range(page, "loss")
    width = before[1] - before[0]
    assert zoomed == pytest.approx([before[0] + 0.2 * width, before[0] + 0.5 * width], abs=0.03 * width), "what was selected, and nothing else"

    held = wait_for_steps(page, chart(page)["step"] + 20)
    page.wait_for_timeout(2500)  # two ticks of the status fragment, several of the chart
    assert wait_for_steps(page, held["step"] + 1)["step"] > held["step"]
    assert visible_range(page, "loss") == pytest.approx(zoomed)
    assert visible_range(page, "rate") == pytest.approx(zoomed), "the charts share their axis of steps"

    page.get_by_role("button", name="Reset zoom").click()
    waiting(page, lambda: visible_range(page, "loss")[1] > zoomed[1] + 10, "the whole run on the chart again")


def test_home_lists_what_runs_and_what_this_machine_has(server: Server, page: Page, going: str) -> None:
    page.goto(server.address)
    expect(page.get_by_text("Running now")).to_be_visible()
    expect(page.get_by_role("link", name="digits with resnet18").first).to_have_attribute("href", re.compile(f"run={going}"))
    expect(page.get_by_text("Processor cores")).to_be_visible()
    expect(page.get_by_text(f"torch {torch.__version__.partition('+')[0]}")).to_be_visible()


def test_the_live_route_serves_this_site_only(server: Server, going: str) -> None:
    address = f"ws://127.0.0.1:{server.port}/live?run={going}"
    with connect(address, origin=f"http://127.0.0.1:{server.port}") as socket:  # type: ignore[arg-type]
        assert json.loads(socket.recv(timeout=PATIENCE))["run"]["id"] == going
    for refused in ({"origin": "http://elsewhere.example"}, {"additional_headers": {"Host": "elsewhere.example"}}):
        with pytest.raises(InvalidStatus) as refusal:
            connect(address, **refused)  # type: ignore[arg-type]
        assert refusal.value.response.status_code in (400, 403)


def test_a_killed_worker_is_said_to_be_lost_without_a_refresh(server: Server, page: Page, going: str) -> None:
    page.goto(f"{server.address}/train?run={going}")
    wait_for_steps(page, 3)
    pid = store_of(server).run(going).pid
    assert pid is not None
    psutil.Process(pid).kill()
    expect(page.get_by_text("The run was lost")).to_be_visible()
    assert status(server, going) == RunStatus.LOST
    assert line(page, "loss", "training")[0] == 1, "what was recorded is still shown"


def test_a_run_outlives_its_server_and_is_shown_by_the_next_one(own_server: Server, page: Page) -> None:
    run_id = start_run(page, own_server, LONG)
    before = wait_for_steps(page, 10)
    own_server.kill()
    step = store_of(own_server).run(run_id).step
    wait_until(lambda: store_of(own_server).run(run_id).step > step + 10, what="steps while no server runs")
    own_server.start()
    # The open page finds the new server by itself, and misses nothing.
    held = wait_for_steps(page, step + 10)
    assert held["run"] == run_id
    drawn = line(page, "loss", "training")
    assert drawn == list(range(1, len(drawn) + 1))
    assert held["step"] > before["step"]
    page.goto(own_server.address)
    page.get_by_role("link", name="digits with resnet18").first.click()
    wait_for_steps(page, held["step"])
    page.get_by_role("button", name="Stop and save").click()
    assert ended(own_server, run_id).status == RunStatus.STOPPED


def test_a_switch_in_the_layer_list_changes_the_counts(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/train?new=1&model=resnet18&freeze=train everything")
    expect(page.get_by_role("switch", name="freeze layer4", exact=True)).to_be_visible()
    everything = metric(page, "Trainable parameters")
    by_hand = torchvision.models.resnet18(num_classes=10)
    assert everything == sum(parameter.numel() for parameter in by_hand.parameters())
    assert metric(page, "Frozen parameters") == 0

    page.get_by_role("switch", name="freeze layer4", exact=True).click()
    below = sum(parameter.numel() for parameter in by_hand.layer4.parameters())
    waiting(page, lambda: metric(page, "Frozen parameters") == below, "the frozen count of layer4")
    assert metric(page, "Trainable parameters") == everything - below

    # One block of the group learns again: the group is frozen in part.
    page.get_by_role("treeitem", name=re.compile("^layer4,")).click()
    page.get_by_role("switch", name="freeze layer4.1", exact=True).click()
    block = sum(parameter.numel() for parameter in by_hand.layer4[1].parameters())
    waiting(page, lambda: metric(page, "Frozen parameters") == below - block, "the frozen count without layer4.1")
    expect(page.get_by_role("switch", name="freeze layer4", exact=True)).to_have_attribute("aria-checked", "mixed")

    # What the switches say is what the run does.
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url(re.compile(r"[?&]run="))
    run_id = page.url.partition("run=")[2].partition("&")[0]
    wait_for_steps(page, 1)
    plan = store_of(server).run(run_id).plan
    assert plan is not None
    assert {layer.name for layer in plan.layers if layer.frozen} == {f"layer4.0.{name}" for name, _ in by_hand.layer4[0].named_parameters()}
    stop(server, run_id)


def test_a_preset_changes_the_counts_before_anything_is_started(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/train?new=1&model=resnet18&freeze=norms only")
    expect(page.get_by_text("Trainable parameters", exact=True)).to_be_visible()
    for preset, left in (("head only", 5_130), ("train everything", 11_181_642)):
        page.get_by_test_id("stSelectbox").filter(has_text="Freeze").get_by_role("combobox").click()
        page.get_by_role("option", name=preset, exact=True).click()
        waiting(page, partial(metric_is, page, "Trainable parameters", left), f"the count of {preset!r}")


def test_a_bad_value_shows_its_error_by_the_field_and_starts_nothing(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/train?new=1")
    expect(page.get_by_text("Trainable parameters", exact=True)).to_be_visible()
    runs = len(store_of(server).runs())
    for label, value, complaint in (
        ("Learning rate", "0", "must be above 0"),
        ("Learning rate", "-1", "must be above 0"),
        ("Epochs", "0", "must be 1 or more"),
        ("Image size", "4", "must be 8 or more"),
    ):
        field = page.get_by_label(label, exact=True)
        good = field.input_value()
        field.fill(value)
        field.press("Enter")
        error = page.get_by_role("alert").filter(has_text=re.compile(complaint, re.IGNORECASE)).first
        expect(error).to_be_visible()
        above, below = field.bounding_box(), error.bounding_box()
        assert above is not None
        assert below is not None
        assert 0 < below["y"] - above["y"] < 150, "the error stands under its field"
        assert abs(below["x"] - above["x"]) < 60
        start = page.get_by_role("button", name="Start training")
        if start.is_enabled():
            start.click()
        page.wait_for_timeout(1000)
        assert len(store_of(server).runs()) == runs
        assert "run=" not in page.url
        field.fill(good)
        field.press("Enter")
        expect(error, "the error goes with its cause").not_to_be_visible()


def test_the_server_itself_never_loads_torch(server: Server, page: Page) -> None:
    page.goto(f"{server.address}/train?new=1")
    expect(page.get_by_text("Trainable parameters", exact=True)).to_be_visible()  # the lab has answered
    try:
        mapped = [region.path for region in psutil.Process(server.pid).memory_maps()]
    except (AttributeError, psutil.AccessDenied):
        pytest.skip("this system does not show what a process has mapped")
    assert any("python" in path for path in mapped)
    assert not [path for path in mapped if "libtorch" in path]
