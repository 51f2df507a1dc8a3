"""Which runs are compared: their ids stand in the address, so that a link shows the same comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from core.comparing import imported
from core.comparing.stream import MOST_RUNS
from core.comparing.summary import Compared, compared
from core.store import Run, UnreadableRun
from pages._parts.components.compare_chart import Shown
from pages._parts.shared import naming, words
from pages._parts.shared.services import Services

RUNS = "runs"
"""The name in the address."""

LONGEST_ID = 60


@dataclass(frozen=True)
class Subject:
    """What is compared. `ids` in the order of the address; `names` what each is called here, not made plain; `runs` those that can be read."""

    ids: tuple[str, ...]
    found: Compared
    names: Mapping[str, str]
    options: Mapping[str, str]
    """Each as a choice offers it: whatever else is compared, its text stays as it is."""
    runs: Mapping[str, Run]

    def shown(self) -> list[Shown]:
        """The runs as the chart takes them. What is gone stays in the chart, which says so."""
        groups = {run: str(place) for place, group in enumerate(self.found.repeats, start=1) for run in group}
        shared = {run: words.subject(self.runs[run].config) for run in groups if run in self.runs}
        return [Shown(id, self.names[id], groups.get(id, ""), shared.get(id, "")) for id in self.ids]


def ids_asked() -> tuple[tuple[str, ...], int]:
    """The ids in the address, each once, and how many more there are than can be compared."""
    text = str(st.query_params.get(RUNS, ""))
    ids = [each.strip()[:LONGEST_ID] for each in text.split(",")[: 10 * MOST_RUNS] if each.strip()]
    once = tuple(dict.fromkeys(ids))
    return once[:MOST_RUNS], max(0, len(once) - MOST_RUNS)


def put(ids: tuple[str, ...]) -> None:
    """Have the address say these runs."""
    st.query_params[RUNS] = ",".join(ids)


def subject(shared: Services, ids: tuple[str, ...]) -> Subject:
    """What there is of these runs now."""
    found = compared(shared.home, shared.store, ids)
    runs: dict[str, Run] = {}
    for id in found.runs:
        try:
            runs[id] = shared.store.run(id)
        except (KeyError, UnreadableRun):
            continue
    told = naming.in_list(list(runs.values()))
    names = {id: str(told[id]) if id in told else found.imported[id].name if id in found.imported else id for id in ids}
    return Subject(ids, found, _apart(names), {id: option(id, runs.get(id), found.imported.get(id)) for id in ids}, runs)


def option(id: str, run: Run | None, brought: imported.Imported | None) -> str:
    """A run or imported curves as a choice offers them, with the id in it."""
    if run is not None:
        return f"{naming.called(run)} · {run.config.freeze} · {id}"
    return f"{brought.name} · {id}" if brought is not None else id


def _apart(names: dict[str, str]) -> dict[str, str]:
    """Names of which no two read the same: those that would have their id behind them."""
    seen = list(names.values())
    return {id: f"{name} · {id}" if seen.count(name) > 1 else name for id, name in names.items()}


def offered(shared: Services, ids: tuple[str, ...], most: int = 200) -> dict[str, str]:
    """Other runs and curves that can be added: id to a text that does not change."""
    runs = {run.id: option(run.id, run, None) for run in shared.store.entries(most) if isinstance(run, Run) and run.id not in ids}
    return runs | {id: option(id, None, one) for id, one in imported.listed(shared.home).items() if id not in ids}
