"""Build: put a network together layer by layer, see what each layer makes of an image, save it, use it, take its class away."""

import streamlit as st

from core import networks
from core.code import class_name, network_code
from core.config import ConfigError
from core.networks.templates import TEMPLATES
from pages._parts.build import network_draft
from pages._parts.build.network_draft import CLASSES, EDITOR, NAME, SIZE
from pages._parts.components.network_editor import network_editor
from pages._parts.setup import suit_model
from pages._parts.shared import draft, words
from pages._parts.shared.services import services

MODEL_PAGE = "model.py"
HIGHEST_CODE, MOST_LINES = 640, 40
"""Code of more lines than these scrolls by itself, in so many pixels: a network may have 100 layers."""

NOTE, DELETED, TAKEN = "build_note", "build_deleted", "build_taken"

shared = services()
network_draft.open_network(shared)


# Act


def start_from(name: str) -> None:
    network_draft.fill(f"{TEMPLATES[name].name}: {TEMPLATES[name].layers}")


def save(overwrite: bool = False) -> None:
    st.session_state.pop(TAKEN, None)
    try:
        text = networks.save(shared.home, network_draft.text(), overwrite)
    except networks.LabelTaken:
        st.session_state[TAKEN] = st.session_state[NAME]
    except (ConfigError, OSError) as error:
        st.session_state[NOTE] = ("error", f"Nothing was saved. {error.message if isinstance(error, ConfigError) else error}")
    else:
        st.session_state[NOTE] = ("done", f"Saved as **{text.partition(':')[0]}**. It stands among the models now.")


def delete(label: str) -> None:
    try:
        networks.delete(shared.home, label)
    except (ConfigError, OSError) as error:
        st.session_state[NOTE] = ("error", str(error))
    else:
        st.session_state[DELETED] = label


def restore(label: str) -> None:
    st.session_state.pop(DELETED, None)
    try:
        networks.restore(shared.home, label)
    except (ConfigError, OSError) as error:
        st.session_state[NOTE] = ("error", f"{label} stays deleted: {error.message if isinstance(error, ConfigError) else error}")


def use(text: str, image_size: int | None = None) -> None:
    """Put a network into the draft, and go on to what of it learns."""
    entry = networks.entry(text)
    draft.open_draft()
    st.session_state[draft.key("model")] = entry.name
    st.session_state[draft.key("image_size")] = image_size or max(entry.smallest, st.session_state[draft.key("image_size")] or entry.usual)
    st.session_state[draft.key("starting_weights")] = "random"  # nobody has trained it yet
    suit_model.suit_model(shared)
    st.switch_page(MODEL_PAGE)


def refusal() -> str:
    """Why a network whose layers fit cannot be used all the same (too many of them), "" if it can."""
    try:
        networks.entry(network_draft.text())
    except ConfigError as error:
        return words.refusal(error)
    return ""


# Ask

st.title("Build a network", anchor=False)
row = st.container(horizontal=True, vertical_alignment="center", gap="small")
row.markdown("Start from")
for name, template in TEMPLATES.items():
    row.button(template.label, key=f"build_template_{name}", help=template.about, on_click=start_from, args=(name,))


def said(wrong: str, about: str) -> None:
    """Below a widget: what is wrong with its value, else what it means."""
    if wrong:
        st.error(words.plain(wrong), icon=":material/error:")
    else:
        st.caption(about)


label, size, classes, acts = st.columns([5, 3, 3, 4])
with label.container(gap="xxsmall"):
    st.text_input("Name", key=NAME, placeholder="mynet", max_chars=40, persist_state="session")
    about_name = st.empty()
with size.container(gap="xxsmall"):
    st.number_input("Image size", step=8.0, format="%g", key=SIZE, persist_state="session")
    said(network_draft.wrong(SIZE), "px a side, for the shapes below")
with classes.container(gap="xxsmall"):
    st.number_input("Classes", step=1.0, format="%g", key=CLASSES, persist_state="session")
    said(network_draft.wrong(CLASSES), "which the head tells apart")

rows = network_draft.rows()
image_size, count = network_draft.whole(SIZE), network_draft.whole(CLASSES)
sketch = networks.sketch(rows, image_size, count)
problem = network_draft.problem()
refused = refusal() if rows and sketch.fits and not problem else ""
ready = bool(rows) and sketch.fits and not problem and not refused
with acts:
    st.space(14)  # as high as the labels beside it
    row = st.container(horizontal=True)
    row.button("Save", type="primary", icon=":material/save:", disabled=not ready, on_click=save)
    if row.button("Use it", icon=":material/arrow_forward:", disabled=not ready, help="Choose what of it learns, and train it"):
        use(network_draft.text(), image_size)
    about = st.empty()
said_of_saving = st.container()
network_editor(rows, sketch, image_size, network_draft.origin(), EDITOR, network_draft.take_edit)
network_draft.keep_in_url()

# Show

if problem:
    about_name.error(words.plain(problem), icon=":material/error:")
else:
    about_name.caption("letters, digits, _ and -: what it is called among the models and in your code")
if ready:
    entry = networks.entry(network_draft.text())
    about.caption(f"Smallest image: {entry.smallest:,} px a side" + (". Its parameters depend on the image size." if entry.family.fixed else ""))
elif refused:
    about.error(words.plain(refused), icon=":material/error:")
elif rows and not sketch.fits:
    about.caption("Something below does not fit yet; the row says what to do.")

if st.session_state.get(TAKEN) == st.session_state[NAME] and ready:
    row = said_of_saving.container(horizontal=True, vertical_alignment="center")
    row.warning(f"Another network is saved as {words.plain(st.session_state[TAKEN])}. Choose another name, or replace it.", icon=":material/warning:")
    row.button(f"Replace {words.plain(st.session_state[TAKEN])}", icon=":material/sync:", on_click=save, args=(True,))
note = st.session_state.pop(NOTE, None)
if note:
    kind, message = note
    if kind == "error":
        said_of_saving.error(words.plain(message), icon=":material/error:")
    else:
        said_of_saving.success(words.plain(message), icon=":material/check_circle:")

left, right = st.columns([7, 4], gap="large")
with left:
    st.subheader("As PyTorch", anchor=False)
    if not ready:
        st.caption(
            "The class appears here once every layer fits and the network has a name." if rows else "The class appears here as you add layers."
        )
    else:
        code = network_code(network_draft.text(), image_size, count)
        st.download_button(
            f"Download {words.plain(st.session_state[NAME])}.py",
            data=code,
            file_name=f"{st.session_state[NAME]}.py",
            mime="text/x-python",
            icon=":material/download:",
            on_click="ignore",
        )
        made = f"{class_name(st.session_state[NAME])}({count})"
        st.caption(f"The weights of a run load into {words.code(made)} as they are.")
        st.code(code, language="python", height=HIGHEST_CODE if code.count("\n") > MOST_LINES else "content")

with right:
    st.subheader("Saved networks", anchor=False)
    shelf = networks.look(shared.home)
    deleted = st.session_state.get(DELETED)
    if deleted:
        row = st.container(horizontal=True, vertical_alignment="center")
        row.info(f"{words.plain(deleted)} was deleted.", icon=":material/delete:")
        row.button("Undo", key="build_restore", icon=":material/undo:", on_click=restore, args=(deleted,))
    if not shelf.networks:
        st.caption("None yet. What you save stands here and among the models.")
    for name, text in shelf.networks.items():
        with st.container(border=True, key=f"build_saved_{name}"):
            entry = networks.entry(text)
            st.markdown(f"**{words.plain(name)}** · {entry.parameters:,} parameters at {entry.usual:,} px")
            st.caption(words.plain(text.partition(": ")[2]))
            row = st.container(horizontal=True)
            row.button("Open", key=f"build_open_{name}", icon=":material/edit:", on_click=network_draft.fill, args=(text,))
            if row.button("Use it", key=f"build_use_{name}", icon=":material/arrow_forward:"):
                use(text)
            row.button("Delete", key=f"build_delete_{name}", icon=":material/delete:", on_click=delete, args=(name,))
    for notice in shelf.notices:
        st.warning(words.plain(notice), icon=":material/warning:")
