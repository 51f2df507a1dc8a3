"""The exports of a run: where each lies, the proof that it gives the same answers, loud words where it does not, and the buttons for it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import ConfigError
from core.export.export import delete
from core.export.formats import FORMATS
from core.records import telling
from core.records.export import Different, Exported, Receipt
from core.store import Run
from pages._parts.shared import refusals, words
from pages._parts.shared.services import Services

DIFFERENT = 20
"""Pictures with another answer that are listed."""

_MIME = "application/octet-stream"
_ERROR = "export_delete_error"


def verdict(place: DeltaGenerator, made: Exported) -> None:
    """One alert about an export that was just made."""
    label = words.plain(FORMATS[made.format].label)
    receipt = made.receipt
    if receipt is None:
        place.success(f"{telling.size(made.bytes)}, below.", title=f"{label}: exported", icon=":material/check_circle:")
    elif receipt.same:
        place.success(words.plain(sentence(receipt)), title=f"{label}: the same answers", icon=":material/verified:")
    else:
        place.error(words.plain(sentence(receipt)), title=f"{label}: it does not give the same answers", icon=":material/error:")


def sentence(receipt: Receipt) -> str:
    """A receipt in a line: '359 of 359 pictures: same class; largest difference 0.000001; 2.1 ms a picture alone, 0.7 ms in batches of 32'."""
    parts = [f"{receipt.same_top1:,} of {receipt.pictures:,} pictures: same class", f"largest difference {difference(receipt)}"]
    times = [
        f"{_milliseconds(receipt.milliseconds[size])} {how}"
        for size, how in (("1", "a picture alone"), ("32", "in batches of 32"))
        if size in receipt.milliseconds
    ]
    return "; ".join([*parts, *filter(None, [", ".join(times)])])


def difference(receipt: Receipt) -> str:
    """The largest difference of a probability, written out: '0.000001', '0' where every bit is the same."""
    found = receipt.largest_difference
    if found is None:
        return "not known, since some outputs are not finite"
    return "0, equal to the bit" if found == 0 else f"{found:.1g}" if found < 1e-6 else f"{found:.6f}".rstrip("0")


def earlier_ones(shared: Services, run: Run, made: Sequence[Exported]) -> None:
    """All exports that lie in the run's folder, newest first."""
    if error := refusals.noted(_ERROR):
        st.error(words.plain(error), icon=":material/error:")
    if not made:
        st.caption("No exports of this run yet.")
        return
    st.markdown("**Exports of this run**")
    for each in made:
        with st.container(border=True, key=f"exported_{run.id}_{each.path.name}"):
            _one(shared, run, each)


def _one(shared: Services, run: Run, made: Exported) -> None:
    epoch = "" if made.epoch is None else " · weights before training" if made.epoch == 0 else f" · weights after epoch {made.epoch:,}"
    row = st.container(horizontal=True, vertical_alignment="center")
    label = words.plain(FORMATS[made.format].label) if made.format in FORMATS else words.plain(made.format)
    row.markdown(f"**{label}**{epoch} · {telling.size(made.bytes)} · {words.ago(made.made)}", width="stretch")
    if made.receipt is not None:
        same = made.receipt.same
        row.badge(
            "Same answers" if same else "Other answers", icon=":material/verified:" if same else ":material/error:", color="green" if same else "red"
        )
    st.code(str(made.path), language=None, wrap_lines=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        _downloads(made)
        with st.popover("Delete", icon=":material/delete:", key=f"export_delete_{made.path.name}"):
            st.markdown(f"{words.code(made.path.name)} and what lies beside it are removed. It can be exported again.")
            surely = (shared, run.id, made.path.name)
            st.button("Delete it", key=f"export_surely_{made.path.name}", icon=":material/delete:", on_click=_delete, args=surely)
    for told in made.told:
        st.caption(f":material/info: {words.plain(told)}")
    if made.receipt is not None:
        _receipt(made.receipt)


def _receipt(receipt: Receipt) -> None:
    if not receipt.same:
        wrong = receipt.pictures - receipt.same_top1
        many = f"{wrong:,} of {receipt.pictures:,} test pictures"
        st.error(
            f"{many} get another class from this file than from the run. They are listed below.",
            title="Not the same answers",
            icon=":material/error:",
        )
    st.markdown(words.plain(sentence(receipt)))
    for note in receipt.notes:
        st.caption(f":material/info: {words.plain(note)}")
    with st.expander("Receipt", icon=":material/receipt_long:"):
        st.markdown("\n".join(_table(receipt)))
    if receipt.different:
        st.markdown("\n".join(_others(receipt.different)))
        rest = receipt.pictures - receipt.same_top1 - min(DIFFERENT, len(receipt.different))
        if rest > 0:
            st.caption(f"And {rest:,} more; the receipt beside the file names up to {len(receipt.different):,}.")


def _table(receipt: Receipt) -> Iterator[str]:
    """A receipt as a table in Markdown."""
    yield "| Check | Result |\n| --- | --- |"
    yield f"| Same class | **{receipt.same_top1:,} of {receipt.pictures:,}** test pictures |"
    yield f"| Largest difference of a probability | {difference(receipt)} |"
    for size, name in (("1", "A picture alone"), ("32", "A picture in batches of 32")):
        if size in receipt.milliseconds:
            original = receipt.original_milliseconds.get(size)
            beside = f" (the run's model in PyTorch: {_milliseconds(original)})" if original is not None else ""
            yield f"| {name} | {_milliseconds(receipt.milliseconds[size])}{beside} |"
    versions = ", ".join(f"{name} {version}" for name, version in receipt.versions.items())
    yield f"| Run with | {_cell(receipt.runtime)}: {_cell(versions)} |"
    yield f"| Size | {receipt.bytes:,} bytes |"
    yield f"| SHA-256 | {words.code(receipt.digest)} |"


def _others(different: Sequence[Different]) -> Iterator[str]:
    yield "| Picture | The run says | This file says |\n| --- | --- | --- |"
    for each in different[:DIFFERENT]:
        name = _cell(each.file) if each.file else f"no. {each.index:,} of the test set"
        yield f"| {name} | {_said(each.original, each.original_probability)} | {_said(each.exported, each.exported_probability)} |"


def _said(name: str | None, probability: float | None) -> str:
    return "nothing: not finite" if name is None else f"{_cell(name)}, {words.percent(probability)}"


def _cell(text: str) -> str:
    """Text for a cell: on one line."""
    return words.plain(" ".join(text.split())) or "(no name)"


def _milliseconds(value: float) -> str:
    return f"{value:.3g}\u00a0ms" if value < 1000 else f"{value / 1000:.3g}\u00a0s"


def _downloads(made: Exported) -> None:
    """The file, and a zip with all that lies beside it; of a folder the zip alone. Read when a button is pressed."""
    if made.path.is_file():
        st.download_button(
            "Download",
            data=lambda: made.path.read_bytes(),
            file_name=made.path.name,
            mime=_MIME,
            icon=":material/download:",
            key=f"export_download_{made.path.name}",
            on_click="ignore",
        )
    if made.beside or made.path.is_dir():
        st.download_button(
            "All as zip",
            data=lambda: packed(made),
            file_name=f"{made.path.name.removesuffix('.zip')}.zip",
            mime="application/zip",
            icon=":material/folder_zip:",
            key=f"export_packed_{made.path.name}",
            help=words.plain(f"With what lies beside it: {', '.join(path.name for path in made.beside)}") if made.beside else None,
            on_click="ignore",
        )


def packed(made: Exported) -> bytes:
    """A zip of an export with all that lies beside it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in (made.path, *made.beside):
            for file in sorted(part.rglob("*")) if part.is_dir() else [part]:
                if file.is_file():
                    archive.writestr(file.relative_to(made.path.parent).as_posix(), file.read_bytes())
    return stream.getvalue()


def _delete(shared: Services, run_id: str, name: str) -> None:
    refusals.forget(_ERROR)
    try:
        delete(shared.home, run_id, name)
    except (ConfigError, OSError) as error:
        refusals.note(_ERROR, words.refusal(error))
    shared.lab.exports.dismiss(run_id)
