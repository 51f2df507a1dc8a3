"""What is said of one kind of node in the graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeWords:
    """One kind of node. `inputs` are the names of its slots, in the order of `next_functions`; further ones are numbered."""

    title: str
    about: str
    formula: tuple[str, ...]
    derivative: tuple[str, ...]
    inputs: tuple[str, ...] = ("the input",)

    def input(self, slot: int, slots: int) -> str:
        """What the input in `slot` of `slots` is called."""
        if slot < len(self.inputs):
            return self.inputs[slot]
        return "the input" if slots == 1 else f"input {slot}"
