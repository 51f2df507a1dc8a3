"""On how many devices a run trains, and what becomes of it where one of them fails."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import ConfigError
from core.config import devices as on_devices
from core.config.cluster import SLURM
from core.machine.hardware import cores, device_of
from pages._parts.shared import draft, words
from pages._parts.shared.draft import key
from pages._parts.shared.fields import Fields

ABOUT = (
    "How many devices share each step, all of them, or GPUs by their numbers, such as 0, 2. On the processor, so many processes. Each takes its part "
    "of the batch, and gradients are those of the whole batch, so the run is the same as on one device but for rounding."
)

ABOUT_MACHINES = (
    "Each machine brings as many devices as this one. The run waits until all are there; its page says the line to type on each of the others, which "
    "need the same commit of Thaw, the same pictures and weights, and a network of people who trust each other. The nodes of a job of Slurm find "
    "each other by themselves."
)

AGAIN = {"nodes", "rendezvous", "restarts", "silence_seconds"}
"""The fields that are about several machines and about failures."""


def ask_devices(fields: Fields, place: DeltaGenerator) -> None:
    """How many."""
    with fields.field(place, "devices"):
        st.text_input(words.field("devices"), key=key("devices"), help=ABOUT, **fields.kept("devices"))
        fields.say("devices", words.plain(shared()))


def ask_machines(fields: Fields) -> None:
    """On how many machines, and where they meet."""
    left, right = st.columns(2)
    with fields.field(left, "nodes"):
        st.number_input(words.field("nodes"), step=1.0, format="%g", key=key("nodes"), help=ABOUT_MACHINES, **fields.kept("nodes"))
        fields.say("nodes", words.plain(shared()) if draft.values()["nodes"] != 1 else "machines that share each step")
    with fields.field(right, "rendezvous"):
        given = draft.values()
        of_a_job = given["target"] == SLURM and not given["rendezvous"]  # one that a link brings can be emptied
        empty = "for machines that join by hand" if of_a_job else "an address of this machine, a free port"
        st.text_input(words.field("rendezvous"), key=key("rendezvous"), placeholder=empty, **fields.kept("rendezvous", of_a_job))
        others = "where the other machines find this one: an address of it and a port, such as 192.168.1.5:29500"
        fields.say("rendezvous", "the nodes of a job find each other by themselves" if of_a_job else others)


def ask_failures(fields: Fields) -> None:
    """What becomes of a run on several devices where one fails."""
    left, right = st.columns(2)
    with fields.field(left, "restarts"):
        st.number_input(words.field("restarts"), step=1.0, format="%g", key=key("restarts"), **fields.kept("restarts"))
        fields.say("restarts", "times that a run on several devices goes on by itself from its last checkpoint, after one of them failed")
    with fields.field(right, "silence_seconds"):
        st.number_input(f"{words.field('silence_seconds')} (s)", step=5.0, format="%g", key=key("silence_seconds"), **fields.kept("silence_seconds"))
        fields.say("silence_seconds", "without a sign of life, after which one of several devices counts as lost")


def shared() -> str:
    """How a batch is cut, by what the form says now."""
    batch_size, accumulate, device = draft.number("batch_size", 0), draft.number("accumulate", 1), device_of(str(draft.values()["device"]))
    machines = draft.number("nodes", 1)
    machines = machines if isinstance(machines, int) and 1 <= machines <= on_devices.MOST_MACHINES else 1
    try:
        devices = on_devices.canonical(draft.values()["devices"])
        if devices == "1" and machines == 1:
            more = f", up to {cores()} processes can share them" if device == "cpu" and cores() > 1 else ""
            return f"one device takes whole batches{more}"
        if devices == "all" and device != "cpu":
            return "all GPUs of this machine share each batch" if machines == 1 else f"all GPUs of {machines} machines share each batch"
        ranks = machines * (len(on_devices.places(devices, device, cores(), 0)) if device == "cpu" else on_devices.number(devices, 1))
        if not isinstance(batch_size, int) or batch_size < 1:
            return f"{ranks} devices share each batch"
        on_devices.check_batch(ranks, batch_size)
    except (ConfigError, ValueError) as error:
        return error.message if isinstance(error, ConfigError) else str(error)
    times = accumulate if isinstance(accumulate, int) and accumulate > 1 else 1
    said = f" x {times:,}" if times > 1 else ""
    where = f" on {machines} machines" if machines > 1 else ""
    return f"{ranks} devices{where} x {batch_size // ranks:,} pictures{said} = {batch_size * times:,} pictures in one step"
