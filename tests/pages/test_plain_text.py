"""What comes from outside is shown as plain text: names, notes, errors and addresses are never drawn as Markdown."""

from __future__ import annotations

import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.helpers.helper import LabError
from core.lab.lab import Lab
from core.machine.hardware import Device, Machine
from core.machine.home import Home
from core.records.events import ChangeRow, CommandKind, Layer, RunPlan, RunStatus, StepRow
from core.records.findings import Diagnosis, Finding, Remedy
from core.store import RunStore
from core.store.checkpoint import checkpoint_path
from pages._parts.shared import words
from tests.pages.pages_cases import open_page
from tests.plain_text import OURS, Shown, shown
from tests.support import ROOT, Server

EVIL = "![a](//evil.example/a.png) [b](//evil.example) :red[c] :material/delete: <b>d</b> `e` $f$ *g*"
"""Words from outside, as one would write them to be drawn. None of them does any harm."""


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("class 3: 91.2 %, a-b (c), d & e", "class 3: 91.2 %, a-b (c), d & e"),
        ("![a](b)", r"!\[a\](b)"),
        ("https://a.b", r"https:color[\:]{}//a.b"),
        ("www.a.b", r"www:color[\.]{}a.b"),
        (":smile:", r":color[\:]{}smile:"),
        (":material/home:", r":color[\:]{}material/home:"),
        (":red[a]", r"\:red\[a\]"),
        ("a -> b", r"a :color[\-]{}> b"),
        ("a->b < 3 > 2 # 4", "a->b < 3 > 2 # 4"),
        ("<b>a</b>", r"\<b>a\</b>"),
        ("a_b_c _d_ 12:30 {e}", r"a_b_c \_d\_ 12:30 {e}"),
        ("# a\n> b\n--- \n## c", "\\# a\\\n\\> b\\\n--\\-\\\n#\\# c"),
        ("&copy; &#33;", r"\&copy; \&#33;"),
        ("- a\n2. b\n    c\n=", "\\- a\\\n2\\. b\\\n\u00a0\u00a0\u00a0\u00a0c\\\n\\="),
        (" -5.0 \n", "-5.0"),
        ("a\\b", r"a\\b"),
        ("", ""),
    ],
)
def test_nothing_in_a_plain_text_means_anything_to_markdown(text: str, markdown: str) -> None:
    assert words.plain(text) == markdown


@pytest.mark.parametrize(
    ("text", "markdown"),
    [("a.b", "`a.b`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("a\n b", "`a b`"), (":material/a:", r":color[\:]{}material/a:"), ("", "")],
)
def test_code_holds_any_name(text: str, markdown: str) -> None:
    assert words.code(text) == markdown


# In the source


def test_every_text_on_a_screen_is_ours_or_made_plain() -> None:
    found = [each for path in sorted((ROOT / "pages").rglob("*.py")) for each in shown(path, ROOT)]
    wrong = [f"{each.where} draws {each.part} as Markdown" for each in found]
    assert not wrong, f"put it into words.plain or words.code; what is written in our own source may stand in tests/plain_text.py: {wrong}"


def test_every_exception_to_that_is_still_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = set(OURS)
    monkeypatch.setattr("tests.plain_text.OURS", set())
    parts = {each.part for path in (ROOT / "pages").rglob("*.py") for each in shown(path, ROOT)}
    assert allowed - parts == set()


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("st.error(str(error))", ["str(error)"]),
        ("st.error(f'No: {error}', icon=x)", ["error"]),
        ("st.caption(words.plain(name))", []),
        ("st.caption(f'{count:,} of {words.plain(name)}')", []),
        ("st.info('ours', title=f'{name}')", ["name"]),
        ("row.button('ours', help=run.note)", ["run.note"]),
        ("place.metric('ours', value, delta)", ["delta"]),
        ("with st.expander(run.title): pass", ["run.title"]),
        ("text = name\nst.write(text)", ["name"]),
        ("text = words.plain(name)\nst.write(f'**{text}**')", []),
        ("for note in run.notes: st.warning(note)", ["run.notes"]),
        ("for label, value in (('a', 1), ('b', 2)): st.metric(label, value)", []),
        ("st.caption(', '.join(name for name in names))", ["names"]),
        ("st.caption(', '.join(words.code(name) for name in names))", []),
        ("def said(run):\n    return f'of {run.note}'\nst.caption(said(run))", ["run.note"]),
        ("fields.say('model', entry.note)", ["entry.note"]),
        ("st.code(anything)", []),
    ],
)
def test_the_look_at_the_source_finds_what_is_not_plain(tmp_path: Path, source: str, parts: list[str]) -> None:
    file = tmp_path / "page.py"
    file.write_text(source)
    found = list(shown(file, tmp_path))
    assert sorted(each.part for each in found) == sorted(parts)
    assert all(isinstance(each, Shown) and each.where.startswith("page.py:") for each in found)


# On the screens

NAMES = (EVIL, f"{EVIL} 2", "All classes")
CONFIG = RunConfig(dataset=f"folder:/data/{EVIL}", starting_weights=f"/weights/{EVIL}.pth", model="small_cnn", image_size=16, epochs=3, device="cpu")
LAYERS = (Layer(f"{EVIL}.weight", (4, 3, 3, 3), 108, True, EVIL), Layer("fc.weight", (3, 4), 12, False, "fc"))
PLAN = RunPlan(LAYERS, 4, 12, NAMES, 100, 20, 30, f"cpu {EVIL}", (f"A note about {EVIL}.",))
FINDING = Finding("loss at chance", "warning", f"Title {EVIL}", EVIL, EVIL, "gradient norms", 1, 4, (EVIL,), Remedy(EVIL, "", {"optimizer": EVIL}), 1)


def hostile_run(home: Home, store: RunStore, status: RunStatus) -> str:
    """A run all of whose words come from outside."""
    run_id = store.create_run(CONFIG)
    store.begin(run_id, PLAN)
    norms = np.ones(2, np.float32)
    store.append(run_id, [StepRow(number, 1, 0.0, 0.5, 0.1, 1.0, norms) for number in range(1, 5)])
    store.append_change(run_id, ChangeRow(0, 3, "live", "fc=0.1", 0.1, np.array([True, False]), norms))
    store.set_findings(run_id, Diagnosis(4, False, ("loss at chance",), (FINDING,)))
    store.request(run_id, CommandKind.INSPECT, EVIL)
    store.acknowledge(store.commands(run_id)[-1], 4, EVIL)
    file = checkpoint_path(home.run_folder(run_id), 1, 4)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    if status.active:
        store.set_status(run_id, status, f"doing {EVIL}", 0.5)
    else:
        store.end(run_id, status, error=f"dataset: {EVIL}\n{EVIL}")
    return run_id


@pytest.fixture
def silent_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that answers with words from outside, and nearly every question with an error."""

    def refuse(*_: object, **__: object) -> None:
        raise LabError(f"the lab says {EVIL}")

    for name in ("predict", "samples", "cam_layers", "evaluation", "embedding", "describe", "walkthrough", "cost"):
        monkeypatch.setattr(Lab, name, refuse)
    monkeypatch.setattr(Lab, "machine", lambda lab: Machine((Device("cpu", EVIL, 1),), 2, 1, EVIL, EVIL))
    monkeypatch.setattr(Lab, "warm", lambda lab: None)
    monkeypatch.setattr(Lab, "ready", property(lambda lab: True))


DRAWN = ("markdown", "caption", "error", "warning", "info", "success", "title", "subheader", "metric", "button", "checkbox", "expander", "toggle")


def drawn(app: AppTest) -> list[str]:
    """Every text that Streamlit would draw as Markdown."""
    found: list[str] = []
    for kind in DRAWN:
        element: Any
        for element in app.get(kind):
            proto = getattr(element, "proto", None)
            found += [
                str(getattr(element, name, "") or "")
                for name in ("value", "label", "help")
                if kind not in ("metric", "checkbox", "toggle") or name != "value"
            ]
            found += [str(getattr(proto, name, "") or "") for name in ("body", "title", "help", "label")]
    return found


LINK = dict.fromkeys(
    ("dataset", "model", "freeze", "optimizer", "device", "starting_weights", "timeline", "learning_rate_multipliers", "epochs"), EVIL
)


@pytest.mark.usefixtures("silent_lab")
@pytest.mark.parametrize(
    ("page", "query", "status"),
    [
        ("home.py", {}, RunStatus.FAILED),
        ("home.py", {}, RunStatus.PREPARING),
        ("train.py", {"run": ""}, RunStatus.RUNNING),
        ("train.py", {"run": ""}, RunStatus.PREPARING),
        ("train.py", {"run": ""}, RunStatus.FAILED),
        ("train.py", {"run": EVIL}, RunStatus.FAILED),
        ("train.py", LINK, RunStatus.FAILED),
        ("model.py", LINK, RunStatus.FAILED),
        ("model.py", {"freeze": EVIL, "timeline": EVIL}, RunStatus.FAILED),
        ("evaluate.py", {"run": "", "view": "try"}, RunStatus.RUNNING),
        ("evaluate.py", {"run": "", "view": "try", "picture": EVIL}, RunStatus.FAILED),
        ("evaluate.py", {"run": "", "view": "metrics"}, RunStatus.FAILED),
        ("evaluate.py", {"run": "", "view": "confusion", "cell": "0-1"}, RunStatus.FAILED),
        ("evaluate.py", {"run": "", "view": "compare"}, RunStatus.FAILED),
        ("evaluate.py", {"run": EVIL, "view": EVIL}, RunStatus.FAILED),
        ("autograd.py", {"example": "own", "dataset": EVIL, "model": EVIL}, RunStatus.FAILED),
        ("build.py", {"network": f"{EVIL}: {EVIL}"}, RunStatus.FAILED),
    ],
)
def test_no_screen_draws_words_from_outside(
    home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch, page: str, query: dict[str, str], status: RunStatus
) -> None:
    monkeypatch.setenv("THAW_HOME", str(home.path))
    run_id = hostile_run(home, store, status)
    (home.networks / f"{EVIL.replace('/', '')}.txt").write_text(f"{EVIL}: nothing")
    texts = drawn(open_page(page, **{name: value or run_id for name, value in query.items()}))
    assert texts
    if page != "build.py" and "picture" not in query:  # there they are left out
        assert any(words.plain(EVIL)[:8] in text for text in texts), "the words are there, or this shows nothing"
    for telling in ("![a](", "[b](", ":red[c]", ":material/delete:", "<b>d", "$f$", "*g*"):
        bad = [text for text in texts if telling in text.replace(f"\\{telling}", "")]
        assert not bad, bad


@pytest.mark.usefixtures("silent_lab")
def test_home_says_so_where_the_lab_does_not_know_the_machine(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lab: Lab) -> Machine:
        raise LabError(f"it ended: {EVIL}")

    monkeypatch.setenv("THAW_HOME", str(home.path))
    monkeypatch.setattr(Lab, "machine", refuse)
    (error,) = open_page("home.py").error
    assert error.value == words.plain(f"it ended: {EVIL}")


@pytest.mark.browser
def test_a_link_with_markup_in_it_shows_it_literally_and_loads_nothing_from_elsewhere(server: Server, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for text in (
        "![a](http://evil.example/a.png) <b>b</b> `c` $d$ *e* _f_",
        ":smile: :material/home: :red[a] :streamlit: a -> b -- c",
        "https://evil.example www.evil.example a@evil.example &copy;",
        "- a # b > c 1. d | e ~~f~~ [g][h] \\i",
    ):
        page.goto(f"{server.address}/train?run={urllib.parse.quote(text)}")
        alert = page.get_by_test_id("stAlert")
        expect(alert).to_contain_text(f"There is no run {text}")
        assert alert.locator("img, b, code, em, del, a, .katex, ul, ol, h1").count() == 0
    assert len(asked) > 10
    foreign = [url for url in asked if not url.startswith((server.address, "data:", "blob:"))]
    assert not foreign
