"""Many pictures at once: a folder, a zip file or uploads through the model, into a table that can be sorted, downloaded, or packed by class."""

from __future__ import annotations

import io
import re
from collections import Counter
from typing import Any

import streamlit as st

from core.config import ConfigError
from core.config.limits import quoted
from core.evaluation import asked
from core.evaluation.answers import pack_sorted
from core.evaluation.asked import Answered, Ask
from pages._parts.evaluate import state as evaluation_state
from pages._parts.evaluate import words as evaluation_words
from pages._parts.evaluate.subject import Subject
from pages._parts.evaluate.work import awaited
from pages._parts.shared import words
from pages._parts.shared.services import Services

MOST_ROWS = 20_000
"""Rows of the table on the screen; the CSV file has all."""

MOST_CLASSES = 20
"""Classes that have a column of their own on the screen; the CSV file has all."""

MOST_PACKED = 500_000_000
"""Bytes of pictures that are packed for a download: they go through this server's memory."""

LONGEST = 24

_PATH, _UPLOADS, _DEAL, _ERROR, _LAST = "many_path", "many_uploads", "many_deal", "many_error", "many_last"
_NOTHING_YET = "asking"
"""Stands in the URL while many pictures are meant and none were brought along."""


def show(shared: Services, subject: Subject) -> None:
    """Ask for the pictures; below, how far the work is, or the table."""
    key = evaluation_state.get("many") or _NOTHING_YET
    _ask(shared, subject)
    if error := st.session_state.get(_ERROR):
        st.error(words.plain(error), title="These pictures cannot be predicted", icon=":material/error:")
    if key == _NOTHING_YET:
        st.caption("A table appears here: each picture with its likeliest class and all probabilities, to sort, to download, or sorted into folders.")
        return
    ask = asked.asked(shared.home, key)
    if ask is None:
        st.warning(
            "It was made long ago, or the link is of another machine. Bring the pictures along again.", title="This table is not kept any more"
        )
        return
    found = awaited(
        lambda retry=False: shared.lab.many(key, retry), f"Predicting {quoted(ask.called)}", f"many_{key}", cancel=lambda: _cancel(shared, key)
    )
    if found is not None:
        _table(shared, subject, key, ask, found)


def look_again() -> None:
    """The table that was looked at last comes back. For callbacks."""
    evaluation_state.choose(many=st.session_state.get(_LAST) or _NOTHING_YET)


def look_away() -> None:
    """Something else is looked at. For callbacks."""
    if evaluation_state.get("many") is not None:
        st.session_state[_LAST] = evaluation_state.get("many")
        evaluation_state.choose(many=None)


def _ask(shared: Services, subject: Subject) -> None:
    left, right = st.columns(2, gap="large")
    with left.form("many_folder", border=False):
        st.text_input(
            "A folder, zip file or picture on this machine",
            key=_PATH,
            placeholder="/path/to/pictures",
            help="All pictures in it and in the folders below it. Zip files are read picture by picture, and never unpacked.",
        )
        st.form_submit_button("Predict", icon=":material/play_arrow:", type="primary", on_click=_take_path, args=(shared, subject))
    with right:
        uploads = f"{_UPLOADS}_{st.session_state.setdefault(_DEAL, 0)}"  # another box once its files were taken
        files = st.file_uploader(
            "Or pictures, or one zip file, from your computer",
            accept_multiple_files=True,
            key=uploads,
            help="They stay on the machine that runs Thaw. For more than 200 MB give the path of their folder.",
        )
        if files:
            count = f"{len(files):,} files" if len(files) > 1 else "this file"
            st.button(
                f"Predict {count}",
                icon=":material/play_arrow:",
                key="many_go",
                type="primary",
                on_click=_take_uploads,
                args=(shared, subject, uploads),
            )


def _take_path(shared: Services, subject: Subject) -> None:
    _begin(lambda: asked.ask_folder(shared.home, subject.run.id, subject.epoch, st.session_state[_PATH]))


def _take_uploads(shared: Services, subject: Subject, uploads: str) -> None:
    files = st.session_state.get(uploads) or ()
    if _begin(lambda: asked.ask_uploads(shared.home, subject.run.id, subject.epoch, [(file.name, file.getvalue()) for file in files])):
        st.session_state[_DEAL] += 1


def _again(shared: Services, subject: Subject, key: str) -> None:
    _begin(lambda: asked.ask_again(shared.home, key, subject.run.id, subject.epoch))


def _begin(ask: Any) -> bool:
    """Put the question down; the page asks for its answer. Where it cannot be, the table of before stays."""
    st.session_state[_ERROR] = None
    try:
        key = ask()
    except (ConfigError, OSError) as error:
        st.session_state[_ERROR] = words.refusal(error)
        return False
    evaluation_state.choose(many=key)
    return True


def _cancel(shared: Services, key: str) -> None:
    shared.lab.cancel_many(key)
    evaluation_state.choose(many=_NOTHING_YET)


# The table


def _table(shared: Services, subject: Subject, key: str, ask: Ask, found: Answered) -> None:
    weights = "before training" if not found.step else f"after epoch {found.epoch:,}"
    st.markdown(f"**{words.plain(found.called)}: {_pictures(len(found.pictures))}**, by the weights {weights} of {words.code(found.run_id)}")
    if (ask.run_id, ask.epoch) != (subject.run.id, subject.epoch):
        row = st.container(horizontal=True, vertical_alignment="center")
        row.caption(":material/info: Above, other weights are chosen than those that made this table.", width="stretch")
        row.button("Predict again with these weights", icon=":material/replay:", key="many_again", on_click=_again, args=(shared, subject, key))
    st.caption(_counted(found))
    _left_out(found)
    for note in found.notes:
        st.caption(f":material/info: {words.plain(note)}")
    _rows(found)
    _downloads(found)


def _counted(found: Answered) -> str:
    """How many of which class: 'cat: 120 · dog: 180'."""
    counts = Counter(found.labels.tolist()).most_common()
    told = " · ".join(f"{words.plain(evaluation_words.short(found.classes[label], LONGEST))}: {count:,}" for label, count in counts[:12])
    return told + (f" · {len(counts) - 12:,} more classes" if len(counts) > 12 else "") + f" · in {max(found.seconds, 0.1):.1f}\u00a0s"


def _left_out(found: Answered) -> None:
    if not found.refused:
        return
    many = len(found.refused)
    st.warning(f"{_pictures(many)} could not be used and {'is' if many == 1 else 'are'} not in the table.", icon=":material/broken_image:")
    with st.expander("Which were left out, and why", icon=":material/list:"):
        st.dataframe(
            {"File": [each.name for each in found.refused], "Why": [each.reason for each in found.refused]}, hide_index=True, key="many_left_out"
        )


def _rows(found: Answered) -> None:
    """The table: a press on a column's name sorts by it."""
    shown = min(len(found.pictures), MOST_ROWS)
    shares = found.probabilities[:shown]
    labels = found.labels[:shown].tolist()
    columns: dict[str, Any] = {}
    config: dict[str, Any] = {}
    if found.thumbnails:
        columns["picture"] = list(found.thumbnails)
        config["picture"] = st.column_config.ImageColumn("Picture", width="small", help="As the model saw it")
    columns |= {
        "file": [picture.name for picture in found.pictures[:shown]],
        "predicted": [found.classes[label] for label in labels],
        "probability": shares[range(shown), labels],
    }
    config["file"] = st.column_config.TextColumn("File", width="medium")
    config["predicted"] = st.column_config.TextColumn("Predicted")
    config["probability"] = st.column_config.ProgressColumn("Probability", format="percent", min_value=0.0, max_value=1.0)
    for label, name in enumerate(found.classes[:MOST_CLASSES]):
        columns[f"class {label}"] = shares[:, label]
        config[f"class {label}"] = st.column_config.NumberColumn(evaluation_words.short(name, LONGEST), format="percent")
    st.dataframe(
        columns,
        hide_index=True,
        column_config=config,
        height=520 if shown > 12 else "content",
        row_height=52 if found.thumbnails else None,
        key="many_table",
    )
    if shown < len(found.pictures):
        st.caption(f"The first {shown:,} of {len(found.pictures):,}: the CSV file has all.")
    if len(found.classes) > MOST_CLASSES:
        st.caption(f"The columns of {MOST_CLASSES} of {len(found.classes):,} classes: the CSV file has all.")


def _downloads(found: Answered) -> None:
    stem = re.sub(r"[^\w-]+", "_", found.called.removesuffix(".zip"))[:60].strip("_") or "pictures"
    row = st.container(horizontal=True, vertical_alignment="center")
    # Made when a button is pressed, not at every drawing.
    row.download_button(
        "Download CSV",
        data=found.csv,
        file_name=f"{stem}-predicted.csv",
        mime="text/csv",
        icon=":material/download:",
        key="many_csv",
        on_click="ignore",
    )
    if _bytes(found) <= MOST_PACKED:
        row.download_button(
            "Download sorted into class folders",
            data=lambda: _packed(found),
            file_name=f"{stem}-sorted.zip",
            mime="application/zip",
            icon=":material/folder_zip:",
            key="many_sorted",
            on_click="ignore",
        )
    else:
        command = f"python -m core predict {found.run_id} FOLDER --sort-into DIR"
        row.caption(f"These are too many to download sorted into class folders; {words.code(command)} copies them.")


def _packed(found: Answered) -> bytes:
    stream = io.BytesIO()
    pack_sorted(stream, found.pictures, found.labels.tolist(), found.classes)
    return stream.getvalue()


def _bytes(found: Answered) -> int:
    """Of the pictures' files; of zip files all that they hold."""
    total = 0
    for path in {picture.path for picture in found.pictures}:
        try:
            total += path.stat().st_size
        except OSError:  # it is gone: what is packed leaves it out
            continue
        if total > MOST_PACKED:
            break
    return total


def _pictures(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"
