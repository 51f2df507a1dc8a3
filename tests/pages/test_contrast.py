"""Colours of text are far enough from what they stand on (WCAG 2.1: 4.5 : 1, 3 : 1 for what is no text), worked out from theme and style sheet."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.support import ROOT

THEME = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())["theme"]
SHEETS = sorted((ROOT / "pages").rglob("*.css"))
IN_CODE = re.compile(r'"stCode"\] [^{]*\{ color: light-dark\((#\w{6}), (#\w{6})\)')


def light(colour: str) -> float:
    """Relative luminance of '#rrggbb'."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    low, high = sorted((light(first), light(second)))
    return (high + 0.05) / (low + 0.05)


def over(colour: str, ground: str, share: float) -> str:
    """`colour` laid over `ground` with this opacity."""
    return "#" + "".join(f"{round(share * int(colour[at : at + 2], 16) + (1 - share) * int(ground[at : at + 2], 16)):02x}" for at in (1, 3, 5))


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_can_be_read_in_both_themes(name: str) -> None:
    theme = THEME[name]
    ground, panel, text, primary = (theme[key] for key in ("backgroundColor", "secondaryBackgroundColor", "textColor", "primaryColor"))
    assert contrast(text, panel) >= 7
    assert contrast(over(text, ground, 0.6), ground) >= 4.5, "captions, which Streamlit draws at 60 % of the text's colour"
    assert contrast(over(over(theme["codeTextColor"], ground, 0.6), panel, 1), panel) >= 4.4, "code in a caption"
    assert contrast(primary, over(primary, ground, 0.1)) >= 4.5, "the segment that is chosen"
    assert contrast(primary, "#ffffff") >= 3 or name == "light", "the tick of a checkbox"
    for colour in ("linkColor", "grayColor", "redColor"):
        assert contrast(theme[colour], ground) >= 4.5, colour


def test_the_outline_of_what_is_not_chosen_is_seen() -> None:
    sheet = (ROOT / "pages/_parts/shared/screens.css").read_text()
    found = re.search(r"stRadioOption.*border-color: light-dark\((#\w{6}), (#\w{6})\)", sheet)
    assert found is not None
    for place, name in enumerate(("light", "dark"), 1):
        assert min(contrast(found[place], THEME[name][ground]) for ground in ("backgroundColor", "secondaryBackgroundColor")) >= 3


def test_what_is_said_while_the_server_is_gone_can_be_read_without_its_theme() -> None:
    sheet = (ROOT / "pages/_parts/components/server_gone/server_gone.css").read_text()
    ground, text = (re.search(rf"[ ;]{name}: light-dark\((#\w{{6}}), (#\w{{6}})\)", sheet) for name in ("background", "color"))
    assert ground is not None
    assert text is not None
    assert min(contrast(ground[place], text[place]) for place in (1, 2)) >= 7


def test_what_stands_on_the_main_colour_and_in_code_can_be_read() -> None:
    lines = [line for sheet in SHEETS for line in sheet.read_text().splitlines() if "primary" in line]
    pairs = [pair for line in lines for pair in re.findall(r"light-dark\((#\w{6}), (#\w{6})\)", line)]
    assert len(pairs) >= 3
    assert not [sheet for sheet in SHEETS if re.search(r"background: var\(--st-primary-color\);[^}]*[^-]color: #fff", sheet.read_text())]
    in_code = IN_CODE.findall((ROOT / "pages/_parts/shared/screens.css").read_text())
    assert len(in_code) == 4
    for place, name in enumerate(("light", "dark")):
        theme = THEME[name]
        assert min(contrast(pair[place], theme["primaryColor"]) for pair in pairs) >= 4.5
        assert min(contrast(pair[place], theme["codeBackgroundColor"]) for pair in in_code) >= 4.5


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_no_rule_has_the_browser_look_at_the_whole_page_at_each_change_of_a_chart(sheet: Path) -> None:
    """What is asked of :has() begins with a class. Where any element may be it (`:not(...)`, `*`, `:focus`), Chromium works out the styles of
    the whole page whenever one comes or goes: two such rules took half of a core while a run was drawn. An attribute is nearly as wide."""
    asked = [
        argument
        for rule in re.findall(r"([^{}]+)\{", re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL))
        for argument in arguments_of_has(rule)
    ]
    known = {'[data-testid="stAlert"]', '[class*="st-key-menu_"], [data-testid="stMenuButton"]'}
    assert [each for each in asked if each not in known and not re.fullmatch(r"(> )?(\.[\w-]+)+", each)] == []


def arguments_of_has(rule: str) -> list[str]:
    """What stands in the brackets of each :has()."""
    found = []
    for part in rule.split(":has(")[1:]:
        depth, end = 1, 0
        while depth:
            depth += {"(": 1, ")": -1}.get(part[end], 0)
            end += 1
        found.append(part[: end - 1])
    return found
