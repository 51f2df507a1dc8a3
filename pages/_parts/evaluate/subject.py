"""Which run the Evaluate screen is about, and which of its weights: chosen at the top, for all parts of the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import ConfigError
from core.config.limits import quoted
from core.helpers.helper import LabError
from core.records.events import RunPlan, RunStatus
from core.store import Run, UnreadableRun
from core.store.checkpoint import Checkpoint, checkpoints, newest
from pages._parts.evaluate import state as evaluation_state
from pages._parts.shared import draft, naming, waiting_view, words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

TRAIN = "train.py"
TICK = 2.0
"""Seconds between looks for new weights while the run goes on."""

MOST_RUNS = 200
LONGEST_ID = 60
"""Characters of a run's id from a link that are repeated where there is no such run."""
_HELD = "evaluate_held_still"
RUN_BOX, EPOCH_BOX = "evaluate_run", "evaluate_epoch"


NEWEST = -1
"""Stands among the epochs for the newest weights, or those that a run ended with: they need not be those of a whole epoch."""


@dataclass(frozen=True)
class Subject:
    """A run with weights: the epochs that it kept in order, `NEWEST` among them, which of them is looked at, and its classes and test pictures."""

    run: Run
    kept: tuple[int, ...]
    chosen: int
    last: Checkpoint
    classes: tuple[str, ...]
    samples: int

    @property
    def epoch(self) -> int | None:
        """What the lab is asked for."""
        return self.epoch_at(self.chosen)

    def epoch_at(self, kept: int) -> int | None:
        """What the lab is asked for to look at some of the weights."""
        return epoch_of(self.last) if kept == NEWEST else kept

    @property
    def here(self) -> str:
        """The weights that are looked at, in words."""
        return self.named(self.chosen)

    def named(self, kept: int) -> str:
        """Some of the weights in words: 'before training', 'after epoch 3', 'after epoch 5 (final)'."""
        if kept == NEWEST:
            return in_words(self.run, self.last)
        return "before training" if kept == 0 else f"after epoch {kept:,}"

    def option(self, kept: int) -> str:
        """Some of the weights as a choice: `named`, but for the newest, which are always called that. What they are changes with the run."""
        return "the newest" if kept == NEWEST else self.named(kept)

    @property
    def only_one(self) -> str:
        """What is said in place of a choice where there is none."""
        return f"Weights {self.here}: the only ones that this run has kept{' so far' if self.run.status.active else ''}."


def epoch_of(last: Checkpoint) -> int | None:
    """What the lab is asked for to look at a run's newest weights; None: what it ended with, which need not be those of an epoch."""
    return None if last.final else last.epoch


def in_words(run: Run, last: Checkpoint) -> str:
    """A run's newest weights in words: 'after epoch 5 (final)', 'after step 60 (newest)'."""
    whole = run.plan is not None and last.step == last.epoch * run.plan.steps_per_epoch
    when = "before training" if last.step == 0 else f"after epoch {last.epoch:,}" if whole else f"after step {last.step:,}"
    return f"{when} ({'newest' if run.status.active else 'final'})"


def ask_subject(shared: Services, head: DeltaGenerator, offer: Callable[[Subject, DeltaGenerator], None]) -> Subject | None:
    """Ask for run and weights. None where there is nothing to look at; the screen says then what to do. In the `head` stands how the run is.

    Args:
        offer: draws into the row below the weights what is on offer there.
    """
    entries = shared.store.entries(limit=MOST_RUNS)
    runs = [run for run in entries if isinstance(run, Run)]
    _say_unreadable([run for run in entries if isinstance(run, UnreadableRun)])
    if not runs:
        st.info("There is no run yet. Train a model first: its test pictures, mistakes and maps appear here.", icon=":material/model_training:")
        row = st.container(horizontal=True)
        row.page_link(TRAIN, label="Set up a run", icon=":material/tune:", query_params={draft.SET_UP: "1"})
        row.page_link("home.py", label="Start the demo on Home", icon=":material/home:")
        return None
    wanted = evaluation_state.get("run")
    found = {run.id: run for run in runs}
    if wanted and wanted not in found:
        try:
            linked = shared.store.run(wanted)
            if waiting_view.binned(shared, linked):
                return None
            found[wanted] = linked
        except KeyError:
            st.error(
                "It was deleted, or the link is wrong. Below is another one; choose the one that you want.",
                title=f"There is no run {words.plain(wanted[:LONGEST_ID])}",
                icon=":material/error:",
            )
            wanted = None
        except UnreadableRun as error:
            st.error(f"{words.plain(error.message)}. Below is another one.", title="This run cannot be read", icon=":material/error:")
            wanted = None
    left, right = st.columns([3, 2])
    run = found[wanted or _first(shared, runs)]
    st.set_page_config(page_title=f"Evaluate {naming.called(run)} · Thaw")
    st.session_state[RUN_BOX] = run.id
    left.selectbox("Run", list(found), key=RUN_BOX, format_func=lambda each: label(found[each]), on_change=_chose_run, args=(tuple(found),))
    left.caption(words.plain(how_it_is(run)))
    return _weights(shared, run, right, head, offer)


def _say_unreadable(runs: Sequence[UnreadableRun]) -> None:
    if runs:
        named = "; ".join(words.plain(f"{run.id}: {run.reason}") for run in runs[:3]) + ("; ..." if len(runs) > 3 else "")
        st.caption(f":material/help: {len(runs):,} {'run' if len(runs) == 1 else 'runs'} cannot be read and cannot be chosen: {named}")


def label(run: Run) -> str:
    """A run in a list: 'first try · digits with resnet18 · head only · 20261128-140512-3f2a' (its id, which says when). Only a person changes it.

    A browser says what was chosen by this text. If it were another one meanwhile, it would come back as if it were a run's id.
    """
    return " · ".join(filter(None, [run.labels.name, words.subject(run.config), str(run.config.freeze), run.id]))


def id_in(chosen: str | None) -> str | None:
    """The run that was chosen: its id, or the one in the text of a list from before it was renamed."""
    return chosen.rpartition(" · ")[2] if chosen else None


def how_it_is(run: Run) -> str:
    """What changes about a run: 'finished · test accuracy 93.1 % · 12 min ago'."""
    parts = [words.STATUS[run.status][0].lower()]
    if run.result and run.result.test_accuracy is not None:
        parts.append(f"test accuracy {words.percent(run.result.test_accuracy)}")
    return " · ".join([*parts, words.ago(run.created)])


def _first(shared: Services, runs: Sequence[Run]) -> str:
    """The newest run that can be looked at and went well; else the newest that can be looked at, then the newest."""
    kept = (run for run in sorted(runs, key=_went_wrong) if newest(shared.home, run) is not None)  # sorting keeps the newest first
    return next(kept, runs[0]).id


def _went_wrong(run: Run) -> bool:
    """Whether it failed, was lost, or was broken on purpose to be looked into by the doctor: nobody comes here for that one."""
    return run.status in (RunStatus.FAILED, RunStatus.LOST) or run.config.fault != "none"


def _chose_run(offered: Sequence[str]) -> None:
    chosen = id_in(st.session_state[RUN_BOX])
    if chosen not in offered:
        return  # a browser may still have the list of before
    # What was chosen about the other run means nothing for this one; the part of the screen and the picture do.
    evaluation_state.choose(
        run=chosen, epoch=None, layer=None, target=None, other=None, cell=None, of=None, before=None, with_epoch=None, **{"with": None}
    )


def _weights(
    shared: Services, run: Run, place: DeltaGenerator, head: DeltaGenerator, offer: Callable[[Subject, DeltaGenerator], None]
) -> Subject | None:
    still = evaluation_state.get("view") not in (None, "try")
    if not still:
        _let_go()
    subject = subject_of(shared, run, evaluation_state.number("epoch"), still)
    if subject is None:
        _without_weights(shared, run)
        return None
    asked, here = evaluation_state.get("epoch"), subject.last.epoch if subject.chosen == NEWEST else subject.chosen
    if asked is not None and evaluation_state.number("epoch") != here:
        wrong = f"The link asks for the weights of epoch {words.plain(quoted(asked))}, which this run has not kept"
        st.warning(f"{wrong}; these are those {subject.here}.", icon=":material/link_off:")
    if len(subject.kept) > 1:
        st.session_state[EPOCH_BOX] = subject.chosen
        place.select_slider("Weights", subject.kept, key=EPOCH_BOX, format_func=subject.option, on_change=_chose_epoch)
        row = place.container(horizontal=True, vertical_alignment="center", key="evaluate_weights")
        row.caption(f"The newest are those {subject.here}." if subject.chosen == NEWEST else f"Those {subject.here}.", width="stretch")
        offer(subject, row)
    else:
        place.caption(subject.only_one)
    with head:
        alone(_follow, shared, run, subject.last.step, every=TICK if run.status.active else None)
    return subject


def subject_of(shared: Services, run: Run, epoch: int | None, still: bool) -> Subject | None:
    """A run with its weights after `epoch`, or the newest where those were not kept; None where it has none.

    Args:
        still: while the run goes on, keep to the weights that there were when a person began to look: figures that take seconds would never
            catch up with training.
    """
    last = newest(shared.home, run)
    if last is None or run.plan is None:
        return None
    found = checkpoints(shared.home, run)
    if run.status.active and still:
        held: dict[str, int] = st.session_state.setdefault(_HELD, {})
        until = up_to(found, held.setdefault(run.id, last.step))
        if until and until[-1].step == held[run.id]:
            found, last = until, until[-1]
        else:
            held[run.id] = last.step
    kept = kept_of(found, last)
    return Subject(run, kept, epoch if epoch is not None and epoch in kept else NEWEST, last, run.plan.classes, _test_pictures(shared, run, run.plan))


def _test_pictures(shared: Services, run: Run, plan: RunPlan) -> int:
    """How many test pictures can be looked at today. Where nobody can say, as many as there were: whoever wants one hears why it is not there."""
    try:
        return shared.lab.test_pictures(run.id)
    except (ConfigError, LabError):
        return plan.test_samples


def up_to(found: Sequence[Checkpoint], step: int) -> tuple[Checkpoint, ...]:
    """The weights of up to this step, in the order of their steps."""
    return tuple(sorted((each for each in found if each.step <= step), key=lambda each: each.step))


def _let_go() -> None:
    st.session_state.pop(_HELD, None)


def kept_of(found: Sequence[Checkpoint], last: Checkpoint) -> tuple[int, ...]:
    """The epochs in order, with `NEWEST` in the place of the newest weights. Of two of one epoch the later one counts, but for the start."""
    order = sorted({(0, 0) if each.step == 0 else (each.epoch, 1) for each in found})
    here = (0, 0) if last.step == 0 else (last.epoch, 1)
    return tuple(NEWEST if place == here else place[0] for place in order)


def _chose_epoch() -> None:
    chosen = st.session_state[EPOCH_BOX]
    evaluation_state.choose(epoch=None if chosen == NEWEST else chosen)


def offer_newer(shared: Services, shown: Subject, key: str) -> None:
    """A button where a run that is held still has newer weights. For a fragment, while the run goes on: it draws the page anew when that ends."""
    _, step = _now(shared, shown.run, shown.last.step)
    if step:
        st.button(f"Go on to step {step:,}", icon=":material/update:", key=key, on_click=_let_go)


def _now(shared: Services, shown: Run, step: int) -> tuple[Run, int | None]:
    """The run as it is now, and the step of its newest weights if they are newer. Where these are not held still, the page is drawn anew."""
    run = shared.store.run(shown.id)
    last = newest(shared.home, run)
    newer = last.step if last is not None and last.step > step else None
    if run.status.active != shown.status.active or (newer and shown.id not in st.session_state.get(_HELD, {})):
        st.rerun(scope="app")
    return run, newer


def _follow(shared: Services, shown: Run, step: int) -> None:
    """One line about where the run is, and the page anew when it has ended or has new weights: at once under "Try it", else when asked to."""
    run, newer = _now(shared, shown, step)
    row = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right")
    word, icon, colour = words.STATUS[run.status]
    row.badge(word, icon=icon, color=colour)
    if run.status.active:
        row.caption(f"epoch {max(run.epoch, 1):,} of {run.config.epochs:,}, these weights of step {step:,}")
    if newer:
        row.button(f"Go on to step {newer:,}", icon=":material/update:", key="evaluate_let_go", on_click=_let_go)
    row.page_link(TRAIN, label="Open this run on Train", icon=":material/model_training:", query_params={"run": run.id})


def _without_weights(shared: Services, run: Run) -> None:
    match run.status:
        case RunStatus.QUEUED | RunStatus.PREPARING:
            st.info(
                "The run is getting ready. Its first weights are kept before its first step, and appear here by themselves.",
                icon=":material/hourglass_top:",
            )
        case RunStatus.RUNNING | RunStatus.PAUSED:
            st.info(
                "The run has kept no weights yet. They appear here by themselves, at the latest after its first epoch.",
                icon=":material/hourglass_top:",
            )
        case RunStatus.FAILED | RunStatus.LOST:
            reason = (run.error or "").strip().partition("\n")[0]
            st.error(f"It ended before it kept any. {words.plain(reason)}", title="This run has no weights", icon=":material/error:")
        case _:
            st.warning(
                "Its files were deleted, or it was stopped before its first step. Choose another run, or train it again.",
                title="This run has no weights",
                icon=":material/warning:",
            )
    alone(_await_weights, shared, run, every=TICK if run.status.active else None)
    st.page_link(TRAIN, label="Open this run on Train", icon=":material/model_training:", query_params={"run": run.id})


def _await_weights(shared: Services, shown: Run) -> None:
    run = shared.store.run(shown.id)
    if run.status != shown.status or newest(shared.home, run) is not None:
        st.rerun(scope="app")
