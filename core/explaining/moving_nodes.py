"""The operations that move values and compute nothing: joining, cutting, selecting, reshaping. See `core.explaining.nodes` for the letters."""

from __future__ import annotations

from collections.abc import Mapping

from core.explaining.node_words import NodeWords


def _moves(title: str, about: str, formula: str, derivative: str) -> NodeWords:
    """An operation that moves values and computes nothing."""
    return NodeWords(title, about, (formula,), (derivative,))


_SAME_VALUES = "The values stay as they are, and so does the gradient: it only gets the shape of the input again."

MOVING: Mapping[str, NodeWords] = {
    "Cat": NodeWords(
        "Concatenation",
        "Puts tensors side by side, as DenseNet and Inception do with channels. Each gets its own part of the gradient back.",
        ("y = [a, b, ...]",),
        ("dL/da = the part of ḡ that came from a, and so on",),
        (),
    ),
    "Stack": NodeWords(
        "Stacking", "Puts tensors on top of each other.", ("y = [a, b, ...]",), ("dL/da = the part of ḡ that came from a, and so on",), ()
    ),
    "Split": _moves("Split", "Cuts a tensor into parts.", "y₁, y₂, ... = parts of x", "dL/dx = the parts' gradients, put together again"),
    "Chunk": _moves("Split", "Cuts a tensor into parts.", "y₁, y₂, ... = parts of x", "dL/dx = the parts' gradients, put together again"),
    "Unbind": _moves("Split", "Takes a tensor apart.", "y₁, y₂, ... = slices of x", "dL/dx = the slices' gradients, put together again"),
    "Select": _moves("Selection", "Takes one slice; the rest gets no gradient.", "y = x[..., i, ...]", "dL/dx = ḡ at that slice, 0 elsewhere"),
    "Slice": _moves("Slice", "Takes a part; the rest gets no gradient.", "y = x[..., from:to, ...]", "dL/dx = ḡ in that part, 0 elsewhere"),
    "Index": _moves("Look-up", "Reads values at given places.", "y = x[places]", "dL/dx = Σ of ḡ over all readings of each place"),
    "Gather": _moves("Look-up", "Reads values at given places.", "y = x[places]", "dL/dx = Σ of ḡ over all readings of each place"),
    "T": _moves("Transposed", "The weight matrix on its side, as the product needs it. " + _SAME_VALUES, "y = xᵀ", "dL/dx = ḡᵀ"),
    "Transpose": _moves("Transposed", "Two dimensions change places. " + _SAME_VALUES, "y = x with two dimensions swapped", "dL/dx = ḡ swapped back"),
    "Permute": _moves(
        "Permuted", "Dimensions change places. " + _SAME_VALUES, "y = x with dimensions in another order", "dL/dx = ḡ in the old order"
    ),
    "View": _moves("Another shape", _SAME_VALUES, "y = the same values in another shape", "dL/dx = ḡ in the old shape"),
    "UnsafeView": _moves("Another shape", _SAME_VALUES, "y = the same values in another shape", "dL/dx = ḡ in the old shape"),
    "ReshapeAlias": _moves("Another shape", _SAME_VALUES, "y = the same values in another shape", "dL/dx = ḡ in the old shape"),
    "AsStrided": _moves(
        "Another view",
        "The same memory seen in another shape.",
        "y = the same memory, read otherwise",
        "dL/dx = ḡ put back to where each value was read",
    ),
    "Alias": _moves("The same", "Another name for the same tensor.", "y = x", "dL/dx = ḡ"),
    "Clone": _moves("Copy", "A copy with memory of its own.", "y = x", "dL/dx = ḡ"),
    "ToCopy": _moves("Conversion", "The same values in another number format or on another device.", "y = x", "dL/dx = ḡ, converted back"),
    "Squeeze": _moves("Another shape", "A dimension of length 1 goes. " + _SAME_VALUES, "y = x without a dimension", "dL/dx = ḡ with it again"),
    "Unsqueeze": _moves(
        "Another shape", "A dimension of length 1 is added. " + _SAME_VALUES, "y = x with one more dimension", "dL/dx = ḡ without it again"
    ),
    "Expand": _moves("Repeated", "The same values are used several times without a copy.", "y = x, repeated", "dL/dx = Σ of ḡ over the repetitions"),
    "Repeat": _moves("Repeated", "The same values several times.", "y = x, repeated", "dL/dx = Σ of ḡ over the repetitions"),
    "Roll": _moves("Rolled", "Values move on in a circle, as in Swin's shifting windows.", "y = x rolled by s", "dL/dx = ḡ rolled by -s"),
    "Flip": _moves("Mirrored", "The order is turned around.", "y = x backwards", "dL/dx = ḡ backwards"),
    "ConstantPadNd": _moves("Padding", "Adds a border of zeros.", "y = x with a border", "dL/dx = ḡ without the border"),
    "CopySlices": NodeWords(
        "Change in place, of a part",
        "An operation wrote into a part of a tensor that is shared. autograd remembers both: what was there "
        "before counts outside of that part, the "
        "operation inside of it.",
        ("y = x, with f(x) written into a part of it",),
        ("dL/dx = ḡ outside of that part; inside, ḡ goes through f",),
        ("what was there before", "what was written"),
    ),
}
