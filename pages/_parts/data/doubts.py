"""Labels that are likely wrong: a wall to confirm or correct, and one version that has all corrections."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.config import ConfigError
from core.curating import by_runs, judged, mending
from core.curating.doubts import Doubt, Doubts
from core.curating.judged import Judged
from core.versions import Version, shelf
from pages._parts.components.curating import doubt_wall
from pages._parts.data import changing, features_choice
from pages._parts.data import state as data_state
from pages._parts.data.duplicates import FEW
from pages._parts.evaluate.work import awaited
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

AT_ONCE = 200
"""Pictures of one wall: the most doubtful. Those after them come once a version has these."""

_FAILED, _MADE, _MODEL = "data_doubts_failed", "data_doubts_made", "data_doubts_model"


def show(shared: Services, version: Version) -> None:
    """Once they are found: the wall."""
    model = _judge(shared, version)
    found = awaited(
        lambda retry=False: shared.lab.curating.doubts(version, model, retry),
        "Looking for labels that are likely wrong",
        f"data_doubts_{version.dataset}_{version.number}_{model}",
        lambda: shared.lab.curating.cancel(version),
    )
    if found is None:
        return
    st.markdown(words.plain(found.sentence))
    st.caption(words.plain(found.about))
    judge = "This run hardly tells" if by_runs.is_run(found.model) else "These features hardly tell"
    if found.blind:
        st.warning(
            f"{judge} your classes apart: {words.percent(found.right)} of the labels are given as well, always naming the most frequent "
            f"class gives {words.percent(found.guess)}. Take these doubts for guesses, or judge by a model whose trained weights are here.",
            icon=":material/visibility_off:",
        )
    if found.left_out:
        more = f" and {len(found.left_out) - 8:,} more" if len(found.left_out) > 8 else ""
        st.warning(words.plain(f"Not looked at, with fewer than 3 pictures: {', '.join(found.left_out[:8])}{more}."), icon=":material/warning:")
    alone(_wall, shared, version, found)


def _judge(shared: Services, version: Version) -> str:
    """Who doubts: a head in cross-validation, or a run on this dataset by what it makes of the pictures that it was validated on."""
    runs = by_runs.offers(shared.home, shared.store, version.dataset)
    named = {each.asked: f"run {each.run.id} after epoch {each.epoch:,}: its validation pictures" for each in runs}
    if (asked := data_state.get("run")) and (of_it := next((each.asked for each in runs if each.run.id == asked), None)):
        st.session_state[_MODEL] = of_it
        data_state.choose(run=None)
    model = features_choice.ask(_MODEL, "Judge by", named)
    called = next((each.run.labels.name for each in runs if each.asked == model), "")
    if called:
        st.caption(f"The run is called {words.plain(called)}.")
    elif not runs:
        st.caption("A head on kept features judges all pictures by 3-fold cross-validation. Once a run on this dataset is over, it can judge, too.")
    return model


def _wall(shared: Services, version: Version, found: Doubts) -> None:
    if st.session_state.pop(_MADE, None):
        st.rerun(scope="app")  # a new version, or why there is none
    said = judged.read(shared.home, version.dataset)
    here = asked(version, found, said)
    editable = version.number == shelf.newest(shared.home, version.dataset).number
    if not here:
        st.success("You have looked at every label that is doubted." if found.found else "No label is doubted.", icon=":material/check_circle:")
    else:
        rows = [_row(version, doubt, said) for doubt in here]
        doubt_wall(
            "data_doubt_wall",
            version.dataset,
            version.number,
            version.classes,
            rows,
            len(found.counts),
            editable,
            lambda edit: _say(shared, version, edit),
        )
    if why := st.session_state.get(_FAILED):
        st.error(words.plain(why), icon=":material/error:")
    new = mending.changed(version, judged.corrected(version, said))
    row = st.container(horizontal=True, vertical_alignment="center")
    row.button(
        f"Make a version with {new:,} correction{'' if new == 1 else 's'}" if new else "Make a version with the corrections",
        key=f"data_doubts_apply_{version.number}", icon=":material/done_all:", type="primary", disabled=not new or not editable, on_click=_apply,
        args=(shared, version),
    )  # fmt: skip
    row.caption(_proportion(said))


def asked(version: Version, found: Doubts, said: Judged) -> list[Doubt]:
    """What stands on the wall: nothing was said of it, or what was said is in no version yet."""
    waiting = {doubt.picture for doubt in judged.waiting(version, found.found, said)}
    return [doubt for doubt in found.found if doubt.picture in waiting or version.items[doubt.picture].key in said.open][:AT_ONCE]


def _row(version: Version, doubt: Doubt, said: Judged) -> dict[str, Any]:
    item = version.items[doubt.picture]
    number = {name: at for at, name in enumerate(version.classes)}
    given = said.open.get(item.key)
    return {
        "place": doubt.picture,
        "address": f"{item.sha256}{item.ending}",
        "name": item.name,
        "label": number[item.label],
        "probability": doubt.probability,
        "guesses": [(number[name], probability) for name, probability in doubt.guesses],
        "rounds": doubt.rounds,
        "few": max(item.width, item.height) <= FEW,
        "said": number.get(given.new) if given is not None and given.old == item.label else None,
    }


def _proportion(said: Judged) -> str:
    """How often doubts were right, as far as a person has looked."""
    wrong = said.wrong
    if wrong.value is None or wrong.low is None or wrong.high is None:
        return "What you confirm is remembered and not asked again."
    every = len(said.open) + len(said.settled)
    share = f"{100 * wrong.value:.0f} % (95 % interval {100 * wrong.low:.0f} to {100 * wrong.high:.0f} %)"
    return f"Of {every:,} doubted labels that were looked at in this dataset, {share} were wrong. What was confirmed is not asked again."


def _say(shared: Services, version: Version, edit: list[Any]) -> None:
    """Write down what the browser tells: ["say", number of the version, place, number of a class or None]."""
    st.session_state.pop(_FAILED, None)
    match edit:
        case ["say", int(number), int(place), int() | None as label] if number == version.number and 0 <= place < len(version.items):
            name = version.classes[label] if label is not None and 0 <= label < len(version.classes) else None
            try:
                judged.remember(shared.home, version, [(version.items[place].key, name)])
            except (ConfigError, OSError) as error:
                st.session_state[_FAILED] = words.refusal(error)


def _apply(shared: Services, version: Version) -> None:
    said = judged.read(shared.home, version.dataset)
    edited = judged.corrected(version, said)
    count = mending.changed(version, edited)
    note = f"{count:,} doubted label{'' if count == 1 else 's'} corrected."
    if changing.change(shared, version, lambda before: edited, note) is not None:
        judged.settle(shared.home, version.dataset)
    st.session_state[_MADE] = True
