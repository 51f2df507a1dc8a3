"""Pieces that screens share, in rooms: `ROOMS` is their order, as in `core`. A screen's own pieces are in the room of its name."""

ROOMS = ("shared", "components", "setup", "run", "evaluate", "autograd", "build")
"""The rooms from the ground up."""
