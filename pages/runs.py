"""Runs: what waits for a place, what goes on, what has ended, what lies in the bin, and what all of it takes on disk."""

from pages._parts.runs import runs_view
from pages._parts.shared import disk_view
from pages._parts.shared.places import alone
from pages._parts.shared.services import services

shared = services()
runs_view.head(shared)
alone(runs_view.table, shared, every=5.0)
alone(runs_view.going_on, shared, every=2.0)
# Not alone: what is deleted, restored or emptied changes more than one of them.
runs_view.ended(shared)
runs_view.in_the_bin(shared)
disk_view.of_all(shared)
