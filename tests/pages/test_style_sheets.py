"""Components that stand on one page share its styles: a class that two of them know means the same in both."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from tests.support import ROOT

SHEETS = sorted((ROOT / "pages/_parts/components").glob("*/*.css"))
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")


def rules(sheet: Path) -> dict[str, dict[str, str]]:
    """For each class that rules of a style sheet begin with: selector to what it says, without the room between words."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for selectors, says in RULE.findall(re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)):
        for selector in re.split(r",(?![^()]*\))", selectors):
            if first := re.match(r"\.(thaw-[\w-]+)", selector.strip()):
                found[first.group(1)][" ".join(selector.split())] = " ".join(says.split())
    return found


def test_a_class_of_two_components_is_drawn_alike_by_both() -> None:
    by_class: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for sheet in SHEETS:
        for name, said in rules(sheet).items():
            by_class[name].setdefault(sheet.parent.name, {}).update(said)
    assert len(by_class) > 150, "the sheets are read"
    other = {name: sheets for name, sheets in by_class.items() if len({str(sorted(said.items())) for said in sheets.values()}) > 1}
    assert not other, f"rename it in one of them, since each sheet holds on the whole page: {other}"
