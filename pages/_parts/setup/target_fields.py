"""Where a run is computed: on this machine, or as a job of Slurm, and what Slurm is told then."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.config.cluster import EXAMPLE, HERE, OPTIONS, SLURM
from core.slurm.programs import Partition, SlurmError
from pages._parts.setup.looking import Looks
from pages._parts.shared import draft, words
from pages._parts.shared.draft import key
from pages._parts.shared.fields import Fields

ABOUT = (
    "Slurm: the run is a job of the cluster that this machine submits to. Its page is the same as ever. The folder of Thaw's home, this copy of "
    "Thaw, its Python, pictures and weights must be on a file system that the nodes see under the same paths."
)

ABOUT_SBATCH = (
    f"Name and value, with commas between: {EXAMPLE}. There are {', '.join(OPTIONS)}. A GPU is asked for where Device is cuda:0, or by gres."
)

TARGETS = {HERE: "on this machine, or on those that join it", SLURM: "as a job of Slurm, on the nodes that it gives"}

FURTHER = {"target", "partition", "time_limit", "sbatch"}

_looks: Looks[tuple[Sequence[Partition], str]] = Looks(at_most=0.5)


def ask_target(fields: Fields) -> None:
    """Where, and in which partition, for how long."""
    left, right = st.columns(2)
    with fields.field(left, "target"):
        name = st.selectbox(words.field("target"), list(TARGETS), key=key("target"), help=ABOUT, on_change=_follow, **fields.kept("target"))
        fields.say("target", TARGETS[name])
    elsewhere = name == SLURM
    partitions, trouble = _partitions(fields) if elsewhere else ((), "")
    with fields.field(right, "partition"):
        chosen = st.session_state[key("partition")]
        names = [each.name for each in partitions]
        st.selectbox(
            words.field("partition"), names if chosen is None or chosen in names else [*names, chosen], index=None, key=key("partition"),
            placeholder="the cluster's usual one" if elsewhere else "for Slurm alone", accept_new_options=True,
            **fields.kept("partition", not elsewhere),
        )  # fmt: skip
        fields.say("partition", words.plain(told(partitions, trouble) if elsewhere else "what Slurm calls a group of its nodes"))
    left, right = st.columns(2)
    with fields.field(left, "time_limit"):
        label = f"{words.field('time_limit')} (min)"
        st.number_input(
            label, step=30.0, format="%g", key=key("time_limit"), placeholder="the partition's usual" if elsewhere else "for Slurm alone",
            **fields.kept("time_limit", not elsewhere),
        )  # fmt: skip
        fields.say("time_limit", "after which Slurm ends the job; it makes a checkpoint shortly before, and can be continued")
    with fields.field(right, "sbatch"):
        label = words.field("sbatch")
        st.text_input(
            label, key=key("sbatch"), placeholder="nothing" if elsewhere else "for Slurm alone", help=ABOUT_SBATCH,
            **fields.kept("sbatch", not elsewhere),
        )  # fmt: skip
        fields.say("sbatch", words.plain(f"options of sbatch, such as {EXAMPLE}"))


def told(partitions: Sequence[Partition], trouble: str) -> str:
    """The partitions in a line: 'debug: at most 60 min, the usual one; gpu: any time'."""
    if trouble:
        return trouble
    if not partitions:
        return "as sinfo lists them"
    limits = [f"{each.name}: {'any time' if each.minutes is None else f'at most {each.minutes:,} min'}" for each in partitions]
    more = [f"{', the usual one' if each.usual else ''}{'' if each.up else ', takes no jobs now'}" for each in partitions]
    return "; ".join(limit + rest for limit, rest in zip(limits, more, strict=True))


def _partitions(fields: Fields) -> tuple[Sequence[Partition], str]:
    """The partitions that there are, or why that is not known."""
    cluster = fields.shared.supervisor.jobs.cluster

    def find(_: object) -> tuple[Sequence[Partition], str]:
        if why := cluster.missing():
            return (), f"It {why}."
        try:
            return cluster.partitions(), ""
        except SlurmError as error:
            return (), f"Slurm does not say which there are: {error}."

    return _looks.ask("partitions", find) or ((), "Slurm is asked which there are.")


def _follow() -> None:
    """What is Slurm's alone is nobody's where the run is computed here, and the other way round. For callbacks."""
    here = st.session_state[key("target")] == HERE
    draft.reset(("partition", "time_limit", "sbatch") if here else ("rendezvous",))
