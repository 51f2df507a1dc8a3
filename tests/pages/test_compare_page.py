"""The Compare screen and the table on Runs, without a browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import anyio
import pytest

from core.comparing import imported
from core.comparing.imported import Imported, curve_of
from core.lab.comparing import ComparingDesk, answer
from core.records.labels import LabelChange
from pages._parts.compare import curve_routes
from pages._parts.compare.subject import ids_asked, subject
from pages._parts.shared import assets
from pages._parts.shared.services import Services
from tests.comparing.compare_cases import MadeRun
from tests.pages.pages_cases import errors, healthy, open_page, press, shown, widget
from tests.support import PATIENCE

HOSTILE = '"q" <img src=x> *bold* :red[x] $x$'


def runs(shared: Services, count: int = 3, **settings: Any) -> list[str]:
    found = []
    for seed in range(count):
        run = MadeRun(shared.store, seed=seed, **settings)
        run.train(20)
        run.end()
        found.append(run.id)
    return found


def test_without_runs_it_says_what_to_do(shared_services: Services) -> None:
    app = open_page("compare.py")
    assert any("Choose two runs or more above" in each.value for each in app.info)
    assert not app.warning


def test_a_link_shows_runs_their_values_and_what_differs(shared_services: Services) -> None:
    ids = runs(shared_services)
    shared_services.store.label(ids[0], LabelChange(HOSTILE))
    other = MadeRun(shared_services.store, model="resnet18", freeze="head only")
    app = open_page("compare.py", runs=",".join([*ids, other.id]), x="epoch", smooth="0.9")
    assert app.session_state["x"] == "epoch"
    assert app.session_state["smooth"] == 0.9
    came_to, differs = (each.value for each in app.dataframe)
    assert came_to["Run"].tolist()[0] == HOSTILE
    assert came_to["Best validation"].tolist()[0].startswith("66.7")
    assert came_to["at epoch"].tolist()[0] == 2
    assert set(differs["Setting"]) == {"Model", "Freeze", "Seed"}
    assert "3 runs differ in their seed alone (0, 1, 2)" in shown(app)


def test_runs_that_are_gone_are_said_and_can_be_left_out_or_brought_back(shared_services: Services) -> None:
    ids = runs(shared_services, 2)
    shared_services.store.put_into_bin(ids[0])
    app = open_page("compare.py", runs=f"{ids[0]},{ids[1]},no-*such*-run")
    assert [each.value.partition("`")[0] for each in app.warning] == ["", "There is no run "]
    press(app, "Restore")
    assert shared_services.store.binned() == {}
    app = open_page("compare.py", runs=f"{ids[0]},no-such-run")
    press(app, "Leave it out")
    assert app.query_params["runs"] in (ids[0], [ids[0]])


def test_runs_are_added_and_taken_away_and_the_address_follows(shared_services: Services) -> None:
    ids = runs(shared_services)
    app = open_page("compare.py", runs=ids[0])
    (picker,) = [each for each in app.multiselect if each.label == "Runs"]
    assert picker.value == [ids[0]]
    healthy(picker.set_value([ids[0], ids[2]]).run())
    assert app.query_params["runs"] in (f"{ids[0]},{ids[2]}", [f"{ids[0]},{ids[2]}"])


def test_a_link_with_too_many_runs_compares_as_many_as_it_can(shared_services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pages._parts.compare.subject.st.query_params", {"runs": ",".join(f"run{number}" for number in range(45)) + ",run0,,"})
    ids, more = ids_asked()
    assert (len(ids), more) == (40, 5)


def test_imported_curves_stand_beside_runs_and_what_was_not_read_is_said(shared_services: Services) -> None:
    (id,) = imported.keep(shared_services.home, [Imported(HOSTILE, "/logs", (curve_of("extra", [(1, 2.0, 0.0)]),), ("5 bytes could not be read.",))])
    app = open_page("compare.py", runs=",".join([*runs(shared_services, 1), id]))
    assert any("5 bytes could not be read" in each.value for each in app.warning)
    (more,) = [each for each in app.multiselect if each.label == "More imported curves"]
    assert more.options == ["extra"]
    press(app, "Remove")
    assert imported.listed(shared_services.home) == {}
    press(app, "Undo")
    assert list(imported.listed(shared_services.home)) == [id]


def test_files_are_sent_from_the_browser_and_compared(shared_services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    home = shared_services.home

    def at_once(_desk: ComparingDesk, client: str, path: str, name: str, number: int, sent: bool = False) -> list[str]:
        return answer(home, {"question": "curves", "path": path, "name": name, "sent": sent}, lambda: False, lambda *_: None)

    monkeypatch.setattr(ComparingDesk, "curves", at_once)
    app = open_page("compare.py")
    files, folder = app.file_uploader
    healthy(folder.set_value([("exp/notes.md", b"# no", "text/plain")]).run())
    assert "None of these files is an event file" in errors(app)
    files, folder = app.file_uploader
    healthy(files.set_value([(f"{HOSTILE}.csv", b"step,loss\n1,2.0\n2,1.0\n", "text/csv")]).run())
    ((id, one),) = imported.listed(home).items()
    assert one.source == f"sent by a browser: {HOSTILE.replace(':', '_')}.csv"
    assert app.query_params["runs"] in (id, [id])
    assert not app.file_uploader[0].value, "the field is empty again"
    assert "those of imported curves are below their charts" in shown(app)
    assert "1 curve, 2 points" in shown(app)
    assert list(home.cache.glob("sent-curves-*")) == []


def test_names_in_the_chart_tell_runs_apart_and_groups_are_repeats(shared_services: Services) -> None:
    ids = tuple(runs(shared_services, 2))
    for id in ids:
        shared_services.store.label(id, LabelChange("same"))
    shown = subject(shared_services, (*ids, "gone")).shown()
    assert len({run.name for run in shown}) == 3
    assert [run.group for run in shown] == ["1", "1", ""]


def test_the_scripts_of_the_chart_are_named_with_its_page_and_plotly_is_no_module() -> None:
    named = assets.ahead("/compare")
    for name in ("compare_chart.js", "compare_lines.js", "compare_traces.js", "scales.js"):
        assert f"<{assets.address(name)}>; rel=modulepreload" in named
    assert f"<{assets.address('plotly.min.js')}>; rel=preload; as=script" in named


def test_the_table_of_all_runs_has_them_all(shared_services: Services) -> None:
    runs(shared_services, 2)
    app = healthy(open_page("runs.py"))
    assert "Going on" in [each.value for each in app.subheader]


def test_a_run_is_given_a_name_and_a_note_where_it_is_set_up(shared_services: Services) -> None:
    app = open_page("train.py", model="small_cnn", image_size="32", name="from *link*")
    assert widget(app, "Name of the run").value == "from *link*"
    healthy(widget(app, "Note").set_value("why").run())
    assert app.query_params["note"] in ("why", ["why"])
    press(app, "Start training")
    (run,) = shared_services.store.runs()
    assert (run.labels.name, run.labels.note) == ("from *link*", "why")


class Line:
    """A line to `/curves`, as a browser has one, without a server between."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.sent: list[dict[str, Any]] = []

    async def until(self, count: int, meanwhile: Callable[[int], object] = lambda received: None) -> list[dict[str, Any]]:
        """The first `count` messages, or the close; `meanwhile` is told how many have come."""
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "websocket.connect"})
        enough = asyncio.Event()

        async def send(message: Any) -> None:
            if message["type"] == "websocket.accept":
                return
            self.sent.append(message)
            meanwhile(len(self.sent))
            if len(self.sent) >= count or message["type"] == "websocket.close":
                incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
                enough.set()

        (route,) = curve_routes.routes("", anyio.CapacityLimiter(1))
        scope = {"type": "websocket", "path": "/curves", "query_string": self.query.encode(), "headers": [], "path_params": {}}
        await asyncio.wait_for(route.app(scope, incoming.get, send), PATIENCE)  # type: ignore[attr-defined]
        assert enough.is_set()
        return self.sent


def parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(message["text"])["parts"]
    return found


def test_the_line_gives_history_and_then_what_is_new(shared_services: Services) -> None:
    run = MadeRun(shared_services.store)
    run.train(3)
    grows = lambda received: run.train(1) if received == 1 else None  # noqa: E731
    first, second = asyncio.run(Line(f"runs={run.id},other&layer=fc.weight").until(2, grows))
    assert [part["run"] for part in parts(first)] == [0, 1]
    assert parts(first)[0]["steps"]["step"] == [1, 2, 3]
    assert parts(first)[1]["gone"] == "deleted"
    (part,) = parts(second)
    assert part["steps"]["step"] == [4]
    run.train(1)
    (again,) = asyncio.run(Line(f"runs={run.id}&cursor={quote(json.dumps({run.id: part['at']}))}").until(1))
    assert parts(again)[0]["steps"]["step"] == [5]


@pytest.mark.parametrize("query", ["", "runs=", "runs=a&cursor=x", "runs=a&more={", 'runs=a&more={"a":1}', "runs=" + ",".join(map(str, range(50)))])
def test_a_question_that_no_chart_asks_is_refused(query: str) -> None:
    (closed,) = asyncio.run(Line(query).until(1))
    assert closed["code"] == curve_routes.BAD_QUESTION
