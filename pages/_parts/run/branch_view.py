"""On a run's page: where it branched off, its own branches, and branching off from a step without a pointer."""

from __future__ import annotations

import streamlit as st

from core.records.forks import begins, differs
from core.store import Run, UnreadableRun
from core.store.resume_files import resume_points
from pages._parts.setup import branch
from pages._parts.setup.form import TRAIN_PAGE
from pages._parts.shared import naming, words
from pages._parts.shared.services import Services


def show(shared: Services, run: Run) -> None:
    """What there is to say of branches, and the way to make one. Nothing of a run without checkpoints, parent and branches."""
    branches = shared.store.branches(run.id)
    points = resume_points(shared.home.run_folder(run.id))
    if run.fork is not None:
        _parent(shared, run)
    if not branches and not points:
        return
    title = f"Branch off ({len(branches):,} so far)" if branches else "Branch off"
    with st.expander(title, icon=":material/call_split:", key=f"branches_{run.id}"):
        for other, step in branches:
            _link(shared, other, f"begins behind step {step:,}")
        if points:
            _ask(shared, run, [point.step for point in reversed(points)])
        else:
            st.caption("It has no checkpoint any more, so nothing can branch off from it.")


def _ask(shared: Services, run: Run, steps: list[int]) -> None:
    st.caption(
        f"Press a point of a curve above, or choose a step here. A branch begins at the nearest checkpoint at or before it "
        f"({', '.join(f'{step:,}' for step in steps)}), gets the same batches in the same order, and may freeze other layers, learn at another rate, "
        "with another optimizer or from other pictures. The run stays as it is."
    )
    key = f"branch_step_{run.id}"
    if key not in st.session_state:  # a finished run has nothing left behind its last step
        st.session_state[key] = steps[max(0, len(steps) - 2)] if not run.status.active else steps[-1]
    row = st.container(horizontal=True, vertical_alignment="bottom")
    row.number_input("Step", min_value=0, max_value=10**12, step=1, key=key, width=180)
    row.button(
        "Set the branch up", icon=":material/call_split:", key=f"branch_{run.id}", on_click=lambda: branch.begin(shared, run, st.session_state[key])
    )


def _parent(shared: Services, run: Run) -> None:
    fork = run.fork
    assert fork is not None
    _link(shared, fork.parent, "is its parent")
    if not shared.store.continued(run.id):  # which will say it
        st.caption(words.plain(f"It begins {begins(fork)}; {differs(fork)}."))


def _link(shared: Services, run_id: str, says: str) -> None:
    """The way to another run, or that it was deleted."""
    try:
        other: Run | UnreadableRun = shared.store.run(run_id)
    except KeyError:
        st.caption(words.plain(f"{run_id}, which was deleted, {says}."))
        return
    except UnreadableRun as error:
        other = error
    name = run_id if isinstance(other, UnreadableRun) else naming.called(other)
    st.page_link(TRAIN_PAGE, label=words.plain(f"{name} ({run_id}) {says}"), icon=":material/call_split:", query_params={"run": run_id})
