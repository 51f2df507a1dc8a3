"""Take a run away: as weights, ONNX, a script, tables or a report. What was taken before stands below, each with its receipt (`receipt_view`).

Everything is in a box that is closed until somebody opens it, or has it export something: nothing above it on the page ever moves.
"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import ConfigError
from core.export.desk import Export
from core.export.export import earlier, target_of
from core.export.formats import FORMATS, ExportEntry
from core.export.subject import Subject
from core.helpers.helper import LabError
from core.store import Run
from core.store.checkpoint import checkpoints, newest
from pages._parts.run import receipt_view
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

TICK = 0.5
"""Seconds between looks while something is exported."""

NEWEST = -1
"""Stands among the epochs for the newest weights."""

_REFUSED = "export_refused"


def show(shared: Services, shown: Run) -> None:
    """The box. For a fragment: what is chosen in it draws nothing else anew."""
    state = shared.lab.exports.state(shown.id)
    key = f"export_{shown.id}"
    if state is not None and key not in st.session_state:
        st.session_state[key] = True  # after a refresh: it goes on, or has something to say
        st.session_state[f"export_format_{shown.id}"] = state.format
    box = st.expander("Export this run", icon=":material/ios_share:", key=key, on_change="rerun")
    if not box.open:
        return
    run = shared.store.run(shown.id)
    with box:
        if not run.step and newest(shared.home, run) is None:
            st.info("There is nothing to take away yet. It appears here with the run's first weights.", icon=":material/hourglass_top:")
            return
        entry = _ask_format(run)
        left, right = st.columns([5, 7], gap="large", vertical_alignment="top")
        with left:
            epoch = _ask_epoch(shared, run, entry)
        with right:
            waiting = state is not None and state.work.state == "working"
            alone(_go, shared, run, entry, epoch, waiting, every=TICK if waiting else None)
        receipt_view.earlier_ones(shared, run, earlier(shared.home, run.id))


def _ask_format(run: Run) -> ExportEntry:
    """Which format, with a sentence to each."""
    names = list(FORMATS)
    name = st.radio(
        "Format",
        names,
        key=f"export_format_{run.id}",
        format_func=lambda each: FORMATS[each].label,
        captions=[words.plain(FORMATS[each].about) for each in names],
        width="stretch",
    )
    return FORMATS[name or names[0]]


def _ask_epoch(shared: Services, run: Run, entry: ExportEntry) -> int | None:
    """Whose weights, where the format holds weights; None: the newest."""
    if not entry.weights:
        st.caption(":material/info: The whole run, with all of its epochs." if entry.name != "script" else ":material/info: The whole run, as code.")
        return None
    found = checkpoints(shared.home, run)
    last = newest(shared.home, run)
    others = dict.fromkeys(each.epoch for each in found if last is None or each.step != last.step)
    chosen = st.selectbox(
        "Weights",
        [NEWEST, *others],
        key=f"export_epoch_{run.id}",
        format_func=lambda each: "the newest" if each == NEWEST else "before training" if each == 0 else f"after epoch {each:,}",
        help="The epochs that the run has kept.",
    )
    if last is not None and chosen == NEWEST:
        still = " The run goes on: those are meant that it has kept when the export begins." if run.status.active else ""
        st.caption(f"The newest are those {'before training' if not last.step else f'after epoch {last.epoch:,}'}, step {last.step:,}.{still}")
    return None if chosen in (None, NEWEST) else int(chosen)


def _go(shared: Services, run: Run, entry: ExportEntry, epoch: int | None, waiting: bool) -> None:
    """The button, or how far it is. For a fragment with a clock while something is exported; once that ends, the page is drawn anew."""
    state = shared.lab.exports.state(run.id)
    if (state is not None and state.work.state == "working") != waiting:
        st.rerun(scope="app")
    if state is not None and waiting:
        _progress(shared, run, state)
        return
    if entry.missing:
        missing = " and ".join(words.code(name) for name in entry.missing)
        st.warning(f"{words.plain(entry.label)} needs {missing}, which {'is' if len(entry.missing) == 1 else 'are'} not installed here. Once it is:")
        st.code(entry.install, language="bash")
    else:
        _button(shared, run, entry, epoch)
    _outcome(shared, run, state)


def _button(shared: Services, run: Run, entry: ExportEntry, epoch: int | None) -> None:
    there = _in_the_way(shared, run, entry, epoch)
    label = words.plain(f"Export as {entry.label}")
    if there is None:
        st.button(
            label, key=f"export_go_{run.id}", type="primary", icon=":material/ios_share:", on_click=_begin, args=(shared, run.id, entry.name, epoch)
        )
        return
    with st.popover(label, icon=":material/ios_share:", type="primary", key=f"export_again_{run.id}"):
        st.markdown(f"{words.code(there)} is there already. To export again writes over it; until that is done it stays as it is.")
        again = (shared, run.id, entry.name, epoch, True)
        st.button("Replace it", key=f"export_over_{run.id}", icon=":material/refresh:", on_click=_begin, args=again)


def _in_the_way(shared: Services, run: Run, entry: ExportEntry, epoch: int | None) -> str | None:
    """The name of the file that would be written over; None where there is none."""
    found = [each for each in checkpoints(shared.home, run) if each.epoch == epoch]
    checkpoint = newest(shared.home, run) if epoch is None else (found[0] if epoch == 0 else found[-1]) if found else None
    target = target_of(Subject(shared.home, shared.store, run, checkpoint), entry, None, True)
    return target.name if target.exists() else None


def _progress(shared: Services, run: Run, state: Export) -> None:
    share = state.work.share
    known = f" · {100 * share:.0f}\u00a0%" if share is not None else ""
    told = words.plain(words.sentence(state.work.message).rstrip(".") if state.work.message else "Working")
    st.progress(min(1.0, max(0.0, share or 0.0)), text=f"{words.plain(FORMATS[state.format].label)}: {told}{known}")
    st.button("Cancel", key=f"export_cancel_{run.id}", icon=":material/close:", on_click=_cancel, args=(shared, run.id))
    st.caption("It goes on while you look at other pages.")


def _outcome(shared: Services, run: Run, state: Export | None) -> None:
    """What came of the last one: where it is, or why it is not. Its receipt stands below."""
    place: DeltaGenerator = st.container()
    refused = st.session_state.get(_REFUSED)
    if refused and refused[0] == run.id:
        place.error(words.plain(refused[1]), title="Nothing was exported", icon=":material/error:")
    elif state is not None and state.work.state == "failed":
        title = f"{words.plain(FORMATS[state.format].label)}: the export failed"
        place.error(words.plain(words.sentence(state.work.message or "nothing says why")), title=title, icon=":material/error:")
    elif state is not None and state.made is not None:
        receipt_view.verdict(place, state.made)


def _begin(shared: Services, run_id: str, format: str, epoch: int | None, force: bool = False) -> None:
    st.session_state.pop(_REFUSED, None)
    try:
        shared.lab.exports.begin(run_id, format, epoch, force=force)
    except (ConfigError, LabError, OSError) as error:
        state = shared.lab.exports.state(run_id)
        if state is None or state.work.state != "working":  # else: the same click, played back
            st.session_state[_REFUSED] = (run_id, words.refusal(error))


def _cancel(shared: Services, run_id: str) -> None:
    shared.lab.exports.cancel(run_id)
